"""What another decision would have looked like: the same samples rendered with one decision changed at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from preprocess import notices
from preprocess.audit import again
from preprocess.audit.apart import Apart, Figures
from preprocess.audit.pictures import embed
from preprocess.decisions import DECISIONS
from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.processes import processes
from preprocess.recipe import Recipe
from preprocess.render import Renderer
from preprocess.shards import parts
from preprocess.table import Sample, read_rows, sample_of

#: samples the figures are of: one row in so many, no fewer than the second and no more than the third
SHARE, LEAST, MOST = 10, 8, 100
#: voxels that all the alternatives of all samples have at the most, as long as there are no fewer samples than that:
#: 100 pictures with every alternative at 28 to 224; of volumes 100 at 28, a few dozen at 64, and the least at 224
VOXELS = 2**28
#: samples of one file, such as a scan, at the most: a tenth of them, or two
OF_FILE = 2

#: the values of a decision by key: in words, with the sizes at which each is in force
Decided = dict[str, dict[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Value:
    """One value of a decision.

    Attributes:
        value: in words.
        in_force: the sizes at which it is in force.
        picture: a data URI of the sample that is shown; empty where it cannot be rendered so.
        figures: how far the samples are from those of the value in force, at each other size.
        failed: samples that cannot be rendered so.
        problem: why the first of them cannot.
    """

    value: str
    in_force: tuple[int, ...]
    picture: str
    figures: dict[int, Figures]
    failed: int
    problem: str


@dataclass(frozen=True)
class Alternative:
    """A decision with its other values.

    Attributes:
        key: the decision.
        meaning: what it decides.
        values: the values in force first.
        changes: whether any of them changes a pixel of any sample.
    """

    key: str
    meaning: str
    values: tuple[Value, ...]
    changes: bool


def decided(recipe: Recipe, sizes: Sequence[int]) -> Decided:
    """The pixel decisions that could be other ones at some sizes, each with its values in force before the others."""
    found: Decided = {}
    for key, choice in recipe.decisions.items():
        if other := [value for one in sizes for value in again.others(recipe, key, one)]:
            known = dict.fromkeys([*(choice.at(one) for one in sizes), *other])
            found[key] = {value: tuple(one for one in sizes if choice.at(one) == value) for value in known}
    return found


def how_many(recipe: Recipe, sizes: Sequence[int], rows: int) -> int:
    """How many of a dataset's rows the figures are of: it follows from what there is to render, not from a clock."""
    others = sum(
        len(in_force) < len(sizes) for values in decided(recipe, sizes).values() for in_force in values.values()
    )
    voxels = max(others, 1) * sum(math.prod(recipe.shape(size)) for size in sizes)
    return min(rows, max(LEAST, min(MOST, VOXELS // voxels, rows // SHARE)))


def choose(rows: Sequence[dict[str, str]], example: int, index: Path, seed: int, most: int) -> list[Sample]:
    """The samples to look at: the one that is shown and a seeded sample of the others, as the raw files store them.

    Args:
        rows: of the table of samples.
        example: which of them is shown.
        index: the table of every sample of the source.
        seed: of the draw.
        most: how many (:func:`how_many`).
    """
    keys = [row["key"] for row in rows]
    indexed: dict[str, int] = {}
    units: dict[str, str] = {}  # what is opened for several samples is said by the index alone
    for place, row in enumerate(read_rows(index)):
        indexed[row["key"]] = place
        units[row["key"]] = row["unit"]
    drawn = again.drawn([row["path"] for row in rows], most, max(most // 10, OF_FILE), seed)
    others = [row for row in drawn if row != example][: most - 1]
    chosen = again.as_stored([example, *others], keys, indexed)
    return [replace(sample_of(dict(rows[row])), unit=units[keys[row]]) for row in chosen]


@dataclass
class _Looked:
    """What samples gave: differences by decision, value and size; the example's pictures; why others failed."""

    apart: defaultdict[tuple[str, str, int], Apart] = field(default_factory=lambda: defaultdict(Apart))
    pictures: dict[tuple[str, str], str] = field(default_factory=dict)
    failed: defaultdict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def take(self, other: _Looked) -> None:
        """Take in what the samples after these gave."""
        for place, differences in other.apart.items():
            self.apart[place].take(differences)
        for key, problems in other.failed.items():
            self.failed[key] += problems
        self.pictures |= other.pictures


def alternatives(
    recipe: Recipe,
    folder: Path,
    samples: Sequence[Sample],
    example: Sample,
    size: int,
    sizes: Sequence[int],
    workers: int = 1,
) -> list[Alternative]:
    """Render some samples with every other value of each pixel decision that is in force, each raw file opened once.

    Args:
        recipe: the decisions in force.
        folder: the source's raw folder.
        samples: as the raw files store them; ``example`` is among them.
        example: the one whose pictures are shown.
        size: at which.
        sizes: at which the figures are taken.
        workers: processes that share the samples; what is found is the same for any number.
    """
    found = _Looked()
    with processes(workers) as pool:
        for job in [
            pool.submit(_look, recipe, folder, samples[first:end], example.key, size, tuple(sizes))
            for first, end in parts(samples, workers)
        ]:
            found.take(job.result())
    return _told(decided(recipe, sizes), found, sizes)


def _look(
    recipe: Recipe, folder: Path, samples: Sequence[Sample], example: str, size: int, sizes: Sequence[int]
) -> _Looked:
    every, found = decided(recipe, sizes), _Looked()
    with notices.repeated(), Renderer(recipe, folder, list(sizes)) as ours:
        tried = {
            (key, value): Renderer(recipe.changed({key: value}), folder, list(sizes), sharing=ours, forgets=True)
            for key, values in every.items()
            for value, in_force in values.items()
            if len(in_force) < len(sizes)
        }
        for sample in samples:
            arrays = ours.render(sample).arrays
            if sample.key == example:
                found.pictures |= {
                    (key, value): embed(arrays[size])
                    for key, values in every.items()
                    for value, in_force in values.items()
                    if size in in_force
                }
            for (key, value), renderer in tried.items():
                try:
                    others = renderer.render(sample).arrays
                except (PreprocessError, ExcludeSample, ValueError) as error:
                    found.failed[key, value].append(str(error).rpartition(f"{sample.path}: ")[2])
                    continue
                for one in sizes:
                    if one not in every[key][value]:
                        found.apart[key, value, one].compare(arrays[one], others[one])
                if sample.key == example:
                    found.pictures.setdefault((key, value), embed(others[size]))
    return found


def _told(every: Decided, looked: _Looked, sizes: Sequence[int]) -> list[Alternative]:
    """What was seen, decision by decision."""
    apart, failed, found = looked.apart, looked.failed, []
    for key, values in every.items():
        told = tuple(
            Value(
                value,
                in_force,
                looked.pictures.get((key, value), ""),
                {one: apart[key, value, one].figures() for one in sizes if (key, value, one) in apart},
                len(failed[key, value]),
                next(iter(failed[key, value]), ""),
            )
            for value, in_force in values.items()
        )
        changes = any(figures.equal < figures.rows for one in told for figures in one.figures.values())
        found.append(Alternative(key, DECISIONS[key].meaning, told, changes or any(one.failed for one in told)))
    return found
