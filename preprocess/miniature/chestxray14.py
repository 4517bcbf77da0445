"""A stand-in for NIH ChestX-ray14: twelve tar.gz with 40 drawn chest X-rays, and Data_Entry_2017.csv.

Names, patients and their place in the twelve parts are true ones, so that the published lists label and
split them; findings are theirs by those lists; pictures, ages and views are invented. As in the true
files: a header with broken brackets and a trailing comma, ages such as ``058Y``, a row whose findings go
beyond the lists', RGBA among the gray pictures, NIH's own lists, which are not the published split. Three
pictures have the true dimensions, the others are smaller.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.miniature.drawing import Floats, blurred, encode, grid, rng, smooth_noise, to_uint8, write_tar_gz

#: per part: patient, and the findings of its images from follow-up 000 on
PARTS: dict[int, dict[str, tuple[str, ...]]] = {
    1: {
        "00000001": ("Cardiomegaly", "Cardiomegaly|Emphysema", "Cardiomegaly|Effusion"),
        "00000183": ("Infiltration", "No Finding", "Infiltration"),
        "00000344": (
            "Infiltration|Mass|Consolidation|Pleural_Thickening", "Effusion|Infiltration", "Effusion",
            "Atelectasis|Effusion|Infiltration", "Nodule",
        ),
    },
    2: {"00001481": ("Nodule", "No Finding"),
        "00001580": ("Mass|Pneumothorax|Edema|Emphysema", "Cardiomegaly|Effusion|Infiltration|Pneumothorax|Emphysema")},
    3: {"00004641": ("Effusion|Pneumonia|Pleural_Thickening", "Fibrosis")},
    4: {"00006592": ("Effusion", "Pleural_Thickening", "Atelectasis|Pleural_Thickening"),
        "00006628": ("No Finding", "No Finding", "Effusion|Consolidation")},
    5: {"00009316": ("Cardiomegaly", "No Finding")},
    6: {"00011922": ("Hernia", "No Finding")},
    7: {"00013777": ("Mass", "No Finding", "No Finding")},
    8: {"00016080": ("No Finding", "Infiltration|Edema")},
    9: {"00018399": ("Infiltration", "No Finding")},
    10: {"00020996": ("No Finding", "Atelectasis|Nodule")},
    11: {"00025091": ("Infiltration", "No Finding")},
    12: {"00028191": ("No Finding", "Infiltration")},
}  # fmt: skip
IMAGES = {
    f"{patient}_{visit:03}.png": findings
    for patients in PARTS.values()
    for patient, visits in patients.items()
    for visit, findings in enumerate(visits)
}
CENSUS = {
    "chestmnist": {
        "images": len(IMAGES),
        "patients": len({name[:8] for name in IMAGES}),
        "pixels across the first image": 1024,
    }
}
TRUE_SIZES = {"00000001_000.png", "00000344_003.png", "00016080_001.png"}
COLOURED = {"00000344_003.png", "00006628_001.png", "00009316_000.png"}
#: where Data_Entry says more than the lists
FURTHER = {"00011922_001.png": "Pneumonia", "00000344_004.png": "Mass|Nodule"}
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)


def generate(folder: Path) -> None:
    """Write the twelve archives, Data_Entry_2017.csv and NIH's lists into ``folder``."""
    for part, patients in PARTS.items():
        names = [name for name in IMAGES if name[:8] in patients]
        members = {"images/": b""} | {f"images/{name}": _file(name) for name in names}
        write_tar_gz(folder / f"images_{part:03}.tar.gz", members)
    (folder / "Data_Entry_2017.csv").write_text(HEADER + "".join(_row(name) for name in IMAGES), newline="")
    (folder / "train_val_list.txt").write_text("\n".join(list(IMAGES)[:30]))
    (folder / "test_list.txt").write_text("\n".join(list(IMAGES)[30:]))


def _row(name: str) -> str:
    generator = rng("chestxray14", name[:8])
    age, sex = int(generator.integers(18, 80)), "MF"[int(generator.integers(2))]
    visit = int(name[9:12])
    view = "AP" if rng("view", name).random() < 0.4 else "PA"
    written = f"{age + visit:03}Y" if age % 3 == 0 else str(age + visit)
    width, height, spacing = (2500, 2048, "0.168") if view == "AP" else (2682, 2749, "0.143")
    findings = FURTHER.get(name, IMAGES[name])
    return f"{name},{findings},{visit},{int(name[:8])},{written},{sex},{view},{width},{height},{spacing},{spacing},\n"


def _file(name: str) -> bytes:
    size = 1024 if name in TRUE_SIZES else int(rng("size", name).integers(130, 200))
    # fine detail is noise alone, so that a drawing of a quarter of the size, enlarged, does for the large ones
    drawn = Image.fromarray(_draw(name, min(size, 256), IMAGES[name].split("|")))
    grain = rng("grain", name).normal(0, 2.5, (size, size))
    image = to_uint8((np.asarray(drawn.resize((size, size), Image.Resampling.BICUBIC)) + grain) / 255)
    if name in COLOURED:
        image = np.dstack([image, image, image, np.full_like(image, 255)])
    return encode(image, "PNG")


def _draw(name: str, size: int, findings: list[str]) -> NDArray[np.uint8]:
    body, seen = rng("chestxray14", name[:8], 1), rng("chestxray14", name)
    row, column = grid(size, size)
    row, column = row + seen.uniform(-0.1, 0.1), column + seen.uniform(-0.08, 0.08)
    blur = size / 60

    def soft(mask: NDArray[np.bool_], width: float = 1.0) -> Floats:
        return blurred(mask.astype(float), blur * width)

    wide, tall = body.uniform(0.28, 0.38), body.uniform(0.5, 0.68)
    chest = soft((np.hypot(column / 0.88, (row - 0.3) / 1.35) < 1) | (np.abs(column) < 0.2), 2)
    lungs = [((column - side * 0.42) / wide) ** 2 + ((row - 0.02) / tall) ** 2 < 1 for side in (-1, 1)]
    air = soft((lungs[0] | lungs[1]) & (row < 0.5 - 0.25 * (np.abs(column) - 0.4) ** 2))
    heart = 0.4 if "Cardiomegaly" in findings else 0.24
    air *= 1 - soft(((column - 0.1) / heart) ** 2 + ((row - 0.36) / 0.26) ** 2 < 1)
    if {"Effusion", "Consolidation", "Pneumonia", "Atelectasis"} & set(findings):
        level = seen.uniform(0.15, 0.35)
        air *= 1 - 0.8 * soft((row > level + 0.3 * np.abs(column + 0.3)) & (column < 0), 2)
    picture = 0.78 * chest - 0.52 * air + 0.12 * soft(np.abs(column) < 0.1)  # spine and mediastinum
    ribs = np.maximum(0, np.sin(body.uniform(26, 34) * (row - 0.55 * np.sqrt(column**2 + 0.02))))
    picture += (0.08 * air + 0.03 * chest) * ribs
    picture += 0.1 * soft(np.abs(row + 0.62 + 0.25 * np.abs(column)) < 0.035) * (np.abs(column) < 0.75)  # clavicles
    if {"Mass", "Nodule", "Hernia"} & set(findings):
        spot = np.hypot(column - seen.uniform(0.3, 0.5), row + seen.uniform(0, 0.3))
        picture += 0.35 * soft(spot < (0.14 if "Mass" in findings else 0.06))
    if {"Infiltration", "Edema", "Fibrosis"} & set(findings):
        picture += 0.08 * air * smooth_noise(seen, (size, size), size / 40)
    if "Pneumothorax" in findings:
        picture -= 0.18 * soft(lungs[1] & (column > 0.5), 2)
    # vessels and soft tissue, a person's own, and the shadows of one picture
    picture += (0.5 * air + 0.5 * chest) * 0.05 * smooth_noise(body, (size, size), size / 22)
    picture += chest * 0.04 * smooth_noise(seen, (size, size), size / 14)
    tilt = seen.uniform(-0.12, 0.12, 2)
    picture *= 1 + tilt[0] * row + tilt[1] * column
    return to_uint8((picture + 0.02) * seen.uniform(0.8, 1.1))
