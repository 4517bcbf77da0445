"""DermaMNIST: HAM10000's layouts and metadata, its lesions, and the splits of its true metadata."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocess import index, recipe, split
from preprocess.errors import PreprocessError
from preprocess.miniature import ham10000 as generator
from preprocess.reading.archives import Raw
from preprocess.sources import ham10000, is_present
from preprocess.table import Sample
from tests.builds import CommandError

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
RAW = (327, 514, 1099, 115, 1113, 6705, 142)
#: published images a class
PUBLISHED = {
    "train": (228, 359, 769, 80, 779, 4693, 99),
    "val": (33, 52, 110, 12, 111, 671, 14),
    "test": (66, 103, 220, 23, 223, 1341, 29),
}
CENSUS = generator.CENSUS["dermamnist"]


@pytest.fixture(scope="module")
def stand_in_ham(stand_in) -> Path:
    return stand_in("ham10000")


@pytest.fixture(scope="module")
def stored(stand_in_ham) -> dict[str, bytes]:
    """The stand-in's pictures by name."""
    raw = Raw(stand_in_ham)
    return {file.name: raw.read(file.path) for file in raw.files() if file.name.endswith(".jpg")}


@pytest.fixture(scope="module")
def rows(stand_in_ham) -> list[dict[str, str]]:
    """The stand-in's metadata."""
    with open(stand_in_ham / "HAM10000_metadata.csv", encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def listing(folder: Path) -> list[Sample]:
    return index.build(recipe.load("dermamnist", "paper"), folder, "warn", CENSUS).samples


def seen(samples: list[Sample], *without: str) -> dict[str, tuple[object, ...]]:
    """All of the samples that must not depend on the layout."""
    return {
        one.key: (one.label, one.group, one.original_label, one.reason,
                  {name: value for name, value in one.attributes.items() if name not in without})
        for one in samples
    }  # fmt: skip


# ---- the true metadata


@pytest.fixture(scope="module")
def true_samples(real) -> list[Sample]:
    """The 10,015 samples of the true metadata, labelled as the recipe says; no picture is needed."""
    samples = ham10000.index(Raw(real / "ham10000")).samples
    classes = recipe.read("dermamnist")["label"]["map"]
    for one in samples:
        one.label = str(classes[one.original_label])
    return samples


def split_of(samples: list[Sample], protocol: str, seed: int = 42) -> dict[str, list[Sample]]:
    fresh = [Sample(key=one.key, label=one.label, group=one.group) for one in samples]
    found: dict[str, list[Sample]] = {"train": [], "val": [], "test": []}
    for one in split.assign(recipe.load("dermamnist", protocol), fresh, seed).samples:
        found[one.split].append(one)
    return found


@pytest.mark.real
def test_true_metadata(real):
    listed = ham10000.index(Raw(real / "ham10000"))
    census = recipe.read("dermamnist")["census"]
    assert dict(zip(CLASSES, RAW, strict=True)).items() <= census.items()
    assert {name: listed.census[name] for name in (*CLASSES, "lesions")} == {
        **dict(zip(CLASSES, RAW, strict=True)), "lesions": 7470,
    }  # fmt: skip
    assert [one.key for one in listed.samples] == [f"ISIC_{i:07}" for i in range(24306, 34321)]
    assert {one.reason for one in listed.samples} == {"missing"}
    assert listed.census["images"] == 0
    first = next(one for one in listed.samples if one.key == "ISIC_0027419")
    assert (first.group, first.original_label) == ("HAM_0000118", "bkl")
    assert first.attributes == {
        "dx_type": "histo", "localization": "scalp", "dataset": "", "age": "80", "sex": "M", "source_age": "80",
        "source_sex": "male",
    }  # fmt: skip
    # as grep counts the rows of the file
    assert Counter(one.attributes["sex"] for one in listed.samples) == {"M": 5406, "F": 4552, "": 57}
    assert Counter(one.attributes["age"] for one in listed.samples)[""] == 57
    assert "a known copy without the column dataset" in listed.notes[0]


@pytest.mark.real
def test_true_lesions(true_samples):
    size = Counter(one.group for one in true_samples)
    assert Counter(size.values()) == {1: 5514, 2: 1423, 3: 490, 4: 34, 5: 5, 6: 4}
    assert sum(count for count in size.values() if count > 1) == 4501
    kinds: dict[str, set[str]] = {}
    for one in true_samples:
        kinds.setdefault(one.group, set()).add(one.original_label)
    assert all(len(found) == 1 for found in kinds.values())


@pytest.mark.real
@pytest.mark.parametrize("seed", [0, 42])
def test_released_gives_every_published_class_count(true_samples, seed):
    for name, members in split_of(true_samples, "released", seed).items():
        assert Counter(one.label for one in members) == {str(i): n for i, n in enumerate(PUBLISHED[name])}


def shared(found: dict[str, list[Sample]], first: str, second: str) -> int:
    return len({one.group for one in found[first]} & {one.group for one in found[second]})


@pytest.mark.real
def test_released_leaks_lesions_and_paper_does_not(true_samples):
    released, paper = split_of(true_samples, "released"), split_of(true_samples, "paper")
    # the published split has 641 lesions in train and test, 332 in train and val, 113 in val and test; another
    # shuffle of the same sizes has about as many
    assert 580 < shared(released, "train", "test") < 700
    assert 280 < shared(released, "train", "val") < 390
    assert 80 < shared(released, "val", "test") < 150
    for pair in (("train", "test"), ("train", "val"), ("val", "test")):
        assert shared(paper, *pair) == 0


@pytest.mark.real
def test_paper_cuts_lesions_within_one_of_the_ratio(true_samples):
    paper = split_of(true_samples, "paper")
    lesions = Counter(next(iter(labels)) for labels in _labels_of_groups(true_samples).values())
    for name, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        found = Counter(next(iter(labels)) for labels in _labels_of_groups(paper[name]).values())
        for label, count in lesions.items():
            assert abs(found[label] - share * count) <= 1
    assert sum(map(len, paper.values())) == 10_015


def _labels_of_groups(samples: list[Sample]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in samples:
        found.setdefault(one.group, set()).add(one.label)
    return found


@pytest.mark.real
def test_metadata_alone_are_no_dataset(real):
    in_force = recipe.load("dermamnist", "paper")
    with pytest.raises(PreprocessError, match="10,015 files named by the source's list are missing"):
        index.build(in_force, real / "ham10000", "strict", in_force.dataset.census)
    with pytest.raises(PreprocessError, match="no sample of dermamnist can be rendered"):
        index.build(in_force, real / "ham10000", "warn", in_force.dataset.census)
    assert not is_present("ham10000", real / "ham10000")


# ---- layouts


def zip_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tree(folder: Path, members: dict[str, bytes]) -> None:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def written(rows: list[dict[str, str]], delimiter: str = ",", newline: str = "\n", **options: object) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter=delimiter, lineterminator=newline, **options)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def without_dataset(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "dataset"} for row in rows]


def lay_out(layout: str, folder: Path, rows: list[dict[str, str]], stored: dict[str, bytes]) -> None:
    """Write the stand-in's pictures and metadata the way a mirror or a user has them."""
    table = written(rows, newline="\r\n")
    halves = [dict(list(stored.items())[:25]), dict(list(stored.items())[25:])]
    parts = {f"HAM10000_images_part_{i}.zip": zip_bytes(half) for i, half in enumerate(halves, 1)}
    folders = {
        f"HAM10000_images_part_{i}/{name}": data for i, half in enumerate(halves, 1) for name, data in half.items()
    }
    if layout == "flat":
        tree(folder, stored | {"HAM10000_metadata.csv": table, ".DS_Store": b""})
    elif layout == "part folders":
        tree(folder, folders | {"HAM10000_metadata.csv": table})
    elif layout == "Kaggle":
        again = {f"ham10000_{path.removeprefix('HAM10000_')}": data for path, data in folders.items()}
        tree(folder, folders | again | {"HAM10000_metadata.csv": written(without_dataset(rows))})
        tree(
            folder,
            {
                f"hmnist_{size}_{size}_{mode}.csv": b"pixel0000,label\n1,2\n"
                for size in (8, 28)
                for mode in ("L", "RGB")
            },
        )
    elif layout == "Kaggle zip":
        members = folders | {"HAM10000_metadata.csv": table, "hmnist_28_28_L.csv": b"pixel0000,label\n"}
        tree(folder, {"archive.zip": zip_bytes(members)})
    elif layout == "Dataverse zip":
        tab = written(rows, "\t", quoting=csv.QUOTE_NONNUMERIC)
        extra = {"ISIC2018_Task3_Test_Images.zip": zip_bytes({"ISIC2018_Task3_Test_Images/ISIC_0034524.jpg": b"x"}),
                 "HAM10000_segmentations_lesion_tschandl.zip": zip_bytes({"ISIC_0024306_segmentation.png": b"x"}),
                 "MANIFEST.TXT": b""}  # fmt: skip
        tree(folder, {"dataverse_files.zip": zip_bytes(parts | extra | {"HAM10000_metadata.tab": tab})})
    elif layout == "tab, unquoted, upper case names":
        tree(folder, {f"images/{name.replace('.jpg', '.JPG')}": data for name, data in stored.items()})
        tree(folder, {"HAM10000_metadata.tab": written(rows, "\t", "\r\n")})
    elif layout == "no extension, BOM":
        tree(folder, parts | {"HAM10000_metadata": b"\xef\xbb\xbf" + table})
    elif layout == "unpacked beside the zips":
        tree(folder, parts | stored | {"HAM10000_metadata.csv": table})
    elif layout == "tab and csv":
        tree(folder, parts | {"a/HAM10000_metadata.csv": written(without_dataset(rows)),
                              "b/HAM10000_metadata.tab": written(rows, "\t")})  # fmt: skip


LAYOUTS = ["flat", "part folders", "Kaggle", "Kaggle zip", "Dataverse zip", "tab, unquoted, upper case names",
           "no extension, BOM", "unpacked beside the zips", "tab and csv"]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(layout, tmp_path, stand_in_ham, rows, stored):
    lay_out(layout, tmp_path, rows, stored)
    samples = listing(tmp_path)
    less = ("dataset",) if layout == "Kaggle" else ()
    assert seen(samples, *less) == seen(listing(stand_in_ham), *less)
    raw = Raw(tmp_path)
    opened = {f"{one.key}.jpg": ham10000.open(raw, one).sha256() for one in samples}
    assert opened == {name: hashlib.sha256(data).hexdigest() for name, data in stored.items()}
    assert [one.key for one in samples] == sorted(one.key for one in samples)


def test_kaggles_second_folders_are_left_aside(tmp_path, rows, stored):
    lay_out("Kaggle", tmp_path, rows, stored)
    listed = ham10000.index(Raw(tmp_path))
    assert any(note.startswith(f"{len(stored)} copies of images were left aside, equal") for note in listed.notes)
    assert listed.census == CENSUS


def test_attributes(stand_in_ham, rows):
    samples = {one.key: one for one in listing(stand_in_ham)}
    assert any(not row["age"] for row in rows)
    for row in rows:
        one = samples[row["image_id"]]
        assert (one.group, one.original_label, one.label) == (
            row["lesion_id"],
            row["dx"],
            str(CLASSES.index(row["dx"])),
        )
        age = row["age"] and str(int(float(row["age"])))
        assert one.attributes == {
            "dx_type": row["dx_type"], "localization": row["localization"], "dataset": row["dataset"],
            "age": age, "sex": {"male": "M", "female": "F", "unknown": ""}[row["sex"]],
            "source_age": row["age"], "source_sex": row["sex"],
        }  # fmt: skip


def isic(
    rows: list[dict[str, str]], order: tuple[str, ...] = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
) -> dict[str, bytes]:
    """The two tables of ISIC 2018 Task 3 training."""
    truth = [
        {"image": row["image_id"], **{name: f"{float(name.lower() == row['dx'])}" for name in order}} for row in rows
    ]
    groups = [{"image": row["image_id"], "lesion_id": row["lesion_id"], "diagnosis_confirm_type": row["dx_type"]}
              for row in reversed(rows)]  # fmt: skip
    return {
        "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv": written(truth),
        "ISIC2018_Task3_Training_LesionGroupings.csv": written(groups),
    }


def test_isic_2018(tmp_path, stand_in_ham, rows, stored):
    images = {f"ISIC2018_Task3_Training_Input/{name}": data for name, data in stored.items()}
    tree(tmp_path, isic(rows))
    images["ISIC2018_Task3_Training_Input/LICENSE.txt"] = b""
    tree(tmp_path, {"ISIC2018_Task3_Training_Input.zip": zip_bytes(images)})
    tree(tmp_path, {"ISIC2018_Task3_Test_GroundTruth.csv": b"image,MEL\nISIC_0034524,1.0\n"})
    tree(tmp_path, {"ISIC2018_Task3_Test_Input/ISIC_0034524.jpg": b"x"})
    lost = ("age", "sex", "source_age", "source_sex", "localization", "dataset")
    assert seen(listing(tmp_path), *lost) == seen(listing(stand_in_ham), *lost)
    assert "1 images the metadata do not name were left aside" in ham10000.index(Raw(tmp_path)).notes


def test_isic_2018_needs_the_lesions(tmp_path, rows, stored):
    tables = isic(rows)
    tables.pop("ISIC2018_Task3_Training_LesionGroupings.csv")
    tree(tmp_path, stored | tables)
    with pytest.raises(PreprocessError, match=r"LesionGroupings\.csv is not there"):
        listing(tmp_path)


def test_isic_2018_with_two_classes_for_one_image(tmp_path, rows, stored):
    tables = isic(rows)
    name = "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv"
    tables[name] = tables[name].replace(b"0.0", b"1.0", 1)
    tree(tmp_path, stored | tables)
    with pytest.raises(PreprocessError, match="no single class or no lesion"):
        listing(tmp_path)


# ---- altered and incomplete copies


def oversampled(rows: list[dict[str, str]]) -> bytes:
    return written([*rows, rows[3]])


def healthy(rows: list[dict[str, str]]) -> bytes:
    return written([*rows, rows[0] | {"image_id": "ISIC_0099999", "lesion_id": "HAM_0099999", "dx": "healthy"}])


def other_columns(rows: list[dict[str, str]]) -> bytes:
    return written([{"image": row["image_id"], "dx": row["dx"]} for row in rows])


def short_row(rows: list[dict[str, str]]) -> bytes:
    return written(rows) + b"HAM_1,ISIC_0000001,nv\n"


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (oversampled, "has two rows; this is an oversampled copy"),
        (healthy, "class 'healthy' is none of HAM10000's seven"),
        (other_columns, "has no column 'image_id'"),
        (short_row, "does not fit the header"),
    ],
)
def test_altered_copies_are_refused(alter, message, tmp_path, rows, stored):
    tree(tmp_path, stored | {"HAM10000_metadata.csv": alter(rows)})
    with pytest.raises(PreprocessError, match=message):
        listing(tmp_path)


def test_two_metadata_files_that_differ(tmp_path, rows, stored):
    changed = [rows[0] | {"dx": "mel" if rows[0]["dx"] != "mel" else "nv"}, *rows[1:]]
    tree(tmp_path, stored | {"a/HAM10000_metadata.csv": written(rows), "b/HAM10000_metadata.csv": written(changed)})
    with pytest.raises(PreprocessError, match="differ; keep the published one"):
        listing(tmp_path)


def test_no_metadata(tmp_path, stored):
    tree(tmp_path, stored)
    with pytest.raises(PreprocessError, match=r"HAM10000_metadata.csv is not there"):
        listing(tmp_path)


def test_two_files_of_one_name_that_differ(tmp_path, rows, stored):
    name = next(iter(stored))
    tree(tmp_path, stored | {"HAM10000_metadata.csv": written(rows), f"resized/{name}": stored[name][:-50]})
    with pytest.raises(PreprocessError, match="have one name and differ"):
        listing(tmp_path)


def test_too_few_rows_stop_a_strict_run(tmp_path, rows, stored):
    tree(tmp_path, stored | {"HAM10000_metadata.csv": written([row for row in rows if row["dx"] != "df"])})
    with pytest.raises(
        PreprocessError, match="expected df 4, images 53, lesions 38, found df 0, images 49, lesions 35"
    ):
        index.build(recipe.load("dermamnist", "paper"), tmp_path, "strict", CENSUS)


def test_missing_images_leave_the_others_where_they_were(tmp_path, stand_in_ham, rows, stored, builder):
    whole = builder("dermamnist", stand_in_ham)
    gone = sorted(stored)[10:14]
    tree(tmp_path / "raw", {name: data for name, data in stored.items() if name not in gone})
    tree(tmp_path / "raw", {"HAM10000_metadata.csv": written(rows)})
    with pytest.raises(CommandError):
        builder("dermamnist", tmp_path / "raw")
    part = builder("dermamnist", tmp_path / "raw", census="warn")
    names = {name.removesuffix(".jpg") for name in gone}
    assert {row["key"]: row["reason"] for row in part.excluded} == dict.fromkeys(names, "missing")
    kept = [(row["split"], row["key"]) for row in whole.samples if row["key"] not in names]
    assert [(row["split"], row["key"]) for row in part.samples] == kept


# ---- pixels


def picture(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_paper_squashes(stand_in_ham, stored, builder):
    done = builder("dermamnist", stand_in_ham, sizes=(28, 96))
    for size in (28, 96):
        for key, image in done.images(size).items():
            whole = picture(stored[f"{key}.jpg"])
            # horizontally first, as every Pillow did up to 12
            squashed = whole.resize((size, whole.height), Image.Resampling.BICUBIC)
            assert np.array_equal(image, squashed.resize((size, size), Image.Resampling.BICUBIC))


def test_released_crops_and_saves_as_jpeg_twice_at_28_only(stand_in_ham, stored, builder):
    done = builder("dermamnist", stand_in_ham, protocol="released", sizes=(28, 64))
    for size in (28, 64):
        for key, image in done.images(size).items():
            whole = picture(stored[f"{key}.jpg"])
            margin = (whole.width - whole.height) // 2
            square = whole.crop((margin, 0, margin + whole.height, whole.height))
            small = square.resize((size, size), Image.Resampling.BILINEAR)
            for _ in range(2 if size == 28 else 0):
                buffer = io.BytesIO()
                small.save(buffer, "JPEG", quality=75)
                small = picture(buffer.getvalue())
            assert np.array_equal(image, np.asarray(small)), key


def test_released_follows_a_table_of_the_public_form(tmp_path, stand_in_ham, stored, builder):
    names = [name.removesuffix(".jpg") for name in stored]
    np.random.RandomState(5).shuffle(names)
    lines = ["split,index,image_id"]
    for i, name in enumerate(names):
        lines.append(f"train,{i},{name}" if i < 37 else f"val,{i - 37},{name}" if i < 42 else f"test,{i - 42},{name}")
    table = tmp_path / "dermamnist.csv"
    table.write_text("\n".join(lines) + "\n")
    done = builder("dermamnist", stand_in_ham, protocol="released", order_table=table)
    assert [f"{row['split']},{row['index']},{row['key']}" for row in done.samples] == lines[1:]
    assert all(row["released_index"] == row["index"] for row in done.samples)
    warnings = [one["text"] for one in done.findings if one["check"] == "groups" and one["level"] == "warning"]
    assert warnings, "lesions in two splits are told"


def test_the_stand_in_is_ugly_enough(stand_in_ham, rows, stored):
    assert b"\r\n" in (stand_in_ham / "HAM10000_metadata.csv").read_bytes()
    assert [row["image_id"] for row in rows] != sorted(row["image_id"] for row in rows)
    assert {picture(data).size for data in stored.values()} == {(600, 450), (200, 150)}
    assert max(Counter(row["lesion_id"] for row in rows).values()) == 3


def test_copies_of_the_stand_in_are_independent_of_place(tmp_path, stand_in_ham):
    shutil.copytree(stand_in_ham, tmp_path / "deeper" / "still")
    assert seen(listing(tmp_path)) == seen(listing(stand_in_ham))
