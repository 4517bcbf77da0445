# The steps every dataset goes through: raw -> index -> split -> shards -> npz -> checks.
# A source's file uses them as a module, with {"plan": plan, "source": <name>} as its config.


include: "common.smk"


SOURCE = config["source"]
OUT = str(plan.out)
WORK = plan.work("{dataset}")
LOGS = f"{OUT}/logs/{{dataset}}"
BENCHMARKS = f"{OUT}/benchmarks/{{dataset}}"


wildcard_constraints:
    dataset="|".join(plan.of_source(SOURCE)),
    shard=r"\d+",
    tail=r"(_\d+)?",


rule miniature:
    "Generate the stand-in of this source, in the layout of the real files."
    output:
        directory(str(plan.miniature_raw / SOURCE)),
    log:
        f"{OUT}/logs/miniature/{SOURCE}.log",
    benchmark:
        f"{OUT}/benchmarks/miniature/{SOURCE}.tsv"
    group:
        "list"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1000),
        runtime=doubling(10),
    params:
        source=SOURCE,
        code=plan.miniature_fingerprint(SOURCE),
    shell:
        "python -m preprocess miniature {params.source} {output:q} --log {log:q}"


rule verify:
    "Check the source's archives against known checksums; each is read once and remembered."
    input:
        raw_entries,
    output:
        f"{OUT}/raw/{SOURCE}.json",
    log:
        f"{OUT}/logs/raw/{SOURCE}.log",
    benchmark:
        f"{OUT}/benchmarks/raw/{SOURCE}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(500),
        runtime=doubling(240),
    params:
        options=plan.raw_options("verify", SOURCE),
        known=plan.known_files(SOURCE),
    shell:
        "python -m preprocess verify {params.options} --output {output:q} --log {log:q}"


rule index:
    "List, label and count the samples: one row a sample."
    input:
        raw_files,
        # not ancient: Snakemake would then verify a replaced archive and not index it again
        verified=plan.verified(SOURCE),
    output:
        index=ensure(f"{WORK}/index.tsv", non_empty=True),
        counts=f"{WORK}/census.tsv",
    log:
        f"{LOGS}/index.log",
    benchmark:
        f"{BENCHMARKS}/index.tsv"
    group:
        "list"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1500),
        runtime=doubling(120),
    params:
        options=command("index"),
        code=code("index"),
    shell:
        "python -m preprocess index {params.options} --output {output.index:q} "
        "--counts {output.counts:q} --log {log:q}"


rule split:
    "Assign every sample to train, val or test, and order them."
    input:
        index=f"{WORK}/index.tsv",
        order=order_table,
        file=split_file,
    output:
        split=ensure(f"{WORK}/split.tsv", non_empty=True),
        unmatched=f"{OUT}/{{dataset}}.unmatched.tsv",
    log:
        f"{LOGS}/split.log",
    benchmark:
        f"{BENCHMARKS}/split.tsv"
    group:
        "list"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1000),
        runtime=doubling(30),
    params:
        options=command("split"),
        code=code("split"),
    shell:
        "python -m preprocess split {params.options} --index {input.index:q} "
        "--output {output.split:q} --unmatched {output.unmatched:q} --log {log:q}"


if plan.prepares(SOURCE):

    rule prepare:
        "Read one block of scans once for all datasets of this source that share the first steps."
        input:
            f"{WORK}/index.tsv",
        output:
            temp(directory(f"{WORK}/prepared/{{shard}}")),
        log:
            f"{LOGS}/prepare_{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/prepare_{{shard}}.tsv"
        group:
            "prepare"
        conda:
            "../../envs/preprocess.yaml"
        resources:
            mem_mb=doubling(2000),
            runtime=doubling(120),
        params:
            options=command("prepare"),
            code=code("prepare"),
        shell:
            "python -m preprocess prepare {params.options} --index {input:q} "
            "--shard {wildcards.shard} --output {output:q} --log {log:q}"


rule render:
    "Render one block of samples at all sizes, each opened once."
    input:
        split=f"{WORK}/split.tsv",
        prepared=prepared_folder,
    output:
        temp(directory(f"{WORK}/shards/{{shard}}")),
    log:
        f"{LOGS}/render_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/render_{{shard}}.tsv"
    group:
        "render"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1000),
        runtime=doubling(120),
    params:
        options=command("render"),
        code=code("render"),
    shell:
        "python -m preprocess render {params.options} --split {input.split:q} --prepared {input.prepared:q} "
        "--shard {wildcards.shard} --output {output:q} --log {log:q}"


rule collect:
    "Write the table of all samples, and that of what was left out and why."
    input:
        split=f"{WORK}/split.tsv",
        shards=shard_folders,
    output:
        samples=f"{OUT}/{{dataset}}.samples.tsv",
        excluded=f"{OUT}/{{dataset}}.excluded.tsv",
    log:
        f"{LOGS}/collect.log",
    benchmark:
        f"{BENCHMARKS}/collect.tsv"
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1000),
        runtime=doubling(30),
    params:
        code=code("collect"),
    shell:
        "python -m preprocess collect --split {input.split:q} --shards {input.shards:q} "
        "--samples {output.samples:q} --excluded {output.excluded:q} --log {log:q}"


rule pack:
    "Write the npz of one size in the published container."
    input:
        samples=f"{OUT}/{{dataset}}.samples.tsv",
        shards=shard_folders,
    output:
        ensure(f"{OUT}/{{dataset}}{{tail}}.npz", non_empty=True),
    log:
        f"{LOGS}/pack{{tail}}.log",
    benchmark:
        f"{BENCHMARKS}/pack{{tail}}.tsv"
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1000),
        runtime=doubling(120),
    params:
        options=command("pack"),
        code=code("pack"),
        size=size_of_file,
    shell:
        "python -m preprocess pack {params.options} --size {params.size} --samples {input.samples:q} "
        "--shards {input.shards:q} --output {output:q} --log {log:q}"


rule check:
    "Check what was built; 20 random rows are rendered again, alone."
    input:
        index=f"{WORK}/index.tsv",
        counts=f"{WORK}/census.tsv",
        samples=f"{OUT}/{{dataset}}.samples.tsv",
        excluded=f"{OUT}/{{dataset}}.excluded.tsv",
        unmatched=f"{OUT}/{{dataset}}.unmatched.tsv",
        npz=all_npz,
    output:
        ensure(f"{WORK}/checks.json", non_empty=True),
    log:
        f"{LOGS}/check.log",
    benchmark:
        f"{BENCHMARKS}/check.tsv"
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(2000),
        runtime=doubling(60),
    params:
        options=command("check"),
        code=code("check"),
    shell:
        "python -m preprocess check {params.options} --index {input.index:q} --counts {input.counts:q} --samples {input.samples:q} "
        "--excluded {input.excluded:q} --unmatched {input.unmatched:q} --npz {input.npz:q} --output {output:q} --log {log:q}"


rule sums:
    "Take checksums of every file and, independent of zip and zlib, of its arrays."
    input:
        all_npz,
    output:
        ensure(f"{WORK}/sums.tsv", non_empty=True),
    log:
        f"{LOGS}/sums.log",
    benchmark:
        f"{BENCHMARKS}/sums.tsv"
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(500),
        runtime=doubling(30),
    params:
        code=code("sums"),
    shell:
        "python -m preprocess sums {input:q} --output {output:q} --log {log:q}"


rule verdict:
    "Compare every file with the published one: identical, how many rows are, or why it cannot be told."
    input:
        samples=f"{OUT}/{{dataset}}.samples.tsv",
        sums=f"{WORK}/sums.tsv",
        npz=all_npz,
        published=published_npz,
        facts=plan.published_facts,
    output:
        ensure(f"{WORK}/verdict.json", non_empty=True),
    log:
        f"{LOGS}/verdict.log",
    benchmark:
        f"{BENCHMARKS}/verdict.tsv"
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1000),
        runtime=doubling(60),
    params:
        options=command("verdict"),
        code=code("verdict"),
    shell:
        "python -m preprocess verdict {params.options} --samples {input.samples:q} --sums {input.sums:q} "
        "--npz {input.npz:q} --output {output:q} --log {log:q}"


rule provenance:
    "Record what the dataset was made from, by which code, and how sure each decision is."
    input:
        samples=f"{OUT}/{{dataset}}.samples.tsv",
        sums=f"{WORK}/sums.tsv",
        checks=f"{WORK}/checks.json",
        verdict=f"{WORK}/verdict.json",
        verified=plan.verified(SOURCE),
    output:
        report(
            ensure(f"{OUT}/{{dataset}}.provenance.json", non_empty=True),
            caption="../report/provenance.rst",
            category="Datasets",
            subcategory="{dataset}",
            labels={"what": "provenance, as data"},
        ),
    log:
        f"{LOGS}/provenance.log",
    benchmark:
        f"{BENCHMARKS}/provenance.tsv"
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1000),
        runtime=doubling(30),
    params:
        options=command("provenance"),
        code=code("provenance"),
    shell:
        "python -m preprocess provenance {params.options} --samples {input.samples:q} "
        "--sums {input.sums:q} --checks {input.checks:q} --verdict {input.verdict:q} "
        "--verified {input.verified:q} "
        "--output {output:q} --log {log:q}"


rule montage:
    "Draw samples of each class."
    input:
        audit_npz,
    output:
        report(
            ensure(f"{OUT}/audit/{{dataset}}.png", non_empty=True),
            caption="../report/montage.rst",
            category="Datasets",
            subcategory="{dataset}",
            labels={"what": "montage: samples of each class"},
        ),
    log:
        f"{LOGS}/montage.log",
    benchmark:
        f"{BENCHMARKS}/montage.tsv"
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(500),
        runtime=doubling(30),
    params:
        options=command("montage"),
        code=code("montage"),
    shell:
        "python -m preprocess montage {params.options} --npz {input:q} --output {output:q} --log {log:q}"


rule audit:
    "Write the audit page of a dataset: decisions, findings, pictures."
    input:
        samples=f"{OUT}/{{dataset}}.samples.tsv",
        excluded=f"{OUT}/{{dataset}}.excluded.tsv",
        provenance=f"{OUT}/{{dataset}}.provenance.json",
        npz=audit_npz,
        exceptions=exceptions_file,
        facts=plan.published_facts,
    output:
        page=report(
            ensure(f"{OUT}/audit/{{dataset}}.html", non_empty=True),
            caption="../report/page.rst",
            category="Datasets",
            subcategory="{dataset}",
            labels={"what": "audit page: counts, verdict, decisions, findings"},
        ),
        summary=f"{WORK}/audit.json",
    log:
        f"{LOGS}/audit.log",
    benchmark:
        f"{BENCHMARKS}/audit.tsv"
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1500),
        runtime=doubling(60),
    params:
        options=command("audit"),
        code=code("audit"),
    shell:
        "python -m preprocess audit {params.options} --samples {input.samples:q} --excluded {input.excluded:q} "
        "--provenance {input.provenance:q} --npz {input.npz:q} "
        "--output {output.page:q} --summary {output.summary:q} --log {log:q}"


rule leak_free:
    "Write leak-free alternatives to the split, as tables for the decision split.file."
    input:
        f"{OUT}/{{dataset}}.samples.tsv",
    output:
        directory(f"{OUT}/splits/{{dataset}}"),
    log:
        f"{LOGS}/leak_free.log",
    benchmark:
        f"{BENCHMARKS}/leak_free.tsv"
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1000),
        runtime=doubling(10),
    params:
        options=command("leak-free"),
        code=code("leak-free"),
    shell:
        "python -m preprocess leak-free {params.options} --samples {input:q} --output {output:q} --log {log:q}"


rule export_npy:
    "Export an npz as one .npy an array, which can be mapped into memory."
    input:
        npz=f"{OUT}/{{dataset}}{{tail}}.npz",
        samples=f"{OUT}/{{dataset}}.samples.tsv",
    output:
        main=directory(f"{OUT}/npy/{{dataset}}{{tail}}"),
    log:
        f"{LOGS}/export_npy{{tail}}.log",
    benchmark:
        f"{BENCHMARKS}/export_npy{{tail}}.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=doubling(1000),
        runtime=doubling(120),
    params:
        format="npy",
        options=command("export"),
        code=code("export"),
    shell:
        "python -m preprocess export {params.options} --format {params.format} --npz {input.npz:q} "
        "--samples {input.samples:q} --output {output.main:q} --log {log:q}"


use rule export_npy as export_png with:
    "Export an npz as a folder of pictures and a CSV, as medmnist save does."
    output:
        main=directory(f"{OUT}/png/{{dataset}}{{tail}}"),
        table=f"{OUT}/png/{{dataset}}{{tail}}.csv",
    log:
        f"{LOGS}/export_png{{tail}}.log",
    benchmark:
        f"{BENCHMARKS}/export_png{{tail}}.tsv"
    params:
        format="png",
        options=command("export"),
        code=code("export"),


use rule export_npy as export_croissant with:
    "Describe an npz and its samples table in MLCommons Croissant metadata."
    output:
        main=f"{OUT}/{{dataset}}{{tail}}.croissant.json",
    log:
        f"{LOGS}/export_croissant{{tail}}.log",
    benchmark:
        f"{BENCHMARKS}/export_croissant{{tail}}.tsv"
    params:
        format="croissant",
        options=command("export"),
        code=code("export"),
