"""The same raw files by another project's script: `python -m benchmarks.peers --medimeta <its checkout>`.

MedIMeta's dataset scripts (github.com/StefanoWoerner/medimeta-dataset-scripts) write the pictures of PBC at 224 as TIFF
files and as one uncompressed HDF5 file. Here they run beside this workflow at 224 alone, from the same files, each on
one core: the true ones where `--raw` names a folder that holds `pbc/PBC_dataset_normal_DIB/`, else made-up ones. Give
the checkout, and the Python that has what its `requirements.txt` asks for. CPU seconds and memory are those of all
processes; ratios are ours over theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks import made
from benchmarks.render import jobs

ROOT = Path(__file__).parents[1]
SIZE = 224
#: runs a command, and prints CPU seconds, seconds, and megabytes of the largest process of all it started
MEASURE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
unit = 2**20 if sys.platform == "darwin" else 2**10
if done.returncode:
    sys.exit(done.stderr[-2000:])
print(json.dumps([used.ru_utime + used.ru_stime, time.perf_counter() - start, used.ru_maxrss / unit]))
"""


@dataclass(frozen=True)
class Used:
    """What one way took: CPU seconds, seconds, and MB of its largest process."""

    cpu: float
    wall: float
    memory: float


def measured(words: list[str], folder: Path) -> Used:
    """Run a command on one core in a folder."""
    where = os.environ | {"PYTHONWARNINGS": "ignore"}
    where.pop("PYTHONDONTWRITEBYTECODE", None)  # users compile a module once, not at each of our starts
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *words], cwd=folder, env=where, stdout=subprocess.PIPE, text=True, check=True
    )
    return Used(*json.loads(done.stdout))


def theirs(checkout: Path, python: str, raw: Path, out: Path) -> Used:
    """Their script; it renames a folder of the raw files while it runs."""
    shutil.rmtree(out, ignore_errors=True)
    keys = {
        "pipeline": "pbc",
        "pipeline_args.pbc.in_path": raw / "pbc",
        "pipeline_args.pbc.zipped": "false",
        "unified_data_base_path": out,
        "dataset_info_dir": checkout / "dataset_info",
    }
    return measured([python, "run_pipeline.py", *(f"{key}={value}" for key, value in keys.items())], checkout)


def expect(checkout: Path, samples: int) -> None:
    """Tell their script how many pictures there are: it takes the numbers of the whole source from a file."""
    path = checkout / "dataset_info" / "peripheral_blood_cells.yaml"
    about = yaml.safe_load(path.read_text(encoding="utf-8"))
    train, val = int(0.7 * samples), int(0.1 * samples)
    about["total_num_samples"] = samples
    about["splits_num_samples"] = {"train": train, "val": val, "test": samples - train - val}
    about["original_splits_num_samples"] = {"train": samples, "val": 0, "test": 0}
    path.write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")


def ours(raw: Path, out: Path, deflate: int) -> tuple[Used, dict[str, float]]:
    """This workflow, and the CPU seconds of each of its steps."""
    shutil.rmtree(out, ignore_errors=True)
    config = [f"raw={raw}", f"results={out}", f"sizes=[{SIZE}]", "census=warn", f"deflate={deflate}"]
    words = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--config", *config]
    used = measured([*words, "--", "bloodmnist"], ROOT)
    steps: dict[str, float] = defaultdict(float)
    for job in jobs(out):
        steps[job.step] += job.seconds
    return used, steps


def report(ways: dict[str, list[Used]], steps: dict[str, dict[str, float]]) -> None:
    """Two tables."""
    base = [one.cpu for one in ways["MedIMeta"]]
    print("| way | CPU s | CPU, ours / theirs | wall | MB of the largest process |\n|---|---|---|---|---|")
    for way, runs in ways.items():
        ratio = statistics.median(one.cpu / other for one, other in zip(runs, base, strict=True))
        cpu, wall, memory = (statistics.median(values) for values in zip(*((r.cpu, r.wall, r.memory) for r in runs)))
        print(f"| {way} | {cpu:.1f} | {ratio:.2f} | {wall:.0f} s | {memory:.0f} |")
    print(f"\n| step | {' | '.join(f'{way}: CPU s' for way in steps)} |\n|---|{'---|' * len(steps)}")
    names = {name: seconds for of_way in steps.values() for name, seconds in of_way.items()}
    for name in sorted(names, key=lambda name: -names[name]):
        print(f"| {name} | {' | '.join(f'{of_way[name]:.1f}' for of_way in steps.values())} |")


def main() -> None:
    """Run both, one after another, as often as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--medimeta", type=Path, required=True, help="a checkout of its dataset scripts")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs them")
    parser.add_argument("--raw", type=Path, help="the folder that holds pbc/...")
    parser.add_argument("--share", type=float, default=1.0, help="of the made-up pictures")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--levels", type=int, nargs="+", default=[0, 1, 6], help="values of the key deflate")
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary folder if left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as text:
        folder = Path(text)
        checkout, raw = folder / "medimeta", folder / "raw"
        shutil.copytree(options.medimeta, checkout)  # their script keeps its split there
        (checkout / "dataset_info" / "splits" / "PBC_splits.csv").unlink(missing_ok=True)
        if options.raw:  # their script renames a folder there
            shutil.copytree(options.raw / "pbc", raw / "pbc")
        else:
            made.pbc(raw / "pbc", options.share)
        expect(checkout, sum(1 for _ in (raw / "pbc" / "PBC_dataset_normal_DIB").rglob("*.jpg")))
        ways: dict[str, list[Used]] = defaultdict(list)
        steps: dict[str, dict[str, float]] = {}
        for _ in range(options.repeats):
            ways["MedIMeta"].append(theirs(checkout, options.python, raw, folder / "theirs"))
            for level in options.levels:
                way = f"ours, deflate {level}"
                used, steps[way] = ours(raw, folder / "ours", level)
                ways[way].append(used)
        report(ways, steps)


if __name__ == "__main__":
    main()
