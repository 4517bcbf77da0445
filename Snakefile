# Raw medical images -> MedMNIST files. `snakemake --list` names every step.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


sys.path.insert(0, workflow.basedir)

from preprocess import environment
from preprocess.errors import PreprocessError
from preprocess.plan import Plan

try:
    environment.prepare()
    plan = Plan(config, Path(workflow.basedir, "workflow/schemas/config.schema.json"))
except PreprocessError as error:
    raise WorkflowError(str(error)) from None
if plan.missing:
    print(
        f"missing under {plan.raw}, left out: {', '.join(plan.missing)}",
        file=sys.stderr,
    )


onstart:
    environment.hold(plan.base)


for source in plan.sources:

    include: f"workflow/rules/{source}.smk"


rule all:
    "Everything configured: npz, tables, provenance, pictures and checksums."
    default_target: True
    input:
        [plan.outputs(name) for name in plan.selected],
        plan.sum_lists,


rule checksums:
    "MD5SUMS, SHA256SUMS and ARRAYS.sha256 over every npz of the results folder."
    input:
        [plan.work(name, "sums.tsv") for name in plan.selected],
    output:
        plan.sum_lists,
    log:
        str(plan.out / "logs/checksums.log"),
    benchmark:
        str(plan.out / "benchmarks/checksums.tsv")
    conda:
        "envs/preprocess.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        folder=plan.out,
    shell:
        "python -m preprocess checksums {input:q} --folder {params.folder:q} --log {log:q}"
