"""Pictures that are the same to the pixel, or look alike, mirrored and turned copies included.

Near duplicates share a 272-bit difference hash within a Hamming distance of 12, and their cells correlate by 0.985 or
more, as they are or after one of them was mirrored or turned by quarters. Each bit of the hash says whether a cell of a
17 x 17 grid of gray is darker than the next by more than 2 levels, so that noise does not decide it on an even
background. There are two hashes, by the next cell to the right and by the next one above, and one has to be near. The
distance is that of a public audit of BUSI, where 12 of 256 bits finds 88 pairs; the correlation keeps chest X-rays
and organ slices apart, which resemble each other as a kind. ``python -m benchmarks.near_duplicates`` measures on real
pictures what is found of planted copies, by the kind of change, and that unrelated pictures make no pair. What is
missed: a cropped copy, a turn by other angles, and a copy of a picture that has hardly any contrast.

Of a volume its mean along the first axis is compared. So the eight turns are those in the plane of the other two axes;
volumes that mirror each other along the first are the same to it, and other turns of the cube are not seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.cells import SIDE

THRESHOLD = 12
CORRELATION = 0.985
#: levels of gray that noise and JPEG leave between cells of an even background
MARGIN = 2
BITS = SIDE * (SIDE - 1)
#: parts of a hash, one more than bits may differ
PARTS = THRESHOLD + 1
#: a hash with fewer set (or unset) bits than this is of a flat picture, which resembles every other flat one
MIN_CONTRAST = 24
#: after so many pairs only those are kept that link pictures which none links yet
LIMIT = 100_000
#: how the second picture of a pair lies to the first: mirrored left to right or not, then turned counterclockwise
TURNS = (
    "same", "turned 90", "turned 180", "turned 270",
    "mirrored", "mirrored, turned 90", "mirrored, turned 180", "mirrored, turned 270",
)  # fmt: skip
#: the turns by which the hash sees a picture: from left to right, and from top to bottom
DIRECTIONS = (0, 1)
#: the turns that are looked for along each: by quarter turns a picture is seen along both in any case
SEEN_ALONG = (range(8), (0, 2, 4, 6))
#: what the pixel-identical have in the place of a turn
IDENTICAL = "identical"

#: rows whose bits are computed together, and the rows of a block of all pairs
BLOCK = 2048
#: candidates that are looked at together
CHUNK = 1 << 16
#: of hashes that share a part with so many others, the rest are looked up one hash after another
STEPS = 64
#: main axes of the cells, along which pictures are compared before anything else where all pairs are
AXES = 32
#: rows that the main axes are found by
FIT = 4096

Bits = NDArray[np.uint64]
Cells = NDArray[np.uint8]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two rows that look alike.

    Attributes:
        first: the lower row number.
        second: the higher one.
        distance: Hamming distance of their hashes, 0 for the same pixels.
        turn: what the second is of the first, one of :data:`TURNS`, or :data:`IDENTICAL`.
    """

    first: int
    second: int
    distance: int
    turn: str


def exact(digests: Iterable[bytes]) -> list[list[int]]:
    """Row numbers that share a digest, in groups of two and more, in order of first appearance."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        groups[digest].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def turned(cells: Cells, turn: int) -> Cells:
    """Cells (..., 17, 17), or pictures (..., H, W), as :data:`TURNS` has it at that place."""
    return np.rot90(cells[..., ::-1] if turn >= 4 else cells, turn % 4, axes=(-2, -1))


def back(turn: int) -> int:
    """The turn that undoes another: a mirrored picture is its own."""
    return turn if turn >= 4 else -turn % 4


def difference_hash(cells: Cells) -> NDArray[np.bool_]:
    """The 272 bits of (..., 17, 17) cells: which are darker than their right neighbour, by more than a trifle."""
    # the difference of uint8 runs over where the right one is darker: that is asked first
    bits = (cells[..., :-1] < cells[..., 1:]) & (cells[..., 1:] - cells[..., :-1] > MARGIN)
    return bits.reshape(*cells.shape[:-2], BITS)


def near(cells: Cells, limit: int = LIMIT, all_pairs: bool | None = None) -> list[NearPair]:
    """The pairs of rows of ``cells`` (N, 17, 17) that are near duplicates, in order.

    Two hashes within the distance agree in at least one of 13 parts of their bits, so only pairs that share a part
    are compared. With ``all_pairs`` every pair is, by the main axes of their cells first; by default that is done where
    it is less work. Both ways find the same pairs. Flat pictures are not compared. A pair that looks alike in several
    turns, as of pictures that are symmetrical, has the one with the smallest distance.

    Where there are more than ``limit`` pairs, the others are those that link what the first do not: clusters are whole.
    """
    if len(cells) < 2:
        return []
    base = _Hashes.of(cells, 0)
    if all_pairs is None:
        all_pairs = share_much(base)
    found = _Found(len(cells), limit)
    for turn, one, other, distance in _of_all(cells) if all_pairs else _sharing(cells, base):
        found.add(turn, one, other, distance)
    return found.pairs()


def clusters(count: int, pairs: Iterable[tuple[int, int]]) -> Ints:
    """The first row of the cluster of each of ``count`` rows: of all that pairs link, directly or by others."""
    links = np.array(list(pairs), np.int64).reshape(-1, 2)
    labels = _linked(count, links[:, 0], links[:, 1])
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[place], np.int64)


def alike(digests: Iterable[bytes], cells: Cells) -> list[NearPair]:
    """All pairs of rows: those with one digest, each with the first of them, and near duplicates, in order.

    Args:
        digests: one for each row, that stands for its pixels.
        cells: (N, 17, 17).
    """
    same = exact(digests)
    first_of = {row: rows[0] for rows in same for row in rows}
    pairs = [NearPair(rows[0], row, 0, IDENTICAL) for rows in same for row in rows[1:]]
    pairs += [pair for pair in near(cells) if first_of.get(pair.first, -1) != first_of.get(pair.second, -2)]
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _linked(count: int, one: Ints, other: Ints) -> NDArray[np.int32]:
    if not len(one):  # scipy takes longer to load than all of this
        return np.arange(count, dtype=np.int32)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(count, count))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


class _Found:
    """Pairs as they are found, each once."""

    def __init__(self, count: int, limit: int) -> None:
        self._count, self._limit = count, limit
        self._rows = np.zeros((0, 4), np.int64)  # first, second, distance, turn

    def add(self, turn: int, one: Ints, other: Ints, distance: Ints) -> None:
        """Add pairs of which the other, turned, looks like the one."""
        if not len(one):
            return
        is_first = one < other
        rows = np.column_stack([
            np.minimum(one, other), np.maximum(one, other), distance, np.where(is_first, back(turn), turn)
        ])  # fmt: skip
        if len(self._rows) >= self._limit:
            rows = self._linking(rows)
        rows = np.concatenate([self._rows, rows])
        order = np.lexsort(rows.T[[3, 2, 1, 0]])
        rows = rows[order]
        is_new = np.ones(len(rows), bool)
        is_new[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
        self._rows = rows[is_new]

    def _linking(self, rows: Ints) -> Ints:
        """Those of some pairs that are known already, perhaps in another turn, or link what no pair links yet."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import minimum_spanning_tree

        known = self._rows[:, 0] * self._count + self._rows[:, 1]
        again = np.isin(rows[:, 0] * self._count + rows[:, 1], known)
        labels = _linked(self._count, self._rows[:, 0], self._rows[:, 1])
        one, other = labels[rows[:, 0]], labels[rows[:, 1]]
        # of the pairs that link the same two clusters one, and of a circle of clusters all links but one
        links, place = np.unique(np.sort(np.column_stack([one, other]), axis=1), axis=0, return_index=True)
        place, links = place[links[:, 0] != links[:, 1]], links[links[:, 0] != links[:, 1]]
        graph = coo_array((np.arange(1, len(links) + 1), (links[:, 0], links[:, 1])), shape=(self._count, self._count))
        chosen = place[minimum_spanning_tree(graph).tocoo().data.astype(np.int64) - 1]
        return np.asarray(rows[np.union1d(np.flatnonzero(again), chosen)])

    def pairs(self) -> list[NearPair]:
        """All of them, in order."""
        return [NearPair(first, second, distance, TURNS[turn]) for first, second, distance, turn in self._rows.tolist()]


# ---- pairs that share a part of their hashes


def _layout() -> tuple[Ints, tuple[tuple[int, int, int, int], ...]]:
    """Where the bits of a hash go, and the parts it falls into.

    Turned upside down, a bit changes places with that of the row as far from the other edge. So the upper bits are two
    words, the lower ones two more in the same order, and the middle row is in a fifth: a hash upside down is the same
    words in another order. A part is some upper bits, spread over the picture so that a smooth one does not decide them
    all at once, the lower ones in their place, and some of the middle row; every bit is in one part.

    Returns:
        the bits in the order of the words, (272,), and of each part the first of its upper bits and how many, and the
        same of its bits in the fifth word.
    """
    columns = SIDE - 1
    places = np.arange(BITS).reshape(SIDE, columns)
    upper, lower = places[: SIDE // 2], places[: SIDE // 2 : -1]
    colour = (2 * np.arange(SIDE // 2)[:, None] + np.arange(columns)).ravel() % PARTS
    order = np.argsort(colour, kind="stable")
    counts = np.bincount(colour, minlength=PARTS)
    of_middle = np.full(PARTS, columns // PARTS)
    of_middle[np.argsort(counts, kind="stable")[: columns % PARTS]] += 1
    firsts = (np.cumsum(counts) - counts, np.cumsum(of_middle) - of_middle)
    parts = np.column_stack([firsts[0], counts, firsts[1], of_middle]).tolist()
    middle = places[SIDE // 2, np.arange(columns) * 7 % columns]
    return np.concatenate([upper.ravel()[order], lower.ravel()[order], middle]), tuple(map(tuple, parts))


ORDER, LAYOUT = _layout()
#: the quarter turns in the order in which what is held against each other stands one after another
_QUARTERS = (0, 1, 3, 2)
#: the turn of a pair by the quarter turns of the two, as they are and with the second upside down
_TURN_OF = {
    (0, 0): (0, 6), (0, 1): (1, 5), (0, 2): (2, 4), (0, 3): (3, 7),
    (1, 1): (0, 4), (1, 3): (2, 6),
}  # fmt: skip


@dataclass(frozen=True)
class _Hashes:
    """The hashes of all rows after quarter turns: those of mirrored pictures are the same upside down.

    Attributes:
        words: (5, M) the bits, packed as :func:`_layout` says.
        flat: (M,) whether the picture is flat, which resembles every other flat one.
    """

    words: Bits
    flat: NDArray[np.bool_]

    @classmethod
    def of(cls, cells: Cells, quarter: int) -> _Hashes:
        """Hash all rows after a quarter turn, a block at a time."""
        words = np.zeros((5, len(cells)), np.uint64)
        flat = np.zeros(len(cells), bool)
        for start in range(0, len(cells), BLOCK):
            rows = slice(start, start + BLOCK)
            bits = difference_hash(turned(cells[rows], quarter))
            words[:, rows] = _packed(bits.take(ORDER, axis=1))
            flat[rows] = _flat(bits)
        return cls(words, flat)

    @classmethod
    def joined(cls, several: Sequence[_Hashes]) -> _Hashes:
        """The hashes of several turns, one after another."""
        return cls(
            np.concatenate([one.words for one in several], axis=1), np.concatenate([one.flat for one in several])
        )

    def part(self, number: int, places: Ints | slice = slice(None)) -> NDArray[np.uint32]:
        """A part of some hashes as a number: the same upside down."""
        first, count, first_of_middle, of_middle = LAYOUT[number]
        upper, lower = (self._bits(words, first, count, places) for words in (self.words[:2], self.words[2:4]))
        middle = self._bits(self.words[4:], first_of_middle, of_middle, places)
        low, high = np.minimum(upper, lower), np.maximum(upper, lower)
        return np.asarray((low << np.uint32(count) | high) << np.uint32(of_middle) | middle)

    @staticmethod
    def _bits(words: Bits, first: int, count: int, places: Ints | slice) -> NDArray[np.uint32]:
        """Some bits that follow each other, perhaps from one word to the next."""
        word, shift = divmod(first, 64)
        bits = words[word, places] >> np.uint64(shift)
        if shift + count > 64:
            bits = bits | words[word + 1, places] << np.uint64(64 - shift)
        return bits.astype(np.uint32) & np.uint32((1 << count) - 1)

    def symmetric(self) -> Bits:
        """Words (2, M) that are the same upside down: which of the upper bits are not as the lower ones."""
        return self.words[:2] ^ self.words[2:4]

    def distances(self, one: Ints, other: Ints) -> tuple[Ints, Ints]:
        """Hamming distances of some hashes to others, as they are and upside down."""
        left, right = self.words[:, one], self.words[:, other]
        return _distances(left, right), _distances(left, right[[2, 3, 0, 1, 4]])


def _packed(bits: NDArray[np.bool_]) -> Bits:
    """Bits (N, 272) as (5, N) words, the first bit the lowest."""
    octets = np.packbits(bits, axis=1, bitorder="little")
    return np.ascontiguousarray(np.pad(octets, ((0, 0), (0, -octets.shape[1] % 8))).view("<u8").T)


def _flat(bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    ones = np.count_nonzero(bits, axis=1)
    return np.asarray((ones < MIN_CONTRAST) | (ones > BITS - MIN_CONTRAST))


def _distances(one: Bits, other: Bits) -> Ints:
    return np.asarray(np.bitwise_count(one ^ other).sum(axis=0), np.int64)


def share_much(hashes: _Hashes) -> bool:
    """Whether so many hashes share a part that all pairs are less work.

    That happens with pictures that are dark over large areas. 236,386 of them take minutes
    (``python -m benchmarks.duplicates``).
    """
    count = len(hashes.flat)
    sharing = 0
    rows = np.flatnonzero(~hashes.flat)
    for number in range(PARTS):
        part = np.sort(hashes.part(number, rows))
        counts = np.diff(np.flatnonzero(np.concatenate([[True], part[1:] != part[:-1], [True]])))
        sharing += int((counts * (counts - 1) // 2).sum())
    # a pair that has to be looked up costs about as much
    return sharing >= count * (count - 1) // 2


Candidates = Iterator[tuple[int, Ints, Ints, Ints]]


def _sharing(cells: Cells, base: _Hashes) -> Candidates:
    """Near pairs as the turn, rows, other rows that look like them after it, and distances."""
    count = len(cells)
    hashes = _Hashes.joined([base, *(_Hashes.of(cells, quarter) for quarter in _QUARTERS[1:])])
    for number in range(PARTS):
        for one, other in _that_share(hashes, number, count):
            as_they_are, upside_down = hashes.distances(one, other)
            chosen = np.flatnonzero(np.minimum(as_they_are, upside_down) <= THRESHOLD)
            one, other = one[chosen], other[chosen]
            # each once: by the first part that both share
            once = np.ones(len(one), bool)
            for before in range(number):
                once &= hashes.part(before, one) != hashes.part(before, other)
            one, other, chosen = one[once], other[once], chosen[once]
            yield from _turned_pairs(cells, one, other, (as_they_are[chosen], upside_down[chosen]))


def _that_share(hashes: _Hashes, number: int, count: int) -> Iterator[tuple[Ints, Ints]]:
    """Places of hashes that share a part and are held against each other, some at a time."""
    places = np.flatnonzero(~hashes.flat).astype(np.uint64)
    keys = np.sort(hashes.part(number, places.astype(np.int64)).astype(np.uint64) << np.uint64(32) | places)
    places = (keys & np.uint64(2**32 - 1)).astype(np.int64)
    quarters = places // count
    parts = keys >> np.uint64(32)
    # of the first turn to all that follow with the same part, of the second to those before the last turn
    last = len(_QUARTERS) - 1
    counts = np.zeros(len(places), np.int64)
    for first, ends in ((0, parts), (1, parts * np.uint64(2) + (quarters == last).astype(np.uint64))):
        mine = np.flatnonzero(quarters == first)
        counts[mine] = np.searchsorted(ends, ends[mine], side="right") - mine - 1
    first, second = hashes.symmetric()[:, places]
    held: list[tuple[Ints, Ints]] = []
    for left, right in _ranges(counts):
        apart = np.bitwise_count(first[left] ^ first[right])
        chosen = np.flatnonzero(apart <= THRESHOLD)
        left, right = left[chosen], right[chosen]
        chosen = apart[chosen] + np.bitwise_count(second[left] ^ second[right]) <= THRESHOLD
        one, other = places[left[chosen]], places[right[chosen]]
        chosen = one % count != other % count  # not a picture with itself
        held.append((one[chosen], other[chosen]))
        if sum(len(rows) for rows, _ in held) >= CHUNK:
            yield _joined(held)
            held = []
    yield _joined(held)


def _joined(several: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    none = np.zeros(0, np.int64)
    return np.concatenate([none, *(one for one, _ in several)]), np.concatenate(
        [none, *(other for _, other in several)]
    )


def _ranges(counts: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Each place with those that follow it, as many as ``counts`` says, some pairs at a time."""
    left = np.flatnonzero(counts)
    # most have few: of all of them the next, then of those with more the one after that, in the order of memory
    for step in range(1, STEPS + 1):
        left = left[counts[left] >= step]
        yield from ((some, some + step) for some in _chunks(left))
    left = left[counts[left] > STEPS]
    counts = counts[left] - STEPS
    ends = np.cumsum(counts)
    done = 0
    while done < len(left):
        before = ends[done - 1] if done else 0
        until = max(int(np.searchsorted(ends, before + CHUNK, side="right")), done + 1)
        some = slice(done, until)
        first = left[some] + STEPS + 1 - (ends[some] - counts[some] - before)
        yield np.repeat(left[some], counts[some]), np.arange(ends[until - 1] - before) + np.repeat(first, counts[some])
        done = until


def _turned_pairs(cells: Cells, one: Ints, other: Ints, distances: tuple[Ints, Ints]) -> Candidates:
    """Those of some places of hashes that are near duplicates, by their turns."""
    count = len(cells)
    for (left, right), turns in _TURN_OF.items():
        pair = (one // count == _QUARTERS.index(left)) & (other // count == _QUARTERS.index(right))
        for turn, distance in zip(turns, distances, strict=True):
            chosen = np.flatnonzero(pair & (distance <= THRESHOLD))
            if len(chosen):
                rows, others = one[chosen] % count, other[chosen] % count
                near = correlated(cells, rows, others, turn)
                yield turn, rows[near], others[near], distance[chosen][near]


# ---- all pairs


def _of_all(cells: Cells) -> Candidates:
    """The same of all pairs: what is far apart along the main axes of the cells is no near duplicate.

    Cells of length 1 about their mean that correlate by c are the root of 2 - 2c apart, and no more along any axes.
    """
    axes = _axes(cells)
    rows = np.flatnonzero(~_flat_in_all(cells))
    if not len(rows):
        return
    base = np.concatenate(
        [_placed(cells[rows[start : start + BLOCK]], 0, axes) for start in range(0, len(rows), BLOCK)]
    )
    for start in range(0, len(rows), BLOCK):
        others = rows[start : start + BLOCK]
        for turn in range(len(TURNS)):
            right = _placed(cells[others], turn, axes)
            right[:, [-2, -1]] = right[:, [-1, -2]]
            right = np.ascontiguousarray(right.T)
            for first in range(0, start + BLOCK, BLOCK):
                close = base[first : first + BLOCK] @ right >= CORRELATION - 1 - 1e-4
                for chunk in _chunks(np.flatnonzero(close)):
                    one = rows[first + chunk // len(others)]
                    other = others[chunk % len(others)]
                    chosen = one < other
                    yield from _looked_at(cells, one[chosen], other[chosen], turn)


def _chunks(found: Ints) -> Iterator[Ints]:
    return (found[start : start + CHUNK] for start in range(0, len(found), CHUNK))


def _looked_at(cells: Cells, one: Ints, other: Ints, turn: int) -> Candidates:
    """Those of some pairs that are near duplicates in a turn, whichever of the two is turned."""
    if not len(one):
        return
    chosen = correlated(cells, one, other, turn)
    one, other = one[chosen], other[chosen]
    for there, (left, right) in ((turn, (one, other)), (back(turn), (other, one))):
        for direction in DIRECTIONS:
            if there in SEEN_ALONG[direction]:
                bits = difference_hash(turned(cells[left], direction))
                others = difference_hash(turned(turned(cells[right], there), direction))
                distances = _distances(_packed(bits), _packed(others))
                chosen = (distances <= THRESHOLD) & ~_flat(bits) & ~_flat(others)
                yield there, left[chosen], right[chosen], distances[chosen]


def _flat_in_all(cells: Cells) -> NDArray[np.bool_]:
    """Which rows are flat in every turn."""
    flat = np.ones(len(cells), bool)
    for start in range(0, len(cells), BLOCK):
        rows = slice(start, start + BLOCK)
        for turn in range(len(TURNS)):
            flat[rows] &= _flat(difference_hash(turned(cells[rows], turn)))
    return flat


def _unit(cells: Cells) -> NDArray[np.float32]:
    """Cells (N, 17, 17) about their mean and of length 1, (N, 289); zeros where all cells are equal."""
    flat = cells.reshape(len(cells), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, lengths, out=flat, where=lengths > 0))


def _axes(cells: Cells) -> NDArray[np.float32]:
    """The main axes of an evenly spread part of the rows, (289, 32); of few rows all axes as they are."""
    if len(cells) <= FIT // 4:
        return np.eye(SIDE * SIDE, dtype=np.float32)
    chosen = np.linspace(0, len(cells) - 1, min(len(cells), FIT)).astype(int)
    data = _unit(cells[chosen])
    _, vectors = np.linalg.eigh((data.T @ data).astype(np.float64))
    return np.ascontiguousarray(vectors[:, ::-1][:, :AXES], np.float32)


def _placed(cells: Cells, turn: int, axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where rows lie along the axes, (N, 34): the product with one whose last two columns change places is minus half
    the square of their distance there.
    """
    along = _unit(turned(cells, turn)) @ axes
    halves = -0.5 * np.einsum("ij,ij->i", along, along)
    return np.column_stack([along, halves, np.ones_like(halves)])


def correlated(cells: Cells, one: Ints, other: Ints, turn: int) -> NDArray[np.bool_]:
    """Which pairs of rows correlate enough, the other row turned: Pearson's correlation, of sums that are exact."""
    result = np.zeros(len(one), bool)
    for start in range(0, len(one), BLOCK):
        some = slice(start, start + BLOCK)
        left = cells[one[some]].reshape(-1, SIDE * SIDE).astype(np.float64)
        right = turned(cells[other[some]], turn).reshape(-1, SIDE * SIDE).astype(np.float64)
        count = SIDE * SIDE
        sums, others = left.sum(axis=1), right.sum(axis=1)
        together = count * np.einsum("ij,ij->i", left, right) - sums * others
        alone = count * np.einsum("ij,ij->i", left, left) - sums**2
        alone *= count * np.einsum("ij,ij->i", right, right) - others**2
        result[some] = (together > 0) & (together >= CORRELATION * np.sqrt(alone))
    return result
