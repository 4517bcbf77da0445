# Input and params functions of the base rules. All they say they ask the plan.

import json

plan = config["plan"]
paths = plan.paths


def current(stage):
    """Digest of all that a stage's result depends on: Snakemake runs a job again when it is another."""

    def of_dataset(wildcards):
        return plan.current(stage, wildcards.dataset)

    return of_dataset


def current_of_source(wildcards):
    return plan.current_of_source(config["source"])


def current_of_look(wildcards):
    return plan.current_of_look(config["source"])


def all_overrides(wildcards):
    return json.dumps(plan.settings.overrides, sort_keys=True)


def overrides(stage):
    """What the user decided otherwise, as far as it is a stage's, as JSON."""

    def of_dataset(wildcards):
        return plan.overrides(stage, wildcards.dataset)

    return of_dataset


def doubling(first):
    """Amount of a resource: a job that a cluster stopped for using more gets twice as much when it is tried again."""

    def of_attempt(wildcards, attempt):
        return first * 2 ** (attempt - 1)

    return of_attempt


# a user's own paths are given by functions: Snakemake looks for wildcards in plain texts, and paths may hold braces


def raw_folder(wildcards):
    return str(plan.folder(wildcards.dataset))


def raw_root(wildcards):
    return str(plan.raw)


def cache_folder(wildcards):
    return str(plan.cache)


def released_folder(wildcards):
    return str(plan.released)


def exceptions_file(wildcards):
    return plan.settings.exceptions or ""


def order_table(wildcards):
    return str(plan.order_table(wildcards.dataset) or "")


def prepared_folder(wildcards):
    maker = plan.prepared_by(wildcards.dataset)
    return paths.of("prepared", dataset=maker, shard=wildcards.shard) if maker else []


def candidates(wildcards):
    return plan.candidates(wildcards.dataset)


def shards(wildcards):
    return plan.shards(wildcards.dataset)


def shard_folders(wildcards):
    return plan.shard_folders(wildcards.dataset)


def sizes(wildcards):
    return plan.sizes(wildcards.dataset)


def size_of_file(wildcards):
    return wildcards.tail.removeprefix("_") or "28"


def all_npz(wildcards):
    return plan.npz(wildcards.dataset)


def audit_npz(wildcards):
    return plan.audit_npz(wildcards.dataset)


def audit_size(wildcards):
    return plan.audit_size(wildcards.dataset)


def config_of_dataset(wildcards):
    return json.dumps(plan.config_of(wildcards.dataset), sort_keys=True)


def published_files(wildcards):
    return plan.published_files(wildcards.dataset)


def of_attested(place):
    """A file of every dataset that the lists of the folder speak of."""

    def of_all(wildcards):
        return [paths.of(place, dataset=name) for name in plan.attested]

    return of_all


def attested_npz(wildcards):
    return [plan.audit_npz(name) for name in plan.attested]


def attested(wildcards):
    return plan.attested


def current_of_all(stage):
    def of_all(wildcards):
        return plan.current_of_all(stage)

    return of_all


def leftovers(wildcards):
    return plan.leftovers
