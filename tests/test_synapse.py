"""SynapseMNIST3D: cubes out of a stack of slices or an HDF5 file, and what is refused."""

from __future__ import annotations

import io
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading.archives import Raw
from preprocess.sources import synapse
from tests.builds import CommandError, placed

VOXEL, CUBE = [30, 8, 8], 1024
#: what 1024 nm are in voxels of 30 x 8 x 8 nm
EXTENTS = (34, 128, 128)


def index(folder):
    return synapse.index(Raw(folder), VOXEL, CUBE)


@pytest.fixture
def volume():
    return np.random.default_rng(0).integers(0, 256, (50, 150, 160), np.uint8)


def write(folder, volume, table, kind="slices"):
    """A raw folder with a volume and a table."""
    folder.mkdir(exist_ok=True)
    (folder / "synapses.csv").write_text(table)
    if kind == "hdf5":
        with h5py.File(folder / "em.h5", "w") as file:
            file.create_dataset("volumes/raw", data=volume, chunks=(8, 32, 32), compression="gzip")
            file.create_dataset("resolution", data=[30, 8, 8])
    else:
        (folder / "im").mkdir(exist_ok=True)
        for z, plane in enumerate(volume):
            Image.fromarray(plane).save(folder / "im" / f"im{z:04d}.png")
    return folder


@pytest.mark.parametrize("kind", ["slices", "hdf5"])
def test_cube_is_cut_about_the_voxel(kind, volume, tmp_path):
    """34 x 128 x 128 voxels from 17, 64, 64 before the centre; the first and last that fit, and those that do not."""
    inside = [(17, 64, 64), (33, 86, 96), (25, 70, 80)]
    outside = [(16, 64, 64), (34, 70, 70), (20, 63, 70), (20, 87, 70), (20, 70, 63), (20, 70, 97)]
    lines = [f"{z},{y},{x},{i % 2}" for i, (z, y, x) in enumerate([*inside, *outside])]
    folder = write(tmp_path / "x", volume, "z,y,x,label\n" + "\n".join(lines), kind)
    listing = index(folder)
    assert listing.census == {"label 0": 5, "label 1": 4}
    found = {tuple(int(sample.attributes[axis]) for axis in "zyx"): sample for sample in listing.samples}
    assert list(found) == sorted(found)  # by z, so that slices are read once
    raw = Raw(folder)
    for centre in inside:
        z, y, x = centre
        assert not found[centre].reason
        cube = synapse.open(raw, found[centre])
        assert (cube.shape, cube.dtype) == (EXTENTS, np.uint8)
        np.testing.assert_array_equal(cube, volume[z - 17 : z + 17, y - 64 : y + 64, x - 64 : x + 64])
    for centre in outside:
        assert found[centre].reason == "outside-volume"
    assert found[16, 64, 64].detail == "z -1..33 of 50 voxels"


def test_forms_and_archives_give_the_same(stand_in, tmp_path, builder):
    folder = stand_in("synapse")
    names = ("packed", "tree", "hdf5", "zipped-hdf5")
    folders = {name: tmp_path / name for name in names}
    for one in folders.values():
        one.mkdir()
        (one / "table.csv").write_bytes((folder / "synapses.csv").read_bytes())
    with zipfile.ZipFile(folder / "EM30-R-im.zip") as archive:
        planes = {name: archive.read(name) for name in sorted(archive.namelist()) if not name.startswith("__MACOSX")}
        (folders["packed"] / "whole.zip").write_bytes((folder / "EM30-R-im.zip").read_bytes())
    for name, data in planes.items():
        (folders["tree"] / name).parent.mkdir(exist_ok=True)
        (folders["tree"] / name).write_bytes(data)
    volume = np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in planes.values()])
    with h5py.File(folders["hdf5"] / "EM30-R.hdf5", "w") as file:
        file["main"] = volume
    with zipfile.ZipFile(folders["zipped-hdf5"] / "em.zip", "w") as archive:
        archive.write(folders["hdf5"] / "EM30-R.hdf5", "EM30-R.h5")
    expected = None
    for one in folders.values():
        raw = Raw(one)
        listing = index(one)
        usable = [sample for sample in listing.samples if not sample.reason]
        found = [(sample.key, synapse.open(raw, sample).tobytes()) for sample in usable[::6]]
        expected = expected or found
        assert found == expected
    assert expected


def test_each_slice_is_decoded_once(volume, tmp_path, monkeypatch):
    lines = "".join(f"{z},70,80,{z % 2}\n" for z in range(17, 34))
    folder = write(tmp_path / "x", volume, "z,y,x,label\n" + lines)
    raw = Raw(folder)
    samples = synapse.index(raw, VOXEL, CUBE).samples
    read: list[str] = []
    original = Raw.read
    monkeypatch.setattr(Raw, "read", lambda self, path: read.append(path) or original(self, path))
    # what holds one sample's slices and no more
    monkeypatch.setattr(synapse, "BUDGET", 34 * volume[0].nbytes)
    for sample in samples:
        synapse.open(raw, sample)
    assert len(read) == len(set(read)) == 50
    assert len(synapse._volume(raw)._kept) == 34


def test_columns_that_may_be_left_out(volume, tmp_path):
    folder = write(tmp_path / "x", volume, "X\tLabel\tY\tZ\n80.4\t1\t70\t20\n\n", "hdf5")
    (sample,) = index(folder).samples
    assert (sample.key, sample.group, sample.source_split, sample.original_label) == ("20-70-80", "", "", "1")
    table = "id,z,y,x,label,neuron,split\ns7,20,70,80,0,n1,Test\n"
    (sample,) = index(write(tmp_path / "y", volume, table, "hdf5")).samples
    assert (sample.key, sample.group, sample.source_split, sample.original_label) == ("s7", "n1", "test", "0")


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        ("z,y,label\n1,2,0\n", "has no column 'x'"),
        ("z,y,x,label\n20,70,east,0\n", "must be numbers"),
        ("z,y,x,label\n20,70,inf,0\n", "must be numbers"),
        ("z,y,x,label\n2_0,70,70,0\n", "must be numbers"),
        ("z,y,x,label\n1e300,70,70,0\n", "must be numbers"),
        ("z,y,x,label\n" + "9" * 5000 + ",70,70,0\n", "must be numbers"),
        ("z,y,x,label\n20,70,80,excitatory\n", "label 'excitatory' is not one of 0, 1"),
        ("z,y,x,label\n20,70,,0\n", "line 2 has no x"),
    ],
)
def test_table_that_does_not_fit_is_refused(table, cause, volume, tmp_path):
    with pytest.raises(PreprocessError, match=cause):
        index(write(tmp_path / "x", volume, table, "hdf5"))


def test_volume_that_is_not_one_is_refused(volume, tmp_path):
    table = "z,y,x,label\n20,70,80,0\n"
    both = write(write(tmp_path / "both", volume, table), volume, table, "hdf5")
    with pytest.raises(PreprocessError, match="holds 50 slices and 1 HDF5 files"):
        index(both)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "synapses.csv").write_text(table)
    with pytest.raises(PreprocessError, match="holds 0 slices and 0 HDF5 files"):
        index(tmp_path / "none")
    (both / "another.csv").write_text(table)
    with pytest.raises(PreprocessError, match="needs one table"):
        index(both)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"raw": np.zeros((40, 140, 140), np.uint16)}, "uint16"),
        ({"a": np.zeros((9, 9, 9), np.uint8), "b": np.zeros((9, 9, 9), np.uint8)}, r"a \(uint8\), b \(uint8\)"),
        ({"resolution": np.zeros(3)}, "holds none"),
    ],
)
def test_hdf5_that_holds_something_else_is_refused(content, told, tmp_path):
    (tmp_path / "synapses.csv").write_text("z,y,x,label\n20,70,80,0\n")
    with h5py.File(tmp_path / "em.h5", "w") as file:
        for name, data in content.items():
            file[name] = data
    with pytest.raises(PreprocessError, match=told):
        index(tmp_path)


def test_file_that_is_no_hdf5_is_refused(tmp_path):
    (tmp_path / "synapses.csv").write_text("z,y,x,label\n20,70,80,0\n")
    (tmp_path / "em.h5").write_bytes(b"<html>please log in</html>")
    with pytest.raises(PreprocessError, match="cannot be opened as HDF5"):
        index(tmp_path)


def test_missing_slice_leaves_its_samples_missing(volume, tmp_path):
    volume = np.concatenate([volume, volume])
    folder = write(tmp_path / "x", volume, "z,y,x,label\n17,70,80,0\n41,70,80,1\n80,70,80,1\n")
    (folder / "im" / "im0050.png").unlink()
    found = [(sample.reason, sample.detail) for sample in index(folder).samples]
    assert found == [("", ""), ("missing", "1 of its slices are not there, the first is 50"), ("", "")]


@pytest.mark.parametrize("kind", ["deep", "narrow", "broken"])
def test_slice_that_is_not_like_the_others_is_unreadable(kind, volume, tmp_path):
    folder = write(tmp_path / "x", volume, "z,y,x,label\n20,70,80,0\n")
    path = folder / "im" / "im0020.png"
    if kind == "deep":
        Image.fromarray(volume[0].astype(np.uint16) * 256).save(path)
    elif kind == "narrow":
        Image.fromarray(volume[0, :, :-1]).save(path)
    else:
        path.write_bytes(path.read_bytes()[:3000])
    raw = Raw(folder)
    (sample,) = synapse.index(raw, VOXEL, CUBE).samples
    with pytest.raises(UnreadableError, match=r"slice im0020\.png"):
        synapse.open(raw, sample)


def test_build_is_the_cubic_zoom_of_the_cube(stand_in, builder):
    """scipy's own, rounded and kept within 0 and 255; the paper's has the last line of every axis too."""
    folder = stand_in("synapse")
    raw = Raw(folder)
    samples = [sample for sample in index(folder).samples if not sample.reason][::7]
    for protocol, mode in (("released", "constant"), ("paper", "mirror")):
        images = builder("synapsemnist3d", folder, protocol=protocol, sizes=(28,)).images(28)
        for sample in samples:
            cube = synapse.open(raw, sample).astype(float)
            zoomed = ndimage.zoom(cube, [28 / n for n in EXTENTS], order=3, mode=mode)
            expected = np.clip(np.floor(zoomed + 0.5), 0, 255)
            np.testing.assert_array_equal(images[sample.key], expected)


def test_released_order_has_label_1_first(stand_in, builder):
    done = builder("synapsemnist3d", stand_in("synapse"), protocol="released")
    for split in ("train", "val", "test"):
        labels = [row["label"] for row in done.samples if row["split"] == split]
        assert labels == sorted(labels, reverse=True)
        assert set(labels) == {"0", "1"}
    assert [(row["key"], row["reason"]) for row in done.excluded] == [("30-60-144", "outside-volume")]


def test_paper_keeps_neurons_together(stand_in):
    splits: dict[str, set[str]] = {}
    for sample in placed("synapsemnist3d", stand_in("synapse")):
        splits.setdefault(sample.group, set()).add(sample.split)
    assert {len(found) for found in splits.values()} == {1}
    assert len(splits) == 8


def test_strict_census_counts_the_table(volume, tmp_path, builder):
    folder = write(tmp_path / "x", volume, "z,y,x,label\n20,70,80,0\n", "hdf5")
    with pytest.raises(CommandError):
        builder("synapsemnist3d", folder, miniature=False)


@pytest.mark.parametrize("chunks", [(8, 32, 32), (16, 16, 16), None])
def test_chunks_that_were_never_written_are_missing(chunks, tmp_path):
    """Half of the volume is written: a crop that touches the other half shows fill values, so it is left out."""
    shape = (64, 192, 192)
    with h5py.File(tmp_path / "em.h5", "w") as file:
        data = file.create_dataset("v", shape, np.uint8, chunks=chunks)
        if chunks:
            data[:, :96] = np.random.default_rng(1).integers(1, 255, (64, 96, 192))
    (tmp_path / "t.csv").write_text("id,z,y,x,label\ninside,30,30,90,0\nacross,30,90,90,0\nbeyond,30,150,90,1\n")
    samples = {one.key: one for one in synapse.index(Raw(tmp_path), [30, 30, 30], 1024).samples}
    reasons = {key: one.reason for key, one in samples.items()}
    if chunks:
        assert reasons == {"inside": "", "across": "missing", "beyond": "missing"}
        assert "chunks of em.h5 that it touches were never written" in samples["beyond"].detail
        assert synapse.open(Raw(tmp_path), samples["inside"]).min() > 0
    else:
        assert set(reasons.values()) == {"missing"}
