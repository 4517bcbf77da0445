"""The sources: all knowledge of how a raw collection is laid out, and nothing else.

A source is a module of this package named after the collection (or a package, where it has more to know). It has

``PRESENT``
    file name patterns (:mod:`fnmatch`, without case) that show that pixels are there;
``index(raw, **options) -> Listing``
    one :class:`~preprocess.table.Sample` a row, in reading order, with the source's own names, and
    the census: named counts of what was found. ``options`` come from the recipe (which part of a
    shared source, which view); a parameter named after a decision receives it;
``open(raw, sample) -> Any``
    what the recipe's first step takes: a file's bytes, an array, a volume, or a
    :class:`~preprocess.reading.picture.Picture`.
``present(folder, **options) -> bool``
    only where patterns of names cannot tell the parts of a shared source apart: instead of ``PRESENT``.
``FALLBACK``
    only where another file of the user's raw directory serves if the source's own folder has nothing.

Its docstring is its documentation: contents expected, variants accepted, variants refused, and
what is irregular in the true files.
"""

from __future__ import annotations

import csv
import fnmatch
import importlib
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

from preprocess.errors import PreprocessError
from preprocess.reading.archives import SEPARATOR, Raw, RawFile
from preprocess.reading.picture import Picture
from preprocess.table import Sample


@dataclass
class Listing:
    """What a source's ``index`` found.

    Attributes:
        samples: every sample, those that cannot be used included (``excluded`` says why).
        census: named counts to compare with the known ones.
        notes: lines for the log, such as which of several layouts was met.
        warnings: lines a reader must see, such as a copy that differs from the published one.
    """

    samples: list[Sample]
    census: dict[str, int]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def get(name: str) -> ModuleType:
    """Import a source's module."""
    return importlib.import_module(f"preprocess.sources.{name}")


def is_present(name: str, folder: Path, **options: Any) -> bool:
    """Whether ``folder`` (the source's raw folder) holds anything to render; stops at the first hit.

    ``options`` are the recipe's: they say which part of a shared source is asked for.
    """
    module = get(name)
    if hasattr(module, "present"):
        return bool(module.present(folder, **options))
    patterns = [pattern.lower() for pattern in module.PRESENT]
    return any(
        fnmatch.fnmatchcase(entry.lower(), pattern)
        for _, _, entries in os.walk(folder, followlinks=True)
        for entry in entries
        for pattern in patterns
    )


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


def uses(name: str, path: str, **options: Any) -> bool:
    """Whether a dataset with these options may depend on a file, by its path below the source's folder."""
    told = getattr(get(name), "uses", None)
    return told is None or bool(told(path, **options))


def natural(text: str) -> str:
    """Sort key that orders numbers in names by value: ``benign (2).png`` before ``benign (10).png``.

    Every number is preceded by how many digits it has: a text takes a tenth of the memory of a tuple of pieces.
    """
    return "".join(
        f"\0{len(digits := str(int(piece))):04}{digits}" if piece.isdecimal() else f"\1{piece}"
        for piece in re.split(r"(\d+)", text)
        if piece
    )


def count(samples: Iterable[Sample], *columns: str) -> dict[str, int]:
    """Count samples by the text of some columns joined by a space, in natural order."""
    counts = Counter(" ".join(filter(None, (getattr(sample, column) for column in columns))) for sample in samples)
    return {name: counts[name] for name in sorted(counts, key=natural)}


def by_name(raw: Raw, files: Iterable[RawFile], pattern: re.Pattern[str]) -> tuple[dict[str, RawFile], int]:
    """The files whose own name matches ``pattern`` whole, by their first group in lower case, in reading order.

    For sources whose names are unique wherever they lie; see :func:`unique` for copies.
    """
    return unique(raw, files, lambda file: match[1].lower() if (match := pattern.fullmatch(file.name)) else None)


def unique(
    raw: Raw, files: Iterable[RawFile], name_of: Callable[[RawFile], str | None]
) -> tuple[dict[str, RawFile], int]:
    """The files ``name_of`` gives a name (None for any other file), by that name, in reading order.

    Copies of equal size (an unpacked archive left beside its archive, a mirror's second folder) count
    once: the least packed, else the first.

    Returns:
        the files, and how many copies were left aside.

    Raises:
        PreprocessError: two files of one name differ in size.
    """
    found: dict[str, RawFile] = {}
    place: dict[str, int] = {}
    copies = 0
    for position, file in enumerate(files):
        if (name := name_of(file)) is None:
            continue
        if (other := found.get(name)) is not None:
            if other.size != file.size:
                raise PreprocessError(
                    f"{raw.root}: {other.path} and {file.path} have one name and differ; keep the published one"
                )
            copies += 1
            if other.path.count(SEPARATOR) <= file.path.count(SEPARATOR):
                continue
        found[name], place[name] = file, position
    return {name: found[name] for name in sorted(found, key=place.__getitem__)}, copies


def own_table(raw: Raw, file: RawFile, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a table that the holder of private data wrote: trimmed text by column name in lower case.

    Commas, semicolons or tabs; further columns are kept. An empty line is no row.

    Raises:
        PreprocessError: it is not a text table, lacks a column, or a row of it has no value there.
    """
    where = raw.root / file.path
    try:
        text = raw.read(file.path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PreprocessError(f"{where}: not a text table in UTF-8 ({error.reason}); save it as CSV") from error
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    names = [name.strip().lower() for name in next(reader, [])]
    if lacking := [column for column in columns if column not in names]:
        raise PreprocessError(f"{where}: has no column {lacking[0]!r}; its columns are {', '.join(names)}")
    rows = []
    for line in reader:
        row = dict(zip(names, (cell.strip() for cell in line)))
        if not any(row.values()):
            continue
        if empty := [column for column in columns if not row.get(column)]:
            raise PreprocessError(f"{where}: line {reader.line_num} has no {empty[0]}")
        rows.append(row)
    return rows


def one_of(row: dict[str, str], column: str, known: Iterable[str], where: object) -> str:
    """A row's value, in lower case, that must be one of some; an absent column is empty text.

    Raises:
        PreprocessError: it is another.
    """
    value = row.get(column, "").lower()
    if value not in known:
        raise PreprocessError(f"{where}: {column} {value!r} is not one of {', '.join(one for one in known if one)}")
    return value


def table_lines(name: str) -> Iterator[str]:
    """The lines of a file of facts of this project, ``tables/...``, without comments."""
    for line in (resources.files("preprocess") / name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line


def first_width(raw: Raw, files: Iterable[RawFile]) -> int:
    """Width in pixels of the first of some pictures, which tells a resampled copy; 0 without one."""
    for file in files:
        found = Picture(raw.read(file.path)).extent
        return found[0] if found else 0
    return 0


def open_file(raw: Raw, sample: Sample) -> bytes:
    """The bytes of the sample's own file."""
    return raw.read(sample.path)


def open_picture(raw: Raw, sample: Sample) -> Picture:
    """The sample's own file: the ``open`` of every source of picture files."""
    return Picture(raw.read(sample.path))
