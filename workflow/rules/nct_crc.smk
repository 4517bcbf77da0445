# NCT-CRC-HE-100K and CRC-VAL-HE-7K, colorectal histology: PathMNIST.


module nct_crc:
    snakefile:
        "dataset.smk"
    config:
        {"plan": plan, "source": "nct_crc"}


use rule * from nct_crc as nct_crc_*


rule pathmnist:
    "PathMNIST from NCT-CRC colorectal histology."
    input:
        dataset("pathmnist"),
