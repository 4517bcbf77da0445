"""Provenance: which decisions were not in force in a build, and which could not be followed."""

from __future__ import annotations

import importlib.util

from preprocess import recipe
from preprocess.audit import provenance
from preprocess.table import write_rows


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
        records = provenance.BuildRecords(samples, (sums,), (), findings, verdict)
        run = provenance.RunFacts({}, miniature=False, default_seed=42)
        decisions[placed] = provenance.describe(recipe.load("bloodmnist", "released"), records, run).recipe.decisions
    assert decisions[""]["split.rule"].not_in_force == ""
    assert decisions["0"]["split.rule"].not_in_force == "the order table places the samples"
    assert "jpeglib, which is not installed" in decisions[""]["jpeg"].missing
    assert decisions[""]["jpeg"].value["28"] == "q75"
    assert decisions[""]["crop"].missing == ""
