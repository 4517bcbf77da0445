"""The prepare stage: the first steps of datasets that share a source and these decisions, done once.

A scan that serves several datasets is read by one job; what it writes is small and temporary.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from preprocess import sources
from preprocess.errors import ExcludeSample, UnreadableError
from preprocess.files import atomic_folder
from preprocess.prepared import COLUMNS, TABLE
from preprocess.reading.archives import Raw
from preprocess.recipe import Recipe
from preprocess.render import Call, bind, column, digest, form
from preprocess.shards import block, boundaries_of
from preprocess.table import Sample, read_samples, write_rows


def units(index_table: Path) -> list[Sample]:
    """The first sample of every unit of an index, in its order."""
    found: dict[str, Sample] = {}
    for sample in read_samples(index_table):
        found.setdefault(sample.unit_key, sample)
    return list(found.values())


def prepare_shard(recipe: Recipe, folder: Path, index_table: Path, shard: int, shards: int, out: Path) -> None:
    """Run the prepared steps on one block of units and write an array a unit, and a table.

    A unit that cannot be read is noted, not fatal: whether it matters is for the datasets to say.
    """
    chosen = units(index_table)
    first, end = block(boundaries_of(chosen), shard, shards)
    program = [bind(recipe, name) for name in recipe.prepare]
    open_unit = sources.get(recipe.dataset.reader).open
    rows: list[tuple[str, ...]] = []
    with Raw(folder) as raw, atomic_folder(out) as part:
        for number, sample in enumerate(chosen[first:end]):
            row = (sample.reason, sample.detail, "", "")
            if not sample.reason:
                try:
                    opened = open_unit(raw, sample)
                    np.save(part / f"{number}.npy", _run(recipe, program, opened, sample))
                    row = ("", "", form(opened, sample), digest(opened))
                except UnreadableError as error:
                    row = ("unreadable", error.cause if error.path == sample.path else error.detail, "", "")
                except ExcludeSample as exclusion:
                    row = (exclusion.reason, exclusion.detail, "", "")
            rows.append((sample.unit_key, *row))
        write_rows(part / TABLE, COLUMNS, rows)


def _run(recipe: Recipe, program: list[Call], value: object, sample: Sample) -> np.ndarray:
    for step in program:
        asked = {name: column(recipe, sample, name) for name in step.columns}
        value = step.function(value, **asked)
    assert isinstance(value, np.ndarray)
    return value
