"""The render stage: one opening of each unit, every step once for all sizes that share it."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess import sources, steps
from preprocess.errors import ExcludeSample, PreprocessError, UnreadableError
from preprocess.files import atomic_folder
from preprocess.npz import npy_header
from preprocess.prepared import Prepared
from preprocess.raw import Raw, stream_of
from preprocess.reasons import is_early
from preprocess.recipe import Recipe
from preprocess.table import Sample, read_samples, write_rows

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


@dataclass(frozen=True)
class Call:
    """One step with everything that is known before a sample is: what to ask the row for comes last."""

    name: str
    function: Callable[..., Any]
    fixed: tuple[tuple[str, Any], ...]
    sized: bool
    columns: tuple[str, ...]


@dataclass
class _Unit:
    """What is open now, and every result on it by the chain of steps that led there."""

    opening: str | None = None
    form: str = ""
    digest: str = ""
    memo: dict[tuple[Any, ...], Any] = field(default_factory=dict)


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
            return self._render(sample)
        except UnreadableError as error:
            raise UnreadableError(f"{self.raw.root / sample.path}: {error}") from error

    def _render(self, sample: Sample) -> Rendered:
        unit = self._unit
        if sample.opening != unit.opening or not unit.memo:
            unit.memo.clear()
            unit.memo[()] = self._open(self.raw, sample)
            unit.opening, unit.form, unit.digest = sample.opening, "", ""
        arrays: dict[int, NDArray[np.uint8]] = {}
        upsampled: list[int] = []
        for size, program in self._programs.items():
            arrays[size], region = self._run(program, sample)
            if region is not None and min(region) < size:
                upsampled.append(size)
            self._check(arrays[size], size)
        if not unit.digest:  # after the steps: what is read piecemeal knows only now what was read
            unit.form, unit.digest = (
                self._prepared.described(sample) if self._prepared else (form(unit.memo[()]), digest(unit.memo[()]))
            )
        return Rendered(arrays, tuple(upsampled), unit.form, unit.digest)

    def _run(self, program: list[Call], sample: Sample) -> tuple[NDArray[np.uint8], tuple[int, ...] | None]:
        path: tuple[Any, ...] = ()
        region: tuple[int, ...] | None = None
        memo = self._unit.memo
        value = memo[()]
        for call in program:
            if call.sized and region is None and (shape := getattr(value, "shape", None)) is not None:
                region = shape[: self.recipe.dimensions]
            asked = tuple((name, column(self.recipe, sample, name)) for name in call.columns)
            path = (*path, call.name, call.fixed, asked)
            if path not in memo:
                memo[path] = call.function(value, **dict(call.fixed), **dict(asked))
            value = memo[path]
        return value, region

    def _check(self, array: NDArray[np.uint8], size: int) -> None:
        if array.dtype != np.uint8 or array.shape != self.recipe.shape(size):
            raise PreprocessError(
                f"recipes/{self.recipe.name}.yaml: the steps give {array.dtype} {array.shape} at {size}, "
                f"not uint8 {self.recipe.shape(size)}"
            )


def bind(recipe: Recipe, name: str, size: int | None = None) -> Call:
    """Bind a step to the decisions in force at one size; without a size it may ask for none."""
    function = steps.get(name)
    fixed: list[tuple[str, Any]] = []
    columns: list[str] = []
    wanted = list(inspect.signature(function).parameters)[1:]
    for parameter in wanted:
        if parameter == "size" and size is not None:
            fixed.append(("size", size))
        elif parameter in recipe.decisions:
            choice = recipe.decisions[parameter]
            fixed.append((parameter, _hashable(choice.value if size is None else choice.at(size))))
        else:
            columns.append(parameter)
    return Call(name, function, tuple(fixed), "size" in wanted, tuple(columns))


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


def form(opened: Any) -> str:
    """What a source opened, in words: format, mode and size of a picture; dtype and shape of an array."""
    if isinstance(opened, bytes):
        from preprocess.steps.images import describe

        return describe(opened)
    shape = getattr(opened, "shape", None)
    if shape is None:
        return type(opened).__name__.lower()
    return f"{getattr(opened, 'dtype', type(opened).__name__)} {'x'.join(map(str, shape))}"


def block(samples: list[Sample], shard: int, shards: int) -> tuple[int, int]:
    """First and last + 1 of the samples of one shard: contiguous, near-equal, never inside a unit or file.

    A cut moves to where a tar archive begins or ends if that is less than half a shard away: an archive
    read by two shards is read twice.
    """
    reach = (len(samples) // shards - 1) // 2  # less than half, so that two cuts never meet

    def is_edge(position: int) -> bool:
        if not 0 < position < len(samples):
            return False
        before, after = stream_of(samples[position - 1].path), stream_of(samples[position].path)
        return before != after

    def start(k: int) -> int:
        position = len(samples) * k // shards
        if 0 < k < shards:
            near = sorted(range(-reach, reach + 1), key=abs)
            position += next((step for step in near if is_edge(position + step)), 0)
        while 0 < position < len(samples) and _belong_together(samples[position - 1], samples[position]):
            position += 1
        return position

    return start(shard), start(shard + 1)


def _belong_together(one: Sample, other: Sample) -> bool:
    return one.opening == other.opening or bool(one.path and one.path == other.path)


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
    samples = [sample for sample in read_samples(split_table) if sample.split]
    if prepared:
        samples = [sample for sample in samples if sample in prepared]
    else:
        first, end = block(samples, shard, shards)
        samples = samples[first:end]
    renderer = Renderer(recipe, folder, sizes, prepared)
    results: list[tuple[str, ...]] = []
    blank = {size: bytes(math.prod(recipe.shape(size))) for size in sizes}
    with atomic_folder(out) as part, contextlib.ExitStack() as stack:
        # plain writes, not a memory map: mapped pages count as the job's memory
        files = {size: stack.enter_context(open(part / f"{size}.npy", "wb")) for size in sizes}
        for size, file in files.items():
            file.write(npy_header((len(samples), *recipe.shape(size))))
        for sample in samples:
            result = _attempt(renderer, sample, strict)
            for size, file in files.items():
                file.write(result.arrays[size].tobytes() if isinstance(result, Rendered) else blank[size])
            if isinstance(result, Rendered):
                upsampled = " ".join(map(str, result.upsampled))
                results.append((sample.key, "", "", upsampled, result.raw_form, result.raw_sha256))
            else:
                results.append((sample.key, result.reason, result.detail, "", "", ""))
        write_rows(part / SHARD_TABLE, SHARD_COLUMNS, results)


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
        return ExcludeSample("unreadable", str(error))
