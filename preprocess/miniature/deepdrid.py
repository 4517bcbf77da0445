"""A stand-in for DeepDRiD: ``DeepDRiD-master.zip`` with fundus photographs of 20 patients.

As in the true repository: four images a patient, lists whose paths have backslashes and lack a
folder, the level in one of two columns (which is not always the eye of the name), a patient whose
worse eye gives the patient's level, images numbered 3 and 4, a file without the patient in its
name, ids with gaps, and the parts no list of ours names: evaluation and ultra-widefield images with
their level 5. Two images have true dimensions.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import blurred, encode, enlarge, grid, rng, smooth_noise, to_uint8, write_zip

ROOT = "DeepDRiD-master"
REGULAR = f"{ROOT}/regular_fundus_images"
HEADER = (
    "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level,"
    "Clarity,Field definition,Artifact"
)
#: patient: levels of the left and the right eye
TRAINING = {
    1: (0, 0), 2: (2, 2), 3: (1, 0), 4: (3, 4), 7: (0, 0), 10: (4, 4), 17: (1, 1), 19: (3, 3),
    33: (0, 1), 56: (1, 0), 77: (2, 2), 164: (0, 0), 265: (3, 3), 301: (4, 4), 330: (2, 0),
}  # fmt: skip
VALIDATION = {266: (0, 0), 270: (1, 1), 311: (2, 2), 384: (3, 3), 433: (4, 4)}
NAMES = {
    56: (("l1", "l"), ("r3", "l"), ("l3", "r"), ("r2", "r")),
    77: (("l3", "l"), ("l4", "l"), ("r3", "r"), ("r4", "r")),
    164: (("l3", "l"), ("r1", "l"), ("r3", "r"), ("r4", "r")),
}
USUAL = (("l1", "l"), ("l2", "l"), ("r1", "r"), ("r2", "r"))
UNNAMED = {"77_r4"}
TRUE_SIZES = {"1_l1": (1956, 1934), "311_r2": (1824, 1736)}


def _census() -> dict[str, int]:
    counts: dict[str, int] = {}
    for part, patients in (("training", TRAINING), ("validation", VALIDATION)):
        for levels in patients.values():
            for level in levels:
                counts[f"{part} {level}"] = counts.get(f"{part} {level}", 0) + 2
    return counts


CENSUS = {"retinamnist": _census()}


def generate(folder: Path) -> None:
    """Write the archive into ``folder``."""
    members: dict[str, bytes] = {f"{ROOT}/README.md": b"# DeepDRiD\n"}
    evaluation = f"{REGULAR}/Online-Challenge1&2-Evaluation"
    members[f"{evaluation}/.~Readme.docx"] = b"\x13litter"
    members[f"{evaluation}/Challenge1_labels.xlsx"] = b"PK\5\6" + bytes(18)
    members[f"{evaluation}/Challenge1_upload.csv"] = b"image_id,DR_Level\r\n347_l1,\r\n"
    members[f"{evaluation}/Images/347/347_l1.jpg"] = encode(_draw("347_l1", 1), "JPEG")
    for part, patients in (("training", TRAINING), ("validation", VALIDATION)):
        base = f"{REGULAR}/regular-fundus-{part}"
        rows = [HEADER]
        for patient, levels in patients.items():
            for name, eye in NAMES.get(patient, USUAL):
                image = f"{patient}_{name}"
                level = levels["lr".index(eye)]
                stored = name if image in UNNAMED else image
                members[f"{base}/Images/{patient}/{stored}.jpg"] = encode(_draw(image, level), "JPEG", quality=90)
                rows.append(_row(part, patient, image, eye, level, max(levels)))
        members[f"{base}/Readme.docx"] = b"PK\5\6" + bytes(18)
        members[f"{base}/regular-fundus-source-{part}.csv"] = b"image_id,source\r\n1_l1,1\r\n"
        members[f"{base}/regular-fundus-{part}.csv"] = ("\r\n".join(rows) + "\r\n").encode()
    wide = f"{ROOT}/ultra-widefield_images/ultra-widefield-training"
    members[f"{wide}/Images/1/1_l1.jpg"] = encode(_draw("wide", 4), "JPEG")
    members[f"{wide}/ultra-widefield-training.csv"] = b"patient_id,image_id,DR_level\r\n1,1_l1,5\r\n"
    write_zip(folder / f"{ROOT}.zip", members)


def _row(part: str, patient: int, image: str, eye: str, level: int, worse: int) -> str:
    generator = rng("deepdrid", "row", image)
    left, right = (level, "") if eye == "l" else ("", level)
    quality = f"{generator.choice([4, 6, 8, 10])},{generator.choice([4, 6, 8, 10])},{generator.choice([0, 1, 4, 6, 8])}"
    path = f"\\regular-fundus-{part}\\{patient}\\{image}.jpg"
    return f"{patient},{image},{path},{generator.integers(2)},{left},{right},{worse},{quality}"


@functools.cache
def _vessels(side: int) -> NDArray[np.float64]:
    """Two arcades that leave the disc and branch: the darkness of the vessels, 0 to 1."""
    row, column = grid(side, side)
    dark = np.zeros((side, side))
    along = column - 0.45
    for up in (-1, 1):
        for reach, wide in ((0.55, 0.016), (0.3, 0.011), (0.72, 0.009)):
            path = up * reach * np.sqrt(np.clip(-along, 0, None)) * (1.3 + 0.35 * along)
            dark = np.maximum(dark, np.exp(-(((row - path) / wide) ** 2)) * (along < 0))
        path = up * 1.1 * np.sqrt(np.clip(along, 0, None))
        dark = np.maximum(dark, np.exp(-(((row - path) / 0.012) ** 2)) * (along > 0))
    return dark


def _draw(image: str, level: int) -> NDArray[np.uint8]:
    """A fundus: an orange disc on black with optic disc, vessels and, by level, red and yellow spots."""
    generator = rng("deepdrid", image)
    width, height = int(generator.integers(236, 262)), int(generator.integers(226, 240))
    row, column = grid(height, width)
    column = column * width / height * (-1 if "_r" in image else 1)
    round_field = (np.hypot(row, column) < 0.97) & (np.abs(row) < 0.92)
    light = 0.85 - 0.25 * (row**2 + column**2) + 0.12 * generator.uniform(-1, 1) * row
    light *= generator.uniform(0.75, 1.1)
    # no two eyes look the same way
    angle, up, aside = generator.uniform((-0.3, -0.18, -0.15), (0.3, 0.18, 0.3))
    row, column = (
        row * np.cos(angle) - column * np.sin(angle) + up,
        column * np.cos(angle) + row * np.sin(angle) + aside,
    )
    side = 240
    at = tuple(((np.clip(axis, -1, 1) + 1) / 2 * (side - 1)).astype(int) for axis in (row, column))
    red, green, blue = light * 0.82, light * 0.42, light * 0.16
    disc = np.exp(-((((column - 0.45) / 0.14) ** 2 + (row / 0.16) ** 2) ** 2))
    macula = np.exp(-(((column + 0.12) / 0.16) ** 2) - ((row / 0.16) ** 2))
    vessels = _vessels(side)[at]
    spots = _spots(generator, side, level)[:, at[0], at[1]]
    red = red + 0.25 * disc - 0.16 * macula - 0.2 * vessels - 0.3 * spots[0] + 0.15 * spots[1]
    green = green + 0.4 * disc - 0.14 * macula - 0.22 * vessels - 0.3 * spots[0] + 0.4 * spots[1]
    blue = blue + 0.3 * disc - 0.05 * vessels + 0.1 * spots[1]
    grain = 1 + 0.03 * smooth_noise(generator, (side, side), 2)[at]
    picture = np.stack([red, green, blue], axis=2) * (round_field * grain)[..., None]
    drawn = to_uint8(picture)
    return enlarge(drawn, *TRUE_SIZES[image]) if image in TRUE_SIZES else drawn


def _spots(generator: np.random.Generator, side: int, level: int) -> NDArray[np.float64]:
    """Haemorrhages and exudates, (2, side, side): more of them with every level."""
    marks = np.zeros((2, side, side))
    for kind, number in enumerate((level * 7, max(level - 1, 0) * 8)):
        for row, column in generator.integers(side // 6, side * 5 // 6, (number, 2)):
            marks[kind, row, column] = 1
    return np.asarray(np.clip([blurred(one, 1.6 + 0.3 * level) * 16 for one in marks], 0, 1))
