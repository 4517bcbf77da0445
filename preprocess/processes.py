"""Processes that share a job's work; each begins with what this one remembers, and writes to its log."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

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
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word: the process it works for has it too
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    notices.begin_log(log, goes_on=True)
    seeking.remember(memory)


def _end_with(parent: Any) -> None:
    """End when the process it works for does: one that was killed tells nobody."""
    parent.join()
    os._exit(1)
