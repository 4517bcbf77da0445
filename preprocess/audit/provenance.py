"""What a build was made from, by what, and how sure each decision is: ``<dataset>.provenance.json``.

The same inputs give the same text, there is no time in it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preprocess import __version__, environment, recipe
from preprocess.audit import licences, placing
from preprocess.audit.findings import Finding, incomplete
from preprocess.audit.plain import typed
from preprocess.decisions import Pointer
from preprocess.files import read_json
from preprocess.recipe import Recipe
from preprocess.table import read_rows


@dataclass(frozen=True)
class BuildRecords:
    """What the stages wrote about one build.

    Attributes:
        samples: the samples table.
        sums: the table of checksums of each npz.
        packed: how each npz was packed, as JSON.
        findings: what the checks found, as JSON.
        verdict: how the files compare with the published ones, as JSON.
        verified: what :mod:`preprocess.acquire.verify` wrote of the raw files, as JSON; none for stand-ins.
    """

    samples: Path
    sums: tuple[Path, ...]
    packed: tuple[Path, ...]
    findings: Path
    verdict: Path
    verified: tuple[Path, ...] = ()


@dataclass(frozen=True)
class RunFacts:
    """What the run knows of a build and its files cannot tell.

    Attributes:
        config: the settings in force.
        miniature: whether it is built from stand-ins.
        default_seed: the seed of a run that names none.
        variant: the name of a build that decides otherwise than the protocol; empty for the default decisions.
        current: a digest of all the build depends on; empty where the run gives none.
        rehearsal: how many samples a rehearsal draws; 0 for a build.
    """

    config: dict[str, Any]
    miniature: bool
    default_seed: int
    variant: str = ""
    current: str = ""
    rehearsal: int = 0


@dataclass(frozen=True)
class Change:
    """One setting that differs from the protocol's: its key, its value and the value it has without a change."""

    key: str
    value: object
    default: object


@dataclass(frozen=True)
class DecisionRecord:
    """One decision of a recipe.

    Attributes:
        value: what was decided.
        evidence: its grade.
        why: where it comes from.
        note: what the reader must know besides.
        missing: what an optional package that is not installed changed.
        not_in_force: why it decides nothing, as the other decisions and the order table stand; empty for one that does.
        source: where the reason can be looked up or proven again.
    """

    value: object
    evidence: str
    why: str
    note: str = ""
    missing: str = ""
    not_in_force: str = ""
    source: Pointer | None = None


@dataclass(frozen=True)
class RecipeRecord:
    """The recipe in force; the licence is that of the output, for stand-ins :data:`licences.DRAWN`."""

    source: str
    licence: str
    steps: tuple[str, ...]
    decisions: dict[str, DecisionRecord]


@dataclass(frozen=True)
class RawFileRecord:
    """One raw file as it was verified: bytes, checksums, and what they were compared with."""

    size: int
    md5: str
    sha256: str
    basis: str


@dataclass(frozen=True)
class RawRecord:
    """The raw files by name, and one digest for all raw bytes that were used."""

    archives: dict[str, RawFileRecord]
    samples_sha256: str


@dataclass(frozen=True)
class Provenance:
    """The record of one build.

    Attributes:
        dataset: its name.
        protocol: ``paper`` or ``released``.
        miniature: whether it is built from stand-ins: drawings, not data.
        rehearsal: how many samples a rehearsal draws, which is no build; 0 for a build.
        variant: the variant's name; empty for the default decisions.
        changed: the overrides of this dataset, and a seed other than the default.
        incomplete: what the raw files lack, a line each; empty where they are complete.
        order: what placed the rows, see :func:`preprocess.audit.placing.placed_by`.
        current: a digest of all the build depends on, as the run gave it.
        versions: of what can change a byte of the result.
        commit: of this package's checkout, or empty.
        config: the settings of the run.
        command: what builds the dataset again.
        recipe: the decisions in force.
        raw: what it was made from.
        containers: how each npz is packed, in words.
        sums: digests by kind and file.
        verdict: how each file compares with the published one.
        findings: what the checks found.
    """

    dataset: str
    protocol: str
    miniature: bool
    rehearsal: int
    variant: str
    changed: tuple[Change, ...]
    incomplete: tuple[str, ...]
    order: str
    current: str
    versions: dict[str, str]
    commit: str
    config: dict[str, Any]
    command: str
    recipe: RecipeRecord
    raw: RawRecord
    containers: dict[str, str]
    sums: dict[str, str]
    verdict: dict[str, Any]
    findings: tuple[Finding, ...]


def describe(in_force: Recipe, records: BuildRecords, run: RunFacts) -> Provenance:
    """Collect the provenance of one dataset."""
    findings = typed(tuple[Finding, ...], read_json(records.findings))
    order = placing.placed_by(in_force, (row["released_index"] for row in read_rows(records.samples)))
    verified = [entry for path in records.verified for entry in read_json(path)]
    rows = sorted((row for path in records.sums for row in read_rows(path)), key=lambda row: (row["kind"], row["name"]))
    return Provenance(
        dataset=in_force.name,
        protocol=in_force.protocol,
        miniature=run.miniature,
        rehearsal=run.rehearsal,
        variant=run.variant,
        changed=changes(in_force, run),
        incomplete=tuple(incomplete(findings)),
        order=order,
        current=run.current,
        versions=versions(),
        commit=commit(),
        config=run.config,
        command=command(in_force, run),
        recipe=_recipe(in_force, run.miniature, order),
        raw=RawRecord(
            {entry["file"]: typed(RawFileRecord, _picked(entry)) for entry in verified}, samples_digest(records.samples)
        ),
        containers={entry["file"]: entry["container"] for entry in map(read_json, records.packed)},
        sums={f"{row['kind']} {row['name']}": row["digest"] for row in rows},
        verdict=read_json(records.verdict),
        findings=findings,
    )


def _picked(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("size", "md5", "sha256", "basis")}


def _recipe(in_force: Recipe, miniature: bool, order: str) -> RecipeRecord:
    placed = order == placing.TABLE
    return RecipeRecord(
        source=in_force.source,
        licence=licences.DRAWN if miniature else in_force.dataset.licence,
        steps=(*in_force.prepare, *in_force.steps),
        decisions={
            key: DecisionRecord(
                choice.value,
                choice.evidence,
                choice.why,
                choice.note,
                choice.missing,
                in_force.idle(key, placed),
                choice.source,
            )
            for key, choice in in_force.decisions.items()
        },
    )


def changes(in_force: Recipe, run: RunFacts) -> tuple[Change, ...]:
    """The decisions of a dataset that a user changed, with the protocol's own, and a seed other than the default."""
    default = recipe.load(in_force.name, in_force.protocol)
    keys = [key for key in in_force.decisions if key in in_force.overridden]
    changed = [Change(key, in_force.value(key), default.value(key)) for key in keys]
    seed = run.config.get("seed", run.default_seed)
    if seed != run.default_seed:
        changed.append(Change("seed", seed, run.default_seed))
    return tuple(changed)


def command(in_force: Recipe, run: RunFacts) -> str:
    """The command that builds this dataset again, quoted for a shell, whatever ``config.yaml`` says there.

    It names every key that the dataset's files depend on; of the overrides, those of this dataset. A variant
    is named, because the name that the overrides of one dataset give may be another.
    """
    config = run.config
    keys = (
        "raw",
        "results",
        "protocol",
        "sizes" if in_force.dimensions == 2 else "sizes_3d",
        "seed",
        "census",
        "deflate",
    )
    values = {key: config[key] for key in (*keys, "recipes", "rehearsal", "exceptions") if config.get(key) is not None}
    if run.variant:
        values["variant"] = run.variant
    if overrides := config.get("overrides", {}).get(in_force.name):
        values["overrides"] = {in_force.name: overrides}
    pairs = [f"{key}={one if isinstance(one, str) else json.dumps(one)}" for key, one in values.items()]
    return shlex.join(["snakemake", "--cores", "2", in_force.name, *(["--config", *pairs] if pairs else [])])


def versions() -> dict[str, str]:
    """Versions of what can change a byte of the result."""
    found = environment.versions()
    if not environment.is_classic_zlib():
        found["zlib"] += ": not the classic zlib, file MD5s cannot match"
    return {"medmnist-rebuild": __version__, **found}


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
