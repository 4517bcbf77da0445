# BUSI, breast ultrasound: BreastMNIST.


module busi:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "busi"}


use rule * from busi as busi_*


rule breastmnist:
    "BreastMNIST from BUSI breast ultrasound."
    input:
        dataset("breastmnist"),
