"""The vocabulary of decisions: every key a recipe may decide and ``overrides`` may name.

A decision belongs to the stage it changes; only that stage and what follows it is run again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

from preprocess.errors import guess
from preprocess.published import SPLITS
from preprocess.table import COMMON, SPLIT_COLUMNS

Stage = Literal["index", "split", "render"]
EVIDENCE = ("bytes", "counts", "read", "consistent", "assumed", "unknown")
PROTOCOLS = ("paper", "released")
#: the key of a by-size value that stands for every size not named
OTHER_SIZES = "other"
#: the paper whose text the protocol ``paper`` follows: Yang et al., Scientific Data 10:41, 2023
PAPER = "https://doi.org/10.1038/s41597-022-01721-8"


@dataclass(frozen=True)
class Pointer:
    """Where the reason of a decision can be looked up or proven again.

    Attributes:
        text: in words.
        link: an address, or empty.
        prove: the kind of proof that ``snakemake prove`` runs for it, or empty.
    """

    text: str
    link: str = ""
    prove: str = ""


def pointer(source: Mapping[str, Any]) -> Pointer:
    """What a recipe's ``source`` says, which is one of (``schemas/recipe.schema.json``)

    ``paper``: what of the paper, a dataset it describes or several together, never a heading of its text;
    ``repository``, perhaps with ``file``: on GitHub; ``url``, with ``title``; ``published``, perhaps with ``row``: a
    published npz; ``prove``: a kind of proof of the target ``prove``.
    """
    if "paper" in source:
        return Pointer(f"the paper on {source['paper']}", PAPER)
    if "repository" in source:
        place = f"https://github.com/{source['repository']}"
        if file := source.get("file"):
            return Pointer(f"{source['repository']}: {file}", f"{place}/blob/HEAD/{file}")
        return Pointer(source["repository"], place)
    if "url" in source:
        return Pointer(source["title"], source["url"])
    if "published" in source:
        row = f", row {source['row']}" if "row" in source else ""
        return Pointer(f"the published {source['published']}{row}")
    return Pointer(f"snakemake prove, {source['prove']}", prove=source["prove"])


@dataclass(frozen=True)
class OptionalPackage:
    """Values that need an optional package, and what they become without it.

    Attributes:
        name: its name.
        pattern: what such a value holds, as a regular expression.
        instead: what stands in place of it where the package is missing.
    """

    name: str
    pattern: str
    instead: str

    def without(self, value: object) -> Any:
        """The value without the package; itself where it does not need it."""
        return re.sub(self.pattern, self.instead, value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Decision:
    """One key: the stage it belongs to, what it may be, and what it means.

    Attributes:
        stage: the first stage whose result depends on it.
        meaning: one sentence for the documentation and the audit.
        choices: the values allowed, each with its meaning; empty where ``pattern`` or ``kind`` rules.
        pattern: a regular expression that further text values must match.
        kind: the JSON type of a value that is not text.
        within: the smallest and the largest whole number allowed, where ``kind`` is int.
        limits: what a value that has the right form must satisfy besides: a test, and the words for it.
        by_size: whether it may differ between sizes (``{28: a, other: b}``).
        further: values of ``pattern`` that a search for the decision tries besides the choices.
        optional: which values need an optional package.
        needs: it is in force only where these other decisions have one of these values.
        idle: it is not in force where these other decisions have one of these values.
        usual: what a draft of a recipe takes where nothing says otherwise; None for the first of the choices.
    """

    stage: Stage
    meaning: str
    choices: dict[str, str]
    pattern: str | None = None
    kind: type | tuple[type, ...] | None = None
    within: tuple[int, int] | None = None
    limits: tuple[Callable[[Any], bool], str] | None = None
    by_size: bool = False
    further: tuple[str, ...] = ()
    optional: OptionalPackage | None = None
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    idle: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    usual: Any = None

    @property
    def first(self) -> Any:
        """The value that a draft begins with."""
        return next(iter(self.choices), "") if self.usual is None else self.usual

    def typed(self, value: object) -> Any:
        """The value as the vocabulary has it: of a command line's text a number, of a mapping the keys as text."""
        if self.kind is dict and isinstance(value, dict):
            return {str(key): one for key, one in value.items()}
        if self.kind is int and isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value.strip()):
            return int(value)
        return value

    def problem(self, value: object) -> str | None:
        """Say what is wrong with ``value`` for this decision, or None."""
        if self.by_size and isinstance(value, dict):
            if OTHER_SIZES not in value:
                return f"a value by size needs the key {OTHER_SIZES!r}"
            if strange := next((key for key in value if key != OTHER_SIZES and not str(key).isdecimal()), None):
                return f"{strange!r} is no size; a value by size has whole numbers and {OTHER_SIZES!r} as keys"
            return next((problem for one in value.values() if (problem := self._problem(one))), None)
        return self._problem(value)

    def _problem(self, value: object) -> str | None:
        if problem := self._form_problem(value):
            return problem
        if self.within and isinstance(value, int) and not self.within[0] <= value <= self.within[1]:
            return f"{value} is not from {self.within[0]} to {self.within[1]}"
        if self.limits and value not in self._choices_of(value) and not self.limits[0](value):
            return f"{value!r} {self.limits[1]}"
        return None

    def _choices_of(self, value: object) -> Iterable[object]:
        return self.choices if isinstance(value, str) else ()

    def _form_problem(self, value: object) -> str | None:
        if self.kind is not None and isinstance(value, self.kind) and not isinstance(value, bool):
            return None
        if isinstance(value, str) and (value in self.choices or (self.pattern and re.fullmatch(self.pattern, value))):
            return None
        allowed = [*self.choices, *([self.pattern] if self.pattern else [])]
        if self.kind is not None:
            kinds = self.kind if isinstance(self.kind, tuple) else (self.kind,)
            allowed += [kind.__name__ for kind in kinds]
        like = guess(value, self.choices).rstrip()
        return f"{value!r} is not one of: {', '.join(allowed)}{f'; {like}' if like else ''}"


def shown(value: object) -> str:
    """A decided value as text: by size as ``28: a, other: b``."""
    if isinstance(value, dict):
        return ", ".join(f"{size}: {one}" for size, one in value.items()) or "nothing"
    return str(value)


#: the resampling filters of Pillow
KERNELS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
#: IJG libjpeg by version, as the package jpeglib names them
IJG = r"ijg-(6b|7|8[a-d]?|9[a-f]?)"
#: a JPEG file of some quality, by a library, saved and read again once or several times
JPEG = rf"q(100|[1-9]?[0-9])(-{IJG})?( twice| ([3-9]|[1-9][0-9]) times)?"
#: splitting by the rule: not by a list, and not by the source
BY_RULE: Mapping[str, tuple[str, ...]] = {"split.rule": ("per-class",)}


def _leaves_train(ratio: str) -> bool:
    train, *others = map(int, ratio.split(":"))
    return train > 0 and sum(others) > 0


def _is_window(window: str) -> bool:
    low, high = map(float, window.split(","))
    return -(2**15) <= low < high < 2**15


#: two numbers
_RANGE = r"-?[0-9]+(\.[0-9]+)?,-?[0-9]+(\.[0-9]+)?"


def _is_range(text: str) -> bool:
    kind, _, ends = text.rpartition(" ")
    low, high = map(float, ends.split(","))
    return low < high and (not kind or 0 <= low <= high <= 100)


def _names_classes(mapping: dict[Any, Any]) -> bool:
    return bool(mapping) and all(type(one) is int and one >= 0 for one in mapping.values())


def _names_splits(keep: dict[object, object]) -> bool:
    return all(isinstance(key, str) and one in SPLITS for key, one in keep.items())


def _is_list(name: str) -> bool:
    return (resources.files("preprocess") / "tables" / "splits" / f"{name}.csv").is_file()


#: keep together what looks alike
ALIKE = "duplicates"
#: a volume of which no cube is cut
_NO_CUBE: Mapping[str, tuple[str, ...]] = {"region": ("whole", "box")}
#: where a general source finds a value: nowhere
NOWHERE = "none"
_PLACE = r"folder( [1-9])?|(name|path) .+|column .+|header [A-Za-z0-9]+"
#: columns of the tables that no further column may have the name of
_TAKEN = frozenset({
    *SPLIT_COLUMNS, *(f"source_{name}" for name in COMMON), "upsampled", "raw_form", "raw_sha256", "series", "box",
    "spacing", "axes", "mask",
})  # fmt: skip
_PLACES = {
    NOWHERE: "nowhere",
    "folder": "the name of the folder the file lies in; folder 2 that of the folder above it, and so on",
    "name (.+)_": "what an expression's first group finds in the file's name (any regular expression of Python)",
    "path (.+)/": "the same in its path below the raw folder",
    "column dx": "the column of that name of the table",
    "header PatientID": "an element of the DICOM header, by its keyword",
}
_COMPILES = "is no regular expression of Python"


def _is_place(place: str) -> bool:
    kind, _, expression = place.partition(" ")
    try:
        re.compile(expression if kind in ("name", "path") else "")
    except re.error:
        return False
    return True


def _is_column(columns: dict[str, Any]) -> bool:
    return all(
        re.fullmatch(r"[a-z][a-z0-9_]*", str(name)) and name not in _TAKEN
        and isinstance(place, str) and re.fullmatch(_PLACE, place) and _is_place(place)
        for name, place in columns.items()
    )  # fmt: skip


def _are_patterns(patterns: list[Any]) -> bool:
    return bool(patterns) and all(isinstance(one, str) and one.strip("!") for one in patterns)


def _keys(value: str) -> bool:
    return _is_place(value.partition(" = ")[2] or NOWHERE)


DECISIONS: dict[str, Decision] = {
    # ---- what a general source reads: images, volumes, meshes
    "files": Decision("index", "which files are samples, by patterns as of a shell; those with ! before leave out", {
        "all": "every file that the source can read",
    }, kind=list, limits=(_are_patterns, "must be a list of patterns of names")),
    "table": Decision("index", "the table of the samples: a CSV or TSV among the raw files, by a pattern of its name", {
        NOWHERE: "there is none",
    }, pattern=r".+"),
    "table_key": Decision("index", "the column of the table that names the file, by its path, name or name without "
        "ending; 'patient = name (p[0-9]+)' and the like says what else it names", {
        NOWHERE: "there is no table",
    }, pattern=rf"[^=]+( = ({_PLACE}))?", limits=(_keys, _COMPILES), idle={"table": (NOWHERE,)}),
    "class_from": Decision("index", "what the class of a file is", {
        key: meaning for key, meaning in _PLACES.items() if key != NOWHERE
    } | {"columns a, b": "those of several columns that hold 1 and not 0: several labels, or one class marked"},
        pattern=rf"{_PLACE}|columns .+", limits=(_is_place, _COMPILES)),
    "group_from": Decision("index", "what the group of a file is (patient, lesion, scan ...)", _PLACES,
        pattern=_PLACE, limits=(_is_place, _COMPILES)),
    "split_from": Decision("index", "what the source's own split of a file is; split.keep says which hold", _PLACES,
        pattern=_PLACE, limits=(_is_place, _COMPILES)),
    "columns": Decision("index", "further columns of the tables, such as {age: column age, sex: header PatientSex}", {},
        kind=dict, usual={}, limits=(_is_column, "must give each a place, by names of small letters that the tables do "
        "not use themselves")),
    # ---- labels
    "label.source": Decision("index", "which of several labels of one source holds", {
        "lists": "the published lists of images and labels, kept in the project",
        "data_entry": "the source's own table of findings",
    }),
    # ---- what of the source is read
    "neighbours": Decision("index", "whether what surrounds a nucleus stays in its crop", {
        "kept": "the crop as imaged, with parts of other nuclei",
        "masked": "only the voxels of the segmented nucleus, all others 0",
    }),
    "numbering": Decision("index", "what numbers stand for where a source's classes have no names", {
        "refuse": "nothing is guessed: a source with numbers only is not read",
        "info": "1 to 8 are the classes of medmnist's INFO in its order",
        "nephnet": "1 to 9 are S1, S2S3, TAL, DCT, CD, CD45, Nestin, CD31_glom, CD31_inter",
    }),
    "intensity": Decision("index", "how the source's intensities become 8 bits", {
        "uint8": "values are 0 to 255 already; others are refused",
        "signed": "bytes written as signed numbers: 256 is added to the negative ones",
        "offset-128": "bytes to which 128 was added, modulo 256: it is taken off again",
        "sample-range": "minimum to maximum of each sample are spread over 0 to 255",
        "sample-percentiles 1,99": "those percentiles of each sample are spread over 0 to 255, clipped outside",
        "0,4095": "these two numbers are spread over 0 to 255, clipped outside",
    }, pattern=rf"{_RANGE}|sample-percentiles {_RANGE}", limits=(_is_range, "runs backwards, is empty, or has "
        "percentiles beyond 100; the lower number comes first"), usual="sample-range"),
    "label.map": Decision("index", "the class of each of the source's own names or codes", {}, kind=dict,
        limits=(_names_classes, "must give names or codes of the source one whole number each, from 0")),
    "label.malignancy": Decision("index", "how the readers' scores of one nodule become one", {
        "mode-lowest": "the most frequent score, the lowest of equally frequent ones",
        "mode-highest": "the most frequent score, the highest of equally frequent ones",
        "median": "the median; between two scores the one further from the middle of the scale",
        "mean-rounded": "the mean, rounded half to even",
    }),
    # ---- split
    "split.rule": Decision("split", "how samples come to train, val and test", {
        "per-class": "groups shuffled within their class and cut by the ratio in double precision",
        "list": "a published list of keys or groups, kept in the project",
        "official": "the source's own split",
    }),
    "split.list": Decision("split", "the published list in force, by its name in preprocess/tables/splits", {
        "chestmnist": "patients of the CheXNet lists, 70/10/20",
        "organ_paper": "LiTS scans: training 0 to 114, training 115 to 130, and the 70 test scans",
        "organ_released": "the same without test scan 59",
    }, pattern=r"[a-z0-9_]+", limits=(_is_list, "is no table in preprocess/tables/splits"),
        needs={"split.rule": ("list",)}),
    "split.ratio": Decision(
        "split", "train:val, or train:val:test, of what the source does not keep apart", {},
        pattern=r"[0-9]{1,9}:[0-9]{1,9}(:[0-9]{1,9})?", needs=BY_RULE,
        limits=(_leaves_train, "leaves a side empty; train and the others together need more than 0"), usual="7:1:2",
    ),
    "split.group_by": Decision("split", "what must not straddle a split", {
        "none": "each sample for itself",
        "group": "all samples of one group stay together",
        ALIKE: "samples that look alike stay together, and those of one group where the source publishes one: copies "
               "and near copies of the pictures at 28, mirrored and turned ones too, and all that they link; the "
               "pictures are rendered before the split. Pictures of one patient that do not look alike are not found",
    }, pattern=r"[a-z]+", needs=BY_RULE),
    "split.group_class": Decision("split", "which class a group is cut with, where its samples differ", {
        "most-frequent": "its most frequent label, the lowest of equals",
        "highest": "its highest label: a patient has the grade of the worse eye",
    }, needs=BY_RULE, idle={"split.group_by": ("none",)}),
    "split.keep": Decision(
        "split", "source splits that are kept, and as what", {}, kind=dict,
        limits=(_names_splits, "must give names of source splits one of train, val, test each"), usual={},
    ),
    "split.file": Decision("split", "a user's own table of ids (columns key and split)", {}, pattern=r".+\.(csv|tsv)"),
    "order": Decision("split", "the order of the samples within a split", {
        "table": "the published order, from a table of split, index and image; seeded where there is no table",
        "seeded": "shuffled by the seed over the sorted keys",
        "source": "as the source lists them",
        "label-descending": "higher labels first, seeded within a label",
    }, usual="seeded"),
    "mask_files": Decision("index", "which files are masks of which volumes: an expression whose first group "
        "is the name, or the path, of the volume without its ending", {
        NOWHERE: "there are none",
        "name (.+)_seg": "scan1_seg.nii.gz is the mask of scan1.nii.gz",
        "path masks/(.+)[.]nii": "masks/scan1.nii.gz is the mask of scan1.nii.gz, in whatever folder that lies",
    }, pattern=r"(name|path) .*[(].+", limits=(_is_place, _COMPILES)),
    "place_from": Decision("index", "what the place of a sample in its volume is", {
        NOWHERE: "it has none: the whole volume is the sample",
        "mask": "the box around all voxels above 0 of its mask",
        "centre x, y, z": "three columns of the table: the voxel of the array as stored, counted from 0",
        "box x0, x1, y0, y1, z0, z1": "six columns: first voxel and first behind it along each axis as stored",
    }, pattern=r"centre [^,]+,[^,]+,[^,]+|box ([^,]+,){5}[^,]+"),
    # ---- pixels, volumes of any kind
    "region": Decision("render", "what of a volume is the sample", {
        "whole": "all of it, each axis resampled to the edge of the grid",
        "box": "the box of its place",
        "cube": "a cube about the centre of its place, of the edge cube",
    }),
    # ---- pixels, CT
    "orientation": Decision("render", "the frame a scan's boxes are applied to", {
        "lps": "the boxes' own: x to Left, y to Posterior, z to Superior",
        "lps-y-reversed": "the array with y reversed, the numbers as they are: the crop shows the patient elsewhere",
        "raw": "the array as stored, whatever its orientation: right where that is LPS, the patient elsewhere if not",
    }),
    "grid": Decision("render", "the grid a box is resampled to before the output size", {
        "original": "none: the scan's own voxels",
        "2mm": "scipy.ndimage.zoom, order 3, int16, by 0.703125/2, 0.703125/2 and 5/2 whatever the spacing",
    }),
    "window": Decision(
        "render", "the HU that become 0 and 255, clipped outside", {},
        pattern=r"-?[0-9]+(\.[0-9]+)?,-?[0-9]+(\.[0-9]+)?",
        limits=(_is_window, "runs backwards, is empty or leaves the range of CT; the lower HU come first"),
    ),
    "window_rounding": Decision("render", "how the gray of a window becomes whole", {
        "truncate": "cut to the integer below",
        "round": "to the nearest, halves to even",
    }),
    "slice_axes": Decision("render", "what the rows of a plane of a scan are", {
        "display": "as on a screen: y in an axial plane, z downwards in a coronal and a sagittal one",
        "array": "the first of the two axes in the order x, y, z",
    }),
    "centre": Decision("render", "the point the cube around a nodule or a fracture is centred on", {
        "centroid": "of a nodule: mean of the readers' centroids of their outlines' points",
        "box": "of a nodule: centre of the box around all readers' outlines",
        "mask": "of a fracture: centroid of its label's voxels",
        "interpolated": "of a fracture: centroid of its label's number after the numbers of all labels went through "
                        "a linear zoom to 1 mm; labels that vanish are left out",
        "interpolated-cubic": "the same by a cubic zoom",
    }),
    "mask": Decision("render", "what of a scan is shown", {
        "none": "all of it",
        "ribs": "the ribs of RibSeg's masks, all else as air; all of it where no scan has a mask",
    }),
    "crop_unit": Decision("render", "what the edge of the cube around a fracture or another place counts", {
        "voxel": "the scan's own voxels, whatever their size",
        "mm": "millimetres: as many voxels along each axis as come nearest",
    }, idle=_NO_CUBE, usual="mm"),
    "pitch": Decision("render", "the isotropic voxels a scan is resampled to", {
        "original": "none: the scan's own voxels",
        "1mm": "of 1 mm; the cube of them is resampled once more to other sizes",
        "field": "of the size's own pitch, straight from the scan",
    }),
    # ---- pixels, 2D
    "project": Decision("render", "how a stack of slices becomes one picture", {
        "max": "the maximum over the slices",
        "mean": "the mean over the slices, rounded",
        "middle": "the middle slice",
    }),
    "decoder": Decision("render", "the library that decodes JPEG files", {
        "pillow": "Pillow's libjpeg-turbo",
        "ijg-9b": "IJG libjpeg 9b, by the package jpeglib; other versions likewise",
    }, pattern=IJG, by_size=True, optional=OptionalPackage("jpeglib", IJG, "pillow")),
    "gray": Decision("render", "how colour becomes gray", {
        "luma": "ITU-R 601-2 luma, rounded: Pillow's convert('L')",
        "libpng": "libpng's integer luma, truncated: what OpenCV's gray reader gives for PNG",
        "first": "the first channel",
    }, by_size=True),
    "crop": Decision("render", "the part of the image that is resized", {
        "none": "the whole image, squashed to a square",
        "centre-square": "the largest centred square",
    }, pattern=r"centre-[1-9][0-9]{0,4}", by_size=True, usual="centre-square"),
    "crop_rounding": Decision("render", "where a centred crop starts when the margin is odd", {
        "half-even": "int(round((size - side) / 2.)), halves to even: Python's round",
        "floor": "rounded down",
        "ceil": "rounded up",
    }, by_size=True, idle={"crop": ("none",)}),
    "kernel": Decision("render", "the resampling filter of the resize", {
        **dict.fromkeys(KERNELS[:-1], "Pillow's antialiased filter of that name"),
        "lanczos": "Pillow's antialiased Lanczos filter with three lobes",
        "scikit-image": "scikit-image 0.15 to 0.18: a Gaussian, then bilinear, cut to whole levels",
    }, by_size=True, usual="bicubic"),
    "jpeg": Decision("render", "whether the small image went through JPEG files, how often and by which library", {
        "none": "no",
        "q75": "saved at quality 75 (colour 4:2:0) by Pillow's libjpeg-turbo and read again",
        "q75 twice": "the same two times, one after the other; q75 3 times and so on likewise",
        "q75-ijg-9b": "saved at quality 75 (colour 4:2:0) by IJG libjpeg 9b and read again",
    }, pattern=JPEG, further=("q75 3 times", "q75 4 times", "q75-ijg-9b twice"), by_size=True,
        optional=OptionalPackage("jpeglib", f"-{IJG}", "")),
    # ---- volumes and meshes
    # 256 mm: wider than any organ, and as many cells as a job's memory holds
    "cube": Decision("render", "the edge of the cube that is cut, in mm or as crop_unit says", {}, kind=int,
        within=(1, 256), idle=_NO_CUBE, usual=64),
    "repair": Decision("render", "how an open mesh is closed", {
        "pymeshfix": "MeshFix with its defaults: largest component, holes filled, self-intersections mended",
    }),
    "voxels": Decision("render", "which cells of the cube a closed mesh sets", {
        "inside": "those whose centre is inside the mesh, at the true pitch of each size",
        "surface": "cells of 1 mm that its surface touches or encloses, zoomed to each size and cut at one half",
    }),
    "zoom": Decision("render", "how a volume is resampled to the grid: the cubic B-spline of scipy", {
        "scipy": "scipy.ndimage.zoom with its defaults; for some lengths the last line is zero",
        "whole": "the same spline, the last line included",
    }, idle={"voxels": ("inside",)}),
}  # fmt: skip
