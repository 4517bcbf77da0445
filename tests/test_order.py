"""Order tables: how their names find samples, what is refused, and what a split makes of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess import order, recipe, split
from preprocess.errors import PreprocessError
from preprocess.order import Row, Table
from preprocess.table import Sample


def table(*rows: tuple[str, int, str] | tuple[str, int, str, str]) -> Table:
    return Table("test.csv", [Row(*row) for row in rows])


def read(tmp_path, text: str) -> Table:
    (tmp_path / "table.csv").write_bytes(text.encode())
    return order.read(tmp_path / "table.csv")


# ---- reading


@pytest.mark.parametrize("column", ["image_id", "image", "key"])
def test_read_accepts_the_three_names_and_ignores_other_columns(tmp_path, column):
    found = read(tmp_path, f"# found by pixels\n{column},md5,index,split\na.png,0f,1,val\n\nb.png,1f,0,train\n")
    assert found.rows == [Row("val", 1, "a.png"), Row("train", 0, "b.png")]


def test_read_takes_labels_bom_quotes_and_crlf(tmp_path):
    found = read(tmp_path, '\ufeffsplit,index,image_id,label\r\ntest,7,"a, b (1).png",3\r\n')
    assert found.rows == [Row("test", 7, "a, b (1).png", "3")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("split,index,name\ntrain,0,a\n", "needs the columns"),
        ("split,image_id\ntrain,a\n", "needs the columns"),
        ("", "needs the columns"),
        ("split,index,key\ntraining,0,a\n", "line 2: not a split and an index: training,0"),
        ("split,index,key\ntrain,-1,a\n", "not a split and an index"),
        ("split,index,key\ntrain,1.0,a\n", "not a split and an index"),
        ("split,index,key\ntrain,,a\n", "not a split and an index"),
        ("split,index,key\ntrain\n", "line 2 does not fit the header"),
        ("split,index,key\ntrain,0,\n", "line 2 has no key"),
        ("split,index,key\ntrain,0,a\ntrain,0,b\n", "train 0 occurs twice"),
    ],
)
def test_read_refuses(tmp_path, text, message):
    with pytest.raises(PreprocessError, match=message):
        read(tmp_path, text)


def test_find_prefers_the_users_table(tmp_path):
    assert order.find("no_such_set", tmp_path) is None
    assert order.find("no_such_set", None) is None
    mine = tmp_path / "released_order" / "no_such_set.csv"
    mine.parent.mkdir()
    mine.write_text("split,index,key\n")
    assert order.find("no_such_set", tmp_path) == mine


# ---- matching


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("ISIC_0027615", "isic_0027615"),
        ("ISIC_0027615.JPG", "isic_0027615"),
        ("benign/benign (1).png", "benign (1)"),
        ("a\\b\\C.jpeg", "c"),
        ("train-112-8-sagittal-028", "train-112-8-sagittal-028"),
        ("1.3.6.1.4.1", "1.3.6.1.4.1"),
        ("person1_bacteria_1.jpeg", "person1_bacteria_1"),
    ],
)
def test_stem(name, stem):
    assert order.stem(name) == stem


@given(st.lists(st.integers(0, 9999), min_size=1, max_size=30, unique=True), st.randoms())
def test_every_spelling_of_a_name_finds_its_sample(numbers, chance):
    samples = [Sample(key=f"Class/CNV-{number}-1.jpeg", label="0") for number in numbers]
    rows = []
    for place, number in enumerate(numbers):
        name = f"CNV-{number}-1"
        name = chance.choice([name, name.lower(), name.upper()]) + chance.choice(["", ".jpeg", ".JPG", ".png"])
        rows.append(Row(chance.choice(["train", "val", "test"]), place, chance.choice(["", "x/", "a\\b\\"]) + name))
    shuffled = rows[:]
    chance.shuffle(shuffled)
    assert order.apply(Table("t", shuffled), samples, {}) == []
    assert [(one.split, one.index, one.released_index) for one in samples] == [
        (row.split, row.index, str(row.index)) for row in rows
    ]


def test_an_exact_key_wins_over_a_stem():
    samples = [Sample(key="AN1"), Sample(key="vessel/AN1.obj")]
    order.apply(table(("train", 0, "AN1"), ("train", 1, "vessel/AN1.obj")), samples, {})
    assert [one.index for one in samples] == [0, 1]


def test_equal_stems_are_told_apart_by_label():
    samples = [Sample(key="vessel/A.obj", label="0"), Sample(key="aneurysm/A.obj", label="1")]
    assert order.apply(table(("train", 0, "A", "1"), ("train", 1, "A", "0")), samples, {}) == []
    assert [one.index for one in samples] == [1, 0]


def test_a_row_whose_raw_is_not_there_does_not_take_the_other_class():
    """Half a download: the vessel is missing, the aneurysm of the same name is there."""
    for rows in (
        table(("train", 0, "vessel/A.obj"), ("train", 1, "aneurysm/A.obj")),
        table(("train", 0, "A", "0"), ("train", 1, "A", "1")),
    ):
        sample = Sample(key="aneurysm/A.obj", label="1")
        assert [one.row.index for one in order.apply(rows, [sample], {})] == [0]
        assert (sample.index, sample.reason) == (1, "")


def test_equal_stems_are_told_apart_by_kept_splits():
    samples = [
        Sample(key="train/CNV-1-1.jpeg", label="0", source_split="train"),
        Sample(key="test/CNV-1-1.jpeg", label="0", source_split="test"),
    ]
    rows = table(("val", 3, "CNV-1-1"), ("test", 4, "CNV-1-1"))
    assert order.apply(rows, samples, {"test": "test"}) == []
    assert [(one.split, one.index) for one in samples] == [("val", 3), ("test", 4)]


def test_what_stays_ambiguous_is_named_not_guessed():
    samples = [Sample(key="vessel/A.obj", label="0"), Sample(key="aneurysm/A.obj", label="1")]
    unmatched = order.apply(table(("train", 0, "A"), ("val", 0, "A", "7")), samples, {})
    assert unmatched[0].reason == "ambiguous: vessel/A.obj, aneurysm/A.obj"
    assert unmatched[1].reason == "no raw file of that name"
    assert all(one.reason == "not-published" and not one.split for one in samples)


def test_a_missing_file_is_not_its_namesake():
    """With part of the raws a stem may fit one sample and still be another's."""
    rows = table(("train", 0, "vessel/A.obj", "0"), ("val", 0, "aneurysm/A.obj", "1"), ("val", 1, "vessel/B.obj", "0"))
    for rows_given in (rows, Table("t", [Row(row.split, row.index, row.image_id) for row in rows.rows[:2]])):
        samples = [Sample(key="aneurysm/A.obj", label="1"), Sample(key="aneurysm/B.obj", label="1")]
        unmatched = order.apply(rows_given, samples, {})
        assert [one.row.image_id for one in unmatched] == ["vessel/A.obj", "vessel/B.obj"][: len(rows_given.rows) - 1]
        assert [(one.split, one.released_index) for one in samples] == [("val", "0"), ("", "")]


def test_a_key_is_believed_whatever_the_label():
    samples = [Sample(key="vessel/A.obj", label="0")]
    assert order.apply(table(("val", 4, "vessel/A.obj", "1")), samples, {}) == []
    assert (samples[0].split, samples[0].released_index) == ("val", "4")


def test_two_rows_of_one_sample_are_refused():
    with pytest.raises(PreprocessError, match=r"val 1 and train 0 both name x/a.png"):
        order.apply(table(("train", 0, "a"), ("val", 1, "x/a.png")), [Sample(key="x/a.png")], {})


def test_rows_without_sample_and_samples_without_row():
    samples = [Sample(key="a"), Sample(key="b")]
    unmatched = order.apply(table(("train", 0, "a"), ("train", 1, "zebra")), samples, {})
    assert [(one.row.image_id, one.reason) for one in unmatched] == [("zebra", "no raw file of that name")]
    assert (samples[1].reason, samples[1].split) == ("not-published", "")


def test_a_missing_file_keeps_its_published_place():
    samples = [Sample(key="a", reason="missing", detail="gone"), Sample(key="b")]
    order.apply(table(("train", 0, "a"), ("train", 1, "b")), samples, {})
    assert [(one.split, one.index, one.reason) for one in samples] == [("train", 0, "missing"), ("train", 1, "")]


# ---- in a split


def population() -> list[Sample]:
    return [Sample(key=f"ISIC_{i:07}", label=str(i % 7), group=f"HAM_{i // 2}") for i in range(70)]


def shuffled_table() -> Table:
    names = [f"isic_{i:07}.jpg" for i in range(70)]
    random.Random(1).shuffle(names)
    return table(*(("train" if i < 50 else "val" if i < 60 else "test", i if i < 50 else i % 10, name)
                   for i, name in enumerate(names)))  # fmt: skip


def places(samples: list[Sample]) -> dict[tuple[str, int], str]:
    return {(one.split, one.index): one.key.lower() + ".jpg" for one in samples}


def test_released_follows_the_table_and_paper_does_not():
    rows = shuffled_table()
    published = {(row.split, row.index): row.image_id for row in rows.rows}
    released = split.assign(recipe.load("dermamnist", "released"), population(), 42, rows)
    assert places(released.samples) == published
    assert all(one.released_index == str(one.index) for one in released.samples)
    paper = split.assign(recipe.load("dermamnist", "paper"), population(), 42, rows)
    assert places(paper.samples) != published
    assert not any(one.released_index for one in paper.samples)


def test_without_a_table_released_is_the_rule_and_seeded():
    done = split.assign(recipe.load("dermamnist", "released"), population(), 42)
    assert sum(one.split == "train" for one in done.samples) == 7 * 7
    assert places(done.samples) != places(split.assign(recipe.load("dermamnist", "released"), population(), 43).samples)


def test_a_split_of_the_users_own_sets_the_table_aside():
    in_force = recipe.load("dermamnist", "released", {"split.group_by": "group"})
    done = split.assign(in_force, population(), 42, shuffled_table())
    found: dict[str, set[str]] = {}
    for one in done.samples:
        found.setdefault(one.group, set()).add(one.split)
    assert all(len(splits) == 1 for splits in found.values())


def test_rows_nobody_has_are_counted():
    rows = shuffled_table()
    done = split.assign(recipe.load("dermamnist", "released"), population()[:60], 42, rows)
    assert len(done.unmatched) == 10
