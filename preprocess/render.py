"""The render stage: one opening of each unit, every step once for all sizes that share it."""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from preprocess import notices, sources, steps
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.prepared import Prepared
from preprocess.reading.archives import Raw
from preprocess.recipe import Recipe
from preprocess.table import Sample

log = logging.getLogger(__name__)


#: is shown the size, a step's name (``open`` for what the source opened) and what it gave
Watch = Callable[[int, str, object], None]


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

    There is one object for each step with the same decisions (:func:`bind`): results are kept by it.
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

    def same(self, name: str, value: Any) -> _Result:
        """A new result, or the one that the step of this name gave already with other decisions, if it is the same."""
        if isinstance(value, np.ndarray):
            for (call, _), known in self.then.items():
                if call.name == name and _is_same(known.value, value):
                    return known
        return _Result(value)


def _is_same(one: Any, other: NDArray[Any]) -> bool:
    """Whether two arrays are alike to every step: in their values, their type and how they lie in memory."""
    return (
        isinstance(one, np.ndarray)
        and (one.dtype, one.shape, one.strides) == (other.dtype, other.shape, other.strides)
        and np.array_equal(one, other)
    )


@dataclass
class _Unit:
    """What is open now, as the root of every result on it."""

    key: str | None = None
    form: str = ""
    digest: str = ""
    opened: _Result | None = None


class Renderer:
    """Renders the samples of one dataset at some sizes.

    What opening one unit and the steps on it gave is kept until the next unit, by the whole chain
    that led there. So four sizes decode once, and the slices of one volume share it.

    Where the prepared results of a recipe's first steps are given, the others start from them. ``sharing`` is a
    renderer of another recipe for the same source: what it opened and worked out is used here too. One that ``forgets``
    keeps nothing of its own after a sample, so that many can share what one of them keeps; where one of its steps gave
    what the other's step gave too, the steps after it are shared again.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        sizes: list[int],
        prepared: Prepared | None = None,
        sharing: Renderer | None = None,
        forgets: bool = False,
    ) -> None:
        self.recipe = recipe
        self.sizes = sizes
        self.raw: Raw = sharing.raw if sharing else Raw(folder)
        self._prepared = prepared
        self._open = prepared.open if prepared else sources.get(recipe.dataset.reader).open
        chain = recipe.steps if prepared else (*recipe.prepare, *recipe.steps)
        self._programs = {size: [bind(recipe, name, size) for name in chain] for size in sizes}
        self._unit: _Unit = sharing._unit if sharing else _Unit()
        self._own: list[tuple[_Result, tuple[Call, tuple[str, ...]]]] | None = [] if forgets else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the raw files, for those that share them too."""
        self._unit.opened = None
        self.raw.close()

    def render(self, sample: Sample, watch: Watch | None = None) -> Rendered:
        """Render one sample; ``watch`` is shown what was opened and what every step gave, size by size.

        Raises:
            UnreadableError: its file cannot be decoded.
            ExcludeSample: a step found that it cannot be part of the dataset.
        """
        try:
            with notices.collected() as said:
                rendered = self._render(sample, watch)
            for text in said:
                log.warning("%s: %s", self.raw.root / sample.path, text)
            return rendered
        except UnreadableError as error:
            raise error.at(sample.path, self.raw.root) from error
        finally:
            for result, following in self._own or ():
                del result.then[following]
            if self._own:
                self._own.clear()

    def _render(self, sample: Sample, watch: Watch | None) -> Rendered:
        unit = self._unit
        if sample.unit_key != unit.key or unit.opened is None:
            unit.opened = None  # before the next is opened: one volume at a time
            unit.opened = _Result(self._open(self.raw, sample))
            unit.key, unit.form, unit.digest = sample.unit_key, "", ""
        arrays: dict[int, NDArray[np.uint8]] = {}
        upsampled: list[int] = []
        for size, program in self._programs.items():
            arrays[size], region = self._run(program, unit.opened, sample, partial(watch, size) if watch else None)
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
        self, program: list[Call], result: _Result, sample: Sample, watch: Callable[[str, object], None] | None
    ) -> tuple[NDArray[np.uint8], tuple[int, ...] | None]:
        region: tuple[int, ...] | None = None
        if watch:
            watch("open", result.value)
        for call in program:
            if call.sized and region is None and (shape := getattr(result.value, "shape", None)) is not None:
                region = shape[: self.recipe.dimensions]
            asked = tuple(column(self.recipe, sample, name) for name in call.columns)
            following = result.then.get((call, asked))
            if following is None:
                value = call.function(result.value, **dict(zip(call.columns, asked)))
                following = _Result(value) if self._own is None else result.same(call.name, value)
                result.then[call, asked] = following
                if self._own is not None:
                    self._own.append((result, (call, asked)))
            result = following
            if watch:
                watch(call.name, result.value)
        return result.value, region

    def _check(self, array: NDArray[np.uint8], size: int) -> None:
        if array.dtype != np.uint8 or array.shape != self.recipe.shape(size):
            raise PreprocessError(
                f"recipes/{self.recipe.name}.yaml: the steps give {array.dtype} {array.shape} at {size}, "
                f"not uint8 {self.recipe.shape(size)}"
            )


def bind(recipe: Recipe, name: str, size: int | None = None) -> Call:
    """Bind a step to the decisions in force at one size; without a size it may ask for none."""
    fixed: list[tuple[str, object]] = []
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
def _call(name: str, fixed: tuple[tuple[str, object], ...], columns: tuple[str, ...]) -> Call:
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


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def digest(opened: Any) -> str:
    """sha256 of what a source opened: bytes, an array, or anything that offers ``sha256()`` itself."""
    if isinstance(opened, bytes):
        return hashlib.sha256(opened).hexdigest()
    if isinstance(opened, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(opened).data).hexdigest()
    value: str = opened.sha256()
    return value


def form(opened: object, sample: Sample) -> str:
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
