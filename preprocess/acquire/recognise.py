"""Which source and which layout an archive or folder holds, by the names in it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from preprocess.acquire.registry import Source
from preprocess.reading.archives import Raw, is_junk

#: members looked at; every known layout shows itself long before
MOST = 20_000


@dataclass(frozen=True)
class Layout:
    """A known layout of a source's data: the publisher's or a mirror's; not every one can be used."""

    source: str
    name: str
    usable: bool


def members(path: Path) -> list[str]:
    """Names in an archive, inner zips opened; at most :data:`MOST`.

    Raises:
        PreprocessError: the archive is damaged or not to be trusted.
    """
    with Raw(path.parent) as raw:
        return [file.path.partition("!/")[2] for file in islice(raw.expand(path.name), MOST)]


def recognise(names: Iterable[str], sources: Mapping[str, Source]) -> list[Layout]:
    """The layouts whose patterns fit any of the names, from any of its folders on."""
    tails = {tail for name in names if not is_junk(name) for tail in _tails(name)}
    return [
        Layout(source.name, layout["name"], layout.get("usable", True))
        for source in sources.values()
        for layout in source.layouts
        if any(fnmatch.filter(tails, pattern) for pattern in layout["match"])
    ]


def _tails(name: str) -> Iterable[str]:
    pieces = name.replace("!/", "/").split("/")
    return ("/".join(pieces[start:]) for start in range(len(pieces)))
