"""Ranking the alternatives of every decision by how many published rows they reproduce."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess import recipe as recipes
from preprocess import steps
from preprocess.decisions import DECISIONS, OTHER_SIZES, PROTOCOLS
from preprocess.errors import ExcludeSample, PreprocessError, UnreadableError
from preprocess.match.features import all_axes, turn
from preprocess.recipe import Recipe, missing_package
from preprocess.render import Renderer
from preprocess.table import Sample

Pixels = NDArray[np.uint8]
#: samples with their published images
SamplePixels = list[tuple[Sample, Pixels]]
#: rows that two decisions are changed at once on
PAIRED = 20
#: what the row of a whole protocol's recipe is called in place of a decision
WHOLE_RECIPE = "protocol"
#: what the row of the order and direction of the axes is called; no recipe decides it
AXES = "axes"


@dataclass
class Score:
    """How a recipe did on some published rows.

    Attributes:
        exact: rows that are equal in every pixel.
        rows: rows tried.
        total: sum of the rows' mean absolute differences; None where no pixels are compared.
        failed: rows it could not render.
        refused: why it cannot be tried at all.
    """

    exact: int = 0
    rows: int = 0
    total: float | None = 0.0
    failed: int = 0
    refused: str = ""

    def add(self, ours: Pixels, theirs: Pixels) -> None:
        """Compare one image, which has been counted, with the published one."""
        difference = np.abs(ours.astype(np.int16) - theirs)
        self.exact += not difference.any()
        self.total = (self.total or 0.0) + float(difference.mean())

    @property
    def difference(self) -> float | None:
        """Mean absolute difference over all pixels of the rows that could be rendered; None without any."""
        rendered = self.rows - self.failed
        return self.total / rendered if rendered and self.total is not None else None

    @property
    def rank(self) -> tuple[int, float]:
        """Sort key: more exact rows first, then the smaller difference."""
        return -self.exact, inf if self.difference is None or self.refused else self.difference


@dataclass
class Tried:
    """One alternative of one decision, all others as in the best recipe.

    Attributes:
        decision: the key, or ``protocol`` for the other protocol's recipe as a whole.
        value: the value tried.
        best: whether it is part of the best recipe.
        in_force: whether the recipe in force decides so.
        score: how it did; None where it could not be tried.
        note: why it was not tried.
    """

    decision: str
    value: object
    best: bool
    in_force: bool
    score: Score | None
    note: str = ""


def alternatives(recipe: Recipe) -> dict[str, list[object]]:
    """Every value worth trying of every decision that a step of the recipe takes.

    These are the choices of the vocabulary, its further values, and the values that either protocol's recipe gives.
    """
    taken = {name for step in (*recipe.prepare, *recipe.steps) for name in steps.parameters(step)}
    found: dict[str, list[object]] = {}
    for key in recipe.decisions:
        if DECISIONS[key].stage != "render" or key not in taken:
            continue
        mentioned = [recipe.decisions[key].value]
        for protocol in PROTOCOLS:
            mentioned.append(recipes.load(recipe.name, protocol).decisions[key].value)
        found[key] = []
        for value in [
            *DECISIONS[key].choices,
            *DECISIONS[key].further,
            *(one for given in mentioned for one in _flat(given)),
        ]:
            if value not in found[key]:  # values may be lists, which no set holds
                found[key].append(value)
    return found


def _flat(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, dict) and OTHER_SIZES in value else [value]


def evaluate(tried: list[Recipe], folder: Path, size: int, axes: str, rows: SamplePixels) -> list[Score]:
    """Render each sample by each recipe, opened once, turn it and compare with its published image.

    A recipe whose steps refuse a value altogether gets a score with the reason and no rows.
    """
    renderers: list[Renderer] = []
    for one in tried:
        renderers.append(Renderer(one, folder, [size], sharing=renderers[0] if renderers else None))
    scores = [Score() for _ in tried]
    for sample, image in rows:
        for renderer, score in zip(renderers, scores, strict=True):
            if not score.refused:
                _compare(renderer, score, sample, size, axes, image)
    return scores


def _compare(renderer: Renderer, score: Score, sample: Sample, size: int, axes: str, image: Pixels) -> None:
    score.rows += 1
    try:
        rendered = render_one(renderer, sample, size)
    except (PreprocessError, ValueError, KeyError) as error:
        score.refused = f"cannot be tried: {error}"
        return
    if rendered is None:
        score.failed += 1
    else:
        score.add(turn(rendered, axes), image)


def render_one(renderer: Renderer, sample: Sample, size: int) -> Pixels | None:
    """One sample's image; None where it cannot be rendered."""
    try:
        return renderer.render(sample).arrays[size]
    except (ExcludeSample, UnreadableError):
        return None


class Ranking:
    """The search for the best recipe at one size, and the figures of all that was tried.

    Attributes:
        in_force: the recipe in force.
        best: the best one found.
        axes: how its images lie in the published file, see :func:`preprocess.match.features.turn`.
        score: how the best one did.
        tried: every alternative with its figures.
    """

    def __init__(self, recipe: Recipe, folder: Path, size: int, start: Recipe, axes: str) -> None:
        self.folder, self.size, self.axes = folder, size, axes
        self.in_force = at(recipe, size)
        self.best = at(start, size)
        self.score = Score()
        self.tried: list[Tried] = []
        others = [at(recipes.load(recipe.name, name), size) for name in PROTOCOLS if name != recipe.protocol]
        self._whole = [self.in_force, *others]
        self._alternatives = alternatives(recipe)

    def run(self, rows: SamplePixels, more: Callable[[], SamplePixels]) -> None:
        """Start from the best of the whole recipes, then change one decision, or two, while that does better.

        Args:
            rows: samples with their published images, in reading order.
            more: gives more of them, to tell apart what ``rows`` do not.
        """
        whole = [self.best, *self._whole]
        scores = evaluate(whole, self.folder, self.size, self.axes, rows)
        first = min(range(len(whole)), key=lambda number: (scores[number].rank, number))
        self.best, self.score = whole[first], scores[first]
        tried = self._descend(rows)
        tied = [one for one in tried if one.score and not one.best and one.score.rank == self.score.rank]
        if tied and len(many := more()) > len(rows) and self._tell_apart(tried, tied, many):
            tried = self._descend(many)
        tried += self._turned(rows)
        for one, score in zip(whole[1:], scores[1:], strict=True):
            tried.append(Tried(WHOLE_RECIPE, one.protocol, False, one is self.in_force, score))
        self.tried = tried

    def _descend(self, rows: SamplePixels) -> list[Tried]:
        while True:
            tried = self._neighbours(rows)
            scored = [(one.score, one) for one in tried if one.score and not one.best]
            score, better = min(scored, key=lambda pair: pair[0].rank, default=(None, None))
            if score is not None and better is not None and score.rank < self.score.rank:
                self.best = self.best.changed({better.decision: better.value})
            elif self.score.exact == self.score.rows or not self._change_two(tried, rows):
                return tried

    def _change_two(self, tried: list[Tried], rows: SamplePixels) -> bool:
        """Change two decisions at once, where one hides the other: JPEG noise hides which kernel it was."""
        open_ones = [one for one in tried if one.score and not one.best]
        pairs = [
            self.best.changed({one.decision: one.value, other.decision: other.value})
            for one, other in itertools.combinations(open_ones, 2)
            if one.decision != other.decision
        ]
        few = rows[:: -(-len(rows) // PAIRED)]
        here, *scores = evaluate([self.best, *pairs], self.folder, self.size, self.axes, few)
        best = min(range(len(pairs)), key=lambda number: (scores[number].rank, number), default=None)
        if best is None or scores[best].rank >= here.rank:
            return False
        (score,) = evaluate([pairs[best]], self.folder, self.size, self.axes, rows)
        if score.rank >= self.score.rank:
            return False
        self.best = pairs[best]
        return True

    def _neighbours(self, rows: SamplePixels) -> list[Tried]:
        """Every single change of the best recipe, and the best recipe itself once a decision."""
        tried = []
        for key, values in self._alternatives.items():
            for value in values if key in self.best.decisions else ():
                package = missing_package(key, value)
                note = f"not tried: needs the package {package}" if package else ""
                best = value == self.best.value(key)
                tried.append(Tried(key, value, best, value == self.in_force.value(key), None, note))
        open_ones = [one for one in tried if not one.note and not one.best]
        changed = [self.best.changed({one.decision: one.value}) for one in open_ones]
        self.score, *scores = evaluate([self.best, *changed], self.folder, self.size, self.axes, rows)
        for one, score in zip(open_ones, scores, strict=True):
            one.score, one.note = (None, score.refused) if score.refused else (score, "")
        for one in tried:
            if one.best:
                one.score = self.score
        return tried

    def _turned(self, rows: SamplePixels) -> list[Tried]:
        """Try the axes of the best recipe's images in every order and direction, and keep what does better."""
        choices = all_axes(self.best.dimensions)
        scores = {axes: Score() for axes in choices}
        renderer = Renderer(self.best, self.folder, [self.size])
        for sample, image in rows:
            rendered = render_one(renderer, sample, self.size)
            for axes, score in scores.items():
                score.rows += 1
                if rendered is None:
                    score.failed += 1
                else:
                    score.add(turn(rendered, axes), image)
        self.axes = min(choices, key=lambda axes: (scores[axes].rank, axes != self.axes))
        return [Tried(AXES, axes, axes == self.axes, axes == choices[0], score) for axes, score in scores.items()]

    def _tell_apart(self, tried: list[Tried], tied: list[Tried], many: SamplePixels) -> bool:
        """Compare what did exactly as well as the best on more rows; return whether one of them is better."""
        changed = [self.best.changed({one.decision: one.value}) for one in tied]
        score, *scores = evaluate([self.best, *changed], self.folder, self.size, self.axes, many)
        for one, its in zip(tied, scores, strict=True):
            one.score = its
        settled = {one.decision for one in tied}
        for one in tried:
            if one.best and one.decision in settled:
                one.score = score
        best = min(range(len(tied)), key=lambda number: (scores[number].rank, number))
        if scores[best].rank >= score.rank:
            return False
        self.best = changed[best]
        return True


def at(recipe: Recipe, size: int) -> Recipe:
    """The recipe with the values of one size for every size."""
    values: Mapping[str, object] = {key: choice.at(size) for key, choice in recipe.decisions.items()}
    return recipe.changed({key: value for key, value in values.items() if value != recipe.decisions[key].value})


def differing(best: Recipe, recipe: Recipe, size: int) -> dict[str, object]:
    """The decisions about pixels in which one recipe differs from another at one size, with its values."""
    return {
        key: choice.at(size)
        for key, choice in best.decisions.items()
        if DECISIONS[key].stage == "render"
        and (key not in recipe.decisions or choice.at(size) != recipe.decisions[key].at(size))
    }


def as_text(value: object) -> str:
    """A value as a table shows it."""
    return value if isinstance(value, str) else json.dumps(value)


def same_pixels(one: Recipe, other: Recipe, size: int) -> bool:
    """Whether two recipes of a dataset take the same steps with the same decisions at one size."""
    return (one.prepare, one.steps) == (other.prepare, other.steps) and not differing(one, other, size)
