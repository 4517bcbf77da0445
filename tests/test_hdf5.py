"""HDF5 files: another program's lock, damage, and parts that nobody wrote."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading import hdf5
from preprocess.reading.archives import Raw
from preprocess.sources import bbbc051, synapse

VALUES = np.random.default_rng(2).integers(1, 256, (40, 60, 70), dtype=np.uint8)
HOLD = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); sys.stdin.read()"


def test_a_file_that_another_program_holds_is_not_called_damaged(tmp_path):
    with h5py.File(tmp_path / "em.h5", "w") as file:
        file["main"] = VALUES
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "em.h5")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(PreprocessError, match="another program holds it open for writing; close it there"):
            hdf5.open_file(Raw(tmp_path), "em.h5")
        holder.communicate()
    assert hdf5.open_file(Raw(tmp_path), "em.h5")["main"].shape == VALUES.shape


@pytest.mark.parametrize("form", ["chunks", "packed", "whole"])
def test_a_box_is_what_was_written(tmp_path, form):
    with h5py.File(tmp_path / "em.h5", "w") as file:
        options = {"chunks": {"chunks": (8, 16, 16)}, "packed": {"chunks": (8, 16, 16), "compression": "gzip"}}
        file.create_dataset("main", data=VALUES, **options.get(form, {}))
    with zipfile.ZipFile(tmp_path / "em.zip", "w") as archive:
        archive.write(tmp_path / "em.h5", "em.h5")
    bounds = (slice(3, 30), slice(20, 55), slice(0, 70))
    for path in ("em.h5", "em.zip!/em.h5"):
        with Raw(tmp_path) as raw:
            assert np.array_equal(hdf5.box(hdf5.open_file(raw, path)["main"], bounds), VALUES[bounds])


def test_a_box_with_a_chunk_that_nobody_wrote_is_refused(tmp_path):
    with h5py.File(tmp_path / "em.h5", "w") as file:
        data = file.create_dataset("main", VALUES.shape, np.uint8, chunks=(8, 16, 16))
        data[:, :48] = VALUES[:, :48]
        file.create_dataset("none", VALUES.shape, np.uint8)
    data = hdf5.open_file(Raw(tmp_path), "em.h5")
    written = (slice(0, 40), slice(10, 48), slice(5, 70))
    assert np.array_equal(hdf5.box(data["main"], written), VALUES[written])
    with pytest.raises(UnreadableError, match="holds no data at 8 48 0: that part was never written"):
        hdf5.box(data["main"], (slice(9, 11), slice(40, 50), slice(0, 3)))
    with pytest.raises(UnreadableError, match="holds no data at 1 2 3"):
        hdf5.box(data["none"], (slice(1, 2), slice(2, 3), slice(3, 4)))


def test_what_is_no_hdf5_is_told(tmp_path):
    (tmp_path / "em.h5").write_bytes(b"<html>please log in</html>")
    with pytest.raises(PreprocessError, match=r"em\.h5: cannot be opened as HDF5, damaged .*; download it again"):
        hdf5.open_file(Raw(tmp_path), "em.h5")


def test_a_synapse_whose_part_was_never_written_is_left_out(stand_in, tmp_path, builder):
    """The others have the pixels that slices of the same volume give."""
    import io

    from PIL import Image

    folder = stand_in("synapse")
    with zipfile.ZipFile(next(folder.glob("*.zip"))) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png") and "/._" not in name)
        volume = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names])
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "synapses.csv").write_bytes((folder / "synapses.csv").read_bytes())
    wanted = builder("synapsemnist3d", folder).images(28)
    with h5py.File(raw / "em.h5", "w") as file:
        data = file.create_dataset("main", volume.shape, np.uint8, chunks=(len(volume), 32, 32))
        data[:, :, :160] = volume[:, :, :160]
    done = builder("synapsemnist3d", raw, census="warn")
    left_out = {row["key"] for row in done.excluded if row["reason"] == "missing"}
    found = done.images(28)
    assert left_out and found
    assert left_out | found.keys() == wanted.keys() and not left_out & found.keys()
    assert all(np.array_equal(found[key], wanted[key]) for key in found)


def tissue(folder):
    """A store of nuclei as their authors keep them, with checksums."""
    rng = np.random.default_rng(1)
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("train_data", data=rng.integers(0, 100, (20, 7168), np.uint8), chunks=True, fletcher32=True)
        file.create_dataset("train_labels", data=rng.integers(1, 9, 20), chunks=True, fletcher32=True)


def synapses(folder):
    """A volume of electron microscopy with checksums, and a table of two places in it."""
    (folder / "s.csv").write_text("z,y,x,label\n40,60,60,0\n45,61,62,1\n")
    voxels = np.random.default_rng(1).integers(0, 255, (80, 120, 120), np.uint8)
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("main", data=voxels, chunks=True, fletcher32=True)


def read_nuclei(folder):
    with Raw(folder) as raw:
        samples = bbbc051.index(raw, "kept", "info", "uint8").samples
        return [int(bbbc051.open(raw, one).sum()) for one in samples]


def read_synapses(folder):
    with Raw(folder) as raw:
        samples = synapse.index(raw, [30, 8, 8], 800).samples
        return [int(synapse.open(raw, one).sum()) for one in samples if not one.reason]


@pytest.mark.parametrize(("make", "read"), [(tissue, read_nuclei), (synapses, read_synapses)])
@pytest.mark.parametrize("damage", ["cut", "head", "hole"])
def test_no_damage_to_an_hdf5_file_is_a_traceback(make, read, damage, tmp_path):
    make(tmp_path)
    whole, wanted = (tmp_path / "a.h5").read_bytes(), read(tmp_path)
    assert len(wanted) > 1
    for seed in range(25):
        rng, data = random.Random(f"{damage} {seed}"), bytearray(whole)
        if damage == "cut":
            del data[rng.randrange(len(data)) :]
        elif damage == "head":
            for _ in range(3):
                data[rng.randrange(4000)] ^= rng.randrange(1, 256)
        else:
            at = rng.randrange(len(data) - 512)
            data[at : at + 512] = bytes(512)
        (tmp_path / "a.h5").write_bytes(data)
        try:
            found = read(tmp_path)
            assert damage == "head" or set(found) <= set(wanted)
        except PreprocessError as error:
            assert "a.h5" in str(error) or isinstance(error, UnreadableError)
