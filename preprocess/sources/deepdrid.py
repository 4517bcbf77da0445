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

from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.tables import whole
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import count, open_picture, table
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

open = open_picture


def index(raw: Raw) -> Listing:
    """List the rows of both lists, those with a file in the order the files are stored.

    Raises:
        PreprocessError: a list is not there or there twice, lacks a column, or a row has not exactly one eye filled.
    """
    place: dict[str, int] = {}
    lists: dict[str, list[RawFile]] = {part: [] for part in PARTS}
    paths: dict[str, str] = {}
    for position, file in enumerate(raw.files()):
        place[file.path] = position
        paths[file.path.lower()] = file.path
        for part in PARTS:
            if file.name.lower() == f"regular-fundus-{part}.csv":
                lists[part].append(file)
    samples: list[Sample] = []
    for part, found in lists.items():
        if len(found) != 1:
            cause = f"is there twice: {found[0].path} and {found[1].path}; keep one copy" if found else "is not there"
            raise PreprocessError(
                f"{raw.root}: regular-fundus-{part}.csv {cause}; expected is DeepDRiD-master.zip, packed or unpacked"
            )
        samples += _part(raw, part, found[0], paths)
    # where the pictures lie in a tar.gz they are read forwards
    samples.sort(key=lambda sample: place.get(sample.path, len(place)))
    listed = {sample.path for sample in samples}
    unlisted = [path for path in place if _is_picture(path) and path not in listed]
    notes = [f"{len(unlisted):,} pictures are not in the lists, ignored: {', '.join(unlisted[:3])}"] if unlisted else []
    return Listing(samples, count(samples, "source_split", "original_label"), notes)


def _part(raw: Raw, part: str, listed: RawFile, paths: dict[str, str]) -> list[Sample]:
    base = listed.path[: -len(listed.name)]
    samples = []
    for line, row in table(raw, listed).require(COLUMNS, "this is not the published list"):
        patient, image = whole(row["patient_id"]), row["image_id"]
        filled = [eye for eye, column in EYES.items() if row[column]]
        if len(filled) != 1:
            raise PreprocessError(
                f"{raw.root / listed.path}: line {line}: {image} has {len(filled)} eye levels, not one; "
                f"this is not the published list"
            )
        names = (
            f"{base}Images/{patient}/{image}.jpg",
            f"{base}Images/{patient}/{image.removeprefix(patient + '_')}.jpg",
        )
        path = next((paths[name.lower()] for name in names if name.lower() in paths), "")
        samples.append(
            Sample(
                key=image,
                path=path or names[0],
                original_label=whole(row[EYES[filled[0]]]),
                group=patient,
                source_split=part,
                reason="" if path else "missing",
                detail="" if path else f"the list names {names[0]}",
                attributes={"eye": filled[0]} | {name: whole(row[column]) for column, name in ATTRIBUTES.items()},
            )
        )
    return samples


def _is_picture(path: str) -> bool:
    return path.lower().endswith((".jpg", ".jpeg")) and any(f"regular-fundus-{part}/" in path.lower() for part in PARTS)
