"""A stand-in for BUSI: ``Dataset_BUSI.zip`` with 40 pictures that look like breast ultrasound.

As in the true archive: names with spaces and parentheses, masks, second masks, RGB mode with three
equal channels, a few pictures with real colour (burnt-in marks), no two sizes alike, and litter of
macOS. Two pictures have true dimensions, the others are smaller.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import Floats, blurred, encode, grid, rng, smooth_noise, to_uint8, write_zip

COUNTS = {"benign": 20, "malignant": 12, "normal": 8}
CENSUS = {"breastmnist": COUNTS}
ROOT = "Dataset_BUSI_with_GT"
#: (class, number): width, height of pictures with true dimensions
TRUE_SIZES = {("benign", 1): (562, 471), ("malignant", 3): (760, 590)}
COLOURED = {("benign", 4), ("benign", 11), ("malignant", 2)}
SECOND_MASKS = {("benign", 7), ("malignant", 5)}


def generate(folder: Path) -> None:
    """Write the archive into ``folder``."""
    members: dict[str, bytes] = {f"{ROOT}/.DS_Store": b"\0\0\0\1Bud1"}
    for label, count in COUNTS.items():
        for number in range(1, count + 1):
            image, mask = _draw(label, number)
            stem = f"{ROOT}/{label}/{label} ({number})"
            members[f"{stem}.png"] = encode(image, "PNG")
            members[f"{stem}_mask.png"] = encode(to_uint8(mask.astype(float)), "PNG")
            if (label, number) in SECOND_MASKS:
                members[f"{stem}_mask_1.png"] = encode(to_uint8(np.roll(mask, 30, axis=1).astype(float)), "PNG")
    members[f"__MACOSX/{ROOT}/benign/._benign (1).png"] = b"\0\5\x16\7Mac OS X"
    write_zip(folder / "Dataset_BUSI.zip", members, zipfile.ZIP_DEFLATED)


def _draw(label: str, number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    generator = rng("busi", label, number)
    width, height = TRUE_SIZES.get((label, number)) or (
        int(generator.integers(150, 230)),
        int(generator.integers(120, 190)),
    )
    row, column = grid(height, width)
    depth = (row + 1) / 2
    layers = 0.24 * np.sin(9 * depth + 1.2 * column + 2 * smooth_noise(generator, (height, width), height / 6))
    tissue = 0.5 - 0.28 * depth + layers * (1 - depth)
    tissue += 0.35 * np.exp(-(((depth - 0.05) / 0.03) ** 2))  # skin
    mask = np.zeros((height, width), bool)
    if label != "normal":
        mask, shade = _lesion(generator, row, column, malignant=label == "malignant")
        tissue = tissue * (1 - shade) + 0.07 * shade
        below = blurred(np.maximum.accumulate(mask, axis=0).astype(float), 3)
        # malignant masses shadow what lies behind them, cysts and fibroadenomas enhance it
        tissue *= 1 - 0.45 * below * (row > 0) if label == "malignant" else 1 + 0.25 * below * (row > 0)
    speckle = np.abs(smooth_noise(generator, (height, width), 1.1) + 1j * smooth_noise(generator, (height, width), 1.1))
    picture = to_uint8(np.clip(tissue, 0.02, 1) * (0.35 + 0.55 * speckle))
    image = np.repeat(picture[..., None], 3, axis=2)
    if (label, number) in COLOURED:
        image[4:12, 4:40] = (250, 210, 40)
        image[-10:-6, width // 2 - 6 : width // 2 + 6] = (40, 200, 90)
    return image, mask


def _lesion(
    generator: np.random.Generator, row: Floats, column: Floats, malignant: bool
) -> tuple[NDArray[np.bool_], Floats]:
    y, x = generator.uniform(-0.25, 0.2), generator.uniform(-0.35, 0.35)
    tall = generator.uniform(0.9, 1.5) if malignant else generator.uniform(0.5, 0.8)
    angle = np.arctan2(row - y, column - x)
    radius = 0.3 + 0.05 * np.sin(2 * angle + generator.uniform(0, 6))
    if malignant:  # spiculated margin
        radius = radius + 0.05 * np.sin(11 * angle + generator.uniform(0, 6)) + 0.04 * np.sin(17 * angle)
    distance = np.hypot((row - y) / tall, column - x) / radius
    return distance < 1, blurred((distance < 1).astype(float), 2.5 if malignant else 1.2)
