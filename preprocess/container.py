"""Writing an npz: the container of the published files to the byte, or one that many threads write at once.

``published``
    The published files are zip archives as Python's zipfile wrote them up to version 3.10 with ``force_zip64``:
    each member one deflate stream at zlib's default level, true sizes and a zip64 extra field in each local header,
    and a fixed time. numpy's present ``savez_compressed`` writes other header bytes, so its files never have the
    published MD5. Evidence: the published BreastMNIST at four sizes and RetinaMNIST, VesselMNIST3D and
    AdrenalMNIST3D are written again to their MD5. Its members are deflated side by side.
``chunked``
    The same headers, but a member is deflated in chunks of 1 MiB, each primed with the 32 KiB before it, ended by a
    sync flush and appended: together one ordinary deflate stream. Every eighth chunk starts without history, so that
    a row can be read without all that is before it. Level 0 stores the arrays as they are: they can be mapped.

Either way the bytes are the same for any number of threads.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import struct
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from preprocess import deflate
from preprocess.errors import PreprocessError
from preprocess.files import atomic
from preprocess.npz import HEADER, npy_header
from preprocess.published import SPLITS
from preprocess.threads import threads

Name = Literal["published", "chunked"]
CHUNK = 1 << 20
#: how far back deflate refers
HISTORY = 1 << 15
#: chunks from one that starts without history to the next
RESTART = 8
_ZIP64_LIMIT = (1 << 31) - 1  # zipfile's own
_DOS_DATE = 0x0021  # 1980-01-01
_ATTRIBUTES = 0o600 << 16
_STORED, _DEFLATED = 0, 8
_PUBLISHED = 6  # zlib's default


@dataclass(frozen=True)
class Array:
    """One member to write: its name without ``.npy``, its shape, and its rows' bytes in order, in any pieces."""

    name: str
    shape: tuple[int, ...]
    rows: Iterable[Any]


@dataclass(frozen=True)
class Form:
    """How members are packed: the container's name, and the deflate level of the chunked one."""

    name: Name = "published"
    level: int = 6

    def __str__(self) -> str:
        """In words, for the record."""
        if self.name == "published":
            return "published: one deflate stream a member"
        if not self.level:
            return "stored: arrays uncompressed"
        by = ", by ISA-L," if self.level == deflate.QUICK else ""
        return f"chunked: deflate level {self.level}{by} in chunks of 1 MiB"


@dataclass(frozen=True)
class Written:
    """What was learned of one member while it was written.

    Attributes:
        sha256: of the array's bytes in C order.
        restarts: where reading can begin: (bytes into the member, place in the file); empty where only at its start.
    """

    sha256: str
    restarts: tuple[tuple[int, int], ...] = ()


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


def write(
    path: str | Path, arrays: Iterable[Array], create_system: int, form: Form = Form(), workers: int = 1
) -> dict[str, Written]:
    """Write uint8 arrays into an npz, streaming; memory stays flat.

    Args:
        path: the file; it gets its name when complete.
        arrays: the members in file order.
        create_system: 0 (DOS) or 3 (Unix), a byte of the central directory.
        form: how members are packed.
        workers: threads that deflate.

    Returns:
        What was learned of each array, by its name.

    Raises:
        PreprocessError: the rows do not fill the shape, or the file cannot be written.
    """
    arrays = list(arrays)
    with atomic(path) as part, open(part, "wb") as out, threads(workers) as pool:
        if form.name == "chunked":
            members = [_write_chunked(out, array, form.level, pool, workers) for array in arrays]
        elif workers == 1:
            members = [_write_stream(out, array) for array in arrays]
        else:
            members = _write_streams(out, arrays, pool, Path(part).parent)
        _write_directory(out, members, create_system)
    return {array.name: member.written for array, member in zip(arrays, members, strict=True)}


@dataclass
class _Member:
    """One member of the archive; the rest of its header is known when its content is written."""

    array: Array
    offset: int
    method: int
    crc: int = 0
    packed: int = 0
    unpacked: int = 0
    restarts: list[tuple[int, int]] = field(default_factory=list)
    _sha256: Any = field(default_factory=hashlib.sha256)

    @property
    def name(self) -> bytes:
        return f"{self.array.name}.npy".encode("ascii")

    @property
    def written(self) -> Written:
        return Written(self._sha256.hexdigest(), tuple(self.restarts))

    def take(self, data: Any) -> None:
        """Count unpacked bytes of the member, which begin with its header."""
        view = _bytes(data)
        self.crc = deflate.crc32(view, self.crc)
        self._sha256.update(view[max(HEADER - self.unpacked, 0) :])
        self.unpacked += view.nbytes

    def content(self) -> Iterator[Any]:
        """The unpacked member in pieces."""
        yield npy_header(self.array.shape)
        yield from self.array.rows

    def check(self) -> None:
        expected = HEADER + math.prod(self.array.shape)
        if self.unpacked != expected:
            raise PreprocessError(
                f"{self.array.name}: {self.unpacked} bytes written for a shape of {expected}; report this"
            )

    def local_header(self) -> bytes:
        version, short = 20, (self.packed, self.unpacked)
        if max(self.packed, self.unpacked) > _ZIP64_LIMIT:
            version, short = 45, (0xFFFFFFFF, 0xFFFFFFFF)
        extra = struct.pack("<HHQQ", 1, 16, self.unpacked, self.packed)
        fixed = struct.pack(
            "<4sHHHHHLLLHH", b"PK\3\4", version, 0, self.method, 0, _DOS_DATE, self.crc, *short, len(self.name),
            len(extra),
        )  # fmt: skip
        return fixed + self.name + extra

    def central_header(self, create_system: int) -> bytes:
        large: list[int] = []
        packed, unpacked, offset = self.packed, self.unpacked, self.offset
        if max(self.unpacked, self.packed) > _ZIP64_LIMIT:
            large += [self.unpacked, self.packed]
            packed = unpacked = 0xFFFFFFFF
        if self.offset > _ZIP64_LIMIT:
            large.append(self.offset)
            offset = 0xFFFFFFFF
        extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        version = 45 if large else 20
        made = struct.pack("<4sBBHHHHH", b"PK\1\2", version, create_system, version, 0, self.method, 0, _DOS_DATE)
        sizes = struct.pack("<LLLHH", self.crc, packed, unpacked, len(self.name), len(extra))
        return made + sizes + struct.pack("<HHHLL", 0, 0, 0, _ATTRIBUTES, offset) + self.name + extra


def _write_stream(out: IO[bytes], array: Array) -> _Member:
    """Write a member whose content is one deflate stream."""
    member = _begin(out, array, _DEFLATED)
    _deflate_stream(member, out)
    return _end(out, member)


def _write_streams(out: IO[bytes], arrays: list[Array], pool: Executor, folder: Path) -> list[_Member]:
    """The same of several members, deflated side by side into unnamed files."""
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in arrays]
        members = [_Member(array, 0, _DEFLATED) for array in arrays]
        for future in [pool.submit(_deflate_stream, *one) for one in zip(members, files, strict=True)]:
            future.result()
        for member, file in zip(members, files, strict=True):
            member.offset = out.tell()
            out.write(member.local_header())
            file.seek(0)
            shutil.copyfileobj(file, out)
            _end(out, member)
    return members


def _deflate_stream(member: _Member, out: IO[bytes]) -> None:
    packer = deflate.packer(_PUBLISHED)
    for data in member.content():
        member.take(data)
        out.write(packer.compress(data))
    out.write(packer.flush())


def _write_chunked(out: IO[bytes], array: Array, level: int, pool: Executor, workers: int) -> _Member:
    """Write a member whose chunks are deflated by several threads; one more counts, this one reads and writes."""
    member = _begin(out, array, _DEFLATED if level else _STORED)
    waiting: deque[tuple[int, Future[bytes | memoryview], Future[None]]] = deque()

    def drain(limit: int) -> None:
        while len(waiting) > limit:
            number, packed, counted = waiting.popleft()
            if level and number % RESTART == 0:
                member.restarts.append((number * CHUNK, out.tell()))
            out.write(packed.result())
            counted.result()

    history = memoryview(b"")
    with threads(workers, 1) as counter:
        for number, (chunk, is_last) in enumerate(_chunks(member.content())):
            before = history if number % RESTART else memoryview(b"")
            packed = pool.submit(_deflate, chunk, before, level, is_last)
            waiting.append((number, packed, counter.submit(member.take, chunk)))
            history = chunk[-HISTORY:]
            drain(2 * workers)
        drain(0)
    return _end(out, member)


def _chunks(pieces: Iterable[Any]) -> Iterator[tuple[memoryview, bool]]:
    """Cut what comes in any pieces into chunks, each with whether it is the last."""
    held: list[memoryview] = []
    length = 0
    for piece in pieces:
        held.append(_bytes(piece))
        length += held[-1].nbytes
        if length > CHUNK:  # at least a byte stays for the last
            joined = memoryview(b"".join(held))
            ends = range(CHUNK, length, CHUNK)
            for end in ends:
                yield joined[end - CHUNK : end], False
            held = [joined[ends[-1] :]]
            length = held[0].nbytes
    yield memoryview(b"".join(held)), True


def _bytes(data: Any) -> memoryview:
    view = memoryview(data)
    return view.cast("B") if view.nbytes else memoryview(b"")  # a shape with a zero cannot be cast


def _deflate(chunk: memoryview, history: memoryview, level: int, is_last: bool) -> bytes | memoryview:
    if not level:
        return chunk
    packer = deflate.packer(level, history)
    return packer.compress(chunk) + packer.flush(deflate.FINISH if is_last else deflate.SYNC)


def _begin(out: IO[bytes], array: Array, method: int) -> _Member:
    member = _Member(array, out.tell(), method)
    out.write(member.local_header())
    return member


def _end(out: IO[bytes], member: _Member) -> _Member:
    """Write the member's header again, now that all of it is known."""
    member.check()
    end = out.tell()
    member.packed = end - member.offset - len(member.local_header())
    out.seek(member.offset)
    out.write(member.local_header())
    out.seek(end)
    return member


def _write_directory(out: IO[bytes], members: list[_Member], create_system: int) -> None:
    start = out.tell()
    for member in members:
        out.write(member.central_header(create_system))
    end = out.tell()
    offset, size = start, end - start
    if offset > _ZIP64_LIMIT:
        count = len(members)
        out.write(struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset))
        out.write(struct.pack("<4sLQL", b"PK\6\7", 0, end, 1))
        offset = min(offset, 0xFFFFFFFF)
    out.write(struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, len(members), len(members), size, offset, 0))
