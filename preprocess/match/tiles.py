"""A montage of published tiles: one PNG of N x N tiles of S pixels, as the authors' web page shows each dataset.

The tiles are published pixels without a label, a split or an index. Their order on the page is no order of a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess import published
from preprocess.checksums import file_digest
from preprocess.errors import PreprocessError

Pixels = NDArray[np.uint8]
#: what stands for the split of a tile
SPLIT = "tile"
SUFFIX = ".png"


@dataclass(frozen=True)
class Montage:
    """A picture of tiles, in place of a published file.

    Attributes:
        dataset: the dataset's name.
        size: the edge of a tile.
        name: the picture's file name.
        md5: its checksum, which nobody has published.
    """

    dataset: str
    size: int
    name: str
    md5: str

    def __str__(self) -> str:
        return f"{self.name}, a montage of tiles"


def recognise(path: Path, dataset: str) -> Montage:
    """Take a picture for a montage by its name: ``<dataset>.png`` of tiles of 28 pixels, ``<dataset>_64.png`` of 64.

    Raises:
        PreprocessError: it has another name.
    """
    tail = path.name.removesuffix(SUFFIX).rpartition("_")[2]
    size = int(tail) if tail.isdecimal() else published.SMALLEST
    if size < 1 or path.name != published.montage_name(dataset, size):
        smallest = published.SMALLEST
        raise PreprocessError(
            f"{path}: a montage of tiles is named {published.montage_name(dataset, smallest)} where the tiles have "
            f"{smallest} pixels, else {dataset}_<pixels>{SUFFIX}; rename it"
        )
    return Montage(dataset, size, path.name, file_digest(path, "md5"))


def of(path: Path, shape: tuple[int, ...]) -> Iterator[Pixels]:
    """The tiles of a montage, row by row; places without a tile, of one value only, are left out at the end.

    Args:
        path: the picture.
        shape: the shape of a tile, (S, S) or (S, S, 3).

    Raises:
        PreprocessError: it cannot be read, is no montage of such tiles, or has colour where the dataset has none.
    """
    if len(shape) == 3 and shape[2] != 3:
        raise PreprocessError(f"{path}: a montage shows pictures, and this dataset has volumes")
    try:
        with Image.open(path) as picture:
            if picture.format != "PNG":
                raise PreprocessError(f"{path}: is {picture.format}, which may have changed pixels; a PNG is needed")
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise PreprocessError(f"{path}: cannot be read as a picture: {error}; download it again") from error
    height, width, size = *pixels.shape[:2], shape[0]
    if height != width or width % size:
        raise PreprocessError(f"{path}: is {width}x{height} pixels, not N x N tiles of {size}")
    if len(shape) == 2:
        if (pixels != pixels[..., :1]).any():
            raise PreprocessError(f"{path}: has colour, and this dataset is gray")
        pixels = pixels[..., 0]
    edge = width // size
    tiles = [
        np.ascontiguousarray(pixels[row * size : (row + 1) * size, column * size : (column + 1) * size])
        for row in range(edge)
        for column in range(edge)
    ]
    filled = max((place for place, tile in enumerate(tiles) if tile.min() != tile.max()), default=-1)
    if filled < 0:
        raise PreprocessError(f"{path}: shows no tile, every one of its {math.prod((edge, edge))} places is blank")
    yield from tiles[: filled + 1]
