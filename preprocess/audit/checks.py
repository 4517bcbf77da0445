"""The check stage: what must hold of every build, and what a reader should know of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from preprocess import npz
from preprocess.acquire import registry
from preprocess.audit import duplicates, licences
from preprocess.recipe import Recipe
from preprocess.render import Renderer
from preprocess.split import SPLITS
from preprocess.steps import images
from preprocess.table import Sample, read_rows, read_samples

log = logging.getLogger(__name__)

Level = Literal["error", "warning", "information"]
LOG_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "information": logging.INFO}
REBUILT = 20
_NONE: dict[str, str] = {}
#: how many examples a finding carries at the most
EXAMPLES = 20


@dataclass(frozen=True)
class Finding:
    """One result of one check.

    Attributes:
        check: the check's short name, the same in every report.
        level: an ``error`` fails the build, a ``warning`` is shown, ``information`` is neither.
        text: one sentence with the figures.
        examples: keys of samples concerned, those that belong together (a pair of duplicates) in one entry.
        counts: what lies in two splits by their names, ``train-test``, and ``within`` one; None where the
            check does not count by split, or cannot.
    """

    check: str
    level: Level
    text: str
    examples: tuple[tuple[str, ...], ...] = ()
    counts: dict[str, int] | None = None


@dataclass(frozen=True)
class Tables:
    """The tables of one build: index, census counts, samples and excluded."""

    index: Path
    counts: Path
    samples: Path
    excluded: Path


class _Built:
    """One build, read once for all checks."""

    def __init__(self, recipe: Recipe, folder: Path, files: dict[int, Path], tables: Tables, seed: int) -> None:
        self.recipe, self.folder, self.files, self.tables, self.seed = recipe, folder, files, tables, seed
        self.indexed = [row["key"] for row in read_rows(tables.index)]
        # without what no check compares: up to 236,386 of them lie in memory
        self.samples = [replace(sample, path="", attributes=_NONE) for sample in read_samples(tables.samples)]
        self.excluded = list(read_rows(tables.excluded))
        self.members = {split: [sample for sample in self.samples if sample.split == split] for split in SPLITS}
        self.names = ", ".join(path.name for path in files.values())
        self.largest = max(files)

    def keys(self, rows: list[int]) -> tuple[tuple[str, ...], ...]:
        """The keys of some rows, as a finding's examples."""
        return _singles([self.samples[row].key for row in rows])

    def rows(self, size: int) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
        """Every image of one size, in the order of the samples table."""
        reader = npz.Reader(self.files[size])
        for split in SPLITS:
            yield from reader.rows(f"{split}_images")


def check(recipe: Recipe, folder: Path, files: dict[int, Path], tables: Tables, seed: int) -> list[Finding]:
    """Run the checks that need no other dataset and return the findings.

    Args:
        recipe: the recipe the files were built by.
        folder: the source's raw folder.
        files: the npz of each size.
        tables: the tables of the build.
        seed: picks the rows that are rendered again.
    """
    built = _Built(recipe, folder, files, tables, seed)
    findings = [*_census(built), *_ledger(built), *_published(built), *_format(built)]
    if not any(finding.level == "error" for finding in findings):  # what follows trusts tables and shapes
        seen = _look(built)
        findings += [*_blank(built, seen), *_rebuild(built, seen), *groups(recipe.about["group"], built.samples)]
        findings += [*_duplicates(built, seen), *_upsampled(built)]
    findings += [*_displaced(built), *_unmasked(built), *_lattices(built)]
    placed = any(sample.released_index for sample in built.samples)
    return [*findings, *_licence(recipe), *_decisions(recipe, placed)]


def _census(built: _Built) -> Iterator[Finding]:
    """The raw counts equal the known ones; under ``strict`` a difference has already stopped the run."""
    counts = list(read_rows(built.tables.counts))
    different = [row for row in counts if row["expected"] != row["found"]]
    if different:
        told = ", ".join(f"{row['name']} {int(row['found']):,} of {int(row['expected']):,}" for row in different)
        yield Finding("census", "warning", f"the raw files are not the known ones: {told}")
    else:
        told = ", ".join(f"{row['name']} {int(row['found']):,}" for row in counts)
        yield Finding("census", "information", f"all {len(counts)} counts of the raw files are the known ones: {told}")


def _ledger(built: _Built) -> Iterator[Finding]:
    """Every indexed sample is in the output or excluded with a reason, never both."""
    reasons = Counter(row["reason"] for row in built.excluded)
    indexed = Counter(built.indexed)
    accounted = Counter([sample.key for sample in built.samples] + [row["key"] for row in built.excluded])
    if indexed != accounted:
        lost = sorted((indexed - accounted) + (accounted - indexed))
        yield Finding("ledger", "error", f"{len(lost):,} samples are lost or counted twice", _singles(lost))
        return
    told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items())) or "none"
    text = f"{len(indexed):,} indexed = {len(built.samples):,} kept + {len(built.excluded):,} excluded ({told})"
    yield Finding("ledger", "information", text)
    for reason in ("missing", "unreadable"):
        if reasons[reason]:
            keys = [row["key"] for row in built.excluded if row["reason"] == reason]
            yield Finding(reason, "warning", f"{len(keys):,} files are {reason} and left out", _singles(keys))


def _published(built: _Built) -> Iterator[Finding]:
    """How many rows each split has, and how many were published; a difference is no defect."""
    never = built.recipe.about.get("unpublished", [])
    told = []
    for split, members in built.members.items():
        note = ", the source never published its labels" if split in never and not members else ""
        told.append(f"{split} {len(members):,} (published {built.recipe.about['published'][split]:,}{note})")
    yield Finding("published", "information", f"rows: {', '.join(told)}")


def _displaced(built: _Built) -> Iterator[Finding]:
    """Which scans' published crops show the organ they are labelled with, where boxes meet arrays as stored."""
    shared: dict[str, list[float]] = {}
    stored: dict[str, str] = {}
    otherwise: dict[str, str] = {}
    for row in read_rows(built.tables.samples):
        if "displaced" not in row:
            return
        if not row["displaced"]:
            continue
        group, known = row["group"], row["stored_known"]
        stored[group] = row["stored"]
        shared.setdefault(group, []).append(float(row["shared"]))
        if known not in ("", stored[group]):
            otherwise[group] = f"{group} {stored[group]} (published {known})"
    if otherwise:
        text = f"{len(otherwise)} scans are not stored as the published files: {', '.join(otherwise.values())}"
        yield Finding("stored", "warning", text, _singles(list(otherwise)))
    if not shared or built.recipe.value("orientation") != "raw":
        return
    away = {group: parts for group, parts in shared.items() if min(parts) < 1}
    text = f"the crops of {len(shared) - len(away)} of {len(shared)} scans show their organs: these are stored as LPS"
    if away:
        told = (f"{group} ({stored[group]}) {min(parts):.0%} to {max(parts):.0%}" for group, parts in away.items())
        text += f"; of the others they show, of the organ's box: {', '.join(told)}"
    yield Finding("displaced", "warning" if away else "information", text, _singles(list(away)))


def _unmasked(built: _Built) -> Iterator[Finding]:
    """Where the ribs' masks are decided but not there, the volumes show what the published ones do not."""
    if built.recipe.value("mask") == "ribs" and any(
        row.get("ribs") == "none" for row in read_rows(built.tables.samples)
    ):
        text = "no mask of the ribs (RibSeg) is there: the published volumes show the ribs only, these show everything"
        yield Finding("mask", "warning", text)


def _format(built: _Built) -> Iterator[Finding]:
    """Six uint8 arrays of the promised shapes; labels as in the table."""
    wanted = sorted(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))
    problems = False
    for size, path in built.files.items():
        reader = npz.Reader(path)
        if sorted(reader.names) != wanted:
            yield Finding("format", "error", f"{path.name} holds {', '.join(reader.names)}")
            problems = True
            continue
        for split, members in built.members.items():
            if reader.shape(f"{split}_images") != (len(members), *built.recipe.shape(size)):
                yield Finding("format", "error", f"{path.name}: {split}_images is {reader.shape(f'{split}_images')}")
                problems = True
                continue
            labels = [" ".join(map(str, row)) for row in reader.array(f"{split}_labels").tolist()]
            if labels != [sample.label for sample in members]:
                yield Finding("format", "error", f"{path.name}: {split}_labels differ from the samples table")
                problems = True
    if problems:
        return
    yield Finding("format", "information", f"six uint8 arrays of the promised shapes in {built.names}")


@dataclass
class _Seen:
    """What one reading of every image told.

    Attributes:
        flat: rows of one value only, by size.
        rebuilt: rows that were rendered again, alone.
        wrong: those of them that differ, by size.
        digests: of every image of the largest size.
        cells: of every image of the largest size, (N, 16, 17).
    """

    flat: dict[int, list[int]]
    rebuilt: list[int]
    wrong: dict[int, list[int]]
    digests: list[bytes]
    cells: np.ndarray[Any, np.dtype[np.uint8]]


def _look(built: _Built) -> _Seen:
    """Read every image once: that is most of what checking costs."""
    again = _rendered_again(built)
    cells = np.zeros((len(built.samples), duplicates.SIDE, duplicates.SIDE + 1), np.uint8)
    seen = _Seen({size: [] for size in built.files}, list(again), {size: [] for size in built.files}, [], cells)
    for size in built.files:
        for row, image in enumerate(built.rows(size)):
            if image.min() == image.max():
                seen.flat[size].append(row)
            if row in again and not np.array_equal(image, again[row][size]):
                seen.wrong[size].append(row)
            if size == built.largest:
                seen.digests.append(duplicates.digest(image))
                cells[row] = duplicates.cells(image, built.recipe.dimensions)
    return seen


def _rendered_again(built: _Built) -> dict[int, dict[int, np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Some random rows, each rendered alone: arrays by row and size."""
    reading_order = {key: position for position, key in enumerate(built.indexed)}
    chosen: list[int] = np.random.RandomState(built.seed).permutation(len(built.samples))[:REBUILT].tolist()
    # one after the other as the raw files are stored: a tar.gz is read forwards
    chosen.sort(key=lambda row: reading_order[built.samples[row].key])
    whole = {row: sample for row, sample in enumerate(read_samples(built.tables.samples)) if row in chosen}
    renderer = Renderer(built.recipe, built.folder, list(built.files))
    return {row: renderer.render(whole[row]).arrays for row in chosen}


def _blank(built: _Built, seen: _Seen) -> Iterator[Finding]:
    """No image has one value only."""
    for size, rows in seen.flat.items():
        if rows:
            text = f"{built.files[size].name}: {len(rows):,} images have one value only"
            yield Finding("blank", "error", text, built.keys(rows))


def _rebuild(built: _Built, seen: _Seen) -> Iterator[Finding]:
    """Random rows, rendered alone, equal the rows in every npz."""
    for size, rows in seen.wrong.items():
        if rows:
            name = built.files[size].name
            text = f"{name}: {len(rows)} of {len(seen.rebuilt)} rows are not what rendering them alone gives"
            yield Finding("rebuild", "error", text, built.keys(rows))
    if not any(seen.wrong.values()):
        text = f"{len(seen.rebuilt)} random rows, rendered alone, equal those of {built.names}"
        yield Finding("rebuild", "information", text)


def groups(name: str, samples: Iterable[Sample]) -> Iterator[Finding]:
    """No group straddles two splits, or how many do, and which.

    Args:
        name: what the group is (patient, lesion, scan ...); ``none`` where the source publishes no id.
        samples: samples with their splits.
    """
    if name == "none":
        text = "the source publishes no group id: leakage between splits cannot be seen"
        yield Finding("groups", "information", text)
        return
    splits: dict[str, dict[str, list[str]]] = {}
    for sample in samples:
        if sample.group:
            splits.setdefault(sample.group, {}).setdefault(sample.split, []).append(sample.key)
    if not splits:
        text = f"no sample's {name} is known from these files: leakage between splits cannot be seen"
        yield Finding("groups", "information", text)
        return
    clean = True
    for first, second in combinations(SPLITS, 2):
        shared = [found for found in splits.values() if first in found and second in found]
        if shared:
            clean = False
            images = sum(len(found[second]) for found in shared)
            shares = f"{len(shared):,} of {len(splits):,} {name}s are in {first} and {second}"
            text = f"{shares}: {images:,} {second} samples"
            examples = tuple((found[first][0], found[second][0]) for found in shared[:EXAMPLES])
            yield Finding("groups", "warning", text, examples, {f"{first}-{second}": len(shared)})
    if clean:
        yield Finding("groups", "information", f"no {name} of {len(splits):,} is in two splits", counts={})


def _duplicates(built: _Built, seen: _Seen) -> Iterator[Finding]:
    """Images that are the same to the pixel, or nearly so, in two splits or with two labels."""
    same = {pair for rows in duplicates.exact(seen.digests) for pair in combinations(rows, 2)}
    pairs = [(pair.first, pair.second) for pair in duplicates.near(seen.cells)]
    yield from _pairs(built, "duplicates", f"pixel-identical at {built.largest}", sorted(same))
    yield from _pairs(
        built, "near-duplicates", f"alike to the eye at {built.largest}", [pair for pair in pairs if pair not in same]
    )


def _pairs(built: _Built, name: str, what: str, pairs: list[tuple[int, int]]) -> Iterator[Finding]:
    samples = built.samples
    straddling = [(a, b) for a, b in pairs if samples[a].split != samples[b].split]
    conflicts = [(a, b) for a, b in pairs if samples[a].label != samples[b].label]

    def shown(some: list[tuple[int, int]]) -> tuple[tuple[str, ...], ...]:
        return tuple((samples[a].key, samples[b].key) for a, b in some[:EXAMPLES])

    between = Counter(f"{samples[a].split}-{samples[b].split}" for a, b in straddling)
    counts = {**between, "within": len(pairs) - len(straddling)}
    if straddling:
        told = ", ".join(f"{count:,} {place}" for place, count in sorted(between.items()))
        text = f"{_pairs_of(straddling)} of images in two splits: {what} ({told})"
        yield Finding(name, "warning", text, shown(straddling), counts)
    if conflicts:
        text = f"{_pairs_of(conflicts)} of images with different labels: {what}"
        yield Finding(f"{name}-label", "warning", text, shown(conflicts))
    if not straddling:
        text = f"{_pairs_of(pairs)} within a split: {what}" if pairs else f"no two images are {what}"
        yield Finding(name, "information", text, shown(pairs), counts)


def _pairs_of(pairs: list[tuple[int, int]]) -> str:
    return f"{len(pairs):,} pair{'' if len(pairs) == 1 else 's'}"


def _upsampled(built: _Built) -> Iterator[Finding]:
    """Which samples have fewer pixels in the source than in the grid."""
    for size in built.files:
        rows = [row["key"] for row in read_rows(built.tables.samples) if str(size) in row["upsampled"].split()]
        if rows:
            text = f"{len(rows):,} of {len(built.samples):,} samples have fewer source pixels than the grid of {size}"
            yield Finding("upsampled", "information", text, _singles(rows))


def _licence(recipe: Recipe) -> Iterator[Finding]:
    """The output is not freer than its source; an unknown licence stays unknown."""
    output, source = recipe.about["licence"], registry.load()[recipe.source]
    if problem := licences.problem(output, source.licence):
        yield Finding("licence", "error", f"{output} cannot be: {problem}")
    elif output == licences.UNKNOWN:
        why = source.content["licence"]["why"]
        yield Finding("licence", "warning", f"the source's licence is unknown ({why}); ask its holders")
    else:
        yield Finding("licence", "information", f"{output}; the source is under {source.licence}")


def _decisions(recipe: Recipe, placed: bool = False) -> Iterator[Finding]:
    """What the build rests on that nobody has proven, and what a missing package changed.

    ``placed`` says whether an order table gave the samples their places: then no rule split them.
    """
    assumed = recipe.assumed(placed)
    in_force = [key for key in recipe.decisions if not recipe.idle(key, placed)]
    if assumed:
        text = f"{len(assumed)} of {len(in_force)} decisions in force are assumed: {', '.join(assumed)}"
        yield Finding("assumed", "information", text)
    for key, choice in recipe.decisions.items():
        if choice.note:
            yield Finding("note", "warning", f"{key}: {choice.note}")
        if choice.missing:
            yield Finding("fallback", "error", f"{key}: {choice.missing}")


def _lattices(built: _Built) -> Iterator[Finding]:
    """Images of another size than the published lattice of a kernel is known for."""
    for size in built.files:
        kernel = built.recipe.decisions.get("kernel")
        if kernel is None or kernel.at(size) != images.LATTICE_KERNEL:
            continue
        edges = [edge for edge, result in images.PUBLISHED_LATTICES if result == size]
        fitting = {f"{edge}x{edge}" for edge in edges}
        rows = [row["key"] for row in read_rows(built.tables.samples) if fitting.isdisjoint(row["raw_form"].split())]
        if rows:
            known = " or ".join(sorted(fitting)) or "none"
            text = (
                f"{len(rows):,} of {len(built.samples):,} images: what kernel {images.LATTICE_KERNEL} does at {size} "
                f"was measured on images of {known} pixels only, and these have others"
            )
            yield Finding("kernel", "warning", text, _singles(rows))


def _singles(keys: list[str]) -> tuple[tuple[str, ...], ...]:
    return tuple((key,) for key in keys[:EXAMPLES])


def as_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The findings as plain values."""
    return [asdict(finding) for finding in findings]
