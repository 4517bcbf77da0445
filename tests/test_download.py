"""Downloads from a real server on loopback that breaks, lies and changes its mind."""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import io
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from preprocess.acquire import download
from preprocess.acquire.download import Downloader, Patience, Wanted
from preprocess.errors import PreprocessError
from tests.servers import Server, change, hang_up, say, serving

ROOT = Path(__file__).parents[1]
BODY = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
PAGE = b"<!DOCTYPE html><html><head><title>Sorry</title></head><body>Please sign in.</body></html>" * 5


def sums(body: bytes) -> tuple[tuple[str, str], ...]:
    return (("sha256", hashlib.sha256(body).hexdigest()), ("md5", hashlib.md5(body).hexdigest()))


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def get(tmp_path, pauses):
    """Download to ``<folder>/file.bin`` (or another name) with four tries and no real pauses."""
    with Downloader(Patience(tries=4, pause=1, longest=60, timeout=5), pauses.append) as downloader:

        def run(*urls: str, name: str = "file.bin", **options: object) -> Path:
            target = tmp_path / "source" / name
            wanted = Wanted(f"source/{name}", urls, target, **options)  # type: ignore[arg-type]
            found, url = downloader.download(wanted)
            assert url in urls
            assert (found.size, found.md5, found.sha256) == (
                target.stat().st_size,
                hashlib.md5(target.read_bytes()).hexdigest(),
                hashlib.sha256(target.read_bytes()).hexdigest(),
            )
            return target

        yield run


def left(tmp_path: Path) -> list[str]:
    folder = tmp_path / "source"
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


def one_line(caught: pytest.ExceptionInfo[PreprocessError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("source/file")
    return text


def test_the_bytes_come_and_nothing_else_stays(server, get, tmp_path):
    url = server.page("/a", BODY)
    assert get(url, size=len(BODY), digests=sums(BODY)).read_bytes() == BODY
    assert left(tmp_path) == ["file.bin"]
    assert server.pages["/a"].requests[0]["accept-encoding"] == "identity"


def test_goes_on_where_it_broke(server, get, tmp_path, pauses):
    url = server.page("/a", BODY, etag='"v1"', actions=[hang_up(70_000), hang_up(1), hang_up(100_000)])
    assert get(url).read_bytes() == BODY
    ranges = [request.get("range") for request in server.pages["/a"].requests]
    assert ranges == [None, "bytes=70000-", "bytes=70001-", "bytes=170001-"]
    assert {request.get("if-range") for request in server.pages["/a"].requests[1:]} == {'"v1"'}
    assert pauses == [1, 1, 1]  # every try brought something, so the pause does not grow
    assert left(tmp_path) == ["file.bin"]


def test_a_server_without_ranges_starts_again(server, get):
    url = server.page("/a", BODY, ranges=False, etag='"v1"', actions=[hang_up(70_000), hang_up(120_000)])
    assert get(url, digests=sums(BODY)).read_bytes() == BODY


@pytest.mark.parametrize("validator", ["", 'W/"v1"'])
def test_without_checksum_and_version_nothing_is_put_together(server, get, validator):
    url = server.page("/a", BODY, etag=validator, actions=[hang_up(70_000)])
    assert get(url).read_bytes() == BODY
    assert [request.get("range") for request in server.pages["/a"].requests] == [None, None]


def test_a_date_is_a_version_too(server, get):
    date = "Mon, 01 Jun 2020 00:00:00 GMT"
    url = server.page("/a", BODY, modified=date, actions=[hang_up(70_000)])
    assert get(url).read_bytes() == BODY
    assert server.pages["/a"].requests[1]["if-range"] == date


def test_content_that_changes_between_tries_with_a_version(server, get):
    url = server.page("/a", BODY, etag='"v1"', actions=[hang_up(70_000), change(body=OTHER, etag='"v2"')])
    assert get(url).read_bytes() == OTHER


def test_content_that_changes_between_tries_without_a_version(server, get):
    """The pieces fit by size only; the checksum tells, and a fresh start gives the right bytes."""
    url = server.page("/a", BODY, actions=[hang_up(70_000), change(body=OTHER)])
    assert get(url, size=len(OTHER), digests=sums(OTHER)).read_bytes() == OTHER
    assert [request.get("range") for request in server.pages["/a"].requests] == [None, "bytes=70000-", None]


def test_content_that_changes_its_size_between_tries(server, get):
    url = server.page("/a", BODY, actions=[hang_up(70_000), change(body=OTHER[:200_000])])
    assert get(url, digests=sums(OTHER[:200_000])).read_bytes() == OTHER[:200_000]


def test_a_range_that_is_not_the_one_asked_for(server, get):
    wrong = say(206, BODY[5:], Content_Range=f"bytes 5-{len(BODY) - 1}/{len(BODY)}")
    url = server.page("/a", BODY, etag='"v1"', actions=[hang_up(70_000), wrong])
    assert get(url).read_bytes() == BODY


def test_a_complete_part_is_not_loaded_again(server, get, tmp_path):
    """Killed after the last byte, before the rename: the server says 416 to a range at the end."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / ".file.bin.part").write_bytes(BODY)
    url = server.page("/a", BODY)
    assert get(url, size=len(BODY), digests=sums(BODY)).read_bytes() == BODY
    assert server.pages["/a"].requests[0]["range"] == f"bytes={len(BODY)}-"


def test_a_part_that_is_too_long_or_spoilt_is_dropped(server, get, tmp_path):
    url = server.page("/a", BODY)
    for rubbish in (BODY + b"more", OTHER[:1000]):
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / ".file.bin.part").write_bytes(rubbish)
        target = get(url, size=len(BODY), digests=sums(BODY))
        assert target.read_bytes() == BODY
        target.unlink()


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_in_place_of_data(server, get, tmp_path, kind):
    url = server.page("/a", PAGE, kind=kind)
    with pytest.raises(PreprocessError) as caught:
        get(url, name="file.zip", advice="get it by hand from https://example.org")
    assert "web page" in one_line(caught)
    assert "by hand from https://example.org" in str(caught.value)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "body"),
    [("file.zip", BODY), ("file.tar.gz", BODY), ("file.tar", BODY), ("file.csv", b"\xef\xbb\xbf  \n<html>no</html>")],
)
def test_content_that_cannot_be_what_the_name_says(server, get, tmp_path, name, body):
    with pytest.raises(PreprocessError, match=r"not a|web page"):
        get(server.page("/a", body), name=name)
    assert left(tmp_path) == []


def test_a_wrong_checksum_leaves_nothing(server, get, tmp_path):
    url = server.page("/a", OTHER)
    with pytest.raises(PreprocessError) as caught:
        get(url, size=len(BODY), digests=sums(BODY))
    assert hashlib.sha256(OTHER).hexdigest() in one_line(caught)
    assert sums(BODY)[0][1] in str(caught.value)
    assert left(tmp_path) == []
    assert len(server.pages["/a"].requests) == 1  # a fresh wrong file is wrong, asking again does not help


def test_a_changed_size_is_told_before_anything_is_loaded(server, get, tmp_path):
    url = server.page("/a", BODY[:-1])
    with pytest.raises(PreprocessError) as caught:
        get(url, size=len(BODY))
    assert "299,999 bytes now, 300,000 expected" in one_line(caught)
    assert left(tmp_path) == []


def test_mirrors_in_turn(server, get, tmp_path):
    """One is gone, one lies, one changed, one breaks for ever after half; the last has the rest."""
    gone = server.page("/gone", actions=[say(404)] * 9)
    lies = server.page("/lies", OTHER)
    changed = server.page("/changed", BODY[:-1])
    breaks = server.page("/breaks", BODY, actions=[hang_up(150_000), *[hang_up(0)] * 9])
    good = server.page("/good", BODY)
    urls = (gone, lies, changed, breaks, good)
    assert get(*urls, size=len(BODY), digests=sums(BODY)).read_bytes() == BODY
    assert server.pages["/good"].requests[0]["range"] == "bytes=150000-"
    assert left(tmp_path) == ["file.bin"]


def test_a_changed_mirror_does_not_cost_what_came_before(server, get):
    breaks = server.page("/breaks", BODY, actions=[hang_up(150_000), *[hang_up(0)] * 9])
    changed = server.page("/changed", BODY[:-1], ranges=False)
    good = server.page("/good", BODY)
    get(breaks, changed, good, size=len(BODY), digests=sums(BODY))
    assert server.pages["/good"].requests[0]["range"] == "bytes=150000-"


def test_all_mirrors_failing_is_one_line_that_names_each(server, get, tmp_path):
    urls = (server.page("/a", actions=[say(404)]), server.page("/b", PAGE, kind="text/html"))
    with pytest.raises(PreprocessError) as caught:
        get(*urls, digests=sums(BODY))
    text = one_line(caught)
    assert all(url in text for url in urls)
    assert "404" in text
    assert "web page" in text
    assert left(tmp_path) == []


def test_a_busy_server_is_waited_for(server, get, pauses):
    busy = [say(503), say(429, Retry_After="7"), say(500)]
    assert get(server.page("/a", BODY, actions=busy)).read_bytes() == BODY
    assert pauses == [1, 7, 4]


def test_gives_up_in_the_end_and_keeps_what_came(server, get, tmp_path, pauses):
    url = server.page("/a", BODY, etag='"v1"', actions=[hang_up(70_000), *[hang_up(0)] * 4])
    with pytest.raises(PreprocessError, match=r"gave up after 4 tries.*goes on later"):
        get(url)
    assert pauses == [1, 2, 4]
    assert left(tmp_path) == [".file.bin.part", ".file.bin.part.json"]
    assert get(url).read_bytes() == BODY
    assert server.pages["/a"].requests[-1]["range"] == "bytes=70000-"
    assert left(tmp_path) == ["file.bin"]


def test_a_server_that_is_not_there(get, tmp_path):
    with serving(Server()) as server:
        url = server.page("/a", BODY)
    with pytest.raises(PreprocessError, match="no connection"):
        get(url)
    assert left(tmp_path) == []


def test_redirects_are_followed(server, get):
    there = server.page("/there", BODY)
    get(server.page("/here", actions=[say(302, Location=there)]), digests=sums(BODY))


def test_a_circle_of_redirects(server, get, tmp_path):
    here = server.page("/here")
    server.pages["/here"].actions = [say(302, Location=here)] * 50
    with pytest.raises(PreprocessError, match="circle"):
        get(here)
    assert left(tmp_path) == []


@pytest.mark.parametrize("answer", ["page", "401"])
def test_a_redirect_to_a_login(server, get, tmp_path, answer):
    login = server.page("/accounts/login?next=a", PAGE, kind="text/html", actions=[say(401)] if answer == "401" else [])
    with pytest.raises(PreprocessError) as caught:
        get(server.page("/a", actions=[say(302, Location=login)]))
    assert "asks for a login" in one_line(caught)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "words"), [(401, "login"), (403, "browser or a login"), (410, "any more"), (418, "418")]
)
def test_refusals(server, get, tmp_path, status, words):
    url = server.page("/a", actions=[say(status)] * 9)
    with pytest.raises(PreprocessError) as caught:
        get(url)
    assert words in one_line(caught)
    assert len(server.pages["/a"].requests) == 1
    assert left(tmp_path) == []


def test_the_browser_is_shown_where_a_host_wants_one(server, get):
    get(server.page("/a", BODY), browser=True)
    get(server.page("/b", BODY))
    assert "Mozilla" in server.pages["/a"].requests[0]["user-agent"]
    assert "Mozilla" not in server.pages["/b"].requests[0]["user-agent"]


def test_a_cut_zip_without_length_and_checksum_is_noticed(server, get, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.bin", BODY)
    whole = buffer.getvalue()
    url = server.page("/a", whole, length=False, actions=[change(body=whole[:-40])])
    with pytest.raises(PreprocessError, match="without its end"):
        get(url, name="file.zip")
    assert left(tmp_path) == []
    server.pages["/a"].body = whole
    assert get(url, name="file.zip").read_bytes() == whole


def test_more_than_expected_without_a_length(server, get, tmp_path):
    with pytest.raises(PreprocessError, match="more than the 1,000 bytes"):
        get(server.page("/a", BODY, length=False), size=1000)
    assert left(tmp_path) == []


def test_an_encoding_nobody_asked_for(server, get, tmp_path):
    url = server.page("/a", gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
    with pytest.raises(PreprocessError, match="encoded as gzip"):
        get(url)
    assert left(tmp_path) == []
    assert get(url, name="file.tar.gz").read_bytes() == server.pages["/a"].body  # there it is the file's own


def test_a_full_disk_before(server, get, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(PreprocessError, match="no room") as caught:
        get(server.page("/a", BODY))
    assert "299,000" in one_line(caught) or "300,000 bytes to come, 1,000 free" in str(caught.value)
    assert left(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_meanwhile(server, get, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / ".file.bin.part").symlink_to("/dev/full")
    with pytest.raises(PreprocessError, match="no room") as caught:
        get(server.page("/a", BODY))
    assert os.strerror(errno.ENOSPC) in one_line(caught)
    assert "file.bin" not in left(tmp_path)


def test_a_folder_that_cannot_be_written(server, get, tmp_path):
    (tmp_path / "source").write_text("a file where a folder should be")
    with pytest.raises(PreprocessError, match="cannot be written"):
        get(server.page("/a", BODY))


def test_two_downloads_of_one_file(server, get, tmp_path):
    (tmp_path / "source").mkdir()
    with open(tmp_path / "source" / ".file.bin.part", "wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(PreprocessError, match="another download"):
            get(server.page("/a", BODY))
    get(server.page("/a", BODY), digests=sums(BODY))


def test_a_check_of_its_own(server, get, tmp_path):
    with pytest.raises(PreprocessError, match="not mine"):
        get(server.page("/a", BODY), check=lambda path: "" if path.read_bytes() == OTHER else "not mine")
    assert left(tmp_path) == []
    get(server.page("/b", OTHER), check=lambda path: "" if path.read_bytes() == OTHER else "not mine")


def test_no_address(get):
    with pytest.raises(PreprocessError, match="no address is known"):
        get()


@pytest.mark.parametrize("url", ["http://", "http://[half/a", "http://127.0.0.1:99999/a"])
def test_not_an_address(get, url, tmp_path):
    with pytest.raises(PreprocessError):
        get(url)
    assert left(tmp_path) == []


def test_a_name_that_cannot_be_resolved_is_tried_once(server, get, tmp_path, pauses):
    """No pause at all; the next address is tried at once."""
    nowhere = "https://no-such-host.invalid/a"
    with pytest.raises(PreprocessError, match=r"its name cannot be resolved .*: no network, or no such host"):
        get(nowhere, nowhere)
    with Downloader(sleep=pauses.append) as downloader:
        there = Wanted("source/file.bin", (nowhere, server.page("/a", BODY)), tmp_path / "file.bin")
        assert downloader.download(there)[0].size == len(BODY)
    assert pauses == []


@pytest.mark.parametrize("number", download.NO_WAY)
def test_no_network_is_told_at_once(get, monkeypatch, pauses, number):
    def refuse(*words: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(PreprocessError, match=f"no way to this host .{os.strerror(number)}"):
        get("http://127.0.0.1:9/a")
    assert pauses == []


def test_a_network_that_goes_away_in_between_is_waited_for(server, get, monkeypatch, pauses):
    """The host answered before: its name is looked for again."""
    url = server.page("/a", BODY, etag='"v1"', actions=[hang_up(70_000)])
    known, failing = socket.getaddrinfo, [True, True]

    def look_up(*words: object, **options: object) -> object:
        if pauses and failing and failing.pop():
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return known(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert get(url).read_bytes() == BODY
    assert pauses == [1, 2, 4]


def test_no_tls_is_told_at_once(server, get, pauses):
    url = server.page("/a", BODY).replace("http:", "https:")
    with pytest.raises(PreprocessError, match="no TLS with this host"):
        get(url)
    assert pauses == []


def test_a_host_that_was_given_up_is_tried_once_for_the_next_file(get, pauses):
    with serving(Server()) as gone:
        url = gone.page("/a", BODY)
    for count, tries in ((3, "4 tries"), (3, "1 try")):
        with pytest.raises(PreprocessError, match=f"gave up after {tries}"):
            get(url)
        assert len(pauses) == count


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_a_broken_certificate_stops_unless_the_checksum_decides(get, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=elsewhere",
         "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = Server()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.scheme = "https"
    with serving(server):
        url = server.page("/a", BODY)
        with pytest.raises(PreprocessError, match="certificate"):
            get(url, digests=sums(BODY))
        assert left(tmp_path) == []
        assert get(url, digests=sums(BODY), untrusted_tls=True).read_bytes() == BODY


def test_no_bar_where_nobody_looks(server, get, capsys, monkeypatch):
    get(server.page("/a", BODY))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar = download._bar(Wanted("source/file.bin", (), Path("x"), size=10))
    assert not bar.disable
    bar.close()


def test_killed_at_random_points_twenty_times(server, tmp_path):
    """kill -9, again and again; each run goes on, and the last one ends with the right bytes."""
    body = random.Random(3).randbytes(4_000_000)
    url = server.page("/a", body, etag='"v1"', rate=1_500_000)
    target = tmp_path / "source" / "file.bin"
    program = (
        "import sys; from pathlib import Path; from preprocess.acquire.download import *;"
        "d = Downloader(Patience(tries=3, pause=0.05)); d.client();"  # loading certificates takes a while
        f"print('ready', flush=True); d.download(Wanted('source/file.bin', ({url!r},), Path({str(target)!r})))"
    )
    chance, kills, growth = random.Random(4), 0, []
    while kills < 20:
        process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.12))
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        assert not target.exists()
        part = target.parent / ".file.bin.part"
        growth.append(part.stat().st_size if part.exists() else 0)
        assert body.startswith(part.read_bytes() if part.exists() else b"")
    assert growth == sorted(growth)
    assert growth[-1] > 100_000
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert target.read_bytes() == body
    assert left(tmp_path) == ["file.bin"]
    assert sum(bool(request.get("range")) for request in server.pages["/a"].requests) > 5
