"""A stand-in for the adrenal glands: NIfTI masks and a table, as a holder of such data would have them.

Slanting blades with the section of a Y, thicker in hyperplasia, with a ball in a mass; left and right of 18
patients. Spacings differ and are thicker along the body in some, as in CT; some volumes are stored
towards other sides (RAS, LAS), some unpacked; the split is given for a third of the patients. One
mask has the matrix of a true scan's region of interest, the others are smaller.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
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
            files[f"masks/{name}.nii{'.gz' if packed else ''}"] = gzip.compress(data, 1, mtime=0) if packed else data
    write_tree(folder, {"adrenal.csv": ("\r\n".join(lines) + "\r\n").encode("utf-8-sig"), **files})


def _gland(
    patient: int, side: str, sick: bool, extent: float, spacing: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """A gland in axes to Left, Posterior, Superior: in each plane a Y open to the back, slanting as it rises."""
    generator = rng("adrenal", patient, side)
    centre = extent / 2 + generator.uniform(-3, 3, 3)
    left, back, up = np.meshgrid(
        *(np.arange(round(extent / step)) * step - middle for step, middle in zip(spacing, centre, strict=True)),
        indexing="ij",
        sparse=True,
    )
    outwards = 1 if side == "left" else -1
    rise = up / generator.uniform(15, 20)
    across = left - outwards * (8 * rise + 3 * rise**2)
    behind = back - generator.uniform(2, 9) * rise
    reach = np.sqrt(np.clip(1 - rise**2, 0, None))
    thick = (generator.uniform(1.7, 2.3) + (1.4 if sick else 0)) * (0.6 + 0.4 * reach)
    inside = np.zeros(np.broadcast_shapes(left.shape, back.shape, up.shape), bool)
    for end in ((0, -7), (outwards * 6, 13), (-outwards * 5, 10)):
        x, y = np.array(end) + generator.normal(0, 1.2, 2)
        along = np.clip((across * x + behind * y) / (x * x + y * y), 0, reach)
        inside |= ((across - along * x) ** 2 + (behind - along * y) ** 2 < thick**2) & (reach > 0)
    if sick and patient in ONE_SIDED:
        x, y, z = np.array([outwards * 4, 6, 0]) + generator.normal(0, 2, 3)
        inside |= (left - x) ** 2 + (back - y) ** 2 + (up - z) ** 2 < generator.uniform(7, 11) ** 2
    return inside.astype(np.uint8)


def _nifti(array: NDArray[np.uint8], spacing: tuple[float, float, float], towards: str) -> bytes:
    from nibabel import Nifti1Image  # here: who asks a generator what it counts draws nothing
    from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(towards))
    stored = apply_orientation(array, turn)
    signs = [1 if one in "RAS" else -1 for one in towards]
    affine = np.diag([*(sign * step for sign, step in zip(signs, spacing)), 1.0])
    affine[:3, 3] = [-40.0, 12.5, 300.25]
    data: bytes = Nifti1Image(stored, affine).to_bytes()
    return data
