"""BUSI: the reader on its layouts, and the real images against the published file."""

from __future__ import annotations

import csv
import zipfile

import numpy as np
import pytest
from PIL import Image

from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw
from preprocess.sources import busi
from tests.builds import CommandError, build, unpack


@pytest.fixture
def archive(stand_in):
    return stand_in("busi") / "Dataset_BUSI.zip"


def test_archive_and_tree_give_the_same_samples(archive, tmp_path):
    packed = busi.index(Raw(archive.parent))
    unpacked = busi.index(Raw(unpack(archive, tmp_path)))
    assert [sample.key for sample in packed.samples] == [sample.key for sample in unpacked.samples]
    assert packed.census == unpacked.census
    assert all(
        busi.open(Raw(archive.parent), one) == busi.open(Raw(tmp_path), other)
        for one, other in zip(packed.samples, unpacked.samples, strict=True)
    )


def test_order_is_natural_and_masks_are_counted(archive):
    samples = busi.index(Raw(archive.parent)).samples
    benign = [sample.key for sample in samples if sample.original_label == "benign"]
    assert benign == [f"benign/benign ({number}).png" for number in range(1, len(benign) + 1)]
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if "mask" in name and "__MACOSX" not in name]
    assert sum(int(sample.attributes["masks"]) for sample in samples) == len(names)


def test_litter_is_ignored_and_strangers_are_told(archive, tmp_path):
    root = unpack(archive, tmp_path)
    (root / "Thumbs.txt").write_text("?")
    (root / "Dataset_BUSI_with_GT" / "benign" / "._benign (3).png").write_bytes(b"\0")
    listing = busi.index(Raw(root))
    assert listing.census == {"benign": 20, "malignant": 12, "normal": 8}
    assert "Thumbs.txt" in listing.notes[0]


def test_two_copies_that_differ_are_refused(archive, tmp_path):
    unpack(archive, tmp_path / "a")
    unpack(archive, tmp_path / "b")
    assert [sample.path[0] for sample in busi.index(Raw(tmp_path)).samples] == ["a"] * 40
    other = next((tmp_path / "b").rglob("benign (1).png"))
    other.write_bytes(other.read_bytes() + b"\0")
    with pytest.raises(PreprocessError, match=r"a/.*benign \(1\)\.png and b/.*benign \(1\)\.png have one name and"):
        busi.index(Raw(tmp_path))


def test_an_image_in_a_wrong_folder_is_refused(archive, tmp_path):
    tree = unpack(archive, tmp_path) / "Dataset_BUSI_with_GT"
    (tree / "benign" / "benign (2).png").rename(tree / "normal" / "benign (2).png")
    with pytest.raises(PreprocessError, match="a benign image in another class's folder"):
        busi.index(Raw(tmp_path))


def test_a_broken_image_stops_strict_and_is_excluded_under_warn(archive, tmp_path, capsys):
    tree = unpack(archive, tmp_path / "raw") / "Dataset_BUSI_with_GT"
    broken = tree / "malignant" / "malignant (4).png"
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(CommandError):
        build("breastmnist", tmp_path / "raw", tmp_path / "strict")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "malignant (4).png" in said[0]
    assert "cannot be decoded" in said[0]
    assert not list((tmp_path / "strict").rglob("*.npz"))

    whole = build("breastmnist", archive.parent, tmp_path / "whole")
    done = build("breastmnist", tmp_path / "raw", tmp_path / "warn", census="warn")
    assert [(row["key"], row["reason"]) for row in done.excluded] == [("malignant/malignant (4).png", "unreadable")]
    # the split is that of the full list: every other sample stays where it was
    where = {row["key"]: row["split"] for row in whole.samples}
    del where["malignant/malignant (4).png"]
    assert {row["key"]: row["split"] for row in done.samples} == where


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.999])
def test_a_cut_archive_always_stops(archive, tmp_path, keep, capsys):
    data = archive.read_bytes()
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "Dataset_BUSI.zip").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CommandError):
        build("breastmnist", tmp_path / "raw", tmp_path / "out", census="warn")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "Dataset_BUSI.zip: damaged or incomplete" in said[0]


# ---- real files


@pytest.fixture(scope="module")
def published(real):
    """The published 28-pixel images by key, from the order table and the published file."""
    with np.load(real / "released" / "breastmnist.npz") as file:
        arrays = {name: file[name] for name in file.files}
    with open(real / "released_order" / "breastmnist.csv") as table:
        return {row["image"]: arrays[f"{row['split']}_images"][int(row["index"])] for row in csv.DictReader(table)}


@pytest.mark.real
def test_real_images_equal_their_published_rows(real, published, builder):
    done = builder(
        "breastmnist", real / "busi", protocol="released", sizes=(28, 224), census="warn", miniature=False,
        order_table=real / "released_order" / "breastmnist.csv",
    )  # fmt: skip
    images = done.images(28)
    assert len(images) == 93
    assert [key for key, image in images.items() if not np.array_equal(image, published[key])] == []
    assert done.arrays(224)["train_images"].shape[1:] == (224, 224)
    for row in done.samples:
        assert row["released_index"].isdecimal()
    # rows keep the published order within their split
    for split in ("train", "val", "test"):
        places = [int(row["released_index"]) for row in done.samples if row["split"] == split]
        assert places == sorted(places)


@pytest.mark.real
@pytest.mark.parametrize(
    ("changed", "exact"),
    [
        ({"crop_rounding": "floor"}, False),
        ({"kernel": "bicubic"}, False),
        ({"crop": "none"}, False),
        ({"gray": "luma"}, False),
    ],
)
def test_any_other_decision_misses_published_rows(real, published, builder, changed, exact):
    done = builder(
        "breastmnist", real / "busi", protocol="released", census="warn", miniature=False, overrides=changed,
        order_table=real / "released_order" / "breastmnist.csv",
    )  # fmt: skip
    assert all(np.array_equal(image, published[key]) for key, image in done.images(28).items()) is exact


@pytest.mark.real
def test_strict_census_says_what_was_expected_and_found(real, tmp_path, capsys):
    with pytest.raises(CommandError):
        build("breastmnist", real / "busi", tmp_path, miniature=False)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "expected benign 437, malignant 210, normal 133, found benign 54, malignant 24, normal 15" in said[0]


@pytest.mark.real
def test_real_paper_protocol_squashes_with_the_cubic_kernel(real, builder):
    done = builder("breastmnist", real / "busi", census="warn", miniature=False, sizes=(64,))
    for key, image in list(done.images(64).items())[:10]:
        label, _, name = key.partition("/")
        picture = Image.open(real / "busi" / "Dataset_BUSI_with_GT" / label / name).convert("L")
        assert np.array_equal(image, np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC)))
