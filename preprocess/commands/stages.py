"""The way of the data: stand-ins, index, split, render, collect, pack, exports."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from preprocess.commands import Function

if TYPE_CHECKING:
    from preprocess.recipe import Recipe

log = logging.getLogger("preprocess")

Raw = Annotated[Path, "the source's raw folder"]
Census = Annotated[Literal["strict", "warn"], "whether raw files that differ from the known counts stop the run"]
Miniature = Annotated[bool, "built from a stand-in"]
Shards = Annotated[list[Path], "the shards' folders in order"]


def miniature(source: str, folder: Path, /) -> None:
    """Generate the stand-in of a source."""
    from preprocess import miniature

    miniature.generate(source, folder)


def index(
    recipe: Recipe,
    raw: Raw,
    census: Census,
    output: Path,
    counts: Annotated[Path, "the table of expected and found counts"],
    miniature: Annotated[bool, "compare with the generator's counts"] = False,
) -> None:
    """List, label and count the samples of a dataset."""
    from preprocess import index
    from preprocess import miniature as stand_ins
    from preprocess.table import INDEX_COLUMNS, write_rows, write_samples

    expected = stand_ins.census(recipe.name) if miniature else recipe.dataset.census
    indexed = index.build(recipe, raw, census, expected)
    write_samples(output, INDEX_COLUMNS, indexed.samples)
    write_rows(counts, index.CENSUS_COLUMNS, indexed.census)


def split(
    recipe: Recipe,
    index: Path,
    seed: int,
    output: Path,
    unmatched: Annotated[Path, "rows of the order table without a sample"],
    order_table: Path | None = None,
    alike: Annotated[Path | None, "which samples look alike, where those stay together"] = None,
    rehearsal: Annotated[int, "keep so many samples only"] = 0,
) -> None:
    """Assign the samples to train, val and test and order them."""
    from preprocess import order, split
    from preprocess import rehearsal as sample
    from preprocess.table import SPLIT_COLUMNS, read_samples, write_rows, write_samples

    table = order.read(order_table) if order_table else None
    outcome = split.assign(
        recipe, list(read_samples(index)), seed, table, split.read_clusters(alike) if alike else None
    )
    if rehearsal:
        kept, of_all = sample.leave_out(outcome.samples, rehearsal, seed)
        log.info("%s: a rehearsal on %s of %s samples", recipe.name, f"{kept:,}", f"{of_all:,}")
    write_samples(output, SPLIT_COLUMNS, outcome.samples)
    rows = [(one.row.split, one.row.index, one.row.image_id, one.reason) for one in outcome.unmatched]
    write_rows(unmatched, ("split", "index", "image_id", "reason"), rows)
    if rows and table:
        count, whole = f"{len(rows):,}", f"{len(table.rows):,}"
        log.warning("%s: %s of %s rows have no sample; see %s", table.name, count, whole, unmatched)


def prepare(recipe: Recipe, raw: Raw, index: Path, shard: int, shards: int, output: Path) -> None:
    """Run the first steps for all datasets that share them."""
    from preprocess.prepare import prepare_shard

    prepare_shard(recipe, raw, index, shard, shards, output)


def render(
    recipe: Recipe,
    raw: Raw,
    census: Census,
    table: Annotated[Path, "the split table; the index, where the split comes after"],
    shard: int,
    shards: int,
    sizes: list[int],
    output: Annotated[Path, "the shard's folder"],
    prepared: Annotated[Path | None, "the folder the prepare job of the same shard wrote"] = None,
    with_looks: Annotated[bool, "also write what the samples look like, for a split that rests on it"] = False,
) -> None:
    """Render one shard at all sizes."""
    from preprocess.shards import Block, write

    which = Block(table, shard, shards, prepared)
    write(recipe, raw, which, sizes, output, strict=census == "strict", with_looks=with_looks)


def alike(shards: Shards, output: Path) -> None:
    """Find the samples that look alike, before they are split."""
    from preprocess import alike

    alike.write(shards, output)


def collect(split: Path, shards: Shards, rows: Path, excluded: Path) -> None:
    """Write the rows of the arrays, and the table of what was left out."""
    from preprocess import collect

    collect.collect(split, shards, rows, excluded)


def pack(
    recipe: Recipe,
    size: int,
    rows: Annotated[Path, "what collect wrote"],
    shards: Shards,
    container: Annotated[
        Literal["published", "chunked"], "that of the published files, or one that is packed in parts"
    ],
    deflate: Annotated[int, "level of the chunked container; 0 stores the arrays as they are"],
    workers: Annotated[int, "processes, or threads for the published container"],
    output: Path,
    seen: Annotated[Path, "what is seen of the rows"],
    record: Annotated[Path, "what tells whether the npz is current"],
    current: Annotated[str, "digest of all the npz depends on"],
    batch: Annotated[int, "which shards these are"],
    together: Annotated[list[int], "the sizes of that batch"],
    tables: Annotated[int, "the batch that the rows were collected from"],
    of_tables: Annotated[list[int], "the sizes of that one"],
) -> None:
    """Write one npz."""
    from preprocess import pack
    from preprocess.container import Form
    from preprocess.plan.batches import Record

    form = Form(container, deflate)
    pack.pack(recipe, size, rows, shards, output, form, workers).write(seen)
    Record(output.name, size, current, batch, tuple(together), tables, tuple(of_tables), str(form)).write(record)


def samples(
    rows: Annotated[Path, "what collect wrote"],
    sizes: list[int],
    packed: Annotated[list[Path], "what pack saw of the rows at each size"],
    output: Path,
) -> None:
    """Write the samples table: the rows, with what depends on the sizes."""
    from preprocess import collect

    collect.join(rows, dict(zip(sizes, packed, strict=True)), output)


def export(
    recipe: Recipe,
    format: Literal["npy", "png", "croissant", "parquet", "webdataset", "zarr"],
    npz: Path,
    samples: Path,
    output: Annotated[Path, "a folder; of croissant, the file"],
    miniature: Miniature = False,
) -> None:
    """Write one npz in a further format."""
    from preprocess import exports
    from preprocess.exports.built import Built

    exports.write(format, Built(recipe, npz, samples, miniature), output)


def card(
    recipe: Recipe,
    npz: Path,
    samples: Path,
    data: Annotated[Path, "the folder of the export parquet"],
    summary: Annotated[Path, "the dataset's part of audit.json"],
    output: Annotated[Path, "README.md beside that folder"],
    miniature: Miniature = False,
) -> None:
    """Write the card of a dataset in Parquet."""
    from preprocess.exports import card
    from preprocess.exports.built import Built

    card.write(Built(recipe, npz, samples, miniature), data, summary, output)


COMMANDS: tuple[Function, ...] = (
    miniature, index, split, prepare, render, alike, collect, pack, samples, export, card,
)  # fmt: skip
