# The steps every dataset goes through: raw -> index -> split -> shards -> npz -> checks -> audit.
# A source's file uses them as a module, with {"plan": plan, "source": <name>} as its config.


from workflow import ask

plan = config["plan"]
paths = plan.paths
SOURCE = config["source"]


wildcard_constraints:
    dataset="|".join(plan.of_source(SOURCE)),
    sharing=r"[^/]+",
    batch=r"\d+",
    shard=r"\d+",
    tail=f"({'|'.join(plan.tails(SOURCE))})",


rule miniature:
    "Generate the stand-in of this source, in the layout of the real files."
    output:
        directory(paths.of("stand_in", source=SOURCE)),
    log:
        paths.log(SOURCE, "miniature"),
    benchmark:
        paths.benchmark(SOURCE, "miniature")
    group:
        "list"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.doubling(1000),
        runtime=ask.doubling(10),
    params:
        source=SOURCE,
        current=plan.current("miniature", plan.of_source(SOURCE)[0]),
    shell:
        "python -m preprocess miniature {params.source} {output:q} --log {log:q}"


# Only the record waits for it: pixels do not depend on what is known of a file. It comes first where cores are few.
rule verify:
    "Check the source's files against known checksums; each is read once and remembered."
    output:
        paths.of("verified", source=SOURCE),
    log:
        paths.log(SOURCE, "raw"),
    benchmark:
        paths.benchmark(SOURCE, "raw")
    priority: 1
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.doubling(500),
        runtime=ask.doubling(240),
    params:
        source=SOURCE,
        raw=ask.raw_root,
        cache=ask.cache_folder,
        current=ask.current_of_source(SOURCE),
    shell:
        "python -m preprocess verify {params.source} --raw {params.raw:q} --cache {params.cache:q} "
        "--output {output:q} --log {log:q}"


rule inspect:
    "Look at the source's files and write a report that can be shared."
    input:
        plan.stand_in(SOURCE),
    output:
        page=paths.of("inspected", source=SOURCE),
        data=paths.of("inspected_data", source=SOURCE),
    log:
        paths.log(SOURCE, "inspect"),
    benchmark:
        paths.benchmark(SOURCE, "inspect")
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.doubling(2000),
        runtime=ask.doubling(120),
    params:
        source=SOURCE,
        raw=ask.raw_root,
        cache=ask.cache_folder,
        protocol=plan.settings.protocol,
        overrides=ask.all_overrides,
        sizes=plan.settings.sizes,
        sizes_3d=plan.settings.sizes_3d,
        seed=plan.settings.seed,
        miniature="--miniature" if plan.is_miniature else "",
        current=ask.current_of_look(SOURCE),
    shell:
        "python -m preprocess inspect {params.source} --raw {params.raw:q} --cache {params.cache:q} --seek {params.cache:q} "
        "--protocol {params.protocol} --overrides {params.overrides:q} "
        "--sizes {params.sizes} --sizes-3d {params.sizes_3d} --seed {params.seed} {params.miniature} "
        "--output {output.page:q} --json {output.data:q} --log {log:q}"


rule index:
    "List, label and count the samples: one row a sample."
    input:
        plan.stand_in(SOURCE),
    output:
        index=ensure(paths["index"], non_empty=True),
        counts=paths["census"],
    log:
        paths.log("index"),
    benchmark:
        paths.benchmark("index")
    group:
        "list"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed_for_scans,
        runtime=ask.doubling(120),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("index"),
        raw=ask.raw_folder,
        cache=ask.cache_folder,
        census=plan.settings.census,
        miniature="--miniature" if plan.is_miniature else "",
        current=ask.current("index"),
    shell:
        "python -m preprocess index {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "--raw {params.raw:q} --seek {params.cache:q} --census {params.census} {params.miniature} "
        "--output {output.index:q} --counts {output.counts:q} "
        "--log {log:q}"


rule split:
    "Assign every sample to train, val or test, and order them."
    input:
        index=paths["index"],
        alike=ask.alike_table,
    output:
        split=ensure(paths["split"], non_empty=True),
        unmatched=paths["unmatched"],
    log:
        paths.log("split"),
    benchmark:
        paths.benchmark("split")
    group:
        ask.split_group
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(30),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("split"),
        seed=plan.settings.seed,
        order=ask.order_table,
        rehearsal=plan.settings.rehearsal or 0,
        current=ask.current("split"),
    shell:
        "python -m preprocess split {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "--seed {params.seed} --order-table {params.order:q} --rehearsal {params.rehearsal} "
        "--index {input.index:q} --alike {input.alike:q} --output {output.split:q} --unmatched {output.unmatched:q} "
        "--log {log:q}"


if plan.prepares(SOURCE):

    rule prepare:
        "Read one block of scans once for all datasets of this source that share the first steps."
        input:
            ask.index_of_first,
        output:
            temp(directory(paths.of("prepared", source=SOURCE))),
        log:
            paths.log("prepare_{batch}_{shard}", f"{SOURCE}/{{sharing}}"),
        benchmark:
            paths.benchmark("prepare_{batch}_{shard}", f"{SOURCE}/{{sharing}}")
        group:
            "prepare"
        conda:
            "../../envs/preprocess.yaml"
        resources:
            mem_mb=ask.needed_for_scans,
            runtime=ask.doubling(120),
        params:
            dataset=ask.dataset_of,
            protocol=plan.settings.protocol,
            overrides=ask.overrides("prepare"),
            raw=ask.raw_folder,
            cache=ask.cache_folder,
            shards=ask.shards,
            current=ask.current("prepare"),
        shell:
            "python -m preprocess prepare {params.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
            "--raw {params.raw:q} --seek {params.cache:q} --index {input:q} --shard {wildcards.shard} --shards {params.shards} "
            "--output {output:q} "
            "--log {log:q}"


rule render:
    "Render one block of samples at all sizes that are not there, each opened once."
    input:
        table=ask.rendered_from,
        prepared=ask.prepared_folder,
    output:
        temp(directory(paths["shard"])),
    log:
        paths.log("render_{batch}_{shard}"),
    benchmark:
        paths.benchmark("render_{batch}_{shard}")
    group:
        "render"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed_for_scans,
        runtime=ask.doubling(120),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("render"),
        raw=ask.raw_folder,
        cache=ask.cache_folder,
        census=plan.settings.census,
        sizes=ask.sizes_of_batch,
        shards=ask.shards,
        looks=ask.with_looks,
        current=ask.current("render"),
    shell:
        "python -m preprocess render {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "--raw {params.raw:q} --seek {params.cache:q} --census {params.census} --sizes {params.sizes} "
        "--table {input.table:q} --prepared {input.prepared:q} {params.looks} "
        "--shard {wildcards.shard} --shards {params.shards} --output {output:q} "
        "--log {log:q}"


rule alike:
    "Find which samples look alike, where those are to stay on one side of the split."
    input:
        ask.table_shards,
    output:
        paths["alike"],
    log:
        paths.log("alike"),
    benchmark:
        paths.benchmark("alike")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(60),
    params:
        current=ask.current("alike"),
    shell:
        "python -m preprocess alike --shards {input:q} --output {output:q} "
        "--log {log:q}"


rule collect:
    "Write the table of all rows, and that of what was left out and why."
    input:
        split=paths["split"],
        shards=ask.table_shards,
    output:
        rows=paths["rows"],
        excluded=paths["excluded"],
    log:
        paths.log("collect"),
    benchmark:
        paths.benchmark("collect")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(30),
    params:
        current=ask.current("collect"),
    shell:
        "python -m preprocess collect --split {input.split:q} --shards {input.shards:q} "
        "--rows {output.rows:q} --excluded {output.excluded:q} "
        "--log {log:q}"


rule pack:
    "Write the npz of one size, and what is seen of its rows on the way."
    input:
        rows=paths["rows"],
        shards=ask.shards_of_size,
    output:
        npz=ensure(paths["npz"], non_empty=True),
        seen=paths["seen"],
        record=paths["record"],
    log:
        paths.log("pack{tail}"),
    benchmark:
        paths.benchmark("pack{tail}")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    threads: ask.pack_workers
    resources:
        mem_mb=ask.needed_for_pack,
        runtime=ask.doubling(120),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("pack"),
        size=ask.size_of_file,
        container=ask.container,
        deflate=plan.settings.deflate,
        batch=ask.batch_of_size,
        together=ask.rendered_together,
        tables=ask.table_batch,
        of_tables=ask.sizes_of_tables,
        current=ask.current("pack"),
    shell:
        "python -m preprocess pack {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "--size {params.size} --container {params.container} --deflate {params.deflate} --workers {threads} "
        "--batch {params.batch} --together {params.together} --tables {params.tables} --of-tables {params.of_tables} "
        "--current {params.current} "
        "--rows {input.rows:q} --shards {input.shards:q} "
        "--output {output.npz:q} --seen {output.seen:q} --record {output.record:q} "
        "--log {log:q}"


rule samples:
    "Write the table of all samples: the rows, with what depends on the sizes."
    input:
        rows=paths["rows"],
        packed=ask.beside_npz("seen"),
    output:
        paths["samples"],
    log:
        paths.log("samples"),
    benchmark:
        paths.benchmark("samples")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(30),
    params:
        sizes=ask.sizes,
        current=ask.current("samples"),
    shell:
        "python -m preprocess samples --rows {input.rows:q} --sizes {params.sizes} --packed {input.packed:q} "
        "--output {output:q} "
        "--log {log:q}"


rule reread:
    "Read a finished npz once: its checksums, those of its arrays, and that these are what was written."
    input:
        npz=paths["npz"],
        packed=paths["seen"],
    output:
        ensure(paths["sums"], non_empty=True),
    log:
        paths.log("reread{tail}"),
    benchmark:
        paths.benchmark("reread{tail}")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    threads: ask.pack_workers
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(60),
    params:
        current=ask.current("reread"),
    shell:
        "python -m preprocess reread {input.npz:q} --packed {input.packed:q} --workers {threads} --output {output:q} "
        "--log {log:q}"


rule check:
    "Check what was built; 20 random rows are rendered again, alone."
    input:
        index=paths["index"],
        counts=paths["census"],
        samples=paths["samples"],
        excluded=paths["excluded"],
        unmatched=paths["unmatched"],
        npz=ask.all_npz,
        packed=ask.beside_npz("seen"),
    output:
        checks=ensure(paths["checks"], non_empty=True),
        duplicates=ensure(paths["duplicates"], non_empty=True),
    log:
        paths.log("check"),
    benchmark:
        paths.benchmark("check")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed_for_scans,
        runtime=ask.doubling(60),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("check"),
        raw=ask.raw_folder,
        cache=ask.cache_folder,
        sizes=ask.sizes,
        seed=plan.settings.seed,
        miniature="--miniature" if plan.is_miniature else "",
        rehearsal=plan.settings.rehearsal or 0,
        current=ask.current("check"),
    shell:
        "python -m preprocess check {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "{params.miniature} --rehearsal {params.rehearsal} --raw {params.raw:q} --seek {params.cache:q} --seed {params.seed} "
        "--index {input.index:q} --counts {input.counts:q} "
        "--samples {input.samples:q} --excluded {input.excluded:q} --unmatched {input.unmatched:q} "
        "--sizes {params.sizes} --npz {input.npz:q} --packed {input.packed:q} "
        "--output {output.checks:q} --duplicates {output.duplicates:q} "
        "--log {log:q}"


rule verdict:
    "Compare every file with the published one: identical, how many rows are, or why it cannot be told."
    input:
        samples=paths["samples"],
        sums=ask.beside_npz("sums"),
        npz=ask.all_npz,
    output:
        ensure(paths["verdict"], non_empty=True),
    log:
        paths.log("verdict"),
    benchmark:
        paths.benchmark("verdict")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(60),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("verdict"),
        sizes=ask.sizes,
        released=ask.released_folder,
        miniature="--miniature" if plan.is_miniature else "",
        rehearsal=plan.settings.rehearsal or 0,
        current=ask.current("verdict"),
    shell:
        "python -m preprocess verdict {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "--released {params.released:q} {params.miniature} --rehearsal {params.rehearsal} --samples {input.samples:q} --sums {input.sums:q} "
        "--sizes {params.sizes} --npz {input.npz:q} --output {output:q} "
        "--log {log:q}"


rule provenance:
    "Record what the dataset was made from, by which code, and how sure each decision is."
    input:
        samples=paths["samples"],
        sums=ask.beside_npz("sums"),
        records=ask.beside_npz("record"),
        checks=paths["checks"],
        verdict=paths["verdict"],
        verified=plan.verified(SOURCE),
    output:
        report(
            ensure(paths["provenance"], non_empty=True),
            caption="../report/provenance.rst",
            category="Datasets",
            subcategory="{dataset}",
            labels={"what": "provenance, as data"},
        ),
    log:
        paths.log("provenance"),
    benchmark:
        paths.benchmark("provenance")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(30),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("provenance"),
        config=ask.config_of_dataset,
        miniature="--miniature" if plan.is_miniature else "",
        default_seed=plan.settings.default_seed,
        variant=plan.settings.variant_name,
        rehearsal=plan.settings.rehearsal or 0,
        current=ask.current("provenance"),
    shell:
        "python -m preprocess provenance {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "{params.miniature} --rehearsal {params.rehearsal} --variant {params.variant:q} --default-seed {params.default_seed} --config {params.config:q} "
        "--samples {input.samples:q} --sums {input.sums:q} --records {input.records:q} "
        "--checks {input.checks:q} --verdict {input.verdict:q} --verified {input.verified:q} --current {params.current} "
        "--output {output:q} "
        "--log {log:q}"


rule audit:
    "Write the audit page of a dataset: decisions, findings, pictures; and the picture of samples of each class."
    input:
        samples=paths["samples"],
        excluded=paths["excluded"],
        provenance=paths["provenance"],
        index=paths["index"],
        npz=ask.audit_npz,
        packed=ask.beside_audit_npz,
    output:
        page=report(
            ensure(paths["page"], non_empty=True),
            caption="../report/page.rst",
            category="Datasets",
            subcategory="{dataset}",
            labels={"what": "audit page: counts, verdict, decisions, findings"},
        ),
        montage=report(
            ensure(paths["montage"], non_empty=True),
            caption="../report/montage.rst",
            category="Datasets",
            subcategory="{dataset}",
            labels={"what": "montage: samples of each class"},
        ),
        summary=paths["summary"],
    log:
        paths.log("audit"),
    benchmark:
        paths.benchmark("audit")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    threads: ask.audit_workers
    resources:
        mem_mb=ask.needed_for_audit,
        runtime=ask.doubling(60),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("audit"),
        raw=ask.raw_folder,
        cache=ask.cache_folder,
        size=ask.audit_size,
        sizes=ask.sizes,
        seed=plan.settings.seed,
        exceptions=ask.exceptions_file,
        current=ask.current("audit"),
    shell:
        "python -m preprocess audit {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "--raw {params.raw:q} --seek {params.cache:q} --exceptions {params.exceptions:q} --samples {input.samples:q} "
        "--excluded {input.excluded:q} --provenance {input.provenance:q} --size {params.size} --npz {input.npz:q} "
        "--packed {input.packed:q} --index {input.index:q} --sizes {params.sizes} --seed {params.seed} --workers {threads} "
        "--output {output.page:q} --summary {output.summary:q} --montage {output.montage:q} "
        "--log {log:q}"


rule gate:
    "Fail when the audit of a dataset holds an error that nobody signed off; the pages stay."
    input:
        summary=paths["summary"],
        # the pages first; what they say of other datasets is not this one's
        pages=ancient(paths["audit_index"]),
    output:
        paths["gate"],
    log:
        paths.log("gate"),
    benchmark:
        paths.benchmark("gate")
    localrule: True
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.doubling(500),
        runtime=ask.doubling(10),
    params:
        current=ask.current("gate"),
    shell:
        "python -m preprocess gate {input.summary:q} --output {output:q} "
        "--log {log:q}"


rule leak_free:
    "Write leak-free alternatives to the split, as tables for the decision split.file."
    input:
        samples=paths["samples"],
        duplicates=paths["duplicates"],
    output:
        directory(paths["splits"]),
    log:
        paths.log("leak_free"),
    benchmark:
        paths.benchmark("leak_free")
    group:
        "finish"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(10),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("leak_free"),
        seed=plan.settings.seed,
        current=ask.current("leak_free"),
    shell:
        "python -m preprocess leak-free {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "--samples {input.samples:q} --duplicates {input.duplicates:q} --seed {params.seed} --output {output:q} "
        "--log {log:q}"


rule export_npy:
    "Export an npz as one .npy an array, which can be mapped into memory."
    input:
        npz=paths["npz"],
        samples=paths["samples"],
    output:
        main=directory(paths["npy"]),
    log:
        paths.log("export_npy{tail}"),
    benchmark:
        paths.benchmark("export_npy{tail}")
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(120),
    params:
        format="npy",
        protocol=plan.settings.protocol,
        overrides=ask.overrides("export_npy"),
        miniature="--miniature" if plan.is_miniature else "",
        current=ask.current("export_npy"),
    shell:
        "python -m preprocess export {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "--format {params.format} {params.miniature} --npz {input.npz:q} --samples {input.samples:q} "
        "--output {output.main:q} "
        "--log {log:q}"


use rule export_npy as export_png with:
    "Export an npz as a folder of pictures and a CSV, as medmnist save does."
    output:
        main=directory(paths["png"]),
        table=paths["png_table"],
    log:
        paths.log("export_png{tail}"),
    benchmark:
        paths.benchmark("export_png{tail}")
    params:
        format="png",
        protocol=plan.settings.protocol,
        overrides=ask.overrides("export_png"),
        miniature="--miniature" if plan.is_miniature else "",
        current=ask.current("export_png"),


use rule export_npy as export_croissant with:
    "Describe an npz and its samples table in MLCommons Croissant metadata."
    output:
        main=paths["croissant"],
    log:
        paths.log("export_croissant{tail}"),
    benchmark:
        paths.benchmark("export_croissant{tail}")
    params:
        format="croissant",
        protocol=plan.settings.protocol,
        overrides=ask.overrides("export_croissant"),
        miniature="--miniature" if plan.is_miniature else "",
        current=ask.current("export_croissant"),


use rule export_npy as export_parquet with:
    "Export an npz and its samples table as Parquet, for Hugging Face datasets."
    output:
        main=directory(paths["parquet"]),
    log:
        paths.log("export_parquet{tail}"),
    benchmark:
        paths.benchmark("export_parquet{tail}")
    params:
        format="parquet",
        protocol=plan.settings.protocol,
        overrides=ask.overrides("export_parquet"),
        miniature="--miniature" if plan.is_miniature else "",
        current=ask.current("export_parquet"),


rule card:
    "Write the card of a dataset in Parquet: counts, decisions, findings, licence."
    input:
        npz=paths["npz"],
        samples=paths["samples"],
        data=paths["parquet"],
        summary=paths["summary"],
    output:
        paths["card"],
    log:
        paths.log("card{tail}"),
    benchmark:
        paths.benchmark("card{tail}")
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=ask.needed,
        runtime=ask.doubling(10),
    params:
        protocol=plan.settings.protocol,
        overrides=ask.overrides("card"),
        miniature="--miniature" if plan.is_miniature else "",
        current=ask.current("card"),
    shell:
        "python -m preprocess card {wildcards.dataset} --protocol {params.protocol} --overrides {params.overrides:q} "
        "{params.miniature} --npz {input.npz:q} --samples {input.samples:q} --data {input.data:q} "
        "--summary {input.summary:q} --output {output:q} "
        "--log {log:q}"


use rule export_npy as export_webdataset with:
    "Export an npz and its samples table as WebDataset, tar files that are read forwards."
    output:
        main=directory(paths["webdataset"]),
    log:
        paths.log("export_webdataset{tail}"),
    benchmark:
        paths.benchmark("export_webdataset{tail}")
    params:
        format="webdataset",
        protocol=plan.settings.protocol,
        overrides=ask.overrides("export_webdataset"),
        miniature="--miniature" if plan.is_miniature else "",
        current=ask.current("export_webdataset"),


use rule export_npy as export_zarr with:
    "Export an npz as Zarr, in chunks that are read alone."
    output:
        main=directory(paths["zarr"]),
    log:
        paths.log("export_zarr{tail}"),
    benchmark:
        paths.benchmark("export_zarr{tail}")
    params:
        format="zarr",
        protocol=plan.settings.protocol,
        overrides=ask.overrides("export_zarr"),
        miniature="--miniature" if plan.is_miniature else "",
        current=ask.current("export_zarr"),
