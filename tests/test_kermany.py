"""Kermany: the reader on every layout in circulation, the split sizes, and real X-rays against published rows."""

from __future__ import annotations

import csv
import io
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocess import recipe, sources, split
from preprocess.errors import PreprocessError
from preprocess.plan.plan import Plan
from preprocess.reading.archives import Raw
from preprocess.sources import kermany
from preprocess.table import Sample
from tests.builds import CommandError, build
from tests.conftest import ROOT

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"
PIXEL = io.BytesIO()
Image.new("L", (8, 8), 90).save(PIXEL, "JPEG")
JPEG = PIXEL.getvalue()

OCT3 = ["CellData/OCT/train/CNV/CNV-1016042-1.jpeg", "CellData/OCT/test/NORMAL/NORMAL-11419-2.jpeg"]
CHEST3 = [
    "CellData/chest_xray/train/NORMAL/NORMAL-1003233-0001.jpeg",
    "CellData/chest_xray/test/PNEUMONIA/VIRUS-1012-0003.jpeg",
]
CHEST2 = ["chest_xray/train/NORMAL/IM-0115-0001.jpeg", "chest_xray/test/PNEUMONIA/person1_virus_6.jpeg"]
VAL2 = ["chest_xray/val/NORMAL/NORMAL2-IM-1427-0001.jpeg", "chest_xray/val/PNEUMONIA/person1946_bacteria_4874.jpeg"]


def lay(folder, names, prefix=""):
    """Write one small JPEG under each name."""
    for name in names:
        path = folder / (prefix + name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)
    return folder


def zipped(path, names, prefix=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(prefix + name, JPEG)
    return path


def keys(folder, part):
    return sorted(sample.key for sample in kermany.index(Raw(folder), part).samples)


# ---- layouts


@pytest.mark.parametrize("part", ["oct", "chest"])
def test_archive_wrapped_archive_and_trees_give_the_same_samples(part, stand_in, tmp_path):
    archive = stand_in("kermany") / "ZhangLabData.zip"
    packed = kermany.index(Raw(archive.parent), part)
    for name in ("wrapped", "tree", "deeper"):
        (tmp_path / name).mkdir()
    with zipfile.ZipFile(tmp_path / "wrapped" / "rscbjbr9sj-3.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.write(archive, "Large Dataset of Labeled OCT and Chest X-Ray Images/ZhangLabData.zip")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "tree")
        file.extractall(tmp_path / "deeper" / "ZhangLabData")
    expected = {sample.key: kermany.open(Raw(archive.parent), sample) for sample in packed.samples}
    assert len(expected) == {"oct": 59, "chest": 43}[part]
    for name in ("wrapped", "tree", "deeper"):
        listing = kermany.index(Raw(tmp_path / name), part)
        assert listing.census == packed.census
        assert {sample.key: kermany.open(Raw(tmp_path / name), sample) for sample in listing.samples} == expected
        assert not listing.warnings


@settings(max_examples=30, deadline=None)
@given(
    folders=st.lists(st.text("abZ 2_-", min_size=1, max_size=6).filter(lambda name: name.strip()), max_size=3),
    depth=st.integers(0, 3),
    order=st.permutations([*OCT3, *CHEST3]),
)
def test_keys_do_not_depend_on_folders_archives_or_order(folders, depth, order):
    depth = min(depth, len(folders))
    with tempfile.TemporaryDirectory() as base:
        outer = Path(base).joinpath(*folders[:depth])
        zipped(outer / "any.zip", order, "".join(f"{folder}/" for folder in folders[depth:]))
        for part, names in (("oct", OCT3), ("chest", CHEST3)):
            assert keys(Path(base), part) == sorted("/".join(name.split("/")[2:]) for name in names)
            assert sources.is_present("kermany", Path(base), part=part)


def test_samples_lie_in_the_order_of_their_archive(stand_in):
    samples = kermany.index(Raw(stand_in("kermany")), "oct").samples
    with zipfile.ZipFile(stand_in("kermany") / "ZhangLabData.zip") as file:
        stored = [f"ZhangLabData.zip!/{name}" for name in file.namelist() if name.startswith("CellData/OCT/")]
    assert [sample.path for sample in samples] == stored


@pytest.mark.parametrize(
    ("name", "key", "label", "group"),
    [
        ("CellData/OCT/train/CNV/CNV-1016042-1.jpeg", "train/CNV/CNV-1016042-1.jpeg", "CNV", "1016042"),
        ("CellData/OCT/test/DME/DME-15307-3.JPEG", "test/DME/DME-15307-3.JPEG", "DME", "15307"),
        ("CellData/OCT/train/NORMAL/NORMAL-1016042-2.jpeg", "train/NORMAL/NORMAL-1016042-2.jpeg", "NORMAL", "1016042"),
    ],
)
def test_oct_names_tell_class_and_patient(tmp_path, name, key, label, group):
    (sample,) = kermany.index(Raw(lay(tmp_path, [name])), "oct").samples
    assert (sample.key, sample.original_label, sample.group, sample.source_split) == (
        key, label, group, name.split("/")[2],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "label", "group"),
    [
        ("NORMAL/NORMAL-1003233-0001.jpeg", "normal", "1003233"),
        ("PNEUMONIA/BACTERIA-1008087-0001.jpeg", "bacteria", "1008087"),
        ("PNEUMONIA/VIRUS-1012451-0002.jpeg", "virus", "1012451"),
        ("NORMAL/IM-0115-0001.jpeg", "normal", ""),
        ("NORMAL/NORMAL2-IM-0374-0001-0002.jpeg", "normal", ""),
        ("PNEUMONIA/person1_bacteria_1.jpeg", "bacteria", "person1"),
        ("PNEUMONIA/person1000_virus_1681.jpeg", "virus", "person1000"),
        # a name that fits no scheme leaves the folder's class and no patient
        ("PNEUMONIA/unheard-of.jpeg", "pneumonia", ""),
    ],
)
def test_xray_names_tell_kind_and_patient(tmp_path, name, label, group):
    (sample,) = kermany.index(Raw(lay(tmp_path, [name], "chest_xray/train/")), "chest").samples
    assert (sample.key, sample.original_label, sample.group) == (f"train/{name}", label, group)
    assert recipe.read("pneumoniamnist")["label"]["map"][label] == (0 if label == "normal" else 1)


def test_version_2_of_the_xrays_is_read(tmp_path):
    zipped(tmp_path / "ChestXRay2017.zip", [*CHEST2, "__MACOSX/chest_xray/train/NORMAL/._IM-0115-0001.jpeg"])
    listing = kermany.index(Raw(tmp_path), "chest")
    assert listing.census == {"test PNEUMONIA": 1, "train NORMAL": 1}
    assert any("1 images name no patient" in note for note in listing.notes)


@pytest.mark.parametrize("nested", [(), ("chest_xray/",), ("", "chest_xray/")])
def test_kaggle_copy_is_merged_and_told(tmp_path, nested):
    names = [prefix + name for prefix in nested or ("",) for name in (*CHEST2, *VAL2)]
    litter = ["chest_xray/.DS_Store", "chest_xray/__MACOSX/chest_xray/val/._NORMAL"]
    zipped(tmp_path / "archive.zip", [*names, *litter])
    listing = kermany.index(Raw(tmp_path), "chest")
    assert listing.census == {"test PNEUMONIA": 1, "train NORMAL": 2, "train PNEUMONIA": 1}
    assert {sample.source_split for sample in listing.samples} == {"train", "test"}
    assert "train/PNEUMONIA/person1946_bacteria_4874.jpeg" in {sample.key for sample in listing.samples}
    (warning,) = listing.warnings
    assert warning.startswith("2 training images lie in val/")
    assert "67 of that copy's normal test images" in warning


def test_the_reader_is_told_on_the_terminal(tmp_path, capsys):
    lay(tmp_path / "raw", [*CHEST2, *VAL2])
    build("pneumoniamnist", tmp_path / "raw", tmp_path / "out", census="warn", miniature=False)
    assert "2 training images lie in val/" in capsys.readouterr().err


def test_a_nested_copy_that_differs_is_refused(tmp_path):
    lay(tmp_path, CHEST2)
    lay(tmp_path, CHEST2, "chest_xray/")
    (tmp_path / "chest_xray" / CHEST2[0]).write_bytes(JPEG + b"\0")
    with pytest.raises(PreprocessError, match=f"{CHEST2[0]} and chest_xray/{CHEST2[0]} have one name and differ"):
        kermany.index(Raw(tmp_path), "chest")


def test_two_versions_of_the_xrays_are_refused_and_the_scans_still_read(tmp_path):
    zipped(tmp_path / "ZhangLabData.zip", [*OCT3, *CHEST3])
    zipped(tmp_path / "ChestXRay2017.zip", CHEST2)
    with pytest.raises(
        PreprocessError, match=r"two versions of the images are there: ChestXRay2017\.zip.*, ZhangLabData\.zip.*; keep"
    ):
        kermany.index(Raw(tmp_path), "chest")
    assert keys(tmp_path, "oct") == ["test/NORMAL/NORMAL-11419-2.jpeg", "train/CNV/CNV-1016042-1.jpeg"]


@pytest.mark.parametrize(
    "prefixes", [("OCT2017/",), ("OCT2017 /", "oct2017/OCT2017 /"), ("kermany2018/OCT2017 /",)], ids=str
)
@pytest.mark.parametrize("census", ["strict", "warn"])
def test_version_2_of_the_scans_is_refused_with_the_reason(tmp_path, prefixes, census, capsys):
    names = ["train/CNV/CNV-1016042-1.jpeg", "test/DME/DME-15307-1.jpeg", "val/DME/DME-11053-1.jpeg"]
    for prefix in prefixes:
        lay(tmp_path / "raw", names, prefix)
    with pytest.raises(CommandError):
        build("octmnist", tmp_path / "raw", tmp_path / "out", census=census, miniature=False)
    (said,) = capsys.readouterr().err.splitlines()
    assert re.search(
        "OCT2017.*: version 2 of the OCT scans, with 83,484 training images: .* 108,309 of version 3", said
    )


def test_version_2_of_the_scans_is_refused_in_its_own_archive_and_under_another_name(tmp_path):
    with tarfile.open(tmp_path / "OCT2017.tar.gz", "w:gz") as file:
        info = tarfile.TarInfo("OCT2017/train/CNV/CNV-1016042-1.jpeg")
        info.size = len(JPEG)
        file.addfile(info, io.BytesIO(JPEG))
    with pytest.raises(PreprocessError, match="version 2 of the OCT scans"):
        kermany.index(Raw(tmp_path), "oct")
    # only version 2 has a val folder
    renamed = lay(tmp_path / "renamed", ["OCT/val/DME/DME-11053-1.jpeg"])
    with pytest.raises(PreprocessError, match="version 2 of the OCT scans"):
        kermany.index(Raw(renamed), "oct")


def test_version_3_beside_version_2_is_read_and_version_2_told(tmp_path):
    lay(tmp_path, ["OCT2017 /train/DME/DME-15307-1.jpeg"])
    zipped(tmp_path / "ZhangLabData.zip", [*OCT3, *CHEST3])
    listing = kermany.index(Raw(tmp_path), "oct")
    assert len(listing.samples) == 2
    assert "1 OCT scans of version 2 are not read" in listing.warnings[0]


@pytest.mark.parametrize(
    ("part", "name", "cause"),
    [
        ("oct", "OCT/train/DME/CNV-1016042-1.jpeg", "a cnv image in another class's folder"),
        ("chest", "chest_xray/train/NORMAL/person1_virus_6.jpeg", "a virus image in another class's folder"),
        ("chest", "chest_xray/train/PNEUMONIA/IM-0115-0001.jpeg", "a normal image in another class's folder"),
        ("chest", "chest_xray/train/COVID/a.jpeg", "not a folder of this source"),
        ("oct", "OCT/validation/CNV/CNV-1016042-1.jpeg", "not a folder of this source"),
        ("oct", "elsewhere/train/CNV/CNV-1016042-1.jpeg", "no image of this part; expected are CellData/OCT/"),
        ("chest", "CellData/OCT/train/CNV/CNV-1016042-1.jpeg", "no image of this part; expected are chest_xray/"),
    ],
)
def test_what_is_not_the_published_tree_is_refused(tmp_path, part, name, cause):
    with pytest.raises(PreprocessError, match=cause):
        kermany.index(Raw(lay(tmp_path, [name])), part)


def test_one_image_in_train_and_val_is_one_or_refused(tmp_path):
    lay(tmp_path, [*CHEST2, "chest_xray/val/NORMAL/IM-0115-0001.jpeg"])
    assert kermany.index(Raw(tmp_path), "chest").census == {"test PNEUMONIA": 1, "train NORMAL": 1}
    (tmp_path / "chest_xray/val/NORMAL/IM-0115-0001.jpeg").write_bytes(JPEG + b"\0")
    with pytest.raises(PreprocessError, match=r"train/NORMAL/IM-0115-0001\.jpeg and .*val/.* have one name and differ"):
        kermany.index(Raw(tmp_path), "chest")


# ---- present or missing


@pytest.mark.parametrize(
    ("files", "present"),
    [
        ([], ""),
        (["readme.txt", "__MACOSX/OCT/train/CNV/._CNV-1-1.jpeg"], ""),
        (CHEST2, "chest"),
        (OCT3, "oct"),
        ([*OCT3, *CHEST3], "oct chest"),
        (["OCT2017 /train/DME/DME-15307-1.jpeg"], "oct"),
        (["ZhangLabData.zip"], "oct chest"),
        (["ChestXRay2017.zip"], "chest"),
        (["OCT2017.tar.gz"], "oct"),
        (["rscbjbr9sj-3.zip"], "oct chest"),
    ],
    ids=str,
)
def test_each_part_is_present_or_missing_for_itself(tmp_path, files, present):
    lay(tmp_path, files)
    found = [part for part in ("oct", "chest") if sources.is_present("kermany", tmp_path, part=part)]
    assert " ".join(found) == present


def test_an_archive_of_any_name_is_looked_into(tmp_path):
    def present(folder):
        return [sources.is_present("kermany", folder, part=part) for part in ("oct", "chest")]

    zipped(tmp_path / "a" / "archive.zip", CHEST2)
    assert present(tmp_path / "a") == [False, True]
    zipped(tmp_path / "b" / "archive.zip", ["code/train.py"])
    assert present(tmp_path / "b") == [False, False]
    zipped(tmp_path / "c" / "rscbjbr9sj-2.zip", ["ChestXRay2017.zip"])
    assert present(tmp_path / "c") == [False, True]
    # a broken one counts as present: the index says what is wrong with it
    lay(tmp_path / "d", ["archive.zip"])
    assert present(tmp_path / "d") == [True, True]


def test_a_run_of_all_lists_the_absent_part_as_missing(tmp_path):
    lay(tmp_path / "raw" / "kermany", CHEST2)
    config = {"raw": str(tmp_path / "raw"), "results": str(tmp_path / "results")}
    plan = Plan(config, SCHEMA)
    assert plan.selected == ["pneumoniamnist"]
    assert "octmnist" in plan.missing
    with pytest.raises(PreprocessError, match=r"octmnist: .* holds no files of its source"):
        Plan(config | {"datasets": ["octmnist"]}, SCHEMA)


# ---- splits, without images


def candidates(counts, groups=None):
    """Samples of source split and label, numbered; ``groups`` gives the patient of a number."""
    return [
        Sample(f"{part}/{label}/{i}", label=str(label), source_split=part, group=groups(i) if groups else "")
        for (part, label), count in counts.items()
        for i in range(count)
    ]


def sizes(samples):
    return Counter((sample.split, int(sample.label)) for sample in samples)


def test_released_split_of_oct_has_the_published_sizes():
    counts = {("train", label): n for label, n in enumerate((37205, 11348, 8616, 51140))}
    counts |= {("test", label): 250 for label in range(4)}
    found = sizes(split.assign(recipe.load("octmnist", "released"), candidates(counts), 42).samples)
    assert {name: sum(n for (where, _), n in found.items() if where == name) for name in split.SPLITS} == {
        "train": 97_477, "val": 10_832, "test": 1_000,
    }  # fmt: skip
    for name, expected in {"train": (33484, 10213, 7754, 46026), "val": (3721, 1135, 862, 5114)}.items():
        assert tuple(found[name, label] for label in range(4)) == expected


def test_released_split_of_pneumonia_has_the_published_sizes():
    counts = {("train", 0): 1349, ("train", 1): 3883, ("test", 0): 234, ("test", 1): 390}
    found = sizes(split.assign(recipe.load("pneumoniamnist", "released"), candidates(counts), 7).samples)
    assert found == {
        ("train", 0): 1214, ("train", 1): 3494, ("val", 0): 135, ("val", 1): 389, ("test", 0): 234, ("test", 1): 390,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["octmnist", "pneumoniamnist"])
def test_paper_split_keeps_patients_together(name):
    # patient p has the images p, p + 70, p + 140 ... of both classes
    counts = {("train", 0): 500, ("train", 1): 300, ("test", 0): 40, ("test", 1): 40}
    samples = candidates(counts, lambda i: f"{i % 70}")
    for sample in samples:
        sample.group += "" if sample.source_split == "train" else " of test"
    split.assign(recipe.load(name, "paper"), samples, 42)
    of = {where: {sample.group for sample in samples if sample.split == where} for where in split.SPLITS}
    assert not of["train"] & of["val"]
    # every patient has more images of class 0: 70 groups of one class, 63 of them in train
    assert (len(of["train"]), len(of["val"]), len(of["test"])) == (63, 7, 40)


def test_images_without_a_patient_stand_alone():
    counts = {("train", 0): 100, ("train", 1): 100}
    samples = candidates(counts)
    split.assign(recipe.load("pneumoniamnist", "paper"), samples, 42)
    assert sizes(samples) == {("train", 0): 90, ("train", 1): 90, ("val", 0): 10, ("val", 1): 10}


# ---- real files


@pytest.fixture(scope="module")
def published(real):
    """The published 28-pixel images of the real X-rays by key, and where they stand."""
    with np.load(real / "released_pixels" / "pneumoniamnist.npz") as file:
        rows = zip(file["key"], file["images"], file["labels"], file["split"], file["index"], strict=True)
        return {str(key).removeprefix("chest_xray/"): row for key, *row in rows}


@pytest.mark.real
def test_real_xrays_are_indexed(real):
    listing = kermany.index(Raw(real / "kermany"), "chest")
    assert listing.census == {"test NORMAL": 2, "test PNEUMONIA": 3, "train NORMAL": 9, "train PNEUMONIA": 6}
    assert not listing.warnings
    kinds = Counter(sample.original_label for sample in listing.samples)
    assert kinds == {"normal": 11, "bacteria": 8, "virus": 1}
    named = {sample.key: sample.group for sample in listing.samples}
    assert named["train/PNEUMONIA/person1949_bacteria_4880.jpeg"] == "person1949"
    assert named["test/NORMAL/NORMAL2-IM-0374-0001-0001.jpeg"] == ""


@pytest.mark.real
def test_real_folder_holds_xrays_only(real):
    assert sources.is_present("kermany", real / "kermany", part="chest")
    assert not sources.is_present("kermany", real / "kermany", part="oct")


@pytest.mark.real
def test_real_xrays_equal_their_published_rows(real, published, builder, tmp_path):
    table = tmp_path / "order.csv"
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("split", "index", "image_id"))
        writer.writerows((where, index, f"chest_xray/{key}") for key, (_, _, where, index) in published.items())
    done = builder(
        "pneumoniamnist", real / "kermany", protocol="released", census="warn", miniature=False, order_table=table
    )
    images = done.images(28)
    assert len(images) == 20
    assert [key for key, image in images.items() if not np.array_equal(image, published[key][0])] == []
    for row in done.samples:
        _, label, where, index = published[row["key"]]
        assert (row["label"], row["split"], row["released_index"]) == (str(label[0]), where, str(index))


@pytest.mark.real
@pytest.mark.parametrize(
    ("changed", "at_most"),
    [
        ({"jpeg": "none"}, 0),
        ({"kernel": "bicubic"}, 0),
        ({"kernel": "hamming"}, 0),
        ({"crop": "none"}, 0),
        # floor agrees with half-even on these 20; among the 130 rows known it misses 7
        ({"crop_rounding": "ceil"}, 19),
    ],
    ids=str,
)
def test_any_other_decision_misses_published_rows(real, published, builder, changed, at_most):
    done = builder("pneumoniamnist", real / "kermany", protocol="released", census="warn", miniature=False,
                   overrides=changed)  # fmt: skip
    exact = sum(np.array_equal(image, published[key][0]) for key, image in done.images(28).items())
    assert exact <= at_most


@pytest.mark.real
def test_the_gray_reader_is_undecided_at_28(real, published, builder):
    key = "train/PNEUMONIA/person1_bacteria_1.jpeg"
    with Image.open(real / "kermany" / "chest_xray" / key) as image:
        assert image.mode == "RGB"
    for gray in ("luma", "first"):
        done = builder("pneumoniamnist", real / "kermany", protocol="released", census="warn", miniature=False,
                       overrides={"gray": gray})  # fmt: skip
        assert np.array_equal(done.images(28)[key], published[key][0])
    assert recipe.load("pneumoniamnist", "released").decisions["gray"].evidence not in ("bytes", "counts", "read")


@pytest.mark.real
def test_real_xrays_at_other_sizes_have_no_jpeg_step(real, builder):
    done = builder("pneumoniamnist", real / "kermany", protocol="released", census="warn", miniature=False, sizes=(64,))
    for key, image in done.images(64).items():
        picture = Image.open(real / "kermany" / "chest_xray" / key).convert("L")
        side = min(picture.size)
        left, top = (round((extent - side) / 2) for extent in picture.size)
        square = picture.crop((left, top, left + side, top + side))
        assert np.array_equal(image, np.asarray(square.resize((64, 64), Image.Resampling.BILINEAR)))


@pytest.mark.real
def test_a_part_of_the_xrays_stops_strict(real, tmp_path, capsys):
    shutil.copytree(real / "kermany", tmp_path / "raw")
    with pytest.raises(CommandError):
        build("pneumoniamnist", tmp_path / "raw", tmp_path / "out", miniature=False)
    (said,) = capsys.readouterr().err.splitlines()
    assert "expected train NORMAL 1,349, train PNEUMONIA 3,883, test NORMAL 234, test PNEUMONIA 390" in said
