"""Shards: contiguous blocks of a dataset's samples, each rendered by one job at all sizes at once."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from preprocess.cells import SIDE, cells
from preprocess.checksums import image_digest
from preprocess.errors import ExcludeSample, PreprocessError, UnreadableError
from preprocess.files import atomic_folder
from preprocess.npz import npy_header
from preprocess.prepared import Prepared
from preprocess.reading.archives import stream_of
from preprocess.reasons import is_early
from preprocess.recipe import Recipe
from preprocess.render import Rendered, Renderer
from preprocess.rendered import COLUMNS, LOOKED_AT, LOOKS, TABLE
from preprocess.table import Sample, read_cells, read_columns, read_rows, sample_of, unit_key, write_rows

log = logging.getLogger(__name__)

#: what lies between two samples that follow each other
APART, STREAM_ENDS, SAME_UNIT = range(3)


def boundaries(places: Iterable[tuple[str, str]]) -> bytearray:
    """For every sample of a list, given by its path and the key of its unit, what lies between it and the one before.

    ``SAME_UNIT``: one unit or file, which two jobs would read twice. ``STREAM_ENDS``: a tar archive begins or ends.
    """
    found = bytearray()
    before = opened_before = ""
    for path, opened in places:
        if found and (opened == opened_before or (path and path == before)):
            found.append(SAME_UNIT)
        else:
            found.append(APART if stream_of(path) == stream_of(before) else STREAM_ENDS)
        before, opened_before = path, opened
    return found


def boundaries_of(samples: Iterable[Sample]) -> bytearray:
    """The boundaries of samples that are at hand."""
    return boundaries((sample.path, sample.unit_key) for sample in samples)


def block(boundaries: bytearray, shard: int, shards: int) -> tuple[int, int]:
    """First and last + 1 of the samples of one shard: contiguous, near-equal, never inside a unit or file.

    A cut moves to where a tar archive begins or ends if that is less than half a shard away: an archive
    read by two shards is read twice.
    """
    count = len(boundaries)
    reach = (count // shards - 1) // 2  # less than half, so that two cuts never meet

    def is_edge(position: int) -> bool:
        return 0 < position < count and boundaries[position] == STREAM_ENDS

    def start(k: int) -> int:
        position = count * k // shards
        if 0 < k < shards:
            near = sorted(range(-reach, reach + 1), key=abs)
            position += next((step for step in near if is_edge(position + step)), 0)
        while 0 < position < count and boundaries[position] == SAME_UNIT:
            position += 1
        return position

    return start(shard), start(shard + 1)


def parts(samples: Sequence[Sample], count: int) -> list[tuple[int, int]]:
    """First and last + 1 of the samples of each of some workers: contiguous, so that archives are read forwards."""
    between = boundaries_of(samples)
    return [block(between, part, count) for part in range(count)]


@dataclass(frozen=True)
class Block:
    """Which samples one job renders.

    Attributes:
        table: the split table of the dataset; its index, where the split comes after.
        shard: the number of the shard, from 0.
        shards: how many there are.
        prepared: the folder of prepared arrays; then the shard holds the samples of their units.
    """

    table: Path
    shard: int
    shards: int
    prepared: Path | None = None

    def samples(self, prepared: Prepared | None) -> list[Sample]:
        """The samples of the block, read without holding those of the others."""
        decides = "split" if "split" in read_columns(self.table) else "reason"
        if prepared or self.shards == 1:
            rows = (row for row in read_rows(self.table) if _is_wanted(decides, row[decides]))
            return [sample for sample in map(sample_of, rows) if not prepared or sample in prepared]
        numbers: list[int] = []
        first, end = block(boundaries(self._places(decides, numbers)), self.shard, self.shards)
        if first == end:
            return []
        within = read_rows(self.table, numbers[first], numbers[end - 1] + 1)
        return [sample_of(row) for row in within if _is_wanted(decides, row[decides])]

    def _places(self, decides: str, numbers: list[int]) -> Iterator[tuple[str, str]]:
        """Path and unit of each sample of all shards; the number of its row goes into a list."""
        for number, (path, unit, key, cell) in enumerate(read_cells(self.table, "path", "unit", "key", decides)):
            if _is_wanted(decides, cell):
                numbers.append(number)
                yield path, unit_key(unit, key)


def _is_wanted(column: str, cell: str) -> bool:
    """Whether a row of a split table has a split, or one of an index may get one, by that column of it."""
    return bool(cell) if column == "split" else not (cell and is_early(cell))


def write(
    recipe: Recipe, folder: Path, which: Block, sizes: list[int], out: Path, strict: bool, with_looks: bool = False
) -> None:
    """Render one shard of a dataset into a folder: ``<size>.npy`` a size, and ``rows.tsv``.

    The folder appears when all of it is complete. Excluded samples keep a row of zeros in the arrays,
    so that rows and table agree. ``with_looks`` adds what :func:`preprocess.rendered.looks` reads.

    Raises:
        PreprocessError: a file cannot be read under ``strict``, or an archive is damaged.
    """
    prepared = Prepared(which.prepared) if which.prepared else None
    samples = which.samples(prepared)
    results: list[tuple[str, ...]] = []
    blank = {size: bytes(math.prod(recipe.shape(size))) for size in sizes}
    looks = _Looks(len(samples), recipe.dimensions) if with_looks else None
    rendered = sorted({*sizes, LOOKED_AT}) if looks else sizes
    with Renderer(recipe, folder, rendered, prepared) as renderer, atomic_folder(out) as part, ExitStack() as stack:
        # plain writes, not a memory map: mapped pages count as the job's memory
        files = {size: stack.enter_context(open(part / f"{size}.npy", "wb")) for size in sizes}
        for size, file in files.items():
            file.write(npy_header((len(samples), *recipe.shape(size))))
        for row, sample in enumerate(samples):
            result = _attempt(renderer, sample, strict)
            results.append(_write(result, sample.key, files, blank))
            if looks and isinstance(result, Rendered):
                looks.add(row, result.arrays[LOOKED_AT])
        write_rows(part / TABLE, COLUMNS, results)
        if looks:
            looks.write(part / LOOKS)
    log.info("%s samples rendered at %s", f"{len(samples):,}", ", ".join(map(str, sizes)))


class _Looks:
    """Digest and cells of each sample of a shard; zeros for those that were left out."""

    def __init__(self, count: int, dimensions: int) -> None:
        self._dimensions = dimensions
        self._digests = np.zeros((count, 16), np.uint8)
        self._cells = np.zeros((count, SIDE, SIDE), np.uint8)

    def add(self, row: int, image: NDArray[np.uint8]) -> None:
        self._digests[row] = np.frombuffer(image_digest(image), np.uint8)
        self._cells[row] = cells(image, self._dimensions)

    def write(self, path: Path) -> None:
        np.savez(path, digests=self._digests, cells=self._cells)


def _write(
    result: Rendered | ExcludeSample, key: str, files: Mapping[int, IO[bytes]], blank: dict[int, bytes]
) -> tuple[str, ...]:
    """Append one sample to the array of every size, and give its row of the shard's table."""
    if isinstance(result, ExcludeSample):
        for size, file in files.items():
            file.write(blank[size])
        return key, result.reason, result.detail, "", "", ""
    for size, file in files.items():
        file.write(np.ascontiguousarray(result.arrays[size]).data)
    upsampled = " ".join(str(size) for size in result.upsampled if size in files)
    return key, "", "", upsampled, result.raw_form, result.raw_sha256


def _attempt(renderer: Renderer, sample: Sample, strict: bool) -> Rendered | ExcludeSample:
    if sample.reason:
        return ExcludeSample(sample.reason, sample.detail)
    try:
        return renderer.render(sample)
    except ExcludeSample as exclusion:
        is_early(exclusion.reason)  # KeyError: not a reason of the closed list
        return exclusion
    except UnreadableError as error:
        if strict:
            raise PreprocessError(f"{error}; replace the file, or set census: warn to leave it out") from error
        log.warning("%s; left out", error)
        return ExcludeSample("unreadable", error.detail)
