"""A dataset of the full number of samples through the whole workflow: `python -m benchmarks.full bloodmnist`.

Writes made-up raw files of the true formats, dimensions and counts below `--folder`, builds all four sizes, and prints
what it cost: seconds, throughput and disk, then for every step the CPU seconds of all its jobs and the memory of the
largest, as the jobs' own logs tell. `--shares 0.5 1` does it for half and for all of them, so that doubling the samples
can be seen to double the cost and no more. TissueMNIST needs about 45 GB of disk while it runs.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import made
from benchmarks.render import SIZES, jobs, snakemake
from preprocess import recipe


@dataclass
class Step:
    """All jobs of one step: their number, CPU seconds in all, and the memory of the largest in MB."""

    jobs: int = 0
    seconds: float = 0.0
    memory: int = 0


@dataclass
class Run:
    """One run of the workflow; bytes of raws, of shards and of the npz."""

    samples: int
    wall: float
    raw: int
    shards: int
    output: int
    steps: dict[str, Step] = field(default_factory=lambda: defaultdict(Step))

    @property
    def seconds(self) -> float:
        """CPU seconds of all jobs."""
        return sum(step.seconds for step in self.steps.values())


def run(dataset: str, share: float, folder: Path, cores: int) -> Run:
    """Write the raws, build, and read the logs."""
    source, write = made.SOURCES[dataset]
    raw, results = folder / "raw", folder / "results"
    for old in (raw, results):
        shutil.rmtree(old, ignore_errors=True)
    samples = write(raw / source, share)
    start = time.perf_counter()
    snakemake(results, cores, raw, dataset, "strict" if share == 1 else "warn")
    wall = time.perf_counter() - start
    channels = recipe.read(dataset)["channels"]
    done = Run(
        samples,
        wall,
        raw=sum(path.stat().st_size for path in raw.rglob("*") if path.is_file()),
        shards=samples * channels * sum(size**2 for size in SIZES),
        output=sum(path.stat().st_size for path in (results / "paper").glob("*.npz")),
    )
    for job in (job for job in jobs(results) if job.place in (dataset, "raw")):
        step = done.steps[job.step]
        step.jobs += 1
        step.seconds += job.seconds
        step.memory = max(step.memory, job.memory)
    return done


def report(dataset: str, runs: list[Run]) -> None:
    """Two tables."""
    print(f"| {dataset} | wall | samples a second | CPU s | CPU ms a sample | raws | shards | four npz |")
    print("|---|---|---|---|---|---|---|---|")
    for one in runs:
        disk = " | ".join(f"{size / 1e9:.1f} GB" for size in (one.raw, one.shards, one.output))
        print(
            f"| {one.samples:,} samples | {one.wall:.0f} s | {one.samples / one.wall:.0f} | {one.seconds:.0f} "
            f"| {1000 * one.seconds / one.samples:.2f} | {disk} |"
        )
    print("\n| step |" + "".join(f" {one.samples:,}: jobs, CPU s, MB at most |" for one in runs))
    print("|---|" + "---|" * len(runs))
    for name in sorted(runs[-1].steps, key=lambda name: -runs[-1].steps[name].seconds):
        cells = [f" {one.steps[name].jobs}, {one.steps[name].seconds:.1f}, {one.steps[name].memory} |" for one in runs]
        print(f"| {name} |" + "".join(cells))


def main() -> None:
    """Run the shares asked for and print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=made.SOURCES)
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary folder if left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as text:
        report(options.dataset, [run(options.dataset, share, Path(text), options.cores) for share in options.shares])


if __name__ == "__main__":
    main()
