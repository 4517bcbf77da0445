"""What a decision is worth: the same small classifier trained on each of some builds, and how much better it does.

``same rows``
    Each build is trained on the same rows and tested on the same rows: those that all builds have, in the same split.
    What is left out is counted. This tells what pixels and labels are worth.
``own split``
    Where builds put rows into other splits, or lack some, each is also trained on its own train and tested on its own
    test. Then other pictures are tested, too. So the rows that are test in both are compared besides: there all that
    differs is what was trained on. Of them, those with a picture of their group (patient, lesion, scan) in the train of
    one build alone tell what a leak is worth on the very pictures it helps with.

Intervals are the middle 95 % of a bootstrap over the test rows. Builds that are tested on the same rows are resampled
alike, so that differences are paired. Where the source says what belongs together, groups are drawn instead of rows:
the rows of one patient are not independent. They hold for these trained classifiers; another seed trains others.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess import __version__, packed, web
from preprocess.files import write_text
from preprocess.inquiry import baseline, builds, compare, metrics
from preprocess.inquiry.builds import Finished
from preprocess.inquiry.compare import DecisionDifference
from preprocess.inquiry.metrics import Figure, Judged
from preprocess.published import SPLITS

TRAIN, VAL, TEST = SPLITS
#: rows that are tested at the most; of more a seeded sample is
TESTED = 20_000
SAME, OWN, BOTH = "same rows", "own split", "rows that are test in both"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """How well the classifier does that was trained on one build.

    Attributes:
        build: the build's name.
        train: rows it was trained on.
        test: rows it was tested on.
        accuracy: share of the test rows that are called right; of a multi-label set the mean over the labels.
        auc: area under the ROC curve, the mean over the classes against the rest, or over the labels.
        seconds: what reading, training and testing took, of the clock.
        converged: whether the regression came to an end.
        as_before: an earlier build whose rows are the same in every pixel and label; nothing was trained again.
    """

    build: str
    train: int
    test: int
    accuracy: Figure
    auc: Figure
    seconds: float
    converged: bool
    as_before: str = ""


@dataclass(frozen=True)
class Worth:
    """How much better the second build does than the first.

    Attributes:
        first: a build.
        second: the other.
        on: what they are tested on.
        rows: test rows: of both, or of the first and of the second where they are others.
        accuracy: the difference, second less first.
        auc: the difference.
        agreeing: share of the test rows that both call the same; None where they are others.
    """

    first: str
    second: str
    on: str
    rows: tuple[int, ...]
    accuracy: Figure
    auc: Figure
    agreeing: float | None = None


@dataclass(frozen=True)
class View:
    """The builds of a dataset compared in one way.

    Attributes:
        kind: ``same rows`` or ``own split``.
        notes: what is to be known; where nothing was trained, why.
        left_out: rows that are not used, by reason.
        results: by build.
        worth: the others against the first.
    """

    kind: str
    notes: tuple[str, ...] = ()
    left_out: dict[str, int] | None = None
    results: tuple[Result, ...] = ()
    worth: tuple[Worth, ...] = ()


@dataclass(frozen=True)
class Impact:
    """What decisions are worth to one dataset.

    Attributes:
        dataset: its name.
        builds: the builds; the others are held against the first.
        size: of the pictures, the smallest that all builds have.
        task: what is learned.
        classes: how many classes or labels.
        resampled: what the bootstrap draws: ``row``, or what the source says belongs together.
        decisions: for each other build the decisions that differ from the first.
        views: the comparisons.
    """

    dataset: str
    builds: tuple[str, ...]
    size: int
    task: str
    classes: int
    resampled: str
    decisions: dict[str, tuple[DecisionDifference, ...]]
    views: tuple[View, ...]


def _nothing(line: str) -> None:
    """Say nothing."""


def impact(
    datasets: Sequence[str],
    variants: Sequence[str],
    base: Path,
    raw: Path | None,
    seed: int,
    workers: int,
    say: Say = _nothing,
) -> tuple[list[Impact], list[str]]:
    """Say what the decisions are worth by which some builds differ.

    Args:
        datasets: their names.
        variants: names of builds, the folders below ``base``.
        base: the results folder.
        raw: the raw folder, for the commands that build what is missing; None for stand-ins.
        seed: of the classifier, of the bootstrap and of samples of the rows.
        workers: threads.
        say: is told of each classifier that was trained.

    Returns:
        the findings, and a line for each build that is not there with the command that makes it.

    Raises:
        PreprocessError: scikit-learn is not installed, or a file is damaged.
    """
    baseline.require()
    found, missing = [], []
    for dataset in datasets:
        there, lines = builds.gather(dataset, variants, base, raw)
        missing += lines
        if len(there) > 1 and (sizes := set.intersection(*(set(one.npz) for one in there))):
            found.append(_Study(there, min(sizes), seed, workers, say).found())
        elif len(there) > 1:
            missing.append(f"{dataset}: {', '.join(one.name for one in there)} have no size in common")
    return found, missing


class _Build:
    """The rows of one build at one size."""

    def __init__(self, finished: Finished, size: int) -> None:
        self.name, self._path = finished.name, finished.npz[size]
        self._facts = compare.facts(finished, size)
        self.samples = {sample.key: sample for sample in finished.samples}
        self._numbers = {key: number for number, key in enumerate(self.samples)}

    def keys(self, split: str) -> list[str]:
        """The keys of a split's labelled rows, in the order of the arrays."""
        return [key for key, sample in self.samples.items() if sample.split == split and sample.label]

    def in_order(self, keys: Sequence[str]) -> list[str]:
        """Some keys in the order of the arrays."""
        return sorted(keys, key=self._numbers.__getitem__)

    def rows(self, keys: Sequence[str]) -> list[int]:
        """The numbers of rows, counted through train, val and test."""
        return [self._numbers[key] for key in keys]

    def labels(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Labels of rows: (N, 1), or (N, C) of a multi-label set."""
        return np.array([self.samples[key].label.split() for key in keys], np.int64)

    def read(self, rows: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """The pictures of rows, whose numbers ascend."""
        return (image for _, image in packed.images(self._path, self._facts, rows))

    def fingerprint(self, keys: Sequence[str]) -> str:
        """Stands for the pixels and labels of some rows."""
        seen = hashlib.sha256()
        for key in keys:
            seen.update(self._facts.digests[self._numbers[key]].tobytes())
            seen.update(f"{self.samples[key].label}\n".encode())
        return seen.hexdigest()


@dataclass(frozen=True)
class _Tested:
    """A trained classifier on test rows."""

    build: str
    keys: list[str]
    judged: Judged
    trained: frozenset[str]
    seconds: float
    converged: bool

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each key."""
        return {key: place for place, key in enumerate(self.keys)}

    def on(self, keys: Sequence[str]) -> Judged:
        """What it says of some of them."""
        return self.judged.pick([self.places[key] for key in keys])

    def result(self, drawn: NDArray[np.float64]) -> Result:
        """Its figures; ``drawn`` are accuracy and AUC in every draw."""
        accuracy, auc = metrics.figures(self.judged.values, drawn)
        rows = len(self.trained), len(self.keys)
        return Result(self.build, *rows, accuracy, auc, self.seconds, self.converged)


class _Study:
    """The comparisons of one dataset."""

    def __init__(self, finished: list[Finished], size: int, seed: int, workers: int, say: Say) -> None:
        self._finished, self._size, self._seed, self._workers, self._say = finished, size, seed, workers, say
        self._dataset = finished[0].recipe.dataset
        self._builds = [_Build(one, size) for one in finished]
        # where no build has labelled rows in test, as where a source never published them, val is what is tested
        self._tested = TEST if any(one.keys(TEST) for one in self._builds) else VAL
        samples = (sample for one in self._builds for sample in one.samples.values())
        self._groups = {sample.key: sample.group for sample in samples if sample.group}

    def found(self) -> Impact:
        """All that is said of the dataset."""
        first, *others = self._finished
        splits = [{key: sample.split for key, sample in one.samples.items()} for one in self._builds]
        views = [self._same_rows(moves := any(one != splits[0] for one in splits))]
        if moves:
            views.append(self._own_split())
        return Impact(
            dataset=first.dataset,
            builds=tuple(one.name for one in self._finished),
            size=self._size,
            task=self._dataset.task,
            classes=len(self._dataset.classes),
            resampled=self._dataset.group if self._groups else "row",
            decisions={one.name: tuple(compare.decisions(first, one)) for one in others},
            views=tuple(views),
        )

    def _same_rows(self, moves: bool) -> View:
        """Trained and tested on the rows that all builds have in the same split."""
        first = self._builds[0]
        all_keys = set.union(*(set(one.samples) for one in self._builds))
        common = set.intersection(*(set(one.samples) for one in self._builds))
        stay = {key for key in common if len({one.samples[key].split for one in self._builds}) == 1}
        labelled = {key for key in stay if all(one.samples[key].label for one in self._builds)}
        train, test = ([key for key in first.keys(one) if key in labelled] for one in (TRAIN, self._tested))
        left_out = {
            "not in all builds": len(all_keys) - len(common),
            "in another split": len(common) - len(stay),
            f"in {VAL if self._tested == TEST else TEST}, not needed": len(labelled) - len(train) - len(test),
            "without a label": len(stay) - len(labelled),
        }
        left_out = {reason: count for reason, count in left_out.items() if count}
        if problem := self._problem(first, train, test):
            return View(SAME, (problem,), left_out)
        prints = [one.fingerprint(sorted([*train, *test])) for one in self._builds]
        if moves and len(set(prints)) == 1:
            same = "the rows that all builds have in the same split are the same in every pixel and label"
            return View(SAME, (f"Nothing to train: {same}.",), left_out)
        tested: dict[str, _Tested] = {}
        for one, fingerprint in zip(self._builds, prints, strict=True):
            if fingerprint not in tested:
                tested[fingerprint] = self._train(one, train, test)
        each = [tested[fingerprint] for fingerprint in prints]
        keys = each[0].keys
        judged = [done.on(keys) for done in each]
        drawn = metrics.resampled(judged, self._units(keys), self._seed)
        results = []
        for done, build, by_draw in zip(each, self._builds, drawn, strict=True):
            if done.build == build.name:
                results.append(done.result(by_draw))
            else:
                results.append(replace(done.result(by_draw), build=build.name, seconds=0.0, as_before=done.build))
        worth = [
            self._worth(self._builds[0].name, build.name, SAME, (judged[0], other), (drawn[0], by_draw))
            for build, other, by_draw in zip(self._builds[1:], judged[1:], drawn[1:], strict=True)
        ]
        return View(SAME, self._notes(train, test), left_out, tuple(results), tuple(worth))

    def _own_split(self) -> View:
        """Each trained and tested on its own split, and what was trained compared on rows that are test in both."""
        own = [(one.keys(TRAIN), one.keys(self._tested)) for one in self._builds]
        for one, (train, test) in zip(self._builds, own, strict=True):
            if problem := self._problem(one, train, test):
                return View(OWN, (f"{one.name}: {problem}",))
        each = [self._train(one, *keys) for one, keys in zip(self._builds, own, strict=True)]
        # the rows differ, so each is drawn by itself
        drawn = [
            metrics.resampled([done.judged], self._units(done.keys), self._seed + place)[0]
            for place, done in enumerate(each)
        ]
        first, worth = each[0], []
        for done, by_draw in zip(each[1:], drawn[1:], strict=True):
            judged = first.judged, done.judged
            worth.append(self._worth(first.build, done.build, OWN, judged, (drawn[0], by_draw)))
            worth += self._on_both(first, done)
        notes = dict.fromkeys(note for train, test in own for note in self._notes(train, test))
        return View(OWN, tuple(notes), None, tuple(map(_Tested.result, each, drawn)), tuple(worth))

    def _on_both(self, first: _Tested, second: _Tested) -> Iterator[Worth]:
        """The differences on rows that are test in both, and on those of them that leak in one."""
        common = [key for key in first.keys if key in second.places]
        groups = [{self._groups[key] for key in one.trained if key in self._groups} for one in (first, second)]
        leaks = [[self._groups.get(key) in one for one in groups] for key in common]
        name = self._dataset.group
        chosen = {
            BOTH: common,
            **{
                f"{BOTH}, and whose {name} is in the train of {build} alone": [
                    key for key, leak in zip(common, leaks, strict=True) if leak == alone
                ]
                for build, alone in ((first.build, [True, False]), (second.build, [False, True]))
            },
        }
        for on, keys in chosen.items():
            if keys:
                judged = first.on(keys), second.on(keys)
                drawn = metrics.resampled(judged, self._units(keys), self._seed)
                yield self._worth(first.build, second.build, on, judged, (drawn[0], drawn[1]))

    def _worth(
        self,
        first: str,
        second: str,
        on: str,
        judged: tuple[Judged, Judged],
        drawn: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> Worth:
        accuracy, auc = metrics.figures(judged[1].values - judged[0].values, drawn[1] - drawn[0])
        if on == OWN:
            return Worth(first, second, on, tuple(len(one.labels) for one in judged), accuracy, auc)
        agreeing = float((judged[0].called == judged[1].called).all(1).mean())
        return Worth(first, second, on, (len(judged[0].labels),), accuracy, auc, agreeing)

    def _train(self, build: _Build, train: list[str], test: list[str]) -> _Tested:
        """Train on some rows of a build and test on others."""
        start = time.monotonic()
        train, test = (
            build.in_order(self._sample(keys, most)) for keys, most in ((train, baseline.TRAINED), (test, TESTED))
        )
        names, dimensions = self._dataset.classes, self._dataset.dimensions
        trained = baseline.train(
            build.read, build.rows(train), build.labels(train), len(names), dimensions, self._seed, self._workers
        )
        scores = trained.score(build.read, build.rows(test))
        seconds = time.monotonic() - start
        rows = f"trained on {len(train):,} rows, tested on {len(test):,}"
        self._say(f"{self._dataset.name} {build.name}: {rows}, {seconds:.0f} s")
        judged = Judged(scores, build.labels(test))
        return _Tested(build.name, test, judged, frozenset(train), seconds, trained.converged)

    def _sample(self, keys: Sequence[str], most: int) -> list[str]:
        """Some of many keys. Which, hangs on each key and the seed alone: builds draw the same of what they share."""
        if len(keys) <= most:
            return list(keys)
        return sorted(keys, key=lambda key: hashlib.sha256(f"{self._seed} {key}".encode()).digest())[:most]

    def _units(self, keys: Sequence[str]) -> list[str]:
        """What is drawn with each row: its group, or itself where it has none."""
        return [f"group {self._groups[key]}" if key in self._groups else f"row {key}" for key in keys]

    def _problem(self, build: _Build, train: list[str], test: list[str]) -> str:
        """Why nothing can be learned of some rows."""
        if not train or not test:
            return f"Nothing to train: {len(train):,} rows of train and {len(test):,} of {self._tested} with a label."
        labels = build.labels(train)
        if all(len(np.unique(column)) == 1 for column in labels.T):
            return f"Nothing to train: the {len(train):,} rows of train are all of one class."
        return ""

    def _notes(self, train: list[str], test: list[str]) -> tuple[str, ...]:
        """What is to be known of the rows."""
        notes = []
        if self._tested != TEST:
            notes.append(f"No build has labels in test: {self._tested} is tested.")
        if len(train) > baseline.TRAINED:
            notes.append(f"Of {len(train):,} rows of train a seeded sample of {baseline.TRAINED:,} was trained on.")
        if len(test) > TESTED:
            notes.append(f"Of {len(test):,} rows of {self._tested} a seeded sample of {TESTED:,} was tested.")
        if (units := len(set(self._units(test)))) < metrics.FEW:
            what = "rows" if not self._groups else f"units ({self._dataset.group})"
            notes.append(f"{self._tested} has {units:,} {what}: too few for an interval, and for any conclusion.")
        return tuple(notes)


def write_page(found: list[Impact], missing: list[str], variants: Sequence[str], miniature: bool, page: Path) -> None:
    """Write the page: one static file."""
    text = web.environment("preprocess.inquiry", "preprocess.audit").get_template("impact.html.j2").render(
        found=found, missing=missing, variants=variants, miniature=miniature, notices=[], version=__version__,
        resampled=metrics.RESAMPLED, trained=baseline.TRAINED, patches=baseline.PATCHES,
    )  # fmt: skip
    write_text(page, text)


def told(found: list[Impact], missing: list[str]) -> list[str]:
    """The findings in a few lines for a terminal."""
    lines = []
    for one in found:
        lines.append(f"{one.dataset} at {one.size}, {one.task}, {one.classes} classes")
        lines += [
            f"  {build}: decides otherwise {', '.join(d.key for d in decisions) or 'nothing'}"
            for build, decisions in one.decisions.items()
        ]
        for view in one.views:
            left = ", ".join(f"{count:,} {reason}" for reason, count in (view.left_out or {}).items())
            lines.append(f"  {view.kind}{f' (left out: {left})' if left else ''}")
            lines += [f"    {note}" for note in view.notes]
            for result in view.results:
                how = f"as {result.as_before}" if result.as_before else f"{result.seconds:.0f} s"
                lines.append(
                    f"    {result.build}: accuracy {shown(result.accuracy)}, AUC {shown(result.auc)}; "
                    f"train {result.train:,}, test {result.test:,}, {how}"
                )
            for worth in view.worth:
                rows = " and ".join(f"{count:,}" for count in worth.rows)
                lines.append(
                    f"    {worth.second} less {worth.first}, on {worth.on} ({rows}): "
                    f"accuracy {shown(worth.accuracy, True)}, AUC {shown(worth.auc, True)}"
                )
    return [*lines, *(f"missing: {line}" for line in missing)]


def shown(figure: Figure, signed: bool = False) -> str:
    """A figure with its interval, such as ``0.950 [0.944, 0.957]`` or, of a difference, ``+0.019 [+0.013, +0.026]``."""
    if figure.value is None:
        return "not defined"
    form = "{:+.3f}" if signed else "{:.3f}"
    if figure.low is None:
        return form.format(figure.value)
    value, low, high = (form.format(end) for end in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"
