"""Pictures of the audit pages, embedded so that a page is one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess import packed, web
from preprocess.audit import montage
from preprocess.packed import Packed


def embed(image: NDArray[np.uint8]) -> str:
    """A data URI of one picture (S, S) or (S, S, 3), or of a volume (S, S, S) seen as in the montage.

    It is not enlarged; the page does that.
    """
    if image.ndim == 3 and image.shape[2] != 3:
        image = montage.view(image)
    return web.png_uri(image)


def of_samples(path: Path, facts: Packed, samples: list[dict[str, str]], keys: Iterable[str]) -> dict[str, str]:
    """Data URIs of some samples of an npz by key; ``facts`` is what pack saw of it."""
    wanted = set(keys)
    rows = [number for number, sample in enumerate(samples) if sample["key"] in wanted]
    return {samples[row]["key"]: embed(image) for row, image in packed.images(path, facts, rows)}
