"""HAM10000: dermatoscopic images of pigmented skin lesions (Tschandl et al. 2018), the source of DermaMNIST.

Expected contents, as Harvard Dataverse gives them: ``HAM10000_images_part_1.zip``, ``_part_2.zip`` and
``HAM10000_metadata.csv`` (``?format=original``) or ``HAM10000_metadata.tab`` (Dataverse's own, tab separated
and quoted). Also read: unpacked or merged folders, Dataverse's zip of all files, the Kaggle mirror (its
second set of folders and ``hmnist_*.csv`` are left aside), and ISIC 2018 Task 3 training:
``ISIC2018_Task3_Training_Input.zip``, ``ISIC2018_Task3_Training_GroundTruth.csv`` (one column a class) and
``ISIC2018_Task3_Training_LesionGroupings.csv``. A picture is found by its own name wherever it lies::

    ISIC_0024306.jpg

10,015 images of 7,470 lesions, JPEG, 600 x 450 pixels, RGB. Two headers of the metadata are known, with
and without ``dataset``; rows are not sorted; age may be empty or ``80.0``. Images the metadata do not name
(the test images of ISIC 2018) are no part of the set. Refused, because they are altered copies: more
than one row of an image (an oversampled copy has 19,945 rows), a class of its own making (``healthy``).

Keys are the image ids, the group is the lesion; no patient id is published.
"""

from __future__ import annotations

import hashlib
import re

from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.tables import whole
from preprocess.sources import PACKED, Listing, common
from preprocess.sources.tools import by_name, count, first_width, open_picture, table
from preprocess.table import Sample

PRESENT = ("*.jpg", "*.jpeg", *PACKED)
IMAGE = re.compile(r"(ISIC_\d{7})\.jpe?g", re.IGNORECASE)
METADATA = re.compile(r"HAM10000_metadata(\.(csv|tab|tsv|txt))?", re.IGNORECASE)
TRUTH = re.compile(r"(ISIC2018_Task3_Training_GroundTruth)\.csv", re.IGNORECASE)
LESIONS = re.compile(r"(ISIC2018_Task3_Training_LesionGroupings)\.csv", re.IGNORECASE)
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
KNOWN_MD5 = {
    "8f85fb1aa29d80a2797247e434deb79d": "the one Dataverse publishes",
    "21f2bf4d9ce55ba85f08c77b116434aa": "a known copy without the column dataset",
}
ATTRIBUTES = ("dx_type", "localization", "dataset")

open = open_picture


def index(raw: Raw) -> Listing:
    """List the images the metadata name, sorted by id.

    Raises:
        PreprocessError: there are no metadata, or they are an altered copy's.
    """
    files = raw.files()
    images, copies = by_name(raw, files, IMAGE)
    rows, notes = _metadata(raw, files)
    samples = [_sample(row, images.get(name.lower())) for name, row in sorted(rows.items())]
    notes += copies.notes("images")
    if unnamed := len(images.keys() - {name.lower() for name in rows}):
        notes.append(f"{unnamed:,} images the metadata do not name were left aside")
    census = {
        **count(samples, "original_label"),
        "images": sum(not sample.reason for sample in samples),
        "lesions": len({sample.group for sample in samples}),
        "pixels across the first image": first_width(raw, images.values()),
    }
    return Listing(samples, census, notes)


def _sample(row: dict[str, str], file: RawFile | None) -> Sample:
    return Sample(
        key=row["image_id"],
        path=file.path if file else "",
        group=row["lesion_id"],
        original_label=row["dx"],
        reason="" if file else "missing",
        detail="" if file else "named by the metadata, no such file",
        attributes={name: row.get(name, "") for name in ATTRIBUTES}
        | common.columns(age=row.get("age", ""), sex=row.get("sex", "")),
    )


def _metadata(raw: Raw, files: list[RawFile]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The rows by image id, as HAM10000 names the columns, and where they come from."""
    tables = [file for file in files if METADATA.fullmatch(file.name)]
    if not tables:
        return _isic(raw, files)
    read = [(_by_image(raw, file, "image_id", {"lesion_id", "dx"}), file) for file in tables]
    # of several copies the one that says most
    rows, table = max(read, key=lambda one: len(next(iter(one[0].values()), {})))
    for others, other in read:
        if others.keys() != rows.keys() or any(_differ(rows[name], row) for name, row in others.items()):
            raise PreprocessError(f"{raw.root}: {table.path} and {other.path} differ; keep the published one")
    md5 = hashlib.md5(raw.read(table.path), usedforsecurity=False).hexdigest()
    known = KNOWN_MD5.get(md5, "not a known one; its rows decide")
    notes = [f"metadata from {table.path}, md5 {md5}: {known}"]
    return rows, notes + [f"{other.path} says the same and is left aside" for _, other in read if other is not table]


def _differ(row: dict[str, str], other: dict[str, str]) -> bool:
    """Whether two rows say two things in a column that both have; age may be ``80`` or ``80.0``."""
    return any(whole(row[column]) != whole(other[column]) for column in row.keys() & other.keys())


def _isic(raw: Raw, files: list[RawFile]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Labels and lesions in the form of ISIC 2018 Task 3."""
    (truth, truth_copies), (lesions, lesion_copies) = (
        (next(iter(found.values()), None), copies)
        for found, copies in (by_name(raw, files, pattern) for pattern in (TRUTH, LESIONS))
    )
    if truth is None or lesions is None:
        wanted = "ISIC2018_Task3_Training_LesionGroupings.csv" if truth else "HAM10000_metadata.csv"
        raise PreprocessError(f"{raw.root}: {wanted} is not there; it says which image shows which lesion, add it")
    group_of = _by_image(raw, lesions, "image", {"lesion_id"})
    rows: dict[str, dict[str, str]] = {}
    for name, row in _by_image(raw, truth, "image", {one.upper() for one in CLASSES}).items():
        chosen = [one for one in CLASSES if whole(row[one.upper()]) == "1"]
        if len(chosen) != 1 or name not in group_of:
            raise PreprocessError(f"{raw.root / truth.path}: {name} has no single class or no lesion")
        rows[name] = {
            "image_id": name,
            "lesion_id": group_of[name]["lesion_id"],
            "dx": chosen[0],
            "dx_type": group_of[name].get("diagnosis_confirm_type", ""),
        }
    notes = [f"labels from {truth.path}, lesions from {lesions.path}: no age, sex and localization"]
    return rows, [*notes, *truth_copies.notes("tables"), *lesion_copies.notes("tables")]


def _by_image(raw: Raw, file: RawFile, key: str, wanted: set[str]) -> dict[str, dict[str, str]]:
    """Read a table by its image ids."""
    rows: dict[str, dict[str, str]] = {}
    for _, row in table(raw, file).require(sorted({key, *wanted}), "this is not the published table"):
        if row[key] in rows:
            raise PreprocessError(
                f"{raw.root / file.path}: {row[key]} has two rows; this is an oversampled copy, not the published table"
            )
        if row.get("dx", CLASSES[0]) not in CLASSES:
            raise PreprocessError(
                f"{raw.root / file.path}: class {row['dx']!r} is none of HAM10000's seven; this is an altered copy"
            )
        rows[row[key]] = row
    return rows
