"""Remarks of a step or a reader on a sample that is built all the same; the engine adds which sample it is.

A run says each once to the terminal, when the row is made; what renders rows again tells it the log alone.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

log = logging.getLogger(__name__)

_COLLECTED: ContextVar[list[str] | None] = ContextVar("collected", default=None)
_IS_REPEATED: ContextVar[bool] = ContextVar("is_repeated", default=False)


def say(text: str) -> None:
    """Remark on the sample at hand, once: ``consists of 3 pieces, of which ...``."""
    said = _COLLECTED.get()
    if said is None:
        log.warning("%s", text)
    elif text not in said:
        said.append(text)


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Collect the remarks made within the block."""
    said: list[str] = []
    token = _COLLECTED.set(said)
    try:
        yield said
    finally:
        _COLLECTED.reset(token)


@contextlib.contextmanager
def repeated() -> Iterator[None]:
    """Rows are rendered again within the block: what is remarked on them was said when they were made."""
    token = _IS_REPEATED.set(True)
    try:
        yield
    finally:
        _IS_REPEATED.reset(token)


def is_new(record: logging.LogRecord) -> bool:
    """Filter of a log's handler: not what is said within :func:`repeated`."""
    return not _IS_REPEATED.get()


def begin_log(path: Path | None, goes_on: bool = False) -> None:
    """Send what is logged to a file, and warnings to standard error too.

    Args:
        path: the file; none where there is no log.
        goes_on: whether the file is that of another process, which this one works for.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.WARNING)
    handlers[0].addFilter(is_new)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not goes_on:
            path.write_bytes(b"")
        # at its end, wherever that is by now: processes that work for this one write there too
        handlers.append(logging.FileHandler(path, mode="a", encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", handlers=handlers, force=True)


def log_file() -> Path | None:
    """The file that is logged to."""
    files = (one.baseFilename for one in logging.getLogger().handlers if isinstance(one, logging.FileHandler))
    return next(map(Path, files), None)
