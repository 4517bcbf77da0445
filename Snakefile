# Raw medical images -> MedMNIST files. `snakemake --list` names every step.
import sys
from functools import partial
from operator import attrgetter
from pathlib import Path

from snakemake.utils import min_version

min_version("9.13")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


sys.path.insert(0, workflow.basedir)

from preprocess import environment
from preprocess.errors import PreprocessError
from preprocess.plan import targets
from preprocess.plan.plan import Plan
from workflow import ask
from workflow.rounds import calm
from workflow.terminal import Terminal, is_wanted

terminal = Terminal()
if workflow.is_main_process and is_wanted(workflow.output_settings):
    terminal.take()
elif workflow.output_settings.dryrun:
    terminal.announce()
try:
    environment.prepare()
    plan = Plan(
        config,
        Path(workflow.basedir, "workflow/schemas/config.schema.json"),
        # what the run is asked for is known once this file has been read
        partial(attrgetter("dag_settings.targets"), workflow),
    )
except PreprocessError as error:
    raise terminal.refuse(error) from None
ask.of(plan)
if plan.missing:
    print(
        f"missing under {plan.raw}, left out: {', '.join(plan.missing)}",
        file=sys.stderr,
    )


# jobs on other machines belong to this run too
envvars:
    environment.RUN,


if workflow.output_settings.dryrun:
    terminal.forecast = partial(plan.beforehand, workflow.cores or 1)


onstart:
    for line in plan.begin(workflow.cores, workflow.local_exec):
        print(line, file=sys.stderr)
    terminal.begin(plan.progress(workflow.cores))
    if workflow.local_exec:
        calm(workflow.scheduler)


onsuccess:
    terminal.progress.end()
    for line in plan.closing():
        print(line, flush=True)


onerror:
    for line in terminal.progress.stopped():
        print(line, file=sys.stderr)


include: "workflow/rules/targets.smk"
include: "workflow/rules/raw.smk"


for source in plan.project_sources:

    include: f"workflow/rules/{source}.smk"

    rule:
        "Every dataset of the source of this name."
        name:
            source
        input:
            of_source(source),


for source in plan.own_sources:
    prefix = f"{source}_"

    module:
        name: source
        snakefile:
            "workflow/rules/dataset.smk"
        config:
            {"plan": plan, "source": source}

    use rule * from source as prefix*


for own in plan.own:

    rule:
        "A dataset of a user's own recipe."
        name:
            own
        input:
            dataset(own),


module published:
    snakefile:
        "workflow/rules/match.smk"
    config:
        {"plan": plan}


use rule * from published


module together:
    snakefile:
        "workflow/rules/collection.smk"
    config:
        {"plan": plan}


use rule * from together


module inquiry:
    snakefile:
        "workflow/rules/inquiry.smk"
    config:
        {"plan": plan}


use rule * from inquiry


rule all:
    "Everything configured, the default: npz, tables, provenance, audit, checksums and exports."
    default_target: True
    input:
        everything,


rule audit:
    "The audit pages of everything configured; fails on an error that nobody signed off."
    input:
        all_audits,


rule rehearse:
    "A rehearsal on some samples of each dataset, through every step and in a folder of its own: --config rehearsal=200."
    input:
        rehearsal,
        summaries=rehearsed_summaries,
        matches=rehearsed_matches,
    log:
        plan.paths.log("rehearse", ""),
    localrule: True
    conda:
        "envs/preprocess.yaml"
    params:
        datasets=rehearsed_datasets,
    shell:
        "python -m preprocess rehearsed {params.datasets} --summaries {input.summaries:q} --matches {input.matches:q} "
        "--log {log:q}"


rule inspect:
    "What the raw files are, before hours are spent on them: --config sources=[...]; one screen a source, and a report to share."
    input:
        reports,
    log:
        plan.paths.log("inspect", ""),
    localrule: True
    conda:
        "envs/preprocess.yaml"
    params:
        results=plan.settings.results,
    shell:
        "python -m preprocess inspected {input:q} --results {params.results:q} --log {log:q}"


rule match:
    "Everything that can be matched with a published file in <raw>/released."
    input:
        matches,


rule no_such_target:
    "Stands for every name that is no target, and says which was meant."
    input:
        what_was_meant,
    output:
        "{target}",
    wildcard_constraints:
        target="[A-Za-z0-9_-]+",
