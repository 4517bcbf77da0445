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


def drawn(units: Sequence[str], most: int, of_unit: int, seed: int) -> list[int]:
    """The places of a seeded sample of rows, so drawn that few units have to be opened for it.

    Args:
        units: of each row what is opened for it.
        most: how many rows; all of fewer.
        of_unit: how many of one unit, and more only where there are not enough units.
        seed: of the draw.
    """
    order = np.random.RandomState(seed).permutation(len(units)).tolist()
    by_unit: dict[str, list[int]] = {}
    for row in order:
        by_unit.setdefault(units[row], []).append(row)
    found: list[int] = []
    while len(found) < most and by_unit:
        for rows in by_unit.values():
            found += rows[:of_unit][: most - len(found)]
        by_unit = {unit: rows[of_unit:] for unit, rows in by_unit.items() if len(rows) > of_unit}
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
