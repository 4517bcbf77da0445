"""Downloading one file so that the right bytes, or none, get its name.

A download is written to ``.<name>.part`` beside its place, with ``.<name>.part.json`` saying where
it comes from. After a break, in this run or a later one, it goes on where it stopped: by ``Range``,
with ``If-Range`` where the server names a version, and only where a later check can tell that the
pieces belong together. Size and checksums are computed while the bytes arrive. What is wrong is
removed; what is merely incomplete stays for the next run.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import ssl
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from tqdm import tqdm

from preprocess import __version__
from preprocess.acquire.digests import BLOCK, Digests
from preprocess.acquire.verify import content_problem
from preprocess.errors import PreprocessError
from preprocess.files import write_json

log = logging.getLogger("preprocess")

AGENT = f"medmnist-rebuild/{__version__}"
#: some hosts refuse anything that does not look like a browser
BROWSER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
#: answers worth another try
PASSING = (408, 425, 429, 500, 502, 503, 504)
#: no way to the host: the machine has no network, or none to there
NO_WAY = (errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH)
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOGIN = re.compile(r"(^|[^a-z])(log-?in|sign-?in|sso|oauth2?|saml|idp|accounts?)([^a-z]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        tries: attempts in a row that bring no new byte.
        pause: seconds before the second attempt; doubled each time.
        longest: most seconds between two attempts.
        timeout: seconds without any answer that count as a break.
    """

    tries: int = 8
    pause: float = 1.0
    longest: float = 60.0
    timeout: float = 60.0


@dataclass(frozen=True)
class Wanted:
    """One file to download.

    Attributes:
        name: for messages, ``<source>/<file>``.
        urls: addresses, tried in this order.
        target: where it goes.
        size: bytes if known.
        digests: known checksums by algorithm; empty where none is known.
        check: says what is wrong with a complete file, or nothing; for what checksums cannot tell.
        advice: what a person can do instead.
        browser: whether the host refuses programs.
        untrusted_tls: whether a broken certificate does not matter, as the checksum decides.
    """

    name: str
    urls: tuple[str, ...]
    target: Path
    size: int | None = None
    digests: tuple[tuple[str, str], ...] = ()
    check: Callable[[Path], str] | None = None
    advice: str = ""
    browser: bool = False
    untrusted_tls: bool = False


class _BreakError(Exception):
    """The connection broke, or the server asks to come back later: worth another try."""

    def __init__(self, text: str, wait: float = 0) -> None:
        super().__init__(text)
        self.wait = wait


class _Part:
    """The file being written, with the checksums of what it holds. Held by one process at a time."""

    def __init__(self, target: Path, name: str, trusted: bool) -> None:
        self.path = target.parent / f".{target.name}.part"
        self.note_path = target.parent / f".{target.name}.part.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        self.handle = open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.handle.close()
            raise PreprocessError(f"{name}: another download of it is running; wait for it") from None
        except OSError:  # a file system without locks
            pass
        if not self.path.exists() or self.path.stat().st_ino != os.fstat(self.handle.fileno()).st_ino:
            self.handle.close()
            raise PreprocessError(f"{name}: another download of it has just ended; run the same command again")
        self.trusted = trusted
        self.note = self._read_note()
        self.size = 0
        self.is_mixed = False
        self._reset()
        if trusted or self.note.get("validator"):
            self._read()
        else:  # nothing could tell whether the pieces belong together
            self.restart()

    def _reset(self) -> None:
        self.size = 0
        self.is_mixed = False
        self.md5, self.sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()

    def _read_note(self) -> dict[str, Any]:
        try:
            note = json.loads(self.note_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def _read(self) -> None:
        """Take over what an earlier run left."""
        while block := self.handle.read(BLOCK):
            self.md5.update(block)
            self.sha256.update(block)
            self.size += len(block)
        self.is_mixed = self.size > 0

    def restart(self) -> None:
        """Drop what there is."""
        if self.handle.seekable() and self.size_on_disk():
            self.handle.seek(0)
            self.handle.truncate(0)
        self._reset()

    def size_on_disk(self) -> int:
        return os.fstat(self.handle.fileno()).st_size

    def begin(self, url: str, validator: str, total: int | None) -> None:
        """Note where the bytes that follow come from."""
        note = {"url": url, "validator": validator, "total": total}
        if note != self.note:
            write_json(self.note_path, note)
            self.note = note

    def write(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[self.handle.write(view) :]
        self.md5.update(block)
        self.sha256.update(block)
        self.size += len(block)

    def can_go_on(self, url: str) -> bool:
        """Whether a piece from ``url`` may follow what there is."""
        return self.size > 0 and (self.trusted or (self.note.get("url") == url and bool(self.note.get("validator"))))

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)

    def close(self) -> None:
        empty = not self.size_on_disk()
        self.handle.close()
        if empty:
            self.discard()


class Downloader:
    """Downloads files one after the other. Use as a context manager; it holds connections."""

    def __init__(self, patience: Patience | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self.patience = patience or Patience()
        self._sleep = sleep
        self._clients: dict[bool, httpx.Client] = {}
        #: hosts that answered, and hosts that never did, however often they were tried
        self._reached: set[str] = set()
        self._given_up: set[str] = set()

    def __enter__(self) -> Downloader:
        return self

    def __exit__(self, *error: object) -> None:
        for client in self._clients.values():
            client.close()

    def client(self, verified: bool = True) -> httpx.Client:
        """The connections, with or without a check of certificates."""
        if verified not in self._clients:
            self._clients[verified] = httpx.Client(
                follow_redirects=True,
                max_redirects=10,
                timeout=self.patience.timeout,
                verify=verified,
                headers={"Accept-Encoding": "identity"},
            )
        return self._clients[verified]

    def json(self, url: str, browser: bool) -> Any:
        """A host's own list of files; None where it cannot be had, which is no error."""
        try:
            response = self.client().get(url, headers={"User-Agent": BROWSER_AGENT if browser else AGENT})
            return response.json() if response.status_code == 200 else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            log.info("%s: not to be had (%s)", url, error)
            return None

    def download(self, wanted: Wanted) -> tuple[Digests, str]:
        """Download one file to its place.

        Returns:
            Size and checksums, and the address they came from.

        Raises:
            PreprocessError: no address gave the file; the text says why, and nothing wrong is left.
        """
        try:
            part = _Part(wanted.target, wanted.name, trusted=bool(wanted.digests))
        except OSError as error:
            raise PreprocessError(f"{wanted.target}: cannot be written ({error.strerror})") from error
        problems: list[str] = []
        try:
            with _bar(wanted) as bar:
                for url in wanted.urls:
                    try:
                        self._from(url, wanted, part, bar)
                    except PreprocessError as error:
                        problems.append(f"{url}: {error}")
                        continue
                    return self._finish(wanted, part), url
        except OSError as error:
            raise PreprocessError(f"{wanted.name}: {_disk_problem(error, wanted.target)}") from error
        finally:
            part.close()
        advice = f"; {wanted.advice}" if wanted.advice else ""
        raise PreprocessError(f"{wanted.name}: {'; '.join(problems) or 'no address is known'}{advice}")

    def _from(self, url: str, wanted: Wanted, part: _Part, bar: Any) -> None:
        """Fill ``part`` from one address and check it."""
        failures, most, verified = 0, part.size, True
        host = _host(url)
        while True:
            try:
                self._request(url, wanted, part, bar, verified)
                if problem := _problem(wanted, part):
                    mixed = part.is_mixed
                    part.restart()
                    if not mixed:
                        raise PreprocessError(problem)
                    raise _BreakError(f"the pieces did not belong together: {problem}")
                return
            except _BreakError as error:
                broken, wait = str(error), error.wait
            except httpx.ConnectError as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error) or "certificate" in str(error).lower():
                    if not (verified and wanted.untrusted_tls):
                        raise PreprocessError(f"the host's certificate is not valid ({error})") from error
                    log.info("%s: the certificate is not valid; the checksum decides", url)
                    verified = False
                    continue
                if host not in self._reached and (lasting := _lasting(error)):
                    raise PreprocessError(lasting) from error
                broken, wait = f"no connection ({error})", 0.0
            except httpx.ProxyError as error:
                raise PreprocessError(f"the proxy refuses ({error})") from error
            except httpx.TooManyRedirects:
                raise PreprocessError("redirects in a circle") from None
            except httpx.TransportError as error:
                broken, wait = f"the connection broke ({error or type(error).__name__})", 0.0
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise PreprocessError(f"not an address ({error})") from error
            if part.size > most:
                failures, most = 0, part.size
            failures += 1
            # a host that is down need not be waited for again, file by file
            if failures >= (1 if host in self._given_up else self.patience.tries):
                self._given_up |= {host} - self._reached
                tries = f"{failures} {'try' if failures == 1 else 'tries'}"
                raise PreprocessError(f"gave up after {tries}: {broken}; the same command goes on later")
            log.info("%s: %s; try %s", url, broken, failures + 1)
            self._sleep(min(self.patience.longest, max(wait, self.patience.pause * 2 ** (failures - 1))))

    def _request(self, url: str, wanted: Wanted, part: _Part, bar: Any, verified: bool) -> None:
        """One request: append what it brings."""
        headers = {"User-Agent": BROWSER_AGENT if wanted.browser else AGENT}
        if part.can_go_on(url):
            headers["Range"] = f"bytes={part.size}-"
            if part.note.get("url") == url and part.note.get("validator"):
                headers["If-Range"] = part.note["validator"]
        elif part.size:
            part.restart()
        with self.client(verified).stream("GET", url, headers=headers) as response:
            self._reached.add(_host(url))
            total = self._judge(response, wanted, part)
            if total is None and part.size and response.status_code == 416:
                return
            room = shutil.disk_usage(part.path.parent).free
            if total is not None and total - part.size > room:
                raise OSError(errno.ENOSPC, f"{total - part.size:,} bytes to come, {room:,} free")
            part.begin(url, _validator(response), total)
            bar.reset(total if total is not None else wanted.size)
            bar.update(part.size)
            for block in response.iter_raw():
                if not part.size and (problem := content_problem(wanted.target.name, block)) and len(block) >= 512:
                    raise PreprocessError(f"sent {problem}")
                part.write(block)
                bar.update(len(block))
                if wanted.size is not None and part.size > wanted.size:
                    part.restart()
                    raise PreprocessError(f"sends more than the {wanted.size:,} bytes expected")
        if total is not None and part.size != total:
            raise _BreakError(f"{part.size:,} of {total:,} bytes came")

    def _judge(self, response: httpx.Response, wanted: Wanted, part: _Part) -> int | None:
        """Look at an answer's head: raise, restart the part, or go on; return the whole file's size."""
        status, headers = response.status_code, response.headers
        final = f"{response.url.host}{response.url.path}?{response.url.query.decode()}"
        moved = bool(response.history) and _LOGIN.search(final) is not None
        if status in (401, 407) or (moved and (status != 200 or _is_html(headers))):
            raise PreprocessError("asks for a login; get it by hand")
        if status == 403:
            raise PreprocessError("refused (403): the host wants a browser or a login; get it by hand")
        if status in (404, 410):
            raise PreprocessError(f"not there any more ({status})")
        if status in PASSING:
            raise _BreakError(f"the server says {status}", _seconds(headers.get("retry-after", "")))
        if status == 416:
            if part.size and part.size == (wanted.size or part.note.get("total")):
                return None
            part.restart()
            raise _BreakError("the server has fewer bytes than came before")
        if status not in (200, 206):
            raise PreprocessError(f"answered {status} {response.reason_phrase}")
        if _is_html(headers):
            raise PreprocessError("sent a web page instead of the file: the link has moved or needs a person")
        encoding = headers.get("content-encoding", "identity").lower()
        packed_anyway = encoding.endswith("gzip") and wanted.target.name.endswith(("gz", "tgz"))
        if encoding != "identity" and not packed_anyway:
            raise PreprocessError(f"sent it encoded as {encoding} although asked not to")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("content-range", "")) if status == 206 else None
        length = match[2] if match else headers.get("content-length", "")
        total = int(length) if length.isdecimal() and (match or status == 200) else None
        if total is not None and wanted.size is not None and total != wanted.size:
            raise PreprocessError(
                f"has {total:,} bytes now, {wanted.size:,} expected: the file was changed at its host"
            )
        if status == 200:
            part.restart()
            return total
        known = part.note.get("total")
        if not match or int(match[1]) != part.size or (part.size and known and total and known != total):
            part.restart()
            raise _BreakError("the file changed at its host, or the server answered for another part of it")
        part.is_mixed = part.is_mixed or part.size > 0
        return total

    def _finish(self, wanted: Wanted, part: _Part) -> Digests:
        os.fsync(part.handle.fileno())
        os.replace(part.path, wanted.target)
        part.note_path.unlink(missing_ok=True)
        status = wanted.target.stat()
        return Digests(
            status.st_size, status.st_mtime_ns, status.st_mtime_ns, part.sha256.hexdigest(), part.md5.hexdigest()
        )


def _host(url: str) -> str:
    """Name and port in an address; empty where it is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _lasting(error: httpx.ConnectError) -> str:
    """Why a host that never answered need not be tried again; nothing where it may answer later."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return f"its name cannot be resolved ({cause.strerror}): no network, or no such host"
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return f"no TLS with this host ({cause.reason or cause})"
        if isinstance(cause, OSError) and cause.errno in NO_WAY:
            return f"no way to this host ({cause.strerror})"
        cause = cause.__cause__ or cause.__context__
    return ""


def _problem(wanted: Wanted, part: _Part) -> str:
    """What is wrong with a complete part, or nothing."""
    with open(part.path, "rb") as handle:
        if text := content_problem(wanted.target.name, handle.read(4096)):
            return f"sent {text}"
    if wanted.size is not None and part.size != wanted.size:
        return f"sent {part.size:,} bytes, {wanted.size:,} expected"
    for kind, known in wanted.digests:
        found = (part.md5 if kind == "md5" else part.sha256).hexdigest()
        if found != known:
            return f"sent a file with {kind} {found}, {known} expected"
    if wanted.check and (text := wanted.check(part.path)):
        return text
    if not wanted.digests and wanted.target.suffix.lower() in (".zip", ".npz") and not zipfile.is_zipfile(part.path):
        return "sent a zip archive without its end"
    return ""


def _disk_problem(error: OSError, target: Path) -> str:
    if error.errno in FULL_DISK:
        return (
            f"no room for it in {target.parent} ({error.strerror}); "
            "free some and run the same command again, it goes on where it stopped"
        )
    return f"cannot be written to {target.parent} ({error.strerror or error})"


def _is_html(headers: httpx.Headers) -> bool:
    return str(headers.get("content-type", "")).lower().startswith(("text/html", "application/xhtml"))


def _validator(response: httpx.Response) -> str:
    """What names this version of the file for ``If-Range``: a strong ETag, else its date; or nothing."""
    tag: str = response.headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return str(response.headers.get("last-modified", ""))


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0


def _bar(wanted: Wanted) -> Any:
    return tqdm(
        desc=wanted.name, total=wanted.size, unit="B", unit_scale=True, unit_divisor=1000,
        disable=not sys.stderr.isatty(), leave=False,
    )  # fmt: skip
