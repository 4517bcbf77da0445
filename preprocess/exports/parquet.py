"""Apache Parquet as Hugging Face ``datasets`` loads it: a folder of files a split, each row a sample.

A picture is a PNG (the column ``image``, which ``datasets`` decodes), a volume a nested list of three levels
(``volume``, an ``Array3D`` of uint8: Parquet has no type for a picture of three dimensions). The class is ``label``,
a ``ClassLabel``; a multi-label sample has ``labels``, the list of those that hold. After them the samples table, a
column each. What the columns are stands in the files themselves, as ``datasets`` writes it, and on the dataset's
card (:mod:`preprocess.exports.card`).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preprocess.exports.built import Built, Row, encoded
from preprocess.files import atomic_folder

if TYPE_CHECKING:
    import pyarrow

#: bytes of pixels in one file at the most: the size at which the hub splits files
FILE = 500 * 2**20
#: the same of one row group, of pictures and of volumes: a writer needs about ten times a list of numbers
GROUP, GROUP_OF_VOLUMES = 16 * 2**20, 4 * 2**20
#: rows of one row group at the most
ROWS = 1000
#: the names of the splits, as the hub has them
SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}
#: columns of the table that the split and the labels replace
REPLACED = ("split", "label")
#: names of columns that are not the table's; one of the table that is called so begins with ``source_``
TAKEN = frozenset({"image", "volume", "labels"})


def write(built: Built, out: Path) -> None:
    """Write the dataset into the folder ``out`` as ``<split>-00000-of-00001.parquet``, a row group at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(pa, built)
    size = math.prod(built.shape)
    # a PNG is packed already, and no two pictures are the same; a list of voxels has 256 values
    texts = list(table_columns(built))
    packing = {"compression": {"image.bytes": "none", **dict.fromkeys(texts, "zstd")}, "use_dictionary": texts}
    options: dict[str, Any] = {"compression": "zstd"} if built.is_volumes else packing
    group = max(1, min(ROWS, (GROUP_OF_VOLUMES if built.is_volumes else GROUP) // size))
    with atomic_folder(out) as part:
        for split, place, number, rows in built.divided(_each(built)):
            with parquet.ParquetWriter(part / _name(split, place, number), schema, **options) as writer:
                while some := list(itertools.islice(rows, group)):
                    writer.write_table(_table(pa, schema, built, some), len(some))


def files(built: Built, split: str) -> list[str]:
    """The names of the files of one split.

    An empty split has no file: ``datasets`` cannot load one.
    """
    number = math.ceil(built.counts[split] / _each(built))
    return [_name(split, place, number) for place in range(number)]


def features(built: Built) -> dict[str, dict[str, Any]]:
    """The columns by name, as ``datasets.Features`` knows them (``Features.to_dict``)."""
    names = list(built.recipe.dataset.classes)
    label: dict[str, Any] = {"names": names, "_type": "ClassLabel"}
    pixels = {"shape": list(built.shape), "dtype": "uint8", "_type": "Array3D"}
    return {
        **({"volume": pixels} if built.is_volumes else {"image": {"_type": "Image"}}),
        **({"labels": {"feature": label, "_type": "Sequence"}} if built.is_multilabel else {"label": label}),
        **{column: {"dtype": _KINDS.get(column, "string"), "_type": "Value"} for column in table_columns(built)},
    }


def table_columns(built: Built) -> dict[str, str]:
    """The columns of the samples table that are kept, by the names they have in the files."""
    kept = [column for column in built.columns if column not in REPLACED]
    return {f"source_{column}" if column in TAKEN else column: column for column in kept}


#: of the columns that are no text
_KINDS = {"index": "int64", "age": "float64"}


def _schema(pa: Any, built: Built) -> pyarrow.Schema:
    kinds = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    volume = pa.list_(pa.list_(pa.list_(pa.uint8())))
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    of_kind = {"Image": image, "Array3D": volume, "ClassLabel": pa.int64(), "Sequence": pa.list_(pa.int64())}
    described = features(built)
    fields = [
        pa.field(name, of_kind.get(one["_type"]) or kinds[one["dtype"]]) for name, one in described.items()
    ]  # fmt: skip
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": described}})})


def _table(pa: Any, schema: pyarrow.Schema, built: Built, rows: Sequence[Row]) -> pyarrow.Table:
    columns: dict[str, Any] = {}
    if built.is_volumes:
        columns["volume"] = _nested(pa, np.stack([row.image for row in rows]))
    else:
        columns["image"] = [{"bytes": encoded(row.image), "path": f"{row.name}.png"} for row in rows]
    if built.is_multilabel:
        columns["labels"] = [np.flatnonzero(row.labels).tolist() for row in rows]
    else:
        columns["label"] = [row.label for row in rows]
    for name, column in table_columns(built).items():
        columns[name] = [_value(name, row.cells[column]) for row in rows]
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)


def _value(column: str, text: str) -> str | int | float | None:
    """A cell of the table as its column has it; an empty one of numbers is None."""
    kind = _KINDS.get(column)
    return text if kind is None else (int if kind == "int64" else float)(text) if text else None


def _nested(pa: Any, volumes: NDArray[np.uint8]) -> Any:
    """(N, Z, Y, X) as N lists of lists of lists, without a Python object a voxel."""
    values = pa.array(volumes.reshape(-1))
    for axis in (3, 2, 1):
        edge, lists = volumes.shape[axis], math.prod(volumes.shape[:axis])
        values = pa.ListArray.from_arrays(pa.array(np.arange(lists + 1, dtype=np.int32) * edge), values)
    return values


def _each(built: Built) -> int:
    """The samples of one file."""
    return max(1, FILE // math.prod(built.shape))


def _name(split: str, place: int, number: int) -> str:
    """The name of one of the ``number`` files of a split."""
    return f"{SPLIT_NAMES[split]}-{place:05}-of-{number:05}.parquet"
