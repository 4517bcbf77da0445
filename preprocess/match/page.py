"""The page of a match: figures, decisions and the worst rows side by side. One static file, no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess import __version__, web
from preprocess.decisions import DECISIONS
from preprocess.files import write_text
from preprocess.match.features import published_images, turn
from preprocess.match.pairs import Pair
from preprocess.match.ranking import Ranking, render_one
from preprocess.render import Renderer
from preprocess.table import Sample

Pixels = NDArray[np.uint8]
#: rows shown side by side where some differ, where none does, and rows listed
SHOWN, EXAMPLES, LISTED = 24, 6, 50
#: values of one decision on the page
SHORTENED = 8


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


def side_by_side(
    ranking: Ranking, folder: Path, samples: list[Sample], inexact: list[Pair], rows: list[Pair], path: Path
) -> list[Shown]:
    """Rows whose images differ from ours, the worst first; a few others where none does.

    Args:
        ranking: the size, and the best recipe found for it.
        folder: the source's raw folder.
        samples: the candidates.
        inexact: the rows that differ, the worst first where that is known.
        rows: all rows whose raw is known.
        path: the published file.
    """
    chosen = inexact[:SHOWN] or sorted(rows, key=lambda pair: (not pair.note, pair.row))[:EXAMPLES]
    images = published_images(path, ranking.best.shape(ranking.size), {(pair.split, pair.index) for pair in chosen})
    renderer = Renderer(ranking.best, folder, [ranking.size])
    shown = []
    for pair in sorted(chosen, key=lambda pair: pair.sample):
        rendered = render_one(renderer, samples[pair.sample], ranking.size)
        if rendered is None:
            continue
        theirs, ours = images[pair.split, pair.index], turn(rendered, ranking.axes)
        difference = np.abs(ours.astype(np.int16) - theirs)
        largest = int(difference.max())
        scaled = (difference * (255 / max(largest, 1))).astype(np.uint8)
        left, middle, right = (_picture(image, ranking.best.dimensions) for image in (theirs, ours, scaled))
        shown.append(Shown(pair, samples[pair.sample].key, left, middle, right, largest, float(difference.mean())))
    return sorted(shown, key=lambda one: (-one.mean, one.pair.row))


def _picture(image: Pixels, dimensions: int) -> str:
    """A PNG as data URI; a volume shows its three middle planes beside each other."""
    if dimensions == 3:
        middle = len(image) // 2
        image = np.concatenate([image[middle], image[:, middle], image[:, :, middle]], axis=1)
    return web.png_uri(image)


def write(path: Path, **content: object) -> None:
    """Fill the template with what :mod:`preprocess.match.run` found."""
    text = web.environment("preprocess.match").get_template("match.html").render(
        **content,
        version=__version__,
        meanings={key: one.meaning for key, one in DECISIONS.items()},
        listed=LISTED,
        shortened=SHORTENED,
    )  # fmt: skip
    write_text(path, text)
