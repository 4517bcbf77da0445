"""Memory of the jobs that meet every sample of a dataset: the true numbers of rows, in processes of their own."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from preprocess import container, rendered
from preprocess.npz import npy_header
from preprocess.table import SPLIT_COLUMNS, Sample, write_rows, write_samples

ROOT = Path(__file__).parents[1]
#: TissueMNIST, the longest dataset
NUCLEI = 236_386
SIZES = ("28", "64", "128", "224")
SETTINGS = ("--protocol", "paper")


def peak(folder: Path, *words: object) -> int:
    """Megabytes one command held at most, as its log says."""
    log = folder / "job.log"
    subprocess.run(
        [sys.executable, "-m", "preprocess", *map(str, words), "--log", str(log)], cwd=ROOT, check=True, timeout=300
    )
    return int(re.search(r"at most (\d+) MB", log.read_text())[1])


def test_the_log_tells_the_memory_a_job_held(tmp_path):
    """Measured a second way: by a process that holds 300 MB more."""
    code = "import sys; from preprocess import cli; held = bytearray(300 * 2**20); held[::4096] = b'x' * 76800; "
    words = ["recognise", "none.zip", "--log", str(tmp_path / "job.log")]
    told = []
    for before in ("import sys; from preprocess import cli; ", code):
        subprocess.run([sys.executable, "-c", f"{before}cli.main({words!r})"], cwd=ROOT, check=False)
        told.append(int(re.search(r"at most (\d+) MB", (tmp_path / "job.log").read_text())[1]))
    assert 290 <= told[1] - told[0] <= 320


@pytest.fixture(scope="module")
def all_nuclei(tmp_path_factory):
    """A split table of all nuclei, in an archive a cell type as in the true export."""
    folder = tmp_path_factory.mktemp("nuclei")
    samples = [
        Sample(
            key=f"F33/CD31_inter/{number}.tif", path=f"BBBC051/F33/CD31_inter/All_3D/{number}.tif", label="3",
            original_label="CD31_inter", split="train", index=number, attributes={"specimen": "F33"},
        )
        for number in range(NUCLEI)
    ]  # fmt: skip
    write_samples(folder / "split.tsv", SPLIT_COLUMNS, samples)
    return folder


def test_a_render_job_stays_small_however_long_the_dataset(all_nuclei, tmp_path):
    raw = tmp_path / "BBBC051" / "F33" / "CD31_inter" / "All_3D"
    raw.mkdir(parents=True)
    count = 20_000
    first, end = NUCLEI // 2, NUCLEI // 2 + 12
    for number in range(first - 1, end + 1):
        tifffile.imwrite(raw / f"{number}.tif", np.full((7, 32, 32), number % 256, np.uint8), photometric="minisblack")
    held = peak(
        tmp_path, "render", "tissuemnist", *SETTINGS, "--census", "strict", "--raw", tmp_path,
        "--table", all_nuclei / "split.tsv",
        "--shard", count // 2, "--shards", count, "--sizes", *SIZES, "--output", tmp_path / "shard",
    )  # fmt: skip
    rows = (tmp_path / "shard" / rendered.TABLE).read_text().splitlines()[1:]
    assert 11 <= len(rows) <= 12
    assert rows[0].startswith(f"F33/CD31_inter/{first}.tif\t")
    assert held < 150


def test_a_render_job_stays_small_with_large_pictures(tmp_path):
    """Fundus photographs of 3400 x 2800 pixels, decoded to 28 MB each."""
    generator = np.random.default_rng(0)
    samples = []
    for number in range(4):
        noise = Image.fromarray(generator.integers(0, 256, (70, 85, 3), np.uint8))
        noise.resize((3400, 2800), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.jpg")
        samples.append(Sample(key=f"{number}.jpg", path=f"{number}.jpg", label="0", split="train", index=number))
    write_samples(tmp_path / "split.tsv", SPLIT_COLUMNS, samples)
    held = peak(
        tmp_path, "render", "retinamnist", *SETTINGS, "--census", "strict", "--raw", tmp_path,
        "--table", tmp_path / "split.tsv", "--shard", 0, "--shards", 1, "--sizes", *SIZES,
        "--output", tmp_path / "shard",
    )  # fmt: skip
    assert held < 400


@pytest.mark.parametrize("name", ["chunked", "published"])
def test_packing_does_not_hold_the_pixels(name, tmp_path):
    """Four times the pixels, 400 MB of them, packed in the same memory."""
    held = []
    for count in (500, 2000):
        folder = tmp_path / str(count)
        (folder / "0").mkdir(parents=True)
        rows = [(f"{number}.png", "", "", "", "PNG L 448x448", "0" * 64) for number in range(count)]
        write_rows(folder / "0" / rendered.TABLE, rendered.COLUMNS, rows)
        with open(folder / "0" / "448.npy", "wb") as file:
            file.write(npy_header((count, 448, 448)))
            file.truncate(128 + count * 448 * 448)  # a file of holes: read as zeros
        columns = ("split", "index", "key", "label", "raw_sha256")
        write_rows(folder / "rows.tsv", columns, (("train", i, f"{i}.png", 0, "0" * 64) for i in range(count)))
        held.append(
            peak(tmp_path, "pack", "chestmnist", *SETTINGS, "--size", 448, "--container", name, "--deflate", 1,
                 "--workers", 4, "--batch", 0, "--together", 448, "--tables", 0, "--of-tables", 448, "--current", "",
                 "--rows", folder / "rows.tsv", "--shards", folder / "0", "--output", folder / "chestmnist_448.npz",
                 "--seen",
                 folder / "seen.npz", "--record", folder / "record.json")
        )  # fmt: skip
        with np.load(folder / "chestmnist_448.npz") as packed:
            assert packed["train_images"].shape == (count, 448, 448)
    assert held[1] - held[0] < 10
    assert held[1] < 100


#: what is exported of each: the shape of a row, how many are 120 MB, and the formats
EXPORTED = {
    "breastmnist": ((448, 448), 600, ("parquet", "webdataset")),
    "vesselmnist3d": ((64, 64, 64), 460, ("parquet", "zarr")),
}


@pytest.mark.parametrize("dataset", EXPORTED)
def test_an_export_does_not_hold_the_pixels(dataset, tmp_path):
    """Ten times the pixels, 120 MB of them, exported in the same memory."""
    shape, count, formats = EXPORTED[dataset]
    assert count * math.prod(shape) > 120 * 10**6
    held: dict[str, list[int]] = {name: [] for name in formats}
    for rows in (count // 10, count):
        path, counts = tmp_path / f"{dataset}_{rows}.npz", {"train": rows, "val": 0, "test": 0}
        arrays = [
            container.Array(f"{split}_{what}", (number, *extent), [bytes(math.prod(extent))] * number)
            for what, extent in (("images", shape), ("labels", (1,)))
            for split, number in counts.items()
        ]
        container.write(path, arrays, 3, container.Form("chunked", 1))
        columns = ("split", "index", "key", "label")
        write_rows(tmp_path / "samples.tsv", columns, (("train", i, i, 0) for i in range(rows)))
        for name in formats:
            held[name].append(
                peak(tmp_path, "export", dataset, "--protocol", "paper", "--format", name, "--npz", path, "--samples",
                     tmp_path / "samples.tsv", "--output", tmp_path / f"{name}{rows}")
            )  # fmt: skip
    for less, more in held.values():
        assert more - less < 40, held
        assert more < 250, held
