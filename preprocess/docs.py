"""The pages of ``docs/`` that are generated: one page a source, and the page of all decisions.

They are made of the recipes, the vocabulary of decisions, the sources' docstrings and the tables of where
raw files come from, so they say what the code does. A test compares the committed pages with
what this module writes.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from preprocess import recipe, sources, steps, web
from preprocess.acquire import registry
from preprocess.audit.pages import GRADES
from preprocess.decisions import DECISIONS, EVIDENCE, OTHER_SIZES, PROTOCOLS
from preprocess.files import write_text
from preprocess.inspection import expected
from preprocess.published import SPLITS

#: what to run when a recipe, a docstring or the vocabulary was changed
COMMAND = "python -m preprocess docs docs/"
SOURCES = Path(inspect.getfile(sources)).parent


def write(folder: Path) -> None:
    """Write the generated pages into ``folder``, and remove pages of sources that are no more."""
    made = pages()
    for name, text in made.items():
        write_text(folder / name, text)
    for path in (folder / "sources").glob("*.md"):
        if f"sources/{path.name}" not in made:
            path.unlink()


def pages() -> dict[str, str]:
    """The text of every generated page by its path below ``docs/``."""
    datasets = {name: _dataset(name) for name in recipe.names() if not recipe.is_own(name)}
    names = sorted({one["source"] for one in datasets.values()})
    served = {source: [one for one in datasets.values() if one["source"] == source] for source in names}
    templates = web.environment("preprocess", html=False)  # cells of tables are escaped by a filter
    common = {"command": COMMAND, "grades": {grade: GRADES[grade] for grade in EVIDENCE}, "splits": SPLITS}
    made = {
        f"sources/{source}.md": templates.get_template("source.md.j2").render(
            common,
            source=source,
            module=f"preprocess/sources/{Path(sources.get(source).__file__).relative_to(SOURCES)}",
            datasets=served[source],
            about=markdown(inspect.cleandoc(sources.get(source).__doc__ or "")),
            access=registry.load()[source].content,
        )
        for source in names
    }
    made |= {
        f"sources/{source}.md": templates.get_template("general.md.j2").render(
            common,
            source=source,
            about=markdown(inspect.cleandoc(sources.get(source).__doc__ or "")),
            asked={key: DECISIONS[key] for key in sources.asked(source)},
        )
        for source in recipe.GENERAL
    }
    made["sources/README.md"] = templates.get_template("sources.md.j2").render(
        common,
        sources={source: (first_line(sources.get(source)), served[source]) for source in names},
        general={source: first_line(sources.get(source)) for source in recipe.GENERAL},
    )
    made["expected.md"] = templates.get_template("expected.md.j2").render(
        common, figures={source: expected.figures(source) for source in names}
    )
    made["decisions.md"] = templates.get_template("decisions.md.j2").render(
        common, datasets=datasets, vocabulary=DECISIONS, other=OTHER_SIZES
    )
    return made


def first_line(documented: object) -> str:
    """The first line of a docstring, without its final stop."""
    return markdown(inspect.cleandoc(documented.__doc__ or "").partition("\n")[0]).removesuffix(".")


def markdown(text: str) -> str:
    """A docstring as Markdown: roles become code, ``::`` a colon, and what looks like a tag is escaped.

    Blocks indented by four blanks are code in both.
    """
    text = re.sub(r":[a-z]+:`~?([^`]+)`", r"``\1``", text)
    text = re.sub(r"::$", ":", text, flags=re.MULTILINE)
    pieces = re.split(r"(``.*?``|^ {4}.*$)", text, flags=re.MULTILINE | re.DOTALL)
    # every second piece is code
    return "".join(piece if i % 2 else piece.replace("<", "&lt;") for i, piece in enumerate(pieces))


def _dataset(name: str) -> dict[str, Any]:
    about = recipe.read(name)
    chain = about["steps"]
    by = {protocol: recipe.load(name, protocol) for protocol in PROTOCOLS}
    by_protocol = chain if isinstance(chain, dict) else dict.fromkeys(PROTOCOLS, chain)
    return {
        **about,
        "chains": {
            protocol: [(step, first_line(steps.get(step))) for step in [*about.get("prepare", []), *one]]
            for protocol, one in by_protocol.items()
        },
        "decided": {
            key: {
                protocol: (entry.get("both") or entry[protocol])
                | {"idle": by[protocol].idle(key), "pointer": by[protocol].decisions[key].source}
                for protocol in PROTOCOLS
            }
            for key, entry in about["decisions"].items()
        },
    }
