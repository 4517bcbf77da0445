"""How long a first look takes at an archive of many small files: `python -m benchmarks.inspection [--files 250000]`.

Made JPEGs under the names of Kermany's OCT scans, once in a zip and once in a tar.gz, which is read from its beginning
to its end. What is done is what `snakemake inspect` does for one source.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from preprocess.environment import peak_memory
from preprocess.inspection.look import Wish, look

#: different pictures; names differ all
PICTURES = 200
CLASSES = ("CNV", "DME", "DRUSEN", "NORMAL")


def members(files: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every member: gray JPEGs of 96 x 64 pixels with noise."""
    random = np.random.default_rng(1)
    made = []
    for _ in range(PICTURES):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (64, 96), np.uint8)).save(buffer, "JPEG", quality=60)
        made.append(buffer.getvalue())
    for number in range(files):
        label = CLASSES[number * len(CLASSES) // files]
        yield f"CellData/OCT/train/{label}/{label}-{number // 20}-{number % 20}.jpeg", made[number % PICTURES]


def write(path: Path, files: int) -> None:
    """Write a zip or a tar.gz of so many files."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members(files):
                archive.writestr(name, data)
        return
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in members(files):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=250_000)
    options = parser.parse_args()
    print("| archive | files | bytes | state | seconds | CPU seconds | peak memory |")
    print("|---|---|---|---|---|---|---|")
    for name in ("made.zip", "made.tar.gz"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "raw" / "kermany" / name
            path.parent.mkdir(parents=True)
            write(path, options.files)
            start, cpu = time.perf_counter(), time.process_time()
            wish = Wish("kermany", path.parents[1], "paper", {}, (28,), (28,), 42, False, Path(folder) / "cache")
            found = look(wish, lambda line: None)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            size = f"{path.stat().st_size / 1e9:.1f} GB"
            cost = f"{seconds:.0f} | {cpu:.0f} | {peak_memory() / 1e6:.0f} MB"
            ending = name.removeprefix("made")
            print(f"| {ending} | {found.files:,} | {size} | {found.state} | {cost} |", flush=True)


if __name__ == "__main__":
    main()
