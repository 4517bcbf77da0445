"""Threads that share a job's work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, work: Callable[P, Result], /, *words: P.args, **named: P.kwargs) -> Future[Result]:
        done: Future[Result] = Future()
        done.set_result(work(*words, **named))
        return done


def threads(workers: int) -> Executor:
    """So many threads that work beside this one; with one worker this one does the work itself."""
    return AtOnce() if workers == 1 else ThreadPoolExecutor(workers)
