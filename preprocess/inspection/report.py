"""The report of a look at one source: as data, as a page to attach to a public issue, and as a screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preprocess import web
from preprocess.acquire.inventory import gigabytes
from preprocess.inspection.survey import MOST_PATTERNS, MOST_VALUES, Archive, Trait

#: what a source can be in one word
STATES = {
    "missing": "nothing is there",
    "complete": "all that is known of the true files holds",
    "incomplete": "the right files, but not all of them",
    "different": "the right kind of files in other numbers than the known ones",
    "broken": "archives or files that cannot be read",
    "unusable": "a known edition that datasets cannot be made of",
    "foreign": "files of something else",
}
#: lines of a list on a screen
_SHORT = 6


@dataclass(frozen=True)
class Layout:
    """A known layout that the names fit."""

    source: str
    name: str
    usable: bool


@dataclass(frozen=True)
class Trouble:
    """A file that cannot be read: its kind, its masked path, and why."""

    kind: str
    name: str
    cause: str


@dataclass(frozen=True)
class Counted:
    """A trait of the true files held against the files looked at: how many fit, and the values of the others."""

    what: str
    expected: str
    grade: str
    fit: int
    others: dict[str, int]


@dataclass(frozen=True)
class Histogram:
    """The values of one trait: the most frequent, how many files have others, least and greatest number."""

    kind: str
    trait: str
    values: dict[str, int]
    others: int
    least: float | None
    greatest: float | None


@dataclass(frozen=True)
class Dataset:
    """What one dataset would be built from.

    Attributes:
        name: the dataset.
        builds: ``yes``, ``with census: warn`` or ``no``.
        why: the reason where it is not ``yes``.
        counts: name, known and found of every count; found is None where nothing could be counted.
        samples: that can be rendered, as far as the index tells.
        by_class: the same by class.
        left_out: samples that cannot, by reason.
        falls_back: decisions that something else stands for.
        messages: what the reader said, masked.
        scratch, output: bytes on disk of a whole build.
        cpu_hours, basis: of a whole build, and how that is known.
    """

    name: str
    builds: str
    why: str
    counts: tuple[tuple[str, int, int | None], ...]
    samples: int
    by_class: dict[str, int]
    left_out: dict[str, int]
    falls_back: tuple[str, ...]
    messages: tuple[str, ...]
    scratch: int
    output: int
    cpu_hours: float
    basis: str


@dataclass(frozen=True)
class Report:
    """All that a look at one source says; every text in it may be shared (:mod:`preprocess.inspection.masking`)."""

    source: str
    title: str
    stand_in: bool
    state: str
    why: str
    versions: dict[str, str]
    platform: str
    protocol: str
    known_files: str
    layouts: tuple[Layout, ...]
    files: int
    bytes_stored: int
    bytes_unpacked: int
    archives: tuple[Archive, ...]
    patterns: dict[str, tuple[int, int]]
    kinds: dict[str, int]
    names_twice: int
    opened: int
    by_header: int
    unreadable: tuple[Trouble, ...]
    unreadable_count: int
    headers: tuple[Histogram, ...]
    expected: tuple[Counted, ...]
    datasets: tuple[Dataset, ...]
    traceback: tuple[str, ...]


def histograms(found: Iterable[Trait]) -> tuple[Histogram, ...]:
    """The traits of all files looked at as histograms."""
    made = []
    for one in sorted(found, key=lambda one: one.kind):
        numbers = [number for value in one.counts if (number := _number(value)) is not None]
        whole = len(numbers) == len(one.counts)
        most = sorted(one.counts.items(), key=lambda item: (-item[1], item[0]))
        made.append(
            Histogram(
                one.kind,
                one.name,
                dict(most[:MOST_VALUES]),
                sum(count for _, count in most[MOST_VALUES:]),
                min(numbers) if whole else None,
                max(numbers) if whole else None,
            )
        )
    return tuple(made)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain values; of the patterns the most frequent, the others counted."""
    patterns = _patterns(report)
    content = asdict(report)
    content["patterns"] = [{"pattern": name, "files": count, "bytes": size} for name, count, size in patterns]
    content["further_patterns"] = max(len(report.patterns) - len(patterns), 0)
    return {"report": "inspect", **content}


def _patterns(report: Report) -> list[tuple[str, int, int]]:
    most = sorted(report.patterns.items(), key=lambda item: (-item[1][0], item[0]))
    return [(name, count, size) for name, (count, size) in most[:MOST_PATTERNS]]


# ---- a screen


def screen(report: dict[str, Any]) -> list[str]:
    """One screen for the terminal, from the report's data."""
    drawn = ", a stand-in" if report["stand_in"] else ""
    lines = [
        f"{report['source']}{drawn}: {report['state'].upper()}: {report['why']}",
        f"  layout   {_layout(report)}",
        f"  files    {report['files']:,} in {gigabytes(report['bytes_stored'])}, {_kinds(report)}",
        f"  known    {report['known_files']}",
    ]
    for one in report["datasets"]:
        because = f": {one['why']}" if one["why"] else ""
        lines.append(f"  {one['name']}: can be built: {one['builds']}{because}")
        lines += [f"    {line}" for line in _counts(one)]
        lines.append(
            f"    takes {one['cpu_hours']:g} CPU hours ({one['basis']}), {gigabytes(one['scratch'])} of scratch and "
            f"{gigabytes(one['output'])} of npz"
        )
        lines += [f"    falls back: {line}" for line in one["falls_back"]]
    lines += [f"  opened   {report['opened']:,} files whole, {report['by_header']:,} by their headers"]
    lines += _several("  unreadable", [f"{one['name']}: {one['cause']}" for one in report["unreadable"]])
    lines += _several("  unusual", unusual(report))
    if report["traceback"]:
        lines.append(f"  error    {report['traceback'][-1]} (the report says where)")
    return lines


def room(reports: Sequence[dict[str, Any]], results: Path) -> str:
    """What whole builds of all that can be built need in a folder, and what is free there."""
    able = [one for report in reports for one in report["datasets"] if one["builds"] != "no"]
    needed = sum(one["scratch"] + one["output"] for one in able)
    while not results.exists() and results != results.parent:
        results = results.parent
    free = shutil.disk_usage(results).free
    hours = sum(one["cpu_hours"] for one in able)
    told = f"{gigabytes(needed)} needed at the most, {gigabytes(free)} free"
    datasets = f"{len(able)} dataset{'' if len(able) == 1 else 's'}"
    return f"in all {hours:.1f} CPU hours for {datasets}; {told}{'' if needed < free else ': TOO LITTLE'}"


def unusual(report: dict[str, Any]) -> list[str]:
    """What the files looked at have and true ones, as far as they are known, have not."""
    found = []
    for one in report["expected"]:
        if one["others"]:
            told = ", ".join(f"{value} in {count:,}" for value, count in list(one["others"].items())[:_SHORT])
            found.append(f"{one['what']}: {told}; expected {one['expected']} ({one['grade']})")
    if report["names_twice"]:
        found.append(f"{report['names_twice']:,} names occur in several places")
    for one in report["headers"]:
        if one["trait"] == "orientation" and one["kind"] == "picture":
            turned = sum(count for value, count in one["values"].items() if value != "1")
            if turned:
                found.append(f"{turned:,} pictures name an orientation, which is not applied")
        if one["trait"] == "header" and (count := one["values"].get("contradicts itself")):
            found.append(f"{count:,} volumes have headers that contradict themselves")
    return found


def _several(head: str, lines: Sequence[str]) -> list[str]:
    shown = [f"{head}: {line}" for line in lines[:_SHORT]]
    return [*shown, f"{head}: and {len(lines) - _SHORT:,} more, in the report"] if len(lines) > _SHORT else shown


def _layout(report: dict[str, Any]) -> str:
    own = [one for one in report["layouts"] if one["source"] == report["source"]]
    others = [f"{one['source']}: {one['name']}" for one in report["layouts"] if one["source"] != report["source"]]
    told = "; ".join(f"{one['name']}{'' if one['usable'] else ' (cannot be used)'}" for one in own)
    return told or (f"none of {report['source']}; fits {'; '.join(others[:3])}" if others else "none that is known")


def _kinds(report: dict[str, Any]) -> str:
    archives = len(report["archives"])
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report["kinds"].items() if count)
    return f"{kinds}{f'; {archives:,} archives' if archives else ''}"


def _counts(one: dict[str, Any]) -> list[str]:
    wrong = [(name, known, there) for name, known, there in one["counts"] if known != there]
    if not one["samples"] and all(there is None for _, _, there in one["counts"]):
        return []
    same = len(one["counts"]) - len(wrong)
    lines = [f"{same} of {len(one['counts'])} known counts hold, {one['samples']:,} samples"]
    lines += _several("differs", [f"{name} {there or 0:,} of {known:,}" for name, known, there in wrong])
    lines += [f"left out: {count:,} {reason}" for reason, count in one["left_out"].items()]
    return lines


# ---- a page


def page(report: dict[str, Any]) -> str:
    """The report as Markdown, to be attached to an issue."""
    templates = web.environment("preprocess.inspection", html=False)
    templates.filters |= {"cell": _cell, "code": _code, "counted": _counted}
    made = templates.get_template("report.md.j2")
    return made.render(report=report, screen=screen(report), most=MOST_PATTERNS).rstrip() + "\n"


def _counted(values: dict[str, int]) -> str:
    told = [f"{value} ({count:,})" for value, count in list(values.items())[:MOST_VALUES]]
    return ", ".join(told)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _code(text: str) -> str:
    return text.replace("|", " ").replace("`", " ")
