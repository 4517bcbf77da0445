# What is made of all datasets together.

OUT = str(plan.out)


# they join small tables: not worth a place in a queue
localrules:
    checksums,
    audit_index,
    gate,


rule checksums:
    "MD5SUMS, SHA256SUMS and ARRAYS.sha256 over every npz of the results folder."
    input:
        [plan.work(name, "sums.tsv") for name in plan.selected],
    output:
        plan.sum_lists,
    log:
        f"{OUT}/logs/checksums.log",
    benchmark:
        f"{OUT}/benchmarks/checksums.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "python -m preprocess checksums {input:q} --folder {params.folder:q} --log {log:q}"


rule audit_index:
    "The audit of all datasets at a glance, and the same findings as data."
    input:
        summaries=[plan.work(name, "audit.json") for name in plan.selected],
        picture=f"{OUT}/audit/collection.png",
    output:
        page=report(
            f"{OUT}/audit/index.html",
            caption="../report/index.rst",
            category="Collection",
            labels={"what": "audit: counts, verdicts and findings at a glance"},
        ),
        data=report(
            f"{OUT}/audit/audit.json",
            caption="../report/data.rst",
            category="Collection",
            labels={"what": "findings, as data"},
        ),
    log:
        f"{OUT}/logs/audit_index.log",
    benchmark:
        f"{OUT}/benchmarks/audit_index.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=plan.code_of("preprocess.audit.pages"),
    shell:
        "python -m preprocess audit-index {input.summaries:q} --picture {input.picture:q} "
        "--output {output.page:q} --json {output.data:q} --log {log:q}"


rule collection:
    "Samples of every dataset in one picture."
    input:
        [plan.audit_npz(name) for name in plan.selected],
    output:
        report(
            ensure(f"{OUT}/audit/collection.png", non_empty=True),
            caption="../report/collection.rst",
            category="Collection",
            labels={"what": "montage: samples of every dataset"},
        ),
    log:
        f"{OUT}/logs/collection.log",
    benchmark:
        f"{OUT}/benchmarks/collection.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        names=plan.selected,
        miniature="--miniature" if plan.is_miniature else "",
        code=plan.code_of("preprocess.audit.montage"),
    shell:
        "python -m preprocess collection {params.names} {params.miniature} --npz {input:q} --output {output:q} --log {log:q}"


rule gate:
    "Fail when the audit holds an error that nobody signed off; the pages stay."
    input:
        f"{OUT}/audit/audit.json",
    output:
        f"{OUT}/work/gate.txt",
    log:
        f"{OUT}/logs/gate.log",
    benchmark:
        f"{OUT}/benchmarks/gate.tsv"
    conda:
        "../../envs/preprocess.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=plan.code_of("preprocess.audit.exceptions"),
    shell:
        "python -m preprocess gate {input:q} --output {output:q} --log {log:q}"
