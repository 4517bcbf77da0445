"""The Containerfile: what it copies is there, and where a builder and a base image are at hand, it is built and run."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE = (ROOT / "Containerfile").read_text()
TAG = "localhost/medmnist-rebuild-test"
BUILDER = next((name for name in ("buildah", "podman", "docker") if shutil.which(name)), "")
ENTRYPOINT: list[str] = json.loads(re.search(r"^ENTRYPOINT (.*)$", FILE, re.MULTILINE)[1])


def call(*words: object) -> str:
    done = subprocess.run([BUILDER, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_the_builder_is_sent_what_is_copied_and_nothing_else():
    copied = {path for line in re.findall(r"^COPY (.*) \S+$", FILE, re.MULTILINE) for path in line.split()}
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert not [line for line in lines[1:] if line[0] != "!" and fnmatch.filter(copied, line)]


def test_what_the_entry_point_names_is_copied():
    home = re.findall(r"^WORKDIR (.*)$", FILE, re.MULTILINE)[0]
    named = [Path(word).relative_to(home) for word in ENTRYPOINT if word.startswith(f"{home}/")]
    assert [path.as_posix() for path in named] == ["Snakefile", "config.yaml", "profiles/default"]
    assert all((ROOT / path).exists() for path in named)


@pytest.fixture
def image() -> Iterator[str]:
    if not BUILDER:
        pytest.skip("none of buildah, podman and docker is installed")
    base = os.environ.get("MEDMNIST_BASE")
    if not base:
        pytest.skip("MEDMNIST_BASE names no base image with Python 3.11 to 3.13, such as python:3.12-slim")
    call("build", "--file", "Containerfile", "--build-arg", f"BASE={base}", "--tag", TAG, ".")
    yield TAG
    call("rmi", "--force", TAG)


@pytest.mark.timeout(1800)  # the lock is installed into it
@pytest.mark.workflow
def test_a_container_builds_the_same_arrays_for_a_user_its_base_does_not_know(image, finished, tmp_path):
    owner = 1234 if os.geteuid() == 0 else os.geteuid()
    os.chown(tmp_path, owner, -1)
    options = ["--user", f"{owner}:{owner}", "--volume", f"{tmp_path}:/data"]
    asked = ["--cores", 2, "breastmnist"]
    if BUILDER == "buildah":  # it runs commands, not entry points
        container = call("from", image).strip()
        try:
            call("run", *options, container, "--", *ENTRYPOINT, *asked)
        finally:
            call("rm", container)
    else:
        call("run", "--rm", *options, image, *asked)
    sums = "results/miniature/paper/ARRAYS.sha256"
    assert (tmp_path / sums).read_text() == (finished / sums).read_text()
    assert (tmp_path / sums).stat().st_uid == owner
