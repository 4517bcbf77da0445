"""A folder of pictures and a CSV, named and laid out as ``medmnist save`` of the official client does.

PNG, and for volumes GIF with a frame a plane.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.exports.built import Built, encoded
from preprocess.files import atomic, atomic_folder
from preprocess.published import SPLITS

#: the client's names of the splits in its CSV (Google AutoML Vision's)
SPLIT_WORDS = {"train": "TRAIN", "val": "VALIDATION", "test": "TEST"}
#: milliseconds a plane of a volume is shown, as the client has it
FRAME = 200


def write(built: Built, out: Path) -> None:
    """Write every image into the folder ``out``, and ``<out>.csv`` beside it.

    A picture is ``<split><index>_<label>.png``, labels of several digits joined by ``_``; a line of the CSV, which
    has no header, is the split, the name and the labels. Pixels are kept as they are. In a GIF equal planes that
    follow each other are one frame shown longer, as Pillow writes it.
    """
    lines = []
    with atomic_folder(out) as part:
        for split in SPLITS:
            labels = built.reader.array(f"{split}_labels")
            for index, image in enumerate(built.reader.rows(f"{split}_images")):
                digits = [str(label) for label in labels[index]]
                name = f"{split}{index}_{'_'.join(digits)}.{'gif' if built.is_volumes else 'png'}"
                _write(part / name, image, built.is_volumes)
                lines.append(",".join([SPLIT_WORDS[split], name, *digits]) + "\n")
    with atomic(out.with_name(f"{out.name}.csv")) as table:
        table.write_text("".join(lines), encoding="utf-8", newline="\n")


def _write(path: Path, image: NDArray[np.uint8], is_volume: bool) -> None:
    if not is_volume:
        path.write_bytes(encoded(image))
        return
    first, *others = (Image.fromarray(plane) for plane in image)
    first.save(path, save_all=True, append_images=others, duration=FRAME, loop=0)
