"""What a build was made from, by what, and how sure each decision is: ``<dataset>.provenance.json``."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import subprocess
import zlib
from importlib import metadata
from pathlib import Path
from typing import Any

from preprocess import __version__
from preprocess.npz import is_classic_zlib
from preprocess.plan.fingerprint import DISTRIBUTIONS
from preprocess.recipe import Recipe
from preprocess.table import read_rows


def describe(
    recipe: Recipe,
    folder: Path,
    config: dict[str, Any],
    samples_table: Path,
    sums: Path,
    findings: list[dict[str, str]],
    verdict: dict[str, Any],
    verified: list[dict[str, Any]],
) -> dict[str, Any]:
    """Collect the provenance of one dataset; ``verified`` is what :mod:`preprocess.acquire.verify` wrote.

    The same inputs give the same text, there is no time in it.
    """
    placed = any(row["released_index"] for row in read_rows(samples_table))
    return {
        "dataset": recipe.name,
        "protocol": recipe.protocol,
        "versions": versions(),
        "commit": commit(),
        "config": config,
        "command": command(recipe, config),
        "recipe": {
            "source": recipe.source,
            "licence": recipe.about["licence"],
            "steps": [*recipe.prepare, *recipe.steps],
            "decisions": {
                key: {"value": choice.value, "evidence": choice.evidence, "why": choice.why}
                | ({"note": choice.note} if choice.note else {})
                | ({"missing": choice.missing} if choice.missing else {})
                | ({"not_in_force": idle} if (idle := recipe.idle(key, placed)) else {})
                for key, choice in recipe.decisions.items()
            },
        },
        "raw": {
            "archives": {
                entry["file"]: {key: entry[key] for key in ("size", "md5", "sha256", "basis")} for entry in verified
            },
            "samples_sha256": samples_digest(samples_table),
        },
        "sums": {f"{row['kind']} {row['name']}": row["digest"] for row in read_rows(sums)},
        "verdict": verdict,
        "findings": findings,
    }


def command(recipe: Recipe, config: dict[str, Any]) -> str:
    """The command that builds this dataset again, quoted for a shell, whatever ``config.yaml`` says there.

    It names every key that the dataset's files depend on; of the overrides, those of this dataset.
    """
    keys = ("raw", "results", "protocol", "sizes" if recipe.dimensions == 2 else "sizes_3d", "seed", "census")
    values = {key: config[key] for key in (*keys, "exceptions") if config.get(key) is not None}
    if overrides := config.get("overrides", {}).get(recipe.name):
        values["overrides"] = {recipe.name: overrides}
    pairs = [f"{key}={one if isinstance(one, str) else json.dumps(one)}" for key, one in values.items()]
    return shlex.join(["snakemake", "--cores", "2", recipe.name, *(["--config", *pairs] if pairs else [])])


def versions() -> dict[str, str]:
    """Versions of what can change a byte of the result."""
    found = {"medmnist-rebuild": __version__, "python": platform.python_version()}
    found["zlib"] = zlib.ZLIB_RUNTIME_VERSION + (
        "" if is_classic_zlib() else ": not the classic zlib, file MD5s cannot match"
    )
    for name in sorted(DISTRIBUTIONS.values()):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of this package's checkout, with ``+changes`` where files differ; empty outside one."""
    folder = Path(__file__).parents[1]
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "."], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+changes" if changes.stdout else "")


def samples_digest(samples_table: Path) -> str:
    """sha256 over the sorted keys and raw digests: one number for all raw bytes that were used."""
    lines = sorted(f"{row['key']}\t{row['raw_sha256']}\n" for row in read_rows(samples_table))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
