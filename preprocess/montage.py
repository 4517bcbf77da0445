"""One picture of a dataset: samples of each class side by side."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from preprocess import npz
from preprocess.files import atomic
from preprocess.recipe import Recipe
from preprocess.split import SPLITS

PER_CLASS = 12
GAP = 2
#: the smallest edge of a tile; small pictures are enlarged by whole factors, pixels stay visible
MIN_TILE = 84
CAPTION = 14


def montage(recipe: Recipe, path: Path, out: Path) -> None:
    """Draw up to 12 samples of each class of an npz, a row a class, under the class's name.

    Volumes show their middle plane, shapes their front. A multi-label sample stands under its first label, or under
    ``no finding``.
    """
    names: list[str] = recipe.about["label"]["classes"]
    tiles: dict[int, list[NDArray[np.uint8]]] = defaultdict(list)
    reader = npz.Reader(path)
    for split in SPLITS:
        labels = reader.array(f"{split}_labels")
        for label, image in zip(labels, reader.rows(f"{split}_images"), strict=True):
            row = int(label[0]) if len(label) == 1 else int(np.argmax(label)) if label.any() else len(names)
            if len(tiles[row]) < PER_CLASS:
                tiles[row].append(_view(image) if recipe.dimensions == 3 else image)
    edge = next(iter(tiles.values()))[0].shape[0]
    zoom = max(1, -(-MIN_TILE // edge))
    tile = edge * zoom
    canvas = Image.new("RGB", (PER_CLASS * (tile + GAP) + GAP, len(tiles) * (tile + CAPTION + GAP) + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for line, row in enumerate(sorted(tiles)):
        top = GAP + line * (tile + CAPTION + GAP)
        caption = names[row] if row < len(names) else "no finding"
        draw.text((GAP + 1, top + 1), f"{row}  {caption}" if row < len(names) else caption, fill="black")
        for column, image in enumerate(tiles[row]):
            picture = Image.fromarray(image).resize((tile, tile), Image.Resampling.NEAREST)
            canvas.paste(picture, (GAP + column * (tile + GAP), top + CAPTION))
    with atomic(out) as part:
        canvas.save(part, "PNG", optimize=True)


def _view(volume: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle plane of a volume; a shape of 0 and 255 only is seen from the front, nearer parts brighter."""
    if ((volume > 0) & (volume < 255)).any():
        plane: NDArray[np.uint8] = volume[len(volume) // 2]
        return plane
    depth = np.argmax(volume > 0, axis=0)
    return np.where(volume.any(axis=0), 255 - depth * 190 // len(volume), 0).astype(np.uint8)
