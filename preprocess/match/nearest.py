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


def nearest(queries: Rows, wanted: list[int], candidates: Rows, among: list[int]) -> Neighbours:
    """Find the nearest of some candidates for some queries.

    Args:
        queries: rows of uint8; ``wanted`` says which.
        wanted: the queries to look at.
        candidates: rows of the same width; ``among`` says which may be found.
        among: the candidates to look at, at least one.
    """
    mean, axes = _axes(candidates, among)
    projected = _project(candidates, among, mean, axes)
    kept = min(KEPT, len(among))
    indices = np.empty((len(wanted), kept), np.int64)
    squares = np.empty((len(wanted), kept), np.int64)
    bound = np.full(len(wanted), np.inf)
    chosen = np.asarray(among, np.int64)
    for start in range(0, len(wanted), QUERIES):
        part = slice(start, min(start + QUERIES, len(wanted)))
        rows = queries.take(wanted[part])
        positions, lower = _nearest_projected(_apply(rows, mean, axes), projected, kept)
        true = _squares(rows, candidates, chosen[positions])
        order = np.lexsort((positions, true), axis=1)  # ties by position: the same every time
        indices[part] = np.take_along_axis(chosen[positions], order, axis=1)
        squares[part] = np.take_along_axis(true, order, axis=1)
        if kept < len(among):
            bound[part] = lower
    return Neighbours(indices, squares, bound)


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
