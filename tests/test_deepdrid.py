"""DeepDRiD: lists and files that do not quite agree, and the split of RetinaMNIST."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from preprocess import recipe, split
from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw
from preprocess.sources import deepdrid
from preprocess.table import Sample
from tests.builds import CommandError, build

HEADER = (
    "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,right_eye_DR_Level,patient_DR_Level,"
    "Clarity,Field definition,Artifact"
)
# the true list's rows of its patients 4 and 56
TRAINING = r"""
4,4_l1,\regular-fundus-training\4\4_l1.jpg,0,3,,4,6,6,8
4,4_l2,\regular-fundus-training\4\4_l2.jpg,0,3,,4,8,8,6
4,4_r1,\regular-fundus-training\4\4_r1.jpg,0,,4,4,8,6,6
4,4_r2,\regular-fundus-training\4\4_r2.jpg,0,,4,4,4,8,8
56,56_l1,\regular-fundus-training\56\56_l1.jpg,0,1,,1,8,8,0
56,56_r3,\regular-fundus-training\56\56_r3.jpg,0,1,,1,10,8,1
56,56_l3,\regular-fundus-training\56\56_l3.jpg,1,,0,1,10,10,0
56,56_r2,\regular-fundus-training\56\56_r2.jpg,1,,0,1,10,8,0
""".strip().splitlines()
VALIDATION = [r"265,265_l1,\regular-fundus-validation\265\265_l1.jpg,1,2,,2,10,8,0"]
REGULAR = "regular_fundus_images"


def repository(training=None, validation=None, leave_out=(), rename=None):
    """The files of a small repository by path: lists, one small JPEG a row, and the parts nobody reads."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (200, 90, 30)).save(buffer, "JPEG")
    files = {
        "README.md": b"#",
        f"{REGULAR}/Online-Challenge1&2-Evaluation/Images/347/347_l1.jpg": buffer.getvalue(),
        f"{REGULAR}/Online-Challenge1&2-Evaluation/Challenge1_upload.csv": b"image_id,DR_Level\n347_l1,\n",
        "ultra-widefield_images/ultra-widefield-training/Images/1/1_l1.jpg": buffer.getvalue(),
        "ultra-widefield_images/ultra-widefield-training/ultra-widefield-training.csv": b"image_id,DR_level\n1_l1,5\n",
    }
    for part, rows in (("training", training or TRAINING), ("validation", validation or VALIDATION)):
        base = f"{REGULAR}/regular-fundus-{part}"
        files[f"{base}/regular-fundus-{part}.csv"] = "\r\n".join([HEADER, *rows, ""]).encode()
        files[f"{base}/regular-fundus-source-{part}.csv"] = b"image_id\nx\n"
        for row in rows:
            patient, image = row.split(",")[:2]
            if image not in leave_out:
                files[f"{base}/Images/{patient}/{(rename or {}).get(image, image)}.jpg"] = buffer.getvalue()
    return files


def lay(folder, files, root="DeepDRiD-master"):
    for name, data in files.items():
        path = folder / root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def by_key(folder):
    return {sample.key: sample for sample in deepdrid.index(Raw(folder)).samples}


def test_the_filled_column_decides_not_the_name(tmp_path):
    samples = by_key(lay(tmp_path, repository()))
    eyes = {
        key: (one.original_label, one.attributes["laterality"]) for key, one in samples.items() if one.group == "56"
    }
    assert eyes == {
        "56_l1": ("1", "L"), "56_r3": ("1", "L"), "56_l3": ("0", "R"), "56_r2": ("0", "R"),
    }  # fmt: skip
    # and never the patient's level
    assert samples["4_l1"].original_label == "3"
    assert samples["4_l1"].attributes["patient_level"] == "4"


def test_rows_keep_their_quality_and_part(tmp_path):
    samples = by_key(lay(tmp_path, repository()))
    assert samples["56_r3"].attributes == {
        "laterality": "L", "source_laterality": "left", "patient_level": "1", "overall_quality": "0", "clarity": "10",
        "field_definition": "8", "artifact": "1",
    }  # fmt: skip
    assert {one.source_split for key, one in samples.items() if key != "265_l1"} == {"training"}
    assert (samples["265_l1"].source_split, samples["265_l1"].group) == ("validation", "265")


@pytest.mark.parametrize(
    "root", ["DeepDRiD-master", "DeepDRiD-70af809b87e6ad1c56b8d86462bfa5ae6966af42", "a/b/DeepDRiD"]
)
@pytest.mark.parametrize("kind", ["tree", "zip", "tar.gz"])
def test_every_way_of_downloading_gives_the_same_samples(tmp_path, root, kind):
    files = repository()
    if kind == "tree":
        lay(tmp_path, files | {".git/config": b"[core]"}, root)
    elif kind == "zip":
        with zipfile.ZipFile(tmp_path / "download.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(f"{root}/{name}", data)
    else:
        with tarfile.open(tmp_path / "download.tar.gz", "w:gz") as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(f"{root}/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    raw = Raw(tmp_path)
    listing = deepdrid.index(raw)
    assert listing.census == {"training 0": 2, "training 1": 2, "training 3": 2, "training 4": 2, "validation 2": 1}
    stored = [file.path for file in raw.files()]
    places = [stored.index(sample.path) for sample in listing.samples]
    assert places == sorted(places)  # a tar.gz is read forwards
    assert all(deepdrid.open(raw, sample).data[:2] == b"\xff\xd8" for sample in listing.samples)
    # the other parts do not matter, and nothing but them is left over
    assert {sample.key for sample in listing.samples} == {row.split(",")[1] for row in TRAINING + VALIDATION}
    assert listing.notes == []


def test_a_file_may_lack_the_patient_in_its_name(tmp_path):
    samples = by_key(lay(tmp_path, repository(rename={"56_l3": "l3", "4_r1": "4_R1"})))
    assert samples["56_l3"].path.endswith("Images/56/l3.jpg")
    assert samples["4_r1"].path.endswith("Images/4/4_R1.jpg")
    assert not [one.key for one in samples.values() if one.reason]


def test_pictures_no_row_names_are_told(tmp_path):
    files = repository()
    files[f"{REGULAR}/regular-fundus-training/Images/4/4_l9.jpg"] = b""
    (note,) = deepdrid.index(Raw(lay(tmp_path, files))).notes
    assert "1 pictures are not in the lists" in note
    assert "4_l9.jpg" in note


def test_a_missing_picture_is_excluded_last(tmp_path):
    listing = deepdrid.index(Raw(lay(tmp_path, repository(leave_out={"4_l2"}))))
    last = listing.samples[-1]
    assert (last.key, last.reason, last.group) == ("4_l2", "missing", "4")
    assert "Images/4/4_l2.jpg" in last.detail
    assert sum(listing.census.values()) == 9  # the list is complete


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        (r"9,9_l1,\x,0,1,2,2,8,8,0", "line 2: 9_l1 has 2 eye levels, not one"),
        (r"9,9_l1,\x,0,,,2,8,8,0", "line 2: 9_l1 has 0 eye levels, not one"),
    ],
)
def test_a_row_with_both_eyes_or_none_is_refused(tmp_path, row, cause):
    with pytest.raises(PreprocessError, match=cause):
        deepdrid.index(Raw(lay(tmp_path, repository(training=[row]))))


def test_lists_that_are_not_there_or_not_the_published_ones_are_refused(tmp_path):
    files = repository()
    lay(tmp_path / "twice", files, "a")
    lay(tmp_path / "twice", files, "b")
    deepdrid.index(Raw(tmp_path / "twice"))
    other = next((tmp_path / "twice" / "b").rglob("regular-fundus-training.csv"))
    other.write_bytes(other.read_bytes() + b"\n")
    with pytest.raises(PreprocessError, match=r"a/.*training\.csv and b/.*training\.csv have one name and differ"):
        deepdrid.index(Raw(tmp_path / "twice"))
    del files[f"{REGULAR}/regular-fundus-validation/regular-fundus-validation.csv"]
    with pytest.raises(
        PreprocessError, match=r"regular-fundus-validation\.csv is not there; expected is DeepDRiD-master"
    ):
        deepdrid.index(Raw(lay(tmp_path / "half", files)))
    files = repository()
    files[f"{REGULAR}/regular-fundus-training/regular-fundus-training.csv"] = b"image,level\n1_l1,0\n"
    with pytest.raises(PreprocessError, match="has no column 'patient_id'; this is not the published list"):
        deepdrid.index(Raw(lay(tmp_path / "other", files)))


def test_a_missing_picture_stops_strict_and_leaves_the_others_in_place(stand_in, tmp_path, capsys):
    with zipfile.ZipFile(stand_in("deepdrid") / "DeepDRiD-master.zip") as archive:
        archive.extractall(tmp_path / "raw")
    (gone,) = (tmp_path / "raw").rglob("regular-fundus-training/Images/19/19_r2.jpg")
    gone.unlink()
    with pytest.raises(CommandError):
        build("retinamnist", tmp_path / "raw", tmp_path / "strict")
    assert "1 files named by the source's list are missing, the first is 19_r2" in capsys.readouterr().err
    whole = build("retinamnist", stand_in("deepdrid"), tmp_path / "whole")
    done = build("retinamnist", tmp_path / "raw", tmp_path / "warn", census="warn")
    assert [(row["key"], row["reason"]) for row in done.excluded] == [("19_r2", "missing")]
    assert {row["key"]: row["split"] for row in done.samples} == {
        row["key"]: row["split"] for row in whole.samples if row["key"] != "19_r2"
    }


# ---- the split of the true list, without images


def true_totals():
    """1,600 samples with the true list's totals: 300 and 100 patients, two images an eye.

    Patients by their worse eye are 90/60/60/60/30, eyes 270/70/117/107/36; how the better eyes are
    dealt to the worse ones is not needed: sorted they fit.
    """
    worse = [level for level, patients in enumerate((90, 60, 60, 60, 30)) for _ in range(patients)]
    eyes = Counter(dict(enumerate((270, 70, 117, 107, 36))))
    better = sorted((eyes - Counter(worse)).elements())
    assert len(better) == 300
    assert all(low <= high for low, high in zip(better, worse, strict=True))
    test_eyes = list(Counter(dict(enumerate((87, 23, 46, 34, 10)))).elements())
    patients = [("training", f"{i}", (low, high)) for i, (low, high) in enumerate(zip(better, worse, strict=True))]
    patients += [("validation", f"{1000 + i}", (test_eyes[2 * i], test_eyes[2 * i + 1])) for i in range(100)]
    return [
        Sample(f"{patient}_{eye}{number}", label=str(level), group=patient, source_split=part)
        for part, patient, levels in patients
        for eye, level in zip("lr", levels, strict=True)
        for number in (1, 2)
    ]


@pytest.mark.parametrize("seed", [0, 42, 2**31])
def test_released_split_has_the_published_sizes(seed):
    samples = split.assign(recipe.load("retinamnist", "released"), true_totals(), seed).samples
    assert Counter(sample.split for sample in samples) == {"train": 1080, "val": 120, "test": 400}
    patients = {where: {one.group for one in samples if one.split == where} for where in split.SPLITS}
    assert {where: len(found) for where, found in patients.items()} == {"train": 270, "val": 30, "test": 100}
    worst = Counter(max(int(one.label) for one in samples if one.group == patient) for patient in patients["val"])
    assert worst == {0: 9, 1: 6, 2: 6, 3: 6, 4: 3}
    tested = Counter(int(one.label) for one in samples if one.split == "test")
    assert tested == {0: 174, 1: 46, 2: 92, 3: 68, 4: 20}


def test_cutting_by_the_most_frequent_level_misses_the_published_sizes():
    samples = split.assign(recipe.load("retinamnist", "paper"), true_totals(), 42).samples
    counts = Counter(sample.split for sample in samples)
    assert counts == {"train": 1076, "val": 124, "test": 400}  # 31 patients: within one of the ratio
    assert not {one.group for one in samples if one.split == "train"} & {
        one.group for one in samples if one.split == "val"
    }


# ---- pixels


@pytest.mark.parametrize(("protocol", "size"), [("paper", 28), ("released", 28), ("released", 64)])
def test_pixels_are_those_of_the_recipe(stand_in, builder, protocol, size):
    done = builder("retinamnist", stand_in("deepdrid"), protocol=protocol, sizes=(size,))
    with zipfile.ZipFile(stand_in("deepdrid") / "DeepDRiD-master.zip") as archive:
        for part, key in (("training", "1_l1"), ("validation", "433_r2"), ("training", "56_r3")):
            name = f"DeepDRiD-master/{REGULAR}/regular-fundus-{part}/Images/{key.split('_')[0]}/{key}.jpg"
            picture = Image.open(io.BytesIO(archive.read(name)))
            side = min(picture.size)
            left, top = (round((extent - side) / 2) for extent in picture.size)
            kernel = Image.Resampling.BICUBIC if protocol == "paper" else Image.Resampling.BILINEAR
            small = picture.crop((left, top, left + side, top + side)).resize((size, size), kernel)
            for _ in range(2 if protocol == "released" and size == 28 else 0):
                small.save(buffer := io.BytesIO(), "JPEG", quality=75)
                small = Image.open(buffer)
            assert np.array_equal(done.images(size)[key], np.asarray(small))
