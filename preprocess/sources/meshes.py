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
from preprocess.reading.archives import Raw, RawFile
from preprocess.sources.decided import holds, index_of
from preprocess.sources.tools import open_file

open = open_file


def present(folder: Path) -> bool:
    """Whether there is a mesh, or an archive that may hold one."""
    return holds(folder, ("mesh",))


def is_mesh(raw: Raw, file: RawFile) -> bool:
    """Whether a file is a mesh by its ending."""
    return kinds.kind_of(file.name) == "mesh"


index = index_of(is_mesh, "meshes")
