"""Raw files are read once; what changed is told from what was touched."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from preprocess.acquire.digests import DigestCache, compute
from preprocess.errors import PreprocessError
from preprocess.reading.archives import scan


@pytest.fixture
def raw(tmp_path):
    for name in ("b/2.png", "b/10.png", "a.zip", ".hidden", "__MACOSX/a.zip", "b/._2.png"):
        path = tmp_path / "raw" / "busi" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "raw"


@pytest.fixture
def cache(tmp_path, raw):
    return DigestCache(tmp_path / "cache", "busi", raw)


def test_all_data_files_are_listed_in_one_order(raw):
    assert [path for path, _, _ in scan(raw, "busi")] == ["busi/a.zip", "busi/b/10.png", "busi/b/2.png"]
    assert [path for path, _, _ in scan(raw, "busi/a.zip")] == ["busi/a.zip"]
    assert list(scan(raw, "nothing")) == []
    assert ("busi/b/2.png", 7, (raw / "busi/b/2.png").stat().st_mtime_ns) in scan(raw, "busi")


def test_links_are_followed_but_never_in_a_circle(raw, tmp_path):
    (raw / "busi" / "round").symlink_to(raw / "busi")
    (raw / "busi" / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.png").write_bytes(b"c")
    (raw / "busi" / "away").symlink_to(tmp_path / "elsewhere")
    listed = {path: size for path, size, _ in scan(raw, "busi")}
    assert listed == {"busi/a.zip": 5, "busi/away/c.png": 1, "busi/b/10.png": 8, "busi/b/2.png": 7, "busi/gone": -1}


def test_checksums_are_those_of_the_bytes(raw):
    found = compute(raw / "busi" / "a.zip")
    assert found.sha256 == hashlib.sha256(b"a.zip").hexdigest()
    assert found.md5 == hashlib.md5(b"a.zip").hexdigest()
    assert compute(raw / "busi" / "a.zip", md5=False).md5 == ""


def age(cache, raw):
    fresh = DigestCache(cache.path.parent, "busi", raw)
    return {path: (size, since) for path, size, since in fresh.since(scan(raw, "busi"))}


def remember(cache, raw):
    cache.put({path: compute(raw / path) for path, _, _ in scan(raw, "busi")})


def test_a_touch_makes_nothing_younger_once_it_was_read(cache, raw):
    before = age(cache, raw)
    assert before == {path: (size, mtime) for path, size, mtime in scan(raw, "busi")}
    remember(cache, raw)
    assert age(cache, raw) == before
    for at in (10**9, time.time_ns()):
        for path, _, _ in scan(raw, "busi"):
            os.utime(raw / path, ns=(at, at))
        assert age(cache, raw) == before
    # and it is read once: what was found is remembered
    rows = DigestCache(cache.path.parent, "busi", raw).rows
    assert {row[1] for row in rows.values()} == {str(at)}


@pytest.mark.parametrize("at", [1, None])
def test_other_content_is_younger_whatever_its_time_says(cache, raw, at):
    before = age(cache, raw)
    remember(cache, raw)
    path = raw / "busi" / "b" / "2.png"
    path.write_bytes(b"changed")  # of the same size
    if at:
        os.utime(path, ns=(at, at))
    after = age(cache, raw)
    assert {name for name in after if after[name] != before[name]} == {"busi/b/2.png"}


def test_what_nobody_read_is_as_old_as_its_time_says(cache, raw):
    before = age(cache, raw)
    os.utime(raw / "busi" / "a.zip", ns=(5, 5))
    assert age(cache, raw)["busi/a.zip"] == (5, 5)
    assert age(cache, raw) | {"busi/a.zip": None} == before | {"busi/a.zip": None}


def test_the_same_content_in_its_place_again_is_the_same(cache, raw):
    """Replaced, and put back as it was by a tool that keeps times: the state is the first one."""
    path = raw / "busi" / "a.zip"
    status = path.stat()
    before = age(cache, raw)
    remember(cache, raw)
    path.write_bytes(b"other")
    assert age(cache, raw) != before
    path.write_bytes(b"a.zip")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert age(cache, raw) == before


def test_names_of_any_bytes_are_remembered(cache, raw):
    name = os.fsdecode(b"b\xe9nign (1).png")
    (raw / "busi" / name).write_bytes(b"x")
    remember(cache, raw)
    assert DigestCache(cache.path.parent, "busi", raw).rows[f"busi/{name}"][0] == "1"


def test_a_spoilt_cache_is_told(cache, raw):
    remember(cache, raw)
    cache.path.write_text("1\t2\n")
    with pytest.raises(PreprocessError, match="remove it"):
        age(cache, raw)
