"""Further formats: the same pixels and labels in each, opened by its own client, and metadata that fit the files."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
import tomllib
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
import zarr
from PIL import Image

from preprocess import container, exports, recipe
from preprocess.commands import stages
from preprocess.errors import PreprocessError
from preprocess.exports import card, parquet, webdataset
from preprocess.exports import zarr as zarr_export
from preprocess.exports.built import Built, licence_address
from preprocess.plan.paths import EXPORTS
from preprocess.plan.plan import Plan
from tests.builds import Build, CommandError, run

SPLITS = {"train": 7, "val": 3, "test": 4}


def make(
    path: Path, shape: tuple[int, ...], labels: int = 1, splits: dict[str, int] = SPLITS, count: int = 2
) -> dict[str, np.ndarray]:
    """Write an npz of random images in the published container, its samples table beside it; return its arrays."""
    generator = np.random.default_rng(3)
    arrays = {}
    for split, rows in splits.items():
        arrays[f"{split}_images"] = generator.integers(0, 256, (rows, *shape), np.uint8)
        arrays[f"{split}_labels"] = generator.integers(0, count, (rows, labels), np.uint8)
    container.write(path, (container.Array(name, array.shape, [array.tobytes()]) for name, array in arrays.items()), 3)
    lines = ["split\tindex\tkey\tlabel\tage"]
    for split, rows in splits.items():
        for index in range(rows):
            digits = " ".join(map(str, arrays[f"{split}_labels"][index]))
            lines.append(f"{split}\t{index}\t{key(split, index)}\t{digits}\t{age(index)}")
    (path.parent / "samples.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return arrays


def key(split: str, index: int) -> str:
    return f"{split}/é ({index}).png"


def age(index: int) -> str:
    return "" if index % 3 == 0 else "0.5" if index % 3 == 1 else "57"


def export(form: str, dataset: str, path: Path, out: Path, *more: str) -> None:
    run("export", dataset, "--protocol", "paper", "--format", form, "--npz", path, "--samples",
        path.parent / "samples.tsv", "--output", out, *more)  # fmt: skip


def test_npy_can_be_mapped_into_memory(tmp_path):
    arrays = make(tmp_path / "pathmnist_8.npz", (8, 8, 3))
    export("npy", "pathmnist", tmp_path / "pathmnist_8.npz", tmp_path / "npy")
    assert sorted(path.stem for path in (tmp_path / "npy").iterdir()) == sorted(arrays)
    for name, array in arrays.items():
        mapped = np.load(tmp_path / "npy" / f"{name}.npy", mmap_mode="r")
        assert isinstance(mapped, np.memmap)
        assert mapped.dtype == np.uint8
        np.testing.assert_array_equal(mapped, array)


@pytest.mark.parametrize(("dataset", "shape", "labels"), [
    ("breastmnist", (8, 8), 1), ("pathmnist", (8, 8, 3), 1), ("chestmnist", (8, 8), 14), ("breastmnist", (3, 3), 1),
])  # fmt: skip
def test_pictures_are_named_and_listed_as_the_client_does(dataset, shape, labels, tmp_path):
    arrays = make(tmp_path / "x.npz", shape, labels)
    export("png", dataset, tmp_path / "x.npz", tmp_path / "png" / "x")
    expected = []
    for split, word in (("train", "TRAIN"), ("val", "VALIDATION"), ("test", "TEST")):
        for index in range(SPLITS[split]):
            digits = [str(digit) for digit in arrays[f"{split}_labels"][index]]
            name = f"{split}{index}_{'_'.join(digits)}.png"
            expected.append(f"{word},{name},{','.join(digits)}")
            with Image.open(tmp_path / "png" / "x" / name) as picture:
                assert picture.format == "PNG"
                np.testing.assert_array_equal(np.asarray(picture), arrays[f"{split}_images"][index])
    assert (tmp_path / "png" / "x.csv").read_text().splitlines() == expected
    assert len(list((tmp_path / "png" / "x").iterdir())) == len(expected)


@pytest.mark.parametrize("edge", [3, 6])  # a cube of 3 is no colour picture
def test_a_volume_is_a_gif_with_a_frame_a_plane(edge, tmp_path):
    arrays = make(tmp_path / "vesselmnist3d.npz", (edge, edge, edge))
    export("png", "vesselmnist3d", tmp_path / "vesselmnist3d.npz", tmp_path / "out")
    for split in SPLITS:
        for index, volume in enumerate(arrays[f"{split}_images"]):
            name = f"{split}{index}_{arrays[f'{split}_labels'][index][0]}.gif"
            with Image.open(tmp_path / "out" / name) as picture:
                assert picture.n_frames == edge
                assert picture.info["loop"] == 0
                for number in range(edge):
                    picture.seek(number)
                    assert picture.info["duration"] == 200
                    np.testing.assert_array_equal(np.asarray(picture.convert("L")), volume[number])


@pytest.fixture
def described(tmp_path):
    """The Croissant metadata of a small npz, and the folder with all of it."""
    make(tmp_path / "breastmnist_8.npz", (8, 8))
    export("croissant", "breastmnist", tmp_path / "breastmnist_8.npz", tmp_path / "breastmnist_8.croissant.json")
    return json.loads((tmp_path / "breastmnist_8.croissant.json").read_text()), tmp_path


def test_croissant_fits_the_files(described):
    metadata, folder = described
    assert metadata["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert metadata["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert "protocol paper" in metadata["description"]
    assert "STAND-IN" not in metadata["description"]
    assert [one["contentUrl"] for one in metadata["distribution"]] == ["breastmnist_8.npz", "samples.tsv"]
    for one in metadata["distribution"]:
        data = (folder / one["contentUrl"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(data).hexdigest()
        assert one["md5"] == hashlib.md5(data).hexdigest()
        assert one["contentSize"] == f"{len(data)} B"
    assert "train_images 7x8x8" in metadata["distribution"][0]["description"]
    classes, samples = metadata["recordSet"]
    assert classes["data"] == [
        {"classes/label": 0, "classes/name": "malignant"},
        {"classes/label": 1, "classes/name": "normal, benign"},
    ]
    assert [one["source"]["extract"]["column"] for one in samples["field"]] == ["split", "index", "key", "label", "age"]


def test_croissant_says_what_is_a_stand_in_and_what_was_overridden(tmp_path):
    make(tmp_path / "breastmnist.npz", (8, 8))
    more = ["--miniature", "--protocol", "released", "--overrides", '{"kernel": "box"}']
    export("croissant", "breastmnist", tmp_path / "breastmnist.npz", tmp_path / "a.json", *more)
    metadata = json.loads((tmp_path / "a.json").read_text())
    description = metadata["description"]
    assert description.startswith("STAND-IN: drawings, not data.")
    assert "creativecommons" not in metadata["license"]
    assert "Al-Dhabyani" not in metadata["citeAs"]
    assert "protocol released, with other decisions on kernel" in description


@pytest.mark.parametrize("name", recipe.names())
def test_croissant_of_every_dataset(name, tmp_path):
    in_force = recipe.load(name, "released")
    path = tmp_path / f"{name}.npz"
    make(path, in_force.shape(8), labels=14 if in_force.dataset.task == "multi-label" else 1)
    export("croissant", name, path, tmp_path / "out.json")
    metadata = json.loads((tmp_path / "out.json").read_text())
    assert metadata["name"] == name
    assert metadata["url"].startswith("http")
    assert metadata["license"].startswith("https://creativecommons.org/") == in_force.dataset.licence.startswith("CC")


CROISSANT = """
import itertools, json, sys
import mlcroissant

seen = {}
for name in sys.argv[1:]:
    data = mlcroissant.Dataset(jsonld=f"{name}/it.json")  # an error of the metadata is raised
    rows = [{key: one.decode() if isinstance(one, bytes) else one for key, one in row.items()}
            for row in itertools.islice(data.records("samples"), 2)]
    seen[name] = [sorted(data.metadata.ctx.issues.errors), rows]
print("SEEN " + json.dumps(seen))
"""


def test_croissant_passes_its_own_tool(client, tmp_path):
    """Validated, and its records read, by mlcroissant."""
    datasets = {"breastmnist": 1, "vesselmnist3d": 1, "chestmnist": 14}
    expected = {}
    for dataset, labels in datasets.items():
        folder = tmp_path / dataset
        folder.mkdir()
        arrays = make(folder / f"{dataset}.npz", recipe.load(dataset, "released").shape(8), labels)
        export("croissant", dataset, folder / f"{dataset}.npz", folder / "it.json")
        digits = [arrays["train_labels"][row].tolist() for row in range(2)]
        expected[dataset] = [one[0] if labels == 1 else " ".join(map(str, one)) for one in digits]
    words = [client / "python", "-c", CROISSANT, *datasets]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("SEEN ")).removeprefix("SEEN "))
    for dataset, labels in expected.items():
        errors, rows = seen[dataset]
        assert errors == []
        assert [row["samples/label"] for row in rows] == labels
        assert [row["samples/key"] for row in rows] == [key("train", row) for row in range(2)]
        assert [row["samples/index"] for row in rows] == [0, 1]


@pytest.mark.parametrize(("licence", "address"), [
    ("CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
    ("CC BY 3.0", "https://creativecommons.org/licenses/by/3.0/"),
    ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("unknown", "unknown"), ("NIH terms of use", "NIH terms of use"),
])  # fmt: skip
def test_licence_address(licence, address):
    assert licence_address(licence) == address


def test_nothing_is_left_of_a_failed_export(tmp_path):
    make(tmp_path / "a.npz", (8, 8))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    for form in exports.FORMATS:
        with pytest.raises(CommandError):
            export(form, "breastmnist", tmp_path / "a.npz", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "samples.tsv"]


# ---- parquet, webdataset, zarr

#: a picture of gray, of colours, of several labels, one on an ordinal scale, and a volume: shape, labels, classes
KINDS = {
    "breastmnist": ((8, 8), 1, 2), "pathmnist": ((5, 5, 3), 1, 9), "chestmnist": ((3, 3), 14, 2),
    "retinamnist": ((6, 6, 3), 1, 5), "vesselmnist3d": ((3, 3, 3), 1, 2),
}  # fmt: skip
WITH_TABLE = ("parquet", "webdataset")


@pytest.fixture(params=KINDS)
def kind(request, tmp_path) -> tuple[str, Path, dict[str, np.ndarray]]:
    """A dataset, an npz in its form, and the arrays of it."""
    shape, labels, count = KINDS[request.param]
    path = tmp_path / f"{request.param}.npz"
    return request.param, path, make(path, shape, labels, count=count)


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture)


def test_parquet_holds_pixels_labels_and_the_table(kind, tmp_path):
    dataset, path, arrays = kind
    export("parquet", dataset, path, tmp_path / "data")
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        table = pq.read_table(tmp_path / "data" / f"{name}-00000-of-00001.parquet")
        rows, images, labels = table.to_pylist(), arrays[f"{split}_images"], arrays[f"{split}_labels"]
        assert [row["key"] for row in rows] == [key(split, index) for index in range(SPLITS[split])]
        assert [row["index"] for row in rows] == list(range(SPLITS[split]))
        assert [row["age"] for row in rows] == [(None, 0.5, 57.0)[index % 3] for index in range(SPLITS[split])]
        for index, row in enumerate(rows):
            pixels = np.array(row["volume"], np.uint8) if dataset == "vesselmnist3d" else decoded(row["image"]["bytes"])
            np.testing.assert_array_equal(pixels, images[index])
            if dataset == "chestmnist":
                assert row["labels"] == [place for place in range(14) if labels[index][place]]
            else:
                assert row["label"] == labels[index][0]
        packed = pq.ParquetFile(tmp_path / "data" / f"{name}-00000-of-00001.parquet").metadata.row_group(0)
        how = {
            packed.column(place).path_in_schema: packed.column(place).compression for place in range(packed.num_columns)
        }
        assert how["key"] == how.get("volume.list.element.list.element.list.element", "ZSTD") == "ZSTD"
        assert how.get("image.bytes", "UNCOMPRESSED") == "UNCOMPRESSED"  # a PNG is packed already
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        assert list(features) == table.column_names
        label = features["labels"]["feature"] if dataset == "chestmnist" else features["label"]
        assert label == {"names": recipe.read(dataset)["label"]["classes"], "_type": "ClassLabel"}


def test_webdataset_is_a_plain_tar_of_files_that_share_a_name(kind, tmp_path):
    dataset, path, arrays = kind
    export("webdataset", dataset, path, tmp_path / "out")
    about = json.loads((tmp_path / "out" / "about.json").read_text(encoding="utf-8"))
    assert about["classes"] == recipe.read(dataset)["label"]["classes"]
    assert about["rows"] == SPLITS
    assert about["shards"] == {split: [f"{split}-000000.tar"] for split in SPLITS}
    pixels = "npy" if dataset == "vesselmnist3d" else "png"
    ends = (pixels, "json") if dataset == "chestmnist" else (pixels, "cls", "json")
    for split, rows in SPLITS.items():
        with tarfile.open(tmp_path / "out" / f"{split}-000000.tar") as tar:
            members = tar.getmembers()
            assert [one.name for one in members] == [f"{split}{row:06}.{end}" for row in range(rows) for end in ends]
            assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one in members} == {(0, 0, 0, "", "")}
            held = {one.name: tar.extractfile(one).read() for one in members}
        for row in range(rows):
            image, labels = arrays[f"{split}_images"][row], arrays[f"{split}_labels"][row].tolist()
            data = held[f"{split}{row:06}.{pixels}"]
            np.testing.assert_array_equal(np.load(io.BytesIO(data)) if pixels == "npy" else decoded(data), image)
            facts = json.loads(held[f"{split}{row:06}.json"])
            assert facts["label"] == (labels if len(labels) > 1 else labels[0])
            assert (facts["split"], facts["index"], facts["key"]) == (split, row, key(split, row))
            assert facts["age"] == age(row)
            if dataset != "chestmnist":
                assert held[f"{split}{row:06}.cls"] == str(labels[0]).encode()


def test_zarr_holds_the_arrays_a_volume_a_chunk(kind, tmp_path):
    dataset, path, arrays = kind
    export("zarr", dataset, path, tmp_path / "it.zarr")
    group = zarr.open_group(tmp_path / "it.zarr", mode="r")
    assert sorted(group.array_keys()) == sorted(arrays)
    assert group.attrs["classes"] == recipe.read(dataset)["label"]["classes"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(group[name][:], array)
        assert group[name].dtype == np.uint8
        alone = dataset == "vesselmnist3d" and name.endswith("images")
        assert group[name].chunks == (1 if alone else len(array), *array.shape[1:])
    if dataset == "vesselmnist3d":
        chunks = [one for one in (tmp_path / "it.zarr" / "train_images" / "c").rglob("*") if one.is_file()]
        assert len(chunks) == SPLITS["train"]


def test_a_column_of_the_table_keeps_away_from_the_picture(tmp_path):
    make(tmp_path / "breastmnist.npz", (4, 4))
    text = (tmp_path / "samples.tsv").read_text(encoding="utf-8")
    (tmp_path / "samples.tsv").write_text(text.replace("\tkey\t", "\timage\t", 1), encoding="utf-8")
    export("parquet", "breastmnist", tmp_path / "breastmnist.npz", tmp_path / "data")
    row = pq.read_table(tmp_path / "data" / "train-00000-of-00001.parquet").to_pylist()[0]
    assert list(row) == ["image", "label", "index", "source_image", "age"]
    assert row["image"]["bytes"].startswith(b"\x89PNG")
    assert row["source_image"] == key("train", 0)


def test_what_is_large_is_divided(tmp_path, monkeypatch):
    """Rows of 64 bytes: three in a file, two in a row group; five in a tar; four in a chunk."""
    monkeypatch.setattr(parquet, "FILE", 200)
    monkeypatch.setattr(parquet, "GROUP", 128)
    monkeypatch.setattr(webdataset, "SHARD", 5 * 64)
    monkeypatch.setattr(zarr_export, "CHUNK", 4 * 64 + 63)
    arrays = make(tmp_path / "breastmnist.npz", (8, 8))
    for form in ("parquet", "webdataset", "zarr"):
        export(form, "breastmnist", tmp_path / "breastmnist.npz", tmp_path / form)
    files = sorted(path.name for path in (tmp_path / "parquet").iterdir())
    assert files == [
        "test-00000-of-00002.parquet", "test-00001-of-00002.parquet", "train-00000-of-00003.parquet",
        "train-00001-of-00003.parquet", "train-00002-of-00003.parquet", "validation-00000-of-00001.parquet",
    ]  # fmt: skip
    parts = [pq.ParquetFile(tmp_path / "parquet" / name) for name in files if name.startswith("train")]
    groups = [[one.metadata.row_group(place).num_rows for place in range(one.num_row_groups)] for one in parts]
    assert groups == [[2, 1], [2, 1], [1]]
    keys = [row["key"] for one in parts for row in one.read().to_pylist()]
    assert keys == [key("train", index) for index in range(7)]
    shards = json.loads((tmp_path / "webdataset" / "about.json").read_text())["shards"]
    assert shards == {"train": ["train-000000.tar", "train-000001.tar"], "val": ["val-000000.tar"],
                      "test": ["test-000000.tar"]}  # fmt: skip
    with tarfile.open(tmp_path / "webdataset" / "train-000001.tar") as tar:
        assert [name for name in tar.getnames() if name.endswith("cls")] == ["train000005.cls", "train000006.cls"]
    group = zarr.open_group(tmp_path / "zarr", mode="r")
    assert group["train_images"].chunks == (4, 8, 8)
    np.testing.assert_array_equal(group["train_images"][:], arrays["train_images"])


def test_a_split_may_be_empty(tmp_path):
    splits = {"train": 3, "val": 2, "test": 0}
    make(tmp_path / "fracturemnist3d.npz", (4, 4, 4), splits=splits)
    for form in exports.FORMATS:
        export(form, "fracturemnist3d", tmp_path / "fracturemnist3d.npz", tmp_path / form)
    read = {path.name: len(pq.read_table(path)) for path in (tmp_path / "parquet").iterdir()}
    assert read == {"train-00000-of-00001.parquet": 3, "validation-00000-of-00001.parquet": 2}
    assert sorted(path.name for path in (tmp_path / "webdataset").glob("*.tar")) == [
        "train-000000.tar",
        "val-000000.tar",
    ]
    assert zarr.open_group(tmp_path / "zarr", mode="r")["test_images"].shape == (0, 4, 4, 4)


def contents(folder: Path) -> dict[str, bytes]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else [folder]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_an_export_is_the_same_bytes_each_time(kind, tmp_path, monkeypatch):
    dataset, path, _ = kind
    forms = [form for form in exports.FORMATS if form != "croissant"]  # names its npz
    for form in forms:
        export(form, dataset, path, tmp_path / "first" / form)
    other = tmp_path / "elsewhere" / path.name
    other.parent.mkdir()
    for name in (path.name, "samples.tsv"):
        shutil.copy(tmp_path / name, other.parent)
    monkeypatch.setattr(time, "time", lambda: 1.0e9)
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o077)
    try:
        for form in forms:
            export(form, dataset, other, Path("second") / form)
    finally:
        os.umask(before)
    for form in forms:
        first, second = contents(tmp_path / "first" / form), contents(tmp_path / "second" / form)
        assert first
        assert first == second, form


@pytest.mark.parametrize("form", WITH_TABLE)
@pytest.mark.parametrize("fault", ["short", "long", "another"])
def test_a_table_of_other_rows_is_refused(form, fault, tmp_path, capsys):
    make(tmp_path / "breastmnist.npz", (8, 8))
    lines = (tmp_path / "samples.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    changed = {"short": lines[:-1], "long": [*lines, lines[-1]], "another": [lines[0], *lines[2:], lines[1]]}[fault]
    (tmp_path / "samples.tsv").write_text("".join(changed), encoding="utf-8")
    with pytest.raises(CommandError):
        export(form, "breastmnist", tmp_path / "breastmnist.npz", tmp_path / "out")
    (line,) = capsys.readouterr().err.splitlines()
    assert "samples.tsv: does not list the rows of" in line
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_missing_is_said_before_anything_is_built(tmp_path, monkeypatch):
    schema = Path(__file__).parents[1] / "workflow" / "schemas" / "config.schema.json"
    config = {"results": str(tmp_path), "exports": list(exports.FORMATS)}
    Plan(config, schema)  # the environment of the tests has them
    found = importlib.util.find_spec
    for library, form in (("pyarrow", "parquet"), ("zarr", "zarr")):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, gone=library: None if name == gone else found(name)
        )
        with pytest.raises(PreprocessError, match=rf"exports: {form} needs the package {library}.*'\.\[{form}\]'"):
            Plan(config, schema)
        Plan(config | {"exports": ["npy", "webdataset"]}, schema)
        Plan(config | {"rehearsal": 5}, schema)  # a rehearsal writes none
        make(tmp_path / "breastmnist.npz", (8, 8))
        with pytest.raises(CommandError):  # on another machine than the plan's
            export(form, "breastmnist", tmp_path / "breastmnist.npz", tmp_path / "out")


def test_the_formats_are_the_same_wherever_they_are_named():
    schema = json.loads((Path(__file__).parents[1] / "workflow" / "schemas" / "config.schema.json").read_text())
    assert schema["properties"]["exports"]["items"]["enum"] == list(exports.FORMATS) == list(EXPORTS)
    hints = typing.get_type_hints(stages.export, localns={"Recipe": object})
    assert list(typing.get_args(hints["format"])) == list(exports.FORMATS)
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for name, one in exports.FORMATS.items():
        assert importlib.import_module(f"preprocess.exports.{name}").write
        assert (name in project["optional-dependencies"]) == bool(one.library)
        assert not one.library or project["optional-dependencies"][name][0].startswith(f"{one.library}>")


# ---- the card


@pytest.mark.parametrize("name", recipe.names())
def test_the_licence_of_a_card_is_one_the_hub_knows(name, tmp_path):
    """By https://huggingface.co/docs/hub/repositories-licenses: its names, or other with a name and a link."""
    in_force = recipe.load(name, "released")
    told = card.licence(Built(in_force, tmp_path, tmp_path, miniature=False))
    expected = {
        "CC BY 4.0": "cc-by-4.0", "CC BY-NC 4.0": "cc-by-nc-4.0", "CC BY 3.0": "cc-by-3.0", "unknown": "unknown",
        "NIH terms of use": "other",
    }  # fmt: skip
    assert told["license"] == expected[in_force.dataset.licence]
    if told["license"] == "other":
        assert told["license_name"] == "nih-terms-of-use"
        assert told["license_link"].startswith("https://")
    assert card.licence(Built(in_force, tmp_path, tmp_path, miniature=True)) == {
        "license": "other", "license_name": "drawings",
    }  # fmt: skip


@pytest.fixture(scope="module")
def carded(drawn, tmp_path_factory) -> tuple[Build, str, dict[str, Any]]:
    """A stand-in that was built and audited, exported with its card: the build, the card, and what the audit says."""
    done, _, page, _ = drawn
    folder = tmp_path_factory.mktemp("carded")
    words = ["breastmnist", "--protocol", "paper", "--npz", done.npz(28), "--samples", done.folder / "samples.tsv",
             "--miniature"]  # fmt: skip
    run("export", *words, "--format", "parquet", "--output", folder / "data")
    run("card", *words, "--data", folder / "data", "--summary", done.folder / "audit.json", "--output",
        folder / "README.md")  # fmt: skip
    return done, (folder / "README.md").read_text(encoding="utf-8"), page


def test_the_card_says_what_the_audit_says(carded):
    done, text, page = carded
    _, head, body = text.split("---\n", 2)
    front = yaml.safe_load(head)
    arrays = done.arrays(28)
    sizes = {one["name"]: one["num_examples"] for one in front["dataset_info"]["splits"]}
    assert sizes == {name: len(arrays[f"{split}_images"]) for split, name in
                     (("train", "train"), ("val", "validation"), ("test", "test"))}  # fmt: skip
    assert "These are drawings, not data" in body
    for place, name in enumerate(["malignant", "normal, benign"]):
        counts = [int((arrays[f"{split}_labels"] == place).sum()) for split in SPLITS]
        assert f"| {place} {name} | {counts[0]} | {counts[1]} | {counts[2]} |" in body
    for decision in page["decisions"]:
        assert re.search(rf"^\| `{decision['key']}` \| .+ \| .+ \| .+ \|$", body, re.MULTILINE)
    assert page["findings"]
    for finding in page["findings"]:
        assert f"- {finding['level']}, `{finding['check']}`: {finding['text']}" in body
    assert str(done.folder) not in text
    assert [line for line in body.splitlines() if line.startswith("## ")] == [
        "## Rows", "## Decisions", "## Findings", "## Licence and citation",
    ]  # fmt: skip


def test_the_card_of_real_files_names_their_licence_and_how_to_cite_them(carded, tmp_path):
    done, _, _ = carded
    page = json.loads((done.folder / "audit.json").read_text())
    page["miniature"], page["licence"] = False, "CC BY 4.0"
    page["source"] = {
        "name": "busi", "title": "BUSI", "landing": "https://busi.example", "terms": "cite the paper",
        "licence": {"name": "CC BY 4.0", "grade": "consistent", "why": "two pages say so"}, "citation": "Al-Dhabyani",
        "stands_in_for": "",
    }  # fmt: skip
    page["incomplete"] = ["census: 3 images are not there"]
    (tmp_path / "audit.json").write_text(json.dumps(page))
    words = ["breastmnist", "--protocol", "paper", "--npz", done.npz(28), "--samples", done.folder / "samples.tsv"]
    run("export", *words, "--format", "parquet", "--output", tmp_path / "data")
    run("card", *words, "--data", tmp_path / "data", "--summary", tmp_path / "audit.json", "--output",
        tmp_path / "README.md")  # fmt: skip
    _, head, body = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["license"] == "cc-by-4.0"
    assert "drawings, not data" not in body
    assert "**Not made of all raw files:**\n\n- census: 3 images are not there\n" in body
    end = """## Licence and citation

- licence: CC BY 4.0; of the source: CC BY 4.0 (consistent: two pages say so)
- terms of the source: cite the paper
- source: [BUSI](https://busi.example)
- cite: Al-Dhabyani

Built by medmnist-rebuild """
    assert end in body


# ---- their own clients

CLIENT = """
import io, json, re, sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
import datasets, webdataset, zarr

datasets.disable_progress_bars()
seen = {}
for name in sys.argv[1:]:
    with np.load(f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    data = datasets.load_dataset(f"results/miniature/paper/parquet/{name}", cache_dir="cache")
    of_card = yaml.safe_load(Path(f"results/miniature/paper/parquet/{name}/README.md").read_text().split("---\\n")[1])
    features = data["train"].features
    assert datasets.Features._from_yaml_list(of_card["dataset_info"]["features"]) == features
    many = "labels" in features
    classes = (features["labels"].feature if many else features["label"]).names
    for ours in filter(lambda ours: len(arrays[f"{ours}_images"]), ("train", "val", "test")):
        split = "validation" if ours == "val" else ours
        assert len(data[split]) == len(arrays[f"{ours}_images"])
        for row, image, label in zip(data[split], arrays[f"{ours}_images"], arrays[f"{ours}_labels"]):
            assert np.array_equal(np.asarray(row["volume" if "volume" in row else "image"], np.uint8), image)
            assert row["labels"] == np.flatnonzero(label).tolist() if many else row["label"] == label[0]
    shards = Path(f"results/miniature/paper/webdataset/{name}")
    for split, names in json.loads((shards / "about.json").read_text())["shards"].items():
        assert bool(names) == bool(len(arrays[f"{split}_images"]))
        if not names:
            continue
        read = webdataset.WebDataset([str(shards / one) for one in names], shardshuffle=False)
        read = read.decode(*([] if arrays["train_images"][0].ndim == 3 and "3d" in name else
                             ["l8" if arrays["train_images"][0].ndim == 2 else "rgb8"]))
        count = 0
        for sample, image, label in zip(read, arrays[f"{split}_images"], arrays[f"{split}_labels"], strict=True):
            assert np.array_equal(sample["npy"] if "npy" in sample else sample["png"], image)
            assert sample["json"]["label"] == (label.tolist() if many else label[0])
            assert many or sample["cls"] == label[0]
            count += 1
    group = zarr.open_group(f"results/miniature/paper/zarr/{name}.zarr", mode="r")
    for key, array in arrays.items():
        assert np.array_equal(group[key][:], array)
    assert group.attrs["classes"] == classes
    seen[name] = [len(classes), {split: len(one) for split, one in data.items()}, data["train"][1]["age"]]
print("SEEN " + json.dumps(seen))
"""


def test_their_own_clients_open_them(client, carded, tmp_path):
    """Hugging Face datasets, webdataset and zarr, in an environment of their own; and the lines of the page."""
    out = tmp_path / "results" / "miniature" / "paper"
    summary = carded[0].folder / "audit.json"
    splits = dict.fromkeys(KINDS, SPLITS) | {"fracturemnist3d": SPLITS | {"test": 0}}
    for dataset, (shape, labels, count) in {**KINDS, "fracturemnist3d": ((4, 4, 4), 1, 3)}.items():
        path = tmp_path / f"{dataset}.npz"
        make(path, shape, labels, splits[dataset], count)
        export("parquet", dataset, path, out / "parquet" / dataset / "data", "--miniature")
        run("card", dataset, "--protocol", "paper", "--npz", path, "--samples", tmp_path / "samples.tsv", "--data",
            out / "parquet" / dataset / "data", "--summary", summary, "--output",
            out / "parquet" / dataset / "README.md")  # fmt: skip
        export("webdataset", dataset, path, out / "webdataset" / dataset)
        export("zarr", dataset, path, out / "zarr" / f"{dataset}.zarr")
    page = (Path(__file__).parents[1] / "docs" / "outputs.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert [re.match(r"(?:from|import) (\w+)", one)[1] for one in examples] == ["datasets", "webdataset", "zarr"]
    done = subprocess.run(
        [client / "python", "-c", CLIENT + "\n".join(examples), *splits], capture_output=True, text=True, check=False,
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("SEEN ")).removeprefix("SEEN "))
    names = {"train": "train", "val": "validation", "test": "test"}
    classes = {"retinamnist": 5, "pathmnist": 9, "chestmnist": 14, "fracturemnist3d": 3}
    assert seen == {
        name: [classes.get(name, 2), {names[split]: count for split, count in rows.items() if count}, 0.5]
        for name, rows in splits.items()
    }
    assert "Ignoring part" not in done.stderr, done.stderr
