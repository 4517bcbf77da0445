"""What is said when a run has ended: a short table of what was built, or the errors that stopped it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from preprocess.acquire.inventory import aligned
from preprocess.files import read_json

#: how a line of a log begins that a person should read, see :mod:`preprocess.cli`
ERROR = "ERROR: "


def table(builds: Iterable[tuple[str, str]]) -> list[str]:
    """One line a dataset: its rows, how it compares with the published files, what its audit found, its page.

    Args:
        builds: of every dataset its part of ``audit.json``, and its page. What is not there is left out.
    """
    rows = [("dataset", "rows", "against the published files", "errors", "warnings", "page")]
    for summary, page in builds:
        try:
            made = read_json(Path(summary))
        except (OSError, ValueError):
            continue
        found = (str(len(made["errors"])), str(len(made["warnings"])))
        rows.append((made["dataset"], f"{sum(made['counts'].values()):,}", _verdict(made), *found, page))
    return aligned(rows) if len(rows) > 1 else []


def _verdict(made: dict[str, Any]) -> str:
    """The verdicts of all sizes: one where they agree."""
    texts = {file: verdict["text"] for file, verdict in made["verdict"].items()}
    if len(set(texts.values())) == 1:
        return str(next(iter(texts.values())))
    return "; ".join(f"{file}: {text}" for file, text in texts.items())


def error(logs: Iterable[str]) -> str | None:
    """What stopped a job: the last error in its logs, or nothing where they hold none."""
    lines: list[str] = []
    for log in logs:
        try:
            lines += Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
    return next((line for line in reversed(lines) if line.startswith(ERROR)), None)
