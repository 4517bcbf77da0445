"""The index stage: every sample of a dataset, labelled, counted against what is known."""

from __future__ import annotations

import contextlib
import inspect
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from preprocess import labels, sources
from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.reading.archives import Raw
from preprocess.reasons import is_early
from preprocess.recipe import Recipe
from preprocess.sources import common
from preprocess.table import Sample

log = logging.getLogger(__name__)

Census = Literal["strict", "warn"]
CENSUS_COLUMNS = ("name", "expected", "found")


@dataclass
class Indexed:
    """The samples of a dataset, and (name, expected, found) of every count of its census."""

    samples: list[Sample]
    census: list[tuple[str, int, int]]

    @property
    def counts(self) -> dict[str, int]:
        """What was counted, by name."""
        return {name: found for name, _, found in self.census}


def build(
    recipe: Recipe, folder: Path, census: Census, expected: dict[str, int] | None, raw: Raw | None = None
) -> Indexed:
    """Index the source of ``recipe`` in ``folder`` and label its samples.

    Args:
        recipe: the dataset's recipe; its ``options`` go to the source, its ``label`` to the rule.
        folder: the source's raw folder.
        census: whether a difference from ``expected`` or a missing file stops the run.
        expected: the known counts by name; None where none are known, and then nothing is compared.
        raw: the source's raw files, where they are open already; they stay open.

    Raises:
        PreprocessError: the census differs or a file is missing under ``strict``; no sample is there.
    """
    source = sources.get(recipe.dataset.reader)
    # as for steps: a parameter named after a decision receives it
    decided = {
        name: recipe.value(name) for name in inspect.signature(source.index).parameters if name in recipe.decisions
    }
    with contextlib.nullcontext(raw) if raw else Raw(folder) as files:
        listing: sources.Listing = source.index(files, **recipe.dataset.options, **decided)
    for note in listing.notes:
        log.info("%s: %s", recipe.source, note)
    for warning in listing.warnings:
        log.warning("%s: %s", folder, warning)
    rule = labels.RULES[recipe.dataset.label["rule"]]
    how = labels.decided(recipe.dataset.label, recipe.stage_decisions("index"))
    seen: dict[str, str] = {}
    for sample in listing.samples:
        if sample.key in seen:
            raise PreprocessError(f"{folder}: the key {sample.key} occurs twice: {seen[sample.key]} and {sample.path}")
        seen[sample.key] = sample.path
        if not (sample.reason and is_early(sample.reason)):
            try:
                sample.label = rule(sample, how)
            except ExcludeSample as exclusion:
                sample.reason, sample.detail = exclusion.reason, exclusion.detail
        sample.attributes = common.columns(sample.attributes)
    # the missing first: a name helps more than a count
    _check_missing(folder, census, listing.samples)
    expected = listing.census if expected is None else expected
    _compare(recipe, folder, census, expected, listing.census)
    _check_usable(recipe, folder, listing.samples)
    names = dict.fromkeys([*expected, *listing.census])
    return Indexed(listing.samples, [(name, expected.get(name, 0), listing.census.get(name, 0)) for name in names])


def _compare(recipe: Recipe, folder: Path, census: Census, expected: dict[str, int], found: dict[str, int]) -> None:
    names = [*expected, *(name for name in found if name not in expected)]
    different = [name for name in names if expected.get(name, 0) != found.get(name, 0)]
    if not different:
        return
    text = (
        f"{folder}: the {recipe.source} files for {recipe.name} are not complete or not the published ones: "
        f"expected {_counts(expected, different)}, found {_counts(found, different)}"
    )
    if census == "strict":
        remedy = "complete the download"
        if recipe.dataset.is_own:
            text = f"{folder}: expected {_counts(expected, different)}, found {_counts(found, different)}"
            remedy = f"correct the census in {recipe.dataset.file}, which says what must be there"
        raise PreprocessError(f"{text}; {remedy}, or set census: warn to build from what is there")
    log.warning("%s", text)


def _counts(counts: dict[str, int], names: list[str]) -> str:
    return ", ".join(f"{name} {counts.get(name, 0):,}" for name in names)


def _check_missing(folder: Path, census: Census, samples: list[Sample]) -> None:
    unreadable = [sample for sample in samples if sample.reason == "unreadable"]
    if unreadable and census == "strict":
        raise PreprocessError(
            f"{folder}: {len(unreadable):,} samples are unreadable, the first is {unreadable[0].key}: "
            f"{unreadable[0].detail}; replace the files, or set census: warn to leave them out"
        )
    missing = [sample for sample in samples if sample.reason == "missing"]
    if missing and census == "strict":
        raise PreprocessError(
            f"{folder}: {len(missing):,} files named by the source's list are missing, the first is {missing[0].key}; "
            f"complete the download, or set census: warn to leave them out"
        )
    if missing:
        log.warning("%s: %s of %s files are missing", folder, f"{len(missing):,}", f"{len(samples):,}")


def _check_usable(recipe: Recipe, folder: Path, samples: list[Sample]) -> None:
    if all(sample.reason for sample in samples):
        why = f"; {samples[0].key}: {samples[0].reason}, {samples[0].detail}" if samples else ""
        raise PreprocessError(f"{folder}: no sample of {recipe.name} can be rendered from what is there{why}")
