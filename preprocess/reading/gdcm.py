"""Compressed DICOM pixels, decoded by SimpleITK's GDCM in a process of its own.

Its decoders print what is wrong with a damaged file and go on with other pixels, search for minutes, or end their
process. So what they print is an error here, and so is their silence or end; the next slice gets a new process.
One process serves all slices; it ends with this one.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

#: seconds a slice may take; whole ones take milliseconds, the first start of the library some seconds
PATIENCE = 60
_WORKER = """
import sys
import numpy
import SimpleITK
SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
for line in sys.stdin:
    path = line.rstrip("\\n")
    try:
        image = SimpleITK.ReadImage(path, imageIO="GDCMImageIO")
        numpy.save(path + ".npy", SimpleITK.GetArrayFromImage(image))
        print("done", flush=True)
    except Exception as error:
        print("error", " ".join(str(error).split())[-200:], flush=True)
"""


class _Worker:
    """The process, and the file that holds what its libraries print."""

    def __init__(self) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )

    def read(self, path: Path) -> str:
        """Decode one file to ``<path>.npy``; returns what went wrong, or empty text."""
        told, answer = self._process.stdin, self._process.stdout
        assert told is not None and answer is not None
        before = self._said.seek(0, 2)
        try:
            told.write(f"{path}\n".encode())
            told.flush()
            if not select.select([answer], [], [], PATIENCE)[0]:
                return f"no answer in {PATIENCE} s"
            line = answer.readline().decode("utf-8", "replace").strip()
        except BrokenPipeError:
            line = ""
        self._said.seek(before)
        printed = self._said.read().decode("utf-8", "replace").split("\n")[0].strip()
        return "" if line == "done" and not printed else printed or line or "its decoder broke off"

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._said.close()


@cache
def _worker() -> _Worker:
    return _Worker()


def decode(data: bytes) -> NDArray[Any]:
    """The values of one compressed slice, slope and intercept applied, (rows, columns).

    Raises:
        ValueError: it is damaged; the text is what the decoder says of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slice.dcm"
        path.write_bytes(data)
        if problem := _worker().read(path):
            _worker().end()
            _worker.cache_clear()
            raise ValueError(problem)
        array: NDArray[Any] = np.load(f"{path}.npy")
    return array[0] if array.ndim == 3 and len(array) == 1 else array
