"""The README's commands do what the README says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import zipfile

import numpy as np
import pytest

from preprocess import miniature, recipe
from preprocess.acquire import registry
from preprocess.acquire.inventory import gigabytes
from tests.test_docs import blocks
from tests.test_workflow import ROOT, snakemake

README = (ROOT / "README.md").read_text(encoding="utf-8")
#: commands on real data, run as they stand but for the folder
REAL = [line for language, _, block in blocks(ROOT / "README.md") if not language for line in block.splitlines()]
STEPS = re.findall(r"^\d\. .*?`(snakemake [^`]+)`", README, re.MULTILINE)  # the first of each
BASH = [line for language, _, block in blocks(ROOT / "README.md") if language == "bash" for line in block.splitlines()]


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


def table(*header: str) -> dict[str, list[str]]:
    """The rows of the table with this header by their first cell."""
    rows = README.partition(f"| {' | '.join(header)} |\n")[2].partition("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {first: others for first, *others in cells}


def test_every_dataset_has_its_status():
    known = {recipe.read(name)["name"] for name in recipe.names()}
    names = ", ".join(table("dataset", "source", "what is proven of `released`"))
    names = re.sub(r"Organ\{(.*?)\}MNIST", lambda m: ", ".join(f"Organ{one}MNIST" for one in m[1].split(",")), names)
    assert sorted(name.lower() for name in names.split(", ")) == sorted(known)


def test_the_table_of_raw_files_says_what_the_registry_says():
    rows = table("source", "what it is", "size", "access", "licence")
    known = {name: source for name, source in registry.load().items() if source.datasets}
    assert list(rows) == [f"[{name}](docs/sources/{name}.md)" for name in sorted(known)]
    access = {"automatic": "`fetch`", "partly": "partly `fetch`", "by hand": "by hand"}
    for (title, size, way, licence), (_, source) in zip(rows.values(), sorted(known.items()), strict=True):
        amount, exact = source.about()
        assert title == source.content["title"]
        assert size == ("" if exact or not amount else "about ") + (gigabytes(amount) if amount else "unknown")
        assert (way, licence) == (access[source.access], source.licence)


@pytest.mark.workflow
def test_real_data_in_five_steps(tmp_path):
    """On a stand-in in place of real files, unpacked: its archive and counts are not the known ones."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    miniature.generate("busi", tmp_path / "made")
    with zipfile.ZipFile(tmp_path / "made" / "Dataset_BUSI.zip") as archive:
        archive.extractall(tmp_path / "raw" / "busi")
    listed, fetched, built, *others = (shlex.split(step.replace("/data/raw", "raw"))[1:] for step in STEPS)
    said = snakemake(tmp_path, *listed)
    assert re.search(r"^busi +(present|unverified) ", said, re.MULTILINE)
    assert re.search(r"^pbc +missing ", said, re.MULTILINE)
    assert "fetch" in snakemake(tmp_path, *fetched, "--dry-run")  # tests/test_fetch.py runs it
    assert "expected" in snakemake(tmp_path, *built, fails=True)
    snakemake(tmp_path, *built, "census=warn")
    pages = re.findall(r"^4\. Open `([^`]+)`", README, re.MULTILINE)
    root = re.findall(r"^5\. .*`root=([^`]+)`", README, re.MULTILINE)
    assert (tmp_path / pages[0]).is_file()
    with np.load(tmp_path / root[0] / "breastmnist.npz") as file:
        assert file["train_images"].shape[1:] == (28, 28)
    for words in others:  # raw is set in config.yaml, as step 3 advises
        snakemake(tmp_path, *words, "--config", "raw=raw", "census=warn")


@pytest.mark.workflow
@pytest.mark.real
def test_commands_on_the_published_files(real, tmp_path):
    """On the real files at hand, which are fewer than the published: every row of the raw ones is reproduced."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    breast, vessel, match = (shlex.split(line.replace("/data/raw", str(real)))[1:] for line in REAL)
    said = snakemake(tmp_path, *breast, "census=warn")
    whole, found = re.search(r"breastmnist\.npz: (\d+) of (\d+) rows identical", said).groups()
    assert whole == found != "0"
    for size in (64, 128, 224):
        assert f"breastmnist_{size}.npz: " in said
    said = snakemake(tmp_path, *vessel, "census=warn")
    whole, found = re.search(r"vesselmnist3d\.npz: (\d+) of (\d+) rows identical", said).groups()
    assert whole == found != "0"
    planned = snakemake(tmp_path, *match, "census=warn", "--dry-run")  # tests/test_match.py runs it
    assert re.search(r"^match_dataset +[1-9]", planned, re.MULTILINE)


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
    variant = out / "paper+kernel=lanczos"
    assert (variant / "breastmnist.npz").read_bytes() != before == (out / "paper" / "breastmnist.npz").read_bytes()
    decisions = json.loads((variant / "breastmnist.provenance.json").read_text())["recipe"]["decisions"]
    assert (decisions["kernel"]["value"], decisions["kernel"]["evidence"]) == ("lanczos", "override")

    snakemake(tmp_path, *leak_free)
    rows = (out / "released+split.group_by=lesion" / "dermamnist.samples.tsv").read_text().splitlines()
    split, group = (rows[0].split("\t").index(name) for name in ("split", "group"))
    where: dict[str, set[str]] = {}
    for row in rows[1:]:
        cells = row.split("\t")
        where.setdefault(cells[group], set()).add(cells[split])
    assert all(len(splits) == 1 for splits in where.values())
