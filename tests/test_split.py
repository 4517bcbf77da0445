"""Splits: the cuts against published counts, and what must hold of every rule."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess import recipe, split
from preprocess.errors import PreprocessError
from preprocess.recipe import Choice
from preprocess.table import Sample

#: dataset: ratio, raw images a class after merging, published train and val a class. From the public raw
#: collections' class sizes and the published files' label counts; no number here comes from this code.
PUBLISHED = {
    "pathmnist": (
        "9:1", [10407, 10566, 11512, 11557, 8896, 13536, 8763, 10446, 14317],
        [9366, 9509, 10360, 10401, 8006, 12182, 7886, 9401, 12885],
        [1041, 1057, 1152, 1156, 890, 1354, 877, 1045, 1432],
    ),
    "pneumoniamnist": ("9:1", [1349, 3883], [1214, 3494], [135, 389]),
    "dermamnist": (
        "7:1:2", [327, 514, 1099, 115, 1113, 6705, 142],
        [228, 359, 769, 80, 779, 4693, 99], [33, 52, 110, 12, 111, 671, 14],
    ),
    "bloodmnist": (
        "7:1:2", [1218, 3117, 1551, 2895, 1214, 1420, 3329, 2348],
        [852, 2181, 1085, 2026, 849, 993, 2330, 1643], [122, 312, 155, 290, 122, 143, 333, 235],
    ),
    "breastmnist": ("7:1:2", [210, 570], [147, 399], [21, 57]),
    "vesselmnist3d, to 2.2.3": ("7:1:2", [1694, 215], [1185, 150], [170, 22]),
}  # fmt: skip
#: only the totals are published
TOTALS = {
    "octmnist": ("9:1", [37205, 11348, 8616, 51140], [97477, 10832]),
    "synapsemnist3d": ("7:1:2", [474, 1285], [1230, 177, 352]),
}
SPLITS = ("train", "val", "test")


def make(group: str = "patient", **decisions: object) -> recipe.Recipe:
    """A recipe with just the decisions a split asks for; double underscores stand for dots."""
    given = {"split.rule": "per-class", "split.ratio": "7:1:2", "split.group_by": "none", "split.keep": {},
             "order": "seeded"} | {key.replace("__", "."): value for key, value in decisions.items()}  # fmt: skip
    overridden = frozenset({"split.file"} & set(given))
    choices = {key: Choice(value, "assumed", "test") for key, value in given.items()}
    any_recipe = recipe.load("breastmnist", "paper")
    dataset = dataclasses.replace(any_recipe.dataset, name="test", group=group)
    return dataclasses.replace(any_recipe, dataset=dataset, decisions=choices, overridden=overridden)


def sample(key: str, label: str = "0", group: str = "", **more: str) -> Sample:
    return Sample(key=key, label=label, group=group, **more)  # type: ignore[arg-type]


def places(outcome: split.Outcome) -> dict[str, tuple[str, int]]:
    return {one.key: (one.split, one.index) for one in outcome.samples}


# ---- cuts


@pytest.mark.parametrize("name", PUBLISHED)
def test_cuts_give_the_published_counts_of_every_class(name):
    ratio, raw, train, val = PUBLISHED[name]
    for n, first, second in zip(raw, train, val, strict=True):
        ends = split.cuts(n, ratio)
        assert ends[:2] == [first, first + second]
        assert ends[-1] == n


@pytest.mark.parametrize("name", TOTALS)
def test_cuts_give_the_published_totals(name):
    ratio, raw, totals = TOTALS[name]
    sizes = [np.diff([0, *split.cuts(n, ratio)]) for n in raw]
    assert np.sum(sizes, axis=0).tolist() == totals


def test_monocytes_are_cut_in_doubles():
    assert split.cuts(1420, "7:1:2") == [993, 1136, 1420]
    assert 7 * 1420 // 10 == 994  # what exact arithmetic would give


def test_shares_are_the_literal_doubles():
    for n in range(20_000):
        assert split.cuts(n, "7:1:2") == [int(0.7 * n), int(0.8 * n), n]
        assert split.cuts(n, "9:1") == [int(0.9 * n), n]


@given(st.integers(0, 10**6), st.lists(st.integers(1, 20), min_size=2, max_size=3))
def test_cuts_are_within_one_of_the_ratio(n, parts):
    ends = split.cuts(n, ":".join(map(str, parts)))
    assert len(ends) == len(parts)
    assert ends == sorted(ends)
    assert ends[-1] == n
    for end, share in zip(ends, np.cumsum(parts) / sum(parts), strict=True):
        assert abs(end - share * n) <= 1


# ---- per class


@st.composite
def grouped(draw):
    """Labels and groups of some keys: groups of any size, labels mixed within a group."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=60))
    labels: dict[str, str] = {}
    groups: dict[str, str] = {}
    for group, size in enumerate(sizes):
        for i in range(size):
            labels[f"{group}-{i}"] = str(draw(st.integers(0, 11)))
            groups[f"{group}-{i}"] = f"g{group}"
    return labels, groups


def class_of(group: str, labels: dict[str, str], groups: dict[str, str]) -> int:
    """The most frequent label of a group, the lowest of equals; written anew for the test."""
    found = [int(labels[key]) for key in groups if groups[key] == group]
    return min(found, key=lambda label: (-found.count(label), label))


@settings(max_examples=60, deadline=None)
@given(grouped(), st.sampled_from(["7:1:2", "9:1", "8:2", "1:1:1"]), st.integers(0, 2**32 - 1), st.randoms())
def test_per_class(case, ratio, seed, shuffler):
    labels, groups = case
    found = split.per_class(labels, groups, ratio, seed)
    assert found.keys() == labels.keys()
    split_of_group = {groups[key]: found[key] for key in found}
    assert all(split_of_group[groups[key]] == found[key] for key in found), "a group is in two splits"
    classes: dict[int, list[str]] = {}
    for group in split_of_group:
        classes.setdefault(class_of(group, labels, groups), []).append(group)
    parts = [int(part) for part in ratio.split(":")]
    for members in classes.values():
        for name, part in zip(SPLITS, parts, strict=False):
            size = sum(split_of_group[group] == name for group in members)
            assert abs(size - len(members) * part / sum(parts)) <= 1
    keys = list(labels)
    shuffler.shuffle(keys)
    again = split.per_class({key: labels[key] for key in keys}, {key: groups[key] for key in keys}, ratio, seed)
    assert again == found, "the order of the files matters"


def test_per_class_is_frozen():
    # numpy.random.RandomState([42, 0]).permutation(10) is 5 0 6 4 2 7 3 1 8 9, its stream is frozen by numpy
    keys = [f"k{i}" for i in range(10)]
    found = split.per_class(dict.fromkeys(keys, "0"), {key: key for key in keys}, "7:1:2", 42)
    assert "".join(found[f"k{i}"][1] for i in [5, 0, 6, 4, 2, 7, 3]) == "r" * 7
    assert [found["k1"], found["k8"], found["k9"]] == ["val", "test", "test"]


def test_classes_are_ranked_by_number_not_by_text():
    # classes 2 and 10: the second class by number is cut by RandomState([42, 1]), 0 2 1 3 4
    keys = [f"k{i}" for i in range(5)]
    labels = {f"a{key}": "2" for key in keys} | {f"b{key}": "10" for key in keys}
    found = split.per_class(labels, {key: key for key in labels}, "2:1:2", 42)
    assert [found[f"bk{i}"] for i in [0, 2, 1, 3, 4]] == ["train", "train", "val", "test", "test"]


def test_a_group_may_belong_to_the_class_of_its_highest_label():
    # each group holds labels 0, 0 and 1: by the most frequent label all are of class 0, else of class 1
    groups = {f"g{i}-{j}": f"g{i}" for i in range(20) for j in range(3)}
    labels = {key: str(int(key.endswith("2"))) for key in groups}
    single = {f"x{i}": f"x{i}" for i in range(10)}
    groups, labels = groups | single, labels | dict.fromkeys(single, "0")
    for rule, sizes in (("most-frequent", [30]), ("highest", [10, 20])):
        found = split.per_class(labels, groups, "7:1:2", 3, rule)
        train = {groups[key] for key in groups if found[key] == "train"}
        assert len(train) == sum(int(0.7 * size) for size in sizes)
        of_single = sum(group.startswith("x") for group in train)
        assert rule != "highest" or of_single == 7


def test_seeds_differ():
    keys = [f"k{i}" for i in range(200)]
    labels, groups = dict.fromkeys(keys, "0"), {key: key for key in keys}
    results = [split.per_class(labels, groups, "7:1:2", seed) for seed in (0, 1, 42)]
    assert results[0] != results[1] != results[2] != results[0]


# ---- assign


def population() -> list[Sample]:
    return [sample(f"k{i:03}", str(i % 3), f"p{i // 4}") for i in range(120)]


def test_assign_numbers_every_split_from_zero():
    done = split.assign(make(), population(), 42)
    for name in SPLITS:
        assert sorted(index for one, index in places(done).values() if one == name) == list(
            range(sum(one == name for one, _ in places(done).values()))
        )


@pytest.mark.parametrize("order", ["seeded", "label-descending"])
@pytest.mark.parametrize("group_by", ["none", "group"])
def test_assign_does_not_depend_on_the_order_of_the_index(order, group_by):
    shuffled = population()
    random.Random(3).shuffle(shuffled)
    in_force = make(order=order, split__group_by=group_by)
    assert places(split.assign(in_force, population(), 7)) == places(split.assign(in_force, shuffled, 7))


def test_seeded_order_is_frozen():
    samples = [sample(f"k{i}", source_split="a") for i in range(7)]
    done = split.assign(make(split__keep={"a": "train"}), samples, 42)
    # numpy.random.RandomState([42, 2**31]).permutation(7)
    assert [one.key for one in sorted(done.samples, key=lambda one: one.index)] == [
        f"k{i}" for i in [0, 1, 4, 6, 5, 3, 2]
    ]


def test_order_source_keeps_the_index_and_label_descending_sorts():
    kept = split.assign(make(order="source"), population(), 42)
    members = [one for one in kept.samples if one.split == "train"]
    assert [one.index for one in members] == list(range(len(members)))
    sorted_by_label = split.assign(make(order="label-descending"), population(), 42)
    members = sorted((one for one in sorted_by_label.samples if one.split == "train"), key=lambda one: one.index)
    assert [one.label for one in members] == sorted((one.label for one in members), reverse=True)


def test_groups_stay_together_and_unknown_groups_stand_alone():
    samples = [*population(), sample("alone1", "0"), sample("alone2", "0")]
    done = split.assign(make(split__group_by="group"), samples, 42)
    found: dict[str, set[str]] = {}
    for one in done.samples:
        found.setdefault(one.group or one.key, set()).add(one.split)
    assert all(len(splits) == 1 for splits in found.values())
    assert all(one.split for one in done.samples)


def test_group_by_may_name_the_group():
    by_name = split.assign(make(split__group_by="patient"), population(), 42)
    assert places(by_name) == places(split.assign(make(split__group_by="group"), population(), 42))


@pytest.mark.parametrize(
    ("group", "group_by", "offered"),
    [
        ("none", "group", "none or duplicates, because its source publishes no group id"),
        ("none", "patient", "none or duplicates, because its source publishes no group id"),
        ("patient", "lesion", "none or patient or duplicates"),
    ],
)
def test_no_such_group(group, group_by, offered):
    with pytest.raises(PreprocessError, match=rf"split.group_by cannot be '{group_by}'; it can be {offered}$"):
        split.assign(make(group, split__group_by=group_by), population(), 42)


def test_what_looks_alike_stays_together_and_groups_with_it():
    """A cluster of two patients' pictures joins the patients; pictures of other labels are cut with the most."""
    samples = population()
    clusters = {"a": "a", "b": "a"}
    alike = [sample("a", "0", "p0"), sample("b", "1", "q"), sample("c", "1", "q"), sample("d", "2")]
    done = split.assign(make(split__group_by="duplicates"), [*samples, *alike], 42, clusters=clusters)
    found = {one.key: one.split for one in done.samples}
    of_patient = {found[one.key] for one in samples if one.group == "p0"}
    assert of_patient == {found["a"]} == {found["b"]} == {found["c"]}
    assert {one.key: one.attributes["cluster"] for one in done.samples if one.attributes["cluster"]} == clusters
    # without a cluster it is the split by groups
    by_group = split.assign(make(split__group_by="group"), population(), 42)
    alone = split.assign(make(split__group_by="duplicates"), population(), 42, clusters={})
    assert Counter(one.split for one in alone.samples) == Counter(one.split for one in by_group.samples)


def test_what_looks_like_a_kept_sample_goes_where_it_is_kept():
    samples = [sample(f"s{row:02}", str(row % 2)) for row in range(40)]
    samples += [sample("t0", "0", source_split="test"), sample("v0", "1", source_split="val")]
    clusters = {"s03": "s03", "s08": "s03", "t0": "s03", "s20": "s20", "s21": "s20", "v0": "v0"}
    in_force = make(
        "none", split__group_by="duplicates", split__keep={"test": "test", "val": "val"}, split__ratio="9:1"
    )
    for order in (samples, samples[::-1]):
        done = split.assign(in_force, [dataclasses.replace(one) for one in order], 1, clusters=clusters)
        found = {one.key: one.split for one in done.samples}
        assert found["s03"] == found["s08"] == found["t0"] == "test"
        assert found["s20"] == found["s21"]
        assert found["v0"] == "val"
        assert Counter(found.values())["test"] == 3


def test_kept_splits_are_kept_and_the_rest_is_cut():
    samples = population() + [sample(f"t{i}", "0", "p0", source_split="test") for i in range(9)]
    done = split.assign(make(split__ratio="9:1", split__keep={"test": "test"}), samples, 42)
    assert {one.key for one in done.samples if one.split == "test"} == {f"t{i}" for i in range(9)}
    assert sum(one.split == "train" for one in done.samples) == 3 * int(0.9 * 40)


def test_official():
    keep = {"training": "train", "tuning": "val", "holdout": "test"}
    samples = [sample(f"{name}{i}", source_split=name) for name in keep for i in range(3)]
    done = split.assign(make(split__rule="official", split__keep=keep), samples, 42)
    assert all(one.split == keep[one.source_split] for one in done.samples)
    with pytest.raises(PreprocessError, match="stray has no split of the source's own"):
        split.assign(make(split__rule="official", split__keep=keep), [*samples, sample("stray")], 42)


def test_late_exclusions_keep_their_place_and_early_ones_have_none():
    whole = places(split.assign(make(), population(), 42))
    samples = population()
    samples[5].reason, samples[50].reason = "missing", "unreadable"
    assert places(split.assign(make(), samples, 42)) == whole
    samples = [*population(), sample("dropped", "0", reason="class-dropped")]
    assert places(split.assign(make(), samples, 42)) == {**whole, "dropped": ("", -1)}


# ---- lists


def test_a_list_of_the_project_places_patients():
    # patients of the public CheXNet lists
    names = {"00001522": "train", "00023313": "train", "00028178": "val", "00011997": "test"}
    samples = [sample(f"{patient}_000.png", "0 1", patient) for patient in names]
    done = split.assign(
        make(split__rule="list", split__list="chestmnist"), [*samples, sample("x", "0 0", "99999999")], 42
    )
    assert {one.group: one.split for one in done.samples if one.key != "x"} == names
    stranger = done.samples[-1]
    assert (stranger.split, stranger.reason) == ("", "not-published")


def with_file(tmp_path, text: str, name: str = "mine.csv", **decisions: object) -> recipe.Recipe:
    (tmp_path / name).write_bytes(text.encode())
    return make(split__file=str(tmp_path / name), **decisions)


@pytest.mark.parametrize(
    "text",
    [
        "key,split\nA/One.png,train\nB/two.png,val\nthree,test\n",
        "\ufeffkey,split\r\nA/One.png,train\r\nB/two.png,val\r\nthree,test\r\n",
        "# mine\nsplit,image_id,more\ntrain,One,1\nval,TWO.PNG,2\ntest,sub/three.jpg,3\n",
        "key\tsplit\nA/One.png\ttrain\ntwo\tval\nthree\ttest\n",
        "group,split\np1,train\np2,val\np3,test\n",
    ],
)
def test_a_users_file_names_keys_stems_or_groups(tmp_path, text):
    samples = [sample("A/One.png", group="p1"), sample("B/two.png", group="p2"), sample("three", group="p3"),
               sample("four", group="p4")]  # fmt: skip
    done = split.assign(with_file(tmp_path, text), samples, 42)
    assert [one.split for one in done.samples] == ["train", "val", "test", ""]
    assert done.samples[3].reason == "not-published"


def test_a_users_file_overrules_rule_and_kept_splits(tmp_path):
    text = "key,split\na,val\nb,train\n"
    in_force = with_file(tmp_path, text, split__rule="official", split__keep={"t": "test"})
    samples = [sample("a", source_split="t"), sample("b", source_split="t")]
    assert [one.split for one in split.assign(in_force, samples, 42).samples] == ["val", "train"]


def test_a_key_is_not_taken_for_the_stem_of_another(tmp_path):
    samples = [sample("vessel/AN1.obj"), sample("aneurysm/AN1.obj")]
    done = split.assign(with_file(tmp_path, "key,split\nvessel/AN1.obj,train\n"), samples, 42)
    assert [one.split for one in done.samples] == ["train", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,part\na,train\n", "needs a column split"),
        ("name,split\na,train\n", "needs a column split"),
        ("", "needs a column split"),
        ("key,split\na,training\n", "'training' of a is not one of train, val, test"),
        ("key,split\na,train\na,test\n", "a is in two splits"),
        ("key,split\n,train\n", "has no key"),
        ("key,split\nzebra,train\n", "names no key and no group"),
        ("key,split\nb,train\n", "'b' may be any of x/b.png, y/b.png"),
        ("key,split\nz/a.png,train\nw/A.jpg,test\n", "'a' may be any of a"),
    ],
)
def test_a_users_file_that_cannot_be_right(tmp_path, text, message):
    with pytest.raises(PreprocessError, match=message):
        split.assign(with_file(tmp_path, text), [sample("a"), sample("x/b.png"), sample("y/b.png")], 42)


def test_a_users_file_that_is_not_there(tmp_path):
    with pytest.raises(PreprocessError, match=r"split\.file must name a table"):
        split.assign(make(split__file=str(tmp_path / "none.csv")), population(), 42)


def test_rows_of_a_users_file_that_name_nothing_are_said_and_listed(tmp_path, caplog):
    text = "key,split\na,train\nzebra,val\nb,val\nold/lion.png,test\ngone,train\n"
    gone = sample("gone")
    gone.reason = "class-dropped"
    done = split.assign(with_file(tmp_path, text), [sample("a"), sample("b"), gone], 42)
    assert [(one.row.split, one.row.image_id) for one in done.unmatched] == [("val", "zebra"), ("test", "old/lion.png")]
    assert "2 of 5 rows name no sample, the first is zebra" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "key,split\nx/a.png,train\np1,val\n",  # by its key and by its group
        "key,split\nx/a.png,train\na,val\n",  # by its key and by its name
        "key,split\np1,train\na,val\n",  # by its group and by its name
    ],
)
def test_a_sample_in_two_splits_of_a_users_file_is_refused(tmp_path, text):
    with pytest.raises(PreprocessError, match=r"x/a\.png is in two splits"):
        split.assign(with_file(tmp_path, text), [sample("x/a.png", group="p1"), sample("b", group="p2")], 42)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_users_file_may_be_saved_anyhow(tmp_path, encoding, separator):
    text = "key,split\nNiño/a.png,train\nb,val\n".replace(",", separator)
    (tmp_path / "mine.csv").write_bytes(text.encode(encoding))
    done = split.assign(make(split__file=str(tmp_path / "mine.csv")), [sample("Niño/a.png"), sample("b")], 42)
    assert [one.split for one in done.samples] == ["train", "val"]


def test_a_split_that_leaves_train_empty_is_an_error(tmp_path):
    with pytest.raises(PreprocessError, match=r"mine\.csv leaves train without a sample of the 2 there are"):
        split.assign(with_file(tmp_path, "key,split\na,val\nb,test\n"), [sample("a"), sample("b")], 42)
    in_force = make(split__rule="official", split__keep={"t": "test"})
    with pytest.raises(PreprocessError, match=r"split\.rule official leaves train without a sample"):
        split.assign(in_force, [sample("a", source_split="t")], 42)


def test_lists_of_scans():
    for name, test in (("organ_paper", 70), ("organ_released", 69)):
        listed = split._project_list(name)
        assert Counter(listed.values()) == {"train": 115, "val": 16, "test": test}
        assert (listed["train-114"], listed["train-115"]) == ("train", "val")
    assert set(split._project_list("organ_paper")) - set(split._project_list("organ_released")) == {"test-59"}
