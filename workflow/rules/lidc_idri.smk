# LIDC-IDRI, chest CT with outlined nodules: NoduleMNIST3D.


module lidc_idri:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "lidc_idri"}


use rule * from lidc_idri as lidc_idri_*


rule nodulemnist3d:
    "NoduleMNIST3D from LIDC-IDRI chest CT."
    input:
        dataset("nodulemnist3d"),
