# LiTS, abdominal CT with organ boxes: OrganAMNIST, OrganCMNIST, OrganSMNIST, OrganMNIST3D.


module lits:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "lits"}


use rule * from lits as lits_*


rule organamnist:
    "OrganAMNIST: axial planes of LiTS organ boxes."
    input:
        dataset("organamnist"),


rule organcmnist:
    "OrganCMNIST: coronal planes of LiTS organ boxes."
    input:
        dataset("organcmnist"),


rule organsmnist:
    "OrganSMNIST: sagittal planes of LiTS organ boxes."
    input:
        dataset("organsmnist"),


rule organmnist3d:
    "OrganMNIST3D: the LiTS organ boxes themselves."
    input:
        dataset("organmnist3d"),
