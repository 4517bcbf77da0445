"""NIfTI volumes read in place: headers alone, and boxes cut out of a volume that is never held whole.

An uncompressed file is read where it lies. A compressed one (.nii.gz, a member of a zip) is unpacked
once into an unnamed temporary file, so that memory stays small whatever the volume.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
import zlib
from dataclasses import dataclass, field
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import UnreadableError
from preprocess.reading.archives import Raw

#: first and last + 1 along each axis
Bounds = tuple[tuple[int, int], ...]
HEADER_BYTES = 352
_DAMAGE = (OSError, EOFError, ValueError, zlib.error)


@dataclass(frozen=True)
class Header:
    """What a NIfTI header says of its array.

    Attributes:
        shape: extents of the three axes as stored.
        axes: the direction each stored axis runs to, of ``LRPASI``: ``LPS``, ``RAS`` ...
        oriented: whether the header says so at all. An identity affine does not: it is what tools
            write that were told nothing.
        spacing: voxel edges in mm as stored.
    """

    shape: tuple[int, int, int]
    axes: str
    oriented: bool
    spacing: tuple[float, float, float]


def read_header(raw: Raw, path: str) -> Header:
    """Read the header of a .nii or .nii.gz file, and no more than it.

    Raises:
        UnreadableError: it is not a NIfTI-1 header of a 3D volume.
    """
    import nibabel
    from nibabel.spatialimages import HeaderDataError

    try:
        with _unpacked(raw, path) as stream:
            data = stream.read(HEADER_BYTES)
        header = nibabel.Nifti1Header(data[:348])
        shape = tuple(int(n) for n in header.get_data_shape())
        affine = header.get_best_affine()
        axes = "".join(nibabel.aff2axcodes(affine))
    except (*_DAMAGE, TypeError, HeaderDataError) as error:
        raise UnreadableError(f"has no readable NIfTI header ({error})") from error
    if len(shape) != 3 or min(shape) < 1:
        raise UnreadableError(f"is not a 3D volume but one of shape {shape}")
    oriented = bool(header["sform_code"] or header["qform_code"]) and not np.allclose(affine, np.eye(4))
    return Header(shape, axes, oriented, tuple(float(zoom) for zoom in header.get_zooms()[:3]))  # type: ignore[arg-type]


def _unpacked(raw: Raw, path: str) -> IO[bytes]:
    stream = raw.stream(path)
    return cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if path.lower().endswith(".gz") else stream


def load(raw: Raw, path: str) -> Any:
    """Open a NIfTI file so that parts of ``dataobj`` can be read; returns a nibabel image.

    Raises:
        UnreadableError: it is damaged, shorter than its header says, or no 3D NIfTI-1 volume.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    read_header(raw, path)
    try:
        if raw.local(path) and not path.lower().endswith(".gz"):
            file = raw.stream(path)
        else:
            file = cast(IO[bytes], tempfile.TemporaryFile())
            with _unpacked(raw, path) as stream:
                shutil.copyfileobj(stream, file, 1 << 20)
            file.flush()
        size = file.seek(0, 2)
        file.seek(0)
        image = nibabel.Nifti1Image.from_stream(file)
    except (*_DAMAGE, ImageFileError) as error:
        raise UnreadableError(f"cannot be read ({error})") from error
    wanted = image.dataobj.offset + int(np.prod(image.shape)) * image.dataobj.dtype.itemsize
    if size < wanted:
        raise UnreadableError(f"ends early: {size:,} of {wanted:,} bytes")
    return image


def orientation(axes: str, towards: str = "LPS") -> NDArray[Any]:
    """The nibabel orientation array that brings stored ``axes`` into the order ``towards``."""
    from nibabel.orientations import axcodes2ornt, ornt_transform

    array: NDArray[Any] = ornt_transform(axcodes2ornt(axes), axcodes2ornt(towards))
    return array


def extents(shape: tuple[int, ...], axes: str, frame: str) -> tuple[int, ...]:
    """The extents along the axes of ``frame`` of an array stored with ``axes``."""
    turned = [0, 0, 0]
    for extent, (target, _) in zip(shape, orientation(axes, frame).astype(int), strict=True):
        turned[target] = extent
    return tuple(turned)


@dataclass
class Volume:
    """A CT volume to cut boxes out of.

    Attributes:
        image: the nibabel image of :func:`load`.
        axes: the direction each of its stored axes runs to.
    """

    image: Any
    axes: str
    _read: Any = field(default_factory=hashlib.sha256)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents as stored."""
        return tuple(self.image.shape)

    @property
    def dtype(self) -> str:
        """The type as stored, before slope and intercept."""
        return str(self.image.get_data_dtype().name)

    def box(self, bounds: Bounds, frame: str) -> NDArray[np.int16]:
        """Cut a box, given in the index grid of ``frame``, and return it in that frame's axes.

        Args:
            bounds: first and last + 1 along each axis of the frame.
            frame: three letters such as ``LPS``; the stored axes give the array as stored.

        Returns:
            HU: slope and intercept applied, rounded, clipped to the range of int16.

        Raises:
            IndexError: the box leaves the volume.
            UnreadableError: the file is damaged, or a voxel is not a number.
        """
        from nibabel.orientations import apply_orientation

        ornt = orientation(self.axes, frame)
        where: list[slice] = []
        for extent, (target, direction) in zip(self.image.shape, ornt.astype(int), strict=True):
            first, end = bounds[target]
            if not 0 <= first < end <= extent:
                raise IndexError(f"{first}..{end} of {extent} voxels to {frame[target]}")
            where.append(slice(first, end) if direction == 1 else slice(extent - end, extent - first))
        try:
            # straight from the file: slope and intercept are nibabel's to apply
            part = np.asanyarray(self.image.dataobj[tuple(where)])
        except _DAMAGE as error:
            raise UnreadableError(f"cannot be read ({error})") from error
        part = apply_orientation(part, ornt)
        if part.dtype != np.int16:
            if not np.isfinite(part).all():
                raise UnreadableError("holds voxels that are not numbers")
            part = np.clip(np.rint(part), -(2**15), 2**15 - 1).astype(np.int16)
        self._read.update(np.ascontiguousarray(part).data)
        return cast(NDArray[np.int16], part)

    def sha256(self) -> str:
        """Digest of the voxels cut so far: int16 HU in C order."""
        value: str = self._read.hexdigest()
        return value


def bounding_box(image: Any, slab: int = 16) -> Bounds | None:
    """Bounds of the voxels above 0 in stored axes, read ``slab`` planes at a time; None where there are none."""
    hit = [np.zeros(extent, bool) for extent in image.shape]
    try:
        for start in range(0, image.shape[2], slab):
            part = np.asanyarray(image.dataobj[:, :, start : start + slab]) > 0
            hit[0] |= part.any(axis=(1, 2))
            hit[1] |= part.any(axis=(0, 2))
            hit[2][start : start + slab] = part.any(axis=(0, 1))
    except _DAMAGE as error:
        raise UnreadableError(f"cannot be read ({error})") from error
    if not hit[0].any():
        return None
    return tuple((int(axis.argmax()), len(axis) - int(axis[::-1].argmax())) for axis in hit)
