"""The configuration: what is accepted, in which form, and how what is not is told."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from preprocess import recipe
from preprocess.errors import PreprocessError
from preprocess.plan import plan as plan_module
from preprocess.plan.plan import Plan, settings

ROOT = Path(__file__).parents[1]
SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())


def of(**config):
    return settings(config, SCHEMA)


def refusal(**config) -> str:
    with pytest.raises(PreprocessError) as caught:
        of(**config)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("config: ")
    return text


def test_nothing_given_is_the_documented_default():
    found = of()
    assert (found.raw, found.results, found.protocol, found.census) == ("miniature", "results", "paper", "strict")
    assert (found.sizes, found.sizes_3d, found.seed) == ((28,), (28,), 42)
    assert found.datasets is None
    assert (found.overrides, found.exports, found.exceptions, found.sources) == ({}, (), None, ())


def test_the_config_file_shipped_says_the_defaults():
    assert of(**yaml.safe_load((ROOT / "config.yaml").read_text())) == of()


@pytest.mark.parametrize("form", [[28, 64], ["28", "64"], "[28, 64]", "[28,64]", "28,64", " 28 , 64 "])
def test_sizes_in_every_form_a_command_line_gives(form):
    assert of(sizes=form).sizes == (28, 64)
    assert of(sizes_3d=form).sizes_3d == (28, 64)


@pytest.mark.parametrize("value", [31, "31"])
def test_a_whole_number_in_an_override_may_be_text(value):
    """Snakemake hands on all that stands in a mapping on the command line as text."""
    plan = Plan({"overrides": {"vesselmnist3d": {"cube": value}}}, SCHEMA_FILE)
    assert plan.recipe("vesselmnist3d").value("cube") == 31


@pytest.mark.parametrize("form", [64, "64", "[64]", [64]])
def test_one_size(form):
    assert of(sizes=form).sizes == (64,)


@given(st.lists(st.integers(2, 4096), min_size=1, max_size=6, unique=True))
def test_any_integers_are_sizes_and_keep_their_order(sizes):
    for form in (sizes, str(sizes), ",".join(map(str, sizes)), [str(size) for size in sizes]):
        assert of(sizes=form).sizes == tuple(sizes)


@pytest.mark.parametrize("form", ["breastmnist,chestmnist", "[breastmnist, chestmnist]", ["breastmnist", "chestmnist"]])
def test_datasets_in_every_form(form):
    assert of(datasets=form).datasets == ("breastmnist", "chestmnist")


def test_one_dataset_and_all():
    assert of(datasets="breastmnist").datasets == ("breastmnist",)
    assert of(datasets="all").datasets is None


def test_sources_for_fetch():
    assert of(sources="busi,released/breastmnist*").sources == ("busi", "released/breastmnist*")


@pytest.mark.parametrize(
    "form",
    [
        {"breastmnist": {"split.ratio": "8:1:1"}},
        '{"breastmnist": {"split.ratio": "8:1:1"}}',
        "{breastmnist: {split.ratio: '8:1:1'}}",
    ],
)
def test_overrides_as_mapping_and_as_text(form):
    assert of(overrides=form).overrides == {"breastmnist": {"split.ratio": "8:1:1"}}


@pytest.mark.parametrize("form", [7, "7"])
def test_seed(form):
    assert of(seed=form).seed == 7


def test_null_is_the_default():
    assert of(sizes=None, exceptions=None, datasets=None) == of()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"size": [28]}, "'size' was unexpected"),
        ({"protocol": "published"}, "protocol: 'published' is not one of ['paper', 'released']"),
        ({"census": "off"}, "census: 'off'"),
        ({"sizes": "big"}, "sizes.0: 'big' is not of type 'integer'"),
        ({"sizes": [28.5]}, "sizes.0: 28.5"),
        ({"sizes": []}, "sizes: []"),
        ({"sizes": [28, 28]}, "non-unique"),
        ({"sizes": [1]}, "less than the minimum"),
        ({"sizes": [0]}, "less than the minimum"),
        ({"sizes": "-28"}, "sizes.0: '-28'"),
        ({"sizes": True}, "sizes.0: True"),
        ({"sizes": {"a": 1}}, "sizes: {'a': 1}"),
        ({"sizes_3d": [1024]}, "greater than the maximum"),
        ({"sizes": "[28, "}, "sizes: '[28, ' cannot be read"),
        ({"overrides": "{a: "}, "overrides: '{a: ' cannot be read"),
        ({"overrides": "kernel=box"}, "is not of type 'object'"),
        ({"overrides": {"breastmnist": "box"}}, "overrides.breastmnist: 'box'"),
        ({"overrides": {"catmnist": {}}}, "no dataset is called 'catmnist'"),
        ({"datasets": ["catmnist"]}, "no dataset is called 'catmnist'"),
        ({"datasets": "all,breastmnist"}, "no dataset is called 'all'"),
        ({"datasets": []}, "datasets"),
        ({"seed": -1}, "less than the minimum"),
        ({"seed": "x"}, "seed: 'x' is not of type 'integer'"),
        ({"seed": 2**32}, "greater than the maximum"),
        ({"raw": ""}, "raw: ''"),
        ({"results": ["a"]}, "results: ['a']"),
        ({"exports": ["docx"]}, "exports"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(config, words):
    assert words in refusal(**config)


def test_an_unknown_key_is_answered_with_the_known_ones():
    text = refusal(raws="x")
    assert all(key in text for key in SCHEMA["properties"])


def test_an_unknown_dataset_is_answered_with_the_known_ones():
    assert all(name in refusal(datasets=["x"]) for name in recipe.names())


# ---- the plan


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

    monkeypatch.setattr(plan_module.tempfile, "TemporaryFile", refuse)
    with pytest.raises(PreprocessError, match=r"Read-only file system.*choose another folder"):
        plan_module.check_writable(tmp_path)


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


def test_command_lines_survive_a_shell(make, tmp_path):
    raw = tmp_path / "raw with (odd) 'name'"
    (raw / "busi").mkdir(parents=True)
    (raw / "busi" / "benign (1).png").write_bytes(b"x")
    found = make(raw=str(raw), sources=["busi"])
    for line in (
        found.options("index", "breastmnist"),
        found.raw_options("fetch"),
        found.raw_options("verify", "busi"),
    ):
        assert str(raw) in " ".join(shlex.split(line))
        assert any(word.startswith(str(raw)) for word in shlex.split(line))
    assert found.raw_options("fetch").endswith("--datasets breastmnist")


def test_a_build_of_real_files_waits_for_their_verification(make, tmp_path):
    (tmp_path / "raw" / "busi").mkdir(parents=True)
    assert make().verified("busi") == []
    found = make(raw=str(tmp_path / "raw"))
    assert found.verified("busi") == [str(tmp_path / "results" / "paper" / "raw" / "busi.json")]
    before = found.known_files("busi")
    (tmp_path / "raw" / "sources.yaml").write_text("{busi: {files: [{name: Dataset_BUSI.zip}]}}")
    assert make(raw=str(tmp_path / "raw")).known_files("busi") != before


# ---- what a run costs


def test_the_forecast_counts_arrays_exactly(make, tmp_path):
    from preprocess.acquire import estimate

    one = estimate.cost("breastmnist", [28, 224])
    assert one.samples == 780
    assert one.scratch == 780 * (28 * 28 + 224 * 224)
    assert estimate.cost("dermamnist", [28]).scratch == 10_015 * 28 * 28 * 3
    assert one.output < one.scratch
    assert estimate.cost("breastmnist", [28]).seconds < one.seconds


@pytest.mark.parametrize("name", recipe.names())
def test_every_dataset_has_figures_with_a_basis(name):
    from preprocess.acquire import estimate

    one = estimate.cost(name, [28])
    assert one.basis in ("measured", "similar", "assumed")
    assert one.seconds > 0


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
