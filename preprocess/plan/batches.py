"""Which sizes of a dataset are rendered together: every size that is not there, and none that is.

A shard holds one block of samples at several sizes, so that each raw file is opened once. When a size is added, or a
file is gone, only what is lacking is rendered, in shards of their own: a *batch*. The first build is batch 0. Which
batch an npz was made of is written beside it, so that nothing asks for shards that are no longer there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from preprocess.files import read_json, write_json


@dataclass(frozen=True)
class Record:
    """How one npz was made.

    Attributes:
        file: its name.
        size: edge of its images.
        current: digest of all it depends on.
        batch: the number of the shards it was made of.
        together: the sizes that were rendered together, ascending.
        tables: the batch from which the table of rows was collected.
        container: how it is packed, in words.
    """

    file: str
    size: int
    current: str
    batch: int
    together: tuple[int, ...]
    tables: int
    container: str

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, asdict(self))


def read(path: Path) -> Record | None:
    """A record, or None where there is none that can be read."""
    try:
        content = read_json(path)
        return Record(**{**content, "together": tuple(content["together"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


@dataclass(frozen=True)
class Batches:
    """The batches of one dataset.

    Attributes:
        of_size: number of the batch that each size asked for is packed from.
        together: the sizes of each batch.
        tables: the batch whose tables say which samples were kept.
        lacking: the sizes that are to be rendered.
    """

    of_size: Mapping[int, int]
    together: Mapping[int, tuple[int, ...]]
    tables: int
    lacking: tuple[int, ...]


def choose(sizes: Iterable[int], current: Iterable[Record], is_rendered: Callable[[int], bool]) -> Batches:
    """Find the batch of every size.

    Args:
        sizes: the sizes asked for.
        current: the records of every npz that lies there and is what it would be made again, asked for or not.
        is_rendered: whether all shards of a batch are there, as a run leaves them that was stopped while it packed.
    """
    agreeing: dict[int, Record] = {}
    together: dict[int, tuple[int, ...]] = {}
    tables = 0
    for record in sorted(current, key=lambda record: record.size):
        if not agreeing:
            tables = record.tables
        # what does not fit the others is made again
        if record.tables == tables and together.setdefault(record.batch, record.together) == record.together:
            agreeing[record.size] = record
    of_size = {size: agreeing[size].batch for size in sizes if size in agreeing}
    lacking = [size for size in sizes if size not in agreeing]
    for batch in sorted(together):
        if is_rendered(batch):
            of_size |= {size: batch for size in lacking if size in together[batch]}
    new = tuple(sorted(size for size in lacking if size not in of_size))
    if new:
        taken = {*together, tables} if agreeing else set()
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        together[number] = new
        of_size |= dict.fromkeys(new, number)
    return Batches(of_size, together, tables, tuple(lacking))
