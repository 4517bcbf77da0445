"""How long the search for near duplicates takes and what it holds: `python -m benchmarks.duplicates [--rows 236386]`.

Made pictures of smooth waves stand for a dataset; one in a thousand is a changed copy of another, and the
search has to find it. It misses copies of pictures with large clipped areas: there noise decides the hash.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.match import pictures
from preprocess import duplicates
from preprocess.cells import SIDE
from preprocess.cells import cells as cells_of
from preprocess.environment import peak_memory

BATCH = 2000
#: one picture in so many is a copy
COPIES = 1000


def dataset(random: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """Pictures (28, 28); every thousandth is the one before it, darker and with noise."""
    last = np.zeros((0, 28, 28), np.uint8)
    for first in range(0, count, BATCH):
        last = pictures(random, min(BATCH, count - first))
        for row, image in enumerate(last, first):
            if row % COPIES == COPIES - 1:
                image = np.clip(last[row - first - 1] * 0.9 + random.normal(0, 1, image.shape), 0, 255).astype(np.uint8)
            yield image


def main() -> None:
    """Print one line of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="pictures; TissueMNIST has 236,386")
    parser.add_argument("--all-pairs", action="store_true", help="as for pictures that share too much to choose pairs")
    options = parser.parse_args()
    cells = np.zeros((options.rows, SIDE, SIDE), np.uint8)
    for row, image in enumerate(dataset(np.random.default_rng(1), options.rows)):
        cells[row] = cells_of(image, 2)
    start, cpu = time.perf_counter(), time.process_time()
    pairs = duplicates.near(cells, all_pairs=options.all_pairs or None)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = peak_memory() / 1e6
    planted = {(row - 1, row) for row in range(COPIES - 1, options.rows, COPIES)}
    found = {(pair.first, pair.second) for pair in pairs}
    print("| pictures | copies found | other pairs | seconds | CPU seconds | peak memory |")
    print("|---|---|---|---|---|---|")
    told = f"{len(planted & found):,} of {len(planted):,} | {len(found - planted):,}"
    print(f"| {options.rows:,} | {told} | {seconds:.1f} | {cpu:.1f} | {peak:.0f} MB |")


if __name__ == "__main__":
    main()
