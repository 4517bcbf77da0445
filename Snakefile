# Raw medical images -> MedMNIST files. `snakemake --list` names every step.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


sys.path.insert(0, workflow.basedir)

from preprocess import environment
from preprocess.errors import PreprocessError
from preprocess.plan.plan import Plan

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
    todo = list(workflow.persistence.dag.needrun_jobs())
    if any(job.output for job in todo):  # a download may go on beside a build
        environment.hold(plan.base)
    rendered = {
        job.wildcards.dataset for job in todo if "shard" in job.wildcards.keys()
    }
    for line in plan.forecast(rendered, workflow.cores):
        print(line, file=sys.stderr)


include: "workflow/rules/targets.smk"
include: "workflow/rules/raw.smk"


for source in plan.sources:

    include: f"workflow/rules/{source}.smk"


module published:
    snakefile:
        "workflow/rules/match.smk"
    config:
        {"plan": plan}


use rule * from published


include: "workflow/rules/collection.smk"


rule all:
    "Everything configured, the default: npz, tables, provenance, audit, checksums and exports."
    default_target: True
    input:
        everything,


rule audit:
    "The audit pages of everything configured; fails on an error that nobody signed off."
    input:
        all_audits,
