"""Derive ChestMNIST's two tables from the CheXNet lists: ``python tools/chestmnist_tables.py <folder>``.

The lists are ``ChestX-ray14/labels/{train,val,test}_list.txt`` of github arnoweng/CheXNet at commit
63c159f973ecaef5c6de85597de60d6729fc87b4. Their membership and labels are facts and are kept here in
a form of our own: one row a patient. Written are ``preprocess/tables/splits/chestmnist.csv`` (patient
to split) and ``preprocess/tables/labels/chestxray14.csv`` (the findings of each image).
"""

from __future__ import annotations

import sys
from pathlib import Path

TABLES = Path(__file__).parents[1] / "preprocess" / "tables"
SPLIT_TABLE = TABLES / "splits" / "chestmnist.csv"
LABEL_TABLE = TABLES / "labels" / "chestxray14.csv"
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
SOURCE = """\
# Derived from ChestX-ray14/labels/{train,val,test}_list.txt of https://github.com/arnoweng/CheXNet
# (commit 63c159f973ecaef5c6de85597de60d6729fc87b4) by tools/chestmnist_tables.py: 112,120 images, 30,805 patients.
"""


def tables(folder: Path) -> dict[Path, str]:
    """Return the text of both tables, by the file each belongs in, from the three lists in ``folder``."""
    split_of: dict[str, str] = {}
    words: dict[str, dict[str, str]] = {}
    for split in ("train", "val", "test"):
        for line in (folder / f"{split}_list.txt").read_text(encoding="ascii").splitlines():
            name, *digits = line.split()
            patient, _, visit = name.removesuffix(".png").partition("_")
            if split_of.setdefault(patient, split) != split:
                raise SystemExit(f"{patient} is in two lists; these are not the CheXNet lists")
            letters = "".join(chr(ord("A") + i) for i, digit in enumerate(digits) if digit == "1")
            words.setdefault(patient, {})[visit] = letters or "-"
    for patient, visits in words.items():
        if sorted(visits) != [f"{i:03}" for i in range(len(visits))]:
            raise SystemExit(f"{patient}: the follow-up numbers have gaps; the table has no place for that")
    legend = ", ".join(f"{chr(ord('A') + i)} {name}" for i, name in enumerate(FINDINGS))
    splits = [f"{patient},{split_of[patient]}\n" for patient in sorted(split_of)]
    labels = [f"{patient},{' '.join(words[patient][visit] for visit in sorted(words[patient]))}\n"
              for patient in sorted(words)]  # fmt: skip
    return {
        SPLIT_TABLE: f"{SOURCE}group,split\n{''.join(splits)}",
        LABEL_TABLE: f"{SOURCE}# One word an image, from follow-up 000 without gaps: a letter a finding, - for none.\n"
        f"# {legend}\npatient,findings\n{''.join(labels)}",
    }


if __name__ == "__main__":
    for path, text in tables(Path(sys.argv[1])).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
