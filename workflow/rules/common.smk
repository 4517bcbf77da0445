# Input and params functions of the base rules. All they say they ask the plan.

import json

from preprocess import environment

plan = config["plan"]
paths = plan.paths


def dataset_of(wildcards):
    """The dataset of a job; of a prepare job the first of those it serves, which decide alike."""
    return wildcards.get("dataset") or wildcards.sharing.partition("+")[0]


def current(stage):
    """Digest of all that a stage's result depends on: Snakemake runs a job again when it is another."""

    def of_dataset(wildcards):
        return plan.current(stage, dataset_of(wildcards))

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
        return plan.overrides(stage, dataset_of(wildcards))

    return of_dataset


def doubling(first):
    """Amount of a resource: a job that a cluster stopped for using more gets twice as much when it is tried again."""

    def of_attempt(wildcards, attempt):
        return first * 2 ** (attempt - 1)

    return of_attempt


def needed(wildcards, attempt):
    """Memory of a job that reads tables and arrays of a dataset."""
    return plan.memory(wildcards.dataset) * 2 ** (attempt - 1)


def needed_for_scans(wildcards, attempt):
    """Memory of a job that reads raw files of a dataset."""
    return plan.memory(dataset_of(wildcards), of_scans=True) * 2 ** (attempt - 1)


def needed_for_audit(wildcards, attempt, threads):
    """Memory of the processes of an audit."""
    return needed_for_scans(wildcards, attempt) * threads


# a user's own paths are given by functions: Snakemake looks for wildcards in plain texts, and paths may hold braces


def raw_folder(wildcards):
    return str(plan.folder(dataset_of(wildcards)))


def raw_root(wildcards):
    return str(plan.raw)


def base_folder(wildcards):
    return str(plan.base)


def raw_option(wildcards):
    return plan.raw_option


def scope(wildcards):
    return plan.scope


def asked(wildcards):
    """Another value in every run: what is asked is answered anew."""
    return environment.run()


def cache_folder(wildcards):
    return str(plan.cache)


def released_folder(wildcards):
    return str(plan.released)


def exceptions_file(wildcards):
    return plan.settings.exceptions or ""


def order_table(wildcards):
    return str(plan.order_table(wildcards.dataset) or "")


def alike_table(wildcards):
    return plan.alike(wildcards.dataset) or []


def rendered_from(wildcards):
    return plan.rendered_from(wildcards.dataset)


def with_looks(wildcards):
    return "--with-looks" if plan.looks(wildcards.dataset, int(wildcards.batch)) else ""


def split_group(wildcards):
    """The group of the split job: with what it reads last."""
    return "finish" if plan.alike(wildcards.dataset) else "list"


def prepared_folder(wildcards):
    return plan.prepared(wildcards.dataset, wildcards.batch, wildcards.shard) or []


def index_of_first(wildcards):
    return paths.of("index", dataset=dataset_of(wildcards))


def candidates(wildcards):
    return plan.candidates(wildcards.dataset)


def shards(wildcards):
    return plan.shards(dataset_of(wildcards))


def table_shards(wildcards):
    """The shards whose tables say which samples were kept."""
    batch = plan.batches(wildcards.dataset).tables
    return plan.shard_folders(wildcards.dataset, batch)


def shards_of_size(wildcards):
    batch = batch_of_size(wildcards)
    return plan.shard_folders(wildcards.dataset, batch)


def batch_of_size(wildcards):
    return plan.batches(wildcards.dataset).of_size[int(size_of_file(wildcards))]


def rendered_together(wildcards):
    """The sizes of the batch that an npz is packed from."""
    return plan.batches(wildcards.dataset).together[batch_of_size(wildcards)]


def table_batch(wildcards):
    return plan.batches(wildcards.dataset).tables


def sizes_of_tables(wildcards):
    batches = plan.batches(wildcards.dataset)
    return batches.together[batches.tables]


def sizes_of_batch(wildcards):
    return plan.batches(wildcards.dataset).together[int(wildcards.batch)]


def sizes(wildcards):
    return plan.sizes(wildcards.dataset)


def container(wildcards):
    return plan.container(wildcards.dataset)


def audit_workers(wildcards):
    return plan.audit_workers(wildcards.dataset)


def pack_threads(wildcards):
    return plan.pack_threads(wildcards.dataset, int(size_of_file(wildcards)))


def beside_npz(place):
    """A file that goes with every npz of a dataset, in the order of its sizes."""

    def of_dataset(wildcards):
        return plan.beside_npz(place, wildcards.dataset)

    return of_dataset


def beside_audit_npz(wildcards):
    size = plan.audit_size(wildcards.dataset)
    return plan.beside("seen", wildcards.dataset, size)


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


def sums_of_attested(wildcards):
    return [path for name in plan.attested for path in plan.beside_npz("sums", name)]


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
