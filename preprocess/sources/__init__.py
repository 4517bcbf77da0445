"""The sources: all knowledge of how a raw collection is laid out, and nothing else.

A source is a module of this package named after the collection (or a package, where it has more to know):
:class:`SourceModule` says what it has. Helpers that source modules share are in :mod:`preprocess.sources.tools`.

Its docstring is its documentation: contents expected, variants accepted, variants refused, and
what is irregular in the true files.
"""

from __future__ import annotations

import fnmatch
import importlib
import os
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

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
    """Import a source's module."""
    return cast(SourceModule, importlib.import_module(f"preprocess.sources.{name}"))


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


def locate(name: str, raw: Path, **options: Any) -> Path:
    """The folder of the user's raw directory that serves a source: its own, or that of its fallback."""
    fallback: str | None = getattr(get(name), "FALLBACK", None)
    if fallback and (raw / fallback).is_file() and not is_present(name, raw / name, **options):
        return (raw / fallback).parent
    return raw / name


def entries(name: str, folder: Path) -> list[Path]:
    """What belongs to a source of the folder that serves it: everything there, or the fallback alone."""
    fallback = Path(getattr(get(name), "FALLBACK", ""))
    if fallback.name and folder.name == fallback.parent.name:
        return [folder / fallback.name]
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
