"""A look at the raw files of a source, and its report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from preprocess.commands import Function


def inspect(
    source: str,
    /,
    raw: Annotated[Path, "the folder that holds <source>/..."],
    cache: Annotated[Path, "folder that remembers the checksums of raw files"],
    protocol: Annotated[str, "whose decisions a build would take"],
    overrides: Annotated[dict[str, Any], "a user's own decisions by dataset"],
    sizes: list[int],
    sizes_3d: list[int],
    seed: Annotated[int, "picks the files that are opened whole"],
    output: Annotated[Path, "the report as Markdown"],
    json: Annotated[Path, "the same for programs"],
    miniature: Annotated[bool, "look at a stand-in"] = False,
) -> None:
    """Look at the raw files of one source and write a report that can be shared."""
    from preprocess.files import write_json, write_text
    from preprocess.inspection import report
    from preprocess.inspection.look import Wish, look

    wish = Wish(source, raw, protocol, overrides, tuple(sizes), tuple(sizes_3d), seed, miniature, cache)
    found = report.as_json(look(wish, lambda line: print(line, file=sys.stderr, flush=True)))
    write_json(json, found)
    write_text(output, report.page(found))


def inspected(reports: list[Path], /, results: Annotated[Path, "where builds would go"]) -> None:
    """Show the reports of some looks, one screen a source, and what room there is."""
    from preprocess.files import read_json
    from preprocess.inspection import report

    for path in reports:
        print("\n".join(report.screen(read_json(path))), end="\n\n", flush=True)
    print(report.room([read_json(path) for path in reports], results), flush=True)
    print("\n".join(f"to share: {path.with_suffix('.md')}" for path in reports), flush=True)


COMMANDS: tuple[Function, ...] = (inspect, inspected)
