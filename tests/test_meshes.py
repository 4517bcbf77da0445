"""The steps for meshes: OBJ files, repair, cells on and inside a surface; real meshes against published rows."""

from __future__ import annotations

import csv
import ctypes

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial import ConvexHull

from preprocess import notices
from preprocess.errors import ExcludeSample, PreprocessError, UnreadableError
from preprocess.steps import meshes
from preprocess.steps.meshes import Mesh

TETRAHEDRON = "v 0 0 0\nv 9 0 0\nv 0 9 0\nv 0 0 9\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"
VERTICES = [[0, 0, 0], [9, 0, 0], [0, 9, 0], [0, 0, 9]]
FACES = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]


def of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, float), np.asarray(shape.faces, np.int64))


def tube(corners=16, rings=30, radius=2.0, length=12.0) -> Mesh:
    """A straight tube along x, open at both ends."""
    angle, along = np.meshgrid(np.arange(corners) * 2 * np.pi / corners, np.linspace(0, length, rings))
    points = np.stack([along, radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1, 3)
    faces = []
    for ring in range(rings - 1):
        for corner in range(corners):
            a, b = ring * corners + corner, ring * corners + (corner + 1) % corners
            faces += [[a, b, a + corners], [b, b + corners, a + corners]]
    return Mesh(points, np.array(faces))


# ---- OBJ


@pytest.mark.parametrize(
    "text",
    [
        TETRAHEDRON,
        TETRAHEDRON.replace("\n", "\r\n"),
        TETRAHEDRON.replace("v 0 0 9", "v 0 0 9 0.8 0.2 0.1"),
        TETRAHEDRON.replace("f 1 3 2", "f 1/5 3/6 2/7").replace("f 1 2 4", "f 1//1 2//2 4//4"),
        TETRAHEDRON.replace("f 2 3 4", "f 2/1/9 3/1/9 4/1/9"),
        TETRAHEDRON.replace("f 1 3 2", "f -4 -2 -3"),
        "# Vertices: 4\n# Faces: 4\n" + TETRAHEDRON.replace("v ", "vn 1 0 0\nv ") + "# End of File",
        "mtllib x.mtl\ng a1\n" + TETRAHEDRON.replace("f 2 3 4", "usemtl red\ns off\nf 2 3 4"),
        TETRAHEDRON.replace("v 9 0 0", "v\t9.0e0   0 -0.0  "),
    ],
)
def test_obj_variants(text):
    found = meshes.mesh(text.encode())
    np.testing.assert_array_equal(found.vertices, VERTICES)
    np.testing.assert_array_equal(found.faces, FACES)
    assert found.is_closed


def test_obj_faces_of_four_corners_become_two():
    found = meshes.mesh(b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n")
    assert found.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no faces"),
        ("v 1 2 3\n", "no faces"),
        (TETRAHEDRON + "f 1 2", "line 9"),
        (TETRAHEDRON + "v 1.5 2", "line 9"),
        (TETRAHEDRON + "f 1 2 x", "line 9"),
        (TETRAHEDRON + "f 1 2 5", "beyond the 4"),
        (TETRAHEDRON + "f 1 2 -5", "beyond the 4"),
        (TETRAHEDRON + "f 0 1 -9", "beyond the 4"),
        (TETRAHEDRON.replace("9 0 0", "nan 0 0"), "beyond|numbers"),
        ("# Faces: 5\n" + TETRAHEDRON, "promises faces: 5, holds 4"),
        ("# Vertices: 3\n" + TETRAHEDRON, "promises vertices: 3, holds 4"),
        ("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no faces"),
    ],
)
def test_broken_obj_is_unreadable(text, cause):
    with pytest.raises(UnreadableError, match=cause):
        meshes.mesh(text.encode("latin-1"))


# ---- closing


@pytest.mark.parametrize(
    ("faces", "closed"),
    [
        (FACES, True),
        (FACES[:3], False),
        ([*FACES[:3], FACES[3][::-1]], False),
        (FACES * 2, False),
        ([*FACES, [0, 1, 1]], False),
    ],
)
def test_is_closed(faces, closed):
    assert Mesh(np.array(VERTICES, float), np.array(faces)).is_closed is closed


def test_centroid_is_that_of_the_surface():
    for shape in (trimesh.creation.capsule(5, 2), trimesh.creation.annulus(2, 4, 3)):
        shape.apply_translation([3, -70, 20])
        np.testing.assert_allclose(of(shape).centroid, shape.centroid, atol=1e-9)


def test_repair_closes_a_tube_and_keeps_the_terminal_clean(capfd):
    opened = tube()
    speck = trimesh.creation.icosphere(1, 0.2)
    both = Mesh(
        np.concatenate([opened.vertices, speck.vertices + 20]),
        np.concatenate([opened.faces, speck.faces + len(opened.vertices)]),
    )
    closed = meshes.repair(both, "pymeshfix")
    assert not opened.is_closed
    assert closed.is_closed
    assert closed.vertices.max() < 15  # the speck is gone
    shape = trimesh.Trimesh(closed.vertices, closed.faces)
    assert shape.volume == pytest.approx(12 * 16 / 2 * 4 * np.sin(2 * np.pi / 16), rel=0.01)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("spoilt", ["holes", "noise", "strange faces"])
def test_the_repair_of_a_bad_mesh_prints_nothing(spoilt, capfd):
    """MeshFix is a C library: what it prints would come out between the lines of the log."""
    generator = np.random.default_rng(2)
    mesh = of(trimesh.creation.icosphere(3, 5))
    vertices, faces = mesh.vertices, mesh.faces
    if spoilt == "holes":
        faces = faces[generator.random(len(faces)) > 0.1]
    elif spoilt == "noise":
        vertices = vertices + generator.normal(0, 0.5, vertices.shape)
    else:
        faces = np.concatenate([faces, generator.integers(0, len(vertices), (50, 3))])
    with notices.collected():
        meshes.repair(Mesh(vertices, faces), "pymeshfix")
    ctypes.CDLL(None).fflush(None)
    assert capfd.readouterr() == ("", "")


def test_mesh_of_which_nothing_is_left_is_excluded():
    flat = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]))
    with pytest.raises(ExcludeSample, match="repair-failed"):
        meshes.voxelise(meshes.repair(flat, "pymeshfix"), "inside", 29)


# ---- cells inside


def within(hull: ConvexHull, size: int, cube: float) -> tuple[np.ndarray, np.ndarray]:
    """Cells whose centre is surely inside, and surely outside, by the hull's half spaces."""
    axis = (np.arange(size) + 0.5) * cube / size - cube / 2
    centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    depth = (centres @ hull.equations[:, :3].T + hull.equations[:, 3]).max(axis=-1)
    return depth < -1e-9, depth > 1e-9


def outward(hull: ConvexHull) -> Mesh:
    """The hull's triangles, all turned outwards."""
    faces = hull.simplices.copy()
    corners = hull.points[faces]
    inwards = (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * hull.equations[:, :3]).sum(
        1
    ) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return Mesh(hull.points, faces.astype(np.int64))


@settings(max_examples=60, deadline=None)
@given(
    # corners on and between the centres of cells, so that rays meet corners, sides and faces on edge
    points=npst.arrays(np.int64, (10, 3), elements=st.integers(-9, 9), unique=False),
    size=st.sampled_from([5, 8, 16]),
)
def test_inside_of_any_convex_body(points, size):
    if np.linalg.matrix_rank(points - points[0]) < 3:
        return
    hull = ConvexHull(points.astype(float) / 2)
    grid = meshes.inside_grid(outward(hull), np.zeros(3), 8, size)
    inside, outside = within(hull, size, 8)
    assert grid[inside].all()
    assert not grid[outside].any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(3, 40))
def test_inside_of_a_turned_ring(seed, size):
    """A ring has a hole, two crossings a ray and four: compared with its own equation."""
    shape = trimesh.creation.torus(4, 1.5, major_sections=64, minor_sections=32)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    grid = meshes.inside_grid(Mesh(shape.vertices @ turn.T, shape.faces), np.zeros(3), 13, size)
    axis = (np.arange(size) + 0.5) * 13 / size - 6.5
    place = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) @ turn
    to_ring = np.hypot(np.hypot(place[..., 0], place[..., 1]) - 4, place[..., 2])
    assert grid[to_ring < 1.45].all()
    assert not grid[to_ring > 1.52].any()  # the ring is made of straight pieces


def test_no_ray_leaks_along_a_side():
    """Rays that meet a side within rounding are in one of its triangles or in the other, never in both or none."""
    generator = np.random.default_rng(0)
    for _ in range(400):
        along, across = generator.normal(size=(2, 2))
        across *= np.sign(along[0] * across[1] - along[1] * across[0])  # to the left of the side
        if abs(np.cross([*along, 0], [*across, 0])[2]) < 0.2:
            continue
        t = generator.uniform(0.3, 2, 4)
        # the side from a to b passes above the centre of the column in the middle; c and d lie beside it
        middle = np.zeros(2)
        a, b, c, d = middle + along * t[0], middle - along * t[1], middle + across * t[2], middle - across * t[3]
        points = np.array([[*a, 2.2], [*b, 2.2], [*c, -2.2], [*d, -2.2]])
        body = Mesh(points, np.array([[0, 1, 3], [1, 0, 2], [2, 3, 1], [3, 2, 0]]))
        assert body.is_closed
        column = meshes.inside_grid(body, np.zeros(3), 9, 9)[4, 4]
        assert column.tolist() == [False, False, True, True, True, True, True, False, False]


def test_cube_cuts_off_what_sticks_out():
    """A bar longer than the cube fills its whole length, also where it enters from below."""
    for axis in range(3):
        extents = [4.0, 4.0, 4.0]
        extents[axis] = 100
        grid = meshes.inside_grid(of(trimesh.creation.box(extents)), np.zeros(3), 20, 10)
        expected = np.zeros((10, 10, 10), bool)
        where = [slice(4, 6)] * 3
        where[axis] = slice(None)
        expected[tuple(where)] = True
        np.testing.assert_array_equal(grid, expected)


@pytest.mark.parametrize(("size", "bound"), [(28, 0.03), (64, 0.01), (96, 0.005)])
def test_true_pitch_gives_the_true_volume(size, bound):
    shape = trimesh.creation.icosphere(4, 9)
    cells = meshes.cells(of(shape), size, 29, "whole")
    assert cells.dtype == np.uint8
    assert set(np.unique(cells)) == {0, 255}
    assert (cells > 0).sum() * (29 / size) ** 3 == pytest.approx(shape.volume, rel=bound)


# ---- cells on the surface


def test_surface_grid_of_a_ball_is_its_shell_and_what_it_encloses():
    shape = trimesh.creation.icosphere(4, 8)
    shape.apply_translation([100, 20, -3])
    grid = meshes.surface_grid(of(shape), 14)
    radius = np.sqrt(sum((axis - 14.0) ** 2 for axis in np.indices(grid.shape)))
    assert grid[radius < 7.9].all()  # inside, or cut by the surface
    assert not grid[radius > 8 + np.sqrt(3) / 2].any()
    assert grid.sum() > 1.2 * shape.volume  # the surface has a thickness here


def split(corners, longest):
    """Triangles split in four until no side is longer: a second method, in place of trimesh's."""
    done = []
    while len(corners):
        sides = np.diff(corners[:, [0, 1, 2, 0]], axis=1)
        long = (np.linalg.norm(sides, axis=2) > longest).any(axis=1)
        done.append(corners[~long].reshape(-1, 3))
        a, b, c = corners[long].swapaxes(0, 1)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        parts = np.stack([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]])
        corners = parts.transpose(0, 2, 1, 3).reshape(-1, 3, 3)
    return np.concatenate(done)


def test_surface_is_every_cell_a_corner_of_split_triangles_lies_in():
    shape = trimesh.creation.cylinder(2, 18, sections=16)
    shape.apply_transform(trimesh.transformations.rotation_matrix(0.7, [1, 2, 3]))
    mesh = of(shape)
    place = np.round(split(mesh.corners - mesh.centroid, 0.5)).astype(int) + 14
    painted = np.zeros((29, 29, 29), bool)
    painted[tuple(place.T)] = True
    inside = meshes.inside_grid(mesh, mesh.centroid, 29, 29)
    np.testing.assert_array_equal(meshes.surface_grid(mesh, 14), painted | inside)


def test_hollow_stays_hollow():
    """A region between two surfaces is filled, the one within the inner surface is not."""
    outer, inner = trimesh.creation.icosphere(4, 11), trimesh.creation.icosphere(4, 5)
    inner.invert()
    grid = meshes.surface_grid(of(trimesh.util.concatenate(outer, inner)), 14)
    radius = np.sqrt(sum((axis - 14.0) ** 2 for axis in np.indices(grid.shape)))
    assert not grid[radius < 4].any()
    assert grid[(radius > 6) & (radius < 10)].all()


def test_speck_is_excluded_in_both_ways():
    speck = of(trimesh.creation.icosphere(1, 0.2))
    for voxels in ("surface", "inside"):
        with pytest.raises(ExcludeSample, match="empty-grid"):
            meshes.voxelise(speck, voxels, 29)


def test_open_mesh_has_no_inside():
    with pytest.raises(ExcludeSample, match="repair-failed"):
        meshes.voxelise(tube(), "inside", 29)


def test_surface_needs_a_central_cell():
    with pytest.raises(PreprocessError, match="odd cube"):
        meshes.voxelise(of(trimesh.creation.icosphere(1, 4)), "surface", 28)


# ---- real meshes


@pytest.fixture(scope="module")
def real_meshes(real):
    """Key and repaired mesh of the 40 real files."""
    paths = sorted((real / "intra").rglob("*.obj"))
    assert len(paths) == 40
    return {
        f"{path.parts[-3]}/{path.name}": meshes.repair(meshes.mesh(path.read_bytes()), "pymeshfix") for path in paths
    }


@pytest.mark.real
def test_real_meshes_give_their_published_rows(real, real_meshes):
    with open(real / "released_order" / "vesselmnist3d.csv") as table:
        rows = {row["image"]: row for row in csv.DictReader(table)}
    compared = {28: 0, 64: 0}
    for size, name in ((28, "vesselmnist3d.npz"), (64, "vesselmnist3d_64.npz")):
        with np.load(real / "released" / name) as file:
            published = {split: file[f"{split}_images"] for split in ("train", "val", "test")}
        for key, mesh in real_meshes.items():
            row = rows[key]
            if size == 64 and row["exact_at_64"] != "yes":
                continue
            cells = meshes.cells(meshes.voxelise(mesh, "surface", 29), size, 29, "scipy")
            np.testing.assert_array_equal(cells, published[row["split"]][int(row["index"])], err_msg=f"{key} at {size}")
            compared[size] += 1
    assert compared == {28: 40, 64: 39}


@pytest.mark.real
def test_volume_inside_agrees_with_the_real_meshes(real_meshes):
    """At 96 within 2 % (1.34 % at worst when this was written), at 64 within 4 %, at 28 within 12 %."""
    worst = dict.fromkeys((28, 64, 96), 0.0)
    fitting = 0
    for mesh in real_meshes.values():
        shape = trimesh.Trimesh(mesh.vertices, mesh.faces)
        assert mesh.is_closed
        np.testing.assert_allclose(mesh.centroid, shape.centroid, atol=1e-6)
        if np.abs(mesh.vertices - mesh.centroid).max() > 14.5:
            continue
        fitting += 1
        for size in worst:
            volume = (meshes.cells(mesh, size, 29, "whole") > 0).sum() * (29 / size) ** 3
            worst[size] = max(worst[size], abs(volume / shape.volume - 1))
    assert fitting == 40
    assert worst[96] < 0.02
    assert worst[64] < 0.04
    assert worst[28] < 0.12
    assert worst[28] > worst[64] > worst[96]


# ---- damage and corners that are not shared


def obj(mesh):
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return "\n".join(lines).encode() + b"\n"


def apart(mesh):
    """The same triangles, none of whose corners are shared."""
    return meshes.Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(3 * len(mesh.faces)).reshape(-1, 3))


def box_mesh():
    """A closed box of 12 triangles."""
    vertices = np.array([(x, y, z) for x in (0.0, 9.0) for y in (0.0, 8.0) for z in (0.0, 7.0)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [corner for a, b, c, d in quads for corner in ((a, b, c), (a, c, d))]
    return meshes.Mesh(vertices, np.array(faces))


def test_vertices_at_one_place_are_one():
    whole = box_mesh()
    read = meshes.mesh(obj(apart(whole)))
    assert len(read.vertices) == 8 and len(read.faces) == 12
    assert read.is_closed
    assert np.array_equal(read.corners, whole.corners)  # the triangles are where they were, in their order
    assert np.array_equal(meshes.mesh(obj(whole)).vertices, whole.vertices)


def test_a_triangle_that_merging_leaves_without_area_goes():
    whole = box_mesh()
    doubled = meshes.Mesh(np.vstack([whole.vertices, whole.vertices[:1]]), np.vstack([whole.faces, [[0, 8, 1]]]))
    assert len(meshes.mesh(obj(doubled)).faces) == 12


def test_a_file_that_ends_between_two_faces_is_cut_off():
    rings = np.array([(np.cos(t), np.sin(t), z) for z in range(20) for t in np.linspace(0, 6.2, 16)]) * 5
    faces = []
    for ring in range(19):
        for k in range(16):
            a, b = ring * 16 + k, ring * 16 + (k + 1) % 16
            faces += [(a, b, a + 16), (b, b + 16, a + 16)]
    data = obj(meshes.Mesh(rings, np.array(faces)))
    meshes.mesh(data)
    lines = data.splitlines(keepends=True)
    with pytest.raises(UnreadableError, match=r"is cut off: its 508 faces leave 49 of its 320 vertices without one"):
        meshes.mesh(b"".join(lines[:-100]))


def test_pieces_that_repair_drops_are_counted_and_said():
    one, other = box_mesh(), box_mesh()
    both = meshes.Mesh(
        np.vstack([one.vertices, other.vertices / 4 + 50, other.vertices / 4 + 90]),
        np.vstack([one.faces, other.faces + 8, (other.faces + 16)[:4]]),
    )
    assert meshes.pieces(both) == [12, 12, 2, 2]  # of the third box two opposite sides
    with notices.collected() as said:
        meshes.repair(one, "pymeshfix")
        assert said == []
        meshes.repair(both, "pymeshfix")
    assert said == ["consists of 4 pieces; the largest is kept, 12 of its 28 triangles, and 3 are dropped"]


@pytest.mark.real
def test_real_meshes_are_whole_and_their_cut_copies_are_not(real):
    paths = sorted(real.glob("intra/**/*.obj"))
    assert len(paths) == 40
    for path in paths:
        data = path.read_bytes()
        read = meshes.mesh(data)
        assert len(meshes.pieces(read)) == 1
        plain = meshes.Mesh(
            np.array([line.split()[1:4] for line in data.decode().splitlines() if line.startswith("v ")], float),
            read.faces,
        )
        assert np.array_equal(read.vertices, plain.vertices)  # nothing is merged
        for left_out in (15, 100, len(read.faces) // 2):
            with pytest.raises(UnreadableError, match="is cut off"):
                meshes.mesh(obj(meshes.Mesh(read.vertices, read.faces[:-left_out])))
        merged = meshes.mesh(obj(apart(read)))
        assert np.array_equal(merged.corners, read.corners)
