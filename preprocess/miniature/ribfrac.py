"""A stand-in for RibFrac: fifteen small chests with drawn ribs, some of them broken.

As in the published files: training images and labels in one zip a part and the second part unpacked,
validation unpacked, test images in a zip without labels; a table a part, with a row for the background and
the codes 4 (segmental) and -1 (undefined) among the others; images of int32, one of int16; labels of three
dtypes; the ribs' masks of RibSeg in a zip, one of them stored otherwise than its scan, one with numbered ribs;
stored orientations LPS, RAS and LAS; a label on two ribs, a scan without fractures, fractures
near the edge of their scan. Scan 423 has true pixel dimensions in its planes.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import rng, write_tree, write_zip

DISPLACED, NONDISPLACED, BUCKLE, SEGMENTAL, UNDEFINED = 1, 2, 3, 4, -1
#: shape of most scans, and mm
SHAPE, SPACING = (88, 80, 60), (0.78, 0.78, 1.25)
#: how far along a rib a fracture's label reaches, in voxels
REACH = 5.0


@dataclass(frozen=True)
class _Scan:
    """How one scan is stored, and the codes of its fractures, labelled from 1."""

    number: int
    codes: tuple[int, ...]
    stored: str = "LPS"
    shape: tuple[int, int, int] = SHAPE
    image: str = "int32"
    label: str = "uint8"

    @property
    def split(self) -> str:
        return "train" if self.number <= 420 else "val" if self.number <= 500 else "test"


SCANS = (
    _Scan(1, (3, 2, 1, 3)),
    _Scan(2, (2, 2, 1, -1), stored="RAS"),
    _Scan(3, (3, 3, 4, 2), label="int16"),
    _Scan(4, (1, 2, 3)),
    _Scan(10, (2, 1, 1, 4), stored="LAS", image="int16"),
    _Scan(114, (3, 2, 2), label="float64"),
    _Scan(301, (1, 3, 2, -1)),
    _Scan(302, (3, 1, 2), stored="RAS"),
    _Scan(421, (3, 2, 1, 2)),
    _Scan(422, (), label="int16"),
    _Scan(423, (1,), shape=(512, 512, 10)),
    _Scan(424, (3, 1, 4), stored="LAS"),
    _Scan(501, (1, 2)),
    _Scan(502, (3,)),
    _Scan(503, ()),
)
#: scan and label that lies on two ribs
TWO_RIBS = (114, 3)
#: the scan whose ribs' mask is stored as RAS, the one whose ribs are numbered, and the zip of them all
TURNED, NUMBERED, RIBSEG = 3, 4, "RibSeg_490_nii.zip"
CENSUS = {
    "fracturemnist3d": {
        **{f"{split} scans": sum(scan.split == split for scan in SCANS) for split in ("train", "val")},
        **{
            f"{split} fractures": sum(len(scan.codes) for scan in SCANS if scan.split == split)
            for split in ("train", "val")
        },
        **{
            f"{split} code {code}": sum(scan.codes.count(code) for scan in SCANS if scan.split == split)
            for split in ("train", "val")
            for code in (DISPLACED, NONDISPLACED, BUCKLE, SEGMENTAL, UNDEFINED)
        },
    }
}


def generate(folder: Path) -> None:
    """Write the collection into ``folder``."""
    zips: dict[str, dict[str, bytes]] = {}
    loose: dict[str, bytes] = {}
    tables: dict[str, list[str]] = {}
    for scan in SCANS:
        hu, label, bone = _draw(scan)
        ribs = bone * (1 + np.arange(bone.shape[2]) * 24 // bone.shape[2] if scan.number == NUMBERED else 1)
        zips.setdefault(RIBSEG, {})[f"RibSeg_490_nii/nii/RibFrac{scan.number}-rib-seg.nii.gz"] = _nifti(
            ribs, "RAS" if scan.number == TURNED else scan.stored, "uint8"
        )
        image = _nifti(hu, scan.stored, scan.image)
        if scan.split == "test":
            zips.setdefault("ribfrac-test-images.zip", {})[f"ribfrac-test-images/RibFrac{scan.number}-image.nii.gz"] = (
                image
            )
            continue
        mask = _nifti(label, scan.stored, scan.label)
        if scan.number <= 300:
            zips.setdefault("ribfrac-train-images-1.zip", {})[f"Part1/RibFrac{scan.number}-image.nii.gz"] = image
            zips.setdefault("ribfrac-train-labels-1.zip", {})[f"Part1/RibFrac{scan.number}-label.nii.gz"] = mask
        else:
            images, labels = (
                ("Part2", "Part2") if scan.split == "train" else ("ribfrac-val-images", "ribfrac-val-labels")
            )
            loose[f"{images}/RibFrac{scan.number}-image.nii.gz"] = image
            loose[f"{labels}/RibFrac{scan.number}-label.nii.gz"] = mask
        name = "val-info" if scan.split == "val" else f"train-info-{1 if scan.number <= 300 else 2}"
        tables.setdefault(f"ribfrac-{name}.csv", []).extend(
            f"RibFrac{scan.number},{number},{code}" for number, code in enumerate((0, *scan.codes))
        )
    for name, lines in tables.items():
        loose[name] = "\n".join(["public_id,label_id,label_code", *lines, ""]).encode()
    for name, members in zips.items():
        write_zip(folder / name, members)
    write_tree(folder, loose)


def _draw(scan: _Scan) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """A chest in HU, its labels and its ribs, axes x to Left, y to Posterior, z to Superior."""
    generator = rng("ribfrac", scan.number)
    size = np.array(scan.shape)
    scale = max(1.0, scan.shape[0] / 300)  # the wide scan has thicker ribs
    gap, thick = generator.uniform(11.5, 16) * scale, generator.uniform(2.8, 3.9) * scale
    tilt, roll = generator.uniform(4, 13) * scale, generator.uniform(-0.5, 0.5)
    x, y, z = np.ogrid[: size[0], : size[1], : size[2]]
    half = generator.uniform(0.4, 0.5, 2) * size[:2]
    centre = size[:2] * generator.uniform(0.45, 0.55, 2)
    u, v = ((x - centre[0]) / half[0]).astype(np.float32), ((y - centre[1]) / half[1]).astype(np.float32)
    radius = np.sqrt(u**2 + v**2)
    angle = np.angle(np.exp(1j * (np.arctan2(u, v) - roll))).astype(np.float32)  # 0 near the spine, growing to the Left
    mean = float(half.mean())
    # ribs run down from the spine to the front
    height = z + (tilt * (1 - np.cos(angle))).astype(np.float32)
    # on both sides and other heights each: no two touch, and some lie near the scan's end
    places = [
        (2 * (number % 2) - 1) * (generator.uniform(0.6, 1.3) + (0 if number < 3 else 0.9))
        for number in range(1, len(scan.codes) + 1)
    ]
    levels = [size[2] * (0.2 + 0.6 * (k + generator.uniform()) / len(places)) for k in range(len(places))]
    drops = [tilt * (1 - np.cos(place)) for place in places]
    offset = (levels[0] + drops[0]) % gap if places else 0.0
    rib = np.round((height - offset) / gap)
    rise = height - offset - rib * gap
    outward = (radius - 0.78) * mean + np.zeros_like(rise)
    coarse = np.kron(generator.standard_normal(-(-size // 8)), np.ones((8, 8, 8)))[: size[0], : size[1], : size[2]]
    hu = np.where(radius < 1, 45, -1000) + 25 * coarse * (radius < 1)
    lung = np.broadcast_to(radius < 0.68, hu.shape)
    hu[lung] = (-850 + 700 * (coarse > 1.6))[lung]
    hu[np.broadcast_to(np.hypot(u - 0.1, v + 0.1) < generator.uniform(0.2, 0.45), hu.shape)] = 50
    hu[np.broadcast_to(np.hypot((u - 0.5 * np.sin(roll)) / 0.2, (v - 0.6) / 0.25) < 1, hu.shape)] = 350
    label = np.zeros(scan.shape, np.uint8)
    gaps = np.zeros(scan.shape, bool)
    for number, code in enumerate(scan.codes, 1):
        place, nearest = places[number - 1], round((levels[number - 1] + drops[number - 1] - offset) / gap)
        along = (angle - place) * mean * 0.78 / scale
        on = rib == nearest
        if (scan.number, number) == TWO_RIBS:
            on |= rib == nearest + 1
        depth = np.abs(along) + np.zeros_like(rise)
        if code == DISPLACED:
            outward -= np.where(on & (along > 0) & (along < 9), 4.5 * scale, 0)
        if code in (BUCKLE, UNDEFINED):
            outward -= np.where(on, 3 * scale * np.exp(-((along / 2.5) ** 2)), 0) * (1 if code == BUCKLE else 0.4)
        if code in (NONDISPLACED, DISPLACED):
            gaps |= on & (depth < 0.9)
        if code == SEGMENTAL:
            gaps |= on & (np.abs(depth - 3.5) < 0.9)
        label[on & (np.hypot(outward, rise) < thick + 1.5 * scale) & (depth < REACH)] = number
    distance = np.hypot(outward, rise)
    bone = distance < thick
    hu[bone] = np.where(distance < thick - 1.3 * scale, 320, 1000)[bone]
    hu[gaps & bone] = 60
    noise = generator.integers(-25, 26, scan.shape, dtype=np.int16)
    return (hu + np.where(hu > -950, noise, 0)).astype(np.float32), label, bone


def _nifti(array: NDArray[Any], stored: str, dtype: str) -> bytes:
    import nibabel  # here: who asks a generator what it counts draws nothing
    from nibabel.orientations import axcodes2ornt, ornt_transform

    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    affine[:3, 3] = 30.0, 40.0, -120.0
    image = nibabel.Nifti1Image(array.astype(dtype), affine)
    image = image.as_reoriented(ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(stored)))
    return gzip.compress(image.to_bytes(), 1, mtime=0)
