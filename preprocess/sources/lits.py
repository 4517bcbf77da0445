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
RAS files. The column ``stored`` has the orientation, ``stored_known`` the table's; ``displaced`` says how far
the published crop's centre lies from the organ's, in voxels to Left, Posterior and Superior, and ``shared`` which
part of the organ's box it shows (1: all of it).

Keys are ``train-112-8`` for box 8 of volume 112, and ``train-112-8-sagittal-028`` for a plane of it,
28 being its index in the box zoomed to the "2 mm" grid. The group is the scan.
"""

from __future__ import annotations

import csv
import logging
import math
import re
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from preprocess.errors import PreprocessError, UnreadableError
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
#: what ``axes`` says where only the liver's mask can tell
UNKNOWN = "mask"

Scan = tuple[str, int]
Box = tuple[int, ...]


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
    axis = VIEWS[view][0]
    return planes(box[2 * axis], box[2 * axis + 1], view)


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


def displacement(box: Box, extents: tuple[int, ...], stored: str) -> tuple[tuple[float, ...], float]:
    """How the published crop of a box lies to the organ: the box's numbers applied to the array as stored.

    Args:
        box: ``x0, x1, y0, y1, z0, z1`` in LPS, ends exclusive.
        extents: the volume's, along the axes of LPS.
        stored: the orientation of the array, as :attr:`preprocess.reading.volume.Header.axes`.

    Returns:
        the way from the organ's centre to the crop's, in voxels to Left, Posterior and Superior; and which
        part of the organ's box the crop shows, 0 to 1.
    """
    from preprocess.reading import volume as volumes

    organ = tuple(zip(box[::2], box[1::2], strict=True))
    shape = volumes.extents(extents, "LPS", stored)
    crop = volumes.turned(organ, shape, stored)
    away = tuple((a + b - c - d) / 2 for (a, b), (c, d) in zip(crop, organ, strict=True))
    return away, _common(list(crop), list(organ)) / math.prod(end - first for first, end in organ)


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
            box = tuple(int(word) for word in match.groups()[2:])
            if match[1] in of_scan or not all(first < end for first, end in zip(box[::2], box[1::2], strict=True)):
                raise PreprocessError(f"{where}: a second or an empty box: {line[:80]!r}; get the file again")
            of_scan[match[1]] = box
    return boxes


def _samples_of_scan(raw: Raw, scan: Scan, boxes: dict[str, Box], volume: str, mask: str, view: str) -> list[Sample]:
    part, number = scan
    group, excluded, detail = f"{part}-{number}", "", ""
    reference = known_orientations().get(number, "") if part == "train" else ""
    stored = ""
    known = next((organ for organ in (["liver"] if mask else CONTENTS) if organ in boxes), "")
    attributes = {"mask": mask, "landmark": f"{known} {_text(boxes[known])}" if known else ""}
    extents: tuple[int, ...] | None = None
    if not volume:
        excluded, detail = "missing", f"{'test-' if part == 'test' else ''}volume-{number}.nii"
    else:
        try:
            axes, extents, spacing = _placed(raw, volume, boxes, masked=part == "train")
            stored = reference if axes == UNKNOWN else axes
            attributes |= {"axes": axes, "spacing": " ".join(f"{edge:g}" for edge in spacing), "stored": stored}
            attributes |= {"stored_known": reference}
            if axes == UNKNOWN and not (mask and known):
                excluded, detail = "missing", f"segmentation-{number}.nii, the only sign of the volume's orientation"
        except UnreadableError:
            pass  # rendering meets it again, and knows whether it is to stop the run
    samples: list[Sample] = []
    for organ, box in sorted(boxes.items(), key=lambda entry: ORGANS[entry[0]]):
        unit = f"{group}-{ORGANS[organ]}"
        reason, why = excluded, detail
        if extents and not _fits([box], extents):
            reason, why = "outside-volume", f"{organ} {_text(box)} in {'x'.join(map(str, extents))} voxels"
        if extents and stored:
            away, shared = displacement(box, extents, stored)
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
                    excluded=reason,
                    detail=why,
                    attributes={"box": _text(box)}
                    | ({} if k is None else {"view": view, "slice_index": str(k)})
                    | attributes,
                )
            )
    return samples


def _text(box: Box) -> str:
    return " ".join(map(str, box))


def _fits(boxes: list[Box], extents: tuple[int, ...]) -> bool:
    return all(end <= extent for box in boxes for end, extent in zip(box[1::2], extents, strict=True))


def _placed(raw: Raw, path: str, boxes: dict[str, Box], masked: bool) -> tuple[str, tuple[int, ...], tuple[float, ...]]:
    """The stored axes of a volume, its extents in the boxes' grid, and its spacing as stored."""
    from preprocess.reading import volume as volumes

    header = volumes.read_header(raw, path)
    if header.conflict:
        log.warning("%s: %s: no pixel depends on it here", raw.root / path, header.conflict)
    axes = header.axes
    swapped = axes[0] + axes[2] + axes[1]
    if not header.oriented and masked:
        return UNKNOWN, header.shape, header.spacing
    as_said, as_swapped = (volumes.extents(header.shape, one, "LPS") for one in (axes, swapped))
    if not _fits([*boxes.values()], as_said) and _fits([*boxes.values()], as_swapped):
        return swapped, as_swapped, header.spacing
    return axes, as_said, header.spacing


def open(raw: Raw, sample: Sample) -> volumes.Volume:
    """The sample's volume, to cut its box from; one scan's file stays open for the boxes that follow.

    Raises:
        UnreadableError: the volume, or the mask that tells its orientation, cannot be read, or its values are
            not HU.
    """
    from preprocess.reading import volume as volumes

    columns = sample.attributes
    axes = columns.get("axes", "")
    if not axes:
        volumes.read_header(raw, sample.path)  # the index could not read it: says why
    told = (sample.path, axes, columns["mask"], columns["landmark"], columns.get("stored_known", ""))
    image, axes = raw.memo(("lits", *told), partial(_opened, raw, *told), slot="lits scan")
    return volumes.Volume(image, axes)


def _opened(raw: Raw, path: str, axes: str, mask: str, landmark: str, known: str) -> tuple[Any, str]:
    """The image, and the direction of its stored axes after a look at what lies in a box."""
    from preprocess.reading import volume as volumes

    image = volumes.load_ct(raw, path)
    organ, *words = landmark.split() or [""]
    box = tuple(map(int, words))
    if organ in CONTENTS:
        what, holds = CONTENTS[organ]
        if _fits([box], volumes.extents(image.shape, axes, "LPS")) and not holds(
            volumes.Volume(image, axes).box(tuple(zip(box[::2], box[1::2], strict=True)), "LPS")
        ):
            log.warning(
                "%s: the box of %s holds no %s: its crops may show the wrong place", raw.root / path, organ, what
            )
    if not mask or organ != "liver":
        return image, axes
    candidates = ["LPS", "LAS", "RPS", "RAS"] if axes == UNKNOWN else [axes]
    fits = _fits_of_liver(raw, image.shape, mask, box, candidates, told=axes != UNKNOWN)
    if not fits:
        if axes == UNKNOWN:
            raise UnreadableError(f"has no orientation in its header, and {mask} does not fit it")
        return image, axes
    best = max(candidates, key=fits.__getitem__)
    if fits[best] < GOOD_FIT:
        log.warning(
            "%s: the liver's mask and box overlap by %.2f only (%s): its crops may show the wrong place",
            raw.root / path,
            fits[best],
            ", ".join(f"{one} {fit:.2f}" for one, fit in fits.items()),
        )
    if axes == UNKNOWN and known and best != known:
        log.warning(
            "%s: lies as %s by the liver's mask and box, the published file is stored as %s: under orientation: raw "
            "its crops are not the published ones", raw.root / path, best, known,
        )  # fmt: skip
    return image, best


def _fits_of_liver(
    raw: Raw, shape: tuple[int, ...], path: str, liver: Box, candidates: list[str], told: bool
) -> dict[str, float]:
    """Intersection over union of the liver's box and the box of its mask, by stored axes; empty without a mask.

    A mask whose header names other axes than its volume's (``told``: the volume's header says its own) lies as its
    own header says, or as its volume: the better fit counts, and is named.
    """
    from preprocess.reading import volume as volumes

    where = raw.root / path
    try:
        mask = volumes.load(raw, path)
        found = volumes.bounding_box(mask)
    except UnreadableError as error:
        log.warning("%s: %s: the orientation of its volume is not checked", where, error)
        return {}
    own = mask.header.axes if mask.header.oriented else ""
    if own and not told:
        log.warning("%s: its header says %s, its volume's nothing: how they lie to each other is not known", where, own)
        return {}
    box = list(zip(liver[::2], liver[1::2], strict=True))
    fits: dict[str, float] = {}
    for axes in candidates:
        lies = [axes] if own in ("", axes) else [own, axes]
        extents = volumes.extents(shape, axes, "LPS")
        fitting = [one for one in lies if found and volumes.extents(mask.shape, one, "LPS") == extents]
        if not fitting:
            log.warning("%s: does not fit its volume: the orientation is not checked", where)
            return {}
        overlaps = {one: _overlap(list(volumes.turned(found or (), mask.shape, one)), box) for one in fitting}
        best = max(overlaps, key=overlaps.__getitem__)
        if len(lies) > 1:
            log.warning(
                "%s: its header says %s, its volume's %s: it lies as %s by the liver's box", where, own, axes, best
            )
        fits[axes] = overlaps[best]
    return fits


def _common(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int:
    return math.prod(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a, b in zip(one, other, strict=True))


def _overlap(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> float:
    common = _common(one, other)
    return common / (sum(math.prod(end - first for first, end in box) for box in (one, other)) - common)
