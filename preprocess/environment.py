"""The environment of a run: its Python, its package, and that no other run writes to its results."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import resource
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

from preprocess.errors import PreprocessError

PYTHONS = ((3, 11), (3, 13))
PLATFORMS = ("linux", "darwin")
#: libraries whose version can change results: the distribution by the name it is imported by
LIBRARIES = {
    "h5py": "h5py", "imagecodecs": "imagecodecs", "isal": "isal", "jpeglib": "jpeglib", "nibabel": "nibabel",
    "numpy": "numpy", "PIL": "pillow", "pydicom": "pydicom", "pylidc": "pylidc", "pymeshfix": "pymeshfix",
    "scipy": "scipy", "SimpleITK": "simpleitk", "simplejpeg": "simplejpeg", "tifffile": "tifffile",
    "trimesh": "trimesh",
}  # fmt: skip

#: the same of packages that write exports alone: no result of a build depends on them
EXPORTERS = {"pyarrow": "pyarrow", "zarr": "zarr"}

#: the id of the run a process belongs to: jobs inherit it from the process that started them
RUN = "MEDMNIST_RUN"
#: in a results folder: locked for as long as a run lives, and the id of the latest run
LOCK_FILE = ".lock"
RUN_FILE = ".run"

_held: list[IO[str]] = []


def prepare() -> None:
    """Make processes started from now on run this Python, import this package and know which run they belong to.

    A workflow manager that is called by its path, or from another folder, has neither on the path.

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
    os.environ.setdefault(RUN, os.urandom(16).hex())


def run() -> str:
    """The id of the run this process belongs to."""
    return os.environ[RUN]


@cache
def version(library: str) -> str:
    """The version of a library, by the name it is imported by; ``none`` where it is not installed."""
    from importlib import metadata  # slow to import, and few jobs ask

    try:
        return metadata.version((LIBRARIES | EXPORTERS)[library])
    except metadata.PackageNotFoundError:
        return "none"


def versions() -> dict[str, str]:
    """The versions of Python and of every installed library that can change a byte of a result."""
    import platform  # here: every job loads this module, and few ask

    found = {LIBRARIES[name]: version(name) for name in LIBRARIES}
    installed = {name: found[name] for name in sorted(found) if found[name] != "none"}
    return {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION, **installed}


def is_classic_zlib() -> bool:
    """Whether this Python deflates as the published files were: zlib-ng gives other bytes."""
    return "zlib-ng" not in zlib.ZLIB_RUNTIME_VERSION


def _prepend(name: str, folder: Path) -> None:
    known = [part for part in os.environ.get(name, "").split(os.pathsep) if part]
    if str(folder) not in known[:1]:
        os.environ[name] = os.pathsep.join([str(folder), *known])


def peak_memory() -> int:
    """The most memory this process has held so far, in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)[1]) * 1024  # type: ignore[index]
    except FileNotFoundError:  # macOS; on Linux this figure may be that of the process that started this one
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def hold(folder: Path) -> None:
    """Keep other runs out of a results folder until this process ends, however it ends.

    The operating system lets go of the lock when the process dies, so a killed run leaves nothing to
    clear. From here on jobs of former runs that are still at work can finish nothing.

    Raises:
        PreprocessError: another run holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = open(folder / LOCK_FILE, "w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.close()
        raise PreprocessError(
            f"{folder}: another run is writing there; wait for it, or choose other results"
        ) from error
    _held.append(handle)
    with open(folder / RUN_FILE, "a+") as latest:
        fcntl.flock(latest, fcntl.LOCK_EX)  # waits for a job that is just giving a result its name
        latest.truncate(0)
        latest.write(os.environ[RUN])


@contextlib.contextmanager
def current_run(path: Path) -> Iterator[None]:
    """A block that gives a result its final name: no other run can begin in its results folder meanwhile.

    A process that belongs to no run, or writes outside a results folder, may always.

    Raises:
        PreprocessError: the run this process belongs to is over, another has begun.
    """
    ours = os.environ.get(RUN)
    place = next((folder / RUN_FILE for folder in path.absolute().parents if (folder / RUN_FILE).is_file()), None)
    if ours is None or place is None:
        yield
        return
    with open(place) as latest:
        with contextlib.suppress(OSError):  # a file system without locks: the check still holds, but for an instant
            fcntl.flock(latest, fcntl.LOCK_SH)
        if latest.read() != ours:
            raise PreprocessError(f"{path}: not written, the run that wanted it is over and another has begun")
        yield
