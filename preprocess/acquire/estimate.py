"""Disk, scratch and hours a real run will take, before it starts; the figures are in ``tables/estimate.yaml``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from preprocess import recipe
from preprocess.acquire.inventory import gigabytes
from preprocess.errors import PreprocessError


@dataclass(frozen=True)
class Cost:
    """What one dataset costs.

    Attributes:
        dataset: its name.
        samples: rows, as published.
        scratch: bytes of the arrays at all sizes; gone when the dataset is packed.
        output: bytes of the npz at all sizes.
        seconds: CPU seconds.
        basis: how the seconds are known: ``measured``, ``similar`` or ``assumed``.
    """

    dataset: str
    samples: int
    scratch: int
    output: int
    seconds: float
    basis: str


@cache
def _figures() -> dict[str, Any]:
    text = (resources.files("preprocess") / "tables" / "estimate.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def cost(dataset: str, sizes: Iterable[int], at_most: int | None = None) -> Cost:
    """Estimate one dataset at some sizes; ``at_most`` so many of its samples."""
    about, figures = recipe.dataset(dataset), _figures()
    own = figures["datasets"].get(dataset, figures["other"])
    sizes = list(sizes)
    samples = min(sum(about.published.values()), at_most or sys.maxsize)
    arrays = sum(samples * about.channels * size**about.dimensions for size in sizes)
    seconds = samples * (own["open_ms"] + own["size_ms"] * len(sizes)) / 1000 * figures["overhead"]
    seconds += arrays / figures["deflate"]
    return Cost(dataset, samples, arrays, int(arrays * own["packed"]), seconds, own["basis"])


def report(costs: list[Cost], cores: int) -> list[str]:
    """The table for the terminal, one line a dataset and one for all."""
    total = Cost(
        "in all", sum(one.samples for one in costs), sum(one.scratch for one in costs),
        sum(one.output for one in costs), sum(one.seconds for one in costs), "",
    )  # fmt: skip
    rows = [("dataset", "samples", "scratch", "npz", "CPU hours", "basis")]
    rows += [
        (
            one.dataset,
            f"{one.samples:,}",
            gigabytes(one.scratch),
            gigabytes(one.output),
            f"{one.seconds / 3600:.2f}",
            one.basis,
        )
        for one in [*costs, *([total] if len(costs) > 1 else [])]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return [
        *lines,
        f"about {_duration(total.seconds / cores)} on {cores} core{'s' if cores > 1 else ''}; rough figures",
    ]


def _duration(seconds: float) -> str:
    if seconds < 5400:
        minutes = max(round(seconds / 60), 1)
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{seconds / 3600:.1f} hours"


def check_room(costs: list[Cost], folder: Path) -> str:
    """Say what the run needs in ``folder`` and what is free there.

    Raises:
        PreprocessError: there is not enough room.
    """
    while not folder.exists():
        folder = folder.parent
    needed, free = sum(one.scratch + one.output for one in costs), shutil.disk_usage(folder).free
    if needed > free:
        raise PreprocessError(
            f"{folder}: about {gigabytes(needed)} are needed (arrays and npz) and {gigabytes(free)} are free; "
            "make room, choose another results folder, or build fewer datasets or sizes at a time"
        )
    return f"{gigabytes(needed)} needed in {folder}, {gigabytes(free)} free"
