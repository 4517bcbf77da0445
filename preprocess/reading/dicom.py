"""CT series in DICOM files: headers read from a file's beginning, planes decoded as they are asked for.

Accepted: files with the preamble of 128 bytes and ``DICM``, and bare data sets without it; any name, with an
ending or none; pixels as they are or compressed (RLE, JPEG, JPEG-LS, JPEG 2000), which SimpleITK's GDCM
decodes.

**Where a plane lies** is read of every slice: position, orientation, spacing, rows and columns. A series is
one where all slices agree in them, are parallel, and lie behind each other along their normal. Axial
slices whose rows and columns run otherwise than to Left and Posterior are turned so; others are refused.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.geometry import Bounds
from preprocess.reading import gdcm
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.volume import Header, Stored, placement, refuse_shifted

#: enough for the header of nearly every slice; where it is not, the whole file is read
HEADER_BYTES = 1 << 15
#: HU of air, and of everything below
AIR = -1024
#: how far directions may be from an axis, as a component; how far slices may stray from their line, in pixels
STRAIGHT, STRAY = 0.01, 1.0
_TAGS = (
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "InstanceNumber", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
)  # fmt: skip
_NAN3 = (np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Slice:
    """What the header of one slice says; lengths in mm.

    Attributes:
        path: its file.
        study, series, instance: its UIDs.
        number: its InstanceNumber.
        position: of the centre of its first pixel: to Left, Posterior and Superior.
        rows_to, columns_to: the directions in which a row's pixels and a column's pixels follow each other.
        spacing: distance of its rows and of its columns.
        shape: its rows and columns.
    """

    path: str
    study: str
    series: str
    instance: str
    number: int
    position: tuple[float, float, float]
    rows_to: tuple[float, float, float]
    columns_to: tuple[float, float, float]
    spacing: tuple[float, float]
    shape: tuple[int, int]

    @property
    def z(self) -> float:
        """Height of its plane."""
        return self.position[2]


def _pydicom() -> Any:
    import pydicom

    # old scanners' headers hold values that the standard does not allow; none of them is used here
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM: by its preamble, or as a bare data set of group 0008."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 16:
        return False
    # the first element of a bare data set: group 0008 with an element below 0020, or the file's own group 0002
    group, element = struct.unpack("<HH", head[:4])
    return (group, element) in {(2, 0), (2, 1)} or (group == 8 and element <= 0x20)


def read_header(raw: Raw, path: str) -> Slice | None:
    """Read the header of one file; None where it is no DICOM file, or one of another kind without UIDs.

    A header that lacks what a slice needs has NaN and 0 in its place.

    Raises:
        UnreadableError: it is a DICOM file (by its beginning, or by the ending .dcm), but damaged.
    """
    pydicom = _pydicom()
    head = raw.head(path, HEADER_BYTES)
    name = path.rpartition("/")[2]
    if not is_dicom(head):
        if name.lower().endswith(".dcm"):
            raise UnreadableError(f"{name} is {'empty' if not head else 'no DICOM file'}")
        return None
    problem: Exception | None = None
    for data in (head, None):
        try:
            whole = raw.read(path) if data is None else data
            found = pydicom.dcmread(io.BytesIO(whole), stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
            if "SeriesInstanceUID" not in found and (data is None or len(head) < HEADER_BYTES):
                if name.upper() == "DICOMDIR":
                    return None
                raise UnreadableError(f"{name} is damaged (no series UID)")
            return _slice(path, found)
        except UnreadableError:
            raise
        except Exception as error:
            # pydicom lets through whatever a cut or damaged header makes its parsers raise
            problem = error
            if len(head) < HEADER_BYTES:
                break
    raise UnreadableError(f"{name} is damaged ({_short(problem)})")


def _slice(path: str, found: Any) -> Slice:
    position, spacing = found.get("ImagePositionPatient"), found.get("PixelSpacing")
    directions = [float(value) for value in found.get("ImageOrientationPatient") or ()]
    if len(directions) != 6:
        directions = [np.nan] * 6
    return Slice(
        path=path,
        study=str(found.StudyInstanceUID).strip(),
        series=str(found.SeriesInstanceUID).strip(),
        instance=str(found.get("SOPInstanceUID", "")).strip(),
        number=int(found.get("InstanceNumber") or 0),
        position=(float(position[0]), float(position[1]), float(position[2])) if position else _NAN3,
        rows_to=(directions[0], directions[1], directions[2]),
        columns_to=(directions[3], directions[4], directions[5]),
        spacing=(float(spacing[0]), float(spacing[1])) if spacing else (np.nan, np.nan),
        shape=(int(found.get("Rows", 0)), int(found.get("Columns", 0))),
    )


def _short(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


#: what a census of headers may name; any other word of a header may be somebody's name
_MODALITIES = {"CT", "CR", "DX", "MR", "PT", "SEG", "SR", "OT", "US", "XA", "MG", "RTSTRUCT"}
_PHOTOMETRIC = {"MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422"}
_TRAITS = (
    "Modality", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation", "Rows", "Columns",
    "PixelSpacing", "SliceThickness", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept",
)  # fmt: skip


def traits(raw: Raw, path: str) -> dict[str, str]:
    """What the header of a file says of its pixels, for a census of files; nothing of the patient, no UID, no date.

    Raises:
        UnreadableError: its header cannot be read.
    """
    pydicom = _pydicom()
    for data in (raw.head(path, HEADER_BYTES), None):
        try:
            found = pydicom.dcmread(
                io.BytesIO(raw.read(path) if data is None else data),
                stop_before_pixels=True, specific_tags=list(_TRAITS), force=True,
            )  # fmt: skip
            return _traits(pydicom, found)
        except UnreadableError:
            raise
        except Exception as error:  # whatever a cut or damaged header makes pydicom's parsers raise
            problem = error
    raise UnreadableError(f"is damaged ({_short(problem)})")


def _traits(pydicom: Any, found: Any) -> dict[str, str]:
    def one_of(name: str, known: set[str]) -> str:
        value = str(found.get(name, "") or "").strip()
        return value if value in known else "none" if not value else "other"

    def numbers(name: str) -> str:
        value = found.get(name)
        if value is None or value == "":
            return "none"
        values = [value] if isinstance(value, int | float | str) or not hasattr(value, "__iter__") else list(value)
        return "/".join(f"{float(one):.4g}" for one in values)

    syntax = found.file_meta.get("TransferSyntaxUID") if "file_meta" in found.__dict__ else None
    known = syntax is not None and syntax in pydicom.uid.UID_dictionary and pydicom.uid.UID(syntax).is_transfer_syntax
    signed = {0: "unsigned", 1: "signed"}.get(found.get("PixelRepresentation"), "sign not told")
    return {
        "transfer syntax": pydicom.uid.UID(syntax).name if known else "none" if syntax is None else "other",
        "modality": one_of("Modality", _MODALITIES),
        "photometric": one_of("PhotometricInterpretation", _PHOTOMETRIC),
        "bits": f"{numbers('BitsStored')} of {numbers('BitsAllocated')}, {signed}",
        "rows": numbers("Rows"),
        "columns": numbers("Columns"),
        "pixel spacing": numbers("PixelSpacing"),
        "slice thickness": numbers("SliceThickness"),
        "orientation": numbers("ImageOrientationPatient"),
        "rescale slope": numbers("RescaleSlope"),
        "rescale intercept": numbers("RescaleIntercept"),
    }


def element(raw: Raw, path: str, keyword: str) -> str:
    """The text of one element of a file's header, by its keyword; empty where there is none, several joined by ``/``.

    Raises:
        UnreadableError: it is no DICOM file, or its header cannot be read.
        PreprocessError: there is no such keyword.
    """
    pydicom = _pydicom()
    if pydicom.datadict.tag_for_keyword(keyword) is None:
        raise PreprocessError(f"header {keyword}: DICOM has no element of this keyword; PatientID is one")
    if not is_dicom(raw.head(path, 132)):
        raise UnreadableError("is no DICOM file", path, raw.root)
    problem: Exception | None = None
    for data in (raw.head(path, HEADER_BYTES), None):
        try:
            found = pydicom.dcmread(
                io.BytesIO(raw.read(path) if data is None else data),
                stop_before_pixels=True, specific_tags=[keyword], force=True,
            ).get(keyword)  # fmt: skip
        except Exception as error:  # whatever a cut or damaged header makes pydicom's parsers raise
            problem = error
            continue
        if found is not None:
            values = [found] if isinstance(found, str) or not isinstance(found, Sequence) else found
            return "/".join(str(one).strip() for one in values)
    if problem is not None:
        raise UnreadableError(f"is damaged ({_short(problem)})", path, raw.root)
    return ""


#: what the decoder of compressed pixels makes RGB of
_DECODED_TO_RGB = ("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True)
class Frame:
    """A DICOM file that holds one picture: an X-ray, a photograph, one slice."""

    data: bytes = field(repr=False)

    @cached_property
    def _found(self) -> Any:
        try:
            return _pydicom().dcmread(io.BytesIO(self.data), force=True)
        except Exception as error:  # whatever pydicom raises on a damaged file
            raise UnreadableError(f"is damaged ({_short(error)})") from error

    @property
    def form(self) -> str:
        """Its photometric interpretation, bits and size in words: ``DICOM MONOCHROME2 12 bits 512x512``."""
        found = self._found
        kind, bits = found.get("PhotometricInterpretation", "unknown"), found.get("BitsStored", 0)
        return f"DICOM {kind} {bits} bits {found.get('Columns', 0)}x{found.get('Rows', 0)}"

    def sha256(self) -> str:
        """Digest of the file's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def _is_packed(self) -> bool:
        """Whether its pixels are compressed."""
        meta = self._found.file_meta if "file_meta" in self._found.__dict__ else {}
        syntax = meta.get("TransferSyntaxUID")
        return bool(syntax is not None and syntax.is_compressed and syntax.is_encapsulated)

    def values(self) -> NDArray[Any]:
        """The numbers of the picture: (rows, columns), or (rows, columns, 3) of RGB.

        Slope and intercept are applied where the header has them, and MONOCHROME1, in which high numbers are dark, is
        turned over. The window that a header proposes is not applied.

        Raises:
            UnreadableError: damaged, several pictures in one file, or neither gray nor RGB.
        """
        found = self._found
        try:
            frames, kind = int(found.get("NumberOfFrames") or 1), str(found.PhotometricInterpretation)
            if frames > 1:
                raise UnreadableError(f"holds {frames} pictures; nothing says which of them is the sample")
            if kind not in ("MONOCHROME1", "MONOCHROME2", "RGB") and not (kind in _DECODED_TO_RGB and self._is_packed):
                raise UnreadableError(f"is {kind}; known are MONOCHROME1, MONOCHROME2, RGB, and YBR where it is JPEG")
            slope, intercept = _scale(found, needed=False)
            values = _rescaled(self.data, found, lambda: (slope, intercept))
            if kind == "MONOCHROME1":
                highest = -1 if found.get("PixelRepresentation") else 2 ** int(found.BitsStored) - 1
                values = slope * highest + 2 * intercept - values
        except UnreadableError:
            raise
        except Exception as error:  # whatever pydicom and its decoders raise on a damaged file
            raise UnreadableError(f"cannot be decoded ({_short(error)})") from error
        values = values[0] if values.ndim == 4 and len(values) == 1 else values
        wanted = (int(found.Rows), int(found.Columns), *(() if kind.startswith("MONOCHROME") else (3,)))
        if values.shape != wanted:
            raise UnreadableError(f"has the shape {values.shape}, not {wanted}")
        return values


def _scale(found: Any, needed: bool) -> tuple[float, float]:
    """Slope and intercept of a header; where they are not needed, 1 and 0 stand for what is not there."""
    if needed:
        return float(found.RescaleSlope), float(found.RescaleIntercept)
    return float(found.get("RescaleSlope") or 1), float(found.get("RescaleIntercept") or 0)


def _rescaled(data: bytes, found: Any, scale: Callable[[], tuple[float, float]]) -> NDArray[Any]:
    """The values of one file, slope and intercept applied: whole numbers where both are whole.

    ``scale`` gives the two, and is asked where the decoder does not apply them itself.
    """
    pydicom = _pydicom()
    syntax = found.file_meta.get("TransferSyntaxUID") if "file_meta" in found.__dict__ else None
    if syntax is None:  # a bare data set: as it was read
        little, implicit = found.original_encoding[1], found.original_encoding[0]
        syntax = (
            pydicom.uid.ImplicitVRLittleEndian if implicit
            else pydicom.uid.ExplicitVRLittleEndian if little
            else pydicom.uid.ExplicitVRBigEndian
        )  # fmt: skip
        found.file_meta = pydicom.dataset.FileMetaDataset()
        found.file_meta.TransferSyntaxUID = syntax
    if syntax.is_compressed and syntax.is_encapsulated:
        return gdcm.decode(data)
    slope, intercept = scale()
    if (slope, intercept) == (1, 0):
        return np.asarray(found.pixel_array)
    values = found.pixel_array * slope + intercept
    return values.astype(np.int64) if slope.is_integer() and intercept.is_integer() else np.asarray(values)


def read_headers(raw: Raw, files: Sequence[RawFile]) -> tuple[list[Slice], list[str]]:
    """The headers of all DICOM files among some, and what is wrong with each damaged one."""
    slices: list[Slice] = []
    damaged: list[str] = []
    for file in files:
        try:
            if (one := read_header(raw, file.path)) is not None:
                slices.append(one)
        except UnreadableError as error:
            damaged.append(str(error))
    return slices, damaged


@dataclass(frozen=True, eq=False)
class Geometry:
    """How the slices of a series lie.

    Attributes:
        affine: (4, 4) float64, from plane, row and column (as turned) to mm to Left, Posterior and Superior.
        spacing: mm between planes (the median), rows and columns, as turned.
        shape: numbers of planes, rows and columns, as turned.
        transposed: whether a stored plane's rows are its columns as turned.
        flipped: whether rows, and columns, are reversed after that.
    """

    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    transposed: bool
    flipped: tuple[bool, bool]


def geometry(slices: Sequence[Slice]) -> Geometry:
    """The geometry of a series, checked on every slice.

    Args:
        slices: one a plane, from the lowest z upwards.

    Raises:
        UnreadableError: the slices differ in matrix, spacing or orientation, are not axial, or do not
            lie behind each other along their normal.
    """
    first = slices[0]
    directions, positions = _alike(slices)
    along, down = np.rint(directions[0])
    if np.abs(directions[0] - [along, down]).max() > STRAIGHT or abs(along @ down) > 0 or along[2] or down[2]:
        text = "/".join(f"{value:g}" for value in directions[0].ravel())
        raise UnreadableError(f"its slices are not axial (ImageOrientationPatient {text})")
    distance = float(np.median(np.diff(positions[:, 2]))) if len(slices) > 1 else 1.0
    stray = np.abs(positions[:, :2] - positions[0, :2]).max(axis=1) / min(first.spacing)
    if stray.max() > STRAY:
        name = slices[int(stray.argmax())].path.rpartition("/")[2]
        raise UnreadableError(
            f"its slices do not lie along their normal: {name} is {stray.max():.1f} pixels beside the first"
        )
    transposed = bool(along[1])  # a row runs to the front or the back
    column_sign, row_sign = (down[0], along[1]) if transposed else (along[0], down[1])
    row_gap, column_gap = first.spacing[::-1] if transposed else first.spacing
    rows, columns = first.shape[::-1] if transposed else first.shape
    origin = positions[0].copy()
    origin[0] -= (columns - 1) * column_gap if column_sign < 0 else 0
    origin[1] -= (rows - 1) * row_gap if row_sign < 0 else 0
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = distance, row_gap, column_gap, 1
    affine[:3, 3] = origin
    return Geometry(
        affine,
        (distance, row_gap, column_gap),
        (len(slices), rows, columns),
        transposed,
        (bool(row_sign < 0), bool(column_sign < 0)),
    )


def _alike(slices: Sequence[Slice]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The directions (n, 2, 3) and positions (n, 3) of slices that agree in all but their places.

    Raises:
        UnreadableError: they do not.
    """
    first = slices[0]
    told = {(one.spacing, one.shape) for one in slices}
    if len(told) > 1 or not np.isfinite(first.spacing).all() or min(first.spacing) <= 0:
        raise UnreadableError("its slices differ in rows, columns or pixel spacing, or do not tell it")
    directions = np.array([[one.rows_to, one.columns_to] for one in slices])
    positions = np.array([one.position for one in slices])
    if not np.isfinite(directions).all() or not np.isfinite(positions).all():
        raise UnreadableError("its slices do not tell where they lie (position and orientation)")
    apart = np.abs(directions - directions[0]).max(axis=(1, 2))
    if apart.max() > STRAIGHT:
        name = slices[int(apart.argmax())].path.rpartition("/")[2]
        raise UnreadableError(f"its slices are not parallel: {name} is turned against {first.path.rpartition('/')[2]}")
    return directions, positions


@dataclass
class Series:
    """A CT series whose slices are decoded as they are asked for.

    Attributes:
        slices: one a plane, from the lowest z upwards.
        geometry: how they lie.
    """

    raw: Raw
    slices: list[Slice]
    geometry: Geometry
    _planes: dict[int, NDArray[np.int16]] = field(default_factory=dict)
    _looked: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of planes, rows and columns."""
        return self.geometry.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """mm between planes (the median), rows and columns."""
        return self.geometry.spacing

    def cut(self, bounds: Bounds) -> NDArray[np.int16]:
        """The HU in a box of the frame SPL that lies inside the series; nothing is below -1024.

        Rows run to Posterior, columns to Left.

        Raises:
            UnreadableError: a slice is damaged, or the series' values are HU plus or minus 1024.
        """
        (first, end), rows, columns = bounds
        planes = [self._plane(k) for k in range(first, end)]
        if not self._looked and planes:
            refuse_shifted(np.concatenate([plane[::4, ::4].ravel() for plane in planes[:: max(len(planes) // 8, 1)]]))
            self._looked = True
        return np.stack([plane[slice(*rows), slice(*columns)] for plane in planes])

    def sha256(self) -> str:
        """Digest of the instance UIDs and heights of the slices: reading all pixels for it is not worth it."""
        lines = "".join(f"{one.instance} {one.z}\n" for one in self.slices)
        return hashlib.sha256(lines.encode()).hexdigest()

    def _plane(self, k: int) -> NDArray[np.int16]:
        if k not in self._planes:
            plane = decode(self.raw, self.slices[k])
            plane = plane.T if self.geometry.transposed else plane
            rows, columns = (slice(None, None, -1 if flipped else 1) for flipped in self.geometry.flipped)
            self._planes[k] = np.ascontiguousarray(plane[rows, columns])
        return self._planes[k]


@dataclass(eq=False)
class Stack(Stored):
    """A series of any direction as a volume: columns, rows and planes are its three axes as stored.

    Made by :func:`stack`. Values are those of :func:`decode`: slope and intercept applied, whole, of int16.
    """

    raw: Raw
    slices: list[Slice]
    header: Header
    where: Path

    def _part(self, where: tuple[slice, ...]) -> NDArray[Any]:
        planes = [decode(self.raw, one, needs_slope=False) for one in self.slices[where[2]]]
        return np.stack([plane.T[where[:2]] for plane in planes], axis=2)


#: how much further than the others two slices may lie from each other, as a share
GAP = 0.5


def stack(raw: Raw, slices: Sequence[Slice], where: Path) -> Stack:
    """Lay the slices of a series behind each other along their normal.

    Args:
        raw: where they lie.
        slices: their headers, in any order.
        where: the series, for messages.

    Raises:
        UnreadableError: the slices differ in matrix, spacing or orientation, do not lie behind each other, two lie at
            one place, or one is missing between others.
    """
    directions, positions = _alike(slices)
    along, down = directions[0]
    normal = np.cross(along, down)
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    placed = [slices[place] for place in order]
    gaps = np.diff(heights[order])
    distance = float(np.median(gaps)) if len(gaps) else 1.0
    if len(gaps) and gaps.min() < distance * (1 - GAP):
        near = int(gaps.argmin())
        raise UnreadableError(
            f"two of its slices lie at one place: {_name(placed[near])} and {_name(placed[near + 1])}"
        )
    if len(gaps) and gaps.max() > distance * (1 + GAP):
        far = int(gaps.argmax())
        raise UnreadableError(
            f"a slice is missing: {_name(placed[far])} and {_name(placed[far + 1])} lie {gaps.max():.4g} mm apart, "
            f"most {distance:.4g}"
        )
    first = placed[0]
    stray = positions[order] - positions[order][0]
    stray = np.abs(stray - np.outer(stray @ normal, normal)).max(axis=1) / min(first.spacing)
    if stray.max() > STRAY:
        name = _name(placed[int(stray.argmax())])
        raise UnreadableError(f"its slices do not lie along their normal: {name} is {stray.max():.1f} pixels beside")
    affine = np.eye(4)
    affine[:3, :3] = np.stack([along * first.spacing[1], down * first.spacing[0], normal * distance], axis=1)
    affine[:3, 3] = first.position
    affine[:2] *= -1  # DICOM's world runs to Left and Posterior
    axes, spacing = placement(affine)
    rows, columns = first.shape
    return Stack(raw, placed, Header((columns, rows, len(placed)), axes, True, spacing, affine, "int16"), where)


def _name(one: Slice) -> str:
    return one.path.rpartition("/")[2]


def decode(raw: Raw, one: Slice, needs_slope: bool = True) -> NDArray[np.int16]:
    """HU of one slice as stored, (rows, columns); nothing is below -1024.

    Args:
        raw: where it lies.
        one: its header.
        needs_slope: whether it is damaged without slope and intercept, as a CT is; else they are 1 and 0.

    Raises:
        UnreadableError: it is damaged, or its pixels are not what its header says.
    """
    pydicom = _pydicom()
    data = raw.read(one.path)
    name = one.path.rpartition("/")[2]
    try:
        found = pydicom.dcmread(io.BytesIO(data), force=True)
        hu = _rescaled(data, found, lambda: _scale(found, needs_slope))
    except Exception as error:  # whatever pydicom and its decoders raise on a damaged file
        raise UnreadableError(f"{name} cannot be decoded ({_short(error)})") from error
    if hu.shape != one.shape:
        raise UnreadableError(f"{name} has the shape {hu.shape}, not {one.shape}")
    plane: NDArray[np.int16] = np.clip(hu, AIR, 2**15 - 1).astype(np.int16)
    return plane
