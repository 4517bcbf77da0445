"""What a prepare job wrote: a unit's array after the first steps of a recipe, or why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import ExcludeSample, UnreadableError
from preprocess.reading.archives import Raw
from preprocess.table import Sample, read_rows

#: the table beside the arrays, and its columns; a unit's array is ``<its row>.npy``
TABLE = "units.tsv"
COLUMNS = ("unit", "reason", "detail", "raw_form", "raw_sha256")


class Prepared:
    """One folder of prepared arrays; stands in for a source's ``open``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows = {row["unit"]: (number, row) for number, row in enumerate(read_rows(folder / TABLE))}

    def __contains__(self, sample: Sample) -> bool:
        return sample.unit_key in self._rows

    def open(self, raw: Raw, sample: Sample) -> NDArray[Any]:
        """The prepared array of a sample's unit.

        Raises:
            UnreadableError: the raw file could not be read.
            ExcludeSample: a step found that the unit cannot be part of the dataset.
        """
        number, row = self._rows[sample.unit_key]
        if row["reason"] == "unreadable":
            raise UnreadableError(row["detail"])
        if row["reason"]:
            raise ExcludeSample(row["reason"], row["detail"])
        array: NDArray[Any] = np.load(self._folder / f"{number}.npy")
        return array

    def described(self, sample: Sample) -> tuple[str, str]:
        """Form and sha256 of what the source opened for the sample's unit."""
        row = self._rows[sample.unit_key][1]
        return row["raw_form"], row["raw_sha256"]
