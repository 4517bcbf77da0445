# Synapses in electron microscopy: SynapseMNIST3D.


module synapse:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "synapse"}


use rule * from synapse as synapse_*


rule synapsemnist3d:
    "SynapseMNIST3D from an EM volume and a table of synapses."
    input:
        dataset("synapsemnist3d"),
