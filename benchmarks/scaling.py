"""One dataset on more and more cores: `python -m benchmarks.scaling --cores 1 2`.

Made-up raw files of the true formats and dimensions go through the whole workflow once for every number of cores.
Beside the wall time stands what limits it: the *critical path*, the longest chain of jobs that wait for each other.
A job counts with its CPU seconds, divided by its threads where it has several; of the jobs of one step the longest
counts, for the next step waits for all of them. So the limit of many cores can be read on few.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from benchmarks import made
from benchmarks.render import SIZES, Job, jobs, snakemake
from preprocess.acquire import estimate
from preprocess.plan.stages import STAGES


def costs(done: Iterable[Job], dataset: str) -> dict[str, list[float]]:
    """Seconds of every job of each of a dataset's stages: CPU seconds, divided by the job's threads."""
    found: dict[str, list[float]] = defaultdict(list)
    for job in done:
        if job.place == dataset:
            threads = 1
            if job.step in ("pack", "reread"):
                threads = estimate.pack_workers(dataset, int(job.tail or 28))
            elif job.step == "audit":
                threads = estimate.audit_workers(dataset)
            found[job.step].append(job.seconds / threads)
    return found


def critical(costs: dict[str, list[float]]) -> tuple[float, list[str]]:
    """The longest chain of stages: its seconds, and their names with the seconds of each."""

    @cache
    def until(stage: str) -> tuple[float, list[str]]:
        before = max((until(name) for name in STAGES[stage].after), default=(0.0, []))
        seconds = max(costs.get(stage, [0.0]))
        return before[0] + seconds, [*before[1], f"{stage} {seconds:.1f}"] if seconds else before[1]

    return max(until(stage) for stage in STAGES)


def main() -> None:
    """Run every number of cores asked for and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", default="bloodmnist", choices=made.SOURCES)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--share", type=float, default=1.0, help="of the samples")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary folder if left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as text:
        source, write = made.SOURCES[options.dataset]
        raw, results = Path(text, "raw"), Path(text, "results")
        samples = write(raw / source, options.share)
        print(f"At {', '.join(map(str, options.sizes))}:\n")
        print("| dataset | cores | wall | speed-up | CPU s of all jobs | critical path | of the CPU s |")
        print("|---|---|---|---|---|---|---|")
        first = 0.0
        for cores in options.cores:
            shutil.rmtree(results, ignore_errors=True)
            start = time.perf_counter()
            snakemake(results, cores, raw, options.dataset, sizes=options.sizes)
            wall = time.perf_counter() - start
            first = first or wall
            done = list(jobs(results))
            used = sum(job.seconds for job in done)
            seconds, chain = critical(costs(done, options.dataset))
            print(
                f"| {options.dataset}, {samples:,} samples | {cores} | {wall:.0f} s | {first / wall:.2f} "
                f"| {used:.0f} | {seconds:.1f} s | {100 * seconds / used:.0f} % |",
                flush=True,
            )
        print(f"\nthe critical path: {', '.join(chain)}")


if __name__ == "__main__":
    main()
