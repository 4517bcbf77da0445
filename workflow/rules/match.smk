# Which raw sample each published row is: for every dataset whose published npz is in <raw>/released.


include: "common.smk"


rule match_dataset:
    "Find the raw sample of every published row, and rank the decisions by the rows they reproduce."
    input:
        index=plan.work("{dataset}", "index.tsv"),
        published=published_of,
        facts=plan.published_facts,
    output:
        order=str(plan.out / "match/{dataset}/order.csv"),
        unmatched=str(plan.out / "match/{dataset}/unmatched.csv"),
        decisions=str(plan.out / "match/{dataset}/decisions.tsv"),
        page=str(plan.out / "match/{dataset}/index.html"),
    log:
        str(plan.out / "logs/{dataset}/match.log"),
    benchmark:
        str(plan.out / "benchmarks/{dataset}/match.tsv")
    conda:
        "../../envs/preprocess.yaml"
    threads: 16  # or as many as there are; asking for the number would refuse a --report without --cores
    resources:
        mem_mb=doubling(2000),
        runtime=doubling(240),
    params:
        options=command("match"),
        code=code("match"),
        folder=subpath(output.page, parent=True),
    shell:
        "python -m preprocess match {params.options} --index {input.index:q} --published {input.published:q} "
        "--workers {threads} --output {params.folder:q} --log {log:q}"


rule match:
    "Everything that can be matched with a published file in <raw>/released."
    input:
        match_inputs,
