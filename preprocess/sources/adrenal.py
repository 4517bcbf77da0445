"""Adrenal glands segmented in CT, the source of AdrenalMNIST3D: 1,584 glands of 792 patients.

The scans (Zhongshan Hospital) were never published, so there are two ways to this dataset.

**The published file.** ``adrenalmnist3d_64.npz`` (https://zenodo.org/records/10519652), here or in
``<raw>/released/``: each row is a gland's cube of 64 cells of 1 mm. It gives labels, splits and order;
patients are not in it. The published 28 is its zoom in 1,583 of 1,584 rows.

**Masks of one's own.** One mask a gland, at any depth, packed or not (NIfTI, or .mha, .mhd and .nrrd:
:mod:`preprocess.reading.volume`), and one table (CSV)::

    adrenal/adrenal.csv            id,patient,side,label,split
    adrenal/masks/P001_L.nii.gz

``id`` is the mask's name without its ending, ``side`` is left or right, ``label`` 0
(normal) or 1 (hyperplasia or mass), ``split`` (train, val, test) may be empty or left out. In a mask
everything above 0 is the gland; its spacing is the header's, and it is turned so that its axes run to
Left, Posterior and Superior. A mask whose header says two things of its spacing, of more than two values, or
without any background is ``unreadable``.

Both at once are refused. Keys are ``<split>/<row>`` of the published file, else the ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.volume import GLOBS, SUFFIX
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import SPLITS, TABLE, by_name, count, in_packed_tars, natural, one_of, own_table
from preprocess.table import Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from preprocess.steps.grids import Mask

PUBLISHED = "adrenalmnist3d_64.npz"
PRESENT = (PUBLISHED, *GLOBS, *PACKED)
FALLBACK = f"released/{PUBLISHED}"
COLUMNS = ("id", "patient", "side", "label")
MASK = re.compile(rf"(.+?){SUFFIX}", re.IGNORECASE)
EDGE = 64


def index(raw: Raw) -> Listing:
    """List the rows of the published file in its order, or the masks of the table in natural order.

    Raises:
        PreprocessError: neither is there or both are, the file is not the published one in form, or the
            table does not fit its columns.
    """
    files = raw.files()
    published, published_copies = by_name(raw, files, re.compile(f"({re.escape(PUBLISHED)})"))
    masks, copies = by_name(raw, files, MASK)
    if published and not masks:
        listing = _published(raw, published[PUBLISHED])
        listing.notes += published_copies.notes()
        return listing
    tables, table_copies = by_name(raw, files, TABLE)
    if published or not masks or len(tables) != 1:
        raise PreprocessError(
            f"{raw.root}: needs {PUBLISHED}, or NIfTI masks with one table (CSV) of {', '.join(COLUMNS)}; holds "
            f"{len(published)} of the file, {len(masks)} masks and {len(tables)} tables"
        )
    listing = _own(raw, masks, next(iter(tables.values())))
    listing.notes += [*copies.notes("masks"), *table_copies.notes("tables")]
    listing.warnings += in_packed_tars(file.path for file in masks.values())
    return listing


def _published(raw: Raw, file: RawFile) -> Listing:
    from preprocess import npz

    path = raw.local(file.path)
    if path is None:
        raise PreprocessError(f"{raw.root / file.path}: cannot be read inside an archive; unpack it")
    reader = npz.Reader(path)
    samples = []
    for split in SPLITS:
        labels = reader.array(f"{split}_labels")
        shape = reader.shape(f"{split}_images")
        if labels.shape != (*shape[:1], 1) or shape != (len(labels), EDGE, EDGE, EDGE):
            raise PreprocessError(f"{path}: {split}_images is {shape}, not cubes of {EDGE}; download it again")
        samples += [
            Sample(
                key=f"{split}/{row}",
                path=file.path,
                source_split=split,
                original_label=str(label),
                released_index=str(row),
                attributes={"row": str(row)},
            )
            for row, label in enumerate(labels[:, 0].tolist())
        ]
    return Listing(samples, _census(samples), [f"{PUBLISHED} stands for the scans, which are not public"])


def _own(raw: Raw, masks: dict[str, RawFile], table: RawFile) -> Listing:
    samples = []
    for row in own_table(raw, table, COLUMNS):
        file = masks.get(_stem(row["id"]))
        where = f"{raw.root / table.path}: {row['id']}"
        samples.append(
            Sample(
                key=row["id"],
                path=file.path if file else "",
                group=row["patient"],
                source_split=one_of(row, "split", ("", *SPLITS), where),
                original_label=one_of(row, "label", ("0", "1"), where),
                reason="" if file else "missing",
                detail="" if file else f"{table.name} names it, there is no mask of that name",
                attributes={"laterality": one_of(row, "side", ("left", "right"), where)},
            )
        )
    unlisted = len(masks.keys() - {_stem(sample.key) for sample in samples})
    notes = [f"{unlisted} masks are not in {table.name}, ignored"] if unlisted else []
    samples.sort(key=lambda sample: natural(sample.key))
    return Listing(samples, _census(samples), notes)


def _stem(name: str) -> str:
    match = MASK.fullmatch(name)
    return (match[1] if match else name).lower()


def _census(samples: list[Sample]) -> dict[str, int]:
    return {f"label {label}": n for label, n in count(samples, "original_label").items()}


def open(raw: Raw, sample: Sample) -> NDArray[np.uint8] | Mask:
    """A published row, (64, 64, 64) uint8, or a :class:`~preprocess.steps.grids.Mask` in LPS.

    Raises:
        UnreadableError: the mask is damaged, says two things of its spacing or none, has more values than a
            mask can have, or no background.
    """
    if "row" in sample.attributes:
        path = raw.local(sample.path)
        assert path is not None
        rows = raw.memo(("adrenal rows", str(path)), lambda: _Rows(str(path)))
        return rows.get(sample.source_split, int(sample.attributes["row"]))
    import numpy as np
    from nibabel.orientations import apply_orientation

    from preprocess.geometry import Box, orientation
    from preprocess.reading import volume
    from preprocess.steps.grids import MASK_MARGIN, Mask

    image = volume.load(raw, sample.path)
    spacing = [0.0, 0.0, 0.0]
    axes = image.header.axes
    turn = orientation(axes)
    for stored, (axis, _) in zip(volume.spacing_of(image.header), turn.astype(int), strict=True):
        spacing[axis] = stored
    values: set[float] = set()
    for _, part in image.slabs():
        ends = part.min(), part.max()
        values |= {float(end) for end in ends}
        if len(values) > 2 or not ((part == ends[0]) | (part == ends[1])).all():
            raise UnreadableError("holds more than two different values; a mask of one gland has two")
    if min(values) > 0:
        raise UnreadableError("has no background: every voxel of it is set")
    box = volume.bounding_box(image, axes) or Box(axes, ((0, 1),) * 3)
    near = box.grown(MASK_MARGIN, image.shape)
    cells = np.ascontiguousarray(apply_orientation(image.part(near.slices) > 0, turn))
    (x, _), (y, _), (z, _) = near.turned(image.shape, "LPS").bounds
    return Mask(cells, (spacing[0], spacing[1], spacing[2]), (x, y, z))


class _Rows:
    """The rows of one npz, read forwards: rows asked for in order cost one pass."""

    def __init__(self, path: str) -> None:
        from preprocess import npz

        self._reader = npz.Reader(path)
        self._split = ""
        self._next = 0
        self._rows: Iterator[NDArray[np.uint8]] = iter(())

    def get(self, split: str, row: int) -> NDArray[np.uint8]:
        if split != self._split or row < self._next:
            self._split, self._next, self._rows = split, 0, self._reader.rows(f"{split}_images")
        for image in self._rows:
            self._next += 1
            if self._next == row + 1:
                return image
        raise PreprocessError(f"{self._reader.path}: {split} has no row {row}; it was changed since it was indexed")
