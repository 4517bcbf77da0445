"""How fast rendering is, as ratios measured side by side: `python -m benchmarks.render`.

Three tables, for the documentation:

- one sample rendered at all four sizes, against reading, decoding and resizing it by the same libraries and
  nothing else; and a whole render job (its tables read, arrays written) against the same;
- all four files of a dataset built, against the plain loop one would write: open, resize, append, savez_compressed;
- the workflow on one core and on two.

`--only bound loop` chooses, `--samples 0.2` takes fewer of them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from benchmarks import made
from preprocess import recipe
from preprocess.collect import collect
from preprocess.container import Form
from preprocess.environment import peak_memory
from preprocess.pack import pack
from preprocess.recipe import Recipe
from preprocess.render import Renderer
from preprocess.shards import Block, write
from preprocess.table import SPLIT_COLUMNS, Sample, write_samples

ROOT = Path(__file__).parents[1]
SIZES = [28, 64, 128, 224]
REPEATS = 7


@dataclass(frozen=True)
class Kind:
    """Raw files of one kind: the dataset whose recipe renders them, how many, and how one is made."""

    title: str
    dataset: str
    samples: int
    suffix: str
    content: Callable[[int], bytes]


KINDS = [
    Kind("1024x1024 gray PNG", "chestmnist", 16, ".png",
         lambda number: made.encoded(made.picture(number, 1024, 1024, 1)[..., 0], "PNG")),
    Kind("600x450 JPEG", "dermamnist", 40, ".jpg", lambda number: made.encoded(made.picture(number, 450, 600), "JPEG")),
    Kind("224x224 TIFF", "pathmnist", 800, ".tif", lambda number: made.encoded(made.picture(number, 224, 224), "TIFF")),
    Kind("1500x1500 JPEG", "retinamnist", 10, ".jpg",
         lambda number: made.encoded(made.picture(number, 1500, 1500), "JPEG")),
    Kind("1500x1500 gray JPEG", "pneumoniamnist", 16, ".jpg",
         lambda number: made.encoded(made.picture(number, 1500, 1500, 1)[..., 0], "JPEG")),
    Kind("360x363 JPEG, centre 200", "bloodmnist", 400, ".jpg",
         lambda number: made.encoded(made.picture(number, 363, 360), "JPEG", quality=92)),
    Kind("32x32x7 TIFF stack", "tissuemnist", 1500, ".tif", made.stack),
]  # fmt: skip


def decoded(path: Path, in_force: Recipe) -> Image.Image:
    """What is resized, by the libraries' own calls."""
    data = path.read_bytes()
    if in_force.name == "tissuemnist":
        return Image.fromarray(tifffile.imread(io.BytesIO(data)).max(axis=0))
    image = Image.open(io.BytesIO(data))
    mode = "L" if in_force.dataset.channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    if (crop := in_force.value("crop")).startswith("centre-2"):
        side = int(crop.removeprefix("centre-"))
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    return image


def kernel(in_force: Recipe) -> Image.Resampling:
    """The resampling filter of the recipe."""
    return Image.Resampling[in_force.value("kernel").upper()]


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process for some work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def bound(share: float) -> None:
    """The first table."""
    print("| raw files | read, decode, 4 resizes: CPU ms | render | whole job |\n|---|---|---|---|")
    for kind in KINDS:
        in_force = recipe.load(kind.dataset, "paper")
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            (folder / "raw").mkdir()
            count = max(int(kind.samples * share), 2)
            paths = list(made.numbered(folder / "raw", count, kind.suffix, kind.content))
            table, samples = split_table(folder, paths)
            renderer = Renderer(in_force, folder / "raw", SIZES)

            def least(paths=paths, in_force=in_force) -> None:
                for path in paths:
                    image = decoded(path, in_force)
                    for size in SIZES:
                        image.resize((size, size), kernel(in_force))

            def render(renderer=renderer, samples=samples) -> None:
                for sample in samples:
                    renderer.render(sample)

            def job(in_force=in_force, folder=folder, table=table) -> None:
                write(in_force, folder / "raw", Block(table, 0, 1), SIZES, folder / "shard", strict=True)

            rounds = []
            for _ in range(REPEATS + 1):
                rounds.append((cpu(least), cpu(render), cpu(job)))
                shutil.rmtree(folder / "shard")
        rounds = rounds[1:]
        each = statistics.median(low for low, _, _ in rounds) / count * 1000
        ratios = [statistics.median(one[place] / one[0] for one in rounds) for place in (1, 2)]
        print(f"| {kind.title} | {each:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


def split_table(folder: Path, paths: list[Path]) -> tuple[Path, list[Sample]]:
    """List files as samples of a training set."""
    samples = [
        Sample(key=path.name, path=path.name, label="0", split="train", index=index) for index, path in enumerate(paths)
    ]
    write_samples(folder / "split.tsv", SPLIT_COLUMNS, samples)
    return folder / "split.tsv", samples


# ---- against a plain loop


def plain_loop(folder: Path, paths: list[Path], in_force: Recipe) -> None:
    """What one would write."""
    for size in SIZES:
        images = []
        for path in paths:
            images.append(np.asarray(decoded(path, in_force).resize((size, size), kernel(in_force))))
        labels = np.zeros((len(images), 1), np.uint8)
        np.savez_compressed(folder / f"{size}.npz", train_images=np.stack(images), train_labels=labels)


def ours(folder: Path, paths: list[Path], in_force: Recipe) -> None:
    """The stages of the pipeline that do the same, and write the tables besides."""
    table, _ = split_table(folder, paths)
    write(in_force, folder / "raw", Block(table, 0, 1), SIZES, folder / "shard", strict=True)
    collect(table, [folder / "shard"], folder / "rows.tsv", folder / "excluded.tsv")
    for size in SIZES:
        pack(in_force, size, folder / "rows.tsv", [folder / "shard"], folder / f"{size}.npz", Form())


def measured(way: str, folder: Path, dataset: str) -> tuple[float, float]:
    """CPU seconds and megabytes at most of one way in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.render", "--way", way, str(folder), dataset]
    said = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    seconds, memory = json.loads(said)
    return seconds, memory


def one_way(way: str, folder: Path, dataset: str) -> None:
    """Do it, and print what it cost."""
    paths = sorted((folder / "raw").iterdir(), key=lambda path: int(path.stem))
    in_force = recipe.load(dataset, "paper")
    seconds = cpu(lambda: {"loop": plain_loop, "ours": ours}[way](folder, paths, in_force))
    print(json.dumps([seconds, peak_memory() / 2**20]))


def loop(share: float) -> None:
    """The second table."""
    print("| raw files | samples | plain loop, CPU s | ours / loop | memory, loop | memory, ours |")
    print("|---|---|---|---|---|---|")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            (folder / "raw").mkdir()
            count = max(int(kind.samples * 4 * share), 4)
            list(made.numbered(folder / "raw", count, kind.suffix, kind.content))
            rounds = [[measured(way, folder, kind.dataset) for way in ("loop", "ours")] for _ in range(3)]
        seconds = statistics.median(theirs for (theirs, _), _ in rounds)
        ratio = statistics.median(mine / theirs for (theirs, _), (mine, _) in rounds)
        memory = [statistics.median(one[place][1] for one in rounds) for place in (0, 1)]
        told = f"| {kind.title} | {count} | {seconds:.1f} | {ratio:.2f} | {memory[0]:.0f} MB | {memory[1]:.0f} MB |"
        print(told, flush=True)


# ---- the whole workflow


#: the last line of a job's log, see preprocess.cli
COST = re.compile(r"cost: ([\d.]+) CPU seconds, at most (\d+) MB")


@dataclass(frozen=True)
class Job:
    """What one job of the workflow cost.

    Attributes:
        place: the folder of its log: a dataset's, ``raw``, or ``logs`` where it is of all datasets together.
        step: its step; ``verify`` for raw files.
        tail: what follows the step in the log's name.
        seconds: CPU seconds.
        memory: MB at the most.
    """

    place: str
    step: str
    tail: str
    seconds: float
    memory: int


def jobs(results: Path) -> Iterator[Job]:
    """The jobs of a run under ``paper``, by their logs."""
    for path in sorted((results / "paper" / "logs").rglob("*.log")):
        if found := COST.search(path.read_text()):
            place = path.parent.name
            step, tail = re.fullmatch(r"(.*?)((?:_\d+)*)", path.stem).groups()
            step = "verify" if place == "raw" else step
            yield Job(place, step, tail.removeprefix("_"), float(found[1]), int(found[2]))


def snakemake(
    results: Path,
    number: int,
    raw: Path,
    target: str,
    census: str = "warn",
    sizes: Sequence[int] = SIZES,
    config: Sequence[str] = (),
) -> None:
    """Build one dataset, at all four sizes if not told otherwise, or another target."""
    config = [f"raw={raw}", f"results={results}", f"sizes={list(sizes)}", f"census={census}", *config]
    words = [sys.executable, "-m", "snakemake", "--cores", str(number), "--quiet", "all", "--config", *config]
    subprocess.run([*words, "--", target], cwd=ROOT, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = {"bound": bound, "loop": loop}
    parser.add_argument("--only", nargs="+", choices=tables, default=list(tables))
    parser.add_argument("--samples", type=float, default=1.0, help="share of the samples")
    parser.add_argument("--way", nargs=3, help=argparse.SUPPRESS)  # one way in a process of its own
    options = parser.parse_args()
    if options.way:
        one_way(options.way[0], Path(options.way[1]), options.way[2])
        return
    for name in options.only:
        tables[name](options.samples)
        print()


if __name__ == "__main__":
    main()
