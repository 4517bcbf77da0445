"""A stand-in for LiTS and its organ boxes: 13 small scans of drawn patients, with true numbers and names.

As in the true files: scans lie as .nii, .nii.gz, one zip a file and in a batch's zip; stored
orientations vary, those of training scans up to 111 are the true ones; 28, 44 and 47 have an identity
header; test 59 is a coronal stack whose header does not say so; one scan has an intercept, one is float;
-3024, -2048 or -1024 outside the field of view; a mask whose affine is not its scan's. Few scans show the chest. The
patient of scan 16 lies so low that its femurs, sought with y reversed, are in air. Boxes are what
was drawn, in the published form. Test scans have no masks. Scan 0 has true pixel dimensions.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import rng, smooth_noise, write_tree, write_zip

Triple = tuple[float, float, float]
Box = tuple[int, ...]

#: name and code; centre and radii (x to Left, y to Posterior: -1 to 1; z upwards: 0 to 1), and HU
ORGANS: dict[tuple[str, int], tuple[Triple, Triple, float]] = {
    ("liver", 1): ((-0.34, -0.06, 0.62), (0.42, 0.45, 0.14), 110),
    ("kidney-r", 2): ((-0.36, 0.24, 0.47), (0.14, 0.15, 0.09), 185),
    ("kidney-l", 3): ((0.36, 0.24, 0.49), (0.14, 0.15, 0.09), 185),
    ("femur-r", 4): ((-0.46, 0.08, 0.09), (0.14, 0.14, 0.07), 550),
    ("femur-l", 5): ((0.46, 0.08, 0.09), (0.14, 0.14, 0.07), 550),
    ("bladder", 6): ((0.0, -0.08, 0.11), (0.22, 0.19, 0.08), 8),
    ("heart", 7): ((0.12, -0.16, 0.87), (0.27, 0.24, 0.09), 150),
    ("lung-r", 8): ((-0.42, 0.04, 0.88), (0.28, 0.40, 0.11), -840),
    ("lung-l", 9): ((0.44, 0.06, 0.88), (0.26, 0.38, 0.11), -840),
    ("spleen", 10): ((0.56, 0.16, 0.64), (0.16, 0.22, 0.09), 125),
    ("pancreas", 11): ((0.06, -0.04, 0.54), (0.30, 0.14, 0.06), 85),
}
#: what is seen inside an organ: centre and size in its own radii, and HU
INSIDE: dict[str, tuple[tuple[Triple, float, float], ...]] = {
    "kidney": (((0.1, 0.1, 0.0), 0.45, 60),),
    "femur": (((0.0, 0.1, 0.0), 0.6, 190), ((0.3, -0.2, 0.1), 0.2, 330)),
    "liver": (((-0.2, 0.3, 0.1), 0.13, 170), ((0.3, 0.35, -0.2), 0.12, 170), ((-0.4, -0.2, -0.1), 0.1, 170)),
    "lung": (((0.1, 0.1, 0.0), 0.16, 60), ((-0.3, 0.4, 0.2), 0.1, 40), ((0.2, -0.4, -0.1), 0.1, 30)),
    "heart": (((0.3, 0.2, 0.0), 0.5, 215), ((-0.4, -0.2, 0.1), 0.4, 190)),
    "pancreas": (((0.0, 0.0, 0.0), 0.25, 130),),
    "spleen": (((-0.5, 0.2, 0.0), 0.2, 165),),
    "bladder": (((0.0, 0.4, 0.0), 0.4, -5),),
}
BODY = (0.86, 0.62)
_BOXES = {"train volumes": 9, "test volumes": 4, "train boxes": 81, "test boxes": 35}
CENSUS = {
    "organamnist": _BOXES | {"train axial planes": 248, "test axial planes": 142},
    "organcmnist": _BOXES | {"train coronal planes": 235, "test coronal planes": 61},
    "organsmnist": _BOXES | {"train sagittal planes": 246, "test sagittal planes": 75},
    "organmnist3d": _BOXES,
}
WHOLE, ABDOMEN, UPPER = (0.0, 1.0), (0.0, 0.8), (0.35, 1.0)


@dataclass(frozen=True)
class _Scan:
    """How one scan is stored, and what it shows."""

    part: str
    number: int
    covers: tuple[float, float]
    stored: str
    place: str
    shape: tuple[int, int, int] = (96, 96, 40)
    padding: int = -1024
    kind: str = "int16"
    low: float = 0.0
    header: str = "true"

    @property
    def name(self) -> str:
        return f"{'test-' if self.part == 'test' else ''}volume-{self.number}.nii"


ONE, TWO, TEST = "Training Batch 1", "Training_Batch2.zip", "LITS-Challenge-Test-Data"
SCANS = (
    _Scan("train", 0, ABDOMEN, "LAS", ONE, shape=(512, 512, 14), padding=-3024),
    _Scan("train", 5, WHOLE, "LAS", f"{ONE}/*.zip", padding=-2048),
    _Scan("train", 16, ABDOMEN, "LAS", ONE, low=0.3),
    _Scan("train", 28, ABDOMEN, "LAS", TWO, header="identity"),
    _Scan("train", 44, WHOLE, "LAS", TWO, header="identity"),
    _Scan("train", 47, UPPER, "LAS", TWO, header="identity", padding=-2048),
    _Scan("train", 112, WHOLE, "LPS", TWO, kind="intercept"),
    _Scan("train", 115, WHOLE, "LAS", TWO),
    _Scan("train", 130, UPPER, "RPI", TWO, kind="float32"),
    _Scan("test", 0, WHOLE, "LPS", TEST),
    _Scan("test", 33, ABDOMEN, "LAS", f"{TEST}/*.gz", padding=-2048),
    _Scan("test", 59, ABDOMEN, "LSP", TEST, shape=(96, 36, 80), header="axial"),
    _Scan("test", 69, UPPER, "RAS", TEST),
)


def generate(folder: Path) -> None:
    """Write scans, masks and boxes into ``folder``."""
    tree: dict[str, bytes] = {"Training Batch 1/.DS_Store": b"\0\0\0\1Bud1"}
    batch: dict[str, bytes] = {}
    boxes: dict[str, dict[str, bytes]] = {"training": {}, "testing": {}}
    for scan in SCANS:
        hu, found, liver = _draw(scan)
        files = {scan.name: _nifti(scan, hu)}
        if scan.part == "train":
            files[scan.name.replace("volume", "segmentation")] = _nifti(scan, liver, mask=True)
        for name, data in files.items():
            if scan.place == TWO:
                batch[f"media/nas/01_Datasets/CT/LITS/Training Batch 2/{name}"] = data
            elif scan.place.endswith("*.zip"):
                _zip_into(tree, f"{scan.place.rpartition('/')[0]}/{name}.zip", name, data)
            elif scan.place.endswith("*.gz"):
                tree[f"{scan.place.rpartition('/')[0]}/{name}.gz"] = gzip.compress(data, 1, mtime=0)
            else:
                tree[f"{scan.place}/{name}"] = data
        lines = "".join(f"{name} {code} {' '.join(map(str, box))}\r\n" for (name, code), box in found.items())
        kind, prefix = ("training", "") if scan.part == "train" else ("testing", "test-")
        boxes[kind][f"{prefix}segmentation-{scan.number}.txt"] = lines.encode("ascii")
    write_tree(folder, tree)
    write_zip(folder / TWO, batch)
    for kind, members in boxes.items():
        write_zip(folder / f"annotations_of_{kind}_set.zip", members, zipfile.ZIP_DEFLATED)


def _zip_into(tree: dict[str, bytes], path: str, name: str, data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        write_zip(Path(scratch) / "one.zip", {name: data}, zipfile.ZIP_STORED)
        tree[path] = (Path(scratch) / "one.zip").read_bytes()


def _draw(scan: _Scan) -> tuple[NDArray[np.float32], dict[tuple[str, int], Box], NDArray[np.float32]]:
    """HU, the boxes of the organs that are wholly inside, and the liver's mask with a tumour; axes x, y, z in LPS."""
    generator = rng("lits", scan.part, scan.number)
    first, last = scan.covers
    axes = [
        np.linspace(-1, 1, scan.shape[0], dtype=np.float32),
        np.linspace(-1, 1, scan.shape[1], dtype=np.float32) - np.float32(scan.low),
        np.linspace(first, last, scan.shape[2], dtype=np.float32),
    ]
    x, y = axes[0][:, None], axes[1][None]
    disc = (x / BODY[0]) ** 2 + (y / BODY[1]) ** 2
    flat = np.full(disc.shape, -1000, np.float32)
    flat[(np.abs(y - 0.72) < 0.02) & (np.abs(x) < 0.7)] = -350  # the table
    flat[disc < 1] = -105  # fat
    flat[disc < 0.84] = 45
    flat[np.hypot(x, y - 0.38) < 0.12] = 330  # spine
    flat[(np.abs(x) < 0.03) & (y > 0.45) & (y < 0.56)] = 380
    flat[np.hypot(x - 0.08, y - 0.2) < 0.05] = 210  # aorta
    hu = np.repeat(flat[..., None], scan.shape[2], axis=2)

    def draw(centre: Triple, radii: Triple, *colours: tuple[NDArray[np.float32], float]) -> Box | None:
        return _fill(axes, centre, radii, generator.uniform(1.5, 3.5, 3), generator.uniform(0, 6), colours)

    def jitter(values: Triple, by: float) -> Triple:
        x, y, z = (value + generator.uniform(-by, by) for value in values)
        return x, y, z

    for _ in range(6):  # bowel
        x0, y0, z0 = generator.uniform(-0.5, 0.5), generator.uniform(-0.4, -0.1), generator.uniform(0.2, 0.42)
        draw((x0, y0, z0), (0.16, 0.12, 0.06), (hu, 30))
        draw((x0, y0 - 0.03, z0), (0.08, 0.05, 0.04), (hu, -700))
    boxes: dict[tuple[str, int], Box] = {}
    liver = np.zeros(scan.shape, np.float32)
    for organ, (middle, size, value) in ORGANS.items():
        centre, scale = jitter(middle, 0.02), generator.uniform(0.92, 1.08, 3)
        radii = (size[0] * scale[0], size[1] * scale[1], size[2] * scale[2])
        is_liver = organ[0] == "liver"
        box = draw(centre, radii, (hu, value + generator.uniform(-15, 15)), *([(liver, 1)] if is_liver else []))
        for where, share, gray in INSIDE.get(organ[0].partition("-")[0], ()):
            (a, b, c), (i, j, k) = jitter(where, 0.12), radii
            place = (centre[0] + a * i, centre[1] + b * j, centre[2] + c * k)
            draw(place, (share * i, share * j, share * k), (hu, gray + generator.uniform(-20, 20)))
        if is_liver:
            draw((centre[0] + 0.05, centre[1] - 0.1, centre[2]), (0.09, 0.09, 0.04), (hu, 55), (liver, 2))
        if box and first <= centre[2] - radii[2] and centre[2] + radii[2] <= last:
            boxes[organ] = box
    noise = smooth_noise(generator, (36, 36, 12), 0.8).astype(np.float32)
    repeats = [-(-n // m) for n, m in zip(scan.shape, noise.shape, strict=True)]
    hu += 11 * np.tile(noise, repeats)[tuple(slice(n) for n in scan.shape)]
    hu = np.clip(np.rint(hu), -1024, 3071)
    outside = (np.linspace(-1, 1, scan.shape[0])[:, None] ** 2 + np.linspace(-1, 1, scan.shape[1])[None] ** 2) > 1
    hu[outside] = scan.padding
    return hu, boxes, liver


def _fill(
    axes: list[NDArray[np.float32]],
    centre: Triple,
    radii: Triple,
    waves: NDArray[np.float64],
    phase: float,
    colours: Iterable[tuple[NDArray[np.float32], float]],
) -> Box | None:
    """Draw an ellipsoid with dents and return the box of what was drawn; work is done in its own box only."""
    near = [np.flatnonzero(np.abs(axis - c) <= r) for axis, c, r in zip(axes, centre, radii, strict=True)]
    if min(map(len, near)) == 0:
        return None
    parts = ((axis[i] - c) / r for axis, i, c, r in zip(axes, near, centre, radii, strict=True))
    x, y, z = (part.reshape(shape) for part, shape in zip(parts, ((-1, 1, 1), (-1, 1), (-1,)), strict=True))
    wave_x, wave_y, wave_z = waves.astype(np.float32)
    edge = 1 - 0.2 * (1 + np.sin(wave_x * x + wave_y * y + wave_z * z + np.float32(phase)))
    inside = x**2 + y**2 + z**2 <= edge
    for volume, value in colours:
        volume[tuple(slice(i[0], i[-1] + 1) for i in near)][inside] = value
    if not inside.any():
        return None
    box: list[int] = []
    for axis, i in enumerate(near):
        hit = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        box += [int(i[hit[0]]), int(i[hit[-1]]) + 1]
    return tuple(box)


def _nifti(scan: _Scan, volume: NDArray[np.float32], mask: bool = False) -> bytes:
    """Store a volume given in LPS as the scan's file stores it."""
    import nibabel  # here: who asks a generator what it counts draws nothing
    from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(scan.stored))
    data = apply_orientation(volume, turn)
    # the boxes' grid has x to Left and y to Posterior: NIfTI's world runs to Right and Anterior
    spacing = 360 / scan.shape[0], 360 / scan.shape[0], 600 * (scan.covers[1] - scan.covers[0]) / scan.shape[2]
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = 180, 180, -300
    affine = affine @ inv_ornt_aff(turn, scan.shape)
    if scan.header == "identity":
        affine = np.eye(4)
    elif scan.header == "axial":  # the header of an axial stack on a coronal one
        affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    if mask and scan.number == 16:
        affine = np.diag([-1.0, -1.0, 5.0, 1.0])  # not its scan's
    if mask:
        image = nibabel.Nifti1Image(data.astype(np.uint8), affine)
    elif scan.kind == "intercept":
        image = nibabel.Nifti1Image((data + 1024).astype(np.uint16), affine)
        image.header.set_slope_inter(1, -1024)
    else:
        image = nibabel.Nifti1Image(data.astype(scan.kind), affine)
    return bytes(image.to_bytes())
