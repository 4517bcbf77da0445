"""NIH ChestX-ray14: frontal chest X-rays (Wang et al. 2017), the source of ChestMNIST.

Expected contents: the twelve ``images_001.tar.gz`` .. ``images_012.tar.gz`` as downloaded, which are
read forwards and never unpacked, and ``Data_Entry_2017.csv`` or ``Data_Entry_2017_v2020.csv``. Also read:
the unpacked ``images/``, Box's ``CXR8/`` folder or zip around them, and the Kaggle and Hugging Face
mirrors (``images_001/images/*.png``, a zip a part). A picture is found by its own name wherever it
lies::

    images/00000001_000.png        patient (8 digits), follow-up (3 digits)

112,120 images of 30,805 patients, PNG, 1024 x 1024 pixels, 8-bit gray; 519 are RGBA (in those seen the
colours are equal and nothing is transparent). Resampled copies exist: their width tells them.

Labels come from the lists of github arnoweng/CheXNet, kept in the project: they give the published
counts, and ``Data_Entry`` does not (it has up to about 80 more positives of a finding). ``Data_Entry``
gives ``Finding Labels`` as the original label, age (``57``, ``058Y``, ``006M`` and ``365D`` occur), sex (column
``Patient Gender`` or ``Patient Sex``), view position and the size and pixel spacing before NIH reduced the
image. NIH's header has broken brackets and a trailing comma. Where both versions are there, the one of
2020 is read. NIH's ``train_val_list.txt`` and ``test_list.txt`` are not used: the published split is not NIH's.

What should be there is what ``Data_Entry`` names; without it, what the lists name. Keys are the file
names, the group is the patient.
"""

from __future__ import annotations

import re

from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw, RawFile
from preprocess.sources import PACKED, Listing, common
from preprocess.sources.tools import by_name, first_width, open_picture, table, table_lines
from preprocess.table import Sample

PRESENT = ("*.png", *PACKED)
LABELS = "tables/labels/chestxray14.csv"
IMAGE = re.compile(r"(\d{8}_\d{3}\.png)", re.IGNORECASE)
ENTRIES = re.compile(r"(Data_Entry_2017.*\.csv)", re.IGNORECASE)
#: the findings in the order of the lists' columns, spelled as in Data_Entry
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
NO_FINDING = "No Finding"

open = open_picture


def index(raw: Raw) -> Listing:
    """List the images in the order their archives store them, then those that are named and not there.

    Raises:
        PreprocessError: two files of one name differ, or Data_Entry is not the table it should be.
    """
    files = raw.files()
    images, copies = by_name(raw, files, IMAGE)
    listed = listed_findings()
    entries, notes = _entries(raw, files)
    notes += copies.notes("images")
    samples = [_sample(name, images[name].path, listed, entries) for name in images]
    missing = sorted(name for name in entries or listed if name not in images)
    samples += [_sample(name, "", listed, entries) for name in missing]
    differ = sum(
        bool(sample.original_label) and set(sample.original_label.split("|")) != set(text.split("|"))
        for sample in samples
        if (text := sample.attributes["list_label"])
    )
    if differ:
        notes.append(f"the labels of {differ:,} images differ between Data_Entry and the lists")
    census = {
        "images": len(images),
        "patients": len({name[:8] for name in images}),
        "pixels across the first image": first_width(raw, images.values()),
    }
    return Listing(samples, census, notes)


def listed_findings() -> dict[str, str]:
    """The findings of each image by the CheXNet lists, joined by ``|`` as Data_Entry joins them."""
    findings: dict[str, str] = {}
    lines = table_lines(LABELS)
    next(lines)  # the header
    for line in lines:
        patient, words = line.split(",")
        for visit, word in enumerate(words.split(" ")):
            names = [FINDINGS[ord(letter) - ord("A")] for letter in word if letter != "-"]
            findings[f"{patient}_{visit:03}.png"] = "|".join(names) or NO_FINDING
    return findings


def _sample(name: str, path: str, listed: dict[str, str], entries: dict[str, dict[str, str]]) -> Sample:
    entry = entries.get(name, {})
    return Sample(
        key=name,
        path=path,
        group=name[:8],
        original_label=entry.get("Finding Labels", ""),
        reason="" if path else "missing",
        detail="" if path else "named by the source's list, no such file",
        attributes={
            "list_label": listed.get(name, ""),
            **common.columns(
                age=entry.get("Patient Age", ""),
                sex=entry.get("Patient Sex") or entry.get("Patient Gender") or "",
                view=entry.get("View Position", ""),
            ),
            "original_width": entry.get("OriginalImage[Width", ""),
            "original_height": entry.get("Height]", ""),
            "original_spacing_x": entry.get("OriginalImagePixelSpacing[x", ""),
            "original_spacing_y": entry.get("y]", ""),
        },
    )


def _entries(raw: Raw, files: list[RawFile]) -> tuple[dict[str, dict[str, str]], list[str]]:
    tables, copies = by_name(raw, files, ENTRIES)
    if not tables:
        return {}, ["no Data_Entry_2017.csv: age, sex, view and NIH's own labels stay empty"]
    file = tables[max(tables)]
    entries: dict[str, dict[str, str]] = {}
    for line, row in table(raw, file).require(("Image Index", "Finding Labels"), "this is not NIH's table"):
        name = row["Image Index"].lower()
        if IMAGE.fullmatch(name) is None:
            raise PreprocessError(f"{raw.root / file.path}: line {line}: {name!r} is no image name")
        if name in entries:
            raise PreprocessError(f"{raw.root / file.path}: {name} has two rows; this is not NIH's table")
        entries[name] = row
    return entries, [f"labels, age, sex and view of {len(entries):,} images from {file.path}", *copies.notes("tables")]
