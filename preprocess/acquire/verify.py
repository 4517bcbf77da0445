"""Whether raw files are what they are taken for: sizes and checksums, computed once and remembered.

Known checksums come from the registry (:mod:`preprocess.acquire.registry`) and, where nobody published one,
from the lock file of the first download (``<raw>/fetch.lock.json``). What a file's bytes gave is
remembered (:mod:`preprocess.acquire.digests`), so that 40 GB are read once.
"""

from __future__ import annotations

import hashlib
import logging
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preprocess import published, recipe, sources
from preprocess.acquire.digests import DigestCache, Digests, Step, compute, place
from preprocess.acquire.registry import RELEASED, RemoteFile, Source, raw_folder
from preprocess.errors import PreprocessError
from preprocess.files import read_json, write_json
from preprocess.reading.archives import is_tar, is_tar_header, is_zip, on_disk, walk

log = logging.getLogger("preprocess")

LOCK_FILE = "fetch.lock.json"
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*(<!doctype\s+html|<html|<head|<script)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Checked:
    """What became of one file.

    Attributes:
        file: path below the raw folder.
        size: bytes.
        md5: its checksum.
        sha256: its checksum.
        basis: what it agrees with, or why nothing can be said.
        known: whether it agrees with something known.
    """

    file: str
    size: int
    md5: str
    sha256: str
    basis: str
    known: bool


class Lock:
    """The lock file of a raw folder: what the first download of each file gave."""

    def __init__(self, raw: Path) -> None:
        self.path = raw / LOCK_FILE
        self.entries = _read_mapping(self.path)

    def get(self, file: RemoteFile) -> dict[str, Any] | None:
        """Size and sha256 of the first download; None for none and for files packed anew each time."""
        return None if file.commit else self.entries.get(file.id)

    def digest(self, source: Source) -> str:
        """Hexadecimal digest of what the lock holds of a source, for a workflow manager to compare."""
        own = {key: entry["sha256"] for key, entry in self.entries.items() if key.startswith(f"{source.name}/")}
        return hashlib.sha256(repr(sorted(own.items())).encode()).hexdigest()[:16]

    def record(self, file: RemoteFile, digests: Digests, url: str) -> None:
        """Record a first download; a later one does not change the entry."""
        self.entries = _read_mapping(self.path)
        if file.id not in self.entries:
            self.entries[file.id] = {"size": digests.size, "sha256": digests.sha256, "md5": digests.md5, "url": url}
            write_json(self.path, dict(sorted(self.entries.items())), of_run=False)


def _read_mapping(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = read_json(path)
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise PreprocessError(f"{path}: not readable ({error}); remove it, what it holds is found again") from error
    return content if isinstance(content, dict) else {}


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read(4096)
    except FileNotFoundError as error:  # it was listed, so it is a link
        raise PreprocessError(f"{path}: a link to a file that is not there; remove it or mend it") from error
    except OSError as error:
        raise PreprocessError(f"{path}: cannot be read ({error.strerror}); check disk and permissions") from error


def is_page(head: bytes) -> bool:
    """Whether a file's first bytes are those of a web page."""
    return _PAGE.match(head.removeprefix(b"\xef\xbb\xbf")) is not None


def content_problem(name: str, head: bytes) -> str:
    """What the first bytes (512 or more) say against the name, or nothing."""
    if is_page(head):
        return "a web page, not the file"
    lower = name.lower()
    if lower.endswith((".zip", ".npz")) and head[:2] != b"PK":
        return "not a zip archive"
    if is_tar(lower) and is_tar_header(head):  # under .tar.gz as well: browsers unpack on the way
        return ""
    if lower.endswith((".gz", ".tgz")) and head[:2] != b"\x1f\x8b":
        return "not a gzip file"
    if lower.endswith(".tar"):
        return "not a tar archive"
    return ""


def commit_problem(file: RemoteFile, path: Path) -> str:
    """What the zip comment of an archive packed on demand says against it, or nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.comment.decode("ascii", "replace")
    except (zipfile.BadZipFile, OSError) as error:
        return f"damaged or incomplete ({error})"
    return "" if found == file.commit else f"packed from commit {found or 'unknown'}, not {file.commit}"


def problem(source: Source, file: RemoteFile, path: Path, found: Digests, lock: Lock) -> tuple[str, str]:
    """Compare a file with all that is known of it.

    Returns:
        What is wrong with it, or nothing; and what it agrees with, or nothing.
    """
    for kind in ("md5", "sha256"):
        if found.of(kind) in source.wrong:
            return source.wrong[found.of(kind)], ""
    if file.commit:
        return commit_problem(file, path), f"commit {file.commit[:12]}"
    for known, edition in file.also:
        if known in (found.md5, found.sha256):
            return "", edition
    if file.digests:
        for kind, known in file.digests:
            if found.of(kind) != known:
                return f"its {kind} is {found.of(kind)}, the published file has {known}", ""
        return "", f"published {file.digests[0][0]}"
    if file.size is not None and found.size != file.size:
        return f"it has {found.size:,} bytes, the published file has {file.size:,}", ""
    if entry := lock.get(file):
        if found.sha256 != entry["sha256"]:
            return f"its sha256 is {found.sha256}, the first download had {entry['sha256']} ({LOCK_FILE})", ""
        return "", f"first download, {LOCK_FILE}"
    return "", ""


def places(source: Source, raw: Path) -> list[Path]:
    """Every data file that serves a source: those of its folder, or what may stand for it elsewhere."""
    if source.datasets:
        about = recipe.dataset(source.datasets[0])
        folder = raw_folder(about, raw)
        entries = sources.entries(about.reader, folder) if folder.is_dir() else []
    else:  # not a source of samples
        folder = raw / source.name
        entries = [folder] if folder.is_dir() else []
    found: list[Path] = []
    for entry in entries:
        if entry.is_dir():
            found.extend(on_disk(entry, path) for path in sorted(walk(entry)))
        else:
            found.append(entry)
    return found


def verify(
    source: Source, raw: Path, cache: DigestCache, force: bool = False, step: Step = lambda size: None
) -> list[Checked]:
    """Check the archives and registered files of one source, and remember the checksums of all its files.

    Files nobody published a checksum of (those of an unpacked tree, published npz to compare with) are read too:
    only so can a later run tell a file that was touched from one that was changed.

    Raises:
        PreprocessError: a file is not what it is taken for; the text says which and why.
    """
    lock, known = Lock(raw), {file.name: file for file in source.files}
    checked: list[Checked] = []
    read: dict[str, Digests] = {}

    def digests(path: Path, md5: bool) -> Digests:
        found = None if force else cache.get(path)
        if found is None or (md5 and not found.md5):
            found = read[cache.key(path)] = compute(path, step, md5)
        return found

    try:
        for path in places(source, raw):
            file = known.get(path.name)
            if file or is_zip(path.name) or is_tar(path.name):
                _check_before_reading(path, file)
                found = digests(path, md5=True)
                checked.append(_judge(source, raw, path, file, found, lock))
            else:
                digests(path, md5=False)
        for path in compared(source, raw):
            digests(path, md5=True)
    finally:
        cache.put(read)
    return checked


def compared(source: Source, raw: Path) -> list[Path]:
    """The published npz of a source's datasets that are there to compare with."""
    names = [published.file_name(dataset, size) for dataset in source.datasets for size in published.sizes(dataset)]
    return [path for name in names if (path := raw / RELEASED / name).is_file()]


def _check_before_reading(path: Path, file: RemoteFile | None) -> None:
    """Refuse what its first bytes or its size already tell."""
    if text := content_problem(path.name, _head(path)):
        raise PreprocessError(f"{path}: {text}; remove it and get it again")
    if file and file.only_size is not None and path.stat().st_size != file.only_size:
        raise PreprocessError(
            f"{path}: it has {path.stat().st_size:,} bytes, the published file has {file.only_size:,}; "
            "remove it and get it again"
        )


def _judge(source: Source, raw: Path, path: Path, file: RemoteFile | None, found: Digests, lock: Lock) -> Checked:
    against, basis = problem(source, file or RemoteFile(source.name, ""), path, found, lock)
    if against and file and not file.strict:
        log.warning("%s: %s; %s", path, against, file.note or "another edition")
        against, basis = "", ""
    if against:
        raise PreprocessError(f"{path}: {against}; it is damaged or another file: remove it and get it again")
    return Checked(place(path, raw), found.size, found.md5, found.sha256, basis or "no checksum is known", bool(basis))
