"""Rows of a finished build rendered again: to check them, to trace them, and to see what was not decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from preprocess.decisions import DECISIONS
from preprocess.recipe import Recipe
from preprocess.render import Rendered, Renderer, Watch
from preprocess.table import Sample

#: values to try of decisions that take any number (a window, a crop)
FURTHER = {"window": ("-1024,400", "-160,240", "-150,250"), "crop": ("centre-200",)}


def others(recipe: Recipe, key: str, size: int) -> list[str]:
    """The values that could stand in place of that of a pixel decision in force at a size; none of one not in force.

    They are those of the vocabulary, and some of decisions that take any number.
    """
    decision, value = DECISIONS[key], recipe.decisions[key].at(size)
    if decision.stage != "render" or not isinstance(value, str) or recipe.idle(key):
        return []
    known = dict.fromkeys([*decision.choices, *decision.further, *FURTHER.get(key, ())])
    return [one for one in known if one != value]


def drawn(files: Sequence[str], most: int, of_file: int, seed: int) -> list[int]:
    """The places of a seeded sample of rows, so drawn that few files have to be opened for it.

    Args:
        files: the file of each row.
        most: how many rows; all of fewer.
        of_file: how many of one file, and more only where there are not enough files.
        seed: of the draw.
    """
    order = np.random.RandomState(seed).permutation(len(files)).tolist()
    by_file: dict[str, list[int]] = {}
    for row in order:
        by_file.setdefault(files[row], []).append(row)
    found: list[int] = []
    while len(found) < most and by_file:
        for rows in by_file.values():
            found += rows[:of_file][: most - len(found)]
        by_file = {file: rows[of_file:] for file, rows in by_file.items() if len(rows) > of_file}
    return found


def as_stored(rows: Iterable[int], keys: Sequence[str], indexed: Mapping[str, int]) -> list[int]:
    """Rows in the order of the raw files: a tar.gz can only be read forwards."""
    return sorted(rows, key=lambda row: indexed[keys[row]])


def render(
    recipe: Recipe, folder: Path, sizes: list[int], samples: Iterable[Sample], watch: Watch | None = None
) -> Iterator[tuple[Sample, Rendered]]:
    """Render some samples from their raw files by all steps, with nothing that was prepared.

    Args:
        recipe: the decisions in force.
        folder: the source's raw folder.
        sizes: the sizes.
        samples: as the raw files store them: a tar.gz can only be read forwards.
        watch: is shown what was opened and what every step gave.
    """
    with Renderer(recipe, folder, sizes) as renderer:
        for sample in samples:
            yield sample, renderer.render(sample, watch)
