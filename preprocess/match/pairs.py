"""Which raw sample each published row is: equal pixels first, the nearest with a margin second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from preprocess.match.features import Candidates, Published, all_axes, reduced_shape, turn
from preprocess.match.nearest import Finder
from preprocess.recipe import Recipe
from preprocess.table import Sample

#: the nearest is believed when it is closer than this share of the distance of the next different image
MARGIN = 0.8
#: rendered images that every order and direction of the axes is tried on
PROBED = 100


@dataclass
class Pair:
    """One published row, and the raw sample it is.

    Attributes:
        split: its split.
        index: its place in the split.
        label: its label, digits joined by spaces; empty for a tile of a montage.
        row: its place over all splits, in file order.
        sample: position of its raw sample; -1 where none was found.
        how: ``exact`` for equal pixels, ``nearest``, or empty.
        distance: root mean square difference of the (reduced) images; infinite where nothing was compared.
        margin: ``distance`` as a share of that of the next different candidate.
        others: keys of samples with the same pixels and label that it could be as well.
        note: a label that differs, or why no sample was found.
        closest: key of the nearest candidate where none was found.
    """

    split: str
    index: int
    label: str
    row: int
    sample: int = -1
    how: str = ""
    distance: float = inf
    margin: float = inf
    others: tuple[str, ...] = ()
    note: str = ""
    closest: str = ""


def find(published: Published, candidates: Candidates, samples: list[Sample], keep: dict[str, str]) -> list[Pair]:
    """Pair every published row with at most one raw sample, and each sample with at most one row.

    Samples with equal pixels are told apart by their label, then by the split their source keeps them
    in (``keep``: the source's name of a split -> the dataset's); what is left is named, not guessed away.
    """
    pairs = [
        Pair(split, index, label, row)
        for row, ((split, index), label) in enumerate(zip(published.places, published.labels, strict=True))
    ]
    by_digest: dict[bytes, list[int]] = defaultdict(list)
    for position, digest in enumerate(candidates.digests):
        if digest:
            by_digest[digest].append(position)
    taken: dict[int, Pair] = {}
    same: dict[bytes, list[Pair]] = defaultdict(list)
    for pair, digest in zip(pairs, published.digests, strict=True):
        same[digest].append(pair)
    for digest, members in same.items():
        if digest in by_digest:
            for pair in _settle(members, by_digest[digest], samples, keep, taken):
                pair.how, pair.distance, pair.margin = "exact", 0.0, 0.0
    _nearest(pairs, published, candidates, samples, keep, by_digest, taken)
    return pairs


def _settle(
    members: list[Pair], positions: list[int], samples: list[Sample], keep: dict[str, str], taken: dict[int, Pair]
) -> list[Pair]:
    """Give each row one of the samples whose pixels are equal; return the rows that got one."""
    given: list[Pair] = []
    for agree in (_label_and_split, _label, _any):
        for pair in members:
            if pair.sample >= 0:
                continue
            free = [position for position in positions if position not in taken]
            fitting = [position for position in free if agree(pair, samples[position], keep)]
            if fitting:
                _take(pair, fitting, samples, taken)
                given.append(pair)
    for pair in members:
        if pair.sample < 0:
            first = positions[0]
            pair.closest, pair.distance = samples[first].key, 0.0
            other = taken[first]
            pair.note = f"the pixels are those of {samples[first].key}, which is {other.split} {other.index}"
    return given


def _take(pair: Pair, fitting: list[int], samples: list[Sample], taken: dict[int, Pair]) -> None:
    pair.sample = fitting[0]
    taken[fitting[0]] = pair
    sample = samples[fitting[0]]
    pair.others = tuple(samples[position].key for position in fitting[1:])
    if pair.label and sample.label != pair.label:
        pair.note = f"label differs: published {pair.label}, raw {sample.label}"


def _label_and_split(pair: Pair, sample: Sample, keep: dict[str, str]) -> bool:
    kept = keep.get(sample.source_split)
    return sample.label == pair.label and (kept == pair.split if kept else pair.split not in keep.values())


def _label(pair: Pair, sample: Sample, keep: dict[str, str]) -> bool:
    return sample.label == pair.label


def _any(pair: Pair, sample: Sample, keep: dict[str, str]) -> bool:
    return True


def _nearest(
    pairs: list[Pair],
    published: Published,
    candidates: Candidates,
    samples: list[Sample],
    keep: dict[str, str],
    by_digest: dict[bytes, list[int]],
    taken: dict[int, Pair],
) -> None:
    left = [pair for pair in pairs if pair.sample < 0 and not pair.note]
    different = [positions[0] for positions in by_digest.values()]  # equal images stand for each other
    if not left or not different:
        return
    found = Finder(candidates.rows, different).nearest(published.rows, [pair.row for pair in left])
    margins, width = found.margins(), published.rows.width
    for number, pair in enumerate(left):
        pair.distance = sqrt(int(found.squares[number, 0]) / width)
        pair.margin = float(margins[number])
        pair.closest = samples[int(found.indices[number, 0])].key
    for number in sorted(range(len(left)), key=lambda one: (left[one].distance, one)):
        pair, position = left[number], int(found.indices[number, 0])
        if pair.margin > MARGIN:
            pair.note = f"no raw image is near: the next one is hardly farther than {pair.closest}"
            continue
        positions = by_digest[candidates.digests[position]]
        if _settle([pair], positions, samples, keep, taken):
            pair.how, pair.closest = "nearest", ""
        else:
            other = taken[position]
            pair.note = f"the nearest is {pair.closest}, which is {other.split} {other.index}"


def probe(recipe: Recipe, published: Published, candidates: Candidates, size: int, seed: int) -> str:
    """The order and direction of axes in which most of some rendered images find a row; as rendered if none does."""
    shape = reduced_shape(recipe, size)
    rendered = [position for position, digest in enumerate(candidates.digests) if digest]
    picked = np.random.RandomState(seed).permutation(rendered)[:PROBED].tolist()
    images = candidates.rows.take(picked).reshape(-1, *shape)
    first_of = {digest: row for row, digest in reversed(list(enumerate(published.digests)))}
    finder = Finder(published.rows, sorted(first_of.values()))
    count = {}
    for axes in all_axes(recipe.dimensions):
        turned = np.stack([turn(image, axes).ravel() for image in images])
        count[axes] = int(np.count_nonzero(finder.of(turned).margins() <= MARGIN))
    return max(count, key=lambda axes: count[axes])


def matched(pairs: Iterable[Pair]) -> list[Pair]:
    """The rows whose raw sample is known."""
    return [pair for pair in pairs if pair.sample >= 0]
