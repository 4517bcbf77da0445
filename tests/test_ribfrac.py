"""The RibFrac reader on its stand-in and on small scans of its own, laid out in several ways and spoilt."""

from __future__ import annotations

import gzip
import shutil
import zipfile

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform
from scipy import ndimage

from preprocess import index, miniature, recipe
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.miniature.ribfrac import SCANS
from preprocess.reading.archives import Raw
from preprocess.render import Renderer
from preprocess.sources import ribfrac
from preprocess.steps import boxes

INFO = "public_id,label_id,label_code\n"
SHAPE = (40, 36, 30)


def nifti(array, stored="LPS", spacing=(0.8, 0.7, 1.25)):
    image = nibabel.Nifti1Image(array, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))
    image = image.as_reoriented(ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(stored)))
    return gzip.compress(image.to_bytes(), 1)


def phantom():
    """HU without any symmetry, and a label 1 and a label 3."""
    generator = np.random.default_rng(3)
    hu = generator.integers(-300, 1300, SHAPE).astype(np.int32)
    label = np.zeros(SHAPE, np.uint8)
    label[8:13, 20:24, 5:9] = 1
    label[30:33, 6:9, 20:24] = 3
    label[34, 6, 20] = 3
    return hu, label


def write(folder, number=1, stored="LPS", codes=((0, 0), (1, 3), (3, 1)), dtype=np.uint8, place=""):
    hu, label = phantom()
    for kind, array in (("image", hu), ("label", label.astype(dtype))):
        path = folder / place / f"RibFrac{number}-{kind}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(nifti(array, stored))
    lines = "".join(f"RibFrac{number},{one},{code}\n" for one, code in codes)
    (folder / f"info-{number}.csv").write_text(INFO + lines)
    return hu, label


def listing(folder):
    return ribfrac.index(Raw(folder))


def rendered(folder, protocol="released", size=64, **overrides):
    renderer = Renderer(recipe.load("fracturemnist3d", protocol, overrides), folder, [size])
    return {one.key: renderer.render(one).arrays[size] for one in listing(folder).samples if not one.excluded}


def test_stand_in_is_read(stand_in):
    found = listing(stand_in("ribfrac"))
    assert found.census == miniature.census("fracturemnist3d")
    codes = {f"RibFrac{scan.number}/{n}": str(code) for scan in SCANS for n, code in enumerate(scan.codes, 1)}
    by_key = {sample.key: sample for sample in found.samples}
    for scan in SCANS:
        if scan.number > 500:
            sample = by_key.pop(f"RibFrac{scan.number}")
            assert (sample.excluded, sample.source_split) == ("no-label", "test")
    tested = {key: code for key, code in codes.items() if int(key[7:].partition("/")[0]) <= 500}
    assert {key: sample.original_label for key, sample in by_key.items()} == tested
    assert not [sample for sample in by_key.values() if sample.excluded]
    splits = {sample.source_split: {int(sample.group[7:]) <= 420} for sample in by_key.values()}
    assert splits == {"train": {True}, "val": {False}}


def test_centroids_and_cubes_by_a_second_way(stand_in, tmp_path):
    """nibabel's own canonical form, scipy's centre of mass, and padding by hand give the same cubes."""
    folder = stand_in("ribfrac")
    for name in ("ribfrac-train-images-1.zip", "ribfrac-train-labels-1.zip"):
        zipfile.ZipFile(folder / name).extractall(tmp_path)
    files = {path.name: path for base in (folder, tmp_path) for path in base.rglob("*.nii.gz")}
    cubes = rendered(folder)
    assert len(cubes) == 37
    for key, cube in cubes.items():
        scan, _, label = key.partition("/")
        hu, mask = (
            np.asanyarray(nibabel.as_closest_canonical(nibabel.load(files[f"{scan}-{kind}.nii.gz"])).dataobj)[
                ::-1, ::-1
            ]
            for kind in ("image", "label")
        )
        centre = [round(c) for c in ndimage.center_of_mass(mask == int(label))]
        ends = tuple(slice(c + 64 - 32, c + 64 + 32) for c in centre)
        expected = np.pad(hu.astype(float), 64, constant_values=-1024)[ends]
        gray = np.round((np.clip(expected, -200, 1000) + 200) / 1200 * 255)
        assert np.array_equal(cube, gray), key
        inside = np.pad(mask == int(label), 64)[ends]
        assert inside.sum() == (mask == int(label)).sum()
        assert cube[inside].mean() > cube.mean() + 20


@pytest.mark.parametrize("stored", ["RPS", "LAS", "LPI", "RAS", "SLP", "PIR", "ASL", "IRA"])
def test_orientation_does_not_matter(tmp_path, stored):
    write(tmp_path / "a")
    write(tmp_path / "b", stored=stored)
    wanted, found = (rendered(tmp_path / name) for name in "ab")
    assert list(wanted) == ["RibFrac1/1", "RibFrac1/3"]
    for key, cube in wanted.items():
        assert np.array_equal(cube, found[key])
    mm = (rendered(tmp_path / name, "paper", 20) for name in "ab")
    assert all(np.array_equal(*pair) for pair in zip(*(one.values() for one in mm), strict=True))
    as_stored = rendered(tmp_path / "b", orientation="raw")
    assert not np.array_equal(as_stored["RibFrac1/1"], wanted["RibFrac1/1"])


def test_left_is_left(tmp_path):
    hu, label = phantom()
    hu[:] = -1024
    hu[14, 22, 7] = 1000  # 4 to the left of label 1's centre of (10, 21.5, 6.5), nearly level with it
    write(tmp_path)
    for stored in ("LPS", "RAS"):
        (tmp_path / "RibFrac1-image.nii.gz").write_bytes(nifti(hu, stored))
        (tmp_path / "RibFrac1-label.nii.gz").write_bytes(nifti(label, stored))
        cube = rendered(tmp_path)["RibFrac1/1"]
        assert np.argwhere(cube).tolist() == [[32 + 4, 32 + 22 - round(21.5), 32 + 7 - round(6.5)]]


@pytest.mark.parametrize(("unit", "shape"), [("voxel", (64, 64, 64)), ("mm", (80, 91, 51))])
def test_the_unit_of_the_cube(tmp_path, unit, shape):
    write(tmp_path)
    sample = listing(tmp_path).samples[0]
    volume = ribfrac.open(Raw(tmp_path), sample)
    region = boxes.cut_cube(volume, "lps", unit, 64, sample.attributes["centroid"])
    assert region.shape == shape
    assert region.dtype == np.int16
    assert (region == -1024).sum() == region.size - np.prod(SHAPE)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_labels_of_any_type(tmp_path, dtype):
    _, label = write(tmp_path, dtype=dtype)
    for sample, number in zip(listing(tmp_path).samples, (1, 3), strict=True):
        found = [float(word) for word in sample.attributes["centroid"].split()]
        np.testing.assert_allclose(found, ndimage.center_of_mass(label == number), atol=1e-6)
        assert sample.attributes["voxels"] == str((label == number).sum())
        assert (sample.attributes["axes"], sample.attributes["spacing"]) == ("LPS", "0.8 0.7 1.25")


def test_layouts(tmp_path):
    write(tmp_path / "plain", place="Part1")
    (tmp_path / "zips").mkdir()
    shutil.copy(tmp_path / "plain/info-1.csv", tmp_path / "zips")
    for kind in ("image", "label"):
        with zipfile.ZipFile(tmp_path / f"zips/ribfrac-train-{kind}s-1.zip", "w") as archive:
            archive.write(tmp_path / f"plain/Part1/RibFrac1-{kind}.nii.gz", f"Part1/RibFrac1-{kind}.nii.gz")
    (tmp_path / "nii").mkdir()
    for path in (tmp_path / "plain/Part1").iterdir():
        (tmp_path / "nii" / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    shutil.copy(tmp_path / "plain/info-1.csv", tmp_path / "nii")
    wanted = rendered(tmp_path / "plain")
    for other in ("zips", "nii"):
        found = rendered(tmp_path / other)
        assert list(found) == list(wanted)
        assert all(np.array_equal(found[key], wanted[key]) for key in wanted)
    shutil.copytree(tmp_path / "plain/Part1", tmp_path / "plain/again")
    assert listing(tmp_path / "plain").notes == [
        f"1 copies of {kind}s were left aside, equal byte for byte: again/RibFrac1-{kind}.nii.gz"
        for kind in ("image", "label")
    ]


def test_what_cannot_be_a_sample(tmp_path):
    write(tmp_path, codes=((0, 0), (1, 4), (2, 1)))
    samples = {sample.key: sample for sample in listing(tmp_path).samples}
    assert {key: sample.excluded for key, sample in samples.items()} == {
        "RibFrac1/1": "",  # segmental: for the recipe to drop
        "RibFrac1/2": "empty-mask",
        "RibFrac1/3": "no-label",
    }
    write(tmp_path, number=2)
    built = index.build(recipe.load("fracturemnist3d", "paper"), tmp_path, "warn", {}).samples
    found = {sample.key: (sample.label, sample.excluded, sample.detail) for sample in built}
    assert found["RibFrac1/1"] == ("", "class-dropped", "4: segmental rib fracture")
    assert found["RibFrac2/1"] == ("0", "", "")
    assert found["RibFrac2/3"] == ("2", "", "")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_missing_files(tmp_path, kind):
    write(tmp_path)
    write(tmp_path, number=2)
    (tmp_path / f"RibFrac2-{kind}.nii.gz").unlink()
    found = {sample.key: (sample.excluded, sample.detail) for sample in listing(tmp_path).samples}
    assert found["RibFrac2/1"] == ("missing", f"no {kind} of RibFrac2")
    assert found["RibFrac1/1"] == ("", "")
    with pytest.raises(PreprocessError, match=r"2 files named .* are missing, the first is RibFrac2/1"):
        index.build(recipe.load("fracturemnist3d", "paper"), tmp_path, "strict", {})


def test_a_scan_without_a_row(tmp_path):
    write(tmp_path)
    write(tmp_path, number=7)
    (tmp_path / "info-7.csv").unlink()
    assert [(s.key, s.excluded) for s in listing(tmp_path).samples if s.excluded] == [("RibFrac7", "missing")]


def test_no_table(tmp_path):
    write(tmp_path)
    (tmp_path / "info-1.csv").write_text("id,name\n1,x\n")
    with pytest.raises(PreprocessError, match="no table with the columns public_id, label_id, label_code"):
        listing(tmp_path)


def test_two_codes_of_one_fracture(tmp_path):
    write(tmp_path)
    shutil.copy(tmp_path / "info-1.csv", tmp_path / "copy.csv")
    assert len(listing(tmp_path).samples) == 2
    (tmp_path / "copy.csv").write_text(INFO + "RibFrac1,3,2\n")
    with pytest.raises(PreprocessError, match=r"label 3 of RibFrac1 has the codes 2 and 1|codes 1 and 2"):
        listing(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("shape", r"RibFrac1-label\.nii\.gz has the shape \(40, 36, 29\), its image \(40, 36, 30\)"),
        ("cut label", r"RibFrac1-label\.nii\.gz (cannot be read|ends early)"),
        ("cut image", r"RibFrac1-image\.nii\.gz: (cannot be read|ends early)"),
        ("not nifti", r"RibFrac1-image\.nii\.gz: has no readable NIfTI header"),
    ],
)
def test_damaged_files_are_named(tmp_path, spoil, told):
    _, label = write(tmp_path)
    image, mask = (tmp_path / f"RibFrac1-{kind}.nii.gz" for kind in ("image", "label"))
    if spoil == "shape":
        mask.write_bytes(nifti(label[..., :-1]))
    elif spoil == "not nifti":
        image.write_bytes(gzip.compress(b"x" * 1000))
    else:
        target = mask if "label" in spoil else image
        target.write_bytes(target.read_bytes()[:-60])
    (sample, _) = listing(tmp_path).samples
    assert not sample.excluded
    with pytest.raises(UnreadableError, match=told):
        Renderer(recipe.load("fracturemnist3d", "paper"), tmp_path, [28]).render(sample)


def test_labels_of_test_scans_are_used_where_a_user_has_them(tmp_path):
    write(tmp_path)
    write(tmp_path, number=501)
    assert [(one.key, one.source_split) for one in listing(tmp_path).samples] == [
        ("RibFrac1/1", "train"),
        ("RibFrac1/3", "train"),
        ("RibFrac501/1", "test"),
        ("RibFrac501/3", "test"),
    ]


def test_the_empty_test_split_is_published_as_such(stand_in, builder):
    done = builder("fracturemnist3d", stand_in("ribfrac"))
    arrays = done.arrays(28)
    assert arrays["test_images"].shape == (0, 28, 28, 28)
    assert arrays["test_labels"].shape == (0, 1)
    assert arrays["test_labels"].dtype == arrays["test_images"].dtype == np.uint8
    splits = {row["key"]: row["split"] for row in done.samples}
    assert {split: sorted(splits.values()).count(split) for split in ("train", "val", "test")} == {
        "train": 25, "val": 7, "test": 0,
    }  # fmt: skip
    assert all((int(key[7:].partition("/")[0]) <= 420) == (split == "train") for key, split in splits.items())
    reasons = [row["reason"] for row in done.excluded]
    assert (reasons.count("no-label"), reasons.count("class-dropped")) == (3, 5)
    (told,) = [one["text"] for one in done.findings if one["check"] == "published"]
    assert "train 25 (published 1,027), val 7 (published 103), test 0 (published 240, " in told
