"""HDF5 files read in place; a box of which a part was never written is refused, not filled in."""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError, UnreadableError, told
from preprocess.reading.archives import SEPARATOR, Raw


def open_file(raw: Raw, path: str) -> Any:
    """Open an HDF5 file of the raw folder, in an archive or not; returns an ``h5py.File``.

    Raises:
        PreprocessError: another program holds it, it may not be read, or it is damaged or no HDF5.
    """
    import h5py

    where = raw.root / path
    try:
        return h5py.File(raw.seekable(path) if SEPARATOR in path else raw.local(path), "r")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise PreprocessError(f"{where}: cannot be read; make it readable for this user") from error
        if "unable to lock" in str(error):
            raise PreprocessError(f"{where}: another program holds it open for writing; close it there") from error
        cause = f"cannot be opened as HDF5, damaged ({told(error)})"
        raise PreprocessError(f"{where}: {cause}; download it again") from error


#: what h5py lets through where a file's structure holds nonsense
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError)


@contextlib.contextmanager
def looking(where: object) -> Iterator[None]:
    """Say in one line what is wrong with a file whose parts are looked up.

    Raises:
        PreprocessError: it is damaged.
    """
    try:
        yield
    except _DAMAGE as error:
        raise PreprocessError(f"{where}: damaged ({told(error)}); download it again") from error


def box(data: Any, bounds: Sequence[slice]) -> NDArray[Any]:
    """A box of a data set, of its own number type.

    Args:
        data: an ``h5py.Dataset``.
        bounds: first and last + 1 along each axis.

    Raises:
        UnreadableError: it is damaged, or a part of it was never written: HDF5 gives fill values there.
    """
    try:
        if place := next(unwritten(data, bounds), None):
            raise UnreadableError(f"holds no data at {' '.join(map(str, place))}: that part was never written")
        return np.asarray(data[tuple(bounds)])
    except _DAMAGE as error:
        raise UnreadableError(f"cannot be read ({told(error)})") from error


def unwritten(data: Any, bounds: Sequence[slice]) -> Iterator[tuple[int, ...]]:
    """The first corners of the chunks within a box that are not in the file.

    What HDF5 leaves out of a file when it is closed early, or when a copy of it stopped.
    """
    if data.external or data.is_virtual:
        return
    if data.chunks is None:  # in one piece, which is there or not; a compact one has no place of its own
        is_there = data.id.get_offset() is not None or data.id.get_storage_size() > 0
        if not is_there:
            yield tuple(one.start for one in bounds)
        return
    firsts = [range(one.start // edge * edge, one.stop, edge) for one, edge in zip(bounds, data.chunks, strict=True)]
    for corner in itertools.product(*firsts):
        if data.id.get_chunk_info_by_coord(corner).byte_offset is None:
            yield corner
