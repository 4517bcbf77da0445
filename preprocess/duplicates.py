"""Pictures that are the same, to the byte or to the eye.

Near duplicates: a 256-bit difference hash (each bit says whether a cell of a 16 x 16 grid is darker
than its right neighbour) within a Hamming distance of 12. On a public 256-pixel copy of BUSI that
threshold finds 88 pairs in 63 clusters, which agrees with the 235 duplicated images of the letter
Data in Brief 48:109247; the one exact pair of the real BUSI files has distance 0.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THRESHOLD = 12
SIDE = 16
#: rows of a block of the comparison; two blocks of signs and one of distances lie in memory
BLOCK = 4096
#: a hash with fewer set (or unset) bits than this describes a flat picture, which resembles every other
MIN_CONTRAST = 24


@dataclass(frozen=True, slots=True)
class Pair:
    """Two row numbers, the lower first, and the Hamming distance of their hashes."""

    first: int
    second: int
    distance: int


def exact(digests: Iterable[str]) -> list[list[int]]:
    """Row numbers that share a digest, in groups of two and more, in order of first appearance."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        if digest:
            groups[digest].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def digest(image: NDArray[np.uint8]) -> str:
    """A digest of one array's bytes."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest()


def difference_hash(image: NDArray[np.uint8], dimensions: int) -> NDArray[np.bool_]:
    """256 bits of a picture (H, W) or (H, W, 3), or of a volume's mean along its first axis.

    The picture is reduced to 17 x 16 gray cells by area, so that the hash does not depend on its size.
    """
    if dimensions == 3:
        image = image.mean(axis=0).astype(np.uint8)
    picture = Image.fromarray(image).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    cells = np.asarray(picture, np.int16)
    return (cells[:, :-1] < cells[:, 1:]).ravel()


def near(hashes: NDArray[np.bool_], threshold: int = THRESHOLD, limit: int = 100_000) -> list[Pair]:
    """All pairs of rows of ``hashes`` (N, 256) within ``threshold``, by exhaustive comparison.

    Hamming distances of a block come from one matrix product of signs, so 236,386 rows take minutes on
    two cores; memory is two blocks and the hashes, below 300 MB. Flat pictures are not compared.
    Searching ends after ``limit`` pairs.
    """
    ones = hashes.sum(axis=1)
    rows = np.flatnonzero((ones >= MIN_CONTRAST) & (ones <= hashes.shape[1] - MIN_CONTRAST))
    return sorted(_take(_pairs(hashes[rows], rows, threshold), limit), key=lambda pair: (pair.first, pair.second))


def _take(pairs: Iterator[Pair], limit: int) -> Iterator[Pair]:
    for _, pair in zip(range(limit), pairs, strict=False):
        yield pair


def _pairs(hashes: NDArray[np.bool_], rows: NDArray[np.intp], threshold: int) -> Iterator[Pair]:
    bits = hashes.shape[1]
    for start in range(0, len(rows), BLOCK):
        left = _signs(hashes[start : start + BLOCK])
        for other in range(start, len(rows), BLOCK):
            right = left if other == start else _signs(hashes[other : other + BLOCK])
            agreement = left @ right.T  # bits - 2 * distance
            for i, j in np.argwhere(agreement >= bits - 2 * threshold):
                if start + i < other + j:
                    distance = int(bits - agreement[i, j]) // 2
                    yield Pair(int(rows[start + i]), int(rows[other + j]), distance)


def _signs(hashes: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(hashes, np.float32(1), np.float32(-1))
