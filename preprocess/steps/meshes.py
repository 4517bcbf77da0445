"""Steps for surface meshes: from an OBJ file to a closed mesh to a grid of cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymeshfix
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from preprocess import notices
from preprocess.errors import ExcludeSample, PreprocessError, UnreadableError
from preprocess.steps import grids

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Cells = NDArray[np.bool_]

#: a sample of which nothing is left at this size is left out of every size, whichever are built
SMALLEST = 28
#: vertices that no face names, in a file that is taken for whole
UNUSED = 3


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: (n, 3) float64, in mm.
        faces: (m, 3) int64, indices of vertices.
    """

    vertices: Floats
    faces: Integers

    @property
    def corners(self) -> Floats:
        """(m, 3, 3): the corners of each triangle."""
        return self.vertices[self.faces]

    @property
    def centroid(self) -> Floats:
        """The mean of the triangles' centres, weighted by their areas, in mm: the surface's centre."""
        corners = self.corners
        sides = np.diff(corners, axis=1)
        areas = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) / 2
        return np.asarray(np.average(corners.mean(axis=1), axis=0, weights=areas))

    @property
    def is_closed(self) -> bool:
        """Whether every edge joins exactly two triangles that run along it in opposite directions."""
        edges = self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        forth, back = (np.sort(pair @ [len(self.vertices), 1]) for pair in (edges, edges[:, ::-1]))
        return bool(len(edges) and np.array_equal(forth, back) and (np.diff(forth) > 0).all())


def mesh(data: bytes) -> Mesh:
    """Read a Wavefront OBJ file: ``v x y z [r g b]`` and ``f a b c`` lines, in file order.

    Corners may be ``a``, ``a/t``, ``a//n`` or ``a/t/n``, counted from 1, or backwards from -1. Faces of
    more than three corners become a fan. Normals, colours, groups and materials are ignored. Where the
    file's comments name the numbers of vertices and faces, as MeshLab's do, they must hold. Where they do not,
    faces that name all vertices but a few show that the file is whole: of the 40 real meshes at hand, 37 use every
    vertex and three all but one, while without its last fifteen faces each leaves out more than three.

    Vertices at one place become one, the first: triangles whose corners are not shared would be as many
    pieces. No real mesh at hand has such vertices. Triangles without area between them go.

    Raises:
        UnreadableError: not an OBJ mesh, cut off, or with corners that do not exist.
    """
    vertices: list[list[float]] = []
    faces: list[list[int]] = []
    promised: dict[str, int] = {}
    for number, line in enumerate(data.decode("latin-1").splitlines(), 1):
        words = line.split()
        try:
            if words[:1] == ["v"]:
                vertices.append([float(words[1]), float(words[2]), float(words[3])])
            elif words[:1] == ["f"]:
                corners = [int(word.partition("/")[0]) for word in words[1:]]
                corners = [corner - 1 if corner > 0 else len(vertices) + corner for corner in corners]
                if len(corners) < 3:
                    raise ValueError("a face needs three corners")
                faces += [[corners[0], *corners[i : i + 2]] for i in range(1, len(corners) - 1)]
            elif words[:2] in (["#", "Vertices:"], ["#", "Faces:"]):
                promised[words[1]] = int(words[2])
        except (ValueError, IndexError) as error:
            raise UnreadableError(f"is not an OBJ mesh: line {number}, {line[:60]!r} ({error})") from error
    for name, there in (("Vertices:", len(vertices)), ("Faces:", len(faces))):
        if promised.get(name, there) != there:
            raise UnreadableError(f"is cut off or changed: it promises {name.lower()} {promised[name]}, holds {there}")
    found = Mesh(np.array(vertices).reshape(-1, 3), np.array(faces, np.int64).reshape(-1, 3))
    if not len(found.faces):
        raise UnreadableError("is not an OBJ mesh: it has no faces")
    if found.faces.min() < 0 or found.faces.max() >= len(vertices) or not np.isfinite(found.vertices).all():
        raise UnreadableError(f"is cut off or changed: its faces name vertices beyond the {len(vertices)} there are")
    unused = len(vertices) - len(np.unique(found.faces))
    if unused > UNUSED and not promised:
        raise UnreadableError(
            f"is cut off: its {len(found.faces)} faces leave {unused} of its {len(vertices)} vertices without one"
        )
    return _merged(found)


def _merged(mesh: Mesh) -> Mesh:
    """The mesh with vertices at one place made one; the same object where there are none."""
    _, first, inverse = np.unique(mesh.vertices, axis=0, return_index=True, return_inverse=True)
    if len(first) == len(mesh.vertices):
        return mesh
    kept = np.sort(first)  # in file order
    faces = np.searchsorted(kept, first[inverse.reshape(-1)])[mesh.faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    if not len(faces):
        raise UnreadableError("is not an OBJ mesh: all its triangles are without area")
    return Mesh(mesh.vertices[kept], faces)


def pieces(mesh: Mesh) -> list[int]:
    """The numbers of triangles of the parts of a mesh that share no vertex, the largest first."""
    ends = mesh.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    count = len(mesh.vertices)
    joined = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(count, count))
    of_vertex = connected_components(joined, directed=False)[1]
    sizes = np.bincount(of_vertex[mesh.faces[:, 0]])
    return sorted(sizes[sizes > 0].tolist(), reverse=True)


def repair(mesh: Mesh, repair: str) -> Mesh:
    """Close a mesh: ``pymeshfix`` keeps the largest component, fills its holes and mends self-intersections.

    MeshFix with all its defaults, on vertices and faces in file order (its result depends slightly on
    the order of the faces). Its builds with and without fused multiply-add differ. How many pieces it drops
    is said: no real mesh at hand has more than one.

    Raises:
        ExcludeSample: ``repair-failed``: nothing is left of the mesh.
    """
    if repair != "pymeshfix":
        raise ValueError(f"repair: {repair!r}")
    if len(sizes := pieces(mesh)) > 1:
        notices.say(
            f"consists of {len(sizes)} pieces; the largest is kept, {sizes[0]:,} of its {sum(sizes):,} triangles, and "
            f"{len(sizes) - 1} are dropped"
        )
    try:
        fixer = pymeshfix.MeshFix(mesh.vertices, mesh.faces.astype(np.int32), verbose=False)
        fixer.repair()
        points, faces = np.asarray(fixer.points, np.float64), np.asarray(fixer.faces, np.int64)
    except (RuntimeError, ValueError) as error:
        raise ExcludeSample("repair-failed", f"MeshFix: {error}") from error
    if not len(faces):
        raise ExcludeSample("repair-failed", f"MeshFix leaves nothing of its {len(mesh.faces)} triangles")
    return Mesh(points, faces)


def voxelise(mesh: Mesh, voxels: str, cube: int) -> Mesh | Cells:
    """Turn a mesh into the grid all sizes are made from, where there is one.

    ``surface``: the cells of 1 mm that the surface passes through, and what they enclose; see
    :func:`surface_grid`. ``inside``: the mesh as it is, each size has its own cells; see :func:`cells`.

    Args:
        mesh: what :func:`repair` gave.
        voxels: the decision of that name.
        cube: the edge in mm of the cube about the mesh's centroid; what sticks out is cut off.

    Raises:
        ExcludeSample: ``empty-grid``: nothing would be left at 28; ``repair-failed``: inside and outside
            cannot be told apart, because the mesh is not closed.
        PreprocessError: a cube without a central cell for ``surface``.
    """
    if voxels == "surface":
        if cube % 2 != 1:
            raise PreprocessError(f"cube: {cube} mm has no central cell of 1 mm; voxels: surface needs an odd cube")
        grid = surface_grid(mesh, cube // 2)
        _not_empty(grids.zoom_mask(grid, SMALLEST, "scipy"))
        return grid
    if voxels != "inside":
        raise ValueError(f"voxels: {voxels!r}")
    if not mesh.is_closed:
        raise ExcludeSample("repair-failed", "MeshFix leaves the mesh open")
    _not_empty(inside_grid(mesh, mesh.centroid, cube, SMALLEST))
    return mesh


def cells(grid: Mesh | Cells, size: int, cube: int, zoom: str) -> NDArray[np.uint8]:
    """The final (size, size, size) uint8 grid of 0 and 255, axes x, y, z.

    A mesh: the cells whose centre is inside, in a cube about the mesh's centroid, so of the true pitch
    ``cube / size`` mm. A grid of cells: its cubic zoom, cut at one half.
    """
    if isinstance(grid, Mesh):
        return inside_grid(grid, grid.centroid, cube, size).astype(np.uint8) * np.uint8(255)
    return grids.zoom_mask(grid, size, zoom)


def _not_empty(grid: NDArray[Any]) -> None:
    if not grid.any():
        raise ExcludeSample("empty-grid", f"no cell is set at {SMALLEST}")


def surface_grid(mesh: Mesh, radius: int) -> Cells:
    """The cells of 1 mm touched by a mesh's surface around its centroid, and the regions they enclose.

    It is trimesh's ``local_voxelize`` with ``fill``, by which all 1,908 rows of VesselMNIST3D at 28 were
    made: versions 3.9 to 4.12 give these cells, version 5 splits the triangles differently.

    Args:
        mesh: a closed mesh, in mm.
        radius: cells on each side of the central one.

    Returns:
        (2 radius + 1) cubed cells, axes x, y, z.
    """
    import trimesh

    surface = trimesh.Trimesh(mesh.vertices, mesh.faces)
    grid = trimesh.voxel.creation.local_voxelize(surface, surface.centroid, pitch=1.0, radius=radius, fill=True)
    if grid is None:
        return np.zeros((2 * radius + 1,) * 3, bool)
    return np.asarray(grid.matrix, bool)


def inside_grid(mesh: Mesh, centre: Floats, cube: float, size: int) -> Cells:
    """Which cells of a cube have their centre inside a closed mesh.

    Each column of cells along z is a ray, and a cell is inside when the surface is crossed an odd
    number of times below it. Whether a ray passes through a triangle is the parity of the triangle's
    sides it passes on one side, and that of a side depends on its two ends alone, in whatever
    direction it is run along. As each side of a closed mesh belongs to two triangles, every ray crosses
    the surface an even number of times, however the arithmetic rounds: no ray leaks.

    Args:
        mesh: a closed mesh, in mm.
        centre: the centre of the cube, in mm.
        cube: its edge in mm.
        size: cells along each edge.

    Returns:
        (size, size, size), axes x, y, z; the pitch is ``cube / size`` mm.
    """
    # in units of cells, so that the centres of the cells are at 0, 1, 2 ...
    points = (mesh.vertices - (centre - cube / 2)) * (size / cube) - 0.5
    corners = points[mesh.faces]
    low = np.clip(np.ceil(corners[:, :, :2].min(axis=1)), 0, size).astype(np.int64)
    high = np.clip(np.floor(corners[:, :, :2].max(axis=1)) + 1, 0, size).astype(np.int64)
    width, height = np.maximum(high - low, 0).T
    # every pair of a triangle and a column within its rectangle
    pairs = width * height
    triangle = np.repeat(np.arange(len(corners)), pairs)
    place = np.arange(len(triangle)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    x = low[triangle, 0] + place // height[triangle]
    y = low[triangle, 1] + place % height[triangle]
    through = np.zeros(len(triangle), bool)
    for side in ((0, 1), (1, 2), (2, 0)):
        ends = np.sort(mesh.faces[:, side], axis=1)  # the lower index first: one result for both triangles
        first, second = points[ends[:, 0]][triangle], points[ends[:, 1]][triangle]
        passes = (first[:, 1] > y) != (second[:, 1] > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = first[:, 0] + (y - first[:, 1]) / (second[:, 1] - first[:, 1]) * (second[:, 0] - first[:, 0])
        through ^= passes & (x < at)
    triangle, x, y = triangle[through], x[through], y[through]
    a, b, c = corners[triangle].swapaxes(0, 1)
    normal = np.cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = a[:, 2] - ((x - a[:, 0]) * normal[:, 0] + (y - a[:, 1]) * normal[:, 1]) / normal[:, 2]
    # a triangle on edge that a ray still meets by rounding is met somewhere within it
    heights = corners[triangle, :, 2]
    z = np.clip(np.where(np.isfinite(z), z, a[:, 2]), heights.min(axis=1), heights.max(axis=1))
    above = np.clip(np.ceil(z), 0, size).astype(np.int64)
    crossings = np.zeros((size, size, size + 1), np.int64)
    np.add.at(crossings, (x, y, above), 1)
    return np.asarray(np.cumsum(crossings, axis=2)[:, :, :size] % 2 == 1)
