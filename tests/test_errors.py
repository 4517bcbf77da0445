"""One line for the user, whatever a file holds that it quotes."""

from __future__ import annotations

import pytest

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading import tables
from preprocess.sources.tools import natural
from tests.test_copies import listing


@pytest.mark.parametrize("kind", [PreprocessError, UnreadableError])
def test_an_error_is_one_line_of_bounded_length(kind):
    line = str(kind("a\nb\tc \x1b[31m\udce1" + "x" * 100_000 + "; get the file again"))
    assert line.isprintable() and len(line) < 1600
    assert line.startswith("a") and "\\x1b[31m" in line and "\\udce1" in line
    assert kind is UnreadableError or line.endswith("; get the file again")
    assert str(kind("päth/with  two spaces.png: is empty")).endswith("is empty")


@pytest.mark.parametrize(
    ("text", "found"),
    [("7", 7), ("007", 7), ("٧", 7), ("-7", None), ("7.0", None), ("", None), ("²", None), ("9" * 5000, None)],
)
def test_whole_numbers_of_tables(text, found):
    assert tables.number(text) == found


def test_names_of_very_many_digits_are_ordered():
    names = ["a10", "a9", "a0009b", "a" + "1" * 5000, "a" + "1" * 4999 + "0"]
    assert sorted(names, key=natural) == ["a9", "a0009b", "a10", names[4], names[3]]


HUGE = "9" * 5000
AGES = "Image Index,Finding Labels,Patient Age"


@pytest.mark.parametrize(
    ("dataset", "files", "told"),
    [
        ("fracturemnist3d", {"a.csv": f"public_id,label_id,label_code\nRibFrac{HUGE},1,2\n"}, "not a scan and a label"),
        ("fracturemnist3d", {"a.csv": f"public_id,label_id,label_code\nRibFrac1,{HUGE},2\n"}, "not a scan and a label"),
        ("organmnist3d", {"segmentation-1.txt": f"liver 1 0 {HUGE} 0 9 0 9\n"}, "segmentation-1.txt: line 1 is not"),
        ("adrenalmnist3d", {"a.csv": f"id,patient,side,label\na,b,left,{HUGE}\n", "a.nii": ""}, "is not one of 0, 1"),
        ("adrenalmnist3d", {"a.csv": f"id,patient,side,label\n{HUGE},b,left,1\n", "a.nii": ""}, ""),
        ("chestmnist", {"Data_Entry_2017.csv": f"{AGES}\n00000001_000.png,Mass,{HUGE}\n"}, ""),
    ],
)  # fmt: skip
def test_numbers_of_very_many_digits_are_told_or_kept_as_text(dataset, files, told, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    if not told:
        assert listing(dataset, tmp_path).samples
        return
    with pytest.raises(PreprocessError, match=told):
        listing(dataset, tmp_path)
