# Getting the raw files: no build ever starts a download by itself.


localrules:
    sources,
    fetch,


rule sources:
    "What of the raw files is there, how to get the rest, and what a build will cost."
    log:
        str(plan.out / "logs/sources.log"),
    conda:
        "../../envs/preprocess.yaml"
    params:
        options=plan.raw_options("sources"),
    shell:
        "python -m preprocess sources {params.options} --log {log:q}"


rule fetch:
    "Download the sources named by --config sources=...; without names, only list."
    log:
        str(plan.out / "logs/fetch.log"),
    conda:
        "../../envs/preprocess.yaml"
    params:
        options=plan.raw_options("fetch"),
    shell:
        "python -m preprocess fetch {params.options} --log {log:q}"
