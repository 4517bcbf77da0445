"""The project's own files agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def locked(name: str) -> dict[str, str]:
    """Package and version of every line of a lock file."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE))


def direct() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in project["dependencies"]}


def test_every_dependency_is_locked_with_hashes():
    assert direct() <= set(locked("requirements.lock"))
    for name in ("requirements.lock", "requirements-dev.lock"):
        entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
        assert all("--hash=sha256:" in entry for entry in entries), name


def test_both_locks_pin_the_same_versions():
    run, dev = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: dev[name] for name in run} == run


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locks_name_no_place_to_download_from(name):
    assert not re.search(r"://|index-url|find-links", (ROOT / name).read_text())


def test_medmnist_is_not_a_dependency():
    assert not {"medmnist", "torch", "torchvision"} & set(locked("requirements-dev.lock"))


def test_conda_environment_pins_what_the_lock_pins():
    dependencies = yaml.safe_load((ROOT / "envs" / "preprocess.yaml").read_text())["dependencies"]
    pins = dict(line.split("==") for line in dependencies[-1]["pip"])
    versions = locked("requirements.lock")
    assert pins == {name: versions[name] for name in direct() - {"snakemake"}}


def test_no_image_or_array_file_is_in_the_package():
    kinds = {".png", ".jpg", ".jpeg", ".tif", ".npz", ".npy", ".nii", ".dcm", ".obj", ".h5"}
    assert not [path for path in (ROOT / "preprocess").rglob("*") if path.suffix.lower() in kinds]
