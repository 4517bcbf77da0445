"""Synapses in electron microscopy, the source of SynapseMNIST3D: 1,759 crops of rat cortex.

Neither the places nor the labels of the published samples are public, so this source reads what a
holder of such data would have: one volume and one table, at any depth, packed or not::

    synapse/EM30-R-im.zip          im/im0000.png, im/im0001.png ... one 8-bit gray slice each
    synapse/synapses.csv           id,z,y,x,label,neuron,split

or, instead of the slices, one HDF5 file (``.h5``, ``.hdf5``) with one three-dimensional uint8 data set
(z, y, x). A crop that touches a chunk which was never written is left out as ``missing``. The 30 um public
part of the volume is MitoEM-R (https://mitoem.grand-challenge.org/), whose archives have the first form; its
``seg*.tif`` are mitochondria and are left aside.

``z``, ``y`` and ``x`` are the voxel a synapse is centred on, from 0, z as in the slice's name; ``label``
is 0 (inhibitory) or 1 (excitatory). ``id``, ``neuron`` (the group) and ``split`` (train, val, test) may
be left out. Keys are the ids, else ``z-y-x``.

Samples are listed by z, so that slices are decoded once; an HDF5 volume is never held, and of slices no
more than fit into 640 MB: one sample's of 4096 x 4096. Wider ones are better kept as HDF5.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.geometry import ARRAY, Box
from preprocess.reading import hdf5
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.picture import Picture
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import SPLITS, TABLE, by_name, count, extent, one_of, own_table
from preprocess.table import Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PRESENT = ("im*.png", "*.h5", "*.hdf5", *PACKED)
SLICE = re.compile(r"im(\d+)\.png", re.IGNORECASE)
STORE = re.compile(r"(.+)\.(?:h5|hdf5)", re.IGNORECASE)
NUMBER = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]*)?")
COLUMNS = ("z", "y", "x", "label")
AXES = ("z", "y", "x")
#: decoded slices kept, in bytes
BUDGET = 640 * 2**20
#: an HDF5 file in an archive is read into memory; a larger one must be unpacked
LARGEST_PACKED = 2**30


def index(raw: Raw, voxel: list[float], cube: float) -> Listing:
    """List the rows of the table by place.

    Args:
        raw: the raw folder.
        voxel: edges of a voxel along z, y, x in nm.
        cube: edge of the cube around each synapse in nm, rounded to whole voxels.

    Raises:
        PreprocessError: there is not one volume and one table, or they do not fit the form.
    """
    files = raw.files()
    tables, copies = by_name(raw, files, TABLE)
    if len(tables) != 1:
        raise PreprocessError(f"{raw.root}: needs one table (CSV) of {', '.join(COLUMNS)}, holds {len(tables)}")
    volume = _volume(raw)
    edges = [round(cube / length) for length in voxel]
    (table,) = tables.values()
    samples = []
    for row in own_table(raw, table, COLUMNS):
        where = f"{raw.root / table.path}: {row}"
        if not all(NUMBER.fullmatch(row[axis]) for axis in AXES):
            raise PreprocessError(f"{where}: z, y and x must be numbers of voxels")
        centre = [round(float(row[axis])) for axis in AXES]
        starts = [at - edge // 2 for at, edge in zip(centre, edges, strict=True)]
        box = Box(ARRAY, tuple((start, start + edge) for start, edge in zip(starts, edges, strict=True)))
        reason, detail = volume.problem(box)
        sample = Sample(
            key=row.get("id") or "-".join(map(str, centre)),
            path=volume.path,
            group=row.get("neuron", ""),
            source_split=one_of(row, "split", ("", *SPLITS), where),
            original_label=one_of(row, "label", ("0", "1"), where),
            reason=reason,
            detail=detail,
            attributes=dict(zip(AXES, map(str, centre))) | {"box": box.text},
        )
        samples.append(sample)
    samples.sort(key=lambda one: ([int(one.attributes[axis]) for axis in AXES], one.key))
    census = {f"label {label}": n for label, n in count(samples, "original_label").items()}
    notes = [
        f"a volume of {' x '.join(map(str, volume.shape))} voxels (z, y, x)",
        *volume.notes,
        *copies.notes("tables"),
    ]
    return Listing(samples, census, notes)


def open(raw: Raw, sample: Sample) -> NDArray[np.uint8]:
    """The cube around a synapse: uint8, (z, y, x), in voxels of the volume.

    Raises:
        UnreadableError: a slice or the file is damaged, or not of 8-bit gray.
    """
    return _volume(raw).read(Box.parse(sample.attributes["box"]))


def surroundings(raw: Raw, sample: Sample) -> tuple[NDArray[np.uint8], Box]:
    """The cube with half its edge more on each side in y and x, as far as the volume goes, and where it lies in that.

    The array is uint8, (z, y, x); the box counts its voxels.
    """
    volume, box = _volume(raw), Box.parse(sample.attributes["box"])
    wide = [box.bounds[0]]
    for (first, end), length in zip(box.bounds[1:], volume.shape[1:], strict=True):
        margin = (end - first) // 2
        wide.append((max(first - margin, 0), min(end + margin, length)))
    inside = [(first - begin, end - begin) for (first, end), (begin, _) in zip(box.bounds, wide, strict=True)]
    return volume.read(Box(ARRAY, tuple(wide))), Box(ARRAY, tuple(inside))


class _Stack:
    """A volume of numbered PNG slices of one size; the slices read last are kept."""

    def __init__(self, raw: Raw, files: dict[int, RawFile], notes: list[str]) -> None:
        self._raw, self._files, self.notes = raw, files, notes
        first = files[min(files)]
        self.path = first.path
        # the first slice that can be read tells the size of all; a damaged one is told by what shows it
        found = next((one for z in sorted(files) if (one := extent(raw, files[z]))), None)
        if found is None:
            raise PreprocessError(
                f"{raw.root / first.path}: neither it nor another slice can be decoded; get them again"
            )
        width, height = found
        self.shape = (max(files) + 1, height, width)
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def problem(self, box: Box) -> tuple[str, str]:
        reason, detail = _leaves(box, self.shape)
        if not reason and (gap := [z for z in range(*box.bounds[0]) if z not in self._files]):
            return "missing", f"{len(gap)} of its slices are not there, the first is {gap[0]}"
        return reason, detail

    def read(self, box: Box) -> NDArray[np.uint8]:
        import numpy as np

        _, rows, columns = box.slices
        return np.stack([self._slice(z)[rows, columns] for z in range(*box.bounds[0])])

    def _slice(self, z: int) -> NDArray[np.uint8]:
        import numpy as np

        if z not in self._kept:
            name = self._files[z].name
            picture = Picture(self._raw.read(self._files[z].path))
            try:
                pixels = np.asarray(picture.converted(picture.mode))
            except UnreadableError as error:
                raise UnreadableError(f"slice {name} {error.cause}") from error
            if picture.mode != "L" or pixels.shape != self.shape[1:]:
                raise UnreadableError(
                    f"slice {name} is {picture.form}, not 8-bit gray of {self.shape[2]}x{self.shape[1]}"
                )
            while self._kept and (len(self._kept) + 1) * pixels.nbytes > BUDGET:
                self._kept.popitem(last=False)
            self._kept[z] = pixels
        self._kept.move_to_end(z)
        return self._kept[z]


class _Hdf5:
    """A volume in an HDF5 file, of which boxes are read."""

    def __init__(self, raw: Raw, file: RawFile, notes: list[str]) -> None:
        import h5py

        self.path, self.notes = file.path, notes
        where = raw.root / file.path
        if raw.local(file.path) is None and file.size > LARGEST_PACKED:
            raise PreprocessError(f"{where}: parts of it cannot be read inside an archive; unpack it")
        self._file = archive = hdf5.open_file(raw, file.path)
        found: dict[str, Any] = {}

        def look(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.ndim == 3:
                found[name] = item

        with hdf5.looking(where):
            archive.visititems(look)
            if len(found) != 1 or str(next(iter(found.values())).dtype) != "uint8":
                told = ", ".join(f"{name} ({item.dtype})" for name, item in found.items()) or "none"
                raise PreprocessError(f"{where}: needs one data set of three axes and uint8, holds {told}")
            self._data = next(iter(found.values()))
            self.shape: tuple[int, ...] = self._data.shape
        self._where = where

    def problem(self, box: Box) -> tuple[str, str]:
        reason, detail = _leaves(box, self.shape)
        with hdf5.looking(self._where):
            gaps = 0 if reason else sum(1 for _ in hdf5.unwritten(self._data, [slice(*ends) for ends in box.bounds]))
        if gaps:
            return "missing", f"{gaps} chunks of {self.path} that it touches were never written"
        return reason, detail

    def read(self, box: Box) -> NDArray[np.uint8]:
        return hdf5.box(self._data, box.slices)

    def close(self) -> None:
        self._file.close()


def _leaves(box: Box, shape: tuple[int, ...]) -> tuple[str, str]:
    for axis, (first, end), length in zip(AXES, box.bounds, shape, strict=True):
        if first < 0 or end > length:
            return "outside-volume", f"{axis} {first}..{end} of {length} voxels"
    return "", ""


def _volume(raw: Raw) -> _Stack | _Hdf5:
    return raw.memo("synapse volume", lambda: _find_volume(raw))


def _find_volume(raw: Raw) -> _Stack | _Hdf5:
    files = raw.files()
    slices, copies = by_name(raw, files, SLICE)
    archives, archive_copies = by_name(raw, files, STORE)
    if slices and not archives:
        numbered = {int(number): file for number, file in slices.items()}
        if len(numbered) == len(slices):
            return _Stack(raw, numbered, copies.notes("slices"))
    elif len(archives) == 1 and not slices:
        return _Hdf5(raw, next(iter(archives.values())), archive_copies.notes("volumes"))
    raise PreprocessError(
        f"{raw.root}: needs one volume, slices im0000.png ... or one HDF5 file; holds {len(slices)} slices and "
        f"{len(archives)} HDF5 files"
    )
