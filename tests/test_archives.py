"""Reading raw files in place, in folders and archives: every container gives the same files, and none is trusted."""

from __future__ import annotations

import errno
import gzip
import io
import os
import random
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading import archives as raw_module
from preprocess.reading.archives import Raw, is_junk, is_tar_header, stream_of, walk

NAMES = ("top/b/2.png", "top/a/1.png", "top/a/10.png", "top/c.csv")
FILES = {name: random.Random(name).randbytes(2000 + 37 * i) for i, name in enumerate(NAMES)}
JUNK = {
    "__MACOSX/top/a/._1.png": b"resource fork",
    "top/.DS_Store": b"folder settings",
    "top/a/._1.png": b"resource fork",
}


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w", *links: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        for link in links:
            archive.addfile(link)
    return buffer.getvalue()


CONTAINERS = {
    "data.zip": lambda files: zipped(files),
    "stored.ZIP": lambda files: zipped(files, zipfile.ZIP_STORED),
    "outer-stored.zip": lambda files: zipped({"in/inner.zip": zipped(files)}, zipfile.ZIP_STORED),
    "outer-deflated.zip": lambda files: zipped({"in/inner.zip": zipped(files)}),
    "data.tar": tarred,
    "data.tar.gz": lambda files: tarred(files, "w:gz"),
    "data.tgz": lambda files: tarred(files, "w:gz"),
    "dots.tar": lambda files: tarred({f"./{name}": body for name, body in files.items()}),
    "tar-in.zip": lambda files: zipped({"inner.tar.gz": tarred(files, "w:gz")}),
}


def content(raw: Raw, order: random.Random | None = None) -> dict[str, bytes]:
    files = raw.files()
    if order:
        order.shuffle(files)
    return {str(file.inner): raw.read(file.path) for file in files}


def refusal(folder: Path) -> str:
    with pytest.raises(PreprocessError) as caught:
        content(Raw(folder))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_files(tmp_path, name):
    (tmp_path / name).write_bytes(CONTAINERS[name](FILES | JUNK))
    assert content(Raw(tmp_path)) == FILES
    assert content(Raw(tmp_path), random.Random(0)) == FILES  # any order of reading
    sizes = {str(file.inner): file.size for file in Raw(tmp_path).files()}
    assert sizes == {key: len(body) for key, body in FILES.items()}
    assert all(Raw(tmp_path).local(file.path) is None for file in Raw(tmp_path).files())


def test_a_folder_gives_the_same_files_sorted(tmp_path):
    for name, body in (FILES | JUNK).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    raw = Raw(tmp_path)
    assert content(raw) == FILES
    assert [file.path for file in raw.files()] == sorted(FILES)
    assert raw.local("top/c.csv") == tmp_path / "top" / "c.csv"


def test_members_come_in_stored_order(tmp_path):
    for name in ("data.zip", "data.tar.gz"):
        (tmp_path / name).write_bytes(CONTAINERS[name](FILES))
    paths = [file.path for file in Raw(tmp_path).files()]
    assert paths == [f"{archive}!/{name}" for archive in ("data.tar.gz", "data.zip") for name in FILES]


def test_the_order_of_the_directory_does_not_matter(tmp_path, monkeypatch):
    for name, body in FILES.items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (tmp_path / "raw" / "zz").symlink_to(tmp_path / "raw" / "top")
    expected = [file.path for file in Raw(tmp_path / "raw").files()]
    scandir = os.scandir

    class Reversed:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def __iter__(self):
            return self.entries

        def __next__(self):
            return next(self.entries)

        def close(self):
            pass

    monkeypatch.setattr(os, "scandir", Reversed)
    assert [file.path for file in Raw(tmp_path / "raw").files()] == expected


def test_reading_a_tar_in_order_costs_one_pass(tmp_path, monkeypatch):
    (tmp_path / "data.tar.gz").write_bytes(CONTAINERS["data.tar.gz"](FILES))
    raw = Raw(tmp_path)
    paths = [file.path for file in raw.files()]
    opened = []
    opener = raw_module._TarReader._open
    monkeypatch.setattr(raw_module._TarReader, "_open", lambda self: (opened.append(1), opener(self))[1])
    for path in paths:
        raw.read(path)
    assert len(opened) == 1
    raw.read(paths[0])
    assert len(opened) == 2


def test_a_tar_that_is_not_packed_is_read_at_random(tmp_path, monkeypatch):
    """From the last member to the first: each member's bytes once, and the headers."""
    files = {name: random.Random(name).randbytes(100_000) for name in NAMES}
    (tmp_path / "data.tar").write_bytes(tarred(files))
    read = []

    class Counting(io.FileIO):
        def readinto(self, buffer):
            read.append(super().readinto(buffer))
            return read[-1]

        def read(self, size=-1):
            data = super().read(size)
            read.append(len(data))
            return data

    monkeypatch.setattr(Raw, "_stream", lambda self, path: Counting(tmp_path / path))
    raw = Raw(tmp_path)
    for name in reversed(NAMES):
        assert raw.read(f"data.tar!/{name}") == files[name]
    assert sum(read) < 400_000 + 20_000
    assert stream_of("data.tar!/top/a.png") == ""
    assert stream_of("data.tar.gz!/top/a.png") == "data.tar.gz"
    assert stream_of("outer.zip!/data.tar!/top/a.png") == "outer.zip!/data.tar"


def test_links_to_folders_are_followed_but_not_in_a_circle(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.png").write_bytes(b"a")
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(raw)
    assert list(walk(raw)) == ["linked/a.png"]
    assert content(Raw(raw)) == {"linked/a.png": b"a"}


def test_a_folder_nobody_may_look_into_is_told(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").write_bytes(b"a")
    scandir = os.scandir

    def refusing(place):
        if Path(place).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    assert "closed: cannot be read (Permission denied)" in refusal(tmp_path)


def test_a_link_to_nothing_is_told(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone")
    assert "cannot be read" in refusal(tmp_path)


def test_a_pipe_is_told_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert "a.png: is a pipe, a socket or a device, not a file; remove it" in refusal(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    assert "no such folder" in refusal(tmp_path / "gone")


def test_a_file_that_is_not_there(tmp_path):
    (tmp_path / "data.zip").write_bytes(zipped(FILES))
    (tmp_path / "data.tar").write_bytes(tarred(FILES))
    for path in ("none.png", "data.zip!/none.png", "data.tar!/none.png", "none.zip!/a.png"):
        with pytest.raises(PreprocessError, match="no such file"):
            Raw(tmp_path).read(path)


# ---- damage


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.98])
def test_a_cut_archive_is_told(tmp_path, name, share):
    whole = CONTAINERS[name](FILES)
    size = len(whole.rstrip(b"\0"))  # a tar is filled up with zeros, which nobody misses
    (tmp_path / name).write_bytes(whole[: int(size * share)])
    assert "damaged or incomplete" in refusal(tmp_path)


def test_a_tar_cut_between_two_members_is_told(tmp_path):
    whole = tarred(FILES)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        third = archive.getmembers()[2].offset
    (tmp_path / "data.tar").write_bytes(whole[:third])
    assert "its end is missing" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["data.zip", "stored.ZIP", "outer-stored.zip", "data.tar.gz"])
def test_a_flipped_byte_is_told(tmp_path, name):
    whole = bytearray(CONTAINERS[name](FILES))
    whole[len(whole) // 3] ^= 0xFF
    (tmp_path / name).write_bytes(whole)
    assert "damaged or incomplete" in refusal(tmp_path)


def test_a_file_that_only_has_the_name_of_an_archive(tmp_path):
    for name in ("data.zip", "data.tar", "data.tar.gz"):
        (tmp_path / name).write_bytes(b"<html>please log in</html>" * 50)
        assert "damaged or incomplete" in refusal(tmp_path)
        (tmp_path / name).unlink()


# ---- hostile archives


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../escape.png", "a/../../escape.png", "..\\escape.png", "C:/a.png", "x!/y.png"]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_names_that_would_escape_are_refused(tmp_path, pack, name):
    (tmp_path / f"data.{'zip' if pack is zipped else 'tar'}").write_bytes(pack({"a.png": b"a", name: b"x"}))
    assert "unsafe name" in refusal(tmp_path)


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_is_refused(tmp_path, pack):
    if pack is zipped:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.png", b"one")
            archive.writestr("a.png", b"two")
        body = buffer.getvalue()
    else:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for text in (b"one", b"two"):
                info = tarfile.TarInfo("a.png")
                info.size = 3
                tar.addfile(info, io.BytesIO(text))
        body = buffer.getvalue()
    (tmp_path / f"data.{'zip' if pack is zipped else 'tar'}").write_bytes(body)
    assert "occurs twice" in refusal(tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_no_files(tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    link = tarfile.TarInfo("top/link.png")
    link.type, link.linkname = kind, str(secret)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "data.tar").write_bytes(tarred(FILES, "w", link))
    assert content(Raw(tmp_path / "raw")) == FILES
    with pytest.raises(PreprocessError, match="no such file"):
        Raw(tmp_path / "raw").read("data.tar!/top/link.png")


def test_links_in_a_zip_are_no_files(tmp_path):
    buffer = io.BytesIO(zipped(FILES))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo("top/link.png")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    (tmp_path / "data.zip").write_bytes(buffer.getvalue())
    assert content(Raw(tmp_path)) == FILES


def test_an_encrypted_member_is_refused(tmp_path):
    whole = bytearray(zipped({"a.png": b"a" * 100}))
    whole[6] |= 1
    whole[whole.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "data.zip").write_bytes(whole)
    assert "encrypted" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["data.zip", "data.tar.gz"])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path, monkeypatch, name):
    """The limits are lowered, so that no test needs gigabytes."""
    monkeypatch.setattr(raw_module, "MAX_FREE_SIZE", 100_000)
    body = b"\0" * 3_000_000
    (tmp_path / name).write_bytes(zipped({"a.raw": body}) if name == "data.zip" else tarred({"a.raw": body}, "w:gz"))
    assert "not a data file" in refusal(tmp_path)
    monkeypatch.setattr(raw_module, "MAX_FREE_SIZE", 5_000_000)
    assert content(Raw(tmp_path)) == {"a.raw": body}  # an empty mask packs as well, and is small


def test_a_member_cannot_grow_beyond_what_it_declares(tmp_path):
    whole = bytearray(zipped({"a.raw": b"\0" * 1_000_000}))
    directory = whole.index(b"PK\1\2")
    whole[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    (tmp_path / "data.zip").write_bytes(whole)
    assert "damaged" in refusal(tmp_path)


def test_members_that_overlap_are_refused(tmp_path):
    """One packed stretch named many times: a small file that unpacks to a very large one."""
    body = b"\0" * 50_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(body) + packer.flush()
    crc = zlib.crc32(body)
    name = b"a.raw"
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, crc, len(packed), len(body), len(name), 0) + name
    whole = local + packed
    start, directory = len(whole), b""
    for number in range(10):
        own = b"%d.raw" % number
        directory += (
            struct.pack(
                "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, len(packed), len(body), len(own), 0, 0, 0, 0, 0, 0
            )
            + own
        )
    whole += directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 10, 10, len(directory), start, 0)
    (tmp_path / "data.zip").write_bytes(whole)
    assert len(zipfile.ZipFile(tmp_path / "data.zip").namelist()) == 10
    assert "overlap" in refusal(tmp_path)


def test_archives_nested_too_deep_are_refused(tmp_path):
    body = zipped({"a.png": b"a"})
    for _ in range(raw_module.MAX_NESTING - 1):
        body = zipped({"in.zip": body})
    (tmp_path / "data.zip").write_bytes(body)
    assert list(content(Raw(tmp_path)).values()) == [b"a"]
    (tmp_path / "data.zip").write_bytes(zipped({"in.zip": body}))
    assert "nested deeper" in refusal(tmp_path)


@given(st.lists(st.sampled_from(["a", "b.png", ".", "..", ".x", "__MACOSX", "._b.png", "..."]), min_size=1, max_size=5))
def test_junk_is_what_starts_with_a_dot_but_no_folder_reference(parts):
    expected = any(part in (".x", "__MACOSX", "._b.png") for part in parts)
    assert is_junk("/".join(parts)) == expected


# ---- containers as other programs write them


def v7(members: dict[str, bytes]) -> bytes:
    """A tar of 1979: no magic, so that only the checksum of a header shows it."""
    out = b""
    for name, body in members.items():
        fields = [f"{0o644:06o} \0", f"{0:06o} \0", f"{0:06o} \0", f"{len(body):011o} ", f"{0:011o} "]
        head = name.encode().ljust(100, b"\0") + "".join(fields).encode() + b" " * 8 + b"0"
        head = head.ljust(512, b"\0")
        head = head[:148] + b"%06o\0 " % sum(head) + head[156:]
        out += head + body + bytes(-len(body) % 512)
    return out + bytes(1024)


@pytest.mark.parametrize(
    ("name", "body"),
    [("plain.tar.gz", tarred(FILES)), ("plain.tgz", tarred(FILES)), ("old.tar", v7(FILES)), ("old.tar.gz", v7(FILES))],
)
def test_a_tar_is_what_its_content_says(tmp_path, name, body):
    (tmp_path / name).write_bytes(body)
    assert content(Raw(tmp_path)) == FILES
    assert is_tar_header(body[:512])
    assert not is_tar_header(b"<html>".ljust(512))


def test_backslashes_in_a_zip_separate_folders(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in {**FILES, "top/a/": b""}.items():
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("/", "\\")
            archive.writestr(info, body)
    (tmp_path / "data.zip").write_bytes(buffer.getvalue())
    assert content(Raw(tmp_path)) == FILES
    assert [file.name for file in Raw(tmp_path).folder("data.zip!/top/a")] == ["1.png", "10.png"]


@pytest.mark.parametrize(("method", "told"), [(9, "Deflate64"), (93, "Zstandard"), (97, "an unknown method")])
def test_a_zip_of_another_method_is_told_with_the_remedy(tmp_path, method, told):
    whole = bytearray(zipped(FILES))
    for mark, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        place = -1
        while (place := whole.find(mark, place + 1)) >= 0:
            whole[place + at : place + at + 2] = struct.pack("<H", method)
    (tmp_path / "data.zip").write_bytes(whole)
    text = refusal(tmp_path)
    assert f"packed by {told} (method {method})" in text and "7-Zip" in text


def test_the_last_part_of_a_split_zip_is_told_with_the_remedy(tmp_path):
    whole = bytearray(zipped(FILES))
    end = whole.rindex(b"PK\5\6")
    whole[end + 4 : end + 8] = struct.pack("<HH", 2, 2)
    (tmp_path / "data.zip").write_bytes(whole)
    assert "join the parts with 'zip -s 0 data.zip --out whole.zip'" in refusal(tmp_path)


def test_names_that_are_not_utf_8_are_read_and_written(tmp_path):
    name = os.fsdecode(b"Im\xe1genes")
    (tmp_path / "raw" / name).mkdir(parents=True)
    (tmp_path / "raw" / name / "a.png").write_bytes(b"a")
    info = tarfile.TarInfo(f"{name}/b.png")
    info.size = 1
    with tarfile.open(tmp_path / "raw" / "t.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(b"b"))
    with Raw(tmp_path / "raw") as raw:
        files = raw.files()
        paths = [file.path for file in files]
        assert paths == ["Im\\xe1genes/a.png", "t.tar!/Im\\xe1genes/b.png"]
        assert "".join(paths).encode("utf-8").decode("utf-8") == "".join(paths)
        assert [raw.read(path) for path in paths] == [b"a", b"b"]
        assert [raw.stream(path).read() for path in paths] == [b"a", b"b"]
        place = raw.local(paths[0])
        assert place is not None and place.read_bytes() == b"a"


# ---- causes and remedies


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.EACCES, "make it readable for this user"), (errno.EIO, "check the disk"), (errno.ELOOP, "check the disk")],
)
def test_what_is_not_damage_is_not_called_damage(tmp_path, monkeypatch, number, told):
    (tmp_path / "a.png").write_bytes(b"a")

    def refuse(self):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PreprocessError, match=rf"cannot be read \({os.strerror(number)}\); {told}") as caught:
        Raw(tmp_path).read("a.png")
    assert not isinstance(caught.value, UnreadableError)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_a_zip_is_one_unreadable_file(tmp_path, method):
    whole = bytearray(zipped(FILES, method))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        second = archive.infolist()[1]
    at = second.header_offset + 30 + len(second.filename)
    whole[at + 20 : at + 120] = random.Random(1).randbytes(100)
    (tmp_path / "data.zip").write_bytes(whole)
    with Raw(tmp_path) as raw:
        names = [file.path for file in raw.files()]
        with pytest.raises(UnreadableError, match="damaged or incomplete") as caught:
            raw.read(names[1])
        assert caught.value.path == names[1] and str(tmp_path) not in caught.value.detail
        with pytest.raises(UnreadableError):
            raw.head(names[1], 1 << 20)
        assert [raw.read(name) for name in (names[0], *names[2:])] == [FILES[n] for n in (NAMES[0], *NAMES[2:])]


# ---- limits


def test_a_member_that_lies_about_its_size_costs_no_memory(tmp_path):
    """Its directory says 1,000 bytes; what it holds would be 200 MB."""
    size = 200_000_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(packed), 1000, 5, 0) + b"a.raw"
    directory = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(packed), 1000, 5, 0, 0, 0, 0, 0, 0
    ) + b"a.raw"  # fmt: skip
    start = len(local) + len(packed)
    whole = local + packed + directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(directory), start, 0)
    (tmp_path / "data.zip").write_bytes(whole)
    with Raw(tmp_path) as raw:
        (file,) = raw.files()
        tracemalloc.start()
        with pytest.raises(UnreadableError, match="damaged"):
            raw.read(file.path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20_000_000


def test_what_follows_a_packed_tar_is_not_unpacked_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(raw_module, "MAX_TAIL", 3 << 20)
    whole = tarred(FILES, "w:gz")
    (tmp_path / "data.tar.gz").write_bytes(whole + gzip.compress(bytes(1 << 20)))  # blocks of zeros fill a tar up
    assert content(Raw(tmp_path)) == FILES
    (tmp_path / "data.tar.gz").write_bytes(whole + gzip.compress(bytes(50 << 20)))
    assert "follow its end" in refusal(tmp_path)


# ---- what is kept belongs to the raw files


def test_what_was_made_is_kept_until_it_is_closed(tmp_path):
    class Opened:
        closed = False

        def close(self):
            self.closed = True

    made = []

    def make():
        made.append(Opened())
        return made[-1]

    with Raw(tmp_path) as raw:
        assert raw.memo("a", make) is raw.memo("a", make)
        assert raw.memo("b", make) is not raw.memo("a", make)
        first = raw.memo("volume 1", make, slot="volume")
        second = raw.memo("volume 2", make, slot="volume")
        assert first.closed and not second.closed  # one volume at a time
        assert raw.memo("volume 2", make, slot="volume") is second
        assert raw.memo("volume 1", make, slot="volume") is not first
    assert len(made) == 5 and all(one.closed for one in made)


def test_closing_closes_archives_and_they_open_again(tmp_path):
    for name in ("data.zip", "outer-deflated.zip", "data.tar.gz", "tar-in.zip"):
        (tmp_path / name).write_bytes(CONTAINERS[name](FILES))
    handles = Path("/proc/self/fd")

    def held() -> list[str]:
        """What of the folder is open; handles of other tests come and go."""
        links = (str(handle.readlink()) for handle in handles.iterdir() if handle.is_symlink())
        return [link for link in links if link.startswith(str(tmp_path))]

    raw = Raw(tmp_path)
    first = [raw.read(file.path) for file in raw.files()]
    if handles.is_dir():
        assert held()
    raw.close()
    if handles.is_dir():
        assert not held()
    assert [raw.read(file.path) for file in raw.files()] == first
    raw.close()
