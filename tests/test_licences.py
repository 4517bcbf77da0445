"""No output is freer than its source."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preprocess import recipe
from preprocess.acquire import registry
from preprocess.audit import licences


@pytest.mark.parametrize(
    ("output", "source", "allowed"),
    [
        ("CC BY 4.0", "CC BY 4.0", True),
        ("CC BY 4.0", "CC BY 3.0", True),
        ("CC BY-NC 4.0", "CC BY 4.0", True),
        ("CC BY 4.0", "CC BY-NC 4.0", False),
        ("CC BY-SA 4.0", "CC BY-NC 4.0", False),
        ("CC0 1.0", "CC BY 4.0", False),
        ("CC BY-NC 4.0", "CC BY-NC-SA 4.0", False),
        ("CC BY-NC-SA 4.0", "CC BY-SA 4.0", False),
        ("CC BY-NC-SA 4.0", "CC BY-NC-SA 4.0", True),
        ("CC BY 4.0", "unknown", False),
        ("unknown", "unknown", True),
        ("CC BY 4.0", "NIH terms of use", False),
        ("NIH terms of use", "NIH terms of use", True),
    ],
)
def test_rule(output, source, allowed):
    assert (licences.problem(output, source) is None) is allowed


@pytest.mark.parametrize("name", recipe.names())
def test_no_recipe_claims_more_than_its_source_gives(name):
    about = recipe.read(name)
    assert licences.problem(about["licence"], registry.load()[about["source"]].licence) is None


def test_the_known_traps():
    assert recipe.read("dermamnist")["licence"] == "CC BY-NC 4.0"  # others publish derivatives as CC BY-SA 4.0
    if "fracturemnist3d" in recipe.names():
        assert recipe.read("fracturemnist3d")["licence"] == "CC BY-NC 4.0"  # the medmnist package says CC BY 4.0


def test_a_freer_output_fails_the_build(stand_in, builder, monkeypatch):
    freer = replace(recipe.dataset("dermamnist"), licence="CC BY 4.0")
    monkeypatch.setattr(recipe, "dataset", lambda name: freer)
    findings = builder("dermamnist", stand_in("ham10000")).findings
    assert [one["level"] for one in findings if one["check"] == "licence"] == ["error"]


def test_an_unknown_source_licence_is_a_warning(stand_in, builder):
    findings = builder("retinamnist", stand_in("deepdrid")).findings
    assert [one["level"] for one in findings if one["check"] == "licence"] == ["warning"]
