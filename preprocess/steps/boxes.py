"""Steps for boxes in a CT volume: cut, resample, window, and the planes of a box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.geometry import Bounds, Box, Point
from preprocess.geometry import extents as extents_of
from preprocess.reading.dicom import AIR
from preprocess.reading.volume import Volume, bounding_box
from preprocess.steps.grids import MARGIN, Lattice

#: a box's "2 mm" grid: the spacing of one scan, applied to every scan: x and y, z
RELEASED_FACTORS = (0.703125 / 2, 0.703125 / 2, 2.5)
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


def cut(volume: Volume, orientation: str, box: str) -> NDArray[np.int16]:
    """Cut a box out of a volume.

    Args:
        volume: what a source of CT volumes opens.
        orientation: the frame the box is applied to and the crop is returned in: ``lps``;
            ``lps-y-reversed``, in which the numbers, which are LPS, meet the array with y reversed
            (so the crop shows the patient elsewhere); ``raw``, the array as stored.
        box: the text of a :class:`~preprocess.geometry.Box`; its numbers are taken in the frame of ``orientation``.

    Returns:
        HU, axes x, y, z of the frame.

    Raises:
        ExcludeSample: the box leaves the volume.
    """
    applied = Box(frame_of(volume, orientation), Box.parse(box).bounds)
    try:
        return volume.cut(applied)
    except IndexError as error:
        raise ExcludeSample("outside-volume", str(error)) from error


def cut_cube(
    volume: Volume,
    orientation: str,
    crop_unit: str,
    cube: int,
    pitch: str,
    centre: str,
    mask: str,
    centroid: str,
    fracture: str,
    ribs: str,
) -> NDArray[np.int16]:
    """Cut a cube about a fracture out of a volume; -1024 beyond it.

    It starts half its length before the voxel nearest to the centre (halves to even), as the authors'
    ``crop_at_zyx_with_dhw`` does.

    Args:
        volume: what a source of volumes opens, its masks ``labels`` and ``ribs`` beside it.
        orientation: the frame the cube is returned in: ``lps``, ``lps-y-reversed`` or ``raw``.
        crop_unit: whether ``cube`` counts ``voxel`` or ``mm``; in mm each axis has the number of voxels
            nearest to it.
        cube: the edge.
        pitch: ``original``, the scan's own voxels; ``1mm``: the scan resampled to 1 mm by the cubic
            spline, as :class:`~preprocess.steps.grids.Lattice` says, rounded to whole HU.
        centre: ``mask``: the centroid of the label's voxels; ``interpolated``, ``interpolated-cubic``: of its
            voxels after the numbers of all labels were resampled to 1 mm as if they were amounts.
        mask: ``ribs`` sets what is outside the ribs' mask to -1024 (the mask's voxel that lies
            nearest counts); ``none`` leaves it.
        centroid: the label's centroid, the text of a :class:`~preprocess.geometry.Point`.
        fracture: its label's number.
        ribs: the file of the ribs' mask; empty where this scan has none and others have; ``none`` where
            no scan has one, and then nothing is masked.

    Returns:
        HU, axes x, y, z of the frame.

    Raises:
        ExcludeSample: the ribs' mask is missing, or no voxel of the label is left at 1 mm.
        PreprocessError: a pitch or centre that is not of fractures.
        UnreadableError: a file is damaged, or says two things of its voxels' edges.
    """
    if pitch not in ("original", "1mm") or centre not in ("mask", "interpolated", "interpolated-cubic"):
        raise PreprocessError(f"pitch: {pitch}, centre: {centre}: not a fracture's; see docs/decisions.md")
    if mask == "ribs" and not ribs:
        raise ExcludeSample("missing", "this scan has no mask of its ribs, others have")
    frame = frame_of(volume, orientation)
    spacing = volume.spacing(frame)
    extents = extents_of(volume.shape, volume.axes, frame)
    lattice = Lattice.of(extents, spacing, 1.0)
    told = Point.parse(centroid)
    place = np.array(told.turned(extents_of(volume.shape, volume.axes, told.frame), frame).place)
    if centre == "mask":
        place_1mm = place / lattice.ratio
    else:
        place_1mm = _interpolated_centre(volume, frame, lattice, int(fracture), 1 if centre == "interpolated" else 3)
        place = place_1mm * lattice.ratio
    masked = mask == "ribs" and ribs != "none"
    if pitch == "1mm":  # a voxel is a mm here, whatever crop_unit counts
        start = np.round(place_1mm).astype(int) - cube // 2
        hu = np.rint(lattice.cube(lambda bounds: volume.cut(Box(frame, bounds)), start, cube, AIR))
        if masked:
            bones = volume.companion("ribs")
            hu[~lattice.nearest(lambda bounds: bones.values(Box(frame, bounds)) > 0, start, cube, False)] = AIR
        return np.clip(hu, -(2**15), 2**15 - 1).astype(np.int16)
    whole = cube_about(place.tolist(), spacing, crop_unit, cube)
    bounds: Bounds = tuple(
        (min(max(start, 0), extent - 1), max(min(end, extent), 1))
        for (start, end), extent in zip(whole, extents, strict=True)
    )
    ends = [(inner[0] - outer[0], outer[1] - inner[1]) for inner, outer in zip(bounds, whole, strict=True)]
    part = volume.cut(Box(frame, bounds))
    if masked:
        part = np.where(volume.companion("ribs").values(Box(frame, bounds)) > 0, part, np.int16(AIR))
    return np.pad(part, ends, constant_values=AIR)


def cube_about(place: Sequence[float], spacing: Sequence[float], crop_unit: str, cube: int) -> Bounds:
    """The voxels of a cube about a place, which may lie outside the scan.

    Args:
        place: index of its centre along each axis, in fractions of voxels.
        spacing: voxel edges in mm.
        crop_unit: whether ``cube`` counts ``voxel`` or ``mm``.
        cube: its edge.
    """
    lengths = [cube if crop_unit == "voxel" else max(round(cube / edge), 1) for edge in spacing]
    starts = [round(float(at)) - length // 2 for at, length in zip(place, lengths, strict=True)]
    return tuple((start, start + length) for start, length in zip(starts, lengths, strict=True))


def _interpolated_centre(volume: Volume, frame: str, lattice: Lattice, label: int, order: int) -> NDArray[np.float64]:
    """The centroid of a label in the lattice, after the labels' numbers were interpolated to it and rounded.

    Between a label and the background, and between two labels, lie then the numbers of others: that moves
    the centroids of low numbers, and is why some labels vanish.
    """
    key = ("centres", frame, order)
    if key not in volume.memory:
        volume.memory[key] = _interpolated_centres(volume.companion("labels"), frame, lattice, order)
    found: dict[int, NDArray[np.float64]] = volume.memory[key]
    if label not in found:
        raise ExcludeSample("empty-grid", f"no voxel of label {label} is left at 1 mm")
    return found[label]


def _interpolated_centres(labels: Volume, frame: str, lattice: Lattice, order: int) -> dict[int, NDArray[np.float64]]:
    from scipy import ndimage

    box = bounding_box(labels.image, labels.axes)
    if box is None:
        return {}
    near = box.turned(labels.shape, frame).grown(2 if order == 1 else MARGIN, lattice.extents.tolist())
    first, end = np.array(near.bounds).T
    numbers = np.rint(labels.values(near)).astype(np.int16)
    low = np.ceil(first / lattice.ratio).astype(int)
    high = np.minimum(np.floor((end - 1) / lattice.ratio).astype(int) + 1, lattice.target)
    soft = ndimage.spline_filter(numbers.astype(np.float32), 3) if order > 1 else numbers
    sums: dict[int, NDArray[np.float64]] = {}
    slab = 32
    for start in range(int(low[2]), int(high[2]), slab):
        low_here = np.array([low[0], low[1], start])
        shape = (int(high[0] - low[0]), int(high[1] - low[1]), min(slab, int(high[2]) - start))
        part = ndimage.affine_transform(
            soft, lattice.ratio, low_here * lattice.ratio - first, shape, np.int16, order, "nearest", prefilter=False
        )
        place = np.stack(np.nonzero(part > 0))
        values = part[tuple(place)]
        for number in np.unique(values).tolist():
            mine = place[:, values == number] + low_here[:, None]
            sums.setdefault(number, np.zeros(4))
            sums[number] += [*mine.sum(axis=1), mine.shape[1]]
    return {number: total[:3] / total[3] for number, total in sums.items()}


def frame_of(volume: Volume, orientation: str) -> str:
    """The frame that a value of the decision ``orientation`` applies a box in."""
    return {"lps": "LPS", "lps-y-reversed": "LAS", "raw": volume.axes}[orientation]


def grid(crop: NDArray[np.int16], grid: str) -> NDArray[np.int16]:
    """Resample a crop: ``original`` leaves it; ``2mm`` zooms it as the published volumes were.

    int16 in and out. The same call as in the published chain, every frame compared was equal: the
    factors are of one scan's 0.703125 x 0.703125 x 5 mm, for whatever spacing.
    """
    if grid == "original":
        return crop
    from scipy import ndimage

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
