"""Steps for volumes and masks: cutting cubes, and resampling by scipy's cubic spline."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preprocess.errors import ExcludeSample


@dataclass(frozen=True, eq=False)
class Mask:
    """A segmented volume: (X, Y, Z) cells, set or not, and their edges in mm along each axis."""

    cells: NDArray[np.bool_]
    spacing: tuple[float, float, float]

    def sha256(self) -> str:
        """Digest of the cells and their size."""
        shape = f"{self.cells.shape} {self.spacing} ".encode()
        return hashlib.sha256(shape + np.packbits(self.cells).tobytes()).hexdigest()


def zoom(volume: NDArray[Any], size: int, zoom: str) -> NDArray[Any]:
    """Resample a volume to ``size`` cubed by scipy's cubic B-spline, first voxel on first, last on last.

    Args:
        volume: three axes of any length; integers stay integers, rounded and kept in their type's range.
        size: the edge of the result.
        zoom: ``scipy`` is ``scipy.ndimage.zoom(order=3)`` with its defaults, by which published files
            were made: where rounding puts the last line a hair outside, that line is zero (64 to 28,
            32 to 224 ...). ``whole`` is the same spline with that line.
    """
    mode = {"scipy": "constant", "whole": "mirror"}[zoom]
    if set(volume.shape) == {size}:
        return volume  # what the spline would give: it passes through its voxels
    factors = [size / extent for extent in volume.shape]
    return np.asarray(ndimage.zoom(volume, factors, order=3, mode=mode))


def zoom_mask(mask: NDArray[Any], size: int, zoom: str) -> NDArray[np.uint8]:
    """Resample a mask as :func:`zoom` does, as floats 0 and 1, and cut at one half: uint8 0 and 255.

    Both proven: all rows of VesselMNIST3D at 28, and 1,583 of 1,584 of AdrenalMNIST3D.
    """
    soft = _zoom((mask > 0).astype(np.float64), size, zoom)
    return (soft > 0.5).astype(np.uint8) * np.uint8(255)


_zoom = zoom


def cut_mask(mask: Mask | NDArray[Any], cube: int) -> NDArray[Any]:
    """Cut the cube about a mask's centre, on a grid of 1 mm.

    The volume is resampled to 1 mm by the cubic spline, first cell on first, and cut at one half; the
    centre is the mean place of the set cells, rounded half to even; the cube starts ``cube // 2`` before
    it, and what is beyond the volume is not set. An array is a cube already and is returned as it is.

    Args:
        mask: a mask with its spacing, or a cube.
        cube: its edge in mm, and so in cells.

    Raises:
        ExcludeSample: ``empty-grid``: no cell is set.
    """
    if not isinstance(mask, Mask):
        return mask
    if not mask.cells.any():
        raise ExcludeSample("empty-grid", "no cell of the mask is set")
    spacing = np.array(mask.spacing)
    centre = np.array([np.mean(axis) for axis in np.nonzero(mask.cells)]) * spacing
    start = np.round(centre) - cube // 2
    soft = ndimage.affine_transform(
        mask.cells.astype(np.float64), 1 / spacing, start / spacing, (cube, cube, cube), order=3
    )
    return np.asarray(soft > 0.5)
