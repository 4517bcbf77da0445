"""The collect stage: what became of every sample, in the two tables that go with each dataset."""

from __future__ import annotations

import logging
from pathlib import Path

from preprocess import shards as shard_tables
from preprocess.errors import PreprocessError
from preprocess.split import SPLITS
from preprocess.table import Sample, read_samples, write_rows

log = logging.getLogger(__name__)

SAMPLE_COLUMNS = (
    "split", "index", "key", "label", "group", "source_split", "original_label", "upsampled",
    "released_index", "path", "raw_form", "raw_sha256",
)  # fmt: skip
EXCLUDED_COLUMNS = ("key", "reason", "detail")


def collect(split_table: Path, shards: list[Path], samples_out: Path, excluded_out: Path) -> None:
    """Join the split table with the shards' and number the rows of each split anew, without gaps.

    Writes ``<dataset>.samples.tsv`` (in npz order) and ``<dataset>.excluded.tsv``.

    Raises:
        PreprocessError: a sample is in neither table: nothing may be lost.
    """
    # tuples: as many as samples lie in memory
    columns = shard_tables.COLUMNS[1:]
    rendered = {entry["key"]: tuple(entry[name] for name in columns) for _, _, entry in shard_tables.rows(shards)}
    kept: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    excluded: list[tuple[str, str, str]] = []
    for sample in read_samples(split_table):
        if not sample.split:
            excluded.append((sample.key, sample.reason, sample.detail))
            continue
        entry = rendered.get(sample.key)
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
            extra.update(dict.fromkeys(sample.attributes))

    places = {name: place for place, name in enumerate(shard_tables.COLUMNS[1:]) if name in SAMPLE_COLUMNS}

    def cell(sample: Sample, column: str) -> object:
        place = places.get(column)
        return getattr(sample, column) if place is None else rendered[sample.key][place]

    write_rows(
        samples_out,
        (*SAMPLE_COLUMNS, *extra),
        (
            [*(cell(sample, column) for column in SAMPLE_COLUMNS), *(sample.attributes.get(name, "") for name in extra)]
            for members in kept.values()
            for sample in members
        ),
    )
    write_rows(excluded_out, EXCLUDED_COLUMNS, sorted(excluded))
    for split, members in kept.items():
        log.info("%s: %s samples", split, f"{len(members):,}")
    log.info("excluded: %s samples", f"{len(excluded):,}")
