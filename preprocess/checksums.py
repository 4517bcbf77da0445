"""Checksums: of files as they are, and of arrays independently of zip and zlib."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess import npz
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
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def write_sums(files: list[Path], out: Path) -> None:
    """Write the digests of some npz and of their arrays, sorted by kind and name."""
    rows: list[tuple[str, str, str]] = []
    for path in sorted(files):
        for algorithm in ("md5", "sha256"):
            rows.append((algorithm, file_digest(path, algorithm), path.name))
        reader = npz.Reader(path)
        rows += [("array", array_digest(reader.rows(array)), f"{path.name}:{array}") for array in reader.names]
    rows.sort(key=lambda row: (row[0], row[2]))
    write_rows(out, COLUMNS, rows)


def read_sums(table: Path) -> dict[str, str]:
    """MD5 of each file by ``<file>`` and sha256 of each array by ``<file>:<array>``, from a table of sums."""
    return {row["name"]: row["digest"] for row in read_rows(table) if row["kind"] in ("md5", "array")}


def write_lists(tables: Iterable[Path], lists: Iterable[Path]) -> None:
    """Write ``MD5SUMS``, ``SHA256SUMS`` and ``ARRAYS.sha256`` from tables of sums, by the lists' own names.

    The names are relative, so that ``md5sum -c MD5SUMS`` works in the folder.
    """
    sums = [row for table in tables for row in read_rows(table)]
    for path in lists:
        lines = sorted((row["name"], row["digest"]) for row in sums if row["kind"] == LISTS[path.name])
        write_text(path, "".join(f"{digest}  {name}\n" for name, digest in lines))
