"""Processes that share a job's work; each begins with what this one remembers, and writes to its log."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from preprocess import notices
from preprocess.errors import PreprocessError
from preprocess.reading import seeking
from preprocess.threads import AtOnce


@contextlib.contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """So many processes, for a block; one worker is this process itself.

    Raises:
        PreprocessError: one of them was killed.
    """
    if workers == 1:
        yield AtOnce()
    else:
        with _pool(workers) as pool:
            yield pool


@contextlib.contextmanager
def each(workers: int) -> Iterator[list[Executor]]:
    """The same, each by itself, so that work can go on where it began."""
    if workers == 1:
        yield [AtOnce()]
    else:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(_pool(1)) for _ in range(workers)]


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    import multiprocessing  # here: an audit by one process pays for none of it
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor

    spawn, remembered = multiprocessing.get_context("spawn"), (notices.log_file(), seeking.memory())
    with ProcessPoolExecutor(workers, spawn, _begin, remembered) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise PreprocessError(
                "a process that worked for this job was killed, most likely for want of memory; run on fewer cores"
            ) from error


def _begin(log: Path | None, memory: Path | None) -> None:
    import multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word: the process it works for has it too
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    notices.begin_log(log, goes_on=True)
    seeking.remember(memory)


def _end_with(parent: Any) -> None:
    """End when the process it works for does: one that was killed tells nobody."""
    parent.join()
    os._exit(1)
