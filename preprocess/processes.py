"""Processes that share a job's work; each begins with what this one remembers, and writes to its log."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

from preprocess import notices
from preprocess.reading import seeking
from preprocess.threads import AtOnce


def processes(workers: int) -> Executor:
    """So many processes; one worker is this process itself."""
    if workers == 1:
        return AtOnce()
    spawn, remembered = multiprocessing.get_context("spawn"), (notices.log_file(), seeking.memory())
    return ProcessPoolExecutor(workers, spawn, _begin, remembered)


def _begin(log: Path | None, memory: Path | None) -> None:
    notices.begin_log(log, goes_on=True)
    seeking.remember(memory)
