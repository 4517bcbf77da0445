"""IntrA: segments of brain vessels as surface meshes (Yang et al. 2020), the source of VesselMNIST3D.

Expected contents: the ``generated`` part of the data folder that https://github.com/intra3d2019/IntrA
names, as a tree or in archives, at any depth, with or without the folders above the classes::

    IntrA/generated/vessel/obj/ArteryObjAN1-0.obj       1,694 healthy segments
    IntrA/generated/aneurysm/obj/ArteryObjAN117-2.obj     215 segments with an aneurysm

cut from 103 models of brain vessels. The class is the folder's: 159 names occur in both. The number
after ``AN`` is the model, the group of this source; a patient has one model.

Left aside: ``annotated`` (116 aneurysms with a drawn outline, in other coordinates), ``complete`` (the
103 whole models), the point lists ``.ad`` beside the meshes and ``.geo`` files. A copy without the
generated meshes is refused.

Meshes are ASCII OBJ, in mm, of triangles, open where the segment was cut. Vessels come from MeshLab
(``vn`` lines between the vertices, faces as ``a//a``), aneurysms are plain ``v`` and ``f`` lines.

Keys are ``<class>/<name>``, the same in every copy.
"""

from __future__ import annotations

import re

from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw, RawFile
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import count, natural, open_file, unique
from preprocess.table import Sample

PRESENT = ("ArteryObjAN*-*.obj", *PACKED)
CLASSES = ("vessel", "aneurysm")
OTHER_PARTS = {"annotated", "complete"}
NAME = re.compile(r"ArteryObj(AN\d+)-\d+\.obj")

open = open_file


def index(raw: Raw) -> Listing:
    """List the generated meshes, vessels first, in natural order.

    Raises:
        PreprocessError: there is no generated mesh, two files of one segment differ, or a file in a class's
            folder has another name than a segment's.
    """
    files = raw.files()
    meshes, copies = unique(raw, files, lambda file: _key(raw, file))
    if not meshes:
        raise PreprocessError(
            f"{raw.root}: holds no mesh of generated/vessel/obj or generated/aneurysm/obj; the annotated and complete "
            f"parts and the .ad point lists cannot stand for them"
        )
    samples = [
        Sample(key, meshes[key].path, original_label=key.partition("/")[0], group=_named(raw, meshes[key])[1])
        for key in meshes
    ]
    samples.sort(key=lambda one: (CLASSES.index(one.original_label), natural(one.key)))
    census = {**count(samples, "original_label"), "models": len({sample.group for sample in samples})}
    notes = copies.notes("meshes")
    if others := sum(_class(file) is None for file in files):
        notes.append(f"{others} files are not meshes of the generated part, left aside")
    return Listing(samples, census, notes)


def _class(file: RawFile) -> str | None:
    """The class whose folder a mesh of the generated part lies in; None for any other file."""
    folders = [part.lower() for part in file.parts[:-1]]
    if not file.name.lower().endswith(".obj") or OTHER_PARTS & set(folders):
        return None
    return next((part for part in reversed(folders) if part in CLASSES), None)


def _key(raw: Raw, file: RawFile) -> str | None:
    label = _class(file)
    return None if label is None else f"{label}/{_named(raw, file)[0]}"


def _named(raw: Raw, file: RawFile) -> re.Match[str]:
    if (match := NAME.fullmatch(file.name)) is None:
        raise PreprocessError(
            f"{raw.root / file.path}: not a segment's name (ArteryObjAN<model>-<number>.obj); "
            f"restore the published tree"
        )
    return match
