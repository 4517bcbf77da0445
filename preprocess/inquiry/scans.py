"""Where in its scan a sample lies: three planes through the middle of what is cut out, with that drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from preprocess.geometry import ARRAY, Bounds, Box, Point, extents
from preprocess.reading.dicom import Series
from preprocess.reading.volume import Volume
from preprocess.recipe import Recipe
from preprocess.steps import regions
from preprocess.steps.boxes import cube_about, frame_of
from preprocess.steps.nodules import surroundings
from preprocess.table import Sample

Pixels = NDArray[np.uint8]
#: the colour of a box, and the HU that are drawn black and white
BOX, WINDOW = (230, 126, 34), (-1000, 1000)
#: the frame of a series of DICOM slices: plane, row, column
SERIES = "SPL"


@dataclass(frozen=True)
class Scan:
    """A scan to look at.

    Attributes:
        shape: its extents.
        axes: where each axis runs to; a letter each.
        plane: gives the plane of an axis at an index: (M, N) HU, or uint8.
        box: what is cut out for the sample, half-open along each axis; None where its place is not known.
    """

    shape: tuple[int, ...]
    axes: str
    plane: Callable[[int, int], NDArray[np.generic]]
    box: Bounds | None


def of(in_force: Recipe, sample: Sample, opened: object) -> Scan | None:
    """The scan that a source opened, with what the recipe cuts out of it; None of what is no scan."""
    if isinstance(opened, Volume):
        return _of_volume(in_force, sample, opened)
    if isinstance(opened, Series):
        return _of_series(in_force, sample, opened)
    return None


def of_array(array: Pixels, box: Box) -> Scan:
    """A part of a volume that lies in no body, and a box in it."""
    return Scan(array.shape, ARRAY, lambda axis, at: np.take(array, at, axis), box.bounds)


def _of_volume(in_force: Recipe, sample: Sample, volume: Volume) -> Scan:
    def plane(axis: int, at: int) -> NDArray[np.generic]:
        where = tuple(slice(at, at + 1) if one == axis else slice(None) for one in range(3))
        found: NDArray[np.generic] = np.asarray(volume.image.part((where[0], where[1], where[2]))).squeeze(axis)
        return found

    return Scan(volume.shape, volume.axes, plane, _box_of_volume(in_force, sample, volume))


def _box_of_volume(in_force: Recipe, sample: Sample, volume: Volume) -> Bounds | None:
    """In the axes as stored: the column ``box``, or the cube around the column ``centroid``."""
    columns = sample.attributes
    if not (orientation := in_force.value("orientation")):
        return None
    frame = frame_of(volume, orientation)
    if region := in_force.value("region"):
        part = (region, in_force.value("crop_unit"), in_force.value("cube"), columns.get("box", ""))
        if region == "whole" or not part[-1]:
            return None
        box = Box(frame, regions.bounds(volume, frame, *part))
    elif "box" in columns:
        box = Box(frame, Box.parse(columns["box"]).bounds)
    elif "centroid" in columns and "cube" in in_force.decisions:
        told = Point.parse(columns["centroid"])
        place = told.turned(extents(volume.shape, volume.axes, told.frame), frame).place
        # resampled to 1 mm a cube is as many mm as voxels
        unit = "mm" if in_force.value("pitch") == "1mm" else in_force.value("crop_unit")
        box = Box(frame, cube_about(place, volume.spacing(frame), unit, in_force.value("cube")))
    else:
        return None
    return box.turned(extents(volume.shape, volume.axes, frame), volume.axes).bounds


def _of_series(in_force: Recipe, sample: Sample, series: Series) -> Scan:
    def plane(axis: int, at: int) -> NDArray[np.generic]:
        bounds = [(at, at + 1) if one == axis else (0, extent) for one, extent in enumerate(series.shape)]
        return series.cut(tuple(bounds)).squeeze(axis)

    columns, box = sample.attributes, None
    if {"centroid", "box"} <= columns.keys() and "cube" in in_force.decisions:
        place = surroundings(
            series, in_force.value("centre"), in_force.value("cube"), columns["centroid"], columns["box"]
        )
        box = cube_about(place.centre, series.spacing, "mm", place.cube)
    return Scan(series.shape, SERIES, plane, box)


def pictures(scan: Scan) -> list[tuple[str, Pixels]]:
    """Captions, and the three planes through the middle of the box or the scan, (M, N, 3) uint8, with the box drawn."""
    bounds = scan.box or tuple((0, extent) for extent in scan.shape)
    found = []
    for axis, extent in enumerate(scan.shape):
        middle = min(max(sum(bounds[axis]) // 2, 0), extent - 1)
        drawn = Image.fromarray(_gray(scan.plane(axis, middle))).convert("RGB")
        if scan.box:
            down, across = (bounds[place] for place in range(3) if place != axis)
            corners = (across[0], down[0], across[1] - 1, down[1] - 1)
            ImageDraw.Draw(drawn).rectangle(corners, outline=BOX, width=max(1, max(drawn.size) // 150))
        found.append((f"axis {axis} (to {scan.axes[axis]}), plane {middle}", np.asarray(drawn)))
    return found


def _gray(plane: NDArray[np.generic]) -> Pixels:
    """Bytes as they are, HU by :data:`WINDOW`."""
    if plane.dtype == np.uint8:
        return np.asarray(plane, np.uint8)
    low, high = WINDOW
    return ((plane.astype(np.float64).clip(low, high) - low) * (255 / (high - low))).astype(np.uint8)
