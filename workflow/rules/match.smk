# Which raw sample each published row is: for every dataset whose published npz is in <raw>/released.


from workflow import ask

plan = config["plan"]
paths = plan.paths


rule match_dataset:
    "Find the raw sample of every published row, and rank the decisions by the rows they reproduce."
    input:
        ask.candidates,
    output:
        order=paths["order"],
        unmatched=paths["match_unmatched"],
        decisions=paths["decisions"],
        page=paths["match"],
    log:
        paths.log("match"),
    benchmark:
        paths.benchmark("match")
    conda:
        "../../envs/preprocess.yaml"
    threads: 16  # or as many as there are; asking for the number would refuse a --report without --cores
    resources:
        mem_mb=ask.doubling(2000),
        runtime=ask.doubling(240),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("match"),
        raw=ask.raw_folder,
        cache=ask.cache_folder,
        published=ask.published_files,
        seed=plan.settings.seed,
        folder=subpath(output.page, parent=True),
        rehearsal=plan.settings.rehearsal or 0,
        current=ask.current("match_sample" if plan.is_rehearsal else "match"),
    shell:
        "python -m preprocess match {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "--raw {params.raw:q} --seek {params.cache:q} --seed {params.seed} --index {input:q} --published {params.published:q} "
        "--rehearsal {params.rehearsal} --workers {threads} --output {params.folder:q} --log {log:q}"
