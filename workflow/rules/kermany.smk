# Kermany, optical coherence tomography and chest X-ray: OCTMNIST and PneumoniaMNIST.


module kermany:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "kermany"}


use rule * from kermany as kermany_*


rule octmnist:
    "OCTMNIST from Kermany's optical coherence tomography."
    input:
        dataset("octmnist"),


rule pneumoniamnist:
    "PneumoniaMNIST from Kermany's chest X-rays of children."
    input:
        dataset("pneumoniamnist"),
