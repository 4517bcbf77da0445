"""What is found of changed copies of real pictures: `python -m benchmarks.near_duplicates [--sizes 28 64 224]`.

`MEDMNIST_REAL` names a folder of real files, as the tests take it. Every picture of BUSI, Kermany and PBC that is there
is changed in one way, both are rendered by the recipe, and the search looks at all of them together. The share of
originals whose copy is found is the recall of that change. Pairs of pictures that no copy links are counted beside it.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from preprocess import duplicates, recipe
from preprocess.cells import cells as cells_of
from preprocess.reading.picture import Picture
from preprocess.render import bind

#: where the originals lie, by dataset
FOLDERS = {
    "breastmnist": "busi/Dataset_BUSI_with_GT",
    "pneumoniamnist": "kermany/chest_xray",
    "bloodmnist": "pbc/PBC_dataset_normal_DIB",
}
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def _jpeg(quality: int) -> Change:
    def change(picture: Image.Image, random: np.random.Generator) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return change


def _noise(sigma: float) -> Change:
    def change(picture: Image.Image, random: np.random.Generator) -> Image.Image:
        pixels = np.asarray(picture)
        return Image.fromarray(
            np.clip(np.rint(pixels + random.normal(0, sigma, pixels.shape)), 0, 255).astype(np.uint8)
        )

    return change


def _brightness(factor: float) -> Change:
    return lambda picture, random: ImageEnhance.Brightness(picture).enhance(factor)


def _scale(factor: float) -> Change:
    def change(picture: Image.Image, random: np.random.Generator) -> Image.Image:
        width, height = (max(round(edge * factor), 1) for edge in picture.size)
        return picture.resize((width, height), Image.Resampling.BICUBIC)

    return change


def _crop(share: float) -> Change:
    """Cut so much of each edge's length away, more of it from one side or the other."""

    def change(picture: Image.Image, random: np.random.Generator) -> Image.Image:
        width, height = (round(edge * (1 - share)) for edge in picture.size)
        left = int(random.integers(0, picture.width - width + 1))
        top = int(random.integers(0, picture.height - height + 1))
        return picture.crop((left, top, left + width, top + height))

    return change


def _text(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """A caption in white, a twelfth of the picture high, somewhere in it."""
    picture = picture.copy()
    place = random.uniform(0, (0.6, 0.9)) * picture.size
    font = ImageFont.load_default(picture.height / 12)
    white = 255 if picture.mode == "L" else (255, 255, 255)
    ImageDraw.Draw(picture).text(tuple(place.tolist()), "R 2.1 cm", fill=white, font=font)
    return picture


def _turn(turn: int) -> Change:
    def change(picture: Image.Image, random: np.random.Generator) -> Image.Image:
        if turn >= 4:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return picture.rotate(90 * (turn % 4), expand=True)

    return change


#: every kind of change, and what the copy is then of its original
CHANGES: dict[str, tuple[Change, str]] = {
    "JPEG, quality 75": (_jpeg(75), "same"),
    "JPEG, quality 30": (_jpeg(30), "same"),
    "noise, sigma 5": (_noise(5), "same"),
    "noise, sigma 15": (_noise(15), "same"),
    "darker, x 0.8": (_brightness(0.8), "same"),
    "brighter, x 1.2": (_brightness(1.2), "same"),
    "scaled, x 0.9": (_scale(0.9), "same"),
    "scaled, x 0.5": (_scale(0.5), "same"),
    "cropped by 5 %": (_crop(0.05), "same"),
    "cropped by 10 %": (_crop(0.1), "same"),
    "text burnt in": (_text, "same"),
    **{name: (_turn(turn), name) for turn, name in enumerate(duplicates.TURNS) if turn},
    "mirrored and JPEG, quality 30": (lambda one, random: _jpeg(30)(_turn(4)(one, random), random), "mirrored"),
}


@dataclass(frozen=True)
class Outcome:
    """What was found among pictures and one changed copy of each.

    Attributes:
        found: originals whose copy was found.
        rightly: those of them whose copy was found to be turned as it is.
        strangers: pairs of pictures of different originals, by the originals' numbers.
    """

    found: int
    rightly: int
    strangers: frozenset[tuple[int, int]]


def pictures(folder: Path) -> list[Image.Image]:
    """The pictures below a folder in the order of their paths, without masks."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".png", ".jpg", ".jpeg") and "mask" not in path.name:
            with Image.open(path) as picture:
                found.append(picture.convert("L" if picture.mode == "L" else "RGB"))
    return found


def rendered(dataset: str, picture: Image.Image, sizes: list[int]) -> list[np.ndarray]:
    """The cells of a picture as the recipe of a dataset renders it, protocol ``paper``, at each size.

    But for the crop: a part of so many pixels shows something else of a scaled copy.
    """
    in_force = recipe.load(dataset, "paper", {"crop": "none"})
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=0)
    decoded: object = bind(in_force, "decode", sizes[0]).function(Picture(file.getvalue()))
    found = []
    for size in sizes:
        value = decoded
        for name in in_force.steps[1:]:
            value = bind(in_force, name, size).function(value)
        found.append(cells_of(np.asarray(value), 2))
    return found


def _same(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    return picture


def planted(
    dataset: str, originals: list[Image.Image], sizes: list[int], change: Change = _same, seed: int = 1
) -> dict[int, np.ndarray]:
    """The cells of a changed copy of each picture by size; without a change of the pictures themselves."""
    rows = [
        rendered(dataset, change(picture, np.random.default_rng([seed, number])), sizes)
        for number, picture in enumerate(originals)
    ]
    return {size: np.stack([row[place] for row in rows]) for place, size in enumerate(sizes)}


def search(unchanged: np.ndarray, copies: np.ndarray, turn: str) -> Outcome:
    """Look for near duplicates among pictures and their copies, which are ``turn`` of the originals."""
    count = len(unchanged)
    pairs = duplicates.near(np.concatenate([unchanged, copies]))
    own = [pair for pair in pairs if pair.second == pair.first + count]
    strangers = {(pair.first % count, pair.second % count) for pair in pairs if (pair.second - pair.first) % count}
    return Outcome(len(own), sum(pair.turn == turn for pair in own), frozenset((min(o), max(o)) for o in strangers))


def table(real: Path, sizes: list[int]) -> Iterator[str]:
    """The lines of a Markdown table."""
    columns = [(dataset, size) for dataset in FOLDERS for size in sizes]
    yield "| change | " + " | ".join(f"{dataset} {size}" for dataset, size in columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    there = {dataset: pictures(real / folder) for dataset, folder in FOLDERS.items()}
    known = {dataset: planted(dataset, there[dataset], sizes) for dataset in FOLDERS}
    found = [duplicates.near(known[dataset][size]) for dataset, size in columns]
    yield _line("pictures", [len(there[dataset]) for dataset, _ in columns])
    yield _line("pairs of originals", [len(pairs) for pairs in found])
    yield _line("of these mirrored or turned", [sum(pair.turn != "same" for pair in pairs) for pairs in found])
    for name, (change, turn) in CHANGES.items():
        shares = []
        for dataset, originals in there.items():
            copies = planted(dataset, originals, sizes, change)
            outcomes = [search(known[dataset][size], copies[size], turn) for size in sizes]
            shares += [f"{100 * one.rightly / len(originals):.0f} %" for one in outcomes]
        yield _line(name, shares)


def _line(name: str, cells: Iterable[object]) -> str:
    return " | ".join([f"| {name}", *map(str, cells)]) + " |"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 64, 224], help="edges of the rendered pictures")
    options = parser.parse_args()
    if not (folder := os.environ.get("MEDMNIST_REAL")):
        sys.exit("MEDMNIST_REAL does not name the folder of real files")
    for line in table(Path(folder), options.sizes):
        print(line, flush=True)


if __name__ == "__main__":
    main()
