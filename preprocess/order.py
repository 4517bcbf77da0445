"""Order tables: which raw sample each row of a published file is.

A table has the columns ``split``, ``index`` and ``image_id`` (``image`` and ``key`` are accepted
names); other columns but ``label`` are ignored. A name is matched as a key, else by its stem
without folder and extension. A stem that fits several samples is resolved by the splits the source
keeps and by the label, else it is reported as ambiguous, never guessed. A row never means a
sample of another class index, nor one that another row names together with its folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from preprocess.errors import PreprocessError
from preprocess.published import SPLITS
from preprocess.reading import tables
from preprocess.table import Sample

ID_COLUMNS = ("image_id", "image", "key")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a published file."""

    split: str
    index: int
    image_id: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A row that found no sample, and why."""

    row: Row
    reason: str


@dataclass(frozen=True)
class Table:
    """An order table and where it was read."""

    name: str
    rows: list[Row]


def find(dataset: str, raw: Path | None) -> Path | Traversable | None:
    """The table in force: the user's ``<raw>/released_order/<dataset>.csv``, else the project's, else None.

    ``raw`` is None where only the project's own may be used.
    """
    if raw is not None and (user := raw / "released_order" / f"{dataset}.csv").is_file():
        return user
    own = resources.files("preprocess") / "tables" / "order" / f"{dataset}.csv"
    return own if own.is_file() else None


def read(path: Path | Traversable) -> Table:
    """Read an order table.

    Raises:
        PreprocessError: it cannot be read, a column is missing, a row has no name or no index, or a place occurs
            twice.
    """
    try:
        table = tables.parse(path.read_bytes(), path, comments=True)
    except OSError as error:
        raise PreprocessError(f"{path}: cannot be read ({error.strerror})") from error
    column = next((name for name in ID_COLUMNS if name in table.columns), None)
    if column is None or not {"split", "index"} <= set(table.columns):
        raise PreprocessError(f"{path}: needs the columns split, index and one of {', '.join(ID_COLUMNS)}")
    rows: list[Row] = []
    places: set[tuple[str, int]] = set()
    for line, entry in table:
        place = tables.number(entry["index"])
        if entry["split"] not in SPLITS or place is None:
            raise PreprocessError(f"{path}: line {line}: not a split and an index: {entry['split']},{entry['index']}")
        if not entry[column]:
            raise PreprocessError(f"{path}: line {line} has no {column}")
        row = Row(entry["split"], place, entry[column], tables.whole(entry.get("label", "")))
        if (row.split, row.index) in places:
            raise PreprocessError(f"{path}: {row.split} {row.index} occurs twice")
        places.add((row.split, row.index))
        rows.append(row)
    return Table(str(path), rows)


def stem(name: str) -> str:
    """A name without folders and extension, in lower case: what two spellings of one image share."""
    path = PurePosixPath(name.replace("\\", "/"))
    return (path.stem if path.suffix.lower() in _EXTENSIONS else path.name).lower()


_EXTENSIONS = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".obj", ".ad", ".nii", ".npy", ".npz"}


def apply(table: Table, samples: list[Sample], keep: dict[str, str]) -> list[Unmatched]:
    """Give each sample the split and index of its row; samples without a row become ``not-published``.

    Args:
        table: the order table.
        samples: the candidates, labelled.
        keep: the source splits that are kept, and as what: they tell equal stems apart.

    Returns:
        the rows that found no sample.

    Raises:
        PreprocessError: two rows name one sample.
    """
    by_key = {sample.key: sample for sample in samples}
    named = {row.image_id for row in table.rows} & by_key.keys()
    by_stem: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_stem[stem(sample.key)].append(sample)
    taken: dict[str, Row] = {}
    unmatched: list[Unmatched] = []
    for row in table.rows:
        candidates = [by_key[row.image_id]] if row.image_id in by_key else by_stem[stem(row.image_id)]
        candidates = [sample for sample in candidates if not _contradicts(row, sample, named)]
        if len(candidates) > 1:
            candidates = list(_narrow(candidates, row, keep))
        if len(candidates) != 1:
            names = ", ".join(sample.key for sample in candidates)
            unmatched.append(Unmatched(row, f"ambiguous: {names}" if candidates else "no raw file of that name"))
            continue
        sample = candidates[0]
        if sample.key in taken:
            other = taken[sample.key]
            raise PreprocessError(
                f"{table.name}: {row.split} {row.index} and {other.split} {other.index} both name {sample.key}"
            )
        taken[sample.key] = row
        sample.split, sample.index, sample.released_index = row.split, row.index, str(row.index)
    for sample in samples:
        if sample.key not in taken and not sample.reason:
            sample.reason, sample.detail = "not-published", f"no row of {Path(table.name).name} names it"
    return unmatched


def _narrow(candidates: Iterable[Sample], row: Row, keep: dict[str, str]) -> Iterable[Sample]:
    kept = set(keep.values())
    for sample in candidates:
        split = keep.get(sample.source_split)
        fits = split == row.split if split or row.split in kept else True
        if fits and row.label in ("", sample.label):
            yield sample


def _contradicts(row: Row, sample: Sample, named: set[str]) -> bool:
    """Whether a row cannot mean a sample: the class index differs, or another row names it with its folder.

    The latter happens where a row's own file is not there, but one of that name in another folder is. A row that
    gives the key itself is never contradicted: that its label differs is for the verdict to say.
    """
    if row.image_id == sample.key:
        return False
    meant, has = tables.number(row.label), tables.number(sample.label)
    if meant is not None and has is not None and meant != has:
        return True
    return "/" in row.image_id and sample.key in named
