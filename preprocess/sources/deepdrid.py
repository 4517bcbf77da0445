"""DeepDRiD: regular fundus photographs (Liu et al. 2022), the source of RetinaMNIST.

Expected contents: the repository's archive as GitHub serves it (``DeepDRiD-master.zip``, or named
after a branch or commit, zip or tar.gz), or the unpacked tree or a clone, at any depth::

    regular_fundus_images/regular-fundus-training/regular-fundus-training.csv
                                                  Images/<patient>/<patient>_l1.jpg
    regular_fundus_images/regular-fundus-validation/...

1,200 training images (300 patients of 4) and 400 for validation (100 patients). The CSV files are
the list: a row without its file is excluded as ``missing``. Files no row names, the evaluation
part and the ultra-widefield images are ignored.

A row's ``image_path`` lacks the folder ``Images`` and has backslashes, so the path is made from
patient and image id; a file may also lie there without ``<patient>_`` in its name. The label is
the level in the one filled column of ``left_eye_DR_Level`` and ``right_eye_DR_Level``, never the
patient's level, and never by the name: ``56_r3`` has the left column filled, ``56_l3`` the right.

Keys are the image ids, unique in both parts. The group is the patient; their ids are not shared
between the parts.
"""

from __future__ import annotations

import re

from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.tables import whole
from preprocess.sources import PACKED, Listing, common
from preprocess.sources.tools import by_name, count, open_picture, table, unique
from preprocess.table import Sample

PRESENT = ("*_[lr][0-9].jpg", *PACKED)
PARTS = ("training", "validation")
EYES = {"left": "left_eye_DR_Level", "right": "right_eye_DR_Level"}
#: further columns of the lists, and the attributes they become
ATTRIBUTES = {
    "patient_DR_Level": "patient_level",
    "Overall quality": "overall_quality",
    "Clarity": "clarity",
    "Field definition": "field_definition",
    "Artifact": "artifact",
}
COLUMNS = ("patient_id", "image_id", *EYES.values(), *ATTRIBUTES)

LIST = re.compile(rf"regular-fundus-({'|'.join(PARTS)})\.csv", re.IGNORECASE)
SUFFIXES = (".jpg", ".jpeg")

open = open_picture


def index(raw: Raw) -> Listing:
    """List the images of both parts as the lists name them, in the order their archive stores them.

    Raises:
        PreprocessError: a list is not there, two files of one name differ, a list lacks a column, or a row has not
            exactly one eye filled.
    """
    files = raw.files()
    lists, list_copies = by_name(raw, files, LIST)
    pictures, copies = unique(raw, files, _place)
    samples: list[Sample] = []
    for part in PARTS:
        if part not in lists:
            raise PreprocessError(
                f"{raw.root}: regular-fundus-{part}.csv is not there; expected is DeepDRiD-master.zip, packed or "
                f"unpacked"
            )
        samples += _part(raw, part, lists[part], pictures)
    # where the pictures lie in a tar.gz they are read forwards
    place = {file.path: position for position, file in enumerate(files)}
    samples.sort(key=lambda sample: place.get(sample.path, len(place)))
    listed = {sample.path for sample in samples}
    known = {*listed, *copies.paths}
    unlisted = [file.path for file in files if _is_regular(file) and file.path not in known]
    notes = [*list_copies.notes("lists"), *copies.notes("pictures")]
    if unlisted:
        notes.append(f"{len(unlisted):,} pictures are not in the lists, ignored: {', '.join(unlisted[:3])}")
    return Listing(samples, count(samples, "source_split", "original_label"), notes)


def _place(file: RawFile) -> str | None:
    """What two copies of a picture share: its list's folder, ``Images``, patient and name; None for another file."""
    place = "/".join(file.parts[-4:]).lower()
    return place if place.endswith(SUFFIXES) and file.parts[-3:][0].lower() == "images" else None


def _part(raw: Raw, part: str, listed: RawFile, pictures: dict[str, RawFile]) -> list[Sample]:
    base = listed.path[: -len(listed.name)]
    folder = "/".join((*listed.parts[-2:-1], "images"))
    samples = []
    for line, row in table(raw, listed).require(COLUMNS, "this is not the published list"):
        patient, image = whole(row["patient_id"]), row["image_id"]
        filled = [eye for eye, column in EYES.items() if row[column]]
        if len(filled) != 1:
            raise PreprocessError(
                f"{raw.root / listed.path}: line {line}: {image} has {len(filled)} eye levels, not one; "
                f"this is not the published list"
            )
        names = (f"{image}.jpg", f"{image.removeprefix(patient + '_')}.jpg")
        places = [f"{folder}/{patient}/{name}".lower() for name in names]
        path = next((pictures[place].path for place in places if place in pictures), "")
        expected = f"{base}Images/{patient}/{names[0]}"
        samples.append(
            Sample(
                key=image,
                path=path or expected,
                original_label=whole(row[EYES[filled[0]]]),
                group=patient,
                source_split=part,
                reason="" if path else "missing",
                detail="" if path else f"the list names {expected}",
                attributes=common.columns(laterality=filled[0])
                | {name: whole(row[column]) for column, name in ATTRIBUTES.items()},
            )
        )
    return samples


def _is_regular(file: RawFile) -> bool:
    path = file.path.lower()
    return path.endswith(SUFFIXES) and any(f"regular-fundus-{part}/" in path for part in PARTS)
