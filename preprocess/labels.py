"""From the source's own label to the dataset's: the rules a recipe's ``label.rule`` can name.

A rule takes a sample and the recipe's ``label`` entry, with the decisions ``label.*`` in it, and returns the
label (a class index, or digits joined by spaces). It raises :class:`ExcludeSample` where the dataset leaves
the class out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.table import Sample


def mapped(sample: Sample, label: dict[str, Any]) -> str:
    """Look the original label up in ``label.map``; ``label.drop`` names the classes left out."""
    original = sample.original_label
    if original in label["map"]:
        return str(label["map"][original])
    if original in label.get("drop", {}):
        raise ExcludeSample("class-dropped", f"{original}: {label['drop'][original]}")
    known = ", ".join([*label["map"], *label.get("drop", {})])
    raise PreprocessError(f"{sample.path}: class {original!r} is not known; the recipe knows {known}")


def given(sample: Sample, label: dict[str, Any]) -> str:
    """The source's own label is the dataset's."""
    return sample.label


def several(sample: Sample, label: dict[str, Any]) -> str:
    """Which of the classes of ``label.map`` a ``|``-joined list of names holds, as digits joined by spaces.

    ``label.columns`` says which column of the sample each choice of ``label.source`` reads (without it, the original
    label holds the names), and ``label.none`` is the name that stands for no class. A sample with nothing in that
    column is left out.
    """
    column = label["columns"][label["source"]] if "columns" in label else "original_label"
    text = sample.original_label if column == "original_label" else sample.attributes.get(column, "")
    if not text:
        raise ExcludeSample("no-label", f"no label of {label.get('source', column)} for this sample")
    names = set(text.split("|")) - {label["none"]}
    if unknown := sorted(names - set(label["map"])):
        known = ", ".join(label["map"])
        raise PreprocessError(f"{sample.key}: class {unknown[0]!r} is not known; the recipe knows {known}")
    digits = ["0"] * len(label["map"])
    for name in names:
        digits[label["map"][name]] = "1"
    return " ".join(digits)


#: how several readers' scores become one: the choices of ``label.malignancy``
READERS_RULES = ("mode-lowest", "mode-highest", "median", "mean-rounded")


def readers_score(scores: Sequence[int], rule: str) -> float:
    """The one score that several readers' make by a rule of :data:`READERS_RULES`; a median may lie between two."""
    if rule == "median":
        ordered = sorted(scores)
        return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    if rule == "mean-rounded":
        return round(sum(scores) / len(scores))
    counts = Counter(scores)
    modes = [score for score, count in counts.items() if count == max(counts.values())]
    return {"mode-lowest": min, "mode-highest": max}[rule](modes)


def readers(sample: Sample, label: dict[str, Any]) -> str:
    """The class of several readers' scores, which the original label holds as numbers joined by spaces.

    The decision ``label.malignancy`` makes one score of them, which is looked up as :func:`mapped` does.
    A median between two scores counts as the one further from the middle of the scale, 3.
    """
    score = readers_score([int(word) for word in sample.original_label.split()], label["malignancy"])
    name = str(math.floor(score) if score < 3 else math.ceil(score))
    if name in label["map"]:
        return str(label["map"][name])
    raise ExcludeSample("class-dropped", f"scores {sample.original_label}: {label['drop'][name]}")


def decided(label: dict[str, Any], decisions: dict[str, Any]) -> dict[str, Any]:
    """A recipe's ``label`` entry with the decisions ``label.*`` in it, as the rules take it."""
    return label | {
        key.removeprefix("label."): value for key, value in decisions.items() if key.startswith("label.")
    }  # fmt: skip


RULES: dict[str, Callable[[Sample, dict[str, Any]], str]] = {
    "map": mapped,
    "given": given,
    "several": several,
    "readers": readers,
}
