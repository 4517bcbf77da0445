"""Kermany: OCT scans and children's chest X-rays (Kermany et al. 2018), of OCTMNIST and PneumoniaMNIST.

Expected contents: version 3, ``ZhangLabData.zip`` as published, the archive that wraps it, or the
unpacked tree, at any depth::

    CellData/OCT/{train,test}/{CNV,DME,DRUSEN,NORMAL}/CNV-1016042-1.jpeg
    CellData/chest_xray/{train,test}/{NORMAL,PNEUMONIA}/NORMAL-1003233-0001.jpeg
                                                        BACTERIA-1008087-0001.jpeg, VIRUS-...

The X-rays of version 2 (``ChestXRay2017.zip``) are the same images under other names: in NORMAL
``IM-0115-0001.jpeg`` and ``NORMAL2-IM-0003-0001.jpeg``, in PNEUMONIA ``person1_bacteria_1.jpeg``
and ``person1_virus_6.jpeg``. Kaggle's copy of them is read too: it keeps 16 training images in
``val/``, which are put back, nests ``chest_xray/chest_xray``, and has other test images.

Refused: the OCT scans of version 2 (``OCT2017``, with Kaggle's trailing space as well): 83,484
training images cannot give OCTMNIST's 108,309. Two copies of one part, unless the second is the
nested one of a Kaggle archive.

The folder is the class. All files are JPEG, most of them gray, some RGB (283 X-rays), of many
sizes; the smallest X-ray has 127 rows.

The group is the patient: the first number of a name, in OCT and in version 3 of the X-rays. In
version 2 it is ``personN`` for pneumonia, and a normal image names nobody. The numbers there run
on from the train to the test folder, but may start anew for bacteria and virus: two images with
one number need not be of one patient, so patients seen in two splits are an upper bound.

Keys are ``<train or test>/<class folder>/<name>``: one OCT name may occur in both folders.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from preprocess.errors import PreprocessError
from preprocess.reading.archives import BROKEN, SEPARATOR, Raw, RawFile, is_junk, is_tar, is_zip
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import SPLITS, Copies, different, open_picture
from preprocess.table import Sample

PRESENT = ("*.jpg", "*.jpeg", *PACKED)
#: known archives and what is in them; any other one is looked into
KNOWN_ARCHIVES = {
    "zhanglabdata.zip": ("oct", "chest"),
    "rscbjbr9sj-3.zip": ("oct", "chest"),
    "chestxray2017.zip": ("chest",),
    "oct2017.tar.gz": ("oct",),
}
OLD_OCT = "oct2017"
FOLDERS = {"oct": "oct", OLD_OCT: "oct", "chest_xray": "chest"}
CLASSES = {"oct": ("CNV", "DME", "DRUSEN", "NORMAL"), "chest": ("NORMAL", "PNEUMONIA")}
EXPECTED = {
    "oct": "CellData/OCT/{train,test}/{CNV,DME,DRUSEN,NORMAL}/*.jpeg in ZhangLabData.zip",
    "chest": "chest_xray/{train,test}/{NORMAL,PNEUMONIA}/*.jpeg in ZhangLabData.zip or ChestXRay2017.zip",
}
IMAGE = re.compile(r".+\.jpe?g", re.IGNORECASE)
#: both parts in version 3: class, patient, image
NUMBERED = re.compile(r"(CNV|DME|DRUSEN|NORMAL|BACTERIA|VIRUS)-(\d+)-(\d+)\.jpe?g", re.IGNORECASE)
PERSON = re.compile(r"(person\d+)_(bacteria|virus)_\d+(_\d+)?\.jpe?g", re.IGNORECASE)
STUDY = re.compile(r"(NORMAL2-)?IM-\d+(-\d+)+\.jpe?g", re.IGNORECASE)

open = open_picture


@dataclass(frozen=True)
class _Place:
    """Where one image lies: ``root/split/class_folder/name``; ``folder``, the root's own name, tells the part."""

    root: str
    part: str
    folder: str
    split: str
    class_folder: str


def present(folder: Path, part: str) -> bool:
    """Whether ``folder`` holds images of ``part``, or an archive that does or cannot be told from one."""
    for root, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in names:
            path = (Path(root) / name).relative_to(folder).as_posix()
            if not is_junk(path) and (_is_of(path, part) or _may_hold(Path(root) / name, part)):
                return True
    return False


def _may_hold(path: Path, part: str) -> bool:
    name = path.name.lower()
    if name in KNOWN_ARCHIVES or not is_zip(name):
        return part in KNOWN_ARCHIVES[name] if name in KNOWN_ARCHIVES else is_tar(name)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.replace("\\", "/") for name in archive.namelist()]
            members = [member for member in names if not is_junk(member)]
    except BROKEN:
        return True  # the index says what is wrong with it
    inner = [member.rpartition("/")[2].lower() for member in members if is_zip(member) or is_tar(member)]
    return any(part in KNOWN_ARCHIVES.get(one, CLASSES) for one in inner) or any(_is_of(one, part) for one in members)


def uses(path: str, part: str) -> bool:
    """Whether a file of the raw folder may hold images of ``part``: an archive of another name may hold anything."""
    outer = path.partition(SEPARATOR)[0].rpartition("/")[2].lower()
    if outer in KNOWN_ARCHIVES:
        return part in KNOWN_ARCHIVES[outer]
    place = _place(path)
    return place is None or place.part == part


def _is_of(path: str, part: str) -> bool:
    place = _place(path)
    return place is not None and place.part == part


def index(raw: Raw, part: str) -> Listing:
    """List the images of one part, ``oct`` or ``chest``, as the files lie in their archive.

    Raises:
        PreprocessError: nothing of the part is there, two versions of it are, two files of one image differ, it
            is version 2 of the OCT scans, or an image lies in another class's folder.
    """
    copies: dict[str, dict[str, Sample]] = {}
    again: list[list[str]] = []
    files = raw.files()
    at = {file.path: file for file in files}
    notes: list[str] = []
    warnings: list[str] = []
    others: list[str] = []
    old: list[RawFile] = []
    for file in files:
        place = _place(file.path)
        if place is None:
            others.append(file.path)
        elif place.part != part:
            continue
        elif place.folder == OLD_OCT or (part == "oct" and place.split == "val"):
            old.append(file)
        else:
            sample = _sample(raw, file, place, part)
            copy = copies.setdefault(place.root, {})
            if copy.setdefault(sample.key, sample) is not sample:
                again.append([copy[sample.key].path, file.path])
    if old and not copies:
        raise PreprocessError(
            f"{raw.root / old[0].path}: version 2 of the OCT scans, with 83,484 training images: OCTMNIST was made "
            f"from the 108,309 of version 3, which cannot be had from it; put ZhangLabData.zip of version 3 there"
        )
    if old:
        warnings.append(f"{len(old):,} OCT scans of version 2 are not read, only those of version 3: {old[0].path}")
    if not copies:
        raise PreprocessError(f"{raw.root}: no image of this part; expected are {EXPECTED[part]}, packed or unpacked")
    root, others_of = _whole(raw, copies)
    pairs = [[copies[root][key].path, one.path] for copy in others_of.values() for key, one in copy.items()]
    if pair := different(raw, files, [[at[path] for path in same] for same in (*again, *pairs)]):
        raise PreprocessError(
            f"{raw.root}: {pair[0].path} and {pair[1].path} have one name and differ; keep the published one"
        )
    notes += Copies([path for _, path in again]).notes("images")
    notes += [f"{other}: the same images once more, byte for byte, ignored" for other in others_of]
    twins, samples = _without_twins(raw, files, list(copies[root].values()), at)
    notes += twins.notes("images under another extension")
    if moved := sum(sample.path.split("/")[-3].lower() == "val" for sample in samples):
        warnings.append(
            f"{moved} training images lie in val/, as in Kaggle's copy: put back into train; 67 of that copy's normal "
            f"test images are not those of the published set, which needs ChestXRay2017.zip or ZhangLabData.zip"
        )
    notes += _notes(samples, others)
    census = Counter(" ".join(sample.key.split("/")[:2]) for sample in samples)
    return Listing(samples, dict(sorted(census.items())), notes, warnings)


def _place(path: str) -> _Place | None:
    """Find ``<folder of a part>/<split>/<class folder>/<name>`` at the end of a path, or None."""
    pieces = path.replace(SEPARATOR, "/").split("/")
    if len(pieces) < 4 or not IMAGE.fullmatch(pieces[-1]):
        return None
    folder, split, class_folder = (piece.strip().lower() for piece in pieces[-4:-1])  # Kaggle's 'OCT2017 '
    if folder not in FOLDERS:
        return None
    return _Place(path.rsplit("/", 3)[0], FOLDERS[folder], folder, split, class_folder.upper())


def _sample(raw: Raw, file: RawFile, place: _Place, part: str) -> Sample:
    if place.class_folder not in CLASSES[part] or place.split not in SPLITS:
        raise PreprocessError(f"{raw.root / file.path}: not a folder of this source; expected are {EXPECTED[part]}")
    named, group = _from_name(file.name)
    if named and _class_folder(named, part) != place.class_folder:
        raise PreprocessError(
            f"{raw.root / file.path}: a {named} image in another class's folder; restore the published tree"
        )
    split = "train" if place.split == "val" else place.split
    label = named or place.class_folder.lower()
    return Sample(
        key=f"{split}/{place.class_folder}/{file.name}",
        path=file.path,
        original_label=label.upper() if part == "oct" else label,
        group=group,
        source_split=split,
    )


def _from_name(name: str) -> tuple[str, str]:
    """The class and the patient a name tells, each empty where it tells none."""
    if match := NUMBERED.fullmatch(name):
        return match[1].lower(), match[2]
    if match := PERSON.fullmatch(name):
        return match[2].lower(), match[1].lower()
    return ("normal" if STUDY.fullmatch(name) else ""), ""


def _class_folder(named: str, part: str) -> str:
    return "PNEUMONIA" if part == "chest" and named in ("bacteria", "virus") else named.upper()


def _whole(raw: Raw, copies: dict[str, dict[str, Sample]]) -> tuple[str, dict[str, dict[str, Sample]]]:
    """The root that holds all there is, the least packed of equals, and the others, which hold it or a part of it too.

    Kaggle's archive nests a second copy in the first; an unpacked archive may lie beside itself.

    Raises:
        PreprocessError: two roots hold images that the other has not.
    """
    root = min(copies, key=lambda one: (-len(copies[one]), one.count(SEPARATOR), one))
    others = {other: copy for other, copy in copies.items() if other != root}
    if strange := next((other for other, copy in others.items() if copy.keys() - copies[root].keys()), None):
        names = ", ".join(sorted((root, strange)))
        raise PreprocessError(f"{raw.root}: two versions of the images are there: {names}; keep one of them")
    return root, others


def _without_twins(
    raw: Raw, files: list[RawFile], samples: list[Sample], at: dict[str, RawFile]
) -> tuple[Copies, list[Sample]]:
    """The samples without those whose file lies beside one that differs by its extension only, ``.jpg`` and ``.jpeg``.

    Raises:
        PreprocessError: two such files differ.
    """
    same: dict[str, list[Sample]] = {}
    for sample in samples:
        same.setdefault(sample.key.rpartition(".")[0].lower(), []).append(sample)
    if pair := different(raw, files, [[at[one.path] for one in group] for group in same.values() if len(group) > 1]):
        raise PreprocessError(
            f"{raw.root}: {pair[0].path} and {pair[1].path} have one name and differ; keep the published one"
        )
    left = [one.path for group in same.values() for one in group[1:]]
    return Copies(left), [group[0] for group in same.values()]


def _notes(samples: list[Sample], others: list[str]) -> list[str]:
    kinds = Counter(f"{sample.source_split} {sample.original_label}" for sample in samples)
    notes = [", ".join(f"{kind} {count:,}" for kind, count in sorted(kinds.items()))]
    if nobody := sum(not sample.group for sample in samples):
        notes.append(f"{nobody:,} images name no patient: each stands alone in a split by patient")
    images = [path for path in others if IMAGE.fullmatch(path)]
    if len(others) > len(images):
        notes.append(f"{len(others) - len(images):,} files are no images, ignored")
    if images:
        notes.append(f"{len(images):,} images lie outside the published folders, ignored: {', '.join(images[:3])}")
    return notes
