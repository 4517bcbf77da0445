"""The match command: from a published file and the raw source to an order table and a table of decisions."""

from __future__ import annotations

import itertools
import logging
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preprocess import published
from preprocess.checksums import file_digest
from preprocess.errors import PreprocessError
from preprocess.files import atomic_folder
from preprocess.match import labelling, page, tiles
from preprocess.match.features import (
    Candidates,
    Published,
    Rendering,
    as_rendered,
    factor,
    published_digests,
    published_images,
    read_published,
    render,
)
from preprocess.match.pairs import Pair, find, matched, probe
from preprocess.match.ranking import AXES, WHOLE_RECIPE, Ranking, SamplePixels, Tried, as_text, differing, same_pixels
from preprocess.recipe import Recipe
from preprocess.table import Sample, read_samples, write_rows

log = logging.getLogger(__name__)

#: rows that decisions are ranked on, by dimensions; ties are told apart on FURTHER times as many
RANKED = {2: 200, 3: 40}
FURTHER = 5
#: bytes of published images that are held at once
HELD = 64 * 2**20
ROUNDS = 3
ORDER_COLUMNS = ("split", "index", "image_id", "label", "how", "difference", "margin", "others", "note")
UNMATCHED_COLUMNS = ("split", "index", "label", "nearest", "difference", "margin", "reason")
DECISION_COLUMNS = (
    "size", "decision", "value", "best", "in_force", "exact", "rows", "mean_abs_difference", "compared", "note",
)  # fmt: skip


#: what images are matched with
Source = published.File | tiles.Montage


@dataclass
class Sized:
    """What was found at one size.

    Attributes:
        file: the published file.
        ranking: the best recipe and all that was tried.
        exact: rows equal in every pixel by the best recipe, among all whose raw is known.
        rows: how many those are.
        difference: their mean absolute difference; None where images were reduced for comparing.
        shown: rows side by side, the worst first.
    """

    file: Source
    ranking: Ranking
    exact: int
    rows: int
    difference: float | None
    shown: list[page.Shown]


@dataclass(frozen=True)
class _Job:
    """What does not change during one match."""

    recipe: Recipe
    folder: Path
    samples: list[Sample]
    known: dict[int, tuple[Source, Path]]
    store: Path
    workers: int
    seed: int


@dataclass(frozen=True)
class MatchFiles:
    """What a match reads.

    Attributes:
        raw: the source's raw folder.
        index: the dataset's index.
        published: published npz of the dataset, of one or more sizes, or montages of its tiles.
    """

    raw: Path
    index: Path
    published: list[Path]


def match(recipe: Recipe, files: MatchFiles, out: Path, workers: int, seed: int, rehearsal: int = 0) -> list[str]:
    """Find the raw sample of every published row and rank the decisions; write ``out``, a folder.

    Args:
        recipe: the recipe to start from.
        files: what it reads.
        out: gets ``order.csv``, ``unmatched.csv``, ``decisions.tsv`` and ``index.html``.
        workers: processes to render with.
        seed: picks the rows that decisions are ranked on.
        rehearsal: how many samples a rehearsal drew, where the table holds those alone; 0 for a match of all.

    Returns:
        what a user wants to read at the end.

    Raises:
        PreprocessError: a file is not a published one of this dataset, or nothing can be rendered.
    """
    known = recognise(recipe, files.published)
    samples = [sample for sample in read_samples(files.index) if not sample.reason]
    with atomic_folder(out) as part:
        job = _Job(recipe, files.raw, samples, known, part / "store", workers, seed)
        job.store.mkdir()
        pairs, found = _search(job)
        if matched(pairs):
            found |= {size: _other_size(job, pairs, found[min(known)].ranking.axes, size) for size in sorted(known)[1:]}
        shutil.rmtree(job.store)
        _write_tables(part, pairs, samples, found)
        summary = _summary(recipe, pairs, samples, found)
        if rehearsal:
            told = f"a rehearsal on {len(samples):,} samples: the rows of all others find no raw image"
            summary.insert(0, f"{recipe.name}: {told}")
        page.write(
            part / "index.html",
            recipe=recipe,
            file=known[min(known)][0],
            tiles=isinstance(known[min(known)][0], tiles.Montage),
            pairs=pairs,
            found=found,
            summary=summary,
            grouped=grouped,
            as_text=as_text,
        )
    return summary


def recognise(recipe: Recipe, files: list[Path]) -> dict[int, tuple[Source, Path]]:
    """The files by size: npz recognised by their MD5, montages by their names.

    Raises:
        PreprocessError: a file is none of the published ones of this dataset, or of another version, or there are
            two of a size.
    """
    known: dict[int, tuple[Source, Path]] = {}
    for path in files:
        file = tiles.recognise(path, recipe.name) if path.suffix == tiles.SUFFIX else _published(recipe, path)
        log.info("%s: %s", path, file)
        if file.size in known:
            raise PreprocessError(f"{path}: {known[file.size][1]} is of the same size; take one of them away")
        known[file.size] = (file, path)
    editions = {file.edition.first for file, _ in known.values() if isinstance(file, published.File)}
    if len(editions) > 1:
        raise PreprocessError(f"{files[0].parent}: files of {recipe.name} are of different versions; keep one version")
    return known


def _published(recipe: Recipe, path: Path) -> published.File:
    md5 = file_digest(path, "md5")
    file = published.identify(md5)
    if file is None or file.dataset != recipe.name:
        what = str(file) if file else "none of the published files"
        raise PreprocessError(f"{path}: is {what} (MD5 {md5}); download it again, or take it away")
    return file


def _search(job: _Job) -> tuple[list[Pair], dict[int, Sized]]:
    """Match at the smallest size and rank, and match once more by what was best, until that changes nothing."""
    size = min(job.known)
    file, path = job.known[size]
    theirs = read_published(path, job.recipe, size, job.store / "published")
    used, axes, ranking = job.recipe, as_rendered(job.recipe.dimensions), None
    ours, pairs = _pair(job, theirs, used, axes, size)
    if 2 * len(matched(pairs)) < min(len(pairs), len(job.samples)):
        lies = probe(job.recipe, theirs, ours, size, job.seed)
        log.info("few rows found; the axes that find most: %s", lies)
        if lies != axes:
            axes = lies
            ours, pairs = _pair(job, theirs, used, axes, size)
    for _ in range(ROUNDS):
        if not matched(pairs):
            return pairs, {}
        ranking = Ranking(job.recipe, job.folder, size, used, axes)
        _rank(job, ranking, pairs, path)
        if same_pixels(ranking.best, used, size) and ranking.axes == axes:
            break
        used, axes = ranking.best, ranking.axes
        ours, pairs = _pair(job, theirs, used, axes, size)
    assert ranking is not None
    ranking.tried += labelling.rank(job.recipe, job.samples, pairs)
    rows = matched(pairs)
    inexact = [pair for pair in rows if theirs.digests[pair.row] != ours.digests[pair.sample]]
    worst = sorted(inexact, key=lambda pair: (-pair.distance, pair.row))
    shown = page.side_by_side(ranking, job.folder, job.samples, worst, rows, path)
    mean = _difference(rows, theirs, ours) if factor(size) == 1 else None
    return pairs, {size: Sized(file, ranking, len(rows) - len(inexact), len(rows), mean, shown)}


def _pair(job: _Job, theirs: Published, used: Recipe, axes: str, size: int) -> tuple[Candidates, list[Pair]]:
    ours = render(Rendering(used, job.folder, size, axes), job.samples, job.store / "raw", job.workers)
    if not any(ours.digests):
        raise PreprocessError(f"{job.folder}: no sample of {job.recipe.name} can be rendered from what is there")
    pairs = find(theirs, ours, job.samples, job.recipe.value("split.keep") or {})
    log.info("%d of %d rows found", len(matched(pairs)), len(pairs))
    return ours, pairs


def _rank(job: _Job, ranking: Ranking, pairs: list[Pair], path: Path) -> None:
    """Rank on some rows whose raw is known, picked by the seed."""
    known = matched(pairs)
    picked = np.random.RandomState(job.seed).permutation(len(known)).tolist()
    few = RANKED[job.recipe.dimensions]
    most = max(few, min(few * FURTHER, HELD // math.prod(job.recipe.shape(ranking.size))))

    def images(count: int) -> SamplePixels:
        chosen = sorted((known[i] for i in picked[:count]), key=lambda pair: pair.sample)
        wanted = {(pair.split, pair.index) for pair in chosen}
        published_rows = published_images(path, job.recipe.shape(ranking.size), wanted)
        return [(job.samples[pair.sample], published_rows[pair.split, pair.index]) for pair in chosen]

    ranking.run(images(few), lambda: images(most))


def _difference(rows: list[Pair], theirs: Published, ours: Candidates) -> float:
    """Mean absolute difference over all rows found."""
    total = 0.0
    for pair in rows:
        one, other = theirs.rows.block(pair.row, pair.row + 1), ours.rows.block(pair.sample, pair.sample + 1)
        total += float(np.abs(one.astype(np.int16) - other).mean())
    return total / len(rows)


def _other_size(job: _Job, pairs: list[Pair], axes: str, size: int) -> Sized:
    """Rank the decisions of a further size on the rows found at the first, and confirm on all of them."""
    file, path = job.known[size]
    ranking = Ranking(job.recipe, job.folder, size, job.recipe, axes)
    _rank(job, ranking, pairs, path)
    rows = sorted(matched(pairs), key=lambda pair: pair.sample)
    wanted = [job.samples[pair.sample] for pair in rows]
    how = Rendering(ranking.best, job.folder, size, ranking.axes)
    ours = render(how, wanted, job.store / str(size), job.workers)
    digests = published_digests(path, job.recipe.shape(size))
    inexact = [pair for pair, digest in zip(rows, ours.digests, strict=True) if digests[pair.row] != digest]
    shown = page.side_by_side(ranking, job.folder, job.samples, inexact, rows, path)
    return Sized(file, ranking, len(rows) - len(inexact), len(rows), None, shown)


def _write_tables(folder: Path, pairs: list[Pair], samples: list[Sample], found: dict[int, Sized]) -> None:
    write_rows(
        folder / "order.csv",
        ORDER_COLUMNS,
        (
            (
                pair.split, pair.index, samples[pair.sample].key, pair.label, pair.how, f"{pair.distance:.3f}",
                f"{pair.margin:.3f}", " | ".join(pair.others), pair.note,
            )
            for pair in matched(pairs)
        ),
        delimiter=",",
    )  # fmt: skip
    write_rows(
        folder / "unmatched.csv",
        UNMATCHED_COLUMNS,
        (
            (pair.split, pair.index, pair.label, pair.closest, f"{pair.distance:.3f}", f"{pair.margin:.3f}", pair.note)
            for pair in pairs
            if pair.sample < 0
        ),
        delimiter=",",
    )
    write_rows(folder / "decisions.tsv", DECISION_COLUMNS, decision_rows(found))


def grouped(tried: list[Tried]) -> dict[str, list[Tried]]:
    """What was tried by decision, the best value first."""

    def rank(one: Tried) -> tuple[bool, tuple[int, float], bool]:
        return one.score is None, one.score.rank if one.score else (0, 0.0), not one.best

    keys = dict.fromkeys(one.decision for one in tried)
    return {key: sorted((one for one in tried if one.decision == key), key=rank) for key in keys}


def decision_rows(found: dict[int, Sized]) -> list[tuple[object, ...]]:
    """The lines of ``decisions.tsv``: the best recipe on all rows, then every alternative on a sample."""
    lines: list[tuple[object, ...]] = []
    for size, sized in found.items():
        best = " ".join(
            f"{one.decision}={as_text(one.value)}"
            for one in sized.ranking.tried
            if one.best and not one.decision.startswith("label.")
        )  # fmt: skip
        is_ours = _is_in_force(sized, sized.ranking.in_force, size)
        lines.append(
            (size, "all", best, "yes", "yes" if is_ours else "", sized.exact, sized.rows,
             _figure(sized.difference), "all rows found", "")
        )  # fmt: skip
        for one in itertools.chain(*grouped(sized.ranking.tried).values()):
            marks = ("yes" if one.best else "", "yes" if one.in_force else "")
            figures: tuple[object, ...] = ("", "", "", "", one.note)
            if (score := one.score) is not None:
                compared = "all rows found" if score.rows == sized.rows else "sample"
                trouble = f"{score.failed} could not be rendered" if score.failed else ""
                figures = (score.exact, score.rows, _figure(score.difference), compared, trouble)
            lines.append((size, one.decision, as_text(one.value), *marks, *figures))
    return lines


def _is_in_force(sized: Sized, recipe: Recipe, size: int) -> bool:
    as_it_is = sized.ranking.axes == as_rendered(recipe.dimensions)
    return as_it_is and same_pixels(sized.ranking.best, recipe, size)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _summary(recipe: Recipe, pairs: list[Pair], samples: list[Sample], found: dict[int, Sized]) -> list[str]:
    known = matched(pairs)
    exact = sum(pair.how == "exact" for pair in known)
    lines = [
        f"{recipe.name}: {len(known):,} of {len(pairs):,} published rows found, {exact:,} by equal pixels and "
        f"{len(known) - exact:,} as the nearest with a margin; {len(pairs) - len(known):,} rows have no raw image, "
        f"{len(samples) - len(known):,} of {len(samples):,} raw images are no row"
    ]
    if labels := sum(pair.note.startswith("label differs") for pair in known):
        lines.append(f"{recipe.name}: {labels:,} rows have another label than their raw image")
    for one in (one for sized in found.values() for one in sized.ranking.tried):
        if one.decision.startswith("label.") and one.best and not one.in_force and one.score:
            lines.append(
                f"{recipe.name}: {one.decision}: not the one in force but {as_text(one.value)} gives most published "
                f"labels, {one.score.exact:,} of {one.score.rows:,}"
            )
    if several := sum(bool(pair.others) for pair in known):
        lines.append(f"{recipe.name}: {several:,} rows have several raw images with the same pixels and label")
    for size, sized in found.items():
        figure = f"{sized.exact:,} of {sized.rows:,} rows found are exact"
        changes = differing(sized.ranking.best, recipe, size)
        if not _is_in_force(sized, recipe, size):
            told = ", ".join(f"{key}: {as_text(value)}" for key, value in changes.items())
            if sized.ranking.best.steps != recipe.steps:
                told = f"the steps of the {sized.ranking.best.protocol} recipe, {told}"
            if sized.ranking.axes != as_rendered(recipe.dimensions):
                told = f"{AXES}: {sized.ranking.axes} (what no recipe decides){', ' if told else ''}{told}"
            ours = next(one.score for one in sized.ranking.tried if one.decision == WHOLE_RECIPE and one.in_force)
            assert ours is not None
            lines.append(
                f"{recipe.name} {size}: the best decisions are not those in force: {told}: {figure}; "
                f"in force {ours.exact:,} of {ours.rows:,} of a sample"
            )
        else:
            lines.append(f"{recipe.name} {size}: the decisions in force are the best: {figure}")
    return lines
