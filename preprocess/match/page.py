"""The page of a match: figures, decisions and the worst rows side by side. One static file, no network."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess import __version__
from preprocess.decisions import DECISIONS
from preprocess.errors import ExcludeSample, UnreadableError
from preprocess.files import write_text
from preprocess.match.features import published_images
from preprocess.match.pairs import Pair, matched
from preprocess.recipe import Recipe
from preprocess.render import Renderer
from preprocess.table import Sample

Pixels = NDArray[np.uint8]
#: rows shown side by side, and rows listed
SHOWN, LISTED = 24, 50


@dataclass(frozen=True)
class Shown:
    """One row found: the published image, ours by the best recipe, and their difference, as data URIs."""

    pair: Pair
    key: str
    published: str
    ours: str
    difference: str
    worst: int
    mean: float


def worst(recipe: Recipe, folder: Path, samples: list[Sample], pairs: list[Pair], path: Path, size: int) -> list[Shown]:
    """The rows found whose images differ most from ours, then rows with a note, then any.

    Args:
        recipe: the best recipe.
        folder: the source's raw folder.
        samples: the candidates.
        pairs: all rows.
        path: the published file.
        size: its size.
    """
    order = sorted(matched(pairs), key=lambda pair: (-pair.distance, not pair.note, pair.row))[:SHOWN]
    images = published_images(path, {(pair.split, pair.index) for pair in order})
    renderer = Renderer(recipe, folder, [size])
    shown = []
    for pair in order:
        sample, theirs = samples[pair.sample], images[pair.split, pair.index]
        try:
            ours = renderer.render(sample).arrays[size]
        except (ExcludeSample, UnreadableError):
            continue
        difference = np.abs(ours.astype(np.int16) - theirs)
        worst_pixel = int(difference.max())
        scaled = (difference * (255 / max(worst_pixel, 1))).astype(np.uint8)
        left, middle, right = (_picture(image, recipe.dimensions) for image in (theirs, ours, scaled))
        shown.append(Shown(pair, sample.key, left, middle, right, worst_pixel, float(difference.mean())))
    return shown


def _picture(image: Pixels, dimensions: int) -> str:
    """A PNG as data URI; a volume shows its three middle planes beside each other."""
    if dimensions == 3:
        middle = len(image) // 2
        image = np.concatenate([image[middle], image[:, middle], image[:, :, middle]], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def write(path: Path, **content: Any) -> None:
    """Fill the template with what :mod:`preprocess.match.run` found."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("preprocess.match"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("match.html").render(
        **content, version=__version__, meanings={key: one.meaning for key, one in DECISIONS.items()}, listed=LISTED
    )
    write_text(path, text)
