"""What is exported: one finished npz with its samples table, read a row at a time, and what is said of it in words."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.acquire import registry
from preprocess.audit import licences
from preprocess.errors import PreprocessError
from preprocess.npz import Reader
from preprocess.published import SPLITS
from preprocess.recipe import Recipe
from preprocess.table import read_columns, read_rows


@dataclass(frozen=True)
class Row:
    """One sample.

    Attributes:
        split: train, val or test.
        index: its row in the arrays of that split.
        image: uint8, (S, S), (S, S, 3) or (S, S, S).
        labels: uint8, (1,) with the class, or (L,) with a digit a label.
        cells: its row of the samples table.
    """

    split: str
    index: int
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    cells: dict[str, str]

    @property
    def name(self) -> str:
        """A name for its file without ending, unique in the dataset and in order when sorted: ``train000012``."""
        return f"{self.split}{self.index:06}"

    @property
    def label(self) -> int | list[int]:
        """The class; of a multi-label sample the digits."""
        digits: list[int] = self.labels.tolist()
        return digits if len(digits) > 1 else digits[0]


@dataclass(frozen=True)
class Built:
    """One finished npz.

    Attributes:
        recipe: its dataset's, as it was built.
        npz: the file.
        samples: its samples table.
        miniature: whether it is built from a stand-in.
    """

    recipe: Recipe
    npz: Path
    samples: Path
    miniature: bool

    @cached_property
    def reader(self) -> Reader:
        """The npz, opened."""
        return Reader(self.npz)

    @cached_property
    def columns(self) -> list[str]:
        """The columns of the samples table."""
        return read_columns(self.samples)

    @cached_property
    def counts(self) -> dict[str, int]:
        """The rows of each split."""
        return {split: self.reader.shape(f"{split}_images")[0] for split in SPLITS}

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.reader.shape(f"{SPLITS[0]}_images")[1:]

    @property
    def is_volumes(self) -> bool:
        """Whether the images are volumes."""
        return self.recipe.dimensions == 3

    @property
    def is_multilabel(self) -> bool:
        """Whether a sample has a digit a label, and no class."""
        return self.reader.shape(f"{SPLITS[0]}_labels")[1] > 1

    @property
    def licence(self) -> str:
        """The licence of what was built, in words."""
        return licences.DRAWN if self.miniature else self.recipe.dataset.licence

    @property
    def source(self) -> dict[str, Any]:
        """What the registry says of its source."""
        return registry.one(self.recipe.source).content

    @property
    def described(self) -> str:
        """One sentence or two on what it is."""
        dataset = self.recipe.dataset
        rebuilt = "Made in the layout of" if self.miniature else "Rebuilt from"
        text = f"{dataset.title}. {rebuilt} {self.source['title']}, protocol {self.recipe.protocol}"
        if self.recipe.overridden:
            text += f", with other decisions on {', '.join(sorted(self.recipe.overridden))}"
        return f"STAND-IN: drawings, not data. {text}." if self.miniature else f"{text}."

    @property
    def about(self) -> dict[str, Any]:
        """What a program must know of the arrays: names, task, classes, counts, shape and licence."""
        return {
            "name": self.npz.stem,
            "description": self.described,
            "licence": self.licence,
            "task": self.recipe.dataset.task,
            "classes": list(self.recipe.dataset.classes),
            "rows": self.counts,
            "shape": list(self.shape),
        }

    def rows(self) -> Iterator[Row]:
        """Every sample in the order of the arrays, train before val before test, holding one at a time.

        Raises:
            PreprocessError: the npz is damaged, or the table does not list its rows.
        """
        table = read_rows(self.samples)
        for split in SPLITS:
            images, labels = self.reader.rows(f"{split}_images"), self.reader.array(f"{split}_labels")
            for index, (image, digits, cells) in enumerate(zip(images, labels, _or_nothing(table))):
                if (cells.get("split"), cells.get("index")) != (split, str(index)):
                    raise self._no_table(f"row {index} of {split}")
                yield Row(split, index, image, digits, cells)
        if next(table, None) is not None:
            raise self._no_table("the end")

    def divided(self, each: int) -> Iterator[tuple[str, int, int, Iterator[Row]]]:
        """The samples in files of at most ``each``, none of which holds two splits.

        Yields:
            the split, the number of the file in it from 0, how many files the split has, and the samples, which are to
            be taken before the next file is asked for.

        Raises:
            PreprocessError: as :meth:`rows`, which is read to its end.
        """
        rows = self.rows()
        for split in SPLITS:
            left = self.counts[split]
            number = math.ceil(left / each)
            for place in range(number):
                yield split, place, number, islice(rows, min(each, left))
                left -= each
        next(rows, None)  # its end, which looks whether the table ends too

    def _no_table(self, where: str) -> PreprocessError:
        return PreprocessError(
            f"{self.samples}: does not list the rows of {self.npz} (at {where}); delete both and build them again"
        )


def _or_nothing(rows: Iterator[dict[str, str]]) -> Iterator[dict[str, str]]:
    """The rows, and after them empty ones: whoever asks for more sees that the table is too short."""
    return chain(rows, iter(dict, None))


def encoded(image: NDArray[np.uint8]) -> bytes:
    """A PNG of one picture, (H, W) or (H, W, 3), with its pixels as they are."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def licence_address(licence: str) -> str:
    """The address of a Creative Commons licence; of any other licence its name."""
    if match := re.fullmatch(r"CC (BY(?:-NC)?(?:-SA|-ND)?) (\d\.\d)", licence):
        return f"https://creativecommons.org/licenses/{match[1].lower()}/{match[2]}/"
    if match := re.fullmatch(r"CC0 (\d\.\d)", licence):
        return f"https://creativecommons.org/publicdomain/zero/{match[1]}/"
    return licence
