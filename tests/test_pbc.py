"""PBC: the reader on its layouts, the published class counts, and real images against published pixels."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from preprocess import labels, published, recipe, split
from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw
from preprocess.sources import pbc
from preprocess.table import Sample
from tests.builds import CommandError, build

ROOT = "PBC_dataset_normal_DIB"
HAS_JPEGLIB = importlib.util.find_spec("jpeglib") is not None


def unpack(folder, into):
    """The tree as a user unpacks it, litter and all."""
    with (
        zipfile.ZipFile(folder / "snkd93bnjr-1.zip") as outer,
        zipfile.ZipFile(io.BytesIO(outer.read(f"{ROOT}.zip"))) as inner,
    ):
        inner.extractall(into)
    return into


def jpeg(width=360, height=363):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def put(root, *names, data=None):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg() if data is None else data)
    return Raw(root)


@pytest.fixture
def wrapped(stand_in):
    return stand_in("pbc")


def test_wrapped_packed_and_unpacked_give_the_same_samples(wrapped, tmp_path):
    (tmp_path / "packed").mkdir()
    with zipfile.ZipFile(wrapped / "snkd93bnjr-1.zip") as outer:
        outer.extractall(tmp_path / "packed")
    roots = [wrapped, tmp_path / "packed", unpack(wrapped, tmp_path / "tree")]
    first, *others = [pbc.index(Raw(root)) for root in roots]
    assert first.samples[0].path.count("!/") == 2
    for root, listing in zip(roots[1:], others, strict=True):
        assert [(one.key, one.attributes) for one in listing.samples] == [
            (one.key, one.attributes) for one in first.samples
        ]
        assert listing.census == first.census
        raw, archive = Raw(root), Raw(wrapped)
        for one, other in zip(listing.samples, first.samples, strict=True):
            assert pbc.open(raw, one) == pbc.open(archive, other)


def test_litter_of_macos_is_no_image(wrapped, tmp_path):
    tree = unpack(wrapped, tmp_path)
    hidden = [path for path in tree.rglob("*.jpg") if path.name.startswith(".")]
    assert hidden, "the stand-in has hidden pictures"
    keys = {sample.key for sample in pbc.index(Raw(tree)).samples}
    assert keys == {
        f"{path.parent.name}/{path.name}" for path in (tree / ROOT).rglob("*.jpg") if not path.name.startswith(".")
    }


def test_the_class_is_the_folders_and_the_prefix_a_subtype(tmp_path):
    names = ["neutrophil/BNE_1.jpg", "neutrophil/SNE_20.jpg", "neutrophil/SNE_3.JPEG", "IG/PMY_4.jpg", "ig/MO_5.jpg"]
    samples = pbc.index(put(tmp_path, *(f"{ROOT}/{name}" for name in names))).samples
    assert [(one.key, one.original_label, one.attributes["subtype"]) for one in samples] == [
        ("ig/MO_5.jpg", "ig", "MO"),
        ("ig/PMY_4.jpg", "ig", "PMY"),
        ("neutrophil/BNE_1.jpg", "neutrophil", "BNE"),
        ("neutrophil/SNE_3.jpg", "neutrophil", "SNE"),
        ("neutrophil/SNE_20.jpg", "neutrophil", "SNE"),
    ]


def test_sizes_are_counted_and_pictures_elsewhere_told(tmp_path):
    put(tmp_path, *(f"ig/MY_{i}.jpg" for i in range(4)), "logo.jpg")
    listing = pbc.index(put(tmp_path, "platelet/PLATELET_1.jpg", data=jpeg(366, 369)))
    assert listing.census == {"ig": 4, "platelet": 1, "360x363 pixels": 4, "366x369 pixels": 1}
    assert {**listing.samples[-1].attributes} == {"subtype": "PLATELET", "width": "366", "height": "369"}
    assert listing.notes == ["1 pictures in no folder of a class, ignored: logo.jpg"]


@pytest.mark.parametrize("size", [(224, 224), (363, 360)])
def test_a_resampled_or_turned_copy_is_refused(tmp_path, size):
    put(tmp_path, "ig/MY_1.jpg")
    raw = put(tmp_path, *(f"monocyte/MO_{i}.jpg" for i in range(3)), data=jpeg(*size))
    with pytest.raises(PreprocessError, match=f"most images are {size[0]}x{size[1]} pixels, not 360x363"):
        pbc.index(raw)


def test_a_damaged_image_stops_a_strict_run_and_is_left_out_under_warn(wrapped, tmp_path, capsys):
    tree = unpack(wrapped, tmp_path / "raw")
    broken = sorted((tree / ROOT / "monocyte").glob("MO_*.jpg"))[2]
    broken.write_bytes(b"not a picture")
    with pytest.raises(CommandError):
        build("bloodmnist", tree, tmp_path / "strict")
    assert f"unreadable, the first {ROOT}/monocyte/{broken.name} 1" in capsys.readouterr().err
    done = build("bloodmnist", tree, tmp_path / "warn", census="warn")
    assert [(row["key"], row["reason"]) for row in done.excluded] == [(f"monocyte/{broken.name}", "unreadable")]


def test_a_cut_image_stops_a_strict_run(wrapped, tmp_path, capsys):
    """Its header is whole, so only rendering finds it."""
    tree = unpack(wrapped, tmp_path / "raw")
    cut = sorted((tree / ROOT / "ig").glob("MY_*.jpg"))[0]
    cut.write_bytes(cut.read_bytes()[:-3000])
    with pytest.raises(CommandError):
        build("bloodmnist", tree, tmp_path / "strict")
    assert f"{cut.name}: cannot be decoded" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_the_raw_counts_give_every_published_count(protocol):
    """17,092 names without pixels, through the recipe, against the counts of the published file."""
    in_force = recipe.load("bloodmnist", protocol)
    samples = []
    for name, number in in_force.dataset.census.items():
        for i in range(0 if "pixels" in name else number):
            sample = Sample(key=f"{name}/{i}", original_label=name)
            sample.label = labels.mapped(sample, in_force.dataset.label)
            samples.append(sample)
    assert len(samples) == 17_092
    sizes = sum(number for name, number in in_force.dataset.census.items() if "pixels" in name)
    assert sizes == 17_092
    found = Counter((one.split, int(one.label)) for one in split.assign(in_force, samples, 42).samples)
    for part, counts in published.current("bloodmnist").counts.items():
        assert [found[part, label] for label in range(8)] == list(counts.classes)
        assert sum(counts.classes) == counts.rows == in_force.dataset.published[part]


def test_without_jpeglib_the_build_says_that_pixels_differ(wrapped, builder, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jpeglib" else found(name))
    in_force = recipe.load("bloodmnist", "released")
    assert [in_force.decisions["decoder"].at(size) for size in (28, 64)] == ["pillow", "pillow"]
    assert [in_force.decisions["jpeg"].at(size) for size in (28, 64)] == ["q75", "none"]
    done = builder("bloodmnist", wrapped, protocol="released")
    told = [one["text"] for one in done.findings if one["level"] == "error" and "jpeglib" in one["text"]]
    assert sorted(text.partition(":")[0] for text in told) == ["decoder", "jpeg"]
    assert all("needs the package jpeglib, which is not installed" in text for text in told)
    # the same lines are there before anything is built; what paper decides needs no such package
    assert recipe.fallbacks(in_force) == [f"bloodmnist: {text}" for text in told]
    assert recipe.fallbacks(recipe.load("bloodmnist", "paper")) == []
    assert recipe.fallbacks(recipe.load("bloodmnist", "released", {"decoder": "pillow", "jpeg": "q75"})) == []
    several = recipe.load("bloodmnist", "paper", {"jpeg": {28: "q75-ijg-6b twice", "other": "none"}})
    assert [several.decisions["jpeg"].at(size) for size in (28, 64)] == ["q75 twice", "none"]


@pytest.mark.skipif(not HAS_JPEGLIB, reason="jpeglib is not installed")
def test_with_jpeglib_nothing_is_missing():
    assert recipe.fallbacks(recipe.load("bloodmnist", "released")) == []


# ---- real files


@pytest.fixture(scope="module")
def rows(real):
    """Published 28-pixel images by the key of their original."""
    with np.load(real / "released_pixels" / "bloodmnist.npz") as file:
        return dict(zip(file["key"].tolist(), file["images"], strict=True))


@pytest.mark.real
def test_real_files_are_read_without_special_cases(real):
    listing = pbc.index(Raw(real / "pbc"))
    tree = real / "pbc" / ROOT
    assert {one.key for one in listing.samples} == {path.relative_to(tree).as_posix() for path in tree.rglob("*.jpg")}
    known = recipe.read("bloodmnist")["census"]
    assert set(listing.census) <= set(known)  # no size and no class but the known ones
    assert sum("pixels" in name for name in listing.census) > 1
    assert listing.notes == []


@pytest.mark.real
@pytest.mark.skipif(not HAS_JPEGLIB, reason="jpeglib is not installed")
def test_real_images_equal_their_published_rows(real, rows, builder):
    done = builder("bloodmnist", real / "pbc", protocol="released", census="warn", miniature=False)
    images = done.images(28)
    assert len(rows) == 30
    assert [key for key, row in rows.items() if not np.array_equal(images[key], row)] == []


@pytest.mark.real
@pytest.mark.skipif(not HAS_JPEGLIB, reason="jpeglib is not installed")
@pytest.mark.parametrize(
    "changed",
    [{"crop_rounding": "floor"}, {"kernel": "bicubic"}, {"jpeg": "none"}, {"jpeg": "q75"}, {"crop": "centre-square"}],
)
def test_any_other_decision_misses_published_rows(real, rows, builder, changed):
    done = builder("bloodmnist", real / "pbc", protocol="released", census="warn", miniature=False, overrides=changed)
    images = done.images(28)
    exact = sum(np.array_equal(images[key], row) for key, row in rows.items())
    # an even margin has no rounding: the images of 360x360 stay equal
    assert exact < (30 if changed == {"crop_rounding": "floor"} else 1)


@pytest.mark.real
def test_without_jpeglib_published_rows_are_near_not_equal(real, rows, builder, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jpeglib" else found(name))
    done = builder("bloodmnist", real / "pbc", protocol="released", census="warn", miniature=False)
    images = done.images(28)
    apart = [np.abs(images[key].astype(int) - row).mean() for key, row in rows.items()]
    assert min(apart) > 0
    assert 1 < np.mean(apart) < 2  # 1.35 on 132 published rows


@pytest.mark.real
def test_real_paper_protocol_is_the_centre_resized_once(real, builder):
    done = builder("bloodmnist", real / "pbc", census="warn", miniature=False, sizes=(64,))
    images = done.images(64)
    tops = set()
    for path in sorted((real / "pbc" / ROOT).rglob("*.jpg")):
        picture = Image.open(path)
        width, height = picture.size
        left, top = {360: 80, 366: 83, 359: 80, 361: 80, 362: 81}[width], {363: 82, 369: 84, 360: 80, 361: 80}[height]
        tops.add(top)
        centre = picture.crop((left, top, left + 200, top + 200)).resize((64, 64), Image.Resampling.BICUBIC)
        assert np.array_equal(images[f"{path.parent.name}/{path.name}"], np.asarray(centre))
    assert len(tops) > 1
