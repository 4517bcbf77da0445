"""Steps for volumes and masks: cutting cubes, and resampling by scipy's cubic spline.

The functions that need the spline import it: it takes longer to load than many recipes take that never come to it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import ExcludeSample, UnreadableError
from preprocess.geometry import Bounds


@dataclass(frozen=True, eq=False)
class Mask:
    """A segmented volume, or the part of it that holds all that is set.

    Attributes:
        cells: (X, Y, Z), set or not.
        spacing: their edges in mm along each axis.
        first: the place of the first of them in the whole volume; what is not held is not set.
    """

    cells: NDArray[np.bool_]
    spacing: tuple[float, float, float]
    first: tuple[int, int, int] = (0, 0, 0)

    def sha256(self) -> str:
        """Digest of the cells, their place and their size."""
        shape = f"{self.cells.shape} {self.spacing} {self.first} ".encode()
        return hashlib.sha256(shape + np.packbits(self.cells).tobytes()).hexdigest()


#: cells beyond what is set that a mask keeps: to the spline the rest of the volume is then less than rounding
MASK_MARGIN = 32
#: voxels beyond a cube that go into the cubic spline: with 12 the rest of the scan changes nothing
MARGIN = 12
#: voxels that go into one cube: 20 bytes each while they are interpolated. A cube of 64 mm has them at 0.16 mm.
MAX_VOXELS = 2**26


@dataclass(frozen=True, eq=False)
class Lattice:
    """The grid of a whole volume resampled to isotropic voxels, of which parts are worked out.

    It is that of ``scipy.ndimage.zoom``: ``round(extent * spacing / step)`` voxels, at least 2, its first and
    last on the volume's.

    Attributes:
        extents: the volume's own voxels along each axis.
        target: the grid's.
        ratio: the grid's steps in voxels of the volume.
    """

    extents: NDArray[np.int64]
    target: NDArray[np.int64]
    ratio: NDArray[np.float64]

    @classmethod
    def of(cls, extents: tuple[int, ...], spacing: tuple[float, ...], step: float) -> Lattice:
        """The grid of ``step`` mm of a volume with these extents and voxel edges in mm."""
        own = np.array(extents)
        target = np.maximum(np.round(own * np.array(spacing) / step).astype(int), 2)
        return cls(own, target, (own - 1) / (target - 1))

    def cube(
        self, read: Callable[[Bounds], NDArray[Any]], start: NDArray[np.int64], edge: int, fill: float
    ) -> NDArray[np.float64]:
        """A cube of the grid by the cubic spline, worked out of the voxels around it alone.

        Args:
            read: gives the voxels of a box of the volume.
            start: the cube's first voxel in the grid; may lie outside.
            edge: its length in voxels of the grid.
            fill: what lies beyond the volume.

        Returns:
            (edge, edge, edge) float64, not rounded.
        """
        from scipy import ndimage

        low, high = np.clip(start, 0, self.target), np.clip(start + edge, 0, self.target)
        cube = np.full((edge, edge, edge), fill, np.float64)
        if (low < high).all():
            first = np.maximum(np.floor(low * self.ratio).astype(int) - MARGIN, 0)
            end = np.minimum(np.ceil((high - 1) * self.ratio).astype(int) + 1 + MARGIN, self.extents)
            if (voxels := math.prod((end - first).tolist())) > MAX_VOXELS:
                raise UnreadableError(
                    f"{voxels:,} voxels go into one cube, for they are very small; {MAX_VOXELS:,} are held at the most"
                )
            part = read(tuple(zip(first.tolist(), end.tolist(), strict=True))).astype(np.float64)
            inside = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
            cube[inside] = ndimage.affine_transform(
                part, self.ratio, low * self.ratio - first, tuple(high - low), order=3, mode="nearest"
            )
        return cube

    def nearest(
        self, read: Callable[[Bounds], NDArray[Any]], start: NDArray[np.int64], edge: int, fill: float
    ) -> NDArray[Any]:
        """As :meth:`cube`, each voxel that of the volume which lies nearest, the higher of two at one distance."""
        low, high = np.clip(start, 0, self.target), np.clip(start + edge, 0, self.target)
        if not (low < high).all():
            return np.full((edge, edge, edge), fill)
        gaps = self.target - 1
        places = [
            (2 * np.arange(a, b) * (n - 1) + gap) // (2 * gap)  # whole numbers: the same from wherever a cube starts
            for a, b, n, gap in zip(low, high, self.extents, gaps, strict=True)
        ]
        part = read(tuple((int(place[0]), int(place[-1]) + 1) for place in places))
        cube = np.full((edge, edge, edge), fill, part.dtype)
        inside = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        cube[inside] = part[np.ix_(*(place - place[0] for place in places))]
        return cube


def zoom(volume: NDArray[Any], size: int, zoom: str) -> NDArray[Any]:
    """Resample a volume to ``size`` cubed by scipy's cubic B-spline, first voxel on first, last on last.

    Args:
        volume: three axes of any length; integers stay integers, rounded and kept in their type's range.
        size: the edge of the result.
        zoom: ``scipy`` is ``scipy.ndimage.zoom(order=3)`` with its defaults, by which published files
            were made: where rounding puts the last line a hair outside, that line is zero (64 to 28,
            32 to 224 ...). ``whole`` is the same spline with that line.
    """
    from scipy import ndimage

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
    from scipy import ndimage

    if not isinstance(mask, Mask):
        return mask
    if not mask.cells.any():
        raise ExcludeSample("empty-grid", "no cell of the mask is set")
    spacing = np.array(mask.spacing)
    first = np.array(mask.first)
    centre = np.array([np.mean(axis + start) for axis, start in zip(np.nonzero(mask.cells), first)]) * spacing
    start = np.round(centre) - cube // 2
    soft = ndimage.affine_transform(
        mask.cells.astype(np.float64), 1 / spacing, start / spacing - first, (cube, cube, cube), order=3
    )
    return np.asarray(soft > 0.5)
