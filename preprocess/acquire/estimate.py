"""Disk, scratch and hours a real run will take, before it starts; the figures are in ``tables/estimate.yaml``."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from preprocess import recipe
from preprocess.acquire.inventory import aligned, gigabytes
from preprocess.errors import PreprocessError
from preprocess.files import parse_yaml

#: the sizes of the published files, by dimensions
PUBLISHED_SIZES = {2: (28, 64, 128, 224), 3: (28, 64)}


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
        memory: MB that its largest job needs.
    """

    dataset: str
    samples: int
    scratch: int
    output: int
    seconds: float
    basis: str
    memory: int = 0


@cache
def _figures() -> dict[str, Any]:
    text = (resources.files("preprocess") / "tables" / "estimate.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = parse_yaml(text)
    return content


def _own(dataset: str) -> dict[str, Any]:
    figures = _figures()
    own: dict[str, Any] = figures["datasets"].get(dataset, figures["other"])
    return own


def _rendering(dataset: str, sizes: Iterable[int]) -> float:
    """CPU seconds of rendering a dataset at some sizes; above the published sizes they grow with the pixels."""
    own, about = _own(dataset), recipe.dataset(dataset)
    largest = PUBLISHED_SIZES[about.dimensions][-1]
    resizes = sum(max(1.0, (size / largest) ** about.dimensions) for size in sizes)
    seconds: float = about.rows * (own["open_ms"] + own["size_ms"] * resizes) / 1000
    return seconds


def _pixels(dataset: str, size: int) -> int:
    """Bytes of all images of a dataset at one size."""
    about = recipe.dataset(dataset)
    return about.rows * about.channels * int(size**about.dimensions)


def shards(dataset: str) -> int:
    """How many jobs render a dataset: one for 30 CPU seconds at the published sizes, never more than it can have.

    The number depends on nothing else, so that every machine has the same jobs.
    """
    about, figures = recipe.dataset(dataset), _figures()
    seconds = _rendering(dataset, PUBLISHED_SIZES[about.dimensions]) * figures["overhead"]
    whole: int = math.ceil(seconds / figures["shard"])
    return max(1, min(whole, about.most_shards or whole))


def memory(dataset: str, sizes: Iterable[int], of_scans: bool, rows: int | None = None, packers: int = 0) -> int:
    """MB that a job of a dataset needs at the most, in round figures.

    Args:
        dataset: its name.
        sizes: the sizes the job has to do with; four bytes a value of one sample are counted for each.
        of_scans: whether the job reads raw files, and so the largest part of a scan that is read at once.
        rows: how many rows its tables have, where that is not the published number.
        packers: how many processes pack for it.
    """
    about, figures = recipe.dataset(dataset), _figures()["memory"]
    rows = about.rows if rows is None else rows
    needed = rows * figures["row"] + sum(4 * about.channels * size**about.dimensions for size in sizes)
    if of_scans:
        needed += figures["largest"].get(dataset, 0) * 1_000_000 * figures["voxel"]
    needed += packers * figures["packer"] * 1_000_000
    return int(math.ceil((figures["base"] + needed / 1_000_000) / 100) * 100)


def pack_workers(dataset: str, size: int, packing: str = "quick") -> int:
    """How many workers pack one npz, ``quick`` or ``slow``: one for so many bytes of pixels, up to a limit."""
    figures = _figures()["pack"][packing]
    workers: int = min(max(1, _pixels(dataset, size) // figures["each"]), figures["most"])
    return workers


def audit_workers(dataset: str) -> int:
    """How many processes render for an audit page: one where each would hold scans or volumes."""
    figures, about = _figures(), recipe.dataset(dataset)
    workers: int = 1 if about.dimensions == 3 or dataset in figures["memory"]["largest"] else figures["audit"]
    return workers


def cost(dataset: str, sizes: Iterable[int], at_most: int | None = None, packing: str = "quick") -> Cost:
    """Estimate one dataset at some sizes; ``at_most`` so many of its samples; packed ``quick`` or ``slow``."""
    about, figures, own = recipe.dataset(dataset), _figures(), _own(dataset)
    sizes = list(sizes)
    whole = about.rows or 1  # of a user's own data nothing may be known
    samples = min(whole, at_most or whole)
    arrays = sum(_pixels(dataset, size) for size in sizes) * samples // whole
    seconds = _rendering(dataset, sizes) * samples / whole * figures["overhead"]
    seconds += arrays / figures["deflate"][packing]
    return Cost(dataset, samples, arrays, int(arrays * own["packed"]), seconds, own["basis"],
                memory(dataset, sizes, of_scans=True, rows=samples) * audit_workers(dataset))  # fmt: skip


def report(costs: list[Cost], cores: int) -> list[str]:
    """The table for the terminal, one line a dataset and one for all."""
    total = Cost(
        "in all", sum(one.samples for one in costs), sum(one.scratch for one in costs),
        sum(one.output for one in costs), sum(one.seconds for one in costs), "",
        max(one.memory for one in costs),
    )  # fmt: skip
    rows = [("dataset", "samples", "scratch", "npz", "memory a job", "CPU hours", "basis")]
    rows += [
        (
            one.dataset,
            f"{one.samples:,}",
            gigabytes(one.scratch),
            gigabytes(one.output),
            gigabytes(one.memory * 1_000_000),
            f"{one.seconds / 3600:.2f}",
            one.basis,
        )
        for one in [*costs, *([total] if len(costs) > 1 else [])]
    ]
    return [
        *aligned(rows),
        f"about {duration(total.seconds / cores)} on {cores} core{'s' if cores > 1 else ''}; rough figures",
    ]


def duration(seconds: float) -> str:
    """A rough time in words."""
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


def check_memory(costs: list[Cost]) -> None:
    """Refuse what one job of cannot fit into this machine.

    Raises:
        PreprocessError: a job needs more memory than there is.
    """
    largest = max(costs, key=lambda one: one.memory)
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if largest.memory * 1_000_000 > there:
        raise PreprocessError(
            f"{largest.dataset}: a job needs about {gigabytes(largest.memory * 1_000_000)} of memory at these sizes, "
            f"this machine has {gigabytes(there)}; build smaller sizes, or on another machine"
        )
