"""Reading raw files in place: folders, zip, zip in zip, tar and tar.gz behind one listing.

A file's *path* is relative to the source's raw folder, with ``!/`` between an archive and its
member: ``Dataset_BUSI.zip!/Dataset_BUSI_with_GT/benign/benign (1).png``. Archives are not
unpacked to disk; only a packed member that has to be read at any place goes through a temporary file.
``__MACOSX`` folders and names that start with a dot are not data and are never listed.

Archives are untrusted: a member with an absolute name or ``..``, an encrypted one, a name that
occurs twice, and a member that would grow beyond all proportion stop the run. Links are not
followed inside archives.

A container is what its content says: a tar under ``.tar.gz`` that is not packed is read, as browsers
unpack on the way, and so is one of the form of 1979 (V7). Backslashes in a zip's names separate folders,
as .NET means them. Bytes of a name that are not UTF-8 are written ``\\xe9``.

What is damaged decides who is told. An archive that cannot be listed, and a tar, where all that follows is
lost, stop the run; a damaged member of a zip is one file that cannot be read, as it would be in a folder.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, TypeVar, cast

from preprocess.errors import PreprocessError, UnreadableError, told
from preprocess.reading import seeking

SEPARATOR = "!/"
#: a member may not be larger than this unless it is within MAX_RATIO of its packed size
MAX_FREE_SIZE = 256 * 2**20
#: deflate itself cannot exceed about 1032:1; medical images stay far below
MAX_RATIO = 200
MAX_NESTING = 3
#: what may follow the end of a packed tar or volume, in bytes: zeros that fill it up
MAX_TAIL = 64 * 2**20
#: the ways to pack a zip's members that Python reads: none, Deflate, bzip2, LZMA
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_METHOD_NAMES = {9: "Deflate64", 20: "Zstandard", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES"}
#: what damaged or cut archives raise; ValueError and the like come from fields that hold nonsense
BROKEN = (
    OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error,
    NotImplementedError, RuntimeError, ValueError, IndexError, OverflowError,
)  # fmt: skip
_REMEDIES = {
    errno.EACCES: "make it readable for this user",
    errno.EPERM: "make it readable for this user",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.EIO: "check the disk",
    errno.ESTALE: "mount the disk again",
}
_GZIP = b"\x1f\x8b"
#: bytes that tarfile asks a packed tar for at once
_READ = 128 * tarfile.BLOCKSIZE
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class RawFile:
    """One data file: its path within the raw folder and its size in bytes, unpacked."""

    path: str
    size: int

    @property
    def inner(self) -> PurePosixPath:
        """The path below the innermost archive, or below the raw folder."""
        return PurePosixPath(self.path.rpartition(SEPARATOR)[2])

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.inner.name

    @property
    def parts(self) -> tuple[str, ...]:
        """All folder and file names on the way, archives included."""
        return tuple(part for piece in self.path.split(SEPARATOR) for part in piece.split("/"))


#: a file as its folder lists it: path below the raw folder, bytes, time of change in ns; a plain tuple for speed
Stat = tuple[str, int, int]
#: told of a member of a tar as the archive is read past it: the member, and what gives its bytes at that moment only
Passing = Callable[[RawFile, Callable[[], bytes]], None]


@dataclass(frozen=True)
class Listed:
    """One file of a source's folder as a survey met it: the data files in it, and why there are no more, or None."""

    path: str
    size: int
    files: list[RawFile]
    error: PreprocessError | None = None


def is_junk(path: str) -> bool:
    """Whether a path is an operating system's litter: ``__MACOSX``, ``.DS_Store``, ``._x``."""
    return any(part == "__MACOSX" or (part.startswith(".") and part.strip(".")) for part in path.split("/"))


def is_zip(name: str) -> bool:
    """Whether a name is that of a zip archive."""
    return name.lower().endswith(".zip")


def is_tar(name: str) -> bool:
    """Whether a name is that of a tar archive, packed or not."""
    return name.lower().endswith((".tar", ".tar.gz", ".tgz"))


def is_tar_header(block: bytes) -> bool:
    """Whether a file's first 512 bytes are a tar's header of any form: its checksum holds (V7 has no other mark)."""
    try:
        tarfile.TarInfo.frombuf(block[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def printable(name: str) -> str:
    """A file's name as text that any table can hold: bytes that are not UTF-8 become ``\\xe9``."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def on_disk(root: Path, path: str) -> Path:
    """The place of a path that :func:`walk` gave, its bytes restored where the name is not UTF-8."""
    place = root / path
    if "\\x" in path and not os.path.lexists(place):
        return root / os.fsdecode(_ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), os.fsencode(path)))
    return place


def stream_of(path: str) -> str:
    """The tar archive a file is read forwards from, or an empty text where it can be read by itself.

    A tar that is a file of its own and not packed is read at random.
    """
    archive = path.rpartition(SEPARATOR)[0]
    return archive if is_tar(archive) and (archive.lower().endswith("gz") or SEPARATOR in archive) else ""


def scan(root: Path, folder: str = "") -> Iterator[Stat]:
    """Every data file below ``root/folder`` (or that file itself), links followed but never in a circle.

    Names that start with a dot, and ``__MACOSX``, are no data. Paths are relative to ``root``; a file or folder that
    cannot be looked at has the size -1. Costs about 4 microseconds a file.
    """
    seen: set[tuple[int, int]] = set()

    def below(place: str, prefix: str) -> Iterator[Stat]:
        try:
            status = os.stat(place)  # noqa: PTH116  all of this is in plain text, for speed
            if (status.st_dev, status.st_ino) in seen:
                return
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as found:
                # of two links to one folder, which one is followed must not depend on the disk
                entries = sorted(found, key=_name)
        except OSError:  # a folder without permission: for the reader to tell
            yield prefix.removesuffix("/"), -1, 0
            return
        for entry in entries:
            name = entry.name
            if is_junk(name):
                continue
            try:
                is_folder = entry.is_dir()
                status = entry.stat()
            except OSError:  # a dangling link
                yield prefix + name, -1, 0
                continue
            if is_folder:
                yield from below(entry.path, f"{prefix}{name}/")
            elif stat.S_ISREG(status.st_mode):
                yield prefix + name, status.st_size, status.st_mtime_ns
            else:  # a pipe: to read it may never end
                yield prefix + name, -1, 0

    start = root / folder
    if start.is_dir():
        yield from below(str(start), f"{folder}/" if folder else "")
    elif start.is_file():
        status = start.stat()
        yield folder, status.st_size, status.st_mtime_ns


_name = attrgetter("name")


def walk(root: Path) -> Iterator[str]:
    """The paths that :func:`scan` gives, as text that any table can hold; see :func:`on_disk`."""
    return (printable(path) for path, _, _ in scan(root))


class Raw:
    """The raw files of one source. Keeps archives open between reads; use one per process, in a ``with`` block."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._zips: dict[str, zipfile.ZipFile] = {}
        self._renamed: dict[str, dict[str, zipfile.ZipInfo]] = {}
        self._tars: dict[str, _TarReader] = {}
        self._folders: dict[str, dict[str, list[RawFile]]] = {}
        self._memos: dict[Hashable, tuple[Hashable, Any]] = {}
        self._surveyed: list[RawFile] | None = None
        self._passing: Passing | None = None

    def __enter__(self) -> Raw:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open and forget what was remembered. It may be used again, and opens anew."""
        for _, value in self._memos.values():
            _close(value)
        for tar in self._tars.values():
            tar.close()
        for archive in reversed(self._zips.values()):  # inner zips were opened last
            archive.close()
        for kept in (self._memos, self._tars, self._zips, self._renamed, self._folders):
            kept.clear()
        self._surveyed = None

    def memo(self, key: Hashable, make: Callable[[], Value], slot: str | None = None) -> Value:
        """The value of a key, made once and kept until the raw files are closed.

        Args:
            key: what the value depends on besides the files, with a name that tells it from others' values.
            make: makes it.
            slot: of the keys that share a slot only the last one's value is kept: for what is large.
        """
        place = key if slot is None else slot
        if place not in self._memos or self._memos[place][0] != key:
            if place in self._memos:
                _close(self._memos.pop(place)[1])
            self._memos[place] = (key, make())
        return cast(Value, self._memos[place][1])

    def files(self) -> list[RawFile]:
        """List every data file in reading order: folders sorted, archive members as stored.

        Raises:
            PreprocessError: the folder is not there, an archive is damaged or not to be trusted.
        """
        if self._surveyed is not None:
            return list(self._surveyed)
        if not self.root.is_dir():
            raise PreprocessError(f"{self.root}: no such folder; put the source's files there")
        found: list[RawFile] = []
        for path in sorted(walk(self.root)):
            found.extend(self.expand(path))
        return found

    def survey(
        self, paths: Iterable[str], passing: Passing | None = None, before: Callable[[str], None] | None = None
    ) -> Iterator[Listed]:
        """List some files of the folder one by one, and go on behind an archive that cannot be listed.

        When all are listed, :meth:`files` gives what was found here and reads no archive again.

        Args:
            paths: relative to the folder, in reading order.
            passing: is told of each member of a tar while the archive is read, which a packed tar is once.
            before: is told of each path before it is listed.
        """
        whole: list[RawFile] = []
        for path in paths:
            if before is not None:
                before(path)
            found: list[RawFile] = []
            error: PreprocessError | None = None
            size = 0
            self._passing = passing
            try:
                size = on_disk(self.root, path).stat().st_size
                found.extend(self.expand(path))
            except PreprocessError as problem:
                error = problem
            except OSError as problem:
                error = PreprocessError(f"{self.root / path}: {_damaged(problem)}")
            finally:
                self._passing = None
            whole += found
            yield Listed(path, size, found, error)
        self._surveyed = whole

    def folder(self, path: str) -> list[RawFile]:
        """List the data files directly in one folder, on disk or in an archive: ``a/b``, ``x.zip!/a``, ``x.zip!``.

        Archives among them are not looked into. What an archive holds is remembered.

        Raises:
            PreprocessError: the folder is not there, or its archive is damaged.
        """
        archive, separator, inner = f"{path}/".rpartition(SEPARATOR)
        if separator:
            if archive not in self._folders:
                held = self._folders.setdefault(archive, {})
                for name, size in self._zip_members(archive) if is_zip(archive) else self._tar_members(archive):
                    if not is_junk(name):
                        held.setdefault(name.rpartition("/")[0], []).append(
                            RawFile(f"{archive}{SEPARATOR}{name}", size)
                        )
            return self._folders[archive].get(inner.rstrip("/"), [])
        try:
            entries = sorted(
                (printable(entry.name), entry.stat().st_size)
                for entry in os.scandir(on_disk(self.root, path))
                if entry.is_file()
            )
        except FileNotFoundError:
            raise PreprocessError(f"{self.root / path}: no such folder") from None
        except OSError as error:
            raise PreprocessError(f"{self.root / path}: {_damaged(error)}") from error
        inside = [RawFile((Path(path) / name).as_posix(), size) for name, size in entries]
        return [file for file in inside if not (is_junk(file.name) or is_zip(file.name) or is_tar(file.name))]

    def expand(self, path: str) -> Iterator[RawFile]:
        """The data files of one file of the folder: itself, or an archive's members as stored."""
        try:
            status = on_disk(self.root, path).stat()
            if stat.S_ISDIR(status.st_mode):  # listed because nobody may look into it
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "remove it")
            raise PreprocessError(f"{self.root / path}: cannot be read ({error.strerror}); {remedy}") from error
        if not stat.S_ISREG(status.st_mode):  # to read a pipe may never end
            raise PreprocessError(f"{self.root / path}: is a pipe, a socket or a device, not a file; remove it")
        yield from self._expand(path, status.st_size, 0)

    def read(self, path: str) -> bytes:
        """Return the bytes of one file. Reading a tar.gz in listing order costs one pass.

        Raises:
            PreprocessError: the file is not there or its archive is damaged.
            UnreadableError: it is a damaged member of a zip.
        """
        archive, _, member = path.rpartition(SEPARATOR)
        with self._told(path):
            if not archive:
                return on_disk(self.root, path).read_bytes()
            if is_zip(archive):
                info = self._info(archive, member)
                with self._zip(archive).open(info) as packed:
                    # not to its end: a member that lies about its size is not unpacked beyond what it declares
                    data = packed.read(max(info.file_size, 1))
                if len(data) != info.file_size:
                    raise zipfile.BadZipFile(f"{len(data)} bytes of {info.file_size}")
                return data
            return self._tar(archive).read(member)

    def crc32(self, file: RawFile) -> int:
        """CRC-32 of one file's bytes: what a zip says of its member, else worked out by reading the file.

        Raises:
            PreprocessError: as :meth:`read`.
        """
        archive, _, member = file.path.rpartition(SEPARATOR)
        with self._told(file.path):
            if archive and is_zip(archive):
                return self._info(archive, member).CRC
            value = 0
            with self._stream(file.path) as stream:
                while block := stream.read(1 << 20):
                    value = zlib.crc32(block, value)
            return value

    def stream(self, path: str) -> IO[bytes]:
        """Open one file for reading forwards; a member of a zip is unpacked as it is read.

        Raises:
            PreprocessError: the file is not there or its archive is damaged.
        """
        with self._told(path):
            return self._stream(path)

    def seekable(self, path: str) -> IO[bytes]:
        """Open one file for reading at any place.

        It costs nothing on disk and where zips store it unpacked; else it is copied to a temporary file first.

        Raises:
            PreprocessError: the file is not there, its archive is damaged, or the copy has no room.
        """
        archive, _, member = path.rpartition(SEPARATOR)
        with self._told(path):
            if not archive:
                return open(on_disk(self.root, path), "rb")
            if is_zip(archive) and self._info(archive, member).compress_type == zipfile.ZIP_STORED:
                return io.BufferedReader(_Window(*self._stored(archive, member)))
            copy = tempfile.TemporaryFile()
            with self._stream(path) as packed:
                shutil.copyfileobj(packed, copy, 1 << 20)
            copy.seek(0)
            return copy

    @contextlib.contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Say in one line what went wrong while reading ``path``."""
        try:
            yield
        except (FileNotFoundError, KeyError):
            raise PreprocessError(f"{self.root / path}: no such file") from None
        except BROKEN as error:
            place = path.rpartition(SEPARATOR)[0] or path
            refuse_machine(error, self.root / place, path)
            if place in self._zips:
                raise UnreadableError(_damaged(error), path, self.root) from error
            raise PreprocessError(f"{self.root / place}: {_damaged(error)}") from error

    def head(self, path: str, size: int) -> bytes:
        """Return the first bytes of one file; the rest of it is not read unless it lies in a tar.

        Raises:
            PreprocessError: the file is not there or its archive is damaged.
            UnreadableError: it is a damaged member of a zip.
        """
        with self.stream(path) as file, self._told(path):
            return file.read(size)

    def local(self, path: str) -> Path | None:
        """The file's place on disk, or None where it lies in an archive."""
        return None if SEPARATOR in path else on_disk(self.root, path)

    def _expand(self, path: str, size: int, depth: int) -> Iterator[RawFile]:
        if not (is_zip(path) or is_tar(path)):
            yield RawFile(path, size)
            return
        if depth == MAX_NESTING:
            raise PreprocessError(
                f"{self.root / path}: archives nested deeper than {MAX_NESTING}; unpack the outer ones"
            )
        members = self._zip_members(path) if is_zip(path) else self._tar_members(path)
        seen: set[str] = set()
        for name, unpacked in members:
            _check_name(self.root / path, name)
            if is_junk(name):
                continue
            if name in seen:
                raise PreprocessError(
                    f"{self.root / path}: member {name!r} occurs twice; this is not the published archive"
                )
            seen.add(name)
            yield from self._expand(f"{path}{SEPARATOR}{name}", unpacked, depth + 1)

    def _zip_members(self, path: str) -> Iterator[tuple[str, int]]:
        archive = self._zip(path)
        if sum(info.compress_size for info in archive.infolist()) > archive.start_dir:
            raise PreprocessError(f"{self.root / path}: its members overlap; this is not the published archive")
        for info in sorted(archive.infolist(), key=_header_offset):
            name = _zip_name(info)
            if name.endswith("/") or stat.S_ISLNK(info.external_attr >> 16) or is_junk(name):
                continue
            if info.flag_bits & 1 or info.compress_type == 99:
                raise PreprocessError(
                    f"{self.root / path}: {name} is encrypted; unpack the archive with its password, and take it away"
                )
            if info.compress_type not in ZIP_METHODS:
                method = _METHOD_NAMES.get(info.compress_type, "an unknown method")
                raise PreprocessError(
                    f"{self.root / path}: {name} is packed by {method} (method {info.compress_type}), which Python "
                    f"cannot unpack; unpack the archive with 7-Zip, and take it away"
                )
            self._check_ratio(path, name, info.file_size, info.compress_size)
            yield name, info.file_size

    def _check_ratio(self, path: str, name: str, unpacked: int, packed: int) -> None:
        if unpacked > MAX_FREE_SIZE and unpacked > MAX_RATIO * max(packed, 1):
            raise PreprocessError(
                f"{self.root / path}: {name} would unpack {packed} bytes to {unpacked}; not a data file, refused"
            )

    def _tar_members(self, path: str) -> Iterator[tuple[str, int]]:
        told = again = 0
        noting: seeking.Noting | None = None
        with contextlib.ExitStack() as stack:
            place = None if self._passing else seeking.place(self.root, path)
            if place is not None:
                stream = stack.enter_context(contextlib.closing(self._stream(path)))
                if stream.read(2) == _GZIP:
                    noting = seeking.Noting(stream, place)
                    with contextlib.suppress(*BROKEN):  # what is wrong with it is told below, by gzip
                        for info in self._infos(path, _TarReader(stream, noting)):
                            told += 1
                            if not info.issparse():
                                noting.member(info.name, info.offset_data, info.size)
                            yield info.name, info.size
                        if noting.is_whole():
                            noting.keep()
                            return
            try:
                with contextlib.closing(_TarReader(self._stream(path))) as reader:
                    for info in self._infos(path, reader):
                        again += 1
                        if again <= told:
                            continue
                        if self._passing is not None and not is_junk(info.name):
                            self._passing(RawFile(f"{path}{SEPARATOR}{info.name}", info.size), reader.here)
                        yield info.name, info.size
                    if noting is not None and again == told:  # several gzip streams, or zeros at the end
                        noting.keep()
            except BROKEN as error:
                raise PreprocessError(f"{self.root / path}: {_damaged(error)}") from error

    def _infos(self, path: str, reader: _TarReader) -> Iterator[tarfile.TarInfo]:
        """The headers of a tar's files, up to its end."""
        while (info := reader.next()) is not None:
            self._check_ratio(path, info.name, info.size, reader.packed_size)
            yield info
        if not reader.is_ended:
            raise tarfile.ReadError("its end is missing")

    def _stream(self, path: str) -> IO[bytes]:
        archive, _, member = path.rpartition(SEPARATOR)
        if not archive:
            return open(on_disk(self.root, path), "rb")
        if is_zip(archive):
            return self._zip(archive).open(self._info(archive, member))
        return io.BytesIO(self._tar(archive).read(member))

    def _info(self, archive: str, member: str) -> zipfile.ZipInfo:
        """The entry of a zip's member by its name here. KeyError: there is none."""
        return self._zip(archive).NameToInfo.get(member) or self._renamed[archive][member]

    def _zip(self, path: str) -> zipfile.ZipFile:
        if path not in self._zips:
            try:
                # a zip in a zip is read at random places: through the outer one each step back would start anew
                file = self.seekable(path)
                if _is_last_of_several(file):
                    raise PreprocessError(
                        f"{self.root / path}: the last part of a split zip; join the parts with "
                        f"'zip -s 0 {PurePosixPath(path).name} --out whole.zip', and take them away"
                    )
                opened = zipfile.ZipFile(file)
                if _is_of_another(file, opened):
                    raise zipfile.BadZipFile("its end is missing, what was found is that of an archive in it")
                self._zips[path] = opened
                self._renamed[path] = {
                    name: info for info in opened.infolist() if (name := _zip_name(info)) != info.filename
                }
            except BROKEN as error:
                raise PreprocessError(f"{self.root / path}: {_damaged(error)}") from error
        return self._zips[path]

    def _stored(self, archive: str, member: str) -> tuple[IO[bytes], int, int]:
        """The file a member stored without packing lies in, its first byte there, and its length."""
        outer = self._zip(archive)
        info = self._info(archive, member)
        assert outer.fp is not None
        outer.fp.seek(info.header_offset)
        header = outer.fp.read(30)
        if len(header) < 30 or header[:4] != b"PK\3\4":
            raise zipfile.BadZipFile(f"{member} has no header")
        name, extra = struct.unpack("<HH", header[26:30])
        return outer.fp, info.header_offset + 30 + name + extra, info.file_size

    def _tar(self, path: str) -> _TarReader:
        if path not in self._tars:
            seeker = None if SEPARATOR in path else seeking.known(self.root, path)
            self._tars[path] = _TarReader(self._stream(path), seeker=seeker)
        return self._tars[path]


class _Window(io.RawIOBase):
    """A stretch of a seekable file as a file of its own. The outer file stays open when it is closed."""

    def __init__(self, outer: IO[bytes], start: int, length: int) -> None:
        self._outer, self._start, self._length, self._position = outer, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        self._outer.seek(self._start + self._position)  # others read the outer file too
        data = self._outer.read(max(min(len(buffer), self._length - self._position), 0))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class _TarReader:
    """A tar. Members asked for in stored order cost one pass over the archive.

    Where it is not packed the pass reads headers alone and notes where each member lies, so that any
    order costs no more. Where it is, a ``seeker`` may know that; and ``noting`` looks on for it as the archive is read.
    """

    def __init__(
        self, stream: IO[bytes], noting: seeking.Noting | None = None, seeker: seeking.Seeker | None = None
    ) -> None:
        self._stream, self._noting, self._seeker = stream, noting, seeker
        self._places: dict[str, tuple[int, int]] = {}
        self._last: tarfile.TarInfo | None = None
        self.packed_size = stream.seek(0, os.SEEK_END)
        if seeker is None:  # else it may not be needed
            self._open()

    def _open(self) -> None:
        self._stream.seek(0)
        self._packed = self._stream.read(2) == _GZIP
        self._stream.seek(0)
        self.is_ended = self._packed or self._has_end()
        # gzip's own reader, not tarfile's: it checks the CRC and notices a cut file
        packed = self._noting or gzip.GzipFile(fileobj=self._stream)
        self._data = cast(IO[bytes], packed) if self._packed else self._stream
        self.archive = tarfile.open(
            fileobj=self._data, mode="r|" if self._packed else "r:", bufsize=_READ, encoding="utf-8"
        )

    def _has_end(self) -> bool:
        """Whether a tar that is not packed ends in empty blocks; gzip knows its end by itself."""
        size = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(max(size - 1024, 0))
        end = self._stream.read()
        self._stream.seek(0)
        return len(end) == 1024 and not any(end)

    def here(self) -> bytes:
        """The bytes of the file whose header :meth:`next` gave last."""
        assert self._last is not None
        handle = self.archive.extractfile(self._last)
        assert handle is not None
        return handle.read()

    def next(self) -> tarfile.TarInfo | None:
        """The next regular file's header; None at the end, once the rest of a packed tar has been read too."""
        while (info := self.archive.next()) is not None:
            self.archive.members.clear()  # type: ignore[attr-defined]  # 100,000 headers are not to be kept
            info.name = printable(info.name)
            if info.isfile():
                if not (self._packed or info.issparse()):
                    self._places.setdefault(info.name, (info.offset_data, info.size))
                self._last = info
                return info
        behind = 0
        while self._packed and (block := self._data.read(1 << 20)):
            behind += len(block)
            if behind > MAX_TAIL:
                raise tarfile.ReadError(f"more than {MAX_TAIL >> 20} MB follow its end")
        return None

    def read(self, member: str) -> bytes:
        if self._seeker is not None and member in self._seeker.places:
            try:
                return self._seeker.read(*self._seeker.places[member])
            except seeking.NotAsNotedError:
                self._drop_seeker()
                while self.next() is not None:  # gzip says what is wrong, if anything is
                    pass
        if self._seeker is not None:
            self._drop_seeker()
        if member in self._places:
            return self._at(*self._places[member])
        for restart in (False, True):
            if restart:  # an earlier member, or none: look once more from the start
                self._open()
            while (info := self.next()) is not None:
                if info.name == member:
                    handle = self.archive.extractfile(info)
                    assert handle is not None
                    return handle.read()
        raise KeyError(member)

    def _drop_seeker(self) -> None:
        """Go on without it."""
        if self._seeker is not None:
            self._seeker.close()
        self._seeker = None
        self._open()

    def _at(self, start: int, size: int) -> bytes:
        self._stream.seek(start)
        data = self._stream.read(size)
        if len(data) < size:
            raise tarfile.ReadError("unexpected end of data")
        return data

    def close(self) -> None:
        if self._seeker is None:
            self.archive.close()
        else:
            self._seeker.close()
        self._stream.close()


def _header_offset(info: zipfile.ZipInfo) -> int:
    return info.header_offset


def _check_name(archive: Path, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or ".." in parts or parts[0].endswith(":") or SEPARATOR in name:
        raise PreprocessError(f"{archive}: member {name!r} has an unsafe name; this is not the published archive")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name with slashes: .NET and PowerShell 5 write backslashes, which the format does not allow."""
    return info.filename.replace("\\", "/")


def _is_last_of_several(file: IO[bytes]) -> bool:
    """Whether a zip's end record says that it began on another disk, as parts of a split zip do."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 22 - 0xFFFF, 0))
    tail = file.read()
    file.seek(0)
    place = tail.rfind(b"PK\5\6")
    return 0 <= place <= len(tail) - 22 and 0 < int.from_bytes(tail[place + 4 : place + 6], "little") < 0xFFFF


def _is_of_another(file: IO[bytes], archive: zipfile.ZipFile) -> bool:
    """Whether a directory was found that leaves out the file's first member, as that of a zip stored in a cut one."""
    file.seek(0)
    return file.read(4) == b"PK\3\4" and 0 not in map(_header_offset, archive.infolist())


def refuse_machine(error: BaseException, where: Path, copied: str = "") -> None:
    """Stop where an error is the machine's (no room, no right, a bad disk): it says nothing against the file.

    Args:
        error: what was raised on reading.
        where: the file.
        copied: what was copied to the temporary folder, where it is told otherwise.

    Raises:
        PreprocessError: it is one.
    """
    if not isinstance(error, OSError) or not error.errno:
        return
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise PreprocessError(
            f"{tempfile.gettempdir()}: no room for a copy of {copied or where}; set TMPDIR to a larger disk"
        ) from error
    raise PreprocessError(f"{where}: {_damaged(error)}") from error


def _close(value: object) -> None:
    close = getattr(value, "close", None)
    if callable(close):
        close()


def _damaged(error: Exception) -> str:
    """What went wrong while reading a file and what to do about it; only damage calls for another download."""
    if isinstance(error, OSError) and error.errno:
        remedy = _REMEDIES.get(error.errno, "check the disk")
        return f"cannot be read ({os.strerror(error.errno)}); {remedy}"
    return f"damaged or incomplete ({told(error) or type(error).__name__}); download it again"
