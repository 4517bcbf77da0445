"""One picture of a dataset, or of all: samples side by side."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from preprocess import npz, packed, web
from preprocess.files import atomic
from preprocess.packed import Packed
from preprocess.published import SPLITS
from preprocess.recipe import Recipe

Tile = NDArray[np.uint8]

PER_CLASS = 12
GAP = 2
#: the smallest edge of a tile; small pictures are enlarged by whole factors, so that pixels stay visible
MIN_TILE = 84
SMALL_TILE = 56
CAPTION = 14
#: what stands across a picture of stand-ins or of a rehearsal, black on amber, and the height of that band
DRAWN, REHEARSED = "drawings, not data", "a rehearsal, not a build"
BAND = 20
AMBER = (255, 200, 60)


def marks(miniature: bool, rehearsal: bool) -> str:
    """What a picture must say of itself; empty for one of a build from real files."""
    return "; ".join(mark for mark, holds in ((DRAWN, miniature), (REHEARSED, rehearsal)) if holds)


def montage(classes: list[tuple[str, dict[int, Tile]]], out: Path, mark: str = "") -> None:
    """Draw up to 12 samples of each class, a row a class, under the class's name.

    Args:
        classes: what :func:`by_class` gave.
        out: the PNG to write.
        mark: what the picture says of itself (:func:`marks`).
    """
    lines = [(name, list(tiles.values())) for name, tiles in classes]
    edge = lines[0][1][0].shape[0]
    _save(_sheet(lines, edge * max(1, -(-MIN_TILE // edge))), out, mark)


def by_class(recipe: Recipe, path: Path, facts: Packed) -> list[tuple[str, dict[int, Tile]]]:
    """Number and name of each class of an npz with up to 12 of its samples as pictures (S, S) or (S, S, 3), by row.

    Volumes show their middle plane, shapes their front. A multi-label sample appears under each of its labels, and
    under ``no finding`` where it has none. ``facts`` is what pack saw of the npz.
    """
    names = recipe.dataset.classes
    rows: dict[int, list[int]] = defaultdict(list)
    reader = npz.Reader(path)
    for number, label in enumerate(itertools.chain.from_iterable(reader.array(f"{split}_labels") for split in SPLITS)):
        for place in label.tolist() if len(label) == 1 else np.flatnonzero(label).tolist() or [len(names)]:
            if len(rows[place]) < PER_CLASS:
                rows[place].append(number)
    pictures = {row: view(image) if recipe.dimensions == 3 else image
                for row, image in packed.images(path, facts, itertools.chain.from_iterable(rows.values()))}  # fmt: skip
    return [
        (
            f"{place}  {names[place]}" if place < len(names) else "no finding",
            {row: pictures[row] for row in rows[place]},
        )
        for place in sorted(rows)
    ]


def collection(files: dict[str, tuple[Recipe, Path]], out: Path, mark: str = "") -> None:
    """Draw the first 12 samples of each dataset, a row a dataset, in two columns; ``mark`` as in :func:`montage`."""
    lines = [
        (name, list(itertools.islice(_samples(recipe, path), PER_CLASS))) for name, (recipe, path) in files.items()
    ]
    half = -(-len(lines) // 2)
    columns = [_sheet(part, SMALL_TILE) for part in (lines[:half], lines[half:]) if part]
    sheet = Image.new("RGB", (sum(one.width for one in columns), columns[0].height), "white")
    for number, column in enumerate(columns):
        sheet.paste(column, (number * columns[0].width, 0))
    _save(sheet, out, mark)


def _samples(recipe: Recipe, path: Path) -> Iterator[Tile]:
    """The picture of every sample, in file order."""
    reader = npz.Reader(path)
    for split in SPLITS:
        for image in reader.rows(f"{split}_images"):
            yield view(image) if recipe.dimensions == 3 else image


def _sheet(lines: list[tuple[str, list[Tile]]], tile: int) -> Image.Image:
    """Lines of tiles, all of one size, each line under its caption."""
    height = tile + CAPTION + GAP
    canvas = Image.new("RGB", (PER_CLASS * (tile + GAP) + GAP, len(lines) * height + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for line, (caption, images) in enumerate(lines):
        top = GAP + line * height
        draw.text((GAP + 1, top + 1), caption, fill="black")
        for column, image in enumerate(images):
            picture = Image.fromarray(image).resize((tile, tile), Image.Resampling.NEAREST)
            canvas.paste(picture, (GAP + column * (tile + GAP), top + CAPTION))
    return canvas


def _save(picture: Image.Image, out: Path, mark: str) -> None:
    if mark:
        picture = _marked(picture, mark)
    with atomic(out) as part:
        web.save_png(picture, part)


def _marked(picture: Image.Image, mark: str) -> Image.Image:
    """The picture between two bands that say what it is; the words repeat, so that a cropped part has them too."""
    marked = Image.new("RGB", (picture.width, picture.height + 2 * BAND), AMBER)
    marked.paste(picture, (0, BAND))
    draw = ImageDraw.Draw(marked)
    step = int(draw.textlength(mark)) + 3 * GAP + CAPTION
    for top in (0, BAND + picture.height):
        for left in range(GAP, max(1, picture.width - step + CAPTION), step):
            draw.text((left, top + 4), mark, fill="black")
    return marked


def view(volume: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle plane of a volume; a shape (0 and 255 only) as seen from the front, its nearer parts brighter."""
    if ((volume > 0) & (volume < 255)).any():
        plane: NDArray[np.uint8] = volume[len(volume) // 2]
        return plane
    depth = np.argmax(volume > 0, axis=0)
    return np.where(volume.any(axis=0), 255 - depth * 190 // len(volume), 0).astype(np.uint8)
