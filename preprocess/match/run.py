"""The match command: from a published file and the raw source to an order table and a table of decisions."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preprocess import published
from preprocess.checksums import file_digest
from preprocess.errors import PreprocessError
from preprocess.files import atomic_folder
from preprocess.match import page
from preprocess.match.features import (
    Candidates,
    Published,
    factor,
    published_digests,
    published_images,
    read_published,
    render,
)
from preprocess.match.pairs import Pair, find, matched
from preprocess.match.ranking import WHOLE_RECIPE, Ranking, Rows, Score, Tried, as_text, differing, same_pixels
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


@dataclass
class Sized:
    """What was found at one size.

    Attributes:
        file: the published file.
        ranking: the best recipe and all that was tried.
        confirmed: how the best recipe did on every row whose raw is known; its difference is left out
            where images were reduced for comparing.
    """

    file: published.File
    ranking: Ranking
    confirmed: Score
    difference: float | None


def match(
    recipe: Recipe, folder: Path, index_table: Path, files: list[Path], out: Path, workers: int, seed: int
) -> list[str]:
    """Find the raw sample of every published row and rank the decisions; write ``out``, a folder.

    Args:
        recipe: the recipe to start from.
        folder: the source's raw folder.
        index_table: the dataset's index.
        files: published npz of the dataset, of one or more sizes.
        out: gets ``order.csv``, ``unmatched.csv``, ``decisions.tsv`` and ``index.html``.
        workers: processes to render with.
        seed: picks the rows that decisions are ranked on.

    Returns:
        what a user wants to read at the end.

    Raises:
        PreprocessError: a file is not a published one of this dataset, or nothing can be rendered.
    """
    known = verify(recipe, files)
    samples = [sample for sample in read_samples(index_table) if not sample.excluded]
    with atomic_folder(out) as part:
        store = part / "store"
        store.mkdir()
        size = min(known)
        theirs = read_published(known[size][1], recipe, size, store / "published")
        pairs, ranking, ours = _search(recipe, folder, samples, theirs, known[size][1], size, store, workers, seed)
        found = {size: _confirm_here(known[size][0], ranking, pairs, theirs, ours, size)} if ranking else {}
        for other in sorted(known)[1:]:
            if matched(pairs):
                found[other] = _other_size(
                    recipe, folder, samples, pairs, known[other], other, store / str(other), workers, seed
                )
        shutil.rmtree(store)
        best = ranking.best if ranking else recipe
        _write_tables(part, pairs, samples, found)
        summary = _summary(recipe, pairs, samples, found)
        worst = page.worst(best, folder, samples, pairs, known[size][1], size)
        page.write(
            part / "index.html",
            recipe=recipe,
            file=known[size][0],
            pairs=pairs,
            found=found,
            worst=worst,
            summary=summary,
            ranked=ranked,
            as_text=as_text,
        )
    return summary


def verify(recipe: Recipe, files: list[Path]) -> dict[int, tuple[published.File, Path]]:
    """The files by size, each recognised by its MD5.

    Raises:
        PreprocessError: a file is none of the published ones of this dataset, or of another version.
    """
    known: dict[int, tuple[published.File, Path]] = {}
    for path in files:
        md5 = file_digest(path, "md5")
        file = published.identify(md5)
        if file is None or file.dataset != recipe.name:
            what = str(file) if file else "none of the published files"
            raise PreprocessError(f"{path}: is {what} (MD5 {md5}); download it again, or take it away")
        log.info("%s: %s", path, file)
        known[file.size] = (file, path)
    editions = {file.edition.first for file, _ in known.values()}
    if len(editions) > 1:
        raise PreprocessError(f"{files[0].parent}: files of {recipe.name} are of different versions; keep one version")
    return known


def _search(
    recipe: Recipe,
    folder: Path,
    samples: list[Sample],
    theirs: Published,
    path: Path,
    size: int,
    store: Path,
    workers: int,
    seed: int,
) -> tuple[list[Pair], Ranking | None, Candidates]:
    """Match, rank, and match once more by what was best, until that changes nothing."""
    keep = recipe.value("split.keep") or {}
    used, ranking = recipe, None
    for turn in range(ROUNDS):
        ours = render(used, folder, samples, size, store / f"raw-{turn}", workers)
        if not any(ours.digests):
            raise PreprocessError(f"{folder}: no sample of {recipe.name} can be rendered from what is there")
        pairs = find(theirs, ours, samples, keep)
        log.info("round %d: %d of %d rows found", turn + 1, len(matched(pairs)), len(pairs))
        if not matched(pairs):
            return pairs, None, ours
        ranking = Ranking(recipe, folder, size, used)
        _rank(ranking, samples, pairs, path, seed)
        if same_pixels(ranking.best, used, size):
            break
        used = ranking.best
    return pairs, ranking, ours


def _rank(ranking: Ranking, samples: list[Sample], pairs: list[Pair], path: Path, seed: int) -> None:
    """Rank on some rows whose raw is known, picked by the seed."""
    known = matched(pairs)
    picked = np.random.RandomState(seed).permutation(len(known)).tolist()
    recipe, size = ranking.in_force, ranking.size
    few = RANKED[recipe.dimensions]
    most = max(few, min(few * FURTHER, HELD // int(np.prod(recipe.shape(size)))))

    def images(count: int) -> Rows:
        chosen = sorted((known[i] for i in picked[:count]), key=lambda pair: pair.sample)
        published_rows = published_images(path, {(pair.split, pair.index) for pair in chosen})
        return [(samples[pair.sample], published_rows[pair.split, pair.index]) for pair in chosen]

    ranking.run(images(few), lambda: images(most))


def _confirm_here(
    file: published.File, ranking: Ranking, pairs: list[Pair], theirs: Published, ours: Candidates, size: int
) -> Sized:
    known = matched(pairs)
    exact = sum(theirs.digests[pair.row] == ours.digests[pair.sample] for pair in known)
    difference = None
    if factor(size) == 1:
        total = 0.0
        for pair in known:
            one, other = theirs.rows.block(pair.row, pair.row + 1), ours.rows.block(pair.sample, pair.sample + 1)
            total += float(np.abs(one.astype(np.int16) - other).mean())
        difference = total / len(known)
    return Sized(file, ranking, Score(exact, len(known)), difference)


def _other_size(
    recipe: Recipe,
    folder: Path,
    samples: list[Sample],
    pairs: list[Pair],
    known: tuple[published.File, Path],
    size: int,
    store: Path,
    workers: int,
    seed: int,
) -> Sized:
    """Rank the decisions of a further size on the rows found at the first, and confirm on all of them."""
    file, path = known
    ranking = Ranking(recipe, folder, size, recipe)
    _rank(ranking, samples, pairs, path, seed)
    paired = sorted(matched(pairs), key=lambda pair: pair.sample)
    ours = render(ranking.best, folder, [samples[pair.sample] for pair in paired], size, store, workers)
    digests = published_digests(path)
    exact = sum(digests[pair.row] == digest for pair, digest in zip(paired, ours.digests, strict=True))
    return Sized(file, ranking, Score(exact, len(paired)), None)


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


def ranked(tried: list[Tried]) -> list[Tried]:
    """What was tried, decision by decision, the best value first."""
    order = list(dict.fromkeys(one.decision for one in tried))

    def rank(one: Tried) -> tuple[int, bool, tuple[int, float], bool]:
        score = one.score.rank if one.score else (1, 0.0)
        return order.index(one.decision), one.score is None, score, not one.best

    return sorted(tried, key=rank)


def decision_rows(found: dict[int, Sized]) -> list[tuple[Any, ...]]:
    """The lines of ``decisions.tsv``: the best recipe on all rows, then every alternative on a sample."""
    lines: list[tuple[Any, ...]] = []
    for size, sized in found.items():
        best = " ".join(
            f"{one.decision}={as_text(one.value)}" for one in sized.ranking.tried if one.best
        )  # fmt: skip
        is_ours = same_pixels(sized.ranking.best, sized.ranking.in_force, size)
        lines.append(
            (size, "all", best, "yes", "yes" if is_ours else "", sized.confirmed.exact, sized.confirmed.rows,
             _figure(sized.difference), "all rows found", "")
        )  # fmt: skip
        for one in ranked(sized.ranking.tried):
            marks = ("yes" if one.best else "", "yes" if one.in_force else "")
            figures: tuple[Any, ...] = ("", "", "", "", one.note)
            if (score := one.score) is not None:
                compared = "all rows found" if score.rows == sized.confirmed.rows else "sample"
                trouble = f"{score.failed} could not be rendered" if score.failed else ""
                figures = (score.exact, score.rows, _figure(score.difference), compared, trouble)
            lines.append((size, one.decision, as_text(one.value), *marks, *figures))
    return lines


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
    if several := sum(bool(pair.others) for pair in known):
        lines.append(f"{recipe.name}: {several:,} rows have several raw images with the same pixels and label")
    for size, sized in found.items():
        figure = f"{sized.confirmed.exact:,} of {sized.confirmed.rows:,} rows found are exact"
        changes = differing(sized.ranking.best, recipe, size)
        if not same_pixels(sized.ranking.best, recipe, size):
            told = ", ".join(f"{key}: {as_text(value)}" for key, value in changes.items())
            if sized.ranking.best.steps != recipe.steps:
                told = f"the steps of the {sized.ranking.best.protocol} recipe, {told}"
            ours = next(one.score for one in sized.ranking.tried if one.decision == WHOLE_RECIPE and one.in_force)
            assert ours is not None
            lines.append(
                f"{recipe.name} {size}: the best decisions are not those in force: {told}: {figure}; "
                f"in force {ours.exact:,} of {ours.rows:,} of a sample"
            )
        else:
            lines.append(f"{recipe.name} {size}: the decisions in force are the best: {figure}")
    return lines
