"""What of a source is there: missing, partial, wrong, unverified or present, and what is said of it."""

from __future__ import annotations

import pytest

from preprocess.acquire import inventory, registry, verify
from preprocess.acquire.digests import DigestCache
from preprocess.acquire.registry import RemoteFile
from preprocess.errors import PreprocessError
from tests.builds import GOOD, OTHER, known, source


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
