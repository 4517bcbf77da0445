"""A step for volumes of any kind: all of one, or a part of it, in the type its values have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError
from preprocess.geometry import Bounds, Box
from preprocess.geometry import extents as extents_of
from preprocess.reading.volume import Volume
from preprocess.steps.boxes import cube_about, frame_of


def region(volume: Volume, orientation: str, region: str, crop_unit: str, cube: int, box: str) -> NDArray[Any]:
    """Take a part out of a volume.

    Args:
        volume: what a source of volumes opens.
        orientation: the frame the part is returned in: ``lps``, ``lps-y-reversed`` or ``raw``.
        region: ``whole``; ``box``: the sample's own box; ``cube``: a cube about the centre of that box, which starts
            half its length before the voxel nearest to it (halves to even).
        crop_unit: whether ``cube`` counts ``voxel`` or ``mm``; in mm each axis has the number of voxels nearest to it.
        cube: the edge.
        box: the text of a :class:`~preprocess.geometry.Box`; empty where the sample has none.

    Returns:
        values, slope and intercept applied, axes x, y, z of the frame. What a cube or box has beyond the volume is the
        least value of what it has within.

    Raises:
        PreprocessError: a part is asked for and the sample has no box.
        UnreadableError: the file is damaged, a voxel is not a number, or a cube of mm is asked for and the header says
            two things of its voxels' edges.
    """
    frame = frame_of(volume, orientation)
    extents = extents_of(volume.shape, volume.axes, frame)
    if region == "whole":
        return volume.read(Box(frame, tuple((0, extent) for extent in extents)))
    if not box:
        raise PreprocessError(f"region: {region} needs a place in each volume; decide place_from, or region: whole")
    wanted = bounds(volume, frame, region, crop_unit, cube, box)
    inside: Bounds = tuple(
        (min(max(first, 0), extent - 1), max(min(end, extent), 1))
        for (first, end), extent in zip(wanted, extents, strict=True)
    )
    part = volume.read(Box(frame, inside))
    beyond = [(low - first, end - high) for (first, end), (low, high) in zip(wanted, inside, strict=True)]
    return np.pad(part, [(max(before, 0), max(after, 0)) for before, after in beyond], constant_values=part.min())


def bounds(volume: Volume, frame: str, region: str, crop_unit: str, cube: int, box: str) -> Bounds:
    """Where a box, or the cube about its centre, lies in a volume; see :func:`region`.

    Returns:
        first voxel and first behind it along the axes of ``frame``; a cube may leave the volume.
    """
    told = Box.parse(box)
    wanted = told.turned(extents_of(volume.shape, volume.axes, told.frame), frame)
    if region == "box":
        return wanted.bounds
    edges = volume.spacing(frame) if crop_unit == "mm" else (1.0, 1.0, 1.0)
    return cube_about(wanted.centre.place, edges, crop_unit, cube)
