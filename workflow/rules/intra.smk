# IntrA, brain vessel meshes: VesselMNIST3D.


module intra:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "intra"}


use rule * from intra as intra_*


rule vesselmnist3d:
    "VesselMNIST3D from IntrA brain vessel meshes."
    input:
        dataset("vesselmnist3d"),
