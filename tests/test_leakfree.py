"""Leak-free lists: no group in two splits, where the released rule parts many."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace

import pytest

from preprocess import recipe
from preprocess.audit import checks, leakfree
from preprocess.table import Sample


@pytest.fixture(scope="module")
def lesions(real):
    """The real HAM10000 metadata as samples."""
    with open(real / "ham10000" / "HAM10000_metadata.csv") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["dx"] for row in rows})
    return [Sample(key=row["image_id"], group=row["lesion_id"], label=str(classes.index(row["dx"]))) for row in rows]


@pytest.mark.real
def test_released_rule_leaks_lesions_and_both_lists_do_not(lesions):
    from preprocess.split import assign

    released = recipe.load("dermamnist", "released")
    samples = assign(released, lesions, 42).samples
    assert Counter(sample.split for sample in samples) == {"train": 7007, "val": 1003, "test": 2005}

    def splits_of(split_of):
        splits: dict[str, set[str]] = {}
        for sample in lesions:
            splits.setdefault(sample.group, set()).add(split_of[sample.key])
        return list(splits.values())

    def straddling(split_of):
        return sum(len(one) > 1 for one in splits_of(split_of))

    leaking = splits_of({sample.key: sample.split for sample in samples})
    assert sum(len(one) > 1 for one in leaking) > 700
    found = list(checks.groups("lesion", samples))
    assert {one.level for one in found} == {"warning"}
    assert {place: count for one in found for place, count in one.counts.items()} == {
        f"{first}-{second}": sum({first, second} <= one for one in leaking)
        for first, second in (("train", "val"), ("train", "test"), ("val", "test"))
    }
    paper = assign(recipe.load("dermamnist", "paper"), [replace(one) for one in lesions], 42).samples
    assert [one.text for one in checks.groups("lesion", paper)] == ["no lesion of 7,470 is in two splits"]
    moved = leakfree.move_to_train(samples)
    assert straddling(moved) == 0
    assert set(moved) == {sample.key for sample in samples}
    # only ever into train, never out of it
    assert all(moved[sample.key] in ("train", sample.split) for sample in samples)
    again = leakfree.grouped(released, samples, 42)
    assert straddling(again) == 0
    assert set(again) == set(moved)
