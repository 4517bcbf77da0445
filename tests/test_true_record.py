"""Whatever stands in the results is true of its inputs: raw files mended, leftovers, refusals, kills, copies."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from tests.test_workflow import command, digests, snakemake

pytestmark = [pytest.mark.workflow, pytest.mark.timeout(900)]

#: how often schedulers and jobs are killed; more by the environment, as before a release
KILLS = int(os.environ.get("MEDMNIST_KILLS", "6"))


@pytest.fixture
def tree(stand_in, tmp_path) -> Path:
    """A raw folder with BUSI unpacked."""
    (archive,) = (path for path in stand_in("busi").iterdir() if path.suffix == ".zip")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "raw" / "busi")
    return tmp_path / "raw"


def record(folder: Path, build: str = "paper") -> dict:
    return json.loads((folder / "results" / build / "breastmnist.provenance.json").read_text())


def test_a_mended_an_added_and_an_older_file_are_built_in(folder, tree):
    """From a folder whose name asks for care, in one sequence: each run starts from the state of the one before."""
    raw = folder / "raw {x} (it's odd)"
    tree.rename(raw)
    broken, missing = (next(raw.rglob(f"benign ({number}).png")) for number in (2, 3))
    whole, absent = broken.read_bytes(), missing.read_bytes()
    broken.write_bytes(whole[:400])
    missing.unlink()
    words = ("breastmnist", "--config", f"raw={raw}", "census=warn")

    def excluded() -> list[str]:
        lines = (folder / "results" / "paper" / "breastmnist.excluded.tsv").read_text().splitlines()[1:]
        return [line.partition("\t")[0] for line in lines]

    snakemake(folder, *words)
    assert excluded() == ["benign/benign (2).png"]
    before = digests(folder / "results" / "paper")
    assert "Nothing to be done" in snakemake(folder, *words)

    for path in raw.rglob("*"):
        os.utime(path)
    assert "Nothing to be done" in snakemake(folder, *words, "--dry-run")

    broken.write_bytes(whole)
    os.utime(broken, ns=(1, 1))
    missing.write_bytes(absent)
    os.utime(missing, ns=(1, 1))
    snakemake(folder, *words)
    after = digests(folder / "results" / "paper")
    assert excluded() == []
    assert len((folder / "results" / "paper" / "breastmnist.samples.tsv").read_text().splitlines()) > 3
    shutil.rmtree(folder / "results" / "paper")
    snakemake(folder, *words, "--forceall")
    assert digests(folder / "results" / "paper") == after != before

    # what the index named and is gone is told by a new index, not by a file that cannot be opened
    missing.unlink()
    snakemake(folder, *words)
    assert "benign (3)" not in (folder / "results" / "paper" / "breastmnist.samples.tsv").read_text()


def test_leftovers_are_named_and_never_attested(finished, tmp_path):
    folder = tmp_path / "built"
    shutil.copytree(finished, folder, symlinks=True)
    out = folder / "results" / "miniature" / "paper"
    snakemake(folder, "breastmnist", "--config", "sizes=[28,37]")
    said = snakemake(folder, "breastmnist")
    assert "breastmnist_37.npz: left over" in said
    assert (out / "breastmnist_37.npz").is_file()
    made = json.loads((out / "breastmnist.provenance.json").read_text())
    assert not [name for name in made["sums"] if "_37" in name]
    assert set(made["verdict"]) == {"breastmnist.npz"}
    for name in ("MD5SUMS", "SHA256SUMS", "ARRAYS.sha256", "audit/breastmnist.html"):
        assert "_37" not in (out / name).read_text()
    assert "breastmnist_37.npz" in (out / "audit" / "index.html").read_text()
    assert "breastmnist_37.npz" in json.dumps(json.loads((out / "audit" / "audit.json").read_text())["leftovers"])
    (out / "breastmnist_37.npz").unlink()
    snakemake(folder, "breastmnist")
    assert "_37" not in (out / "audit" / "index.html").read_text()


def test_lists_speak_of_what_is_current_beside_the_target(finished, tmp_path):
    """A second dataset joins the lists; one whose settings are others now leaves them."""
    folder = tmp_path / "built"
    shutil.copytree(finished, folder, symlinks=True)
    out = folder / "results" / "miniature" / "paper"
    snakemake(folder, "vesselmnist3d")
    listed = [line.split()[1] for line in (out / "MD5SUMS").read_text().splitlines()]
    assert listed == ["breastmnist.npz", "vesselmnist3d.npz"]
    for words in (("breastmnist",), ("vesselmnist3d",), ("breastmnist", "vesselmnist3d")):
        assert "Nothing to be done" in snakemake(folder, *words, "--dry-run")
    said = snakemake(folder, "vesselmnist3d", "--config", "sizes=[37]")
    assert "breastmnist.npz: left over" in said
    listed = [line.split()[1] for line in (out / "MD5SUMS").read_text().splitlines()]
    assert listed == ["vesselmnist3d.npz"]


def test_a_copy_is_as_current_as_its_original(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    for folder in (finished, tmp_path / "copy"):
        assert "Nothing to be done" in snakemake(folder, "breastmnist", "--dry-run")


def test_a_dry_run_makes_nothing(folder):
    before = sorted(folder.iterdir())
    snakemake(folder, "breastmnist", "--dry-run")
    assert [path for path in sorted(folder.iterdir()) if path.name != ".snakemake"] == before


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (["overrides={breastmnist: {split.file: nothere.csv}}"], "split.file: nothere.csv is not a file"),
        (["exceptions=nothere.yaml"], "exceptions: nothere.yaml cannot be read"),
        (["results=/"], "results: / is the root"),
        (["variant=../x"], "variant: '../x'"),
    ],
)
def test_what_is_refused_after_a_build_changes_nothing(finished, tmp_path, config, said):
    folder = tmp_path / "built"
    shutil.copytree(finished, folder, symlinks=True)
    before = digests(folder / "results" / "miniature" / "paper")
    text = snakemake(folder, "breastmnist", "--config", *config, fails=True)
    assert len([line for line in text.splitlines() if said in line]) == 1
    assert "Traceback" not in text
    assert "InputFunctionException" not in text
    assert digests(folder / "results" / "miniature" / "paper") == before


def test_a_leak_free_list_serves_where_it_lies(folder):
    snakemake(folder, "vesselmnist3d", "--config", "protocol=released")
    lists = Path("results/miniature/released/splits/vesselmnist3d")
    before = {path.name: path.read_bytes() for path in (folder / lists).iterdir()}
    override = f"overrides={{vesselmnist3d: {{split.file: {lists / 'grouped.tsv'}}}}}"
    snakemake(folder, "vesselmnist3d", "--config", "protocol=released", override)
    assert {path.name: path.read_bytes() for path in (folder / lists).iterdir()} == before
    (made,) = (folder / "results" / "miniature").glob("released+split.file=*/vesselmnist3d.provenance.json")
    assert json.loads(made.read_text())["config"]["overrides"]


def test_an_error_of_the_audit_fails_whatever_is_the_target(folder):
    """Every picture of one gray value is an error: the pages are written, then the run fails."""
    flat = "overrides={breastmnist: {crop: centre-1, kernel: nearest}}"
    text = snakemake(folder, "breastmnist", "--config", flat, fails=True)
    (out,) = (folder / "results" / "miniature").glob("paper+*")
    assert (out / "audit" / "breastmnist.html").is_file()
    assert (out / "audit" / "index.html").is_file()
    assert (out / "MD5SUMS").is_file()
    assert "images have one value only" in text
    assert not (out / "work" / "breastmnist" / "gate.txt").exists()


def test_a_rule_writes_what_it_declares_and_nothing_else(finished):
    """Every file of a build is an output of the rule that made it, by Snakemake's own summary."""
    said = snakemake(finished, "breastmnist", "--summary")
    declared = {line.split("\t")[0] for line in said.splitlines() if line.startswith("results/")}
    out = finished / "results" / "miniature"
    found = {path.relative_to(finished).as_posix() for path in out.rglob("*") if path.is_file()}
    aside = ("/logs/", "/benchmarks/", "/miniature/raw/", "/miniature/.lock", "/miniature/.run", "/splits/")
    assert {path for path in found if not any(part in path for part in aside)} <= declared


def test_kills_at_any_moment_end_with_the_same_bytes(finished, folder):
    """kill -9 of the scheduler, of all, or of one job; every second time run again at once, beside what goes on."""
    chance = random.Random(3)
    out = folder / "results" / "miniature" / "paper"
    for kill in range(KILLS):
        if chance.random() < 0.3:
            (out / "breastmnist.npz").unlink(missing_ok=True)  # there is always something to do
            shutil.rmtree(out / "work", ignore_errors=True)
        with subprocess.Popen(
            command(folder, "breastmnist"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as run:
            deadline = time.monotonic() + chance.uniform(1.0, 6.0)
            while run.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            with contextlib.suppress(ProcessLookupError):
                (os.kill if kill % 2 else os.killpg)(run.pid, signal.SIGKILL)
        if kill % 4 == 3:
            time.sleep(chance.uniform(0, 2))
    snakemake(folder, "breastmnist")
    assert digests(out) == digests(finished / "results" / "miniature" / "paper")
    assert "Nothing to be done" in snakemake(folder, "breastmnist")
    shards = out / "work" / "breastmnist" / "shards"
    assert not [path for path in shards.rglob("*") if path.is_file()]
