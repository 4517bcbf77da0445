"""Pictures that are the same to the pixel, or look alike.

Near duplicates share a 256-bit difference hash (each bit says whether a cell of a 16 x 17 grid of gray
is darker than its right neighbour) within a Hamming distance of 12, and their cells correlate by
0.985 or more. The distance is that of a public audit of BUSI, where 12 finds 88 pairs; the
correlation keeps chest X-rays and organ slices apart, which resemble each other as a kind. On 93
real BUSI images and five altered copies of each (JPEG, noise, scale, brightness, a burnt-in mark) a
test holds that the two find the copies, seven pairs that are the same picture to the eye, and
nothing else. What they miss: a mirrored or much tighter cropped copy, and a noisy copy of a picture
that is flat over many cells, where noise alone decides the bits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from preprocess.cells import SIDE

THRESHOLD = 12
CORRELATION = 0.985
#: rows compared at a time; two blocks of signs and one of distances are in memory
BLOCK = 2048
#: a hash with fewer set (or unset) bits than this is of a flat picture, which resembles every other flat one
MIN_CONTRAST = 24


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two row numbers, the lower first, and the Hamming distance of their hashes."""

    first: int
    second: int
    distance: int


def exact(digests: Iterable[bytes]) -> list[list[int]]:
    """Row numbers that share a digest, in groups of two and more, in order of first appearance."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        groups[digest].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def difference_hash(cells: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The 256 bits of (..., 16, 17) cells: which are darker than their right neighbour."""
    bits = cells[..., :-1] < cells[..., 1:]
    return bits.reshape(*cells.shape[:-2], SIDE * SIDE)


def near(cells: NDArray[np.uint8], limit: int = 100_000, all_pairs: bool | None = None) -> list[NearPair]:
    """All pairs of rows of ``cells`` (N, 16, 17) that are near duplicates.

    Two hashes within the distance agree in at least one of 13 parts of their bits, so only pairs that share a part
    are compared. With ``all_pairs`` every pair is; by default that is done where it is less work. Both ways find the
    same pairs. Flat pictures are not compared. The search ends after ``limit`` pairs.
    """
    hashes = difference_hash(cells)
    ones = hashes.sum(axis=1)
    rows = np.flatnonzero((ones >= MIN_CONTRAST) & (ones <= hashes.shape[1] - MIN_CONTRAST))
    hashes = hashes[rows]
    parts = bit_parts(hashes)
    if all_pairs is None:
        all_pairs = share_much(parts)
    found = _pairs_of_all(hashes) if all_pairs else _pairs_sharing(hashes, parts)
    pairs = (NearPair(int(rows[first]), int(rows[second]), distance) for first, second, distance in found)
    alike = (pair for pair in pairs if correlation(cells[pair.first], cells[pair.second]) >= CORRELATION)
    return sorted(islice(alike, limit), key=lambda pair: (pair.first, pair.second))


def share_much(parts: list[NDArray[np.uint32]]) -> bool:
    """Whether so many hashes share a part that comparing all pairs is less work.

    This happens with pictures that are dark over large areas. 236,386 of them take minutes
    (``python -m benchmarks.duplicates``).
    """
    sharing = 0
    for part in parts:
        counts = np.unique(part, return_counts=True)[1]
        sharing += int((counts * (counts - 1) // 2).sum())
    # a pair that has to be looked up costs about three times as much
    return 3 * sharing >= len(parts[0]) * (len(parts[0]) - 1) // 2


def correlation(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Pearson's correlation of two sets of cells."""
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def bit_parts(hashes: NDArray[np.bool_]) -> list[NDArray[np.uint32]]:
    """Each hash in 13 numbered parts, one more than bits may differ; a part's bits are spread over the picture."""
    number = THRESHOLD + 1
    parts = []
    for start in range(number):
        bits = hashes[:, start::number].astype(np.uint32)
        parts.append(bits @ (np.uint32(1) << np.arange(bits.shape[1], dtype=np.uint32)))
    return parts


def _pairs_sharing(hashes: NDArray[np.bool_], parts: list[NDArray[np.uint32]]) -> Iterator[tuple[int, int, int]]:
    """Near pairs of rows and their distances, each once: with the first part that both share."""
    words = np.packbits(hashes, axis=1).view(np.uint64)
    for number, part in enumerate(parts):
        order = np.argsort(part, kind="stable")
        ordered, packed = part[order], words[order]
        ends = np.searchsorted(ordered, ordered, side="right")
        left = np.arange(len(order))
        for step in range(1, len(order)):
            left = left[left + step < ends[left]]
            if not len(left):
                break
            distances = np.bitwise_count(packed[left] ^ packed[left + step]).sum(axis=1)
            for at in np.flatnonzero(distances <= THRESHOLD):
                first, second = sorted((int(order[left[at]]), int(order[left[at] + step])))
                if all(earlier[first] != earlier[second] for earlier in parts[:number]):
                    yield first, second, int(distances[at])


def _pairs_of_all(hashes: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    """Near pairs of rows and their distances: those of a block come from one matrix product of signs."""
    bits = hashes.shape[1]
    for start in range(0, len(hashes), BLOCK):
        left = _signs(hashes[start : start + BLOCK])
        for other in range(start, len(hashes), BLOCK):
            right = left if other == start else _signs(hashes[other : other + BLOCK])
            agreement = left @ right.T  # bits - 2 * distance
            for i, j in np.argwhere(agreement >= bits - 2 * THRESHOLD):
                if start + i < other + j:
                    yield int(start + i), int(other + j), int(bits - agreement[i, j]) // 2


def _signs(hashes: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(hashes, np.float32(1), np.float32(-1))
