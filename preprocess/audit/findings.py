"""What a check reports: a finding, its level, and which findings say that something is missing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "information"]
LOG_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "information": logging.INFO}
#: checks whose warnings say that a build is not made of all its raw files
MISSING = ("census", "unmatched", "missing", "unreadable", "mask")


@dataclass(frozen=True)
class Finding:
    """One result of one check.

    Attributes:
        check: the check's short name, the same in every report.
        level: an ``error`` fails the build, a ``warning`` is shown, ``information`` is neither.
        text: one sentence with the figures.
        examples: keys of the samples concerned; those that belong together (a pair of duplicates) share an entry.
        counts: how many lie in two splits, by the splits' names (``train-test``), and how many ``within`` one;
            None where the check does not count by split, or cannot.
        excepted: why the finding is all right and who says so; empty where nobody signed it off.
    """

    check: str
    level: Level
    text: str
    examples: tuple[tuple[str, ...], ...] = ()
    counts: dict[str, int] | None = None
    excepted: str = ""


def incomplete(findings: Iterable[Finding]) -> list[str]:
    """One line for each thing that the raw files lack; empty where they are complete."""
    return [f"{one.check}: {one.text}" for one in findings if one.check in MISSING and one.level != "information"]


def open_checks(findings: Iterable[Finding], level: Level) -> list[str]:
    """The checks with findings of a level that nobody signed off."""
    return [one.check for one in findings if one.level == level and not one.excepted]
