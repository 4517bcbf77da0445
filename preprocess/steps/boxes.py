"""Steps for boxes in a CT volume: cut, resample, window, and the planes of a box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preprocess.errors import ExcludeSample
from preprocess.reading.dicom import AIR
from preprocess.reading.nifti import Volume
from preprocess.reading.nifti import orientation as orientation_of

#: a box's "2 mm" grid: the spacing of one scan, applied to every scan: x and y, z
RELEASED_FACTORS = (0.703125 / 2, 0.703125 / 2, 2.5)
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


def cut(volume: Volume, orientation: str, box: str) -> NDArray[np.int16]:
    """Cut a box out of a volume.

    Args:
        volume: what a source of NIfTI volumes opens.
        orientation: the frame the box is applied to and the crop is returned in: ``lps``;
            ``lps-y-reversed``, in which the numbers, which are LPS, meet the array with y reversed
            (so the crop shows the patient elsewhere); ``raw``, the array as stored.
        box: ``x0 x1 y0 y1 z0 z1``, ends exclusive.

    Returns:
        HU, axes x, y, z of the frame.

    Raises:
        ExcludeSample: the box leaves the volume.
    """
    numbers = [int(word) for word in box.split()]
    try:
        return volume.box(tuple(zip(numbers[::2], numbers[1::2], strict=True)), _frame(volume, orientation))
    except IndexError as error:
        raise ExcludeSample("outside-volume", str(error)) from error


def cut_cube(volume: Volume, orientation: str, crop_unit: str, cube: int, centroid: str) -> NDArray[np.int16]:
    """Cut a cube about a point out of a volume; -1024 beyond it.

    It starts half its length before the voxel nearest to the point (halves to even), as the authors'
    ``crop_at_zyx_with_dhw`` does.

    Args:
        volume: what a source of NIfTI volumes opens.
        orientation: the frame the cube is returned in: ``lps``, ``lps-y-reversed`` or ``raw``.
        crop_unit: whether ``cube`` counts ``voxel`` or ``mm``; in mm each axis has the number of voxels
            nearest to it.
        cube: the edge.
        centroid: the point, in voxels of the array as stored.

    Returns:
        HU, axes x, y, z of the frame.
    """
    frame = _frame(volume, orientation)
    bounds, ends = [(0, 0)] * 3, [(0, 0)] * 3
    edges = volume.image.header.get_zooms()
    axes = orientation_of(volume.axes, frame).astype(int).tolist()
    for place, extent, spacing, (axis, direction) in zip(
        centroid.split(), volume.image.shape, edges, axes, strict=True
    ):
        point = float(place) if direction == 1 else extent - 1 - float(place)
        length = cube if crop_unit == "voxel" else max(round(cube / float(spacing)), 1)
        start = round(point) - length // 2
        bounds[axis] = max(start, 0), min(start + length, extent)
        ends[axis] = bounds[axis][0] - start, start + length - bounds[axis][1]
    return np.pad(volume.box(tuple(bounds), frame), ends, constant_values=AIR)


def _frame(volume: Volume, orientation: str) -> str:
    return {"lps": "LPS", "lps-y-reversed": "LAS", "raw": volume.axes}[orientation]


def grid(crop: NDArray[np.int16], grid: str) -> NDArray[np.int16]:
    """Resample a crop: ``original`` leaves it; ``2mm`` zooms it as the published volumes were.

    int16 in and out. The same call as in the published chain, every frame compared was equal: the
    factors are of one scan's 0.703125 x 0.703125 x 5 mm, for whatever spacing.
    """
    if grid == "original":
        return crop
    return np.asarray(ndimage.zoom(crop, RELEASED_FACTORS, order=3))


def window(crop: NDArray[np.int16], window: str, window_rounding: str) -> NDArray[np.uint8]:
    """Map HU to gray: ``lower,upper`` to 0 and 255 with clipping, truncated or rounded.

    A table of all 65,536 values, so that a large crop never becomes floating point.
    """
    low, high = (float(limit) for limit in window.split(","))
    hu = np.arange(2**16, dtype=np.uint16).view(np.int16).astype(float)
    gray = (np.clip(hu, low, high) - low) / (high - low) * 255
    if window_rounding == "round":
        gray = np.round(gray)
    table = np.asarray(gray.astype(np.uint8))
    return np.asarray(np.take(table, np.ascontiguousarray(crop).view(np.uint16)))


def plane(volume: NDArray[np.uint8], grid: str, slice_axes: str, view: str, slice_index: str) -> NDArray[np.uint8]:
    """Take one plane of a box.

    Args:
        volume: gray, axes x, y, z.
        grid: whether the planes are those of the ``2mm`` grid, or the original ones nearest to them.
        slice_axes: ``array`` keeps the order of the axes; ``display`` shows it as on a screen: rows are
            y in an axial plane, z downwards in a coronal and a sagittal one.
        view: ``axial``, ``coronal`` or ``sagittal``.
        slice_index: the plane's place in the 2 mm grid, whatever ``grid`` is.
    """
    axis, k = AXES[view], int(slice_index)
    if grid == "original":
        k = min(round(k / RELEASED_FACTORS[axis]), volume.shape[axis] - 1)
    image: NDArray[np.uint8] = np.moveaxis(volume, axis, 0)[k]
    if slice_axes == "display":
        image = image.T if view == "axial" else image.T[::-1]
    return np.ascontiguousarray(image)


def refuse_blank(region: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the region; one that has a single value is no sample (removed in MedMNIST 2.2.4).

    Raises:
        ExcludeSample: all of it has the same value.
    """
    if region.min() == region.max():
        raise ExcludeSample("blank", f"all {region.size:,} voxels have the value {region.flat[0]}")
    return region
