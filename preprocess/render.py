"""The render stage: one opening of each unit, every step once for all sizes that share it."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from preprocess import notices, sources, steps
from preprocess.errors import ExcludeSample, PreprocessError, UnreadableError
from preprocess.files import atomic_folder
from preprocess.npz import npy_header
from preprocess.prepared import Prepared
from preprocess.reading.archives import Raw, stream_of
from preprocess.reasons import is_early
from preprocess.recipe import Recipe
from preprocess.table import Sample, opening, read_rows, sample_of, write_rows

log = logging.getLogger(__name__)

#: the table a shard writes beside its arrays, and its columns
SHARD_TABLE = "samples.tsv"
SHARD_COLUMNS = ("key", "excluded", "detail", "upsampled", "raw_form", "raw_sha256")


@dataclass(frozen=True)
class Rendered:
    """One sample at every size.

    Attributes:
        arrays: uint8 array by size.
        upsampled: the sizes whose source region has fewer pixels than the grid along some axis.
        raw_form: what the source opened, in words: ``PNG RGB 562x471``, ``int16 512x512x75``.
        raw_sha256: digest of what the source opened: a file's bytes, or an array in C order.
    """

    arrays: dict[int, NDArray[np.uint8]]
    upsampled: tuple[int, ...]
    raw_form: str
    raw_sha256: str


@dataclass(frozen=True, eq=False)
class Call:
    """One step with everything that is known before a sample is: what to ask the row for comes last.

    There is one object for each step with the same decisions (:func:`bind`), so that it can be looked up by.
    """

    name: str
    function: Callable[..., Any]
    sized: bool
    columns: tuple[str, ...]


class _Result:
    """A value and what further steps gave on it, by the step and what it asked the row for."""

    __slots__ = ("then", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.then: dict[tuple[Call, tuple[str, ...]], _Result] = {}


@dataclass
class _Unit:
    """What is open now, as the root of every result on it."""

    opening: str | None = None
    form: str = ""
    digest: str = ""
    opened: _Result | None = None


class Renderer:
    """Renders the samples of one dataset at some sizes.

    What one unit's opening and the steps on it gave is kept until the next unit, by the whole chain
    that led there. So four sizes decode once, and the slices of one volume share it.

    Where the prepared results of a recipe's first steps are given, the others start from them. ``sharing`` is a
    renderer of another recipe for the same source: what it opened and worked out is used here too.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        sizes: list[int],
        prepared: Prepared | None = None,
        sharing: Renderer | None = None,
    ) -> None:
        self.recipe = recipe
        self.sizes = sizes
        self.raw: Raw = sharing.raw if sharing else Raw(folder)
        self._prepared = prepared
        self._open = prepared.open if prepared else sources.get(recipe.source).open
        chain = recipe.steps if prepared else (*recipe.prepare, *recipe.steps)
        self._programs = {size: [bind(recipe, name, size) for name in chain] for size in sizes}
        self._unit: _Unit = sharing._unit if sharing else _Unit()

    def render(self, sample: Sample) -> Rendered:
        """Render one sample.

        Raises:
            UnreadableError: its file cannot be decoded.
            ExcludeSample: a step found that it cannot be part of the dataset.
        """
        try:
            with notices.collected() as said:
                rendered = self._render(sample)
            for text in said:
                log.warning("%s: %s", self.raw.root / sample.path, text)
            return rendered
        except UnreadableError as error:
            raise error.at(sample.path, self.raw.root) from error

    def _render(self, sample: Sample) -> Rendered:
        unit = self._unit
        if sample.opening != unit.opening or unit.opened is None:
            unit.opened = None  # before the next is opened: one volume at a time
            unit.opened = _Result(self._open(self.raw, sample))
            unit.opening, unit.form, unit.digest = sample.opening, "", ""
        arrays: dict[int, NDArray[np.uint8]] = {}
        upsampled: list[int] = []
        for size, program in self._programs.items():
            arrays[size], region = self._run(program, unit.opened, sample)
            if region is not None and min(region) < size:
                upsampled.append(size)
            self._check(arrays[size], size)
        if not unit.digest:  # after the steps: what is read piecemeal knows only now what was read
            if self._prepared:
                unit.form, unit.digest = self._prepared.described(sample)
            else:
                unit.form, unit.digest = form(unit.opened.value, sample), digest(unit.opened.value)
        return Rendered(arrays, tuple(upsampled), unit.form, unit.digest)

    def _run(
        self, program: list[Call], result: _Result, sample: Sample
    ) -> tuple[NDArray[np.uint8], tuple[int, ...] | None]:
        region: tuple[int, ...] | None = None
        for call in program:
            if call.sized and region is None and (shape := getattr(result.value, "shape", None)) is not None:
                region = shape[: self.recipe.dimensions]
            asked = tuple(column(self.recipe, sample, name) for name in call.columns)
            following = result.then.get((call, asked))
            if following is None:
                following = _Result(call.function(result.value, **dict(zip(call.columns, asked))))
                result.then[call, asked] = following
            result = following
        return result.value, region

    def _check(self, array: NDArray[np.uint8], size: int) -> None:
        if array.dtype != np.uint8 or array.shape != self.recipe.shape(size):
            raise PreprocessError(
                f"recipes/{self.recipe.name}.yaml: the steps give {array.dtype} {array.shape} at {size}, "
                f"not uint8 {self.recipe.shape(size)}"
            )


def bind(recipe: Recipe, name: str, size: int | None = None) -> Call:
    """Bind a step to the decisions in force at one size; without a size it may ask for none."""
    fixed: list[tuple[str, Any]] = []
    columns: list[str] = []
    for parameter in list(inspect.signature(steps.get(name)).parameters)[1:]:
        if parameter == "size" and size is not None:
            fixed.append(("size", size))
        elif parameter in recipe.decisions:
            choice = recipe.decisions[parameter]
            fixed.append((parameter, _hashable(choice.value if size is None else choice.at(size))))
        else:
            columns.append(parameter)
    return _call(name, tuple(fixed), tuple(columns))


@cache
def _call(name: str, fixed: tuple[tuple[str, Any], ...], columns: tuple[str, ...]) -> Call:
    given = dict(fixed)
    return Call(name, partial(steps.get(name), **given), "size" in given, columns)


def column(recipe: Recipe, sample: Sample, name: str) -> str:
    """The cell of a sample's row that a step asks for.

    Raises:
        PreprocessError: there is no such column.
    """
    try:
        return sample.attributes[name]
    except KeyError:
        raise PreprocessError(
            f"recipes/{recipe.name}.yaml: a step asks for {name!r}, which is neither a decision nor a column"
        ) from None


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def digest(opened: Any) -> str:
    """sha256 of what a source opened: bytes, an array, or anything that offers ``sha256()`` itself."""
    if isinstance(opened, bytes):
        return hashlib.sha256(opened).hexdigest()
    if isinstance(opened, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(opened).data).hexdigest()
    value: str = opened.sha256()
    return value


def form(opened: Any, sample: Sample) -> str:
    """What a source opened for a sample, in words: what it tells itself, a file's kind, an array's type and shape."""
    if isinstance(opened, bytes):
        return f"{PurePosixPath(sample.path).suffix.removeprefix('.').upper()} file".lstrip()
    told: str | None = getattr(opened, "form", None)
    if told is not None:
        return told
    shape = getattr(opened, "shape", None)
    if shape is None:
        return type(opened).__name__.lower()
    return f"{getattr(opened, 'dtype', type(opened).__name__)} {'x'.join(map(str, shape))}"


#: what lies between two samples that follow each other
FREE, STREAM_ENDS, TOGETHER = range(3)


def joints(places: Iterable[tuple[str, str]]) -> bytearray:
    """For every sample of a list, given by its path and its opening, what lies between it and the one before.

    ``TOGETHER``: one unit or file, which two jobs would read twice. ``STREAM_ENDS``: a tar archive begins or ends.
    """
    found = bytearray()
    before = opened_before = ""
    for path, opened in places:
        if found and (opened == opened_before or (path and path == before)):
            found.append(TOGETHER)
        else:
            found.append(FREE if stream_of(path) == stream_of(before) else STREAM_ENDS)
        before, opened_before = path, opened
    return found


def joints_of(samples: Iterable[Sample]) -> bytearray:
    """The joints of samples that are at hand."""
    return joints((sample.path, sample.opening) for sample in samples)


def block(joints: bytearray, shard: int, shards: int) -> tuple[int, int]:
    """First and last + 1 of the samples of one shard: contiguous, near-equal, never inside a unit or file.

    A cut moves to where a tar archive begins or ends if that is less than half a shard away: an archive
    read by two shards is read twice.
    """
    count = len(joints)
    reach = (count // shards - 1) // 2  # less than half, so that two cuts never meet

    def is_edge(position: int) -> bool:
        return 0 < position < count and joints[position] == STREAM_ENDS

    def start(k: int) -> int:
        position = count * k // shards
        if 0 < k < shards:
            near = sorted(range(-reach, reach + 1), key=abs)
            position += next((step for step in near if is_edge(position + step)), 0)
        while 0 < position < count and joints[position] == TOGETHER:
            position += 1
        return position

    return start(shard), start(shard + 1)


def _of_shard(split_table: Path, shard: int, shards: int, prepared: Prepared | None) -> list[Sample]:
    """The samples of one shard, read without holding those of the others."""

    def rows() -> Iterator[dict[str, str]]:
        return (row for row in read_rows(split_table) if row["split"])

    if prepared:
        return [sample for sample in map(sample_of, rows()) if sample in prepared]
    first, end = block(joints((row["path"], opening(row["unit"], row["key"])) for row in rows()), shard, shards)
    return [sample_of(row) for row in islice(rows(), first, end)]


def render_shard(
    recipe: Recipe,
    folder: Path,
    split_table: Path,
    shard: int,
    shards: int,
    sizes: list[int],
    out: Path,
    strict: bool,
    prepared: Prepared | None = None,
) -> None:
    """Render one shard of a dataset into a folder: ``<size>.npy`` a size, and ``samples.tsv``.

    The folder appears when all of it is complete. Excluded samples keep a row of zeros in the arrays,
    so that rows and table agree. With prepared results the shard holds the samples of their units.

    Raises:
        PreprocessError: a file cannot be read under ``strict``, or an archive is damaged.
    """
    samples = _of_shard(split_table, shard, shards, prepared)
    renderer = Renderer(recipe, folder, sizes, prepared)
    results: list[tuple[str, ...]] = []
    blank = {size: bytes(math.prod(recipe.shape(size))) for size in sizes}
    with atomic_folder(out) as part, contextlib.ExitStack() as stack:
        # plain writes, not a memory map: mapped pages count as the job's memory
        files = {size: stack.enter_context(open(part / f"{size}.npy", "wb")) for size in sizes}
        for size, file in files.items():
            file.write(npy_header((len(samples), *recipe.shape(size))))
        for sample in samples:
            results.append(_write(_attempt(renderer, sample, strict), sample.key, files, blank))
        write_rows(part / SHARD_TABLE, SHARD_COLUMNS, results)


def _write(
    result: Rendered | ExcludeSample, key: str, files: Mapping[int, IO[bytes]], blank: dict[int, bytes]
) -> tuple[str, ...]:
    """Append one sample to the array of every size, and give its row of the shard's table."""
    if isinstance(result, ExcludeSample):
        for size, file in files.items():
            file.write(blank[size])
        return key, result.reason, result.detail, "", "", ""
    for size, file in files.items():
        file.write(np.ascontiguousarray(result.arrays[size]).data)
    return key, "", "", " ".join(map(str, result.upsampled)), result.raw_form, result.raw_sha256


def _attempt(renderer: Renderer, sample: Sample, strict: bool) -> Rendered | ExcludeSample:
    if sample.excluded:
        return ExcludeSample(sample.excluded, sample.detail)
    try:
        return renderer.render(sample)
    except ExcludeSample as exclusion:
        is_early(exclusion.reason)  # KeyError: not a reason of the closed list
        return exclusion
    except UnreadableError as error:
        if strict:
            raise PreprocessError(f"{error}; replace the file, or set census: warn to leave it out") from error
        log.warning("%s; left out", error)
        return ExcludeSample("unreadable", error.detail)
