"""What two sets of images are compared by: a digest of each, and its pixels, reduced where they are many.

Pixels lie in a file of fixed-width rows and are read in blocks, so that memory does not grow with
the number of images or their size.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess import npz
from preprocess.checksums import image_digest as digest
from preprocess.errors import ExcludeSample, UnreadableError
from preprocess.match import tiles
from preprocess.processes import processes
from preprocess.recipe import Recipe
from preprocess.render import Renderer
from preprocess.shards import parts
from preprocess.split import SPLITS
from preprocess.table import Sample

Pixels = NDArray[np.uint8]
#: images are reduced by the whole factor that brings them nearest to this edge
EDGE = 28


class Rows:
    """Equally long rows of uint8 in a file."""

    def __init__(self, path: Path, count: int, width: int) -> None:
        self.path, self.count, self.width = path, count, width
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.truncate(self._descriptor, count * width)

    def write(self, index: int, row: Pixels) -> None:
        """Write one row, any shape of ``width`` values."""
        os.pwrite(self._descriptor, row.tobytes(), index * self.width)

    def block(self, start: int, end: int) -> Pixels:
        """Consecutive rows, (end - start, width)."""
        data = os.pread(self._descriptor, (end - start) * self.width, start * self.width)
        return np.frombuffer(data, np.uint8).reshape(-1, self.width)

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Pixels:
        """Any rows, (len(indices), width)."""
        found = np.empty((len(indices), self.width), np.uint8)
        for position, index in enumerate(indices):
            os.preadv(self._descriptor, [found[position].data], int(index) * self.width)
        return found

    def close(self) -> None:
        """Close the file; it stays."""
        os.close(self._descriptor)


def all_axes(dimensions: int) -> list[str]:
    """Every order and direction of an image's axes, as rendered first: ``1r,0`` is transposed, then upside down."""
    return [
        ",".join(f"{axis}{'r' if turned else ''}" for axis, turned in zip(order, reverse, strict=True))
        for order in itertools.permutations(range(dimensions))
        for reverse in itertools.product((False, True), repeat=dimensions)
    ]


def as_rendered(dimensions: int) -> str:
    """The axes of an image that is left as it is."""
    return all_axes(dimensions)[0]


def turn(image: Pixels, axes: str) -> Pixels:
    """An image with its axes in another order, those marked ``r`` reversed after that; channels stay last."""
    parts = axes.split(",")
    order = [int(part.removesuffix("r")) for part in parts]
    turned = image.transpose(*order, *range(len(parts), image.ndim))
    reverse = tuple(axis for axis, part in enumerate(parts) if part.endswith("r"))
    return np.ascontiguousarray(np.flip(turned, reverse))


def factor(size: int) -> int:
    """By how much an edge of ``size`` is reduced for comparing."""
    return max(1, size // EDGE)


def reduce(image: Pixels, dimensions: int, factor: int) -> Pixels:
    """Mean over blocks of ``factor`` pixels along each of the first ``dimensions`` axes, a remainder cut off."""
    if factor == 1:
        return image
    edge = image.shape[0] // factor
    shape = [length for _ in range(dimensions) for length in (edge, factor)]
    cut = image[tuple(slice(edge * factor) for _ in range(dimensions))]
    blocks = cut.reshape(*shape, *image.shape[dimensions:])
    return np.asarray(blocks.mean(axis=tuple(range(1, 2 * dimensions, 2)))).round().astype(np.uint8)


def reduced_shape(recipe: Recipe, size: int) -> tuple[int, ...]:
    """The shape of a reduced image of ``size``."""
    return (size // factor(size),) * recipe.dimensions + recipe.shape(size)[recipe.dimensions :]


def width(recipe: Recipe, size: int) -> int:
    """How many values a reduced image of ``size`` has."""
    return math.prod(reduced_shape(recipe, size))


@dataclass(frozen=True)
class Published:
    """The rows of a published file, all splits after each other.

    Attributes:
        places: split and index of each row.
        labels: label of each row, digits joined by spaces.
        digests: digest of each row's full image.
        rows: reduced images.
    """

    places: list[tuple[str, int]]
    labels: list[str]
    digests: list[bytes]
    rows: Rows


def _splits(path: Path, shape: tuple[int, ...]) -> Iterator[tuple[str, list[str], Iterator[Pixels]]]:
    """The splits of a published npz with labels and images, or the tiles of a montage, which have no label."""
    if path.suffix == tiles.SUFFIX:
        found = list(tiles.of(path, shape))
        yield tiles.SPLIT, [""] * len(found), iter(found)
        return
    reader = npz.Reader(path)
    for split in SPLITS:
        labels = [" ".join(map(str, row)) for row in reader.array(f"{split}_labels").tolist()]
        yield split, labels, reader.rows(f"{split}_images")


def read_published(path: Path, recipe: Recipe, size: int, store: Path) -> Published:
    """Read a published npz, or a montage of tiles, once, row by row."""
    counted = [(split, labels) for split, labels, _ in _splits(path, recipe.shape(size))]
    places = [(split, index) for split, labels in counted for index in range(len(labels))]
    rows = Rows(store, len(places), width(recipe, size))
    digests: list[bytes] = []
    for _, _, images in _splits(path, recipe.shape(size)):
        for image in images:
            rows.write(len(digests), reduce(image, recipe.dimensions, factor(size)))
            digests.append(digest(image))
    return Published(places, [label for _, labels in counted for label in labels], digests, rows)


def published_digests(path: Path, shape: tuple[int, ...]) -> list[bytes]:
    """The digests of a published file's images of that shape, all splits after each other."""
    return [digest(image) for _, _, images in _splits(path, shape) for image in images]


def published_images(path: Path, shape: tuple[int, ...], wanted: set[tuple[str, int]]) -> dict[tuple[str, int], Pixels]:
    """Some images of a published file by split and index, found in one pass."""
    found: dict[tuple[str, int], Pixels] = {}
    for split, _, images in _splits(path, shape):
        last = max((index for name, index in wanted if name == split), default=-1)
        for index, image in enumerate(images):
            if index > last:
                break
            if (split, index) in wanted:
                found[split, index] = image
    return found


@dataclass(frozen=True)
class Candidates:
    """Rendered samples.

    Attributes:
        digests: digest of each sample's full image; empty where it could not be rendered.
        rows: reduced images, zeros where there is none.
    """

    digests: list[bytes]
    rows: Rows


@dataclass(frozen=True)
class Rendering:
    """How samples are rendered to be compared.

    Attributes:
        recipe: the decisions.
        folder: the source's raw folder.
        size: the edge.
        axes: how each image is turned, as :func:`turn` takes it.
    """

    recipe: Recipe
    folder: Path
    size: int
    axes: str


def render(how: Rendering, samples: list[Sample], store: Path, workers: int) -> Candidates:
    """Render every sample and turn it, in as many processes as ``workers`` says.

    Blocks are contiguous and never cut a unit, so that archives are read forwards and volumes once.
    """
    rows = Rows(store, len(samples), width(how.recipe, how.size))
    with processes(workers) as pool:
        jobs = [
            pool.submit(_render_block, how, samples[first:end], first, len(samples), store)
            for first, end in parts(samples, workers)
        ]
        return Candidates([digest for job in jobs for digest in job.result()], rows)


def _render_block(how: Rendering, samples: list[Sample], start: int, count: int, store: Path) -> list[bytes]:
    recipe, size = how.recipe, how.size
    rows = Rows(store, count, width(recipe, size))
    renderer = Renderer(recipe, how.folder, [size])
    digests: list[bytes] = []
    for index, sample in enumerate(samples, start):
        try:
            image = turn(renderer.render(sample).arrays[size], how.axes)
        except (ExcludeSample, UnreadableError):
            digests.append(b"")
            continue
        rows.write(index, reduce(image, recipe.dimensions, factor(size)))
        digests.append(digest(image))
    rows.close()
    return digests
