"""What render wrote: the table and the looks of each shard. It loads no NumPy for who reads tables alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from preprocess.table import read_cells

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: the table a shard writes beside its arrays, and its columns
TABLE = "rows.tsv"
COLUMNS = ("key", "reason", "detail", "upsampled", "raw_form", "raw_sha256")
#: what a shard writes of its samples where the split rests on what they look like, and the size they are looked at,
#: whichever sizes are asked for: so that the split does not depend on those
LOOKS = "looks.npz"
LOOKED_AT = 28


def cells(shards: list[Path], *columns: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield (shard, row in the shard's arrays, cells) of every sample in some shards' tables; columns: two at least."""
    for shard, folder in enumerate(shards):
        for row, found in enumerate(read_cells(folder / TABLE, *columns)):
            yield shard, row, found


def looks(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Digests, (N, 16), and cells, (N, 17, 17), of the samples of a shard that was written with them."""
    import numpy as np

    with np.load(folder / LOOKS) as file:
        return file["digests"], file["cells"]
