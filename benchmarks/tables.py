"""Memory of the jobs that read whole tables: `python benchmarks/tables.py [rows]`.

Made-up tables and images of TissueMNIST's true number of rows, the longest there is, at 28; every stage after rendering
runs as the workflow runs it. Only the check's rendering again of 20 rows is left out, since there are no raw files.
What `mem_mb` of a rule must hold is this and the two Snakemakes of a job on a cluster, see docs/cluster.md.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from preprocess import recipe
from preprocess.render import SHARD_COLUMNS, SHARD_TABLE, block
from preprocess.table import INDEX_COLUMNS, Sample, read_samples, write_rows, write_samples

ROOT = Path(__file__).parents[1]
DATASET = "tissuemnist"
SHARDS = 16
TYPES = ("CD", "DCT", "CD31_glom", "CD31_inter", "CD45", "Nestin", "S2S3", "TAL")
CHECK = "from preprocess import checks, cli; checks.REBUILT = 0; raise SystemExit(cli.main())"
OTHER = "from preprocess import cli; raise SystemExit(cli.main())"


def index(folder: Path, rows: int) -> None:
    """Write an index and a census as the source would."""
    samples = [
        Sample(
            key=f"F{33 + 11 * (row % 3)}/{TYPES[row % 8]}/{row}.tif",
            path=f"BBBC051/F{33 + 11 * (row % 3)}/{TYPES[row % 8]}.zip!/{TYPES[row % 8]}/All_3D/{row}.tif",
            label=str(row % 8),
            original_label=TYPES[row % 8],
            attributes={"specimen": f"F{33 + 11 * (row % 3)}"},
        )
        for row in range(rows)
    ]
    write_samples(folder / "index.tsv", INDEX_COLUMNS, samples)
    write_rows(folder / "census.tsv", ("name", "expected", "found"), [("nuclei", rows, rows)])


def shards(folder: Path) -> None:
    """Write what the render jobs would: noise, and a line a sample."""
    samples = [sample for sample in read_samples(folder / "split.tsv") if sample.split]
    for shard in range(SHARDS):
        first, end = block(samples, shard, SHARDS)
        part = folder / "shards" / str(shard)
        part.mkdir(parents=True)
        noise = np.random.default_rng(shard).integers(0, 256, (end - first, 28, 28), np.uint8)
        np.save(part / "28.npy", noise)
        lines = [(one.key, "", "", "", "uint8 7x32x32", f"{hash(one.key):064x}"[-64:]) for one in samples[first:end]]
        write_rows(part / SHARD_TABLE, SHARD_COLUMNS, lines)


def apart(function: Callable[..., None], *words: object) -> None:
    """Call a function in a process of its own: the memory of who starts a command counts as the command's."""
    process = multiprocessing.Process(target=function, args=words)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__name__} failed")


def measure(stage: str, *words: object) -> None:
    """Run one command of the package and print its CPU seconds and peak memory."""
    code = CHECK if stage == "check" else OTHER
    run = subprocess.Popen(
        [sys.executable, "-c", code, stage, *map(str, words)], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    _, status, used = os.wait4(run.pid, 0)
    if status:
        raise SystemExit(f"{stage} failed")
    print(f"{stage:<11}{used.ru_utime + used.ru_stime:9.1f} s{used.ru_maxrss / 1000:9.0f} MB", flush=True)


def main() -> None:
    """Print one line a stage."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else sum(recipe.read(DATASET)["published"].values())
    print(f"{DATASET}, {rows:,} rows at 28: CPU and peak memory of each command")
    with tempfile.TemporaryDirectory() as name:
        f = Path(name)
        apart(index, f, rows)
        measure("split", DATASET, "--index", f / "index.tsv", "--output", f / "split.tsv",
                "--unmatched", f / "unmatched.tsv")  # fmt: skip
        apart(shards, f)
        parts = [f / "shards" / str(shard) for shard in range(SHARDS)]
        npz, tables = f / "tissuemnist.npz", ("--samples", f / "samples.tsv")
        measure("collect", "--split", f / "split.tsv", "--shards", *parts, *tables, "--excluded", f / "excluded.tsv")
        measure("pack", DATASET, "--size", 28, *tables, "--shards", *parts, "--output", npz)
        measure("sums", npz, "--output", f / "sums.tsv")
        measure("verdict", DATASET, *tables, "--sums", f / "sums.tsv", "--npz", npz, "--sizes", 28,
                "--released", f, "--output", f / "verdict.json")  # fmt: skip
        measure("leak-free", DATASET, *tables, "--output", f / "splits")
        measure("montage", DATASET, "--npz", npz, "--output", f / "montage.png")
        measure("check", DATASET, "--raw", f, "--index", f / "index.tsv", "--counts", f / "census.tsv", *tables,
                "--excluded", f / "excluded.tsv", "--sizes", 28, "--npz", npz,
                "--output", f / "checks.json")  # fmt: skip
        measure("provenance", DATASET, *tables, "--raw", f, "--config", "{}", "--sums", f / "sums.tsv",
                "--checks", f / "checks.json", "--verdict", f / "verdict.json",
                "--output", f / "provenance.json")  # fmt: skip


if __name__ == "__main__":
    main()
