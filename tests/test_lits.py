"""LiTS: organ boxes, orientations and the chains that lead to the four Organ datasets."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import math
import shutil
import zipfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import nibabel
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocess import cli, labels, recipe, sources, split
from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.match import crossings
from preprocess.plan.plan import Plan
from preprocess.reading.archives import Raw
from preprocess.reasons import REASONS
from preprocess.render import Renderer
from preprocess.sources import lits
from preprocess.steps import boxes, grids, images
from preprocess.table import read_rows
from tests.builds import CommandError, build

DATASETS = ("organamnist", "organcmnist", "organsmnist", "organmnist3d")
#: class counts of version 2.0 to 2.2.3, before blanks were removed
PUBLISHED = {
    "organamnist": {
        "train": (1956, 1408, 1359, 1474, 3963, 3817, 6164, 3919, 3929, 3031, 3561),
        "val": (321, 233, 225, 392, 568, 637, 1033, 1033, 1009, 529, 511),
        "test": (1036, 784, 793, 785, 2064, 1965, 3285, 1747, 1813, 1622, 1884),
    },
    "organcmnist": {
        "train": (1153, 626, 608, 600, 1088, 1170, 2986, 1002, 1022, 1173, 1572),
        "val": (191, 102, 96, 202, 132, 157, 429, 347, 352, 179, 205),
        "test": (833, 442, 441, 421, 732, 737, 1836, 550, 558, 750, 968),
    },
    "organsmnist": {
        "train": (1148, 637, 615, 721, 1132, 1119, 3464, 741, 803, 2004, 1556),
        "val": (188, 104, 95, 246, 140, 159, 491, 261, 275, 280, 213),
        "test": (811, 439, 447, 510, 704, 693, 2078, 397, 439, 1343, 968),
    },
    "organmnist3d": {
        "train": (115, 115, 115, 91, 94, 94, 40, 39, 39, 115, 115),
        "val": (16, 16, 14, 14, 15, 15, 13, 13, 13, 16, 16),
        "test": (69, 68, 69, 65, 65, 66, 28, 21, 21, 69, 69),
    },
}
TOTALS = {
    "organamnist": (34581, 6491, 17778),
    "organcmnist": (13000, 2392, 8268),
    "organsmnist": (13940, 2452, 8829),
    "organmnist3d": (972, 161, 610),
}
#: extents, the liver's box and a second organ's in the phantom of the orientation tests
SHAPE = (22, 18, 14)
LIVER, KIDNEY = (2, 9, 3, 11, 4, 12), (12, 19, 6, 14, 2, 11)
CODES = ["".join(code) for code in itertools.product("LR", "PA", "SI")]


def stored(volume, codes, dtype=np.int16, header="true"):
    """A NIfTI file of an LPS array: flips and affine written out by hand, without nibabel's orientations."""
    axes = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "S": (2, 1), "I": (2, -1)}
    world = [axes[code] for code in codes]
    data = volume.transpose([axis for axis, _ in world])
    data = data[tuple(slice(None, None, -1 if code in "RAI" else 1) for code in codes)]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, (axis, sign) in enumerate(world):
        affine[axis, column] = sign * 2.5
    affine[:3, 3] = 7
    if header == "identity":
        affine = np.eye(4)
    if header == "LPS":
        affine = np.diag([-2.5, -2.5, 2.5, 1])
    return nibabel.Nifti1Image(np.ascontiguousarray(data).astype(dtype), affine).to_bytes()


def phantom(seed=1):
    """An LPS array of noise, brighter on the patient's left."""
    volume = np.random.RandomState(seed).randint(-150, 100, SHAPE).astype(np.int16)
    volume[11:] += 120
    return volume


def liver_mask(box=LIVER):
    mask = np.zeros(SHAPE, np.int16)
    mask[box[0] : box[1], box[2] : box[3], box[4] : box[5]] = 1
    mask[box[0] + 1, box[2] + 1, box[4] + 1] = 2
    return mask


def annotate(folder, scan, lines, training=True):
    """Write one scan's boxes as the published zips hold them."""
    text = "".join(f"{name} {lits.ORGANS[name]} {' '.join(map(str, box))}\r\n" for name, box in lines.items())
    kind, prefix = ("training", "") if training else ("testing", "test-")
    with zipfile.ZipFile(folder / f"annotations_of_{kind}_set.zip", "a") as archive:
        archive.writestr(f"{prefix}segmentation-{scan}.txt", text)


def crops(folder, orientation="lps"):
    """The crop of every box below a folder that can be opened."""
    raw = Raw(folder)
    return {
        sample.key: boxes.cut(lits.open(raw, sample), orientation, sample.attributes["box"])
        for sample in lits.index(raw, "volume").samples
        if not sample.reason
    }


def cut(volume, box):
    return volume[box[0] : box[1], box[2] : box[3], box[4] : box[5]]


# ---- the boxes as published


def indexed(dataset, folder, protocol="released"):
    about = recipe.load(dataset, protocol)
    listing = lits.index(Raw(folder), **about.dataset.options)
    for sample in listing.samples:
        sample.label = labels.RULES[about.dataset.label["rule"]](sample, about.dataset.label)
    return about, listing


@pytest.mark.real
@pytest.mark.parametrize("dataset", DATASETS)
def test_boxes_alone_give_the_published_counts(dataset, real):
    about, listing = indexed(dataset, real / "lits")
    split.assign(about, listing.samples, seed=42)
    for part, total in zip(("train", "val", "test"), TOTALS[dataset], strict=True):
        found = Counter(int(sample.label) for sample in listing.samples if sample.split == part)
        assert sum(found.values()) == total
        assert tuple(found[label] for label in range(11)) == PUBLISHED[dataset][part]
    expected = {name: count for name, count in about.dataset.census.items() if "volumes" not in name}
    assert {name: count for name, count in listing.census.items() if "volumes" not in name} == expected
    assert {sample.reason for sample in listing.samples} == {"missing"}
    assert {sample.group for sample in listing.samples if not sample.split} == {"test-59"}


@pytest.mark.real
def test_the_only_public_id_is_a_key(real):
    keys = {sample.key for sample in lits.index(Raw(real / "lits"), "sagittal").samples}
    assert "train-112-8-sagittal-028" in keys
    assert "train-112-8-sagittal-027" not in keys
    assert "train-112-8" in {sample.key for sample in lits.index(Raw(real / "lits"), "volume").samples}


@pytest.mark.real
def test_boxes_without_volumes_are_not_a_source(real, tmp_path):
    shutil.copytree(real / "lits", tmp_path / "lits")
    assert not sources.is_present("lits", tmp_path / "lits")
    (tmp_path / "lits" / "Training Batch 1").mkdir()
    (tmp_path / "lits" / "Training Batch 1" / "volume-3.nii").touch()
    assert sources.is_present("lits", tmp_path / "lits")


@pytest.mark.real
def test_older_training_boxes_are_corrected(real, tmp_path):
    with zipfile.ZipFile(real / "lits" / "annotations_of_training_set.zip") as new:
        members = {name: new.read(name) for name in new.namelist()}
    wrong = members["segmentation-0.txt"].replace(b"47 60\r\n", b"47 70\r\n")
    assert wrong != members["segmentation-0.txt"]
    with zipfile.ZipFile(tmp_path / "annotations_of_training_set.zip", "w") as old:
        for name, data in (members | {"segmentation-0.txt": wrong}).items():
            old.writestr(name, data)
    listing = lits.index(Raw(tmp_path), "axial")
    assert sum(int(sample.group.split("-")[1]) < 115 for sample in listing.samples) == 34581
    assert any("corrected" in note for note in listing.notes)


@pytest.mark.parametrize("name", ["present.zip", "Training_Batch1.zip", "volume-7.nii.zip", "test-volume-1.nii.gz"])
def test_present(name, tmp_path):
    (tmp_path / name).touch()
    assert sources.is_present("lits", tmp_path)


@settings(max_examples=300)
@given(first=st.integers(0, 300), extent=st.integers(1, 600), view=st.sampled_from(["axial", "coronal", "sagittal"]))
def test_planes_are_the_exact_rule(first, extent, view):
    factor, step = (Fraction(5, 2), 4) if view == "axial" else (Fraction(703125, 2_000_000), 2)
    exact = extent * factor
    nearest = math.floor(exact) if exact - math.floor(exact) <= Fraction(1, 2) else math.ceil(exact)
    wanted = [k for k in range(nearest) if k % step == 0 and Fraction(k) >= Fraction(nearest, 5)]
    wanted = [k for k in wanted if Fraction(k) <= Fraction(4 * nearest, 5)]
    assert lits.planes(first, first + extent, view) == wanted


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("liver 1 1 5 1 5 1\r\n", "is not 'organ code"),
        ("liver 2 1 5 1 5 1 5\r\n", "is not 'organ code"),
        ("colon 1 1 5 1 5 1 5\r\n", "is not 'organ code"),
        ("liver 1 5 5 1 5 1 5\r\n", "empty box"),
        ("liver 1 1 5 1 5 1 5\r\nliver 1 1 5 1 5 1 6\r\n", "second"),
    ],
)
def test_faulty_boxes_are_refused(lines, said, tmp_path):
    (tmp_path / "segmentation-3.txt").write_bytes(lines.encode())
    with pytest.raises(PreprocessError, match=said):
        lits.index(Raw(tmp_path), "volume")


def test_no_boxes_two_copies_and_the_msd_copy_are_refused(tmp_path):
    (tmp_path / "volume-3.nii").write_bytes(stored(phantom(), "LPS"))
    with pytest.raises(PreprocessError, match="holds no organ boxes"):
        lits.index(Raw(tmp_path), "volume")
    annotate(tmp_path, 3, {"liver": LIVER})
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "volume-3.nii.gz").write_bytes(b"")
    with pytest.raises(PreprocessError, match="have one name and differ"):
        lits.index(Raw(tmp_path), "volume")
    shutil.rmtree(tmp_path / "copy")
    (tmp_path / "volume-3.nii").rename(tmp_path / "liver_3.nii")
    with pytest.raises(PreprocessError, match="MSD"):
        lits.index(Raw(tmp_path), "volume")
    (tmp_path / "liver_3.nii").rename(tmp_path / "volume-131.nii")
    with pytest.raises(PreprocessError, match="131 train scans"):
        lits.index(Raw(tmp_path), "volume")


# ---- orientation


@pytest.mark.parametrize("codes", [*CODES, "SLP", "PIR", "ASL"])
@pytest.mark.parametrize("form", ["int16", "float32", ">i2", "nii.gz"])
def test_the_same_phantom_gives_the_same_crops_however_it_is_stored(codes, form, tmp_path):
    volume = phantom()
    data = stored(volume, codes, np.int16 if form == "nii.gz" else form)
    name = "volume-3.nii"
    if form == "nii.gz":
        name, data = f"{name}.gz", gzip.compress(data, 1)
    (tmp_path / name).write_bytes(data)
    annotate(tmp_path, 3, {"liver": LIVER, "kidney-l": KIDNEY})
    found = crops(tmp_path)
    assert found["train-3-1"].dtype == np.int16
    np.testing.assert_array_equal(found["train-3-1"], cut(volume, LIVER))
    np.testing.assert_array_equal(found["train-3-3"], cut(volume, KIDNEY))
    # left is left: the bright half of the patient
    assert found["train-3-3"].mean() > found["train-3-1"].mean() + 100
    reversed_y = crops(tmp_path, "lps-y-reversed")
    np.testing.assert_array_equal(reversed_y["train-3-3"], cut(volume[:, ::-1], KIDNEY))


def test_raw_orientation_takes_the_array_as_stored(tmp_path):
    volume = phantom()
    (tmp_path / "volume-3.nii").write_bytes(stored(volume, "RAS"))
    annotate(tmp_path, 3, {"liver": LIVER})
    np.testing.assert_array_equal(crops(tmp_path, "raw")["train-3-1"], cut(volume[::-1, ::-1], LIVER))


def test_raw_orientation_excludes_a_box_that_leaves_the_array(tmp_path):
    (tmp_path / "volume-3.nii").write_bytes(stored(phantom(), "SPL"))
    annotate(tmp_path, 3, {"kidney-l": KIDNEY})
    with pytest.raises(ExcludeSample, match="outside-volume"):
        crops(tmp_path, "raw")


@pytest.mark.parametrize("codes", CODES)
def test_the_index_says_how_far_a_published_crop_lies_from_its_organ(codes, tmp_path):
    """The crop as stored and the organ are marked in the patient; their centres and what they share are counted."""
    marked = np.zeros(SHAPE, np.int16)
    marked[KIDNEY[0] : KIDNEY[1], KIDNEY[2] : KIDNEY[3], KIDNEY[4] : KIDNEY[5]] = 1
    organ = np.argwhere(marked)
    (tmp_path / "volume-3.nii").write_bytes(stored(marked, codes))
    annotate(tmp_path, 3, {"kidney-l": KIDNEY})
    (sample,) = lits.index(Raw(tmp_path), "volume").samples
    assert (sample.attributes["stored"], sample.attributes["stored_known"]) == (codes, "LAS")
    # every voxel's place in the patient, as stored, and those the published crop takes
    places = np.stack(np.indices(SHAPE), axis=-1)
    places = places[tuple(slice(None, None, -1 if code in "RAI" else 1) for code in codes)]
    crop = cut(places, KIDNEY).reshape(-1, 3)
    away = [float(word) for word in sample.attributes["displaced"].split()]
    assert away == (crop.mean(axis=0) - organ.mean(axis=0)).tolist()
    shared = len(set(map(tuple, crop.tolist())) & set(map(tuple, organ.tolist()))) / len(organ)
    assert sample.attributes["shared"] == f"{shared:.2f}"
    assert (away == [0, 0, 0] and shared == 1) == (codes == "LPS")
    held = crops(tmp_path, "raw")["train-3-3"].mean()
    assert f"{held:.2f}" == f"{shared:.2f}"


@pytest.mark.parametrize("codes", ["LAS", "LPS", "RAS"])
@pytest.mark.parametrize(("volume", "known"), [(3, "LAS"), (60, "LPS"), (70, "RAS"), (112, ""), (130, "")])
def test_a_volume_stored_otherwise_than_the_published_one_is_named(codes, volume, known, tmp_path):
    (tmp_path / f"volume-{volume}.nii").write_bytes(stored(phantom(), codes))
    annotate(tmp_path, volume, {"liver": LIVER})
    warnings = lits.index(Raw(tmp_path), "volume").warnings
    if known in ("", codes):
        assert not warnings
    else:
        (told,) = warnings
        assert told.startswith(f"volume-{volume}.nii is stored as {codes}, the published file as {known}")


def test_a_mask_whose_header_names_other_axes_than_its_volume(tmp_path, caplog):
    """The liver's box says whether it lies as its own header says, or as its volume."""
    for number, lies in ((60, "RAS"), (61, "LPS")):
        (tmp_path / f"volume-{number}.nii").write_bytes(stored(phantom(), "LPS"))
        mask = nibabel.Nifti1Image.from_bytes(stored(liver_mask(), lies, np.uint8))
        said = nibabel.Nifti1Image.from_bytes(stored(liver_mask(), "RAS", np.uint8)).affine
        (tmp_path / f"segmentation-{number}.nii").write_bytes(
            nibabel.Nifti1Image(np.asanyarray(mask.dataobj), said).to_bytes()
        )
        annotate(tmp_path, number, {"liver": LIVER})
    found = crops(tmp_path)
    np.testing.assert_array_equal(found["train-60-1"], cut(phantom(), LIVER))
    np.testing.assert_array_equal(found["train-61-1"], cut(phantom(), LIVER))
    told = [one.message.rpartition("/")[2] for one in caplog.records]
    assert [line.split(": ")[1] for line in told] == ["its header says RAS, its volume's LPS"] * 2
    assert ["it lies as RAS" in line for line in told] == [True, False]


@pytest.mark.parametrize("codes", ["LPS", "LAS", "RPS", "RAS"])
def test_an_identity_header_is_settled_by_the_liver(codes, tmp_path, caplog):
    volume = phantom()
    (tmp_path / "volume-28.nii").write_bytes(stored(volume, codes, header="identity"))
    (tmp_path / "segmentation-28.nii").write_bytes(stored(liver_mask(), codes, np.uint8, header="identity"))
    annotate(tmp_path, 28, {"liver": LIVER, "kidney-l": KIDNEY})
    listing = lits.index(Raw(tmp_path), "volume")
    told = {(one.attributes["stored"], one.attributes["stored_by"]) for one in listing.samples}
    assert told == {(codes, "mask")}
    # the published file of 28 is stored as LAS, whatever its header says
    assert ["the published file as LAS" in line for line in listing.warnings] == [True] * (codes != "LAS")
    (tmp_path / "segmentation-28.nii").unlink()  # the index has decided
    raw = Raw(tmp_path)
    found = {one.key: boxes.cut(lits.open(raw, one), "lps", one.attributes["box"]) for one in listing.samples}
    np.testing.assert_array_equal(found["train-28-1"], cut(volume, LIVER))
    np.testing.assert_array_equal(found["train-28-3"], cut(volume, KIDNEY))
    assert not caplog.records


def test_an_identity_header_without_a_mask_is_not_guessed(tmp_path):
    (tmp_path / "volume-28.nii").write_bytes(stored(phantom(), "LAS", header="identity"))
    annotate(tmp_path, 28, {"liver": LIVER})
    (sample,) = lits.index(Raw(tmp_path), "volume").samples
    assert sample.reason == "missing"
    assert "segmentation-28.nii" in sample.detail


def test_an_identity_header_with_a_mask_of_another_scan_is_not_guessed(tmp_path):
    (tmp_path / "volume-28.nii").write_bytes(stored(phantom(), "LAS", header="identity"))
    (tmp_path / "segmentation-28.nii").write_bytes(stored(liver_mask()[:, :, 1:], "LAS"))
    annotate(tmp_path, 28, {"liver": LIVER})
    (sample,) = lits.index(Raw(tmp_path), "volume").samples
    assert (sample.reason, sample.attributes["stored"]) == ("unreadable", "")
    assert sample.detail == ("volume-28.nii: has no orientation in its header, and segmentation-28.nii does not fit it")


@pytest.mark.parametrize("wrong", [False, True])
def test_a_mask_beside_its_box_is_told(wrong, tmp_path, caplog):
    (tmp_path / "volume-3.nii").write_bytes(stored(phantom(), "LPS"))
    # an affine that is not its volume's says nothing: shapes are compared
    (tmp_path / "segmentation-3.nii").write_bytes(stored(liver_mask(), "LAS" if wrong else "LPS", header="identity"))
    annotate(tmp_path, 3, {"liver": LIVER})
    crops(tmp_path)
    # y 3..11 of 18 against 7..15: 4 of 12
    assert ["overlap by 0.33" in record.message for record in caplog.records] == [True] * wrong


@pytest.mark.parametrize("header", ["true", "LPS"])
def test_a_coronal_stack_is_found_by_its_boxes(header, tmp_path):
    volume = np.random.RandomState(3).randint(-200, 400, (20, 8, 30)).astype(np.int16)
    box, femur = (3, 12, 1, 7, 12, 28), (4, 10, 2, 6, 1, 9)
    (tmp_path / "test-volume-59.nii").write_bytes(stored(volume, "LSP", header=header))
    annotate(tmp_path, 59, {"liver": box, "femur-r": femur}, training=False)
    found = crops(tmp_path)
    np.testing.assert_array_equal(found["test-59-1"], cut(volume, box))
    np.testing.assert_array_equal(found["test-59-4"], cut(volume, femur))


def test_a_femur_without_bone_is_told(tmp_path, caplog):
    (tmp_path / "test-volume-5.nii").write_bytes(stored(np.full(SHAPE, 40), "LPS"))
    annotate(tmp_path, 5, {"femur-r": LIVER, "liver": KIDNEY}, training=False)
    crops(tmp_path)
    assert ["holds no bone" in record.message for record in caplog.records] == [True]


# ---- files


def test_slope_and_intercept_are_applied_and_hu_are_kept(tmp_path):
    image = nibabel.Nifti1Image(np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE), np.diag([-1, -1, 5, 1]))
    image.header.set_slope_inter(2, -3024)
    (tmp_path / "volume-3.nii").write_bytes(image.to_bytes())
    annotate(tmp_path, 3, {"liver": (0, 22, 0, 18, 0, 14)})
    wanted = np.arange(np.prod(SHAPE)).reshape(SHAPE) * 2 - 3024
    np.testing.assert_array_equal(crops(tmp_path)["train-3-1"], wanted)


def test_layouts_give_the_same_samples(stand_in, tmp_path):
    first = stand_in("lits")
    with zipfile.ZipFile(first / "Training_Batch2.zip") as batch:
        for name in batch.namelist():
            part = tmp_path / "a" / Path(name).name
            part.parent.mkdir(exist_ok=True)
            part.write_bytes(gzip.compress(batch.read(name), 1) if "130" in name else batch.read(name))
            if "130" in name:
                part.rename(part.with_name(part.name + ".gz"))
    with zipfile.ZipFile(tmp_path / "Batch_1.zip", "w", zipfile.ZIP_DEFLATED) as batch:
        for path in sorted((first / "Training Batch 1").iterdir()):
            batch.write(path, f"Training_Batch1/{path.name}")
    for path in (first / "LITS-Challenge-Test-Data").iterdir():
        shutil.copy(path, tmp_path)
    for kind in ("training", "testing"):
        with zipfile.ZipFile(first / f"annotations_of_{kind}_set.zip") as archive:
            archive.extractall(tmp_path / kind)
    before, after = crops(first), crops(tmp_path)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_an_outside_box_a_short_file_and_a_missing_scan(tmp_path):
    good = stored(phantom(), "LPS")
    (tmp_path / "volume-3.nii").write_bytes(good)
    (tmp_path / "volume-4.nii").write_bytes(good[:-2000])
    (tmp_path / "volume-5.nii").write_bytes(b"not a volume" * 40)
    annotate(tmp_path, 3, {"liver": LIVER, "spleen": (12, 23, 3, 9, 2, 9)})
    annotate(tmp_path, 4, {"liver": LIVER})
    annotate(tmp_path, 5, {"liver": LIVER})
    annotate(tmp_path, 120, {"liver": LIVER})
    reasons = {sample.key: sample.reason for sample in lits.index(Raw(tmp_path), "volume").samples}
    assert reasons == {
        "train-3-1": "", "train-3-10": "outside-volume", "train-4-1": "", "train-5-1": "", "train-120-1": "missing",
    }  # fmt: skip
    with pytest.raises(CommandError):  # strict: missing
        build("organmnist3d", tmp_path, tmp_path / "strict", miniature=False)
    done = build("organmnist3d", tmp_path, tmp_path / "warn", census="warn", miniature=False)
    assert {row["key"]: row["reason"] for row in done.excluded} == {
        "train-3-10": "outside-volume", "train-4-1": "unreadable", "train-5-1": "unreadable", "train-120-1": "missing",
    }  # fmt: skip
    assert "ends early" in next(row["detail"] for row in done.excluded if row["key"] == "train-4-1")
    assert {reason for reason in reasons.values() if reason} <= set(REASONS)


# ---- the chains


@pytest.mark.real
@pytest.mark.parametrize(
    "name", ["v28_kidney-r_28", "v28_pancreas_28", "v44_kidney-l_28", "v28_spleen_64"]
)  # fmt: skip
def test_released_frames_in_every_pixel(name, real):
    with np.load(real / "released_pixels" / "organmnist3d.npz") as pairs:
        crop, frame = pairs[f"{name}_crop"], pairs[f"{name}_frame10"]
    about = recipe.load("organmnist3d", "released")
    values = {key: about.value(key) for key in ("grid", "window", "window_rounding", "zoom")}
    gray = boxes.window(boxes.grid(crop, values["grid"]), values["window"], values["window_rounding"])
    volume = grids.zoom(boxes.refuse_blank(gray), int(name[-2:]), values["zoom"])
    np.testing.assert_array_equal(volume[10], frame)
    assert (*about.prepare, *about.steps) == ("cut", "grid", "window", "refuse_blank", "zoom")
    assert {recipe.load(one, "released").value("orientation") for one in DATASETS} == {"raw"}


@pytest.mark.real
def test_published_tiles_cross_in_equal_lines(real):
    """OrganA, C and S at 28 are planes of one array, by the nearest voxel: 2,030 of 2,030 crossings, no control."""
    folder = real / "released_pixels" / "organ_acs"
    with np.load(folder / "official.npz") as file:
        tiles = {name: file[name] for name in "ACS"}
    with open(folder / "tiles.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert (len(rows), len({(row["volume"], row["organ"]) for row in rows})) == (408, 28)
    assert crossings.crossings(tiles, rows) == (2030, 2030)
    for off in (1, -1):
        equal, lines = crossings.crossings(tiles, rows, off=off)
        assert equal == 0 and lines > 400
    equal, lines = crossings.crossings(tiles, rows, crossings.first)
    assert equal / lines < 0.3
    # a flipped or transposed set does not cross the others
    for turned in (np.flip(tiles["A"], 1), np.flip(tiles["A"], 2), tiles["A"].transpose(0, 2, 1)):
        equal, _ = crossings.crossings(tiles | {"A": turned}, rows)
        assert equal < 1700
    for dataset in ("organamnist", "organcmnist", "organsmnist"):
        kernel = recipe.load(dataset, "released").decisions["kernel"]
        assert (kernel.at(28), kernel.at(64), kernel.at(128), kernel.at(224)) == ("nearest", *["bilinear"] * 3)
        image = np.arange(55 * 37, dtype=np.uint32).reshape(55, 37).astype(np.uint8)
        wanted = image[np.ix_(*([crossings.nearest(p, n) for p in range(28)] for n in image.shape))]
        np.testing.assert_array_equal(images.resize(image, 28, "nearest"), wanted)


@pytest.mark.real
def test_a_published_plane_meets_the_published_frame(real):
    """Where 28 pixels of a zoomed axis fall on voxels, OrganS and OrganMNIST3D hold the same 20 values."""
    with np.load(real / "released_pixels" / "organ_acs" / "s260_frame.npz") as file:
        tile, frame = file["s_tile"], file["frame10"]
    extents = (37, 32)  # of train-0-11, whose plane 20 is frame 10: 10 * (55 - 1) / 27
    nodes = [[p for p in range(28) if p * (n - 1) % 27 == 0] for n in extents]
    found = 0
    for i, j in itertools.product(*nodes):
        voxel = i * (extents[0] - 1) // 27, j * (extents[1] - 1) // 27
        pixels = [[p for p in range(28) if crossings.nearest(p, n) == v] for n, v in zip(extents, voxel, strict=True)]
        for p, q in itertools.product(*pixels):
            assert tile[p, q] == frame[i, j]
        found += all(pixels)
    assert found == 20


def chain(dataset, protocol, volume, box, size, tmp_path, **columns):
    """One sample through the dataset's whole chain, from a stored file."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "volume-3.nii").write_bytes(stored(volume, "RPS"))
    annotate(tmp_path, 3, {"liver": box})
    about = recipe.load(dataset, protocol)
    listing = lits.index(Raw(tmp_path), **about.dataset.options)
    renderer = Renderer(about, tmp_path, [size])
    return {
        (sample.attributes.get("slice_index", "")): renderer.render(sample).arrays[size] for sample in listing.samples
    }


BIG = (40, 36, 24)
BIG_BOX = (3, 37, 5, 34, 2, 22)


@pytest.fixture(scope="module")
def big():
    noise = scipy.ndimage.gaussian_filter(np.random.RandomState(5).standard_normal(BIG), 2)
    return np.asarray(noise / noise.std() * 150 + 20).astype(np.int16)


def released_grid(volume, box):
    """The published chain up to its gray volume, as the facts give it."""
    c = cut(volume[::-1], box)  # as stored: RPS
    d = scipy.ndimage.zoom(c, (0.703125 / 2, 0.703125 / 2, 2.5), order=3)
    return ((np.clip(d.astype(float), -200, 250) + 200) / 450 * 255).astype(np.uint8)


def test_released_chain_3d(big, tmp_path):
    u = released_grid(big, BIG_BOX)
    wanted = scipy.ndimage.zoom(u, [28 / n for n in u.shape], order=3)
    np.testing.assert_array_equal(chain("organmnist3d", "released", big, BIG_BOX, 28, tmp_path)[""], wanted)


@pytest.mark.parametrize(
    ("dataset", "take"),
    [
        ("organamnist", lambda u, k: u[:, :, k]),
        ("organcmnist", lambda u, k: u[:, k, :]),
        ("organsmnist", lambda u, k: u[k, :, :]),
    ],
)
def test_released_chain_2d(dataset, take, big, tmp_path):
    u = released_grid(big, BIG_BOX)
    found = chain(dataset, "released", big, BIG_BOX, 128, tmp_path)
    assert len(found) > 2
    for k, image in found.items():
        plane = Image.fromarray(np.ascontiguousarray(take(u, int(k))))
        np.testing.assert_array_equal(image, plane.resize((128, 128), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(
    ("dataset", "take", "factor"),
    [
        ("organamnist", lambda u, i: u[:, :, i].T, 2.5),
        ("organcmnist", lambda u, i: u[:, i, ::-1].T, 0.3515625),
        ("organsmnist", lambda u, i: u[i, :, ::-1].T, 0.3515625),
    ],
)
def test_paper_chain_2d(dataset, take, factor, big, tmp_path):
    gray = np.round((np.clip(cut(big, BIG_BOX).astype(float), -200, 250) + 200) / 450 * 255).astype(np.uint8)
    found = chain(dataset, "paper", big, BIG_BOX, 28, tmp_path)
    assert len(found) > 2
    for k, image in found.items():
        plane = Image.fromarray(np.ascontiguousarray(take(gray, round(int(k) / factor))))
        plane = plane.resize((28, plane.height), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(image, plane.resize((28, 28), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("size", [28, 64])
def test_paper_chain_3d_has_no_zeroed_border(size, tmp_path):
    volume = np.full((64, 70, 66), 100, np.int16)
    volume[30, 30, 30] = 101  # not blank: 100 and 101 HU are two grays
    image = chain("organmnist3d", "paper", volume, (0, 64, 0, 70, 0, 66), size, tmp_path)[""]
    assert image.min() >= 169
    assert recipe.load("organmnist3d", "released").value("zoom") == "scipy"


# ---- the stand-in


def test_crops_hold_their_organ(stand_in, builder):
    expected = {"liver": 110, "kidney-r": 185, "kidney-l": 185, "spleen": 125, "pancreas": 85, "bladder": 8,
                "femur-r": 550, "femur-l": 550, "lung-r": -840, "lung-l": -840, "heart": 150}  # fmt: skip
    found = crops(stand_in("lits"))
    raw = Raw(stand_in("lits"))
    organs = {sample.key: sample.original_label for sample in lits.index(raw, "volume").samples}
    assert set(organs.values()) == set(expected)
    for key, crop in found.items():
        near = np.abs(crop.astype(int) - expected[organs[key]]) < 60
        assert near.mean() > 0.2, key
    # and the mirror image of the published frame does not, where the organ is off the middle
    mirrored = crops(stand_in("lits"), "lps-y-reversed")
    kidneys = [key for key, organ in organs.items() if organ.startswith("kidney")]
    assert np.mean([(np.abs(mirrored[key].astype(int) - 185) < 60).mean() > 0.2 for key in kidneys]) < 0.2


@pytest.mark.parametrize("dataset", DATASETS)
def test_released_leaves_test_59_out_and_removes_blanks(dataset, stand_in, builder):
    done = builder(dataset, stand_in("lits"), protocol="released")
    groups = {row["group"]: row["split"] for row in done.samples}
    assert "test-59" not in groups
    assert (groups["train-115"], groups["train-112"], groups["test-33"]) == ("val", "train", "test")
    reasons = {row["key"]: row["reason"] for row in done.excluded}
    assert {reason for key, reason in reasons.items() if key.startswith("test-59")} == {"not-published"}
    blank = {
        key.rsplit("-", 2)[0] if dataset != "organmnist3d" else key for key, why in reasons.items() if why == "blank"
    }
    assert {"train-16-4", "train-16-5"} & blank
    paper = builder(dataset, stand_in("lits"))
    assert not paper.excluded
    told = [
        any("does not show the organ" in finding["text"] and finding["level"] == "warning" for finding in one.findings)
        for one in (done, paper)
    ]
    assert told == [True, False]
    assert {row["split"] for row in paper.samples if row["group"] == "test-59"} == {"test"}


def test_labels_of_the_two_orders():
    flat, solid = (
        recipe.load("organamnist", "paper").dataset.label,
        recipe.load("organmnist3d", "paper").dataset.label,
    )
    assert flat["classes"] == sorted(flat["classes"])
    short = {organ: organ.replace("-r", "-right").replace("-l", "-left") for organ in lits.ORGANS}
    for organ, code in lits.ORGANS.items():
        assert solid["map"][organ] == code - 1
        assert solid["classes"][code - 1] == flat["classes"][flat["map"][organ]] == short[organ]


@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_prepared_units_serve_all_four_and_equal_rendering_alone(protocol, stand_in, tmp_path):
    """One prepare job per shard, from one dataset's index; every dataset's shards equal a direct render."""
    raw, shards, f = stand_in("lits"), 3, tmp_path
    build("organamnist", raw, f / "organamnist", protocol=protocol, shards=shards)
    opened = []
    for shard in range(shards):
        assert not cli.main(["prepare", "organamnist", "--protocol", protocol, "--raw", str(raw), "--index",
                             str(f / "organamnist" / "index.tsv"), "--shard", str(shard), "--shards", str(shards),
                             "--output", str(f / str(shard))])  # fmt: skip
        units = list(read_rows(f / str(shard) / "units.tsv"))
        opened.append({row["unit"].rpartition("-")[0] for row in units})
    assert sum(map(len, opened)) == len(set().union(*opened)) == 13  # every scan in one job only
    for dataset in DATASETS:
        if dataset != "organamnist":
            build(dataset, raw, f / dataset, protocol=protocol, shards=shards)
        direct, through = {}, {}
        for shard in range(shards):
            part = f / dataset / "prepared" / str(shard)
            assert not cli.main(["render", dataset, "--protocol", protocol, "--raw", "nowhere",
                                 "--census", "strict", "--table", str(f / dataset / "split.tsv"),
                                 "--shard", str(shard), "--shards", str(shards),
                                 "--sizes", "28", "--prepared", str(f / str(shard)),
                                 "--output", str(part)])  # fmt: skip
            for folder, rows in ((f / dataset / "shards" / str(shard), direct), (part, through)):
                table = list(read_rows(folder / "rows.tsv"))
                for entry, image in zip(table, np.load(folder / "28.npy"), strict=True):
                    rows[entry["key"]] = (image.tobytes(), tuple(entry.values()))
        assert direct == through


def test_a_decision_of_the_prepared_steps_parts_the_datasets():
    schema = Path(__file__).parents[1] / "workflow" / "schemas" / "config.schema.json"
    plan = Plan({"overrides": {"organcmnist": {"kernel": "lanczos"}, "organsmnist": {"window": "-160,240"}}}, schema)
    together = ["organamnist", "organcmnist", "organmnist3d"]
    assert [plan.sharing(dataset) for dataset in DATASETS] == [together, together, ["organsmnist"], together]
    assert plan.sharing("breastmnist") == []
    assert plan.overrides("prepare", "organcmnist") == "{}"
    assert plan.overrides("prepare", "organsmnist") == json.dumps({"window": "-160,240"})


def test_memory_of_a_large_box_is_its_own(tmp_path):
    """A box of a volume is read without the volume."""
    import tracemalloc

    volume = np.zeros((128, 128, 400), np.int16)  # 13 MB
    (tmp_path / "volume-3.nii").write_bytes(stored(volume, "LAS"))
    annotate(tmp_path, 3, {"liver": (10, 60, 10, 60, 10, 60)})
    raw = Raw(tmp_path)
    (sample,) = lits.index(raw, "volume").samples
    lits.open(raw, sample)
    tracemalloc.start()
    boxes.cut(lits.open(raw, sample), "lps", sample.attributes["box"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_boxes_in_any_encoding(encoding, tmp_path):
    annotate(tmp_path / "", 3, {"liver": LIVER})
    (tmp_path / "volume-3.nii").write_bytes(stored(phantom(), "LPS"))
    wanted = lits.index(Raw(tmp_path), "volume").samples
    shutil.unpack_archive(tmp_path / "annotations_of_training_set.zip", tmp_path)
    (tmp_path / "annotations_of_training_set.zip").unlink()
    path = next(tmp_path.rglob("segmentation-3.txt"))
    path.write_bytes(path.read_bytes().decode().encode(encoding))
    assert lits.index(Raw(tmp_path), "volume").samples == wanted
    path.write_bytes(stored(phantom(), "LPS"))  # another file under its name
    with pytest.raises(PreprocessError, match=r"segmentation-3\.txt: (line 1 is not|not a text table)") as caught:
        lits.index(Raw(tmp_path), "volume")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400
