"""The LIDC-IDRI reader on its stand-in, laid out in several ways and spoilt."""

from __future__ import annotations

import shutil
import sqlite3
import zipfile
from collections import Counter
from contextlib import closing

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from preprocess import index, miniature, recipe
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading.archives import Raw
from preprocess.render import Renderer
from preprocess.sources import lidc_idri
from preprocess.sources.lidc_idri import readers
from preprocess.steps import nodules

#: of the smallest patient of the stand-in with several nodules
PATIENT, SCAN, NODULES, SLICES = "LIDC-IDRI-0886", 769, 3, 95


@pytest.fixture
def patient(stand_in, tmp_path):
    """A raw folder with one patient's only series, and the series' folder."""
    shutil.copytree(stand_in("lidc_idri") / "LIDC-IDRI" / PATIENT, tmp_path / "raw" / PATIENT)
    (series,) = {path.parent for path in (tmp_path / "raw").rglob("*.dcm")}
    return tmp_path / "raw", series


def listing(folder):
    return lidc_idri.index(Raw(folder))


def keys(folder):
    return [sample.key for sample in listing(folder).samples]


EXPECTED = [f"{PATIENT}/scan-{SCAN}/nodule-{number}" for number in range(1, NODULES + 1)]


def build(folder, census="strict", expected=None, overrides=None):
    counts = expected or {"patients": 1, "scans": 1, "nodules": NODULES}
    return index.build(recipe.load("nodulemnist3d", "paper", overrides), folder, census, counts).samples


def rows(folder, protocol="paper", sizes=(28,), **overrides):
    renderer = Renderer(recipe.load("nodulemnist3d", protocol, overrides), folder, list(sizes))
    return {sample.key: renderer.render(sample).arrays for sample in listing(folder).samples}


def test_stand_in_is_read(stand_in):
    found = listing(stand_in("lidc_idri"))
    assert found.census == miniature.census("nodulemnist3d")
    assert found.notes == ["1 further series, not CT scans of LIDC-IDRI, ignored"]
    assert not [sample.key for sample in found.samples if sample.reason]
    with closing(sqlite3.connect(readers.database())) as connection:
        scores = dict(connection.execute("SELECT id, malignancy FROM annotations"))
        patients = dict(connection.execute("SELECT series_instance_uid, patient_id FROM scans"))
    seen = Counter()
    for sample in found.samples:
        annotations = [int(word) for word in sample.attributes["annotations"].split()]
        seen.update(annotations)
        assert sample.original_label == " ".join(str(scores[one]) for one in annotations)
        assert sample.group == patients[sample.unit] == sample.key.partition("/")[0]
        assert sample.attributes["readers"] == str(len(annotations))
    assert set(seen.values()) == {1}
    two = {sample.unit for sample in found.samples if sample.group == "LIDC-IDRI-0365"}
    assert len(two) == 2


def test_any_folder_and_file_names(patient, tmp_path):
    raw, series = patient
    before = rows(raw)
    other = tmp_path / "other" / "a b" / "c"
    other.mkdir(parents=True)
    for number, path in enumerate(sorted(series.glob("*.dcm"), reverse=True)):
        shutil.copy(path, other / f"I{number * 7 % 101:04d}{'' if number % 2 else '.dcm'}")
    assert keys(tmp_path / "other") == EXPECTED
    after = rows(tmp_path / "other")
    assert all(np.array_equal(before[key][28], after[key][28]) for key in EXPECTED)


@pytest.mark.parametrize("inner", ["", "x/y/"])
def test_zips(patient, tmp_path, inner):
    raw, series = patient
    (tmp_path / "other").mkdir()
    with zipfile.ZipFile(tmp_path / "other/series.zip", "w") as archive:
        for path in series.iterdir():
            archive.write(path, inner + path.name)
        archive.writestr(f"{inner}LICENSE", "text")
    assert keys(tmp_path / "other") == EXPECTED
    before, after = rows(raw), rows(tmp_path / "other")
    assert all(np.array_equal(before[key][28], after[key][28]) for key in EXPECTED)


def test_two_series_in_one_folder(patient, stand_in):
    raw, series = patient
    expected = listing(stand_in("lidc_idri"))
    for path in (stand_in("lidc_idri") / "LIDC-IDRI" / "LIDC-IDRI-0719").rglob("*.dcm"):
        shutil.copy(path, series / f"other-{path.name}")
    wanted = {sample.key for sample in expected.samples if sample.group in (PATIENT, "LIDC-IDRI-0719")}
    assert set(keys(raw)) == wanted
    assert not [sample.key for sample in listing(raw).samples if sample.reason]
    assert set(rows(raw)) == wanted


def test_one_series_twice_is_one_or_refused(patient):
    raw, series = patient
    shutil.copytree(series, raw / "copy")
    before = [sample.path for sample in listing(series).samples]
    assert len([sample.path for sample in listing(raw).samples]) == len(before) == NODULES
    assert any("copy" in note and "byte for byte" in note for note in listing(raw).notes)
    path = next((raw / "copy").iterdir())
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(PreprocessError, match=r"lies in .* and in copy, and they differ; keep the published one"):
        listing(raw)


def test_a_missing_slice(patient):
    raw, series = patient
    (series / "000040.dcm").unlink()
    with pytest.raises(PreprocessError, match=f"3 files named .* are missing, the first is {EXPECTED[0]}"):
        build(raw)
    (series / "000041.dcm").unlink()
    assert [sample.reason for sample in listing(raw).samples] == ["missing"] * NODULES
    assert listing(raw).samples[0].detail == f"2 of {SLICES} slices of its series are not there"
    with pytest.raises(PreprocessError, match="no sample of nodulemnist3d can be rendered"):
        build(raw, "warn")


def test_a_slice_in_place_of_another_is_noticed_when_it_is_read(patient):
    raw, series = patient
    shutil.copy(series / "000040.dcm", series / "000041.dcm")
    renderer = Renderer(recipe.load("nodulemnist3d", "paper"), raw, [28])
    with pytest.raises(UnreadableError, match=f"1 of {SLICES} slices are missing, the first at z -?[0-9.]+ mm"):
        renderer.render(listing(raw).samples[0])


def test_a_missing_series_is_told_by_the_census(patient):
    with pytest.raises(PreprocessError, match=r"expected scans 2, found scans 1; complete the download"):
        build(patient[0], expected={"patients": 1, "scans": 2, "nodules": NODULES})
    assert len(build(patient[0], "warn", {"patients": 1, "scans": 2, "nodules": NODULES})) == NODULES


def test_no_dicom_at_all(tmp_path):
    (tmp_path / "readme.dcm").write_text("not DICOM")
    assert listing(tmp_path).samples == []


def test_the_tie_rule_is_a_decision(stand_in):
    folder = stand_in("lidc_idri")
    known = miniature.census("nodulemnist3d")
    found = {}
    for rule, pick in (("mode-lowest", min), ("mode-highest", max)):
        samples = build(folder, expected=known, overrides={"label.malignancy": rule})
        found[rule] = [(sample.label, sample.reason) for sample in samples]
        scores = [[int(word) for word in sample.original_label.split()] for sample in samples]
        modes = [pick(s for s in one if one.count(s) == max(map(one.count, one))) for one in scores]
        assert found[rule] == [("", "class-dropped") if mode == 3 else ("01"[mode > 3], "") for mode in modes]
    assert found["mode-lowest"] != found["mode-highest"]


@pytest.mark.parametrize("spoilt", ["cut", "no pixels", "header"])
def test_a_damaged_slice(patient, spoilt):
    raw, series = patient
    target = next(path for path in series.glob("*.dcm") if pydicom.dcmread(path).InstanceNumber == 50)
    data = pydicom.dcmread(target)
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian  # as the true files
    if spoilt == "no pixels":
        del data.PixelData
    data.save_as(target)
    if spoilt in ("cut", "header"):
        target.write_bytes(target.read_bytes()[: 200 if spoilt == "header" else -400])
    renderer = Renderer(recipe.load("nodulemnist3d", "paper"), raw, [28])
    with pytest.raises(UnreadableError, match=rf"{target.name} (cannot be decoded|is damaged)"):
        renderer._open(Raw(raw), listing(raw).samples[0]).cut(((0, SLICES), (0, 8), (0, 8)))


def test_hu_and_duplicate_heights(stand_in):
    folder = stand_in("lidc_idri")
    checked = 0
    for sample in listing(folder).samples:
        if "/nodule-1" not in sample.key or "scan-698" in sample.key:
            continue
        series = lidc_idri.open(Raw(folder), sample)
        heights = [one.z for one in series.slices]
        assert heights == sorted(set(heights))
        k = len(heights) // 2
        at = [one for path in (folder / sample.path).glob("*.dcm") if (one := pydicom.dcmread(path)).get("Rows") == 512
              and float(one.ImagePositionPatient[2]) == heights[k]]  # fmt: skip
        lowest = min(at, key=lambda one: int(one.InstanceNumber))
        assert len(at) == (2 if "scan-936" in sample.key else 1)
        hu = lowest.pixel_array.astype(int) * int(lowest.RescaleSlope) + int(lowest.RescaleIntercept)
        assert hu.min() < -1024
        plane = series.cut(((k, k + 1), (0, 512), (0, 512)))[0]
        assert np.array_equal(plane, np.maximum(hu, -1024))
        assert plane.max() < 1000  # the second slice of scan 936 at this height is 1000 throughout
        checked += 1
        if checked == 3:
            break
    series = lidc_idri.open(Raw(folder), next(s for s in listing(folder).samples if "scan-936" in s.key))
    assert len(series.slices) == 94
    assert series.cut(((47, 48), (0, 512), (0, 512))).max() < 1000


def test_the_nodule_is_where_the_readers_drew_it(stand_in):
    """All output voxels inside every reader's outline are dense, at 28 and at 45; lung is around them."""
    folder = stand_in("lidc_idri")
    with closing(sqlite3.connect(readers.database())) as connection:
        contours = connection.execute("SELECT annotation_id, image_z_position, coords FROM contours").fetchall()
        spacing = dict(connection.execute("SELECT series_instance_uid, pixel_spacing FROM scans"))
    renderer = Renderer(recipe.load("nodulemnist3d", "paper"), folder, [28, 45])
    tested = 0
    for sample in listing(folder).samples[:14]:
        members = {int(word) for word in sample.attributes["annotations"].split()}
        mine = [row for row in contours if row[0] in members]
        if len(members) < 3:
            continue
        arrays = renderer.render(sample).arrays
        # the plane that most readers outlined, and the pixels that all of them did
        z, _ = Counter(row[1] for row in mine).most_common(1)[0]
        inside = np.ones((512, 512), bool)
        for annotation in {row[0] for row in mine if row[1] == z}:
            stencil = Image.new("1", (512, 512))
            for row in mine:
                points = [tuple(map(int, line.split(","))) for line in row[2].split("\n")]
                if row[0] == annotation and row[1] == z and len(points) > 2:
                    ImageDraw.Draw(stencil).polygon(points, fill=1)
            inside &= np.asarray(stencil)
        core = ndimage.binary_erosion(inside, iterations=2)
        if core.sum() < 6:
            continue
        heights = [one.z for one in lidc_idri.open(Raw(folder), sample).slices]
        k = int(np.argmin(np.abs(np.array(heights) - z)))
        frame, *words = sample.attributes["centroid"].split()
        assert frame == sample.attributes["box"].split()[0] == "SPL"
        centroid = np.array([float(word) for word in words])
        step = np.array([np.median(np.diff(heights)), spacing[sample.unit], spacing[sample.unit]])
        mm = (np.column_stack([np.full(core.sum(), k), *np.nonzero(core)]) - centroid) * step
        for size, array in arrays.items():
            place = np.round(mm * size / 28 + size // 2).astype(int)
            place = place[((place >= 0) & (place < size)).all(axis=1)]
            dense = array[tuple(place.T)]
            assert np.median(dense) > 140, sample.key
            tested += len(dense) > 0
        assert np.median(arrays[28]) < 60 or float(sample.attributes["diameter"]) > 22
    assert tested >= 8


def test_window_and_the_upsampled_64(patient):
    raw, _ = patient
    found = rows(raw, "released", (28, 64))
    for key, arrays in found.items():
        zoomed = ndimage.zoom(arrays[28], 64 / 28, order=3)
        assert np.array_equal(arrays[64], zoomed), key
    sample = listing(raw).samples[0]
    place = nodules.surroundings(
        lidc_idri.open(Raw(raw), sample), "centroid", 28, sample.attributes["centroid"], sample.attributes["box"]
    )
    hu = nodules.isotropic(place, "1mm", 28).astype(float)
    # the authors' window_clip
    expected = np.round(np.clip((hu + 1024) / 1424 * 255, 0, 255)).astype(np.uint8)
    assert np.array_equal(found[sample.key][28], expected)
    assert not np.array_equal(rows(raw, "paper", (64,))[sample.key][64], found[sample.key][64])
