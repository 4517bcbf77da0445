"""Volumes: one reader for every source that has them, tried on each: what is read, and what is refused and why."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import struct
import tracemalloc
import zipfile

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.geometry import Box, orientation
from preprocess.reading import volume
from preprocess.reading.archives import Raw
from preprocess.sources import adrenal, lits, ribfrac
from preprocess.steps import boxes, grids

SHAPE, SPACING = (26, 22, 18), (0.8, 0.7, 1.25)
BOX = (4, 15, 3, 12, 5, 14)
#: where each source keeps its one volume, and the mask or label beside it
VOLUME = {"lits": "volume-60", "ribfrac": "RibFrac1-image", "adrenal": "P1_L"}
SOURCES = sorted(VOLUME)
AFFINE = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
AFFINE[:3, 3] = 20, 30, -40


def array(source):
    """A CT without symmetry, or a mask, axes x to Left, y to Posterior, z to Superior."""
    if source == "adrenal":
        data = np.zeros(SHAPE, np.int16)
        data[5:14, 4:11, 6:12] = 1
        data[14, 4, 6] = 1
        return data
    return np.random.default_rng(7).integers(-900, 900, SHAPE).astype(np.int16)


def nii(data, kind=nibabel.Nifti1Image, affine=AFFINE):
    return kind(data, affine).to_bytes()


def make(source, folder, data=None, name=""):
    """A raw folder of one source around one volume; returns the volume's path."""
    folder.mkdir(exist_ok=True)
    if source == "lits":
        (folder / "segmentation-60.txt").write_text(f"liver 1 {' '.join(map(str, BOX))}\r\n")
    elif source == "ribfrac":
        label = np.zeros(SHAPE, np.uint8)
        label[4:9, 3:8, 5:9] = 1
        (folder / "RibFrac1-label.nii.gz").write_bytes(gzip.compress(nii(label)))
        (folder / "info.csv").write_text("public_id,label_id,label_code\nRibFrac1,0,0\nRibFrac1,1,3\n")
    else:
        (folder / "adrenal.csv").write_text("id,patient,side,label\nP1_L,P1,left,0\n")
    path = folder / (name or f"{VOLUME[source]}.nii")
    path.write_bytes(nii(array(source)) if data is None else data)
    return path


def outcome(source, folder):
    """What the source gives its first step, as an array."""
    raw = Raw(folder)
    if source == "lits":
        (sample,) = lits.index(raw, "volume").samples
        return boxes.cut(lits.open(raw, sample), "lps", sample.attributes["box"])
    if source == "ribfrac":
        (sample,) = ribfrac.index(raw).samples
        columns = {key: sample.attributes[key] for key in ("centroid", "fracture", "ribs")}
        return boxes.cut_cube(ribfrac.open(raw, sample), "lps", "mm", 16, "original", "mask", "none", **columns)
    (sample,) = adrenal.index(raw).samples
    return grids.cut_mask(adrenal.open(raw, sample), 12)


def packed(data):
    return gzip.compress(data, 1)


def through_itk(data, suffix, folder):
    """The same volume as SimpleITK writes it; its world runs to Left and Posterior."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(data.T))
    image.SetSpacing(SPACING)
    image.SetOrigin((-20, -30, -40))
    folder.mkdir(exist_ok=True)
    SimpleITK.WriteImage(image, str(folder / f"x{suffix}"), suffix != ".mhd")
    return (folder / f"x{suffix}").read_bytes(), folder / "x.raw"


def patched(data, **fields):
    """A NIfTI-1 file with some fields of its header overwritten: offset and struct format by name."""
    places = {
        "datatype": (70, "<h"), "pixdim": (80, "<3f"), "vox_offset": (108, "<f"), "slope": (112, "<f"),
        "intercept": (116, "<f"), "units": (123, "<B"), "qform": (252, "<h"), "sform": (254, "<h"),
        "magic": (344, "4s"), "sx": (280, "<4f"), "sy": (296, "<4f"), "sz": (312, "<4f"),
    }  # fmt: skip
    out = bytearray(data)
    for name, value in fields.items():
        at, form = places[name]
        struct.pack_into(form, out, at, *(value if isinstance(value, tuple) else (value,)))
    return bytes(out)


def scaled(data, factor, unit):
    """The header in another unit of length: all its lengths times a factor."""
    rows = {name: tuple(float(v) * factor for v in AFFINE[k]) for k, name in enumerate(("sx", "sy", "sz"))}
    return patched(data, units=unit, pixdim=tuple(edge * factor for edge in SPACING), **rows)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "form",
    ["gz as nii", "plain as nii.gz", "nii.gz", "4D", "NIfTI-2", "joined", "padded", "big-endian", "float64", "metre",
     "micron", "mha", "mhd", "nrrd", "zip", "zip mhd"],
)  # fmt: skip
def test_one_volume_in_any_form(source, form, tmp_path):
    make(source, tmp_path / "plain")
    wanted = outcome(source, tmp_path / "plain")
    data, name = array(source), VOLUME[source]
    folder = tmp_path / "other"
    forms = {
        "gz as nii": (packed(nii(data)), ".nii"),
        "plain as nii.gz": (nii(data), ".nii.gz"),
        "nii.gz": (packed(nii(data)), ".nii.gz"),
        "4D": (nii(data[..., None]), ".nii"),
        "NIfTI-2": (nii(data, nibabel.Nifti2Image), ".nii"),
        "joined": (packed(nii(data)[:5000]) + packed(nii(data)[5000:]), ".nii.gz"),
        "padded": (packed(nii(data)) + bytes(10_000), ".nii.gz"),
        "big-endian": (nii(data.astype(">i2")), ".nii"),
        "float64": (nii(data.astype(np.float64)), ".nii"),
        "metre": (scaled(nii(data), 1e-3, 1), ".nii"),
        "micron": (scaled(nii(data), 1e3, 3), ".nii"),
    }
    if form in forms:
        content, suffix = forms[form]
        make(source, folder, content, name + suffix)
    elif form == "zip":
        path = make(source, folder)
        with zipfile.ZipFile(folder / "ribfrac-batch.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, f"a/{path.name}")
        path.unlink()
    else:
        suffix = f".{form.split()[-1]}"
        content, detached = through_itk(data, suffix, tmp_path / "itk")
        content = content.replace(b"x.raw", f"{name}.raw".encode())
        path = make(source, folder, content, name + suffix)
        if suffix == ".mhd":
            shutil.copy(detached, folder / f"{name}.raw")
        if form == "zip mhd":
            with zipfile.ZipFile(folder / "ribfrac-batch.zip", "w") as archive:
                for part in (path, folder / f"{name}.raw"):
                    archive.write(part, part.name)
                    part.unlink()
    np.testing.assert_array_equal(outcome(source, folder), wanted)


PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>" * 9


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda data: b"", "is empty"),
        (lambda data: packed(b""), "is empty"),
        (lambda data: data[:200], "ends early: 200 bytes, its header alone has 348"),
        (lambda data: packed(data[:200]), "ends early: 200 bytes"),
        (lambda data: PAGE, "is a web page, not a volume"),
        (lambda data: data[4:] * 2, "has no readable NIfTI header"),
        (lambda data: data[:-60], "ends early"),
        (lambda data: packed(data[:-60]), "ends early"),
        (lambda data: packed(data)[: len(packed(data)) // 2], "cannot be read|ends early"),
        (lambda data: packed(data)[:-8] + b"\1\2\3\4" + packed(data)[-4:], "cannot be read.*incorrect data check"),
        (lambda data: patched(data, magic=b"ni1\0"), r"half of a pair of \.hdr and \.img"),
        (lambda data: patched(data, datatype=128), "has the data type .*code 128"),
        (lambda data: patched(data, datatype=32), "has the data type .*code 32"),
        (lambda data: patched(data, datatype=77), "77"),
        (lambda data: patched(data, vox_offset=float("inf")), "its voxels begin at byte inf"),
        (lambda data: patched(data, vox_offset=float("nan")), "its voxels begin at byte nan"),
        (lambda data: patched(data, vox_offset=-4.0), "its voxels begin at byte -4"),
        (lambda data: patched(data, slope=1.0, intercept=float("nan")), "has no readable NIfTI header"),
        (lambda data: patched(data, units=3), r"voxels of 0\.0008 x 0\.0007 x 0\.00125 mm by its sform \(unit: micron"),
        (lambda data: patched(data, units=1), r"has voxels of 800 x 700 x 1250 mm by its sform \(unit: metre"),
        (lambda data: patched(data, sform=0, qform=0, pixdim=(0.0, 1.0, 1.0)), "places no voxel"),
        (lambda data: patched(data, sform=0, qform=0, pixdim=(float("nan"), 1.0, 1.0)), "places no voxel"),
        (lambda data: patched(data, sx=(0.0, 0.0, 0.0, 0.0)), "places no voxel"),
        (lambda data: patched(data, sx=(float("nan"),) * 4), "places no voxel"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_why(source, spoil, told, tmp_path):
    make(source, tmp_path, spoil(nii(array(source))))
    with pytest.raises(UnreadableError, match=told) as failure:
        outcome(source, tmp_path)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("frames", [2, 3])
def test_several_frames_are_refused(source, frames, tmp_path):
    make(source, tmp_path, nii(np.stack([array(source)] * frames, axis=-1)))
    with pytest.raises(UnreadableError, match="is not a 3D volume but one of shape"):
        outcome(source, tmp_path)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("spoil", ["cut", "page", "empty"])
def test_damaged_files_of_simpleitk_end_in_one_line(source, suffix, spoil, tmp_path):
    content, _ = through_itk(array(source), suffix, tmp_path / "itk")
    content = {"cut": content[: len(content) // 2], "page": PAGE, "empty": b""}[spoil]
    make(source, tmp_path / "raw", content, VOLUME[source] + suffix)
    with pytest.raises(UnreadableError) as failure:
        outcome(source, tmp_path / "raw")
    assert "\n" not in str(failure.value)


# ---- where a voxel lies


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("wrong", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (float("nan"), 0.7, 1.25)])
def test_pixdim_against_sform(source, wrong, tmp_path, caplog):
    """Both numbers are named; whoever depends on the edges refuses, LiTS, which does not, warns."""
    make(source, tmp_path / "plain")
    make(source, tmp_path / "other", patched(nii(array(source)), pixdim=wrong, qform=0))
    told = r"of (1 x 1 x 1|0 x 0 x 0|nan x 0\.7 x 1\.25) mm by its pixdim and of 0\.8 x 0\.7 x 1\.25 mm by its sform"
    if source == "lits":
        np.testing.assert_array_equal(outcome(source, tmp_path / "other"), outcome(source, tmp_path / "plain"))
        assert any("mm by its pixdim and of 0.8 x 0.7 x 1.25 mm by its sform" in one.message for one in caplog.records)
    else:
        with pytest.raises(UnreadableError, match=told):
            outcome(source, tmp_path / "other")


def test_qform_against_sform():
    image = nibabel.Nifti1Image(array("lits"), AFFINE)
    image.header.set_qform(np.diag([0.8, 0.7, 1.25, 1.0]), 1)
    header, _ = volume._nifti_header(image.to_bytes()[:348])
    assert header.axes == "LPS"
    assert header.conflict == (
        "has voxels of 0.8 x 0.7 x 1.25 mm to LPS by its sform and of 0.8 x 0.7 x 1.25 mm to RAS by its qform"
    )


def test_qform_alone_and_pixdim_alone():
    image = nibabel.Nifti1Image(array("lits"), None)
    image.header.set_qform(AFFINE, 1)
    header, _ = volume._nifti_header(image.to_bytes()[:348])
    assert (header.axes, header.oriented, header.conflict) == ("LPS", True, "")
    np.testing.assert_allclose(header.spacing, SPACING, rtol=1e-6)
    bare, _ = volume._nifti_header(patched(nii(array("lits")), sform=0, qform=0)[:348])
    assert not bare.oriented
    np.testing.assert_allclose(bare.spacing, SPACING, rtol=1e-6)


@pytest.mark.parametrize("stored", ["LPS", "RAS", "SPL", "AIR", "PSR"])
@pytest.mark.parametrize("other", ["LPS", "LAS", "ARS"])
def test_masks_are_laid_on_their_image_by_their_affines(stored, other):
    """Every voxel of the mask goes to the voxel of the image at its place in the world, found voxel by voxel."""
    mask = nibabel.Nifti1Image(array("adrenal"), AFFINE)
    turned = [
        mask.as_reoriented(nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("LPS"), nibabel.orientations.axcodes2ornt(codes)
        )) for codes in (stored, other)
    ]  # fmt: skip
    image, label = (volume._nifti_header(one.to_bytes()[:348])[0] for one in turned)
    axes = volume.placed_on(label, image)
    found = nibabel.orientations.apply_orientation(np.asanyarray(turned[1].dataobj), orientation(axes, image.axes))
    wanted = np.zeros(turned[0].shape, np.int16)
    for index in np.argwhere(np.asanyarray(turned[1].dataobj)):
        world = turned[1].affine @ [*index, 1]
        wanted[tuple(np.rint(np.linalg.inv(turned[0].affine) @ world)[:3].astype(int))] = 1
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda affine: affine @ np.diag([2, 2, 2, 1.0]), "no flip or order of axes"),
        (lambda affine: affine + np.outer([3, 0, 0, 0], [0, 0, 0, 1]), r"lies 3\.[78] voxels beside its image"),
        (lambda affine: np.diag([1.0, 1, -1, 1]) @ affine, "voxels beside its image"),
    ],
)  # fmt: skip
def test_masks_of_another_place_are_refused(change, told):
    image, label = (volume._nifti_header(nii(array("lits"), affine=one)[:348])[0] for one in (AFFINE, change(AFFINE)))
    with pytest.raises(UnreadableError, match=told):
        volume.placed_on(label, image)


def test_a_header_that_says_nothing_is_taken_to_lie_as_its_image(caplog):
    image, label = (volume._nifti_header(nii(array("lits"), affine=one)[:348])[0] for one in (AFFINE, np.eye(4)))
    assert volume.placed_on(label, image, "here.nii") == "LPS"
    assert "here.nii: its own header does not say how it lies" in caplog.text


# ---- what HU can be


def chest(generator=None):
    """Shares of air, lung, fat, soft tissue and bone as in a chest, and a field of view's padding."""
    generator = generator or np.random.default_rng(3)
    values = generator.choice([-1000, -860, -100, 40, 300, 700], SHAPE, p=[0.35, 0.25, 0.1, 0.25, 0.03, 0.02])
    return values + generator.integers(-30, 31, SHAPE)


@pytest.mark.parametrize("source", ["lits", "ribfrac"])
@pytest.mark.parametrize("shift", [0, 1024, -1024])
@pytest.mark.parametrize("padding", [None, -2048, -3024])
def test_a_ct_whose_intercept_is_lost_or_doubled(source, shift, padding, tmp_path):
    hu = chest()
    hu[:3] = hu[:3] if padding is None else padding
    data = hu + shift
    data = np.maximum(data, 0).astype(np.uint16) if shift > 0 else data.astype(np.int16)
    make(source, tmp_path, nii(data))
    if not shift:
        outcome(source, tmp_path)
        return
    with pytest.raises(UnreadableError, match=f"HU {'plus' if shift > 0 else 'minus'} 1024"):
        outcome(source, tmp_path)


def test_an_intercept_in_the_header_is_no_shift(tmp_path):
    image = nibabel.Nifti1Image(np.maximum(chest() + 1024, 0).astype(np.uint16), AFFINE)
    image.header.set_slope_inter(1, -1024)
    make("lits", tmp_path, image.to_bytes())
    found = outcome("lits", tmp_path)
    np.testing.assert_array_equal(found, np.maximum(chest(), -1024)[4:15, 3:12, 5:14])


@pytest.mark.parametrize("seed", range(20))
def test_noise_lung_alone_and_abdomen_alone_are_no_shift(seed):
    generator = np.random.default_rng(seed)
    lung = generator.choice([-1000, -860, -700], 5000) + generator.integers(-40, 41, 5000)
    abdomen = generator.choice([-100, 40, 60, 300], 5000, p=[0.3, 0.4, 0.28, 0.02]) + generator.integers(-40, 41, 5000)
    for hu in (abdomen, generator.integers(-300, 1300, 5000), chest(generator), np.concatenate([lung, abdomen])):
        volume.refuse_shifted(hu)


# ---- masks, and files that would unpack without end


def test_a_mask_needs_two_values_and_a_background(tmp_path):
    make("adrenal", tmp_path, nii(np.ones(SHAPE, np.uint8)))
    with pytest.raises(UnreadableError, match="has no background"):
        outcome("adrenal", tmp_path)
    make("adrenal", tmp_path, nii(np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16) % 3))
    with pytest.raises(UnreadableError, match="more than two different values"):
        outcome("adrenal", tmp_path)


def test_a_mask_is_cut_as_the_whole_volume_would_be(tmp_path):
    """Only the gland and its surroundings are held; the whole volume, resampled, gives the same cube."""
    data = np.zeros((150, 140, 90), np.uint8)
    data[90:101, 80:92, 50:59] = 1
    data[88, 80:83, 52] = 1
    image = nibabel.Nifti1Image(data, AFFINE)
    codes = [nibabel.orientations.axcodes2ornt(one) for one in ("LPS", "RSA")]
    make("adrenal", tmp_path, image.as_reoriented(nibabel.orientations.ornt_transform(*codes)).to_bytes())
    centre = np.array([axis.mean() for axis in np.nonzero(data)]) * SPACING
    start = np.round(centre) - 32
    whole = ndimage.affine_transform(data.astype(float), 1 / np.array(SPACING), start / SPACING, (64,) * 3, order=3)
    (sample,) = adrenal.index(Raw(tmp_path)).samples
    mask = adrenal.open(Raw(tmp_path), sample)
    assert mask.cells.size < data.size / 2
    np.testing.assert_array_equal(grids.cut_mask(mask, 64), whole > 0.5)


@pytest.mark.parametrize("source", SOURCES)
def test_a_volume_that_unpacks_without_end_is_refused_before_it_does(source, tmp_path):
    header = patched(nii(array(source)), units=2)[:352]
    whole = bytearray(header)
    struct.pack_into("<3h", whole, 42, 2000, 2000, 2000)
    content = packed(bytes(whole) + bytes(20_000_000))
    make(source, tmp_path, content, f"{VOLUME[source]}.nii.gz")
    if source == "ribfrac":
        (tmp_path / "RibFrac1-label.nii.gz").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(UnreadableError, match=r"would unpack .* to 8,000,000,000 voxels"):
        outcome(source, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


@pytest.mark.parametrize("place", ["mask of adrenal", "label of ribfrac", "mask of lits"])
def test_masks_are_read_some_planes_at_a_time(place, tmp_path):
    """A mask of 256 MB as stored takes a fraction of it in memory."""
    shape = (400, 400, 400)
    data = np.zeros(shape, np.float32)
    data[100:120, 100:130, 100:140] = 1
    content = packed(nii(data))
    small = nii(np.zeros(shape, np.int8))
    if place == "mask of adrenal":
        make("adrenal", tmp_path, content, "P1_L.nii.gz")
    elif place == "label of ribfrac":
        make("ribfrac", tmp_path, packed(small), "RibFrac1-image.nii.gz")
        (tmp_path / "RibFrac1-label.nii.gz").write_bytes(content)
    else:
        make("lits", tmp_path, small)
        (tmp_path / "segmentation-60.nii.gz").write_bytes(content)
    del data
    tracemalloc.start()
    outcome(place.split()[-1], tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.real
def test_real_segmentations_lie_as_the_table_says(real):
    """Eleven true headers of every stored orientation: the axes, and the mask's box on the liver's in x and y."""
    import csv

    from preprocess.sources.tools import table_lines

    table = {row["volume"]: row for row in csv.DictReader(table_lines("tables/lits_orientation.csv"))}
    assert len(table) == 112
    annotated = lits._read_boxes(
        Raw(real / "lits"), lits._by_scan(Raw(real / "lits"), Raw(real / "lits").files(), lits.BOXES)[0], []
    )
    raw = Raw(real / "lits_segmentations")
    seen = set()
    for file in raw.files():
        number = file.name.removeprefix("segmentation-").removesuffix(".nii.gz")
        row, header = table[number], volume.read_header(raw, file.path)
        assert (header.axes, header.conflict) == (row["header"], "")
        assert header.oriented == (row["header"] == row["stored"])
        assert header.spacing[0] == pytest.approx(float(row["spacing_x"]), abs=6e-4)
        seen.add(row["stored"])
        box = volume.bounding_box(volume.load(raw, file.path), row["stored"])
        turned = np.array(box.turned(header.shape, "LPS").bounds)
        liver = np.array(annotated["train", int(number)]["liver"].bounds)
        # x1 and y1 of the box are the mask's last index
        apart = np.abs(turned[:2] - [0, 1] - liver[:2]).max()
        assert apart <= max(int(row["box_error_px"]), 1), number
    assert seen == {"LAS", "LPS", "RAS"}


@given(first=st.integers(0, 9), extent=st.integers(1, 8))
def test_bounding_box_by_slabs(first, extent):
    data = np.zeros((20, 7, 40))

    class Image(volume.Stored):
        shape = data.shape

        def _part(self, where):
            return data[where]

    image = Image()
    assert volume.bounding_box(image, "LPS") is None
    data[first : first + extent, 2, 15:18] = 1
    assert volume.bounding_box(image, "RAS") == Box("RAS", ((first, first + extent), (2, 3), (15, 18)))


# ---- what is packed is unpacked once, and what the machine cannot do is not the file's fault


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_packed_volume_of_simpleitk_is_unpacked_once(suffix, tmp_path, monkeypatch):
    data = np.random.default_rng(3).integers(0, 9, (12, 11, 10)).astype(np.int16)
    image = volume.simpleitk().GetImageFromArray(data.T)
    volume.simpleitk().WriteImage(image, str(tmp_path / f"a{suffix}"), True)
    unpacked, whole = [], volume._ItkImage._unpack
    monkeypatch.setattr(volume._ItkImage, "_unpack", lambda image: (unpacked.append(image), whole(image)))
    monkeypatch.setattr(volume, "_SLAB", 300)
    with Raw(tmp_path) as raw, volume.load(raw, f"a{suffix}") as found:
        planes = [part for _, part in found.slabs()]
        np.testing.assert_array_equal(np.concatenate(planes, axis=2), data)
        np.testing.assert_array_equal(found.part((slice(2, 5), slice(0, 7), slice(9, 10))), data[2:5, :7, 9:])
    assert len(planes) > 3 and len(unpacked) == 1


@pytest.mark.parametrize("hole", range(430, 860, 43))
def test_damage_that_makes_a_packed_volume_longer_is_seen(hole, stand_in, tmp_path):
    """512 zeros within it can unpack to more than the header promises: its checksum lies behind that."""
    whole = (stand_in("adrenal") / "masks" / "P003_L.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(whole[:hole] + bytes(512) + whole[hole + 512 :])
    with Raw(tmp_path) as raw, pytest.raises(UnreadableError, match=r"cannot be read|ends early"):
        volume.load(raw, "a.nii.gz")


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ENOSPC, "no room for a copy of .*; set TMPDIR"), (errno.EIO, "check the disk")]
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_what_the_machine_cannot_do_is_not_called_damage(number, told, suffix, tmp_path, monkeypatch):
    data = nii(np.zeros((8, 8, 8), np.int16))
    (tmp_path / f"a{suffix}").write_bytes(packed(data) if suffix.endswith("gz") else data)

    def fails(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with Raw(tmp_path) as raw:
        monkeypatch.setattr(volume, "_copy", fails)
        monkeypatch.setattr(volume._Nifti, "_part", fails)
        with pytest.raises(PreprocessError, match=told) as caught:
            volume.load(raw, f"a{suffix}").part((slice(None),) * 3)
    assert not isinstance(caught.value, UnreadableError)


# ---- memory


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
@pytest.mark.parametrize("slope", [1.0, 0.5])
def test_a_box_read_in_slabs_is_the_box(dtype, slope, tmp_path, monkeypatch):
    """Whatever the type, and however few planes are read at a time."""
    rng = np.random.default_rng(5)
    data = rng.integers(-900, 900, (13, 12, 11)).astype(dtype)
    content = bytearray(nii(data))
    struct.pack_into("<ff", content, 112, slope, 0)  # scl_slope and scl_inter
    (tmp_path / "a.nii").write_bytes(content)
    box = Box("LPS", ((2, 9), (1, 12), (3, 10)))
    found = []
    for slab in (2**22, 200, 1):
        monkeypatch.setattr(volume, "_SLAB", slab)
        with Raw(tmp_path) as raw:
            scan = volume.Volume(volume.load(raw, "a.nii"), "RAS")
            found.append((scan.cut(box), scan.sha256()))
    expected = np.rint(data * slope).clip(-(2**15), 2**15 - 1).astype(np.int16)[::-1, ::-1][2:9, 1:12, 3:10]
    for part, digest in found:
        np.testing.assert_array_equal(part, expected)
        assert digest == hashlib.sha256(expected.tobytes()).hexdigest()


def test_a_box_of_more_voxels_than_fit_is_refused_with_their_number(tmp_path, monkeypatch):
    (tmp_path / "a.nii").write_bytes(nii(np.zeros((8, 8, 8), np.int16)))
    monkeypatch.setattr(volume, "MAX_BOX", 400)
    with Raw(tmp_path) as raw:
        scan = volume.Volume(volume.load(raw, "a.nii"), "RAS")
        assert scan.cut(Box("RAS", ((0, 8), (0, 8), (0, 6)))).shape == (8, 8, 6)
        with pytest.raises(UnreadableError, match="512 voxels is asked for; 400 are held"):
            scan.cut(Box("RAS", ((0, 8),) * 3))
