"""Volumes: a folder of scans of your own, read as the recipe decides, without a line of Python.

Expected contents: NIfTI, MetaImage or NRRD files (:mod:`preprocess.reading.volume`), or DICOM files, of which those
of one folder and one SeriesInstanceUID are a volume, in any direction; in folders, zip or tar, at any depth; a table
(CSV or TSV) among them where the recipe names one, and masks on the grid of their volumes.

The recipe says, by decisions of these names (docs/decisions.md):

    files                 which files are samples: patterns, those with ! leave out; masks are none anyway
    table, table_key      the table, and the column of it that names the volume
    class_from            where the class is: folder, name, path, column, columns, DICOM header
    group_from            the same of the group, such as the patient
    split_from            the same of the source's own split
    columns               further columns, such as age and sex
    mask_files            which files are masks, and of which volumes
    place_from            the place of a sample: none, the mask's, or columns of the table

With a place in columns, a volume may have several rows and is then several samples. The step ``region`` takes all of
a volume, the box of its place, or a cube about it; ``intensity`` makes 8 bits of its values, ``zoom`` the grid.

Keys are paths below the raw folder, of a series that of its folder (and its UID where the folder holds several); the
same for a tree and its archive. Copies of one file, equal byte for byte, are left aside, and two that differ are
refused. A volume without a row in the table is left out as ``no-label`` where its class is a column, and refused
where only its group or another column is; a row that names no volume is ``missing``. A mask that is not there is
``missing``, one without a voxel ``empty-mask``, and one that does not lie on its volume makes it ``unreadable``.
Slices that differ, lie at one place, or leave a gap make their series ``unreadable``.

The columns ``spacing`` (mm along the axes as stored) and ``axes`` are the header's, ``box`` is the place in the
array as stored, ``mask`` the mask's file. The census counts the samples by class, those of a multi-label set in all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from preprocess.decisions import NOWHERE
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.geometry import Box
from preprocess.reading import dicom, kinds, volume
from preprocess.reading.archives import SEPARATOR, Raw, RawFile
from preprocess.reading.volume import Stored, Volume
from preprocess.sources import Listing
from preprocess.sources.decided import (
    Decided,
    Places,
    Row,
    Rows,
    Thing,
    choose,
    files_by_key,
    holds,
    ignored,
    key_of,
    stem_of,
)  # fmt: skip
from preprocess.sources.tools import natural
from preprocess.table import Sample


def present(folder: Path) -> bool:
    """Whether there is a volume, or an archive or other file that may be or hold one."""
    return holds(folder, ("volume", "series", "unknown"))


def index(
    raw: Raw,
    files: list[str] | str,
    table: str,
    table_key: str,
    class_from: str,
    group_from: str,
    split_from: str,
    columns: dict[str, str],
    mask_files: str,
    place_from: str,
) -> Listing:
    """List the volumes in natural order of their keys; every header is read, and every mask whose box is the place.

    Args:
        raw: the raw files.
        files: the decision of this name, as all that follow.
        table: see :mod:`preprocess.decisions`.
        table_key: likewise.
        class_from: likewise.
        group_from: likewise.
        split_from: likewise.
        columns: likewise.
        mask_files: likewise.
        place_from: likewise.

    Raises:
        PreprocessError: no file is taken, or a value cannot be told; see :mod:`preprocess.sources.decided`.
    """
    if place_from == "mask" and mask_files == NOWHERE:
        raise PreprocessError("place_from: mask needs masks; decide mask_files")
    decided = Decided(files, table, table_key, class_from, group_from, split_from, columns)
    there = raw.files()
    found, notes = files_by_key(raw, there, lambda file: kinds.kind_of(file.name) == "volume")
    masks = {of: path for key, file in found.items() if (of := _masked(key, mask_files)) for path in [file.path]}
    every = {key: Thing(key, file.path, file.path) for key, file in found.items() if not _masked(key, mask_files)}
    slices = [file for file in there if kinds.is_dicom(raw, file)]
    stacks, damaged = series(raw, slices)
    every |= stacks
    every = {key: every[key] for key in sorted(every, key=natural)}
    places = Places(raw)
    rows = Rows(raw, there, decided, places)
    used = [one.path for one in (*found.values(), *slices)]

    def more(thing: Thing, row: Row | None) -> dict[str, str]:
        mask = next((masks[name] for name in _names(thing.key) if name in masks), "")
        return {"spacing": "", "axes": "", "mask": mask, "box": _box(place_from, row)}

    notes += ignored(there, used)
    several = place_from.startswith(("centre", "box"))
    listing = choose(raw, list(every.values()), decided, rows, places, notes, "volumes", more, several)
    for sample in listing.samples:
        if not sample.reason:
            _look(raw, sample, place_from, mask_files)
    listing.warnings += [f"{len(damaged):,} DICOM files are damaged, the first: {damaged[0]}"] if damaged else []
    return listing


def _names(key: str) -> list[str]:
    """What a mask may call the volume of a key: by its path or name, without ending."""
    return [stem_of(key), stem_of(key).rpartition("/")[2]]


def _masked(key: str, mask_files: str) -> str:
    """The name or path of the volume that a file is the mask of; empty for a file that is none."""
    kind, _, expression = mask_files.partition(" ")
    if mask_files == NOWHERE:
        return ""
    match = re.search(expression, key.rpartition("/")[2] if kind == "name" else key)
    return match[1] or "" if match else ""


def series(raw: Raw, files: list[RawFile]) -> tuple[dict[str, Thing], list[str]]:
    """The series by key, and what is wrong with damaged files."""
    folders: dict[str, list[RawFile]] = defaultdict(list)
    for file in files:
        folders[_folder(file.path)].append(file)
    found: dict[str, Thing] = {}
    damaged: list[str] = []
    for folder, members in folders.items():
        slices, wrong = dicom.read_headers(raw, members)
        damaged += wrong
        uids = sorted({one.series for one in slices})
        for uid in uids:
            first = next(one.path for one in slices if one.series == uid)
            # the key of a file of it, without the file's own name
            place = key_of(RawFile(first, 0)).rpartition("/")[0] or "series"
            key = place if len(uids) == 1 else f"{place}/{uid}"
            if key in found:
                raise PreprocessError(f"{raw.root}: the series of {found[key].path} and {folder} have one key, {key}; "
                                      f"keep one of them")  # fmt: skip
            found[key] = Thing(key, folder, first, uid)
    return found, damaged


def _folder(path: str) -> str:
    """The folder of a file, or its archive: what :meth:`preprocess.reading.archives.Raw.folder` takes."""
    archive, separator, inner = path.rpartition(SEPARATOR)
    return f"{archive}{separator}{inner.rpartition('/')[0]}"


def _box(place_from: str, row: Row | None) -> str:
    """The place that a row says, in the array as stored; empty where it says none.

    Raises:
        PreprocessError: the row lacks a number.
    """
    kind, _, names = place_from.partition(" ")
    if kind not in ("centre", "box") or row is None:
        return ""
    numbers = []
    for name in (one.strip() for one in names.split(",")):
        try:
            numbers.append(float(row.cells[name]))
        except (KeyError, ValueError):
            raise PreprocessError(f"{row.where}: {row.cells.get(name, 'no column')!r} is no number of {name}, "
                                  f"which place_from names") from None  # fmt: skip
    if kind == "centre":
        bounds = [(round(value), round(value) + 1) for value in numbers]
    else:
        bounds = [(round(first), round(end)) for first, end in zip(numbers[::2], numbers[1::2], strict=True)]
    if wrong := next((pair for pair in bounds if pair[0] >= pair[1]), None):
        raise PreprocessError(f"{row.where}: a box from {wrong[0]} to {wrong[1]} holds no voxel")
    return " ".join(f"{first}:{end}" for first, end in bounds)


def _look(raw: Raw, sample: Sample, place_from: str, mask_files: str) -> None:
    """Fill in what the header says, and the place; a sample that cannot be opened is told when it is rendered."""
    columns = sample.attributes
    if mask_files != NOWHERE and not columns["mask"] and place_from == "mask":
        sample.reason, sample.detail = "missing", "no file is its mask"
        return
    try:
        header = _stored(raw, sample).header if columns.get("series") else volume.read_header(raw, sample.path)
        columns["axes"] = header.axes
        columns["spacing"] = " ".join(f"{edge:.6g}" for edge in header.spacing)
        if columns["box"]:
            columns["box"] = f"{header.axes} {columns['box']}"
            if not Box.parse(columns["box"]).fits(header.shape):
                sample.reason = "outside-volume"
                sample.detail = f"{columns['box']} in a volume of {'x'.join(map(str, header.shape))}"
        elif place_from == "mask":
            mask = volume.load(raw, columns["mask"])
            lies = volume.placed_on(mask.header, header, str(raw.root / columns["mask"]))
            box = volume.bounding_box(mask, lies)
            if box is None:
                sample.reason, sample.detail = "empty-mask", f"no voxel of {columns['mask']} is above 0"
            else:
                columns["box"] = box.turned(mask.shape, header.axes).text
    except UnreadableError as error:
        sample.reason, sample.detail = "unreadable", error.detail


def _stored(raw: Raw, sample: Sample) -> Stored:
    uid = sample.attributes.get("series", "")
    if not uid:
        return volume.load(raw, sample.path)
    slices, _ = dicom.read_headers(raw, raw.folder(sample.path))
    return dicom.stack(raw, [one for one in slices if one.series == uid], raw.root / sample.path)


def open(raw: Raw, sample: Sample) -> Volume:
    """The sample's volume, to take a part out of.

    Raises:
        UnreadableError: it cannot be read.
    """
    stored = _stored(raw, sample)
    return Volume(stored, stored.header.axes)
