"""Pictures of the audit pages, embedded so that a page is one file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess import packed, web
from preprocess.audit import montage
from preprocess.packed import Packed

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
