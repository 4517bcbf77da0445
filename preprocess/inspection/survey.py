"""One pass over a source's raw files: what is listed, and a seeded sample that is opened whole.

Each archive is read once. A packed tar has no list of its members and gives them in order only, so those that may be
of the sample are kept aside as they pass, in a temporary folder, and opened when the list is whole.
"""

from __future__ import annotations

import hashlib
import heapq
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from preprocess import sources
from preprocess.errors import PreprocessError
from preprocess.inspection import masking, traits
from preprocess.reading.archives import SEPARATOR, Listed, Raw, RawFile, is_tar, is_zip, walk

#: files of a source that are opened whole; tables are read besides
OPENED = 200
#: bytes of files opened whole, as they are stored; of those beyond it the header is read
MOST_BYTES = 2 * 10**9
#: a member of a tar that is larger is not kept aside
MOST_KEPT = 2**28
#: tables that are read, and the largest
MOST_TABLES, LARGEST_TABLE = 40, 2**26
#: patterns of names that a report lists, and values of a trait
MOST_PATTERNS, MOST_VALUES = 40, 12
#: seconds between two lines that say how far it is
EVERY = 5.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Archive:
    """One file of the folder that holds others, or cannot be listed: its masked name, bytes, members, what is wrong."""

    name: str
    size: int
    members: int
    error: str = ""


@dataclass
class Trait:
    """The values one trait has in the files that were looked at, and how many files have each."""

    kind: str
    name: str
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class Survey:
    """What a pass found.

    Attributes:
        files, size: how many data files, and their bytes unpacked.
        stored: bytes on disk.
        archives: every archive, and every file that cannot be listed.
        patterns: masked paths with how many files have each, and their bytes.
        kinds: files by kind.
        twice: names of data files that occur in more than one place.
        names: some paths, unmasked, for recognising layouts; never part of a report.
        opened, by_header: files read whole, and by their header alone.
        traits: by kind and name.
        seen: own name, kind and traits of each file looked at, for comparing with what is expected; never in a report.
        unreadable: kind, masked path and cause of each file that cannot be read.
        traceback: where the first unexpected error came from, masked.
    """

    files: int = 0
    size: int = 0
    stored: int = 0
    archives: list[Archive] = field(default_factory=list)
    patterns: dict[str, tuple[int, int]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    names: list[str] = field(default_factory=list)
    opened: int = 0
    by_header: int = 0
    traits: dict[tuple[str, str], Trait] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)
    traceback: list[str] = field(default_factory=list)


class _Chosen:
    """The sample: the files of lowest rank, by a digest of seed and path, whatever the order they come in."""

    def __init__(self, seed: int, aside: Path) -> None:
        self._seed, self._aside = seed, aside
        self._heap: list[tuple[int, str, RawFile, Path | None]] = []
        self.tables: list[tuple[RawFile, Path | None]] = []
        self._kept = 0

    def offer(self, file: RawFile, data: Callable[[], bytes] | None) -> None:
        """Take a file into the sample if its rank is low enough; ``data`` gives its bytes if it must be kept aside."""
        kind = traits.kind_of(file.name)
        if kind == "table" and len(self.tables) < MOST_TABLES and file.size <= LARGEST_TABLE:
            self.tables.append((file, self._keep(file, data)))
        elif kind and kind != "table" and (data is None or file.size <= MOST_KEPT):
            rank = -int.from_bytes(hashlib.sha256(f"{self._seed}\n{file.path}".encode()).digest()[:8])
            if len(self._heap) < OPENED or rank > self._heap[0][0]:
                heapq.heappush(self._heap, (rank, file.path, file, self._keep(file, data)))
                if len(self._heap) > OPENED and (gone := heapq.heappop(self._heap)[3]) is not None:
                    gone.unlink(missing_ok=True)

    def _keep(self, file: RawFile, data: Callable[[], bytes] | None) -> Path | None:
        if data is None:
            return None
        self._kept += 1
        # the reader goes by the ending alone
        place = self._aside / f"{self._kept}-{file.name[-80:]}".replace("/", "_")
        place.write_bytes(data())
        return place

    def files(self) -> Iterator[tuple[RawFile, Path | None]]:
        """Tables first, then the sample in the order of the archives."""
        yield from self.tables
        yield from ((file, place) for _, _, file, place in sorted(self._heap, key=lambda entry: entry[1]))


class _Ticker:
    """Says how far it is, not too often."""

    def __init__(self, say: Progress, every: float) -> None:
        self._say, self._every, self._last = say, every, time.monotonic()

    def tell(self, text: Callable[[], str]) -> None:
        if time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            self._say(text())


def survey(source: str, reader: str, raw: Raw, seed: int, say: Progress, every: float = EVERY) -> Survey:
    """List a source's files and open a sample of them; ``raw`` remembers the list.

    Args:
        source: the source, for messages.
        reader: what reads it.
        raw: the folder that serves it.
        seed: picks the sample.
        say: takes a line of progress.
        every: seconds between two such lines.
    """
    found = Survey()
    ticker = _Ticker(say, every)
    names: Counter[str] = Counter()
    with ExitStack() as stack:
        aside = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chosen = _Chosen(seed, aside)
        passed = 0

        def passing(file: RawFile, data: Callable[[], bytes]) -> None:
            nonlocal passed
            passed += 1
            chosen.offer(file, data)
            ticker.tell(lambda: f"{source}: {passed:,} files in tar archives so far")

        def before(path: str) -> None:
            if is_zip(path) or is_tar(path):
                say(f"{source}: reading {masking.path(path)}")

        for listed in raw.survey(_paths(reader, raw.root), passing, before):
            _note(found, listed, names, chosen, raw.root)
            ticker.tell(lambda: f"{source}: {found.files:,} files listed so far")
        found.twice = sum(count > 1 for count in names.values())
        _open(found, raw, stack.enter_context(Raw(aside)), chosen, source, ticker)
    return found


def _paths(reader: str, folder: Path) -> list[str]:
    """The files that belong to a source, of the folder that serves it."""
    own = {entry.name for entry in sources.entries(reader, folder)}
    return sorted(path for path in walk(folder) if path.partition("/")[0] in own)


def _note(found: Survey, listed: Listed, names: Counter[str], chosen: _Chosen, root: Path) -> None:
    is_archive = is_zip(listed.path) or is_tar(listed.path)
    found.stored += listed.size
    if is_archive or listed.error:
        error = masking.message(str(listed.error), root) if listed.error else ""
        found.archives.append(Archive(masking.path(listed.path), listed.size, len(listed.files), error))
    for file in listed.files:
        found.files += 1
        found.size += file.size
        pattern = masking.path(file.path)
        count, size = found.patterns.get(pattern, (0, 0))
        found.patterns[pattern] = count + 1, size + file.size
        kind = traits.kind_of(file.name)
        found.kinds[kind or "left aside"] += 1
        if kind not in ("", "series", "unknown"):  # slices are numbered anew in every series
            names[file.name] += 1
        found.names.append(file.path)
        if not is_tar(file.path.rpartition(SEPARATOR)[0]):  # those were offered as they passed
            chosen.offer(file, None)


def _open(found: Survey, raw: Raw, aside: Raw, chosen: _Chosen, source: str, ticker: _Ticker) -> None:
    spent = 0
    for file, place in chosen.files():
        kind = traits.kind_of(file.name)
        whole = spent + file.size <= MOST_BYTES
        spent += file.size if whole else 0
        try:
            seen = traits.look(aside if place else raw, place.name if place else file.path, kind, whole)
        except PreprocessError as error:
            found.opened += 1
            where = aside.root if place else raw.root
            found.unreadable.append((kind, masking.path(file.path), traits.cause(error, where)))
            continue
        except Exception as error:  # the first hour is to end with a report, whatever a file holds
            found.opened += 1
            found.unreadable.append((kind, masking.path(file.path), f"unexpected error: {type(error).__name__}"))
            found.traceback = found.traceback or masking.trace(error, raw.root)
            continue
        if seen is None:
            found.kinds["unknown"] -= 1
            found.kinds["left aside"] += 1
            continue
        if kind != "table":
            found.opened += whole
            found.by_header += not whole
        found.seen.append((file.name, *seen))
        for name, value in seen[1].items():
            found.traits.setdefault((seen[0], name), Trait(seen[0], name)).counts[value] += 1
        ticker.tell(lambda: f"{source}: {found.opened + found.by_header:,} files opened so far")
