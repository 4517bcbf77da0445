# NIH ChestX-ray14, chest X-rays: ChestMNIST.


module chestxray14:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "chestxray14"}


use rule * from chestxray14 as chestxray14_*


rule chestmnist:
    "ChestMNIST from NIH ChestX-ray14."
    input:
        dataset("chestmnist"),
