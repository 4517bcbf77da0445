"""Text tables as people and programs save them: one reader for every list, label and order table.

Read are commas, semicolons and tabs, told by the header (or by Excel's line ``sep=;``), any line ending, quoted
cells, and UTF-8, UTF-16 and UTF-32 with a mark or, where every second byte says so, UTF-16 without one. Other
bytes are Windows' Latin-1 (cp1252). Cells and column names are trimmed; empty lines are no rows.

Refused, with the line: a row of more or fewer cells than the header names, a quote that is never closed.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from preprocess.errors import PreprocessError

DELIMITERS = ",;\t"
_MARKS = (  # the longer mark first: UTF-32's begins as UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
#: what a spreadsheet's own files begin with
_WORKBOOKS = (b"PK\3\4", b"\xd0\xcf\x11\xe0")
#: characters of one cell; the csv module's own limit is 131,072
_LONGEST_CELL = 1 << 28
_WHOLE = re.compile(r"([+-]?\d+)\.0*")


@dataclass(frozen=True)
class Table:
    """A table's header and rows.

    Attributes:
        where: the file, for messages.
        columns: the names of the columns, in lower case where that was asked for.
        rows: (line number in the file, text by column).
    """

    where: str
    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, str]]]

    def __iter__(self) -> Iterator[tuple[int, dict[str, str]]]:
        return iter(self.rows)

    def require(self, columns: Iterable[str], otherwise: str = "") -> Table:
        """The table itself, if it has these columns.

        Raises:
            PreprocessError: it lacks one; ``otherwise`` says what to make of it.
        """
        for column in columns:
            if column not in self.columns:
                shown = ", ".join(self.columns)[:200] or "none"
                raise PreprocessError(
                    f"{self.where}: has no column {column!r}; {otherwise or f'its columns are {shown}'}"
                )
        return self


def parse(data: bytes, where: object, lower: bool = False, comments: bool = False) -> Table:
    """Read a table.

    Args:
        data: the file's bytes.
        where: the file, for messages.
        lower: whether names of columns are given in lower case.
        comments: whether lines that begin with ``#`` are left out.

    Raises:
        PreprocessError: it is no text table, a row does not fit the header, or a column occurs twice.
    """
    lines = text_of(data, where).splitlines(keepends=True) if comments else [text_of(data, where)]
    text = "".join("\n" if comments and line.startswith("#") else line for line in lines)
    first = re.match(r"\s*sep=(.)\r?\n", text, re.IGNORECASE)
    head = next((line for line in text[first.end() if first else 0 :].splitlines() if line.strip()), "")
    delimiter = first[1] if first else max(DELIMITERS, key=lambda one: len(next(csv.reader([head], delimiter=one))))
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: tuple[str, ...] = ()
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        for cells in reader:
            cells = _trimmed(cells)
            if not any(cells) or (first and reader.line_num == 1):
                continue
            if not columns:
                columns = tuple(name.lower() if lower else name for name in _filled(cells))
                _check_columns(columns, where)
                continue
            if len(_filled(cells)) > len(columns) or len(cells) < len(columns):
                raise PreprocessError(
                    f"{where}: line {reader.line_num} does not fit the header: it has {len(cells)} cells, the header "
                    f"{len(columns)}; save the table again"
                )
            rows.append((reader.line_num, dict(zip(columns, cells))))
    except csv.Error as error:
        raise PreprocessError(
            f"{where}: line {reader.line_num}: {error}; is a quote never closed? Save the table again"
        ) from error
    return Table(str(where), columns, rows)


def number(text: str) -> int | None:
    """A whole number from 0 of up to 18 digits; None for any other text."""
    return int(text) if len(text) <= 18 and text.isdecimal() else None


def whole(text: str) -> str:
    """A whole number as pandas writes it in a column with gaps, ``1.0``, without its decimals; other text as it is."""
    match = _WHOLE.fullmatch(text)
    return match[1] if match else text


def text_of(data: bytes, where: object) -> str:
    """The text of a file in any of the encodings this module reads.

    Raises:
        PreprocessError: it is no text.
    """
    if data.startswith(_WORKBOOKS):
        raise PreprocessError(f"{where}: a spreadsheet's own file, not a text table; save it as CSV")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    if not encoding and b"\0" in data[:4096]:
        even, odd = data[:4096:2].count(0), data[1:4096:2].count(0)
        encoding = "utf-16-le" if odd > even else "utf-16-be"
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            raise PreprocessError(f"{where}: not a text table ({error.reason}); save it as CSV in UTF-8") from error
        # five bytes have no meaning in cp1252; they become the control characters of Latin-1
        text = data.decode("cp1252") if not _NOT_CP1252.intersection(data) else data.decode("latin-1")
    if "\0" in text:
        raise PreprocessError(f"{where}: not a text table; save it as CSV in UTF-8")
    return text


_NOT_CP1252 = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})


def _trimmed(cells: list[str]) -> list[str]:
    return [cell.strip() for cell in cells]


def _filled(cells: list[str]) -> list[str]:
    """Cells without the empty ones at the end: NIH's header ends in a comma."""
    end = len(cells)
    while end and not cells[end - 1]:
        end -= 1
    return cells[:end]


def _check_columns(columns: tuple[str, ...], where: object) -> None:
    if twice := next((name for name in columns if name and columns.count(name) > 1), ""):
        raise PreprocessError(f"{where}: the column {twice!r} occurs twice; rename one of them")
