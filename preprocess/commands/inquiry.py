"""What is asked of finished builds and of the files at hand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from preprocess.commands import Function
from preprocess.errors import PreprocessError

log = logging.getLogger("preprocess")

Answer = TypeVar("Answer")
Results = Annotated[Path, "the folder that holds the builds, such as paper/"]
Root = Annotated[Path, "the folder that holds <source>/..."]
Variants = Annotated[list[str], "names of builds; the others are held against the first"]
Miniature = Annotated[bool, "builds of stand-ins"]


def prove(
    datasets: list[str],
    /,
    raw: Root,
    results: Results,
    seed: Annotated[int, "picks the rows on which decisions are decided otherwise"],
    output: Path,
    miniature: Annotated[bool, "the raw folder holds stand-ins"] = False,
) -> None:
    """Prove again what the raw and published files at hand allow."""
    from preprocess.inquiry import prove
    from preprocess.table import write_rows

    proofs = list(prove.prove(datasets, raw, results, miniature, seed))
    write_rows(output, prove.COLUMNS, ([getattr(one, name) for name in prove.COLUMNS] for one in proofs))
    print("\n".join([*prove.table(proofs), f"the same as a table: {output}"]), flush=True)


def _of_builds(
    target: str, variants: list[str], ask: Callable[[], tuple[list[Answer], list[str]]]
) -> tuple[list[Answer], list[str]]:
    """What a question about several builds finds, and what is missing for it.

    Raises:
        PreprocessError: fewer than two builds are named, or there is nothing to compare.
    """
    if len(variants) < 2:
        raise PreprocessError(f"{target}: name two builds or more: --config 'variants=[paper,released]'")
    found, missing = ask()
    if not found:
        others = f"; {len(missing) - 1} more are missing" if len(missing) > 1 else ""
        raise PreprocessError(f"{target}: nothing to compare; {missing[0]}{others}")
    return found, missing


def compare(
    datasets: list[str],
    /,
    results: Results,
    output: Annotated[Path, "the page"],
    json: Annotated[Path, "the same as data"],
    variants: Variants = [],  # noqa: B006
    raw: Annotated[Path | None, "named in the commands that build what is missing"] = None,
    miniature: Miniature = False,
) -> None:
    """Hold finished builds against the first of them."""
    from preprocess.audit.plain import plain
    from preprocess.files import write_json
    from preprocess.inquiry import compare

    ask = partial(compare.compare, datasets, variants, results, raw)
    found, missing = _of_builds("compare", variants, ask)
    compare.write_page(found, missing, variants, miniature, output)
    write_json(json, {"differences": plain(found), "missing": missing})
    print("\n".join([*compare.told(found, missing), f"side by side: {output}"]), flush=True)


def impact(
    datasets: list[str],
    /,
    results: Results,
    seed: Annotated[int, "of the classifier, of the bootstrap and of samples of the rows"],
    workers: Annotated[int, "threads"],
    output: Annotated[Path, "the page"],
    json: Annotated[Path, "the same as data"],
    variants: Variants = [],  # noqa: B006
    raw: Annotated[Path | None, "named in the commands that build what is missing"] = None,
    miniature: Miniature = False,
) -> None:
    """Train a small classifier on finished builds and say how much better it does on one than on another."""
    from preprocess.audit.plain import plain
    from preprocess.files import write_json
    from preprocess.inquiry import impact

    ask = partial(impact.impact, datasets, variants, results, raw, seed, workers, log.info)
    found, missing = _of_builds("impact", variants, ask)
    impact.write_page(found, missing, variants, miniature, output)
    write_json(json, {"impact": plain(found), "missing": missing})
    print("\n".join([*impact.told(found, missing), f"with the decisions: {output}"]), flush=True)


def trace(
    build: Annotated[str, "the build's name, such as paper"],
    results: Results,
    raw: Root,
    output: Annotated[Path, "the page"],
    json: Annotated[Path, "the same as data, without pictures"],
    traced: Annotated[Path, "the names of the rows, for the audit pages that link to them"],
    rows: Annotated[list[str], "<dataset>/<split>/<index> or <dataset>/<key>"] = [],  # noqa: B006
    miniature: Miniature = False,
) -> None:
    """Show where rows of a build come from, and the picture after every step."""
    from preprocess.audit.plain import plain
    from preprocess.files import write_json
    from preprocess.inquiry import trace

    if not rows:
        raise PreprocessError("trace: name rows: --config 'rows=[breastmnist/train/17]'")
    found = trace.trace(rows, build, results, raw, miniature)
    trace.write_page(found, miniature, output)
    trace.write_names(found, traced)
    write_json(json, [_without_pictures(plain(one)) for one in found])
    print("\n".join([*map(trace.told, found), f"with the picture after every step: {output}"]), flush=True)


def _without_pictures(one: dict[str, Any]) -> dict[str, Any]:
    stages = [{name: value for name, value in stage.items() if name != "pictures"} for stage in one["stages"]]
    return {**one, "stages": stages}


COMMANDS: tuple[Function, ...] = (prove, compare, impact, trace)
