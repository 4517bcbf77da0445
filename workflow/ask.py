# ruff: noqa: D103  most are a line that says itself
"""Input and params functions of the base rules. All they say they ask the plan.

They are Python's, not a file of rules: Snakemake reads such a file anew for each module that includes it, one a source.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from preprocess import environment
from preprocess.plan.plan import Plan

#: Snakemake's own, a text for each name
Wildcards = Any
#: what Snakemake calls with those of a job
Function = Callable[[Wildcards], object]

_known: list[Plan] = []


def of(plan: Plan) -> None:
    """Ask this plan from now on: there is one in a process."""
    _known[:] = [plan]


def _plan() -> Plan:
    return _known[0]


def dataset_of(wildcards: Wildcards) -> str:
    """The dataset of a job; of a prepare job the first of those it serves, which decide alike."""
    return str(wildcards.get("dataset") or wildcards.sharing.partition("+")[0])


def current(stage: str) -> Function:
    """Digest of all that a stage's result depends on: Snakemake runs a job again when it is another."""

    def of_dataset(wildcards: Wildcards) -> object:
        return _plan().current(stage, dataset_of(wildcards))

    return of_dataset


def current_of_source(source: str) -> Function:
    """The same of what is made of all files of a source."""

    def of_all(wildcards: Wildcards) -> object:
        return _plan().current_of_source(source)

    return of_all


def current_of_look(source: str) -> Function:
    """The same of a look at a source."""

    def of_all(wildcards: Wildcards) -> object:
        return _plan().current_of_look(source)

    return of_all


def all_overrides(wildcards: Wildcards) -> object:
    return json.dumps(_plan().settings.overrides, sort_keys=True)


def overrides(stage: str) -> Function:
    """What the user decided otherwise, as far as it is a stage's, as JSON."""

    def of_dataset(wildcards: Wildcards) -> object:
        return _plan().overrides(stage, dataset_of(wildcards))

    return of_dataset


def doubling(first: int) -> Callable[[Wildcards, int], int]:
    """Amount of a resource: a job that a cluster stopped for using more gets twice as much when it is tried again."""

    def of_attempt(wildcards: Wildcards, attempt: int) -> int:
        return first * 2 ** (attempt - 1)

    return of_attempt


def needed(wildcards: Wildcards, attempt: int) -> int:
    """Memory of a job that reads tables and arrays of a dataset."""
    return _plan().memory(wildcards.dataset) * 2 ** (attempt - 1)


def needed_for_scans(wildcards: Wildcards, attempt: int) -> int:
    """Memory of a job that reads raw files of a dataset."""
    return _plan().memory(dataset_of(wildcards), of_scans=True) * 2 ** (attempt - 1)


def needed_for_pack(wildcards: Wildcards, attempt: int, threads: int) -> int:
    """Memory of the processes that pack an npz."""
    return _plan().pack_memory(wildcards.dataset, threads) * 2 ** (attempt - 1)


def needed_for_audit(wildcards: Wildcards, attempt: int, threads: int) -> int:
    """Memory of the processes of an audit."""
    return needed_for_scans(wildcards, attempt) * threads


# a user's own paths are given by functions: Snakemake looks for wildcards in plain texts, and paths may hold braces


def raw_folder(wildcards: Wildcards) -> object:
    return str(_plan().folder(dataset_of(wildcards)))


def raw_root(wildcards: Wildcards) -> object:
    return str(_plan().raw)


def base_folder(wildcards: Wildcards) -> object:
    return str(_plan().base)


def raw_option(wildcards: Wildcards) -> object:
    return _plan().raw_option


def scope(wildcards: Wildcards) -> object:
    return _plan().scope


def asked(wildcards: Wildcards) -> object:
    """Another value in every run: what is asked is answered anew."""
    return environment.run()


def cache_folder(wildcards: Wildcards) -> object:
    return str(_plan().cache)


def released_folder(wildcards: Wildcards) -> object:
    return str(_plan().released)


def exceptions_file(wildcards: Wildcards) -> object:
    return _plan().settings.exceptions or ""


def order_table(wildcards: Wildcards) -> object:
    return str(_plan().order_table(wildcards.dataset) or "")


def alike_table(wildcards: Wildcards) -> object:
    return _plan().alike(wildcards.dataset) or []


def rendered_from(wildcards: Wildcards) -> object:
    return _plan().rendered_from(wildcards.dataset)


def with_looks(wildcards: Wildcards) -> object:
    return "--with-looks" if _plan().looks(wildcards.dataset, int(wildcards.batch)) else ""


def split_group(wildcards: Wildcards) -> object:
    """The group of the split job: with what it reads last."""
    return "finish" if _plan().alike(wildcards.dataset) else "list"


def prepared_folder(wildcards: Wildcards) -> object:
    return _plan().prepared(wildcards.dataset, wildcards.batch, wildcards.shard) or []


def index_of_first(wildcards: Wildcards) -> object:
    return _plan().paths.of("index", dataset=dataset_of(wildcards))


def candidates(wildcards: Wildcards) -> object:
    return _plan().candidates(wildcards.dataset)


def shards(wildcards: Wildcards) -> object:
    return _plan().shards(dataset_of(wildcards))


def table_shards(wildcards: Wildcards) -> object:
    """The shards whose tables say which samples were kept."""
    batch = _plan().batches(wildcards.dataset).tables
    return _plan().shard_folders(wildcards.dataset, batch)


def shards_of_size(wildcards: Wildcards) -> object:
    batch = batch_of_size(wildcards)
    return _plan().shard_folders(wildcards.dataset, batch)


def batch_of_size(wildcards: Wildcards) -> int:
    return _plan().batches(wildcards.dataset).of_size[int(size_of_file(wildcards))]


def rendered_together(wildcards: Wildcards) -> object:
    """The sizes of the batch that an npz is packed from."""
    return _plan().batches(wildcards.dataset).together[batch_of_size(wildcards)]


def table_batch(wildcards: Wildcards) -> object:
    return _plan().batches(wildcards.dataset).tables


def sizes_of_tables(wildcards: Wildcards) -> object:
    batches = _plan().batches(wildcards.dataset)
    return batches.together[batches.tables]


def sizes_of_batch(wildcards: Wildcards) -> object:
    return _plan().batches(wildcards.dataset).together[int(wildcards.batch)]


def sizes(wildcards: Wildcards) -> object:
    return _plan().sizes(wildcards.dataset)


def container(wildcards: Wildcards) -> object:
    return _plan().container(wildcards.dataset)


def audit_workers(wildcards: Wildcards) -> object:
    return _plan().audit_workers(wildcards.dataset)


def pack_workers(wildcards: Wildcards) -> object:
    return _plan().pack_workers(wildcards.dataset, int(size_of_file(wildcards)))


def beside_npz(place: str) -> Function:
    """A file that goes with every npz of a dataset, in the order of its sizes."""

    def of_dataset(wildcards: Wildcards) -> object:
        return _plan().beside_npz(place, wildcards.dataset)

    return of_dataset


def beside_audit_npz(wildcards: Wildcards) -> object:
    size = _plan().audit_size(wildcards.dataset)
    return _plan().beside("seen", wildcards.dataset, size)


def size_of_file(wildcards: Wildcards) -> str:
    return str(wildcards.tail.removeprefix("_") or "28")


def all_npz(wildcards: Wildcards) -> object:
    return _plan().npz(wildcards.dataset)


def audit_npz(wildcards: Wildcards) -> object:
    return _plan().audit_npz(wildcards.dataset)


def audit_size(wildcards: Wildcards) -> object:
    return _plan().audit_size(wildcards.dataset)


def config_of_dataset(wildcards: Wildcards) -> object:
    return json.dumps(_plan().config_of(wildcards.dataset), sort_keys=True)


def published_files(wildcards: Wildcards) -> object:
    return _plan().published_files(wildcards.dataset)


def of_attested(place: str) -> Function:
    """A file of every dataset that the lists of the folder speak of."""

    def of_all(wildcards: Wildcards) -> object:
        return [_plan().paths.of(place, dataset=name) for name in _plan().attested]

    return of_all


def sums_of_attested(wildcards: Wildcards) -> object:
    return [path for name in _plan().attested for path in _plan().beside_npz("sums", name)]


def attested_npz(wildcards: Wildcards) -> object:
    return [_plan().audit_npz(name) for name in _plan().attested]


def attested(wildcards: Wildcards) -> object:
    return _plan().attested


def current_of_all(stage: str) -> Function:
    def of_all(wildcards: Wildcards) -> object:
        return _plan().current_of_all(stage)

    return of_all


def leftovers(wildcards: Wildcards) -> object:
    return _plan().leftovers
