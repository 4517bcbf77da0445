"""Pictures of the audit pages, embedded so that a page is one file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess import packed, web
from preprocess.audit import montage
from preprocess.decisions import DECISIONS
from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.packed import Packed
from preprocess.recipe import Choice, Recipe
from preprocess.render import Renderer
from preprocess.table import Sample

#: values to try of decisions that take any number (a window, a crop)
FURTHER = {"window": ("-1024,400", "-160,240", "-150,250"), "crop": ("centre-200",)}


def embed(image: NDArray[np.uint8]) -> str:
    """A data URI of one picture (S, S) or (S, S, 3), or of a volume (S, S, S) seen as in the montage.

    It is not enlarged; the page does that.
    """
    if image.ndim == 3 and image.shape[2] != 3:
        image = montage.view(image)
    return web.png_uri(image)


def of_samples(path: Path, facts: Packed, samples: list[dict[str, str]], keys: Iterable[str]) -> dict[str, str]:
    """Data URIs of some samples of an npz by key; ``facts`` is what pack saw of it."""
    wanted = set(keys)
    rows = [number for number, sample in enumerate(samples) if sample["key"] in wanted]
    return {samples[row]["key"]: embed(image) for row, image in packed.images(path, facts, rows)}


def alternatives(recipe: Recipe, folder: Path, sample: Sample, size: int) -> list[dict[str, Any]]:
    """One sample rendered with every value of each pixel decision, the other decisions as they are in force.

    Where a value cannot be tried (a missing package, a crop larger than the image), the entry says why.
    """
    rows: list[dict[str, Any]] = []
    for key, choice in recipe.decisions.items():
        decision = DECISIONS[key]
        in_force = choice.at(size)
        if decision.stage != "render" or not isinstance(in_force, str):
            continue
        values = list(dict.fromkeys([in_force, *decision.choices, *FURTHER.get(key, ())]))
        shown = []
        for value in values:
            changed = {**recipe.decisions, key: Choice(value, "override", "tried by the audit")}
            shown.append({"value": value, "in_force": value == in_force, **_try(recipe, changed, folder, sample, size)})
        if len({one.get("picture") for one in shown}) > 1:
            rows.append({"key": key, "meaning": decision.meaning, "values": shown})
    return rows


def _try(recipe: Recipe, decisions: dict[str, Choice], folder: Path, sample: Sample, size: int) -> dict[str, str]:
    try:
        with Renderer(replace(recipe, decisions=decisions), folder, [size]) as renderer:
            image = renderer.render(sample).arrays[size]
    except (PreprocessError, ExcludeSample, ValueError) as error:
        return {"problem": str(error).rpartition(f"{sample.path}: ")[2]}
    return {"picture": embed(image)}
