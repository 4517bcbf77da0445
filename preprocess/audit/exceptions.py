"""Signed-off exceptions: known findings that no longer fail a build, each with a reason and a name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from preprocess.errors import PreprocessError

FIELDS = ("dataset", "check", "reason", "signed")


@dataclass(frozen=True)
class SignedOff:
    """One entry: which finding of which dataset is known, why that is all right, and who says so."""

    dataset: str
    check: str
    reason: str
    signed: str

    def covers(self, dataset: str, finding: dict[str, Any]) -> bool:
        """Whether it is this finding that was signed off."""
        return self.dataset == dataset and self.check == finding["check"]


def read(path: Path | None) -> list[SignedOff]:
    """Read the file of exceptions: a YAML list of mappings with dataset, check, reason and signed.

    Raises:
        PreprocessError: the file is not there, or an entry lacks a field.
    """
    if path is None:
        return []
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except (OSError, yaml.YAMLError) as error:
        raise PreprocessError(f"exceptions: {path} cannot be read ({error})") from error
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or set(entry) != set(FIELDS) or not all(entry.values()):
            raise PreprocessError(f"exceptions: {path}: entry {number} needs exactly {', '.join(FIELDS)}, none empty")
    return [SignedOff(**entry) for entry in entries]


def mark(dataset: str, findings: Iterable[dict[str, Any]], known: list[SignedOff]) -> list[dict[str, Any]]:
    """The findings, those signed off with ``excepted`` (reason and name)."""
    marked = []
    for finding in findings:
        entry = next((one for one in known if one.covers(dataset, finding)), None)
        told = f"{entry.reason} ({entry.signed})" if entry and finding["level"] != "information" else ""
        marked.append({**finding, "excepted": told} if told else dict(finding))
    return marked


def errors(audit: dict[str, Any]) -> list[str]:
    """One line for each error of an ``audit.json`` that nobody signed off."""
    return [
        f"{name}: {finding['check']}: {finding['text']}"
        for name, dataset in audit["datasets"].items()
        for finding in dataset["findings"]
        if finding["level"] == "error" and not finding.get("excepted")
    ]
