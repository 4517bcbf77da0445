"""CT series in DICOM files: headers read from a file's beginning, planes decoded as they are asked for."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableError
from preprocess.reading.archives import Raw, RawFile

#: enough for the header of nearly every slice; where it is not, the whole file is read
HEADER_BYTES = 1 << 15
#: HU of air, and of everything below
AIR = -1024
_TAGS = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "InstanceNumber", "ImagePositionPatient",
    "PixelSpacing", "Rows", "Columns",
)  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """What the header of one slice says; lengths in mm.

    Attributes:
        path: its file.
        study, series, instance: its UIDs.
        number: its InstanceNumber.
        z: height of its plane.
        spacing: distance of its rows and of its columns.
        shape: its rows and columns.
    """

    path: str
    study: str
    series: str
    instance: str
    number: int
    z: float
    spacing: tuple[float, float]
    shape: tuple[int, int]


def _pydicom() -> Any:
    import pydicom

    # old scanners' headers hold values that the standard does not allow; none of them is used here
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom


def read_header(raw: Raw, path: str) -> Slice | None:
    """Read the header of one file; None where it is no DICOM file, or has no UIDs.

    A header that lacks what a slice needs has NaN and 0 in its place.
    """
    pydicom = _pydicom()
    head = raw.head(path, HEADER_BYTES)
    for data in (head, None):
        try:
            found = pydicom.dcmread(
                io.BytesIO(raw.read(path) if data is None else data), stop_before_pixels=True, specific_tags=list(_TAGS)
            )
            position, spacing = found.get("ImagePositionPatient"), found.get("PixelSpacing")
            return Slice(
                path=path,
                study=str(found.StudyInstanceUID).strip(),
                series=str(found.SeriesInstanceUID).strip(),
                instance=str(found.get("SOPInstanceUID", "")).strip(),
                number=int(found.get("InstanceNumber") or 0),
                z=float(position[2]) if position else np.nan,
                spacing=(float(spacing[0]), float(spacing[1])) if spacing else (np.nan, np.nan),
                shape=(int(found.get("Rows", 0)), int(found.get("Columns", 0))),
            )
        except pydicom.errors.InvalidDicomError:
            return None
        except Exception:
            # pydicom lets through whatever a cut or damaged header makes its parsers raise
            if data is None or len(head) < HEADER_BYTES:
                return None
    return None


def read_headers(raw: Raw, files: list[RawFile]) -> list[Slice]:
    """The headers of all DICOM files among some."""
    return [one for file in files if (one := read_header(raw, file.path)) is not None]


@dataclass
class Series:
    """A CT series whose slices are decoded as they are asked for.

    Attributes:
        slices: one a plane, from the lowest z upwards.
        spacing: mm between planes (the median), rows and columns.
    """

    raw: Raw
    slices: list[Slice]
    spacing: tuple[float, float, float]
    _planes: dict[int, NDArray[np.int16]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of planes, rows and columns."""
        return (len(self.slices), *self.slices[0].shape)

    def box(self, bounds: tuple[tuple[int, int], ...]) -> NDArray[np.int16]:
        """HU of a box, first and last + 1 plane, row and column, all inside; nothing is below -1024.

        Raises:
            UnreadableError: a slice is damaged.
        """
        (first, end), rows, columns = bounds
        return np.stack([self._plane(k)[slice(*rows), slice(*columns)] for k in range(first, end)])

    def sha256(self) -> str:
        """Digest of the instance UIDs and heights of the slices: reading all pixels for it is not worth it."""
        lines = "".join(f"{one.instance} {one.z}\n" for one in self.slices)
        return hashlib.sha256(lines.encode()).hexdigest()

    def _plane(self, k: int) -> NDArray[np.int16]:
        if k not in self._planes:
            self._planes[k] = _decode(self.raw, self.slices[k])
        return self._planes[k]


def _decode(raw: Raw, one: Slice) -> NDArray[np.int16]:
    pydicom = _pydicom()
    data = raw.read(one.path)
    try:
        found = pydicom.dcmread(io.BytesIO(data))
        hu = found.pixel_array * float(found.RescaleSlope) + float(found.RescaleIntercept)
    except Exception as error:  # whatever pydicom and its decoders raise on a damaged file
        raise UnreadableError(f"{one.path.rpartition('/')[2]} cannot be decoded ({error})") from error
    if hu.shape != one.shape:
        raise UnreadableError(f"{one.path.rpartition('/')[2]} has the shape {hu.shape}, not {one.shape}")
    plane: NDArray[np.int16] = np.clip(hu, AIR, 2**15 - 1).astype(np.int16)
    return plane
