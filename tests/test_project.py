"""The project's own files agree with each other."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from preprocess import __version__

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))


def locked(name: str) -> dict[str, str]:
    """Package and version of every line of a lock file."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE))


def direct() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in project["dependencies"]}


def test_every_dependency_is_locked_with_hashes():
    assert direct() <= set(locked("requirements.lock"))
    for name in LOCKS:
        entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
        assert all("--hash=sha256:" in entry for entry in entries), name


def test_both_locks_pin_the_same_versions():
    run, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: dev[name] for name in run} == run


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_no_place_to_download_from(name):
    assert not re.search(r"://|index-url|find-links", (ROOT / name).read_text())


def test_medmnist_is_not_a_dependency():
    assert not {"medmnist", "torch", "torchvision"} & set(locked("requirements-dev.lock"))


def test_conda_environment_pins_what_the_lock_pins():
    dependencies = yaml.safe_load((ROOT / "envs" / "preprocess.yaml").read_text())["dependencies"]
    pins = dict(line.partition(";")[0].split("==") for line in dependencies[-1]["pip"])
    versions = locked("requirements.lock")
    assert pins == {name: versions[name] for name in direct() - {"snakemake"}}


def test_the_page_of_the_configuration_is_that_of_the_schema():
    known = json.loads((ROOT / "workflow" / "schemas" / "config.schema.json").read_text())["properties"]
    page = (ROOT / "config" / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(.*)` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(key, json.dumps(part["default"]), part["description"]) for key, part in known.items()]


def test_every_way_to_install_installs_the_lock():
    """make, pip by hand, uv and the container: with hashes, and nothing that the lock does not name."""
    for name in ("Makefile", "README.md", "Containerfile"):
        lines = (ROOT / name).read_text().splitlines()
        installs = [line for line in lines if re.search(r"pip install .*requirements.*\.lock|^LOCKED :=", line)]
        assert installs, name
        assert all("--require-hashes --no-deps" in line for line in installs), name
    copied = re.findall(r"^COPY (.*) \S+$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    assert all((ROOT / path).exists() for line in copied for path in line.split())


def test_no_image_or_array_file_is_in_the_package():
    kinds = {".png", ".jpg", ".jpeg", ".tif", ".npz", ".npy", ".nii", ".dcm", ".obj", ".h5"}
    assert not [path for path in (ROOT / "preprocess").rglob("*") if path.suffix.lower() in kinds]


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert citation["version"] == newest == __version__
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]


def test_one_list_of_checks():
    """The hooks hold it, of tools that are locked; make check runs them all, and CI runs make check."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [one["repo"] for one in hooks] == ["local"]
    entries = [hook["entry"] for hook in hooks[0]["hooks"]]
    assert all(entry.startswith(".venv/bin/") for entry in entries)
    tools = {entry.removeprefix(".venv/bin/").partition(" --")[0] for entry in entries}
    assert {"ruff check", "ruff format", "mypy", "snakefmt", "snakemake"} <= tools
    assert {tool.split()[0] for tool in tools} - {"python"} <= set(locked("requirements-dev.lock"))
    check = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"\t\$\(BIN\)/pre-commit run --all-files.*\n", check[1])
    assert re.search(r"^make .*check", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def test_the_clients_are_installed_where_the_tests_look_for_them():
    assert re.search(r"^make .*client", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    pins = locked("requirements-client.lock")
    assert {"medmnist", "mlcroissant"} <= set(pins)
    assert not {"torch", "torchvision", "triton"} & set(pins)  # the Makefile's, a build for the machine
    assert not [name for name in pins if name.startswith(("nvidia", "cuda"))]
    run = locked("requirements.lock")
    assert {name: pins[name] for name in run.keys() & pins.keys()} == {
        name: run[name] for name in run.keys() & pins.keys()
    }


def test_what_the_contributing_guide_runs_is_there():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {name or "default" for name in re.findall(r"^make *([a-z]*)", GUIDE, re.MULTILINE)} <= targets
    files = re.findall(r"tests/\w+\.py|\.ci/run|tools/\w+\.py|envs/\w+\.yaml", GUIDE)
    for name in [*files, *re.findall(r"\]\(([^)]+)\)", GUIDE)]:
        assert (ROOT / name).exists(), name


def test_the_contributing_guide_s_test_runs_find_tests(tmp_path):
    """Each is only collected, and what would run the whole suite in one file with tests of every kind."""
    lines = re.findall(r"^(?:MEDMNIST_\w+=\S+ )*(pytest .*?)(?: +#.*)?$", GUIDE, re.MULTILINE)
    assert len(lines) == 7
    for line in (line for line in lines if " -" in line):  # those of whole files are seen to exist above
        words = [sys.executable, "-m", *shlex.split(line), "--collect-only", "-q", "-p", "no:cacheprovider"]
        words += [] if "tests/" in line else ["tests/test_busi.py"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert re.search(r"\d+ tests? collected|\d+/\d+ tests collected", done.stdout), done.stdout


def test_the_hooks_can_be_installed(tmp_path):
    assert "`.venv/bin/pre-commit install`" in GUIDE
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(ROOT / ".pre-commit-config.yaml", tmp_path)
    subprocess.run([sys.executable, "-m", "pre_commit", "install"], cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / ".git" / "hooks" / "pre-commit").exists()


def test_documents_name_no_place_of_this_machine():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*.cff"), *ROOT.glob(".*.y*ml"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        assert not re.search(r"(?<![\w<>.~-])/(work|home|tmp|root|Users)/|index-url", page.read_text()), page
