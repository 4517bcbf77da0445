"""The pack stage: shards into one npz of six arrays, streamed in the order of the table of rows."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import FileIO
from itertools import accumulate, groupby
from pathlib import Path

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

    Memory holds a few parts of 8 MiB at a time in each process, and 308 bytes a row.

    Args:
        recipe: the recipe in force.
        size: edge of the images.
        rows_table: the rows of the npz in order, as :mod:`preprocess.collect` wrote them.
        shards: the folders of the shards that hold this size.
        out: the npz.
        form: how it is packed.
        workers: processes, or threads, that look at pixels and deflate them. The file is the same for any number.

    Raises:
        PreprocessError: the shards do not hold that size or those rows, or the file cannot be written.
    """
    files = [shard / f"{size}.npy" for shard in shards]
    if lacking := [file.parent for file in files if not file.is_file()]:
        raise PreprocessError(f"{lacking[0]}: not rendered at {size}; add {size} to sizes, or to sizes_3d for volumes")
    rows = _rows(rows_table, shards, size)
    shape = recipe.shape(size)
    ends = list(accumulate((0, *rows.counts)))
    seen = _Looks.of(ends[-1])
    stored = _Stored(files, recipe.dimensions, shape, 0, rows.shards, rows.places)
    members: dict[str, Array] = {}
    for split, first, end in zip(SPLITS, ends, ends[1:]):
        images = _Images(stored.some(first, end), seen)
        members[f"{split}_images"] = Array(f"{split}_images", (end - first, *shape), images)
        labels = rows.labels[first:end]
        members[f"{split}_labels"] = Array(f"{split}_labels", labels.shape, [labels])
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


@dataclass(frozen=True)
class _Looks:
    """What is seen of rows that follow each other.

    Attributes:
        digests: of their pixels, (N, 16).
        low, high: the least and the greatest value of each, (N,).
        cells: each reduced, (N, 17, 17).
    """

    digests: NDArray[np.uint8]
    low: NDArray[np.uint8]
    high: NDArray[np.uint8]
    cells: NDArray[np.uint8]

    @classmethod
    def of(cls, count: int) -> _Looks:
        """Room for so many rows."""
        return cls(*(np.zeros((count, *shape), np.uint8) for shape in ((16,), (), (), (SIDE, SIDE))))

    def put(self, first: int, other: _Looks) -> None:
        """Put in what was seen of the rows from one on."""
        rows = slice(first, first + len(other.low))
        self.digests[rows], self.cells[rows] = other.digests, other.cells
        self.low[rows], self.high[rows] = other.low, other.high


@dataclass(frozen=True)
class _Stored:
    """Rows that follow each other, and where they are stored.

    Attributes:
        files: the array of each shard.
        dimensions: 2 or 3.
        shape: of a row.
        first: the number of the first row among all.
        shards: the number of the shard that holds each row.
        places: its row there.
    """

    files: Sequence[Path]
    dimensions: int
    shape: tuple[int, ...]
    first: int
    shards: NDArray[np.int32]
    places: NDArray[np.int32]

    def some(self, start: int, end: int) -> _Stored:
        """Those from one to before another."""
        return replace(self, first=self.first + start, shards=self.shards[start:end], places=self.places[start:end])


@dataclass(frozen=True)
class _Images:
    """The images of one split, which are read in parts, and what is seen of all."""

    rows: _Stored
    looks: _Looks

    def part(self, start: int, end: int) -> _Part:
        row = math.prod(self.rows.shape)
        first = start // row
        return _Part(self.rows.some(first, -(-end // row)), start - first * row, end - start)

    def saw(self, seen: tuple[int, _Looks]) -> None:
        self.looks.put(*seen)


@dataclass(frozen=True)
class _Part:
    """Bytes of rows: so many, after some of the first row that belong to the part before."""

    rows: _Stored
    skip: int
    length: int

    def read(self) -> NDArray[np.uint8]:
        """Its bytes."""
        return self._read(self.length)

    def see(self) -> tuple[NDArray[np.uint8], tuple[int, _Looks]]:
        """Its bytes, and what is seen of the rows that begin in it, with the number of the first."""
        row = math.prod(self.rows.shape)
        begin, end = -self.skip % row, len(self.rows.places) * row - self.skip
        data = self._read(end if begin < self.length else self.length)
        images = data[begin:].reshape(-1, *self.rows.shape)
        values, looks = images.reshape(len(images), row), _Looks.of(len(images))
        looks.low[:], looks.high[:] = values.min(axis=1), values.max(axis=1)
        for place, image in enumerate(images):
            looks.digests[place] = np.frombuffer(image_digest(image), np.uint8)
            looks.cells[place] = cells(image, self.rows.dimensions)
        return data[: self.length], (self.rows.first + bool(self.skip), looks)

    def _read(self, length: int) -> NDArray[np.uint8]:
        """So many bytes from where this part begins. Rows that lie together are read at once.

        Raises:
            PreprocessError: a shard cannot be read, or ends early.
        """
        row = math.prod(self.rows.shape)
        data = np.empty(length, np.uint8)
        into = memoryview(data.data)
        at = -self.skip
        wanted = zip(self.rows.shards.tolist(), self.rows.places.tolist())
        with contextlib.ExitStack() as stack:
            files: dict[int, FileIO] = {}
            # rows of one shard that follow each other have the same difference to their number
            for (shard, _), run in groupby(enumerate(wanted), key=lambda item: (item[1][0], item[1][1] - item[0])):
                found = [place for _, (_, place) in run]
                start, end = max(at, 0), min(at + len(found) * row, length)
                try:
                    if shard not in files:
                        files[shard] = stack.enter_context(FileIO(self.rows.files[shard]))
                    files[shard].seek(HEADER + found[0] * row + start - at)
                    is_whole = files[shard].readinto(into[start:end]) == end - start
                except OSError as error:
                    raise self._unread(shard, error.strerror or str(error)) from error
                if not is_whole:
                    raise self._unread(shard, "it ends early")
                at += len(found) * row
        return data

    def _unread(self, shard: int, why: str) -> PreprocessError:
        path = self.rows.files[shard]
        return PreprocessError(f"{path}: cannot be read ({why}); delete {path.parent} and run again")
