"""Further formats: the same pixels and labels in .npy and in pictures, and Croissant metadata that fits the files."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocess import container, exports, recipe
from tests.builds import CommandError, run

SPLITS = {"train": 7, "val": 3, "test": 4}


def make(path: Path, shape: tuple[int, ...], labels: int = 1) -> dict[str, np.ndarray]:
    """Write an npz of random images in the published container and return its arrays."""
    generator = np.random.default_rng(3)
    arrays = {}
    for split, rows in SPLITS.items():
        arrays[f"{split}_images"] = generator.integers(0, 256, (rows, *shape), np.uint8)
        arrays[f"{split}_labels"] = generator.integers(0, 2, (rows, labels), np.uint8)
    container.write(path, (container.Array(name, array.shape, [array.tobytes()]) for name, array in arrays.items()), 3)
    return arrays


def export(form: str, dataset: str, path: Path, out: Path, *more: str) -> None:
    samples = path.parent / "samples.tsv"
    if not samples.exists():
        samples.write_text("split\tindex\tkey\tlabel\tage\ntrain\t0\ta\t1\t\n")
    run(
        "export",
        dataset,
        "--protocol",
        "paper",
        "--format",
        form,
        "--npz",
        path,
        "--samples",
        samples,
        "--output",
        out,
        *more,
    )


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


@pytest.mark.parametrize(("dataset", "label"), [
    ("breastmnist", "1"), ("vesselmnist3d", "0"), ("chestmnist", "0 1 1" + 11 * " 0"),
])  # fmt: skip
def test_croissant_passes_its_own_tool(client, dataset, label, tmp_path):
    """Validated, and its records read, by mlcroissant."""
    in_force = recipe.load(dataset, "released")
    make(tmp_path / f"{dataset}.npz", in_force.shape(8), labels=len(label.split()))
    (tmp_path / "samples.tsv").write_text(f"split\tindex\tkey\tlabel\ntrain\t0\ta\t{label}\n")
    export("croissant", dataset, tmp_path / f"{dataset}.npz", tmp_path / "it.json")
    words = [client / "mlcroissant", "validate", "--jsonld", "it.json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Done" in done.stderr
    assert "error" not in done.stderr.lower(), done.stderr
    words = [client / "mlcroissant", "load", "--jsonld", "it.json", "--record_set", "samples", "--num_records", "1"]
    loaded = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    seen = f"b'{label}'" if " " in label else label  # mlcroissant gives text as bytes
    assert f"'samples/label': {seen}" in loaded.stdout + loaded.stderr


@pytest.mark.parametrize(("licence", "address"), [
    ("CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
    ("CC BY 3.0", "https://creativecommons.org/licenses/by/3.0/"),
    ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("unknown", "unknown"), ("NIH terms of use", "NIH terms of use"),
])  # fmt: skip
def test_licence_address(licence, address):
    assert exports.licence_address(licence) == address


def test_nothing_is_left_of_a_failed_export(tmp_path):
    make(tmp_path / "a.npz", (8, 8))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    for form in ("npy", "png", "croissant"):
        with pytest.raises(CommandError):
            export(form, "breastmnist", tmp_path / "a.npz", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "samples.tsv"]
