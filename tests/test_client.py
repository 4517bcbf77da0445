"""The official medmnist client opens what is built: in an environment of its own, for it brings PyTorch with it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocess import exports, recipe
from preprocess.exports.built import Built
from tests.builds import Build, build

#: the published counts: the client refuses files with others
IMAGES = {"benign": 437, "malignant": 210, "normal": 133}
ROWS = {"train": 546, "val": 78, "test": 156}
SIZES = (28, 224)

CLIENT = """
import json, sys
import numpy as np
from medmnist import BreastMNIST, Evaluator

root, folder = sys.argv[1:]
seen = {}
for size in (28, 224):
    for split in ("train", "val", "test"):
        data = BreastMNIST(split=split, root=root, size=size, download=False)
        picture, label = data[len(data) - 1]
        evaluator = Evaluator("breastmnist", split, size=size, root=root)
        right = evaluator.evaluate(data.labels.astype(float))
        wrong = evaluator.evaluate(1 - data.labels.astype(float))
        seen[f"{split} {size}"] = [len(data), picture.size, picture.mode, int(label[0]),
                                   int(np.asarray(picture).sum()), right.AUC, right.ACC, wrong.AUC, wrong.ACC]
        data.save(folder)
print("SEEN " + json.dumps(seen))
"""


@pytest.fixture(scope="module")
def breast(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """BreastMNIST of the full number of made-up images, at 28 and 224, under the names of the published files."""
    folder = tmp_path_factory.mktemp("breast")
    generator = np.random.default_rng(8)
    for label, count in IMAGES.items():
        (folder / "raw" / label).mkdir(parents=True)
        for number in range(1, count + 1):
            pixels = np.repeat(generator.integers(0, 256, (6, 8, 1), np.uint8), 3, axis=2)
            Image.fromarray(pixels).save(folder / "raw" / label / f"{label} ({number}).png")
    done = build("breastmnist", folder / "raw", folder / "out", sizes=SIZES, miniature=False)
    (done.folder / "breastmnist_28.npz").rename(done.folder / "breastmnist.npz")
    return done


def test_plain_numpy_opens_it(breast):
    for name, edge in (("breastmnist.npz", 28), ("breastmnist_224.npz", 224)):
        with np.load(breast.folder / name) as file:
            for split, rows in ROWS.items():
                images, labels = file[f"{split}_images"], file[f"{split}_labels"]
                assert (images.shape, images.dtype) == ((rows, edge, edge), np.uint8)
                assert (labels.shape, labels.dtype) == ((rows, 1), np.uint8)
    assert {split: sum(row["split"] == split for row in breast.samples) for split in ROWS} == ROWS


def test_the_official_client_opens_it(client, breast, tmp_path):
    done = subprocess.run(
        [client / "python", "-c", CLIENT, breast.folder, tmp_path / "client"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("SEEN "))
    seen = json.loads(line.removeprefix("SEEN "))
    for size, name in zip(SIZES, ("breastmnist", "breastmnist_224")):
        with np.load(breast.folder / f"{name}.npz") as file:
            arrays = {key: file[key] for key in file.files}
        for split, rows in ROWS.items():
            last, label = arrays[f"{split}_images"][-1], int(arrays[f"{split}_labels"][-1, 0])
            assert seen[f"{split} {size}"] == [rows, [size, size], "L", label, int(last.sum()), 1, 1, 0, 0]
        in_force = recipe.load("breastmnist", "paper")
        ours = Built(in_force, breast.folder / f"{name}.npz", breast.folder / "samples.tsv", miniature=False)
        exports.write("png", ours, tmp_path / "ours" / name)
        same_folders(tmp_path / "ours", tmp_path / "client", name)


def same_folders(ours: Path, theirs: Path, name: str) -> None:
    """Our export and what the client saved: the same table, names and pixels."""
    assert (ours / f"{name}.csv").read_text() == (theirs / f"{name}.csv").read_text()
    assert {path.name for path in (ours / name).iterdir()} == {path.name for path in (theirs / name).iterdir()}
    for path in (ours / name).iterdir():
        with Image.open(path) as one, Image.open(theirs / name / path.name) as other:
            assert one.mode == other.mode
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
