"""What there is to ask for; and for those who work on the project."""

from __future__ import annotations

from pathlib import Path

from preprocess.commands import Function


def docs(folder: Path, /) -> None:
    """Write the generated pages of the documentation."""
    from preprocess import docs

    docs.write(folder)


def targets() -> None:
    """List what a run can be asked for."""
    from preprocess.plan import targets

    print("\n".join(targets.table()), flush=True)


COMMANDS: tuple[Function, ...] = (targets, docs)
