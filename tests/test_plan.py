"""What a run is to make: datasets, files, what is refused before the first job."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess import recipe
from preprocess.errors import PreprocessError
from preprocess.plan import plan, targets
from preprocess.plan.plan import Plan

ROOT = Path(__file__).parents[1]
SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.json"


@pytest.fixture
def make(tmp_path):
    def make_plan(**config):
        return Plan({"results": str(tmp_path / "results"), **config}, SCHEMA_FILE)

    return make_plan


def test_stand_ins_never_go_where_data_goes(make, tmp_path):
    assert make().out == tmp_path / "results" / "miniature" / "paper"
    (tmp_path / "raw").mkdir()
    assert make(raw=str(tmp_path / "raw")).out == tmp_path / "results" / "paper"
    assert make(protocol="released").out.name == "released"


def test_a_raw_folder_that_is_not_there(make, tmp_path):
    for path in (tmp_path / "gone", Path(__file__)):
        with pytest.raises(PreprocessError, match=r"raw: .* is not a folder"):
            make(raw=str(path))


def test_results_that_cannot_be_written(make, tmp_path):
    (tmp_path / "results").write_text("a file where a folder should be")
    with pytest.raises(PreprocessError, match=r"results: .* cannot be written"):
        make()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_without_permission(make, tmp_path):
    (tmp_path / "results").mkdir(mode=0o500)
    with pytest.raises(PreprocessError, match="cannot be written"):
        make()


def test_a_read_only_file_system_is_told(tmp_path, monkeypatch):
    def refuse(**options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(plan.tempfile, "TemporaryFile", refuse)
    with pytest.raises(PreprocessError, match=r"Read-only file system.*choose another folder"):
        plan.check_writable(tmp_path)


def test_a_named_dataset_without_its_source_is_refused_and_all_leaves_it_out(make, tmp_path):
    (tmp_path / "raw" / "busi").mkdir(parents=True)
    (tmp_path / "raw" / "busi" / "benign (1).png").write_bytes(b"x")
    raw = str(tmp_path / "raw")
    found = make(raw=raw)
    assert found.selected == ["breastmnist"]
    assert "chestmnist" in found.missing
    with pytest.raises(PreprocessError, match=r"chestmnist: .*snakemake --cores 1 sources"):
        make(raw=raw, datasets=["chestmnist"])
    assert make(raw=raw, datasets=["breastmnist"]).missing == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": 1}, "has no decision 'colour'"),
        ({"kernel": "sharp"}, "kernel"),
        ({"split.ratio": "most"}, "split.ratio"),
    ],
)
def test_an_override_that_is_no_decision(make, change, words):
    with pytest.raises(PreprocessError, match=re.escape(words)):
        make(overrides={"breastmnist": change})


def test_sizes_go_by_dimension(make):
    found = make(sizes=[28, 224], sizes_3d=[64])
    assert found.sizes("breastmnist") == (28, 224)
    volumes = [name for name in recipe.names() if recipe.read(name)["dimensions"] == 3]
    assert all(found.sizes(name) == (64,) for name in volumes)
    assert [Path(path).name for path in found.npz("breastmnist")] == ["breastmnist.npz", "breastmnist_224.npz"]


@pytest.mark.parametrize(
    ("word", "guess"),
    [
        ("BreastMNIST", "did you mean breastmnist?"),
        ("nodule_mnist_3d", "did you mean nodulemnist3d?"),
        ("organmnist", "did you mean organamnist or organcmnist or organmnist3d or organsmnist?"),
        ("LIDC-IDRI", "did you mean lidc_idri?"),
        ("souces", "did you mean sources?"),
        ("xyz", "no target is called 'xyz'; 'snakemake"),
    ],
)
def test_what_was_meant(word, guess):
    assert guess in targets.meant(word)


def test_a_source_stands_for_its_datasets(tmp_path):
    found = Plan({"results": str(tmp_path / "results")}, SCHEMA_FILE, lambda: ["kermany"])
    assert found.scope == ["octmnist", "pneumoniamnist"]
    whole = {path for name in found.scope for path in found.asked_for(name)}
    assert set(found.all_of_source("kermany")) == whole


def test_what_a_plan_would_cost_is_told_and_nothing_refused(make, raw):
    table, *rest = make(raw=str(raw), sizes=[28, 64]).beforehand(2)
    assert table.startswith("dataset  ")
    assert rest[0].split()[:2] == ["breastmnist", "780"]
    assert "needed in" in rest[-1]
    assert "it would be refused: " in make(raw=str(raw), sizes=[16384, 16383, 16382]).beforehand(2)[-1]
    assert make().beforehand(2) == []


# ---- what is refused before anything is written


@pytest.fixture
def raw(tmp_path) -> Path:
    """A raw folder of one file, for plans that read none."""
    (tmp_path / "raw" / "busi").mkdir(parents=True)
    (tmp_path / "raw" / "busi" / "benign (1).png").write_bytes(b"x")
    return tmp_path / "raw"


def test_planning_writes_nothing(make, tmp_path, raw):
    before = sorted(tmp_path.rglob("*"))
    found = make(raw=str(raw), overrides={"breastmnist": {"kernel": "box"}})
    assert found.asked_for("breastmnist")
    assert found.current("audit", "breastmnist")
    assert found.leftovers == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("results", "said"),
    [("/", "is the root"), ("raw", "lies in the raw folder"), ("raw/busi/results", "lies in the raw folder"),
     ("a{b}c", "braces")],
)  # fmt: skip
def test_a_results_folder_that_is_none(make, raw, tmp_path, monkeypatch, results, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PreprocessError, match=f"config: results: .*{said}"):
        make(raw=str(raw), results=results)
    assert not (tmp_path / "a{b}c").exists()


def test_a_split_file_that_is_not_there_or_a_result_of_this_build(make, tmp_path):
    with pytest.raises(PreprocessError, match=r"split\.file: nothere\.csv is not a file"):
        make(overrides={"dermamnist": {"split.file": "nothere.csv"}})
    own = tmp_path / "results" / "miniature" / "paper+mine" / "splits" / "dermamnist" / "grouped.tsv"
    own.parent.mkdir(parents=True)
    own.write_text("key\tsplit\n")
    config = {"overrides": {"dermamnist": {"split.file": str(own)}}}
    with pytest.raises(PreprocessError, match="copy it elsewhere"):
        make(variant="mine", **config)
    assert make(**config).out.name.startswith("paper+split.file=")


def test_exceptions_are_read_first(make, tmp_path):
    (tmp_path / "known.yaml").write_text("- dataset: breastmnist\n")
    with pytest.raises(PreprocessError, match="entry 1 needs exactly"):
        make(exceptions=str(tmp_path / "known.yaml"))
    with pytest.raises(PreprocessError, match="cannot be read"):
        make(exceptions=str(tmp_path / "nothere.yaml"))


def test_a_name_that_holds_other_decisions_is_refused(make):
    first = make(variant="mine", overrides={"breastmnist": {"kernel": "box"}})
    record = Path(first.paths.of("provenance", dataset="breastmnist"))
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"config": first.config_of("breastmnist")}))
    assert first.asked_for("breastmnist")
    assert make(variant="mine", sizes=[64], overrides={"breastmnist": {"kernel": "box"}}).asked_for("breastmnist")
    assert make(variant="mine").asked_for("pathmnist")
    for other in ({"overrides": {"breastmnist": {"kernel": "lanczos"}}}, {}, {"seed": 1}):
        with pytest.raises(PreprocessError, match="paper\\+mine holds breastmnist with other decisions"):
            make(variant="mine", **other).asked_for("breastmnist")


def test_names_of_files_follow_the_sizes(make):
    assert make().tails("busi") == [""]
    assert make(sizes=[64, 28]).tails("busi") == ["_64", ""]
    assert make(sizes=[64], sizes_3d=[28, 32]).tails("lits") == ["_64", "_32", ""]


# ---- the datasets of a run


@pytest.mark.parametrize(
    ("targets", "scope"),
    [
        ((), None),
        (("all",), None),
        (("breastmnist",), ["breastmnist"]),
        (("pathmnist", "breastmnist"), ["breastmnist", "pathmnist"]),
        (("results/miniature/paper/breastmnist_64.npz",), ["breastmnist"]),
    ],
)
def test_targets_say_what_a_run_is_about(targets, scope):
    found = Plan({}, SCHEMA_FILE, lambda: targets)
    assert found.scope == (scope or recipe.names())


def test_files_that_nothing_accounts_for_are_left_over(make):
    found = make(sizes=[28])
    for name in ("breastmnist.npz", "breastmnist_37.npz", "pathmnist.samples.tsv", "audit/pathmnist.html", "notes.tsv"):
        (found.out / name).parent.mkdir(parents=True, exist_ok=True)
        (found.out / name).touch()
    asked = Plan({"results": found.settings.results}, SCHEMA_FILE, lambda: ["breastmnist"])
    assert asked.leftovers == ["audit/pathmnist.html", "breastmnist_37.npz", "pathmnist.samples.tsv"]


# ---- what a run costs


def test_a_run_that_does_not_fit_on_the_disk_is_refused(make, tmp_path, monkeypatch):
    import shutil

    (tmp_path / "raw").mkdir()
    found = make(raw=str(tmp_path / "raw"), sizes=[224])
    assert any("free" in line for line in found.forecast(["breastmnist"], 2))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 0, 10**7))
    with pytest.raises(PreprocessError, match=r"are needed.*10\.0 MB are free"):
        found.forecast(["breastmnist"], 2)
    assert make().forecast(["breastmnist"], 2) == []  # stand-ins are small


def test_planning_loads_no_library_of_pixels():
    """Snakemake plans in every job again: what is slow to import is imported where it is used."""
    code = (
        "import sys, yaml; from pathlib import Path; from preprocess.plan.plan import Plan; "
        "plan = Plan(yaml.safe_load(open('config.yaml')), Path('workflow/schemas/config.schema.json')); "
        "[plan.outputs(name) for name in plan.selected]; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "preprocess" in loaded
    assert not loaded & {
        "numpy", "PIL", "scipy", "matplotlib", "h5py", "nibabel", "SimpleITK", "pydicom", "pylidc", "trimesh",
        "pymeshfix", "tifffile", "httpx", "jinja2", "tqdm",
    }  # fmt: skip


def test_plugins_are_not_in_the_default_install():
    assert "snakemake-executor-plugin" not in (ROOT / "requirements.lock").read_text()


def test_a_package_that_is_not_there_is_said_before_anything_is_built(make, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jpeglib" else found(name))
    monkeypatch.setattr(plan.environment, "hold", lambda folder: None)
    told = make(protocol="released", datasets=["bloodmnist", "breastmnist"]).begin(2)
    assert [line.partition(" needs ")[0] for line in told[:2]] == [
        "ERROR: bloodmnist: decoder: 28: ijg-9b, other: pillow",
        "ERROR: bloodmnist: jpeg: 28: q75-ijg-9b, other: none",
    ]
    assert all("the package jpeglib, which is not installed" in line for line in told[:2])
    assert not any("ERROR" in line for line in make(datasets=["bloodmnist"]).begin(2))  # paper needs none


# ---- how an npz is packed


@pytest.mark.parametrize(
    ("dataset", "config", "container"),
    [
        ("breastmnist", {"protocol": "released"}, "published"),  # its order is known
        ("adrenalmnist3d", {"protocol": "released"}, "published"),  # its source is the published file
        ("bloodmnist", {"protocol": "released"}, "chunked"),  # nobody knows its order
        ("breastmnist", {"protocol": "paper"}, "chunked"),
        ("breastmnist", {"protocol": "released", "overrides": {"breastmnist": {"kernel": "box"}}}, "chunked"),
        ("breastmnist", {"protocol": "released", "raw": "miniature"}, "chunked"),
    ],
)
def test_the_published_container_is_kept_where_its_md5_can_be_met(dataset, config, container, tmp_path):
    (tmp_path / "raw").mkdir()
    whole = {"raw": str(tmp_path / "raw"), "results": str(tmp_path / "results"), **config}
    assert Plan(whole, SCHEMA_FILE).container(dataset) == container


def test_processes_that_pack_need_memory_and_threads_do_not(make, raw):
    (raw / "pbc").mkdir(exist_ok=True)
    (raw / "pbc" / "x.jpg").write_bytes(b"x")
    found = make(raw=str(raw), sizes=[28, 64, 128, 224])
    assert [found.pack_memory("bloodmnist", workers) for workers in (1, 2, 4)] == [400, 600, 800]
    slow = make(raw=str(raw), sizes=[28, 64, 128, 224], protocol="released")
    assert slow.container("breastmnist") == "published"
    assert slow.pack_memory("breastmnist", 1) == slow.pack_memory("breastmnist", 6)
    assert make().pack_memory("bloodmnist", 1) == make().memory("bloodmnist")


def test_a_table_of_the_user_s_own_makes_the_published_container(tmp_path):
    (tmp_path / "raw" / "released_order").mkdir(parents=True)
    (tmp_path / "raw" / "released_order" / "bloodmnist.csv").write_text("split,index,image_id\ntrain,0,a\n")
    config = {"raw": str(tmp_path / "raw"), "results": str(tmp_path / "results"), "protocol": "released"}
    assert Plan(config, SCHEMA_FILE).container("bloodmnist") == "published"


def test_the_level_is_of_the_pack_stage_and_those_after():
    one, other = (Plan({"deflate": level}, SCHEMA_FILE) for level in (1, 6))
    stages = ("render", "collect", "pack", "reread", "samples", "check", "provenance")
    changed = [stage for stage in stages if one.current(stage, "pathmnist") != other.current(stage, "pathmnist")]
    assert changed == ["pack", "reread", "samples", "check", "provenance"]
