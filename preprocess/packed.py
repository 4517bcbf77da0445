"""What pack saw of every row of an npz while its pixels were at hand, so that no later job inflates the file for it.

These facts lie in ``work/``; how the npz was packed is said in a record beside them (:mod:`preprocess.plan.batches`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess import npz
from preprocess.cells import SIDE
from preprocess.checksums import image_digest
from preprocess.container import Written
from preprocess.errors import PreprocessError
from preprocess.files import atomic
from preprocess.published import SPLITS


@dataclass(frozen=True)
class Packed:
    """The facts of one npz; rows are those of train, val and test, one after another.

    Attributes:
        digests: 16 bytes that stand for each image's pixels, (N, 16) uint8.
        low: the smallest value of each image, (N,) uint8.
        high: the largest, (N,) uint8.
        cells: each image as 17 x 17 cells of gray, (N, 17, 17) uint8 (:func:`preprocess.cells.cells`).
        upsampled: whether its source region has fewer pixels than the grid, (N,) bool.
        counts: rows of train, val and test.
        arrays: what was learned of each array of the npz.
    """

    digests: NDArray[np.uint8]
    low: NDArray[np.uint8]
    high: NDArray[np.uint8]
    cells: NDArray[np.uint8]
    upsampled: NDArray[np.bool_]
    counts: tuple[int, ...]
    arrays: Mapping[str, Written]

    @property
    def flat(self) -> list[int]:
        """The rows whose pixels all have one value."""
        rows: list[int] = np.flatnonzero(self.low == self.high).tolist()
        return rows

    def holds(self, row: int, image: NDArray[np.uint8]) -> bool:
        """Whether an image is this row, by its digest."""
        return bool(image_digest(image) == self.digests[row].tobytes())

    def write(self, path: Path) -> None:
        """Write the facts."""
        arrays = {name: [one.sha256, one.restarts] for name, one in self.arrays.items()}
        with atomic(path) as part, open(part, "wb") as out:
            np.savez_compressed(
                out, digests=self.digests, low=self.low, high=self.high, cells=self.cells, upsampled=self.upsampled,
                counts=np.array(self.counts), arrays=np.array(json.dumps(arrays)),
            )  # fmt: skip


def read(path: Path, with_cells: bool = True) -> Packed:
    """Read the facts of one npz; cells, 289 bytes a row, where they are asked for."""
    with np.load(path) as facts:
        cells = facts["cells"] if with_cells else np.zeros((0, SIDE, SIDE), np.uint8)
        return Packed(
            facts["digests"], facts["low"], facts["high"], cells, facts["upsampled"],
            tuple(facts["counts"].tolist()),
            _arrays(facts),
        )  # fmt: skip


def arrays(path: Path) -> dict[str, Written]:
    """What was learned of each array of an npz."""
    with np.load(path) as facts:
        return _arrays(facts)


def _arrays(facts: Mapping[str, NDArray[Any]]) -> dict[str, Written]:
    told = json.loads(str(facts["arrays"])).items()
    return {name: Written(sha256, tuple(map(tuple, restarts))) for name, (sha256, restarts) in told}


def upsampled(path: Path) -> NDArray[np.bool_]:
    """Which rows have fewer source pixels than the grid."""
    with np.load(path) as facts:
        result: NDArray[np.bool_] = facts["upsampled"]
        return result


def images(path: Path, facts: Packed, wanted: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield some rows of an npz with their numbers, in order, without reading what is between where that can be done.

    Args:
        path: the npz.
        facts: what pack saw of it.
        wanted: numbers of rows, counted through train, val and test.

    Raises:
        PreprocessError: a row is not what was packed.
    """
    wanted = set(wanted)
    reader = npz.Reader(path)
    first = 0
    for split, count in zip(SPLITS, facts.counts, strict=True):
        name = f"{split}_images"
        inside = [row - first for row in wanted if first <= row < first + count]
        for row, image in reader.pick(name, inside, facts.arrays[name].restarts) if inside else ():
            if not facts.holds(first + row, image):
                raise PreprocessError(f"{path}: row {row} of {name} is not what was packed; delete the file, run again")
            yield first + row, image
        first += count
