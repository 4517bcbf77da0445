"""How far apart pictures are: figures that a comparison of builds and the alternatives of an audit page share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Figures:
    """What was added up.

    Attributes:
        rows: pairs of pictures.
        equal: those equal in every pixel.
        mean: mean absolute difference over all of them, in gray levels of 255.
        greatest: greatest absolute difference.
        psnr: peak signal-to-noise ratio over all of them in dB, 10 log10(255² / mean squared error); None where nothing
            differs.
    """

    rows: int
    equal: int
    mean: float
    greatest: int
    psnr: float | None


@dataclass
class Apart:
    """Differences added up over pairs of pictures of one size: how many there are, and of those that differ the values.

    All are whole numbers, so that they are the same in whatever order they are added up.
    """

    rows: int = 0
    equal: int = 0
    read: int = 0
    values: int = 0
    absolute: int = 0
    squared: int = 0
    greatest: int = 0

    def count(self, is_equal: bool) -> None:
        """Count a pair; what is not equal may be read later (:meth:`add`), or not at all."""
        self.rows += 1
        self.equal += is_equal

    def add(self, gap: NDArray[np.int16]) -> None:
        """Take in the differences of a pair that is not equal."""
        size = np.abs(gap)
        self.read += 1
        self.values += gap.size
        self.absolute += int(size.sum(dtype=np.int64))
        self.squared += int(np.square(size, dtype=np.int32).sum(dtype=np.int64))
        self.greatest = max(self.greatest, int(size.max()))

    def take(self, other: Apart) -> None:
        """Take in what was added up elsewhere."""
        self.rows += other.rows
        self.equal += other.equal
        self.read += other.read
        self.values += other.values
        self.absolute += other.absolute
        self.squared += other.squared
        self.greatest = max(self.greatest, other.greatest)

    def compare(self, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> None:
        """Count a pair and take in its differences."""
        gap = one.astype(np.int16) - other
        self.count(is_equal := not gap.any())
        if not is_equal:
            self.add(gap)

    def figures(self) -> Figures:
        """What was added up, over all pairs: those not read are taken to differ as those that were."""
        weight = (self.rows - self.equal) / self.rows / self.values if self.values else 0.0
        error = self.squared * weight
        psnr = 10 * math.log10(255**2 / error) if error else None
        return Figures(self.rows, self.equal, self.absolute * weight, self.greatest, psnr)
