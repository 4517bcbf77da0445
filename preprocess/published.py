"""The published files as facts: checksums, versions, rows and class counts, from ``tables/published.yaml``.

A published file is known by its MD5 and nothing else: files of the same name with other data exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from preprocess.files import parse_yaml

#: the parts of every dataset, in the order of its arrays
SPLITS = ("train", "val", "test")
#: published file names have no size at this one
SMALLEST = 28
#: the version that brought the other sizes
LARGER_SINCE = "3.0.0"


@dataclass(frozen=True)
class Counts:
    """What one split holds.

    Attributes:
        rows: number of samples.
        rows_evidence: grade of that number.
        classes: samples by label (positives by label in a multi-label set), ``"a|b"`` where two
            solutions fit; empty where unknown.
        evidence: grade of the class counts; empty where unknown.
        why: where the class counts come from.
        none: samples of a multi-label set without any label; None elsewhere.
    """

    rows: int
    rows_evidence: str
    classes: tuple[int | str, ...] = ()
    evidence: str = ""
    why: str = ""
    none: int | None = None


@dataclass(frozen=True)
class Fingerprint:
    """Mean and standard deviation of a published train array, from a public table.

    Attributes:
        mean: mean of all values, as a share of 255.
        std: their standard deviation, as a share of 255.
        size: the size of the file they are of.
        evidence: grade of that size.
        why: where it comes from.
    """

    mean: float
    std: float
    size: int
    evidence: str
    why: str


@dataclass(frozen=True)
class Edition:
    """One state of a dataset's data, carried by consecutive versions of the medmnist package.

    Attributes:
        dataset: its name.
        first: the first version that carries it.
        last: the last one; empty for the edition in force.
        md5: checksum of the file of each size.
        counts: what each split holds.
        arrays: sha256 of each array by size, where the file itself has been read.
        change: what was changed against the edition before.
        fingerprint: of its train images, where known.
    """

    dataset: str
    first: str
    last: str
    md5: dict[int, str]
    counts: dict[str, Counts]
    arrays: dict[int, dict[str, str]] = field(default_factory=dict)
    change: str = ""
    fingerprint: Fingerprint | None = None

    @property
    def versions(self) -> str:
        """The versions in words."""
        return f"versions {self.first} to {self.last}" if self.last else f"version {self.first} and later"


@dataclass(frozen=True)
class File:
    """One published file: the edition it belongs to, and its size."""

    edition: Edition
    size: int

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.edition.dataset

    @property
    def name(self) -> str:
        """The name it was published under."""
        return file_name(self.dataset, self.size)

    @property
    def md5(self) -> str:
        """Its checksum."""
        return self.edition.md5[self.size]

    @property
    def arrays(self) -> dict[str, str]:
        """sha256 of each of its arrays; empty where unknown."""
        return self.edition.arrays.get(self.size, {})

    def __str__(self) -> str:
        if self.size != SMALLEST and self.edition.first < LARGER_SINCE:
            return f"{self.name} of version {LARGER_SINCE} and later"
        return f"{self.name} of {self.edition.versions}"


def file_name(dataset: str, size: int) -> str:
    """``<dataset>.npz`` at 28 and ``<dataset>_<size>.npz`` otherwise."""
    return f"{dataset}.npz" if size == SMALLEST else f"{dataset}_{size}.npz"


def montage_name(dataset: str, size: int) -> str:
    """What a montage of a dataset's published tiles is to be called: as the npz of that size, but a PNG."""
    return file_name(dataset, size).removesuffix(".npz") + ".png"


def given(folder: Path, dataset: str) -> list[Path]:
    """What a folder holds of a dataset's published files: the npz of each size, else a montage of its tiles."""
    found = []
    for size in sizes(dataset):
        names = (file_name(dataset, size), montage_name(dataset, size))
        found += [folder / name for name in names if (folder / name).is_file()][:1]
    return found


def table() -> Traversable:
    """The table all this is read from."""
    return resources.files("preprocess") / "tables" / "published.yaml"


@cache
def _table() -> dict[str, Any]:
    text = table().read_text(encoding="utf-8")
    content: dict[str, Any] = parse_yaml(text)
    return content


@cache
def editions(dataset: str) -> tuple[Edition, ...]:
    """The editions of a dataset, oldest first; empty for a dataset that was never published."""
    return tuple(
        Edition(
            dataset=dataset,
            first=entry["first"],
            last=entry.get("last", ""),
            md5=entry["md5"],
            counts={split: _counts(entry[split]) for split in SPLITS},
            arrays=entry.get("arrays", {}),
            change=entry.get("change", ""),
            fingerprint=_fingerprint(entry["fingerprint"]) if "fingerprint" in entry else None,
        )
        for entry in _table()["datasets"].get(dataset, ())
    )


def _counts(entry: dict[str, Any]) -> Counts:
    return Counts(
        rows=entry["rows"],
        rows_evidence=entry["rows_grade"],
        classes=tuple(entry.get("classes", ())),
        evidence=entry.get("grade", ""),
        why=entry.get("why", ""),
        none=entry.get("none"),
    )


def _fingerprint(entry: dict[str, Any]) -> Fingerprint:
    return Fingerprint(entry["mean"], entry["std"], entry["size"], entry["grade"], entry["why"])


def current(dataset: str) -> Edition | None:
    """The edition in force of a dataset."""
    known = editions(dataset)
    return known[-1] if known else None


def sizes(dataset: str) -> tuple[int, ...]:
    """The sizes a dataset was published at, in its edition in force; none for one that never was."""
    edition = current(dataset)
    return tuple(sorted(edition.md5)) if edition else ()


def paper(dataset: str) -> Edition | None:
    """The edition the paper describes (Yang et al., Scientific Data 10:41, 2023)."""
    version = _number(_table()["paper"]["version"])
    for edition in editions(dataset):
        if _number(edition.first) <= version and (not edition.last or version <= _number(edition.last)):
            return edition
    return None


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def datasets() -> list[str]:
    """The names of all published datasets."""
    return list(_table()["datasets"])


def versions() -> list[dict[str, Any]]:
    """The history: entries with ``versions``, ``date``, ``zenodo`` (record number) and ``change``."""
    history: list[dict[str, Any]] = _table()["versions"]
    return history


def file(dataset: str, size: int) -> File | None:
    """The file in force of a dataset at a size; None where none was published."""
    edition = current(dataset)
    return File(edition, size) if edition and size in edition.md5 else None


def recognise(md5: str, dataset: str, size: int | None = None) -> File | None:
    """The published file of a dataset, and of a size where one is given, that has this MD5; None where none has."""
    found = identify(md5)
    return found if found and found.dataset == dataset and size in (None, found.size) else None


def identify(md5: str) -> File | None:
    """Which published file has this MD5: dataset, size and versions; None where none has."""
    return _by_md5().get(md5)


@cache
def _by_md5() -> dict[str, File]:
    return {
        md5: File(edition, size)
        for dataset in datasets()
        for edition in editions(dataset)
        for size, md5 in edition.md5.items()
    }
