"""The workflow itself, on stand-ins in a temporary folder: run, rerun, change, kill, break."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest

from preprocess.exports import FORMATS
from preprocess.plan import targets
from preprocess.plan.paths import EXPORTS, Paths

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.workflow, pytest.mark.timeout(600)]


def command(folder: Path, *words: str, snakefile: Path = ROOT / "Snakefile") -> list[str]:
    profile = snakefile.parent / "profiles" / "default"
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--workflow-profile", str(profile),
        "--directory", str(folder), "--cores", "2", *words,
    ]  # fmt: skip


def snakemake(folder: Path, *words: str, snakefile: Path = ROOT / "Snakefile", fails: bool = False) -> str:
    """Run Snakemake in ``folder`` and return all it said."""
    done = subprocess.run(
        command(folder, *words, snakefile=snakefile),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def jobs(text: str) -> set[str]:
    """The steps a dry run lists, without their source's name."""
    stats = text.partition("Job stats:")[2].partition("total")[0]
    return {name.removeprefix("busi_") for name in re.findall(r"^(\w+) +\d+$", stats, re.MULTILINE)}


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every result a user gets; logs, timings and work files aside."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_a_run_says_little_and_ends_with_what_it_built(folder):
    """The whole terminal of a first run; the report of every job is in Snakemake's log."""
    text = snakemake(folder, "breastmnist")
    lines = text.splitlines()
    assert len(lines) < 12
    steps = int(re.search(r"^(\d+) steps to do$", text, re.MULTILINE)[1])
    assert f"breastmnist: done; {steps - 1} of {steps} steps" in lines
    with np.load(folder / "results" / "miniature" / "paper" / "breastmnist.npz") as file:
        rows = sum(len(file[f"{split}_labels"]) for split in ("train", "val", "test"))
    page = "results/miniature/paper/audit/breastmnist.html"
    assert re.split(r"  +", lines[-1]) == ["breastmnist", str(rows), "not comparable: built from a stand-in", "0", "0",
                                           page]  # fmt: skip
    assert lines[-2].split() == [
        "dataset",
        "rows",
        "against",
        "the",
        "published",
        "files",
        "errors",
        "warnings",
        "page",
    ]
    (log,) = (folder / ".snakemake" / "log").glob("*.log")
    assert len(re.findall(r"^Finished jobid", log.read_text(), re.MULTILINE)) == steps


@pytest.mark.parametrize("words", ["--verbose", "--printshellcmds"])
def test_whoever_asks_for_details_gets_them_all(folder, words):
    text = snakemake(folder, "results/miniature/raw/busi", words)
    assert "Finished jobid" in text


@pytest.fixture
def built(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "built", symlinks=True)  # keeps the times of all files
    return tmp_path / "built"


def test_run_gives_every_file_and_a_second_run_does_nothing(built):
    out = built / "results" / "miniature" / "paper"
    tables = [f"breastmnist.{kind}" for kind in ("samples.tsv", "excluded.tsv", "provenance.json")]
    for name in ("breastmnist.npz", *tables, "MD5SUMS", "SHA256SUMS", "ARRAYS.sha256", "audit/breastmnist.png"):
        assert (out / name).is_file(), name
    for sums, tool in (("MD5SUMS", "md5sum"), ("SHA256SUMS", "sha256sum")):
        subprocess.run([tool, "-c", sums], cwd=out, check=True)
    assert not list(out.rglob("*.part"))
    assert not (out / "work" / "breastmnist" / "shards" / "0").exists()
    assert "Nothing to be done" in snakemake(built, "breastmnist")


@pytest.mark.parametrize(
    ("edit", "rerun", "untouched"),
    [
        (("kernel:\n    paper: {value: bicubic", "kernel:\n    paper: {value: lanczos"),
         {"render", "pack", "check", "audit"}, {"miniature", "index", "split"}),
        (('split.ratio:\n    both: {value: "7:1:2"', 'split.ratio:\n    both: {value: "8:1:1"'),
         {"split", "render", "pack", "audit"}, {"miniature", "index"}),
        (("licence: CC BY 4.0", "licence: CC BY-SA 4.0"),
         {"check", "provenance", "audit"}, {"render", "pack", "split"}),
        (('why: "BUSI has no split of its own"', 'why: "no split is published"'),
         {"provenance", "audit"}, {"render", "pack"}),
    ],
)  # fmt: skip
def test_a_changed_decision_of_a_recipe_reruns_what_depends_on_it(project, edit, rerun, untouched):
    recipe = project / "preprocess" / "recipes" / "breastmnist.yaml"
    text = recipe.read_text()
    assert edit[0] in text
    recipe.write_text(text.replace(*edit))
    planned = jobs(snakemake(project, "breastmnist", "--dry-run", snakefile=project / "Snakefile"))
    recipe.write_text(text)
    assert rerun <= planned
    assert not untouched & planned


def test_other_decisions_are_a_variant_beside_the_default(built):
    base = built / "results" / "miniature"
    before = digests(base / "paper")
    override = "overrides={breastmnist: {kernel: lanczos}}"
    snakemake(built, "breastmnist", "--config", override)
    variant = digests(base / "paper+kernel=lanczos")
    assert variant["breastmnist.npz"] != before["breastmnist.npz"]
    assert variant["breastmnist.samples.tsv"] == before["breastmnist.samples.tsv"]
    assert '"override"' in (base / "paper+kernel=lanczos" / "breastmnist.provenance.json").read_text()
    assert digests(base / "paper") == before
    for words in ([], ["--config", override]):
        assert "Nothing to be done" in snakemake(built, "breastmnist", *words)


def test_a_new_size_adds_a_file_and_leaves_the_others_as_they_are(built):
    out = built / "results" / "miniature" / "paper"
    before = digests(out)
    planned = jobs(snakemake(built, "breastmnist", "--dry-run", "--config", "sizes=[28,96]"))
    assert not {"miniature", "index", "split", "collect"} & planned
    snakemake(built, "breastmnist", "--config", "sizes=[28,96]")
    after = digests(out)
    assert after["breastmnist.npz"] == before["breastmnist.npz"]
    assert (out / "breastmnist_96.npz").is_file()
    assert "breastmnist_96.npz" in (out / "MD5SUMS").read_text()
    assert rendered(out) == {"0_0": "28", "1_0": "96"}


def rendered(out: Path) -> dict[str, str]:
    """The sizes that every render job of breastmnist was last asked for, by batch and shard."""
    logs = (out / "logs" / "breastmnist").glob("render_*.log")
    return {log.stem.removeprefix("render_"): re.search(r"rendered at (.+)", log.read_text())[1] for log in logs}


def test_a_lost_file_is_rendered_alone_and_all_is_as_it_was(built):
    out = built / "results" / "miniature" / "paper"
    sizes = ("--config", "sizes=[28,40]")
    snakemake(built, "breastmnist", *sizes)
    before = digests(out)
    (out / "breastmnist.npz").unlink()
    kept = (out / "breastmnist_40.npz").stat().st_mtime_ns
    assert "collect" not in jobs(snakemake(built, "breastmnist", *sizes, "--dry-run"))
    snakemake(built, "breastmnist", *sizes)
    assert (out / "breastmnist_40.npz").stat().st_mtime_ns == kept
    assert digests(out) == before
    assert rendered(out)["2_0"] == "28"
    assert "Nothing to be done" in snakemake(built, "breastmnist", *sizes)


def test_exports_and_sizes_nobody_asks_for_any_more_are_left_over(built):
    out = built / "results" / "miniature" / "paper"
    every = f"exports=[{','.join(FORMATS)}]"
    snakemake(built, "breastmnist", "--config", "sizes=[28,40]", "exports=[npy]")
    said = snakemake(built, "breastmnist", "--config", every)
    for name in ("breastmnist_40.npz", "npy/breastmnist_40"):
        assert f"/paper/{name}: left over from another build, in no list" in said
    assert "Nothing to be done" in snakemake(built, "breastmnist", "--config", every)
    with np.load(out / "breastmnist.npz") as file:
        mapped = np.load(out / "npy" / "breastmnist" / "test_images.npy", mmap_mode="r")
        np.testing.assert_array_equal(mapped, file["test_images"])
    for place in (place for places in EXPORTS.values() for place in places):
        assert Path(Paths(out.parent, out).of(place, dataset="breastmnist", tail="")).exists(), place
    assert "data/train-00000-of-00001.parquet" in (out / "parquet" / "breastmnist" / "README.md").read_text()
    said = snakemake(built, "breastmnist", "--config", "exports=[npy]")
    gone = ("breastmnist.croissant.json", "breastmnist_40.npz", "npy/breastmnist_40", "png/breastmnist",
            "png/breastmnist.csv", "parquet/breastmnist", "webdataset/breastmnist",
            "zarr/breastmnist.zarr")  # fmt: skip
    for name in gone:
        assert (out / name).exists()  # no job removes what is another's
        assert f"/paper/{name}: left over from another build, in no list" in said
    assert "/paper/npy/breastmnist:" not in said
    assert "breastmnist_40" not in (out / "MD5SUMS").read_text()
    assert "breastmnist_40" not in (out / "breastmnist.provenance.json").read_text()


def copied(folder: Path) -> Path:
    """A copy of the project that a test may edit."""
    for name in ("preprocess", "workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with a finished build; a test leaves it as it was."""
    folder = copied(tmp_path_factory.mktemp("project"))
    snakemake(folder, "breastmnist", snakefile=folder / "Snakefile")
    return folder


def test_an_edited_module_or_template_reruns_what_reaches_it(project):
    snakefile = project / "Snakefile"

    def planned() -> set[str]:
        said = snakemake(project, "breastmnist", "--dry-run", snakefile=snakefile)
        return set() if "Nothing to be done" in said else jobs(said)

    assert planned() == set()
    for file, first, untouched in (
        ("preprocess/split.py", "split", {"index", "miniature"}),
        ("preprocess/steps/images.py", "render", {"index", "split", "miniature"}),
        ("preprocess/audit/montage.py", "audit", {"index", "split", "render", "pack", "miniature"}),
    ):
        path = project / file
        original = path.read_text()
        path.write_text(original + ("\nCHANGED = True\n" if file.endswith(".py") else "\n# changed\n"))
        assert first in planned(), file
        assert not planned() & untouched, file
        path.write_text(original)
    assert planned() == set()


def test_any_number_of_cores_and_shards_gives_the_same_bytes(built, folder):
    snakemake(folder, "breastmnist", "--cores", "1")
    ours, theirs = (digests(one / "results" / "miniature" / "paper") for one in (folder, built))
    assert ours == theirs


def test_killed_runs_end_with_the_same_bytes(built, folder):
    """kill -9 of the scheduler, and of everything it started, at random moments."""
    generator = random.Random(5)
    for kill in range(4):
        with subprocess.Popen(
            command(folder, "breastmnist"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as run:
            time.sleep(generator.uniform(1.0, 5.0))
            # every second time the jobs outlive their scheduler
            (os.killpg if kill % 2 else os.kill)(run.pid, signal.SIGKILL)
    snakemake(folder, "breastmnist")
    out = folder / "results" / "miniature" / "paper"
    assert digests(out) == digests(built / "results" / "miniature" / "paper")
    assert "Nothing to be done" in snakemake(folder, "breastmnist")


def test_killed_jobs_leave_nothing_and_the_next_run_gives_the_same_bytes(built, folder):
    """kill -9 of a job itself at a random moment of its life, two of each kind; its run ends with an error."""
    generator = random.Random(7)
    out = folder / "results" / "miniature" / "paper"
    failed = 0
    for stage in ("render", "render", "pack", "pack"):
        (out / "breastmnist.npz").unlink(missing_ok=True)  # a job that was quicker than its killer is run again
        with subprocess.Popen(
            command(folder, "breastmnist"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as run:
            job = None
            while job is None and run.poll() is None:
                job = next((pid for pid, words in descendants(run.pid) if f"preprocess {stage} " in words), None)
            assert job is not None, run.stdout.read()
            time.sleep(generator.uniform(0, 0.3))
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
            run.communicate()
        failed += run.returncode != 0
        assert not [path for path in out.glob("*.npz") if not zipfile.is_zipfile(path)]
    assert failed
    snakemake(folder, "breastmnist")
    assert digests(out) == digests(built / "results" / "miniature" / "paper")
    assert not list(folder.rglob("*.part"))


def descendants(pid: int) -> list[tuple[int, str]]:
    """Process id and command line of everything a process started."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                words = child.cmdline()
                if words[:1] and "python" in words[0] and "-c" not in words[:2]:
                    found.append((child.pid, " ".join(words) + " "))
    return found


def test_two_runs_at_once_are_told_apart(folder):
    with subprocess.Popen(
        command(folder, "breastmnist"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        lock = folder / "results" / "miniature" / ".lock"
        while not lock.exists() and first.poll() is None:
            time.sleep(0.05)
        said = snakemake(folder, "breastmnist", fails=True)
        assert "another run is writing there" in said
        assert first.wait() == 0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (["sizess=[28]"], "no key is called 'sizess'; did you mean sizes?"),
        (["sizes=[0]"], "0 is less than the minimum of 2"),
        (["protocol=papers"], "'papers' is not one of"),
        (["datasets=[breastminst]"], "no dataset is called 'breastminst'"),
        (["overrides={breastmnist: {kernal: box}}"], "breastmnist has no decision 'kernal'"),
        (["overrides={breastmnist: {kernel: cubic}}"], "'cubic' is not one of: nearest, box"),
        (["overrides={breastmnist: {split.group_by: patient}}"], None),
        (["raw=nowhere"], "nowhere is not a folder"),
        (["raw=empty", "datasets=[breastmnist]"], "holds no files of its source"),
        (["raw=."], "results: results lies in the raw folder"),
        (["results=config.yaml/x"], "config.yaml/x cannot be written"),
    ],
)
def test_a_mistake_is_one_clear_line(folder, config, said):
    (folder / "empty").mkdir()
    text = snakemake(folder, "breastmnist", "--config", *config, fails=True)
    if is_found_by_a_job := said is None:  # by the split, which knows what the source publishes
        offered = "none or duplicates, because its source publishes no group id"
        said = f"split.group_by cannot be 'patient'; it can be {offered}"
    lines = {line for line in text.splitlines() if said in line}
    assert len(lines) == 1, text
    if is_found_by_a_job:
        assert text.splitlines()[-1] == f"ERROR: breastmnist: {said}"
    assert "Traceback" not in text
    assert not list(folder.rglob("*.npz"))


@pytest.mark.parametrize("words", [("breastmnist", "--dry-run"), ("all",), ("sources",), ("--list",)])
def test_malformed_exceptions_are_found_before_everything_else(folder, words):
    (folder / "signed.yaml").write_text("- dataset: breastmnist\n  chek: duplicates\n")
    text = snakemake(folder, *words, "--config", "exceptions=signed.yaml", fails=True)
    assert "signed.yaml" in text
    assert "Building DAG" not in text
    assert not (folder / "results").exists()


def test_a_file_of_a_size_nobody_asked_for_is_refused_before_any_job(folder):
    text = snakemake(folder, "results/miniature/paper/breastmnist_64.npz", fails=True)
    assert "No rule to produce results/miniature/paper/breastmnist_64.npz" in text
    assert not list(folder.rglob("*.tsv"))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("breastmnist", "breastmnist: raw/busi holds no files of its source; see 'snakemake --cores 1 sources'"),
        ("all", "raw: raw holds raw files of no dataset; see 'snakemake --cores 1 sources'"),
        ("audit", "raw: raw holds raw files of no dataset; see 'snakemake --cores 1 sources'"),
    ],
)
def test_an_empty_folder_of_raw_files_is_told(folder, target, said):
    (folder / "raw").mkdir()
    text = snakemake(folder, target, "--config", "raw=raw", fails=True)
    assert [line for line in text.splitlines() if said in line] == [f"ERROR: {said}"] == text.splitlines()[-1:]
    assert "preprocess/" not in text  # not where in the code it came from
    assert "busi" in snakemake(folder, "sources", "--config", "raw=raw")


@pytest.mark.parametrize(
    ("word", "meant"), [("brestmnist", "breastmnist"), ("BreastMNIST", "breastmnist"), ("BUSI", "busi")]
)
def test_a_name_that_is_no_target_is_told_which_was_meant(folder, word, meant):
    said = f"no target is called '{word}'; did you mean {meant}? 'snakemake --cores 1 targets' lists them"
    assert snakemake(folder, word, "--dry-run", fails=True).splitlines()[-1] == f"ERROR: {said}"
    text = snakemake(folder, word, fails=True)
    assert text.splitlines()[-1] == f"ERROR: {said}"
    assert "Traceback" not in text


def test_a_source_is_a_target_and_the_list_of_targets_is_whole(folder):
    assert jobs(snakemake(folder, "busi", "--dry-run")) - {"busi"} == jobs(
        snakemake(folder, "breastmnist", "--dry-run")
    ) - {"breastmnist"}
    known = set(targets.names())
    listed = {line.split()[0] for line in snakemake(folder, "--list-target-rules").splitlines() if "(" in line}
    sources = [name for name in known if f"{name}_miniature" in listed]
    of_sources = {name for name in listed for source in sources if name.startswith(f"{source}_")}
    assert listed - of_sources - {"checksums", "collection", "audit_index"} == known
    said = snakemake(folder, "targets")
    assert [line.split()[0] for line in said.splitlines() if line.split()[0] in known] == targets.names()


def test_list_reads_like_documentation(folder):
    text = snakemake(folder, "--list")
    for line in text.splitlines():
        if line and not line.startswith("Using"):
            assert re.fullmatch(r"\w+ \(.+\.\)", line), line


def test_lint_is_clean(folder):
    assert "in a good condition" in snakemake(folder, "--lint")
