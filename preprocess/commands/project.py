"""For those who work on the project."""

from __future__ import annotations

from pathlib import Path

from preprocess.commands import Function


def docs(folder: Path, /) -> None:
    """Write the generated pages of the documentation."""
    from preprocess import docs

    docs.write(folder)


COMMANDS: tuple[Function, ...] = (docs,)
