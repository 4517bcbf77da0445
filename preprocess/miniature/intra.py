"""A stand-in for IntrA: open tubes of 10 vessel models, some with a sac, as OBJ meshes.

As in the true tree: vessels as MeshLab writes them (normals between the vertices, ``a//a`` faces,
counts in comments), aneurysms as plain lines, some with colours; names that occur in both classes;
point lists beside the meshes; the annotated and complete parts; and one speck of a mesh of which
nothing is left at 28. Two meshes have true numbers of triangles, the others fewer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import Floats, rng, write_tree

MODELS = (1, 9, 23, 117, 163, 168, 190, 198, 205, 213)
VESSELS, ANEURYSMS = 3, 2
SPECK = "ArteryObjAN186-10"
CENSUS = {"vesselmnist3d": {"vessel": VESSELS * len(MODELS) + 1, "aneurysm": ANEURYSMS * len(MODELS), "models": 11}}
ROOT = "IntrA"
#: rings and corners a ring of meshes with true numbers of triangles
TRUE_SIZES = {("vessel", 1, 0): (46, 18), ("aneurysm", 168, 1): (70, 24)}

Faces = NDArray[np.int64]


def generate(folder: Path) -> None:
    """Write the tree into ``folder``."""
    files: dict[str, bytes] = {f"{ROOT}/.DS_Store": b"\0\0\0\1Bud1"}
    for model in MODELS:
        for label, count in (("vessel", VESSELS), ("aneurysm", ANEURYSMS)):
            for number in range(count):
                rings, corners = TRUE_SIZES.get((label, model, number), (22, 12))
                points, faces = _segment(model, label, number, rings, corners)
                stem, base = f"ArteryObjAN{model}-{number}", f"{ROOT}/generated/{label}"
                suffix = "_addon" if label == "aneurysm" else ""
                files[f"{base}/ad/{stem}{suffix}.ad"] = _point_list(points)
                files[f"{base}/obj/{stem}.obj"] = (
                    _meshlab(stem, points, faces) if label == "vessel" else _plain(points, faces, coloured=number == 1)
                )
    points, faces = _tube(np.array([[0, 0, 0], [0.2, 0, 0], [0.4, 0, 0]]), np.full((3, 6), 0.15))
    files[f"{ROOT}/generated/vessel/obj/{SPECK}.obj"] = _meshlab(SPECK, points, faces)
    files[f"{ROOT}/generated/vessel/ad/{SPECK}.ad"] = _point_list(points)
    points, faces = _segment(117, "aneurysm", 0, 12, 8)
    files[f"{ROOT}/annotated/obj/AN117_full.obj"] = b"g a1\n" + _plain(points, faces, coloured=False)
    files[f"{ROOT}/annotated/ad/AN117-_norm.ad"] = _point_list(points)
    points, faces = _segment(1, "vessel", 99, 30, 8)
    files[f"{ROOT}/complete/ArteryObjAN1.obj"] = _meshlab("ArteryObjAN1", points, faces)
    write_tree(folder, files)


def _segment(model: int, label: str, number: int, rings: int, corners: int) -> tuple[Floats, Faces]:
    """A bent tube somewhere in the head, in mm; a sac bulges from its middle where it has an aneurysm."""
    generator = rng("intra", model, label, number)
    along = np.linspace(0, 1, rings)[:, None]
    length = generator.uniform(14, 24) if label == "vessel" else generator.uniform(12, 18)
    bends = generator.normal(0, 0.16, (3, 3))
    waves = sum(bend * np.sin((k + 1) * np.pi * along + k) for k, bend in enumerate(bends))
    line = length * (along * [[1.0, 0, 0]] + waves) @ np.linalg.qr(generator.normal(size=(3, 3)))[0]
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)[None, :]
    radius = generator.uniform(0.9, 1.9) * (1 - 0.35 * along) * (1 + 0.06 * np.sin(3 * angle + 9 * along))
    if label == "aneurysm":
        side = np.cos(angle - generator.uniform(0, 6)) ** 2 * (np.cos(angle - generator.uniform(0, 6)) > -0.5)
        radius = radius + generator.uniform(2.2, 4) * np.exp(-(((along - 0.5) / 0.14) ** 2)) * (0.35 + 0.65 * side)
    points, faces = _tube(line, radius)
    return points + generator.uniform(-50, 50, 3), faces


def _tube(line: Floats, radius: Floats) -> tuple[Floats, Faces]:
    """Vertices and triangles of a tube about a line, open at both ends; ``radius`` by ring and corner."""
    rings, corners = radius.shape
    ahead = np.gradient(line, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    across = np.empty_like(line)
    across[0] = np.cross(ahead[0], np.eye(3)[np.abs(ahead[0]).argmin()])
    for ring in range(1, rings):  # carried along, so that the tube does not twist
        across[ring] = across[ring - 1] - ahead[ring] * (ahead[ring] @ across[ring - 1])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)[None, :, None]
    rim = np.cos(angle) * across[:, None] + np.sin(angle) * np.cross(ahead, across)[:, None]
    points = (line[:, None] + radius[:, :, None] * rim).reshape(-1, 3)
    first = (np.arange(rings - 1)[:, None] * corners + np.arange(corners)).ravel()
    beside = (np.arange(rings - 1)[:, None] * corners + (np.arange(corners) + 1) % corners).ravel()
    triangles = [[first, beside, first + corners], [beside, beside + corners, first + corners]]
    return points, np.concatenate([np.stack(one, axis=1) for one in triangles])


def _meshlab(stem: str, points: Floats, faces: Faces) -> bytes:
    head = [f"# Object {stem}.obj", "#", f"# Vertices: {len(points)}", f"# Faces: {len(faces)}"]
    lines = ["####", "#", "# OBJ File Generated by Meshlab", "#", "####", *head, "#", "####"]
    for point in points:
        lines += ["vn " + " ".join(f"{value:.6f}" for value in point - points.mean(axis=0))]
        lines += ["v " + " ".join(f"{value:.6f}" for value in point)]
    lines += [f"# {len(points)} vertices, 0 vertices normals", ""]
    lines += ["f " + " ".join(f"{corner}//{corner}" for corner in face) for face in (faces + 1).tolist()]
    return "\n".join([*lines, f"# {len(faces)} faces, 0 coords texture", "", "# End of File", ""]).encode()


def _plain(points: Floats, faces: Faces, coloured: bool) -> bytes:
    colour = " 0.784314 0.207843 0.160784" if coloured else ""
    lines = ["v " + " ".join(map(repr, np.float32(point).astype(float).tolist())) + colour for point in points]
    return "\n".join([*lines, *("f {} {} {}".format(*face) for face in (faces + 1).tolist()), ""]).encode()


def _point_list(points: Floats) -> bytes:
    normals = points - points.mean(axis=0)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    rows = np.concatenate([points, normals], axis=1)[:8]
    return "".join(" ".join(f"{value:.6f}" for value in row) + " 0\n" for row in rows).encode()
