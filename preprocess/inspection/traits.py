"""What one raw file is by its header, and whether all of it can be read: through the readers that builds use.

A trait is a short text that says nothing of a patient: format, mode, size, spacing, orientation, number type.
"""

from __future__ import annotations

from collections.abc import Callable

from preprocess.errors import PreprocessError, UnreadableError, told
from preprocess.inspection import masking
from preprocess.reading import dicom, hdf5, tables, volume
from preprocess.reading.archives import Raw
from preprocess.reading.kinds import kind_of as kind_of
from preprocess.reading.picture import Picture

#: readings of rows and columns are rounded to so many mm, so that a histogram has few bars
STEP = 0.05
#: planes of volumes and faces of meshes are told to this many: what a histogram needs
PLANES, FACES = 50, 500

#: the kind of a file, its traits, and whether it was opened whole
Seen = tuple[str, dict[str, str]]


def look(raw: Raw, path: str, kind: str, whole: bool) -> Seen | None:
    """The kind and the traits of one file; None for a file that is no data of any kind.

    Args:
        raw: where it lies.
        path: the file.
        kind: by its name, see :func:`kind_of`.
        whole: whether to read all of it, and not its header alone.

    Raises:
        PreprocessError: it cannot be read.
    """
    if kind == "unknown":
        if not dicom.is_dicom(raw.head(path, 132)):
            return None
        kind = "series"
    return kind, _LOOKS[kind](raw, path, whole)


def _picture(raw: Raw, path: str, whole: bool) -> dict[str, str]:
    picture = Picture(raw.read(path))
    found = picture.traits()
    if whole:
        picture.decode_all()
    return found


def _volume(raw: Raw, path: str, whole: bool) -> dict[str, str]:
    if whole:
        stored = volume.load(raw, path)
        header = stored.header
        for _ in stored.slabs():
            pass
    else:
        header = volume.read_header(raw, path)
    x, y, z = header.spacing
    return {
        "numbers": header.dtype,
        "matrix": f"{header.shape[0]}x{header.shape[1]}",
        "planes": _rounded(header.shape[2], PLANES),
        "axes": header.axes if header.oriented else "not told",
        "spacing in plane": _length(x) if abs(x - y) < STEP / 2 else f"{_length(x)} x {_length(y)}",
        "spacing of planes": _length(z),
        "header": "contradicts itself" if header.conflict else "of one mind",
    }


def _series(raw: Raw, path: str, whole: bool) -> dict[str, str]:
    found = dicom.traits(raw, path)
    if whole and found["modality"] in ("CT", "none") and (slice_ := dicom.read_header(raw, path)) is not None:
        dicom.decode(raw, slice_)
    return found


def _mesh(raw: Raw, path: str, whole: bool) -> dict[str, str]:
    from preprocess.steps import meshes

    found = meshes.mesh(raw.read(path))
    return {"faces": _rounded(len(found.faces), FACES), "closed": "yes" if found.is_closed else "no"}


def _store(raw: Raw, path: str, whole: bool) -> dict[str, str]:
    import h5py

    found: dict[str, str] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[f"array {masking.path(name)}"] = f"{item.dtype} {'x'.join(map(str, item.shape))}"

    with hdf5.open_file(raw, path) as file:
        try:
            file.visititems(note)
        except (OSError, RuntimeError, KeyError) as error:
            raise UnreadableError(f"cannot be read ({told(error)})") from error
    return found or {"arrays": "none"}


def _arrays(raw: Raw, path: str, whole: bool) -> dict[str, str]:
    import zipfile

    import numpy as np

    found: dict[str, str] = {}
    try:
        with raw.seekable(path) as file, np.load(file, allow_pickle=False) as npz:
            for name in npz.files:
                array = npz[name]
                found[f"array {masking.name(name)}"] = f"{array.dtype} {'x'.join(map(str, array.shape))}"
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise UnreadableError(f"cannot be read as npz ({told(error)})") from error
    return found or {"arrays": "none"}


def _table(raw: Raw, path: str, whole: bool) -> dict[str, str]:
    table = tables.parse(raw.read(path), path)
    return {"columns": ", ".join(map(masking.name, table.columns))[:300] or "none", "rows": str(len(table.rows))}


_LOOKS: dict[str, Callable[[Raw, str, bool], dict[str, str]]] = {
    "picture": _picture, "volume": _volume, "series": _series, "mesh": _mesh, "store": _store, "arrays": _arrays,
    "table": _table,
}  # fmt: skip


def _length(value: float) -> str:
    return f"{round(value / STEP) * STEP:.2f}"


def _rounded(value: int, step: int) -> str:
    return str(round(value / step) * step) if value >= step else str(value)


def cause(error: PreprocessError, root: object) -> str:
    """What is wrong with one file, masked, without the file's own name."""
    text = error.cause if isinstance(error, UnreadableError) else str(error).removeprefix(f"{root}/")
    return masking.message(text)
