"""What the general sources share: samples listed by what a recipe decides, instead of by what is known of a collection.

A *thing* is what becomes a sample: a file, or a series of DICOM files. Its key is its path below the raw folder,
with the archive's name in place of the archive and without the ending of that name: ``skin.zip!/benign/7.png`` and
``skin/benign/7.png`` are one key. A folder that repeats its archive's name counts once.
"""

from __future__ import annotations

import fnmatch
import glob
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preprocess.decisions import NOWHERE
from preprocess.errors import PreprocessError
from preprocess.reading import dicom, kinds, tables
from preprocess.reading.archives import SEPARATOR, Raw, RawFile, is_tar, is_zip, walk
from preprocess.sources import Listing
from preprocess.sources.tools import count, in_packed_tars, natural, unique
from preprocess.sources.tools import table as read_table
from preprocess.table import Sample

#: what stands for no class of a multi-label sample
NO_CLASS = "none"
#: what a column of marks may hold, in lower case
_YES, _NO = frozenset({"1", "true", "yes", "x"}), frozenset({"", "0", "false", "no"})
_ENDING = re.compile(r"(\.nii\.gz|\.[A-Za-z0-9]{1,5})$", re.IGNORECASE)


def key_of(file: RawFile) -> str:
    """The key of a file, see above."""
    pieces = file.path.split(SEPARATOR)
    parts: list[str] = []
    for piece in pieces[:-1]:
        parts = _joined(parts, piece.split("/"))
        parts[-1] = re.sub(r"(\.tar\.gz|\.tgz|\.tar|\.zip)$", "", parts[-1], flags=re.IGNORECASE)
    return "/".join(_joined(parts, pieces[-1].split("/")))


def _joined(parts: list[str], more: list[str]) -> list[str]:
    return [*parts, *(more[1:] if parts and len(more) > 1 and more[0] == parts[-1] else more)]


def stem_of(name: str) -> str:
    """A file's name without its ending: ``scan1`` of ``scan1.nii.gz``."""
    return _ENDING.sub("", name)


@dataclass(frozen=True)
class Thing:
    """What becomes a sample, or several.

    Attributes:
        key: its key.
        path: its file, or the folder of its series.
        first: the path of a file of it, whose header speaks for it.
        series: the UID of its series; empty for a file.
    """

    key: str
    path: str
    first: str
    series: str = ""

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.key.rpartition("/")[2]


@dataclass
class Decided:
    """What a recipe decides of the listing; each field is the decision of its name, see :mod:`preprocess.decisions`."""

    files: Sequence[str] | str
    table: str
    table_key: str
    class_from: str
    group_from: str
    split_from: str
    columns: dict[str, str] = field(default_factory=dict)

    def takes(self, key: str) -> bool:
        """Whether a file is of the dataset by its key: the last pattern that fits it decides."""
        return self.files == "all" or is_taken(key, [self.files] if isinstance(self.files, str) else self.files)


def is_taken(key: str, patterns: Sequence[str]) -> bool:
    """Whether a key is taken: it fits a pattern (any, where all begin with ``!``), and none that begins with ``!``."""
    name = key.rpartition("/")[2]

    def fits(pattern: str) -> bool:
        return any(fnmatch.fnmatchcase(text.lower(), pattern.lower()) for text in (key, name))

    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    return any(map(fits, wanted or ["*"])) and not any(fits(one[1:]) for one in patterns if one.startswith("!"))


@dataclass
class Row:
    """One row of the table, and where it stands."""

    where: str
    cells: dict[str, str]


class Places:
    """Where a value comes from, by the words of a decision: folder, name, path, column, header."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._headers: dict[tuple[str, str], str] = {}

    def value(self, place: str, key: str, thing: Thing, row: Row | None) -> str:
        """The value of one decision for one thing; empty text for ``none``.

        Args:
            place: the decision's value.
            key: the decision, for messages.
            thing: what it is asked of.
            row: its row of the table, where there is one.

        Raises:
            PreprocessError: the name does not fit the expression, there is no such folder, column, or header.
        """
        if place == NOWHERE:
            return ""
        kind, _, rest = place.partition(" ")
        return tables.whole(getattr(self, f"_{kind}")(rest, key, thing, row))

    def _folder(self, rest: str, key: str, thing: Thing, row: Row | None) -> str:
        above, folders = int(rest or 1), thing.key.split("/")[:-1]
        if len(folders) < above:
            at = f"{above} folders deep" if above > 1 else "in a folder"
            raise PreprocessError(f"{self._at(thing)}: does not lie {at}, as {key} has it; decide {key} or files anew")
        return folders[-above]

    def _name(self, rest: str, key: str, thing: Thing, row: Row | None) -> str:
        return self._matched(rest, thing.name, key, thing)

    def _path(self, rest: str, key: str, thing: Thing, row: Row | None) -> str:
        return self._matched(rest, thing.key, key, thing)

    def _matched(self, expression: str, text: str, key: str, thing: Thing) -> str:
        match = re.search(expression, text)
        if match is None:
            raise PreprocessError(
                f"{self._at(thing)}: {text!r} does not fit the expression {expression!r} of {key}; decide {key} anew, "
                f"or leave the file out: files: {_without(thing)}"
            )
        return match[1] or "" if match.re.groups else match[0]

    def _column(self, rest: str, key: str, thing: Thing, row: Row | None) -> str:
        if row is None:
            raise PreprocessError(
                f"{self._at(thing)}: no row of the table names it, and {key} is a column of it; add the row, or leave "
                f"the file out: files: {_without(thing)}"
            )
        return self._cell(row, rest, key)

    def _columns(self, rest: str, key: str, thing: Thing, row: Row | None) -> str:
        """The names of the columns that are marked, joined by ``|``."""
        marked = []
        for name in (one.strip() for one in rest.split(",")):
            cell = tables.whole(self._column(name, key, thing, row)).lower()
            if cell not in _YES | _NO:
                raise PreprocessError(
                    f"{row.where if row else self._at(thing)}: {name} is {cell!r}; a column of marks holds 1 and 0, or "
                    f"yes and no"
                )
            marked += [name] if cell in _YES else []
        return "|".join(marked) or NO_CLASS

    def _header(self, rest: str, key: str, thing: Thing, row: Row | None) -> str:
        if (thing.first, rest) not in self._headers:
            self._headers[thing.first, rest] = dicom.element(self._raw, thing.first, rest)
        found = self._headers[thing.first, rest]
        if not found and not key.startswith("columns."):
            raise PreprocessError(f"{self._at(thing)}: its header has no {rest}, which {key} names")
        return found

    def _cell(self, row: Row, column: str, key: str) -> str:
        if column not in row.cells:
            raise PreprocessError(f"{row.where}: the table has no column {column!r}, which {key} names; it has "
                                  f"{', '.join(row.cells)}")  # fmt: skip
        return row.cells[column]

    def _at(self, thing: Thing) -> str:
        return str(self._raw.root / thing.path)


class Rows:
    """The rows of the table, found by what they name."""

    def __init__(self, raw: Raw, files: Iterable[RawFile], decided: Decided, places: Places) -> None:
        self._raw, self._places = raw, places
        column, _, by = decided.table_key.partition(" = ")
        self._by = by
        self.found: dict[str, list[Row]] = defaultdict(list)
        self._used: dict[str, str] = {}
        if decided.table == NOWHERE:
            return
        named = [file for file in files if is_table(file) and is_taken(key_of(file), [decided.table])]
        if not named:
            raise PreprocessError(f"{raw.root}: no table is called {decided.table}, as table has it; add or rename it")
        for file in named:
            content = read_table(raw, file).require([column])
            for line, cells in content:
                row = Row(f"{raw.root / file.path}: line {line}", cells)
                if not cells[column]:
                    raise PreprocessError(f"{row.where} has no {column}")
                self.found[tables.whole(cells[column])].append(row)

    def of(self, thing: Thing) -> list[Row]:
        """The rows that name a thing: by what ``table_key`` says, else by its key, its name, or that without ending.

        Raises:
            PreprocessError: they name another thing as well, and are to name one.
        """
        if self._by:
            return self.found.get(self._places.value(self._by, "table_key", thing, None), [])
        name = self._name(thing)
        if name and self._used.setdefault(name, thing.key) != thing.key:
            raise PreprocessError(
                f"{self.found[name][0].where}: {name!r} may be {self._used[name]} or {thing.key}; "
                "name them by their paths"
            )
        return self.found[name] if name else []

    def leave(self, things: Iterable[Thing]) -> None:
        """Know that rows may name some things that are no samples."""
        for thing in things if not self._by else ():
            if name := self._name(thing):
                self._used.setdefault(name, thing.key)

    def _name(self, thing: Thing) -> str:
        """What the table calls a thing; empty where it does not."""
        names = (thing.key, thing.name, stem_of(thing.key), stem_of(thing.name))
        return next((name for name in names if name in self.found), "")

    def others(self) -> list[tuple[str, Row]]:
        """The rows that name no thing, where each is to name one."""
        return [] if self._by else [
            (name, row) for name, rows in self.found.items() if name not in self._used for row in rows
        ]  # fmt: skip


def is_table(file: RawFile) -> bool:
    """Whether a file is a table by its ending."""
    return kinds.kind_of(file.name) == "table"


def holds(folder: Path, of: Sequence[str]) -> bool:
    """Whether a folder holds a file of some kinds by its name, or an archive; stops at the first."""
    return any(is_zip(path) or is_tar(path) or kinds.kind_of(path.rpartition("/")[2]) in of for path in walk(folder))


def files_by_key(
    raw: Raw, files: Iterable[RawFile], is_data: Callable[[RawFile], bool]
) -> tuple[dict[str, RawFile], list[str]]:
    """The data files by their keys in natural order, and a note on copies.

    Raises:
        PreprocessError: two files of one key differ.
    """
    found, copies = unique(raw, files, lambda file: key_of(file) if is_data(file) else None)
    return {key: found[key] for key in sorted(found, key=natural)}, copies.notes("files")


def index_of(is_data: Callable[[Raw, RawFile], bool], what: str) -> Callable[..., Listing]:
    """The ``index`` of a source whose files are one sample each.

    Args:
        is_data: whether a file is of the kind.
        what: the kind, in the plural.
    """

    def index(
        raw: Raw,
        files: list[str] | str,
        table: str,
        table_key: str,
        class_from: str,
        group_from: str,
        split_from: str,
        columns: dict[str, str],
    ) -> Listing:
        """List the files in natural order of their keys.

        Args:
            raw: the raw files.
            files: the decision of this name, as all that follow.
            table: see :mod:`preprocess.decisions`.
            table_key: likewise.
            class_from: likewise.
            group_from: likewise.
            split_from: likewise.
            columns: likewise.

        Raises:
            PreprocessError: no file is taken, or a value cannot be told; see :mod:`preprocess.sources.decided`.
        """
        decided = Decided(files, table, table_key, class_from, group_from, split_from, columns)
        there = raw.files()
        found, notes = files_by_key(raw, there, lambda file: is_data(raw, file))
        every = [Thing(key, file.path, file.path) for key, file in found.items()]
        notes += ignored(there, (one.path for one in found.values()))
        places = Places(raw)
        return choose(raw, every, decided, Rows(raw, there, decided, places), places, notes, what)

    return index


def choose(
    raw: Raw, every: Sequence[Thing], decided: Decided, rows: Rows, places: Places, notes: list[str], what: str,
    more: Callable[[Thing, Row | None], dict[str, str]] | None = None, several: bool = False,
) -> Listing:  # fmt: skip
    """As :func:`listed`, of those things that the recipe takes.

    Raises:
        PreprocessError: it takes none, or as :func:`listed`.
    """
    things = [thing for thing in every if decided.takes(thing.key)]
    aside = [thing for thing in every if not decided.takes(thing.key)]
    if not things:
        raise PreprocessError(f"{raw.root}: holds {len(every):,} {what}, and files takes none of them; decide it anew")
    notes = [*notes, *([f"{len(aside):,} {what} are left aside by files: {aside[0].key} ..."] if aside else [])]
    return listed(raw, things, decided, rows, places, notes, more, several, aside)


def listed(
    raw: Raw, things: Sequence[Thing], decided: Decided, rows: Rows, places: Places, notes: list[str],
    more: Callable[[Thing, Row | None], dict[str, str]] | None = None, several: bool = False,
    aside: Iterable[Thing] = (),
) -> Listing:  # fmt: skip
    """The samples of some things.

    Args:
        raw: the raw files.
        things: in natural order of their keys.
        decided: what the recipe says.
        rows: of the table.
        places: where values come from.
        notes: lines for the log.
        more: what a row says besides.
        several: whether a thing may have several rows, and is then several samples.
        aside: things that the recipe leaves out; rows may name them.

    Raises:
        PreprocessError: a value cannot be told, two rows name one file, or a column has the name of one of the tables.
    """
    samples: list[Sample] = []
    for thing in things:
        own = rows.of(thing)
        if len(own) > 1 and not several:
            raise PreprocessError(f"{own[1].where}: a second row for {thing.key}; keep one of them")
        for number, row in enumerate(own or [None], 1):
            sample = _sample(thing, row, decided, places)
            sample.attributes |= more(thing, row) if more else {}
            if len(own) > 1:
                sample.key, sample.unit = f"{thing.key}/{number}", thing.key
            samples.append(sample)
    rows.leave(aside)
    others = rows.others()
    if decided.class_from.startswith("column"):
        samples += [_missing(name, row, decided, places) for name, row in others]
    elif others:
        notes = [*notes, f"{len(others):,} rows of the table name no file, the first is {others[0][0]}"]
    if any("|" in sample.original_label or sample.original_label == NO_CLASS for sample in samples):
        census: dict[str, int] = {"samples": len(samples)}
    else:
        census = {name or "no label": number for name, number in count(samples, "original_label").items()}
    warnings = in_packed_tars(thing.first for thing in things)
    return Listing(samples, census, [*notes, *_told(samples)], warnings)


def _without(thing: Thing) -> str:
    """The value of ``files`` that leaves one out."""
    return f'["!{glob.escape(thing.name)}"]'


def _sample(thing: Thing, row: Row | None, decided: Decided, places: Places) -> Sample:
    """One sample, without what only its kind of file knows."""
    sample = Sample(thing.key, thing.path, attributes={"series": thing.series} if thing.series else {})
    if row is None and decided.class_from.startswith("column"):
        sample.reason, sample.detail = "no-label", "no row of the table names this file"
        sample.attributes |= dict.fromkeys(decided.columns, "")
        return sample
    sample.original_label = places.value(decided.class_from, "class_from", thing, row)
    if not sample.original_label:
        sample.reason, sample.detail = "no-label", f"{decided.class_from} is empty for this file"
    sample.group = places.value(decided.group_from, "group_from", thing, row)
    sample.source_split = places.value(decided.split_from, "split_from", thing, row)
    sample.attributes |= {
        name: places.value(place, f"columns.{name}", thing, row) for name, place in decided.columns.items()
    }
    return sample


def _missing(name: str, row: Row, decided: Decided, places: Places) -> Sample:
    """What a row that names no file says: a sample whose file is missing."""
    nothing = Thing(name, "", "")

    def told(place: str, key: str) -> str:
        return places.value(place, key, nothing, row) if place.startswith("column") else ""

    return Sample(
        name,
        original_label=told(decided.class_from, "class_from"),
        group=told(decided.group_from, "group_from"),
        source_split=told(decided.split_from, "split_from"),
        reason="missing",
        detail=f"{row.where.rpartition(': ')[2]} of the table names it, and there is no such file",
        attributes={column: told(place, f"columns.{column}") for column, place in decided.columns.items()},
    )


def _told(samples: list[Sample]) -> list[str]:
    splits = Counter(sample.source_split for sample in samples if sample.source_split)
    groups = {sample.group for sample in samples if sample.group}
    told = [f"source splits: {', '.join(f'{name} {number:,}' for name, number in sorted(splits.items()))}"]
    return [*(told if splits else []), *([f"{len(groups):,} groups"] if groups else [])]


def ignored(files: Iterable[RawFile], used: Iterable[str]) -> list[str]:
    """A note on the files that are neither data nor table."""
    known = set(used)
    others = [file.path for file in files if file.path not in known and not is_table(file)]
    return [f"{len(others):,} files are left aside: {', '.join(others[:3])}"] if others else []
