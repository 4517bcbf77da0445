# Adrenal glands: AdrenalMNIST3D.


module adrenal:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "adrenal"}


use rule * from adrenal as adrenal_*


rule adrenalmnist3d:
    "AdrenalMNIST3D from masks of adrenal glands, or from its published 64 file."
    input:
        dataset("adrenalmnist3d"),
