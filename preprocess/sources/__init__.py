"""The sources: all knowledge of how a raw collection is laid out, and nothing else.

A source is a module of this package named after the collection (or a package, where it has more to know):
:class:`SourceModule` says what it has. Helpers that source modules share are in :mod:`preprocess.sources.tools`.

Its docstring is its documentation: contents expected, variants accepted, variants refused, and
what is irregular in the true files.

Three know no collection and read anybody's files, by what a recipe decides: :mod:`preprocess.sources.images`,
:mod:`preprocess.sources.volumes` and :mod:`preprocess.sources.meshes`. And a user's recipe may name a Python file of
its own, which has what a module here has.
"""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from preprocess.decisions import DECISIONS
from preprocess.errors import PreprocessError, told
from preprocess.reading.archives import Raw, is_junk
from preprocess.table import Sample

if TYPE_CHECKING:
    from preprocess.geometry import Box

#: patterns of the names of archives that every source reads; for a module's ``PRESENT``
PACKED = ("*.zip", "*.tar", "*.tar.gz", "*.tgz")


@dataclass
class Listing:
    """What a source's ``index`` found.

    Attributes:
        samples: every sample, those that cannot be used included (``reason`` says why).
        census: named counts to compare with the known ones.
        notes: lines for the log, such as which of several layouts was met.
        warnings: lines a reader must see, such as a copy that differs from the published one.
    """

    samples: list[Sample]
    census: dict[str, int]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class SourceModule(Protocol):
    """What a source's module has.

    It may have besides:

    ``present(folder: Path, **options) -> bool``
        only where patterns of names cannot tell the parts of a shared source apart: instead of ``PRESENT``;
    ``uses(path: str, **options) -> bool``
        only where names tell the parts of a shared source apart: see :func:`uses`;
    ``FALLBACK: str``
        only where another file of the user's raw directory serves if the source's own folder has nothing.

    Attributes:
        PRESENT: file name patterns (:mod:`fnmatch`, without case) that show that pixels are there.
    """

    PRESENT: tuple[str, ...]
    __file__: str

    def index(self, raw: Raw, **options: Any) -> Listing:
        """One :class:`~preprocess.table.Sample` a row, in reading order, with the source's own names, and the census.

        ``options`` come from the recipe (which part of a shared source, which view); a parameter named after a
        decision receives it.
        """

    def open(self, raw: Raw, sample: Sample) -> Any:
        """What the recipe's first step takes.

        A file's bytes, an array, a volume, or a :class:`~preprocess.reading.picture.Picture`.
        """


def get(name: str) -> SourceModule:
    """Import a source's module: one of this package by its name, or a user's own by the path of its file.

    Raises:
        PreprocessError: a user's file cannot be imported, or lacks what a source has.
    """
    if name.endswith(".py"):
        return _own(name)
    return cast(SourceModule, importlib.import_module(f"preprocess.sources.{name}"))


@cache
def _own(path: str) -> SourceModule:
    module = load(path, ("index", "open"))
    if not (hasattr(module, "PRESENT") or hasattr(module, "present")):
        raise PreprocessError(f"{path}: has neither PRESENT nor present; see preprocess/sources/__init__.py")
    return cast(SourceModule, module)


def load(path: str, needs: Iterable[str]) -> Any:
    """Import a user's Python file that has some names.

    Raises:
        PreprocessError: it cannot be imported, or lacks one of them.
    """
    name = f"own_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, path  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises
        raise PreprocessError(f"{path}: cannot be imported ({type(error).__name__}: {told(error)})") from error
    if missing := [one for one in needs if not hasattr(module, one)]:
        raise PreprocessError(f"{path}: has no {' and no '.join(missing)}; see preprocess/sources/__init__.py")
    return module


def asked(name: str) -> list[str]:
    """The decisions that a source's ``index`` asks for: the parameters named after one that have no default."""
    return [
        key
        for key, parameter in inspect.signature(get(name).index).parameters.items()
        if key in DECISIONS and parameter.default is parameter.empty
    ]


def strange(name: str, options: dict[str, Any]) -> list[str]:
    """The options that a source's ``index`` does not know."""
    return [key for key in options if key not in inspect.signature(get(name).index).parameters]


def is_present(name: str, folder: Path, **options: Any) -> bool:
    """Whether ``folder`` (the source's raw folder) holds anything to render; stops at the first hit.

    ``options`` are the recipe's: they say which part of a shared source is asked for.
    """
    module = get(name)
    if (present := getattr(module, "present", None)) is not None:
        return bool(present(folder, **options))
    patterns = [pattern.lower() for pattern in module.PRESENT]
    return any(
        fnmatch.fnmatchcase(entry.lower(), pattern)
        for _, _, entries in os.walk(folder, followlinks=True)
        for entry in entries
        if not is_junk(entry)
        for pattern in patterns
    )


def uses(name: str, path: str, **options: Any) -> bool:
    """Whether one dataset of a source may depend on a file of the source's raw folder.

    Args:
        name: the source.
        path: the file, relative to that folder, archives as they are.
        options: the recipe's, which say the part of a shared source that the dataset is made of.

    Returns:
        False only where the file's name tells that it belongs to another part.
    """
    told = getattr(get(name), "uses", None)
    return told is None or bool(told(path, **options))


def surroundings(name: str, folder: Path, sample: Sample) -> tuple[Any, Box] | None:
    """What lies around a sample whose source opens no more than itself, and its box in that; None of other sources."""
    told = getattr(get(name), "surroundings", None)
    if told is None:
        return None
    with closing(Raw(folder)) as raw:
        found: tuple[Any, Box] = told(raw, sample)
        return found


def locate(name: str, folder: Path, **options: Any) -> Path:
    """The folder of the user's raw directory that serves a source: its own, or that of its fallback.

    Args:
        name: what reads the source.
        folder: the source's own folder, below the raw directory.
        options: the recipe's.
    """
    fallback: str | None = getattr(get(name), "FALLBACK", None)
    if fallback and (folder.parent / fallback).is_file() and not is_present(name, folder, **options):
        return (folder.parent / fallback).parent
    return folder


def entries(name: str, folder: Path) -> list[Path]:
    """What belongs to a source of the folder that serves it: everything there, or the fallback alone."""
    fallback = Path(getattr(get(name), "FALLBACK", ""))
    if fallback.name and folder.name == fallback.parent.name:
        return [folder / fallback.name]
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
