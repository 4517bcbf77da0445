"""Verification: once, remembered, forced; and what is wrong is told."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile

import pytest

from preprocess.acquire import inventory, registry, verify
from preprocess.acquire.digests import DigestCache
from preprocess.acquire.registry import RemoteFile, Source
from preprocess.errors import PreprocessError


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as one:
        for name, body in members.items():
            one.writestr(f"{name}.png", body)
    return buffer.getvalue()


GOOD, OTHER = archive(a=b"a" * 5000), archive(a=b"b" * 5000)


def source(*files: RemoteFile, **content: object) -> Source:
    return Source("busi", {"licence": {"name": "x"}, "datasets": ["breastmnist"], **content}, files)


def known(body: bytes = GOOD, **options: object) -> RemoteFile:
    digests = (("sha256", hashlib.sha256(body).hexdigest()),)
    return RemoteFile("busi", "data.zip", digests=digests, **options)  # type: ignore[arg-type]


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw" / "busi").mkdir(parents=True)
    (tmp_path / "raw" / "busi" / "data.zip").write_bytes(GOOD)
    return tmp_path / "raw"


@pytest.fixture
def memory(tmp_path):
    return DigestCache(tmp_path / "cache", "busi", tmp_path / "raw")


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


# ---- what of it is there


def state(raw, memory, *files, **content):
    return inventory.take(source(*files, **content), raw, memory)


def test_states(raw, memory):
    second = RemoteFile("busi", "more.zip", urls=("https://example.org/more.zip",))
    assert inventory.take(source(known()), raw / "nowhere", memory).state == "missing"
    assert state(raw, memory, known()).state == "unverified"
    verify.verify(source(known()), raw, memory)
    assert state(raw, memory, known()).state == "present"
    assert state(raw, memory, known(OTHER)).state == "wrong"
    assert state(raw, memory, known(size=3)).state == "wrong"
    (raw / "busi" / "more.zip").write_bytes(GOOD)
    assert state(raw, memory, known(), second).state == "unverified"
    (raw / "busi" / "more.zip").unlink()


def test_some_missing_is_partial(raw, memory, tmp_path):
    table = RemoteFile("busi", "table.csv")
    stock = state(raw, memory, known(), table)
    assert stock.state == "partial"
    assert stock.absent == [table]
    assert state(raw, memory, known(), RemoteFile("busi", "table.csv", needed=False)).state == "unverified"


def test_a_part_is_told(tmp_path, memory):
    (tmp_path / "raw" / "busi").mkdir(parents=True)
    (tmp_path / "raw" / "busi" / ".data.zip.part").write_bytes(b"x" * 1500)
    stock = state(tmp_path / "raw", memory, known())
    assert stock.state == "missing"
    assert any("1.5 kB of it came" in line for line in stock.remarks)


def test_another_packing_stands_for_what_it_replaces(raw, memory):
    wanted = RemoteFile("busi", "inner.zip")
    outer = RemoteFile("busi", "data.zip", replaces=("inner.zip",))
    assert state(raw, memory, wanted, outer).state == "unverified"
    assert not state(raw, memory, wanted, outer).absent


def test_an_unpacked_tree_is_there_but_not_verified(raw, memory):
    (raw / "busi" / "data.zip").unlink()
    (raw / "busi" / "benign (1).png").write_bytes(b"x")
    stock = state(raw, memory, RemoteFile("busi", "all.zip"))
    assert stock.state == "unverified"
    assert not stock.absent


def test_a_source_that_serves_one_of_its_two_datasets(tmp_path):
    folder = tmp_path / "kermany" / "chest_xray" / "train" / "NORMAL"
    folder.mkdir(parents=True)
    (folder / "IM-0115-0001.jpeg").write_bytes(b"x")
    stock = inventory.take(registry.load()["kermany"], tmp_path, DigestCache(tmp_path / "m", "kermany", tmp_path))
    assert stock.state == "partial"
    assert "nothing for octmnist" in stock.remarks


@pytest.mark.parametrize("name", registry.load())
def test_an_empty_folder_is_a_missing_source(tmp_path, name):
    (tmp_path / name).mkdir()
    assert (
        inventory.take(registry.load()[name], tmp_path, DigestCache(tmp_path / "m", name, tmp_path)).state == "missing"
    )


def test_the_published_file_stands_for_the_adrenal_glands(tmp_path, memory):
    (tmp_path / "released").mkdir()
    (tmp_path / "released" / "adrenalmnist3d_64.npz").write_bytes(GOOD)
    adrenal = registry.load()["adrenal"]
    assert inventory.take(adrenal, tmp_path, memory).state == "wrong"
    with pytest.raises(PreprocessError, match="the published file has 1,880,591"):
        verify.verify(adrenal, tmp_path, memory)


def test_kaggles_archive_is_recognised_by_content(tmp_path):
    known = registry.load()
    cases = {
        "images_001/images/00000001_000.png": "Kaggle nih-chest-xrays/data",
        "OCT2017 /train/CNV/CNV-1-1.jpeg": "cannot give OCTMNIST",
        "chest_xray/train/NORMAL/IM-0115-0001.jpeg": "chest-xray-pneumonia",
        "HAM10000_images_part_1/ISIC_0024306.jpg": "kmader/skin-cancer-mnist-ham10000",
        "Dataset_BUSI_with_GT/benign/benign (1).png": "aryashah2k",
        "NCT-CRC-HE-100K-NONORM/ADI/ADI-AAAFLCLY.tif": "without colour normalisation",
        "Task03_Liver/imagesTr/liver_0.nii.gz": "not accepted",
    }
    for member, words in cases.items():
        path = tmp_path / "archive.zip"
        with zipfile.ZipFile(path, "w") as one:
            one.writestr(f"__MACOSX/{member}", b"")
            one.writestr(member, b"x")
        assert words in inventory.describe(path, known)
    with zipfile.ZipFile(path, "w") as one:
        one.writestr("holiday/beach.jpg", b"x")
    assert "none of the known layouts" in inventory.describe(path, known)
    path.write_bytes(b"PK but no archive")
    assert "damaged" in inventory.describe(path, known)


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
