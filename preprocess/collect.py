"""The collect stage: what became of every sample: the rows of the arrays to come, and what was left out and why."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from preprocess import rendered
from preprocess.errors import PreprocessError
from preprocess.published import SPLITS
from preprocess.table import COMMON, Sample, read_columns, read_rows, read_samples, write_rows

log = logging.getLogger(__name__)

#: of the samples table; what depends on the sizes built is added when all of them are packed
SAMPLE_COLUMNS = (
    "split", "index", "key", "label", "group", "source_split", "original_label", "upsampled",
    "released_index", "path", "raw_form", "raw_sha256", *COMMON,
)  # fmt: skip
UPSAMPLED = SAMPLE_COLUMNS.index("upsampled")
ROW_COLUMNS = tuple(name for name in SAMPLE_COLUMNS if name != "upsampled")
EXCLUDED_COLUMNS = ("key", "reason", "detail")


def collect(split_table: Path, shards: list[Path], rows_out: Path, excluded_out: Path) -> None:
    """Join the split table with the shards' and number the rows of each split anew, without gaps.

    Writes the rows in npz order, and ``<dataset>.excluded.tsv``. Neither depends on the sizes that were rendered.

    Raises:
        PreprocessError: a sample is in neither table: nothing may be lost.
    """
    entries = {found[0]: found[1:] for _, _, found in rendered.cells(shards, *rendered.COLUMNS)}
    kept: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    excluded: list[tuple[str, str, str]] = []
    for sample in read_samples(split_table):
        if not sample.split:
            excluded.append((sample.key, sample.reason, sample.detail))
            continue
        entry = entries.get(sample.key)
        if entry is None:
            raise PreprocessError(
                f"{split_table}: {sample.key} was not rendered; delete the shards beside it and run again"
            )
        reason, detail, *_ = entry
        if reason:
            excluded.append((sample.key, reason, detail))
        else:
            kept[sample.split].append(sample)
    extra: dict[str, None] = {}
    for members in kept.values():
        members.sort(key=lambda sample: sample.index)
        for position, sample in enumerate(members):
            sample.index = position
            extra.update(dict.fromkeys(name for name in sample.attributes if name not in COMMON))

    places = {name: place for place, name in enumerate(rendered.COLUMNS[1:]) if name in ROW_COLUMNS}

    def cell(sample: Sample, column: str) -> object:
        if (place := places.get(column)) is not None:
            return entries[sample.key][place]
        return sample.attributes.get(column, "") if column in COMMON else getattr(sample, column)

    write_rows(
        rows_out,
        (*ROW_COLUMNS, *extra),
        (
            [*(cell(sample, column) for column in ROW_COLUMNS), *(sample.attributes.get(name, "") for name in extra)]
            for members in kept.values()
            for sample in members
        ),
    )
    write_rows(excluded_out, EXCLUDED_COLUMNS, sorted(excluded))
    for split, members in kept.items():
        log.info("%s: %s samples", split, f"{len(members):,}")
    log.info("excluded: %s samples", f"{len(excluded):,}")


def join(rows_table: Path, packed: dict[int, Path], out: Path) -> None:
    """Write ``<dataset>.samples.tsv``: the rows, with the sizes at which each is upsampled.

    Args:
        rows_table: what :func:`collect` wrote.
        packed: what pack saw of the rows, by size (:mod:`preprocess.packed`).
        out: the table.
    """
    from preprocess import packed as packed_rows  # here: the rows are collected without NumPy

    flags = {size: packed_rows.upsampled(path) for size, path in packed.items()}
    columns = read_columns(rows_table)
    columns.insert(UPSAMPLED, "upsampled")

    def cells() -> Iterator[list[str]]:
        for number, row in enumerate(read_rows(rows_table)):
            row["upsampled"] = " ".join(str(size) for size, flag in flags.items() if flag[number])
            yield [row[name] for name in columns]

    write_rows(out, columns, cells())
