# Input functions of the targets. What the plan refuses is told in one line, before any job.

from functools import wraps


def refusing(function):
    """An input function whose refusal is shown as it is, without where in the code it came from."""

    @wraps(function)
    def of_target(wildcards):
        try:
            return function(wildcards)
        except PreprocessError as error:
            raise terminal.refuse(error) from None

    return of_target


def dataset(name):
    """All that is made when a dataset is asked for by its name."""

    @refusing
    def of_dataset(wildcards):
        return plan.asked_for(name)

    return of_dataset


def of_source(name):
    """All that is made of a source."""

    @refusing
    def all_of_source(wildcards):
        return plan.all_of_source(name)

    return all_of_source


def what_was_meant(wildcards):
    raise terminal.refuse(targets.meant(wildcards.target))


@refusing
def everything(wildcards):
    return plan.everything()


@refusing
def all_audits(wildcards):
    return plan.all_audits()


@refusing
def matches(wildcards):
    return plan.matches()


@refusing
def reports(wildcards):
    return plan.reports()


@refusing
def rehearsal(wildcards):
    return plan.rehearsal()


def rehearsed_datasets(wildcards):
    return plan.selected


def rehearsed_summaries(wildcards):
    return [plan.paths.of("summary", dataset=name) for name in plan.selected]


def rehearsed_matches(wildcards):
    return [
        plan.paths.of("decisions", dataset=name) for name in plan.rehearsed_matches()
    ]


@refusing
def new_name(wildcards):
    return plan.new_name


def new_recipes(wildcards):
    return plan.new_recipes


def raw_option(wildcards):
    """By a function: Snakemake looks for wildcards in plain texts, and a path may hold braces."""
    return plan.raw_option
