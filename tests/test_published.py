"""The facts about published files: their checksums, editions and counts, against what was typed from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess import npz, published, recipe
from preprocess.reading.picture import Picture
from preprocess.render import bind

SPLITS = ("train", "val", "test")
#: MD5s as the medmnist package prints them, typed here from its info.py
KNOWN = {
    "breastmnist": (28, "750601b1f35ba3300ea97c75c52ff8f6"),
    "breastmnist_224": (224, "b56378a6eefa9fed602bb16d192d4c8b"),
    "vesselmnist3d": (28, "b41fd4f7e7e2feedddb201585ecafa1b"),
    "synapsemnist3d_64": (64, "43bd14ebf3af9d3dd072446fedc14d5e"),
    "organsmnist_128": (128, "ded0c5fa01a95dc4978b956f613e9b8e"),
}


def test_paper_counts_add_up_to_the_totals_the_paper_prints():
    """'708,069 2D images and 9,998 3D images in total': Scientific Data 10:41, abstract."""
    totals = {2: 0, 3: 0}
    for name in published.datasets():
        totals[recipe.read(name)["dimensions"]] += sum(one.rows for one in published.paper(name).counts.values())
    assert totals == {2: 708_069, 3: 9_998}


def test_sixty_files_and_six_older_ones():
    current = [published.current(name).md5 for name in published.datasets()]
    assert len(current) == 18
    assert sum(map(len, current)) == 60
    everything = [md5 for name in published.datasets() for one in published.editions(name) for md5 in one.md5.values()]
    assert len(everything) == len(set(everything)) == 66
    assert all(len(md5) == 32 and int(md5, 16) for md5 in everything)


@pytest.mark.parametrize("stem", KNOWN)
def test_a_file_is_known_by_its_md5(stem):
    size, md5 = KNOWN[stem]
    found = published.identify(md5)
    assert (found.name, found.size, found.md5) == (f"{stem}.npz", size, md5)
    assert published.file(stem.partition("_")[0], size) == found
    assert published.montage_name(found.dataset, size) == f"{stem}.png"


def test_an_older_file_is_told_from_the_present_one():
    older = published.identify("2ba5b80617d705141f3f85627108fce8")
    assert (older.dataset, older.edition.last, older.edition.counts["val"].rows) == ("vesselmnist3d", "2.2.3", 192)
    assert published.current("vesselmnist3d").counts["val"].rows == 191
    assert "2.0.0 to 2.2.3" in str(older)
    assert "3.0.0 and later" in str(published.file("breastmnist", 64))
    assert published.identify("0" * 32) is None


def test_classes_add_up():
    for name in published.datasets():
        for edition in published.editions(name):
            for split, counts in edition.counts.items():
                numbers = [one for one in counts.classes if isinstance(one, int)]
                if name != "chestmnist" and numbers and len(numbers) == len(counts.classes):
                    assert sum(numbers) == counts.rows, (name, split)
                assert bool(counts.classes) == bool(counts.evidence)
    assert published.current("chestmnist").counts["train"].none == 42405


@pytest.mark.parametrize("name", recipe.names())
def test_recipes_and_facts_agree(name):
    edition = published.current(name)
    assert {split: counts.rows for split, counts in edition.counts.items()} == recipe.read(name)["published"]


def test_counts_of_tissue_and_fracture_are_those_of_the_published_weights():
    """Typed from the public list of loss weights, which every proven count fits: sqrt(greatest / count)."""
    train = published.current("tissuemnist").counts["train"]
    assert train.classes == (53075, 7814, 5866, 15406, 11789, 7705, 39203, 24608)
    assert [published.current("tissuemnist").counts[split].evidence for split in SPLITS] == [
        "counts", "consistent", "consistent",
    ]  # fmt: skip
    for split, shares in {"val": (0.7, 0.8), "test": (0.8, 1)}.items():
        counts = published.current("tissuemnist").counts[split]
        for label, count in enumerate(counts.classes):
            # the class totals that give this train count by the published rule, and what they give elsewhere
            totals = [n for n in range(80_000) if int(0.7 * n) == train.classes[label]]
            possible = {int(shares[1] * n) - int(shares[0] * n) for n in totals}
            assert {int(one) for one in str(count).split("|")} <= possible, (split, label)
    assert published.current("fracturemnist3d").counts["train"].classes == (473, 383, 171)


@pytest.mark.real
def test_the_fingerprint_of_breast_is_that_of_its_224_file(real):
    """The published 28 file against the same originals at each size: deviation and mean grow as the table's do."""
    known = published.current("breastmnist").fingerprint
    reader = npz.Reader(real / "released" / "breastmnist.npz")
    at_28 = reader.array("train_images") / 255
    in_force = recipe.load("breastmnist", "released", {"gray": "luma"})
    figures = {}
    for size in (28, 64, 224):
        images = []
        for path in sorted((real / "busi").rglob("*.png")):
            if "_mask" not in path.name:
                image: object = Picture(path.read_bytes())
                for step in in_force.steps:
                    image = bind(in_force, step, size).function(image)
                images.append(image / 255)
        figures[size] = (np.mean(images), np.std(images))
    growth = {size: std / figures[28][1] for size, (_, std) in figures.items()}
    assert known.size == 224
    assert known.std / at_28.std() == pytest.approx(growth[224], abs=0.01)
    assert abs(known.std / at_28.std() - growth[64]) > 0.03
    assert known.mean / at_28.mean() == pytest.approx(figures[224][0] / figures[28][0], abs=1e-4)
