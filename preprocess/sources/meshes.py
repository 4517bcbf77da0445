"""Meshes: a folder of surface meshes of your own, read as the recipe decides, without a line of Python.

Expected contents: ASCII OBJ files in mm, in folders, zip or tar, at any depth; a table (CSV or TSV) among them where
the recipe names one.

The recipe says by the decisions ``files``, ``table``, ``table_key``, ``class_from``, ``group_from``, ``split_from``
and ``columns`` what :mod:`preprocess.sources.images` does, and keys, tables and copies are as there. The steps are
those of VesselMNIST3D: ``mesh``, ``repair``, ``voxelise``, ``cells``.
"""

from __future__ import annotations

from pathlib import Path

from preprocess.reading import kinds
from preprocess.reading.archives import Raw
from preprocess.sources import Listing
from preprocess.sources.decided import Decided, holds, of_files
from preprocess.sources.tools import open_file

open = open_file


def present(folder: Path) -> bool:
    """Whether there is a mesh, or an archive that may hold one."""
    return holds(folder, ("mesh",))


def index(
    raw: Raw,
    files: list[str] | str,
    table: str,
    table_key: str,
    class_from: str,
    group_from: str,
    split_from: str,
    columns: dict[str, str],
) -> Listing:
    """List the meshes in natural order of their keys.

    Args:
        raw: the raw files.
        files: the decision of this name, as all that follow.
        table: see :mod:`preprocess.decisions`.
        table_key: likewise.
        class_from: likewise.
        group_from: likewise.
        split_from: likewise.
        columns: likewise.

    Raises:
        PreprocessError: no file is taken, or a value cannot be told; see :mod:`preprocess.sources.decided`.
    """
    decided = Decided(files, table, table_key, class_from, group_from, split_from, columns)
    return of_files(raw, decided, lambda file: kinds.kind_of(file.name) == "mesh", "meshes")
