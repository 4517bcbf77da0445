"""A split that keeps together what looks alike: planted copies across classes and splits, from raw files to arrays."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from preprocess import recipe
from preprocess.errors import PreprocessError
from preprocess.plan.plan import Plan
from preprocess.table import read_rows
from tests.builds import build, image
from tests.test_workflow import ROOT, jobs, snakemake

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"
BY_LOOKS = {"split.group_by": "duplicates"}
MADE = {
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.85),
    "turned": lambda picture: picture.rotate(90, expand=True),
    "mirrored and turned": lambda picture: picture.transpose(Image.Transpose.TRANSPOSE),
    "identical": lambda picture: picture,
}


def plant(tree: Path) -> set[frozenset[str]]:
    """Put changed copies of some pictures in the place of others, of another class too; give what belongs together."""
    together = []
    for number, (how, change) in enumerate(MADE.items(), 1):
        copies = [("benign", number), ("malignant", number), ("benign", number + 10)]
        with Image.open(image(tree, *copies[0])) as picture:
            original = picture.convert("L")
        change(original).save(image(tree, *copies[1]))
        if how == "darker":  # a copy of the copy
            change(change(original)).save(image(tree, *copies[2]))
        else:
            copies.pop()
        together.append(frozenset(f"{label}/{label} ({which}).png" for label, which in copies))
    return set(together)


def clusters(samples: list[dict[str, str]]) -> dict[str, set[str]]:
    """The keys of each cluster of a table of samples."""
    found: dict[str, set[str]] = {}
    for row in samples:
        if row["cluster"]:
            found.setdefault(row["cluster"], set()).add(row["key"])
    return found


def test_planted_copies_are_in_one_split_end_to_end(tree, tmp_path):
    together = plant(tree)
    split_by_rule = build("breastmnist", tree, tmp_path / "rule", census="warn")
    before = {row["key"]: row["split"] for row in split_by_rule.samples}
    assert any(len({before[key] for key in keys}) > 1 for keys in together)
    (told,) = [one for one in split_by_rule.findings if one["check"] == "near-duplicates" and one["level"] == "warning"]
    assert re.search(r"of them mirrored|of them turned", told["text"])
    pairs = list(read_rows(split_by_rule.folder / "duplicates.tsv"))
    turns = {(row["first"], row["second"]): row["turn"] for row in pairs}
    assert {frozenset(pair) for pair in turns} >= {keys for keys in together if len(keys) == 2}
    # of a quarter turn either of the two may be the first
    assert set(turns.values()) - {"turned 90", "turned 270"} == {"identical", "mirrored", "same", "mirrored, turned 90"}

    done = build("breastmnist", tree, tmp_path / "alike", census="warn", overrides=BY_LOOKS)
    assert {frozenset(keys) for keys in clusters(done.samples).values()} == together
    where = {row["key"]: row["split"] for row in done.samples}
    assert all(len({where[key] for key in keys}) == 1 for keys in together)
    assert where.keys() == before.keys()
    checks = {(one["check"], one["level"]): one["text"] for one in done.findings}
    members = sum(map(len, together))
    assert checks["clusters", "information"] == (
        f"{len(together)} clusters of near duplicates at 28 are each in one split: {members} samples, the largest of 3"
    )
    assert ("near-duplicates", "warning") not in checks
    # the pixels are the same, each where its row says
    rendered, again = split_by_rule.images(28), done.images(28)
    assert rendered.keys() == again.keys()
    assert all(np.array_equal(rendered[key], again[key]) for key in rendered)
    # neither the sizes nor the number of shards concern the split
    other = build("breastmnist", tree, tmp_path / "other", census="warn", overrides=BY_LOOKS, sizes=(40,), shards=5)
    assert (other.folder / "split.tsv").read_bytes() == (done.folder / "split.tsv").read_bytes()
    assert other.npz(40).exists()
    assert not (other.folder / "shards" / "0" / "28.npy").exists()
    assert {row["upsampled"] for row in other.samples} <= {"", "40"}


def test_volumes_are_rendered_first_too(stand_in, builder):
    plain = builder("vesselmnist3d", stand_in("intra"))
    done = builder("vesselmnist3d", stand_in("intra"), overrides=BY_LOOKS)
    models: dict[str, set[str]] = {}
    for row in done.samples:
        models.setdefault(row["group"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in models.values())  # groups of the source stay together as well
    assert {row["key"] for row in done.samples} == {row["key"] for row in plain.samples}


# ---- what is made of it


def make(**config: object) -> Plan:
    return Plan(config, SCHEMA)


def test_render_comes_before_split_where_the_split_rests_on_it():
    plan = make(overrides={"breastmnist": BY_LOOKS})
    assert plan.recipe("breastmnist").renders_first
    assert plan.rendered_from("breastmnist").endswith("index.tsv")
    assert plan.alike("breastmnist")
    assert make().alike("breastmnist") is None
    assert make().rendered_from("breastmnist").endswith("split.tsv")
    # out of force: the samples are placed otherwise
    assert not recipe.load("chestmnist", "paper", BY_LOOKS).renders_first


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        ({"seed": 7}, {"split", "collect", "pack"}),
        ({"overrides": {"breastmnist": {**BY_LOOKS, "split.ratio": "8:1:1"}}}, {"split", "collect", "pack"}),
        (
            {"overrides": {"breastmnist": {**BY_LOOKS, "kernel": "box"}}},
            {"render", "alike", "split", "collect", "pack"},
        ),
    ],
)
def test_a_digest_covers_what_comes_before(change, concerned):
    before = make(overrides={"breastmnist": BY_LOOKS})
    after = make(**{"overrides": {"breastmnist": BY_LOOKS}, **change})
    stages = ("index", "render", "alike", "split", "collect", "pack")
    changed = {stage for stage in stages if before.current(stage, "breastmnist") != after.current(stage, "breastmnist")}
    assert changed == concerned


def test_a_rehearsal_of_it_is_refused():
    with pytest.raises(PreprocessError, match=r"breastmnist: split\.group_by duplicates: all samples would have to be"):
        make(overrides={"breastmnist": BY_LOOKS}, rehearsal=50)


@pytest.mark.workflow
def test_one_command_builds_it_and_a_size_more_splits_nothing_again(folder):
    words = ("breastmnist", "--config", "overrides={breastmnist: {split.group_by: duplicates}}")
    snakemake(folder, *words)
    out = folder / "results" / "miniature" / "paper+split.group_by=duplicates"
    assert (out / "breastmnist.npz").is_file()
    assert "cluster" in next(read_rows(out / "breastmnist.samples.tsv"))
    assert (out / "splits" / "breastmnist" / "grouped.tsv").is_file()
    said = snakemake(folder, *words, "--dry-run")
    assert "Nothing to be done" in said
    more = jobs(snakemake(folder, *words, "sizes=[28,40]", "--dry-run"))
    assert {"render", "pack", "check"} <= more
    assert not {"index", "alike", "split", "collect"} & more
