"""Writing an npz: the container of the published files to the byte, or one that several processes write at once.

``published``
    The published files are zip archives as Python's zipfile wrote them up to version 3.10 with ``force_zip64``:
    each member one deflate stream at zlib's default level, true sizes and a zip64 extra field in each local header,
    and a fixed time. numpy's present ``savez_compressed`` writes other header bytes, so its files never have the
    published MD5. Evidence: the published BreastMNIST at four sizes and RetinaMNIST, VesselMNIST3D and
    AdrenalMNIST3D are written again to their MD5. Its members are deflated side by side.
``chunked``
    The same headers, but a member is deflated in chunks of 1 MiB, each primed with the 32 KiB before it, ended by a
    sync flush and appended: together one ordinary deflate stream. Every eighth chunk starts without history, so that
    a row can be read without all that is before it, and other processes can read, look at, pack and write such eight
    by themselves. Level 0 stores the arrays as they are: they can be mapped.

Either way the bytes are the same for any number of workers.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import struct
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, Protocol, runtime_checkable

from preprocess import deflate
from preprocess.errors import PreprocessError
from preprocess.files import atomic
from preprocess.npz import HEADER, npy_header
from preprocess.processes import each
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


class Part(Protocol):
    """Some bytes of an array, which any process can read."""

    def read(self) -> Any:
        """Its bytes."""

    def see(self) -> tuple[Any, Any]:
        """Its bytes, and what is seen in them."""


@runtime_checkable
class Parts(Protocol):
    """An array's bytes, any part of which can be read by itself."""

    def part(self, start: int, end: int) -> Part:
        """The bytes from one place to before another."""

    def saw(self, seen: Any) -> None:
        """Take what was seen in a part; every part is seen once."""


@dataclass(frozen=True)
class Array:
    """One member to write: its name without ``.npy``, its shape, and its bytes in C order, in pieces or in parts."""

    name: str
    shape: tuple[int, ...]
    rows: Iterable[Any] | Parts


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
        workers: processes that read, look and deflate, or threads where the form is the published one.

    Returns:
        What was learned of each array, by its name.

    Raises:
        PreprocessError: the rows do not fill the shape, or the file cannot be written.
    """
    arrays = list(arrays)
    # processes begin before the file: why one cannot be started is no matter of the file
    with (
        each(workers if form.name == "chunked" else 1) as crew,
        atomic(path) as temporary,
        open(temporary, "wb") as out,
    ):
        if form.name == "chunked":
            members = [_write_chunked(out, temporary, array, form.level, crew) for array in arrays]
        elif workers == 1:
            members = [_write_stream(out, array) for array in arrays]
        else:
            with threads(workers) as pool:
                members = _write_streams(out, arrays, pool, temporary.parent)
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
        if not isinstance(self.array.rows, Parts):
            yield from self.array.rows
            return
        for part, _ in self.parts():
            data, seen = part.see()
            self.array.rows.saw(seen)
            yield data

    def parts(self) -> Iterator[tuple[Part, bool]]:
        """The array in parts of eight chunks, the header counted with the first; each with whether it is the last."""
        whole, rows = CHUNK * RESTART, self.array.rows
        if isinstance(rows, Parts):
            end = HEADER + math.prod(self.array.shape)
            for start in range(0, end, whole):
                yield rows.part(max(start - HEADER, 0), min(start + whole, end) - HEADER), start + whole >= end
        else:
            yield from _gathered(rows, whole)

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


def _write_chunked(out: IO[bytes], path: Path, array: Array, level: int, crew: Sequence[Executor]) -> _Member:
    """Write a member in parts. The crew packs and writes them; this process counts, and says where each belongs."""
    member = _begin(out, array, _DEFLATED if level else _STORED)
    out.flush()
    place = out.tell()
    packing: deque[tuple[int, Future[_Packed]]] = deque()
    writing: deque[Future[None]] = deque()
    is_alone = len(crew) == 1
    ahead = 0 if is_alone else 2 * len(crew)

    def settle(unsettled: int) -> None:
        """Let all but so many parts be packed, and all but so many of those written."""
        nonlocal place
        while len(packing) > unsettled:
            number, future = packing.popleft()
            packed = future.result()
            if packed.data is not None:
                member.take(packed.data)
            if isinstance(array.rows, Parts):
                array.rows.saw(packed.seen)
            if level:
                member.restarts.append((number * RESTART * CHUNK, place))
            writing.append(crew[number % len(crew)].submit(_put, path, number, place))
            place += packed.length
        while len(writing) > unsettled:
            writing.popleft().result()

    header = npy_header(array.shape)
    member.take(header)
    for number, (part, is_last) in enumerate(member.parts()):
        first = b"" if number else header
        pack = partial(_pack, path, number, first, part, level=level, is_last=is_last, with_data=is_alone)
        packing.append((number, crew[number % len(crew)].submit(pack)))
        if not is_alone:
            member.take(part.read())
        settle(ahead)
    settle(0)
    out.seek(place)
    return _end(out, member)


@dataclass(frozen=True)
class _Packed:
    """What is told of a packed part: how many bytes it takes, what was seen, and its own bytes where asked for."""

    length: int
    seen: Any
    data: Any


#: what this process has packed and not been told the place of, by the file and the part's number
_waiting: dict[tuple[Path, int], list[Any]] = {}


def _pack(path: Path, number: int, header: bytes, part: Part, *, level: int, is_last: bool, with_data: bool) -> _Packed:
    """Read, look at and pack a part, and keep what is to be written."""
    data, seen = part.see()
    whole = _bytes(header + bytes(data) if header else data)
    chunks: list[Any] = [] if level else [whole]
    for start in range(0, whole.nbytes if level else 0, CHUNK):
        packer = deflate.packer(level, whole[max(start - HISTORY, 0) : start])
        chunks.append(packer.compress(whole[start : start + CHUNK]))
        ends = is_last and start + CHUNK >= whole.nbytes
        chunks.append(packer.flush(deflate.FINISH if ends else deflate.SYNC))
    _waiting[path, number] = chunks
    return _Packed(sum(len(chunk) for chunk in chunks), seen, data if with_data else None)


def _put(path: Path, number: int, place: int) -> None:
    """Write a part that this process has packed."""
    with open(path, "r+b", buffering=0) as out:
        for packed in _waiting.pop((path, number)):
            chunk = memoryview(packed)
            while chunk:
                # 8 MiB at once took four times as long
                written = os.pwrite(out.fileno(), chunk[: 1 << 18], place)
                chunk, place = chunk[written:], place + written


@dataclass(frozen=True)
class _Held:
    """A part that is there."""

    data: memoryview | bytes

    def read(self) -> Any:
        return self.data

    def see(self) -> tuple[Any, Any]:
        return self.data, None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Held, (bytes(self.data),)  # a memoryview cannot be handed over


def _gathered(pieces: Iterable[Any], whole: int) -> Iterator[tuple[Part, bool]]:
    """Gather what comes in any pieces into parts of ``whole`` bytes, the first shorter by the header."""
    held: list[memoryview] = []
    length, wanted = 0, whole - HEADER
    for piece in pieces:
        held.append(_bytes(piece))
        length += held[-1].nbytes
        while length > wanted:  # at least a byte stays for the last
            joined = held[0] if len(held) == 1 else memoryview(b"".join(held))  # a piece may be a whole array
            yield _Held(joined[:wanted]), False
            held = [joined[wanted:]]
            length, wanted = length - wanted, whole
    yield _Held(memoryview(b"".join(held))), True


def _bytes(data: Any) -> memoryview:
    view = memoryview(data)
    return view.cast("B") if view.nbytes else memoryview(b"")  # a shape with a zero cannot be cast


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
