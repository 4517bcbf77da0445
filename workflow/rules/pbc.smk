# PBC, peripheral blood cells: BloodMNIST.


module pbc:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "pbc"}


use rule * from pbc as pbc_*


rule bloodmnist:
    "BloodMNIST from PBC blood cell microscopy."
    input:
        dataset("bloodmnist"),
