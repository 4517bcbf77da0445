"""Pictures of the audit pages, embedded so that a page is one file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
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
#: of train, val and test; they differ in lightness too, and can be seen on light and on dark
COLOURS = ("#3b82c4", "#e69f00", "#1d9a78")


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


def class_balance(names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> str:
    """An SVG of the share of each class in each split; text and axes have the page's colour."""
    import matplotlib
    from matplotlib.figure import Figure  # pyplot would import as much again

    matplotlib.rcParams["svg.hashsalt"] = "class balance"  # element ids, the same every time
    matplotlib.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(5.5, 0.9 + 0.36 * len(names)))
    axes = figure.subplots()
    axes.set_prop_cycle(color=COLOURS)
    height = 0.8 / len(counts)
    for position, (split, values) in enumerate(counts.items()):
        total = max(sum(values), 1)
        places = [row + (position - 1) * height for row in range(len(names))]
        axes.barh(places, [100 * value / total for value in values], height, label=split)
    axes.set_yticks(range(len(names)), [name if len(name) < 40 else f"{name[:38]}…" for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("% of the split")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(counts))
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("#000000", "currentColor").replace("#262626", "currentColor")
