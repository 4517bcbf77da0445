"""A rehearsal: which samples are drawn, that it is marked wherever it is seen, and that nothing attests it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess import rehearsal
from preprocess.errors import PreprocessError
from preprocess.plan.plan import Plan
from preprocess.table import Sample, read_rows, write_rows
from tests.test_workflow import ROOT, jobs, snakemake

SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.json"


# ---- the draw

ROWS = st.lists(
    st.tuples(st.sampled_from(["train", "val", "test"]), st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=80
)


def samples(rows: list[tuple[str, int, int]]) -> list[Sample]:
    return [
        Sample(f"k{place}", split=split, label=str(label), group=f"{split}{group}" if group else "", index=place)
        for place, (split, label, group) in enumerate(rows)
    ]


@given(ROWS, st.integers(1, 100), st.integers(0, 5))
def test_as_many_as_asked_for_and_one_of_each_split_and_class(rows, n, seed):
    drawn = samples(rows)
    kept, whole = rehearsal.leave_out(drawn, n, seed)
    left = [sample for sample in drawn if sample.split]
    strata = {(split, str(label)) for split, label, _ in rows}
    assert (kept, whole) == (len(left), len(rows))
    assert kept == min(len(rows), max(n, len(strata)))
    assert {(sample.split, sample.label) for sample in left} == strata
    for sample in drawn:
        if not sample.split:
            assert (sample.reason, sample.index) == (rehearsal.REASON, -1)
    for sample, (split, label, _) in zip(drawn, rows, strict=True):
        assert sample.split in ("", split)
        assert sample.label == str(label)


@given(ROWS, st.integers(1, 40), st.randoms())
def test_the_draw_goes_by_names_and_seed_not_by_order(rows, n, chance):
    first, again = samples(rows), samples(rows)
    chance.shuffle(again)
    rehearsal.leave_out(first, n, 7)
    rehearsal.leave_out(again, n, 7)
    assert {one.key for one in first if one.split} == {one.key for one in again if one.split}


def test_shares_follow_the_sizes_of_split_and_class():
    drawn = samples([("train", 0, 0)] * 700 + [("train", 1, 0)] * 200 + [("test", 0, 0)] * 100)
    rehearsal.leave_out(drawn, 100, 1)
    counts = Counter((sample.split, sample.label) for sample in drawn if sample.split)
    assert counts == {("train", "0"): 69, ("train", "1"): 21, ("test", "0"): 10} or sum(counts.values()) == 100
    assert abs(counts["train", "0"] - 70) <= 1
    assert abs(counts["train", "1"] - 20) <= 1


def test_several_labels_are_not_as_many_classes_as_there_are_combinations():
    """ChestMNIST: 14 labels, of which the images have hundreds of combinations."""
    drawn = [
        Sample(f"k{number}", split=split, label=" ".join(f"{number:014b}"))
        for split in ("train", "val", "test")
        for number in range(2**12)
    ]
    kept, whole = rehearsal.leave_out(drawn, 100, 1)
    assert (kept, whole) == (100, 3 * 2**12)
    firsts = {(sample.split, sample.label.find("1")) for sample in drawn if sample.split}
    assert len(firsts) == 3 * 13  # each of the twelve labels there are, and none


def test_groups_are_drawn_together_in_every_class():
    """Forty scans of ten samples of each of three classes: few scans are opened, each for more than one sample."""
    drawn = [
        Sample(f"{scan}-{label}-{number}", split="train", label=str(label), group=f"scan {scan}")
        for scan in range(40)
        for label in range(3)
        for number in range(10)
    ]
    rehearsal.leave_out(drawn, 60, 3)
    opened = Counter(sample.group for sample in drawn if sample.split)
    assert sum(opened.values()) == 60
    assert len(opened) == 20 // rehearsal.TOGETHER  # the same in every class
    assert set(opened.values()) == {3 * rehearsal.TOGETHER}


def test_a_sample_left_out_before_keeps_its_reason():
    missing = Sample("a", split="train", label="0", reason="missing", detail="no such file")
    rehearsal.leave_out([missing, *samples([("train", 0, 0)] * 5)], 2, 1)
    assert (missing.split, missing.reason) == ("train", "missing")


# ---- the plan


def plan(tmp_path: Path, targets: tuple[str, ...] = (), **config) -> Plan:
    return Plan({"results": str(tmp_path / "results"), **config}, SCHEMA_FILE, lambda: targets)


def test_it_lies_in_a_folder_of_its_own_and_no_list_attests_it(tmp_path):
    whole, part = plan(tmp_path), plan(tmp_path, rehearsal=20, exports=["npy"])
    assert part.out == whole.base / "rehearsal" / "paper"
    assert not set(part.everything()) & set(whole.everything())
    assert not [path for path in part.everything() if "SUMS" in path or "ARRAYS" in path or "/npy/" in path]
    assert part.config_of("breastmnist")["rehearsal"] == 20
    assert "rehearsal" not in whole.config_of("breastmnist")
    for stage in ("split", "render", "pack", "provenance", "audit"):
        assert part.current(stage, "breastmnist") != whole.current(stage, "breastmnist")
    assert part.current("index", "breastmnist") == whole.current("index", "breastmnist")
    other = plan(tmp_path, rehearsal=21)
    assert other.current("split", "breastmnist") != part.current("split", "breastmnist")
    assert other.current("match_sample", "breastmnist") != part.current("match_sample", "breastmnist")


def test_without_a_number_it_is_refused(tmp_path):
    with pytest.raises(PreprocessError, match=r"--config rehearsal=200"):
        plan(tmp_path).rehearsal()


def test_volumes_are_not_prepared_whole(tmp_path):
    assert plan(tmp_path).sharing("organamnist")
    assert plan(tmp_path, rehearsal=5).sharing("organamnist") == []


def test_it_costs_what_its_samples_cost(tmp_path):
    (tmp_path / "raw").mkdir()
    whole = plan(tmp_path, raw=str(tmp_path / "raw")).forecast(["chestmnist"], 2)
    part = plan(tmp_path, raw=str(tmp_path / "raw"), rehearsal=200).forecast(["chestmnist"], 2)
    assert "112,120" in whole[1]
    assert " 200 " in part[1]


# ---- a run


@pytest.mark.workflow
@pytest.mark.timeout(600)
def test_a_rehearsal_goes_through_every_step_and_says_so(finished, tmp_path):
    folder = tmp_path / "built"
    shutil.copytree(finished, folder, symlinks=True)
    base = folder / "results" / "miniature"
    before = {path: path.read_bytes() for path in (base / "paper").rglob("*") if path.is_file()}
    said = snakemake(folder, "rehearse", "--config", "rehearsal=12", "datasets=[breastmnist]")
    assert "breastmnist: a rehearsal on 12 samples, no build: 0 errors, 1 warning (rehearsal)" in said
    out = base / "rehearsal" / "paper"
    rows, left_out = (list(read_rows(out / f"breastmnist.{kind}.tsv")) for kind in ("samples", "excluded"))
    assert len(rows) == 12
    assert {(row["split"], row["label"]) for row in rows} == {
        (split, label) for split in ("train", "val", "test") for label in "01"
    }
    whole = {row["key"]: row for row in read_rows(base / "paper" / "breastmnist.samples.tsv")}
    assert len(rows) + len(left_out) == len(whole)
    assert {row["reason"] for row in left_out} == {"not-rehearsed"}
    for row in rows:  # as in the whole, but for the place
        assert row == whole[row["key"]] | {"index": row["index"]}
    made = json.loads((out / "breastmnist.provenance.json").read_text())
    assert made["rehearsal"] == made["config"]["rehearsal"] == 12
    assert "rehearsal=12" in made["command"]
    assert made["verdict"]["breastmnist.npz"]["text"].startswith("a rehearsal, no build")
    for page in ("breastmnist.html", "index.html"):
        text = (out / "audit" / page).read_text()
        assert 'data-notice="rehearsal"' in text
        assert "Rehearsal: a sample of the raw files, not a build" in text
    assert not (out / "MD5SUMS").exists()
    assert (out / "work" / "breastmnist" / "gate.txt").is_file()
    assert {path: path.read_bytes() for path in (base / "paper").rglob("*") if path.is_file()} == before
    assert "Nothing to be done" in snakemake(folder, "breastmnist")
    planned = jobs(snakemake(folder, "rehearse", "--dry-run", "--config", "rehearsal=13", "datasets=[breastmnist]"))
    assert {"split", "render", "pack", "audit"} <= planned
    assert not {"miniature", "index"} & planned
    # put where builds lie, it is taken for none
    (base / "paper" / "pathmnist.npz").write_bytes((out / "breastmnist.npz").read_bytes())
    shutil.copy(out / "breastmnist.provenance.json", base / "paper")
    asked = Plan({"results": str(folder / "results")}, SCHEMA_FILE, lambda: ["pathmnist"])
    assert asked.attested == ["pathmnist"]
    assert "breastmnist.npz" in asked.leftovers
    asked = Plan({"results": str(folder / "results")}, SCHEMA_FILE, lambda: ["breastmnist"])
    assert asked.leftovers == ["pathmnist.npz"]
    assert asked.outdated == ["breastmnist"]


@pytest.mark.workflow
@pytest.mark.real
@pytest.mark.timeout(900)
def test_the_pixels_of_true_files_agree(real, folder):
    """BUSI's rows are rebuilt byte for byte, so those of a sample are."""
    words = ("rehearse", "--config", f"raw={real}", "rehearsal=12", "census=warn", "protocol=released",
             "datasets=[breastmnist]")  # fmt: skip
    said = snakemake(folder, *words)
    assert "a rehearsal, no build: 12 of 12 rows identical, worst difference 0" in said
    assert "breastmnist: the pixels agree: 12 of 12 samples are a published row at 28 pixel for pixel" in said
    assert not (folder / "results" / "released").exists()


def test_what_is_said_of_the_pixels(tmp_path):
    summary = tmp_path / "audit.json"
    verdict = {"x.npz": {"text": "as it is"}}
    summary.write_text(
        json.dumps({"counts": {"train": 10}, "rehearsal": 10, "errors": ["blank"], "warnings": [], "verdict": verdict})
    )
    columns = ("size", "decision", "value", "in_force", "exact")
    cases = {
        ("yes", 10): "the pixels agree:",
        ("yes", 4): "agree in part: 4 of 10",
        ("yes", 0): "do not agree: 0 of 10",
        ("", 9): "do not agree: by kernel=box 9 of 10",
    }
    for (in_force, exact), words in cases.items():
        write_rows(tmp_path / "decisions.tsv", columns, [(28, "all", "kernel=box", in_force, exact)])
        first, second, last = rehearsal.outcome("x", summary, tmp_path / "decisions.tsv")
        assert first == "x: a rehearsal on 10 samples, no build: 1 error (blank), 0 warnings"
        assert second == "x: x.npz: as it is"
        assert words in last
    assert len(rehearsal.outcome("x", summary, None)) == 2
