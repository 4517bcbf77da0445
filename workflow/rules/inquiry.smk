# Questions asked of what is there: nothing is built for them, and each is answered anew whenever it is asked.


from workflow import ask

plan = config["plan"]
paths = plan.paths


localrules:
    prove,
    compare,
    trace,


rule prove:
    "Prove again what the raw and published files at hand allow: decision by decision, with the result."
    output:
        paths["proofs"],
    log:
        paths.log("prove", ""),
    conda:
        "../../envs/preprocess.yaml"
    params:
        raw=ask.raw_root,
        cache=ask.cache_folder,
        results=ask.base_folder,
        miniature="--miniature" if plan.is_miniature else "",
        datasets=ask.scope,
        seed=plan.settings.seed,
        asked=ask.asked,
    shell:
        "python -m preprocess prove {params.datasets} --raw {params.raw:q} --seek {params.cache:q} "
        "--results {params.results:q} {params.miniature} --seed {params.seed} --output {output:q} --log {log:q}"


rule compare:
    "Hold the builds named by --config variants=[...] against the first of them: rows, labels, pixels, decisions."
    output:
        page=paths["compare"],
        data=paths["compare_data"],
    log:
        paths.log("compare", ""),
    conda:
        "../../envs/preprocess.yaml"
    params:
        variants=plan.settings.variants,
        results=ask.base_folder,
        raw=ask.raw_option,
        miniature="--miniature" if plan.is_miniature else "",
        datasets=ask.scope,
        asked=ask.asked,
    shell:
        "python -m preprocess compare {params.datasets} --variants {params.variants:q} --results {params.results:q} "
        "--raw {params.raw:q} {params.miniature} --output {output.page:q} --json {output.data:q} --log {log:q}"


rule impact:
    "Train a small classifier on each of the builds named by --config variants=[...]: what their decisions are worth."
    output:
        page=paths["impact"],
        data=paths["impact_data"],
    log:
        paths.log("impact", ""),
    benchmark:
        paths.benchmark("impact", "")
    conda:
        "../../envs/preprocess.yaml"
    threads: 16  # or as many as there are
    resources:
        mem_mb=ask.doubling(2000),
        runtime=ask.doubling(240),
    params:
        variants=plan.settings.variants,
        results=ask.base_folder,
        raw=ask.raw_option,
        miniature="--miniature" if plan.is_miniature else "",
        datasets=ask.scope,
        seed=plan.settings.seed,
        asked=ask.asked,
    shell:
        "python -m preprocess impact {params.datasets} --variants {params.variants:q} --results {params.results:q} "
        "--raw {params.raw:q} {params.miniature} --seed {params.seed} --workers {threads} --output {output.page:q} "
        "--json {output.data:q} --log {log:q}"


rule trace:
    "Show where the rows named by --config rows=[...] come from, and the picture after every step."
    output:
        page=paths["trace"],
        data=paths["trace_data"],
        traced=paths["traced"],
    log:
        paths.log("trace", ""),
    conda:
        "../../envs/preprocess.yaml"
    params:
        rows=plan.settings.rows,
        results=ask.base_folder,
        raw=ask.raw_root,
        cache=ask.cache_folder,
        build=plan.settings.build,
        miniature="--miniature" if plan.is_miniature else "",
        asked=ask.asked,
    shell:
        "python -m preprocess trace --rows {params.rows:q} --build {params.build:q} --results {params.results:q} "
        "--raw {params.raw:q} --seek {params.cache:q} {params.miniature} --output {output.page:q} --json {output.data:q} "
        "--traced {output.traced:q} --log {log:q}"
