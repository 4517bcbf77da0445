"""What really placed the rows of a build, and which decisions therefore decide nothing."""

from __future__ import annotations

from collections.abc import Iterable

from preprocess.recipe import Recipe

#: what placed the rows: the published order, the source's own, or the seed
TABLE, SOURCE, SEEDED = "table", "source list", "seeded"
_BY_VALUE = {"table": SEEDED, "seeded": SEEDED, "source": SOURCE, "label-descending": "labels descending, seeded"}


def placed_by(recipe: Recipe, published_places: Iterable[str]) -> str:
    """What the rows' order comes from: ``table``, ``source list``, ``seeded`` or ``labels descending, seeded``.

    The decision ``order: table`` holds only where there is a table; without one, or with a split of the
    user's own, the rows are shuffled by the seed (:func:`preprocess.split.assign`).

    Args:
        recipe: the recipe in force.
        published_places: the column ``released_index`` of the samples table; the order table fills it.
    """
    value = str(recipe.value("order", "seeded"))
    own_split = any(key.startswith("split.") for key in recipe.overridden)
    if value == "table" and not own_split and any(published_places):
        return TABLE
    return _BY_VALUE[value]


def idle(recipe: Recipe, order: str) -> dict[str, str]:
    """The decisions that decide nothing in this build, each with the reason.

    Args:
        recipe: the recipe in force.
        order: what placed the rows, see :func:`placed_by`.
    """
    reasons = {}
    for key in recipe.decisions:
        # split.keep still tells apart files of one name
        if order == TABLE and key.startswith("split.") and key != "split.keep":
            reasons[key] = "the published order table gives every row its split"
        elif recipe.value("split.file") and key.startswith("split.") and key != "split.file":
            reasons[key] = "the table named by split.file gives every sample its split"
        elif not _is_asked(recipe, key):
            reasons[key] = "another decision leaves it nothing to decide"
    return reasons


def _is_asked(recipe: Recipe, key: str) -> bool:
    """Whether the recipe itself says that the decision has something to decide."""
    asked = getattr(recipe, "in_force", None)
    return True if asked is None else bool(asked(key))
