"""Accuracy and AUC as the MedMNIST paper takes them, and how sure they are by the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: units below which no interval is given: patients or rows
FEW = 20
#: how often rows are drawn anew, how many draws are looked at together, and what an interval holds of them
RESAMPLED, TOGETHER, HELD = 1000, 50, (2.5, 97.5)


@dataclass(frozen=True)
class Figure:
    """A value or a difference with the ends of its interval.

    The value is None where it is not defined, as the AUC of one class; the ends are where too few units were drawn.
    """

    value: float | None
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval of a difference lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Judged:
    """Rows with what a classifier says of them.

    Attributes:
        scores: (N, C) the probability of each class or label.
        labels: (N, 1) the class, or (N, C) of 0 and 1 for a multi-label set.
    """

    scores: Floats
    labels: NDArray[np.int64]

    @cached_property
    def truth(self) -> NDArray[np.bool_]:
        """Which class or label holds for each row, (N, C)."""
        if self.labels.shape[1] > 1:
            return np.asarray(self.labels == 1)
        return np.asarray(self.labels == np.arange(self.scores.shape[1]))

    @cached_property
    def called(self) -> NDArray[np.int64]:
        """What each row is called: (N, 1) the most probable class, or (N, C) the labels above one half."""
        if self.labels.shape[1] > 1:
            return (self.scores > 0.5).astype(np.int64)
        return np.asarray(self.scores.argmax(1)[:, None])

    @cached_property
    def right(self) -> Floats:
        """The share of each row that is called right, (N,)."""
        return np.asarray((self.called == self.labels).mean(1))

    @cached_property
    def _ranks(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each class the rows by ascending score, and where each run of equal scores begins."""
        found = []
        for column in self.scores.T:
            order = np.argsort(column, kind="stable")
            found.append((order, np.flatnonzero(np.diff(column[order], prepend=-np.inf))))
        return found

    def pick(self, rows: Sequence[int]) -> Judged:
        """Some of the rows."""
        return Judged(self.scores[list(rows)], self.labels[list(rows)])

    def accuracy(self, weights: Floats) -> Floats:
        """The accuracy where rows count so often: (B, N) gives (B,). Of a multi-label set the mean over the labels."""
        return np.asarray(weights @ self.right / weights.sum(1))

    def auc(self, weights: Floats) -> Floats:
        """The mean over the classes, each against the rest, of the area under the ROC curve: (B, N) gives (B,).

        That area is the probability that a row of the class has a higher score than another, ties counting half. A
        class without rows, or with all of them, has none and is left out of the mean; NaN where all are.
        """
        areas = []
        for (order, starts), holds in zip(self._ranks, self.truth.T, strict=True):
            ordered, of_class = weights[:, order], holds[order]
            inside = np.add.reduceat(ordered * of_class, starts, axis=1)
            outside = np.add.reduceat(ordered * ~of_class, starts, axis=1)
            below = np.cumsum(outside, axis=1) - outside / 2
            pairs = inside.sum(1) * outside.sum(1)
            areas.append(np.divide((inside * below).sum(1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))
        defined = ~np.isnan(areas)
        count = defined.sum(0)
        mean: Floats = np.divide(np.nansum(areas, axis=0), count, out=np.full(len(count), np.nan), where=count > 0)
        return mean

    def both(self, weights: Floats) -> Floats:
        """Accuracy and AUC, (B, 2)."""
        return np.stack([self.accuracy(weights), self.auc(weights)], axis=1)

    @cached_property
    def values(self) -> Floats:
        """Accuracy and AUC of the rows as they are, (2,)."""
        return np.asarray(self.both(np.ones((1, len(self.labels))))[0])


def draws(units: Sequence[str], seed: int) -> Iterator[Floats]:
    """How often each row counts in each draw of the bootstrap, (B, N) some draws at a time.

    Args:
        units: of each row what is drawn with it: a patient, or the row itself.
        seed: the same draws for the same seed and units.
    """
    names, places = np.unique(np.asarray(units), return_inverse=True)
    random = np.random.RandomState(seed)
    for _ in range(RESAMPLED // TOGETHER):
        drawn = random.randint(len(names), size=(TOGETHER, len(names)))
        counts = [np.bincount(one, minlength=len(names)) for one in drawn]
        yield np.array(counts, np.float64)[:, places]


def resampled(judged: Sequence[Judged], units: Sequence[str], seed: int) -> list[Floats]:
    """Accuracy and AUC of some classifiers on the same rows, in every draw: (R, 2) each; (0, 2) where units are few."""
    if len(set(units)) < FEW:
        return [np.zeros((0, 2)) for _ in judged]
    found = [[one.both(weights) for one in judged] for weights in draws(units, seed)]
    return [np.concatenate([part[place] for part in found]) for place in range(len(judged))]


def figures(values: Floats, drawn: Floats) -> tuple[Figure, Figure]:
    """Accuracy and AUC (2,), or a difference of them, with the intervals that their draws (R, 2) give."""
    return _figure(values[0], drawn[:, 0]), _figure(values[1], drawn[:, 1])


def _figure(value: float, drawn: Floats) -> Figure:
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(defined):
        return Figure(None if np.isnan(value) else float(value), None, None)
    low, high = np.percentile(defined, HELD)
    return Figure(float(value), float(low), float(high))
