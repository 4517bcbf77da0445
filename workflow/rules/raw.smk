# Getting the raw files: no build ever starts a download by itself.


localrules:
    sources,
    fetch,
    new,
    targets,


rule targets:
    "What can be asked for by name."
    log:
        plan.paths.log("targets", ""),
    conda:
        "../../envs/preprocess.yaml"
    shell:
        "python -m preprocess targets --log {log:q}"


rule new:
    "Look at a folder of your own and draft the recipe of a dataset: --config name=... raw=DIR."
    log:
        plan.paths.log("new", ""),
    conda:
        "../../envs/preprocess.yaml"
    params:
        name=new_name,
        raw=raw_option,
        recipes=new_recipes,
    shell:
        "python -m preprocess new {params.name} --raw {params.raw:q} --recipes {params.recipes:q} --log {log:q}"


rule sources:
    "What of the raw files is there, how to get the rest, and what a build will cost."
    log:
        plan.paths.log("sources", ""),
    conda:
        "../../envs/preprocess.yaml"
    params:
        raw=raw_option,
        cache=str(plan.cache),
        results=plan.settings.results,
        datasets=plan.priced,
        sizes=plan.settings.sizes,
        sizes_3d=plan.settings.sizes_3d,
    shell:
        "python -m preprocess sources --raw {params.raw:q} --cache {params.cache:q} --results {params.results:q} "
        "--datasets {params.datasets} --sizes {params.sizes} --sizes-3d {params.sizes_3d} --log {log:q}"


rule fetch:
    "Download the sources named by --config sources=...; without names, only list."
    log:
        plan.paths.log("fetch", ""),
    conda:
        "../../envs/preprocess.yaml"
    params:
        sources=plan.settings.sources,
        raw=raw_option,
        cache=str(plan.cache),
        results=plan.settings.results,
        datasets=plan.priced,
        sizes=plan.settings.sizes,
        sizes_3d=plan.settings.sizes_3d,
    shell:
        "python -m preprocess fetch --sources {params.sources:q} --raw {params.raw:q} --cache {params.cache:q} "
        "--results {params.results:q} --datasets {params.datasets} --sizes {params.sizes} "
        "--sizes-3d {params.sizes_3d} --log {log:q}"
