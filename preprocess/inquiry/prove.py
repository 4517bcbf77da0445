"""All that the files at hand prove again, decision by decision.

``counts``
    The published numbers of each class and split follow from the totals by the rule and ratio of the recipe.
``census``
    The raw files have the known counts.
``file``
    A published file has the MD5 that the ``medmnist`` package pins, and holds the rows and classes of the table.
``pairs``
    Every published row whose raw file is known and here is rendered by the decisions of ``released`` and compared,
    pixel for pixel. Each decision is then decided otherwise, in every way of the vocabulary, on some of the rows: what
    makes the same pixels is not told apart by these files.
``build``
    What the verdict of a build that is there says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess import index, npz, order, published, recipe, split
from preprocess.acquire import registry
from preprocess.audit import again
from preprocess.audit.verdict import by_class
from preprocess.checksums import file_digest, image_digest
from preprocess.decisions import shown
from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.files import read_json
from preprocess.inquiry import builds
from preprocess.published import SPLITS
from preprocess.recipe import Recipe
from preprocess.render import Renderer
from preprocess.table import Sample

#: rows on which each decision is decided otherwise
TRIED = 40
Result = str
#: the results: all of it holds; it holds, but another value gives the same; it does not hold
PROVEN, NOT_TOLD_APART, FAILS, PARTLY = "proven", "not told apart", "fails", "partly"


@dataclass(frozen=True)
class Proof:
    """One line of the table.

    Attributes:
        dataset: its name.
        decision: the decision or fact.
        value: its value.
        proof: the kind of proof.
        result: ``proven``, ``not told apart``, ``partly`` (a part of the raw files is here) or ``fails``.
        detail: the figures.
    """

    dataset: str
    decision: str
    value: str
    proof: str
    result: Result
    detail: str


COLUMNS = tuple(field.name for field in fields(Proof))


def prove(datasets: list[str], raw: Path, base: Path, miniature: bool, seed: int) -> Iterator[Proof]:
    """Yield every proof that can be run for some datasets.

    Args:
        datasets: their names.
        raw: the folder that holds ``<source>/...`` and, perhaps, ``released/`` and ``released_order/``.
        base: the results folder, whose builds are looked at.
        miniature: whether ``raw`` holds stand-ins, with which no published file is compared.
        seed: picks the rows on which decisions are decided otherwise.
    """
    for dataset in datasets:
        in_force = recipe.load(dataset, "released")
        yield from counts(in_force)
        folder = registry.raw_folder(in_force.dataset, raw, miniature)
        is_here = folder.is_dir() and (miniature or registry.is_present(in_force.dataset, raw))
        released = [] if miniature else published.given(raw / registry.RELEASED, dataset)
        files = [path for path in released if path.suffix == ".npz"]
        for path in files:
            yield file(in_force, path)
        if is_here and not miniature:
            indexed = index.build(in_force, folder, "warn", in_force.dataset.census)
            yield census(in_force, indexed.census)
            if files and (found := order.find(dataset, raw) if in_force.value("order") == "table" else True):
                table = order.read(found) if not isinstance(found, bool) else None
                samples = split.assign(in_force, indexed.samples, seed, table).samples
                for path in files:
                    yield from pairs(in_force, folder, samples, path, seed)
        for build in ("paper", "released"):
            yield from built(base, build, dataset)


def counts(in_force: Recipe) -> Iterator[Proof]:
    """Whether rule and ratio give the published numbers by class and split from their totals."""
    edition = published.current(in_force.name)
    if edition is None or in_force.value("split.rule") != "per-class" or in_force.value("split.group_by") != "none":
        return
    kept = set((in_force.value("split.keep") or {}).values())
    cut = [one for one in SPLITS if one not in kept]
    classes = [edition.counts[one].classes for one in cut]
    if not cut or not all(one and all(isinstance(count, int) for count in one) for one in classes):
        return
    rows = [tuple(map(int, row)) for row in zip(*classes, strict=True)]
    ratio = str(in_force.value("split.ratio"))
    wrong = []
    for number, row in enumerate(rows):
        ends = split.cuts(sum(row), ratio)
        ours = tuple(end - start for start, end in zip([0, *ends], ends, strict=False))
        if ours != row:
            wrong.append(f"class {number}: {_numbers(ours)}, published {_numbers(row)}")
    told = f"{len(rows) - len(wrong)} of {len(rows)} classes have the published {'/'.join(cut)}"
    result = FAILS if len(wrong) == len(rows) else PARTLY if wrong else PROVEN
    told = "; ".join([told, *wrong])
    yield Proof(in_force.name, "split.rule, split.ratio", f"per-class, {ratio}", "counts", result, told)


def _numbers(row: tuple[int, ...]) -> str:
    return "/".join(f"{count:,}" for count in row)


def file(in_force: Recipe, path: Path) -> Proof:
    """Whether a published file is the one it is called, and holds what the table of published files says."""
    md5 = file_digest(path, "md5")
    known = published.recognise(md5, in_force.name)
    if known is None:
        return Proof(in_force.name, "published file", path.name, "file", FAILS, f"MD5 {md5} is none of this dataset's")
    reader = npz.Reader(path)
    wrong = []
    for one in SPLITS:
        labels, expected = reader.array(f"{one}_labels"), known.edition.counts[one]
        if len(labels) != expected.rows:
            wrong.append(f"{one} has {len(labels):,} rows, the table {expected.rows:,}")
        classes = by_class(labels)
        is_known = expected.classes and all(isinstance(count, int) for count in expected.classes)
        if is_known and classes != list(expected.classes):
            wrong.append(f"{one} has {classes} by class, the table {list(expected.classes)}")
    told = f"MD5 {md5}: {known}; " + ("; ".join(wrong) or "rows and known class counts are those of the table")
    return Proof(in_force.name, "published file", path.name, "file", FAILS if wrong else PROVEN, told)


def census(in_force: Recipe, counted: list[tuple[str, int, int]]) -> Proof:
    """Whether the raw files have the known counts."""
    wrong = [f"{name} {found:,} of {expected:,}" for name, expected, found in counted if found != expected]
    more = any(found > expected for _, expected, found in counted)
    told = f"{len(counted) - len(wrong)} of {len(counted)} counts are the known ones"
    result = FAILS if more else PARTLY if wrong else PROVEN
    return Proof(
        in_force.name, "raw files", in_force.source, "census", result, "; ".join([told, ", ".join(wrong)]).rstrip("; ")
    )


def pairs(in_force: Recipe, folder: Path, samples: list[Sample], path: Path, seed: int) -> Iterator[Proof]:
    """Render every raw sample whose published row is known, and compare; then with each decision decided otherwise."""
    known = published.recognise(file_digest(path, "md5"), in_force.name)
    # a published file that is the raw itself proves nothing of its own pixels
    placed = [one for one in samples if one.released_index and not one.reason and folder / one.path != path]
    if known is None or not placed:
        return
    size = known.size
    theirs, labels = _published(path, placed)
    chosen = set(np.random.RandomState(seed).permutation(len(placed))[:TRIED].tolist())
    others = {
        (key, value): in_force.changed({key: value})
        for key in in_force.decisions
        for value in again.others(in_force, key, size)
        if not recipe.missing_package(key, value)
    }
    equal, same_label, tried = 0, 0, dict.fromkeys(others, 0)
    with ExitStack() as stack:
        ours = stack.enter_context(Renderer(in_force, folder, [size]))
        renderers = {name: Renderer(one, folder, [size], sharing=ours, forgets=True) for name, one in others.items()}
        for number, sample in enumerate(placed):
            wanted = theirs[sample.split, int(sample.released_index)]
            equal += _rendered(ours, sample, size) == wanted
            same_label += labels[sample.split, int(sample.released_index)] == sample.label
            if number in chosen:
                for name, renderer in renderers.items():
                    tried[name] += _rendered(renderer, sample, size) == wanted
    rows = f"at {size}"
    total = sum(counts.rows for counts in known.edition.counts.values())
    result = PROVEN if equal == len(placed) else FAILS if not equal else PARTLY
    told = (
        f"{equal:,} of {len(placed):,} rows whose raw is here are equal in every pixel {rows}, of {total:,} published"
    )
    yield Proof(in_force.name, "order", shown(in_force.value("order")), "pairs", result, told)
    told = f"{same_label:,} of {len(placed):,} rows have the published label"
    labelled = PROVEN if same_label == len(placed) else FAILS
    yield Proof(in_force.name, "label.map", "", "pairs", labelled, told)
    for key in dict.fromkeys(key for key, _ in others):
        values = {shown(value): count for (name, value), count in tried.items() if name == key}
        best = max(values.values())
        alike = [value for value, count in values.items() if count == best]
        told = f"{rows}, others on {len(chosen):,} rows: " + ", ".join(
            f"{value} {count}" for value, count in values.items()
        )
        decided = result if best < len(chosen) else NOT_TOLD_APART
        if best == len(chosen):
            told = f"{rows}, on {len(chosen):,} rows the same pixels as {', '.join(alike)}"
        yield Proof(in_force.name, key, shown(in_force.decisions[key].at(size)), "pairs", decided, told)


def _rendered(renderer: Renderer, sample: Sample, size: int) -> bytes | None:
    """Digest of a sample's pixels, or None where these decisions cannot make them."""
    try:
        return image_digest(renderer.render(sample).arrays[size])
    except (PreprocessError, ExcludeSample, ValueError):
        return None


def _published(path: Path, placed: list[Sample]) -> tuple[dict[tuple[str, int], bytes], dict[tuple[str, int], str]]:
    """Digest of the pixels, and label, of every published row that some samples name."""
    reader = npz.Reader(path)
    images: dict[tuple[str, int], bytes] = {}
    labels: dict[tuple[str, int], str] = {}
    for one in SPLITS:
        wanted = {int(sample.released_index) for sample in placed if sample.split == one}
        array: NDArray[np.uint8] = reader.array(f"{one}_labels")
        if strange := [place for place in wanted if place >= len(array)]:
            raise PreprocessError(f"{path}: has no row {one} {strange[0]}, which the order table names")
        for place, image in reader.pick(f"{one}_images", wanted):
            images[one, place] = image_digest(image)
            labels[one, place] = " ".join(map(str, array[place].tolist()))
    return images, labels


def built(base: Path, build: str, dataset: str) -> Iterator[Proof]:
    """What the verdict of a build that is there says."""
    finished = builds.find(base, build, dataset)
    if finished is None or finished.is_miniature or not finished.of("verdict").is_file():
        return
    for name, one in read_json(finished.of("verdict")).items():
        if one["verdict"] != "not comparable":
            whole = one["verdict"] != "rows" or one["identical"] == one["rows"]
            yield Proof(dataset, "all of the build", name, "build", PROVEN if whole else PARTLY, one["text"])


def table(proofs: list[Proof]) -> list[str]:
    """The proofs as lines for a terminal: decision, proof, result, and the figures below."""
    if not proofs:
        return ["nothing can be proven with the files at hand; put published files into <raw>/released"]
    wide = [max(len(getattr(one, name)) for one in proofs) for name in ("dataset", "decision", "proof", "result")]
    lines = []
    for one in proofs:
        cells = (one.dataset, one.decision, one.proof, one.result)
        head = "  ".join(cell.ljust(width) for cell, width in zip(cells, wide, strict=True))
        lines.append(f"{head}  {f'{one.value}: ' if one.value else ''}{one.detail}")
    tally = {result: sum(one.result == result for one in proofs) for result in (PROVEN, PARTLY, NOT_TOLD_APART, FAILS)}
    return [*lines, ", ".join(f"{count} {result}" for result, count in tally.items() if count)]
