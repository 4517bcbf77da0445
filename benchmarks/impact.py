"""What `snakemake impact` costs and says, on many drawn pictures: `python -m benchmarks.impact`.

Drawn blood cells and skin lesions stand in for PBC and HAM10000, as many as asked for and less alike within a class
than those of the default run. Two decisions are looked at: the JPEG file that `released` BloodMNIST at 28 goes through,
and lesions that straddle the splits of `released` DermaMNIST. What is said of drawings is no finding on the real sets;
it shows what the command says, and what that costs. The published counts are 17,092 and 10,015; `--count 17092` draws
for some ten minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from itertools import starmap
from pathlib import Path

import numpy as np

from benchmarks.made import share_of
from benchmarks.render import Job, jobs, snakemake
from preprocess import recipe
from preprocess.miniature import ham10000, pbc
from preprocess.miniature.drawing import encode, rng

#: dataset: the builds that are compared, each with what it decides otherwise
BUILDS = {
    "bloodmnist": {"released": {}, "released+jpeg=none": {"jpeg": "none"}, "paper": {}},
    "dermamnist": {"released": {}, "released+split.group_by=lesion": {"split.group_by": "lesion"}},
}


def cells(folder: Path, count: int) -> int:
    """Write about so many blood cells, in the true shares of the classes; return how many."""
    census = recipe.read("bloodmnist")["census"]
    known = {name: number for name, number in census.items() if name in pbc.LOOKS}
    counts = share_of(known, count / sum(known.values()))
    for name in counts:
        (folder / pbc.ROOT / name).mkdir(parents=True)
    wanted = [(folder, name, number) for name, most in counts.items() for number in range(most)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(_cell, *zip(*wanted, strict=True), chunksize=50))
    return len(wanted)


def _cell(folder: Path, name: str, number: int) -> None:
    generator = rng("impact", name, number)
    look = pbc.LOOKS[name]
    size = np.exp(generator.normal(0, 0.2, 2))
    colour = tuple(np.clip(np.array(look.cytoplasm) + generator.normal(0, 0.06, 3), 0, 1))
    changed = dataclasses.replace(look, cell=look.cell * size[0], nucleus=look.nucleus * size[1], cytoplasm=colour)
    picture = pbc._draw(generator, changed, *pbc.USUAL)
    (folder / pbc.ROOT / name / f"{name[:2].upper()}_{number}.jpg").write_bytes(encode(picture, "JPEG", quality=92))


def lesions(folder: Path, count: int) -> int:
    """Write about so many pictures of lesions whose classes look alike; return how many."""
    often = max(1, round(count / sum(map(sum, ham10000.LESIONS.values()))))
    middle = np.mean([colour for colour, _ in ham10000.LOOKS.values()], axis=0)
    ham10000.LESIONS = {name: counts * often for name, counts in ham10000.LESIONS.items()}
    ham10000.LOOKS = {
        name: (tuple(middle + 0.2 * (np.array(colour) - middle)), 0.1) for name, (colour, _) in ham10000.LOOKS.items()
    }
    ham10000.TRUE_SIZES = set()
    ham10000.PICTURES = ham10000._pictures()
    folder.mkdir(parents=True)
    ham10000.generate(folder)
    for archive in folder.glob("*.zip"):  # another zip of the published name would be taken for a damaged one
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder / archive.stem)
        archive.unlink()
    return len(ham10000.PICTURES)


def run(dataset: str, raw: Path, results: Path, cores: int) -> Job:
    """Build what is compared, ask, and return what the answer took."""
    for build, decided in BUILDS[dataset].items():
        protocol = build.partition("+")[0]
        told = ", ".join(starmap("{}: {}".format, decided.items()))
        words = [f"protocol={protocol}", f"overrides={{{dataset}: {{{told}}}}}"]
        snakemake(results, cores, raw, dataset, sizes=(28,), config=words)
    snakemake(results, cores, raw, "impact", config=[f"datasets=[{dataset}]", f"variants={list(BUILDS[dataset])}"])
    (job,) = (job for job in jobs(results) if job.step == "impact")
    return job


def main() -> None:
    """Draw, build, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=4000, help="pictures of each dataset")
    parser.add_argument("--datasets", nargs="+", choices=BUILDS, default=list(BUILDS))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary folder if left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as text:
        draw = {"bloodmnist": ("pbc", cells), "dermamnist": ("ham10000", lesions)}
        lines = []
        for dataset in options.datasets:
            source, drawn = draw[dataset]
            count = drawn(Path(text, "raw", source), options.count)
            job = run(dataset, Path(text, "raw"), Path(text, "results"), options.cores)
            lines.append(f"| {dataset} | {count:,} | {len(BUILDS[dataset])} | {job.seconds:.0f} | {job.memory} |")
    print("| dataset | pictures | builds | CPU s | MB at the most |\n|---|---|---|---|---|", *lines, sep="\n")


if __name__ == "__main__":
    main()
