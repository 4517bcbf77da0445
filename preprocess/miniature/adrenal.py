"""A stand-in for the adrenal glands: NIfTI masks and a table, as a holder of such data would have them.

Three slender limbs in a Y, thicker in hyperplasia, with a ball in a mass; left and right of 18
patients. Spacings differ and are thicker along the body in some, as in CT; some volumes are stored
towards other sides (RAS, LAS), some unpacked; the split is given for a third of the patients. One
mask has the matrix of a true scan's region of interest, the others are smaller.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from nibabel import Nifti1Image
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform
from numpy.typing import NDArray

from preprocess.miniature.drawing import rng, write_tree

PATIENTS = 18
SICK = {3, 4, 8, 11, 15, 16}  # 3, 8 and 15 on one side only
ONE_SIDED = {3, 8, 15}
CENSUS = {"adrenalmnist3d": {"label 0": 2 * PATIENTS - 9, "label 1": 9}}
SPACINGS = ((0.8, 0.8, 1.0), (1.0, 1.0, 1.0), (0.7, 0.7, 2.0), (0.9, 0.9, 1.25))
ORIENTATIONS = ("LPS", "RAS", "LAS")
FIXED_SPLITS = {1: "train", 2: "train", 4: "train", 5: "val", 6: "test", 8: "test"}
#: extent in mm of the stored volumes; the true region of interest is 120 cells of 1 mm
EXTENT, TRUE_EXTENT = 60, 120


def generate(folder: Path) -> None:
    """Write the table and the masks into ``folder``."""
    lines = ["id,patient,side,label,split"]
    files: dict[str, bytes] = {}
    for patient in range(1, PATIENTS + 1):
        for side in ("left", "right"):
            sick = patient in SICK and not (patient in ONE_SIDED and side == "right")
            name = f"P{patient:03d}_{side[0].upper()}"
            lines.append(f"{name},P{patient:03d},{side},{int(sick)},{FIXED_SPLITS.get(patient, '')}")
            extent = TRUE_EXTENT if (patient, side) == (2, "left") else EXTENT
            spacing = (1.0, 1.0, 1.0) if extent == TRUE_EXTENT else SPACINGS[patient % len(SPACINGS)]
            gland = _gland(patient, side, sick, extent, spacing)
            data = _nifti(gland, spacing, ORIENTATIONS[patient % len(ORIENTATIONS)])
            packed = patient % 5 > 0
            files[f"masks/{name}.nii{'.gz' if packed else ''}"] = gzip.compress(data, mtime=0) if packed else data
    write_tree(folder, {"adrenal.csv": ("\r\n".join(lines) + "\r\n").encode("utf-8-sig"), **files})


def _gland(
    patient: int, side: str, sick: bool, extent: float, spacing: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """A gland in axes to Left, Posterior, Superior: limbs run from a body to the back, outwards and inwards."""
    generator = rng("adrenal", patient, side)
    axes = [np.arange(round(extent / step)) * step for step in spacing]
    place = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    centre = np.array([extent / 2] * 3) + generator.uniform(-4, 4, 3)
    outwards = 1 if side == "left" else -1
    ends = [(0, -6, 2), (outwards * 6, 13, 0), (-outwards * 5, 12, 3)]
    thick = generator.uniform(2.2, 3.0) + (1.2 if sick else 0)
    inside = np.zeros(place.shape[:3], bool)
    for end in ends:
        limb = np.array(end) + generator.normal(0, 1.2, 3)
        along = np.clip(((place - centre) @ limb) / (limb @ limb), 0, 1)
        away = place - centre - along[..., None] * limb
        # a limb is a blade: twice as high as it is thick
        inside |= (away[..., 0] ** 2 + away[..., 1] ** 2 + (away[..., 2] / 3.2) ** 2) < thick**2 * (1 - 0.4 * along)
    if sick and patient in ONE_SIDED:
        nodule = centre + np.array([outwards * 4, 6, 0]) + generator.normal(0, 2, 3)
        inside |= ((place - nodule) ** 2).sum(axis=-1) < generator.uniform(7, 11) ** 2
    return inside.astype(np.uint8)


def _nifti(array: NDArray[np.uint8], spacing: tuple[float, float, float], towards: str) -> bytes:
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(towards))
    stored = apply_orientation(array, turn)
    signs = [1 if one in "RAS" else -1 for one in towards]
    affine = np.diag([*(sign * step for sign, step in zip(signs, spacing)), 1.0])
    affine[:3, 3] = [-40.0, 12.5, 300.25]
    data: bytes = Nifti1Image(stored, affine).to_bytes()
    return data
