"""Fetching raw files: what was asked for, licence first, each checked against all that is known of it."""

from __future__ import annotations

import fnmatch
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from preprocess.acquire import idc
from preprocess.acquire.digests import DigestCache, compute
from preprocess.acquire.download import Downloader, Wanted
from preprocess.acquire.inventory import Stock, gigabytes, take
from preprocess.acquire.registry import DIGESTS, RemoteFile, Source
from preprocess.acquire.verify import Lock, commit_problem, problem
from preprocess.errors import PreprocessError, instead

log = logging.getLogger("preprocess")


@dataclass(frozen=True)
class Request:
    """What to fetch of one source: its files, and whether its own client is to be called."""

    source: Source
    files: list[RemoteFile]
    client: bool


def requests(words: list[str], sources: dict[str, Source]) -> list[Request]:
    """What ``words`` name: a source (its needed files), or ``<source>/<file pattern>`` (any of its files).

    Raises:
        PreprocessError: a word names nothing.
    """
    found: dict[str, Request] = {}
    for word in words:
        name, _, pattern = word.partition("/")
        if name not in sources:
            raise PreprocessError(f"sources: {name!r} is not a source; {instead(name, sources)}")
        source = sources[name]
        files = [file for file in source.files if fnmatch.fnmatchcase(file.name, pattern)] if pattern else source.needed
        if pattern and not files:
            raise PreprocessError(
                f"sources: {name} has no file {pattern!r}; it has: {', '.join(file.name for file in source.files)}"
            )
        request = found.setdefault(name, Request(source, [], source.client is not None and not pattern))
        request.files.extend(file for file in files if file not in request.files)
    return list(found.values())


@dataclass
class Fetcher:
    """Fetches into one raw folder.

    Attributes:
        raw: the raw folder.
        cache: where checksums of files are remembered.
        downloader: does the downloads.
        say: tells the person what happens, a line at a time.
    """

    raw: Path
    cache: Path
    downloader: Downloader
    say: Callable[[str], None] = print
    problems: list[str] = field(default_factory=list)
    _lists: dict[str, Any] = field(default_factory=dict)

    def fetch(self, wanted: list[Request]) -> None:
        """Fetch all requests; one that fails does not keep the others from being tried.

        Raises:
            PreprocessError: something could not be fetched, the other problems were told before; or a person
                stopped it.
        """
        try:
            self._fetch(wanted)
        except KeyboardInterrupt:
            begun = {file.id: self._part(file) for request in wanted for file in request.files}
            kept = "".join(f"; {name}: {size:,} bytes so far" for name, size in begun.items() if size)
            raise PreprocessError(f"stopped; what came is kept, the same command goes on{kept}") from None

    def _fetch(self, wanted: list[Request]) -> None:
        self._check_room(wanted)
        for request in wanted:
            self._licence(request.source)
            if request.client:
                self._attempt(partial(self._by_client, request.source))
            absent = self._take(request.source).absent
            by_hand = [file for file in request.files if not file.urls and file in absent]
            for file in request.files:
                if file.urls:
                    self._attempt(partial(self._file_or_replacement, request.source, file))
            if by_hand or not (request.files or request.client):
                self._by_hand(request, by_hand)
        if len(self.problems) == 1:
            raise PreprocessError(self.problems[0])
        if self.problems:
            for text in self.problems:
                log.error("%s", text)
            raise PreprocessError(f"{len(self.problems)} files could not be fetched, as said before")

    def _attempt(self, run: Callable[[], None]) -> None:
        try:
            run()
        except PreprocessError as error:
            self.problems.append(str(error))

    def _check_room(self, wanted: list[Request]) -> None:
        missing = 0
        for request in wanted:
            there = [file for file in request.files if self._target(file).exists()]
            rest = [file for file in request.files if file.urls and file not in there]
            missing += sum(file.size or file.about or 0 for file in rest)
            missing -= sum(self._part(file) for file in rest)
            if request.client or (rest and not any(file.size or file.about for file in rest) and not there):
                missing += request.source.about()[0]
        free = shutil.disk_usage(self.raw).free
        if missing > free:
            raise PreprocessError(
                f"{self.raw}: about {gigabytes(missing)} are to come and {gigabytes(free)} are free; "
                "make room, or name another folder with --config raw=..."
            )

    def _part(self, file: RemoteFile) -> int:
        part = self._target(file).parent / f".{self._target(file).name}.part"
        return part.stat().st_size if part.exists() else 0

    def _target(self, file: RemoteFile) -> Path:
        return self.raw / file.source / file.name

    def _take(self, source: Source) -> Stock:
        return take(source, self.raw, DigestCache(self.cache, source.name, self.raw))

    def _licence(self, source: Source) -> None:
        about = source.content
        self.say(f"{source.name}: {about['title']}, {about['landing']}")
        self.say(f"  licence: {source.licence} ({about['licence']['why']}); terms: {about['terms']}")
        self.say(f"  cite: {about['citation']}")

    def _by_client(self, source: Source) -> None:
        client = source.client or {}
        self.say(f"  {client['collection']}: by the client of the Imaging Data Commons, {gigabytes(source.about()[0])}")
        idc.download(client["collection"], client["modality"], client["series"], self.raw / source.name)

    def _by_hand(self, request: Request, files: list[RemoteFile]) -> None:
        shown = ", ".join(file.name for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        source = request.source
        self.say(f"  by hand{': ' + shown if shown else ''}")
        for number, step in enumerate(source.manual, 1):
            self.say(f"    {number}. {step.replace('<raw>', str(self.raw))}")
        state = self._take(source).state
        if not any(file.urls for file in request.files) and state in ("missing", "wrong"):
            self.problems.append(f"{source.name}: no program can fetch it; the steps for a person are above")

    def _file_or_replacement(self, source: Source, file: RemoteFile) -> None:
        stock = [other for other in source.files if file.is_replaced_by(other) and self._target(other).exists()]
        if stock and not self._target(file).exists():
            self.say(f"  {file.name}: {stock[0].name} is there instead")
            return
        try:
            self._file(source, file)
        except PreprocessError as error:
            for other in source.files:
                if file.is_replaced_by(other) and other.urls:
                    self.say(f"  {error}; trying {other.name} instead")
                    self._file(source, other)
                    return
            raise

    def _file(self, source: Source, file: RemoteFile) -> None:
        target, lock, cache = self._target(file), Lock(self.raw), DigestCache(self.cache, source.name, self.raw)
        if target.exists():
            found = cache.get(target) or compute(target)
            against, basis = problem(source, file, target, found, lock)
            if against and file.strict:
                raise PreprocessError(f"{target}: is there, but {against}; move it away to fetch it again")
            cache.put({cache.key(target): found})
            lock.record(file, found, "already there")
            self.say(f"  {file.name}: is there ({basis or against or 'no checksum was known'})")
            return
        size, digests, basis = self._expected(file, lock)
        found, url = self.downloader.download(
            Wanted(
                name=file.id,
                urls=file.urls,
                target=target,
                size=size,
                digests=digests if file.strict else (),
                check=(lambda path: commit_problem(file, path)) if file.commit else None,
                advice=f"or get it by hand: {source.content['landing']} to {target}",
                browser=file.browser,
                untrusted_tls=file.untrusted_tls,
            )
        )
        against, agrees = problem(source, file, target, found, lock)
        if against and file.strict:
            target.unlink()
            raise PreprocessError(f"{file.id}: {url}: {against}; removed")
        cache.put({cache.key(target): found})
        lock.record(file, found, url)
        self.say(f"  {file.name}: {gigabytes(found.size)} from {url} ({against or agrees or basis})")

    def _expected(self, file: RemoteFile, lock: Lock) -> tuple[int | None, tuple[tuple[str, str], ...], str]:
        """Size and checksums to insist on, and where they come from."""
        if file.commit:
            return None, (), f"commit {file.commit[:12]}"
        if entry := lock.get(file):
            locked = (("sha256", str(entry["sha256"])),)
            return file.size or int(entry["size"]), file.digests or locked, "as at the first download"
        if file.digests or not file.inventory:
            return file.size, file.digests, "no checksum is published: recorded for the next time"
        kind, url = file.inventory
        if url not in self._lists:
            self._lists[url] = parse_inventory(kind, self.downloader.json(url, file.browser))
        size, digests = self._lists[url].get(file.name, (None, ()))
        if not digests:
            return file.size or size, (), "no checksum is published: recorded for the next time"
        return file.size or size, digests, f"{digests[0][0]} of the host's list"


def parse_inventory(kind: str, content: Any) -> dict[str, tuple[int | None, tuple[tuple[str, str], ...]]]:
    """Names, sizes and checksums in a host's own list; nothing where it is not what it should be."""
    found: dict[str, tuple[int | None, tuple[tuple[str, str], ...]]] = {}
    try:
        if kind == "zenodo":
            for entry in content["files"]:
                algorithm, _, value = str(entry["checksum"]).partition(":")
                found[entry["key"]] = (int(entry["size"]), ((algorithm, value),) if algorithm in DIGESTS else ())
        elif kind == "mendeley":
            for entry in content if isinstance(content, list) else content["files"]:
                details = entry["content_details"]
                found[entry["filename"]] = (int(details["size"]), (("sha256", details["sha256_hash"].lower()),))
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        log.info("the host's list is not as expected (%s)", error)
    return found
