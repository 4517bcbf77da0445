"""A stand-in for HAM10000: both image zips and the metadata, 53 drawn skin lesions of seven kinds.

As in the true files: two parts, metadata with CRLF whose rows are in no order, an age that is empty or
``unknown`` sex, lesions of one to three images. Three pictures have the true 600 x 450 pixels, the others
are smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import blurred, encode, grid, rng, smooth_noise, to_uint8, write_zip

#: per class: how many images each of its lesions has
LESIONS = {
    "akiec": (1, 2, 1, 1),
    "bcc": (1, 1, 2, 1),
    "bkl": (2, 1, 1, 3, 1),
    "df": (1, 1, 2),
    "mel": (1, 3, 1, 1, 2),
    "nv": (1, 1, 1, 2, 1, 1, 3, 1, 2, 1, 1, 1, 1, 2),
    "vasc": (1, 2, 1),
}
FIRST = 24306
TRUE_SIZES = {0, 17, 40}
HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
PLACES = ("back", "lower extremity", "trunk", "face", "scalp", "unknown")
#: lesion's colour, and how unlike a disc it is
LOOKS = {
    "akiec": ((0.78, 0.45, 0.40), 0.14), "bcc": ((0.72, 0.42, 0.42), 0.10), "bkl": ((0.55, 0.38, 0.26), 0.10),
    "df": ((0.70, 0.48, 0.40), 0.05), "mel": ((0.26, 0.16, 0.13), 0.22), "nv": ((0.46, 0.28, 0.19), 0.05),
    "vasc": ((0.62, 0.12, 0.20), 0.08),
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One image: its running number, lesion and class."""

    number: int
    lesion: int
    dx: str

    @property
    def name(self) -> str:
        """The image id."""
        return f"ISIC_{FIRST + self.number:07}"


def _pictures() -> list[Picture]:
    images = [
        (lesion, dx)
        for lesion, (dx, count) in enumerate((dx, count) for dx, counts in LESIONS.items() for count in counts)
        for _ in range(count)
    ]
    places = rng("ham10000", "numbers").permutation(len(images))
    return [Picture(int(number), *image) for number, image in zip(places, images, strict=True)]


PICTURES = _pictures()
CENSUS = {
    "dermamnist": {
        **{dx: sum(counts) for dx, counts in LESIONS.items()},
        "images": len(PICTURES),
        "lesions": sum(map(len, LESIONS.values())),
        "pixels across the first image": 600,
    }
}


def generate(folder: Path) -> None:
    """Write two zips of images and the metadata into ``folder``."""
    files = {f"{one.name}.jpg": _file(one) for one in sorted(PICTURES, key=lambda one: one.number)}
    for part, names in enumerate(np.array_split(sorted(files), 2), start=1):
        write_zip(folder / f"HAM10000_images_part_{part}.zip", {str(name): files[str(name)] for name in names})
    rows = [_row(one) for one in PICTURES]
    (folder / "HAM10000_metadata.csv").write_text("".join(f"{line}\r\n" for line in (HEADER, *rows)), newline="")


def _row(one: Picture) -> str:
    generator = rng("ham10000", "lesion", one.lesion)
    age = "" if one.lesion % 11 == 5 else f"{5 * int(generator.integers(4, 17))}.0"
    sex = "unknown" if not age else ("male", "female")[int(generator.integers(2))]
    place = PLACES[int(generator.integers(len(PLACES)))]
    kind = "follow_up" if one.dx == "nv" and one.lesion % 2 else "histo"
    cohort = ("vidir_molemax", "vidir_modern", "rosendahl")[int(generator.integers(3))]
    return f"HAM_{one.lesion + 118:07},{one.name},{one.dx},{kind},{age},{sex},{place},{cohort}"


def _file(one: Picture) -> bytes:
    width, height = (600, 450) if one.number in TRUE_SIZES else (200, 150)
    return encode(_draw(one, width, height), "JPEG", quality=92)


def _draw(one: Picture, width: int, height: int) -> NDArray[np.uint8]:
    lesion, shot = rng("ham10000", "look", one.lesion), rng("ham10000", "shot", one.number)
    row, column = grid(height, width)
    row = row * height / width  # one unit is as long down as across
    colour, rough = LOOKS[one.dx]
    skin = np.array([0.88, 0.70, 0.60]) + lesion.uniform(-0.06, 0.06, 3)
    tone = skin + 0.025 * smooth_noise(shot, (height, width), width / 30)[..., None]
    y, x = shot.uniform(-0.12, 0.12), shot.uniform(-0.2, 0.2)
    angle = np.arctan2(row - y, column - x) + shot.uniform(0, 6)
    edge = np.full_like(angle, lesion.uniform(0.28, 0.48))
    for wave in (2, 3, 5, 7):
        edge = edge + rough * lesion.uniform(0.2, 0.5) * np.sin(wave * angle + lesion.uniform(0, 6)) / wave
    inside = blurred((np.hypot(row - y, column - x) < edge).astype(float), width / 90)[..., None]
    blotch = smooth_noise(shot, (height, width), width / 25)[..., None] * (0.5 + 3 * rough) * 0.09
    picture = tone * (1 - inside) + (np.array(colour) + lesion.uniform(-0.05, 0.05, 3) + blotch) * inside
    for _ in range(int(shot.integers(0, 4))):  # hairs
        slope, shift = shot.uniform(-2, 2), shot.uniform(-0.7, 0.7)
        hair = np.abs(column - shift - slope * row + 0.15 * row**2) < 0.006 * np.hypot(1, slope)
        picture[hair] *= 0.55
    shade = 1 - 0.22 * (np.hypot(row, column) ** 3)[..., None]
    return to_uint8(picture * shade)
