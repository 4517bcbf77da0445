"""Errors of the audit that a person has signed off: how their file is read, and what the gate makes of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from preprocess.audit import exceptions
from preprocess.audit.findings import Finding
from preprocess.errors import PreprocessError
from tests.builds import CommandError, run
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {dataset: breastmnist, check: blank, reason: '', signed: me}", "entry 1 needs exactly dataset, check, rea"),
        ("- {dataset: breastmnist, check: blank, reason: so, signed: me, until: 2030}", "entry 1 needs exactly"),
        ("- {dataset: breastmnist, check: blank, reason: so}", "entry 1 needs exactly"),
        ("- {dataset: breastminst, check: blank, reason: so, signed: me}", "no dataset is called 'breastminst'"),
        ("dataset: breastmnist", "must be a list of entries"),
        ("- [", "cannot be read"),
    ],
)
def test_a_bad_file_of_exceptions_is_refused(tmp_path, text, told):
    path = tmp_path / "signed.yaml"
    path.write_text(text)
    with pytest.raises(PreprocessError, match=told) as caught:
        exceptions.read(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_exceptions_must_be_there(tmp_path):
    with pytest.raises(PreprocessError, match="cannot be read"):
        exceptions.read(tmp_path / "none.yaml")


def test_an_exception_that_fits_nothing_is_told():
    found = [Finding("blank", "error", "1 image"), Finding("ledger", "information", "all")]

    def marked(**entry):
        known = [exceptions.SignedOff("breastmnist", reason="so", signed="me", **entry)]
        return [(one.check, one.level, one.excepted or None) for one in exceptions.mark(dataset, found, known)]

    dataset, ledger = "breastmnist", ("ledger", "information", None)
    stale = ("exceptions", "warning", None)
    assert marked(check="blank") == [("blank", "error", "so (me)"), ledger]
    assert marked(check="blank", text="1 image") == [("blank", "error", "so (me)"), ledger]
    assert marked(check="blank", text="2 images") == [("blank", "error", None), ledger, stale]
    assert marked(check="ledger") == [("blank", "error", None), ledger, stale]
    dataset = "dermamnist"  # another dataset's entry is not its business
    assert marked(check="blank") == [("blank", "error", None), ledger]


def test_the_gate_takes_one_dataset_as_well_as_all(drawn, tmp_path):
    done, _, data, _ = drawn
    assert exceptions.errors(data) == []
    run("gate", done.folder / "audit.json", "--output", tmp_path / "gate.txt")
    error = {"check": "blank", "level": "error", "text": "1 image", "examples": [], "counts": None, "excepted": ""}
    broken = data | {"findings": [*data["findings"], error]}
    assert exceptions.errors(broken) == exceptions.errors({"datasets": {"breastmnist": broken}})
    assert exceptions.errors(broken) == ["breastmnist: blank: 1 image"]
    (tmp_path / "one.json").write_text(json.dumps(broken))
    with pytest.raises(CommandError):
        run("gate", tmp_path / "one.json", "--output", tmp_path / "gate2.txt")
    signed = data | {"findings": [error | {"excepted": "known (me)"}]}
    assert exceptions.errors(signed) == []


def test_the_file_of_exceptions_is_read_without_anything_heavy(tmp_path):
    (tmp_path / "bad.yaml").write_text("- {dataset: breastmnist}")
    code = (
        "import sys; from pathlib import Path; from preprocess.audit import exceptions\n"
        "try: exceptions.read(Path(sys.argv[1]))\n"
        "except exceptions.PreprocessError as error: print(error)\n"
        "print(sorted({'numpy', 'jinja2', 'PIL', 'scipy', 'matplotlib'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "bad.yaml")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()
    assert "entry 1 needs exactly" in said[0]
    assert said[1] == "[]"
