"""The check stage: what must hold of every build, and what a reader should know of it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from preprocess import npz
from preprocess.recipe import Recipe
from preprocess.render import Renderer
from preprocess.split import SPLITS
from preprocess.table import Sample, read_rows, read_samples

log = logging.getLogger(__name__)

Level = Literal["error", "warning", "information"]
REBUILT = 20
LOG_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "information": logging.INFO}


@dataclass(frozen=True)
class Finding:
    """One result of one check.

    Attributes:
        check: the check's short name, the same in every report.
        level: an ``error`` fails the build, a ``warning`` is shown, ``information`` is neither.
        text: one sentence with the figures.
    """

    check: str
    level: Level
    text: str


def check(
    recipe: Recipe,
    folder: Path,
    files: dict[int, Path],
    samples_table: Path,
    excluded_table: Path,
    index_table: Path,
    seed: int,
) -> list[Finding]:
    """Run the checks that need no other dataset and return the findings.

    Args:
        recipe: the recipe the files were built by.
        folder: the source's raw folder.
        files: the npz of each size.
        samples_table: ``<dataset>.samples.tsv``.
        excluded_table: ``<dataset>.excluded.tsv``.
        index_table: the index the build started from.
        seed: picks the rows that are rendered again.
    """
    samples = list(read_samples(samples_table))
    indexed = [row["key"] for row in read_rows(index_table)]
    return [
        *_ledger(samples, excluded_table, indexed),
        *_format(recipe, files, samples),
        *_rebuild(recipe, folder, files, samples, indexed, seed),
        *_groups(recipe, samples),
        *(
            Finding("decisions", "warning", f"{key}: {choice.note}")
            for key, choice in recipe.decisions.items()
            if choice.note
        ),
    ]


def _ledger(samples: list[Sample], excluded_table: Path, indexed: list[str]) -> list[Finding]:
    """Every indexed sample is in the output or excluded with a reason, never both."""
    reasons = Counter(row["reason"] for row in read_rows(excluded_table))
    accounted = Counter([sample.key for sample in samples] + [row["key"] for row in read_rows(excluded_table)])
    if Counter(indexed) != accounted:
        lost = sorted((Counter(indexed) - accounted) + (accounted - Counter(indexed)))
        return [Finding("ledger", "error", f"{len(lost)} samples are lost or counted twice, the first is {lost[0]}")]
    told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items())) or "none"
    return [
        Finding(
            "ledger",
            "information",
            f"{len(indexed):,} indexed = {len(samples):,} kept + {sum(reasons.values()):,} excluded ({told})",
        )
    ]


def _format(recipe: Recipe, files: dict[int, Path], samples: list[Sample]) -> list[Finding]:
    """Six uint8 arrays of the promised shapes; labels as in the table; no constant image."""
    findings: list[Finding] = []
    for size, path in files.items():
        reader = npz.Reader(path)
        if sorted(reader.names) != sorted(f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")):
            findings.append(Finding("format", "error", f"{path.name}: holds {', '.join(reader.names)}"))
            continue
        for split in SPLITS:
            members = [sample for sample in samples if sample.split == split]
            if reader.shape(f"{split}_images") != (len(members), *recipe.shape(size)):
                findings.append(
                    Finding("format", "error", f"{path.name}: {split}_images is {reader.shape(f'{split}_images')}")
                )
                continue
            labels = [" ".join(map(str, row)) for row in reader.array(f"{split}_labels").tolist()]
            if labels != [sample.label for sample in members]:
                findings.append(
                    Finding("format", "error", f"{path.name}: {split}_labels differ from the samples table")
                )
            for sample, image in zip(members, reader.rows(f"{split}_images"), strict=True):
                if image.min() == image.max():
                    findings.append(
                        Finding(
                            "constant",
                            "warning",
                            f"{path.name}: {split} {sample.index} ({sample.key}) has one value only",
                        )
                    )
    return findings or [
        Finding("format", "information", f"{len(files)} files hold six uint8 arrays of the promised shapes")
    ]


def _rebuild(
    recipe: Recipe, folder: Path, files: dict[int, Path], samples: list[Sample], indexed: list[str], seed: int
) -> list[Finding]:
    """Random rows, rendered alone, equal the rows in every npz."""
    reading_order = {key: position for position, key in enumerate(indexed)}
    chosen: list[int] = np.random.RandomState(seed).permutation(len(samples))[:REBUILT].tolist()
    renderer = Renderer(recipe, folder, list(files))
    # one after the other as the raw files are stored: a tar.gz is read forwards
    chosen.sort(key=lambda i: reading_order[samples[i].key])
    wanted = {i: renderer.render(samples[i]).arrays for i in chosen}
    findings = []
    for size, path in files.items():
        reader = npz.Reader(path)
        position = 0
        for split in SPLITS:
            for image in reader.rows(f"{split}_images"):
                if position in wanted and not np.array_equal(image, wanted[position][size]):
                    sample = samples[position]
                    findings.append(
                        Finding(
                            "rebuild",
                            "error",
                            f"{path.name}: {split} {sample.index} ({sample.key}) is not what rendering it alone gives",
                        )
                    )
                position += 1
    return findings or [
        Finding(
            "rebuild", "information", f"{len(wanted)} random rows, rendered alone, equal the rows of {len(files)} files"
        )
    ]


def _groups(recipe: Recipe, samples: list[Sample]) -> list[Finding]:
    """No group straddles two splits, or how many do."""
    if recipe.about["group"] == "none":
        return [
            Finding("groups", "information", "the source publishes no group id: leakage between splits cannot be seen")
        ]
    splits: dict[str, set[str]] = {}
    for sample in samples:
        if sample.group:
            splits.setdefault(sample.group, set()).add(sample.split)
    findings = []
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = sum({first, second} <= found for found in splits.values())
        if shared:
            findings.append(
                Finding(
                    "groups",
                    "warning",
                    f"{shared:,} of {len(splits):,} {recipe.about['group']}s are in {first} and {second}",
                )
            )
    return findings or [
        Finding("groups", "information", f"no {recipe.about['group']} of {len(splits):,} is in two splits")
    ]


def as_json(findings: list[Finding]) -> list[dict[str, str]]:
    """The findings as plain values."""
    return [asdict(finding) for finding in findings]
