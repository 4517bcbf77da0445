"""The benchmarks run as their page says; what they measure is on the page, never a test."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m benchmarks\..*", PAGE, re.MULTILINE)
#: so that each takes seconds
SMALL = {
    "render": ["--samples", "0.01", "--only", "bound"],
    "full": ["--shares", "0.002"],
    "levels": ["--count", "3"],
    "scaling": ["--share", "0.002", "--cores", "2", "--sizes", "28"],
    # a checkout of the peer and a Python for it are the reader's to give
    "peers": ["--help"],
    "match": ["--rows", "300"],
    "impact": ["--count", "60", "--datasets", "dermamnist"],
    "inspection": ["--files", "500"],
    "duplicates": ["--rows", "2000"],
    "seeking": ["--gigabytes", "0.03"],
    # real pictures are not everywhere; tests/test_duplicates.py plants copies of a few
    "near_duplicates": ["--help"],
}


def name(command: str) -> str:
    return re.match(r"python -m benchmarks\.(\w+)", command)[1]


def test_every_benchmark_is_on_the_page():
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"__init__", "made"}
    assert {name(command) for command in COMMANDS} == modules == set(SMALL)


@pytest.mark.workflow
@pytest.mark.parametrize("command", {name(command): command for command in reversed(COMMANDS)}.values())
def test_it_prints_tables_like_those_of_the_page(command):
    """Of several commands of one benchmark the first: they differ in numbers."""
    words = [sys.executable, *shlex.split(command)[1:], *SMALL[name(command)]]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    headers = re.findall(r"^(\|.*\|)\n\|---", done.stdout, re.MULTILINE)
    assert headers or "--help" in SMALL[name(command)]
    # the full runs' headers hold their counts
    known = set(re.findall(r"^(\|.*\|)\n\|---", PAGE, re.MULTILINE))
    assert name(command) == "full" or set(headers) <= known
