"""What all source modules share: the natural order of names, and files found by their names."""

from __future__ import annotations

import re
import tarfile
import zipfile

from hypothesis import given
from hypothesis import strategies as st

from preprocess.reading import archives
from preprocess.reading.archives import Raw
from preprocess.sources import tools
from preprocess.sources.tools import natural

NAMES = st.text(alphabet="ab0129 (.)/-é²٣", max_size=12) | st.text(st.characters(exclude_characters="\0"), max_size=6)


def pieces(text: str) -> list[tuple[int, int, str]]:
    """Texts and numbers in turn, numbers before texts: the order as anyone would write it down."""
    found = re.findall(r"(\d+)|(\D+)", text)
    return [(0, int(number), "") if number else (1, 0, word) for number, word in found]


@given(NAMES, NAMES)
def test_natural_order_is_that_of_texts_and_numbers(first, second):
    assert (natural(first) < natural(second)) == (pieces(first) < pieces(second))
    assert (natural(first) == natural(second)) == (pieces(first) == pieces(second))


def test_numbers_of_any_length_are_ordered_by_value():
    numbers = (10**19, 9, 10**64, 10)
    uids = [f"1.3.6.{number}.2" for number in numbers]
    assert sorted(uids, key=natural) == [f"1.3.6.{number}.2" for number in sorted(numbers)]


def test_contents_are_looked_at_only_where_names_collide(tmp_path, monkeypatch):
    """And a zip's members not even then: its directory has their checksums."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}.png", b"%d" % number)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("x/7.png", b"7")
    read = []
    monkeypatch.setattr(Raw, "_stream", lambda self, path: read.append(path))
    with Raw(tmp_path) as raw:
        found, copies = tools.by_name(raw, raw.files(), re.compile(r"(\d+)\.png"))
        assert (len(found), copies.paths, read) == (20, ["b.zip!/x/7.png"], [])


def test_copies_in_a_packed_tar_are_read_in_one_pass(tmp_path, monkeypatch):
    for number in range(9):
        (tmp_path / f"{number}.png").write_bytes(b"%d" % number)
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        for number in (4, 1, 8, 2):
            archive.add(tmp_path / f"{number}.png", f"in/{number}.png")
    with Raw(tmp_path) as raw:
        files = raw.files()
        opened = []
        opener = archives._TarReader._open
        monkeypatch.setattr(archives._TarReader, "_open", lambda self: (opened.append(1), opener(self))[1])
        _, copies = tools.by_name(raw, files, re.compile(r"(\d+)\.png"))
    assert sorted(copies.paths) == [f"all.tar.gz!/in/{number}.png" for number in (1, 2, 4, 8)]
    assert len(opened) == 1
