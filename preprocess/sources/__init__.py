"""The sources: all knowledge of how a raw collection is laid out, and nothing else.

A source is a module of this package named after the collection. It has

``PRESENT``
    file name patterns (:mod:`fnmatch`, without case) that show that pixels are there;
``index(raw, **options) -> Listing``
    one :class:`~preprocess.table.Sample` a row, in reading order, with the source's own names, and
    the census: named counts of what was found. ``options`` come from the recipe (which part of a
    shared source, which view);
``open(raw, sample) -> Any``
    what the recipe's first step takes: a file's bytes, an array, a volume or a mesh.

Its docstring is its documentation: contents expected, variants accepted, variants refused, and
what is irregular in the true files.
"""

from __future__ import annotations

import fnmatch
import importlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from preprocess.raw import Raw
from preprocess.table import Sample


@dataclass
class Listing:
    """What a source's ``index`` found.

    Attributes:
        samples: every sample, those that cannot be used included (``excluded`` says why).
        census: named counts to compare with the known ones.
        notes: lines a reader should see, such as which of several layouts was met.
    """

    samples: list[Sample]
    census: dict[str, int]
    notes: list[str] = field(default_factory=list)


def get(name: str) -> ModuleType:
    """Import a source's module."""
    return importlib.import_module(f"preprocess.sources.{name}")


def is_present(name: str, folder: Path) -> bool:
    """Whether ``folder`` (the source's raw folder) holds anything to render; stops at the first hit."""
    patterns = [pattern.lower() for pattern in get(name).PRESENT]
    return any(
        fnmatch.fnmatchcase(entry.lower(), pattern)
        for _, _, entries in os.walk(folder, followlinks=True)
        for entry in entries
        for pattern in patterns
    )


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that orders numbers in names by value: ``benign (2).png`` before ``benign (10).png``."""
    return tuple(
        (0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in re.split(r"(\d+)", text) if piece
    )


def count(samples: Iterable[Sample], *columns: str) -> dict[str, int]:
    """Count samples by the text of some columns joined by a space, in natural order."""
    counts = Counter(" ".join(filter(None, (getattr(sample, column) for column in columns))) for sample in samples)
    return {name: counts[name] for name in sorted(counts, key=natural)}


def open_file(raw: Raw, sample: Sample) -> bytes:
    """The bytes of the sample's own file: the ``open`` of every source of picture files."""
    return raw.read(sample.path)
