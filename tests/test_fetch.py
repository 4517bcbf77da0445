"""Fetching: what may be fetched, what is said, and a whole fetch and build from a server on loopback."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from preprocess import cli
from preprocess.acquire import fetch, registry
from preprocess.acquire.download import Downloader, Patience
from preprocess.acquire.registry import Source
from preprocess.errors import PreprocessError
from tests.builds import GOOD
from tests.servers import hang_up, say
from tests.test_workflow import snakemake

ROOT = Path(__file__).parents[1]


def zipped(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("benign (1).png", text * 3000)
    return buffer.getvalue()


DATA, OTHER = zipped("data"), zipped("xxxx")


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


@pytest.fixture
def said():
    return []


@pytest.fixture
def run(raw, tmp_path, said):
    """Fetch what the words name of the sources given by keyword: lists of their files, as in the YAML."""

    def run_words(*words: str, steps: tuple[str, ...] = (), **sources: object) -> None:
        text = json.dumps({name: {"files": files} for name, files in sources.items()})
        (raw / "sources.yaml").write_text(text)
        known = registry.load(raw)
        for name, files in sources.items():  # only these files
            names = {entry["name"] for entry in files}
            kept = tuple(file for file in known[name].files if file.name in names)
            known[name] = Source(name, known[name].content, kept)
        with Downloader(Patience(tries=2, pause=0)) as downloader:
            fetcher = fetch.Fetcher(raw, tmp_path / "memory", downloader, said.append)
            fetcher.fetch(fetch.requests(list(words), known))

    return run_words


def entry(url: str, body: bytes | None = None, **more: object) -> dict[str, object]:
    sums = {"sha256": hashlib.sha256(body).hexdigest()} if body is not None else {}
    return {"name": "data.zip", "urls": [url], **sums, **more}


def test_the_licence_is_told_before_anything_comes(run, server, said, raw):
    url = server.page("/a", DATA)
    run("busi", busi=[entry(url, DATA)])
    assert "licence: CC BY 4.0" in said[1]
    assert "Al-Dhabyani" in said[2]
    assert "data.zip" in said[3]
    assert (raw / "busi" / "data.zip").read_bytes() == DATA
    assert sorted(path.name for path in raw.rglob("*") if path.is_file()) == [
        "data.zip",
        "fetch.lock.json",
        "sources.yaml",
    ]


def test_a_second_fetch_loads_nothing(run, server, said):
    url = server.page("/a", DATA)
    for _ in range(2):
        run("busi", busi=[entry(url, DATA)])
    assert len(server.pages["/a"].requests) == 1
    assert "is there (published sha256)" in said[-1]


def test_a_file_that_is_there_but_wrong_is_not_overwritten(run, server, raw):
    (raw / "busi").mkdir()
    (raw / "busi" / "data.zip").write_bytes(OTHER)
    with pytest.raises(PreprocessError, match="is there, but its sha256"):
        run("busi", busi=[entry(server.page("/a", DATA), DATA)])
    assert (raw / "busi" / "data.zip").read_bytes() == OTHER
    assert not server.pages["/a"].requests


def test_the_first_download_is_recorded_and_later_ones_must_agree(run, server, raw):
    url = server.page("/a", DATA)
    run("busi", busi=[entry(url)])
    locked = json.loads((raw / "fetch.lock.json").read_text())["busi/data.zip"]
    assert locked["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert locked["url"] == url
    (raw / "busi" / "data.zip").unlink()
    server.pages["/a"].body = OTHER
    with pytest.raises(PreprocessError, match="expected"):
        run("busi", busi=[entry(url)])
    assert not (raw / "busi" / "data.zip").exists()
    server.pages["/a"].body = DATA
    run("busi", busi=[entry(url)])
    assert json.loads((raw / "fetch.lock.json").read_text())["busi/data.zip"] == locked


@pytest.mark.parametrize("kind", ["zenodo", "mendeley"])
def test_the_hosts_own_list_gives_size_and_checksum(run, server, raw, kind, said):
    sha256, md5 = hashlib.sha256(DATA).hexdigest(), hashlib.md5(DATA).hexdigest()
    lists = {
        "zenodo": {"files": [{"key": "data.zip", "size": len(DATA), "checksum": f"md5:{md5}"}]},
        "mendeley": [{"filename": "data.zip", "content_details": {"size": len(DATA), "sha256_hash": sha256}}],
    }
    listing = server.page("/list", json.dumps(lists[kind]).encode(), kind="application/json")
    more = {"inventory": {"kind": kind, "url": listing}}
    with pytest.raises(PreprocessError, match="expected"):
        run("busi", busi=[entry(server.page("/bad", OTHER), **more)])
    run("busi", busi=[entry(server.page("/good", DATA), **more)])
    assert "of the host's list" in said[-1]


@pytest.mark.parametrize("listing", [b"<html>", b"[]", b"{}", b'{"files": [{"key": 1}]}', b"null"])
def test_a_list_that_cannot_be_had_is_no_error(run, server, listing):
    more = {"inventory": {"kind": "zenodo", "url": server.page("/list", listing)}}
    run("busi", busi=[entry(server.page("/a", DATA), **more)])


def test_one_failure_does_not_keep_the_others(run, server, raw, caplog):
    good, bad = server.page("/good", DATA), server.page("/bad", actions=[say(404)] * 9)
    with pytest.raises(PreprocessError, match=r"busi/data\.zip"):
        run("busi", "ham10000", busi=[entry(bad)], ham10000=[entry(good)])
    assert (raw / "ham10000" / "data.zip").read_bytes() == DATA
    with pytest.raises(PreprocessError, match="2 files could not"):
        run("busi", "ham10000", busi=[entry(bad), {**entry(bad), "name": "b.zip"}], ham10000=[entry(good)])
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2
    assert all("404" in error for error in errors)


def test_a_replacement_is_tried_where_the_file_itself_is_refused(run, server, raw):
    refused = server.page("/refused", actions=[say(403)] * 9)
    files = [entry(refused), {"name": "outer.zip", "urls": [server.page("/outer", OTHER)], "replaces": ["data.zip"]}]
    for _ in range(2):
        run("ham10000", ham10000=files)
    assert [path.name for path in (raw / "ham10000").iterdir()] == ["outer.zip"]
    assert len(server.pages["/outer"].requests) == 1


def test_an_archive_packed_anew_may_differ_in_bytes(run, server, raw):
    commit, bodies = "7" * 40, []
    for text in ("one", "two"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a", text)
            archive.comment = commit.encode()
        bodies.append(buffer.getvalue())
    for body in bodies:
        run("deepdrid", deepdrid=[entry(server.page("/a", body), commit=commit)])
        (raw / "deepdrid" / "data.zip").unlink()
    with pytest.raises(PreprocessError, match="not 7777"):
        run("deepdrid", deepdrid=[entry(server.page("/a", DATA), commit=commit)])
    assert not (raw / "deepdrid" / "data.zip").exists()


def test_by_hand_is_told_step_by_step(run, said, raw):
    with pytest.raises(PreprocessError, match="no program can fetch it"):
        run("intra")
    text = "\n".join(said)
    assert "licence: unknown" in text
    assert f"{raw}/intra/" in text
    assert "1yjLdofRRqyklgwFOC0K4r7ee1LPKstPh" in text


def test_by_hand_and_already_there_is_no_error(run, raw):
    folder = raw / "intra" / "IntrA" / "generated" / "vessel" / "obj"
    folder.mkdir(parents=True)
    (folder / "ArteryObjAN1-0.obj").write_text("v 0 0 0\n")
    run("intra")


def test_what_can_be_asked_for():
    known = registry.load()
    assert [file.name for file in fetch.requests(["released/breastmnist*"], known)[0].files] == [
        "breastmnist.npz", "breastmnist_64.npz", "breastmnist_128.npz", "breastmnist_224.npz"
    ]  # fmt: skip
    assert [file.name for file in fetch.requests(["ribfrac"], known)[0].files] == [
        file.name for file in known["ribfrac"].files if "test" not in file.name and "seg" not in file.name.lower()
    ]
    assert fetch.requests(["lidc_idri"], known)[0].client
    both = fetch.requests(["busi", "busi/Dataset_BUSI.zip"], known)
    assert len(both) == 1
    assert len(both[0].files) == 1
    for word, text in (
        ("busy", "'busy' is not a source"),
        ("busi/none.zip", "has no file 'none.zip'"),
        ("", "not a source"),
    ):
        with pytest.raises(PreprocessError, match=text):
            fetch.requests([word], known)


def test_too_little_room_is_told_before_anything_is_loaded(run, server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(PreprocessError, match=r"about 2\.0 GB are to come and 1\.0 kB are free"):
        run("busi", busi=[entry(server.page("/a", DATA), about=2 * 10**9)])
    assert not server.pages["/a"].requests


# ---- LIDC-IDRI's own client


class Frame(dict):
    """As much of a table of series as the code asks for."""

    def __getitem__(self, key):
        if isinstance(key, str):
            return Column(super().__getitem__(key))
        return Frame({name: [v for v, keep in zip(values, key) if keep] for name, values in self.items()})


class Column(list):
    def __eq__(self, other):
        return Column(value == other for value in self)

    def __and__(self, other):
        return Column(a and b for a, b in zip(self, other))

    __hash__ = None


@pytest.fixture
def client(monkeypatch):
    calls = []

    class IDCClient:
        index = Frame(
            collection_id=["lidc_idri", "lidc_idri", "lidc_idri", "nlst"],
            Modality=["CT", "CR", "CT", "CT"],
            SeriesInstanceUID=["1.2", "1.3", "1.1", "1.4"],
        )

        def download_from_selection(self, downloadDir, seriesInstanceUID, dirTemplate, use_s5cmd_sync):  # noqa: N803
            calls.append((downloadDir, seriesInstanceUID, dirTemplate, use_s5cmd_sync))

    module = types.ModuleType("idc_index")
    module.IDCClient = IDCClient
    monkeypatch.setitem(sys.modules, "idc_index", module)
    return calls


def test_lidc_comes_through_its_client(run, client, raw, caplog, monkeypatch):
    monkeypatch.setattr(fetch.Fetcher, "_check_room", lambda self, wanted: None)
    run("lidc_idri")
    assert client == [(str(raw / "lidc_idri"), ["1.1", "1.2"], "%PatientID/%StudyInstanceUID/%SeriesInstanceUID", True)]
    assert "2 CT series are listed, 1018 expected" in caplog.text


def test_lidc_without_its_client_says_what_to_install(run, monkeypatch, raw):
    monkeypatch.setattr(fetch.Fetcher, "_check_room", lambda self, wanted: None)
    monkeypatch.setitem(sys.modules, "idc_index", None)
    with pytest.raises(PreprocessError, match=r"medmnist-rebuild\[idc\]"):
        run("lidc_idri")


# ---- the commands

SIZES = ("--sizes", 28, "--sizes-3d", 28)


def command(capsys, *words: object) -> tuple[int, str, str]:
    code = cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_bare_fetch_lists_and_says_so(capsys, raw, tmp_path):
    code, out, _ = command(capsys, "fetch", "--raw", raw, "--cache", tmp_path / "m", "--results", tmp_path, *SIZES)
    assert code == 0
    assert re.search(r"^busi +missing", out, re.MULTILINE)
    assert "nothing was downloaded" in out
    assert not list(raw.iterdir())


def test_fetch_into_the_stand_ins_is_refused(capsys, tmp_path):
    code, _, err = command(
        capsys, "fetch", "--cache", tmp_path / "m", "--results", tmp_path, *SIZES, "--sources", "busi"
    )
    assert code == 1
    assert "--config raw=DIR" in err


def test_sources_says_how_to_get_each(capsys, raw, tmp_path):
    (raw / "archive.zip").write_bytes(b"PK spoilt")
    code, out, _ = command(capsys, "sources", "--raw", raw, "--cache", tmp_path / "m", "--results", tmp_path, *SIZES)
    assert code == 0
    for name, source in registry.load().items():
        assert re.search(rf"^{name} +missing .*{re.escape(source.licence)}", out, re.MULTILINE)
    assert "snakemake --cores 1 fetch --config" in out
    assert f"{raw}/intra/" in out
    assert "archive.zip" in out
    assert "CPU hours" in out
    assert re.search(r"needed in .* free", out)


def test_verify_command(capsys, raw, tmp_path):
    (raw / "busi").mkdir()
    (raw / "busi" / "archive.zip").write_bytes(DATA)
    code, out, _ = command(capsys, "verify", "busi", "--raw", raw, "--cache", tmp_path / "m")
    assert code == 0
    assert hashlib.sha256(DATA).hexdigest() in out
    (raw / "busi" / "Dataset_BUSI.zip").write_bytes(DATA)
    code, _, err = command(capsys, "verify", "busi", "--raw", raw, "--cache", tmp_path / "m", "--force")
    assert code == 1
    assert "Dataset_BUSI.zip" in err
    assert command(capsys, "verify", "busy", "--raw", raw, "--cache", tmp_path / "m")[0] == 1


# ---- all of it, through the workflow


def test_ctrl_c_keeps_what_is_there_and_says_so(server, raw, tmp_path):
    """As a person stops it: the interrupt comes while bytes do; the same command goes on."""
    url = server.page("/data.zip", GOOD * 2000, etag='"v1"', rate=200_000)
    server.page("/a.zip", GOOD)
    files = [{"name": "a.zip", "urls": [url.replace("data", "a")]}, {"name": "data.zip", "urls": [url]}]
    (raw / "sources.yaml").write_text(json.dumps({"busi": {"files": files}}))
    command = [
        sys.executable, "-m", "preprocess", "fetch", "--sources", "busi/a.zip", "busi/data.zip", "--raw", raw,
        "--cache", tmp_path / "memory", "--results", tmp_path, "--sizes", "28", "--sizes-3d", "28",
    ]  # fmt: skip
    with subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        part = raw / "busi" / ".data.zip.part"
        while not part.exists() or part.stat().st_size < 20_000:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        text = process.stderr.read()
    assert process.returncode == 1
    kept = part.stat().st_size
    assert text.splitlines()[-1] == (
        f"ERROR: stopped; what came is kept, the same command goes on; busi/data.zip: {kept:,} bytes so far"
    )
    assert "Traceback" not in text
    assert (raw / "busi" / "a.zip").read_bytes() == GOOD
    server.pages["/data.zip"].rate = 0
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
    assert (raw / "busi" / "data.zip").read_bytes() == GOOD * 2000
    assert server.pages["/data.zip"].requests[-1]["range"] == f"bytes={kept}-"


@pytest.mark.workflow
def test_fetch_and_build_of_one_source(server, stand_in, builder, folder):
    """The stand-in's archive is fetched from a server that breaks, and gives what a build of it gives."""
    (path,) = (path for path in stand_in("busi").iterdir() if path.suffix == ".zip")
    body = path.read_bytes()
    url = server.page("/busi.zip", body, etag='"v1"', actions=[say(503, Retry_After="0"), hang_up(len(body) // 2)])
    raw = folder / "raw"
    raw.mkdir()
    file = {"name": "Dataset_BUSI.zip", "urls": [url], "sha256": hashlib.sha256(body).hexdigest()}
    (raw / "sources.yaml").write_text(json.dumps({"busi": {"files": [file]}}))
    real = ["--config", f"raw={raw}", "census=warn"]

    text = snakemake(folder, "breastmnist", *real, "datasets=breastmnist", fails=True)
    assert "see 'snakemake --cores 1 sources'" in text
    assert not server.pages["/busi.zip"].requests  # a build never downloads

    snakemake(folder, "fetch", *real, "sources=busi")
    assert (raw / "busi" / "Dataset_BUSI.zip").read_bytes() == body
    assert server.pages["/busi.zip"].requests[2]["range"] == f"bytes={len(body) // 2}-"

    text = snakemake(folder, "breastmnist", *real, "datasets=breastmnist")
    assert re.search(r"needed in .* free", text)
    (report,) = json.loads((folder / "results" / "verified" / "busi.json").read_text())
    assert report["known"]
    provenance = json.loads((folder / "results" / "paper" / "breastmnist.provenance.json").read_text())
    assert provenance["raw"]["archives"]["busi/Dataset_BUSI.zip"]["sha256"] == file["sha256"]
    direct = builder("breastmnist", stand_in("busi")).arrays(28)
    with np.load(folder / "results" / "paper" / "breastmnist.npz") as built:
        assert set(built.files) == set(direct)
        for name, array in direct.items():
            np.testing.assert_array_equal(built[name], array)

    # one that is touched is the same; a replaced one is verified and indexed again, in one run
    (raw / "busi" / "Dataset_BUSI.zip").touch()
    assert "Nothing to be done" in snakemake(folder, "breastmnist", *real, "datasets=breastmnist", "--dry-run")
    (raw / "busi" / "Dataset_BUSI.zip").write_bytes(body + b"changed")
    text = snakemake(folder, "breastmnist", *real, "datasets=breastmnist", "--dry-run")
    assert re.match(r"breastmnist +780 ", text.splitlines()[-3])  # what the change will cost comes last
    assert re.search(r"needed in .* free", text.splitlines()[-1])
    assert {"busi_verify", "busi_index", "busi_render", "busi_pack"} <= set(re.findall(r"^\w+(?= +\d+$)", text, re.M))

    # another checksum is known than the file has: nothing is recorded of such a build
    (raw / "busi" / "Dataset_BUSI.zip").write_bytes(body)
    (raw / "sources.yaml").write_text(json.dumps({"busi": {"files": [file | {"sha256": "0" * 64}]}}))
    text = snakemake(folder, "breastmnist", *real, "datasets=breastmnist", fails=True)
    assert "the published file has 0000" in text


@pytest.mark.workflow
def test_fetch_of_a_stand_in_names_the_way_out(folder):
    assert "raw=DIR" in snakemake(folder, "fetch", "--config", "sources=busi", fails=True)
