"""WebDataset: tar files that are read forwards, the files of a sample side by side under one name.

``train000012.png`` is a picture, ``train000012.npy`` a volume, ``train000012.cls`` the class (a multi-label set has
none), ``train000012.json`` the row of the samples table: text, but for ``index`` and ``label``, the class or the list
of digits. ``about.json`` says what the classes mean. The tar is POSIX's ustar, with no time and no owner.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from pathlib import Path

from preprocess import npz
from preprocess.exports.built import Built, Row, encoded
from preprocess.files import atomic_folder
from preprocess.published import SPLITS

#: bytes of pixels, and samples, in one tar at the most
SHARD, SAMPLES = 256 * 2**20, 10_000


def write(built: Built, out: Path) -> None:
    """Write the dataset into the folder ``out`` as ``<split>-000000.tar`` and so on, a sample at a time."""
    each = max(1, min(SAMPLES, SHARD // math.prod(built.shape)))
    shards: dict[str, list[str]] = {split: [] for split in SPLITS}
    with atomic_folder(out) as part:
        for split, place, _, rows in built.divided(each):
            shards[split].append(f"{split}-{place:06}.tar")
            with tarfile.open(part / shards[split][-1], "w", format=tarfile.USTAR_FORMAT) as tar:
                for row in rows:
                    _add(tar, built, row)
        about = json.dumps(built.about | {"shards": shards}, indent=2, ensure_ascii=False)
        (part / "about.json").write_text(f"{about}\n", encoding="utf-8", newline="\n")


def _add(tar: tarfile.TarFile, built: Built, row: Row) -> None:
    if built.is_volumes:
        _put(tar, f"{row.name}.npy", npz.npy_header(row.image.shape) + row.image.tobytes())
    else:
        _put(tar, f"{row.name}.png", encoded(row.image))
    if not built.is_multilabel:
        _put(tar, f"{row.name}.cls", str(row.label).encode())
    numbers = {"index": row.index, "label": row.label}
    _put(tar, f"{row.name}.json", json.dumps(row.cells | numbers, ensure_ascii=False).encode())


def _put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # of time 0 and nobody
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
