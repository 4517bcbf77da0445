"""BBBC051 (NephNuc): 3D crops of nuclei in human kidney cortex (Woloshuk et al. 2021), the source of TissueMNIST.

No file of this set was at hand when this was written. The paper says: about 230,000 nuclei of three specimens,
32 x 32 x 7 pixels, values 0 to 255, exported by VTEA with their surroundings and without. Two independent
public programs that read the files (github chrismuke/dapidl, scripts/convert_nephnuc_to_lmdb.py, and the authors'
iusm-nephrology/NucleiForest) show this tree, which is what is expected, packed or unpacked at any place::

    <root>/{F33,F44,F59}/<cell type>[.zip]/[<cell type>/]All_3D/*.tif
                                                         Mask_3D/*.tif           without surroundings
                                                         Mask_2D_Maximum/*.tif   projections, left aside

Cell types are S1 S2 S3 S1S2 S2S3 TAL DCT CD CNT CD_CNT CD31_glom CD31_inter CD45 CD45.0 CD45.1 CD45.2 Nestin, also
written CD31glom, CD31int or in other case; the recipe merges them. Also read: no ``All_3D`` folder;
``{train,test}/<cell type>/*.tif``; folders named by numbers and the authors' own HDF5 store (tables
``train_data`` and ``test_data`` of 7,168 values a row, ``train_labels``, ``test_labels`` from 1; a pandas
HDFStore in either form, or plain arrays), both once ``numbering`` says what the numbers stand for.

What is met is inspected, not trusted: 48 crops spread over the set are opened by the index. Axes are told
by their lengths only: 7 is depth; a crop without exactly one axis of 7 and two of 32 is refused. Values must
be what ``intensity`` says: exports exist as signed bytes and with 128 added (the authors' stored means of 141
and 128 show it). Refused besides: an unknown cell type, and VTEA's own .csv exports.

Two public counts exist, 236,386 (MedMNIST) and 242,594; which crops make the difference is not known (one
of the two kinds of export, or a part of CD45). The counts by cell type are logged.

Keys are ``<specimen or split>/<cell type>/<name>``. The specimen (33, 44, 59) is an attribute: three are too few
to split by.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError, UnreadableError, told
from preprocess.reading import hdf5, jpeg
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.picture import DAMAGE
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import SPLITS, by_name, count, natural, unique
from preprocess.table import Sample

PRESENT = ("*.tif", "*.tiff", "*.h5", "*.hdf5", *PACKED)
TIFF = (".tif", ".tiff")
STORE = re.compile(r"(.+)\.(?:h5|hdf5)", re.IGNORECASE)
CELL_TYPES = (
    "S1", "S2", "S3", "S1S2", "S2S3", "TAL", "DCT", "CD", "CNT", "CD_CNT", "CD31_glom", "CD31_inter",
    "CD45", "CD45.0", "CD45.1", "CD45.2", "Nestin",
)  # fmt: skip
SPELLINGS = {re.sub(r"[_\s-]", "", name).lower(): name for name in CELL_TYPES} | {
    "cd31int": "CD31_inter", "cd450": "CD45.0", "cd451": "CD45.1", "cd452": "CD45.2",
}  # fmt: skip
NUMBERINGS = {
    "info": ("CD", "DCT", "CD31_glom", "CD31_inter", "CD45", "Nestin", "S2S3", "TAL"),
    "nephnet": ("S1", "S2S3", "TAL", "DCT", "CD", "CD45", "Nestin", "CD31_glom", "CD31_inter"),
}
SPECIMEN = re.compile(r"(?<![A-Za-z0-9])F?(33|44|59)(?!\d)", re.IGNORECASE)
KINDS = {"kept": re.compile(r"all[_ ]?3d", re.IGNORECASE), "masked": re.compile(r"mask(ed)?[_ ]?3d", re.IGNORECASE)}
FLAT = re.compile(r"(all|mask(ed)?)[_ ]?2d.*", re.IGNORECASE)
EXTENT = (7, 32, 32)
PROBED = 48


def index(raw: Raw, neighbours: str, numbering: str, intensity: str) -> Listing:
    """List the crops and inspect some of them.

    Args:
        raw: the source's raw folder.
        neighbours: the decision of that name, which of two exports is read.
        numbering: the decision of that name.
        intensity: the decision of that name; what is found must agree with it.

    Raises:
        PreprocessError: a layout, a cell type, axes or values that are not understood.
    """
    files = raw.files()
    stacks = [file for file in files if file.inner.suffix.lower() in TIFF]
    stores, copies = by_name(raw, files, STORE)
    store = next(iter(stores.values()), None)
    if store and len(stores) + bool(stacks) > 1:
        raise PreprocessError(f"{raw.root}: {store.path} and other crops beside it; keep one form of the data")
    if store:
        samples, notes = list(_rows(raw, store, numbering)), [f"HDF5 store {store.path}", *copies.notes("stores")]
    elif stacks:
        samples, notes = _stacks(raw, stacks, neighbours, numbering)
    else:
        found = Counter(file.inner.suffix.lower() or "no extension" for file in files)
        told = ", ".join(f"{number:,} {suffix}" for suffix, number in found.most_common(5)) or "nothing"
        raise PreprocessError(
            f"{raw.root}: no TIFF crops and no HDF5 store, but {told}; get the TIFF export of BBBC051"
        )
    notes += _inspect(raw, samples, intensity)
    notes.append("; ".join(f"{name} {number:,}" for name, number in count(samples, "original_label").items()))
    return Listing(samples, {"nuclei": len(samples)}, notes)


def open(raw: Raw, sample: Sample) -> NDArray[Any]:
    """One crop, (7, 32, 32) with depth first, in the number type it is stored in.

    Raises:
        UnreadableError: it cannot be decoded, or its axes cannot be told.
    """
    if table := sample.attributes.get("table"):
        store = _store(raw, sample.path)
        with hdf5.looking(raw.root / sample.path):
            row = _values(store, table).row(int(sample.attributes["row"]))
        return _depth_first(row.reshape(EXTENT) if row.size == np.prod(EXTENT) and row.ndim == 1 else row)
    import tifffile

    data = raw.read(sample.path)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            file.pages.cache = True  # the search for damage asks for them again: else a third of all time
            found = file.series[0]
            _refuse_shape(found.shape, found.dtype)  # before anything is unpacked
            _refuse_damage(data, file)
            return _depth_first(found.asarray())
    except (*DAMAGE, ImportError) as error:
        # of Zstandard it says that a module of a later Python is missing
        if isinstance(error, ImportError) or "imagecodecs" in str(error):
            raise PreprocessError(
                f"{raw.root / sample.path}: packed in a way that needs the package imagecodecs; install it with: "
                f"pip install imagecodecs"
            ) from error
        raise UnreadableError(f"cannot be decoded ({told(error) or type(error).__name__})") from error


def _refuse_damage(data: bytes, file: Any) -> None:
    for page in file.pages:
        if page.compression == jpeg.JPEG_IN_TIFF:
            places = zip(page.dataoffsets, page.databytecounts, strict=True)
            if damage := jpeg.damage_in_parts(data, page.jpegtables or b"", places):
                raise UnreadableError(f"is damaged: {damage}")


def _refuse_shape(extents: tuple[int, ...], dtype: Any) -> None:
    if 0 in extents:
        raise UnreadableError("cannot be decoded (no picture in it)")
    shape = tuple(length for length in extents if length != 1)
    if sorted(shape) != sorted(EXTENT) or getattr(dtype, "kind", "") not in tuple("uif"):
        raise UnreadableError(
            f"holds {dtype} of shape {extents}; a nucleus has one axis of 7 and two of 32, nothing is guessed"
        )


def _depth_first(array: NDArray[Any]) -> NDArray[Any]:
    _refuse_shape(array.shape, array.dtype)
    shape = tuple(length for length in array.shape if length != 1)
    return np.ascontiguousarray(np.moveaxis(array.reshape(shape), shape.index(7), 0))


# ---- TIFF files in folders


def _stacks(raw: Raw, files: list[RawFile], neighbours: str, numbering: str) -> tuple[list[Sample], list[str]]:
    kinds = [_kind(file) for file in files]
    seen = Counter(kinds)
    wanted = neighbours if seen["kept"] or seen["masked"] else ""
    if not seen[wanted]:
        other = next(kind for kind in (*KINDS, "flat") if seen[kind])
        raise PreprocessError(
            f"{raw.root}: no 3D crops with surroundings {neighbours}, only {other} ones; "
            f"get the others, or override neighbours of tissuemnist"
        )
    crops = [file for file, kind in zip(files, kinds, strict=True) if kind == wanted]
    sample_of = {file.path: _sample(raw, file, numbering) for file in crops}
    # beside a crop.tif a crop.tiff may lie
    found, copies = unique(raw, crops, lambda file: sample_of[file.path].key.rpartition(".")[0].lower())
    samples = [sample_of[file.path] for file in found.values()]
    left = ", ".join(f"{number:,} {kind or 'in other folders'}" for kind, number in seen.items() if kind != wanted)
    notes = [f"{len(samples):,} TIFF crops in folders" + (f", surroundings {wanted}" if wanted else "")]
    notes += [*copies.notes("crops"), *([f"left aside: {left}"] if left else [])]
    return sorted(samples, key=lambda sample: natural(sample.key)), notes


def _kind(file: RawFile) -> str:
    for folder in reversed(_folders(file)):
        for kind, pattern in KINDS.items():
            if pattern.fullmatch(folder):
                return kind
        if FLAT.fullmatch(folder):
            return "flat"
    return ""


def _folders(file: RawFile) -> list[str]:
    """Folders and archives on the way to a file, archives without their extension."""
    return [re.sub(r"\.(zip|tar|tgz|tar\.gz)$", "", part, flags=re.IGNORECASE) for part in file.parts[:-1]]


def _sample(raw: Raw, file: RawFile, numbering: str) -> Sample:
    folders = _folders(file)
    cell_type = next((found for folder in reversed(folders) if (found := _cell_type(folder))), None)
    if cell_type is None:
        number = next((folder for folder in reversed(folders) if re.fullmatch(r"[1-9]|1[01]", folder)), None)
        if number is None:
            raise PreprocessError(
                f"{raw.root / file.path}: no folder on its way is a cell type; known are {', '.join(CELL_TYPES)}"
            )
        cell_type = _numbered(raw, file.path, int(number), numbering)
    specimen = next((f"F{match[1]}" for folder in folders if (match := SPECIMEN.search(folder))), "")
    split = next((folder.lower() for folder in folders if folder.lower() in SPLITS), "")
    return Sample(
        key="/".join(filter(None, (split, specimen, cell_type, file.name))),
        path=file.path,
        original_label=cell_type,
        source_split=split,
        attributes={"specimen": specimen},
    )


def _cell_type(folder: str) -> str | None:
    """The cell type a folder is named after, alone or beside a specimen (``F33_CD31_glom``)."""
    return SPELLINGS.get(re.sub(r"[_\s-]", "", SPECIMEN.sub("", folder)).lower())


def _numbered(raw: Raw, path: str, number: int, numbering: str) -> str:
    names = NUMBERINGS.get(numbering, ())
    if 1 <= number <= len(names):
        return names[number - 1]
    raise PreprocessError(
        f"{raw.root / path}: its class is the number {number}, which numbering {numbering!r} gives no name; "
        f"override numbering of tissuemnist with one of {', '.join(NUMBERINGS)} if you know which holds"
    )


# ---- the authors' HDF5 store


def _rows(raw: Raw, file: RawFile, numbering: str) -> Iterator[Sample]:
    store, where = _store(raw, file.path), raw.root / file.path
    with hdf5.looking(where):
        if "train_data" not in store and "test_data" not in store:
            raise PreprocessError(f"{where}: has neither train_data nor test_data; this is not the authors' store")
    for split in ("train", "test"):
        with hdf5.looking(where):
            if f"{split}_data" not in store:
                continue
            if f"{split}_labels" not in store:
                raise PreprocessError(f"{where}: has {split}_data, but no {split}_labels")
            labels, rows = _labels(store, split, where), len(_values(store, f"{split}_data"))
        if len(labels) != rows:
            raise PreprocessError(f"{where}: {rows} rows of {split}_data and {len(labels)} labels")
        for row, number in enumerate(labels.tolist()):
            cell_type = _numbered(raw, file.path, int(number), numbering)
            yield Sample(
                key=f"{split}/{cell_type}/{row}",
                path=file.path,
                original_label=cell_type,
                source_split=split,
                attributes={"specimen": "", "table": f"{split}_data", "row": str(row)},
            )


def _labels(store: Any, split: str, where: object) -> NDArray[Any]:
    try:
        labels = _values(store, f"{split}_labels").all().reshape(-1)
    except UnreadableError as error:
        raise PreprocessError(f"{where}: {split}_labels {error}; download it again") from error
    if labels.dtype.kind not in "iuf" or not np.isfinite(labels).all() or (labels != np.rint(labels)).any():
        raise PreprocessError(f"{where}: {split}_labels holds other things than numbers of classes")
    return labels


def _store(raw: Raw, path: str) -> Any:
    return raw.memo(("bbbc051 store", path), lambda: hdf5.open_file(raw, path))


class _Field:
    """One field of a table's rows as an array of its own, read row by row."""

    def __init__(self, table: Any, name: str) -> None:
        self.table, self.name = table, name

    def __len__(self) -> int:
        return len(self.table)

    def all(self) -> NDArray[Any]:
        """All rows' values."""
        return np.asarray(hdf5.box(self.table, [slice(0, len(self))])[self.name])

    def row(self, number: int) -> NDArray[Any]:
        """One row's values."""
        return np.asarray(hdf5.box(self.table, [slice(number, number + 1)])[self.name][0])


class _Plain:
    """An array of one row a crop."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def all(self) -> NDArray[Any]:
        """All rows' values."""
        return np.asarray(hdf5.box(self.table, [slice(0, extent) for extent in self.table.shape]))

    def row(self, number: int) -> NDArray[Any]:
        """One row's values."""
        whole = [slice(0, extent) for extent in self.table.shape[1:]]
        return np.asarray(hdf5.box(self.table, [slice(number, number + 1), *whole])[0])


def _values(store: Any, name: str) -> _Field | _Plain:
    """The values of a plain array, or of a pandas frame or series in the fixed or the table form."""
    node = store[name]
    if hasattr(node, "keys"):  # a group: pandas
        node = next((node[part] for part in ("table", "block0_values", "values") if part in node), None)
        if node is None:
            raise PreprocessError(f"{store.filename}: {name} is a group of no known form")
    if node.dtype.names:
        return _Field(node, "values_block_0" if "values_block_0" in node.dtype.names else "values")
    return _Plain(node)


# ---- inspection


def _inspect(raw: Raw, samples: list[Sample], intensity: str) -> list[str]:
    """Open some crops and compare what they hold with the decision; say what they hold."""
    stacks, first = [], None
    for position in sorted({round(i * (len(samples) - 1) / (PROBED - 1)) for i in range(PROBED)} if samples else ()):
        try:
            stacks.append(open(raw, samples[position]))
        except UnreadableError as error:
            first = first or PreprocessError(f"{raw.root / samples[position].path}: {error}")
    if not stacks:
        raise first or PreprocessError(f"{raw.root}: holds no crop")
    values = np.concatenate([stack.reshape(-1) for stack in stacks])
    low, middle, high = (float(value) for value in (values.min(), np.median(values), values.max()))
    told = f"values run from {low:g} to {high:g}, half of them from {middle:g}"
    if problem := _disagreement(intensity, low, middle, high):
        raise PreprocessError(f"{raw.root}: {told}: {problem}; override intensity of tissuemnist accordingly")
    types = ", ".join(sorted({str(stack.dtype) for stack in stacks}))
    return [f"inspected {len(stacks)} crops: {types}, {told}; read as intensity {intensity!r} and 7 as depth"]


def _disagreement(intensity: str, low: float, middle: float, high: float) -> str:
    """What speaks against an intensity; most of a crop is dark, whatever the nucleus."""
    if intensity == "uint8":
        if low < 0 and low >= -128 and high <= 127:
            return "these are signed bytes, not intensity 'uint8'"
        if low < 0 or high > 255 or high <= 1:
            return "this is not 0 to 255, as intensity 'uint8' says"
        if middle >= 128:
            return "128 seems to be added to every byte, so this is not intensity 'uint8' but 'offset-128'"
    if intensity == "signed" and (low < -128 or high > 127):
        return "these are no signed bytes"
    if intensity == "offset-128" and (low < 0 or high > 255 or middle < 128):
        return "these are no bytes to which 128 was added"
    return ""
