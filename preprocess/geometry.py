"""Boxes and points in grids of voxels, and the text they have in tables: each names its frame.

A frame is a word that names the three axes of an index grid in their order:

- three letters of ``LRPASI`` say where in the body each axis runs to: in ``LPS`` the first index grows to the Left,
  the second to the Posterior, the third to the Superior. The frame that equals an array's own axes is the array as
  stored. ``SPL`` are the plane, row and column of an axial series;
- ``zyx`` are plane, row and column of an array that lies in no body.

Indices count voxels from 0; a point at a whole number is the centre of a voxel. A box is half-open: along each axis
the first index in it and the first one behind it. In tables a box is ``LPS 120:250 88:190 30:61``, a point
``SPL 45.5000 230.2500 118.0000``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import NDArray

from preprocess.errors import PreprocessError

#: first index and first index behind it, along each axis
Bounds = tuple[tuple[int, int], ...]

#: the frame of an array that lies in no body
ARRAY = "zyx"
_BODY = re.compile(r"(?!.*[LR].*[LR])(?!.*[PA].*[PA])(?!.*[SI].*[SI])[LRPASI]{3}")
_BOX = re.compile(r"(\w{3})((?: -?\d+:-?\d+){3})", re.ASCII)
_POINT = re.compile(r"(\w{3})((?: -?\d+(?:\.\d+)?){3})", re.ASCII)


def is_frame(word: str) -> bool:
    """Whether a word names a frame."""
    return word == ARRAY or _BODY.fullmatch(word) is not None


def orientation(axes: str, towards: str = "LPS") -> NDArray[Any]:
    """How an array with ``axes`` is turned into the frame ``towards``.

    Returns:
        (3, 2) float64, as nibabel's ``apply_orientation`` takes it: for each axis, which axis of the frame it becomes,
        and 1 or -1 as both run alike or against each other.
    """
    from nibabel.orientations import axcodes2ornt, ornt_transform

    array: NDArray[Any] = ornt_transform(axcodes2ornt(axes), axcodes2ornt(towards))
    return array


def turns(axes: str, towards: str) -> list[tuple[int, int]]:
    """As :func:`orientation`, in whole numbers."""
    if axes == towards:
        return [(0, 1), (1, 1), (2, 1)]
    return [(int(axis), int(direction)) for axis, direction in orientation(axes, towards)]


def extents(shape: Sequence[int], axes: str, frame: str) -> tuple[int, int, int]:
    """The extents along the axes of ``frame`` of an array of this shape with ``axes``."""
    turned = [0, 0, 0]
    for extent, (target, _) in zip(shape, turns(axes, frame), strict=True):
        turned[target] = extent
    return turned[0], turned[1], turned[2]


@dataclass(frozen=True)
class Point:
    """A place in a grid of voxels.

    Attributes:
        frame: the axes of the grid.
        place: an index along each, fractions of voxels included.
    """

    frame: str
    place: tuple[float, float, float]

    @classmethod
    def of(cls, frame: str, place: Sequence[float]) -> Self:
        """A point at three numbers, such as those of an array."""
        x, y, z = (float(value) for value in place)
        return cls(frame, (x, y, z))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text that :meth:`text` gives.

        Raises:
            PreprocessError: it is another text.
        """
        match = _POINT.fullmatch(text)
        if match is None or not is_frame(match[1]):
            raise PreprocessError(f"{text!r} is not a point such as 'LPS 45.5 230.25 118'; make the table again")
        return cls.of(match[1], [float(word) for word in match[2].split()])

    def text(self, digits: int) -> str:
        """Its text in a table, with this many decimals."""
        return " ".join([self.frame, *(f"{value:.{digits}f}" for value in self.place)])

    def turned(self, shape: Sequence[int], frame: str) -> Point:
        """The same place in another frame.

        Args:
            shape: the grid's extents along the axes of this point's own frame.
            frame: the other.
        """
        found = [0.0, 0.0, 0.0]
        for value, extent, (target, direction) in zip(self.place, shape, turns(self.frame, frame), strict=True):
            found[target] = value if direction == 1 else extent - 1 - value
        return Point.of(frame, found)


@dataclass(frozen=True)
class Box:
    """A box of voxels, half-open.

    Attributes:
        frame: the axes of the grid.
        bounds: along each, the first index in the box and the first behind it.
    """

    frame: str
    bounds: Bounds

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text that :attr:`text` is.

        Raises:
            PreprocessError: it is another text, or a box without a voxel.
        """
        match = _BOX.fullmatch(text)
        pairs = [word.split(":") for word in match[2].split()] if match else []
        bounds = tuple((int(first), int(end)) for first, end in pairs)
        if match is None or not is_frame(match[1]) or any(first >= end for first, end in bounds):
            raise PreprocessError(f"{text!r} is not a box such as 'LPS 120:250 88:190 30:61'; make the table again")
        return cls(match[1], bounds)

    @property
    def text(self) -> str:
        """Its text in a table."""
        return " ".join([self.frame, *(f"{first}:{end}" for first, end in self.bounds)])

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many voxels it spans along each axis."""
        return tuple(end - first for first, end in self.bounds)

    @property
    def voxels(self) -> int:
        """How many voxels lie in it."""
        return math.prod(self.lengths)

    @property
    def centre(self) -> Point:
        """The middle of its first and last voxels' centres."""
        return Point.of(self.frame, [(first + end - 1) / 2 for first, end in self.bounds])

    @property
    def slices(self) -> tuple[slice, ...]:
        """The index that cuts it out of an array with the frame's axes; the box must fit the array."""
        return tuple(slice(first, end) for first, end in self.bounds)

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether it lies inside a grid with these extents along the axes of its frame."""
        return all(first >= 0 and end <= extent for (first, end), extent in zip(self.bounds, shape, strict=True))

    def common(self, other: Box) -> int:
        """How many voxels lie in both. Only the bounds are compared: the caller knows that they are of one frame."""
        pairs = zip(self.bounds, other.bounds, strict=True)
        return math.prod(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a, b in pairs)

    def overlap(self, other: Box) -> float:
        """Intersection over union of the two, 0 to 1."""
        common = self.common(other)
        return common / (self.voxels + other.voxels - common)

    def grown(self, margin: int, shape: Sequence[int]) -> Box:
        """The box with a margin on every side, as far as a grid of these extents reaches."""
        pairs = zip(self.bounds, shape, strict=True)
        return Box(self.frame, tuple((max(a - margin, 0), min(b + margin, extent)) for (a, b), extent in pairs))

    def turned(self, shape: Sequence[int], frame: str) -> Box:
        """The same voxels in another frame.

        Args:
            shape: the grid's extents along the axes of this box's own frame.
            frame: the other.
        """
        found = [(0, 0)] * 3
        for (first, end), extent, (target, direction) in zip(self.bounds, shape, turns(self.frame, frame), strict=True):
            found[target] = (first, end) if direction == 1 else (extent - end, extent - first)
        return Box(frame, tuple(found))
