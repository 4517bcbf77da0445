"""The RibFrac reader on its stand-in and on small scans of its own, laid out in several ways and spoilt."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from fractions import Fraction
from math import floor

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform
from scipy import ndimage

from preprocess import index, miniature, recipe
from preprocess.errors import ExcludeSample, PreprocessError, UnreadableError
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
    return {one.key: renderer.render(one).arrays[size] for one in listing(folder).samples if not one.reason}


def test_stand_in_is_read(stand_in):
    found = listing(stand_in("ribfrac"))
    assert found.census == miniature.census("fracturemnist3d")
    codes = {f"RibFrac{scan.number}/{n}": str(code) for scan in SCANS for n, code in enumerate(scan.codes, 1)}
    by_key = {sample.key: sample for sample in found.samples}
    for scan in SCANS:
        if scan.number > 500:
            sample = by_key.pop(f"RibFrac{scan.number}")
            assert (sample.reason, sample.source_split) == ("no-label", "test")
    tested = {key: code for key, code in codes.items() if int(key[7:].partition("/")[0]) <= 500}
    assert {key: sample.original_label for key, sample in by_key.items()} == tested
    assert not [sample for sample in by_key.values() if sample.reason]
    splits = {sample.source_split: {int(sample.group[7:]) <= 420} for sample in by_key.values()}
    assert splits == {"train": {True}, "val": {False}}


def test_centroids_and_cubes_by_a_second_way(stand_in, tmp_path):
    """nibabel's own canonical form, scipy's centre of mass, and padding by hand give the same cubes."""
    folder = stand_in("ribfrac")
    for name in ("ribfrac-train-images-1.zip", "ribfrac-train-labels-1.zip"):
        zipfile.ZipFile(folder / name).extractall(tmp_path)
    files = {path.name: path for base in (folder, tmp_path) for path in base.rglob("*.nii.gz")}
    cubes = rendered(folder, crop_unit="voxel", pitch="original", mask="none", window_rounding="round")
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


def files_of(folder, scratch):
    """Every NIfTI file of a folder by its name, those in zips unpacked."""
    for archive in folder.glob("*.zip"):
        zipfile.ZipFile(archive).extractall(scratch)
    return {path.name: path for base in (folder, scratch) for path in base.rglob("*.nii.gz")}


def in_lps(path):
    """A file's array in LPS and its edges, by nibabel's own canonical form."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asanyarray(image.dataobj)[::-1, ::-1], image.header.get_zooms()


def at_1mm(volume, zooms, order):
    """A whole scan on the grid of 1 mm, and the steps of that grid in voxels."""
    target = [max(round(n * float(edge)), 2) for n, edge in zip(volume.shape, zooms, strict=True)]
    zoomed = ndimage.zoom(volume.astype(float), np.divide(target, volume.shape), order=order, mode="nearest")
    assert zoomed.shape == tuple(target)
    return zoomed, (np.array(volume.shape) - 1) / (np.array(target) - 1)


@pytest.mark.parametrize("masked", [True, False])
def test_released_cubes_by_a_second_way(masked, stand_in, tmp_path):
    """The whole scan zoomed to 1 mm, masked and windowed as the facts say: the same cubes, turned masks included."""
    folder = stand_in("ribfrac")
    files = files_of(folder, tmp_path)
    cubes = rendered(folder, **({} if masked else {"mask": "none"}))
    assert len(cubes) == 37
    outside = []
    for key, cube in cubes.items():
        scan, _, label = key.partition("/")
        hu, zooms = in_lps(files[f"{scan}-image.nii.gz"])
        mask, _ = in_lps(files[f"{scan}-label.nii.gz"])
        ribs, _ = in_lps(files[f"{scan}-rib-seg.nii.gz"])
        whole, ratio = at_1mm(hu, zooms, 3)
        nearest = [
            [floor(Fraction(k * (n - 1), t - 1) + Fraction(1, 2)) for k in range(t)]
            for n, t in zip(hu.shape, whole.shape, strict=True)
        ]
        bones = (ribs > 0)[np.ix_(*nearest)]
        centre = np.round(np.array(ndimage.center_of_mass(mask == int(label))) / ratio).astype(int)
        ends = tuple(slice(c + 64 - 32, c + 64 + 32) for c in centre)
        cut = np.pad(np.rint(whole), 64, constant_values=-1024)[ends]
        gray = ((np.clip(cut, -200, 1000) + 200) / 1200 * 255).astype(np.uint8)
        if masked:
            gray[~np.pad(bones, 64)[ends]] = 0
        np.testing.assert_array_equal(cube, gray, err_msg=key)
        outside.append((cube == 0).mean())
        small = rendered_one(folder, key, 28, **({} if masked else {"mask": "none"}))
        wanted = ndimage.zoom(cube, 28 / 64, order=3)
        np.testing.assert_array_equal(small, wanted)
        if len(outside) == 12:
            break
    assert (np.mean(outside) > 0.8) == masked


def rendered_one(folder, key, size, protocol="released", **overrides):
    renderer = Renderer(recipe.load("fracturemnist3d", protocol, overrides), folder, [size])
    return next(renderer.render(one).arrays[size] for one in listing(folder).samples if one.key == key)


@pytest.mark.parametrize("order", [1, 3])
def test_interpolated_centres_by_a_second_way(order, tmp_path):
    """All labels' numbers zoomed to 1 mm as a whole: the centroids of what is then found, and what vanishes."""
    generator = np.random.default_rng(11)
    label = np.zeros(SHAPE, np.uint8)
    for number in range(1, 9):
        x, y, z = (int(generator.integers(2, n - 8)) for n in SHAPE)
        label[x : x + 5, y : y + 4, z : z + 4] = number
    label[20, 3, 25] = 9  # one voxel of 0.7 mm3: little is left of it
    hu, _ = phantom()
    write(tmp_path, codes=((0, 0), *((n, 1) for n in range(1, 10))))
    (tmp_path / "RibFrac1-image.nii.gz").write_bytes(nifti(hu, "RAS"))
    (tmp_path / "RibFrac1-label.nii.gz").write_bytes(nifti(label, "LPS"))
    whole, _ = at_1mm(label, (0.8, 0.7, 1.25), order)
    whole = np.rint(whole).astype(int)
    raw = Raw(tmp_path)
    seen = 0
    for sample in ribfrac.index(raw).samples:
        volume = ribfrac.open(raw, sample)
        columns = {key: sample.attributes[key] for key in ("centroid", "fracture", "ribs")}
        name = "interpolated" if order == 1 else "interpolated-cubic"
        number = int(sample.attributes["fracture"])
        if not (whole == number).any():
            with pytest.raises(ExcludeSample, match=f"no voxel of label {number} is left at 1 mm"):
                boxes.cut_cube(volume, "lps", "mm", 8, "1mm", name, "none", **columns)
            continue
        found = boxes.cut_cube(volume, "lps", "mm", 8, "1mm", name, "none", **columns)
        centre = np.round(ndimage.center_of_mass(whole == number)).astype(int)
        grid = np.rint(at_1mm(hu, (0.8, 0.7, 1.25), 3)[0])
        ends = tuple(slice(c + 8 - 4, c + 8 + 4) for c in centre)
        np.testing.assert_array_equal(found, np.pad(grid, 8, constant_values=-1024)[ends])
        seen += 1
    assert seen >= 6


@pytest.mark.parametrize("ribs", ["all", "some", "none"])
def test_masks_of_the_ribs_that_are_not_there(ribs, tmp_path):
    for number in (1, 2):
        _, label = write(tmp_path, number=number)
        if ribs == "all" or (ribs == "some" and number == 1):
            (tmp_path / f"RibFrac{number}-rib-seg.nii.gz").write_bytes(nifti((label > 0).astype(np.uint8), "RAS"))
    found = {sample.key: sample.attributes["ribs"] for sample in listing(tmp_path).samples}
    lacking = {"all": "RibFrac2-rib-seg.nii.gz", "some": "", "none": "none"}[ribs]
    assert found["RibFrac2/1"] == lacking
    renderer = Renderer(recipe.load("fracturemnist3d", "released"), tmp_path, [64])
    samples = {sample.key: sample for sample in listing(tmp_path).samples}
    if ribs == "some":
        with pytest.raises(ExcludeSample, match="missing: this scan has no mask of its ribs"):
            renderer.render(samples["RibFrac2/1"])
        assert any("1 of 2 scans have no mask of their ribs" in note for note in listing(tmp_path).notes)
    else:
        share = (renderer.render(samples["RibFrac2/1"]).arrays[64] > 0).mean()
        assert (share < 0.01) == (ribs == "all")
    # the paper's volumes show everything either way
    assert (rendered_one(tmp_path, "RibFrac2/1", 64, "paper") > 0).mean() > 0.05


def test_the_build_says_that_ribs_are_not_masked(tmp_path, builder):
    write(tmp_path)
    told = {}
    for protocol in ("released", "paper"):
        done = builder("fracturemnist3d", tmp_path, protocol=protocol, census="warn", miniature=False)
        told[protocol] = [one for one in done.findings if one["check"] == "mask"]
    assert not told["paper"]
    (finding,) = told["released"]
    assert finding["level"] == "warning" and "the published volumes show the ribs only" in finding["text"]


def test_the_released_labels_are_code_less_one(tmp_path):
    write(tmp_path, codes=((0, 0), (1, 1), (3, 3)))
    labels = {}
    for protocol in ("paper", "released"):
        built = index.build(recipe.load("fracturemnist3d", protocol), tmp_path, "warn", {}).samples
        labels[protocol] = {sample.original_label: sample.label for sample in built}
    assert labels == {"paper": {"1": "2", "3": "0"}, "released": {"1": "0", "3": "2"}}
    choice = recipe.load("fracturemnist3d", "released").decisions["label.map"]
    assert "names and labels disagree" in choice.note
    own = recipe.load("fracturemnist3d", "paper", {"label.map": {1: 1, 2: 1, 3: 0}})
    assert {one.original_label: one.label for one in index.build(own, tmp_path, "warn", {}).samples} == {
        "1": "1", "3": "0",
    }  # fmt: skip


@pytest.mark.real
def test_the_real_tables_give_the_census(real):
    """Counts of the facts: 3,987 and 435 lesions, and those of each code; no image or label is needed for them."""
    found = listing(real / "ribfrac_tables")
    expected = {
        "train fractures": 3987, "train code -1": 2332, "train code 1": 618, "train code 2": 567, "train code 3": 291,
        "train code 4": 179, "val fractures": 435, "val code -1": 243, "val code 1": 69, "val code 2": 63,
        "val code 3": 30, "val code 4": 30,
    }  # fmt: skip
    assert {name: count for name, count in found.census.items() if "scans" not in name} == expected
    known = recipe.load("fracturemnist3d", "released").dataset.census
    assert known == expected | {"train scans": 420, "val scans": 80}
    assert len({sample.group for sample in found.samples}) <= 500
    # "0 = buckle" is impossible: 473 published train rows of class 0, 291 buckle fractures
    assert found.census["train code 3"] < 473 < found.census["train code 1"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_with_another_separator(separator, tmp_path):
    write(tmp_path)
    wanted = [(one.key, one.original_label) for one in listing(tmp_path).samples]
    table = tmp_path / "info-1.csv"
    table.write_text(table.read_text().replace(",", separator))
    assert [(one.key, one.original_label) for one in listing(tmp_path).samples] == wanted


def test_a_missing_table_is_named_and_its_scans_are_left_out(stand_in, tmp_path):
    shutil.copytree(stand_in("ribfrac"), tmp_path / "raw")
    (tmp_path / "raw" / "ribfrac-val-info.csv").unlink()
    about = recipe.load("fracturemnist3d", "paper")
    with pytest.raises(PreprocessError, match=r"expected .*val fractures 8"):
        index.build(about, tmp_path / "raw", "strict", miniature.census("fracturemnist3d"))
    built = index.build(about, tmp_path / "raw", "warn", {}).samples
    left = {one.key: one.detail for one in built if one.reason == "no-label" and one.source_split == "val"}
    assert set(left) == {f"RibFrac{number}" for number in (421, 422, 423, 424)}
    assert all("ribfrac-val-info" in detail for detail in left.values())


LABEL_AXES = ["RPS", "LAS", "LPI", "SPL", "IRA"]


@pytest.mark.parametrize("stored", LABEL_AXES)
def test_a_label_stored_otherwise_than_its_image(stored, tmp_path):
    """The same place in the world gives the same cube, whichever way the label's file runs."""
    _, label = write(tmp_path)
    wanted = rendered(tmp_path)
    before = {one.key: one.attributes["centroid"] for one in listing(tmp_path).samples}
    (tmp_path / "RibFrac1-label.nii.gz").write_bytes(nifti(label, stored))
    assert {one.key: one.attributes["centroid"] for one in listing(tmp_path).samples} == before
    found = rendered(tmp_path)
    assert all(np.array_equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("what", ["label", "rib-seg"])
@pytest.mark.parametrize(
    ("spacing", "shift", "told"),
    [((0.8, 0.7, 2.5), 0, "no flip or order of axes"), ((0.8, 0.7, 1.25), 5, r"lies 6\.2 voxels beside its image")],
)  # fmt: skip
def test_a_label_or_mask_of_another_place_is_refused(what, spacing, shift, told, tmp_path):
    _, label = write(tmp_path)
    image = nibabel.Nifti1Image(label, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))
    image.affine[0, 3] += shift
    image = nibabel.Nifti1Image(label, image.affine)
    (tmp_path / f"RibFrac1-{what}.nii.gz").write_bytes(gzip.compress(image.to_bytes(), 1))
    with pytest.raises(UnreadableError, match=rf"RibFrac1-{what}\.nii\.gz .*{told}"):
        rendered(tmp_path)


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
        cube = rendered(tmp_path, crop_unit="voxel", pitch="original")["RibFrac1/1"]
        assert np.argwhere(cube).tolist() == [[32 + 4, 32 + 22 - round(21.5), 32 + 7 - round(6.5)]]


@pytest.mark.parametrize(("unit", "shape"), [("voxel", (64, 64, 64)), ("mm", (80, 91, 51))])
def test_the_unit_of_the_cube(tmp_path, unit, shape):
    write(tmp_path)
    sample = listing(tmp_path).samples[0]
    volume = ribfrac.open(Raw(tmp_path), sample)
    place = sample.attributes["centroid"]
    region = boxes.cut_cube(volume, "lps", unit, 64, "original", "mask", "none", place, "1", "none")
    assert region.shape == shape
    assert region.dtype == np.int16
    assert (region == -1024).sum() == region.size - np.prod(SHAPE)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_labels_of_any_type(tmp_path, dtype):
    _, label = write(tmp_path, dtype=dtype)
    for sample, number in zip(listing(tmp_path).samples, (1, 3), strict=True):
        frame, *found = sample.attributes["centroid"].split()
        assert frame == "LPS"
        np.testing.assert_allclose([*map(float, found)], ndimage.center_of_mass(label == number), atol=1e-6)
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
    assert {key: sample.reason for key, sample in samples.items()} == {
        "RibFrac1/1": "",  # segmental: for the recipe to drop
        "RibFrac1/2": "empty-mask",
        "RibFrac1/3": "no-label",
    }
    write(tmp_path, number=2)
    built = index.build(recipe.load("fracturemnist3d", "paper"), tmp_path, "warn", {}).samples
    found = {sample.key: (sample.label, sample.reason, sample.detail) for sample in built}
    assert found["RibFrac1/1"] == ("", "class-dropped", "4: segmental rib fracture")
    assert found["RibFrac2/1"] == ("0", "", "")
    assert found["RibFrac2/3"] == ("2", "", "")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_missing_files(tmp_path, kind):
    write(tmp_path)
    write(tmp_path, number=2)
    (tmp_path / f"RibFrac2-{kind}.nii.gz").unlink()
    found = {sample.key: (sample.reason, sample.detail) for sample in listing(tmp_path).samples}
    assert found["RibFrac2/1"] == ("missing", f"no {kind} of RibFrac2")
    assert found["RibFrac1/1"] == ("", "")
    with pytest.raises(PreprocessError, match=r"2 files named .* are missing, the first is RibFrac2/1"):
        index.build(recipe.load("fracturemnist3d", "paper"), tmp_path, "strict", {})


def test_a_scan_without_a_row(tmp_path):
    write(tmp_path)
    write(tmp_path, number=7)
    (tmp_path / "info-7.csv").unlink()
    assert [(s.key, s.reason) for s in listing(tmp_path).samples if s.reason] == [("RibFrac7", "no-label")]
    (told,) = listing(tmp_path).warnings
    assert "1 scans are in no information table, the first is RibFrac7" in told and "ribfrac-val-info.csv" in told


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
    assert not sample.reason
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
    assert "train 25 (real data, published: 1,027), val 7 (real data, published: 103), test 0 (" in told
