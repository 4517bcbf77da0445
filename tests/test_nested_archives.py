"""Archives in archives: read at any place, at the cost of one pass, and damaged ones told."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest

from preprocess.errors import PreprocessError
from preprocess.reading import archives as raw_module
from preprocess.reading.archives import Raw

CONTENT = {f"pictures/{i:03d}.bin": np.random.default_rng(i).bytes(3000) for i in range(60)}


def zipped(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def nested(request, tmp_path):
    """Three zips within each other, the outer ones stored or packed."""
    inner = zipped(CONTENT, zipfile.ZIP_DEFLATED)
    middle = zipped({"readme.txt": b"?", "data/inner.zip": inner}, request.param)
    (tmp_path / "outer.zip").write_bytes(b"a self-extracting head" + zipped({"middle.zip": middle}, request.param))
    return tmp_path


def test_any_order_of_reading_gives_the_same_bytes(nested):
    raw = Raw(nested)
    files = [file for file in raw.files() if file.name.endswith(".bin")]
    assert [file.path for file in files] == [f"outer.zip!/middle.zip!/data/inner.zip!/{name}" for name in CONTENT]
    assert [file.size for file in files] == [3000] * 60
    for reader in (raw, Raw(nested)):
        for i in np.random.default_rng(0).permutation(60):
            assert reader.read(files[i].path) == CONTENT[f"pictures/{i:03d}.bin"]
            # the outer archive is read in between
            assert reader.read("outer.zip!/middle.zip!/readme.txt") == b"?"


def test_an_inner_archive_is_opened_once(nested, monkeypatch):
    """Going back must not unpack the archive anew: that would cost a whole pass for each file."""
    unpacked = []
    monkeypatch.setattr(
        raw_module.shutil, "copyfileobj", lambda source, target, *size: unpacked.append(target.write(source.read()))
    )
    raw = Raw(nested)
    paths = [file.path for file in raw.files()]
    for path in reversed(paths):
        raw.read(path)
    assert len(unpacked) in (0, 2)  # stored: read in place; packed: each of the two copied once


def test_a_stored_file_is_a_window_and_a_packed_one_a_copy(nested):
    raw = Raw(nested)
    whole = raw.read("outer.zip!/middle.zip")
    with raw.seekable("outer.zip!/middle.zip") as stream:
        assert stream.seek(0, io.SEEK_END) == len(whole)
        assert stream.read(5) == b""
        stream.seek(-7, io.SEEK_END)
        assert stream.read() == whole[-7:]
        stream.seek(3)
        stream.seek(4, io.SEEK_CUR)
        assert (stream.tell(), stream.read(11), stream.tell()) == (7, whole[7:18], 18)
    assert raw.read("outer.zip!/middle.zip") == whole  # closing the window leaves the archive open
    with raw.seekable("outer.zip") as stream:
        assert stream.read() == (nested / "outer.zip").read_bytes()


def test_files_that_are_not_there(nested):
    raw = Raw(nested)
    for path in ("none.zip", "outer.zip!/none.zip", "outer.zip!/middle.zip!/none.txt"):
        with pytest.raises(PreprocessError, match="no such file"):
            raw.seekable(path)
        with pytest.raises(PreprocessError, match="no such file"):
            raw.read(path)


def test_a_damaged_inner_archive_is_named(tmp_path):
    inner = bytearray(zipped(CONTENT, zipfile.ZIP_DEFLATED))
    inner[5000] ^= 0xFF
    (tmp_path / "outer.zip").write_bytes(zipped({"inner.zip": bytes(inner), "cut.zip": bytes(inner[:9000])}))
    with pytest.raises(PreprocessError, match=r"outer\.zip!/cut\.zip: damaged or incomplete"):
        Raw(tmp_path).files()
    (tmp_path / "outer.zip").write_bytes(zipped({"inner.zip": bytes(inner)}))
    raw = Raw(tmp_path)
    with pytest.raises(PreprocessError, match=r"outer\.zip!/inner\.zip!/pictures/001\.bin: damaged or incomplete"):
        for file in raw.files():
            raw.read(file.path)


@pytest.mark.parametrize("outer", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("inner", ["zip", "tar", "tar.gz"])
def test_a_cut_outer_archive_is_told_however_it_nests(outer, inner, tmp_path):
    rng = np.random.default_rng(2)
    one, other = (packed_as(inner, {f"{k}.bin": rng.bytes(4000) for k in range(5)}) for _ in range(2))
    whole = packed_as(outer, {f"a.{inner}": one, f"b.{inner}": other})
    for share in (0.1, 0.3, 0.5, 0.6, 0.8):  # a tar is filled up with zeros
        (tmp_path / f"all.{outer}").write_bytes(whole[: int(len(whole) * share)])
        with Raw(tmp_path) as raw, pytest.raises(PreprocessError, match=rf"all\.{outer}.*: damaged or incomplete"):
            for file in raw.files():
                raw.read(file.path)


def test_the_directory_of_an_inner_zip_is_not_taken_for_the_outer_one_s(tmp_path):
    inner = zipped(CONTENT, zipfile.ZIP_DEFLATED)
    whole = zipped({"a.zip": inner, "b.zip": inner})
    for end in (whole.index(inner) + len(inner), whole.rindex(b"PK\3\4", 0, len(whole) // 2 + 500) + 40):
        (tmp_path / "outer.zip").write_bytes(whole[:end])
        with pytest.raises(PreprocessError, match=r"outer\.zip: damaged or incomplete"):
            Raw(tmp_path).files()


def packed_as(form, members):
    if form == "zip":
        return zipped(members, zipfile.ZIP_STORED)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if form == "tar.gz" else "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_no_room_for_a_copy_is_said(nested, monkeypatch):
    def full(source, target, *size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(raw_module.shutil, "copyfileobj", full)
    raw = Raw(nested)
    packed = zipfile.ZipFile(nested / "outer.zip").getinfo("middle.zip").compress_type == zipfile.ZIP_DEFLATED
    if packed:
        with pytest.raises(PreprocessError, match=r"no room for a copy of outer\.zip!/middle\.zip; set TMPDIR"):
            raw.files()
    else:
        assert len(raw.files()) == 61
