"""Text tables in whatever form a program saved them, and the same for the tables of every source."""

from __future__ import annotations

import shutil
import zipfile

import pytest

from preprocess import recipe, sources
from preprocess.errors import PreprocessError
from preprocess.reading import tables
from preprocess.reading.archives import Raw

TEXT = 'id,name,level\na,Ann,0.0\nb,"Bo, jr",1.0\n\nc,José,\n'
ROWS = [
    {"id": "a", "name": "Ann", "level": "0.0"},
    {"id": "b", "name": "Bo, jr", "level": "1.0"},
    {"id": "c", "name": "José", "level": ""},
]
SEMICOLONS = "id;name;level\na;Ann;0.0\nb;Bo, jr;1.0\n\nc;José;\n"
FORMS = {
    "utf-8": TEXT.encode(),
    "mark": TEXT.encode("utf-8-sig"),
    "utf-16": TEXT.encode("utf-16"),
    "utf-16 big": "\ufeff".encode("utf-16-be") + TEXT.encode("utf-16-be"),
    "utf-16 without a mark": TEXT.encode("utf-16-le"),
    "utf-16 big without a mark": TEXT.encode("utf-16-be"),
    "utf-32": TEXT.encode("utf-32"),
    "latin-1": TEXT.encode("latin-1"),
    "CRLF": TEXT.replace("\n", "\r\n").encode(),
    "CR": TEXT.replace("\n", "\r").encode(),
    "semicolons": SEMICOLONS.encode(),
    "tabs": SEMICOLONS.replace(";", "\t").encode(),
    "sep": b"sep=;\r\n" + SEMICOLONS.encode(),
    "blanks": TEXT.replace("id,name", " id , name").replace("a,Ann", " a ,Ann ").encode(),
    "trailing commas": "\n".join(f"{line}," if line else "" for line in TEXT.splitlines()).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(form):
    found = tables.parse(FORMS[form], "t.csv")
    assert found.columns == ("id", "name", "level")
    assert [row for _, row in found] == ROWS


def test_lines_are_those_of_the_file():
    text = "# made by hand\nkey,split\n# a comment\na,train\n\nb,val\n"
    assert [line for line, _ in tables.parse(text.encode(), "t", comments=True)] == [4, 6]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,2\n3\n", "line 3 does not fit the header: it has 1 cells, the header 2"),
        (b"a,b\n1,2,3\n", "line 2 does not fit the header: it has 3 cells, the header 2"),
        (b'a,b\n1,"2\n3,4\n', "line 3: unexpected end of data; is a quote never closed"),
        (b"a,b,a\n", "the column 'a' occurs twice"),
        (b"PK\3\4....", "a spreadsheet's own file, not a text table; save it as CSV"),
        (bytes(range(256)), "not a text table"),
        ("\ufeffa,b".encode("utf-16-le")[:-1], "not a text table"),
        (b"", "has no column 'id'; its columns are none"),
        (b"<html><body>please log in", "has no column 'id'; its columns are <html>"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(data, message):
    with pytest.raises(PreprocessError, match=message) as caught:
        tables.parse(data, "folder/t.csv").require(["id"])
    assert str(caught.value).startswith("folder/t.csv: ") and "\n" not in str(caught.value)


def test_a_cell_of_any_length_is_read():
    text = "x" * 200_000
    assert tables.parse(f"id,text\n1,{text}\n".encode(), "t").rows == [(2, {"id": "1", "text": text})]


@pytest.mark.parametrize(("text", "number"), [("1.0", "1"), ("0.", "0"), ("-3.00", "-3"), ("1.5", "1.5"), ("", "")])
def test_whole_numbers_as_pandas_writes_them(text, number):
    assert tables.whole(text) == number


# ---- the tables of every source

SOURCES = {
    "chestxray14": "chestmnist",
    "ham10000": "dermamnist",
    "deepdrid": "retinamnist",
    "ribfrac": "fracturemnist3d",
    "adrenal": "adrenalmnist3d",
    "synapse": "synapsemnist3d",
}
SAVED = {
    "utf-16": lambda text: text.encode("utf-16"),
    "mark and CRLF": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "latin-1": lambda text: text.replace("unknown", "inconnu \xe9").encode("latin-1"),
}


def listed(source: str, folder):
    in_force = recipe.load(SOURCES[source], "paper")
    with Raw(folder) as raw:
        return sources.get(source).index(raw, **in_force.dataset.options).samples


@pytest.mark.parametrize("source", SOURCES)
def test_the_tables_of_every_source_may_be_saved_anyhow(source, stand_in, tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(stand_in(source), folder)
    for archive in list(folder.rglob("*.zip")):
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder / archive.stem)
        archive.unlink()
    wanted = listed(source, folder)
    assert wanted
    texts = {path: path.read_text(encoding="utf-8-sig") for path in folder.rglob("*.csv")}
    assert texts
    for save in SAVED.values():
        for path, text in texts.items():
            path.write_bytes(save(text))
        found = listed(source, folder)
        for one, other in zip(wanted, found, strict=True):
            one.attributes = {name: value.replace("unknown", "inconnu é") for name, value in one.attributes.items()}
            other.attributes = {name: value.replace("unknown", "inconnu é") for name, value in other.attributes.items()}
        assert found == wanted


@pytest.mark.parametrize("source", SOURCES)
def test_a_cut_table_is_told_by_file_and_line(source, stand_in, tmp_path):
    """Cut within its last row, whose end is then missing; nothing is read from the rest."""
    folder = tmp_path / "raw"
    shutil.copytree(stand_in(source), folder)
    for archive in list(folder.rglob("*.zip")):
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder / archive.stem)
        archive.unlink()
    path = max(folder.rglob("*.csv"), key=lambda one: one.stat().st_size)
    head, _, last = path.read_bytes().rstrip().rpartition(b"\n")
    path.write_bytes(head + b"\n" + last.partition(b",")[0])
    with pytest.raises(PreprocessError, match=rf"{path.name}: line \d+ does not fit the header"):
        listed(source, folder)
