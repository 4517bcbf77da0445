"""The closed list of reasons for which a sample is left out of a dataset.

A reason is *early* when the sample never was a candidate (a class the dataset drops): the
split rule does not see it. It is *late* when only its pixels fail (a missing file): the split
rule is applied to the full list and the sample leaves its split afterwards, so that the other
samples stay where they are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One reason: whether it is known before the split, and what it means to a reader."""

    early: bool
    meaning: str


REASONS: dict[str, Reason] = {
    "class-dropped": Reason(True, "the dataset leaves this class of the source out"),
    "no-label": Reason(True, "the source publishes no label for this sample"),
    "empty-mask": Reason(True, "the annotation is named by the source's list, but no voxel is marked"),
    "outside-volume": Reason(True, "the annotated box does not lie inside its volume"),
    "not-published": Reason(True, "the order table or list in force has no row for this sample"),
    "not-rehearsed": Reason(True, "this is a rehearsal, and the sample was not drawn for it"),
    "missing": Reason(False, "named by the source's own list, but the file is not there"),
    "unreadable": Reason(False, "the file is there, but cannot be decoded"),
    "blank": Reason(False, "every pixel of the rendered sample has the same value"),
    "repair-failed": Reason(False, "the mesh could not be closed"),
    "empty-grid": Reason(False, "no voxel of the rendered sample is set"),
}


def is_early(reason: str) -> bool:
    """Whether ``reason`` removes a sample before the split. KeyError for a name not in the list."""
    return REASONS[reason].early
