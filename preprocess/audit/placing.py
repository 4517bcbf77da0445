"""What really placed the rows of a build: the decision ``order`` only says what should."""

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
