"""The card of a dataset in Parquet: the ``README.md`` that the Hugging Face hub and ``datasets`` read beside the files.

Above it, in YAML, what programs read: licence, splits and their files, columns. Below, for people: counts by class,
decisions with their grades, findings of the audit, licence and citation.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from preprocess import __version__, web
from preprocess.audit import licences
from preprocess.audit.plain import typed
from preprocess.audit.summary import DatasetSummary
from preprocess.exports import parquet
from preprocess.exports.built import Built
from preprocess.files import read_json, write_text
from preprocess.published import SPLITS

#: the hub's classes of sizes: rows below, and the name
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
#: the hub's names of the tasks of pictures
TASKS = {"multi-label": "multi-label-image-classification"}
TASK = "multi-class-image-classification"


def write(built: Built, data: Path, summary: Path, out: Path) -> None:
    """Write the card of one npz.

    Args:
        built: the npz.
        data: the folder that :func:`preprocess.exports.parquet.write` wrote.
        summary: the dataset's part of ``audit.json``.
        out: the file, ``README.md``.
    """
    page = typed(DatasetSummary, read_json(summary))
    said = {name: _said(name, built) for name in parquet.features(built)}
    text = web.environment("preprocess.exports", html=False).get_template("card.md.j2").render(
        front=yaml.safe_dump(front(built, data), sort_keys=False, allow_unicode=True, width=1000),
        page=page, built=built, said=said, names=parquet.SPLIT_NAMES, version=__version__,
    )  # fmt: skip
    write_text(out, text)


def front(built: Built, folder: Path) -> dict[str, Any]:
    """What programs read of a card: its YAML, in the form of the hub's ``dataset_info`` and ``configs``."""
    dataset = built.recipe.dataset
    total = sum(built.counts.values())
    described = [{"name": name} | _as_yaml(one) for name, one in parquet.features(built).items()]
    splits: list[dict[str, Any]] = []
    data: list[dict[str, Any]] = []
    for split in filter(built.counts.get, SPLITS):
        name, files = parquet.SPLIT_NAMES[split], parquet.files(built, split)
        size = sum((folder / file).stat().st_size for file in files)
        splits.append({"name": name, "num_bytes": size, "num_examples": built.counts[split]})
        data.append({"split": name, "path": [f"data/{file}" for file in files]})
    size = sum(one["num_bytes"] for one in splits)
    return {
        "pretty_name": f"{built.npz.stem}: {dataset.title}",
        **licence(built),
        "task_categories": ["image-classification"],
        "task_ids": [TASKS.get(dataset.task, TASK)],
        "size_categories": [next((name for most, name in SIZES if total < most), "1M<n<10M")],
        "tags": ["medical", "medmnist", *(["3d"] if built.is_volumes else [])],
        "configs": [{"config_name": "default", "data_files": data}],
        "dataset_info": {"features": described, "splits": splits, "download_size": size, "dataset_size": size},
    }


def licence(built: Built) -> dict[str, str]:
    """The licence in the hub's words: its name of a Creative Commons licence, else ``other`` with name and link."""
    if licences.conditions(built.licence) is not None:
        return {"license": _slug(built.licence)}
    if built.licence == licences.UNKNOWN:
        return {"license": "unknown"}
    if built.miniature:  # that of the source does not hold for drawings
        return {"license": "other", "license_name": "drawings"}
    link = {"license_link": built.source["landing"]} if built.source["landing"] else {}
    return {"license": "other", "license_name": _slug(built.licence), **link}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower())


def _as_yaml(one: dict[str, Any]) -> dict[str, Any]:
    """A column of :func:`preprocess.exports.parquet.features` in the form of a card."""
    kind = one["_type"]
    if kind == "Sequence":
        return {"sequence": _as_yaml(one["feature"])["dtype"]}
    if kind == "ClassLabel":
        return {"dtype": {"class_label": {"names": {str(place): name for place, name in enumerate(one["names"])}}}}
    if kind == "Array3D":
        return {"dtype": {"array3_d": {"shape": one["shape"], "dtype": one["dtype"]}}}
    return {"dtype": one.get("dtype", "image")}


def _said(name: str, built: Built) -> str:
    """A column in words; nothing for those of the table, which are described where the table is."""
    edges = " x ".join(map(str, built.shape))
    return {
        "image": f"picture, {edges}",
        "volume": f"volume, {edges}, uint8",
        "label": "class",
        "labels": "the labels that hold",
        "index": "row in the arrays of its split",
        "age": "in years",
    }.get(name, "")
