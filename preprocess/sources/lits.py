"""LiTS CT volumes and the organ boxes of Xu et al. 2019, the source of the four Organ datasets.

Expected contents, each found by its name wherever it lies:

- ``volume-0.nii`` .. ``volume-130.nii`` and ``test-volume-0.nii`` .. ``test-volume-69.nii``, also as
  .nii.gz, as one zip a file (``volume-0.nii.zip``) or inside ``Training_Batch1.zip`` and the like;
- ``segmentation-0.nii`` .. ``segmentation-130.nii`` likewise: 0 background, 1 liver, 2 tumour. Those of
  28 to 47 are needed, the others are a check of orientation;
- ``annotations_of_training_set.zip`` and ``annotations_of_testing_set.zip`` (IEEE DataPort
  10.21227/df8g-pq27, or superxuang/caffe_3d_faster_rcnn), packed or not: ``segmentation-0.txt`` and
  ``test-segmentation-0.txt`` ..., lines ``name code x0 x1 y0 y1 z0 z1`` with CRLF.

Volumes and masks may also be .mha, .mhd or .nrrd (:mod:`preprocess.reading.volume`). A volume whose HU are off
by 1024 is ``unreadable``.

Refused: the MSD copy of the volumes (``liver_0.nii.gz``), whose numbering is
not known to be the same; lines of boxes that are not as published. The older training boxes have one
wrong number, the pancreas of segmentation-0 ends at 70 instead of 60: corrected with a note.

The boxes of all 201 scans are indices into one grid, x to Left, y to Posterior, z to Superior,
whatever the order of the stored array. Ends are exclusive. What is irregular in the volumes:

- The stored orientation varies; the header tells it, except
- volumes 28 to 47, whose header says nothing (identity affine): the x/y flip is chosen by which the
  liver's mask fits the liver's box best;
- of volumes 0 to 111 the stored orientation is known (a table of this project): a file that is stored
  otherwise is named, for it is not the published one, or was turned;
- test-volume-59 is a coronal stack, its second and third axes swapped. A volume is taken as swapped
  where only so all its boxes fit into it;
- voxels outside the field of view are -2048 or -3024: windows clip them;
- header and mask may disagree: of a mask whose header names other axes than its volume's, the liver's box
  decides whether it lies as its header says or as its volume, and it is named; spacing and origin are not
  compared.

**The published crops are of the arrays as stored**: the boxes' numbers, which are LPS, were applied without a
look at the header. So they show their organ where the file is stored as LPS, and another place in LAS and
RAS files. The column ``stored`` has the orientation, ``stored_by`` what tells it (``header``, ``boxes`` or
``mask``), ``stored_known`` the table's; ``displaced`` says how far the published crop's centre lies from the
organ's, in voxels to Left, Posterior and Superior, and ``shared`` which part of the organ's box it shows (1: all
of it).

Keys are ``train-112-8`` for box 8 of volume 112, and ``train-112-8-sagittal-028`` for a plane of it,
28 being its index in the box zoomed to the "2 mm" grid. The group is the scan.
"""

from __future__ import annotations

import csv
import logging
import math
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.geometry import Box, extents
from preprocess.reading import tables
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.volume import SUFFIX
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import Copies, in_packed_tars, table_lines, unique
from preprocess.table import Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from preprocess.reading import volume as volumes

log = logging.getLogger(__name__)

#: any archive but the annotations', whose names begin with "annotations"
PRESENT = (
    "volume-*.nii*", "test-volume-*.nii*", "*volume-*.mha", "*volume-*.mhd", "*volume-*.nrrd",
    *(f"{start}{archive}" for start in ("[!a]", "a[!n]") for archive in PACKED),
)  # fmt: skip
VOLUME = re.compile(rf"(test-)?volume-(\d+){SUFFIX}", re.IGNORECASE)
MASK = re.compile(rf"segmentation-(\d+){SUFFIX}", re.IGNORECASE)
BOXES = re.compile(r"(test-)?segmentation-(\d+)\.txt", re.IGNORECASE)
MSD = re.compile(r"liver_\d+\.nii(\.gz)?", re.IGNORECASE)
LINE = re.compile(r"([a-z-]+) " + " ".join([r"(\d{1,9})"] * 7))
SCANS = {"train": 131, "test": 70}
ORGANS = {
    "liver": 1, "kidney-r": 2, "kidney-l": 3, "femur-r": 4, "femur-l": 5, "bladder": 6,
    "heart": 7, "lung-r": 8, "lung-l": 9, "spleen": 10, "pancreas": 11,
}  # fmt: skip
#: the older training boxes' wrong line, and what it is in the corrected file
WRONG_LINE = (("train", 0), "pancreas 11 199 355 184 290 47 70", "pancreas 11 199 355 184 290 47 60")
#: axis, zoom factor of the "2 mm" grid, and step between the planes taken
VIEWS = {"sagittal": (0, 0.703125 / 2, 2), "coronal": (1, 0.703125 / 2, 2), "axial": (2, 5.0 / 2, 4)}
#: of the liver's mask and box, below which the orientation is doubted
GOOD_FIT = 0.9
#: what shows that a scan without a mask lies right: organ, HU, and what is expected of them
CONTENTS: dict[str, tuple[str, Callable[[NDArray[np.int16]], bool]]] = {
    "femur-r": ("bone", lambda hu: bool((hu > 200).mean() > 0.01)),
    "femur-l": ("bone", lambda hu: bool((hu > 200).mean() > 0.01)),
    "lung-r": ("air", lambda hu: bool(hu.mean() < -300)),
    "lung-l": ("air", lambda hu: bool(hu.mean() < -300)),
}
#: what ``stored_by`` says: what tells the orientation of a stored array
BY_HEADER, BY_BOXES, BY_MASK = "header", "boxes", "mask"
#: the orientations that a volume without one in its header may have
UNTOLD = ("LPS", "LAS", "RPS", "RAS")

#: of the boxes, whatever the array
FRAME = "LPS"

Scan = tuple[str, int]


def planes(first: int, end: int, view: str) -> list[int]:
    """Indices of the planes taken of a box, in its extent zoomed to the "2 mm" grid.

    The extent is ``L = ceil((end - first) * f - 0.5)``, nearest with ties down, with the same f for
    every scan; every second plane (axial: fourth) from 0.2 L to 0.8 L, both included. It gives all
    nine published split sizes of version 2.0 exactly.
    """
    _, factor, step = VIEWS[view]
    extent = math.ceil((end - first) * factor - 0.5)
    return [k for k in range(0, extent, step) if extent <= 5 * k <= 4 * extent]


def _planes_of(box: Box, view: str) -> list[int]:
    return planes(*box.bounds[VIEWS[view][0]], view)


def index(raw: Raw, view: str) -> Listing:
    """List the boxes, or their planes of one view: scans and organ codes in order.

    Args:
        raw: the source's raw folder.
        view: ``axial``, ``coronal`` or ``sagittal`` planes, or ``volume`` for the boxes themselves.

    Raises:
        PreprocessError: no boxes, lines that are not as published, or two copies of a file.
    """
    files = raw.files()
    (volumes, volume_copies), (masks, mask_copies), (listed, box_copies) = (
        _by_scan(raw, files, pattern) for pattern in (VOLUME, MASK, BOXES)
    )
    if not volumes and any(MSD.fullmatch(file.name) for file in files):
        raise PreprocessError(
            f"{raw.root}: holds the MSD copy of LiTS (liver_0.nii.gz ...), whose numbering is not known to be that of "
            f"the organ boxes; get the volumes as volume-0.nii ... test-volume-69.nii"
        )
    notes = [*volume_copies.notes("volumes"), *mask_copies.notes("masks"), *box_copies.notes("box files")]
    boxes = _read_boxes(raw, listed, notes)
    samples: list[Sample] = []
    for scan in sorted(boxes, key=lambda scan: (scan[0] != "train", scan[1])):
        samples.extend(_samples_of_scan(raw, scan, boxes[scan], volumes.get(scan, ""), masks.get(scan, ""), view))
    counts = {f"{part} volumes": sum(scan[0] == part for scan in volumes) for part in SCANS}
    counts |= {f"{part} boxes": sum(len(boxes[scan]) for scan in boxes if scan[0] == part) for part in SCANS}
    if view in VIEWS:
        counts |= {f"{part} {view} planes": sum(one.source_split == part for one in samples) for part in SCANS}
    notes.append(f"{len(masks)} of {SCANS['train']} liver masks are there to check orientations by")
    warnings = in_packed_tars([*volumes.values(), *masks.values()])
    return Listing(samples, counts, notes, warnings + _stored_otherwise(samples))


@cache
def known_orientations() -> dict[int, str]:
    """How training volumes are stored in the published files, by their number: ``LAS``, ``LPS``, ``RAS``."""
    rows = csv.DictReader(table_lines("tables/lits_orientation.csv"))
    return {int(row["volume"]): row["stored"] for row in rows}


def _stored_otherwise(samples: list[Sample]) -> list[str]:
    """A line a volume that is not stored as the published file."""
    found = {}
    for sample in samples:
        stored, known = (sample.attributes.get(name, "") for name in ("stored", "stored_known"))
        if stored and known and stored != known:
            found[sample.path] = f"{sample.path} is stored as {stored}, the published file as {known}: it was turned"
    return [f"{line}; under orientation: raw its crops are not the published ones" for line in found.values()]


def displacement(box: Box, shape: tuple[int, ...], stored: str) -> tuple[tuple[float, ...], float]:
    """How the published crop of a box lies to the organ: the box's numbers applied to the array as stored.

    Args:
        box: the organ's, in LPS.
        shape: the volume's extents along the axes of LPS.
        stored: the orientation of the array, as :attr:`preprocess.reading.volume.Header.axes`.

    Returns:
        the way from the organ's centre to the crop's, in voxels to Left, Posterior and Superior; and which
        part of the organ's box the crop shows, 0 to 1.
    """
    crop = Box(stored, box.bounds).turned(extents(shape, FRAME, stored), FRAME)
    away = tuple(there - here for there, here in zip(crop.centre.place, box.centre.place, strict=True))
    return away, crop.common(box) / box.voxels


def _by_scan(raw: Raw, files: list[RawFile], pattern: re.Pattern[str]) -> tuple[dict[Scan, str], Copies]:
    """The path of each scan's file of one kind, and copies of them."""

    def name_of(file: RawFile) -> str | None:
        if (match := pattern.fullmatch(file.name)) is None:
            return None
        part = "test" if match[0].lower().startswith("test-") else "train"
        number = int(re.findall(r"-(\d+)\.", match[0])[0])
        if number >= SCANS[part]:
            raise PreprocessError(
                f"{raw.root / file.path}: LiTS has {SCANS[part]} {part} scans, from 0; remove the file"
            )
        return f"{part} {number}"

    found, copies = unique(raw, files, name_of)
    return {(name.split()[0], int(name.split()[1])): file.path for name, file in found.items()}, copies


def _read_boxes(raw: Raw, paths: dict[Scan, str], notes: list[str]) -> dict[Scan, dict[str, Box]]:
    if not paths:
        raise PreprocessError(
            f"{raw.root}: holds no organ boxes; put annotations_of_training_set.zip and "
            f"annotations_of_testing_set.zip there"
        )
    boxes: dict[Scan, dict[str, Box]] = {}
    for scan, path in paths.items():
        of_scan = boxes.setdefault(scan, {})
        for number, line in enumerate(tables.text_of(raw.read(path), raw.root / path).splitlines(), 1):
            where = f"{raw.root / path}: line {number}"
            if (scan, line) == WRONG_LINE[:2]:
                line = WRONG_LINE[2]
                notes.append(f"{path}: the older boxes; the pancreas ends at 60, not 70: corrected")
            match = LINE.fullmatch(line)
            if match is None or ORGANS.get(match[1]) != int(match[2]):
                raise PreprocessError(
                    f"{where} is not 'organ code x0 x1 y0 y1 z0 z1': {line[:80]!r}; get the file again"
                )
            ends = [int(word) for word in match.groups()[2:]]
            box = Box(FRAME, tuple(zip(ends[::2], ends[1::2], strict=True)))
            if match[1] in of_scan or min(box.lengths) < 1:
                raise PreprocessError(f"{where}: a second or an empty box: {line[:80]!r}; get the file again")
            of_scan[match[1]] = box
    return boxes


def _samples_of_scan(raw: Raw, scan: Scan, boxes: dict[str, Box], volume: str, mask: str, view: str) -> list[Sample]:
    part, number = scan
    group, excluded, detail = f"{part}-{number}", "", ""
    reference = known_orientations().get(number, "") if part == "train" else ""
    stored = ""
    known = next((organ for organ in (["liver"] if mask else CONTENTS) if organ in boxes), "")
    attributes = {"mask": mask, "landmark": f"{known} {boxes[known].text}" if known else ""}
    shape: tuple[int, ...] | None = None
    if not volume:
        excluded, detail = "missing", f"{'test-' if part == 'test' else ''}volume-{number}.nii"
    else:
        try:
            header = _header(raw, volume)
            stored, by = _orientation(header, boxes, masked=part == "train")
            if by == BY_MASK and mask and known:
                stored = _by_mask(raw, volume, header.shape, mask, boxes[known])
                if not stored:
                    cause = f"has no orientation in its header, and {mask} does not fit it"
                    excluded, detail = "unreadable", f"{volume}: {cause}"
            elif by == BY_MASK:
                excluded, detail = "missing", f"segmentation-{number}.nii, the only sign of the volume's orientation"
            shape = extents(header.shape, stored or UNTOLD[0], FRAME)
            attributes |= {"spacing": " ".join(f"{edge:g}" for edge in header.spacing), "stored": stored}
            attributes |= {"stored_by": by, "stored_known": reference}
        except UnreadableError:
            pass  # rendering meets it again, and knows whether it is to stop the run
    samples: list[Sample] = []
    for organ, box in sorted(boxes.items(), key=lambda entry: ORGANS[entry[0]]):
        unit = f"{group}-{ORGANS[organ]}"
        reason, why = excluded, detail
        if shape and not box.fits(shape):
            reason, why = "outside-volume", f"{organ} {box.text} in {'x'.join(map(str, shape))} voxels"
        if shape and stored:
            away, shared = displacement(box, shape, stored)
            attributes |= {"displaced": " ".join(f"{way:g}" for way in away), "shared": f"{shared:.2f}"}
        slices = _planes_of(box, view) if view in VIEWS else [None]
        for k in slices:
            samples.append(
                Sample(
                    key=unit if k is None else f"{unit}-{view}-{k:03d}",
                    path=volume,
                    unit=unit,
                    group=group,
                    source_split=part,
                    original_label=organ,
                    reason=reason,
                    detail=why,
                    attributes={"box": box.text}
                    | ({} if k is None else {"view": view, "slice_index": str(k)})
                    | attributes,
                )
            )
    return samples


def _header(raw: Raw, path: str) -> volumes.Header:
    from preprocess.reading import volume as volumes

    header = volumes.read_header(raw, path)
    if header.conflict:
        log.warning("%s: %s: no pixel depends on it here", raw.root / path, header.conflict)
    return header


def _orientation(header: volumes.Header, boxes: dict[str, Box], masked: bool) -> tuple[str, str]:
    """The stored axes of a volume and what tells them; empty where only the liver's mask can."""
    if not header.oriented and masked:
        return "", BY_MASK
    axes = header.axes
    swapped = axes[0] + axes[2] + axes[1]
    as_said, as_swapped = (extents(header.shape, one, FRAME) for one in (axes, swapped))
    if not all(box.fits(as_said) for box in boxes.values()) and all(box.fits(as_swapped) for box in boxes.values()):
        return swapped, BY_BOXES
    return axes, BY_HEADER


def _by_mask(raw: Raw, path: str, shape: tuple[int, ...], mask: str, liver: Box) -> str:
    """The stored axes by which the liver's mask fits its box best; empty where it fits by none."""
    fits = _fits_of_liver(raw, shape, mask, liver, UNTOLD, told=False)
    if not fits:
        return ""
    best = max(fits, key=fits.__getitem__)
    _doubt(raw, path, fits, best)
    return best


def _doubt(raw: Raw, path: str, fits: dict[str, float], best: str) -> None:
    """Say where mask and box of the liver do not lie on each other."""
    if fits[best] < GOOD_FIT:
        log.warning(
            "%s: the liver's mask and box overlap by %.2f only (%s): its crops may show the wrong place",
            raw.root / path,
            fits[best],
            ", ".join(f"{one} {fit:.2f}" for one, fit in fits.items()),
        )


def open(raw: Raw, sample: Sample) -> volumes.Volume:
    """The sample's volume, to cut its box from; one scan's file stays open for the boxes that follow.

    Its orientation is the index's. What lies in the box that should tell is looked at once, and doubts are logged.

    Raises:
        UnreadableError: the volume cannot be read, or its values are not HU.
    """
    from preprocess.reading import volume as volumes

    columns = sample.attributes
    axes = columns.get("stored", "")
    if not axes:
        volumes.read_header(raw, sample.path)  # the index could not read it: says why
    mask = columns["mask"] if columns.get("stored_by") != BY_MASK else ""  # it has had its say
    told = (sample.path, axes, mask, columns["landmark"])
    image = raw.memo(("lits", *told), partial(_opened, raw, *told), slot="lits scan")
    return volumes.Volume(image, axes)


def _opened(raw: Raw, path: str, axes: str, mask: str, landmark: str) -> volumes.Stored:
    """The image, after a look at whether the landmark's box holds what it should."""
    from preprocess.reading import volume as volumes

    image = volumes.load_ct(raw, path)
    organ, _, text = landmark.partition(" ")
    if organ in CONTENTS:
        box = Box.parse(text)
        what, holds = CONTENTS[organ]
        if box.fits(extents(image.shape, axes, FRAME)) and not holds(volumes.Volume(image, axes).cut(box)):
            log.warning(
                "%s: the box of %s holds no %s: its crops may show the wrong place", raw.root / path, organ, what
            )
    elif organ and mask:
        fits = _fits_of_liver(raw, image.shape, mask, Box.parse(text), (axes,), told=True)
        if fits:
            _doubt(raw, path, fits, axes)
    return image


def _fits_of_liver(
    raw: Raw, shape: tuple[int, ...], path: str, liver: Box, candidates: Sequence[str], told: bool
) -> dict[str, float]:
    """Intersection over union of the liver's box and the box of its mask, by stored axes; empty without a mask.

    A mask whose header names other axes than its volume's (``told``: the volume's header says its own) lies as its
    own header says, or as its volume: the better fit counts, and is named.
    """
    from preprocess.reading import volume as volumes

    where = raw.root / path
    try:
        mask = volumes.load(raw, path)
        found = volumes.bounding_box(mask, mask.header.axes)
    except UnreadableError as error:
        log.warning("%s: %s: the orientation of its volume is not checked", where, error)
        return {}
    own = mask.header.axes if mask.header.oriented else ""
    if own and not told:
        log.warning("%s: its header says %s, its volume's nothing: how they lie to each other is not known", where, own)
        return {}
    fits: dict[str, float] = {}
    for axes in candidates:
        lies = [axes] if own in ("", axes) else [own, axes]
        wanted = extents(shape, axes, FRAME)
        fitting = [one for one in lies if extents(mask.shape, one, FRAME) == wanted]
        if found is None or not fitting:
            log.warning("%s: does not fit its volume: the orientation is not checked", where)
            return {}
        overlaps = {one: Box(one, found.bounds).turned(mask.shape, FRAME).overlap(liver) for one in fitting}
        best = max(overlaps, key=overlaps.__getitem__)
        if len(lies) > 1:
            log.warning(
                "%s: its header says %s, its volume's %s: it lies as %s by the liver's box", where, own, axes, best
            )
        fits[axes] = overlaps[best]
    return fits
