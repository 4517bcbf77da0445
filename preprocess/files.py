"""Writing files so that nothing half-written ever has a final name, and nothing late replaces what is newer.

A result is written under another name, its *part*, and renamed when it is whole. Two things can go wrong when a run
is killed and started again while jobs of the first are still at work:

* a job must not remove the part another process is writing: each part is locked (:func:`fcntl.flock`) by its writer
  for as long as the writer lives, and only parts whose lock is free are litter;
* a job of the former run must not replace what the new one made: every run has an id
  (:mod:`preprocess.environment`), and a part is renamed only while its job's run is the current one.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from preprocess import environment
from preprocess.errors import PreprocessError


@contextlib.contextmanager
def atomic(path: str | Path, of_run: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` when the block succeeds.

    On an exception what was written is removed; what a killed run left goes with the next success.
    ``of_run`` is False for what is no result of a run, such as a cache.

    Raises:
        PreprocessError: the folder cannot be written, the disk is full, or the run this job belongs to has ended.
    """
    with _replacing(Path(path), is_folder=False, of_run=of_run) as part:
        yield part
        with open(part, "rb") as handle:
            os.fsync(handle.fileno())


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path`` that replaces ``path`` when the block succeeds.

    Raises:
        PreprocessError: as for :func:`atomic`.
    """
    with _replacing(Path(path), is_folder=True, of_run=True) as part:
        yield part


@contextlib.contextmanager
def _replacing(path: Path, is_folder: bool, of_run: bool) -> Iterator[Path]:
    part = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
        with _locked(part, is_folder):
            try:
                yield part
                with environment.current_run(path) if of_run else contextlib.nullcontext():
                    if path.is_dir():
                        shutil.rmtree(path)
                    os.replace(part, path)
            except BaseException:
                _remove(part)
                raise
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            if not _is_being_written(left):
                _remove(left)
    except OSError as error:
        # an error of reading is not ours to explain
        if error.filename is not None and not Path(error.filename).is_relative_to(path.parent):
            raise
        raise PreprocessError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _locked(part: Path, is_folder: bool) -> Iterator[None]:
    """Make a part and hold its lock."""
    if is_folder:
        part.mkdir()
    handle = os.open(part, os.O_RDONLY if is_folder else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _is_being_written(part: Path) -> bool:
    """Whether a living process holds the lock of a part."""
    try:
        handle = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        return True  # it has just got its name, or gone: not ours
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str, of_run: bool = True) -> None:
    """Write ``text`` as UTF-8 with line feeds, atomically; ``of_run`` as in :func:`atomic`."""
    with atomic(path, of_run) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: object, of_run: bool = True) -> None:
    """Write ``value`` as indented JSON with a final newline, atomically; keys keep their order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n", of_run)


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, by the C library where there is one: it is ten times as fast.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_json(path: str | Path) -> Any:
    """Read a JSON file written by :func:`write_json`."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
