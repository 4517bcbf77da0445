"""AdrenalMNIST3D: the published 64 file as raw, and masks of one's own in any storage."""

from __future__ import annotations

import gzip
import itertools
import shutil
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform
from scipy import ndimage

from preprocess import container, npz, sources
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.plan.plan import Plan
from preprocess.reading.archives import Raw
from preprocess.sources import adrenal
from preprocess.steps import grids
from tests.builds import CommandError, placed

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"
ROWS = {"train": 7, "val": 2, "test": 3}


def published(folder, seed=0, edge=64):
    """A file of the published form, with a few rows."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = []
    for split, count in ROWS.items():
        images = ndimage.gaussian_filter(generator.normal(size=(count, edge, edge, edge)), (0, 5, 5, 5)) > 0.02
        labels = (np.arange(count) % 2).astype(np.uint8)[:, None]
        arrays += [
            container.Array(f"{split}_images", images.shape, list(images.astype(np.uint8) * 255)),
            container.Array(f"{split}_labels", labels.shape, [labels]),
        ]
    container.write(folder / adrenal.PUBLISHED, arrays, 0)
    with np.load(folder / adrenal.PUBLISHED) as file:
        return {name: file[name] for name in file.files}


def own(folder, table, masks):
    """Masks of one's own: a table's text, and array, spacing and orientation by name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adrenal.csv").write_text(table)
    for name, (array, spacing, towards) in masks.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(store(array, spacing, towards))
    return folder


def store(array, spacing, towards):
    """NIfTI bytes of an array given in LPS, stored towards other sides."""
    stored = apply_orientation(array, ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(tuple(towards))))
    affine = np.zeros((4, 4))
    for column, one in enumerate(towards):
        row = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}[one]
        affine[row, column] = spacing[row] * (1 if one in "RAS" else -1)
    affine[:, 3] = [-31, 8.5, 120, 1]
    return nibabel.Nifti1Image(stored, affine).to_bytes()


def hook(shape=(40, 36, 30)):
    """A shape without any symmetry, in LPS."""
    array = np.zeros(shape, np.uint8)
    array[8:30, 10:14, 9:15] = 1
    array[8:12, 10:28, 9:15] = 1
    array[26:30, 10:14, 9:26] = 1
    return array


# ---- the published file


def test_rows_labels_and_splits_come_from_the_published_file(tmp_path):
    arrays = published(tmp_path / "adrenal")
    raw = Raw(tmp_path / "adrenal")
    listing = adrenal.index(raw)
    assert listing.census == {"label 0": 4 + 1 + 2, "label 1": 3 + 1 + 1}
    assert [sample.key for sample in listing.samples] == [f"{split}/{i}" for split in ROWS for i in range(ROWS[split])]
    # in order, then backwards, then at random: whatever is asked for is given
    wanted = [*listing.samples, *listing.samples[::-1], *np.random.default_rng(1).permutation(listing.samples)]
    for sample in wanted:
        split, _, row = sample.key.partition("/")
        np.testing.assert_array_equal(adrenal.open(raw, sample), arrays[f"{split}_images"][int(row)])
        assert sample.original_label == str(arrays[f"{split}_labels"][int(row), 0])


def test_released_build_keeps_the_published_rows_and_bytes(tmp_path, builder):
    arrays = published(tmp_path / "adrenal")
    done = builder(
        "adrenalmnist3d", tmp_path / "adrenal", protocol="released", sizes=(28, 64), census="warn", miniature=False
    )
    found = done.arrays(64)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert all(row["released_index"] == row["index"] for row in done.samples)
    for split in ROWS:
        for ours, theirs in zip(done.arrays(28)[f"{split}_images"], arrays[f"{split}_images"], strict=True):
            expected = ndimage.zoom((theirs > 0).astype(float), 28 / 64, order=3) > 0.5
            np.testing.assert_array_equal(ours > 0, expected)
    # the published 28 was written on Unix, the published 64 on Windows
    assert [npz.Reader(done.npz(size)).create_system for size in (28, 64)] == [3, 0]


def test_paper_build_keeps_the_splits_and_shuffles_the_order(tmp_path, builder):
    published(tmp_path / "adrenal")
    done = builder("adrenalmnist3d", tmp_path / "adrenal", census="warn", miniature=False)
    assert {row["key"].partition("/")[0] == row["split"] for row in done.samples} == {True}
    assert [row["index"] for row in done.samples] != [row["released_index"] for row in done.samples]
    # the published file names no patient: nothing may be claimed of them
    (told,) = [finding["text"] for finding in done.findings if finding["check"] == "groups"]
    assert told == "no sample's patient is known from these files: leakage between splits cannot be seen"


def test_wrong_sizes_are_refused(tmp_path):
    published(tmp_path, edge=28)
    with pytest.raises(PreprocessError, match="not cubes of 64"):
        adrenal.index(Raw(tmp_path))


def test_strict_census_refuses_another_number_of_rows(tmp_path, builder):
    published(tmp_path / "adrenal")
    with pytest.raises(CommandError):
        builder("adrenalmnist3d", tmp_path / "adrenal", miniature=False)


def test_published_file_elsewhere_serves_when_the_own_folder_has_nothing(tmp_path):
    raw = tmp_path / "raw"
    published(raw / "released")
    (raw / "released" / "vesselmnist3d.npz").write_bytes(b"of no interest here")
    assert sources.locate("adrenal", raw / "adrenal") == raw / "released"
    config = {"raw": str(raw), "results": str(tmp_path / "results"), "datasets": ["adrenalmnist3d"]}
    plan = Plan(config, SCHEMA)
    assert plan.folder("adrenalmnist3d") == raw / "released"
    before = plan.current("index", "adrenalmnist3d")
    (raw / "released" / "vesselmnist3d.npz").write_bytes(b"changed, and still of no interest")
    assert Plan(config, SCHEMA).current("index", "adrenalmnist3d") == before
    assert len(adrenal.index(Raw(raw / "released")).samples) == sum(ROWS.values())
    published(raw / "adrenal", seed=1)
    assert sources.locate("adrenal", raw / "adrenal") == raw / "adrenal"
    # other sources have no such file
    assert sources.locate("busi", raw / "busi") == raw / "busi"


# ---- masks of one's own

TABLE = "id,patient,side,label\nP1_L,P1,left,0\n"


@pytest.mark.parametrize(
    "towards", ["".join(one) for one in itertools.product("LR", "PA", "SI")] + ["PLS", "SRA", "AIL"]
)
def test_left_is_left_however_it_is_stored(towards, tmp_path):
    spacing = (0.8, 1.0, 1.5)
    raw = Raw(own(tmp_path / "x", TABLE, {"P1_L.nii": (hook(), spacing, towards)}))
    mask = adrenal.open(raw, adrenal.index(raw).samples[0])
    assert mask.spacing == pytest.approx(spacing)
    np.testing.assert_array_equal(mask.cells, hook() > 0)


def test_layouts_give_the_same_samples(stand_in, tmp_path):
    folder = stand_in("adrenal")
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for path in sorted((folder / "masks").iterdir()):
            archive.write(path, f"some/where/{path.name}")
    text = (folder / "adrenal.csv").read_text("utf-8-sig")
    (tmp_path / "glands.csv").write_text(text.replace(",", ";").replace("id;", "ID; "))
    first, second = adrenal.index(Raw(folder)), adrenal.index(Raw(tmp_path))
    assert first.census == second.census == {"label 0": 27, "label 1": 9}
    for one, other in zip(first.samples[:6], second.samples[:6], strict=True):
        assert (one.key, one.group, one.source_split, one.original_label, one.attributes) == (
            other.key, other.group, other.source_split, other.original_label, other.attributes,
        )  # fmt: skip
        assert adrenal.open(Raw(folder), one).sha256() == adrenal.open(Raw(tmp_path), other).sha256()


def test_given_splits_are_kept_and_patients_stay_together(stand_in):
    samples = placed("adrenalmnist3d", stand_in("adrenal"))
    splits: dict[str, set[str]] = {}
    for sample in samples:
        splits.setdefault(sample.group, set()).add(sample.split)
        assert sample.source_split in ("", sample.split)
    assert (len(samples), len(splits)) == (36, 18)
    assert {len(found) for found in splits.values()} == {1}
    assert {sample.source_split for sample in samples} == {"", "train", "val", "test"}


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        ("id,patient,side\nP1_L,P1,left\n", "has no column 'label'"),
        (TABLE.replace("left", "top"), "side 'top' is not one of left, right"),
        (TABLE.replace(",0\n", ",2\n"), "label '2' is not one of 0, 1"),
        (TABLE.replace(",0\n", ",\n"), "line 2 has no label"),
        ("id,patient,side,label,split\nP1_L,P1,left,0,training\n", "split 'training' is not one of train, val, test"),
    ],
)
def test_table_that_does_not_fit_is_refused(table, cause, tmp_path):
    with pytest.raises(PreprocessError, match=cause):
        adrenal.index(Raw(own(tmp_path / "x", table, {"P1_L.nii": (hook(), (1, 1, 1), "LPS")})))


def test_both_forms_or_neither_are_refused(tmp_path, stand_in):
    folder = Path(shutil.copytree(stand_in("adrenal"), tmp_path / "x"))
    published(folder)
    with pytest.raises(PreprocessError, match="holds 1 of the file, 36 masks and 1 tables"):
        adrenal.index(Raw(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(PreprocessError, match="holds 0 of the file, 0 masks and 0 tables"):
        adrenal.index(Raw(tmp_path / "empty"))


def test_a_named_mask_that_is_not_there_is_missing_and_others_are_told(tmp_path):
    folder = own(tmp_path / "x", TABLE + "P2_L,P2,left,1\n", {"P1_L.nii": (hook(), (1, 1, 1), "LPS")})
    (folder / "P3_R.nii.gz").write_bytes(gzip.compress((folder / "P1_L.nii").read_bytes()))
    listing = adrenal.index(Raw(folder))
    assert [(one.key, one.reason) for one in listing.samples] == [("P1_L", ""), ("P2_L", "missing")]
    assert listing.notes == ["1 masks are not in adrenal.csv, ignored"]


@pytest.mark.parametrize("kind", ["scan", "cut", "not nifti"])
def test_what_is_no_mask_is_unreadable(kind, tmp_path):
    folder = own(tmp_path / "x", TABLE, {"P1_L.nii": (hook(), (1, 1, 1), "LPS")})
    path = folder / "P1_L.nii"
    if kind == "scan":
        path.write_bytes(store(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), (1, 1, 1), "LPS"))
    else:
        path.write_bytes(path.read_bytes()[:5000] if kind == "cut" else b"x" * 5000)
    raw = Raw(folder)
    with pytest.raises(UnreadableError):
        adrenal.open(raw, adrenal.index(raw).samples[0])


# ---- the real files


@pytest.mark.real
def test_published_28_follows_from_the_published_64(real):
    """1,583 of 1,584 rows; train 820 differs in 11 voxels."""
    raw = Raw(real / "released")
    listing = adrenal.index(raw)
    assert listing.census == {"label 0": 1234, "label 1": 350}
    reader = npz.Reader(real / "released" / "adrenalmnist3d.npz")
    rows = itertools.chain.from_iterable(reader.rows(f"{split}_images") for split in ROWS)
    labels = np.concatenate([reader.array(f"{split}_labels") for split in ROWS])[:, 0]
    assert [int(sample.original_label) for sample in listing.samples] == labels.tolist()
    different = {}
    for sample, theirs in zip(listing.samples, rows, strict=True):
        cube = grids.cut_mask(adrenal.open(raw, sample), 64)
        if count := int((grids.zoom_mask(cube, 28, "scipy") != theirs).sum()):
            different[sample.key] = count
    assert different == {"train/820": 11}
