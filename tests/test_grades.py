"""The grades of the recipes, as far as a program can check their definitions in docs/decisions.md."""

from __future__ import annotations

import re

import pytest

from preprocess import recipe
from preprocess.audit import checks
from preprocess.decisions import DECISIONS, PROTOCOLS

#: what was published and can be compared in bytes or pixels
PUBLISHED = r"\b(rows?|tiles?|frames?|MD5|boxes|volumes|published file)\b"
ALL = [(name, protocol) for name in recipe.names() for protocol in PROTOCOLS]


def choices(name, protocol):
    return recipe.load(name, protocol).decisions.items()


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_bytes_names_a_published_row_or_file(name, protocol):
    for key, choice in choices(name, protocol):
        if choice.evidence == "bytes":
            assert re.search(PUBLISHED, choice.why), f"{key}: {choice.why}"
            assert DECISIONS[key].stage != "split" or key == "order", f"{key}: a rule gives counts, only a table bytes"


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_a_figure_or_the_paper_stands_behind_counts(name, protocol):
    for key, choice in choices(name, protocol):
        if choice.evidence == "counts":
            assert re.search(r"\d|count|total|size|scans|list|split|paper", choice.why), f"{key}: {choice.why}"


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_what_stands_for_something_is_assumed(name, protocol):
    for key, choice in choices(name, protocol):
        if re.search(r"\bstands? (in )?for\b", choice.why):
            assert choice.evidence == "assumed", f"{key}: {choice.why}"


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_what_is_not_in_force_is_not_counted_as_assumed(name, protocol):
    one = recipe.load(name, protocol)
    told = [finding.text for finding in checks._decisions(one) if finding.check == "assumed"]
    listed = [key for text in told for key in text.partition(": ")[2].split(", ")]
    assert listed == one.assumed()
    assert not [key for key in listed if one.idle(key)]
    for key, choice in one.decisions.items():
        if choice.evidence in ("assumed", "unknown"):
            assert (key in listed) != bool(one.idle(key))
