"""Packed tars that can be read at any place: gzip has no list of its places, so the first pass over one notes them.

The pass that lists a tar.gz keeps the state of the inflater every 4 MiB (indexed_gzip), where each member lies, and
a CRC-32 of each MiB of the tar. All that is read later starts from the nearest point: a shard in the middle of an
archive and 20 rows out of twelve archives cost what they hold, not what lies before them.

It is a memory beside that of checksums (``--seek``): it may be deleted at any time, and only speed depends on it.

- It stands for one state of the archive: size, time of change and the checksum at its end, as gzip wrote it.
- Whatever is read by it has the CRC-32 that the first pass saw, block by block. If not, the archive is read through by
  gzip, which says where it is damaged, and then from its beginning as without a memory.
- A memory that is damaged, old or of another archive is not used.

Whether the archive is whole is decided when it is listed, each time. indexed_gzip takes a file that was cut for a whole
one, so its word is not enough: the last eight bytes must be CRC-32 and length of all that was inflated. Where they are
not (several gzip streams, zeros at the end, damage) Python's own reader goes over the archive once more and decides.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from preprocess.errors import PreprocessError
from preprocess.files import atomic

#: bytes of a tar that have a checksum of their own; and from one point to the next, each of which takes 32 KiB
BLOCK, SPACING = 1 << 20, 4 << 20
#: blocks that are read at once where reading goes on: each call of indexed_gzip starts from a point anew
AHEAD = 16
#: smaller archives are inflated sooner than a memory is read
MIN_PACKED = 64 << 20
_VERSION = 1
_ABOUT, _POINTS = "about.json", "points"

_folder: Path | None = None


@contextmanager
def remembered(folder: Path | None) -> Iterator[None]:
    """Keep the memory in a folder within the block; None: keep none. It holds for all raw files of the process."""
    before = _folder
    remember(folder)
    try:
        yield
    finally:
        remember(before)


def memory() -> Path | None:
    """The folder in which the memory is kept now."""
    return _folder


def remember(folder: Path | None) -> None:
    """Keep the memory in a folder from now on."""
    global _folder
    _folder = folder


def _cut(data: memoryview) -> list[memoryview]:
    """Bytes in blocks."""
    return [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]


class NotAsNotedError(Exception):
    """What a seek gave is not what the first pass saw."""


def place(root: Path, path: str) -> Path | None:
    """Where the memory of an archive is kept; None where there is none, or where it would not pay."""
    if _folder is None or not path.lower().endswith("gz") or _size(root / path) < MIN_PACKED:
        return None
    return _folder / "seek" / root.name / f"{path}.zip"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # no file of its own, or none to be read: for the reader to tell
        return -1


def _state(stream: IO[bytes]) -> list[object]:
    """What tells one state of an archive from another: size, time of change, the gzip's own checksum and length."""
    status = os.fstat(stream.fileno())
    return [status.st_size, status.st_mtime_ns, _trailer(stream).hex()]


def _trailer(stream: IO[bytes]) -> bytes:
    stream.seek(-8, os.SEEK_END)
    return stream.read(8)


class Noting:
    """A packed tar on its first way through: it is read forwards, and what was seen is kept.

    Args:
        stream: the archive, a file on disk.
        out: where the memory goes.
    """

    def __init__(self, stream: IO[bytes], out: Path) -> None:
        from indexed_gzip import IndexedGzipFile

        self._out, self._stream, self._state = out, stream, _state(stream)
        stream.seek(0)
        self._file = IndexedGzipFile(fileobj=stream, spacing=SPACING, buffer_size=BLOCK, skip_crc_check=True)
        self._held = memoryview(b"")
        self._blocks: list[int] = []
        self._crc = self._length = 0
        self._members: list[tuple[str, int, int]] = []

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the tar, in order; none at its end."""
        if not self._held:
            self._held = memoryview(self._file.read(AHEAD * BLOCK))
            self._blocks += map(zlib.crc32, _cut(self._held))
            self._crc, self._length = zlib.crc32(self._held, self._crc), self._length + len(self._held)
        piece, self._held = self._held[:size], self._held[size:]
        return bytes(piece)

    def member(self, name: str, start: int, size: int) -> None:
        """Note where a member's bytes lie."""
        self._members.append((name, start, size))

    def is_whole(self) -> bool:
        """Whether all was read that gzip packed."""
        expected = self._crc.to_bytes(4, "little") + (self._length & 0xFFFFFFFF).to_bytes(4, "little")
        return _trailer(self._stream) == expected

    def keep(self) -> None:
        """Write the memory, if the archive is still what it was; without room for it there is none."""
        if _state(self._stream) != self._state:
            return
        about = {
            "version": _VERSION, "state": self._state, "block": BLOCK, "blocks": self._blocks, "length": self._length,
            "members": self._members,
        }  # fmt: skip
        points = io.BytesIO()
        with suppress(PreprocessError, OSError):
            self._file.export_index(fileobj=points)
            self._out.parent.mkdir(parents=True, exist_ok=True)
            with atomic(self._out, of_run=False) as part, zipfile.ZipFile(part, "w") as archive:
                archive.writestr(_ABOUT, json.dumps(about), zipfile.ZIP_DEFLATED, 1)
                archive.writestr(_POINTS, points.getbuffer())


class Seeker:
    """A packed tar that was noted, read at any place. ``places`` are the members: where they begin, their bytes."""

    def __init__(self, stream: IO[bytes], about: dict[str, Any], points: bytes) -> None:
        from indexed_gzip import IndexedGzipFile

        self.places: dict[str, tuple[int, int]] = {name: (start, size) for name, start, size in about["members"]}
        self._crcs: list[int] = about["blocks"]
        self._length: int = about["length"]
        self._file = IndexedGzipFile(fileobj=stream, buffer_size=BLOCK, skip_crc_check=True)
        self._file.import_index(fileobj=io.BytesIO(points))
        self._stream = stream
        #: the blocks at hand by their number: those of the last call
        self._blocks: dict[int, memoryview] = {}

    def close(self) -> None:
        """Close the archive."""
        self._file.close()
        self._stream.close()

    def read(self, start: int, size: int) -> bytes:
        """Some bytes of the tar.

        Raises:
            NotAsNotedError: they are not what was noted.
        """
        end = start + size
        if not 0 <= start <= end <= self._length:
            raise NotAsNotedError
        numbers = range(start // BLOCK, -(-end // BLOCK))
        if not self._blocks.keys() >= set(numbers):
            self._fetch(numbers)
        parts = []
        for number in numbers:
            first = number * BLOCK
            parts.append(self._blocks[number][max(start - first, 0) : end - first])
        return b"".join(parts)

    def _fetch(self, numbers: range) -> None:
        """Have some blocks at hand, and look at them; more than asked for where reading goes on."""
        goes_on = numbers[0] in self._blocks or numbers[0] - 1 in self._blocks
        kept = {number: self._blocks[number] for number in numbers if number in self._blocks}
        first = numbers[len(kept)]  # what is at hand is their beginning, as reading goes forwards
        if any(number not in kept for number in numbers[: len(kept)]):
            kept, first = {}, numbers[0]
        count = max(numbers[-1] + 1 - first, AHEAD if goes_on else 1)
        try:
            self._file.seek(first * BLOCK)
            found = _cut(memoryview(self._file.read(count * BLOCK)))
        except (OSError, EOFError, ValueError) as error:
            raise NotAsNotedError from error
        expected = self._crcs[first : first + count]
        if list(map(zlib.crc32, found)) != expected:
            raise NotAsNotedError
        self._blocks = kept | dict(enumerate(found, first))


def known(root: Path, path: str) -> Seeker | None:
    """An archive by what was noted of it; None where nothing was that can be used."""
    noted = place(root, path)
    if noted is None or not noted.is_file():
        return None
    stream: IO[bytes] | None = None
    try:
        with zipfile.ZipFile(noted) as archive:
            about, points = json.loads(archive.read(_ABOUT)), archive.read(_POINTS)
        stream = open(root / path, "rb")
        if (about["version"], about["block"], about["state"]) == (_VERSION, BLOCK, _state(stream)):
            return Seeker(stream, about, points)
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError, NotImplementedError):
        pass
    if stream is not None:
        stream.close()
    return None
