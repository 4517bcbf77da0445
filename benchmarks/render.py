"""Rendering against its bound: `python benchmarks/render.py`.

For pictures of true dimensions, the CPU time of the renderer at all four sizes, and that of decoding and
resizing alone with the same Pillow calls, in turn and in one process; the median of the ratios.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from preprocess import recipe
from preprocess.render import Renderer
from preprocess.table import Sample

SIZES = [28, 64, 128, 224]
REPEATS = 7
#: dataset, format, mode, width, height, samples
CASES = [
    ("chestmnist", "PNG", "L", 1024, 1024, 12),
    ("dermamnist", "JPEG", "RGB", 600, 450, 30),
    ("pathmnist", "TIFF", "RGB", 224, 224, 120),
    ("pneumoniamnist", "JPEG", "L", 1500, 1500, 12),
]


def pictures(folder: Path, format: str, mode: str, width: int, height: int, count: int) -> list[Sample]:
    """Write smooth random pictures and list them."""
    samples = []
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)
        name = f"{number}.{format.lower()}"
        image.save(folder / name, format)
        samples.append(Sample(key=name, path=name))
    return samples


def bound(folder: Path, samples: list[Sample], mode: str, kernel: str) -> float:
    """CPU seconds of decoding once and resizing to each size."""
    start = time.process_time()
    for sample in samples:
        image = Image.open(io.BytesIO((folder / sample.path).read_bytes())).convert(mode)
        for size in SIZES:
            image.resize((size, size), Image.Resampling[kernel.upper()])
    return time.process_time() - start


def render(renderer: Renderer, samples: list[Sample]) -> float:
    """CPU seconds of rendering at each size."""
    start = time.process_time()
    for sample in samples:
        renderer.render(sample)
    return time.process_time() - start


def main() -> None:
    print("| pictures | bound, CPU ms each | render / bound |")
    print("|---|---|---|")
    for name, format, mode, width, height, count in CASES:
        in_force = recipe.load(name, "paper")
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            samples = pictures(folder, format, mode, width, height, count)
            renderer = Renderer(in_force, folder, SIZES)
            pairs = [
                (render(renderer, samples), bound(folder, samples, mode, in_force.value("kernel")))
                for _ in range(REPEATS + 1)
            ][1:]
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        each = statistics.median(theirs for _, theirs in pairs) / count * 1000
        print(f"| {width}x{height} {mode} {format} | {each:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
