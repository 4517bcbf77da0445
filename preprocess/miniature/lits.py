"""A stand-in for LiTS and its organ boxes: 13 small scans of drawn patients, with true numbers and names.

As in the true files: scans lie as .nii, .nii.gz, one zip a file and in a batch's zip; stored
orientations vary; 28, 44 and 47 have an identity header and any x/y flip; test 59 is a coronal
stack whose header does not say so; one scan has an intercept, one is float; -3024, -2048 or -1024
outside the field of view; a mask whose affine is not its scan's. Few scans show the chest. The
patient of scan 16 lies so low that its femurs, sought with y reversed, are in air. Boxes are what
was drawn, in the published form. Test scans have no masks. Scan 0 has true pixel dimensions.
"""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

from preprocess.miniature.drawing import rng, smooth_noise, write_tree, write_zip

#: name and code; centre and radii (x to Left, y to Posterior: -1 to 1; z upwards: 0 to 1), and HU
ORGANS: dict[tuple[str, int], tuple[tuple[float, ...], tuple[float, ...], float]] = {
    ("liver", 1): ((-0.34, -0.06, 0.62), (0.38, 0.40, 0.12), 110),
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
INSIDE: dict[str, tuple[tuple[tuple[float, ...], float, float], ...]] = {
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
    "organamnist": _BOXES | {"train axial planes": 256, "test axial planes": 146},
    "organcmnist": _BOXES | {"train coronal planes": 266, "test coronal planes": 73},
    "organsmnist": _BOXES | {"train sagittal planes": 273, "test sagittal planes": 88},
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
    _Scan("train", 0, ABDOMEN, "LPS", ONE, shape=(512, 512, 14), padding=-3024),
    _Scan("train", 5, WHOLE, "RAS", f"{ONE}/*.zip", padding=-2048),
    _Scan("train", 16, ABDOMEN, "LAS", ONE, low=0.3),
    _Scan("train", 28, ABDOMEN, "LAS", TWO, header="identity"),
    _Scan("train", 44, WHOLE, "RPS", TWO, header="identity"),
    _Scan("train", 47, UPPER, "LPS", TWO, header="identity", padding=-2048),
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


def _draw(scan: _Scan) -> tuple[NDArray[np.float32], dict[tuple[str, int], tuple[int, ...]], NDArray[np.float32]]:
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
    for _ in range(6):  # bowel
        centre = (generator.uniform(-0.5, 0.5), generator.uniform(-0.4, -0.1), generator.uniform(0.2, 0.42))
        _fill(hu, axes, centre, (0.16, 0.12, 0.06), 30)
        _fill(hu, axes, (centre[0], centre[1] - 0.03, centre[2]), (0.08, 0.05, 0.04), -700)
    boxes: dict[tuple[str, int], tuple[int, ...]] = {}
    liver = np.zeros(scan.shape, np.float32)
    for organ, (middle, radii, value) in ORGANS.items():
        moved = tuple(c + generator.uniform(-0.015, 0.015) for c in middle)
        grown = tuple(r * generator.uniform(0.94, 1.06) for r in radii)
        _fill(hu, axes, moved, grown, value)
        if organ[0] == "liver":
            _fill(liver, axes, moved, grown, 1)
            tumour = (moved[0] + 0.05, moved[1] - 0.1, moved[2])
            _fill(hu, axes, tumour, (0.09, 0.09, 0.04), 55)
            _fill(liver, axes, tumour, (0.09, 0.09, 0.04), 2)
        if first <= moved[2] - grown[2] and moved[2] + grown[2] <= last:
            boxes[organ] = _bounds(axes, moved, grown)
        for inner, share, gray in INSIDE.get(organ[0].partition("-")[0], ()):
            place = tuple(c + r * shift for c, r, shift in zip(moved, grown, inner, strict=True))
            _fill(hu, axes, place, tuple(r * share for r in grown), gray)
    noise = smooth_noise(generator, (36, 36, 12), 0.8).astype(np.float32)
    repeats = [-(-n // m) for n, m in zip(scan.shape, noise.shape, strict=True)]
    hu += 11 * np.tile(noise, repeats)[tuple(slice(n) for n in scan.shape)]
    hu = np.clip(np.rint(hu), -1024, 3071)
    outside = (np.linspace(-1, 1, scan.shape[0])[:, None] ** 2 + np.linspace(-1, 1, scan.shape[1])[None] ** 2) > 1
    hu[outside] = scan.padding
    return hu, boxes, liver


def _inside(axes: list[NDArray[np.float32]], centre: tuple[float, ...], radii: tuple[float, ...]) -> list[NDArray[Any]]:
    return [np.flatnonzero(np.abs(axis - c) <= r) for axis, c, r in zip(axes, centre, radii, strict=True)]


def _fill(
    volume: NDArray[np.float32],
    axes: list[NDArray[np.float32]],
    centre: tuple[float, ...],
    radii: tuple[float, ...],
    value: float,
) -> None:
    """Draw an ellipsoid; work is done in its own box only."""
    near = _inside(axes, centre, radii)
    if min(map(len, near)) == 0:
        return
    x, y, z = (((axis[i] - c) / r) ** 2 for axis, i, c, r in zip(axes, near, centre, radii, strict=True))
    part = volume[tuple(slice(i[0], i[-1] + 1) for i in near)]
    part[x[:, None, None] + y[:, None] + z <= 1] = value


def _bounds(axes: list[NDArray[np.float32]], centre: tuple[float, ...], radii: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(int(end) for i in _inside(axes, centre, radii) for end in (i[0], i[-1] + 1))


def _nifti(scan: _Scan, volume: NDArray[np.float32], mask: bool = False) -> bytes:
    """Store a volume given in LPS as the scan's file stores it."""
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
