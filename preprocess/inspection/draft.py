"""A first look at a folder of anybody's files, and the draft of a recipe that reads them.

What is found is told and written down with what it was found by; what nothing says is decided as usual and marked
``assumed``, for a person to confirm. The draft is tried before it is written: it is a recipe that builds.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from preprocess import index, recipe, web
from preprocess.acquire.inventory import gigabytes
from preprocess.decisions import DECISIONS, NOWHERE
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.inspection import traits
from preprocess.reading import dicom, kinds, tables, volume
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.picture import Picture
from preprocess.recipe import Recipe
from preprocess.sources import decided, volumes
from preprocess.sources.decided import NO_CLASS, Thing, stem_of
from preprocess.sources.tools import natural
from preprocess.sources.tools import table as read_table

#: files whose headers are looked at, and those of them that are decoded
LOOKED, DECODED = 100, 20
#: the most classes a guess can have
MOST_CLASSES = 100
#: the common columns by their elements of a DICOM header
_ELEMENTS = {"age": "PatientAge", "sex": "PatientSex", "laterality": "Laterality", "view": "ViewPosition"}
#: what folders and cells call splits, and as what they are kept
SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_MASK = re.compile(r"(.+)([_-])(mask|seg|segmentation|labels?|gt)(?:[_-]?\d+)?$", re.IGNORECASE)
_MASK_FOLDERS = ("mask", "masks", "label", "labels", "labelsTr", "seg", "segmentation", "segmentations")
#: names of columns by what they hold, in the order they are tried
_COLUMNS = {
    "class": (
        "label", "labels", "class", "diagnosis", "dx", "target", "category", "finding_labels", "finding", "grade",
        "type", "y",
    ),
    "group": (
        "patient_id", "patientid", "patient", "subject_id", "subject", "participant_id", "case_id", "pid", "lesion_id",
    ),
    "split": ("split", "set", "subset", "partition"),
    "age": ("age", "patient_age", "age_approx"),
    "sex": ("sex", "gender", "patient_sex"),
    "laterality": ("laterality", "side", "eye"),
    "view": ("view", "view_position"),
}  # fmt: skip
#: what tells ids in names, the likely ones first
_IDS = (
    *(
        rf"(?:^|[^A-Za-z])({word}[-_ ]?[0-9]+)"
        for word in ("patient", "pat", "subject", "subj", "sub", "case", "pid", "p", "s", "id")
    ),
    r"^([A-Za-z]*[0-9]+)[-_ ]",
)
#: what a list of findings says where there is none
_NO_CLASS_WORDS = frozenset({"no finding", "none", "normal", "healthy"})
#: what CT values are windowed by where nothing is known: soft tissue
_CT = "-160,240"


@dataclass(frozen=True)
class Guess:
    """One decision of a draft: its value, how sure it is, and by what it was found."""

    value: Any
    why: str
    evidence: str = "assumed"

    @property
    def text(self) -> str:
        """Its entry in a recipe."""
        value, why = json.dumps(self.value, ensure_ascii=False), json.dumps(self.why, ensure_ascii=False)
        return f"{{both: {{value: {value}, evidence: {self.evidence}, why: {why}}}}}"


@dataclass
class Draft:
    """A recipe's draft.

    Attributes:
        text: the recipe.
        told: what was found, for a person.
    """

    text: str
    told: list[str]


@dataclass
class _Folder:
    """What lies in a folder, as the guesses need it."""

    raw: Raw
    files: list[RawFile]
    source: str
    things: list[Thing]
    guesses: dict[str, Guess] = field(default_factory=dict)

    @cached_property
    def tables(self) -> dict[str, tables.Table]:
        """The tables by key; one that cannot be read is none."""
        found = {}
        for file in self.files:
            if kinds.kind_of(file.name) == "table":
                try:
                    found[decided.key_of(file)] = read_table(self.raw, file)
                except PreprocessError:
                    continue
        return found

    def header(self, thing: Thing, keyword: str) -> str:
        """An element of the DICOM header of a thing; empty where it is none."""
        try:
            return dicom.element(self.raw, thing.first, keyword)
        except UnreadableError:
            return ""

    @cached_property
    def looked(self) -> list[Thing]:
        """The things whose headers are looked at, from all over the list."""
        step = max(len(self.things) // LOOKED, 1)
        return self.things[::step][:LOOKED]

    @cached_property
    def is_dicom(self) -> bool:
        """Whether the things are DICOM."""
        return all(kinds.is_dicom(self.raw, RawFile(thing.first, 0)) for thing in self.looked)

    @cached_property
    def seen(self) -> tuple[dict[str, Counter[str]], list[str]]:
        """The traits of the headers that were looked at, by name, and what could not be read."""
        found: dict[str, Counter[str]] = {}
        wrong: list[str] = []
        kind = {"images": "picture", "volumes": "volume", "meshes": "mesh"}[self.source]
        for thing in self.looked:
            try:
                seen = traits.look(self.raw, thing.first, "series" if self.is_dicom else kind, False)
            except PreprocessError as error:
                wrong.append(f"{thing.key}: {error}")
                continue
            for name, value in seen[1].items() if seen else ():
                found.setdefault(name, Counter())[value] += 1
        return found, wrong

    @cached_property
    def place(self) -> Callable[[str, Thing], str]:
        """The value of a place that needs no table."""
        places = decided.Places(self.raw)
        return lambda place, thing: places.value(place, "new", thing, None)


def draft(name: str, folder: Path) -> Draft:
    """Look at a folder and draft the recipe of a dataset.

    Args:
        name: the dataset's.
        folder: its files, which the recipe calls ``.``, the raw folder itself.

    Raises:
        PreprocessError: the folder holds no data, or nothing says what the classes are.
    """
    with Raw(folder) as raw:
        found = _look(raw)
        classes, told_classes = _classes(found)
        _others(found)
        text = _written(name, found, classes, None)
        census, trouble = _tried(name, text, folder)
        told = [*_told(found), *told_classes, *_told_guesses(found)]
        told += [f"not yet: {trouble}"] if trouble else []
        return Draft(_written(name, found, classes, census), told)


# ---- what is there


def _look(raw: Raw) -> _Folder:
    files = raw.files()
    pictures = [file for file in files if kinds.kind_of(file.name) == "picture"]
    scans = [file for file in files if kinds.kind_of(file.name) == "volume"]
    meshes = [file for file in files if kinds.kind_of(file.name) == "mesh"]
    slices = [file for file in files if kinds.is_dicom(raw, file)]
    series = volumes.series(raw, slices)[0] if slices else {}
    counts = {"images": len(pictures), "volumes": len(scans), "meshes": len(meshes), "dicom": len(slices)}
    most = max(counts, key=lambda kind: counts[kind])
    if not counts[most]:
        kinds_there = Counter(kinds.kind_of(file.name) or "other" for file in files)
        told = ", ".join(f"{number:,} {kind}" for kind, number in kinds_there.most_common()) or "no file"
        raise PreprocessError(f"{raw.root}: holds no picture, volume, DICOM file or mesh, but {told}")
    if most == "dicom":
        most = "volumes" if len(slices) >= 2 * max(len(series), 1) else "images"
    if most == "volumes" and slices:
        things = list(series.values())
    else:
        wanted = {"images": (*pictures, *slices), "volumes": scans, "meshes": meshes}[most]
        by_key = decided.files_by_key(raw, wanted, lambda file: True)[0]
        things = [Thing(key, file.path, file.path) for key, file in by_key.items()]
    found = _Folder(raw, files, most, sorted(things, key=lambda thing: natural(thing.key)))
    _masks(found)
    return found


def _masks(found: _Folder) -> None:
    """Which files are masks of others, by what follows the name of another file, or by their folder."""
    stems = {stem_of(thing.name) for thing in found.things}
    by_name: Counter[tuple[str, str]] = Counter()
    for thing in found.things:
        match = _MASK.match(stem_of(thing.name))
        if match and match[1] in stems:
            by_name[match[2], match[3]] += 1
    folders = [
        name for name in _MASK_FOLDERS
        if any(f"/{thing.key}".lower().count(f"/{name.lower()}/") for thing in found.things)
    ]  # fmt: skip
    patterns = [f"!*{mark}{word}*" for mark, word in sorted(by_name)]
    patterns += [f"!{name}/*" for name in folders] + [f"!*/{name}/*" for name in folders]
    masks = {thing: None for thing in found.things if patterns and not decided.is_taken(thing.key, patterns)}
    left = [thing for thing in found.things if thing not in masks]
    if not masks or not left:
        found.guesses["files"] = Guess("all", "nothing among them looks like a mask", "read")
        found.guesses["mask_files"] = Guess(NOWHERE, "nothing looks like a mask", "read")
        return
    why = f"{len(masks):,} files look like masks, such as {next(iter(masks)).key}"
    found.guesses["files"] = Guess(patterns if found.source != "volumes" else "all", why)
    if by_name:
        words = "|".join(sorted({word for _, word in by_name}))
        found.guesses["mask_files"] = Guess(f"name (.+)[_-](?:{words})", why)
    else:
        found.guesses["mask_files"] = Guess(f"path {folders[0]}/(.+)[.](?:nii|mha|mhd|nrrd)", why)
    found.things = left


# ---- tables


def _table(found: _Folder) -> tuple[str, tables.Table] | None:
    """The table that names most of the things, with the column that names them."""
    best: tuple[int, str, str, tables.Table] | None = None
    names = [
        {thing.key, thing.name, stem_of(thing.key), stem_of(thing.name)} for thing in found.things
    ]  # fmt: skip
    for key, table in found.tables.items():
        for column in table.columns:
            cells = {tables.whole(row[column]) for _, row in table}
            covered = sum(not cells.isdisjoint(one) for one in names)
            if 2 * covered >= len(names) and (best is None or covered > best[0]):
                best = covered, key, column, table
    how = "names"
    if best is None:
        best, how = _by_ids(found)
    if best is None:
        found.guesses["table"] = Guess(NOWHERE, "no table names the files", "read")
        found.guesses["table_key"] = Guess(NOWHERE, "no table", "read")
        return None
    covered, key, column, table = best
    why = f"its column {column.partition(' = ')[0]} {how} {covered:,} of {len(names):,}"
    found.guesses["table"] = Guess(key.rpartition("/")[2], why, "read")
    found.guesses["table_key"] = Guess(column, why, "read")
    return column.partition(" = ")[0], table


def _by_ids(found: _Folder) -> tuple[tuple[int, str, str, tables.Table] | None, str]:
    """The table whose column holds ids that the names or headers hold."""
    places = [*(f"name {one}" for one in _IDS), "folder"] + (["header PatientID"] if found.is_dicom else [])
    for place in places:
        ids = _values(found, place)
        for key, table in found.tables.items():
            for column in table.columns:
                cells = {tables.whole(row[column]) for _, row in table}
                covered = sum(one in cells for one in ids)
                if ids and 2 * covered >= len(ids):
                    return (covered, key, f"{column} = {place}", table), "holds the ids of"
    return None, ""


def _values(found: _Folder, place: str) -> list[str]:
    """The value of a place for every thing; nothing where it has none for some, which is seen at the first of them."""
    values = []
    for thing in found.things:
        try:
            value = found.place(place, thing)
        except PreprocessError:
            return []
        if not value:
            return []
        values.append(value)
    return values


def _column(table: tables.Table, what: str, but: Iterable[str] = ()) -> str:
    """The column of a table that is called as what it holds; empty for none."""
    by_lower = {column.lower().replace(" ", "_"): column for column in table.columns if column not in but}
    return next((by_lower[name] for name in _COLUMNS[what] if name in by_lower), "")


# ---- classes


def _classes(found: _Folder) -> tuple[dict[str, Any], list[str]]:
    """The label entry of a recipe, and what was found."""
    named = _table(found)
    _split(found, named)
    guess, several = (_class_of_table(found, *named) if named else None) or (_class_of_names(found), False)
    if guess is None:
        raise PreprocessError(
            f"{found.raw.root}: nothing says what the classes are: put the files into a folder a class, or add a CSV "
            "with a column that names the file and a column label"
        )
    found.guesses["class_from"] = guess
    if several:
        names = sorted(_all_classes(found, guess.value, named), key=natural)
        pieces = {piece for name in names for piece in name.split("|")}
        none = next((one for one in sorted(pieces) if one.lower() in _NO_CLASS_WORDS), NO_CLASS)
        names = sorted(pieces - {none}, key=natural) if guess.value.startswith("column ") else _listed(guess.value)
        label = {"rule": "several", "none": none, "classes": names}
    else:
        names = sorted(_all_classes(found, guess.value, named), key=natural)
        label = {"rule": "map", "classes": names}
    return label | {"map": {name: place for place, name in enumerate(names)}}, [
        f"classes by {guess.value!r}: {guess.why}"
    ]


def _listed(place: str) -> list[str]:
    """The columns that a place names."""
    return [one.strip() for one in place.partition(" ")[2].split(",")]


def _all_classes(found: _Folder, place: str, named: tuple[str, tables.Table] | None) -> set[str]:
    kind, _, rest = place.partition(" ")
    if kind == "columns":
        return set(_listed(place))
    if kind == "column" and named is not None:
        return {value for _, row in named[1] if (value := tables.whole(row[rest]))}
    return {found.place(place, thing) for thing in found.things}


def _class_of_table(found: _Folder, key: str, table: tables.Table) -> tuple[Guess, bool] | None:
    rows = [row for _, row in table]
    marks = [
        column for column in table.columns
        if column != key and {tables.whole(row[column]) for row in rows} == {"0", "1"}
        and column not in {_column(table, what) for what in _ELEMENTS}
    ]  # fmt: skip
    if (column := _column(table, "class", (key,))) and column not in marks:
        return _guess_column(rows, column), any("|" in row[column] for row in rows)
    if len(marks) > 1:
        each = [sum(tables.whole(row[column]) == "1" for column in marks) for row in rows]
        why = f"{len(marks)} columns hold 1 and 0, {min(each)} to {max(each)} of them 1 in a row"
        return Guess(f"columns {', '.join(marks)}", why, "read"), set(each) != {1}
    if marks:
        return _guess_column(rows, marks[0]), False
    others = {_column(table, what) for what in ("group", "split", *_ELEMENTS)}
    for column in table.columns:
        values = {tables.whole(row[column]) for row in rows} - {""}
        are_words = not any(one.replace(".", "").isdecimal() for one in values)
        if column not in {key, *others} and are_words and 2 <= len(values) <= min(MOST_CLASSES, len(rows) // 2):
            guess = _guess_column(rows, column)
            return Guess(guess.value, f"{guess.why}: is it the class?"), False
    return None


def _guess_column(rows: list[dict[str, str]], column: str) -> Guess:
    return Guess(f"column {column}", _counted(tables.whole(row[column]) for row in rows), "read")


def _class_of_names(found: _Folder) -> Guess | None:
    split = found.guesses["split_from"].value
    ids = ""
    thin: Guess | None = None
    for level in range(1, 5):
        place = "folder" if level == 1 else f"folder {level}"
        if not (names := _values(found, place)):
            break
        if place == split:
            continue
        if _are_ids(names):
            ids = ids or place
        elif 2 <= len(set(names)) <= min(MOST_CLASSES, len(names)):
            guess = Guess(place, _counted(names), "read")
            if min(Counter(names).values()) < 2:  # a stray folder beside those of classes: the next may be clearer
                thin = thin or guess
                continue
            if ids:
                found.guesses["group_from"] = _guess_group(found, ids)
            return guess
    names = _values(found, "name ^([A-Za-z]+)")
    if 2 <= len(set(names)) <= min(MOST_CLASSES, len(names) // 2):
        return Guess("name ^([A-Za-z]+)", _counted(names), "consistent")
    return thin


def _are_ids(names: Sequence[str]) -> bool:
    """Whether names of folders look like ids: many, and most of them with a number."""
    different = set(names)
    return len(different) > 4 and sum(any(one.isdigit() for one in name) for name in different) > 0.8 * len(different)


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    told = [f"{name or 'empty'} {counts[name]:,}" for name in sorted(counts, key=natural)]
    return ", ".join(told if len(told) <= 12 else [*told[:12], f"and {len(told) - 12} more"])


# ---- splits, groups and the rest


def _split(found: _Folder, named: tuple[str, tables.Table] | None) -> None:
    """Where the source's own split is, and which of its splits are kept."""
    values: list[str] = []
    place = NOWHERE
    for level in range(1, 5):
        one = "folder" if level == 1 else f"folder {level}"
        names = _values(found, one)
        if all(name.lower() in SPLIT_WORDS for name in names) and len(set(names)) > 1:
            place, values = one, names
            break
    if place == NOWHERE and named and (column := _column(named[1], "split")):
        names = [row[column] for _, row in named[1]]
        if all(name.lower() in SPLIT_WORDS for name in names) and len(set(names)) > 1:
            place, values = f"column {column}", names
    kept = {name: SPLIT_WORDS[name.lower()] for name in sorted(set(values))}
    there = set(kept.values())
    why = _counted(values) if values else "nothing names train, val or test"
    rule, ratio = "per-class", DECISIONS["split.ratio"].first
    if there >= {"train", "val", "test"}:
        rule = "official"
    elif there == {"train", "test"}:
        ratio, kept = "9:1", {name: split for name, split in kept.items() if split == "test"}
    elif there:  # train and val alone: val is what a model is tested on
        rule = "official"
    grade = "read" if values else "assumed"
    found.guesses["split_from"] = Guess(place, why, "read")
    found.guesses["split.rule"] = Guess(
        rule, why if rule == "official" else "usual: each class cut by the ratio", grade
    )
    found.guesses["split.ratio"] = Guess(ratio, "usual" if not kept else "of what is not kept: train and val")
    found.guesses["split.keep"] = Guess(kept, why, "read")


def _others(found: _Folder) -> None:
    guesses = found.guesses
    table = next((one for key, one in found.tables.items() if key.rpartition("/")[2] == guesses["table"].value), None)
    columns = {}
    for what, element in _ELEMENTS.items():
        if table is not None and (column := _column(table, what)):
            columns[what] = f"column {column}"
        elif found.is_dicom and any(found.header(thing, element) for thing in found.looked[:5]):
            columns[what] = f"header {element}"
    guesses["columns"] = Guess(columns, f"{', '.join(_ELEMENTS)}: where something says them", "read")
    if "group_from" not in guesses:
        column = _column(table, "group") if table is not None else ""
        by_table = guesses["table_key"].value.partition(" = ")
        if column or by_table[2]:
            guesses["group_from"] = Guess(f"column {column or by_table[0]}", "a column of ids", "read")
        else:
            guesses["group_from"] = _group_of_names(found)
    is_grouped = guesses["group_from"].value != NOWHERE
    why = "what must not straddle the splits" if is_grouped else "no ids were found: each file for itself"
    guesses["split.group_by"] = Guess("group" if is_grouped else "none", why)
    guesses["order"] = Guess(DECISIONS["order"].first, "usual")


def _group_of_names(found: _Folder) -> Guess:
    if found.is_dicom:
        ids = _values(found, "header PatientID")
        if len(set(ids)) > 1:
            return Guess("header PatientID", f"{len(set(ids)):,} different", "read")
    classes = found.guesses["class_from"].value
    for expression in _IDS:
        ids = _values(found, f"name {expression}")
        if 1 < len(set(ids)) < len(ids) and classes != f"name {expression}":
            return _guess_group(found, f"name {expression}")
    return Guess(NOWHERE, "nothing in the names repeats as an id would")


def _guess_group(found: _Folder, place: str) -> Guess:
    ids = [found.place(place, thing) for thing in found.things]
    example = found.things[0]
    why = f"{len(set(ids)):,} different in {len(ids):,}, such as {ids[0]} of {example.key}: are these the patients?"
    return Guess(place, why, "consistent")


# ---- pixels


def _steps(found: _Folder) -> tuple[int, int, list[str], dict[str, Guess]]:
    """Dimensions, channels, steps, and the decisions of the steps."""
    seen = found.seen[0]
    if found.source == "volumes":
        intensity = _intensity(found)
        has_masks = found.guesses["mask_files"].value != NOWHERE
        return 3, 1, ["region", "intensity", "zoom"], {
            "orientation": Guess("lps", "all volumes one way round"),
            "region": Guess("whole", "place_from: mask and region: box or cube would cut" if has_masks else "no place"),
            "cube": Guess(DECISIONS["cube"].first, "only for region: cube"),
            "crop_unit": Guess("mm", "only for region: cube"),
            "intensity": intensity,
            "zoom": Guess("whole", "as in the other datasets, the last line included"),
        }  # fmt: skip
    if found.source == "meshes":
        return 3, 1, ["mesh", "repair", "voxelise", "cells"], {
            "repair": Guess("pymeshfix", "the one there is"),
            "voxels": Guess("inside", "the true pitch of each size"),
            "cube": Guess(DECISIONS["cube"].first, "the edge in mm: does it hold a whole mesh?"),
            "zoom": Guess("whole", "not in force where cells are inside"),
        }  # fmt: skip
    deep = found.is_dicom or any(bits.isdecimal() and int(bits) > 8 for bits in seen.get("bits a channel", ()))
    channels, why = (1, "DICOM") if deep else _channels(found)
    guesses = {
        "crop": Guess(DECISIONS["crop"].first, "nothing is squashed; the edges of a long side are lost"),
        "crop_rounding": Guess("half-even", "as in the other datasets"),
        "kernel": Guess(DECISIONS["kernel"].first, "as in the paper"),
    }
    if deep:
        guesses["intensity"] = _intensity(found)
        photometric = seen.get("photometric", Counter())
        if photometric and set(photometric) == {"RGB"}:
            return 2, 3, ["values", "intensity", "rgb", "crop", "resize"], guesses
        return (
            2,
            1,
            ["values", "intensity", "gray", "crop", "resize"],
            guesses | {"gray": Guess("luma", "only of colour")},
        )
    guesses["decoder"] = Guess("pillow", "of JPEG; other formats are alike by every decoder")
    if channels == 3:
        return 2, 3, ["decode", "rgb", "crop", "resize"], guesses
    return 2, 1, ["decode", "gray", "crop", "resize"], guesses | {"gray": Guess("luma", why, "read")}


def _channels(found: _Folder) -> tuple[int, str]:
    """3 where some picture has colour, else 1."""
    colourful = 0
    modes = found.seen[0].get("mode", Counter())
    if not set(modes) - {"1", "L", "LA"}:
        return 1, "all are gray"
    for thing in found.looked[:DECODED]:
        try:
            pixels = np.asarray(Picture(found.raw.read(thing.path)).converted("RGB"))
        except UnreadableError:
            continue
        colourful += bool((pixels[..., 0] != pixels[..., 1]).any() or (pixels[..., 0] != pixels[..., 2]).any())
    return (3, "") if colourful else (1, f"no colour in {min(len(found.looked), DECODED)} that were decoded")


def _intensity(found: _Folder) -> Guess:
    if found.source == "volumes":
        if found.is_dicom:
            is_ct = "CT" in found.seen[0].get("modality", {})
            return (
                Guess(_CT, "CT: soft tissue in HU")
                if is_ct
                else Guess("sample-percentiles 1,99", "not CT: no fixed scale")
            )
        lows, types = [], set()
        for thing in found.looked[:5]:
            try:
                stored = volume.load(found.raw, thing.path)
                lows.append(float(volume.sampled(stored).min()))
                types.add(stored.header.dtype)
            except UnreadableError:
                continue
        if types == {"uint8"}:
            return Guess("uint8", "all looked at are of 8 bits", "read")
        if lows and max(lows) <= -900:
            return Guess(_CT, f"values from {min(lows):g}, as CT has them: soft tissue in HU")
        return Guess("sample-percentiles 1,99", "no fixed scale is known")
    return Guess("sample-percentiles 1,99", "more than 8 bits, and no fixed scale is known")


# ---- what is written and told


def _written(name: str, found: _Folder, label: dict[str, Any], census: dict[str, int] | None) -> str:
    dimensions, channels, steps, pixels = _steps(found)
    task = (
        "multi-label" if label["rule"] == "several" else "binary-class" if len(label["classes"]) == 2 else "multi-class"
    )
    keys = ["files", "table", "table_key", "class_from", "group_from", "split_from", "columns"]
    keys += ["mask_files", "place_from"] if found.source == "volumes" else []
    guesses = {**found.guesses, "place_from": Guess(NOWHERE, "the whole volume is the sample")}
    told = found.seen[0].get("modality", Counter())
    return web.environment("preprocess.inspection", html=False).get_template("recipe.yaml.j2").render(
        name=name,
        source=found.source,
        modality=next(iter(told), "to be named"),
        task=task,
        dimensions=dimensions,
        channels=channels,
        group=_group_word(guesses["group_from"].value),
        label=json.dumps(label, ensure_ascii=False),
        census=json.dumps(census, ensure_ascii=False) if census else "",
        steps=", ".join(steps),
        reading={key: guesses[key].text for key in keys},
        splitting={key: guesses[key].text for key in guesses if key.startswith("split.") or key == "order"},
        pixels={key: guess.text for key, guess in pixels.items()},
    )  # fmt: skip


def _group_word(place: str) -> str:
    """What a group is called."""
    if place == NOWHERE:
        return "none"
    words = ("patient", "subject", "lesion", "participant", "case")
    return next((word for word in words if word in place.lower()), "patient")


def _tried(name: str, text: str, folder: Path) -> tuple[dict[str, int] | None, str]:
    """The counts of the samples that a draft finds, or what it cannot read yet."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / f"{name}.yaml").write_text(text, encoding="utf-8")
        try:
            recipe.use(place)
            in_force: Recipe = recipe.load(name, "paper")
            return index.build(in_force, folder, "warn", None).counts, ""
        except PreprocessError as error:
            return None, str(error)
        finally:
            recipe.use(None)


def _told(found: _Folder) -> list[str]:
    size = sum(file.size for file in found.files)
    counts = Counter(
        "DICOM" if kinds.is_dicom(found.raw, file) else kinds.kind_of(file.name) or "other" for file in found.files
    )
    what = ", ".join(f"{number:,} {kind}" for kind, number in counts.most_common())
    lines = [f"{found.raw.root}: {len(found.files):,} files, {gigabytes(size)}: {what}"]
    lines.append(f"read as {found.source}: {len(found.things):,}, such as {found.things[0].key}")
    seen, wrong = found.seen
    for name, values in seen.items():
        lines.append(f"  {name}: {_ranged(values)}")
    lines += [f"  cannot be read: {len(wrong)} of {len(found.looked)} looked at, the first {wrong[0]}"] if wrong else []
    return lines


def _ranged(values: Counter[str]) -> str:
    """Values with how many files have each, or their range where they are many numbers."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = []
    if len(values) > 4 and len(numbers) == len(values):
        return f"{min(numbers):g} to {max(numbers):g} ({len(values)} values)"
    most = [f"{value} ({number})" for value, number in values.most_common(4)]
    return ", ".join(most) + (f" and {len(values) - 4} more" if len(values) > 4 else "")


def _told_guesses(found: _Folder) -> list[str]:
    told = {"group_from": "group", "split_from": "split", "table": "table", "files": "files"}
    return [
        f"{what} by {found.guesses[key].value!r}: {found.guesses[key].why}" if found.guesses[key].value != NOWHERE
        else f"{what}: {found.guesses[key].why}"
        for key, what in told.items()
    ]  # fmt: skip
