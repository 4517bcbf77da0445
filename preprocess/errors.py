"""The three ways in which something can go wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

#: what a library's message says of an object in memory: another address in every run
_OBJECT = re.compile(r"\s*<[^<>]* object at 0x[0-9a-fA-F]+>")
#: a longer cause is cut: it goes into one cell of a table
_LONGEST = 400
#: the same for the one line a user sees; what is kept of it then are its beginning and its end, with the remedy
_LONGEST_LINE, _HEAD, _TAIL = 1500, 1000, 300


class PreprocessError(Exception):
    """Stops the run. Its text is the one line a user sees: file, cause, what to do.

    What it quotes of a file may be anything: characters that cannot be printed are escaped, and of a very long text
    the middle is left out.
    """

    def __init__(self, text: object = "") -> None:
        line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(text))
        super().__init__(line if len(line) <= _LONGEST_LINE else f"{line[:_HEAD]} ... {line[-_TAIL:]}")


class UnreadableError(PreprocessError):
    """One sample's file cannot be decoded: stops a strict run, excludes the sample under ``warn``.

    Attributes:
        cause: what is wrong, in one line that is the same on every machine.
        path: the file within the source's raw folder; empty where only the caller knows it.
    """

    def __init__(self, cause: str, path: str = "", root: Path | None = None) -> None:
        self.cause, self.path = told(cause), path
        super().__init__(f"{root / path if root else path}: {self.cause}" if path else self.cause)

    @property
    def detail(self) -> str:
        """What a table of exclusions says: the cause, after the file where it is known; no machine's paths."""
        return f"{self.path}: {self.cause}" if self.path else self.cause

    def at(self, path: str, root: Path) -> UnreadableError:
        """The same error with its file, unless it names one itself."""
        return self if self.path else UnreadableError(self.cause, path, root)


class ExcludeSample(Exception):
    """This sample cannot be part of the dataset; ``reason`` is a name of :mod:`preprocess.reasons`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)  # both, so that another process can hand it over
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def told(text: object) -> str:
    """A message, such as a library's, in one line of bounded length and without addresses in memory."""
    line = " ".join(_OBJECT.sub("", str(text)).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def instead(word: object, known: Iterable[str]) -> str:
    """The names there are, after the one that was meant: ``"did you mean breastmnist? there are: ..."``."""
    known = list(known)
    return f"{guess(word, known)}there are: {', '.join(known)}"


def guess(word: object, known: Iterable[str]) -> str:
    """What was meant by a name that is none: ``"did you mean breastmnist? "``, or nothing where no name is like it.

    Capitals and signs do not count: ``BreastMNIST``, ``nodule_mnist_3d``. Names that are as like are all named.
    """
    import difflib  # here: few processes are given a wrong name

    plain = "".join(one for one in str(word).lower() if one.isalnum() or one == "_")
    likeness = {
        name: difflib.SequenceMatcher(a=name, b=plain).ratio() for name in difflib.get_close_matches(plain, known, n=4)
    }
    best = max(likeness.values(), default=0)
    like = sorted(name for name, value in likeness.items() if value > best - 0.05)
    return f"did you mean {' or '.join(like)}? " if like else ""
