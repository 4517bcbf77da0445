"""Samples, and the tab-separated tables they travel in between the stages."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from pathlib import Path

from preprocess.errors import PreprocessError
from preprocess.files import atomic


@dataclass(slots=True)
class Sample:
    """One row of a dataset. All values but ``index`` are text, as in the tables.

    Attributes:
        key: stable name from the source's own names, unique within the dataset.
        path: where its pixels are, relative to the source's raw folder (see :mod:`preprocess.reading.archives`).
        unit: what is opened for it, where samples share it; they follow each other in the index.
        label: class index, or the digits of a multi-label sample joined by spaces.
        group: what must not straddle a split (patient, lesion, scan ...); empty where unknown.
        source_split: the split the source itself puts it in; empty where it has none.
        original_label: the source's own name of its class, before any merge.
        reason: why it is left out, a name of :mod:`preprocess.reasons`, or empty.
        detail: what a reader needs to know about the exclusion.
        split: train, val or test; empty before the split stage and for early exclusions.
        index: place in its split, from 0; -1 where it has none.
        released_index: its row in the published file's split, or empty; a source that is a published file knows it.
        attributes: further columns of the source: those of :data:`COMMON` that it can fill, and its own (spacing,
            box ...).
    """

    key: str
    path: str = ""
    unit: str = ""
    label: str = ""
    group: str = ""
    source_split: str = ""
    original_label: str = ""
    reason: str = ""
    detail: str = ""
    split: str = ""
    index: int = -1
    released_index: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> list[int]:
        """The classes it is of: one, or those of a multi-label sample, which may have none."""
        digits = self.label.split()
        if len(digits) > 1:
            return [place for place, digit in enumerate(digits) if digit == "1"]
        return [int(digit) for digit in digits]

    @property
    def unit_key(self) -> str:
        """The name of what is opened for it: of its unit, or of the sample itself."""
        return unit_key(self.unit, self.key)


def unit_key(unit: str, key: str) -> str:
    """The same from the cells of a row."""
    return unit or key


INDEX_COLUMNS = (
    "key", "path", "unit", "label", "group", "source_split", "original_label", "reason", "detail", "released_index",
)  # fmt: skip
SPLIT_COLUMNS = ("split", "index", *INDEX_COLUMNS)
#: columns of every samples table that a source fills where it can (made common by :mod:`preprocess.sources.common`)
COMMON = ("age", "sex", "laterality", "view")
#: columns that say something else in every row, or nearly
_DISTINCT = frozenset({"key", "path", "index", "released_index", "raw_sha256"})


def write_rows(
    path: str | Path, columns: Iterable[str], rows: Iterable[Iterable[object]], delimiter: str = "\t"
) -> None:
    """Write a table with a header line, separated by tabs or ``delimiter``, atomically."""
    with atomic(path) as part, open(part, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, delimiter=delimiter, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_columns(path: str | Path) -> list[str]:
    """The header of a tab-separated table."""
    with open(path, encoding="utf-8", newline="") as handle:
        return next(csv.reader(handle, delimiter="\t"), [])


def read_rows(path: str | Path, start: int = 0, stop: int | None = None) -> Iterator[dict[str, str]]:
    """Yield the rows of a tab-separated table as dictionaries, in file order: all, or those from ``start`` to ``stop``.

    Values that occur again are one object, so that a list of all rows takes less memory.
    """
    rows = _cells(path)
    columns = next(rows, [])
    shared: dict[str, str] = {}
    for cells in islice(rows, start, stop):
        yield {name: cell if name in _DISTINCT else shared.setdefault(cell, cell) for name, cell in zip(columns, cells)}


def read_cells(path: str | Path, *columns: str) -> Iterator[tuple[str, ...]]:
    """Yield the cells of some columns, two at least: for a pass over a large table, at a third of the cost."""
    rows = _cells(path)
    header = next(rows, [])
    return map(itemgetter(*map(header.index, columns)), rows)


def _cells(path: str | Path) -> Iterator[list[str]]:
    """The header of a table, if there is one, and its rows."""
    with open(path, encoding="utf-8", newline="") as handle:
        width: int | None = None
        for cells in csv.reader(handle, delimiter="\t"):
            if width is None:
                width = len(cells)
            elif len(cells) != width:
                raise PreprocessError(f"{path}: a row does not fit the header; delete it and run again")
            yield cells


def write_samples(path: str | Path, columns: tuple[str, ...], samples: list[Sample]) -> None:
    """Write ``samples`` with ``columns`` first and every attribute that occurs after them."""
    extra: dict[str, None] = {}
    for sample in samples:
        extra.update(dict.fromkeys(sample.attributes))
    write_rows(
        path,
        (*columns, *extra),
        (
            [*(getattr(sample, name) for name in columns), *(sample.attributes.get(name, "") for name in extra)]
            for sample in samples
        ),
    )


def read_samples(path: str | Path) -> Iterator[Sample]:
    """Yield the samples of a table that :func:`write_samples` wrote."""
    return map(sample_of, read_rows(path))


def sample_of(row: dict[str, str]) -> Sample:
    """The sample of one row of such a table."""
    known = {name: row.pop(name) for name in SPLIT_COLUMNS if name in row}
    index = int(known.pop("index", "-1"))
    return Sample(**known, index=index, attributes=row)
