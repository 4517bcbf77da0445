"""The checks of a finished build: what must be true of it, and what a reader should know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from preprocess import duplicates, notices, npz, packed
from preprocess.acquire import registry
from preprocess.audit import again, licences, placing
from preprocess.audit.files import BuildFiles, StageTables
from preprocess.audit.findings import Finding
from preprocess.duplicates import NearPair
from preprocess.published import SPLITS
from preprocess.recipe import Recipe
from preprocess.rendered import LOOKED_AT
from preprocess.steps import images
from preprocess.table import Sample, read_rows, read_samples, write_rows

#: rows that are rendered again
REBUILT = 20
_NONE: dict[str, str] = {}
#: how many examples a finding carries at the most
EXAMPLES = 20


class _Contents:
    """What one build holds, read once for all checks."""

    def __init__(
        self,
        recipe: Recipe,
        files: BuildFiles,
        tables: StageTables,
        pairs: Sequence[NearPair],
        seed: int,
        miniature: bool,
    ) -> None:
        self.recipe, self.files, self.tables, self.seed, self.miniature = recipe, files, tables, seed, miniature
        self.pairs = pairs
        self.npz = files.npz
        self.indexed = [row["key"] for row in read_rows(tables.index)]
        # paths and attributes are dropped, no check needs them: up to 236,386 samples are in memory
        self.samples = [replace(sample, path="", attributes=_NONE) for sample in read_samples(files.samples)]
        self.excluded = list(read_rows(files.excluded))
        self.members = {split: [sample for sample in self.samples if sample.split == split] for split in SPLITS}
        self.names = ", ".join(path.name for path in files.npz.values())
        self.largest = max(files.npz)

    def keys(self, rows: list[int]) -> tuple[tuple[str, ...], ...]:
        """The keys of some rows, as a finding's examples."""
        return _singles([self.samples[row].key for row in rows])


#: of the table of pairs
PAIR_COLUMNS = ("first", "second", "turn", "distance")


def alike(files: BuildFiles) -> list[NearPair]:
    """The pairs of rows that are the same or look alike, at the largest size of a build."""
    facts = packed.read(files.packed[max(files.packed)])
    return duplicates.alike(map(bytes, facts.digests), facts.cells)


def write_pairs(files: BuildFiles, pairs: Iterable[NearPair], out: Path) -> None:
    """Write those pairs: the keys of the two, what the second is of the first, and the distance of their hashes."""
    keys = [row["key"] for row in read_rows(files.samples)]
    rows = ((keys[pair.first], keys[pair.second], pair.turn, pair.distance) for pair in pairs)
    write_rows(out, PAIR_COLUMNS, rows)


def check(
    recipe: Recipe,
    files: BuildFiles,
    tables: StageTables,
    pairs: Sequence[NearPair],
    seed: int,
    miniature: bool = False,
    rehearsal: int = 0,
) -> list[Finding]:
    """Check one build and return the findings.

    Args:
        recipe: the recipe the files were built by.
        files: the build.
        tables: what the stages before left.
        pairs: the rows that are the same or look alike (:func:`alike`).
        seed: picks the rows that are rendered again.
        miniature: whether it was built from stand-ins: its counts are then the generator's, not the known ones.
        rehearsal: how many samples a rehearsal draws; 0 for a build.
    """
    built = _Contents(recipe, files, tables, pairs, seed, miniature)
    findings = [
        *_rehearsal(built, rehearsal),
        *_census(built),
        *_unmatched(built),
        *_ledger(built),
        *_published(built),
        *_format(built),
    ]
    if not any(finding.level == "error" for finding in findings):  # the other checks rely on tables and shapes
        seen = _look(built)
        findings += [*_blank(built, seen), *_rebuild(built, seen), *groups(recipe.dataset.group, built.samples)]
        findings += [*_clusters(built), *_duplicates(built), *_upsampled(built)]
    findings += [*_displaced(built), *_unmasked(built), *_lattices(built)]
    order = placing.placed_by(recipe, (sample.released_index for sample in built.samples))
    decided = _decisions(recipe, placed=order == placing.TABLE)
    return [*findings, *_licence(recipe, miniature), *decided]


def _census(built: _Contents) -> Iterator[Finding]:
    """The raw counts are the known ones. With ``census: strict`` a difference has stopped the run before."""
    counts = list(read_rows(built.tables.counts))
    different = [row for row in counts if row["expected"] != row["found"]]
    if different:
        told = ", ".join(f"{row['name']} {int(row['found']):,} of {int(row['expected']):,}" for row in different)
        what, whose = ("drawings", "the generator's") if built.miniature else ("raw files", "the known ones")
        yield Finding("census", "warning", f"the {what} are not {whose}: {told}")
        return
    told = ", ".join(f"{row['name']} {int(row['found']):,}" for row in counts)
    if built.miniature:
        text = f"all {len(counts)} counts of the drawings are those of the generator, not of real files: {told}"
    else:
        text = f"all {len(counts)} counts of the raw files are the known ones: {told}"
    yield Finding("census", "information", text)


def _rehearsal(built: _Contents, drawn: int) -> Iterator[Finding]:
    """A rehearsal says so, before its numbers of rows are taken for those of a build."""
    if drawn:
        whole = f"{len(built.samples):,} of {len(built.indexed):,} samples"
        yield Finding("rehearsal", "warning", f"this is a rehearsal on {whole}, no build: its rows are not the dataset")


def _unmatched(built: _Contents) -> Iterator[Finding]:
    """Every row of the order table in force, or of the user's own split, has its sample."""
    rows = list(read_rows(built.tables.unmatched))
    if not rows:
        return
    why = Counter(row["reason"].partition(":")[0] for row in rows)
    told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(why.items()))
    if own := built.recipe.value("split.file"):
        text = f"{len(rows):,} rows of {Path(own).name} name no sample ({told})"
    else:
        published = sum((built.recipe.dataset.published or {}).values())
        whole = f" of {published:,} published" if published else ""
        text = f"{len(rows):,}{whole} rows have no sample in this build ({told})"
    yield Finding("unmatched", "warning", text, _singles([row["image_id"] for row in rows]))


def _ledger(built: _Contents) -> Iterator[Finding]:
    """Every indexed sample is either in the output or excluded with a reason."""
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
            files = "file is" if len(keys) == 1 else "files are"
            yield Finding(reason, "warning", f"{len(keys):,} {files} {reason} and left out", _singles(keys))


def _published(built: _Contents) -> Iterator[Finding]:
    """How many rows each split has, and how many were published. A difference is not an error."""
    never, published = built.recipe.dataset.unpublished, built.recipe.dataset.published
    whose = "real data, published" if built.miniature else "published"
    told = []
    for split, members in built.members.items():
        note = ", the source never published its labels" if split in never and not members else ""
        told.append(f"{split} {len(members):,}" + (f" ({whose}: {published[split]:,}{note})" if published else ""))
    yield Finding("published", "information", f"rows{' of the stand-in' if built.miniature else ''}: {', '.join(told)}")


def _displaced(built: _Contents) -> Iterator[Finding]:
    """Which scans' published crops show the organ they are labelled with, where boxes meet arrays as stored."""
    shared: dict[str, list[float]] = {}
    stored: dict[str, str] = {}
    otherwise: dict[str, str] = {}
    for row in read_rows(built.files.samples):
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


def _unmasked(built: _Contents) -> Iterator[Finding]:
    """Where the ribs' masks are decided but not there, the volumes show what the published ones do not."""
    if built.recipe.value("mask") == "ribs" and any(
        row.get("ribs") == "none" for row in read_rows(built.files.samples)
    ):
        text = "no mask of the ribs (RibSeg) is there: the published volumes show the ribs only, these show everything"
        yield Finding("mask", "warning", text)


def _format(built: _Contents) -> Iterator[Finding]:
    """Each npz has the six uint8 arrays in the right shapes, with the labels of the samples table."""
    wanted = sorted(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))
    problems = False
    for size, path in built.npz.items():
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
    yield Finding("format", "information", f"six uint8 arrays of the right shapes in {built.names}")


@dataclass
class _Seen:
    """What was seen of every image.

    Attributes:
        flat: rows whose pixels all have one value, by size.
        rebuilt: rows that were rendered again on their own.
        wrong: those of them that came out differently, by size.
    """

    flat: dict[int, list[int]]
    rebuilt: list[int]
    wrong: dict[int, list[int]]


def _look(built: _Contents) -> _Seen:
    """Take together what pack saw of every image, and render some again."""
    rendered = _rendered_again(built)
    flat, wrong = {}, {}
    for size, path in built.files.packed.items():
        facts = packed.read(path, with_cells=False)
        flat[size] = facts.flat
        wrong[size] = [row for row, arrays in rendered.items() if not facts.holds(row, arrays[size])]
    return _Seen(flat, list(rendered), wrong)


def _rendered_again(built: _Contents) -> dict[int, dict[int, np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Render some random rows, each on its own: arrays by row and size."""
    reading_order = {key: position for position, key in enumerate(built.indexed)}
    chosen: list[int] = np.random.RandomState(built.seed).permutation(len(built.samples))[:REBUILT].tolist()
    chosen = again.as_stored(chosen, [sample.key for sample in built.samples], reading_order)
    whole = {row: sample for row, sample in enumerate(read_samples(built.files.samples)) if row in chosen}
    rendered = again.render(built.recipe, built.files.raw, list(built.npz), (whole[row] for row in chosen))
    with notices.repeated():
        return {row: one.arrays for row, (_, one) in zip(chosen, rendered, strict=True)}


def _blank(built: _Contents, seen: _Seen) -> Iterator[Finding]:
    """No image consists of a single value."""
    for size, rows in seen.flat.items():
        if rows:
            text = f"{built.npz[size].name}: {len(rows):,} images have one value only"
            yield Finding("blank", "error", text, built.keys(rows))


def _rebuild(built: _Contents, seen: _Seen) -> Iterator[Finding]:
    """Random rows that are rendered again on their own equal those in every npz."""
    for size, rows in seen.wrong.items():
        if rows:
            name = built.npz[size].name
            text = f"{name}: {len(rows)} of {len(seen.rebuilt)} rows are not what rendering them alone gives"
            yield Finding("rebuild", "error", text, built.keys(rows))
    if not any(seen.wrong.values()):
        text = f"{len(seen.rebuilt)} random rows, rendered alone, equal those of {built.names}"
        yield Finding("rebuild", "information", text)


def groups(name: str, samples: Iterable[Sample]) -> Iterator[Finding]:
    """Find the groups that have samples in more than one split.

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


def _clusters(built: _Contents) -> Iterator[Finding]:
    """How many samples a split by what they look like has kept together; the source's own splits may part them."""
    if not built.recipe.renders_first:
        return
    members: dict[str, list[tuple[str, str]]] = {}
    for row in read_rows(built.files.samples):
        if row["cluster"]:
            members.setdefault(row["cluster"], []).append((row["key"], row["split"]))
    apart = [found for found in members.values() if len({split for _, split in found}) > 1]
    if apart:
        text = f"{len(apart):,} of {len(members):,} clusters of near duplicates at {LOOKED_AT} are in two splits"
        examples = tuple(tuple(key for key, _ in found[:EXAMPLES]) for found in apart[:EXAMPLES])
        yield Finding("clusters", "warning", f"{text}: the source keeps their samples there", examples)
        return
    samples, largest = sum(map(len, members.values())), max(map(len, members.values()), default=0)
    text = f"{len(members):,} clusters of near duplicates at {LOOKED_AT} are each in one split"
    yield Finding("clusters", "information", f"{text}: {samples:,} samples, the largest of {largest:,}")


def _duplicates(built: _Contents) -> Iterator[Finding]:
    """Images that are pixel-identical or look alike, in two splits or with different labels."""
    identical: dict[int, list[int]] = {}
    for pair in built.pairs:
        if pair.turn == duplicates.IDENTICAL:  # each with the first of them
            identical.setdefault(pair.first, [pair.first]).append(pair.second)
    every = {two for rows in identical.values() for two in combinations(rows, 2)}
    same = [NearPair(first, second, 0, duplicates.IDENTICAL) for first, second in sorted(every)]
    near = [pair for pair in built.pairs if pair.turn != duplicates.IDENTICAL]
    yield from _pairs(built, "duplicates", f"pixel-identical at {built.largest}", same)
    yield from _pairs(built, "near-duplicates", f"alike to the eye at {built.largest}", near)


def _pairs(built: _Contents, name: str, what: str, pairs: list[NearPair]) -> Iterator[Finding]:
    samples = built.samples
    straddling = [pair for pair in pairs if samples[pair.first].split != samples[pair.second].split]
    conflicts = [pair for pair in pairs if samples[pair.first].label != samples[pair.second].label]

    def shown(some: list[NearPair]) -> tuple[tuple[str, ...], ...]:
        return tuple((samples[pair.first].key, samples[pair.second].key) for pair in some[:EXAMPLES])

    between = Counter(f"{samples[pair.first].split}-{samples[pair.second].split}" for pair in straddling)
    counts = {**between, "within": len(pairs) - len(straddling)}
    if straddling:
        told = ", ".join(f"{count:,} {place}" for place, count in sorted(between.items()))
        text = f"{_pairs_of(straddling)} of images in two splits: {what}{_turns(straddling)} ({told})"
        yield Finding(name, "warning", text, shown(straddling), counts)
    if conflicts:
        text = f"{_pairs_of(conflicts)} of images with different labels: {what}{_turns(conflicts)}"
        yield Finding(f"{name}-label", "warning", text, shown(conflicts))
    if not straddling:
        text = f"{_pairs_of(pairs)} within a split: {what}{_turns(pairs)}" if pairs else f"no two images are {what}"
        yield Finding(name, "information", text, shown(pairs), counts)


def _turns(pairs: list[NearPair]) -> str:
    """How many are mirrored or turned, by how: ``, 2 of them mirrored``."""
    turns = Counter(pair.turn for pair in pairs)
    told = [f"{turns[turn]:,} of them {turn}" for turn in duplicates.TURNS[1:] if turns[turn]]
    return f", {'; '.join(told)}" if told else ""


def _pairs_of(pairs: list[NearPair]) -> str:
    return f"{len(pairs):,} pair{'' if len(pairs) == 1 else 's'}"


def _upsampled(built: _Contents) -> Iterator[Finding]:
    """The samples whose source region has fewer pixels than the grid."""
    for size in built.npz:
        rows = [row["key"] for row in read_rows(built.files.samples) if str(size) in row["upsampled"].split()]
        if rows:
            text = f"{len(rows):,} of {len(built.samples):,} samples have fewer source pixels than the grid of {size}"
            yield Finding("upsampled", "information", text, _singles(rows))


def _licence(recipe: Recipe, miniature: bool) -> Iterator[Finding]:
    """The output's licence is not freer than its source's; an unknown licence stays unknown."""
    output, source = recipe.dataset.licence, registry.one(recipe.source)
    of_whom = "of the real files: " if miniature else ""
    if problem := licences.problem(output, source.licence):
        yield Finding("licence", "error", f"{of_whom}{output} cannot be: {problem}")
    elif output == licences.UNKNOWN:
        why = source.content["licence"]["why"]
        yield Finding("licence", "warning", f"{of_whom}the source's licence is unknown ({why}); ask its holders")
    else:
        yield Finding("licence", "information", f"{of_whom}{output}; the source is under {source.licence}")


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


def _lattices(built: _Contents) -> Iterator[Finding]:
    """Images of another size than the published lattice of a kernel is known for."""
    for size in built.npz:
        kernel = built.recipe.decisions.get("kernel")
        if kernel is None or kernel.at(size) != images.LATTICE_KERNEL:
            continue
        edges = [edge for edge, result in images.PUBLISHED_LATTICES if result == size]
        fitting = {f"{edge}x{edge}" for edge in edges}
        rows = [row["key"] for row in read_rows(built.files.samples) if fitting.isdisjoint(row["raw_form"].split())]
        if rows:
            known = " or ".join(sorted(fitting)) or "none"
            text = (
                f"{len(rows):,} of {len(built.samples):,} images: what kernel {images.LATTICE_KERNEL} does at {size} "
                f"was measured on images of {known} pixels only, and these have others"
            )
            yield Finding("kernel", "warning", text, _singles(rows))


def _singles(keys: list[str]) -> tuple[tuple[str, ...], ...]:
    return tuple((key,) for key in keys[:EXAMPLES])
