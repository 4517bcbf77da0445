"""A look at the raw files of a source, and its report."""

from __future__ import annotations

import shlex
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


def new(
    name: str,
    /,
    raw: Annotated[Path | None, "the folder of its files; left out for the stand-ins"] = None,
    recipes: Annotated[Path, "the folder of a user's own recipes"] = Path("recipes"),
) -> None:
    """Look at a folder of anybody's files and draft a recipe that reads them."""
    from preprocess import recipe
    from preprocess.errors import PreprocessError
    from preprocess.files import write_text
    from preprocess.inspection.draft import draft

    if raw is None:
        raise PreprocessError("new: name the folder of the files: --config name=NAME raw=DIR")
    place = recipes / f"{name}.yaml"
    if name in recipe.names() or place.exists():
        known = place if place.exists() else f"the dataset {name} of the project"
        raise PreprocessError(f"new: {known} is there already, and nothing is overwritten; choose another name")
    made = draft(name, raw)
    write_text(place, made.text, of_run=False)
    print("\n".join(made.told))
    print(f"written: {place}: read it, every decision says why; what is 'assumed' is yours to confirm")
    command = ["snakemake", "--cores", "2", name, "--config", f"recipes={recipes}", f"raw={raw}"]
    print(f"to build it: {shlex.join(command)}", flush=True)


COMMANDS: tuple[Function, ...] = (inspect, inspected, new)
