"""NCT-CRC: the reader on its layouts, what it refuses, and the published class counts from the raw ones."""

from __future__ import annotations

import io
import shutil
import warnings
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from preprocess import labels, published, recipe, split
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading.archives import Raw
from preprocess.sources import nct_crc
from preprocess.table import Sample
from tests.builds import CommandError, build

CLASSES = ["ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM"]


def unpack(folder, into):
    for archive in folder.glob("*.zip"):
        with zipfile.ZipFile(archive) as file:
            file.extractall(into)
    return into


def patch(size=(224, 224), format="TIFF"):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def put(root, *names, data=None):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(patch() if data is None else data)
    return Raw(root)


@pytest.fixture
def archives(stand_in):
    return stand_in("nct_crc")


def test_archives_and_trees_give_the_same_samples(archives, tmp_path):
    packed = nct_crc.index(Raw(archives))
    unpacked = nct_crc.index(Raw(unpack(archives, tmp_path)))
    assert [sample.key for sample in packed.samples] == [sample.key for sample in unpacked.samples]
    assert packed.census == unpacked.census
    names = {name for archive in archives.glob("*.zip") for name in zipfile.ZipFile(archive).namelist()}
    assert sum(packed.census.values()) == len(names)
    for one, other in zip(packed.samples, unpacked.samples, strict=True):
        assert nct_crc.open(Raw(archives), one) == nct_crc.open(Raw(tmp_path), other)
        # class and set as the tree has them
        part, label, _ = one.path.partition("!/")[2].split("/")
        assert (one.source_split, one.original_label) == (part, label)
        assert one.key.partition("/")[0] == label


def test_archives_beside_their_trees_count_once(archives, tmp_path):
    shutil.copytree(archives, tmp_path, dirs_exist_ok=True)
    listing = nct_crc.index(Raw(unpack(archives, tmp_path)))
    assert listing.census == nct_crc.index(Raw(archives)).census
    assert any("68 copies" in note for note in listing.notes)
    assert not any("!/" in sample.path for sample in listing.samples)


def test_a_merged_or_flat_mirror_is_told_by_the_names(tmp_path):
    raw = put(tmp_path, "train/TUM-ABCDEFGH.TIF", "train/NORM-TCGA-ABCDEFGH.tif", "notes.txt")
    samples = nct_crc.index(raw).samples
    assert [(one.key, one.source_split) for one in samples] == [
        ("TUM/TUM-ABCDEFGH.tif", "NCT-CRC-HE-100K"),
        ("NORM/NORM-TCGA-ABCDEFGH.tif", "CRC-VAL-HE-7K"),
    ]


@pytest.mark.parametrize(
    "name", ["NCT-CRC-HE-100K-NONORM/ADI/ADI-ABCDEFGH.tif", "x/nct-crc-he-100k-nonorm/ADI-ABCDEFGH.tif"]
)
def test_the_set_without_normalisation_is_refused(tmp_path, name):
    with pytest.raises(PreprocessError, match=r"without stain normalisation.*6fd702d11df6292bc054397ae038a464"):
        nct_crc.index(put(tmp_path, "NCT-CRC-HE-100K/ADI/ADI-ZZZZZZZZ.tif", name))


@pytest.mark.parametrize(
    ("archive", "inner"), [("NCT-CRC-HE-100K-NONORM.zip", "a"), ("NCT-CRC-HE-100K.zip", "NCT-CRC-HE-100K-NONORM")]
)
def test_a_renamed_archive_or_folder_does_not_hide_it(tmp_path, archive, inner):
    with zipfile.ZipFile(tmp_path / archive, "w") as file:
        file.writestr(f"{inner}/ADI/ADI-ABCDEFGH.tif", patch())
    with pytest.raises(PreprocessError, match="NONORM out of the folder"):
        nct_crc.index(Raw(tmp_path))


def test_an_archive_of_another_size_is_told_with_its_md5(archives):
    notes = nct_crc.index(Raw(archives)).notes
    assert any("800,276,929 (md5 2fd1651b4f94ebd818ebf90ad2b6ce06)" in note for note in notes)


def test_a_resampled_copy_is_refused(tmp_path):
    raw = put(tmp_path, *(f"{name}/{name}-ABCDEFGH.tif" for name in CLASSES), data=patch((96, 96)))
    with pytest.raises(PreprocessError, match="patches are 96x96 pixels, not 224x224; this is a resampled copy"):
        nct_crc.index(raw)


def test_one_patch_of_another_size_is_unreadable_not_a_copy(tmp_path):
    put(tmp_path, "ADI/ADI-AAAAAAAA.tif", "BACK/BACK-AAAAAAAA.tif")
    raw = put(tmp_path, "DEB/DEB-AAAAAAAA.tif", data=patch((224, 223)))
    odd = nct_crc.index(raw).samples[2]
    with pytest.raises(UnreadableError, match="is 224x223 pixels; every published patch is 224x224"):
        nct_crc.open(raw, odd)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_converted_copy_is_refused(tmp_path, format):
    raw = put(tmp_path, f"ADI/ADI-ABCDEFGH.{format.lower()}", data=patch(format=format))
    with pytest.raises(PreprocessError, match="a converted copy; the published patches are TIFF"):
        nct_crc.index(raw)


def test_a_patch_in_another_class_is_refused(tmp_path):
    with pytest.raises(PreprocessError, match="a TUM patch in another class's folder"):
        nct_crc.index(put(tmp_path, "NCT-CRC-HE-100K/ADI/TUM-ABCDEFGH.tif"))


def test_nothing_is_told(tmp_path, capsys):
    put(tmp_path / "raw", "readme.txt")
    with pytest.raises(CommandError):
        build("pathmnist", tmp_path / "raw", tmp_path / "out", census="warn", miniature=False)
    assert "no sample of pathmnist can be rendered" in capsys.readouterr().err


def test_faulty_headers_are_read_over(archives):
    """Three stand-ins have one; Pillow warns of it, the pixels are whole, and a build says nothing."""
    raw = Raw(archives)
    faulty = 0
    for sample in nct_crc.index(raw).samples:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            picture = np.asarray(Image.open(io.BytesIO(raw.read(sample.path))))
        faulty += bool(caught)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = nct_crc.open(raw, sample).data
        assert picture.shape == (224, 224, 3)
        assert data == raw.read(sample.path)
    assert faulty == 3


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_224_are_the_source_pixels(archives, builder, protocol):
    done = builder("pathmnist", archives, protocol=protocol, sizes=(224,))
    raw, images = Raw(archives), done.images(224)
    for row in done.samples:
        assert np.array_equal(images[row["key"]], np.asarray(Image.open(io.BytesIO(raw.read(row["path"])))))
    assert {row["upsampled"] for row in done.samples} == {""}


@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_the_raw_counts_give_every_published_count(protocol):
    """100,000 and 7,180 names without pixels, through the recipe, against the counts of the published file."""
    in_force = recipe.load("pathmnist", protocol)
    samples = []
    for name, number in in_force.dataset.census.items():
        part, label = name.split(" ")
        for i in range(number):
            sample = Sample(key=f"{part}/{label}/{i}", original_label=label, source_split=part)
            sample.label = labels.mapped(sample, in_force.dataset.label)
            samples.append(sample)
    assert len(samples) == 107_180
    found = Counter((one.split, int(one.label)) for one in split.assign(in_force, samples, 42).samples)
    edition = published.current("pathmnist")
    for part, counts in edition.counts.items():
        assert [found[part, label] for label in range(9)] == list(counts.classes)
        assert sum(counts.classes) == counts.rows == in_force.dataset.published[part]
