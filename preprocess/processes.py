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
    """So many processes, for a block, each in a pool of its own: what one has begun it can be told to go on with.

    Raises:
        PreprocessError: one of them was killed.
    """
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
    with contextlib.ExitStack() as stack:
        try:
            pool = stack.enter_context(ProcessPoolExecutor(workers, spawn, _begin, remembered))
            with _holding_back(signal.SIGINT):
                for _ in range(workers):
                    pool.submit(os.getpid)  # one starts with each work for which none is at rest
        except OSError as error:
            raise PreprocessError(
                f"processes cannot be started ({error.strerror or error}); run on one core"
            ) from error
        try:
            yield pool
        except BrokenProcessPool as error:
            raise PreprocessError(
                "a process that worked for this job was killed, most likely for want of memory; run on fewer cores"
            ) from error


@contextlib.contextmanager
def _holding_back(number: signal.Signals) -> Iterator[None]:
    """Hold a signal back for a moment. A process that starts then does so too, until it can end without a word."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(log: Path | None, memory: Path | None) -> None:
    import multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word: the process it works for has it too
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    notices.begin_log(log, goes_on=True)
    seeking.remember(memory)


def _end_with(parent: Any) -> None:
    """End when the process it works for does: one that was killed tells nobody."""
    parent.join()
    os._exit(1)
