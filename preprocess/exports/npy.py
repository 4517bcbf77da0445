"""One uncompressed ``.npy`` an array, which NumPy can map into memory (``mmap_mode`` does nothing on an npz)."""

from __future__ import annotations

from pathlib import Path

from preprocess import npz
from preprocess.exports.built import Built
from preprocess.files import atomic_folder


def write(built: Built, out: Path) -> None:
    """Write the arrays into the folder ``out`` as ``<array>.npy``, a row at a time."""
    reader = built.reader
    with atomic_folder(out) as part:
        for name in reader.names:
            with open(part / f"{name}.npy", "wb") as handle:
                handle.write(npz.npy_header(reader.shape(name)))
                handle.writelines(row.tobytes() for row in reader.rows(name))
