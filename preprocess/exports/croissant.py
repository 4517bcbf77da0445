"""MLCommons Croissant 1.0 metadata (JSON-LD) beside the npz."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preprocess import __version__
from preprocess.checksums import file_digest
from preprocess.exports.built import Built, licence_address
from preprocess.files import write_json


def write(built: Built, out: Path) -> None:
    """Write the metadata of one npz and its samples table to the file ``out``."""
    write_json(out, described(built))


def described(built: Built) -> dict[str, Any]:
    """The Croissant metadata of one npz: both files, the classes, and the samples table as records.

    Croissant 1.0 cannot describe what is inside an npz as records, so the arrays are described in words and the
    records are the rows of the table: ``split`` and ``index`` of a record are its place in the arrays. Nothing in
    it depends on the time.
    """
    dataset, reader = built.recipe.dataset, built.reader
    arrays = ", ".join(f"{name} {'x'.join(map(str, reader.shape(name)))}" for name in reader.names)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": built.npz.stem,
        "description": built.described,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licence_address(built.licence),
        "url": built.source["landing"],
        "version": __version__,
        "citeAs": "drawings of medmnist-rebuild, not data" if built.miniature else built.source["citation"],
        "keywords": [dataset.modality, dataset.task],
        "distribution": [
            _file(built.npz, "application/zip", f"NumPy npz of uint8 arrays: {arrays}"),
            _file(built.samples, "text/tab-separated-values", "one row a sample"),
        ],
        "recordSet": [
            _classes(dataset.classes),
            _records(built.samples.name, built.columns, single=dataset.task != "multi-label"),
        ],
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
