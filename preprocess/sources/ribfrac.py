"""RibFrac: chest CT with segmented rib fractures (Jin et al. 2020), the source of FractureMNIST3D.

Expected contents, each found by its name wherever it lies, in folders or in the archives as published
(``ribfrac-train-images-1.zip``, ``ribfrac-train-labels-1.zip``, ``ribfrac-val-images.zip`` ...)::

    Part1/RibFrac1-image.nii.gz ... 300      Part2/RibFrac301-image.nii.gz ... 420
    ribfrac-val-images/RibFrac421-image.nii.gz ... 500
    RibFrac1-label.nii.gz ... beside them, or in folders of their own
    RibFrac1-rib-seg.nii.gz ... the ribs' masks of RibSeg, a further and optional part
    ribfrac-train-info-1.csv, ribfrac-train-info-2.csv, ribfrac-val-info.csv

Volumes may also be .nii, .mha, .mhd or .nrrd (:mod:`preprocess.reading.volume`).

An information table is any CSV, separated by commas, semicolons or tabs, with the columns
``public_id,label_id,label_code``. Its row with label 0 is the background; a label's voxels have its number.
Codes: 1 displaced, 2 nondisplaced, 3 buckle, 4 segmental, -1 undefined. The source split is the number's: to
420 train, to 500 val, above it test.

**The labels of the test scans (501 to 660) were never published**, so nothing can be made of them. They
need not be there; those that are, are listed once each as ``no-label``.

**The published volumes show the ribs only**: everything else is 0. The masks are RibSeg's (version 1 covers
490 of the 660 scans; in any numbering of ribs, all above 0 counts). Where none is there, the released protocol
builds volumes that show everything, and says so; where some are there, fractures of scans without one
are left out as ``missing``.

A label and a ribs' mask are laid on their image by their headers: flips and another order of axes are
turned, another spacing or place is refused (``unreadable``), a header that says nothing is taken to lie as
the image, with a warning. The cubes' edges in mm are the headers'; a file whose header says two things of them
is ``unreadable``, and so is an image whose HU are off by 1024.

Refused: a fracture with two codes, two different files of one name, no table at all. Irregular in the
true files: stored orientations differ; labels have several dtypes; one label may lie on several ribs, and
its centroid then beside them. A label without voxels, voxels without a row and a scan that no table names
are left out with the reason.

The census counts scans, fractures, and fractures by code. The columns ``centroid`` (a point in the
image as stored), ``voxels`` and ``fracture`` (its label) are of the fracture, ``mask`` and ``ribs`` name the
files, ``ribs`` is ``none`` where no scan has one; ``mask_axes`` and ``ribs_axes`` lay them on the image.

Keys are ``RibFrac1/3``: scan and label. The group is the scan; no patient id is published.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.geometry import Point
from preprocess.reading import tables
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.volume import SUFFIX
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import by_name, in_packed_tars, natural, table
from preprocess.table import Sample

if TYPE_CHECKING:
    from preprocess.reading.volume import Header, Stored, Volume

PRESENT = ("ribfrac*-image.*", *(f"ribfrac{archive}" for archive in PACKED))
IMAGE = re.compile(rf"(ribfrac\d{{1,9}})-image{SUFFIX}", re.IGNORECASE)
LABEL = re.compile(rf"(ribfrac\d{{1,9}})-label{SUFFIX}", re.IGNORECASE)
RIBS = re.compile(rf"(ribfrac\d{{1,9}})-rib-seg{SUFFIX}", re.IGNORECASE)
#: what the column ``ribs`` says where no scan has a mask
NO_RIBS = "none"
SCAN = re.compile(r"ribfrac(\d{1,9})", re.IGNORECASE)
COLUMNS = ("public_id", "label_id", "label_code")
#: the last number of each source split
LAST = {"train": 420, "val": 500}
CODES = ("1", "2", "3", "4", "-1")


def index(raw: Raw) -> Listing:
    """List the fractures of every scan of the tables, and the scans without labels.

    Every label file is read, for the fractures' places.

    Raises:
        PreprocessError: there is no table, or one fracture has two codes.
    """
    files = raw.files()
    images, image_copies = by_name(raw, files, IMAGE)
    labels, label_copies = by_name(raw, files, LABEL)
    ribs, rib_copies = by_name(raw, files, RIBS)
    codes = _codes(raw, files)
    if not codes:
        raise PreprocessError(
            f"{raw.root}: no table with the columns {', '.join(COLUMNS)}; add ribfrac-train-info-1.csv, "
            f"ribfrac-train-info-2.csv and ribfrac-val-info.csv"
        )
    samples: list[Sample] = []
    notes, unnamed = [], []
    for scan in sorted({*images, *labels, *codes}, key=natural):
        image, label = images.get(scan), labels.get(scan)
        name = f"RibFrac{_number(scan)}"
        if scan not in codes and label is None and _split(scan) == "test":
            samples.append(_scan_sample(name, image, "no-label", "the labels of the test scans were never published"))
        elif scan not in codes:
            unnamed.append(name)
            table = f"ribfrac-{'val' if _split(scan) == 'val' else 'train'}-info"
            samples.append(
                _scan_sample(name, image, "no-label", f"no information table ({table}...csv) names this scan")
            )
        else:
            rib = ribs[scan].path if scan in ribs else "" if ribs else NO_RIBS
            samples += _fractures(raw, name, image, label, codes[scan], rib)
    notes += [*image_copies.notes("images"), *label_copies.notes("labels"), *rib_copies.notes("masks of ribs")]
    warnings = in_packed_tars(file.path for kind in (images, labels, ribs) for file in kind.values())
    if unnamed:
        warnings.append(
            f"{len(unnamed)} scans are in no information table, the first is {unnamed[0]}: add the tables "
            f"ribfrac-train-info-1.csv, ribfrac-train-info-2.csv and ribfrac-val-info.csv"
        )
    if ribs and (lacking := [f"RibFrac{_number(scan)}" for scan in sorted(codes, key=natural) if scan not in ribs]):
        notes.append(f"{len(lacking)} of {len(codes)} scans have no mask of their ribs, the first is {lacking[0]}")
    return Listing(samples, _census(images, codes), notes, warnings)


def _number(scan: str) -> int:
    match = SCAN.fullmatch(scan)
    assert match is not None
    return int(match[1])


def _split(scan: str) -> str:
    return next((split for split, last in LAST.items() if _number(scan) <= last), "test")


def _codes(raw: Raw, files: list[RawFile]) -> dict[str, dict[int, str]]:
    """The code of every fracture: by scan, in lower case, and label."""
    found: dict[str, dict[int, str]] = {}
    for file in files:
        if not file.name.lower().endswith(".csv"):
            continue
        information = table(raw, file)
        if not set(COLUMNS) <= set(information.columns):
            continue
        for line, row in information:
            scan, label, code = (tables.whole(row[column]) for column in COLUMNS)
            if not SCAN.fullmatch(scan) or (one := tables.number(label)) is None:
                raise PreprocessError(f"{raw.root / file.path}: line {line}: not a scan and a label: {scan},{label}")
            held = found.setdefault(scan.lower(), {})
            if held.setdefault(one, code) != code:
                raise PreprocessError(
                    f"{raw.root / file.path}: label {label} of {scan} has the codes {held[one]} and {code}; "
                    f"keep the published tables only"
                )
    for held in found.values():
        held.pop(0, None)  # the background
    return found


def _scan_sample(name: str, image: RawFile | None, reason: str, detail: str) -> Sample:
    path = image.path if image else ""
    return Sample(name, path, group=name, source_split=_split(name), reason=reason, detail=detail)


def _fractures(
    raw: Raw, name: str, image: RawFile | None, label: RawFile | None, codes: dict[int, str], ribs: str
) -> list[Sample]:
    """The fractures of one scan. Where its label cannot be read they have no centroid: opening says why."""
    places: dict[int, tuple[Point, int]] = {}
    columns = {"mask": label.path if label else "", "ribs": ribs, "spacing": "", "axes": ""}
    columns |= {"mask_axes": "", "ribs_axes": ""}
    absent = " and ".join(kind for kind, file in (("image", image), ("label", label)) if file is None)
    readable = not absent
    if image and label:
        from preprocess.reading import volume

        try:
            header = volume.read_header(raw, image.path)
            columns |= {"axes": header.axes, "spacing": " ".join(f"{edge:.6g}" for edge in header.spacing)}
            mask = _beside(raw, header, label.path)
            places = _places(mask, header.axes)
            columns["mask_axes"] = mask.axes
        except UnreadableError:
            readable = False
        if readable and ribs not in ("", NO_RIBS):
            with suppress(UnreadableError):  # opening says why, where the mask is asked for
                columns["ribs_axes"] = _lies(raw, header, ribs, volume.read_header(raw, ribs))
    samples = []
    for number in sorted({*codes, *places}):
        sample = Sample(
            key=f"{name}/{number}",
            path=image.path if image else "",
            unit=name,
            group=name,
            source_split=_split(name),
            original_label=codes.get(number, ""),
            attributes={**columns, "fracture": str(number), "centroid": "", "voxels": ""},
        )
        if absent:
            sample.reason, sample.detail = "missing", f"no {absent} of {name}"
        elif readable and number not in places:
            sample.reason, sample.detail = "empty-mask", f"no voxel of {label.name if label else name} is {number}"
        elif number not in codes:
            sample.reason, sample.detail = "no-label", f"no information table has label {number} of {name}"
        if number in places:
            centroid, voxels = places[number]
            sample.attributes["centroid"] = centroid.text(6)
            sample.attributes["voxels"] = str(voxels)
        samples.append(sample)
    return samples


def _places(mask: Volume, axes: str) -> dict[int, tuple[Point, int]]:
    """The centroid of every label, in the frame ``axes`` of the image as stored, and its number of voxels.

    Raises:
        UnreadableError: the label's voxels cannot be read.
    """
    return {
        number: (Point.of(mask.axes, place.tolist()).turned(mask.shape, axes), voxels)
        for number, (place, voxels) in instances(mask.image).items()
    }


def _lies(raw: Raw, image: Header, path: str, header: Header) -> str:
    """The axes of a label or mask that lay it on its image.

    Raises:
        UnreadableError: it does not lie on its image.
    """
    from preprocess.reading import volume

    return volume.placed_on(header, image, str(raw.root / path))


def _beside(raw: Raw, image: Header, path: str, axes: str = "") -> Volume:
    """A label or mask, with the axes that lay it on its image: those that the index found, or found here.

    Raises:
        UnreadableError: it cannot be read, or does not lie on its image.
    """
    from preprocess.reading import volume

    try:
        mask = volume.load(raw, path)
        return volume.Volume(mask, axes or _lies(raw, image, path, mask.header))
    except UnreadableError as error:
        raise UnreadableError(f"{path.rpartition('/')[2]} {error}") from error


def instances(mask: Stored) -> dict[int, tuple[NDArray[np.float64], int]]:
    """Mean place and number of voxels of every number above 0 in a volume, some planes at a time."""
    sums: dict[int, NDArray[np.int64]] = {}
    for start, part in mask.slabs():
        place = np.stack(np.nonzero(part))
        numbers = np.rint(part[tuple(place)]).astype(np.int64)
        place[2] += start
        for number in np.unique(numbers[numbers > 0]).tolist():
            mine = place[:, numbers == number]
            sums.setdefault(number, np.zeros(4, np.int64))
            sums[number] += [*mine.sum(axis=1), mine.shape[1]]
    return {number: (total[:3] / total[3], int(total[3])) for number, total in sorted(sums.items())}


def _census(images: dict[str, RawFile], codes: dict[str, dict[int, str]]) -> dict[str, int]:
    counts = {}
    for split in LAST:
        counts[f"{split} scans"] = sum(_split(scan) == split for scan in images)
        found = Counter(code for scan, held in codes.items() if _split(scan) == split for code in held.values())
        counts[f"{split} fractures"] = found.total()
        counts |= {f"{split} code {code}": found[code] for code in sorted({*CODES, *found}, key=natural)}
    return counts


def open(raw: Raw, sample: Sample) -> Volume:
    """The sample's image, to cut its cube from, with its ``labels`` and ``ribs`` beside it.

    Raises:
        UnreadableError: the image or its label cannot be read, they do not lie on each other, or the
            image's values are not HU.
    """
    from preprocess.reading import volume

    columns = sample.attributes
    if not columns["mask_axes"]:  # the index could not read it: says why
        header = volume.read_header(raw, sample.path)
        volume.spacing_of(header)
        _places(_beside(raw, header, columns["mask"]), header.axes)
    image = volume.load_ct(raw, sample.path)
    volume.spacing_of(image.header)
    beside = {"labels": partial(_beside, raw, image.header, columns["mask"], columns["mask_axes"])}
    if columns["ribs"] not in ("", NO_RIBS):
        beside["ribs"] = partial(_beside, raw, image.header, columns["ribs"], columns["ribs_axes"])
    return volume.Volume(image, columns["axes"], beside)
