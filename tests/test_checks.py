"""What a build must hold, and what is said of decisions: each check finds what was spoilt for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageEnhance

from preprocess import recipe
from preprocess.audit import checks
from preprocess.recipe import Choice
from tests.builds import build, checked, image


def test_rows_that_do_not_come_from_their_raw_file_are_an_error(tree, tmp_path):
    """Raw files changed after they were rendered: of the rows rendered again, exactly theirs differ, at both sizes."""
    done = build("breastmnist", tree, tmp_path / "built", sizes=(28, 64))
    assert ("rebuild", "information") in checked(done, tree)
    changed = {f"benign/benign ({number}).png" for number in range(1, 11)}
    for number in range(1, 11):
        path = image(tree, "benign", number)
        ImageEnhance.Brightness(Image.open(path)).enhance(0.5).save(path)
    again = np.random.RandomState(42).permutation(len(done.samples))[:8]
    expected = {done.samples[row]["key"] for row in again} & changed
    found = checked(done, tree)
    assert 0 < len(expected) < 10
    examples = [key for (key,) in found["rebuild", "error"]["examples"]]
    assert set(examples) == expected
    assert f"{len(expected)} of 8 rows" in found["rebuild", "error"]["text"]


def test_a_lost_sample_and_an_altered_label_are_errors(tree, tmp_path):
    done = build("breastmnist", tree, tmp_path / "built")
    table = done.folder / "samples.tsv"
    whole = table.read_text()
    last = whole.splitlines()[-1]
    index = (done.folder / "index.tsv").read_text()
    stranger = "stranger" + "\t" * index.partition("\n")[0].count("\t")
    (done.folder / "index.tsv").write_text(f"{index}{stranger}\n")
    found = checked(done, tree)
    assert found["ledger", "error"]["examples"] == [["stranger"]]
    cells = last.split("\t")
    label = whole.splitlines()[0].split("\t").index("label")
    cells[label] = "1" if cells[label] == "0" else "0"
    table.write_text(whole.replace(last, "\t".join(cells)))
    assert "test_labels differ from the samples table" in checked(done, tree)["format", "error"]["text"]


def test_a_note_is_a_warning_and_a_missing_package_an_error():
    one = recipe.load("breastmnist", "released")
    told = {
        "jpeg": Choice("none", "bytes", "why", "read this"),
        "kernel": Choice("bilinear", "bytes", "why", missing="needs the package x"),
    }
    found = {finding.check: finding for finding in checks._decisions(replace(one, decisions=one.decisions | told))}
    assert (found["note"].level, found["note"].text) == ("warning", "jpeg: read this")
    assert (found["fallback"].level, found["fallback"].text) == ("error", "kernel: needs the package x")
