"""The published container: real files round-trip to their MD5, and every header byte is as documented."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from preprocess import container, environment, npz
from preprocess.errors import PreprocessError

SPLITS = ("train", "val", "test")
ALTERNATING = [f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")]
IMAGES_FIRST = [f"{split}_{kind}" for kind in ("images", "labels") for split in SPLITS]
#: published file, its MD5 (INFO of medmnist 3.0.2), dimensions, size, what the recipe says of create_system
PUBLISHED = [
    ("breastmnist.npz", "750601b1f35ba3300ea97c75c52ff8f6", 2, 28, None),
    ("adrenalmnist3d.npz", "bbd3c5a5576322bc4cdfea780653b1ce", 3, 28, 3),
    ("adrenalmnist3d_64.npz", "17721accfe9fb005146a47d33bc54b2f", 3, 64, None),
    ("vesselmnist3d.npz", "b41fd4f7e7e2feedddb201585ecafa1b", 3, 28, None),
    ("vesselmnist3d_64.npz", "6bb274a8846e1097066dcd64e2c4520f", 3, 64, None),
]


def write(path, arrays, create_system=0):
    container.write(
        path, [container.Array(name, array.shape, list(array)) for name, array in arrays.items()], create_system
    )
    return path


@pytest.mark.real
@pytest.mark.skipif(not environment.is_classic_zlib(), reason="this Python deflates by zlib-ng")
@pytest.mark.parametrize(("name", "md5", "dimensions", "size", "system"), PUBLISHED)
def test_published_file_is_written_again_to_its_md5(name, md5, dimensions, size, system, real, tmp_path):
    reader = npz.Reader(real / "released" / name)
    order, create_system = container.layout(dimensions, size, system)
    # streamed, a row at a time: the largest holds 415 MB of pixels
    arrays = [container.Array(member, reader.shape(member), reader.rows(member)) for member in order]
    container.write(tmp_path / name, arrays, create_system)
    with open(tmp_path / name, "rb") as handle:
        assert hashlib.file_digest(handle, "md5").hexdigest() == md5


@pytest.mark.real
@pytest.mark.parametrize(("name", "md5", "dimensions", "size", "system"), PUBLISHED)
def test_layout_is_that_of_the_published_file(name, md5, dimensions, size, system, real):
    with zipfile.ZipFile(real / "released" / name) as file:
        members = file.infolist()
    order, create_system = container.layout(dimensions, size, system)
    assert [member.filename for member in members] == [f"{one}.npy" for one in order]
    assert {member.create_system for member in members} == {create_system}


@pytest.mark.parametrize(
    ("dimensions", "size", "order", "system"),
    [
        (2, 28, IMAGES_FIRST, 3),
        (2, 64, ALTERNATING, 0),
        (2, 224, ALTERNATING, 0),
        (3, 28, ALTERNATING, 0),
        (3, 64, ALTERNATING, 0),
    ],
)
def test_layout_by_size_class(dimensions, size, order, system):
    assert container.layout(dimensions, size) == (tuple(order), system)
    assert container.layout(dimensions, size, 3) == (tuple(order), 3)


def test_every_header_byte(tmp_path):
    """Local header, zip64 extra field, central entry and end record, field by field (released-format, section 2)."""
    array = np.arange(2 * 28 * 28, dtype=np.uint32).reshape(2, 28, 28).astype(np.uint8)
    arrays = {"train_images": array, "train_labels": np.array([[1], [0]], np.uint8)}
    data = write(tmp_path / "x.npz", arrays, create_system=3).read_bytes()
    at, offsets, packed_sizes = 0, [], []
    for name, one in arrays.items():
        offsets.append(at)
        content = (
            b"\x93NUMPY\x01\x00\x76\x00"
            + (f"{{'descr': '|u1', 'fortran_order': False, 'shape': {one.shape}, }}".ljust(117) + "\n").encode()
            + one.tobytes()
        )
        deflate = zlib.compressobj(-1, zlib.DEFLATED, -15)
        body = deflate.compress(content) + deflate.flush()
        packed_sizes.append(len(body))
        names = f"{name}.npy".encode()
        fields = struct.unpack_from("<4sHHHHHLLLHH", data, at)
        assert fields == (
            b"PK\3\4", 20, 0, 8, 0, 0x0021, zlib.crc32(content), len(body), len(content), len(names), 20,
        )  # fmt: skip
        at += 30
        assert data[at : at + len(names)] == names
        at += len(names)
        assert struct.unpack_from("<HHQQ", data, at) == (1, 16, len(content), len(body))
        at += 20
        assert data[at : at + len(body)] == body
        at += len(body)
    directory = at
    for (name, one), offset, packed in zip(arrays.items(), offsets, packed_sizes, strict=True):
        names = f"{name}.npy".encode()
        fields = struct.unpack_from("<4sBBHHHHHLLLHHHHHLL", data, at)
        crc = struct.unpack_from("<L", data, offset + 14)[0]
        assert fields == (
            b"PK\1\2", 20, 3, 20, 0, 8, 0, 0x0021, crc, packed, 128 + one.size, len(names),
            0, 0, 0, 0, 0o600 << 16, offset,
        )  # fmt: skip
        assert data[at + 46 : at + 46 + len(names)] == names
        at += 46 + len(names)
    end = struct.unpack_from("<4sHHHHLLH", data, at)
    assert end == (b"PK\5\6", 0, 0, 2, 2, at - directory, directory, 0)
    assert len(data) == at + 22


def test_numpy_writes_other_bytes_of_the_same_length(tmp_path):
    """Why the container is written here at all: numpy's own has another MD5."""
    arrays = {"train_images": np.zeros((3, 28, 28), np.uint8)}
    ours = write(tmp_path / "ours.npz", arrays).read_bytes()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    assert ours != buffer.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    arrays=st.dictionaries(
        st.sampled_from(ALTERNATING),
        npst.arrays(np.uint8, npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9)),
        min_size=1,
    ),
    system=st.sampled_from([0, 3]),
)
def test_numpy_and_zipfile_read_any_shape(arrays, system, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("npz") / "x.npz", arrays, system)
    with np.load(path) as file:
        assert file.files == list(arrays)
        for name, array in arrays.items():
            assert file[name].dtype == np.uint8
            np.testing.assert_array_equal(file[name], array)
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert {member.create_system for member in file.infolist()} == {system}
    reader = npz.Reader(path)
    assert (reader.names, reader.create_system) == (list(arrays), system)
    for name, array in arrays.items():
        assert reader.shape(name) == array.shape
        np.testing.assert_array_equal(reader.array(name), array)
        rows = list(reader.rows(name))
        assert len(rows) == len(array)
        for row, expected in zip(rows, array, strict=True):
            np.testing.assert_array_equal(row, expected)


def test_split_without_rows(tmp_path):
    arrays = {"val_images": np.zeros((0, 28, 28), np.uint8), "val_labels": np.zeros((0, 1), np.uint8)}
    with np.load(write(tmp_path / "x.npz", arrays)) as file:
        assert file["val_images"].shape == (0, 28, 28)
        assert file["val_labels"].shape == (0, 1)


@pytest.mark.parametrize("rows", [[b"\0" * 8], [b"\0" * 4] * 3])
def test_rows_that_do_not_fill_the_shape_are_a_defect(rows, tmp_path):
    with pytest.raises(PreprocessError, match="bytes written for a shape"):
        container.write(tmp_path / "x.npz", [container.Array("train_images", (2, 2, 2), rows * 3)], 0)
    assert not list(tmp_path.iterdir())


GIB = 2**30


@pytest.mark.parametrize(
    ("unpacked", "packed", "offset"),
    [
        (100, 50, 0),
        (2 * GIB - 1, 50, 0),
        (2 * GIB, 50, 0),
        (12 * GIB, 3 * GIB, 0),
        (100, 50, 2 * GIB - 1),
        (100, 50, 2 * GIB),
        (5 * GIB, 3 * GIB, 5 * GIB),
    ],
)
def test_directory_beyond_2_gib_is_what_zipfile_writes_and_reads(unpacked, packed, offset):
    """The sizes are only claimed, the bytes are the directory's: zipfile's own for the same claims."""

    class Far(io.BytesIO):
        """A file that pretends to begin further on."""

        def tell(self):
            return super().tell() + start

    start = offset + packed + 100
    ours = Far()
    array = container.Array("train_images", (0,), [])
    container._write_directory(ours, [container._Member(array, offset, 8, 1234, packed, unpacked)], 3)

    theirs = Far()
    info = zipfile.ZipInfo("train_images.npy")
    info.create_system, info.compress_type, info.CRC = 3, zipfile.ZIP_DEFLATED, 1234
    info.compress_size, info.file_size, info.header_offset = packed, unpacked, offset
    info.external_attr = 0o600 << 16
    archive = zipfile.ZipFile(io.BytesIO(), "w")
    archive.filelist, archive.fp, archive.start_dir = [info], theirs, start
    archive._write_end_record()
    archive.fp = None
    assert ours.getvalue() == theirs.getvalue()

    directory = io.BytesIO(ours.getvalue())
    entry = struct.unpack_from("<4sBBHHHHHLLLHHHHHLL", directory.getvalue())
    read = zipfile.ZipInfo("train_images.npy")
    read.compress_size, read.file_size, read.header_offset = entry[9], entry[10], entry[17]
    read.extra = directory.getvalue()[46 + 16 : 46 + 16 + entry[12]]
    if read.extra:
        _decode(read)
    assert (read.file_size, read.compress_size, read.header_offset) == (unpacked, packed, offset)


def _decode(info):
    try:
        info._decodeExtra(0)
    except TypeError:  # before Python 3.12 it has no argument
        info._decodeExtra()


@pytest.mark.parametrize(("unpacked", "version"), [(2 * GIB - 1, 20), (2 * GIB, 45), (12 * GIB, 45)])
def test_local_header_beyond_2_gib(unpacked, version):
    data = container._Member(container.Array("train_images", (0,), []), 0, 8, 7, 1000, unpacked).local_header()
    fields = struct.unpack_from("<4sHHHHHLLLHH", data)
    assert fields[1] == version
    assert fields[7:9] == ((1000, unpacked) if version == 20 else (0xFFFFFFFF, 0xFFFFFFFF))
    assert struct.unpack_from("<HHQQ", data, 30 + 16) == (1, 16, unpacked, 1000)


def test_memory_stays_flat(tmp_path):
    """48 MB of pixels pass through less than 4 MB, written and read."""
    row = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    count = 48 * 2**20 // row.nbytes
    tracemalloc.start()
    try:
        container.write(
            tmp_path / "x.npz", [container.Array("train_images", (count, *row.shape), (row for _ in range(count)))], 0
        )
        read = sum(1 for one in npz.Reader(tmp_path / "x.npz").rows("train_images") if one[0, 0, 0] == row[0, 0, 0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == count
    assert peak < 4 * 2**20


@pytest.mark.parametrize("array", [np.zeros((2, 3), np.int64), np.asfortranarray(np.zeros((2, 3), np.uint8))])
def test_reader_refuses_other_arrays(array, tmp_path):
    np.savez_compressed(tmp_path / "x.npz", train_images=array)
    with pytest.raises(PreprocessError, match="not uint8 in C order"):
        npz.Reader(tmp_path / "x.npz").shape("train_images")


def test_reader_names_what_is_wrong(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"not a zip")
    with pytest.raises(PreprocessError, match=r"x\.npz: cannot be read as npz"):
        npz.Reader(tmp_path / "x.npz")
    with pytest.raises(PreprocessError, match="holds no array val_images"):
        npz.Reader(write(tmp_path / "y.npz", {"train_images": np.zeros((1, 2), np.uint8)})).shape("val_images")


def test_no_damage_to_a_published_file_is_a_traceback(tmp_path):
    """Read whole and by rows: the same arrays, or one line with the file's name."""
    rng = np.random.default_rng(3)
    arrays = {
        f"{split}_{kind}": rng.integers(0, 256, (5, 4, 4) if kind == "images" else (5, 1), dtype=np.uint8)
        for split in ("train", "val", "test")
        for kind in ("images", "labels")
    }
    path = tmp_path / "whole.npz"
    container.write(path, (container.Array(name, array.shape, [array.tobytes()]) for name, array in arrays.items()), 0)
    whole = path.read_bytes()
    places = random.Random(4)
    refused = 0
    for number in range(1500):
        data = bytearray(whole)
        for _ in range(places.choice((1, 1, 2, 8))):
            data[places.randrange(len(data))] = places.randrange(256)
        damaged = tmp_path / "damaged.npz"
        damaged.write_bytes(data[: len(data) if number % 5 else places.randrange(len(data))])
        try:
            reader = npz.Reader(damaged)
            for name, array in arrays.items():
                assert reader.shape(name) == array.shape
                assert np.array_equal(reader.array(name), array)
                assert np.array_equal(np.stack(list(reader.rows(name))), array)
            assert reader.create_system in range(256)
        except PreprocessError as error:
            refused += 1
            assert str(error).startswith(f"{damaged}: ") and "\n" not in str(error)
    assert refused > 500


@pytest.mark.parametrize(
    ("shape", "body", "cause"),
    [
        ("(3, -1)", b"123", "has the shape"),
        ("(3, 'x')", b"123", "has the shape"),
        ("(10**9, 10**9)", b"123", "cannot be read as npz"),
        ("(1000000000000,)", b"123", "has not the bytes that its shape says"),
        ("(2,)", b"123", "has not the bytes that its shape says"),
        ("(4,)", b"123", "has not the bytes that its shape says"),
        ("7", b"123", "cannot be read as npz"),
        ("(3,", b"123", "cannot be read as npz"),
    ],
)
def test_a_header_that_lies_is_told(tmp_path, shape, body, cause):
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("train_labels.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body)
    for read in (lambda reader: reader.array("train_labels"), lambda reader: list(reader.rows("train_labels"))):
        with pytest.raises(PreprocessError, match=cause):
            read(npz.Reader(tmp_path / "a.npz"))
