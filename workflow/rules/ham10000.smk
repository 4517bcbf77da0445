# HAM10000, dermatoscopic images: DermaMNIST.


module ham10000:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "ham10000"}


use rule * from ham10000 as ham10000_*


rule dermamnist:
    "DermaMNIST from HAM10000 dermatoscopy."
    input:
        dataset("dermamnist"),
