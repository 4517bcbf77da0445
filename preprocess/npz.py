"""The published container: writing it to the byte, and reading it without holding it.

The published files are zip archives as Python's zipfile wrote them up to version 3.10 with
``force_zip64``: deflate at zlib's default level, true sizes and a zip64 extra field in each local
header, and a fixed time. numpy's present ``savez_compressed`` writes other header bytes, so its
files never have the published MD5. Evidence: the published BreastMNIST at four sizes and
RetinaMNIST, VesselMNIST3D and AdrenalMNIST3D are written again to their MD5.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError, told
from preprocess.files import atomic
from preprocess.published import SPLITS

CHUNK = 1 << 20
_ZIP64_LIMIT = (1 << 31) - 1  # zipfile's own
_DOS_DATE = 0x0021  # 1980-01-01
_ATTRIBUTES = 0o600 << 16


@dataclass(frozen=True)
class Array:
    """One member to write: its name without ``.npy``, its shape, and its rows' bytes in order."""

    name: str
    shape: tuple[int, ...]
    rows: Iterable[Any]


def is_classic_zlib() -> bool:
    """Whether this Python deflates as the published files were: zlib-ng gives other bytes."""
    return "zlib-ng" not in zlib.ZLIB_RUNTIME_VERSION


def layout(dimensions: int, size: int, create_system: int | None = None) -> tuple[tuple[str, ...], int]:
    """Order of the six members, and the header's ``create_system``, of a published file.

    2D files at 28 hold the images first and were written on Unix (3); all others alternate and were
    written on Windows (0). Seen in 9 published files and assumed for the others; of the two 3D
    files seen at 28, VesselMNIST3D has 0 and AdrenalMNIST3D 3, which the recipe says.
    """
    if dimensions == 2 and size == 28:
        names = tuple(f"{split}_{kind}" for kind in ("images", "labels") for split in SPLITS)
        system = 3
    else:
        names = tuple(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels"))
        system = 0
    return names, system if create_system is None else create_system


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The 128 bytes before a uint8 array in C order: .npy format version 1.0."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text.ljust(117).encode("latin-1") + b"\n"


def write(path: str | Path, arrays: Iterable[Array], create_system: int) -> None:
    """Write uint8 arrays into a published-style npz, streaming; memory stays flat.

    Args:
        path: the file; it gets its name when complete.
        arrays: the members in file order.
        create_system: 0 (DOS) or 3 (Unix), a byte of the central directory.

    Raises:
        PreprocessError: the rows do not fill the shape, or the file cannot be written.
    """
    with atomic(path) as part, open(part, "wb") as out:
        entries = [_write_member(out, array) for array in arrays]
        _write_directory(out, entries, create_system)


@dataclass(frozen=True)
class _Entry:
    name: bytes
    crc: int
    packed: int
    unpacked: int
    offset: int


def _write_member(out: IO[bytes], array: Array) -> _Entry:
    name = f"{array.name}.npy".encode("ascii")
    offset = out.tell()
    out.write(_local_header(name, 0, 0, 0))
    start = out.tell()
    packer = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -15)
    crc = unpacked = 0
    for data in itertools.chain([npy_header(array.shape)], array.rows):
        crc = zlib.crc32(data, crc)
        unpacked += memoryview(data).nbytes
        out.write(packer.compress(data))
    out.write(packer.flush())
    end = out.tell()
    expected = 128 + int(np.prod(array.shape, dtype=np.int64))
    if unpacked != expected:
        raise PreprocessError(f"{array.name}: {unpacked} bytes written for a shape of {expected}; report this")
    out.seek(offset)
    out.write(_local_header(name, crc, end - start, unpacked))
    out.seek(end)
    return _Entry(name, crc, end - start, unpacked, offset)


def _local_header(name: bytes, crc: int, packed: int, unpacked: int) -> bytes:
    version, short = 20, (packed, unpacked)
    if max(packed, unpacked) > _ZIP64_LIMIT:
        version, short = 45, (0xFFFFFFFF, 0xFFFFFFFF)
    extra = struct.pack("<HHQQ", 1, 16, unpacked, packed)
    fixed = struct.pack(
        "<4sHHHHHLLLHH", b"PK\3\4", version, 0, 8, 0, _DOS_DATE, crc, *short, len(name), len(extra)
    )  # fmt: skip
    return fixed + name + extra


def _write_directory(out: IO[bytes], entries: list[_Entry], create_system: int) -> None:
    start = out.tell()
    for entry in entries:
        large: list[int] = []
        short = [entry.packed, entry.unpacked, entry.offset]
        if max(entry.unpacked, entry.packed) > _ZIP64_LIMIT:
            large += [entry.unpacked, entry.packed]
            short[:2] = [0xFFFFFFFF, 0xFFFFFFFF]
        if entry.offset > _ZIP64_LIMIT:
            large.append(entry.offset)
            short[2] = 0xFFFFFFFF
        extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        version = 45 if large else 20
        made = struct.pack("<4sBBHHHHH", b"PK\1\2", version, create_system, version, 0, 8, 0, _DOS_DATE)
        sizes = struct.pack("<LLLHH", entry.crc, short[0], short[1], len(entry.name), len(extra))
        place = struct.pack("<HHHLL", 0, 0, 0, _ATTRIBUTES, short[2])
        out.write(made + sizes + place)
        out.write(entry.name + extra)
    end = out.tell()
    offset, size = start, end - start
    if offset > _ZIP64_LIMIT:
        out.write(struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, len(entries), len(entries), size, offset))
        out.write(struct.pack("<4sLQL", b"PK\6\7", 0, end, 1))
        offset = min(offset, 0xFFFFFFFF)
    out.write(struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, len(entries), len(entries), size, offset, 0))


#: what a damaged npz makes zipfile, zlib and numpy's form of a header raise
_DAMAGE = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, ValueError,
    SyntaxError, TypeError, KeyError, IndexError, OverflowError, MemoryError, RecursionError,
)  # fmt: skip


class Reader:
    """A published-style npz read member by member, a row at a time.

    What is wrong with the file, wherever it shows, is a PreprocessError that names file and array.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._told():
            self._zip = zipfile.ZipFile(self.path)

    @contextlib.contextmanager
    def _told(self, name: str = "") -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            what = f"{name}: " if name else ""
            if isinstance(error, OSError) and error.errno:
                raise PreprocessError(f"{self.path}: cannot be read as npz ({error.strerror})") from error
            raise PreprocessError(
                f"{self.path}: {what}cannot be read as npz ({told(error) or type(error).__name__}); get it again"
            ) from error

    @property
    def names(self) -> list[str]:
        """The arrays in file order, without ``.npy``."""
        return [name.removesuffix(".npy") for name in self._zip.namelist()]

    @property
    def create_system(self) -> int:
        """The byte of the central directory that says where the file was written."""
        if not self._zip.infolist():
            raise PreprocessError(f"{self.path}: cannot be read as npz (it is empty); get it again")
        return self._zip.infolist()[0].create_system

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array, from its header alone."""
        with self._member(name) as handle, self._told(name):
            return self._header(name, handle)

    def array(self, name: str) -> NDArray[np.uint8]:
        """One whole array."""
        with self._member(name) as handle, self._told(name):
            shape = self._header(name, handle)
            size = math.prod(shape)
            data = handle.read(size)
            self._check_end(name, handle, len(data) == size)
            return np.frombuffer(data, np.uint8).reshape(shape)

    def rows(self, name: str) -> Iterator[NDArray[np.uint8]]:
        """Yield the rows of one array in order, holding one at a time."""
        with self._member(name) as handle:
            with self._told(name):
                shape = self._header(name, handle)
                if not shape:
                    raise PreprocessError(f"{self.path}: {name} is a single value, not rows; get the file again")
            size = math.prod(shape[1:])
            for _ in range(shape[0]):
                with self._told(name):
                    data = handle.read(size)
                    if len(data) < size:
                        self._check_end(name, handle, False)
                    row = np.frombuffer(data, np.uint8).reshape(shape[1:])
                yield row
            with self._told(name):
                self._check_end(name, handle, True)

    def _check_end(self, name: str, handle: IO[bytes], whole: bool) -> None:
        """Refuse an array of fewer or more bytes than its shape; reading to the end checks the CRC, too."""
        if not whole or handle.read(1):
            raise PreprocessError(f"{self.path}: {name} has not the bytes that its shape says; get the file again")

    def _member(self, name: str) -> IO[bytes]:
        if f"{name}.npy" not in self._zip.NameToInfo:
            raise PreprocessError(f"{self.path}: holds no array {name}")
        with self._told(name):
            return self._zip.open(f"{name}.npy")

    def _header(self, name: str, handle: IO[bytes]) -> tuple[int, ...]:
        magic = handle.read(10)
        if magic[:8] != b"\x93NUMPY\x01\x00":
            raise PreprocessError(f"{self.path}: {name} is not a .npy array of format 1.0")
        header = ast.literal_eval(handle.read(struct.unpack("<H", magic[8:])[0]).decode("latin-1").strip())
        if header["descr"] != "|u1" or header["fortran_order"]:
            raise PreprocessError(
                f"{self.path}: holds {header['descr']}, fortran_order {header['fortran_order']}; not uint8 in C order"
            )
        shape = tuple(header["shape"])
        if not all(isinstance(extent, int) and extent >= 0 for extent in shape):
            raise PreprocessError(f"{self.path}: {name} has the shape {told(shape)}; get the file again")
        if math.prod(shape) > self._zip.NameToInfo[f"{name}.npy"].file_size:
            self._check_end(name, handle, False)
        return shape
