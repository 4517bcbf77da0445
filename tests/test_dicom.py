"""Series in DICOM: where slices lie, what is damaged and what is no DICOM, and pixels that are compressed."""

from __future__ import annotations

import io
import itertools
import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from preprocess import index, recipe, sources
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading import dicom, gdcm
from preprocess.reading.archives import Raw
from preprocess.render import Renderer
from preprocess.sources import lidc_idri

ROWS, COLUMNS, SPACING = 12, 9, (0.5, 0.75)
PATIENT, NODULES, SLICES = "LIDC-IDRI-0886", 3, 95


def hu(k):
    """One slice in HU, rows to Posterior and columns to Left, without symmetry."""
    return np.random.default_rng(k).integers(-1000, 1500, (ROWS, COLUMNS)).astype(np.int16)


def data_set(
    pixels, k=0, position=None, orientation=(1, 0, 0, 0, 1, 0), spacing=SPACING, syntax=ExplicitVRLittleEndian
):
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    found.SOPClassUID = found.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = f"2.25.{k + 1}"
    found.StudyInstanceUID, found.SeriesInstanceUID, found.Modality = "2.25.71", "2.25.72", "CT"
    found.InstanceNumber = k + 1
    found.ImagePositionPatient = list(position or (10, 20, -30 + 2.5 * k))
    found.ImageOrientationPatient, found.PixelSpacing = list(orientation), list(spacing)
    found.Rows, found.Columns = pixels.shape
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = 16, 16, 15, 0
    found.RescaleSlope, found.RescaleIntercept = 1, -1024
    found.PixelData = (pixels.astype(np.int32) + 1024).astype("<u2").tobytes()
    return found


def write(folder, found, name):
    folder.mkdir(exist_ok=True)
    pydicom.dcmwrite(folder / name, found, enforce_file_format=True)


def headers(folder):
    slices, damaged = dicom.read_headers(Raw(folder), Raw(folder).folder("."))
    return sorted(slices, key=lambda one: one.z), damaged


def opened(folder):
    slices, damaged = headers(folder)
    assert not damaged
    return dicom.Series(Raw(folder), slices, dicom.geometry(slices))


AXES = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)]


@pytest.mark.parametrize(
    ("along", "down"), [(a, b) for a, b in itertools.product(AXES, AXES) if not np.dot(a, b)], ids=str
)  # fmt: skip
def test_axial_slices_are_turned_to_posterior_and_left(along, down, tmp_path):
    """Each pixel is put at its place in the patient by the standard's own formula; the box reads it there."""
    shape = (4, ROWS, COLUMNS)
    patient = np.stack([hu(k) for k in range(4)])
    origin = np.array([10.0, 20.0, -30.0])
    across = abs(along[1]) == 1  # rows of the stored plane run to the front or back
    stored_shape = (COLUMNS, ROWS) if across else (ROWS, COLUMNS)
    spacing = SPACING[::-1] if across else SPACING
    # the corner of the patient's grid from which both stored directions lead into it
    corner = origin.copy()
    extent = {0: (COLUMNS - 1) * SPACING[1], 1: (ROWS - 1) * SPACING[0]}
    for direction in (along, down):
        axis = int(np.flatnonzero(direction)[0])
        corner[axis] += extent[axis] if direction[axis] < 0 else 0
    for k in range(4):
        plane = np.zeros(stored_shape, np.int16)
        for i, j in np.ndindex(stored_shape):
            place = corner + np.multiply(along, j * spacing[1]) + np.multiply(down, i * spacing[0])
            column, row = (place[:2] - origin[:2]) / [SPACING[1], SPACING[0]]
            plane[i, j] = patient[k, round(row), round(column)]
        position = (*corner[:2], -30 + 2.5 * k)
        write(tmp_path, data_set(plane, k, position, (*along, *down), spacing), f"{9 - k}.dcm")
    series = opened(tmp_path)
    assert (series.shape, series.spacing) == (shape, (2.5, *SPACING))
    np.testing.assert_array_equal(series.cut(((0, 4), (0, ROWS), (0, COLUMNS))), patient)
    np.testing.assert_array_equal(series.cut(((1, 3), (2, 7), (3, 8))), patient[1:3, 2:7, 3:8])
    np.testing.assert_allclose(series.geometry.affine @ [3, 2, 5, 1], [10 + 5 * 0.75, 20 + 2 * 0.5, -30 + 3 * 2.5, 1])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"orientation": (1, 0, 0, 0, 0, -1)}, "its slices are not axial"),
        ({"orientation": (0.9, 0.43589, 0, -0.43589, 0.9, 0)}, "its slices are not axial"),
        ({"orientation": (1, 0, 0, 0, 0.99, 0.141)}, "its slices are not axial"),
        ({"spacing": (0.5, 0.5)}, "differ in rows, columns or pixel spacing"),
        ({"last": {"orientation": (-1, 0, 0, 0, 1, 0)}}, r"not parallel: 3\.dcm is turned against 0\.dcm"),
        ({"last": {"position": (12, 20, -22.5)}}, r"along their normal: 3\.dcm is 4\.0 pixels beside the first"),
        ({"last": {"spacing": (0.5, 0.8)}}, "differ in rows, columns or pixel spacing"),
        ({"drop": "ImageOrientationPatient"}, "do not tell where they lie"),
        ({"drop": "ImagePositionPatient"}, "do not tell where they lie"),
        ({"drop": "PixelSpacing"}, "or do not tell it"),
    ],
)  # fmt: skip
def test_slices_that_do_not_lie_as_a_series(change, told, tmp_path):
    for k in range(4):
        options = {name: value for name, value in change.items() if name in ("orientation",)}
        if k == 3:
            options |= change.get("last", {}) | ({"spacing": change["spacing"]} if "spacing" in change else {})
        found = data_set(hu(k), k, **options)
        if "drop" in change:
            del found[change["drop"]]
        write(tmp_path, found, f"{k}.dcm")
    slices, _ = headers(tmp_path)
    with pytest.raises(UnreadableError, match=told):
        dicom.geometry(sorted(slices, key=lambda one: one.number))


def compressed(found, kind, folder):
    """The same slice with its pixels packed by another writer."""
    if kind == "RLE":
        found.compress(RLELossless)
        return found
    pixels = found.pixel_array
    image = SimpleITK.GetImageFromArray(pixels[None])
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor({"JPEG lossless": "JPEG", "JPEG 2000": "JPEG2000", "JPEG-LS": "JPEGLS"}[kind])
    writer.SetFileName(str(folder / "packed.dcm"))
    writer.Execute(image)
    other = pydicom.dcmread(folder / "packed.dcm")
    assert other.file_meta.TransferSyntaxUID.is_compressed
    found.file_meta.TransferSyntaxUID = other.file_meta.TransferSyntaxUID
    found.PixelData = other.PixelData
    found["PixelData"].is_undefined_length = True
    return found


@pytest.mark.parametrize("kind", ["RLE", "JPEG lossless", "JPEG 2000", "JPEG-LS"])
def test_compressed_pixels(kind, tmp_path):
    found = compressed(data_set(hu(5)), kind, tmp_path)
    write(tmp_path / "a", found, "x.dcm")
    (one,), _ = headers(tmp_path / "a")
    np.testing.assert_array_equal(dicom.decode(Raw(tmp_path / "a"), one), hu(5))
    path = tmp_path / "a" / "x.dcm"
    path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(UnreadableError, match=r"x\.dcm cannot be decoded") as failure:
        dicom.decode(Raw(tmp_path / "a"), one)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("kind", ["RLE", "JPEG lossless", "JPEG 2000", "JPEG-LS"])
def test_damaged_compressed_pixels_are_refused_or_right(kind, tmp_path):
    """A decoder that prints, hangs or breaks its process takes neither this one nor the next slice with it."""
    write(tmp_path / "a", compressed(data_set(hu(5)), kind, tmp_path), "x.dcm")
    path = tmp_path / "a" / "x.dcm"
    whole = path.read_bytes()
    (one,), _ = headers(tmp_path / "a")
    start = whole.rindex(b"\xfe\xff\x00\xe0") + 8
    generator = np.random.default_rng(2)
    refused = 0
    for _ in range(12):
        spoilt = bytearray(whole)
        at = int(generator.integers(start, len(whole) - 60))
        spoilt[at : at + 40] = generator.integers(0, 256, 40, dtype=np.uint8).tobytes()
        path.write_bytes(bytes(spoilt))
        try:
            dicom.decode(Raw(tmp_path / "a"), one)
        except UnreadableError as error:
            refused += 1
            assert "x.dcm cannot be decoded" in str(error) and "\n" not in str(error)
    assert refused or kind in ("RLE", "JPEG 2000", "JPEG-LS")  # bytes that are pixels themselves have no sign
    path.write_bytes(whole)
    np.testing.assert_array_equal(dicom.decode(Raw(tmp_path / "a"), one), hu(5))


@pytest.mark.parametrize("code", ["import os; os.abort()", "import time; time.sleep(60)", "print('else', flush=True)"])
def test_a_decoder_that_breaks_or_hangs_is_one_slice_s_error(code, tmp_path, monkeypatch):
    write(tmp_path, compressed(data_set(hu(5)), "RLE", tmp_path), "x.dcm")
    (one,), _ = headers(tmp_path)
    gdcm._worker.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(gdcm, "_WORKER", code)
        patch.setattr(gdcm, "PATIENCE", 2)
        with pytest.raises(UnreadableError, match=r"x\.dcm cannot be decoded"):
            dicom.decode(Raw(tmp_path), one)
    np.testing.assert_array_equal(dicom.decode(Raw(tmp_path), one), hu(5))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("name", ["slice.dcm", "slice", "1.3.6.1.4.1.14519", "IM-0001.img"])
def test_bare_data_sets_and_any_name(syntax, name, tmp_path):
    found = data_set(hu(3))
    del found.file_meta
    out = io.BytesIO()
    implicit = syntax is ImplicitVRLittleEndian
    pydicom.dcmwrite(out, found, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    (tmp_path / name).write_bytes(out.getvalue())
    (one,), damaged = headers(tmp_path)
    assert not damaged
    np.testing.assert_array_equal(dicom.decode(Raw(tmp_path), one), hu(3))


@pytest.mark.parametrize(
    ("content", "name", "damaged"),
    [
        (b"", "a.dcm", "a.dcm is empty"),
        (b"", "LICENSE", ""),
        (b"text that is no DICOM" * 30, "a.dcm", "a.dcm is no DICOM file"),
        (b"text that is no DICOM" * 30, "README", ""),
        (b"<html>" + b" " * 200, "a.dcm", "a.dcm is no DICOM file"),
        (bytes(128) + b"DICM" + bytes(40), "a", "a is damaged"),
        (bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0", "a.dcm", "a.dcm is damaged"),
        (bytes(128) + b"DICM", "a", "a is damaged"),
    ],
)  # fmt: skip
def test_damaged_is_not_no_dicom(content, name, damaged, tmp_path):
    (tmp_path / name).write_bytes(content)
    slices, told = headers(tmp_path)
    assert not slices
    assert bool(told) == bool(damaged)
    assert all(line.startswith(damaged) and "\n" not in line for line in told)


# ---- LIDC-IDRI, on a drawn series of true geometry


@pytest.fixture
def patient(stand_in, tmp_path):
    """A raw folder with one patient's only series, and the series' folder."""
    shutil.copytree(stand_in("lidc_idri") / "LIDC-IDRI" / PATIENT, tmp_path / "raw" / PATIENT)
    (series,) = {path.parent for path in (tmp_path / "raw").rglob("*.dcm")}
    return tmp_path / "raw", series


def listing(folder):
    return lidc_idri.index(Raw(folder))


def images(folder):
    renderer = Renderer(recipe.load("nodulemnist3d", "paper"), folder, [28])
    return {sample.key: renderer.render(sample).arrays[28] for sample in listing(folder).samples if not sample.reason}


def rewrite(series, change):
    """Every slice written anew, plain, after a change."""
    for path in series.glob("*.dcm"):
        found = pydicom.dcmread(path)
        pixels = found.pixel_array
        found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        pixels = change(found, pixels)
        found.PixelData = np.ascontiguousarray(pixels).tobytes()
        found.save_as(path)


def mirrored(found, pixels):
    x, y, z = (float(value) for value in found.ImagePositionPatient)
    found.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    found.ImagePositionPatient = [x + (pixels.shape[1] - 1) * float(found.PixelSpacing[1]), y, z]
    return pixels[:, ::-1]


def transposed(found, pixels):
    found.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
    return pixels.T


@pytest.mark.parametrize("change", [mirrored, transposed])
def test_slices_turned_otherwise_give_the_same_nodules(change, patient):
    raw, series = patient
    before = images(raw)
    assert len(before) == NODULES
    rewrite(series, change)
    after = images(raw)
    assert all(np.array_equal(before[key], after[key]) for key in before)


def halved(found, pixels):
    found.Rows, found.Columns = 256, 256
    found.PixelSpacing = [2 * float(value) for value in found.PixelSpacing]
    return pixels[::2, ::2]


def cropped(found, pixels):
    found.Rows = found.Columns = 480
    return pixels[16:-16, 16:-16]


def wider(found, pixels):
    found.PixelSpacing = [1.05 * float(value) for value in found.PixelSpacing]
    return pixels


def tilted(found, pixels):
    found.ImageOrientationPatient = [1, 0, 0, 0, 0.9659, 0.2588]
    return pixels


def leaning(found, pixels):
    x, y, z = (float(value) for value in found.ImagePositionPatient)
    found.ImagePositionPatient = [x, y + 0.3 * z, z]
    return pixels


def without_intercept(found, pixels):
    hu = pixels.astype(int) * int(found.RescaleSlope) + int(found.RescaleIntercept)
    found.RescaleIntercept, found.PixelRepresentation = 0, 0
    return np.maximum(hu + 1024, 0).astype("<u2")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (halved, r"have 256 x 256 pixels of 1\.\d+ x 1\.\d+ mm, the annotations are of 512 x 512 of 0\.\d+ mm"),
        (cropped, "have 480 x 480 pixels"),
        (wider, r"512 x 512 pixels of .* mm, the annotations are of"),
        (tilted, "its slices are not axial"),
        (leaning, "do not lie along their normal"),
        (without_intercept, r"HU plus 1024"),
    ],
)  # fmt: skip
def test_slices_of_another_geometry_are_refused(change, told, patient):
    raw, series = patient
    rewrite(series, change)
    with pytest.raises(UnreadableError, match=told):
        images(raw)


@pytest.mark.parametrize("same", [True, False])
def test_a_second_copy_of_a_slice(same, patient):
    raw, series = patient
    before = images(raw)
    path = next(path for path in sorted(series.glob("*.dcm")) if pydicom.dcmread(path).InstanceNumber == 50)
    copy = series / f"{path.stem} (1).dcm"
    shutil.copy(path, copy)
    if same:
        after = images(raw)
        assert all(np.array_equal(before[key], after[key]) for key in before)
        return
    found = pydicom.dcmread(copy)
    pixels = found.pixel_array + 5
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.PixelData = pixels.astype("<i2").tobytes()
    found.save_as(copy)
    with pytest.raises(UnreadableError, match=r"are one instance and differ; keep the published one"):
        images(raw)


def build(folder, census):
    counts = {"patients": 2, "scans": 2, "nodules": NODULES + 2}
    return index.build(recipe.load("nodulemnist3d", "paper"), folder, census, counts).samples


@pytest.mark.parametrize("spoil", ["empty", "text", "cut"])
@pytest.mark.parametrize("place", ["by UIDs", "by patient", "by nothing"])
def test_a_scan_none_of_whose_files_can_be_read_is_named(spoil, place, patient, stand_in, caplog):
    raw, series = patient
    other = stand_in("lidc_idri") / "LIDC-IDRI" / "LIDC-IDRI-0435"
    shutil.copytree(other, raw / "LIDC-IDRI-0435")
    known = {sample.key for sample in listing(raw).samples}
    for path in series.glob("*.dcm"):
        path.write_bytes({"empty": b"", "text": b"no DICOM " * 50, "cut": path.read_bytes()[:300]}[spoil])
    if place != "by UIDs":
        series.rename(raw / "moved")
        target = raw / "unknown" / "x" if place == "by nothing" else raw / PATIENT / "1-1-2000" / "x"
        target.parent.mkdir(parents=True, exist_ok=True)
        (raw / "moved").rename(target)
    found = listing(raw)
    (told,) = found.warnings
    assert f": {SLICES} of its " in told and "files are damaged, the first: 0" in told
    excluded = {sample.key: sample for sample in found.samples if sample.reason}
    if place == "by nothing":
        assert not excluded
        return
    assert {sample.key for sample in found.samples} == known
    assert len(excluded) == NODULES
    for sample in excluded.values():
        assert sample.reason == "unreadable" and "files are damaged, the first: 0" in sample.detail
    with pytest.raises(PreprocessError, match=f"{NODULES} .*unreadable.*LIDC-IDRI-0886"):
        build(raw, "strict")
    assert {one.key for one in build(raw, "warn") if one.reason == "unreadable"} == set(excluded)


def test_files_without_an_ending_are_a_source(patient):
    raw, _ = patient
    before = images(raw)
    for path in raw.rglob("*.dcm"):
        path.rename(path.with_suffix(""))
    assert sources.is_present("lidc_idri", raw)
    after = images(raw)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_text_alone_is_no_source(tmp_path):
    (tmp_path / "LICENSE").write_text("text")
    (tmp_path / "069.xml").write_text("<LidcReadMessage/>")
    assert not sources.is_present("lidc_idri", tmp_path)


def test_a_compressed_series(patient):
    raw, series = patient
    before = images(raw)
    for path in series.glob("*.dcm"):
        found = pydicom.dcmread(path)
        found.pixel_array  # noqa: B018
        found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        found.compress(RLELossless)
        found.save_as(path)
    after = images(raw)
    assert all(np.array_equal(before[key], after[key]) for key in before)
