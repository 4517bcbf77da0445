"""Checksums of raw files: each file is read once, and what its bytes gave is remembered.

The cache answers two questions: what the checksums of a file are, and since when its content is what it is. The
second lets a run notice that a file changed without reading it, and that a touched or copied file did not.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from preprocess.errors import PreprocessError
from preprocess.files import atomic
from preprocess.reading.archives import Stat

BLOCK = 1 << 20
#: told how many bytes were read
Step = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Digests:
    """Checksums of one file's bytes, and the state of the file they were computed from.

    Attributes:
        size: bytes.
        mtime_ns: time of change of the file.
        since: time of change at which this content was first met; a later touch does not alter it.
        sha256: checksum.
        md5: checksum; empty where nobody asked for it.
    """

    size: int
    mtime_ns: int
    since: int
    sha256: str
    md5: str = ""

    def of(self, kind: str) -> str:
        """The checksum of an algorithm."""
        return str(getattr(self, kind))


def compute(path: Path, step: Step = lambda size: None, md5: bool = True) -> Digests:
    """Read a whole file and return its checksums; ``step`` is called with the size of each block.

    Raises:
        PreprocessError: it cannot be read, or changes meanwhile.
    """
    values = [hashlib.sha256(), *([hashlib.md5(usedforsecurity=False)] if md5 else [])]
    try:
        before = path.stat()
        with open(path, "rb") as handle:
            while block := handle.read(BLOCK):
                for value in values:
                    value.update(block)
                step(len(block))
        after = path.stat()
    except OSError as error:
        raise PreprocessError(f"{path}: cannot be read ({error.strerror}); check disk and permissions") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise PreprocessError(f"{path}: changes while it is read; wait until it is complete")
    return Digests(after.st_size, after.st_mtime_ns, after.st_mtime_ns, *(value.hexdigest() for value in values))


def place(path: Path, raw: Path) -> str:
    """What a file is called in records: its path below the raw folder, or all of it where it lies elsewhere."""
    return (path.relative_to(raw) if path.is_relative_to(raw) else path).as_posix()


class DigestCache:
    """What the bytes of a source's files gave, by path below the raw folder; valid while size and time of change stay.

    A table a source in a folder of the results; it may be deleted at any time, the files are then read again.
    """

    def __init__(self, folder: Path, source: str, raw: Path) -> None:
        self.path = folder / f"{source}.tsv"
        self.raw = raw
        self._rows: dict[str, list[str]] | None = None

    @property
    def rows(self) -> dict[str, list[str]]:
        """All that is remembered, as text: size, time of change, since, sha256, md5, path; by path."""
        if self._rows is None:
            self._rows = self._read()
        return self._rows

    def get(self, path: Path) -> Digests | None:
        """The checksums of a file as it is now, or None where they are not known."""
        entry = self._entry(self.key(path))
        if entry is None:
            return None
        status = path.stat()
        return entry if (entry.size, entry.mtime_ns) == (status.st_size, status.st_mtime_ns) else None

    def key(self, path: Path) -> str:
        """What a file is remembered by, see :func:`place`."""
        return place(path, self.raw)

    def _entry(self, key: str) -> Digests | None:
        if (row := self.rows.get(key)) is None:
            return None
        size, mtime, since, sha256, md5, _ = row
        return Digests(int(size), int(mtime), int(since), sha256, md5)

    def _merged(self, path: str, found: Digests) -> Digests:
        """What was just computed, with the time since when that content is known."""
        entry = self._entry(path)
        if entry is None or entry.sha256 != found.sha256:
            return found
        return Digests(found.size, found.mtime_ns, entry.since, found.sha256, found.md5 or entry.md5)

    def put(self, found: Mapping[str, Digests]) -> None:
        """Remember checksums of some files by their keys; other processes may do so at the same time."""
        if not found:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self.path.with_suffix(".lock")):
            self._rows = self._read()
            for path, digests in found.items():
                if "\n" not in path:
                    one = self._merged(path, digests)
                    self._rows[path] = [*map(str, (one.size, one.mtime_ns, one.since, one.sha256, one.md5)), path]
            lines = "".join("\t".join(row) + "\n" for _, row in sorted(self._rows.items()))
            with atomic(self.path, of_run=False) as part:
                part.write_bytes(lines.encode("utf-8", "surrogateescape"))

    def _read(self) -> dict[str, list[str]]:
        try:
            text = self.path.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return {}
        rows = [line.split("\t", 5) for line in text.removesuffix("\n").split("\n")]
        if set(map(len, rows)) != {6} or not all(number.isdecimal() for number in rows[0][:3]):
            raise PreprocessError(f"{self.path}: not readable; remove it, what it holds is found again")
        return {row[5]: row for row in rows}

    def since(self, files: Iterable[Stat]) -> list[Stat]:
        """Path, size and age of content of some files: what tells whether a result made of them is current.

        A file that was touched but never changed keeps its age: it is read to tell. One that nobody has read yet
        is as old as its time of change says. So a change that keeps both size and time of change goes unnoticed.
        """
        aged: list[Stat] = []
        reread: dict[str, Digests] = {}
        rows = self.rows
        for file in files:
            path, size, mtime = file
            row = rows.get(path)
            if row is None or row[0] != str(size):
                aged.append(file)
            elif row[1] == str(mtime):
                aged.append(file if row[2] == row[1] else (path, size, int(row[2])))
            else:
                reread[path] = self._merged(path, compute(self.raw / path, md5=bool(row[4])))
                aged.append((path, size, reread[path].since))
        with suppress(PreprocessError):  # results that cannot be written: read again the next time
            self.put(reread)
        return aged


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with open(lock, "w") as handle:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
