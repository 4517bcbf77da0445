"""From the source's own label to the dataset's: the rules a recipe's ``label.rule`` can name.

A rule takes a sample and the recipe's ``label`` entry, and returns the label (a class index, or
digits joined by spaces). It raises :class:`ExcludeSample` where the dataset leaves the class out.
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


RULES: dict[str, Callable[[Sample, dict[str, Any]], str]] = {"map": mapped, "given": given}
