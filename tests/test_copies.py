"""One answer for every source: files of one name, damaged files in folders and in zips, any archive."""

from __future__ import annotations

import inspect
import io
import re
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocess import index, miniature, recipe, sources
from preprocess.errors import PreprocessError
from preprocess.reading import archives
from preprocess.reading.archives import Raw
from tests.builds import build

#: datasets of every source, and the names of files of each kind that it reads
NAMED = [
    ("pathmnist", r"TUM-.*\.tif"),
    ("chestmnist", r"\d{8}_\d{3}\.png"),
    ("chestmnist", r"Data_Entry_2017\.csv"),
    ("dermamnist", r"ISIC_\d+\.jpg"),
    ("octmnist", r"CNV-.*\.jpeg"),
    ("pneumoniamnist", r"BACTERIA-.*\.jpeg"),
    ("retinamnist", r"\d+_[lr]\d\.jpg"),
    ("retinamnist", r"regular-fundus-training\.csv"),
    ("breastmnist", r"benign \(2\)\.png"),
    ("breastmnist", r"benign \(2\)_mask\.png"),
    ("bloodmnist", r"BA_.*\.jpg"),
    ("tissuemnist", r".*\.tif"),
    ("vesselmnist3d", r"ArteryObjAN1-0\.obj"),
    ("fracturemnist3d", r"RibFrac301-image\.nii\.gz"),
    ("fracturemnist3d", r"RibFrac301-label\.nii\.gz"),
    ("fracturemnist3d", r"RibFrac1-rib-seg\.nii\.gz"),
    ("adrenalmnist3d", r"P001_L\.nii\.gz"),
    ("adrenalmnist3d", r"adrenal\.csv"),
    ("synapsemnist3d", r"im0020\.png"),
    ("synapsemnist3d", r"synapses\.csv"),
    ("organmnist3d", r"volume-16\.nii"),
    ("organmnist3d", r"segmentation-16\.nii"),
    ("organmnist3d", r"segmentation-16\.txt"),
]
#: a dataset of every source of pictures, with the kind of file it has
PICTURES = {
    "pathmnist": ".tif", "chestmnist": ".png", "dermamnist": ".jpg", "octmnist": ".jpeg", "pneumoniamnist": ".jpeg",
    "retinamnist": ".jpg", "breastmnist": ".png", "bloodmnist": ".jpg",
}  # fmt: skip


def unpacked(source: Path, folder: Path) -> Path:
    """A stand-in's files without its archives, nor those within them."""
    shutil.copytree(source, folder)
    while packed := [path for path in folder.rglob("*") if archives.is_zip(path.name) or archives.is_tar(path.name)]:
        for path in packed:
            shutil.unpack_archive(path, path.parent / re.sub(r"\.(zip|tar\.gz|tgz|tar)$", "", path.name))
            path.unlink()
    shutil.rmtree(folder / "__MACOSX", ignore_errors=True)
    return folder


def listing(dataset: str, folder: Path) -> sources.Listing:
    in_force = recipe.load(dataset, "paper")
    source = sources.get(in_force.source)
    decided = {
        name: in_force.value(name) for name in inspect.signature(source.index).parameters if name in in_force.decisions
    }
    with Raw(folder) as raw:
        return source.index(raw, **in_force.dataset.options, **decided)


@pytest.mark.parametrize(("dataset", "pattern"), NAMED)
@pytest.mark.parametrize("place", ["AAA", "zzz"])
def test_copies_are_told_by_their_bytes(dataset, pattern, place, stand_in, tmp_path):
    folder = unpacked(stand_in(recipe.read(dataset)["source"]), tmp_path / "raw")
    before = listing(dataset, folder)
    path = next(path for path in sorted(folder.rglob("*")) if re.fullmatch(pattern, path.name))
    copy = folder / place / path.relative_to(folder)
    copy.parent.mkdir(parents=True)
    shutil.copyfile(path, copy)
    after = listing(dataset, folder)
    assert [one.key for one in after.samples] == [one.key for one in before.samples]
    assert after.census == before.census
    assert any("byte for byte" in note and (path.name in note or place in note) for note in after.notes)
    # of the same size, so that only the bytes tell
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    names = [re.escape(one.relative_to(folder).as_posix()) for one in (path, copy)]
    both = "|".join(" and ".join(order) for order in (names, names[::-1]))
    with pytest.raises(PreprocessError, match=f"({both}) have one name and differ"):
        listing(dataset, folder)


@pytest.mark.parametrize("dataset", sorted({dataset for dataset, _ in NAMED}))
def test_a_second_copy_of_everything_changes_nothing(dataset, stand_in, tmp_path):
    folder = unpacked(stand_in(recipe.read(dataset)["source"]), tmp_path / "raw")
    before = listing(dataset, folder)
    shutil.copytree(folder, tmp_path / "again")
    shutil.move(tmp_path / "again", folder / "zzz")
    after = listing(dataset, folder)
    assert [(one.key, one.original_label, one.reason) for one in after.samples] == [
        (one.key, one.original_label, one.reason) for one in before.samples
    ]
    assert after.census == before.census
    assert any("byte for byte" in note and "zzz" in note for note in after.notes)


@pytest.mark.parametrize(("dataset", "part"), [("octmnist", "oct"), ("pneumoniamnist", "chest")])
def test_a_nested_copy_of_kermany_is_told_by_its_bytes(dataset, part, stand_in, tmp_path):
    folder = unpacked(stand_in("kermany"), tmp_path / "raw")
    root = next(path for path in folder.rglob("*") if path.name.lower() == {"oct": "oct", "chest": "chest_xray"}[part])
    shutil.copytree(root, tmp_path / "copy")
    shutil.move(tmp_path / "copy", root / root.name)
    assert any("once more, byte for byte" in note for note in listing(dataset, folder).notes)
    path = next((root / root.name).rglob("*.jpeg"))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(PreprocessError, match=rf"{re.escape(path.name)} have one name and differ"):
        listing(dataset, folder)


@pytest.mark.parametrize(
    ("dataset", "other"),
    [("dermamnist", ".jpeg"), ("octmnist", ".jpg"), ("bloodmnist", ".jpeg"), ("pathmnist", ".tiff")],
)
def test_a_twin_under_another_extension_is_one_sample_or_told(dataset, other, stand_in, tmp_path):
    source = recipe.read(dataset)["source"]
    folder = unpacked(stand_in(source), tmp_path / "raw")
    before = {one.key for one in listing(dataset, folder).samples}
    used = next(one.path for one in listing(dataset, folder).samples)
    path = folder / used
    shutil.copyfile(path, path.with_suffix(other))
    after = listing(dataset, folder)
    assert len(after.samples) == len(before)
    assert any("equal byte for byte" in note for note in after.notes)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.with_suffix(other).write_bytes(data)
    with pytest.raises(PreprocessError, match="have one name and differ"):
        listing(dataset, folder)


# ---- damage: one answer for a folder and for a zip


@pytest.mark.parametrize("dataset", PICTURES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_picture_is_left_out_alone_in_folders_and_in_zips(dataset, packed, stand_in, tmp_path):
    source = recipe.read(dataset)["source"]
    folder = unpacked(stand_in(source), tmp_path / "raw")
    samples = listing(dataset, folder).samples
    victim = next(one for one in samples[len(samples) // 2 :] if not one.reason)
    path = folder / victim.path
    whole = path.read_bytes()
    if packed:
        with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_STORED) as archive:
            for one in sorted(folder.rglob("*")):
                if one.is_file():
                    archive.write(one, one.relative_to(folder).as_posix())
        shutil.rmtree(folder)
        folder.mkdir()
        data = bytearray((tmp_path / "all.zip").read_bytes())
        at = data.index(whole) + len(whole) // 2
        data[at : at + 300] = bytes(300)
        (folder / "all.zip").write_bytes(data)
    else:
        path.write_bytes(whole[: len(whole) // 2])
    before = build(dataset, stand_in(source), tmp_path / "before")
    after = build(dataset, folder, tmp_path / "after", census="warn")
    (row,) = [row for row in after.excluded if row["reason"] == "unreadable"]
    assert row["key"] == victim.key
    assert victim.path.rpartition("/")[2] in row["detail"]
    assert str(tmp_path) not in row["detail"] and "0x" not in row["detail"]
    wanted = before.images(28)
    found = after.images(28)
    assert found.keys() == wanted.keys() - {victim.key}
    assert all(np.array_equal(found[key], wanted[key]) for key in found)


@pytest.mark.parametrize("dataset", [name for name, suffix in PICTURES.items() if suffix.startswith(".jp")])
@pytest.mark.parametrize("kind", ["hole", "half"])
def test_damaged_jpegs_of_every_source_are_left_out(dataset, kind, stand_in, tmp_path):
    source = recipe.read(dataset)["source"]
    folder = unpacked(stand_in(source), tmp_path / "raw")
    victim = next(one for one in listing(dataset, folder).samples if not one.reason)
    path = folder / victim.path
    data = path.read_bytes()
    at = len(data) // 2
    path.write_bytes(data[:at] + bytes(512) + data[at + 512 :] if kind == "hole" else data[:at] + b"\xff\xd9")
    Image.open(io.BytesIO(path.read_bytes())).load()  # nothing wrong with it for Pillow
    after = build(dataset, folder, tmp_path / "after", census="warn")
    assert [row["key"] for row in after.excluded if row["reason"] == "unreadable"] == [victim.key]


# ---- archives: the same samples from any


@pytest.mark.parametrize("dataset", [*PICTURES, "tissuemnist", "vesselmnist3d", "synapsemnist3d"])
def test_any_archive_of_any_source_gives_the_same_samples(dataset, stand_in, tmp_path):
    source = recipe.read(dataset)["source"]
    folder = unpacked(stand_in(source), tmp_path / "raw")
    in_force = recipe.load(dataset, "paper")
    wanted = index.build(in_force, folder, "strict", miniature.census(dataset)).samples
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for form in ("tar.gz", "tar", "tar as tar.gz", "backslashes"):
        place = tmp_path / form.replace(" ", "-")
        place.mkdir()
        if form == "backslashes":
            with zipfile.ZipFile(place / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for path in paths:
                    info = zipfile.ZipInfo("x")
                    info.filename = path.relative_to(folder).as_posix().replace("/", "\\")
                    archive.writestr(info, path.read_bytes())
        else:
            name = "all.tar" if form == "tar" else "all.tar.gz"
            with tarfile.open(place / name, "w:gz" if form == "tar.gz" else "w") as tar:
                for path in paths:
                    tar.add(path, path.relative_to(folder).as_posix())
        assert sources.is_present(source, place, **in_force.dataset.options)
        found = index.build(in_force, place, "strict", miniature.census(dataset)).samples
        assert {one.key: one.label for one in found} == {one.key: one.label for one in wanted}


# ---- which files one dataset of a source depends on


def test_files_of_kermany_s_other_part_are_not_used():
    def used(path: str) -> str:
        return " ".join(part for part in ("oct", "chest") if sources.uses("kermany", path, part=part))

    assert used("ZhangLabData.zip") == "oct chest"
    assert used("ChestXRay2017.zip") == "chest"
    assert used("OCT2017.tar.gz") == "oct"
    assert used("copy of it.zip") == "oct chest"
    assert used("CellData/OCT/train/CNV/CNV-1016042-1.jpeg") == "oct"
    assert used("a/chest_xray/test/NORMAL/NORMAL-1-1.jpeg") == "chest"
    assert used("readme.txt") == "oct chest"
    assert sources.uses("busi", "anything")
