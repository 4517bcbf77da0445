"""Where rows come from: the raw file, what its source says of it, and the picture after every step."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess import __version__, npz, order, packed, published, sources, steps, web
from preprocess.acquire import registry
from preprocess.audit import again
from preprocess.audit.pages import GRADES, labelled
from preprocess.checksums import file_digest, image_digest
from preprocess.decisions import Pointer, shown
from preprocess.errors import PreprocessError
from preprocess.files import write_text
from preprocess.inquiry import builds, scans
from preprocess.inquiry.builds import Finished
from preprocess.published import SPLITS
from preprocess.reading.picture import Picture
from preprocess.recipe import Recipe
from preprocess.steps.grids import Mask
from preprocess.steps.meshes import Mesh
from preprocess.table import COMMON, Sample

Pixels = NDArray[np.uint8]
#: the longest edge of a picture on the page, which shows it pixel for pixel; larger ones are reduced
EDGE = 224
#: columns of the samples table that have a place of their own
PLACED = ("raw_form", "raw_sha256", "upsampled")


@dataclass(frozen=True)
class Decided:
    """A decision that a step takes."""

    key: str
    value: str
    evidence: str
    why: str
    idle: str
    source: Pointer | None


@dataclass(frozen=True)
class Stage:
    """What one step gave.

    Attributes:
        step: its name; ``open`` for what the source opened.
        meaning: what it does, in words.
        form: type and shape of what it gave.
        sizes: the sizes that share it.
        pictures: captions and data URIs; of a volume three planes, of a mesh three views.
        decisions: the decisions it takes.
        columns: what it takes from the sample's row.
    """

    step: str
    meaning: str
    form: str
    sizes: tuple[int, ...]
    pictures: tuple[tuple[str, str], ...]
    decisions: tuple[Decided, ...]
    columns: dict[str, str]


@dataclass(frozen=True)
class Trace:
    """One row.

    Attributes:
        dataset: its dataset.
        build: the build it is of.
        key: the sample.
        split: its split.
        index: its place there.
        label: its label, and the names of its classes.
        original_label: the source's own name of its class.
        group: what must not straddle a split, and what that is.
        raw: path, bytes, form and sha256 of what the source opened.
        unchanged: whether it is what it was when the build was made.
        attributes: the source's own further columns.
        stages: what every step gave.
        equal: by size, whether rendering it again gives the row of the npz.
        published: by size, how it compares with the published row, in words; empty where that is not here.
    """

    dataset: str
    build: str
    key: str
    split: str
    index: int
    label: str
    original_label: str
    group: str
    raw: dict[str, str]
    unchanged: bool
    attributes: dict[str, str]
    stages: tuple[Stage, ...]
    equal: dict[int, bool]
    published: dict[int, str]

    @property
    def row(self) -> str:
        """Its name among the rows of all datasets: ``breastmnist/train/17``."""
        return f"{self.dataset}/{self.split}/{self.index}"


def trace(rows: Sequence[str], build: str, base: Path, raw: Path, miniature: bool) -> list[Trace]:
    """Trace rows named ``<dataset>/<split>/<index>`` or ``<dataset>/<key>``.

    Args:
        rows: the rows.
        build: the name of the build, a folder below ``base``.
        base: the results folder.
        raw: the folder that holds ``<source>/...``.
        miniature: whether it holds stand-ins.

    Raises:
        PreprocessError: the dataset is not built, or has no such row.
    """
    found: list[Trace] = []
    for row in rows:
        dataset, _, name = row.partition("/")
        finished = builds.require(base, build, dataset, None if miniature else raw)
        number = _number(finished, name)
        found.append(_trace(finished, number, raw, miniature))
    return found


def _number(finished: Finished, name: str) -> int:
    """The number of a row, counted through train, val and test."""
    split, _, index = name.partition("/")
    for number, sample in enumerate(finished.samples):
        if sample.key == name or (split == sample.split and index == str(sample.index)):
            return number
    counts = {one: sum(sample.split == one for sample in finished.samples) for one in SPLITS}
    told = ", ".join(f"{one} {count:,}" for one, count in counts.items())
    raise PreprocessError(
        f"rows: {finished.dataset}/{name} is no row of {finished.of('samples')}, which has {told} rows from 0 and keys "
        f"such as {finished.samples[0].key}"
    )


def _trace(finished: Finished, number: int, raw: Path, miniature: bool) -> Trace:
    sample, in_force = finished.samples[number], finished.recipe
    folder = registry.raw_folder(in_force.dataset, raw, miniature)
    seen: list[tuple[int, str, object]] = []
    sizes = list(finished.npz)
    ((_, rendered),) = again.render(in_force, folder, sizes, [sample], lambda *one: seen.append(one))
    columns = {name: value for name, value in sample.attributes.items() if value and name not in PLACED}
    group = in_force.dataset.group
    return Trace(
        dataset=finished.dataset,
        build=finished.name,
        key=sample.key,
        split=sample.split,
        index=sample.index,
        label=labelled(in_force, sample),
        original_label=sample.original_label,
        group=f"{group} {sample.group or 'unknown'}" if group != "none" else "none: the source publishes no id",
        raw=_raw(folder, sample, seen[0][2], rendered.raw_form, rendered.raw_sha256),
        unchanged=sample.attributes.get("raw_sha256") in (None, rendered.raw_sha256),
        attributes=columns,
        stages=tuple(_stages(finished, sample, seen, folder)),
        equal={size: _equals(finished, size, number, rendered.arrays[size]) for size in sizes},
        published={} if miniature else {
            size: told for size in sizes if (told := _published(finished, sample, raw, size, rendered.arrays[size]))
        },
    )  # fmt: skip


def _raw(folder: Path, sample: Sample, opened: object, form: str, sha256: str) -> dict[str, str]:
    data = opened if isinstance(opened, bytes) else opened.data if isinstance(opened, Picture) else None
    path = folder / sample.path
    size = len(data) if data is not None else path.stat().st_size if path.is_file() else None
    told = {"path": str(path), "form": form, "sha256": sha256}
    return told | ({"bytes": f"{size:,}"} if size is not None else {})


def _equals(finished: Finished, size: int, number: int, image: Pixels) -> bool:
    seen = finished.beside("seen", size)
    if seen.is_file():
        return packed.read(seen, with_cells=False).holds(number, image)
    sample = finished.samples[number]
    ((_, row),) = npz.Reader(finished.npz[size]).pick(f"{sample.split}_images", [sample.index])
    return bool(np.array_equal(row, image))


def _published(finished: Finished, sample: Sample, raw: Path, size: int, image: Pixels) -> str:
    path = raw / registry.RELEASED / finished.recipe.file_name(size)
    if not path.is_file() or (place := _published_place(finished, sample, raw)) is None:
        return ""
    if published.recognise(file_digest(path, "md5"), finished.dataset, size) is None:
        return f"{path} is not the published file"
    split, index = place
    ((_, theirs),) = npz.Reader(path).pick(f"{split}_images", [index])
    if image_digest(theirs) == image_digest(image):
        return f"equal to the published {split} {index}"
    gap = np.abs(theirs.astype(np.int16) - image)
    told = f"{np.count_nonzero(gap):,} of {gap.size:,} values differ, by up to {gap.max()}"
    return f"not the published {split} {index}: {told}"


def _published_place(finished: Finished, sample: Sample, raw: Path) -> tuple[str, int] | None:
    """The published row of a sample: as the build has it, else by the order table in force or the project's."""
    if sample.released_index:
        return sample.split, int(sample.released_index)
    if (table := order.find(finished.dataset, raw)) is None:
        return None
    rows = order.read(table).rows
    found = [row for row in rows if row.image_id == sample.key] or [
        row for row in rows if order.stem(row.image_id) == order.stem(sample.key)
    ]
    return (found[0].split, found[0].index) if len(found) == 1 else None


def _stages(finished: Finished, sample: Sample, seen: list[tuple[int, str, object]], folder: Path) -> list[Stage]:
    """One stage for every result, with the sizes that share it; results come in the order of the steps."""
    shared: dict[tuple[str, int, int], list[int]] = {}
    values: dict[tuple[str, int, int], object] = {}
    place: dict[int, int] = {}
    for size, name, value in seen:
        place[size] = place.get(size, -1) + 1
        key = name, place[size], id(value)
        shared.setdefault(key, []).append(size)
        values[key] = value
    ordered = sorted(shared, key=lambda key: key[1])
    return [_stage(finished, sample, key[0], tuple(shared[key]), values[key], folder) for key in ordered]


def _stage(finished: Finished, sample: Sample, name: str, sizes: tuple[int, ...], value: object, folder: Path) -> Stage:
    in_force = finished.recipe
    asked = () if name == "open" else steps.parameters(name)
    meaning = "what the source opened" if name == "open" else _first_line(steps.get(name))
    decisions = []
    for key in asked:
        if key in in_force.decisions:
            choice = in_force.decisions[key]
            said = shown(choice.at(sizes[0]))
            decisions.append(Decided(key, said, choice.evidence, choice.why, in_force.idle(key), choice.source))
    columns = {
        key: sample.attributes[key] for key in asked if key not in in_force.decisions and key in sample.attributes
    }
    pictures = (_in_scan(in_force, sample, value, folder) if name == "open" else []) or _pictures(value)
    return Stage(name, meaning, _form(value), sizes, tuple(pictures), tuple(decisions), columns)


def _in_scan(in_force: Recipe, sample: Sample, opened: object, folder: Path) -> list[tuple[str, str]]:
    """Planes of the scan a sample is cut out of, with its place drawn; nothing where the source opens no scan."""
    scan = scans.of(in_force, sample, opened)
    if scan is None and (around := sources.surroundings(in_force.dataset.reader, folder, sample)):
        scan = scans.of_array(*around)
    return [(caption, _uri(picture)) for caption, picture in scans.pictures(scan)] if scan else []


def _first_line(function: Any) -> str:
    """The first line of a docstring as plain text."""
    line = inspect.cleandoc(function.__doc__ or "").partition("\n")[0]
    return re.sub(r":[a-z]+:`~?([^`]+)`", r"\1", line).replace("``", "").removesuffix(".")


def _form(value: object) -> str:
    if isinstance(value, Picture):
        return value.form
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, Mesh):
        return f"{len(value.vertices):,} vertices, {len(value.faces):,} faces"
    shape = getattr(value, "shape", None)
    kind = getattr(value, "dtype", type(value).__name__.lower())
    return f"{kind} {' x '.join(map(str, shape))}" if shape is not None else str(kind)


def _pictures(value: object) -> list[tuple[str, str]]:
    """Captions and pictures of a value: itself, three planes of a volume, three views of a mesh; none of a file."""
    if isinstance(value, Mask):
        value = value.cells
    if isinstance(value, Mesh):
        return [(f"seen along {axis}", _uri(view)) for axis, view in zip("xyz", _views(value), strict=True)]
    if not isinstance(value, np.ndarray):
        return []
    if value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 3):
        return [("", _uri(_eight_bit(value)))]
    if value.ndim == 3:
        middles = [extent // 2 for extent in value.shape]
        planes = [np.take(value, middle, axis) for axis, middle in enumerate(middles)]
        low, high = float(value.min()), float(value.max())
        return [
            (f"axis {axis}, plane {middle}", _uri(_eight_bit(plane, low, high)))
            for axis, (middle, plane) in enumerate(zip(middles, planes, strict=True))
        ]
    return []


def _eight_bit(values: NDArray[Any], low: float | None = None, high: float | None = None) -> Pixels:
    """Values as gray levels: bytes as they are, others from the least to the greatest."""
    if values.dtype == np.uint8:
        return values
    low, high = float(values.min()) if low is None else low, float(values.max()) if high is None else high
    return ((values.astype(np.float64) - low) * (255 / max(high - low, 1e-9))).clip(0, 255).astype(np.uint8)


def _views(mesh: Mesh) -> list[Pixels]:
    """The density of a mesh's vertices seen along x, y and z."""
    found = []
    edges = [
        np.linspace(mesh.vertices[:, axis].min() - 1e-6, mesh.vertices[:, axis].max() + 1e-6, 97) for axis in range(3)
    ]
    for axis in range(3):
        one, other = (place for place in range(3) if place != axis)
        counts, _, _ = np.histogram2d(mesh.vertices[:, one], mesh.vertices[:, other], [edges[one], edges[other]])
        found.append(_eight_bit(np.log1p(counts)))
    return found


def _uri(picture: Pixels) -> str:
    """A data URI; what is larger than the page shows is reduced."""
    longest = max(picture.shape[:2])
    if longest > EDGE:
        scale = EDGE / longest
        extent = tuple(max(1, round(edge * scale)) for edge in (picture.shape[1], picture.shape[0]))
        picture = np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(extent, Image.Resampling.BOX))
    return web.png_uri(picture)


def write_page(found: list[Trace], miniature: bool, page: Path) -> None:
    """Write the page of some traces: one static file."""
    text = web.environment("preprocess.inquiry", "preprocess.audit").get_template("trace.html.j2").render(
        traces=found, miniature=miniature, notices=[], grades=GRADES, version=__version__
    )  # fmt: skip
    write_text(page, text)


def write_names(found: list[Trace], script: Path) -> None:
    """Write the names of the rows as a script, the one form a page can load from beside itself, without a server."""
    write_text(script, f"traced({json.dumps([one.row for one in found])});\n")


def told(one: Trace) -> str:
    """A trace in one line for a terminal."""
    raw = ", ".join([one.raw["path"], one.raw["form"], *([f"{one.raw['bytes']} bytes"] if "bytes" in one.raw else [])])
    parts = [f"{one.dataset} {one.split} {one.index}: {one.key}", raw, f"sha256 {one.raw['sha256']}"]
    parts.append(f"label {one.label} from {one.original_label!r}" if one.original_label else f"label {one.label}")
    parts.append(f"group {one.group}")
    parts += [f"{name} {one.attributes[name]}" for name in COMMON if name in one.attributes]
    parts += [
        f"{size}: {'the row of the npz' if same else 'NOT THE ROW OF THE NPZ'}" for size, same in one.equal.items()
    ]
    parts += [f"{size}: {line}" for size, line in one.published.items()]
    if not one.unchanged:
        parts.append("THE RAW FILE IS NOT WHAT THE BUILD WAS MADE OF")
    return "; ".join(parts)
