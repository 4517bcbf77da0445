"""Further formats of a finished npz, written on request (``exports``).

``npy``
    one uncompressed ``.npy`` an array, which NumPy can map into memory (``mmap_mode`` does nothing on an npz).
``png``
    a folder of pictures and a CSV, named and laid out as ``medmnist save`` of the official client does:
    PNG, and for volumes GIF with a frame a plane.
``croissant``
    MLCommons Croissant 1.0 metadata (JSON-LD) beside the npz.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess import __version__, npz
from preprocess.acquire import registry
from preprocess.audit import licences
from preprocess.checksums import file_digest
from preprocess.files import atomic, atomic_folder, write_json
from preprocess.published import SPLITS
from preprocess.recipe import Recipe
from preprocess.table import read_columns

#: the client's names of the splits in its CSV (Google AutoML Vision's)
SPLIT_WORDS = {"train": "TRAIN", "val": "VALIDATION", "test": "TEST"}
#: milliseconds a plane of a volume is shown, as the client has it
FRAME = 200


def _table(pictures: Path) -> Path:
    return pictures.with_name(f"{pictures.name}.csv")


def write_npy(path: Path, out: Path) -> None:
    """Write the arrays of an npz into the folder ``out`` as ``<array>.npy``, a row at a time."""
    reader = npz.Reader(path)
    with atomic_folder(out) as part:
        for name in reader.names:
            with open(part / f"{name}.npy", "wb") as handle:
                handle.write(npz.npy_header(reader.shape(name)))
                handle.writelines(row.tobytes() for row in reader.rows(name))


def write_pictures(path: Path, out: Path, volumes: bool) -> None:
    """Write every image of an npz into the folder ``out``, and ``<out>.csv`` beside it.

    A picture is ``<split><index>_<label>.png``, labels of several digits joined by ``_``; a line of the CSV, which
    has no header, is the split, the name and the labels. Pixels are kept as they are. In a GIF equal planes that
    follow each other are one frame shown longer, as Pillow writes it.
    """
    with atomic_folder(out) as part:
        lines = [_write_picture(part, volumes, split, *row) for split in SPLITS for row in _rows(path, split)]
    with atomic(_table(out)) as table:
        table.write_text("".join(lines), encoding="utf-8", newline="\n")


def _rows(path: Path, split: str) -> Iterator[tuple[int, NDArray[np.uint8], list[str]]]:
    reader = npz.Reader(path)
    labels = reader.array(f"{split}_labels")
    for index, image in enumerate(reader.rows(f"{split}_images")):
        yield index, image, [str(label) for label in labels[index]]


def _write_picture(
    folder: Path, volume: bool, split: str, index: int, image: NDArray[np.uint8], labels: list[str]
) -> str:
    """Write one picture and return its line of the CSV."""
    name = f"{split}{index}_{'_'.join(labels)}.{'gif' if volume else 'png'}"
    if volume:
        first, *others = (Image.fromarray(plane) for plane in image)
        first.save(folder / name, save_all=True, append_images=others, duration=FRAME, loop=0)
    else:
        Image.fromarray(image).save(folder / name)
    return ",".join([SPLIT_WORDS[split], name, *labels]) + "\n"


def write_croissant(recipe: Recipe, path: Path, samples: Path, out: Path, miniature: bool) -> None:
    """Write the Croissant metadata of one npz and its samples table."""
    write_json(out, croissant(recipe, path, samples, miniature))


def croissant(recipe: Recipe, path: Path, samples: Path, miniature: bool) -> dict[str, Any]:
    """The Croissant metadata of one npz: both files, the classes, and the samples table as records.

    Croissant 1.0 cannot describe what is inside an npz as records, so the arrays are described in words and the
    records are the rows of the table: ``split`` and ``index`` of a record are its place in the arrays. Nothing in
    it depends on the time.
    """
    source = registry.load()[recipe.source]
    reader = npz.Reader(path)
    arrays = ", ".join(f"{name} {'x'.join(map(str, reader.shape(name)))}" for name in reader.names)
    columns = read_columns(samples)
    classes = recipe.dataset.classes
    rebuilt = "Made in the layout of" if miniature else "Rebuilt from"
    described = f"{recipe.dataset.title}. {rebuilt} {source.content['title']}, protocol {recipe.protocol}"
    if recipe.overridden:
        described += f", with other decisions on {', '.join(sorted(recipe.overridden))}"
    if miniature:
        described = f"STAND-IN: drawings, not data. {described}"
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": path.stem,
        "description": f"{described}.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licences.DRAWN if miniature else licence_address(recipe.dataset.licence),
        "url": source.content["landing"],
        "version": __version__,
        "citeAs": "drawings of medmnist-rebuild, not data" if miniature else source.content["citation"],
        "keywords": [recipe.dataset.modality, recipe.dataset.task],
        "distribution": [
            _file(path, "application/zip", f"NumPy npz of uint8 arrays: {arrays}"),
            _file(samples, "text/tab-separated-values", "one row a sample"),
        ],
        "recordSet": [_classes(classes), _records(samples.name, columns, single=recipe.dataset.task != "multi-label")],
    }


def _file(path: Path, encoding: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "description": description,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": file_digest(path, "sha256"),
        "md5": file_digest(path, "md5"),
    }


def _classes(names: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "what the labels mean",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [_field("classes", "label", "sc:Integer"), _field("classes", "name", "sc:Text")],
        "data": [{"classes/label": label, "classes/name": name} for label, name in enumerate(names)],
    }


def _records(table: str, columns: list[str], single: bool) -> dict[str, Any]:
    whole = {"index", "label"} if single else {"index"}
    fields = []
    for column in columns:
        field = _field("samples", column, "sc:Integer" if column in whole else "sc:Text")
        field["source"] = {"fileObject": {"@id": table}, "extract": {"column": column}}
        if column == "label" and single:
            field["references"] = {"field": {"@id": "classes/label"}}
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "the samples in the order of the arrays: row index of the arrays of its split",
        "key": {"@id": "samples/key"},
        "field": fields,
    }


def _field(records: str, name: str, kind: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{records}/{name}", "name": f"{records}/{name}", "dataType": kind}


def licence_address(licence: str) -> str:
    """The address of a Creative Commons licence; of any other licence its name."""
    if match := re.fullmatch(r"CC (BY(?:-NC)?(?:-SA|-ND)?) (\d\.\d)", licence):
        return f"https://creativecommons.org/licenses/{match[1].lower()}/{match[2]}/"
    if match := re.fullmatch(r"CC0 (\d\.\d)", licence):
        return f"https://creativecommons.org/publicdomain/zero/{match[1]}/"
    return licence


#: the JSON-LD context of Croissant 1.0, as its specification gives it
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet",
            "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
            "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
            "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}  # fmt: skip
