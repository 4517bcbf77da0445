"""Volumes of CT and masks: headers alone, and boxes cut out of a volume that is never held whole.

Accepted, whatever the name's ending says of packing: NIfTI-1 and NIfTI-2 in one file, plain or gzip
(.nii, .nii.gz), and what SimpleITK reads of .mha, .mhd and .nrrd. Three axes, or more of which the
further ones have length 1; whole or floating-point numbers of up to 64 bits.

Refused, each with its reason: a file that is empty, cut, a web page or not a volume; pairs of .hdr and
.img; colour, complex and unknown data types; an offset, slope or affine that is not a number; voxel edges
outside 0.05 to 50 mm (a wrong unit shows so); a volume that would unpack beyond all proportion.

**Where a voxel lies** is the affine's to say: of NIfTI the sform where its code is above 0, else the
qform, else pixdim alone, which has no orientation. Its columns' lengths are the voxel's edges. Units of
metre and micron are turned into mm. pixdim, and the other form where both have a code, must agree with it;
:attr:`Header.conflict` names both numbers where they do not, and :func:`spacing_of` refuses such a file
where a result depends on its edges.

An uncompressed file is read where it lies. A compressed one is unpacked once into an unnamed temporary
file, so that memory stays small whatever the volume; no more of it is unpacked than its header promises.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import os
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableError
from preprocess.geometry import Box, orientation, turns
from preprocess.reading.archives import MAX_RATIO, MAX_TAIL, SEPARATOR, Raw, refuse_machine

log = logging.getLogger(__name__)

#: how the name of a volume ends, for the patterns of the sources
SUFFIX = r"\.(?:nii(?:\.gz)?|mha|mhd|nrrd)"
#: the same as file name patterns
GLOBS = ("*.nii", "*.nii.gz", "*.mha", "*.mhd", "*.nrrd")
#: voxel edges in mm that a scan or a mask of a patient can have
EDGES = (0.05, 50.0)
#: how far two statements of one voxel edge may differ, as a share
TOLERANCE = 0.01
#: how far two grids that are the same may lie apart, in voxels
SHIFT = 0.5
#: more voxels than this only where the packed file is not tiny: four times 1024 planes of 512 x 512 are real
MAX_FREE_VOXELS = 2**29
#: voxels that are looked at at a time
_SLAB = 2**22
#: voxels of a box that are held at once; the largest organ box of LiTS has half of that
MAX_BOX = 2**28
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 18
_ITK = (".mha", ".mhd", ".nrrd")
_DAMAGE = (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class Header:
    """What a file's header says of its array.

    Attributes:
        shape: extents of the three axes as stored.
        axes: the direction each stored axis runs to, of ``LRPASI``: ``LPS``, ``RAS`` ...
        oriented: whether the header says so at all. An identity affine does not: it is what tools
            write that were told nothing.
        spacing: voxel edges in mm as stored, the lengths of the affine's columns.
        affine: (4, 4) float64, from stored indices to mm to Right, Anterior and Superior.
        dtype: the type as stored, before slope and intercept.
        conflict: what else the header says of edges or axes, or empty.
    """

    shape: tuple[int, int, int]
    axes: str
    oriented: bool
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]
    dtype: str
    conflict: str = ""


def spacing_of(header: Header) -> tuple[float, float, float]:
    """The voxel edges in mm as stored, for what depends on them.

    Raises:
        UnreadableError: the header says two things of them.
    """
    if header.conflict:
        raise UnreadableError(f"{header.conflict}: which is right cannot be told; write its header anew")
    return header.spacing


def read_header(raw: Raw, path: str) -> Header:
    """Read the header of a volume's file, and no more than it.

    Raises:
        UnreadableError: it is not a header of a 3D volume that can be read.
    """
    if path.lower().endswith(_ITK):
        with _itk(raw, path) as image:
            return image.header
    with raw.stream(path) as stream:
        return _nifti_header(_beginning(stream, 540, raw.root / path))[0]


def load(raw: Raw, path: str) -> Stored:
    """Open a volume so that parts of it can be read.

    Raises:
        UnreadableError: it is damaged, shorter than its header says, or no 3D volume.
    """
    found = _itk(raw, path) if path.lower().endswith(_ITK) else _nifti(raw, path)
    found.where = raw.root / path
    return found


class Stored:
    """A volume as stored, of which boxes are read.

    Attributes:
        header: what its header says.
        where: its file, for messages.
    """

    header: Header
    where: Path = Path()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Extents as stored."""
        return self.header.shape

    def part(self, where: tuple[slice, ...]) -> NDArray[Any]:
        """The values of a box, slope and intercept applied, in stored axes.

        Raises:
            UnreadableError: the file is damaged.
            PreprocessError: the machine cannot read it.
        """
        try:
            return self._part(where)
        except _DAMAGE as error:
            refuse_machine(error, self.where)
            raise UnreadableError(f"cannot be read ({_line(error)})") from error

    def slabs(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """All of it, some planes of the third axis at a time: the first plane's number, and (X, Y, n) values."""
        planes = max(1, _SLAB // (self.shape[0] * self.shape[1]))
        for start in range(0, self.shape[2], planes):
            yield start, self.part((slice(None), slice(None), slice(start, start + planes)))

    def _part(self, where: tuple[slice, ...]) -> NDArray[Any]:
        raise NotImplementedError


# ---- NIfTI


def _beginning(stream: IO[bytes], size: int, where: Path) -> bytes:
    """The first bytes of a file, unpacked where it is gzip by its own first bytes; its name does not matter."""
    try:
        data = stream.read(size)
        if data[:2] == _GZIP:
            unpacker = zlib.decompressobj(31)
            found, packed = b"", data
            while packed and len(found) < size and not unpacker.eof:
                found += unpacker.decompress(packed, size - len(found))
                packed = unpacker.unconsumed_tail or stream.read(_CHUNK)
            data = found
    except _DAMAGE as error:
        refuse_machine(error, where)
        raise UnreadableError(f"cannot be read ({_line(error)})") from error
    return data


@dataclass(frozen=True)
class _Layout:
    """Where the numbers of a NIfTI file lie, and how they become values."""

    offset: int
    dtype: np.dtype[Any]
    slope: float
    intercept: float


def _nifti_header(data: bytes) -> tuple[Header, _Layout]:
    import nibabel
    from nibabel.spatialimages import HeaderDataError

    if not data:
        raise UnreadableError("is empty")
    if data.lstrip()[:1] == b"<":
        raise UnreadableError("is a web page, not a volume; download it again")
    lengths = {struct.unpack(order + "i", data[:4])[0] for order in "<>"} if len(data) >= 4 else set()
    kind = next((one for size, one in ((348, 1), (540, 2)) if size in lengths), 0)
    if not kind:
        raise UnreadableError("has no readable NIfTI header (it begins with other bytes)")
    size = 348 if kind == 1 else 540
    if len(data) < size:
        raise UnreadableError(f"ends early: {len(data)} bytes, its header alone has {size}")
    header = (nibabel.Nifti1Header if kind == 1 else nibabel.Nifti2Header)(data[:size], check=False)
    magic = bytes(header["magic"])
    if magic[:2] == b"ni":
        raise UnreadableError("is half of a pair of .hdr and .img; save it as one .nii file")
    try:
        shape = tuple(int(n) for n in header.get_data_shape())
        dtype = header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
        offset = float(header["vox_offset"])
    except KeyError:
        raise UnreadableError(f"has an unknown data type (code {int(header['datatype'])})") from None
    except (*_DAMAGE, TypeError, OverflowError, HeaderDataError) as error:
        raise UnreadableError(f"has no readable NIfTI header ({_line(error)})") from error
    three = shape[:3]
    if len(three) != 3 or min(three) < 1 or any(n != 1 for n in shape[3:]):
        raise UnreadableError(f"is not a 3D volume but one of shape {shape}")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnreadableError(
            f"has the data type {dtype.name} (code {int(header['datatype'])}), not one number a voxel"
        )
    if not (size <= offset < 2**31 and offset == int(offset)):
        raise UnreadableError(f"says that its voxels begin at byte {offset}")
    placed = _placed(header)
    found = Header((three[0], three[1], three[2]), *placed[:-1], dtype.name, placed[-1])
    return found, _Layout(
        int(offset), dtype, 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)
    )


#: of the NIfTI standard: code of the unit of length, its name, and what makes mm of it
_UNITS = {0: ("unknown", 1.0), 1: ("metre", 1e3), 2: ("mm", 1.0), 3: ("micron", 1e-3)}


def _placed(header: Any) -> tuple[str, bool, tuple[float, float, float], NDArray[np.float64], str]:
    """Axes, whether they are told, edges, affine in mm, and what contradicts them."""
    code = int(header["xyzt_units"]) & 7
    if code not in _UNITS:
        raise UnreadableError(f"has the unknown unit of length {code}")
    unit, scale = _UNITS[code]
    pixdim = tuple(abs(float(edge)) * scale for edge in header["pixdim"][1:4])
    forms: dict[str, NDArray[np.float64]] = {}
    with np.errstate(all="ignore"):
        if int(header["sform_code"]) > 0:
            forms["sform"] = np.asarray(header.get_sform(), np.float64)
        if int(header["qform_code"]) > 0:
            try:
                forms["qform"] = np.asarray(header.get_qform(), np.float64)
            except Exception as error:  # nibabel's own type, or numpy's, by the way it is wrong
                if not forms:
                    raise UnreadableError(f"has no usable qform ({_line(error)})") from error
    told = bool(forms)
    name, affine = next(iter(forms.items()), ("pixdim", np.diag([-pixdim[0], *pixdim[1:], 1.0])))
    if told:
        affine = np.diag([scale, scale, scale, 1.0]) @ affine
    spacing = placement(affine)[1]
    if not (EDGES[0] <= min(spacing) and max(spacing) <= EDGES[1]):
        raise UnreadableError(
            f"has voxels of {_edges(spacing)} mm by its {name} (unit: {unit}); "
            f"a patient's have {EDGES[0]:g} to {EDGES[1]:g}"
        )
    axes = placement(affine)[0]
    conflict = ""
    if not np.allclose(pixdim, spacing, rtol=TOLERANCE):
        conflict = f"has voxels of {_edges(pixdim)} mm by its pixdim and of {_edges(spacing)} mm by its {name}"
    elif "sform" in forms and "qform" in forms:
        other = forms["qform"].copy()
        other[:3] *= scale
        try:
            others = placement(other)
        except UnreadableError:
            others = (axes, spacing)
        if others[0] != axes or not np.allclose(others[1], spacing, rtol=TOLERANCE):
            conflict = (
                f"has voxels of {_edges(spacing)} mm to {axes} by its sform and of {_edges(others[1])} mm to "
                f"{others[0]} by its qform"
            )
    return axes, told and not np.allclose(affine, np.eye(4)), spacing, affine, conflict


def placement(affine: NDArray[np.float64]) -> tuple[str, tuple[float, float, float]]:
    """The direction each stored axis runs to, and its voxels' edges in mm.

    Raises:
        UnreadableError: it is not an affine of three axes.
    """
    import nibabel

    square = affine[:3, :3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(square)) < 1e-12:
        raise UnreadableError("has an affine that places no voxel (zeros, or values that are not numbers)")
    x, y, z = (float(edge) for edge in np.sqrt((square**2).sum(axis=0)))
    axes = "".join(code or "?" for code in nibabel.aff2axcodes(affine))
    if "?" in axes:
        raise UnreadableError("has an affine that places no voxel (two axes run to one side)")
    return axes, (x, y, z)


def _edges(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{edge:.4g}" for edge in spacing)


def _line(error: BaseException) -> str:
    """The last line of a library's message; some write many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class _Nifti(Stored):
    """A NIfTI volume in a seekable file."""

    def __init__(self, header: Header, layout: _Layout, file: IO[bytes]) -> None:
        from nibabel.arrayproxy import ArrayProxy

        self.header = header
        spec = (header.shape, layout.dtype, layout.offset, layout.slope, layout.intercept)
        # nibabel reads parts of a file and applies slope and intercept as its users know it
        self._proxy = ArrayProxy(file, spec, mmap=False)

    def _part(self, where: tuple[slice, ...]) -> NDArray[Any]:
        return np.asanyarray(self._proxy[where])


def _nifti(raw: Raw, path: str) -> _Nifti:
    with raw.stream(path) as stream:
        header, layout = _nifti_header(_beginning(stream, 540, raw.root / path))
    wanted = layout.offset + int(np.prod(header.shape)) * layout.dtype.itemsize
    with raw.stream(path) as stream:
        packed = stream.read(2) == _GZIP
    local = raw.local(path)
    voxels = int(np.prod(header.shape))
    if max(voxels, wanted // 4) > MAX_FREE_VOXELS and (local is None or packed):
        _refuse_bomb(raw, path, voxels, wanted)
    try:
        if local is not None and not packed:
            file = raw.stream(path)
            size = file.seek(0, 2)
        else:
            file = cast(IO[bytes], tempfile.TemporaryFile())
            with raw.stream(path) as stream:
                size = _copy(stream, file, wanted, packed)
            file.flush()
        file.seek(0)
    except _DAMAGE as error:
        refuse_machine(error, raw.root / path)
        raise UnreadableError(f"cannot be read ({_line(error)})") from error
    if size < wanted:
        raise UnreadableError(f"ends early: {size:,} of {wanted:,} bytes")
    return _Nifti(header, layout, file)


def _refuse_bomb(raw: Raw, path: str, voxels: int, unpacked: int) -> None:
    packed = 0
    with raw.stream(path) as stream:
        while packed * MAX_RATIO < unpacked and (data := stream.read(_CHUNK)):
            packed += len(data)
    if packed * MAX_RATIO < unpacked:
        raise UnreadableError(f"would unpack {packed:,} bytes to {voxels:,} voxels; not a volume of a patient, refused")


def _copy(stream: IO[bytes], file: IO[bytes], wanted: int, packed: bool) -> int:
    """Copy what a volume's header promises, unpacked; what follows it is left, but a gzip's checksum is checked.

    Damage can make a packed file unpack to more than it should, so its end is always looked for.
    """
    size = 0
    if not packed:
        while size < wanted and (data := stream.read(min(_CHUNK, wanted - size))):
            size += file.write(data)
        return size
    unpacker, data, ended = zlib.decompressobj(31), b"", False
    while size < wanted:
        if not data and not ended:
            data = stream.read(_CHUNK)
            ended = not data
        part = unpacker.decompress(data, min(wanted - size, 1 << 22))
        size += file.write(part)
        data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        if ended and not part:
            return size
        if unpacker.eof and size < wanted:  # gzip files may be joined
            unpacker = zlib.decompressobj(31)
    beyond = 0
    while not unpacker.eof:  # to its end, where the checksum is
        data = data or stream.read(_CHUNK)
        part = unpacker.decompress(data, _CHUNK)
        if not data and not part:
            raise EOFError("the packed file ends early")
        beyond += len(part)
        if beyond > MAX_TAIL:
            raise ValueError(f"more than {MAX_TAIL >> 20} MB follow what its header promises")
        data = unpacker.unconsumed_tail
    return size


# ---- what SimpleITK reads


def simpleitk() -> Any:
    """SimpleITK (untyped, as it has no types) with its warnings off: what it refuses is told in one line."""
    import SimpleITK

    library: Any = SimpleITK
    library.ProcessObject.SetGlobalWarningDisplay(False)
    return library


class _ItkImage(Stored):
    """A volume of SimpleITK, read from a file of its own.

    Of an .nrrd, and of any compressed file, the library reads all for each part that is asked for. So such a one is
    unpacked first, into a temporary file that it reads in parts; for that it is held in memory once.

    Args:
        path: the file, and another one beside it where it keeps its voxels there.
        size: bytes of both.
        packed: whether its voxels are compressed, or cannot be read in parts.
        held: the folder they lie in, where that is a temporary one.
    """

    def __init__(self, path: Path, size: int, packed: bool, held: tempfile.TemporaryDirectory[str] | None) -> None:
        self._held, self._path, self._packed = held, path, packed
        self._reader = simpleitk().ImageFileReader()
        self._reader.SetFileName(str(path))
        try:
            self._reader.ReadImageInformation()
        except RuntimeError as error:
            raise UnreadableError(f"has no readable header ({_line(error)})") from error
        reader = self._reader
        shape = tuple(int(n) for n in reader.GetSize())
        if len(shape) < 3 or min(shape) < 1 or any(n != 1 for n in shape[3:]) or reader.GetNumberOfComponents() != 1:
            raise UnreadableError(f"is not a 3D volume of one number a voxel but one of shape {shape}")
        rank = len(shape)
        direction = np.array(reader.GetDirection()).reshape(rank, rank)[:3, :3]
        affine = np.eye(4)
        affine[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
        affine[:3, 3] = reader.GetOrigin()[:3]
        affine[:2] *= -1  # its world runs to Left and Posterior
        axes, spacing = placement(affine)
        if not (EDGES[0] <= min(spacing) and max(spacing) <= EDGES[1]):
            raise UnreadableError(f"has voxels of {_edges(spacing)} mm; a patient's have {EDGES[0]:g} to {EDGES[1]:g}")
        told = not np.allclose(np.abs(affine), np.eye(4))
        dtype = simpleitk().GetPixelIDValueAsString(reader.GetPixelID()).replace("-bit ", " ")
        self.header = Header((shape[0], shape[1], shape[2]), axes, told, spacing, affine, dtype)
        voxels = int(np.prod(shape))
        self._bytes = wanted = voxels * int(simpleitk().Image([1, 1, 1], reader.GetPixelID()).GetSizeOfPixelComponent())
        if max(voxels, wanted // 4) > MAX_FREE_VOXELS and size * MAX_RATIO < wanted:
            raise UnreadableError(
                f"would unpack {size:,} bytes to {voxels:,} voxels; not a volume of a patient, refused"
            )

    def __enter__(self) -> _ItkImage:
        return self

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.cleanup()

    def _part(self, where: tuple[slice, ...]) -> NDArray[Any]:
        ends = [one.indices(extent) for one, extent in zip(where, self.shape, strict=True)]
        if self._packed:
            self._unpack()
        further = [0] * (len(self._reader.GetSize()) - 3)
        self._reader.SetExtractIndex([first for first, _, _ in ends] + further)
        self._reader.SetExtractSize([end - first for first, end, _ in ends] + further)
        try:
            return np.asarray(simpleitk().GetArrayFromImage(self._reader.Execute()).T)
        except RuntimeError as error:
            raise UnreadableError(f"cannot be read ({_line(error)})") from error

    def _unpack(self) -> None:
        room = shutil.disk_usage(tempfile.gettempdir()).free
        if self._bytes > room:
            refuse_machine(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), self.where)
        folder = tempfile.TemporaryDirectory()
        place = str(Path(folder.name) / "unpacked.mha")
        try:
            simpleitk().WriteImage(simpleitk().ReadImage(str(self._path)), place, False)
        except RuntimeError as error:
            folder.cleanup()
            raise UnreadableError(f"cannot be read ({_line(error)})") from error
        self._held, self._packed = folder, False
        self._reader.SetFileName(place)
        self._reader.ReadImageInformation()


_COMPRESSED = re.compile(rb"^\s*CompressedData\s*=\s*True", re.MULTILINE | re.IGNORECASE)
_DETACHED = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file:)\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)


def _itk(raw: Raw, path: str) -> _ItkImage:
    head = raw.head(path, 1 << 16)
    if not head:
        raise UnreadableError("is empty")
    if head.lstrip()[:1] == b"<":
        raise UnreadableError("is a web page, not a volume; download it again")
    told = _DETACHED.search(head)
    name = told[1].decode("utf-8", "replace") if told and path.lower().endswith((".mhd", ".nrrd")) else "LOCAL"
    if name.upper() == "LOCAL":
        name = ""
    elif name != PurePosixPath(name).name or name.upper().startswith("LIST") or "%" in name or "\\" in name:
        raise UnreadableError(
            f"keeps its voxels in {name!r}, not in one file beside it; save it as one .mha or .nii.gz"
        )
    packed = path.lower().endswith(".nrrd") or bool(_COMPRESSED.search(head))
    if (local := raw.local(path)) is not None:
        if name and not (local.parent / name).is_file():
            raise UnreadableError(f"keeps its voxels in {name}, which is not beside it")
        return _ItkImage(local, _size(local, local.parent / name), packed, None)
    held = tempfile.TemporaryDirectory()
    where = Path(held.name) / f"volume{PurePosixPath(path).suffix.lower()}"
    inner = path.rpartition("/")[0] if "/" in path.rpartition(SEPARATOR)[2] else path.rpartition(SEPARATOR)[0]
    beside = f"{inner}/{name}" if "/" in path.rpartition(SEPARATOR)[2] else f"{inner}{SEPARATOR}{name}"
    for member, target in ((path, where), (beside, Path(held.name) / name)) if name else ((path, where),):
        with raw.stream(member) as stream, open(target, "wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
    return _ItkImage(where, _size(where, where.parent / name), packed, held)


def _size(*places: Path) -> int:
    """Bytes of some files; a folder counts nothing."""
    return sum(place.stat().st_size for place in places if place.is_file())


# ---- frames


_OPPOSITE = str.maketrans("LRPASI", "RLAPIS")


def placed_on(header: Header, image: Header, name: str = "") -> str:
    """The stored axes of a label or mask, told so that turning it by them lays it on its image.

    Both headers place their voxels in the patient. Where the two grids are one but for flips and an
    order of axes, the label is turned. Where either header says nothing (an identity affine), the arrays are taken
    to lie alike, with a warning.

    Args:
        header: the label's or mask's.
        image: its image's.
        name: the label's file, for the warning.

    Returns:
        three letters as :attr:`Header.axes`; with them and the image's, both arrays turn into one frame.

    Raises:
        UnreadableError: they do not cover the same voxels of the patient.
    """
    if not (header.oriented and image.oriented):
        if header.shape != image.shape:
            raise UnreadableError(f"has the shape {header.shape}, its image {image.shape}")
        if header.oriented != image.oriented:
            which = "image's" if header.oriented else "own"
            log.warning("%s: its %s header does not say how it lies: taken to lie as its image", name, which)
        return image.axes
    steps = np.linalg.inv(image.affine) @ header.affine
    turn = np.rint(steps[:3, :3])
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        raise UnreadableError(
            f"has voxels of {_edges(header.spacing)} mm to {header.axes}, its image of {_edges(image.spacing)} mm to "
            f"{image.axes}: no flip or order of axes makes one of the other"
        )
    targets = np.abs(turn).argmax(axis=0)
    shape = tuple(header.shape[int(np.flatnonzero(targets == axis)[0])] for axis in range(3))
    if shape != image.shape:
        raise UnreadableError(f"has the shape {header.shape}, its image {image.shape}")
    # where the label's corner voxels lie in the image's indices, and where they should
    corners = np.array(np.meshgrid(*((0, n - 1) for n in header.shape), indexing="ij")).reshape(3, -1)
    found = steps[:3, :3] @ corners + steps[:3, 3:]
    start = np.where(turn.sum(axis=1) < 0, np.array(image.shape) - 1, 0)[:, None]
    apart = float(np.abs(found - (turn @ corners + start)).max())
    if apart > SHIFT:
        raise UnreadableError(f"lies {apart:.1f} voxels beside its image by their headers")
    return "".join(
        image.axes[target] if turn[target, axis] > 0 else image.axes[target].translate(_OPPOSITE)
        for axis, target in enumerate(targets.tolist())
    )


@dataclass
class Volume:
    """A CT volume to cut boxes out of.

    Attributes:
        image: what :func:`load` opens.
        axes: the direction each of its stored axes runs to.
        beside: by what they show, how to open masks that lie on the same voxels of the patient.
        memory: what steps worked out of the whole volume.
    """

    image: Stored
    axes: str
    beside: Mapping[str, Callable[[], Volume]] = field(default_factory=dict)
    memory: dict[Hashable, Any] = field(default_factory=dict)
    _read: hashlib._Hash = field(default_factory=hashlib.sha256)

    def companion(self, name: str) -> Volume:
        """A mask of ``beside``, opened once.

        Raises:
            UnreadableError: it is damaged, or does not lie on this volume.
        """
        if ("beside", name) not in self.memory:
            self.memory["beside", name] = self.beside[name]()
        found: Volume = self.memory["beside", name]
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents as stored."""
        return self.image.shape

    @property
    def dtype(self) -> str:
        """The type as stored, before slope and intercept."""
        return self.image.header.dtype

    def spacing(self, frame: str) -> tuple[float, ...]:
        """Voxel edges in mm along the axes of ``frame``.

        Raises:
            UnreadableError: the header says two things of them.
        """
        turned = [0.0, 0.0, 0.0]
        for edge, (target, _) in zip(spacing_of(self.image.header), turns(self.axes, frame), strict=True):
            turned[target] = edge
        return tuple(turned)

    def cut(self, box: Box) -> NDArray[np.int16]:
        """The HU in a box, in the axes of the box's frame.

        Args:
            box: in any frame of the body; the stored axes give the array as stored.

        Returns:
            HU: slope and intercept applied, rounded, clipped to the range of int16.

        Raises:
            IndexError: the box leaves the volume.
            UnreadableError: the file is damaged, a voxel is not a number, or there are more than :data:`MAX_BOX`.
        """
        where, turn = self._where(box)
        if box.voxels > MAX_BOX:
            raise UnreadableError(f"a box of {box.voxels:,} voxels is asked for; {MAX_BOX:,} are held at the most")
        part = np.empty([one.stop - one.start for one in where], np.int16)
        planes = max(1, _SLAB // math.prod(part.shape[:2]))
        for start in range(0, part.shape[2], planes):  # other types take 20 bytes a voxel while they are rounded
            first = where[2].start + start
            slab = self.image.part((*where[:2], slice(first, min(first + planes, where[2].stop))))
            if slab.dtype != np.int16:
                if not np.isfinite(slab).all():
                    raise UnreadableError("holds voxels that are not numbers")
                slab = np.clip(np.rint(slab), -(2**15), 2**15 - 1)
            part[..., start : start + planes] = slab
        turned = np.ascontiguousarray(_turned(part, turn))
        self._read.update(turned.data)
        return turned

    def values(self, box: Box) -> NDArray[Any]:
        """As :meth:`cut`, in the type that the values have: a label's numbers."""
        where, turn = self._where(box)
        return _turned(self.image.part(where), turn)

    def read(self, box: Box) -> NDArray[Any]:
        """As :meth:`cut`, in the type that the values have: whole numbers, or floats.

        Raises:
            IndexError: the box leaves the volume.
            UnreadableError: as for :meth:`cut`.
        """
        if box.voxels > MAX_BOX:
            raise UnreadableError(f"a box of {box.voxels:,} voxels is asked for; {MAX_BOX:,} are held at the most")
        found = np.ascontiguousarray(self.values(box))
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise UnreadableError("holds voxels that are not numbers")
        self._read.update(found.data)
        return found

    def _where(self, box: Box) -> tuple[tuple[slice, slice, slice], NDArray[np.float64]]:
        """What of the array as stored a box is, and how it is turned into the box's frame."""
        turn = orientation(self.axes, box.frame)
        where: list[slice] = []
        for extent, (target, direction) in zip(self.image.shape, turn.astype(int), strict=True):
            first, end = box.bounds[target]
            if not 0 <= first < end <= extent:
                raise IndexError(f"{first}..{end} of {extent} voxels to {box.frame[target]}")
            where.append(slice(first, end) if direction == 1 else slice(extent - end, extent - first))
        return (where[0], where[1], where[2]), turn

    def sha256(self) -> str:
        """Digest of the voxels cut so far, in C order: int16 HU, or what :meth:`read` gave."""
        return self._read.hexdigest()


def _turned(part: NDArray[Any], turn: NDArray[np.float64]) -> NDArray[Any]:
    from nibabel.orientations import apply_orientation

    return np.asarray(apply_orientation(part, turn))


def bounding_box(image: Stored, axes: str) -> Box | None:
    """The box around all voxels above 0, read some planes at a time; None where there are none.

    Args:
        image: the volume.
        axes: the direction each of its stored axes runs to, the frame of the box.
    """
    hit = [np.zeros(extent, bool) for extent in image.shape]
    for start, values in image.slabs():
        part = values > 0
        hit[0] |= part.any(axis=(1, 2))
        hit[1] |= part.any(axis=(0, 2))
        hit[2][start : start + part.shape[2]] = part.any(axis=(0, 1))
    if not hit[0].any():
        return None
    return Box(axes, tuple((int(axis.argmax()), len(axis) - int(axis[::-1].argmax())) for axis in hit))


# ---- what HU can be

#: HU of air and lung, of soft tissue, and of what is seldom in a patient
_AIR, _SOFT, _BONE = (-1100, -600), (-100, 200), (-600, -200)
#: how far whole scans are off where an intercept was lost, or applied twice
SHIFTS = (1024, -1024)


def refuse_shifted(hu: NDArray[Any]) -> None:
    """Refuse values that are HU plus or minus 1024: an intercept lost, or applied twice.

    Air and lung (-1100 to -600 HU) are missing where they must be in a scan of chest or abdomen, and are
    found, with soft tissue (-100 to 200 HU) and little between them, 1024 away. Values of a field of
    view's outside, below -1100, say nothing.

    Args:
        hu: voxels from all over one scan.

    Raises:
        UnreadableError: it is so.
    """

    def share(bounds: tuple[int, int], shift: int = 0) -> float:
        return float(((hu >= bounds[0] + shift) & (hu < bounds[1] + shift)).mean())

    for shift in SHIFTS:
        own = _AIR if shift > 0 else _SOFT
        if share(own) > 0.001:
            continue
        air, soft, between = share(_AIR, shift), share(_SOFT, shift), share(_BONE, shift)
        if air > 0.01 and soft > 0.01 and between < soft / 2:
            raise UnreadableError(
                f"has values that are HU {'plus' if shift > 0 else 'minus'} 1024 (air near {shift - 1000}, soft tissue "
                f"near {shift + 40}): its intercept is {'lost' if shift > 0 else 'applied twice'}; convert it again"
            )


def sampled(image: Stored, planes: int = 9) -> NDArray[Any]:
    """Some voxels of some planes from all over a volume, one axis: enough to see what they can be."""
    x, y, z = image.shape
    chosen = sorted({(2 * k + 1) * z // (2 * planes) for k in range(planes)})
    parts = [image.part((slice(0, x), slice(0, y), slice(k, k + 1)))[::4, ::4].ravel() for k in chosen]
    return np.concatenate(parts)


def load_ct(raw: Raw, path: str) -> Stored:
    """Open a CT volume as :func:`load` does, and look whether its values can be HU.

    Raises:
        UnreadableError: as for :func:`load`, or its values are HU plus or minus 1024.
    """
    image = load(raw, path)
    refuse_shifted(sampled(image))
    return image
