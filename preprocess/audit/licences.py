"""Licences: what is made from a source is never freer than the source.

Creative Commons licences are compared by their conditions. Other terms must be passed on under the same
name. Where a source names no licence, the output cannot have one either: it stays unknown.
"""

from __future__ import annotations

import re

UNKNOWN = "unknown"
#: what stands where a stand-in would have a licence: its source's is not that of the drawings
DRAWN = "drawings of this project, not under the source's licence"
_CC = re.compile(r"CC (0|BY((?:-(?:NC|SA|ND))*)) \d\.\d")


def conditions(licence: str) -> frozenset[str] | None:
    """The conditions of a Creative Commons licence (``BY``, ``NC``, ``SA``, ``ND``); None for other terms."""
    match = _CC.fullmatch(licence)
    if match is None:
        return None
    return frozenset() if match[1] == "0" else frozenset({"BY", *match[2].split("-")[1:]})


def problem(output: str, source: str) -> str | None:
    """Why ``output`` cannot be the licence of data made from a source under ``source``; None where it can."""
    if source == UNKNOWN:
        return None if output == UNKNOWN else f"its source names no licence, so {output} cannot be claimed"
    given, claimed = conditions(source), conditions(output)
    if given is None or claimed is None:
        return None if output == source else f"its source is under {source}, which {output} does not keep"
    dropped = sorted(given - claimed)
    if dropped:
        return f"its source is under {source}; {output} drops {', '.join(dropped)}"
    if "SA" in given and claimed != given:
        return f"its source is under {source}, which asks for the same licence, not {output}"
    return None
