"""A stand-in for NCT-CRC-HE-100K and CRC-VAL-HE-7K: both zips, 68 patches that look like H&E sections.

As in the true archives: uncompressed RGB TIFF of 224 x 224 pixels, random names that start with the class, ``TCGA``
in every name of the second set, a few faulty headers. All have true dimensions, as no other are published.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import Floats, encode, grid, rng, smooth_noise, to_uint8, write_zip

LARGE, SMALL = "NCT-CRC-HE-100K", "CRC-VAL-HE-7K"
COUNTS = {
    LARGE: {"ADI": 6, "BACK": 6, "DEB": 5, "LYM": 6, "MUC": 5, "MUS": 7, "NORM": 5, "STR": 6, "TUM": 7},
    SMALL: {"ADI": 2, "BACK": 2, "DEB": 1, "LYM": 2, "MUC": 1, "MUS": 2, "NORM": 2, "STR": 1, "TUM": 2},
}
CENSUS = {"pathmnist": {f"{part} {label}": n for part, counts in COUNTS.items() for label, n in counts.items()}}
EDGE = 224
#: (set, class, number) of patches whose header points behind the end of the file
FAULTY = {(LARGE, "DEB", 2), (LARGE, "TUM", 0), (SMALL, "STR", 0)}
#: colours of the slide, of what takes eosin and of what takes haematoxylin, after Macenko's normalisation
WHITE, EOSIN, HAEMATOXYLIN = (np.array(rgb) for rgb in ((0.94, 0.93, 0.95), (0.86, 0.55, 0.74), (0.36, 0.23, 0.55)))


def generate(folder: Path) -> None:
    """Write both archives into ``folder``."""
    for part, counts in COUNTS.items():
        members: dict[str, bytes] = {}
        for label, count in counts.items():
            for number in range(count):
                generator = rng("nct_crc", part, label, number)
                letters = "".join(chr(65 + letter) for letter in generator.integers(0, 26, 8))
                name = f"{label}-{'TCGA-' if part == SMALL else ''}{letters}.tif"
                data = encode(_draw(generator, label), "TIFF", dpi=(300, 300))
                members[f"{part}/{label}/{name}"] = (
                    _with_faulty_header(data) if (part, label, number) in FAULTY else data
                )
        write_zip(folder / f"{part}.zip", members, zipfile.ZIP_DEFLATED)


def _with_faulty_header(data: bytes) -> bytes:
    """Let the resolution (tag 282, a value stored elsewhere in the file) lie behind the end of the file."""
    entry = data.index(struct.pack("<HHL", 282, 5, 1), struct.unpack("<L", data[4:8])[0])
    return data[: entry + 8] + struct.pack("<L", len(data) + 4096) + data[entry + 12 :]


def _draw(generator: np.random.Generator, label: str) -> NDArray[np.uint8]:
    shape = (EDGE, EDGE)
    row, column = grid(*shape)
    eosin: Floats = np.zeros(shape)
    nuclei: Floats = np.zeros(shape)
    waved = label in ("ADI", "MUC", "MUS", "STR")
    rough = smooth_noise(generator, shape, 22 if waved else 7)
    fine = smooth_noise(generator, shape, 2)
    if label == "ADI":  # thin walls of empty cells
        eosin = 0.9 * np.exp(-((rough / 0.13) ** 2))
        nuclei = _spots(generator, shape, 4, 3.0) * (eosin > 0.3)
    elif label == "BACK":
        eosin = 0.04 + 0.02 * rough
    elif label == "DEB":
        eosin = 0.55 + 0.25 * rough
        nuclei = np.where(fine > 1.3, 0.35, 0.0)
    elif label == "LYM":  # small dark nuclei, side by side
        eosin = 0.35 + 0.1 * rough
        nuclei = _spots(generator, shape, 330, 3.6)
    elif label == "MUC":
        eosin = 0.16 + 0.10 * np.sin(14 * row + 3 * rough) + 0.02 * fine
    elif label in ("MUS", "STR"):  # parallel fibres, wavy ones
        angle = generator.uniform(0, np.pi)
        along = row * np.cos(angle) + column * np.sin(angle)
        waves = 34 * along + 1.2 * rough if label == "MUS" else 22 * along + 4 * rough
        eosin = (0.75 if label == "MUS" else 0.5) + 0.2 * np.sin(waves) + 0.06 * fine
        nuclei = _spots(generator, shape, 26 if label == "MUS" else 38, 3.2, stretch=2.2, angle=angle)
    else:  # glands: a ring of nuclei around a lumen, orderly in normal mucosa
        eosin = 0.45 + 0.12 * rough
        regular = label == "NORM"
        for _ in range(3 if regular else 2):
            y, x = generator.uniform(-0.75, 0.75, 2)
            radius = generator.uniform(0.32, 0.42)
            distance = np.hypot(row - y, column - x) + (0 if regular else 0.09) * rough
            eosin = np.where(distance < 0.55 * radius, 0.12, eosin)
            nuclei = np.maximum(nuclei, (np.abs(distance - radius) < 0.07) * _spots(generator, shape, 700, 4.0))
        if not regular:
            nuclei = np.maximum(nuclei, _spots(generator, shape, 120, 5.5))
    pink, purple = np.clip(eosin, 0, 1)[..., None], np.clip(nuclei, 0, 1)[..., None]
    picture = WHITE * (1 - pink) + EOSIN * pink
    return to_uint8(picture * (1 - purple) + HAEMATOXYLIN * purple + 0.012 * fine[..., None])


def _spots(
    generator: np.random.Generator,
    shape: tuple[int, int],
    count: int,
    radius: float,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> Floats:
    """``count`` soft ellipses at random places: 1 inside, 0 outside."""
    picture = np.zeros(shape)
    reach = int(radius * stretch * 1.4) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, across = y * np.sin(angle) - x * np.cos(angle), y * np.cos(angle) + x * np.sin(angle)
    stamp = np.clip(1.6 * (1.25 - np.hypot(along / stretch, across) / radius), 0, 1)
    for top, left in generator.integers(0, np.array(shape) - len(stamp), (count, 2)):
        area = picture[top : top + len(stamp), left : left + len(stamp)]
        np.maximum(area, stamp * generator.uniform(0.75, 1), out=area)
    return picture
