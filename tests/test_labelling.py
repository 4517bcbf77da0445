"""Decisions on labels, ranked by the published labels of the rows that were found."""

from __future__ import annotations

from dataclasses import replace

from preprocess import recipe
from preprocess.match import labelling
from preprocess.match.pairs import Pair
from preprocess.match.ranking import as_text
from preprocess.table import Sample


class Called:
    """Rows found, their samples called something, their published labels given."""

    def __init__(self, name: str, protocol: str = "released", **about: object) -> None:
        found = recipe.load(name, protocol)
        self.recipe = replace(found, dataset=replace(found.dataset, label={**found.dataset.label, **about}))

    def rank(self, *rows: tuple[str, str]) -> dict[str, tuple[int, bool, bool]]:
        """Agreeing rows of every value, whether it is the best, and whether it is in force."""
        samples = [Sample(key=str(i), original_label=name) for i, (name, _) in enumerate(rows)]
        found = [Pair("train", i, label, i, sample=i) for i, (_, label) in enumerate(rows)]
        tried = labelling.rank(self.recipe, samples, found)
        assert all(one.score.rows == len(rows) and one.score.difference is None for one in tried)
        return {f"{one.decision} {as_text(one.value)}": (one.score.exact, one.best, one.in_force) for one in tried}


def test_codes_counted_from_one_are_told_from_the_map_in_force():
    """As of RibFrac's codes 1, 2, 3: names say the reverse of what was published."""
    rows = [("1", "0")] * 5 + [("2", "1")] * 4 + [("3", "2")] * 2
    found = Called("breastmnist", map={"1": 2, "2": 1, "3": 0}).rank(*rows)
    assert found == {
        'label.map {"1": 2, "2": 1, "3": 0}': (4, False, True),
        'label.map {"1": 1, "2": 2, "3": 3}': (0, False, False),
        'label.map {"1": 0, "2": 1, "3": 2}': (11, True, False),
    }


def test_a_map_that_no_one_wrote_is_found():
    rows = [("benign", "0")] * 3 + [("benign", "1")] + [("malignant", "1")] * 2 + [("normal", "0")]
    found = Called("breastmnist").rank(*rows)
    assert found['label.map {"benign": 0, "malignant": 1, "normal": 0}'] == (6, True, False)
    assert found['label.map {"benign": 1, "malignant": 0, "normal": 1}'] == (1, False, True)


def test_readers_rules_are_ranked_by_published_labels():
    # scores 1, 1, 5, 5: the lowest mode says benign, the highest malignant
    found = Called("nodulemnist3d").rank(("1 1 5 5", "1"), ("1 1 2 2", "0"), ("5 5 4", "1"))
    assert found["label.malignancy mode-highest"] == (3, True, False)
    assert found["label.malignancy mode-lowest"][0] == 2


def test_tiles_without_labels_rank_none():
    samples = [Sample(key="a", original_label="benign")]
    assert labelling.rank(recipe.load("breastmnist", "released"), samples, [Pair("tile", 0, "", 0, sample=0)]) == []
