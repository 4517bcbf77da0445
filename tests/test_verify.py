"""Verification: once, remembered, forced; and what is wrong is told."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile

import pytest

from preprocess.acquire import registry, verify
from preprocess.acquire.digests import DigestCache
from preprocess.acquire.registry import RemoteFile
from preprocess.errors import PreprocessError
from tests.builds import GOOD, OTHER, archive, known, source


@pytest.fixture
def reads(monkeypatch):
    """The files whose bytes are read."""
    seen = []
    compute = verify.compute
    monkeypatch.setattr(verify, "compute", lambda path, *rest: (seen.append(path.name), compute(path, *rest))[1])
    return seen


def test_read_once_and_remembered(raw, memory, reads):
    for _ in range(3):
        (verdict,) = verify.verify(source(known()), raw, memory)
    assert reads == ["data.zip"]
    assert verdict.known
    assert verdict.sha256 == hashlib.sha256(GOOD).hexdigest()
    assert verdict.md5 == hashlib.md5(GOOD).hexdigest()
    assert not list(raw.rglob("*.json"))  # the raw folder is not ours to write to


def test_read_again_when_touched_changed_or_forced(raw, memory, reads):
    verify.verify(source(known()), raw, memory)
    os.utime(raw / "busi" / "data.zip", ns=(1, 1))
    verify.verify(source(known()), raw, memory)
    verify.verify(source(known()), raw, memory, force=True)
    assert reads == ["data.zip"] * 3
    (raw / "busi" / "data.zip").write_bytes(OTHER)
    with pytest.raises(PreprocessError):
        verify.verify(source(known()), raw, memory)


def test_a_flipped_byte_behind_the_same_size_and_time_needs_force(raw, memory):
    path = raw / "busi" / "data.zip"
    verify.verify(source(known()), raw, memory)
    status = path.stat()
    path.write_bytes(OTHER)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    verify.verify(source(known()), raw, memory)
    with pytest.raises(PreprocessError, match="sha256"):
        verify.verify(source(known()), raw, memory, force=True)


def test_what_was_remembered_is_judged_anew_when_more_is_known(raw, memory):
    (verdict,) = verify.verify(source(), raw, memory)
    assert not verdict.known
    with pytest.raises(PreprocessError, match="damaged or another file"):
        verify.verify(source(known(OTHER)), raw, memory)


def test_the_lock_of_the_first_download_counts_where_nothing_is_published(raw, memory):
    file = RemoteFile("busi", "data.zip")
    found = verify.compute(raw / "busi" / "data.zip")
    verify.Lock(raw).record(file, found, "https://example.org/data.zip")
    (verdict,) = verify.verify(source(file), raw, memory)
    assert verdict.known
    (raw / "busi" / "data.zip").write_bytes(OTHER)
    with pytest.raises(PreprocessError, match="first download had"):
        verify.verify(source(file), raw, memory)


def test_the_first_download_stays_recorded(raw):
    file, lock = RemoteFile("busi", "data.zip"), verify.Lock(raw)
    first = verify.compute(raw / "busi" / "data.zip")
    lock.record(file, first, "a")
    (raw / "busi" / "data.zip").write_bytes(OTHER)
    lock.record(file, verify.compute(raw / "busi" / "data.zip"), "b")
    assert verify.Lock(raw).get(file)["sha256"] == first.sha256


def test_a_size_that_differs_is_told_without_reading(raw, memory, reads):
    with pytest.raises(PreprocessError, match=r"has .* bytes, the published file has 12"):
        verify.verify(source(known(size=12)), raw, memory)
    assert reads == []


def test_a_known_wrong_file_is_named(raw, memory):
    wrong = {hashlib.md5(GOOD).hexdigest(): "this is the NONORM set"}
    with pytest.raises(PreprocessError, match="NONORM"):
        verify.verify(source(wrong=wrong), raw, memory)


def test_other_editions_of_a_table_are_a_warning(raw, memory, caplog):
    (verdict,) = verify.verify(source(known(OTHER, strict=False, note="several editions")), raw, memory)
    assert not verdict.known
    assert "several editions" in caplog.text


def test_a_known_other_edition_is_as_good(raw, memory, reads):
    also = ((hashlib.md5(GOOD).hexdigest(), "the older edition"),)
    (verdict,) = verify.verify(source(known(OTHER, size=1, also=also)), raw, memory)
    assert verdict.known
    assert verdict.basis == "the older edition"
    (raw / "busi" / "data.zip").write_bytes(archive(a=b"c"))
    with pytest.raises(PreprocessError, match="published file has"):
        verify.verify(source(known(OTHER, size=1, also=also)), raw, memory)


@pytest.mark.parametrize("body", [b"<html><body>log in</body></html>", b"\n <!DOCTYPE html>", b"\x00" * 600, b""])
def test_not_an_archive(raw, memory, body):
    (raw / "busi" / "data.zip").write_bytes(body)
    with pytest.raises(PreprocessError, match=r"web page|not a zip"):
        verify.verify(source(RemoteFile("busi", "data.zip")), raw, memory)


def test_an_archive_packed_anew_is_known_by_its_commit(raw, memory):
    path, commit = raw / "busi" / "data.zip", "7" * 40
    file = RemoteFile("busi", "data.zip", commit=commit)
    with pytest.raises(PreprocessError, match="packed from commit unknown"):
        verify.verify(source(file), raw, memory)
    with zipfile.ZipFile(path, "a") as one:
        one.comment = commit.encode()
    assert verify.verify(source(file), raw, memory)[0].known
    with zipfile.ZipFile(path, "a") as one:
        one.comment = b"8" * 40
    with pytest.raises(PreprocessError, match="8888, not 7777"):
        verify.verify(source(file), raw, memory)


def test_files_in_folders_and_archives_of_other_names_are_seen(raw, memory):
    (raw / "busi" / "deeper").mkdir()
    (raw / "busi" / "data.zip").rename(raw / "busi" / "deeper" / "data.zip")
    (raw / "busi" / "archive.zip").write_bytes(OTHER)
    (raw / "busi" / "picture.png").write_bytes(b"no archive")
    verdicts = verify.verify(source(known()), raw, memory)
    assert {(one.file, one.known) for one in verdicts} == {("busi/deeper/data.zip", True), ("busi/archive.zip", False)}


def test_a_file_that_changes_while_it_is_read(raw):
    path = raw / "busi" / "data.zip"
    with pytest.raises(PreprocessError, match="changes while it is read"):
        verify.compute(path, lambda size: path.write_bytes(OTHER + b"more"))


def test_a_spoilt_memory_is_told(raw, memory):
    memory.path.parent.mkdir(parents=True)
    memory.path.write_text("{")
    with pytest.raises(PreprocessError, match="remove it"):
        verify.verify(source(known()), raw, memory)


@pytest.mark.real
def test_the_real_boxes_and_npz_have_their_published_checksums(real, tmp_path):
    known = registry.load()
    for name, count in (("lits", 2), ("released", 0), ("ham10000", 1), ("chestxray14", 3)):
        verdicts = verify.verify(known[name], real, DigestCache(tmp_path, name, real))
        agreeing = [one for one in verdicts if one.known]
        if name == "released":
            assert len(verdicts) == len(agreeing) == len(list((real / "released").glob("*.npz")))
        else:
            assert len(agreeing) == count


def test_a_link_to_nothing_is_told_with_the_remedy(raw, memory):
    (raw / "busi" / "gone.zip").symlink_to(raw / "nowhere.zip")
    with pytest.raises(PreprocessError, match=r"gone\.zip: a link to a file that is not there; remove it or mend it"):
        verify.verify(source(), raw, memory)


def test_a_file_that_may_not_be_read_is_not_called_damaged(raw, memory, monkeypatch):
    (raw / "busi" / "closed.zip").write_bytes(GOOD)

    def refuse(path, *arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(verify, "open", refuse, raising=False)
    with pytest.raises(
        PreprocessError, match=r"\.zip: cannot be read \(Permission denied\); check disk and permissions"
    ):
        verify.verify(source(), raw, memory)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, "v7"])
def test_every_form_of_tar_is_one_packed_or_not(name, form):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT if form == "v7" else form) as archive:
        archive.addfile(tarfile.TarInfo("a/b.png"))
    head = buffer.getvalue()[:512]
    if form == "v7":  # the same without magic; its checksum is what shows it
        head = head[:257] + bytes(8) + head[265:]
        head = head[:148] + b"%06o\0 " % sum(head[:148] + b" " * 8 + head[156:]) + head[156:]
    assert verify.content_problem(name, head) == ""
    assert verify.content_problem(name, b"x" * 512) != ""
