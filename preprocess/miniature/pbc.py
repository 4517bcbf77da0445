"""A stand-in for PBC: Mendeley's zip of the record around the data's own zip, 57 drawn blood cells.

As in the true files: JPEG in folders of classes, prefixes of subtypes, ``__MACOSX``, hidden files (one of them
a picture), and sizes other than 360 x 363. All have true dimensions, for the crop of 200 pixels needs them.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.miniature.drawing import Floats, encode, rng, smooth_noise, to_uint8, write_zip

ROOT = "PBC_dataset_normal_DIB"
#: images by class and prefix
COUNTS = {
    "basophil": {"BA": 7},
    "eosinophil": {"EO": 8},
    "erythroblast": {"ERB": 7},
    "ig": {"IG": 2, "MMY": 2, "MY": 2, "PMY": 2},
    "lymphocyte": {"LY": 6},
    "monocyte": {"MO": 7},
    "neutrophil": {"BNE": 3, "NEUTROPHIL": 1, "SNE": 4},
    "platelet": {"PLATELET": 6},
}
USUAL = (360, 363)
#: (class, number): width, height
ODD_SIZES = {
    ("basophil", 2): (366, 369), ("eosinophil", 1): (360, 360), ("ig", 3): (366, 369), ("monocyte", 0): (359, 360),
    ("neutrophil", 4): (360, 361), ("platelet", 5): (362, 360),
}  # fmt: skip
CENSUS = {
    "bloodmnist": {label: sum(prefixes.values()) for label, prefixes in COUNTS.items()}
    | {"359x360 pixels": 1, "360x360 pixels": 1, "360x361 pixels": 1, "360x363 pixels": 51, "362x360 pixels": 1}
    | {"366x369 pixels": 2}
}


@dataclass(frozen=True)
class Look:
    """Radii in pixels, colours, and the shape of the nucleus."""

    cell: float
    nucleus: float
    cytoplasm: tuple[float, float, float]
    lobes: int
    grains: tuple[float, float, float] | None = None


LOOKS = {
    "basophil": Look(62, 40, (0.78, 0.68, 0.82), 2, (0.28, 0.15, 0.42)),
    "eosinophil": Look(64, 30, (0.93, 0.72, 0.66), 2, (0.86, 0.45, 0.36)),
    "erythroblast": Look(48, 27, (0.72, 0.70, 0.80), 1),
    "ig": Look(72, 50, (0.80, 0.70, 0.84), 1, (0.66, 0.40, 0.66)),
    "lymphocyte": Look(50, 42, (0.70, 0.76, 0.92), 1),
    "monocyte": Look(74, 46, (0.76, 0.74, 0.84), 2),
    "neutrophil": Look(62, 22, (0.92, 0.80, 0.84), 4, (0.80, 0.62, 0.76)),
    "platelet": Look(15, 7, (0.74, 0.64, 0.82), 1),
}
PLASMA, RED, NUCLEUS = (np.array(rgb) for rgb in ((0.97, 0.90, 0.84), (0.88, 0.70, 0.66), (0.40, 0.20, 0.52)))


def generate(folder: Path) -> None:
    """Write the archive into ``folder``."""
    members: dict[str, bytes] = {f"{ROOT}/.DS_Store": b"\0\0\0\1Bud1"}
    for label, prefixes in COUNTS.items():
        number = 0
        for prefix, count in prefixes.items():
            for _ in range(count):
                generator = rng("pbc", label, number)
                name = f"{prefix}_{generator.integers(2000, 999999)}.jpg"
                picture = _draw(generator, LOOKS[label], *ODD_SIZES.get((label, number), USUAL))
                members[f"{ROOT}/{label}/{name}"] = encode(picture, "JPEG", quality=92)
                members[f"__MACOSX/{ROOT}/{label}/._{name}"] = b"\0\5\x16\7Mac OS X"
                number += 1
    hidden = next(data for name, data in members.items() if "/neutrophil/SNE" in name)
    members[f"{ROOT}/neutrophil/.DS_169665.jpg"] = hidden
    inner = io.BytesIO()
    write_zip(inner, members)
    write_zip(folder / "snkd93bnjr-1.zip", {f"{ROOT}.zip": inner.getvalue()}, zipfile.ZIP_DEFLATED)


def _draw(generator: np.random.Generator, look: Look, width: int, height: int) -> NDArray[np.uint8]:
    # drawn at half the size, which is sharp enough
    y, x = np.mgrid[: height // 2, : width // 2] * 2.0
    shape = y.shape
    rough = smooth_noise(generator, shape, 3)
    picture = np.broadcast_to(PLASMA, (*shape, 3))
    for _ in range(8):  # red cells, pale in the middle, out of the way of the cell
        angle, far = generator.uniform(0, 2 * np.pi), generator.uniform(105, 190)
        distance = np.hypot(y - height / 2 - far * np.sin(angle), x - width / 2 - far * np.cos(angle)) / 40
        picture = _paint(picture, RED + 0.07 * (distance[..., None] < 0.5), distance)
    middle = np.array([height / 2, width / 2]) + generator.uniform(-8, 8, 2)
    cell = np.hypot(y - middle[0], x - middle[1]) / look.cell + 0.03 * rough
    picture = _paint(picture, np.array(look.cytoplasm), cell)
    if look.grains is not None:
        grains = (smooth_noise(generator, shape, 0.9) > 0.9) * (cell < 0.92)
        picture = np.where(grains[..., None], np.array(look.grains), picture)
    turn = generator.uniform(0, 2 * np.pi)
    for lobe in range(look.lobes):
        angle = turn + 2 * np.pi * lobe / max(look.lobes, 3)
        away = 0.0 if look.lobes == 1 else 0.42 * look.cell
        centre = middle + away * np.array([np.sin(angle), np.cos(angle)])
        nucleus = np.hypot(y - centre[0], x - centre[1]) / look.nucleus + 0.06 * rough
        picture = _paint(picture, NUCLEUS + 0.03 * rough[..., None], nucleus)
    half = to_uint8(picture + 0.01 * generator.standard_normal((*shape, 1)))
    return np.asarray(Image.fromarray(half).resize((width, height), Image.Resampling.BICUBIC))


def _paint(picture: Floats, colour: Floats, distance: Floats) -> Floats:
    """Cover ``picture`` with ``colour`` where ``distance`` is below 1, with a soft edge."""
    weight = np.clip(12 * (1.04 - distance), 0, 1)[..., None]
    return picture * (1 - weight) + colour * weight
