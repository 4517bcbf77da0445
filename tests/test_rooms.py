"""What each room of the package may import: the map of CONTRIBUTING.md, held."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "preprocess"

#: what any room may import
GROUND = {"errors", "files", "environment", "notices", "web", "published", "reasons", "decisions", "table", "geometry"}
#: and besides, by room: a folder, or a module that lies in the package itself
#: what is known of a packed npz
PACKED = {"npz", "container", "cells", "packed", "checksums", "threads"}
MAY = {
    "errors": set(),
    "environment": set(),
    "notices": set(),
    "reasons": set(),
    "decisions": set(),
    "published": set(),
    "files": set(),
    "web": set(),
    "table": set(),
    "geometry": set(),
    # raw files as they are
    "reading": set(),
    # array functions, and what a recipe is
    "steps": {"reading"},
    "recipe": {"steps"},
    "labels": set(),
    # layouts
    "sources": {"reading", "labels", "npz", "steps"},
    "miniature": {"recipe", "sources"},
    # the way of the data
    "index": {"recipe", "sources", "labels", "reading"},
    "order": {"reading"},
    "split": {"recipe", "order", "reading"},
    "prepared": {"reading"},
    "render": {"recipe", "sources", "steps", "reading", "prepared"},
    "rendered": set(),
    "shards": {"recipe", "render", "rendered", "prepared", "reading", "npz", "cells", "checksums"},
    "prepare": {"recipe", "sources", "render", "shards", "prepared", "reading"},
    "rehearsal": set(),
    "deflate": set(),
    "threads": set(),
    "processes": {"threads", "reading"},
    "npz": {"deflate", "threads"},
    "container": {"npz", "deflate", "threads", "processes"},
    "cells": set(),
    "duplicates": {"cells"},
    "alike": {"rendered", "duplicates"},
    "packed": {"npz", "container", "cells", "checksums"},
    "collect": {"rendered", "packed"},
    "pack": {"recipe", "rendered", *PACKED},
    "checksums": {"npz", "container"},
    # getting the raw files
    "acquire": {"recipe", "sources", "reading"},
    # what was built
    "audit": {
        "recipe",
        "sources",
        "steps",
        "render",
        "rendered",
        "shards",
        "split",
        "acquire",
        "duplicates",
        "processes",
        *PACKED,
    },
    "inspection": {"recipe", "sources", "miniature", "index", "order", "acquire", "reading", "steps"},
    "exports": {"recipe", "npz", "checksums", "acquire", "audit"},
    "match": {
        "recipe",
        "steps",
        "render",
        "shards",
        "processes",
        "split",
        "labels",
        "npz",
        "checksums",
        "acquire",
        "sources",
    },
    # what a run is to make
    "plan": {"recipe", "sources", "steps", "order", "acquire", "audit", "reading", "exports", "deflate"},
    # what is asked of finished builds
    "inquiry": {"recipe", "sources", "index", "split", "order", "render", "steps", "reading"}
    | {"acquire", "audit", "plan", *PACKED},
    "docs": {"recipe", "sources", "steps", "acquire", "audit", "inspection"},
}
#: they call everything, and nothing calls them
ENTRANCES = {"commands", "cli", "__main__"}


def rooms() -> dict[str, set[str]]:
    """The rooms that the modules of each room import."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).parts
        room = parts[0] if len(parts) > 1 else path.stem
        if room == "__init__":
            continue
        imported = found.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "preprocess":
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.startswith("preprocess.")]
            else:
                continue
            for name in names:
                target = name.split(".")[1]
                if target != room and ((PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").is_file()):
                    imported.add(target)
    return found


def test_every_room_is_on_the_map():
    assert rooms().keys() == MAY.keys() | ENTRANCES


@pytest.mark.parametrize("room", MAY)
def test_a_room_imports_what_it_may(room):
    assert rooms()[room] - GROUND <= MAY[room]


def test_there_is_no_circle_of_rooms():
    left = {room: imported - ENTRANCES for room, imported in rooms().items() if room not in ENTRANCES}
    while free := {room for room, imported in left.items() if not imported & left.keys()}:
        left = {room: imported for room, imported in left.items() if room not in free}
    assert not left


def test_the_map_is_that_of_contributing():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for room in MAY.keys() | ENTRANCES - {"__main__"}:
        assert f"`{room}" in text, room
