"""Signed-off exceptions: known findings that no longer fail a build, each with a reason and a name.

This module imports nothing heavy: a run reads the file before its first job.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from preprocess import recipe
from preprocess.audit.findings import Finding
from preprocess.errors import PreprocessError, instead

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

    def covers(self, finding: Finding) -> bool:
        """Whether it is this finding of its dataset that was signed off; information needs no signature."""
        known = self.check == finding.check and self.text in ("", finding.text)
        return known and finding.level != "information"


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
            raise PreprocessError(
                f"exceptions: {path}: entry {number}: no dataset is called {entry['dataset']!r}; "
                f"{instead(entry['dataset'], recipe.names())}"
            )
    return [SignedOff(**entry) for entry in entries]


def _is_complete(entry: object) -> bool:
    if not isinstance(entry, dict) or set(entry) - {TEXT} != set(FIELDS):
        return False
    return all(isinstance(value, str) and value for value in entry.values())


def mark(dataset: str, findings: Iterable[Finding], known: list[SignedOff]) -> list[Finding]:
    """The findings, with reason and name where they are signed off; an entry that fits none adds a warning."""
    findings = list(findings)
    ours = [entry for entry in known if entry.dataset == dataset]
    marked = []
    for finding in findings:
        entry = next((one for one in ours if one.covers(finding)), None)
        marked.append(replace(finding, excepted=f"{entry.reason} ({entry.signed})") if entry else finding)
    for entry in ours:
        if not any(entry.covers(finding) for finding in findings):
            text = f"{entry.signed} signed off {entry.check!r}, which was not found: take the entry out of the file"
            marked.append(Finding("exceptions", "warning", text))
    return marked


def errors(audit: dict[str, Any]) -> list[str]:
    """One line for each error that nobody signed off.

    Args:
        audit: the content of ``audit.json``, or of one dataset's part of it (``work/<dataset>/audit.json``).
    """
    datasets = audit["datasets"] if "datasets" in audit else {audit["dataset"]: audit}
    return [
        f"{name}: {finding['check']}: {finding['text']}"
        for name, dataset in datasets.items()
        for finding in dataset["findings"]
        if finding["level"] == "error" and not finding.get("excepted")
    ]
