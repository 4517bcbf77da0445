"""Rows of a finished build rendered again, each on its own: what ``rebuild`` checks, and what a trace shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from preprocess.recipe import Recipe
from preprocess.render import Rendered, Renderer, Watch
from preprocess.table import Sample


def render(
    recipe: Recipe, folder: Path, sizes: list[int], samples: Iterable[Sample], watch: Watch | None = None
) -> Iterator[tuple[Sample, Rendered]]:
    """Render some samples from their raw files by all steps, with nothing that was prepared.

    Args:
        recipe: the decisions in force.
        folder: the source's raw folder.
        sizes: the sizes.
        samples: as the raw files store them: a tar.gz can only be read forwards.
        watch: is shown what was opened and what every step gave.
    """
    with Renderer(recipe, folder, sizes) as renderer:
        for sample in samples:
            yield sample, renderer.render(sample, watch)
