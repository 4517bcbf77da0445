"""The grades of the recipes, as far as a program can check their definitions in docs/decisions.md."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace

import pytest

from preprocess import docs, recipe
from preprocess.audit import checks, provenance
from preprocess.decisions import DECISIONS, PROTOCOLS
from preprocess.recipe import Choice
from preprocess.table import write_rows

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


def test_what_is_in_force_follows_the_other_decisions():
    paper, released = recipe.load("breastmnist", "paper"), recipe.load("breastmnist", "released")
    assert paper.idle("crop_rounding") == "crop is none"
    assert released.idle("crop_rounding") == ""
    some = recipe.load("breastmnist", "paper", {"crop": {28: "centre-square", "other": "none"}})
    assert some.idle("crop_rounding") == ""
    chest = recipe.load("chestmnist", "released")
    assert [key for key in chest.decisions if chest.idle(key)] == ["split.ratio", "split.group_by", "crop_rounding"]
    by_rule = recipe.load("chestmnist", "released", {"split.rule": "per-class"})
    assert [key for key in by_rule.decisions if by_rule.idle(key)] == ["split.list", "crop_rounding"]
    own = recipe.load("breastmnist", "released", {"split.file": "mine.csv"})
    assert own.idle("split.rule") == own.idle("split.ratio") == "split.file places the samples"
    retina = recipe.load("retinamnist", "released")
    assert retina.idle("split.group_class") == ""
    assert recipe.load("retinamnist", "released", {"split.group_by": "none"}).idle("split.group_class")


def test_where_an_order_table_places_the_samples_no_rule_splits_them(stand_in, builder, tmp_path):
    released = recipe.load("breastmnist", "released")
    placed = [key for key in released.decisions if released.idle(key, placed=True)]
    assert placed == ["split.rule", "split.ratio", "split.group_by", "split.keep"]
    assert not released.idle("order", placed=True)
    done = builder("breastmnist", stand_in("busi"), protocol="released")
    keys = [row["key"] for row in done.samples]
    table = tmp_path / "order.csv"
    lines = [f"{('train', 'val', 'test')[i % 3]},{i // 3},{key}\n" for i, key in enumerate(keys)]
    table.write_text("split,index,image_id\n" + "".join(lines))
    done = builder("breastmnist", stand_in("busi"), protocol="released", order_table=table)
    assert all(row["released_index"] for row in done.samples)
    told = [one["text"] for one in done.findings if one["check"] == "assumed"]
    assert not any("split." in text for text in told)


def test_every_condition_names_decisions_and_their_values():
    for key, decision in DECISIONS.items():
        for others in (decision.needs, decision.idle):
            for other, values in others.items():
                assert other != key
                assert all(DECISIONS[other].problem(value) is None for value in values), (key, other)


def test_the_page_of_decisions_gives_no_grade_to_what_is_not_in_force():
    page = docs.pages()["decisions.md"].partition("### chestmnist")[2].partition("###")[0]
    (ratio,) = (line for line in page.splitlines() if line.startswith("| `split.ratio`"))
    assert "(not in force: split.rule is list)" in ratio
    assert "(`" not in ratio


def test_a_note_is_a_warning_and_a_missing_package_an_error():
    one = recipe.load("breastmnist", "released")
    told = {
        "jpeg": Choice("none", "bytes", "why", "read this"),
        "kernel": Choice("bilinear", "bytes", "why", missing="needs the package x"),
    }
    found = {finding.check: finding for finding in checks._decisions(replace(one, decisions=one.decisions | told))}
    assert (found["note"].level, found["note"].text) == ("warning", "jpeg: read this")
    assert (found["fallback"].level, found["fallback"].text) == ("error", "kernel: needs the package x")


def test_provenance_tells_what_is_not_in_force_and_what_is_missing(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jpeglib" else found(name))
    samples, sums, findings, verdict = (tmp_path / name for name in ("samples.tsv", "sums.tsv", "a.json", "b.json"))
    findings.write_text("[]")
    verdict.write_text("{}")
    write_rows(sums, ("kind", "name", "digest"), [])
    decisions = {}
    for placed in ("", "0"):
        write_rows(samples, ("key", "raw_sha256", "released_index"), [("a", "0" * 64, placed)])
        records = provenance.BuildRecords(samples, sums, findings, verdict)
        run = provenance.RunFacts({}, miniature=False, default_seed=42)
        decisions[placed] = provenance.describe(recipe.load("bloodmnist", "released"), records, run).recipe.decisions
    assert decisions[""]["split.rule"].not_in_force == ""
    assert decisions["0"]["split.rule"].not_in_force == "the order table places the samples"
    assert "jpeglib, which is not installed" in decisions[""]["jpeg"].missing
    assert decisions[""]["jpeg"].value["28"] == "q75"
    assert decisions[""]["crop"].missing == ""
