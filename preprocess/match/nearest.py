"""The nearest images by Euclidean distance, exactly, for 100,000 against 100,000 in minutes.

Images are projected on the 32 main axes of their variation. An orthogonal projection never
lengthens a distance, so the candidates that are nearest there, measured again in full, give the
nearest image for certain whenever its true distance is below the last projected one that was
looked at; and that last distance bounds all others from below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.match.features import Rows

Floats = NDArray[np.float32]
COMPONENTS = 32
#: candidates measured in full, for each query
KEPT = 16
#: queries at a time, candidates at a time, candidates whose smallest distance stands for all of them
QUERIES, CHUNK, GROUP = 256, 8192, 32
#: values of the images that the axes are found from
FIT = 16_000_000


@dataclass(frozen=True)
class Neighbours:
    """The nearest candidates of each query.

    Attributes:
        indices: (queries, k) candidates, nearest first.
        squares: (queries, k) squared distances, exact.
        bound: (queries,) squared distance below which no candidate lies that is not listed.
    """

    indices: NDArray[np.int64]
    squares: NDArray[np.int64]
    bound: NDArray[np.float64]

    def margins(self) -> NDArray[np.float64]:
        """(queries,) distance of the nearest as a share of that of the next: 0 for certain, 1 for undecided."""
        first = self.squares[:, 0].astype(np.float64)
        second = np.maximum(self.bound, first)
        if self.squares.shape[1] > 1:
            second = np.minimum(second, self.squares[:, 1])
        return np.sqrt(np.divide(first, second, out=np.ones_like(first), where=second > 0))


class Finder:
    """Finds the nearest of some candidates."""

    def __init__(self, candidates: Rows, among: list[int]) -> None:
        """Prepare the search.

        Args:
            candidates: rows of uint8.
            among: the candidates that may be found, at least one.
        """
        self._candidates = candidates
        self._among = np.asarray(among, np.int64)
        self._mean, self._main = _axes(candidates, among)
        self._projected = _project(candidates, among, self._mean, self._main)

    def nearest(self, queries: Rows, wanted: list[int]) -> Neighbours:
        """The nearest of some rows, of the candidates' width."""
        kept = min(KEPT, len(self._among))
        found = Neighbours(
            np.empty((len(wanted), kept), np.int64),
            np.empty((len(wanted), kept), np.int64),
            np.full(len(wanted), np.inf),
        )
        for start in range(0, len(wanted), QUERIES):
            part = slice(start, min(start + QUERIES, len(wanted)))
            some = self.of(queries.take(wanted[part]))
            found.indices[part], found.squares[part], found.bound[part] = some.indices, some.squares, some.bound
        return found

    def of(self, rows: NDArray[np.uint8]) -> Neighbours:
        """The nearest of a few hundred rows, (q, D)."""
        kept = min(KEPT, len(self._among))
        positions, lower = _nearest_projected(_apply(rows, self._mean, self._main), self._projected, kept)
        squares = _squares(rows, self._candidates, self._among[positions])
        order = np.lexsort((positions, squares), axis=1)  # ties by position: the same every time
        if kept == len(self._among):
            lower[:] = np.inf
        return Neighbours(
            np.take_along_axis(self._among[positions], order, axis=1), np.take_along_axis(squares, order, axis=1), lower
        )


def _axes(rows: Rows, among: list[int]) -> tuple[Floats, Floats]:
    """Mean, (D,), and main axes, (D, up to 32), of an evenly spread part of the rows."""
    count = min(len(among), max(64, FIT // rows.width))
    chosen = [among[i] for i in np.linspace(0, len(among) - 1, count).astype(int)]
    data = rows.take(chosen).astype(np.float32)
    mean = data.mean(axis=0)
    data -= mean
    if data.shape[0] < data.shape[1]:
        _, vectors = np.linalg.eigh(data @ data.T)
        axes = data.T @ vectors[:, ::-1][:, :COMPONENTS]
        axes, _ = np.linalg.qr(axes)
    else:
        _, vectors = np.linalg.eigh(data.T @ data)
        axes = vectors[:, ::-1][:, :COMPONENTS]
    return mean, np.ascontiguousarray(axes, np.float32)


def _apply(rows: NDArray[np.uint8], mean: Floats, axes: Floats) -> Floats:
    return np.asarray((rows.astype(np.float32) - mean) @ axes, np.float32)


def _project(rows: Rows, among: list[int], mean: Floats, axes: Floats) -> Floats:
    projected = np.empty((len(among), axes.shape[1]), np.float32)
    step = max(1, FIT // 4 // rows.width)
    for start in range(0, len(among), step):
        projected[start : start + step] = _apply(rows.take(among[start : start + step]), mean, axes)
    return projected


def _nearest_projected(queries: Floats, candidates: Floats, kept: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions of the ``kept`` nearest, (q, kept), and the squared distance of the last of them, (q,).

    The smallest distance in each group is kept; the nearest ``kept`` lie in the ``kept`` best groups.
    """
    count = len(candidates)
    groups = -(-count // GROUP)
    best = np.full((len(queries), groups), np.inf, np.float32)
    lengths = np.einsum("ij,ij->i", candidates, candidates)
    for start in range(0, count, CHUNK):
        end = min(start + CHUNK, count)
        distances = queries @ (-2 * candidates[start:end].T)
        distances += lengths[start:end]
        whole = (end - start) // GROUP * GROUP
        first = start // GROUP
        if whole:
            reduced = distances[:, :whole].reshape(len(queries), -1, GROUP).min(axis=2)
            best[:, first : first + whole // GROUP] = reduced
        if whole < end - start:
            best[:, first + whole // GROUP] = distances[:, whole:].min(axis=1)
    few = min(kept, groups)
    chosen = np.argpartition(best, few - 1, axis=1)[:, :few]
    positions = (chosen[:, :, None] * GROUP + np.arange(GROUP)).reshape(len(queries), -1)
    valid = positions < count
    positions = np.minimum(positions, count - 1)
    offsets = candidates[positions] - queries[:, None, :]
    distances = np.einsum("ijk,ijk->ij", offsets, offsets)
    distances[~valid] = np.inf
    order = np.argpartition(distances, kept - 1, axis=1)[:, :kept]
    lower = np.take_along_axis(distances, order, axis=1).max(axis=1).astype(np.float64)
    return np.take_along_axis(positions, order, axis=1), lower


def _squares(rows: NDArray[np.uint8], candidates: Rows, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Squared distances of (q, D) rows to (q, k) candidates, in integers."""
    squares = np.empty(indices.shape, np.int64)
    for query, row in enumerate(rows):
        difference = candidates.take(indices[query]).astype(np.int32) - row
        squares[query] = np.einsum("ij,ij->i", difference, difference, dtype=np.int64)
    return squares
