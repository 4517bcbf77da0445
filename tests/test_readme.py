"""The README's commands do what the README says."""

from __future__ import annotations

import json
import re
import shlex
import shutil

import numpy as np
import pytest

from tests.test_workflow import ROOT, snakemake

README = (ROOT / "README.md").read_text(encoding="utf-8")
BASH = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def test_first_and_second_command_are_targets_of_the_makefile():
    assert BASH[:2] == ["make", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^\.PHONY: default test", makefile, re.MULTILINE)
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert BASH[0] in ci
    assert BASH[1] in ci


def test_files_and_pictures_named_are_there():
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.workflow
def test_the_graph_is_the_workflow_s_own(tmp_path):
    shutil.copy(ROOT / "config.yaml", tmp_path)
    said = snakemake(tmp_path, "--forceall", "--rulegraph", "mermaid-js", "breastmnist")
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", said))
    edges = {(names[first], names[second]) for first, second in re.findall(r"(id\d+) --> (id\d+)", said)}
    drawn = re.search(r"```mermaid\n(.*?)```", README, re.DOTALL)[1]
    assert set(re.findall(r"(\w+) --> (\w+)", drawn)) == edges


@pytest.mark.workflow
def test_commands_on_sizes_decisions_and_splits(tmp_path):
    shutil.copy(ROOT / "config.yaml", tmp_path)
    sizes, kernel, leak_free = (shlex.split(line)[1:] for line in BASH[2:])
    out = tmp_path / "results" / "miniature"

    snakemake(tmp_path, *sizes)
    with np.load(out / "paper" / "breastmnist_96.npz") as file:
        assert file["train_images"].shape[1:] == (96, 96)
    before = (out / "paper" / "breastmnist.npz").read_bytes()

    snakemake(tmp_path, *kernel)
    assert (out / "paper" / "breastmnist.npz").read_bytes() != before
    decisions = json.loads((out / "paper" / "breastmnist.provenance.json").read_text())["recipe"]["decisions"]
    assert (decisions["kernel"]["value"], decisions["kernel"]["evidence"]) == ("lanczos", "override")

    snakemake(tmp_path, *leak_free)
    rows = (out / "released" / "dermamnist.samples.tsv").read_text().splitlines()
    split, group = (rows[0].split("\t").index(name) for name in ("split", "group"))
    where: dict[str, set[str]] = {}
    for row in rows[1:]:
        cells = row.split("\t")
        where.setdefault(cells[group], set()).add(cells[split])
    assert all(len(splits) == 1 for splits in where.values())
