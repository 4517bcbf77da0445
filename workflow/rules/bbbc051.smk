# BBBC051, nuclei in kidney cortex: TissueMNIST.


module bbbc051:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "bbbc051"}


use rule * from bbbc051 as bbbc051_*


rule tissuemnist:
    "TissueMNIST from BBBC051 kidney nuclei."
    input:
        dataset("tissuemnist"),
