"""Pictures and containers that went wrong in silence or with a traceback once, each as a whole build from a stand-in.

What a build gives is compared with the build from the stand-in as it is; what the changed file holds is known from how
it was made.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocess import index, miniature, recipe, sources
from preprocess.errors import PreprocessError
from tests.builds import CommandError, build
from tests.test_copies import PICTURES, listing, unpacked
from tests.test_picture import png, tiff
from tests.test_workflow import snakemake

ALL = [*PICTURES, "tissuemnist", "vesselmnist3d", "synapsemnist3d", "adrenalmnist3d", "fracturemnist3d",
       "nodulemnist3d", "organmnist3d"]  # fmt: skip


@pytest.fixture
def changed(stand_in, tmp_path):
    """A picture dataset's unpacked files, those of its samples, and a way to build and compare with the stand-in."""

    def of(dataset):
        source = recipe.read(dataset)["source"]
        folder = unpacked(stand_in(source), tmp_path / "raw")
        before = build(dataset, stand_in(source), tmp_path / "before")

        def outcome():
            after = build(dataset, folder, tmp_path / "after", census="warn")
            wanted, found = before.images(28), after.images(28)
            assert found.keys() <= wanted.keys()
            differ = {key for key in found if not np.array_equal(found[key], wanted[key])}
            gone = {row["key"]: (row["reason"], row["detail"]) for row in after.excluded if row["key"] in wanted}
            assert gone.keys() == wanted.keys() - found.keys()
            return differ, gone, {row["key"]: row["raw_form"] for row in after.samples}

        samples = [one for one in listing(dataset, folder).samples if one.path and not one.reason]
        return folder, samples, outcome

    return of


@pytest.mark.parametrize("dataset", ["breastmnist", "chestmnist", "pathmnist", "synapsemnist3d"])
def test_16_bits_a_channel_gray_colour_and_alpha(dataset, changed):
    folder, samples, outcome = changed(dataset)
    forms = [lambda rgb: png(rgb, 2), lambda rgb: png(rgb[:, :, 0], 0), lambda rgb: png(rgb[:, :, [0, 1, 2, 0]], 6)]
    if dataset == "pathmnist":
        forms = [lambda rgb: tiff(rgb, 2), lambda rgb: tiff(rgb[:, :, 0], 1)]
    if dataset == "synapsemnist3d":  # a slice of several samples
        forms = forms[:1]
    victims = samples[: len(forms)]
    for one, form in zip(victims, forms, strict=True):
        path = folder / one.path
        if dataset == "synapsemnist3d":
            path = path.with_name(f"im{int(one.attributes['z']):04d}.png")
        rgb = np.asarray(Image.open(path).convert("RGB")).astype(np.uint16) * 16
        path.write_bytes(form(rgb))
    differ, gone, _ = outcome()
    assert not differ and {one.key for one in victims} <= gone.keys()
    for reason, detail in gone.values():
        assert reason == "unreadable" and ("16 bits a channel" in detail or "mode I;16" in detail)
    assert dataset == "synapsemnist3d" or len(gone) == len(victims)


def test_pages_of_tiff_and_its_orientation(changed):
    folder, samples, outcome = changed("pathmnist")
    paged, turned = samples[0], samples[1]
    image = Image.open(folder / paged.path).convert("RGB")
    image.point(lambda value: value // 2).save(folder / paged.path, save_all=True, append_images=[image])
    Image.open(folder / turned.path).convert("RGB").save(folder / turned.path, tiffinfo={274: 6})
    differ, gone, forms = outcome()
    assert not differ  # what is turned is taken as stored
    cause = "holds 2 pictures; nothing says which of them is the sample"
    assert gone == {paged.key: ("unreadable", f"{paged.path}: {cause}")}
    assert forms[turned.key] == "TIFF RGB 224x224 EXIF orientation 6"
    assert all("orientation" not in form for key, form in forms.items() if key != turned.key)


@pytest.mark.parametrize("dataset", [name for name, suffix in PICTURES.items() if suffix != ".tif"])
def test_an_orientation_is_reported_and_not_applied_in_every_format(dataset, changed):
    folder, samples, outcome = changed(dataset)
    one = samples[2]
    path = folder / one.path
    data = path.read_bytes()
    exif = Image.Exif()
    exif[274] = 3
    told = exif.tobytes()
    if data[:2] == b"\xff\xd8":  # a segment before all others; the compressed data stay
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(told) + 2) + told + data[2:]
    else:
        image, buffer = Image.open(io.BytesIO(data)), io.BytesIO()
        image.save(buffer, "PNG", exif=exif)
        data = buffer.getvalue()
    path.write_bytes(data)
    assert Image.open(path).getexif()[274] == 3
    differ, gone, forms = outcome()
    assert not differ and not gone
    assert forms[one.key].endswith("EXIF orientation 3")


@pytest.mark.parametrize("dataset", sorted({"breastmnist", "dermamnist", "retinamnist", "pathmnist"}))
def test_names_that_are_not_utf_8(dataset, changed):
    folder, samples, outcome = changed(dataset)
    inner = Path(os.fsdecode(os.fsencode(folder) + b"/Im\xe1genes"))
    entries = list(folder.iterdir())
    inner.mkdir()
    for entry in entries:
        entry.rename(inner / entry.name)
    Path(os.fsdecode(os.fsencode(folder) + b"/le\xe9me.txt")).write_text("")
    differ, gone, forms = outcome()
    assert not differ and not gone and len(forms) >= len(samples)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_table_as_excel_saves_it(encoding, changed):
    folder, _, outcome = changed("dermamnist")
    path = next(folder.rglob("HAM10000_metadata.csv"))
    text = path.read_text()
    path.write_bytes(text.replace("unknown", "inconnu é").encode(encoding))
    differ, gone, _ = outcome()
    assert not differ and not gone
    told = {one.attributes["localization"] for one in listing("dermamnist", folder).samples}
    assert "inconnu é" in told or "unknown" not in text


# ---- containers, for every source


def packed(folder: Path, place: Path, form: str) -> None:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if form.startswith("tar"):
        with tarfile.open(place / "all.tar.gz", "w:gz" if form == "tar.gz" else "w") as tar:
            for path in paths:
                tar.add(path, path.relative_to(folder).as_posix())
        return
    with zipfile.ZipFile(place / "all.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            archive.write(path, path.relative_to(folder).as_posix())


@pytest.mark.parametrize("dataset", ["adrenalmnist3d", "fracturemnist3d", "organmnist3d"])
@pytest.mark.parametrize("form", ["tar.gz", "tar as tar.gz", "zip"])
def test_any_archive_of_volumes(dataset, form, stand_in, tmp_path):
    source = recipe.read(dataset)["source"]
    in_force = recipe.load(dataset, "paper")
    folder = unpacked(stand_in(source), tmp_path / "raw")
    wanted = index.build(in_force, folder, "strict", miniature.census(dataset)).samples
    place = tmp_path / "packed"
    place.mkdir()
    packed(folder, place, form)
    for name in (path.name for path in place.iterdir()):
        (place / name).rename(place / f"ribfrac-{name}")  # RibFrac's own archives are told by their names
    assert sources.is_present(source, place, **in_force.dataset.options)
    found = index.build(in_force, place, "strict", miniature.census(dataset)).samples
    assert any("unpack it" in line for line in listing(dataset, place).warnings) == (form != "zip")
    told, known = ({one.key: (one.label, one.reason) for one in samples} for samples in (found, wanted))
    assert told == known


def method(data: bytearray, number: int) -> bytearray:
    for mark, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        place = -1
        while (place := data.find(mark, place + 1)) >= 0:
            data[place + at : place + at + 2] = struct.pack("<H", number)
    return data


def split(data: bytearray) -> bytearray:
    end = data.rindex(b"PK\5\6")
    data[end + 4 : end + 6] = struct.pack("<H", 3)
    return data


@pytest.mark.parametrize("dataset", ALL)
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda data: method(data, 9), r"packed by Deflate64 \(method 9\).*unpack the archive with 7-Zip"),
        (lambda data: method(data, 93), r"packed by Zstandard \(method 93\).*unpack the archive with 7-Zip"),
        (lambda data: method(data, 99), "is encrypted; unpack the archive with its password"),
        (split, r"the last part of a split zip; join the parts with 'zip -s 0 ribfrac\.zip --out whole\.zip'"),
        (lambda data: data[: len(data) // 2], "damaged or incomplete .*download it again"),
        (lambda data: b"<html>please log in</html>" * 9, "damaged or incomplete .*download it again"),
        (lambda data: b"", "damaged or incomplete .*download it again"),
    ],
    ids=["deflate64", "zstandard", "aes", "split", "cut", "page", "empty"],
)
def test_an_archive_that_cannot_be_read_says_why_for_every_source(dataset, spoil, told, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/b.bin", bytes(3000))
    (tmp_path / "ribfrac.zip").write_bytes(spoil(bytearray(buffer.getvalue())))
    in_force = recipe.load(dataset, "paper")
    sources.is_present(in_force.source, tmp_path, **in_force.dataset.options)
    with pytest.raises(PreprocessError, match=rf"ribfrac\.zip: .*{told}") as caught:
        listing(dataset, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_whole_build_from_an_archive_that_cannot_be_read_is_one_line(stand_in, tmp_path, capsys):
    folder = tmp_path / "busi"
    folder.mkdir()
    (folder / "archive.zip").write_bytes(method(bytearray((stand_in("busi") / "Dataset_BUSI.zip").read_bytes()), 9))
    with pytest.raises(CommandError):
        build("breastmnist", folder, tmp_path / "out", census="warn")
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "packed by Deflate64" in lines[0]


# ---- paths


@pytest.mark.workflow
def test_braces_in_the_names_of_raw_files(stand_in, finished, folder):
    (folder / "raw{v1}" / "busi").mkdir(parents=True)
    shutil.copy(stand_in("busi") / "Dataset_BUSI.zip", folder / "raw{v1}" / "busi" / "BUSI{v1}.zip")
    snakemake(folder, "breastmnist", "--config", "raw=raw{v1}", "results=out", "census=warn")
    (wanted,), (found,) = (sorted(place.rglob("breastmnist.npz")) for place in (finished, folder / "out"))
    with np.load(wanted) as one, np.load(found) as other:
        assert one.files == other.files and all(np.array_equal(one[name], other[name]) for name in one.files)
