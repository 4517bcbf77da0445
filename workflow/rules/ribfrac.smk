# RibFrac, chest CT with segmented rib fractures: FractureMNIST3D.


module ribfrac:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "ribfrac"}


use rule * from ribfrac as ribfrac_*


rule fracturemnist3d:
    "FractureMNIST3D from RibFrac chest CT; its test labels were never published."
    input:
        dataset("fracturemnist3d"),
