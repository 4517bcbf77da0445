"""Checksums: of files as they are, and of arrays independently of zip and zlib."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess import npz
from preprocess.container import Written
from preprocess.errors import PreprocessError
from preprocess.files import write_text
from preprocess.table import read_rows, write_rows

COLUMNS = ("kind", "digest", "name")
#: the lists of a results folder, and the kind of digest each holds
LISTS = {"MD5SUMS": "md5", "SHA256SUMS": "sha256", "ARRAYS.sha256": "array"}


def file_digest(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()


def array_digest(rows: Iterable[Any]) -> str:
    """sha256 over an array's bytes in C order, given row by row."""
    value = hashlib.sha256()
    for row in rows:
        value.update(row)
    return value.hexdigest()


def image_digest(image: NDArray[np.uint8]) -> bytes:
    """16 bytes that stand for one image's pixels, for finding equal ones."""
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()[:16]  # sha256 in hardware is the quickest of all


def write_sums(path: Path, arrays: Mapping[str, Written], out: Path, workers: int = 1) -> None:
    """Read a finished npz once and write its digests and those of its arrays, by kind and name.

    Args:
        path: the npz.
        arrays: what was learned of each array while the file was written.
        out: the table.
        workers: threads that inflate; two more take the digests of the file.

    Raises:
        PreprocessError: the file cannot be read, or does not hold what was written.
    """
    with ThreadPoolExecutor(2) as pool:
        whole = {algorithm: pool.submit(file_digest, path, algorithm) for algorithm in ("md5", "sha256")}
        reader = npz.Reader(path)
        restarts = {name: arrays[name].restarts if name in arrays else () for name in reader.names}
        found = {name: array_digest(reader.blocks(name, restarts[name], workers)) for name in reader.names}
    written = {name: one.sha256 for name, one in arrays.items()}
    if wrong := [name for name in {**written, **found} if written.get(name) != found.get(name)]:
        raise PreprocessError(
            f"{path}: {', '.join(sorted(wrong))} not as written: the disk or memory is at fault; delete the file and "
            "run again"
        )
    rows = [("array", digest, f"{path.name}:{name}") for name, digest in sorted(found.items())]
    rows += [(algorithm, digest.result(), path.name) for algorithm, digest in whole.items()]
    write_rows(out, COLUMNS, rows)


def read_sums(tables: Iterable[Path]) -> dict[str, str]:
    """MD5 of each file by ``<file>`` and sha256 of each array by ``<file>:<array>``, from tables of sums."""
    return {
        row["name"]: row["digest"] for table in tables for row in read_rows(table) if row["kind"] in ("md5", "array")
    }


def write_lists(tables: Iterable[Path], lists: Iterable[Path]) -> None:
    """Write ``MD5SUMS``, ``SHA256SUMS`` and ``ARRAYS.sha256`` from tables of sums, by the lists' own names.

    The names are relative, so that ``md5sum -c MD5SUMS`` works in the folder.
    """
    sums = [row for table in tables for row in read_rows(table)]
    for path in lists:
        lines = sorted((row["name"], row["digest"]) for row in sums if row["kind"] == LISTS[path.name])
        write_text(path, "".join(f"{digest}  {name}\n" for name, digest in lines))
