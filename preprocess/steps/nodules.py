"""Steps for a small thing in a CT series: the isotropic cube around it, resampled from its surroundings alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preprocess.reading.dicom import AIR, Series

#: voxels beyond the cube that go into the spline: with 12 the rest of the scan changes nothing
MARGIN = 12


@dataclass(frozen=True)
class Surroundings:
    """A place in a series.

    Attributes:
        series: the CT series.
        centre: plane, row and column; fractions of voxels.
        cube: edge in mm of the cube about it.
    """

    series: Series
    centre: tuple[float, ...]
    cube: int

    @property
    def shape(self) -> tuple[int, ...]:
        """How many of the series' own voxels the cube spans along each axis."""
        return tuple(round(self.cube / spacing) for spacing in self.series.spacing)


def surroundings(series: Series, centre: str, cube: int, centroid: str, box: str) -> Surroundings:
    """Find the cube's place.

    Args:
        series: what the source opens.
        centre: ``centroid`` or ``box``: which of the two columns the cube is centred on.
        cube: its edge in mm.
        centroid: plane, row and column of the readers' mean centroid.
        box: first and last plane, row and column of all readers' outlines together.
    """
    if centre == "centroid":
        return Surroundings(series, tuple(float(word) for word in centroid.split()), cube)
    ends = [int(word) for word in box.split()]
    return Surroundings(series, tuple((ends[i] + ends[i + 1]) / 2 for i in (0, 2, 4)), cube)


def isotropic(place: Surroundings, pitch: str, size: int) -> NDArray[np.int16]:
    """Resample the cube to isotropic voxels by the cubic B-spline.

    The grid is that of the whole scan resampled by ``scipy.ndimage.zoom(order=3, mode="nearest")``, which has
    ``round(extent * spacing / pitch)`` voxels and its first and last on the scan's; the cube starts half
    its edge below the voxel nearest to the centre (half to even), as the authors' ``crop_at_zyx_with_dhw``
    does. Only the cube and a margin are read.

    Args:
        place: what :func:`surroundings` found.
        pitch: ``1mm``: voxels of 1 mm, for :func:`preprocess.steps.grids.zoom` to bring to the size;
            ``field``: voxels of ``cube / size`` mm, so the size straight from the scan.
        size: the edge of the output.

    Returns:
        HU, axes z upwards, rows, columns; -1024 beyond the scan.
    """
    edge = place.cube if pitch == "1mm" else size
    step = place.cube / edge
    extents, spacing = np.array(place.series.shape), np.array(place.series.spacing)
    target = np.maximum(np.round(extents * spacing / step).astype(int), 2)
    ratio = (extents - 1) / (target - 1)
    start = np.round(np.array(place.centre) / ratio).astype(int) - edge // 2
    low, high = np.clip(start, 0, target), np.clip(start + edge, 0, target)
    cube = np.full((edge, edge, edge), AIR, np.int16)
    if (low < high).all():
        first = np.maximum(np.floor(low * ratio).astype(int) - MARGIN, 0)
        end = np.minimum(np.ceil((high - 1) * ratio).astype(int) + 1 + MARGIN, extents)
        slab = place.series.box(tuple(zip(first.tolist(), end.tolist(), strict=True)))
        hu = ndimage.affine_transform(
            slab.astype(np.float64), ratio, low * ratio - first, tuple(high - low), order=3, mode="nearest"
        )
        inside = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        cube[inside] = np.clip(np.rint(hu), AIR, 2**15 - 1)
    return cube
