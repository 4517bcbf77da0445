"""A stand-in for version 3 of Kermany's data: ``ZhangLabData.zip`` with OCT scans and chest X-rays.

As in the true archive: names of class, patient and image, patients with several images and in
several classes, gray and some RGB files, scans of three shapes (some with the white corners of a
rotated scan), X-rays of many sizes, and litter of macOS. A few have true dimensions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import Floats, blurred, encode, enlarge, grid, rng, smooth_noise, to_uint8, write_zip

ROOT = "CellData"
OCT = {
    "train": {"CNV": 14, "DME": 9, "DRUSEN": 8, "NORMAL": 16},
    "test": {"CNV": 3, "DME": 3, "DRUSEN": 3, "NORMAL": 3},
}
CHEST = {"train": {"NORMAL": 12, "BACTERIA": 13, "VIRUS": 7}, "test": {"NORMAL": 4, "BACTERIA": 4, "VIRUS": 3}}
CENSUS = {
    "octmnist": {f"{split} {label}": count for split, counts in OCT.items() for label, count in counts.items()},
    "pneumoniamnist": {
        f"{split} {name}": counts["NORMAL"] if name == "NORMAL" else counts["BACTERIA"] + counts["VIRUS"]
        for split, counts in CHEST.items()
        for name in ("NORMAL", "PNEUMONIA")
    },
}
#: width and height of scans, the first with the weight of the true archive's most common shape
OCT_SHAPES = ((256, 248), (256, 248), (256, 248), (384, 248), (512, 248))
TRUE_OCT = {("train", "CNV", 0): (512, 496), ("train", "NORMAL", 1): (768, 496), ("test", "DME", 0): (1536, 496)}
TRUE_CHEST = {
    ("train", "NORMAL", 0): (1336, 1128),
    ("train", "VIRUS", 2): (1152, 760),
    ("test", "BACTERIA", 1): (384, 127),
}
RGB = {("train", "DRUSEN", 2), ("train", "BACTERIA", 3), ("test", "VIRUS", 1)}
#: two patients who have scans in two classes
BOTH = {("train", "CNV", 0): "1016042", ("train", "DRUSEN", 1): "1016042", ("train", "DME", 0): "2290113",
        ("train", "NORMAL", 0): "2290113"}  # fmt: skip


def generate(folder: Path) -> None:
    """Write the archive into ``folder``."""
    members: dict[str, bytes] = {f"{ROOT}/.DS_Store": b"\0\0\0\1Bud1"}
    for split, counts in OCT.items():
        for label, count in counts.items():
            for stem, which in _names(split, label, count, "{}-{}-{}"):
                members[f"{ROOT}/OCT/{split}/{label}/{stem}.jpeg"] = _encode(_oct(*which), which)
    for split, counts in CHEST.items():
        for label, count in counts.items():
            name = "NORMAL" if label == "NORMAL" else "PNEUMONIA"
            for stem, which in _names(split, label, count, "{}-{}-{:04d}"):
                members[f"{ROOT}/chest_xray/{split}/{name}/{stem}.jpeg"] = _encode(_chest(*which), which)
    members[f"__MACOSX/{ROOT}/OCT/train/CNV/._CNV-1016042-1.jpeg"] = b"\0\5\x16\7Mac OS X"
    write_zip(folder / "ZhangLabData.zip", members)


def _names(split: str, label: str, count: int, pattern: str) -> list[tuple[str, tuple[str, str, int]]]:
    """Names of class, patient and image; every third image is a further one of the patient before."""
    generator = rng("kermany", split, label, len(pattern))
    names = []
    patient, image = "", 0
    for number in range(count):
        image = image + 1 if number % 3 == 2 else 1
        if image == 1:
            # test patients are others: their ids lie in another range
            patient = str(generator.integers(11_000, 4_000_000) + (5_000_000 if split == "test" else 0))
        if pattern == "{}-{}-{}":
            patient = BOTH.get((split, label, number), patient)
        names.append((pattern.format(label, patient, image), (split, label, number)))
    return names


def _encode(image: NDArray[np.uint8], which: tuple[str, str, int]) -> bytes:
    return encode(np.repeat(image[..., None], 3, axis=2) if which in RGB else image, "JPEG", quality=90)


def _oct(split: str, label: str, number: int) -> NDArray[np.uint8]:
    """A B-scan: dark vitreous, the bright layers of the retina around the fovea, the fading choroid."""
    generator = rng("kermany", "oct", split, label, number)
    true = TRUE_OCT.get((split, label, number))
    width, height = (true[0] // 2, true[1] // 2) if true else OCT_SHAPES[generator.integers(len(OCT_SHAPES))]
    row, column = grid(height, width)
    fovea = generator.uniform(-0.2, 0.2)
    bow = 0.12 * (column - fovea) ** 2 + generator.uniform(-0.15, 0.15)
    pit = 0.2 * np.exp(-(((column - fovea) / 0.22) ** 2))
    top, bottom = bow - 0.22 + pit, bow + 0.28
    if label == "DME":  # swollen retina with dark cysts
        top = top - 0.22 * np.exp(-(((column - fovea) / 0.5) ** 2))
    if label in ("CNV", "DRUSEN"):  # the pigment epithelium lifted: one large mound, or many small ones
        mounds = [(0.22, 0.25)] if label == "CNV" else [(0.07, 0.05)] * 5
        for tall, wide in mounds:
            bottom = bottom - tall * np.exp(-(((column - generator.uniform(-0.6, 0.6)) / wide) ** 2))
    depth = (row - top) / np.maximum(bottom - top, 0.08)
    inside = (depth > 0) & (depth < 1)
    layers = 0.42 + 0.2 * np.cos(2 * np.pi * (3 * depth + 0.1)) + 0.25 * np.exp(-((depth / 0.08) ** 2))
    scan = np.where(inside, layers, 0.06)
    scan += 0.75 * np.exp(-((((row - bottom) + 0.02) / 0.025) ** 2))  # pigment epithelium
    scan += np.where(depth >= 1, 0.42 * np.exp(-(row - bottom) / 0.2), 0)
    if label in ("DME", "CNV"):
        for _ in range(5 if label == "DME" else 2):
            x, y = generator.uniform(-0.4, 0.4), generator.uniform(0.3, 0.6)
            cyst = ((column - fovea - x) / 0.09) ** 2 + ((depth - y) / 0.2) ** 2 < 1
            scan = np.where(cyst & inside, 0.08, scan)
    speckle = np.abs(smooth_noise(generator, (height, width), 0.8))
    image = to_uint8(blurred(scan, 1) * (0.55 + 0.45 * speckle) + 0.03)
    if number % 4 == 3:  # a rotated scan leaves white corners
        from scipy.ndimage import rotate

        image = rotate(image, generator.uniform(-12, 12), reshape=False, order=1, cval=255)
    return enlarge(image, *true) if true else image


def _chest(split: str, label: str, number: int) -> NDArray[np.uint8]:
    """A frontal X-ray: dark lungs in a bright chest, spine, heart, ribs; patches or haze in pneumonia."""
    from scipy.special import expit

    generator = rng("kermany", "chest", split, label, number)
    width, height = int(generator.integers(270, 400)), int(generator.integers(190, 260))
    row, column = grid(height, width)
    # no two children are alike, nor do they lie alike
    tilt, size = generator.uniform(-0.12, 0.12), generator.uniform(0.82, 1.12)
    column = column * width / height
    row, column = (row - tilt * column) / size, (column + tilt * row) / size + generator.uniform(-0.15, 0.15)
    row = row + generator.uniform(-0.15, 0.15)
    wide, tall, beat, rib = generator.uniform((0.23, 0.6, 0.24, 3.1), (0.31, 0.78, 0.36, 4.2))
    out = np.abs(column)
    trunk = expit((0.95 + 0.5 * np.exp(-(((row + 0.75) / 0.35) ** 2)) - out) / 0.03)  # arms at the shoulders
    lungs = np.zeros((height, width))
    for side in (-1, 1):
        shape = ((column - side * 0.43) / (wide + 0.08 * row)) ** 2 + ((row + 0.02) / tall) ** 4
        lungs = np.maximum(lungs, expit((1 - shape) / 0.12))
    ribs = np.clip(np.cos(2 * np.pi * (rib * row - 2.2 * (out - 0.25) ** 2 + 0.9 * out)), 0.2, 1) - 0.2
    heart = expit((1 - ((column - 0.16) / beat) ** 2 - ((row - 0.32) / 0.36) ** 2) / 0.15)
    air = lungs * (1 - 0.85 * heart)
    picture = trunk * (0.66 - 0.12 * row * row - 0.1 * out - air * (0.44 - _opacity(generator, label, row, column)))
    picture += trunk * (0.09 * ribs * (out > 0.06) + 0.12 * np.exp(-((column / 0.08) ** 2)) + 0.1 * heart)
    picture += 0.015 * smooth_noise(generator, (height, width), 1.0) + 0.03
    drawn, true = to_uint8(picture), TRUE_CHEST.get((split, label, number))
    return enlarge(drawn, *true) if true else drawn


def _opacity(generator: np.random.Generator, label: str, row: Floats, column: Floats) -> Floats:
    if label == "BACTERIA":  # one dense lobe
        x, y = generator.choice([-0.42, 0.42]), generator.uniform(-0.3, 0.4)
        return np.asarray(0.34 * np.exp(-(((column - x) / 0.22) ** 2) - (((row - y) / 0.25) ** 2)))
    if label == "VIRUS":  # haze on both sides
        return 0.13 + 0.06 * smooth_noise(generator, row.shape, row.shape[0] / 22)
    return np.zeros_like(row)
