"""A stand-in for BBBC051: crops of nuclei in three specimens, 86 stacks of 7 slices of 32 x 32 pixels.

Drawn after public descriptions of the true files: one zip a cell type in a folder of its specimen, one of them
unpacked beside no archive; spellings that differ between specimens; the same nuclei with and without surroundings, and
projections; a few nuclei that exist with surroundings only; ``__MACOSX``.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import Floats, rng, smooth_noise, write_tree, write_zip

ROOT = "BBBC051"
#: nuclei by specimen and cell type
COUNTS = {
    "F33": {
        "CD": 5, "CD31_glom": 3, "CD31_inter": 4, "CD45.0": 2, "CD45.1": 1, "CD45.2": 1, "DCT": 4, "Nestin": 4,
        "S1S2": 3, "S2S3": 4, "TAL": 4,
    },
    "F44": {
        "CD": 4, "CD31_glom": 3, "CD31_inter": 3, "CD45.0": 3, "DCT": 4, "Nestin": 3, "S1S2": 2, "S2S3": 4, "TAL": 4,
    },
    "F59": {"CD_CNT": 3, "CNT": 3, "CD31glom": 3, "CD31int": 2, "CD45.0": 3, "Nestin": 2, "S2S3": 3, "TAL": 2},
}  # fmt: skip
CENSUS = {"tissuemnist": {"nuclei": sum(sum(counts.values()) for counts in COUNTS.values())}}
UNPACKED = ("F44", "CD")
#: radii of a nucleus in pixels (in the plane, along the longer axis), and how bright it is
LOOKS = {
    "CD": (5.5, 6.0, 70), "CNT": (5.5, 6.0, 70), "CD_CNT": (5.5, 6.0, 70), "DCT": (5.0, 5.5, 80),
    "CD31": (3.0, 7.5, 95), "CD45": (4.2, 4.2, 130), "Nestin": (5.5, 7.0, 60), "S1S2": (6.5, 6.5, 60),
    "S2S3": (6.5, 6.5, 65), "TAL": (5.2, 5.6, 90),
}  # fmt: skip


def generate(folder: Path) -> None:
    """Write one folder a specimen into ``folder``."""
    for specimen, counts in COUNTS.items():
        for cell_type, count in counts.items():
            members: dict[str, bytes] = {}
            for number in range(count):
                generator = rng("bbbc051", specimen, cell_type, number)
                crop, mask = _draw(
                    generator, *LOOKS["CD31" if cell_type.startswith("CD31") else cell_type.partition(".")[0]]
                )
                name = f"{generator.integers(100, 99999)}.tif"
                members[f"{cell_type}/All_3D/{name}"] = _tiff(crop)
                if number or specimen != "F59":  # some nuclei reach out of the volume
                    members[f"{cell_type}/Mask_3D/{name}"] = _tiff(crop * mask)
                members[f"{cell_type}/Mask_2D_Maximum/{name}"] = _tiff((crop * mask).max(axis=0))
            members[f"__MACOSX/{cell_type}/All_3D/._1.tif"] = b"\0\5\x16\7Mac OS X"
            place = folder / ROOT / specimen
            place.mkdir(parents=True, exist_ok=True)
            if (specimen, cell_type) == UNPACKED:
                write_tree(place / cell_type, members)
            else:
                write_zip(place / f"{cell_type}.zip", members, zipfile.ZIP_DEFLATED)


def _draw(
    generator: np.random.Generator, short: float, long: float, bright: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    z, y, x = np.mgrid[-3:4, -15.5:16, -15.5:16]
    texture = smooth_noise(generator, (7, 32, 32), 1.2)
    centre = _ellipsoid(generator, z, y, x, short, long)
    picture = 4 + bright * (1 + 0.22 * texture) * np.clip(4 * (1.1 - centre), 0, 1)
    for _ in range(int(generator.integers(2, 5))):  # neighbours, partly outside
        angle, far = generator.uniform(0, 2 * np.pi), generator.uniform(13, 17)
        other = _ellipsoid(
            generator,
            z - generator.uniform(-3, 3),
            y - far * np.sin(angle),
            x - far * np.cos(angle),
            5,
            generator.uniform(5, 7),
        )
        glow = generator.uniform(30, 90) * (1 + 0.22 * texture) * np.clip(4 * (1.1 - other), 0, 1)
        picture = np.maximum(picture, glow)
    noise = generator.poisson(np.clip(picture, 0, 250) / 2) * 2
    return np.clip(noise, 0, 255).astype(np.uint8), centre < 1.15


def _ellipsoid(generator: np.random.Generator, z: Floats, y: Floats, x: Floats, short: float, long: float) -> Floats:
    angle = generator.uniform(0, np.pi)
    along, across = y * np.sin(angle) + x * np.cos(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.asarray(np.sqrt((along / long) ** 2 + (across / short) ** 2 + (z / 4.5) ** 2))


def _tiff(stack: NDArray[np.uint8]) -> bytes:
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, stack, photometric="minisblack", metadata=None, software=False)
    return buffer.getvalue()
