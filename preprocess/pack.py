"""The pack stage: shards into one npz of six arrays, streamed in the order of the samples table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from preprocess import npz
from preprocess import shards as shard_tables
from preprocess.errors import PreprocessError
from preprocess.recipe import Recipe
from preprocess.split import SPLITS
from preprocess.table import read_rows

_HEADER = len(npz.npy_header((0,)))


def pack(recipe: Recipe, size: int, samples_table: Path, shards: list[Path], out: Path) -> None:
    """Write ``<dataset>[_<size>].npz``. Memory holds one row of pixels at a time.

    Raises:
        PreprocessError: the shards do not hold that size, or the file cannot be written.
    """
    if lacking := [shard for shard in shards if not (shard / f"{size}.npy").is_file()]:
        raise PreprocessError(f"{lacking[0]}: not rendered at {size}; add {size} to sizes, or to sizes_3d for volumes")
    place = {entry["key"]: (shard, row) for shard, row, entry in shard_tables.rows(shards)}
    rows: dict[str, list[tuple[int, int]]] = {split: [] for split in SPLITS}
    labels: dict[str, list[str]] = {split: [] for split in SPLITS}
    for sample in read_rows(samples_table):
        rows[sample["split"]].append(place[sample["key"]])
        labels[sample["split"]].append(sample["label"])
    width = len(next((label for split in SPLITS for label in labels[split]), "0").split())
    members: dict[str, npz.Array] = {}
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(shard / f"{size}.npy", "rb")) for shard in shards]
        for split in SPLITS:
            shape = (len(rows[split]), *recipe.shape(size))
            members[f"{split}_images"] = npz.Array(
                f"{split}_images", shape, _read(files, rows[split], recipe.shape(size))
            )
            digits = np.array([label.split() for label in labels[split]], np.uint8).reshape(-1, width)
            members[f"{split}_labels"] = npz.Array(f"{split}_labels", digits.shape, [digits.tobytes()])
        order, system = npz.layout(recipe.dimensions, size, recipe.dataset.create_system.get(size))
        npz.write(out, [members[name] for name in order], system)


def _read(files: Sequence[IO[bytes]], rows: list[tuple[int, int]], shape: tuple[int, ...]) -> Iterator[bytes]:
    size = int(np.prod(shape))
    for shard, row in rows:
        yield os.pread(files[shard].fileno(), size, _HEADER + row * size)
