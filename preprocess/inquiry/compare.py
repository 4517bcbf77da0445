"""Finished builds held against each other: rows, splits, labels, pixels and decisions."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess import __version__, npz, packed, web
from preprocess.audit.apart import Apart, Figures
from preprocess.audit.pictures import embed
from preprocess.checksums import image_digest
from preprocess.container import Written
from preprocess.decisions import shown
from preprocess.files import write_text
from preprocess.inquiry import builds
from preprocess.inquiry.builds import Finished
from preprocess.packed import Packed
from preprocess.published import SPLITS
from preprocess.table import Sample

Pixels = NDArray[np.uint8]
#: where a row is that only the other build has
NOWHERE = "not there"
#: rows shown side by side, and rows with another label that are named
SHOWN, NAMED = 12, 20
#: bytes of differing rows of one build that are read at the most; of more a seeded sample is
HELD = 256 * 2**20


@dataclass(frozen=True)
class ClassDifference:
    """The pixels of the rows of one class."""

    name: str
    pixels: Figures


@dataclass(frozen=True)
class Worst:
    """One of the most different rows.

    Attributes:
        key: its sample.
        places: split and index in the first build, then in the second.
        mean: mean absolute difference.
        greatest: greatest one.
        pictures: data URIs of the first, the second, and their difference with its greatest value white.
    """

    key: str
    places: str
    mean: float
    greatest: int
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class SizeDifference:
    """The pixels at one size.

    Attributes:
        size: the size.
        pixels: over all rows in common.
        compared: of those that differ, the rows that were read: all, or a seeded sample.
        classes: the same by class of the first build.
        worst: the most different rows.
    """

    size: int
    pixels: Figures
    compared: int
    classes: tuple[ClassDifference, ...]
    worst: tuple[Worst, ...]


@dataclass(frozen=True)
class DecisionDifference:
    """A decision that two builds decide otherwise, and why one of them is not in force."""

    key: str
    first: str
    second: str
    first_idle: str = ""
    second_idle: str = ""


@dataclass(frozen=True)
class Difference:
    """How one dataset differs between two builds.

    Attributes:
        dataset: its name.
        first: the build that the other is held against.
        second: the other.
        common: samples that both have, by key.
        only_first: samples only the first has.
        only_second: samples only the second has.
        moved: samples in common that are in another split.
        membership: samples by split in the first, then by split in the second.
        labels_changed: samples in common with another label.
        label_examples: some of them in words.
        decisions: the decisions that differ.
        sizes: the pixels at every size that both have.
        sizes_missing: what is said of the sizes that only one has.
    """

    dataset: str
    first: str
    second: str
    common: int
    only_first: int
    only_second: int
    moved: int
    membership: dict[str, dict[str, int]]
    labels_changed: int
    label_examples: tuple[str, ...]
    decisions: tuple[DecisionDifference, ...]
    sizes: tuple[SizeDifference, ...]
    sizes_missing: tuple[str, ...]


def compare(
    datasets: Sequence[str], variants: Sequence[str], base: Path, raw: Path | None
) -> tuple[list[Difference], list[str]]:
    """Hold the builds of some datasets against the first of them.

    Args:
        datasets: their names.
        variants: names of builds, the folders below ``base``.
        base: the results folder.
        raw: the raw folder, for the commands that build what is missing; None for stand-ins.

    Returns:
        the differences, and a line for each build that is not there with the command that makes it.
    """
    found, missing = [], []
    for dataset in datasets:
        there, lines = builds.gather(dataset, variants, base, raw)
        missing += lines
        if there and there[0].name == variants[0]:
            found += [difference(there[0], other) for other in there[1:]]
    return found, missing


def difference(first: Finished, second: Finished) -> Difference:
    """How one dataset differs between two builds."""
    ours = {sample.key: sample for sample in first.samples}
    theirs = {sample.key: sample for sample in second.samples}
    common = [key for key in ours if key in theirs]
    where = Counter(
        (ours[key].split if key in ours else NOWHERE, theirs[key].split if key in theirs else NOWHERE)
        for key in {**ours, **theirs}
    )
    places = (*SPLITS, NOWHERE)
    labels = [key for key in common if ours[key].label != theirs[key].label]
    sizes = [size for size in first.npz if size in second.npz]
    apart = sorted(set(first.npz) ^ set(second.npz))
    return Difference(
        dataset=first.dataset,
        first=first.name,
        second=second.name,
        common=len(common),
        only_first=len(ours) - len(common),
        only_second=len(theirs) - len(common),
        moved=sum(ours[key].split != theirs[key].split for key in common),
        membership={one: {other: where[one, other] for other in places} for one in places},
        labels_changed=len(labels),
        label_examples=tuple(
            f"{key} ({ours[key].split} {ours[key].index}): {ours[key].label}, now {theirs[key].label}"
            for key in labels[:NAMED]
        ),
        decisions=tuple(decisions(first, second)),
        sizes=tuple(_pixels(first, second, ours, theirs, common, size) for size in sizes),
        sizes_missing=tuple(f"{size}: only in {(first if size in first.npz else second).name}" for size in apart),
    )


def decisions(first: Finished, second: Finished) -> Iterator[DecisionDifference]:
    """The decisions by which two builds differ, with what was decided; the seed too."""
    ours, theirs = (one.made["recipe"]["decisions"] for one in (first, second))
    for key in {**ours, **theirs}:
        one, other = ours.get(key), theirs.get(key)
        told = [shown(entry["value"]) if entry else "not decided" for entry in (one, other)]
        idle = [entry["not_in_force"] if entry else "" for entry in (one, other)]
        if told[0] != told[1] and not all(idle):
            yield DecisionDifference(key, *told, *idle)
    if first.made["config"]["seed"] != second.made["config"]["seed"]:
        yield DecisionDifference("seed", *(str(one.made["config"]["seed"]) for one in (first, second)))


def _pixels(
    first: Finished, second: Finished, ours: dict[str, Sample], theirs: dict[str, Sample], common: list[str], size: int
) -> SizeDifference:
    paths = first.npz[size], second.npz[size]
    seen = [facts(one, size) for one in (first, second)]
    numbers = [_numbers(one) for one in (first, second)]
    names = first.recipe.dataset.classes
    total = Apart()
    by_class: defaultdict[int, Apart] = defaultdict(Apart)

    def parts(key: str) -> list[Apart]:
        """What a row is added to: all rows, and its classes; one past them where it has none."""
        return [total, *(by_class[place] for place in ours[key].classes or [len(names)])]

    apart = []
    for key in common:
        is_equal = np.array_equal(*(one.digests[at[key]] for one, at in zip(seen, numbers, strict=True)))
        for part in parts(key):
            part.count(is_equal)
        if not is_equal:
            apart.append(key)
    most = max(1, HELD // math.prod(first.recipe.shape(size)))
    if len(apart) > most:
        chosen = sorted(np.random.RandomState(0).permutation(len(apart))[:most].tolist())
        apart = [apart[place] for place in chosen]
    worst: list[tuple[float, int, str]] = []
    wanted = {numbers[0][key]: key for key in apart}
    held = dict(packed.images(paths[1], seen[1], (numbers[1][key] for key in apart)))
    for number, image in packed.images(paths[0], seen[0], wanted):
        key = wanted[number]
        gap = image.astype(np.int16) - held[numbers[1][key]]
        for part in parts(key):
            part.add(gap)
        worst.append((float(np.abs(gap).mean()), int(np.abs(gap).max()), key))
    worst = sorted(worst, key=lambda one: (-one[0], one[2]))[:SHOWN]
    shown_rows = dict(packed.images(paths[0], seen[0], (numbers[0][key] for _, _, key in worst)))
    return SizeDifference(
        size, total.figures(), total.read,
        tuple(
            ClassDifference(names[place] if place < len(names) else "no finding", one.figures())
            for place, one in sorted(by_class.items())
        ),
        tuple(
            Worst(key, f"{ours[key].split} {ours[key].index}, {theirs[key].split} {theirs[key].index}", gap, greatest,
                  _side_by_side(shown_rows[numbers[0][key]], held[numbers[1][key]]))
            for gap, greatest, key in worst
        ),
    )  # fmt: skip


def facts(build: Finished, size: int) -> Packed:
    """What pack saw of an npz; read from the file itself where that is gone."""
    seen = build.beside("seen", size)
    if seen.is_file():
        return packed.read(seen, with_cells=False)
    reader = npz.Reader(build.npz[size])
    digests = [np.frombuffer(image_digest(row), np.uint8) for one in SPLITS for row in reader.rows(f"{one}_images")]
    nothing = np.zeros(0, np.uint8)
    counts = tuple(reader.shape(f"{one}_labels")[0] for one in SPLITS)
    arrays = {f"{one}_images": Written("") for one in SPLITS}
    return Packed(np.stack(digests), nothing, nothing, nothing, nothing.astype(bool), counts, arrays)


def _numbers(build: Finished) -> dict[str, int]:
    """The number of each sample's row, counted through train, val and test."""
    return {sample.key: number for number, sample in enumerate(build.samples)}


def _side_by_side(one: Pixels, other: Pixels) -> tuple[str, ...]:
    gap = np.abs(one.astype(np.int16) - other)
    return embed(one), embed(other), embed((gap * (255 / max(int(gap.max()), 1))).astype(np.uint8))


def write_page(
    found: list[Difference], missing: list[str], variants: Sequence[str], miniature: bool, page: Path
) -> None:
    """Write the page of a comparison: one static file."""
    text = web.environment("preprocess.inquiry", "preprocess.audit").get_template("compare.html.j2").render(
        found=found, missing=missing, variants=variants, splits=SPLITS, places=(*SPLITS, NOWHERE), miniature=miniature,
        notices=[],
        version=__version__,
    )  # fmt: skip
    write_text(page, text)


def told(found: list[Difference], missing: list[str]) -> list[str]:
    """The comparison in a few lines for a terminal."""
    lines = []
    for one in found:
        apart = f"{one.only_first:,} and {one.only_second:,} in one only, {one.moved:,} in another split"
        lines.append(
            f"{one.dataset}: {one.first} and {one.second}: {one.common:,} rows in common, {apart}, "
            f"{one.labels_changed:,} with another label"
        )
        lines.append(f"  decisions: {', '.join(d.key for d in one.decisions) or 'the same'}")
        for size in one.sizes:
            pixels = size.pixels
            psnr = "" if pixels.psnr is None else f", PSNR {pixels.psnr:.1f} dB"
            lines.append(
                f"  {size.size}: {pixels.equal:,} of {one.common:,} rows equal, mean difference {pixels.mean:.2f}, "
                f"greatest {pixels.greatest}{psnr}"
            )
    return [*lines, *(f"missing: {line}" for line in missing)]
