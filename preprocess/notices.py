"""Remarks of a step or a reader on a sample that is built all the same; the engine adds which sample it is."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar

log = logging.getLogger(__name__)

_COLLECTED: ContextVar[list[str] | None] = ContextVar("collected", default=None)


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
