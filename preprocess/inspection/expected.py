"""What the true archives of each source hold, put together from where it is written, each figure with its grade.

Counts are the recipes' ``census``, bytes the registry's, and what headers say is in ``tables/expected``, a
file a source, which also grades the others. Nothing is written twice. Of a source without a file nothing is known.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from preprocess import recipe
from preprocess.acquire import registry
from preprocess.files import parse_yaml

#: what stands for the file of a source that has none
UNKNOWN: dict[str, Any] = {
    "counts": {"grade": "unknown", "why": "no file of tables/expected says"},
    "bytes": {"grade": "unknown", "why": "no file of tables/expected says"},
    "headers": [],
}


@dataclass(frozen=True)
class Header:
    """What a trait of the headers of one kind of file is in the true files.

    Attributes:
        kind: ``picture``, ``volume``, ``series``, ``mesh``, ``store`` or ``arrays``.
        trait: its name, as :mod:`preprocess.inspection.traits` gives it.
        grade: how well it is known.
        why: where it comes from.
        match: the pattern of the names of the files it holds for; all of the kind where empty.
        values: what it may be, where it is one of some.
        range: least and greatest number, where it is one between two.
    """

    kind: str
    trait: str
    grade: str
    why: str
    match: str = ""
    values: tuple[str, ...] = ()
    range: tuple[float, float] | None = None

    def fits(self, value: str) -> bool:
        """Whether a value is one that true files have; of numbers in one text, such as ``0.70 x 0.75``, all must be."""
        if self.range is None:
            return value in self.values
        try:
            return all(self.range[0] <= float(word) <= self.range[1] for word in value.replace(" x ", " ").split())
        except ValueError:
            return False

    @property
    def told(self) -> str:
        """The values in words."""
        return f"{self.range[0]:g} to {self.range[1]:g}" if self.range else " or ".join(self.values)


@dataclass(frozen=True)
class Figure:
    """One figure of a source for people: what it is of, the figure, its grade and where it comes from."""

    what: str
    figure: str
    grade: str
    why: str


@cache
def _known(source: str) -> dict[str, Any]:
    path = resources.files("preprocess") / "tables" / "expected" / f"{source}.yaml"
    if not path.is_file():
        return UNKNOWN
    content: dict[str, Any] = parse_yaml(path.read_text(encoding="utf-8"))
    return content


def sources() -> list[str]:
    """The sources that have a file."""
    folder = resources.files("preprocess") / "tables" / "expected"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def headers(source: str) -> list[Header]:
    """What headers of a source's true files say."""
    found = []
    for entry in _known(source)["headers"]:
        values = {key: entry[key] for key in ("kind", "trait", "grade", "why") if key in entry}
        bounds = entry.get("range")
        found.append(
            Header(
                **values,
                match=entry.get("match", ""),
                values=tuple(map(str, entry.get("values", ()))),
                range=(float(bounds[0]), float(bounds[1])) if bounds else None,
            )
        )
    return found


def figures(source: str) -> list[Figure]:
    """All that is known of a source in one list: files and bytes, counts by class, headers."""
    content, about = _known(source), registry.load()[source]
    size, exact = about.about()
    told = f"{'' if exact else 'about '}{size:,}" if size else "unknown"
    found = [Figure("bytes to download", told, content["bytes"]["grade"], content["bytes"]["why"])]
    counts = content["counts"]
    for name in about.datasets:
        census = recipe.dataset(name).census or {}
        figure = ", ".join(f"{what} {number:,}" for what, number in census.items())
        found.append(Figure(f"counts for {name}", figure, counts["grade"], counts["why"]))
    for one in headers(source):
        where = f"{one.kind} {one.match}".strip()
        found.append(Figure(f"{one.trait} ({where})", one.told, one.grade, one.why))
    return found


@dataclass(frozen=True)
class Compared:
    """A trait of the true files and the files that were looked at: how many fit, and which values others have."""

    header: Header
    fit: int
    others: dict[str, int]


def compare(source: str, seen: Iterable[tuple[str, str, dict[str, str]]]) -> list[Compared]:
    """Hold the traits of files against those of true ones.

    Args:
        source: the source.
        seen: own name, kind and traits of each file looked at.
    """
    seen = list(seen)
    found = []
    for header in headers(source):
        values = Counter(
            traits[header.trait]
            for name, kind, traits in seen
            if kind == header.kind
            and header.trait in traits
            and (not header.match or fnmatch.fnmatchcase(name.lower(), header.match.lower()))
        )
        if values:
            others = {value: count for value, count in values.most_common() if not header.fits(value)}
            found.append(Compared(header, values.total() - sum(others.values()), others))
    return found
