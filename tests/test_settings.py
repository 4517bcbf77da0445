"""The configuration: what is accepted, in which form, and how what is not is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from preprocess import recipe
from preprocess.errors import PreprocessError
from preprocess.plan.plan import Plan
from preprocess.plan.settings import Settings, read

ROOT = Path(__file__).parents[1]
SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())


def of(**config) -> Settings:
    return read(config, SCHEMA_FILE)


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


@given(st.lists(st.integers(2, 16384), min_size=1, max_size=6, unique=True))
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
        ({"size": [28]}, "no key is called 'size'; did you mean sizes? the keys are"),
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
        ({"sizes_3d": [1025]}, "greater than the maximum"),
        ({"sizes": "[28, "}, "sizes: '[28, ' cannot be read"),
        ({"overrides": "{a: "}, "overrides: '{a: ' cannot be read"),
        ({"overrides": "kernel=box"}, "is not of type 'object'"),
        ({"overrides": {"breastmnist": "box"}}, "overrides.breastmnist: 'box'"),
        ({"overrides": {"catmnist": {}}}, "no dataset is called 'catmnist'"),
        ({"datasets": ["catmnist"]}, "no dataset is called 'catmnist'"),
        ({"datasets": ["BrestMNIST"]}, "did you mean breastmnist?"),
        ({"overrides": {"dermanist": {}}}, "did you mean dermamnist?"),
        ({"datasets": "all,breastmnist"}, "no dataset is called 'all'"),
        ({"datasets": []}, "datasets"),
        ({"seed": -1}, "less than the minimum"),
        ({"seed": "x"}, "seed: 'x' is not of type 'integer'"),
        ({"seed": 2**32}, "greater than the maximum"),
        ({"raw": ""}, "raw: ''"),
        ({"results": ["a"]}, "results: ['a']"),
        ({"exports": ["docx"]}, "exports"),
        ({"exports": ["parkuet"]}, "did you mean parquet? exports: further formats of every npz, by default []"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(config, words):
    assert words in refusal(**config)


def test_an_unknown_key_is_answered_with_the_known_ones():
    text = refusal(raws="x")
    assert all(key in text for key in SCHEMA["properties"])


def test_an_unknown_dataset_is_answered_with_the_known_ones():
    assert all(name in refusal(datasets=["x"]) for name in recipe.names())


# ---- variants


@pytest.mark.parametrize(
    ("config", "build"),
    [
        ({}, "paper"),
        ({"protocol": "released"}, "released"),
        ({"overrides": {"breastmnist": {}}}, "paper"),
        ({"census": "warn"}, "paper"),
        ({"overrides": {"breastmnist": {"kernel": "lanczos"}}}, "paper+kernel=lanczos"),
        ({"overrides": {"breastmnist": {"split.ratio": "8:1:1", "crop": "none"}}}, "paper+crop=none,split.ratio=8-1-1"),
        ({"seed": 7}, "paper+seed=7"),
        ({"seed": 7, "overrides": {"breastmnist": {"kernel": "box"}}}, "paper+kernel=box,seed=7"),
        ({"variant": "mine", "overrides": {"breastmnist": {"kernel": "box"}}}, "paper+mine"),
        ({"variant": "mine"}, "paper+mine"),
        ({"overrides": {"pathmnist": {"kernel": "box"}, "breastmnist": {"kernel": "box"}}}, "paper+kernel=box"),
        (
            {"overrides": {"pathmnist": {"kernel": "box"}, "breastmnist": {"crop": "none"}}},
            "paper+breastmnist.crop=none,pathmnist.kernel=box",
        ),
    ],
)
def test_other_decisions_are_a_build_of_their_own(config, build):
    assert of(**config).build == build


def test_names_of_variants_are_short_fit_a_folder_and_differ():
    """What a name cannot show, or what is long, is told apart by a digest."""
    values = ["lists/a b.csv", "lists/a-b.csv", "lists/a_b.csv", "x" * 80 + ".csv", "y" * 80 + ".csv", "ä.csv", "ö.csv"]
    names = [of(overrides={"breastmnist": {"split.file": value}}).variant_name for value in values]
    assert len(set(names)) == len(values)
    for name in names:
        assert len(name) <= 60
        assert re.fullmatch(r"split\.file=[A-Za-z0-9._=,-]+", name)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "a b", "x" * 81, "{x}"])
def test_a_variant_is_the_name_of_a_folder(name):
    assert "variant" in refusal(variant=name)
