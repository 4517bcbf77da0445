"""What the modules of sources share: files by their names, copies, counts, tables, pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.published import SPLITS as SPLITS
from preprocess.reading import tables
from preprocess.reading.archives import SEPARATOR, Raw, RawFile, stream_of
from preprocess.reading.picture import Picture
from preprocess.table import Sample


def natural(text: str) -> str:
    """Sort key that orders numbers in names by value: ``benign (2).png`` before ``benign (10).png``.

    Every number is preceded by how many digits it has: a text takes a tenth of the memory of a tuple of pieces.
    """
    return "".join(
        f"\0{len(digits := _digits(piece)):04}{digits}" if piece.isdecimal() else f"\1{piece}"
        for piece in re.split(r"(\d+)", text)
        if piece
    )


def _digits(number: str) -> str:
    """A number of any length without zeros before it."""
    return number.lstrip("0") or "0" if number.isascii() else str(int(number))


def count(samples: Iterable[Sample], *columns: str) -> dict[str, int]:
    """Count samples by the text of some columns joined by a space, in natural order."""
    counts = Counter(" ".join(filter(None, (getattr(sample, column) for column in columns))) for sample in samples)
    return {name: counts[name] for name in sorted(counts, key=natural)}


# ---- files by their names, and copies of them


@dataclass
class Copies:
    """Files that were left aside because another of the same name holds the same bytes."""

    paths: list[str] = field(default_factory=list)

    def notes(self, what: str = "files") -> list[str]:
        """A line for the log that counts and names them; none where there are none."""
        if not self.paths:
            return []
        more = f" and {len(self.paths) - 3:,} more" if len(self.paths) > 3 else ""
        named = f"{', '.join(self.paths[:3])}{more}"
        return [f"{len(self.paths):,} copies of {what} were left aside, equal byte for byte: {named}"]


#: the name of a table of the user's own, for :func:`by_name`
TABLE = re.compile(r"(.+\.(?:csv|tsv))", re.IGNORECASE)


def by_name(raw: Raw, files: Iterable[RawFile], pattern: re.Pattern[str]) -> tuple[dict[str, RawFile], Copies]:
    """The files whose own name matches ``pattern`` whole, by their first group in lower case, in reading order.

    For sources whose names are unique wherever they lie; see :func:`unique` for copies.
    """
    return unique(raw, files, lambda file: match[1].lower() if (match := pattern.fullmatch(file.name)) else None)


def unique(
    raw: Raw, files: Iterable[RawFile], name_of: Callable[[RawFile], str | None]
) -> tuple[dict[str, RawFile], Copies]:
    """The files ``name_of`` gives a name (None for any other file), by that name, in reading order.

    Files of one name must hold the same bytes (an unpacked archive left beside its archive, a mirror's second
    folder), and one of them is taken: the least packed, else the first. Only where names collide are
    contents looked at: a zip's own CRC-32 serves, other files are read once, in the order they are stored.

    Raises:
        PreprocessError: two files of one name differ.
    """
    files = list(files)
    found: dict[str, list[RawFile]] = {}
    for file in files:
        if (name := name_of(file)) is not None:
            found.setdefault(name, []).append(file)
    if pair := different(raw, files, [same for same in found.values() if len(same) > 1]):
        raise PreprocessError(
            f"{raw.root}: {pair[0].path} and {pair[1].path} have one name and differ; keep the published one"
        )
    taken = {name: min(same, key=lambda file: file.path.count(SEPARATOR)) for name, same in found.items()}
    copies = Copies([file.path for name, same in found.items() for file in same if file is not taken[name]])
    if not copies.paths:
        return taken, copies
    named = {file.path: name for name, file in taken.items()}
    return {named[file.path]: file for file in files if file.path in named}, copies


def different(raw: Raw, files: list[RawFile], groups: list[list[RawFile]]) -> tuple[RawFile, RawFile] | None:
    """Of groups of files that should hold the same bytes, the first two that do not; None where all do.

    ``files`` is the listing, in whose order they are read: a packed tar is read forwards.
    """
    for group in groups:  # sizes first: they cost nothing
        for file in group[1:]:
            if file.size != group[0].size:
                return group[0], file
    wanted = {file.path for group in groups for file in group}
    sums = {file.path: raw.crc32(file) for file in files if file.path in wanted}
    for group in groups:
        for file in group[1:]:
            if sums[file.path] != sums[group[0].path]:
                return group[0], file
    return None


def in_packed_tars(paths: Iterable[str]) -> list[str]:
    """A warning where files that are not read in their order lie in a packed tar; none elsewhere."""
    if not (found := sorted({archive for path in paths if (archive := stream_of(path))})):
        return []
    return [
        f"{', '.join(found[:3])}: a packed tar is read from its start for every step back, which is slow: unpack it"
    ]


# ---- tables


def table(raw: Raw, file: RawFile, lower: bool = False) -> tables.Table:
    """A table of the raw folder, whatever its encoding and separator; see :mod:`preprocess.reading.tables`.

    Raises:
        PreprocessError: it is no text table, or a row does not fit its header.
    """
    return tables.parse(raw.read(file.path), raw.root / file.path, lower)


def own_table(raw: Raw, file: RawFile, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a table that the holder of private data wrote: trimmed text by column name in lower case.

    Further columns are kept.

    Raises:
        PreprocessError: it is not a text table, lacks a column, or a row of it has no value there.
    """
    columns = tuple(columns)
    rows = []
    for line, row in table(raw, file, lower=True).require(columns):
        if empty := [column for column in columns if not row[column]]:
            raise PreprocessError(f"{raw.root / file.path}: line {line} has no {empty[0]}")
        rows.append(row)
    return rows


def one_of(row: dict[str, str], column: str, known: Iterable[str], where: object) -> str:
    """A row's value, in lower case, that must be one of some; an absent column is empty text, and 1.0 is 1.

    Raises:
        PreprocessError: it is another.
    """
    value = tables.whole(row.get(column, "").lower())
    if value not in known:
        raise PreprocessError(f"{where}: {column} {value!r} is not one of {', '.join(one for one in known if one)}")
    return value


def table_lines(name: str) -> Iterator[str]:
    """The lines of a file of facts of this project, ``tables/...``, without comments."""
    for line in (resources.files("preprocess") / name).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield line


# ---- pictures


def extent(raw: Raw, file: RawFile | Sample) -> tuple[int, int] | None:
    """Width and height in pixels of a picture by its header; None where it cannot be read, which rendering tells."""
    try:
        return Picture(raw.read(file.path)).extent
    except UnreadableError:
        return None


def first_width(raw: Raw, files: Iterable[RawFile]) -> int:
    """Width in pixels of the first of some pictures, which tells a resampled copy; 0 without one."""
    for file in files:
        found = extent(raw, file)
        return found[0] if found else 0
    return 0


def open_file(raw: Raw, sample: Sample) -> bytes:
    """The bytes of the sample's own file."""
    return raw.read(sample.path)


def open_picture(raw: Raw, sample: Sample) -> Picture:
    """The sample's own file: the ``open`` of every source of picture files."""
    return Picture(raw.read(sample.path))
