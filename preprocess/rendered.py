"""What render wrote: the table and the looks of each shard. It loads no NumPy for who reads tables alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from preprocess.table import read_rows

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


def rows(shards: list[Path]) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Yield (shard, row in the shard's arrays, entry) of every sample in some shards' tables."""
    for shard, folder in enumerate(shards):
        for row, entry in enumerate(read_rows(folder / TABLE)):
            yield shard, row, entry


def looks(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Digests, (N, 16), and cells, (N, 17, 17), of the samples of a shard that was written with them."""
    import numpy as np

    with np.load(folder / LOOKS) as file:
        return file["digests"], file["cells"]
