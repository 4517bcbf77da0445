"""The files of one finished build that its checks and its page read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BuildFiles:
    """One finished build.

    Attributes:
        raw: the source's raw folder.
        npz: the file of each size.
        packed: what pack saw of its rows, by size (:mod:`preprocess.packed`).
        samples: the table of its samples, in the order of the arrays.
        excluded: the table of what was left out, and why.
    """

    raw: Path
    npz: dict[int, Path]
    packed: dict[int, Path]
    samples: Path
    excluded: Path


@dataclass(frozen=True)
class StageTables:
    """What the stages before left for the checks to hold a build against.

    Attributes:
        index: every sample of the source.
        counts: expected and found counts of the raw files.
        unmatched: rows of the order table that found no sample; only a header where no table is in force.
    """

    index: Path
    counts: Path
    unmatched: Path
