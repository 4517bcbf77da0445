"""Writing files so that nothing half-written ever has a final name."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preprocess.errors import PreprocessError


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` when the block succeeds.

    On an exception what was written is removed; what a killed run left goes with the next success.

    Raises:
        PreprocessError: the folder cannot be written, or the disk is full.
    """
    with _replacing(Path(path)) as part:
        yield part
        with open(part, "rb") as handle:
            os.fsync(handle.fileno())


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path`` that replaces ``path`` when the block succeeds.

    Raises:
        PreprocessError: the folder cannot be written, or the disk is full.
    """
    with _replacing(Path(path)) as part:
        part.mkdir()
        yield part


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    # the process number keeps a run apart from a job that outlived its killed run
    part = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
        try:
            yield part
            if path.is_dir():
                shutil.rmtree(path)
            os.replace(part, path)
        except BaseException:
            _remove(part)
            raise
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            _remove(left)
    except OSError as error:
        # an error of reading is not ours to explain
        if error.filename is not None and not Path(error.filename).is_relative_to(path.parent):
            raise
        raise PreprocessError(f"cannot write {path}: {error.strerror or error}") from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 with line feeds, atomically."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON with a final newline, atomically; keys keep their order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file written by :func:`write_json`."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
