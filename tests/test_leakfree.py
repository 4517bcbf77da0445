"""Leak-free lists: no group in two splits, where the released rule parts many."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace

import pytest

from preprocess import recipe
from preprocess.audit import checks, leakfree
from preprocess.table import Sample, read_rows
from tests.test_duplicates import SEEN_BY_EYE


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


def test_clusters_of_near_duplicates_are_closed_transitively():
    """A copy of a copy belongs to the first, though the two are too far apart to be a pair."""
    pairs = [("s03", "s11"), ("s11", "s20"), ("s24", "s25")]
    samples = [Sample(key=f"s{row:02}") for row in range(30)]
    groups = [one.group for one in leakfree.clustered(samples, pairs)]
    assert {row for row in range(30) if groups[row] == "s03"} == {3, 11, 20}
    assert {row for row in range(30) if groups[row] == "s24"} == {24, 25}
    assert len(set(groups)) == 30 - 3


@pytest.mark.real
def test_near_duplicates_of_busi_are_on_one_side(real, builder, tmp_path):
    """The pairs that the audit shows, among them one seen by eye with opposite labels; the split parts one of them."""
    done = builder("breastmnist", real / "busi", sizes=(64,), census="warn", miniature=False)
    table = done.folder / "samples.tsv"
    leakfree.write(recipe.load("breastmnist", "paper"), table, done.folder / "duplicates.tsv", 42, tmp_path / "lists")
    known = {tuple(f"{stem.split()[0]}/{stem}.png" for stem in pair) for pair in SEEN_BY_EYE}
    shown = [one["examples"] for one in done.findings if one["check"].startswith(("duplicates", "near-duplicates"))]
    pairs = {tuple(sorted(example)) for examples in shown for example in examples}
    assert ("benign/benign (433).png", "malignant/malignant (145).png") in pairs
    assert pairs <= known
    before = {row["key"]: row["split"] for row in done.samples}
    assert any(before[one] != before[other] for one, other in pairs)
    for name in ("move-to-train", "grouped"):
        split_of = {row["key"]: row["split"] for row in read_rows(tmp_path / "lists" / f"{name}.tsv")}
        assert split_of.keys() == before.keys()
        assert all(split_of[one] == split_of[other] for one, other in pairs), name
