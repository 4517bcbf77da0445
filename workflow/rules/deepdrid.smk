# DeepDRiD, fundus photographs: RetinaMNIST.


module deepdrid:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "deepdrid"}


use rule * from deepdrid as deepdrid_*


rule retinamnist:
    "RetinaMNIST from DeepDRiD fundus photographs."
    input:
        dataset("retinamnist"),
