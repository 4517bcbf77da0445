# What is made of all datasets of the folder together: those of the run, and others there that are current.
# These rules are local: only the run itself knows what it is about, a job on another machine does not.


from workflow import ask

plan = config["plan"]
paths = plan.paths


rule checksums:
    "MD5SUMS, SHA256SUMS and ARRAYS.sha256 over every npz that the folder's datasets account for."
    input:
        ask.sums_of_attested,
    output:
        paths["md5"],
        paths["sha256"],
        paths["arrays"],
    log:
        paths.log("checksums", ""),
    benchmark:
        paths.benchmark("checksums", "")
    localrule: True
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        current=ask.current_of_all("checksums"),
    shell:
        "python -m preprocess checksums {input:q} --output {output:q} --log {log:q}"


rule collection:
    "Samples of every dataset in one picture."
    input:
        ask.attested_npz,
    output:
        report(
            ensure(paths["collection"], non_empty=True),
            caption="../report/collection.rst",
            category="Collection",
            labels={"what": "montage: samples of every dataset"},
        ),
    log:
        paths.log("collection", ""),
    benchmark:
        paths.benchmark("collection", "")
    localrule: True
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        names=ask.attested,
        miniature="--miniature" if plan.is_miniature else "",
        rehearsal=plan.settings.rehearsal or 0,
        current=ask.current_of_all("collection"),
    shell:
        "python -m preprocess collection {params.names} {params.miniature} --rehearsal {params.rehearsal} --npz {input:q} --output {output:q} --log {log:q}"


rule audit_index:
    "The audit of all datasets at a glance, and the same findings as data."
    input:
        summaries=ask.of_attested("summary"),
        picture=paths["collection"],
    output:
        page=report(
            paths["audit_index"],
            caption="../report/index.rst",
            category="Collection",
            labels={"what": "audit: counts, verdicts and findings at a glance"},
        ),
        data=report(
            paths["audit_data"],
            caption="../report/data.rst",
            category="Collection",
            labels={"what": "findings, as data"},
        ),
    log:
        paths.log("audit_index", ""),
    benchmark:
        paths.benchmark("audit_index", "")
    localrule: True
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        leftovers=ask.leftovers,
        current=ask.current_of_all("audit_index"),
    shell:
        "python -m preprocess audit-index {input.summaries:q} --picture {input.picture:q} "
        "--leftovers {params.leftovers:q} --output {output.page:q} --json {output.data:q} --log {log:q}"
