"""Nothing half-written gets a final name."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from preprocess.errors import PreprocessError
from preprocess.files import atomic, atomic_folder, read_json, write_json

ROOT = Path(__file__).parents[1]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(ValueError, match="boom"), atomic(target) as part:
        part.write_text("half")
        raise ValueError("boom")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x.txt": "old"}


def test_success_replaces_and_clears_what_killed_runs_left(tmp_path):
    (tmp_path / ".x.txt.1.part").write_text("left by a killed run")
    (tmp_path / ".y.txt.1.part").write_text("another file's")
    with atomic(tmp_path / "x.txt") as part:
        part.write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".y.txt.1.part", "x.txt"]


def test_folder_replaces_a_folder_whole(tmp_path):
    (tmp_path / "shard").mkdir()
    (tmp_path / "shard" / "old").touch()
    with atomic_folder(tmp_path / "shard") as part:
        (part / "new").touch()
    assert [path.name for path in (tmp_path / "shard").iterdir()] == ["new"]
    with pytest.raises(KeyError), atomic_folder(tmp_path / "shard") as part:
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PreprocessError, match=r"cannot write .*file/x\.txt: "), atomic(tmp_path / "file" / "x.txt"):
        pass


def test_a_full_disk_is_one_line(tmp_path):
    with pytest.raises(PreprocessError, match="No space left on device"), atomic(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_an_error_of_reading_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "out" / "x"):
        (tmp_path / "elsewhere").read_bytes()


def test_json_keeps_order_and_text(tmp_path):
    value = {"b": 1, "a": ["µm", None]}
    write_json(tmp_path / "x.json", value)
    assert list(read_json(tmp_path / "x.json").items()) == list(value.items())
    assert "µm" in (tmp_path / "x.json").read_text(encoding="utf-8")


def test_the_part_of_a_living_process_is_left_alone(tmp_path):
    """Another job of the same file, still at work, keeps its part; that of a dead one goes."""
    write = textwrap.dedent("""
        import os, sys
        from preprocess.files import atomic, atomic_folder
        with atomic_folder(sys.argv[1] + "/shard") as part, atomic(sys.argv[1] + "/x.tsv") as file:
            (part / "1.npy").touch(); file.write_text("half"); print("half", flush=True); input()
    """)
    with subprocess.Popen([sys.executable, "-c", write, tmp_path], cwd=ROOT, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "half\n"
        parts = {path.name for path in tmp_path.glob(".*.part")}
        assert parts == {f".shard.{other.pid}.part", f".x.tsv.{other.pid}.part"}
        for _ in range(2):
            with atomic_folder(tmp_path / "shard") as part, atomic(tmp_path / "x.tsv") as file:
                (part / "2.npy").touch()
                file.write_text("whole")
        assert {path.name for path in tmp_path.glob(".*.part")} == parts
        assert (tmp_path / f".shard.{other.pid}.part" / "1.npy").exists()
        other.kill()
    with atomic_folder(tmp_path / "shard") as part, atomic(tmp_path / "x.tsv") as file:
        (part / "2.npy").touch()
        file.write_text("whole")
    assert sorted(os.listdir(tmp_path)) == ["shard", "x.tsv"]
