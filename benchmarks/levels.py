"""How hard to compress: `python -m benchmarks.levels`, real pictures where `MEDMNIST_REAL` names a folder of them.

Rows at 224 are packed at every level of the chunked container and as the published files are, and read again by numpy.
Speeds are of one thread and in megabytes of pixels; sizes are shares of the pixels.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import made
from benchmarks.render import cpu
from preprocess.container import Array, Form, write

SIZE = 224
FORMS = [Form("chunked", 0), Form("chunked", 1), Form("chunked", 6), Form("published")]


def pictures(count: int) -> dict[str, np.ndarray]:
    """Rows at 224 by what they show."""
    found = {"made-up": [Image.fromarray(made.picture(number, 363, 360)) for number in range(count)]}
    if real := os.environ.get("MEDMNIST_REAL"):
        for kind, mode, pattern in (
            ("blood cells (PBC)", "RGB", "pbc/**/*.jpg"),
            ("breast ultrasound (BUSI)", "L", "busi/**/*).png"),
            ("chest X-rays (Kermany)", "L", "kermany/**/*.jpeg"),
        ):
            paths = sorted(Path(real).glob(pattern))[:count]
            found[kind] = [Image.open(path).convert(mode) for path in paths]
    return {
        kind: np.stack([np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for image in images])
        for kind, images in found.items()
        if images
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="pictures of a kind at the most")
    options = parser.parse_args()
    print("| pictures | container | size | packed, MB a CPU s | read, MB a CPU s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as text:
        path = Path(text, "x.npz")
        for kind, rows in pictures(options.count).items():
            for form in FORMS:
                array = Array("train_images", rows.shape, [rows])
                packing = [cpu(lambda form=form, array=array: write(path, [array], 0, form)) for _ in range(3)]
                reading = [cpu(lambda: np.load(path)["train_images"]) for _ in range(3)]
                packed, read = (rows.nbytes / statistics.median(seconds) / 1e6 for seconds in (packing, reading))
                share = path.stat().st_size / rows.nbytes
                print(f"| {kind} | {form} | {share:.3f} | {packed:.0f} | {read:.0f} |", flush=True)


if __name__ == "__main__":
    main()
