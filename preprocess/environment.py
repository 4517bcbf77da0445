"""The environment of the jobs: that they find this Python and this package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from preprocess.errors import PreprocessError

PYTHONS = ((3, 11), (3, 13))
PLATFORMS = ("linux", "darwin")


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
