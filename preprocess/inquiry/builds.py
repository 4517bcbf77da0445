"""A finished build of one dataset, opened by its folder alone: its provenance says by which recipe it was made."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from preprocess import recipe
from preprocess.errors import PreprocessError
from preprocess.files import read_json
from preprocess.plan.paths import Paths
from preprocess.recipe import Recipe
from preprocess.table import Sample, read_samples


@dataclass(frozen=True)
class Finished:
    """One dataset of one build.

    Attributes:
        recipe: the decisions it was built by.
        name: of the build, such as ``paper+kernel=lanczos``.
        paths: the places of its files.
        made: what its provenance says.
        npz: its files by size, ascending.
    """

    recipe: Recipe
    name: str
    paths: Paths
    made: dict[str, Any]
    npz: dict[int, Path]

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.recipe.name

    @property
    def is_miniature(self) -> bool:
        """Whether it was built from stand-ins."""
        return bool(self.made["miniature"])

    def of(self, place: str) -> Path:
        """A file of the dataset, by the name of its place."""
        return Path(self.paths.of(place, dataset=self.dataset))

    def beside(self, place: str, size: int) -> Path:
        """A file that goes with the npz of one size."""
        tail = self.npz[size].stem.removeprefix(self.dataset)
        return Path(self.paths.of(place, dataset=self.dataset, tail=tail))

    @cached_property
    def samples(self) -> list[Sample]:
        """Its samples in the order of the arrays: train, val, test."""
        return list(read_samples(self.of("samples")))


def find(base: Path, build: str, dataset: str) -> Finished | None:
    """A dataset of a build in a results folder, or None where it is not (wholly) there."""
    paths = Paths(base, base / build)
    try:
        made = read_json(paths.of("provenance", dataset=dataset))
        config = made["config"]
    except (OSError, ValueError, KeyError):
        return None
    in_force = recipe.load(dataset, config["protocol"], config["overrides"].get(dataset, {}))
    found = {
        int(match[1] or 28): path
        for path in paths.out.glob(f"{dataset}*.npz")
        if (match := re.fullmatch(rf"{dataset}(?:_(\d+))?\.npz", path.name))
    }
    if not found or not Path(paths.of("samples", dataset=dataset)).is_file():
        return None
    return Finished(in_force, build, paths, made, dict(sorted(found.items())))


def require(base: Path, build: str, dataset: str, raw: Path | None) -> Finished:
    """The same; where it is not there, the error says the command that builds it."""
    if (found := find(base, build, dataset)) is None:
        raise PreprocessError(
            f"{dataset}: {base / build} does not hold it; build it first: {command(build, dataset, raw)}"
        )
    return found


def gather(dataset: str, variants: Sequence[str], base: Path, raw: Path | None) -> tuple[list[Finished], list[str]]:
    """The builds of a dataset that are there, in the order of their names, and for each other how it is built.

    Args:
        dataset: its name.
        variants: names of builds, the folders below ``base``.
        base: the results folder.
        raw: the raw folder, for the commands; None for stand-ins.
    """
    found = {name: find(base, name, dataset) for name in variants}
    missing = [
        f"{dataset} in {base / name}: build it with: {command(name, dataset, raw)}"
        for name, one in found.items()
        if one is None
    ]
    return [one for one in found.values() if one is not None], missing


def command(build: str, dataset: str, raw: Path | None) -> str:
    """What builds a dataset in a build's folder, as far as the folder's name says it."""
    protocol, _, variant = build.partition("+")
    own = [f"recipes={recipe.dataset(dataset).file.parent}"] if recipe.is_own(dataset) else []
    words = [f"protocol={protocol}", *([f"raw={raw}"] if raw else []), *own]
    changes = [part.partition("=") for part in variant.split(",") if part]
    if seeds := [value for key, _, value in changes if key == "seed"]:
        words.append(f"seed={seeds[0]}")
    decided = ", ".join(f"{key}: {value}" for key, mark, value in changes if mark and key != "seed")
    if decided:
        words.append(f"overrides={{{dataset}: {{{decided}}}}}")
    elif variant and not seeds:
        words += [f"variant={variant}", f"overrides={{{dataset}: ...}}"]
    return shlex.join(["snakemake", "--cores", "2", dataset, "--config", *words])
