"""Zarr, format 3: one group with the six arrays of the npz, in chunks that are read alone.

A chunk holds whole samples: one volume, or as many pictures as make about 4 MiB. What the classes mean stands among
the group's attributes; row ``index`` of an array is that of the samples table.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from preprocess.exports.built import Built
from preprocess.files import atomic_folder

#: bytes of one chunk of pictures, or of labels
CHUNK = 4 * 2**20
#: of Zstandard
LEVEL = 3


def write(built: Built, out: Path) -> None:
    """Write the arrays into the folder ``out``, a chunk at a time."""
    import zarr
    from zarr.codecs import ZstdCodec

    with atomic_folder(out) as part:
        group = zarr.create_group(part, zarr_format=3, attributes=built.about)
        for name in built.reader.names:
            shape = built.reader.shape(name)
            size = math.prod(shape[1:])
            is_volumes = built.is_volumes and name.endswith("_images")
            each = 1 if is_volumes else max(1, min(shape[0], CHUNK // max(size, 1)))
            array = group.create_array(
                name, shape=shape, chunks=(each, *shape[1:]), dtype="uint8", fill_value=0,
                compressors=ZstdCodec(level=LEVEL),
            )  # fmt: skip
            held = np.empty((each, *shape[1:]), np.uint8)
            for index, row in enumerate(built.reader.rows(name)):
                place = index % each
                held[place] = row
                if place == each - 1 or index == shape[0] - 1:
                    array[index - place : index + 1] = held[: place + 1]
