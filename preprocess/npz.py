"""An npz of uint8 arrays read without holding it, all rows or some; it is written by :mod:`preprocess.container`."""

from __future__ import annotations

import ast
import bisect
import contextlib
import math
import os
import struct
import zipfile
import zlib  # for zipfile's own errors
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from preprocess import deflate
from preprocess.errors import PreprocessError, told
from preprocess.threads import threads

#: bytes of an array's header
HEADER = 128
#: bytes of a part that is read by itself
PART = 1 << 23
_BLOCK = 1 << 20


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The 128 bytes before a uint8 array in C order: .npy format version 1.0."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text.ljust(117).encode("latin-1") + b"\n"


#: what a damaged npz makes zipfile, zlib and numpy's form of a header raise
_DAMAGE = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, deflate.ERROR, struct.error, NotImplementedError, RuntimeError,
    ValueError, SyntaxError, TypeError, KeyError, IndexError, OverflowError, MemoryError, RecursionError,
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

    def blocks(self, name: str, restarts: Sequence[tuple[int, int]] = (), workers: int = 1) -> Iterator[bytes]:
        """Yield an array's bytes in C order, in blocks of any length, and check the CRC.

        Args:
            name: the array.
            restarts: where inflating can begin (:meth:`pick`). With them, or where the array is stored, it is read in
                parts by a quicker library.
            workers: threads that read parts.
        """
        restarts = restarts or self._stored(name)
        if len(restarts) > 1:
            yield from self._by_parts(name, restarts, workers)
            return
        with self._member(name) as handle, self._told(name):
            left = math.prod(self._header(name, handle))
            while left and (block := handle.read(min(left, _BLOCK))):
                left -= len(block)
                yield block
            self._check_end(name, handle, not left)

    def _by_parts(self, name: str, restarts: Sequence[tuple[int, int]], workers: int) -> Iterator[bytes]:
        """The same from one restart to the next, which must be reached to the byte; several threads at once."""
        shape = self.shape(name)
        entry = self._zip.NameToInfo[f"{name}.npy"]
        with open(self.path, "rb") as file, self._told(name), threads(workers) as pool:
            is_stored, start = entry.compress_type == zipfile.ZIP_STORED, self._start(name, file)
            places = [place for _, place in restarts] + [start + entry.compress_size]
            lengths = [end - begin for begin, end in pairwise([*(begin for begin, _ in restarts), entry.file_size])]
            if places[0] != start:
                raise EOFError("the places to begin at are not its own")
            if entry.file_size != HEADER + math.prod(shape):
                raise EOFError("it has not the bytes that its shape says")

            def read(number: int) -> bytes:
                data = os.pread(file.fileno(), places[number + 1] - places[number], places[number])
                is_whole = True
                if not is_stored:
                    unpacker, is_last = deflate.unpacker(), number == len(lengths) - 1
                    data = unpacker.decompress(data, lengths[number] + 1)
                    is_whole = not unpacker.unconsumed_tail and unpacker.eof == is_last
                if len(data) != lengths[number] or not is_whole:
                    raise EOFError("a part of it has another length")
                return data

            crc = 0
            waiting: deque[Future[bytes]] = deque()
            for number in range(len(lengths) + workers):
                if number < len(lengths):
                    waiting.append(pool.submit(read, number))
                if number >= workers and waiting:
                    data = waiting.popleft().result()
                    crc = deflate.crc32(data, crc)
                    yield data[HEADER:] if number == workers else data
            if crc != entry.CRC:
                raise zipfile.BadZipFile("bad CRC-32")

    def _stored(self, name: str) -> list[tuple[int, int]]:
        """Where reading can begin in an array that is stored as :mod:`preprocess.container` does: anywhere."""
        entry = self._zip.NameToInfo.get(f"{name}.npy")
        if entry is None or entry.compress_type or entry.flag_bits & 1:
            return []
        shape = self.shape(name)
        size = HEADER + math.prod(shape)
        if {entry.compress_size, entry.file_size} != {size}:
            return []
        with self._told(name), open(self.path, "rb") as file:
            start = self._start(name, file)
            file.seek(start)
            is_ours = file.read(HEADER) == npy_header(shape)
        return [(at, start + at) for at in range(0, size, PART)] if is_ours else []

    def _start(self, name: str, file: IO[bytes]) -> int:
        """Where a member's packed bytes begin."""
        entry = self._zip.NameToInfo[f"{name}.npy"]
        file.seek(entry.header_offset)
        fixed = struct.unpack("<4sHHHHHLLLHH", file.read(30))
        return entry.header_offset + 30 + int(fixed[9]) + int(fixed[10])

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

    def pick(
        self, name: str, wanted: Iterable[int], restarts: Sequence[tuple[int, int]] = ()
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield some rows of one array with their numbers, in order, reading as little as the file allows.

        Args:
            name: the array.
            wanted: the numbers of the rows, each from 0 and below the array's length.
            restarts: where inflating can begin, as :class:`preprocess.container.Written` tells. Without them a deflated
                array is read from its start; a stored one never is.
        """
        shape = self.shape(name)
        size = math.prod(shape[1:])
        with open(self.path, "rb") as file, self._told(name):
            content = self._content(name, file, restarts)
            for row in sorted(set(wanted)):
                data = content(HEADER + row * size, size)
                yield row, np.frombuffer(data, np.uint8).reshape(shape[1:])

    def _content(self, name: str, file: IO[bytes], restarts: Sequence[tuple[int, int]]) -> Callable[[int, int], bytes]:
        """A function that gives some bytes of a member, for places that only grow."""
        entry = self._zip.NameToInfo[f"{name}.npy"]
        start = self._start(name, file)
        if entry.compress_type == zipfile.ZIP_STORED:

            def stored(at: int, size: int) -> bytes:
                file.seek(start + at)
                return file.read(size)

            return stored
        if entry.compress_type != zipfile.ZIP_DEFLATED:
            raise NotImplementedError(f"compression method {entry.compress_type}")
        begins = [at for at, _ in restarts] or [0]
        places = [place for _, place in restarts] or [start]
        unpacker, position, waiting = deflate.unpacker(), 0, b""
        file.seek(start)

        def deflated(at: int, size: int) -> bytes:
            nonlocal unpacker, position, waiting
            nearest = bisect.bisect_right(begins, at) - 1
            if begins[nearest] > position or at < position:
                unpacker, position, waiting = deflate.unpacker(), begins[nearest], b""
                file.seek(places[nearest])
            result = b""
            while position < at + size:
                waiting = waiting or file.read(_BLOCK)
                piece = unpacker.decompress(waiting, at - position if position < at else at + size - position)
                if not piece and (not waiting or unpacker.eof):
                    raise EOFError("the array ends early")
                waiting = unpacker.unconsumed_tail
                result += piece if position >= at else b""
                position += len(piece)
            return result

        return deflated

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
