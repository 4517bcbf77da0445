"""The registry of raw files: complete, and in agreement with the facts it was made from."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from preprocess import published, recipe
from preprocess.acquire import registry
from preprocess.errors import PreprocessError

SOURCES = [
    "nct_crc", "chestxray14", "ham10000", "kermany", "deepdrid", "busi", "pbc", "bbbc051", "lits", "lidc_idri",
    "ribfrac", "intra", "adrenal", "synapse",
]  # fmt: skip
KNOWN = registry.load()


def file(source, name):
    return next(one for one in KNOWN[source].files if one.name == name)


def test_the_files_fit_their_schema_and_are_named_after_their_source():
    assert registry.problems() == []
    folder = Path(registry.__file__).parents[1] / "tables" / "sources"
    assert {path.stem for path in folder.glob("*.yaml")} == set(KNOWN)


def test_every_source_and_every_dataset_is_there_once():
    assert set(KNOWN) == {*SOURCES, "released", "released_order"}
    unlocked = [name for source in KNOWN.values() for name in source.datasets]
    assert sorted(unlocked) == sorted(published.datasets())


@pytest.mark.parametrize("dataset", recipe.names())
def test_a_recipe_and_the_registry_name_the_same_source(dataset):
    assert dataset in KNOWN[recipe.read(dataset)["source"]].datasets


@pytest.mark.parametrize("source", KNOWN.values(), ids=lambda one: one.name)
def test_what_no_program_can_get_has_steps_for_a_person(source):
    if source.access != "automatic":
        assert any(f"<raw>/{source.name}/" in step for step in source.manual)
    names = [one.name for one in source.files]
    assert len(names) == len(set(names))
    assert "{" not in "".join(names) + "".join(url for one in source.files for url in one.urls)
    for one in source.files:
        if one.replaces:
            assert any(other.is_replaced_by(one) for other in source.files), one.name


def test_unknown_licences_stay_unknown():
    assert {name for name, source in KNOWN.items() if source.licence == "unknown"} == {
        "deepdrid", "bbbc051", "lits", "intra", "synapse"
    }  # fmt: skip
    assert KNOWN["ham10000"].licence == KNOWN["ribfrac"].licence == "CC BY-NC 4.0"


@pytest.mark.parametrize(
    ("source", "name", "size", "kind", "value"),
    [
        ("nct_crc", "NCT-CRC-HE-100K.zip", 11690284003, "md5", "6fd702d11df6292bc054397ae038a464"),
        ("nct_crc", "CRC-VAL-HE-7K.zip", 800276929, "md5", "2fd1651b4f94ebd818ebf90ad2b6ce06"),
        ("chestxray14", "images_001.tar.gz", None, "md5", "fe8ed0a6961412fddcbb3603c11b3698"),
        ("chestxray14", "images_012.tar.gz", None, "md5", "dc9fda1757c2de0032b63347a7d2895c"),
        ("ham10000", "HAM10000_images_part_2.zip", None, "md5", "da43d6cc50f6613013be07e8986b384b"),
        (
            "busi",
            "Dataset_BUSI.zip",
            None,
            "sha256",
            "b2ce09f6063a31a73f628b6a6ee1245187cbaec225e93e563735691d68654de7",
        ),
        ("lits", "annotations_of_testing_set.zip", 24458, "md5", "394a8bcccb70e6cdc2fad1566ff61e8c"),
        (
            "synapse",
            "EM30-R-im.zip",
            None,
            "sha256",
            "6a2cac68adde5d01984542d3ee1d7753d1fa3e6eb2a042ce15ce297c95885bbe",
        ),
        ("adrenal", "adrenalmnist3d_64.npz", 1880591, "md5", "17721accfe9fb005146a47d33bc54b2f"),
        ("released", "vesselmnist3d.npz", 398349, "md5", "b41fd4f7e7e2feedddb201585ecafa1b"),
        ("released", "pathmnist_224.npz", None, "md5", "2c51a510bcdc9cf8ddb2af93af1eadec"),
    ],
)
def test_known_sizes_and_checksums(source, name, size, kind, value):
    one = file(source, name)
    assert one.size == size
    assert dict(one.digests)[kind] == value


def test_unknown_checksums_stay_unknown():
    assert not file("kermany", "ZhangLabData.zip").digests
    assert not file("pbc", "PBC_dataset_normal_DIB.zip").digests
    assert "035777cf327776a71a05c95da6d6325f" in KNOWN["nct_crc"].wrong


def test_the_sixty_published_files():
    files = KNOWN["released"].files
    assert len(files) == 12 * 4 + 6 * 2
    for one in files:
        assert one.urls == (f"https://zenodo.org/records/10519652/files/{one.name}?download=1",)
        assert re.fullmatch(r"[a-z0-9]+mnist(3d)?(_(64|128|224))?\.npz", one.name)


def test_numbered_files_stand_for_one_each():
    names = {one.name for one in KNOWN["lits"].needed}
    assert len(names) == 2 + 131 + 20 + 70
    assert {"volume-0.nii.zip", "volume-130.nii.zip", "segmentation-47.nii.zip", "test-volume-69.nii"} <= names
    assert file("lits", "volume-77.nii.zip").urls[0].endswith("/volume-77.nii.zip")


def test_the_training_archives_of_lits_stand_for_all_their_volumes():
    first, second = (file("lits", f"Training_Batch{number}.zip") for number in (1, 2))
    for number in range(131):
        for kind in ("volume", "segmentation"):
            one = file("lits", f"{kind}-{number}.nii.zip")
            assert (one.is_replaced_by(first), one.is_replaced_by(second)) == (number <= 27, number >= 28)
    assert not file("lits", "test-volume-5.nii").is_replaced_by(first)


def test_access():
    assert {name for name in SOURCES if KNOWN[name].access != "automatic"} == {"bbbc051", "intra", "lits", "synapse"}
    assert KNOWN["lits"].access == KNOWN["synapse"].access == "partly"
    assert KNOWN["lidc_idri"].client["collection"] == "lidc_idri"


def test_a_users_own_additions(tmp_path):
    (tmp_path / "sources.yaml").write_text(
        "bbbc051: {files: [{name: kidney.zip, urls: ['https://example.org/kidney.zip'], size: 5}]}\n"
        "busi: {files: [{name: Dataset_BUSI.zip, urls: ['https://mirror.example.org/b.zip']}]}\n"
    )
    changed = registry.load(tmp_path)
    assert changed["bbbc051"].access == "automatic"
    assert changed["bbbc051"].about() == (5, True)
    own = changed["busi"].files[0]
    assert own.urls == ("https://mirror.example.org/b.zip",)
    assert not own.digests  # a changed file has what the user says of it, not what was known before
    assert changed["busi"].licence == KNOWN["busi"].licence
    assert changed["pbc"] == KNOWN["pbc"]
    assert changed["busi"].digest() != KNOWN["busi"].digest()


def test_a_mirror_comes_first_and_changes_nothing_that_is_known(tmp_path):
    (tmp_path / "sources.yaml").write_text("mirror: https://store.example.org/raw/\n")
    changed = registry.load(tmp_path)
    for name, known in KNOWN.items():
        assert changed[name].digest() == known.digest()  # nothing is verified or built again for it
        for before, now in zip(known.files, changed[name].files, strict=True):
            first, *others = now.urls
            assert first == f"https://store.example.org/raw/{name}/{quote(before.name)}"
            assert tuple(others) == before.urls
            assert (now.size, now.digests) == (before.size, before.digests)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mirror: s3://bucket", "mirror: 's3://bucket' must be an address"),
        ("mirror: https://a.example.org/raw?token=1", "without ? and #"),
        ("mirror: [https://a.example.org]", "must be an address"),
        ("busy: {files: []}", "no source is called 'busy'"),
        ("busi: {files: [{name: ../escape.zip}]}", "does not match"),
        ("busi: {files: [{name: a.zip, md5: xyz}]}", "does not match"),
        ("busi: {files: [{name: a.zip, untrusted_tls: true}]}", "sha256"),
        ("busi: {files: [{name: a.zip, urls: ['ftp://example.org/a.zip']}]}", "does not match"),
        ("busi: {colour: red}", "colour"),
        ("- busi", "must be a mapping"),
        ("busi: [", "not readable as YAML"),
    ],
)
def test_additions_that_do_not_fit(tmp_path, text, words):
    (tmp_path / "sources.yaml").write_text(text)
    with pytest.raises(PreprocessError, match=re.escape(words)) as caught:
        registry.load(tmp_path)
    assert str(tmp_path / "sources.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)
