"""Volumes and series that went wrong in silence or with a traceback once, each as a whole build from a stand-in."""

from __future__ import annotations

import gzip
import io
import shutil

import nibabel
import numpy as np
import pydicom
import pytest


@pytest.fixture
def raw_of(stand_in, tmp_path):
    """A copy of a source's stand-in that may be changed."""

    def copy(source, *parts):
        target = tmp_path / "raw" / source
        for part in parts or ("",):
            shutil.copytree(stand_in(source) / part, target / part, dirs_exist_ok=True)
        return target

    return copy


def built(builder, dataset, folder):
    done = builder(dataset, folder, census="warn", miniature=False)
    return done.images(28), {row["key"]: (row["reason"], row["detail"]) for row in done.excluded}


def test_a_label_in_another_orientation_than_its_image(raw_of, builder):
    folder = raw_of("ribfrac")
    before, _ = built(builder, "fracturemnist3d", folder)
    path = folder / "Part2" / "RibFrac301-label.nii.gz"
    image = nibabel.load(path)
    data = np.asanyarray(image.dataobj)
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = data.shape[0] - 1
    nibabel.Nifti1Image(np.ascontiguousarray(data[::-1]), image.affine @ flip).to_filename(path)
    after, _ = built(builder, "fracturemnist3d", folder)
    assert before.keys() == after.keys() and any(key.startswith("RibFrac301/") for key in after)
    assert all(np.array_equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("agree", [True, False])
def test_pixdim_and_sform_of_a_mask(agree, raw_of, builder):
    folder = raw_of("adrenal")
    path = folder / "masks" / "P002_L.nii.gz"
    image = nibabel.load(path)
    affine = image.affine.copy()
    affine[:3] *= 0.5
    nibabel.Nifti1Image(np.asanyarray(image.dataobj).astype("u1"), affine).to_filename(path)
    if not agree:
        data = bytearray(gzip.decompress(path.read_bytes()))
        data[80:92] = np.ones(3, "<f4").tobytes()
        data[252:254] = b"\0\0"
        path.write_bytes(gzip.compress(bytes(data)))
    images, excluded = built(builder, "adrenalmnist3d", folder)
    if agree:
        assert "P002_L" in images
    else:
        edges = " x ".join(f"{edge:.4g}" for edge in nibabel.affines.voxel_sizes(affine))
        reason, detail = excluded["P002_L"]
        assert reason == "unreadable"
        assert f"voxels of 1 x 1 x 1 mm by its pixdim and of {edges} mm by its sform" in detail


@pytest.mark.parametrize("form", ["none", "semicolon"])
def test_a_table_that_is_not_there_or_has_semicolons(form, raw_of, builder, capsys):
    folder = raw_of("ribfrac")
    before, _ = built(builder, "fracturemnist3d", folder)
    path = folder / "ribfrac-val-info.csv"
    if form == "semicolon":
        path.write_text(path.read_text().replace(",", ";"))
        after, excluded = built(builder, "fracturemnist3d", folder)
        assert after.keys() == before.keys()
    else:
        path.unlink()
        after, excluded = built(builder, "fracturemnist3d", folder)
        assert after.keys() == {key for key in before if int(key[7:].partition("/")[0]) <= 420}
        assert excluded["RibFrac421"][0] == "no-label"
        assert "ribfrac-val-info.csv" in capsys.readouterr().err
    assert all(np.array_equal(before[key], image) for key, image in after.items())


def test_files_of_no_bytes_and_of_two_hundred(raw_of, builder):
    folder = raw_of("adrenal")
    (folder / "masks" / "P001_L.nii.gz").unlink()
    (folder / "masks" / "P001_L.nii").write_bytes(b"")
    images, excluded = built(builder, "adrenalmnist3d", folder)
    assert images and excluded["P001_L"][0] == "unreadable" and "P001_L.nii: is empty" in excluded["P001_L"][1]
    folder = raw_of("ribfrac")
    path = folder / "Part2" / "RibFrac301-image.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:200]))
    images, excluded = built(builder, "fracturemnist3d", folder)
    mine = {key: row for key, row in excluded.items() if key.startswith("RibFrac301/")}
    assert images and {reason for reason, _ in mine.values()} == {"unreadable", "class-dropped"}
    assert all("ends early: 200 bytes" in detail for reason, detail in mine.values() if reason == "unreadable")


def test_masks_in_forms_that_were_refused(raw_of, builder):
    folder = raw_of("adrenal")
    before, _ = built(builder, "adrenalmnist3d", folder)
    masks = folder / "masks"

    def of(name):
        image = nibabel.load(masks / name)
        return np.asanyarray(image.dataobj).astype("u1"), image.affine

    data, affine = of("P001_L.nii.gz")
    nibabel.Nifti1Image(data[..., None], affine).to_filename(masks / "P001_L.nii.gz")
    data, affine = of("P001_R.nii.gz")
    nibabel.Nifti2Image(data, affine).to_filename(masks / "P001_R.nii.gz")
    path = masks / "P002_L.nii.gz"
    path.write_bytes(gzip.decompress(path.read_bytes()))
    (masks / "P002_R.nii.gz").rename(masks / "P002_R.nii")
    data, affine = of("P003_L.nii.gz")
    nibabel.Nifti1Image(np.ones_like(data), affine).to_filename(masks / "P003_L.nii.gz")
    after, excluded = built(builder, "adrenalmnist3d", folder)
    assert before.keys() - after.keys() == {"P003_L"}
    assert excluded["P003_L"][0] == "unreadable" and "has no background" in excluded["P003_L"][1]
    assert all(np.array_equal(before[key], after[key]) for key in after)


@pytest.mark.parametrize("form", ["empty", "prefix", "bare"])
def test_series_whose_files_cannot_be_read_or_lack_preamble_or_ending(form, raw_of, builder, capsys):
    folder = raw_of("lidc_idri", "LIDC-IDRI/LIDC-IDRI-0435", "LIDC-IDRI/LIDC-IDRI-0595")
    before, _ = built(builder, "nodulemnist3d", folder)
    for path in (folder / "LIDC-IDRI" / "LIDC-IDRI-0435").rglob("*.dcm"):
        if form == "bare":
            path.rename(path.with_suffix(""))
            continue
        data = b""
        if form == "prefix":
            found, out = pydicom.dcmread(path), io.BytesIO()
            del found.file_meta
            found.preamble = None
            pydicom.dcmwrite(out, found, implicit_vr=True, little_endian=True, enforce_file_format=False)
            data = out.getvalue()
        path.write_bytes(data)
    after, excluded = built(builder, "nodulemnist3d", folder)
    if form != "empty":
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[key], after[key]) for key in before)
        return
    mine = {key for key in before if key.startswith("LIDC-IDRI-0435/")}
    assert mine and before.keys() - after.keys() == mine
    assert all(excluded[key][0] == "unreadable" and "dcm is empty" in excluded[key][1] for key in mine)
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "files are damaged" in line]
    assert "LIDC-IDRI-0435" in told and "the first: 1-001.dcm is empty" in told
