"""The columns that mean the same in every dataset: what a source's text becomes, and that every table has them."""

from __future__ import annotations

from collections import Counter

import pytest

from preprocess import collect, index, miniature, recipe
from preprocess.sources import common
from preprocess.table import COMMON, Sample, read_rows, write_rows, write_samples


@pytest.mark.parametrize(("text", "years"), [
    # DICOM PS3.5, Age String: three digits and D, W, M or Y
    ("058Y", "58"), ("006M", "0.5"), ("018M", "1.5"), ("012D", "0.0329"), ("365D", "0.999"), ("026W", "0.498"),
    ("000Y", "0"),
    # a bare number is years
    ("57", "57"), ("80.0", "80"), ("0.5", "0.5"), ("  7 ", "7"), ("125", "125"),
    ("3 months", "0.25"), ("1 year", "1"), ("10 weeks", "0.192"), ("58y", "58"),
    # nothing is guessed
    ("", ""), ("?", ""), ("unknown", ""), ("85+", ""), ("60-70", ""), ("-1", ""), ("nan", ""), ("414", ""), ("126", ""),
    ("Y", ""), ("5 monthsold", ""), ("1e2", ""), ("٥٧", ""), ("9" * 30, ""),
])  # fmt: skip
def test_ages(text, years):
    assert common.age(text) == years


@pytest.mark.parametrize(("function", "text", "value"), [
    (common.sex, "M", "M"), (common.sex, "female", "F"), (common.sex, "Male", "M"), (common.sex, " f ", "F"),
    (common.sex, "O", ""), (common.sex, "unknown", ""), (common.sex, "1", ""), (common.sex, "", ""),
    (common.laterality, "left", "L"), (common.laterality, "R", "R"), (common.laterality, "OD", "R"),
    (common.laterality, "OS", "L"), (common.laterality, "bilateral", "B"), (common.laterality, "U", ""),
    (common.laterality, "l1", ""),
    (common.view, "pa", "PA"), (common.view, "LL", "LL"), (common.view, "Axial", "axial"), (common.view, "MLO", "MLO"),
    (common.view, "lateral", ""), (common.view, "", ""),
])  # fmt: skip
def test_words(function, text, value):
    assert function(text) == value


def test_the_sources_own_text_is_kept():
    assert common.columns(age=" 414Y ", sex="O") == {
        "age": "", "sex": "", "source_age": "414Y", "source_sex": "O",
    }  # fmt: skip
    assert common.columns() == {}
    assert common.columns(laterality="") == {"laterality": "", "source_laterality": ""}


#: what each source fills, and the values its stand-in must show; every other dataset has none of them
FILLED = {
    "adrenalmnist3d": {"laterality": {"L", "R"}},
    "chestmnist": {"sex": {"F", "M"}, "view": {"PA", "AP"}},
    "dermamnist": {"sex": {"F", "M", ""}},
    "retinamnist": {"laterality": {"L", "R"}},
    "organamnist": {"view": {"axial"}},
    "organcmnist": {"view": {"coronal"}},
    "organsmnist": {"view": {"sagittal"}},
}
AGES = {"chestmnist", "dermamnist"}


@pytest.mark.parametrize("name", recipe.names())
def test_what_each_dataset_fills(name, stand_in):
    in_force = recipe.load(name, "paper")
    folder = stand_in(in_force.source)
    samples = index.build(in_force, folder, "strict", miniature.census(name)).samples
    for column in ("sex", "laterality", "view"):
        assert {one.attributes.get(column, "") for one in samples} == FILLED.get(name, {}).get(column, {""}), column
    ages = [one.attributes["age"] for one in samples if one.attributes.get("age")]
    assert bool(ages) == (name in AGES)
    assert all(0 <= float(one) <= 125 for one in ages)
    for one in samples:  # of the source's own text nothing is lost
        for column in COMMON:
            assert not (one.attributes.get(column) and column != "view") or one.attributes[f"source_{column}"]


def test_every_samples_table_has_them_and_they_come_once(tmp_path):
    samples = [
        Sample("a", label="0", split="train", index=0, attributes=common.columns(sex="female") | {"spacing": "1 1 2"}),
        Sample("b", label="1", split="test", index=0, attributes={"spacing": ""}),
    ]
    write_samples(tmp_path / "split.tsv", ("split", "index", "key", "label"), samples)
    (tmp_path / "shard").mkdir()
    write_rows(
        tmp_path / "shard" / "rows.tsv", ("key", "reason", "detail", "upsampled", "raw_form", "raw_sha256"),
        [(key, "", "", "", "PNG", "0" * 64) for key in "ab"],
    )  # fmt: skip
    collect.collect(tmp_path / "split.tsv", [tmp_path / "shard"], tmp_path / "rows.tsv", tmp_path / "excluded.tsv")
    rows = list(read_rows(tmp_path / "rows.tsv"))
    header = (tmp_path / "rows.tsv").read_text().splitlines()[0].split("\t")
    assert max(Counter(header).values()) == 1
    assert header[-6:] == ["age", "sex", "laterality", "view", "source_sex", "spacing"]
    assert [[row[name] for name in (*COMMON, "source_sex")] for row in rows] == [
        ["", "F", "", "", "female"], ["", "", "", "", ""],
    ]  # fmt: skip
