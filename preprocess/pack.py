"""The pack stage: shards into one npz of six arrays, streamed in the order of the table of rows."""

from __future__ import annotations

import contextlib
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from preprocess import container, rendered
from preprocess.cells import SIDE, cells
from preprocess.checksums import image_digest
from preprocess.container import Array, Form
from preprocess.errors import PreprocessError
from preprocess.npz import HEADER
from preprocess.packed import Packed
from preprocess.published import SPLITS
from preprocess.recipe import Recipe
from preprocess.table import read_cells
from preprocess.threads import threads

#: bytes of pixels that are read, looked at and handed on together
BLOCK = 1 << 20


@dataclass(frozen=True)
class _Rows:
    """The rows of the npz in order, and where the pixels of each are.

    Attributes:
        counts: how many are in train, val and test.
        labels: (N, classes), one column where each has one class.
        upsampled: whether the source region has fewer pixels than the grid, (N,).
        shards: the number of the shard that holds each, (N,).
        places: its row there, (N,).
    """

    counts: tuple[int, ...]
    labels: NDArray[np.uint8]
    upsampled: NDArray[np.bool_]
    shards: NDArray[np.int32]
    places: NDArray[np.int32]


def pack(
    recipe: Recipe, size: int, rows_table: Path, shards: list[Path], out: Path, form: Form, workers: int = 1
) -> Packed:
    """Write ``<dataset>[_<size>].npz``, and return what was seen of its rows.

    Memory holds a few blocks of pixels at a time, and 308 bytes a row.

    Args:
        recipe: the recipe in force.
        size: edge of the images.
        rows_table: the rows of the npz in order, as :mod:`preprocess.collect` wrote them.
        shards: the folders of the shards that hold this size.
        out: the npz.
        form: how it is packed.
        workers: threads that look at pixels and deflate them. The file is the same for any number.

    Raises:
        PreprocessError: the shards do not hold that size or those rows, or the file cannot be written.
    """
    if lacking := [shard for shard in shards if not (shard / f"{size}.npy").is_file()]:
        raise PreprocessError(f"{lacking[0]}: not rendered at {size}; add {size} to sizes, or to sizes_3d for volumes")
    rows = _rows(rows_table, shards, size)
    shape = recipe.shape(size)
    ends = list(accumulate((0, *rows.counts)))
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(shard / f"{size}.npy", "rb")) for shard in shards]
        seen = _Seen(ends[-1], recipe.dimensions, stack.enter_context(threads(workers)), workers)
        members: dict[str, Array] = {}
        for split, first, end in zip(SPLITS, ends, ends[1:]):
            images = seen.each(first, shape, _read(files, rows.shards[first:end], rows.places[first:end], shape))
            members[f"{split}_images"] = Array(f"{split}_images", (end - first, *shape), images)
            part = rows.labels[first:end]
            members[f"{split}_labels"] = Array(f"{split}_labels", part.shape, [part])
        order, system = container.layout(recipe.dimensions, size, recipe.dataset.create_system.get(size))
        written = container.write(out, [members[name] for name in order], system, form, workers)
    return Packed(seen.digests, seen.low, seen.high, seen.cells, rows.upsampled, rows.counts, written)


def _rows(rows_table: Path, shards: list[Path], size: int) -> _Rows:
    """The rows of a table, each found in a shard.

    Raises:
        PreprocessError: the shards were rendered from other files than the table was collected from.
    """
    columns = ("key", "reason", "raw_sha256", "upsampled")
    entries = {
        key: (shard, place, reason, bytes.fromhex(sha256), str(size) in upsampled.split())
        for shard, place, (key, reason, sha256, upsampled) in rendered.cells(shards, *columns)
    }
    counts, labels = dict.fromkeys(SPLITS, 0), bytearray()
    found: list[tuple[int, int, bool]] = []
    for key, split, label, sha256 in read_cells(rows_table, "key", "split", "label", "raw_sha256"):
        shard, place, reason, known, is_upsampled = entries.get(key, (0, 0, "not there", b"", False))
        if reason or known.hex() != sha256:
            raise PreprocessError(
                f"{rows_table}: {key} is {reason or 'from another raw file'} in the shards at {size}; a raw file was "
                "changed while it was read: run again"
            )
        one = bytes(map(int, label.split()))
        if split not in counts or len(one) * len(found) != len(labels):
            raise PreprocessError(f"{rows_table}: {key} has the split {split!r} and the label {label!r}; report this")
        counts[split] += 1
        labels += one
        found.append((shard, place, is_upsampled))
    where = np.array(found, np.int32).reshape(-1, 3)
    return _Rows(
        tuple(counts.values()),
        np.frombuffer(labels, np.uint8).reshape(len(found), len(labels) // max(len(found), 1) or 1),
        where[:, 2].astype(bool), where[:, 0], where[:, 1],
    )  # fmt: skip


def _read(
    files: Sequence[IO[bytes]], shards: NDArray[np.int32], places: NDArray[np.int32], shape: tuple[int, ...]
) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of rows: how many, and their bytes. Those that lie together are read at once."""
    size = math.prod(shape)
    most = max(BLOCK // size, 1)
    for start in range(0, len(places), most):
        wanted = list(zip(shards[start : start + most].tolist(), places[start : start + most].tolist()))
        parts = []
        # rows of one shard that follow each other have the same difference to their number
        for (shard, _), run in groupby(enumerate(wanted), key=lambda item: (item[1][0], item[1][1] - item[0])):
            found = [place for _, (_, place) in run]
            parts.append(os.pread(files[shard].fileno(), len(found) * size, HEADER + found[0] * size))
        yield len(wanted), b"".join(parts)


class _Seen:
    """What is seen of the rows while they pass; other threads look."""

    def __init__(self, count: int, dimensions: int, pool: Executor, workers: int) -> None:
        self.digests = np.zeros((count, 16), np.uint8)
        self.low = np.zeros(count, np.uint8)
        self.high = np.zeros(count, np.uint8)
        self.cells = np.zeros((count, SIDE, SIDE), np.uint8)
        self._dimensions, self._pool, self._limit = dimensions, pool, 2 * workers

    def each(self, first: int, shape: tuple[int, ...], blocks: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
        """Yield blocks as they come; ``first`` is the number of their first row."""
        waiting: deque[Future[None]] = deque()
        for count, block in blocks:
            waiting.append(self._pool.submit(self._look, first, np.frombuffer(block, np.uint8).reshape(count, *shape)))
            first += count
            yield block
            while len(waiting) > self._limit:
                waiting.popleft().result()
        for future in waiting:
            future.result()

    def _look(self, first: int, images: NDArray[np.uint8]) -> None:
        values = images.reshape(len(images), -1)
        rows = slice(first, first + len(images))
        self.low[rows], self.high[rows] = values.min(axis=1), values.max(axis=1)
        for row, image in enumerate(images, first):
            self.digests[row] = np.frombuffer(image_digest(image), np.uint8)
            self.cells[row] = cells(image, self._dimensions)
