"""Signed-off exceptions: known findings that no longer fail a build, each with a reason and a name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from preprocess import recipe
from preprocess.errors import PreprocessError

FIELDS = ("dataset", "check", "reason", "signed")
#: may be left out
TEXT = "text"


@dataclass(frozen=True)
class SignedOff:
    """One entry: which finding of which dataset is known, why that is all right, and who says so.

    With ``text`` it is only the finding with this very sentence: when a figure in it changes, the
    finding is no longer the known one.
    """

    dataset: str
    check: str
    reason: str
    signed: str
    text: str = ""

    def covers(self, finding: dict[str, Any]) -> bool:
        """Whether it is this finding of its dataset that was signed off; information needs no signature."""
        return (
            finding["level"] != "information"
            and self.check == finding["check"]
            and self.text in ("", finding["text"])
        )  # fmt: skip


def read(path: Path | None) -> list[SignedOff]:
    """Read the file of exceptions: a YAML list of mappings with dataset, check, reason, signed, and text if need be.

    Raises:
        PreprocessError: the file is not there, an entry lacks a field, or there is no such dataset.
    """
    if path is None:
        return []
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())
        raise PreprocessError(f"exceptions: {path} cannot be read ({told})") from error
    if not isinstance(entries, list):
        raise PreprocessError(f"exceptions: {path} must be a list of entries with {', '.join(FIELDS)}")
    for number, entry in enumerate(entries, 1):
        if not _is_complete(entry):
            raise PreprocessError(
                f"exceptions: {path}: entry {number} needs exactly {', '.join(FIELDS)}, none empty; {TEXT} may be added"
            )
        if entry["dataset"] not in recipe.names():
            raise PreprocessError(f"exceptions: {path}: entry {number}: no dataset is called {entry['dataset']!r}")
    return [SignedOff(**entry) for entry in entries]


def _is_complete(entry: Any) -> bool:
    if not isinstance(entry, dict) or set(entry) - {TEXT} != set(FIELDS):
        return False
    return all(isinstance(value, str) and value for value in entry.values())


def mark(dataset: str, findings: Iterable[dict[str, Any]], known: list[SignedOff]) -> list[dict[str, Any]]:
    """The findings, those signed off with ``excepted`` (reason and name); an entry that fits none is a warning."""
    findings = list(findings)
    ours = [entry for entry in known if entry.dataset == dataset]
    marked = []
    for finding in findings:
        entry = next((one for one in ours if one.covers(finding)), None)
        marked.append(finding | ({"excepted": f"{entry.reason} ({entry.signed})"} if entry else {}))
    for entry in ours:
        if not any(entry.covers(finding) for finding in findings):
            text = f"{entry.signed} signed off {entry.check!r}, which was not found: take the entry out of the file"
            marked.append({"check": "exceptions", "level": "warning", "text": text, "examples": [], "counts": None})
    return marked


def errors(summary: dict[str, Any]) -> list[str]:
    """One line for each error that nobody signed off, of a dataset's part of ``audit.json`` or of the whole."""
    return [
        f"{name}: {finding['check']}: {finding['text']}"
        for name, dataset in summary.get("datasets", {summary.get("dataset", ""): summary}).items()
        for finding in dataset["findings"]
        if finding["level"] == "error" and not finding.get("excepted")
    ]
