"""The split stage: which samples go to train, val and test, and in which order.

Rules and their evidence: the sizes published for 13 datasets follow from cutting each class by the
ratio in IEEE double precision: ``int(0.7 * 1420)`` is 993, and 993 is the published number.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path

import numpy as np

from preprocess import order
from preprocess.decisions import ALIKE
from preprocess.errors import PreprocessError
from preprocess.published import SPLITS as SPLITS
from preprocess.reading import tables
from preprocess.reasons import is_early
from preprocess.recipe import Recipe
from preprocess.table import Sample, read_rows

log = logging.getLogger(__name__)

#: fewer samples than this may be too few groups of a class for a ratio to give train one
FEW = 50


@dataclass
class Outcome:
    """The samples with their splits, and the rows of the order table that found no sample."""

    samples: list[Sample]
    unmatched: list[order.Unmatched]


def cuts(n: int, ratio: str) -> list[int]:
    """Where to cut ``n`` shuffled items: the cumulative share times ``n`` in double precision, floored.

    ``7:1:2`` gives ``[int(.7 * n), int(.8 * n), n]``; ``9:1`` gives ``[int(.9 * n), n]``. The shares are
    the doubles nearest to 0.7, 0.8 and 0.9, never a sum of doubles (0.7 + 0.1 breaks DermaMNIST).
    """
    parts = [int(part) for part in ratio.split(":")]
    ends = [int(float(Fraction(sum(parts[: i + 1]), sum(parts))) * n) for i in range(len(parts) - 1)]
    return [*ends, n]


def per_class(
    labels: dict[str, str], groups: dict[str, str], ratio: str, seed: int, group_class: str = "most-frequent"
) -> dict[str, str]:
    """Cut shuffled groups class by class and return the split of every key.

    A group belongs to the class of its most frequent label (the lowest of equals). Groups are sorted,
    shuffled by a legacy numpy ``RandomState`` (whose stream is frozen) seeded by the seed and the
    class's rank, and cut by :func:`cuts`. So the result depends on keys, labels, groups, ratio and
    seed only, not on the order of files, the platform or the number of cores.

    Args:
        labels: label of each key.
        groups: group of each key; a key that stands alone is its own group.
        ratio: ``train:val`` or ``train:val:test``.
        seed: any non-negative integer below 2**32.
        group_class: ``most-frequent``, or ``highest``: a group belongs to the class of its highest label.
    """
    counts: dict[str, Counter[str]] = {}
    for key, group in groups.items():
        counts.setdefault(group, Counter())[labels[key]] += 1
    classes: dict[str, list[str]] = {}
    for group, counter in counts.items():
        if group_class == "highest":
            label = max(counter, key=label_rank)
        else:
            label = min(counter, key=lambda one: (-counter[one], label_rank(one)))
        classes.setdefault(label, []).append(group)
    split_of: dict[str, str] = {}
    for rank, label in enumerate(sorted(classes, key=label_rank)):
        members = sorted(classes[label])
        shuffled = [members[i] for i in np.random.RandomState([seed, rank]).permutation(len(members))]
        start = 0
        for split, end in zip(SPLITS, cuts(len(shuffled), ratio), strict=False):
            split_of.update(dict.fromkeys(shuffled[start:end], split))
            start = end
    return {key: split_of[group] for key, group in groups.items()}


def label_rank(label: str) -> tuple[int, ...]:
    """Numeric sort key of a label: a class index, or digits joined by spaces."""
    return tuple(int(digit) for digit in label.split())


def read_clusters(table: Path) -> dict[str, str]:
    """The cluster of each sample that looks like another, by its key: what the alike stage wrote."""
    return {row["key"]: row["cluster"] for row in read_rows(table)}


def assign(
    recipe: Recipe,
    samples: list[Sample],
    seed: int,
    order_table: order.Table | None = None,
    clusters: Mapping[str, str] | None = None,
) -> Outcome:
    """Give every sample that is not excluded early its split and its place.

    Where the order in force is the published one, the table in force and the split not overridden, the
    table's own split and order hold, and samples without a row are excluded as ``not-published``.

    ``clusters`` names the cluster of each sample that looks like another, by its key, where such samples stay together.
    It becomes the attribute ``cluster`` of every sample.

    Raises:
        PreprocessError: the source has no groups to split by, a list does not fit, or train is left empty.
    """
    usable = [sample for sample in samples if not (sample.reason and is_early(sample.reason))]
    user_split = any(key.startswith("split.") for key in recipe.overridden)
    if recipe.value("order") == "table" and order_table is not None and not user_split:
        unmatched = order.apply(order_table, usable, recipe.value("split.keep") or {})
        _check_train(recipe, usable, order_table.name)
        return Outcome(samples, unmatched)
    if path := recipe.value("split.file"):
        early = [sample for sample in samples if sample.reason and is_early(sample.reason)]
        split_of, unmatched = _by_file(path, usable, early)
    else:
        split_of, unmatched = _splits(recipe, usable, seed, clusters), []
    for sample in usable:
        sample.split = split_of.get(sample.key, "")
        if not sample.split and not sample.reason:
            sample.reason, sample.detail = "not-published", "the list of splits in force does not name it"
    for split in SPLITS:
        members = [sample for sample in usable if sample.split == split]
        for position, sample in enumerate(_ordered(recipe, members, seed, SPLITS.index(split))):
            sample.index = position
    _check_train(recipe, usable, f"split.rule {recipe.value('split.rule')}")
    return Outcome(samples, unmatched)


def _check_train(recipe: Recipe, samples: list[Sample], by: str) -> None:
    """A split without train is an error, unless there are too few samples for the ratio to give train any.

    Whoever tries one scan or a few pictures can so see what becomes of them; a warning says it.
    """
    if not any(sample.split == "train" for sample in samples):
        if len(samples) < FEW and recipe.value("split.rule") == "per-class" and not recipe.value("split.file"):
            log.warning("%s: %d samples are too few for the ratio to give train any", recipe.name, len(samples))
            return
        raise PreprocessError(
            f"{recipe.name}: {recipe.value('split.file') or by} leaves train without a sample of the {len(samples):,} "
            f"there are; decide the split otherwise, or add the samples of train"
        )


def _splits(
    recipe: Recipe, samples: list[Sample], seed: int, clusters: Mapping[str, str] | None = None
) -> dict[str, str]:
    keep: dict[str, str] = recipe.value("split.keep") or {}
    kept = {sample.key: keep[sample.source_split] for sample in samples if sample.source_split in keep}
    rest = [sample for sample in samples if sample.key not in kept]
    rule = recipe.value("split.rule")
    if rule == "official":
        if rest:
            raise PreprocessError(
                f"{recipe.name}: {rest[0].key} has no split of the source's own; split.rule official cannot hold"
            )
        return kept
    if rule == "list":
        name = recipe.value("split.list")
        return kept | _by_list(rest, _project_list(name), name)[0]
    groups = _groups(recipe, samples, clusters)
    if recipe.renders_first:
        # what looks like a sample that the source keeps in a split goes there too
        split_of_group = {groups[key]: split for key, split in reversed(kept.items())}
        joined = {key: split_of_group[group] for key, group in groups.items() if group in split_of_group}
        kept = joined | kept
        rest = [sample for sample in rest if sample.key not in kept]
    labels = {sample.key: sample.label for sample in rest}
    groups = {sample.key: groups[sample.key] for sample in rest}
    group_class = recipe.value("split.group_class", "most-frequent")
    return kept | per_class(labels, groups, recipe.value("split.ratio"), seed, group_class)


def _groups(recipe: Recipe, samples: list[Sample], clusters: Mapping[str, str] | None) -> dict[str, str]:
    group_by, group = recipe.value("split.group_by"), recipe.dataset.group
    if group_by == "none":
        return {sample.key: sample.key for sample in samples}
    if recipe.renders_first:
        assert clusters is not None, "the alike stage was not run"
        for sample in samples:
            sample.attributes["cluster"] = clusters.get(sample.key, "")
        return _together(samples)
    if group == "none" or group_by not in ("group", group):
        why = ", because its source publishes no group id" if group == "none" else ""
        offered = " or ".join(["none", *([] if group == "none" else [group]), ALIKE]) + why
        raise PreprocessError(f"{recipe.name}: split.group_by cannot be {group_by!r}; it can be {offered}")
    # a sample whose group is not known stands alone
    return {sample.key: sample.group or f"\0{sample.key}" for sample in samples}


def _together(samples: list[Sample]) -> dict[str, str]:
    """The first key of all that a sample is linked with by groups and clusters, directly or by others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ordered = sorted(samples, key=lambda sample: sample.key)
    first: dict[tuple[str, str], int] = {}
    links = [
        (row, first.setdefault(name, row))
        for row, sample in enumerate(ordered)
        for name in (("group", sample.group), ("cluster", sample.attributes["cluster"]))
        if name[1]
    ]
    ends = np.array(links, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(ordered), len(ordered)))
    names: dict[int, str] = {}
    labels = connected_components(graph, directed=False)[1].tolist()
    return {sample.key: names.setdefault(label, sample.key) for sample, label in zip(ordered, labels, strict=True)}


def _ordered(recipe: Recipe, samples: list[Sample], seed: int, rank: int) -> Iterable[Sample]:
    rule = recipe.value("order")
    if rule == "source":
        return samples
    by_key = sorted(samples, key=lambda sample: sample.key)
    # the high word keeps this stream apart from the streams that cut the classes
    shuffled = [by_key[i] for i in np.random.RandomState([seed, 2**31 + rank]).permutation(len(by_key))]
    if rule == "label-descending":
        shuffled.sort(key=lambda sample: label_rank(sample.label), reverse=True)
    return shuffled


def _by_list(samples: list[Sample], listed: dict[str, str], name: str) -> tuple[dict[str, str], set[str]]:
    """Find each sample by its key, its group, or its stem where that fits no other sample.

    Returns:
        the split of each sample that is named, by its key, and the names in the list that found a sample.
    """
    known = {sample.key for sample in samples} | {sample.group for sample in samples}
    by_stem: dict[str, list[str]] = defaultdict(list)
    for one in listed:
        if one not in known:
            by_stem[order.stem(one)].append(one)
    namesakes: dict[str, list[Sample]] = defaultdict(list)
    split_of: dict[str, str] = {}
    used: set[str] = set()

    def place(sample: Sample, row: str) -> None:
        if split_of.setdefault(sample.key, listed[row]) != listed[row]:
            raise PreprocessError(f"{name}: {sample.key} is in two splits, by the row {row} in {listed[row]}")
        used.add(row)

    for sample in samples:
        for row in dict.fromkeys((sample.key, sample.group)):
            if row in listed:
                place(sample, row)
        if (stem := order.stem(sample.key)) in by_stem:
            namesakes[stem].append(sample)
    for stem, found in namesakes.items():
        rows = by_stem[stem]
        # who is named otherwise is meant by a stem only if nobody else can be
        candidates = [sample for sample in found if sample.key not in split_of] or found
        if len(candidates) > 1 or len({listed[row] for row in rows}) > 1:
            keys = ", ".join(sample.key for sample in candidates)
            raise PreprocessError(f"{name}: {stem!r} may be any of {keys}; name them by their keys")
        for row in rows:
            place(candidates[0], row)
    if not split_of:
        raise PreprocessError(f"{name}: names no key and no group of this dataset")
    return split_of, used


def _by_file(path: str, samples: list[Sample], early: list[Sample]) -> tuple[dict[str, str], list[order.Unmatched]]:
    """The splits by a user's file, and its rows that name no sample, neither one excluded before the split."""
    listed = _read_list(Path(path))
    split_of, used = _by_list(samples, listed, path)
    excluded = {name for sample in early for name in (sample.key, sample.group, order.stem(sample.key))}
    strangers = [one for one in listed if one not in used and not {one, order.stem(one)} & excluded]
    if strangers:
        log.warning(
            "%s: %s of %s rows name no sample, the first is %s",
            path, f"{len(strangers):,}", f"{len(listed):,}", strangers[0],
        )  # fmt: skip
    rows = [order.Row(listed[one], -1, one) for one in strangers]
    return split_of, [order.Unmatched(row, "no sample has this key, group or name") for row in rows]


def _project_list(name: str) -> dict[str, str]:
    return _parse_list((resources.files("preprocess") / "tables" / "splits" / f"{name}.csv").read_bytes(), name)


def _read_list(path: Path) -> dict[str, str]:
    try:
        return _parse_list(path.read_bytes(), str(path))
    except OSError as error:
        raise PreprocessError(
            f"{path}: {error.strerror}; split.file must name a table with the columns key and split"
        ) from error


def _parse_list(data: bytes, name: str) -> dict[str, str]:
    table = tables.parse(data, name, comments=True)
    column = next((one for one in ("key", "group", *order.ID_COLUMNS) if one in table.columns), None)
    if column is None or "split" not in table.columns:
        raise PreprocessError(f"{name}: needs a column split and one of key, group, {', '.join(order.ID_COLUMNS)}")
    listed: dict[str, str] = {}
    for line, row in table:
        if not row[column]:
            raise PreprocessError(f"{name}: line {line} has no {column}")
        if row["split"] not in SPLITS:
            raise PreprocessError(f"{name}: split {row['split']!r} of {row[column]} is not one of {', '.join(SPLITS)}")
        if listed.setdefault(row[column], row["split"]) != row["split"]:
            raise PreprocessError(f"{name}: {row[column]} is in two splits")
    return listed
