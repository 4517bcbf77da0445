"""Pairs of a published row and a raw sample: equal pixels told apart, near ones with a margin, the rest named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preprocess import recipe
from preprocess.match import features, pairs
from preprocess.match.features import Candidates, Published
from preprocess.table import Sample
from tests.builds import store

SPLITS = ("train", "val", "test")


class Sets:
    """Published rows and raw samples of made images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.random = np.random.default_rng(3)
        self.samples: list[Sample] = []
        self.raw: list[np.ndarray] = []
        self.rows: list[tuple[str, str, np.ndarray]] = []

    def image(self) -> np.ndarray:
        return self.random.integers(0, 256, (8, 8), np.uint8)

    def sample(self, key: str, label: str, image: np.ndarray, source_split: str = "") -> np.ndarray:
        self.samples.append(Sample(key=key, label=label, source_split=source_split))
        self.raw.append(image)
        return image

    def row(self, split: str, label: str, image: np.ndarray) -> None:
        self.rows.append((split, label, image))

    def find(self, keep: dict[str, str] | None = None) -> list[pairs.Pair]:
        rows = sorted(self.rows, key=lambda row: SPLITS.index(row[0]))
        counts = dict.fromkeys(SPLITS, 0)
        places = []
        for split, _, _ in rows:
            places.append((split, counts[split]))
            counts[split] += 1
        images = np.stack([image for _, _, image in rows])
        digests = [features.digest(image) for image in images]
        theirs = Published(places, [row[1] for row in rows], digests, store(self.folder / "p", images))
        ours = Candidates([features.digest(one) for one in self.raw], store(self.folder / "r", np.stack(self.raw)))
        return pairs.find(theirs, ours, self.samples, keep or {})


@pytest.fixture
def sets(tmp_path):
    return Sets(tmp_path)


def found(sets: Sets, pair: pairs.Pair) -> str:
    return sets.samples[pair.sample].key if pair.sample >= 0 else ""


def test_equal_pixels_are_told_apart_by_label(sets):
    twin = sets.sample("benign (433)", "1", sets.image())
    sets.sample("malignant (145)", "0", twin)
    sets.row("train", "0", twin)
    sets.row("test", "1", twin)
    first, second = sets.find()
    assert (found(sets, first), found(sets, second)) == ("malignant (145)", "benign (433)")
    assert first.how == second.how == "exact"
    assert not first.others and not first.note


def test_equal_pixels_are_told_apart_by_the_split_the_source_keeps(sets):
    twin = sets.sample("train/a", "0", sets.image(), "train")
    sets.sample("test/a", "0", twin, "test")
    sets.row("test", "0", twin)
    sets.row("val", "0", twin)
    val, test = sets.find({"test": "test"})
    assert (found(sets, val), found(sets, test)) == ("train/a", "test/a")


def test_what_cannot_be_told_apart_is_named(sets):
    twin = sets.sample("a", "0", sets.image())
    sets.sample("b", "0", twin)
    sets.row("train", "0", twin)
    (pair,) = sets.find()
    assert (found(sets, pair), pair.others) == ("a", ("b",))


def test_one_raw_is_one_row(sets):
    twin = sets.sample("a", "0", sets.image())
    sets.row("train", "0", twin)
    sets.row("test", "1", twin)
    first, second = sets.find()
    assert found(sets, first) == "a"
    assert found(sets, second) == ""
    assert "a, which is train 0" in second.note


def test_a_changed_label_is_named(sets):
    sets.row("val", "1", sets.sample("a", "0", sets.image()))
    (pair,) = sets.find()
    assert found(sets, pair) == "a"
    assert pair.note == "label differs: published 1, raw 0"


def test_the_nearest_needs_a_margin(sets):
    for name in "abcdef":
        sets.sample(name, "0", sets.image())
    near = sets.raw[2].copy()
    near[0] ^= 7
    between = ((sets.raw[0].astype(int) + sets.raw[1]) // 2).astype(np.uint8)
    sets.row("train", "0", near)
    sets.row("train", "0", between)
    first, second = sets.find()
    assert (found(sets, first), first.how) == ("c", "nearest")
    assert 0 < first.margin < 0.2
    assert found(sets, second) == ""
    assert second.closest in ("a", "b")
    assert "hardly farther" in second.note


def test_the_closer_of_two_rows_gets_the_sample(sets):
    for name in "abcdef":
        sets.sample(name, "0", sets.image())
    for bits in (15, 1):
        image = sets.raw[3].copy()
        image[0] ^= bits
        sets.row("train", "0", image)
    far, close = sets.find()
    assert (found(sets, far), found(sets, close)) == ("", "d")
    assert far.note == "the nearest is d, which is train 1"


def test_a_wrong_pixel_and_swapped_rows_are_seen(sets):
    images = [sets.sample(name, "0", sets.image()) for name in "abcdef"]
    spoilt = images[1].copy()
    spoilt[3, 3] ^= 1
    for image in (images[0], spoilt, images[3], images[2]):
        sets.row("train", "0", image)
    assert [(found(sets, pair), pair.how) for pair in sets.find()] == [
        ("a", "exact"), ("b", "nearest"), ("d", "exact"), ("c", "exact"),
    ]  # fmt: skip


def test_the_lie_of_volumes_is_found(tmp_path):
    about = recipe.load("vesselmnist3d", "released")
    random = np.random.default_rng(5)
    volumes = (random.random((30, 7, 7, 7)).repeat(4, 1).repeat(4, 2).repeat(4, 3) * 255).astype(np.uint8)
    lying = np.stack([volume.transpose(1, 2, 0)[::-1] for volume in volumes[:20]])
    theirs = Published([], [], [features.digest(one) for one in lying], store(tmp_path / "p", lying))
    ours = Candidates([features.digest(one) for one in volumes], store(tmp_path / "r", volumes))
    assert pairs.probe(about, theirs, ours, 28, 1) == "1r,2,0"
    as_they_are = Published([], [], ours.digests, store(tmp_path / "s", volumes))
    assert pairs.probe(about, as_they_are, ours, 28, 1) == "0,1,2"
