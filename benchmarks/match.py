"""How long matching takes and what it holds: `python -m benchmarks.match [--rows 20000] [--exact 0]`.

Made pictures of smooth waves stand for rendered raws; the published rows are the same pictures in
another order, slightly changed, so that the nearest has to be found for each: the worst case of a
real run, where no decision is right yet. `--exact 0.99` is the usual one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from preprocess.checksums import image_digest
from preprocess.environment import peak_memory
from preprocess.match.features import Candidates, Published, Rows
from preprocess.match.pairs import find, matched
from preprocess.table import Sample

SIDE = 28
BATCH = 2000


def pictures(random: np.random.Generator, count: int) -> np.ndarray:
    """Smooth random images, (count, 28, 28)."""
    across = np.linspace(0, np.pi, SIDE)
    waves = np.stack([np.cos(k * across) / (1 + k) for k in range(8)])
    weights = random.normal(0, 60, (count, 8, 8))
    images = np.einsum("nab,ai,bj->nij", weights, waves, waves, optimize=True)
    return np.clip(images + 128 + random.normal(0, 2, images.shape), 0, 255).astype(np.uint8)


def run(rows: int, exact: float, folder: Path) -> tuple[float, int]:
    """Match ``rows`` with ``rows``; return seconds and how many pairs are right."""
    random = np.random.default_rng(1)
    order = random.permutation(rows)
    ours, theirs = Rows(folder / "raw", rows, SIDE**2), Rows(folder / "published", rows, SIDE**2)
    our_digests, their_digests = [b""] * rows, [b""] * rows
    width = len(image_digest(np.zeros((1, 1), np.uint8)))
    for first in range(0, rows, BATCH):
        for index, image in enumerate(pictures(random, min(BATCH, rows - first)), first):
            place, same = int(order[index]), random.random() < exact
            changed = np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
            ours.write(index, image)
            theirs.write(place, image if same else changed)
            our_digests[index] = index.to_bytes(width, "big")
            their_digests[place] = (index if same else rows + index).to_bytes(width, "big")
    samples = [Sample(key=str(index), label="0") for index in range(rows)]
    published = Published([("train", i) for i in range(rows)], ["0"] * rows, their_digests, theirs)
    start = time.perf_counter()
    pairs = find(published, Candidates(our_digests, ours), samples, {})
    seconds = time.perf_counter() - start
    return seconds, sum(int(order[pair.sample]) == pair.row for pair in matched(pairs))


def main() -> None:
    """Print one line of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="published rows, and as many raws")
    parser.add_argument("--exact", type=float, default=0.0, help="share of rows with equal pixels")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds, right = run(options.rows, options.exact, Path(folder))
    peak = peak_memory() / 1e6
    print("| rows x raws | equal pixels | pairs right | seconds | peak memory |")
    print("|---|---|---|---|---|")
    print(f"| {options.rows:,} x {options.rows:,} | {options.exact:.0%} | {right:,} | {seconds:.1f} | {peak:.0f} MB |")


if __name__ == "__main__":
    main()
