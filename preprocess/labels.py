"""From the source's own label to the dataset's: the rules a recipe's ``label.rule`` can name.

A rule takes a sample and the recipe's ``label`` entry, with the decisions ``label.*`` in it, and returns the
label (a class index, or digits joined by spaces). It raises :class:`ExcludeSample` where the dataset leaves
the class out.
"""

from __future__ import annotations

from collections.abc import Callable
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

    ``label.columns`` says which column of the sample each choice of ``label.source`` reads, and
    ``label.none`` is the name that stands for no class. A sample the column says nothing of is left out.
    """
    column = label["columns"][label["source"]]
    text = sample.original_label if column == "original_label" else sample.attributes.get(column, "")
    if not text:
        raise ExcludeSample("no-label", f"no label of {label['source']} for this sample")
    names = set(text.split("|")) - {label["none"]}
    if unknown := sorted(names - set(label["map"])):
        known = ", ".join(label["map"])
        raise PreprocessError(f"{sample.key}: class {unknown[0]!r} is not known; the recipe knows {known}")
    digits = ["0"] * len(label["map"])
    for name in names:
        digits[label["map"][name]] = "1"
    return " ".join(digits)


RULES: dict[str, Callable[[Sample, dict[str, Any]], str]] = {"map": mapped, "given": given, "several": several}
