"""ChestMNIST: NIH's layouts, and the lists that label and split it."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from preprocess import index, recipe, render, split
from preprocess.audit import checks
from preprocess.errors import PreprocessError
from preprocess.miniature import chestxray14 as generator
from preprocess.reading.archives import Raw, _TarReader
from preprocess.sources import chestxray14
from preprocess.table import Sample
from tests.builds import CommandError
from tools import chestmnist_tables

#: positives of the 14 labels, and images without finding, of the published lists
POSITIVES = {
    "train": [7996, 1950, 9261, 13914, 3988, 4375, 978, 3705, 3263, 1690, 1799, 1158, 2279, 144],
    "val": [1119, 240, 1292, 2018, 625, 613, 133, 504, 447, 200, 208, 166, 372, 41],
    "test": [2420, 582, 2754, 3938, 1133, 1335, 242, 1089, 957, 413, 509, 362, 734, 42],
}
NO_FINDING = {"train": 42405, "val": 6079, "test": 11928}
SIZES = {"train": 78468, "val": 11219, "test": 22433}
PATIENTS = {"train": 21528, "val": 3090, "test": 6187}
CENSUS = generator.CENSUS["chestmnist"]


def lists(folder: Path) -> dict[str, tuple[str, str]]:
    """Split and label of every image, straight from the three lists."""
    return {
        name: (part, label)
        for part in SIZES
        for name, _, label in (
            line.partition(" ") for line in (folder / f"{part}_list.txt").read_text().splitlines() if line
        )
    }


def listing(folder: Path, **overrides: str) -> list[Sample]:
    in_force = recipe.load("chestmnist", "paper", {key.replace("__", "."): value for key, value in overrides.items()})
    return index.build(in_force, folder, "warn", CENSUS).samples


def seen(samples: list[Sample]) -> dict[str, tuple[object, ...]]:
    """All of the samples that must not depend on the layout."""
    return {one.key: (one.label, one.group, one.original_label, one.reason, one.attributes) for one in samples}


@pytest.fixture(scope="module")
def stored(stand_in_chest) -> dict[str, bytes]:
    """The stand-in's pictures by name."""
    raw = Raw(stand_in_chest)
    return {file.name: raw.read(file.path) for file in raw.files() if file.name.endswith(".png")}


@pytest.fixture(scope="module")
def stand_in_chest(stand_in) -> Path:
    return stand_in("chestxray14")


# ---- the lists


@pytest.fixture(scope="module")
def whole(real) -> list[Sample]:
    """Everything the lists name, indexed over the 12 real pictures and split."""
    in_force = recipe.load("chestmnist", "released")
    samples = index.build(in_force, real / "chestxray14", "warn", in_force.dataset.census).samples
    return split.assign(in_force, samples, 42).samples


@pytest.mark.real
def test_every_image_has_the_label_and_split_of_the_lists(whole, real):
    expected = lists(real / "chestxray14")
    assert len(whole) == 112_120
    assert {one.key: (one.split, one.label) for one in whole} == expected


@pytest.mark.real
def test_sizes_positives_and_patients_are_the_published_ones(whole):
    patients: dict[str, set[str]] = {}
    for name in SIZES:
        members = [one for one in whole if one.split == name]
        digits = np.array([one.label.split() for one in members], int)
        assert len(members) == SIZES[name]
        assert digits.sum(axis=0).tolist() == POSITIVES[name]
        assert int((digits.sum(axis=1) == 0).sum()) == NO_FINDING[name]
        assert sorted(one.index for one in members) == list(range(SIZES[name]))
        patients[name] = {one.group for one in members}
    assert {name: len(found) for name, found in patients.items()} == PATIENTS
    assert not patients["train"] & patients["val"]
    assert not patients["train"] & patients["test"]
    assert not patients["val"] & patients["test"]
    assert [one.text for one in checks.groups("patient", whole)] == ["no patient of 30,805 is in two splits"]


@pytest.mark.real
def test_the_tables_are_what_the_lists_give(real):
    for path, text in chestmnist_tables.tables(real / "chestxray14").items():
        assert path.read_text() == text
        assert path.stat().st_size < 1_000_000


@pytest.mark.real
def test_only_the_files_that_are_there_are_not_missing(whole, real):
    there = {path.name for path in (real / "chestxray14" / "images").iterdir()}
    assert {one.key for one in whole if not one.reason} == there
    assert {one.reason for one in whole if one.key not in there} == {"missing"}


def old_scikit_image(pixels):
    """What scikit-image 0.15 to 0.18 made of 1024 x 1024 pixels at 28, one pixel after the other.

    The matrix is the one that reproduces a published tile: the scale one unit in the last place below 1024 / 28, the
    offsets 78 and 46 above 1024 / 56 - 1 / 2.
    """
    scale = math.nextafter(1024 / 28, 0)
    row, column = (1024 / 56 - 0.5 + units * math.ulp(1024 / 56 - 0.5) for units in (78, 46))
    blurred = ndimage.gaussian_filter(pixels, (1024 / 28 - 1) / 2, mode="mirror") * (1.0 / 255)
    out = np.empty((28, 28), np.uint8)
    for i, j in np.ndindex(28, 28):
        y, x = scale * i + row, scale * j + column
        top, left = int(y), int(x)
        dy, dx = y - top, x - left
        above = (1 - dx) * blurred[top, left] + dx * blurred[top, left + 1]
        below = (1 - dx) * blurred[top + 1, left] + dx * blurred[top + 1, left + 1]
        out[i, j] = int(((1 - dy) * above + dy * below) * 255)
    return out


@pytest.mark.real
def test_real_files_rgba_among_them(whole, real):
    samples = [one for one in whole if not one.reason]
    modes = Counter()
    for protocol, kernel in (("paper", Image.Resampling.BICUBIC), ("released", Image.Resampling.BILINEAR)):
        renderer = render.Renderer(recipe.load("chestmnist", protocol), real / "chestxray14", [28, 224])
        for one in samples:
            found = renderer.render(one)
            with Image.open(real / "chestxray14" / one.path) as image:
                modes[image.mode] += 1
                for size in (28, 224):
                    expected = np.asarray(image.convert("L").resize((size, size), kernel))
                    if protocol == "released" and size == 28:
                        expected = old_scikit_image(np.asarray(image.convert("L")))
                    assert np.array_equal(found.arrays[size], expected), one.key
            assert found.upsampled == ()
    assert modes == {"L": 18, "RGBA": 6}


@pytest.mark.real
def test_a_missing_file_stops_a_strict_run(real):
    in_force = recipe.load("chestmnist", "paper")
    with pytest.raises(PreprocessError, match="112,108 files named by the source's list are missing"):
        index.build(in_force, real / "chestxray14", "strict", in_force.dataset.census)


# ---- the stand-in


@pytest.mark.real
def test_the_stand_in_uses_true_names(stand_in_chest, real):
    expected = lists(real / "chestxray14")
    samples = listing(stand_in_chest)
    assert {one.key: one.label for one in samples} == {one.key: expected[one.key][1] for one in samples}
    assert len({expected[name][0] for name in generator.IMAGES}) == 3


def test_the_stand_in_is_split_by_the_projects_list(stand_in_chest):
    samples = split.assign(recipe.load("chestmnist", "paper"), listing(stand_in_chest), 42).samples
    found = {one.group: one.split for one in samples}
    # NIH's own test_list.txt, which lies beside, says otherwise of these
    assert found["00006592"] == "test"
    assert found["00020996"] == "val"
    assert found["00028191"] == "train"
    assert all(one.split for one in samples)


def test_every_finding_occurs_in_train(stand_in_chest):
    samples = split.assign(recipe.load("chestmnist", "paper"), listing(stand_in_chest), 42).samples
    digits = np.array([one.label.split() for one in samples if one.split == "train"], int)
    assert digits.shape[1] == 14
    assert digits.any(axis=0).all()


# ---- layouts


def tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def zipped(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def tree(folder: Path, members: dict[str, bytes]) -> None:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def lay_out(layout: str, folder: Path, source: Path, stored: dict[str, bytes]) -> None:
    """Write the stand-in's pictures and Data_Entry the way a mirror or a user has them."""
    entries = (source / "Data_Entry_2017.csv").read_bytes()
    parts = {path.name: path.read_bytes() for path in sorted(source.glob("*.tar.gz"))}
    halves = list(stored)[:20], list(stored)[20:]
    if layout == "unpacked":
        tree(folder, {f"images/{name}": data for name, data in stored.items()} | {"Data_Entry_2017.csv": entries})
    elif layout == "flat":
        tree(folder, stored | {"Data_Entry_2017_v2020.csv": entries, ".DS_Store": b"", "README_CHESTXRAY.pdf": b"%PDF"})
    elif layout == "CXR8 folder":
        tree(folder, {f"CXR8/images/{name}": data for name, data in parts.items()})
        tree(folder, {"CXR8/Data_Entry_2017_v2020.csv": entries, "CXR8/LOG_CHESTXRAY.pdf": b"%PDF"})
    elif layout == "CXR8.zip":
        members = {f"CXR8/images/{name}": data for name, data in parts.items()}
        zipped(folder / "CXR8.zip", members | {"CXR8/Data_Entry_2017_v2020.csv": entries, "__MACOSX/._CXR8": b""})
    elif layout in ("Kaggle", "Kaggle zip"):
        members = {
            f"images_{part:03}/images/{name}": stored[name] for part, names in enumerate(halves, 1) for name in names
        }
        members |= {"Data_Entry_2017.csv": entries, "BBox_List_2017.csv": b"Image Index,Finding Label\n"}
        if layout == "Kaggle":
            tree(folder, members)
        else:
            zipped(folder / "archive.zip", members)
    elif layout == "a zip a part":
        for part, names in enumerate(halves, 1):
            zipped(folder / f"images_{part:03}.zip", {f"images/{name}": stored[name] for name in names})
        tree(folder, {"Data_Entry_2017_v2020.csv": entries})
    elif layout == "some parts unpacked":
        tree(folder, {f"images_001/images/{name}": stored[name] for name in halves[0]})
        tar(folder / "images_002.tar.gz", {f"images/{name}": stored[name] for name in halves[1]})
        tree(folder, {"data_entry_2017.CSV": entries})


LAYOUTS = ["unpacked", "flat", "CXR8 folder", "CXR8.zip", "Kaggle", "Kaggle zip", "a zip a part", "some parts unpacked"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(layout, tmp_path, stand_in_chest, stored):
    lay_out(layout, tmp_path, stand_in_chest, stored)
    samples = listing(tmp_path)
    assert seen(samples) == seen(listing(stand_in_chest))
    raw = Raw(tmp_path)
    opened = {one.key: chestxray14.open(raw, one).sha256() for one in samples}
    assert opened == {name: hashlib.sha256(data).hexdigest() for name, data in stored.items()}


def test_copies_beside_their_archives_are_left_aside(tmp_path, stand_in_chest, stored):
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    tree(tmp_path / "raw", {f"unpacked/{name}": data for name, data in list(stored.items())[:7]})
    listed = chestxray14.index(Raw(tmp_path / "raw"))
    (note,) = [note for note in listed.notes if "copies" in note]
    assert note.startswith("7 copies of images were left aside, equal byte for byte: images_0")
    paths = {one.key: one.path for one in listed.samples}
    assert sum(path.startswith("unpacked/") for path in paths.values()) == 7
    assert seen(listing(tmp_path / "raw")) == seen(listing(stand_in_chest))


def test_a_half_unpacked_copy_is_refused(tmp_path, stand_in_chest, stored):
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    name, data = next(iter(stored.items()))
    tree(tmp_path / "raw", {f"images/{name}": data[:1000]})
    with pytest.raises(PreprocessError, match="have one name and differ"):
        chestxray14.index(Raw(tmp_path / "raw"))


# ---- Data_Entry


def test_entries_give_age_sex_view_and_nihs_labels(stand_in_chest):
    samples = {one.key: one for one in listing(stand_in_chest)}
    rows = [line.split(",") for line in (stand_in_chest / "Data_Entry_2017.csv").read_text().splitlines()[1:]]
    assert any(row[4].endswith("Y") for row in rows)
    for name, findings, _, _, age, sex, view, width, height, spacing_x, spacing_y, _ in rows:
        one = samples[name]
        assert one.original_label == findings
        assert {name: text for name, text in one.attributes.items() if name != "list_label"} == {
            "age": str(int(age.rstrip("Y"))), "sex": sex, "view": view,
            "source_age": age, "source_sex": sex, "source_view": view,
            "original_width": width, "original_height": height,
            "original_spacing_x": spacing_x, "original_spacing_y": spacing_y,
        }  # fmt: skip


HEADERS = {
    "of 2020, PyHealth's": "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
    "with BOM and quotes": '\ufeff"Image Index","Finding Labels","Follow-up #","Patient ID","Patient Age",'
    '"Patient Gender","View Position","OriginalImage[Width","Height]","OriginalImagePixelSpacing[x","y]"',
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_other_headers(header, newline, tmp_path, stand_in_chest):
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    path = tmp_path / "raw" / "Data_Entry_2017.csv"
    rows = [line.rstrip(",") for line in path.read_text().splitlines()[1:]]
    path.write_text(newline.join([HEADERS[header], *rows]), newline="")
    assert seen(listing(tmp_path / "raw")) == seen(listing(stand_in_chest))


def test_of_two_versions_the_later_is_read(tmp_path, stand_in_chest):
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    text = (stand_in_chest / "Data_Entry_2017.csv").read_text()
    (tmp_path / "raw" / "Data_Entry_2017_v2020.csv").write_text(text.replace(",PA,", ",LL,"))
    assert {one.attributes["view"] for one in listing(tmp_path / "raw")} == {"LL", "AP"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,labels\n00000001_000.png,Mass\n", "not NIH's table"),
        ("Image Index,Finding Labels\nview1.png,Mass\n", "is no image name"),
        ("Image Index,Finding Labels\n00000001_000.png,Mass\n00000001_000.png,Mass\n", "has two rows"),
    ],
)
def test_a_table_that_cannot_be_nihs(tmp_path, stand_in_chest, text, message):
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    (tmp_path / "raw" / "Data_Entry_2017.csv").write_text(text)
    with pytest.raises(PreprocessError, match=message):
        listing(tmp_path / "raw")


def test_without_entries_the_lists_name_what_should_be_there(tmp_path, stand_in_chest):
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    (tmp_path / "raw" / "Data_Entry_2017.csv").unlink()
    samples = listing(tmp_path / "raw")
    assert len(samples) == 112_120
    with_entries = {one.key: one.label for one in listing(stand_in_chest)}
    assert {one.key: one.label for one in samples if not one.reason} == with_entries
    assert samples[0].key == "00000001_000.png", "the files that are there come first, as stored"


# ---- labels


def test_data_entry_labels_are_a_variant(stand_in_chest):
    lists_say = {one.key: one.label for one in listing(stand_in_chest)}
    entries_say = {one.key: one.label for one in listing(stand_in_chest, label__source="data_entry")}
    different = {name for name in lists_say if lists_say[name] != entries_say[name]}
    assert different == set(generator.FURTHER)
    assert entries_say["00011922_001.png"] == "0 0 0 0 0 0 1 0 0 0 0 0 0 0"
    assert lists_say["00011922_001.png"] == "0 0 0 0 0 0 0 0 0 0 0 0 0 0"


def test_the_difference_is_told(stand_in_chest):
    notes = chestxray14.index(Raw(stand_in_chest)).notes
    assert "the labels of 2 images differ between Data_Entry and the lists" in notes


def test_data_entry_labels_need_data_entry(tmp_path, stand_in_chest):
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    (tmp_path / "raw" / "Data_Entry_2017.csv").unlink()
    with pytest.raises(PreprocessError, match="no label of data_entry"):
        listing(tmp_path / "raw", label__source="data_entry")


def test_an_image_of_no_list_is_left_out(tmp_path, stand_in_chest, stored):
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    tree(tmp_path / "raw", {"images/00099999_000.png": next(iter(stored.values()))})
    samples = {one.key: one for one in listing(tmp_path / "raw")}
    assert samples.pop("00099999_000.png").reason == "no-label"
    assert seen(list(samples.values())) == seen(listing(stand_in_chest))


# ---- what is missing or broken


def test_a_missing_image_leaves_the_others_where_they_were(tmp_path, stand_in_chest, builder):
    whole = builder("chestmnist", stand_in_chest)
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    (tmp_path / "raw" / "images_003.tar.gz").unlink()
    gone = {"00004641_000.png", "00004641_001.png"}
    with pytest.raises(CommandError):
        builder("chestmnist", tmp_path / "raw")
    part = builder("chestmnist", tmp_path / "raw", census="warn")
    assert {row["key"]: row["reason"] for row in part.excluded} == dict.fromkeys(gone, "missing")
    kept = [(row["split"], row["key"]) for row in whole.samples if row["key"] not in gone]
    assert [(row["split"], row["key"]) for row in part.samples] == kept
    images, before = part.images(28), whole.images(28)
    assert all(np.array_equal(images[key], before[key]) for key in images)


def test_a_resampled_copy_is_refused(tmp_path, stand_in_chest, stored, caplog):
    for name, data in stored.items():
        buffer = io.BytesIO()
        Image.open(io.BytesIO(data)).resize((224, 224)).save(buffer, "PNG")
        tree(tmp_path, {f"images-224/images-224/{name}": buffer.getvalue()})
    shutil.copy(stand_in_chest / "Data_Entry_2017.csv", tmp_path)
    in_force = recipe.load("chestmnist", "paper")
    with pytest.raises(PreprocessError, match=r"pixels across the first image 1,024, found .* 224"):
        index.build(in_force, tmp_path, "strict", CENSUS)
    index.build(in_force, tmp_path, "warn", CENSUS)
    assert "not the published ones" in caplog.text


def test_a_cut_archive_stops_even_a_lenient_run(tmp_path, stand_in_chest):
    shutil.copytree(stand_in_chest, tmp_path / "raw")
    path = tmp_path / "raw" / "images_004.tar.gz"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(PreprocessError, match=r"images_004.tar.gz: damaged or incomplete"):
        listing(tmp_path / "raw")


def test_a_broken_png(tmp_path, stand_in_chest, stored, builder):
    lay_out("unpacked", tmp_path / "raw", stand_in_chest, stored)
    broken = tmp_path / "raw" / "images" / "00025091_000.png"
    broken.write_bytes(broken.read_bytes()[:5000])
    with pytest.raises(CommandError):
        builder("chestmnist", tmp_path / "raw")
    done = builder("chestmnist", tmp_path / "raw", census="warn")
    assert [(row["key"], row["reason"]) for row in done.excluded] == [("00025091_000.png", "unreadable")]


def test_nothing_there(tmp_path):
    with pytest.raises(PreprocessError, match="no sample of chestmnist can be rendered"):
        listing(tmp_path)


# ---- reading forwards


def passes(monkeypatch) -> list[object]:
    """Count how often an archive is read from its start."""
    started: list[object] = []
    once = _TarReader._open

    def counted(self: _TarReader) -> None:
        started.append(self)
        once(self)

    monkeypatch.setattr(_TarReader, "_open", counted)
    return started


def test_listing_costs_one_pass_an_archive_and_one_look(stand_in_chest, monkeypatch):
    started = passes(monkeypatch)
    chestxray14.index(Raw(stand_in_chest))
    assert len(started) == 12 + 1


def test_rendering_costs_one_pass_an_archive(stand_in_chest, monkeypatch, tmp_path):
    in_force = recipe.load("chestmnist", "paper")
    samples = listing(stand_in_chest)
    started = passes(monkeypatch)
    renderer = render.Renderer(in_force, stand_in_chest, [28])
    for one in samples:
        renderer.render(one)
    assert len(started) == 12


# ---- a whole build


@pytest.mark.real
def test_the_arrays_hold_the_lists_labels(stand_in_chest, builder, real):
    expected = lists(real / "chestxray14")
    done = builder("chestmnist", stand_in_chest, protocol="released", sizes=(28, 96))
    arrays = done.arrays(28)
    for row in done.samples:
        part, label = expected[row["key"]]
        assert row["split"] == part
        assert arrays[f"{part}_labels"][int(row["index"])].tolist() == [int(digit) for digit in label.split()]
    findings = json.dumps(done.findings)
    assert "no patient of 16 is in two splits" in findings


def test_scans_of_another_size_than_the_lattice_is_known_for_are_said(stand_in_chest, builder):
    done = builder("chestmnist", stand_in_chest, protocol="released", sizes=(28, 64))
    (said,) = (one for one in done.findings if one["check"] == "kernel")
    others = [row["key"] for row in done.samples if "1024x1024" not in row["raw_form"]]
    assert 0 < len(others) < len(done.samples)
    assert said["level"] == "warning"
    assert said["text"].startswith(f"{len(others)} of {len(done.samples)} images: what kernel scikit-image does at 28 ")
    paper = builder("chestmnist", stand_in_chest)
    assert not [one for one in paper.findings if one["check"] == "kernel"]
