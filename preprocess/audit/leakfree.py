"""Leak-free alternatives to a split, as lists of ids: what a user can pass back as ``split.file``.

``move-to-train``
    every sample of a group that straddles splits goes to train and nothing is deleted (Abhishek et al.,
    Sci Data 12:196, 2025: DermaMNIST-C).
``grouped``
    all samples are split again by the recipe's rule and ratio, with groups kept whole.

Where the source publishes no groups, clusters of copies and near copies are kept whole instead: pairs that the audit
finds (:mod:`preprocess.duplicates`), closed transitively. That is a lower bound: pictures of one patient that do
not look alike are not found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from preprocess import duplicates
from preprocess.published import SPLITS
from preprocess.recipe import Choice, Recipe
from preprocess.split import assign
from preprocess.table import Sample, read_rows, read_samples, write_rows

COLUMNS = ("key", "split")


def move_to_train(samples: list[Sample]) -> dict[str, str]:
    """The split of every key when whole groups that straddle splits move to train."""
    splits: dict[str, set[str]] = {}
    for sample in samples:
        splits.setdefault(sample.group or sample.key, set()).add(sample.split)
    return {sample.key: "train" if len(splits[sample.group or sample.key]) > 1 else sample.split for sample in samples}


def grouped(recipe: Recipe, samples: list[Sample], seed: int) -> dict[str, str]:
    """The split of every key when the recipe's rule is applied to whole groups."""
    why = "leak-free alternative"
    decisions = {**recipe.decisions, "split.group_by": Choice("group", "override", why)}
    changed = replace(recipe, decisions=decisions, overridden=recipe.overridden | {"split.group_by"})
    copies = [replace(sample, split="", index=-1, released_index="") for sample in samples]
    return {sample.key: sample.split for sample in assign(changed, copies, seed).samples}


def clustered(samples: list[Sample], pairs: Iterable[tuple[str, str]]) -> list[Sample]:
    """The samples with their cluster as their group: the first key of all that are linked by pairs.

    Args:
        samples: in the order of the rows.
        pairs: the keys of samples that are the same or look alike.
    """
    row = {sample.key: number for number, sample in enumerate(samples)}
    first = duplicates.clusters(len(samples), ((row[one], row[other]) for one, other in pairs)).tolist()
    return [replace(sample, group=samples[one].key) for sample, one in zip(samples, first, strict=True)]


def write(recipe: Recipe, samples_table: Path, pairs_table: Path, seed: int, out: Path) -> None:
    """Write ``move-to-train.tsv`` and ``grouped.tsv`` into ``out``.

    Args:
        recipe: the recipe in force.
        samples_table: the samples with their splits.
        pairs_table: the pairs that the checks found; read where the source publishes no groups.
        seed: of the new split.
        out: the folder.
    """
    from preprocess.files import atomic_folder

    # what a source adds decides no split, and is the most of a row
    samples = [replace(sample, attributes={}) for sample in read_samples(samples_table)]
    with atomic_folder(out) as part:
        if recipe.dataset.group == "none":
            samples = clustered(samples, ((row["first"], row["second"]) for row in read_rows(pairs_table)))
            recipe = replace(recipe, dataset=replace(recipe.dataset, group="duplicates"))
        lists = {"move-to-train": move_to_train(samples)}
        if recipe.value("split.rule") == "per-class":
            lists["grouped"] = grouped(recipe, samples, seed)
        for name, split_of in lists.items():
            ordered = sorted(split_of.items(), key=lambda item: (SPLITS.index(item[1]), item[0]))
            write_rows(part / f"{name}.tsv", COLUMNS, ordered)
