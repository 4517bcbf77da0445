"""The workflow on clusters: through a real Slurm on loopback, and through any command that submits a script."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests import slurm
from tests.test_workflow import ROOT, snakemake

PROFILES = ROOT / "profiles"
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
#: some datasets share a job: most of the time goes into starts of Snakemake
TOGETHER = ("--group-components", "list=4", "prepare=2", "render=4", "finish=3")
#: a source of one dataset, one whose scans are prepared once for two, and one in 3D; MEDMNIST_CLUSTER=all for all 18
DATASETS = os.environ.get("MEDMNIST_CLUSTER", "[breastmnist,organamnist,organcmnist,vesselmnist3d]")
SCHEDULER = Path(__file__).parent / "scheduler"


@pytest.fixture(scope="module")
def plugins() -> dict[str, str]:
    """The environment in which Snakemake finds the executor plugins; each slows every start, so only here."""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        return dict(os.environ)
    if not (ROOT / ".cluster" / ".made").exists():
        pytest.skip("the executor plugins are not there; install them with: make plugins")
    return os.environ | {"PYTHONPATH": str(ROOT / ".cluster")}


def command(folder: Path, profile: str, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder),
        "--profile", str(PROFILES / profile), *words,
    ]  # fmt: skip


def run(
    words: list[str], environment: dict[str, str], folder: Path, disturb: Callable[[], bool], limit: float = 900
) -> str:
    """Run a command, call ``disturb`` until it says that it is done, and return all that was said."""
    log = folder / "said.txt"
    with open(log, "wb") as out, subprocess.Popen(
        words, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
    ) as process:  # fmt: skip
        try:
            end = time.monotonic() + limit
            while not disturb() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            code = process.wait(max(end - time.monotonic(), 1))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert code == 0, log.read_text()
    return log.read_text()


def everything(folder: Path) -> dict[str, str]:
    """sha256 of every file of a folder's results by its place; logs and timings aside."""
    out = folder / "results" / "miniature" / "paper"
    paths = [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]
    places = {path.relative_to(out): path for path in paths}
    return {
        str(place): hashlib.sha256(path.read_bytes()).hexdigest()
        for place, path in places.items()
        if place.parts[0] not in ("logs", "benchmarks")
    }


@pytest.fixture(scope="module")
def local(plugins, tmp_path_factory):
    """Every result of a run without a cluster; after the plugins, without which nothing is compared with it."""
    folder = tmp_path_factory.mktemp("local")
    shutil.copy(ROOT / "config.yaml", folder)
    snakemake(folder, "--config", f"datasets={DATASETS}")
    return everything(folder)


@pytest.fixture
def in_slurm(plugins):
    """The environment of a Slurm that lasts for one test."""
    with contextlib.ExitStack() as stack:
        try:
            environment = stack.enter_context(slurm.running(plugins))
        except slurm.NoSlurmError as error:
            pytest.skip(f"no Slurm here: {error}")
        yield environment


@pytest.mark.slurm
@pytest.mark.workflow
@pytest.mark.timeout(1000)
def test_datasets_through_slurm_equal_a_local_run(folder, local, in_slurm):
    """A job is cancelled on the way."""
    cancelled: list[str] = []

    def cancel() -> bool:
        """Cancel the first job that renders, once it runs."""
        queue = subprocess.run(
            ["squeue", "-h", "-t", "RUNNING", "-o", "%i %k"], env=in_slurm, capture_output=True, text=True, check=False
        )
        found = re.search(r"^(\d+) .*_render", queue.stdout, re.MULTILINE)
        if found:
            subprocess.run(["scancel", found[1]], env=in_slurm, check=True)
            cancelled.append(found[1])
        return bool(cancelled)

    run(
        command(folder, "slurm", "--cores", "1", "--slurm-status-command", "squeue", "--slurm-no-account",
                "--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2",
                *TOGETHER, "--config", f"datasets={DATASETS}"),
        in_slurm, folder, cancel,
    )  # fmt: skip
    log = max((folder / ".snakemake" / "log").glob("*.log"))  # the latest: they are named by the time
    _, _, failed = log.read_text().partition("Error in group render")
    assert f"/{cancelled[0]}.log" in failed.partition("Trying to restart job")[0]
    built = sum(name.endswith(".npz") and "/packed/" not in name for name in local)
    assert built == (18 if DATASETS == "all" else len(yaml.safe_load(DATASETS)))
    assert everything(folder) == local


@pytest.mark.workflow
@pytest.mark.timeout(1000)
def test_datasets_through_any_submit_command_equal_a_local_run(folder, local, plugins):
    """A job is killed on the way; it is tried again with twice the memory."""
    killed: list[str] = []
    queue = folder / "queue of jobs"
    queue.mkdir()

    def jobs() -> list[tuple[str, int]]:
        """Name and memory of every job, as they were submitted."""
        lines = (queue / "queue").read_text().splitlines() if (queue / "queue").exists() else []
        return [(name, int(memory)) for name, memory in map(str.split, lines)]

    def kill() -> bool:
        """Kill the first job that renders, with all it started; one that ended by itself does not count."""
        for number, (name, _) in enumerate(jobs(), 1):
            pid = queue / f"{number}.pid"
            if "_render" not in name or not pid.exists() or not pid.read_text():
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(pid.read_text()), signal.SIGKILL)
                if not (queue / f"{number}.code").exists():
                    killed.append(name)
                    return True
        return False

    # two groups may have one name: it holds their first rules only
    words = "{name}.{jobid} {resources.mem_mb}"
    submit = f"{shlex.quote(str(SCHEDULER / 'submit'))} {shlex.quote(str(queue))} {words}"
    status = f"{shlex.quote(str(SCHEDULER / 'status'))} {shlex.quote(str(queue))}"
    run(
        command(folder, "cluster-generic", "--cores", "1", "--jobs", "4", *TOGETHER,
                "--cluster-generic-submit-cmd", submit, "--cluster-generic-status-cmd", status,
                "--seconds-between-status-checks", "1", "--config", f"datasets={DATASETS}"),
        plugins, folder, kill,
    )  # fmt: skip
    assert everything(folder) == local
    asked: dict[str, list[int]] = {}
    for name, memory in jobs():
        asked.setdefault(name, []).append(memory)
    first, second = asked.pop(killed[0])
    assert second == 2 * first
    assert len(asked) > 3  # groups of jobs
    assert all(len(tries) == 1 for tries in asked.values())


def test_the_profiles_differ_in_the_executor_only():
    slurm_profile, generic = (
        yaml.safe_load((PROFILES / name / "profile.yaml").read_text()) for name in ("slurm", "cluster-generic")
    )
    assert slurm_profile.pop("executor") == "slurm"
    assert generic.pop("executor") == "cluster-generic"
    assert slurm_profile == generic


def test_the_profiles_leave_the_default_profile_alone():
    """Snakemake uses it besides; what both name would silently be the default profile's."""
    default = yaml.safe_load((PROFILES / "default" / "config.yaml").read_text())
    for name in ("slurm", "cluster-generic"):
        assert not default.keys() & yaml.safe_load((PROFILES / name / "profile.yaml").read_text()).keys()


def documented() -> list[str]:
    """The commands of the page, without the real raw files they name."""
    text = "".join(re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
    return [line.replace(" --config raw=/data/raw", "") for line in text.splitlines()]


def test_the_page_installs_by_a_target_of_the_makefile():
    first, *others = documented()
    assert first == "make cluster"
    assert re.search(r"^cluster:.*\n\t.*-r requirements-cluster\.lock$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert all(line.startswith("snakemake --profile profiles/") for line in others)


@pytest.mark.workflow
@pytest.mark.parametrize("line", documented()[1:])
def test_commands_of_the_page_are_understood(line, folder, plugins):
    """Without a cluster: every option is one of the installed plugins', and every rule they name exists."""
    _, _, profile, *words = shlex.split(line)
    done = subprocess.run(
        command(folder, Path(profile).name, *words, "--dry-run"),
        cwd=folder, env=plugins, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "This was a dry-run" in done.stdout + done.stderr
    named = re.findall(r"(\w+):(?:mem_mb|runtime)=", line)
    assert set(named) <= set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.MULTILINE))


@pytest.mark.workflow
def test_a_mirror_of_one_s_own_gives_what_is_known(folder, server, stand_in):
    """The two parts of ``sources.yaml`` on the page, with a server on loopback in the place of a bucket's."""
    mirror, file = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    bucket = re.match(r"https://[^/]+", mirror["mirror"])[0]
    (entry,) = file["busi"]["files"]
    (archive,) = (path for path in stand_in("busi").iterdir() if path.name == entry["name"])
    signed = entry["urls"][0].removeprefix(bucket)
    local = server.page(signed, archive.read_bytes()).removesuffix(signed)
    raw = folder / "raw"
    raw.mkdir()

    def fetch(*, fails: bool = False) -> str:
        return snakemake(folder, "fetch", "--config", f"raw={raw}", "sources=busi", fails=fails)

    # the mirror: found there, and refused, because the known checksum is that of the real archive
    nowhere_else = {"busi": {"files": [{name: entry[name] for name in ("name", "sha256")}]}}  # tests stay on loopback
    changes = {"mirror": mirror["mirror"].replace(bucket, local)} | nowhere_else
    (raw / "sources.yaml").write_text(yaml.safe_dump(changes))
    place = f"{mirror['mirror'].removeprefix(bucket)}/busi/{entry['name']}"
    server.page(place, archive.read_bytes())
    said = fetch(fails=True)
    assert len(server.pages[place].requests) == 1
    assert entry["sha256"] in said
    assert not (raw / "busi" / entry["name"]).exists()

    # a signed address, and the checksum of what is there
    entry |= {"urls": [local + signed], "sha256": hashlib.sha256(archive.read_bytes()).hexdigest()}
    (raw / "sources.yaml").write_text(yaml.safe_dump(file))
    fetch()
    assert (raw / "busi" / entry["name"]).read_bytes() == archive.read_bytes()
