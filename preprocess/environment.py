"""The environment of a run: its Python, its package, and that no other run writes to its results."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import sys
from pathlib import Path
from typing import IO

from preprocess.errors import PreprocessError

PYTHONS = ((3, 11), (3, 13))
PLATFORMS = ("linux", "darwin")

_held: list[IO[str]] = []


def prepare() -> None:
    """Let the processes started from here on run this Python and import this package.

    Whoever calls a workflow manager by its path, or from another folder, has neither on the path.

    Raises:
        PreprocessError: this Python or this platform is not one the package supports.
    """
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        known = " to ".join(f"{major}.{minor}" for major, minor in PYTHONS)
        raise PreprocessError(f"Python {known} is needed, this is {sys.version.split()[0]}; make a new environment")
    if sys.platform not in PLATFORMS:
        raise PreprocessError(f"Linux or macOS is needed, this is {sys.platform}; on Windows use WSL")
    _prepend("PATH", Path(sys.executable).parent)
    _prepend("PYTHONPATH", Path(__file__).parents[1])


def _prepend(name: str, folder: Path) -> None:
    known = [part for part in os.environ.get(name, "").split(os.pathsep) if part]
    if str(folder) not in known[:1]:
        os.environ[name] = os.pathsep.join([str(folder), *known])


def peak_memory() -> int:
    """The most memory this process has held so far, in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1]) * 1024  # type: ignore[index]
    except FileNotFoundError:  # macOS; on Linux this figure may be that of who started the process
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def hold(folder: Path) -> None:
    """Keep other runs out of a results folder until this process ends, however it ends.

    The operating system lets go of the lock when the process dies, so a killed run leaves nothing to
    clear.

    Raises:
        PreprocessError: another run holds the folder.
    """
    handle = open(folder / ".lock", "w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.close()
        raise PreprocessError(
            f"{folder}: another run is writing there; wait for it, or choose other results"
        ) from error
    _held.append(handle)
