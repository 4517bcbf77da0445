"""What values a decision may have: those that make no sense are refused before anything is read."""

from __future__ import annotations

import pytest

from preprocess import recipe
from preprocess.decisions import DECISIONS
from preprocess.errors import PreprocessError


@pytest.mark.parametrize(
    ("dataset", "key", "value", "message"),
    [
        ("nodulemnist3d", "cube", 0, "0 is not from 1 to 256"),
        ("nodulemnist3d", "cube", "-5", "-5 is not from 1 to 256"),
        ("vesselmnist3d", "cube", 100_000, "100000 is not from 1 to 256"),
        ("vesselmnist3d", "cube", True, "True is not one of"),
        ("organmnist3d", "window", "240,-160", "'240,-160' runs backwards, is empty"),
        ("organmnist3d", "window", "40,40", "runs backwards, is empty"),
        ("organmnist3d", "window", "-160,99999", "leaves the range of CT"),
        ("breastmnist", "split.ratio", "9" * 5000 + ":1", "is not one of"),
        ("breastmnist", "split.ratio", "٧:١:٢", "is not one of"),
        ("fracturemnist3d", "label.map", {"1": -1}, "must give names or codes of the source one whole number each"),
        ("fracturemnist3d", "label.map", {"1": True}, "must give names or codes of the source one whole number each"),
        ("fracturemnist3d", "label.map", {"1": "foo"}, "must give names or codes of the source one whole number each"),
        ("fracturemnist3d", "label.map", {}, "must give names or codes of the source one whole number each"),
        ("fracturemnist3d", "label.map", {"1": 3}, "3 is no class; fracturemnist3d has 3, 0 to 2"),
        ("bloodmnist", "crop", "centre-0", "'centre-0' is not one of"),
        ("bloodmnist", "crop", {"28": "centre-0", "other": "none"}, "'centre-0' is not one of"),
        ("bloodmnist", "crop", {"tall": "none", "other": "none"}, "'tall' is no size"),
        ("breastmnist", "split.ratio", "0:0:1", "'0:0:1' leaves a side empty"),
        ("breastmnist", "split.ratio", "1:0:0", "'1:0:0' leaves a side empty"),
        ("breastmnist", "split.ratio", "7", "'7' is not one of"),
        ("octmnist", "split.keep", {"train": "foo"}, "must give names of source splits one of train, val, test each"),
        ("chestmnist", "split.list", "no_such_list", "is no table in preprocess/tables/splits"),
        (
            "breastmnist",
            "split.rule",
            "list",
            "breastmnist has no published list; name a list of your own by split.file",
        ),
    ],
)
@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_values_without_sense_are_refused(dataset, key, value, message, protocol):
    with pytest.raises(PreprocessError, match=message) as caught:
        recipe.load(dataset, protocol, {key: value})
    assert str(caught.value).startswith(f"overrides: {dataset}: {key}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "key", "value"),
    [
        ("nodulemnist3d", "cube", "64"), ("nodulemnist3d", "cube", 256), ("organmnist3d", "window", "-160,240"),
        ("organmnist3d", "window", "-160.5,-160"), ("bloodmnist", "crop", "centre-1"),
        ("breastmnist", "split.ratio", "8:0:2"), ("octmnist", "split.keep", {"train": "train", "test": "val"}),
        ("octmnist", "split.keep", {}),
        ("organmnist3d", "split.list", "organ_released"),
    ],
)  # fmt: skip
def test_values_at_the_edge_of_sense_are_taken(dataset, key, value):
    assert str(recipe.load(dataset, "paper", {key: value}).value(key)) == str(value)


def test_every_condition_names_decisions_and_their_values():
    for key, decision in DECISIONS.items():
        for others in (decision.needs, decision.idle):
            for other, values in others.items():
                assert other != key
                assert all(DECISIONS[other].problem(value) is None for value in values), (key, other)
