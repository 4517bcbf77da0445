"""Steps for a small thing in a CT series: the isotropic cube around it, resampled from its surroundings alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError
from preprocess.geometry import Box, Point
from preprocess.reading.dicom import AIR, Series
from preprocess.steps.grids import Lattice


@dataclass(frozen=True)
class Surroundings:
    """A place in a series.

    Attributes:
        series: the CT series.
        centre: plane, row and column, the frame SPL; fractions of voxels.
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
        centroid: the readers' mean centroid, the text of a :class:`~preprocess.geometry.Point` in the frame SPL.
        box: around all readers' outlines together, the text of a :class:`~preprocess.geometry.Box` in the same.

    Raises:
        PreprocessError: another centre is asked for.
    """
    if centre not in ("centroid", "box"):
        raise PreprocessError(f"centre: {centre} is not a nodule's; it is centred on its centroid or its box")
    place = Point.parse(centroid) if centre == "centroid" else Box.parse(box).centre
    return Surroundings(series, place.place, cube)


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

    Raises:
        PreprocessError: another pitch is asked for.
    """
    if pitch not in ("1mm", "field"):
        raise PreprocessError(f"pitch: {pitch} is not a nodule's; its cube is resampled to 1mm or to its field")
    edge = place.cube if pitch == "1mm" else size
    lattice = Lattice.of(place.series.shape, place.series.spacing, place.cube / edge)
    start = np.round(np.array(place.centre) / lattice.ratio).astype(int) - edge // 2
    hu = lattice.cube(place.series.cut, start, edge, AIR)
    return np.clip(np.rint(hu), AIR, 2**15 - 1).astype(np.int16)
