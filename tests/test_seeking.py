"""A packed tar read from its seek points gives what gzip gives, whatever became of the archive or of the memory."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from preprocess.errors import PreprocessError
from preprocess.reading import seeking
from preprocess.reading.archives import Raw

RNG = random.Random(3)
#: half of it cannot be packed, the other half is text: blocks of both kinds
FILES = {
    f"images/{number}.png": RNG.randbytes(size) if number % 2 else b"%06d," % number * (size // 7)
    for number, size in enumerate([0, 1, 511, 512, 513, 70_000, 4096, 300_000, 33_000, 8191, 8192, 150_001, 12])
}


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in FILES.items():
            info = tarfile.TarInfo(name if body else f"{'long/' * 40}{name}")
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


TAR = tarred()
WHOLE = gzip.compress(TAR, 6, mtime=0)
HALF = len(TAR) // 2
#: the ways to pack one tar that gzip reads
PACKED = {
    "one stream": WHOLE,
    "two streams": gzip.compress(TAR[:HALF]) + gzip.compress(TAR[HALF:]),
    "zeros at the end": WHOLE + bytes(5000),
    "stored": gzip.compress(TAR, 0),
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(seeking, "MIN_PACKED", 0)
    monkeypatch.setattr(seeking, "BLOCK", 5000)
    monkeypatch.setattr(seeking, "SPACING", 40_000)
    monkeypatch.setattr(seeking, "AHEAD", 3)


@pytest.fixture
def memory(tmp_path):
    with seeking.remembered(tmp_path / "memory"):
        yield tmp_path / "memory" / "seek" / "raw" / "data.tar.gz.zip"


def put(tmp_path, content: bytes) -> Raw:
    (tmp_path / "raw").mkdir(exist_ok=True)
    (tmp_path / "raw" / "data.tar.gz").write_bytes(content)
    return Raw(tmp_path / "raw")


def read(raw: Raw, backwards: bool = True) -> dict[str, bytes]:
    """Every file by its path, the last one first."""
    with raw:
        paths = [file.path for file in raw.files()]
    with raw:
        return {path: raw.read(path) for path in (reversed(paths) if backwards else paths)}


def without_gzip(monkeypatch) -> None:
    def refuse(*words, **named):
        raise AssertionError("inflated from the start")

    monkeypatch.setattr(gzip.GzipFile, "read", refuse)


@pytest.mark.parametrize("kind", PACKED)
def test_any_order_gives_what_gzip_gives_and_needs_no_start(kind, memory, tmp_path, monkeypatch):
    raw = put(tmp_path, PACKED[kind])
    with seeking.remembered(None):
        expected = read(raw, backwards=False)
    assert list(expected.values()) == list(FILES.values())
    with raw:
        paths = [file.path for file in raw.files()]
    assert memory.is_file()
    without_gzip(monkeypatch)
    RNG.shuffle(paths)
    with raw:
        assert {path: raw.read(path) for path in paths} == expected
    with pytest.raises(PreprocessError, match="no such file"):
        monkeypatch.undo()
        Raw(tmp_path / "raw").read("data.tar.gz!/none.png")


def test_small_archives_and_those_that_are_not_packed_have_no_memory(memory, tmp_path, monkeypatch):
    assert read(put(tmp_path, TAR)) and not memory.exists()
    monkeypatch.setattr(seeking, "MIN_PACKED", len(WHOLE) + 1)
    assert read(put(tmp_path, WHOLE)) and not memory.exists()


def changed(name: str, content: bytes) -> bytes:
    middle = len(content) // 2
    return {
        "cut": content[:middle],
        "cut at the end": content[:-1],
        "without checksum": content[:-8],
        "another checksum": content[:-8] + bytes(4) + content[-4:],
        "another length": content[:-4] + b"\1\2\3\4",
        "garbage behind": content + b"<html>",
        "hole": content[:middle] + bytes(600) + content[middle + 600 :],
        "flipped": content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :],
        "no gzip": b"\x1f\x8b\x09" + content[3:],
    }[name]


DAMAGES = (
    "cut", "cut at the end", "without checksum", "another checksum", "another length", "garbage behind", "hole",
    "flipped", "no gzip",
)  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_archive_stops_the_listing_in_the_same_words(name, memory, tmp_path):
    raw = put(tmp_path, changed(name, WHOLE))
    with seeking.remembered(None), pytest.raises(PreprocessError) as plain, raw:
        raw.files()
    with pytest.raises(PreprocessError) as noted, raw:
        raw.files()
    assert str(noted.value) == str(plain.value)
    assert not memory.exists()


def test_an_archive_that_is_damaged_later_stops_the_reading(memory, tmp_path):
    """Its size, its time and its end are as before, so that the memory seems to be of it."""
    raw = put(tmp_path, WHOLE)
    path = tmp_path / "raw" / "data.tar.gz"
    read(raw)
    before = path.stat()
    path.write_bytes(changed("hole", WHOLE))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with raw, pytest.raises(PreprocessError, match="damaged or incomplete"):
        for number in range(len(FILES)):
            raw.read(f"data.tar.gz!/images/{number}.png")


def test_a_memory_of_another_state_or_archive_is_not_used(memory, tmp_path):
    raw = put(tmp_path, WHOLE)
    expected = read(raw)
    shutil.copy(memory, tmp_path / "old")
    path = tmp_path / "raw" / "data.tar.gz"
    other = gzip.compress(TAR.replace(b"000006,", b"999999,"), 6, mtime=0)
    path.write_bytes(other)
    found = Raw(tmp_path / "raw").read("data.tar.gz!/images/6.png")
    assert found.startswith(b"999999,999999,") and expected["data.tar.gz!/images/6.png"].startswith(b"000006,")
    assert seeking.known(tmp_path / "raw", "data.tar.gz") is None
    read(put(tmp_path, other))
    assert seeking.known(tmp_path / "raw", "data.tar.gz") is not None  # made anew
    shutil.copy(tmp_path / "old", memory)
    assert read(put(tmp_path, other))["data.tar.gz!/images/6.png"] == found


def test_a_damaged_memory_changes_no_byte(memory, tmp_path):
    raw = put(tmp_path, WHOLE)
    expected = read(raw)
    good, paths = memory.read_bytes(), list(expected)
    for number in range(60):
        broken = bytearray(good)
        for _ in range(RNG.choice((1, 40))):
            broken[RNG.randrange(len(broken))] ^= 1 << RNG.randrange(8)
        memory.write_bytes(bytes(broken[: RNG.choice((len(good), RNG.randrange(len(good))))]) if number else b"")
        path = RNG.choice(paths)
        with Raw(tmp_path / "raw") as again:
            assert again.read(path) == expected[path]


def test_points_that_lead_astray_are_seen(memory, tmp_path, monkeypatch):
    """The windows of the points are wrong, and the memory's own checksum holds."""
    real = seeking.io.BytesIO

    class Twisted(real):
        def getbuffer(self):
            content = bytearray(self.getvalue())
            content[-30_000:] = bytes(30_000)
            return memoryview(bytes(content))

    raw = put(tmp_path, WHOLE)
    with seeking.remembered(None):
        expected = read(raw)
    with monkeypatch.context() as patch:
        patch.setattr(seeking.io, "BytesIO", Twisted)
        with raw:
            raw.files()
    assert seeking.known(tmp_path / "raw", "data.tar.gz") is not None
    with raw:
        assert {path: raw.read(path) for path in expected} == expected


def test_without_room_for_the_memory_all_is_read_as_before(tmp_path):
    (tmp_path / "memory").write_text("a file where the folder should be")
    with seeking.remembered(tmp_path / "memory"):
        assert list(read(put(tmp_path, WHOLE), backwards=False).values()) == list(FILES.values())


#: commands that are given the raw folder and open no packed tar that comes again: they hash, list or name files
PASSERS_BY = {"verify", "sources", "fetch", "new", "compare", "impact"}


def test_every_rule_that_reads_raw_files_has_the_memory():
    rules = Path(__file__).parent.parent / "workflow" / "rules"
    commands = [
        command
        for file in sorted(rules.glob("*.smk"))
        for command in re.findall(r'"python -m preprocess .*(?:\n\s+".*)*', file.read_text())
        if "--raw " in command
    ]
    without = {command.split()[3] for command in commands if "--seek " not in command}
    assert without == PASSERS_BY
    assert len(commands) > len(PASSERS_BY) + 5
