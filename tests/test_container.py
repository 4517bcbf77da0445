"""Containers: any number of workers gives the same bytes, numpy and zipfile read them, single rows are found again."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess import container, npz
from preprocess.container import Array, Form
from preprocess.errors import PreprocessError

FORMS = [Form("published"), Form("chunked", 6), Form("chunked", 1), Form("chunked", 0)]


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 1,000 bytes and little history, so that small arrays have many of them."""
    monkeypatch.setattr(container, "CHUNK", 1000)
    monkeypatch.setattr(npz, "PART", 8000)
    monkeypatch.setattr(container, "HISTORY", 700)


def members(count: int = 300, seed: int = 0) -> dict[str, np.ndarray]:
    """Six arrays: smooth pictures, so that there is something to refer back to, one split without rows."""
    generator = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(14), np.arange(14))
    arrays = {}
    for split, rows in (("train", count), ("val", 0), ("test", 7)):
        arrays[f"{split}_images"] = (generator.integers(0, 40, (rows, 1, 1)) + ramp).astype(np.uint8)
        arrays[f"{split}_labels"] = generator.integers(0, 9, (rows, 1)).astype(np.uint8)
    return arrays


def written(path, arrays, form, workers, pieces=3):
    """Write arrays that come in pieces of several rows."""

    def cut(array):
        return (array[start : start + pieces] for start in range(0, len(array), pieces))

    return container.write(path, [Array(name, one.shape, cut(one)) for name, one in arrays.items()], 3, form, workers)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_any_number_of_workers_writes_the_same_bytes(form, tmp_path):
    """Of a member of four parts; chunks are as they are, for other processes know nothing of a test."""
    arrays = members(150_000)
    told = [written(tmp_path / f"{workers}.npz", arrays, form, workers, 1000 * workers) for workers in (1, 2, 5)]
    assert told[0] == told[1] == told[2]
    first, *others = [(tmp_path / f"{workers}.npz").read_bytes() for workers in (1, 2, 5)]
    assert others == [first, first]
    assert {name: one.sha256 for name, one in told[0].items()} == {
        name: hashlib.sha256(one.tobytes()).hexdigest() for name, one in arrays.items()
    }


@dataclass(frozen=True)
class Part:
    """Bytes; the process that looks at them ends, or tells why it cannot go on."""

    problem: OSError | None
    length: int

    def read(self):
        return bytes(self.length)

    def see(self):
        if self.problem is None:
            os._exit(9)
        raise self.problem


@dataclass(frozen=True)
class Parts:
    problem: OSError | None

    def part(self, start, end):
        return Part(self.problem, end - start)

    def saw(self, seen):
        raise AssertionError("nothing was seen")


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (None, "was killed, most likely for want of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), r"cannot write .*x\.npz: No space left on device"),
    ],
)
def test_what_befalls_a_process_is_told_and_nothing_is_left(problem, message, tmp_path):
    array = Array("train_images", (3, 3000, 3000), Parts(problem))
    with pytest.raises(PreprocessError, match=message):
        container.write(tmp_path / "x.npz", [array], 0, Form("chunked", 1), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_numpy_and_zipfile_read_it(form, small_chunks, tmp_path):
    arrays = members()
    written(tmp_path / "x.npz", arrays, form, 1)
    with np.load(tmp_path / "x.npz") as file:
        assert file.files == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file[name], array)
    with zipfile.ZipFile(tmp_path / "x.npz") as file:
        assert file.testzip() is None
        kinds = {member.compress_type for member in file.infolist()}
    assert kinds == {zipfile.ZIP_STORED if form == Form("chunked", 0) else zipfile.ZIP_DEFLATED}
    reader = npz.Reader(tmp_path / "x.npz")
    for name, array in arrays.items():
        assert b"".join(reader.blocks(name)) == array.tobytes()
        assert b"".join(row.tobytes() for row in reader.rows(name)) == array.tobytes()


@pytest.mark.parametrize("level", [6, 0])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_that_read_give_the_array_in_order(workers, level, small_chunks, tmp_path):
    arrays = members()
    told = written(tmp_path / "x.npz", arrays, Form("chunked", level), 1)
    reader = npz.Reader(tmp_path / "x.npz")
    for name, array in arrays.items():
        assert b"".join(reader.blocks(name, told[name].restarts, workers)) == array.tobytes()


@pytest.mark.parametrize("level", [1, 0])
@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_by_threads_too(level, place, bit, tmp_path_factory):
    """Wherever it lies in an array's packed bytes: an error or, where it only fills up a byte at the end of a chunk,
    the same array."""
    folder = tmp_path_factory.mktemp("bit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(container, "CHUNK", 1000)
        told = written(folder / "x.npz", {"train_images": members()["train_images"]}, Form("chunked", level), 1)
    data = bytearray((folder / "x.npz").read_bytes())
    with zipfile.ZipFile(folder / "x.npz") as file:
        packed = file.infolist()[0].compress_size
    data[30 + len("train_images.npy") + 20 + int(place * packed)] ^= 1 << bit
    (folder / "x.npz").write_bytes(data)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(npz, "PART", 8000)
            blocks = npz.Reader(folder / "x.npz").blocks
            found = b"".join(blocks("train_images", told["train_images"].restarts, 3))
    except npz.PreprocessError as error:
        assert str(error).startswith(f"{folder / 'x.npz'}: ")
    else:
        assert level and found == members()["train_images"].tobytes()


@pytest.mark.parametrize("form", FORMS, ids=str)
@settings(deadline=None, max_examples=40)
@given(wanted=st.sets(st.integers(0, 299)), with_restarts=st.booleans())
def test_single_rows_are_those_of_the_array(form, wanted, with_restarts, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(container, "CHUNK", 1000)
        folder = tmp_path_factory.mktemp("pick")
        arrays = members()
        told = written(folder / "x.npz", arrays, form, 1)["train_images"]
    assert bool(told.restarts) == (form.name == "chunked" and form.level > 0)
    restarts = told.restarts if with_restarts else ()
    found = dict(npz.Reader(folder / "x.npz").pick("train_images", wanted, restarts))
    assert list(found) == sorted(wanted)
    for row, image in found.items():
        np.testing.assert_array_equal(image, arrays["train_images"][row])


def test_reading_begins_at_the_nearest_restart(small_chunks, tmp_path, monkeypatch):
    """What lies before it is not read: it may be damaged, and the row is still right."""
    arrays = members()
    told = written(tmp_path / "x.npz", arrays, Form("chunked", 1), 1)["train_images"]
    assert len(told.restarts) == -(-(128 + 300 * 196) // 8000)
    position = told.restarts[4][0]
    data = bytearray((tmp_path / "x.npz").read_bytes())
    for _, earlier in told.restarts[1:4]:
        data[earlier] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(data)
    row = -(-(position - 128) // 196)
    reader = npz.Reader(tmp_path / "x.npz")
    ((_, image),) = reader.pick("train_images", [row], told.restarts)
    np.testing.assert_array_equal(image, arrays["train_images"][row])
    with pytest.raises(npz.PreprocessError, match=r"x\.npz: train_images: "):
        list(reader.rows("train_images"))


def test_a_row_beyond_the_end_is_an_error_that_names_the_file(tmp_path):
    arrays = members()
    told = written(tmp_path / "x.npz", arrays, Form("chunked", 1), 1)["train_images"]
    with pytest.raises(npz.PreprocessError, match=r"x\.npz: train_images: "):
        list(npz.Reader(tmp_path / "x.npz").pick("train_images", [300], told.restarts))


def test_chunks_cost_little(tmp_path):
    """On pictures of noise over a ramp, 5 MB: within 0.1 % of one stream of the same level."""
    generator = np.random.default_rng(1)
    ramp = np.add.outer(np.arange(64), np.arange(64))
    images = (generator.integers(0, 12, (1300, 64, 64)) + ramp).astype(np.uint8)
    for name, form in (("one", Form("published")), ("many", Form("chunked", 6))):
        container.write(tmp_path / name, [Array("train_images", images.shape, [images])], 0, form, 2)
    one, many = ((tmp_path / name).stat().st_size for name in ("one", "many"))
    assert many < 1.001 * one


@pytest.mark.parametrize(("header", "pixels"), [(192, 20_000 - 64), (80, 20_000 + 48)])
def test_a_stored_array_with_another_header_is_not_read_as_one_of_ours(header, pixels, tmp_path):
    """The member has as many bytes as one of ours, but they lie elsewhere."""
    text = "{'descr': '|u1', 'fortran_order': False, 'shape': (20000,), }"
    begin = b"\x93NUMPY\x01\x00" + struct.pack("<H", header - 10) + text.ljust(header - 11).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("train_images.npy", begin + bytes(pixels))
    with pytest.raises(PreprocessError, match="train_images has not the bytes that its shape says"):
        list(npz.Reader(tmp_path / "x.npz").blocks("train_images"))


def test_stored_arrays_can_be_mapped(tmp_path):
    arrays = members()
    written(tmp_path / "x.npz", arrays, Form("chunked", 0), 1)
    with zipfile.ZipFile(tmp_path / "x.npz") as file:
        entry = file.getinfo("train_images.npy")
    begin = entry.header_offset + 30 + len(entry.filename) + 20 + 128
    mapped = np.memmap(tmp_path / "x.npz", np.uint8, "r", begin, arrays["train_images"].shape)
    np.testing.assert_array_equal(mapped, arrays["train_images"])
