"""Ranking the ways from the source's own labels to the dataset's by the published labels of the rows found."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable

from preprocess import labels
from preprocess import recipe as recipes
from preprocess.decisions import DECISIONS, PROTOCOLS
from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.match.pairs import Pair, matched
from preprocess.match.ranking import Score, Tried
from preprocess.recipe import Recipe
from preprocess.table import Sample

#: the map of names or codes to classes, a decision of some recipes and a fact of the others
MAP = "label.map"
#: numbers are tried as classes themselves, and counted from one
OFFSETS = (0, 1)

Labelled = list[tuple[Sample, str]]


def rank(recipe: Recipe, samples: list[Sample], pairs: Iterable[Pair]) -> list[Tried]:
    """Rank the values of every decision ``label.*``, and maps worth trying, by how many rows get the published label.

    Of a map, these are the one in force, those of both protocols, the codes themselves where they are numbers (from
    zero and from one), and the one that agrees with most rows. Nothing is ranked where no row has a label.
    """
    rows = [(samples[pair.sample], pair.label) for pair in matched(pairs) if pair.label]
    if not rows:
        return []
    tried: list[Tried] = []
    for key, in_force, values in _alternatives(recipe, rows):
        scores = [_agreeing(recipe, key, value, rows) for value in values]
        best = min(range(len(values)), key=lambda one: (-scores[one].exact, values[one] != in_force, one))
        for number, (value, score) in enumerate(zip(values, scores, strict=True)):
            tried.append(Tried(key, value, number == best, value == in_force, score))
    return tried


def _alternatives(recipe: Recipe, rows: Labelled) -> Iterable[tuple[str, object, list[object]]]:
    """Each decision with its value in force and the values to try; a map is cut to the names that occur."""
    for key in (one for one in recipe.decisions if one.startswith("label.") and one != MAP):
        in_force = recipe.decisions[key].value
        yield key, in_force, [in_force, *(one for one in DECISIONS[key].choices if one != in_force)]
    if recipe.dataset.label["rule"] != "map":
        return
    called = sorted({sample.original_label for sample, _ in rows})
    maps = [_map(recipe), *(_map(recipes.load(recipe.name, protocol)) for protocol in PROTOCOLS)]
    if all(name.isdecimal() for name in called):
        maps += [{name: int(name) - offset for name in called} for offset in OFFSETS]
    maps.append(_found(rows))
    cut = [{name: one[name] for name in called if name in one} for one in maps]
    different = {json.dumps(one): one for one in cut[1:] if one and one != cut[0]}
    yield MAP, cut[0], [cut[0], *different.values()]


def _map(recipe: Recipe) -> dict[str, int]:
    found: dict[str, int] = labels.decided(recipe.dataset.label, recipe.stage_decisions("index"))["map"]
    return {str(name): int(label) for name, label in found.items()}


def _found(rows: Labelled) -> dict[str, int]:
    """The published label that most rows of each name have, the lowest of equals."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for sample, label in rows:
        counts[sample.original_label][int(label)] += 1
    return {name: min(some, key=lambda one: (-some[one], one)) for name, some in counts.items()}


def _agreeing(recipe: Recipe, key: str, value: object, rows: Labelled) -> Score:
    rule = labels.RULES[recipe.dataset.label["rule"]]
    how = labels.decided(recipe.dataset.label, recipe.stage_decisions("index") | {key: value})
    score = Score(rows=len(rows), total=None)
    for sample, label in rows:
        try:
            score.exact += rule(sample, how) == label
        except (ExcludeSample, PreprocessError):
            continue  # a way that leaves a published row out does not agree with it
    return score
