"""How far a run is: a bar on a terminal, elsewhere a line whenever a dataset is done and at most one a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from preprocess.acquire.estimate import duration
from preprocess.plan import closing

#: seconds between two lines where there is no bar
PAUSE = 60.0
#: the stages whose jobs take nearly all the time
SLOW = "render"


@dataclass(frozen=True)
class Pace:
    """The estimate of the slow jobs.

    Attributes:
        seconds: CPU seconds of one job of each dataset.
        jobs: how many of them there are to do.
        cores: how many run at a time.
    """

    seconds: Mapping[str, float]
    jobs: Mapping[str, int]
    cores: int

    def left(self, done: Mapping[str, int], elapsed: float) -> float | None:
        """Seconds that are left, at the pace so far once a tenth is done; None where nothing is estimated."""
        whole = sum(self.seconds[name] * jobs for name, jobs in self.jobs.items())
        if not whole:
            return None
        behind = sum(self.seconds.get(name, 0) * jobs for name, jobs in done.items())
        return max(whole - behind, 0) * (elapsed / behind if behind > whole / 10 else 1 / self.cores)


class Progress:
    """Told of every job, it tells a person what is left.

    Args:
        pace: the estimate.
        sources: names of sources, with which a rule's name may begin: ``busi_render``.
        stream: where it writes; a terminal gets a bar.
        clock: seconds.
    """

    def __init__(
        self,
        pace: Pace,
        sources: Iterable[str],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace, self._stream, self._clock = pace, stream or sys.stderr, clock
        self._sources = sorted(sources, key=len, reverse=True)
        self._jobs: dict[int, tuple[str, str]] = {}
        self._failed: dict[int, tuple[str, tuple[str, ...]]] = {}
        self._rendered: dict[str, int] = {}
        self._done = self._total = 0
        self._begun = self._told = clock()
        self._bar: Any = None

    def begin(self, total: int) -> None:
        """The run has so many steps to do."""
        self._total = total
        self._begun = self._told = self._clock()
        if total < 2:
            return  # a single step speaks for itself
        if self._stream.isatty():
            from tqdm import tqdm  # slow to import, and jobs plan too

            form = "{n_fmt} of {total_fmt} steps |{bar:20}| {elapsed}{postfix}"
            self._bar = tqdm(total=total, file=self._stream, bar_format=form, leave=False)
        else:
            self._say(f"{total} steps to do")

    def started(self, number: int, rule: str, dataset: str) -> None:
        """A job begins."""
        dataset = dataset or self._source(rule)
        self._jobs[number] = rule, dataset
        if self._bar is not None:
            self._bar.set_postfix_str(self._left(" ".join(filter(None, (dataset, self._stage(rule))))))

    def failed(self, number: int, rule: str, logs: Iterable[str]) -> None:
        """A job failed; it may be tried again."""
        self._failed[number] = rule, tuple(logs)

    def finished(self, number: int) -> None:
        """A job is done."""
        self._failed.pop(number, None)
        rule, dataset = self._jobs.get(number, ("", ""))
        if self._stage(rule) == SLOW:
            self._rendered[dataset] = self._rendered.get(dataset, 0) + 1
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        if self._total < 2:
            return
        if self._stage(rule) == "gate":
            self._say(self._state(f"{dataset}: done"))
        elif self._bar is None and self._clock() - self._told >= PAUSE:
            self._say(self._state(f"{dataset}: {self._stage(rule)} done" if dataset else f"{rule} done"))

    @property
    def has_failed(self) -> bool:
        """Whether some job failed and was not mended by another try."""
        return bool(self._failed)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def stopped(self) -> list[str]:
        """What to read when the run did not end well: how far it came, and at the end what stopped it."""
        self.end()
        told = []
        if self._total > 1:
            told = [f"stopped after {self._done} of {self._total} steps; the same command goes on from there"]
        errors = {closing.error(logs): logs for _, logs in reversed(self._failed.values())}
        if errors.keys() - {None}:
            errors.pop(None, None)  # in a group of jobs those fail too that never ran
        elif errors:
            rule, logs = next(iter(self._failed.values()))
            errors = {f"{closing.ERROR}{rule} was stopped by Ctrl-C, a kill or want of memory": logs}
        told += [f"log: {log}" for logs in errors.values() for log in logs]
        return [*told, *filter(None, errors)]

    def _source(self, rule: str) -> str:
        return next((source for source in self._sources if rule.startswith(f"{source}_")), "")

    def _stage(self, rule: str) -> str:
        source = self._source(rule)
        return rule.removeprefix(f"{source}_") if source else rule

    def _left(self, text: str) -> str:
        left = self._pace.left(self._rendered, self._clock() - self._begun)
        # what comes after the last of the slow jobs is not estimated
        return f"{text}, about {duration(left)} left" if left else text

    def _state(self, text: str) -> str:
        return self._left(f"{text}; {self._done} of {self._total} steps")

    def _say(self, line: str) -> None:
        self._told = self._clock()
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            print(line, file=self._stream, flush=True)
