"""Made-up raw files of the true formats and dimensions, no two alike, written fast enough for full counts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage

from preprocess import recipe
from preprocess.sources.bbbc051 import CELL_TYPES

#: edge of the field of noise that pictures are cut out of
FIELD = 2048


class Field:
    """A large smooth field of noise; every window of it, shaded anew, is a picture nobody has seen."""

    def __init__(self, channels: int, smooth: float, seed: int = 1) -> None:
        generator = np.random.default_rng(seed)
        noise = generator.standard_normal((FIELD, FIELD, channels)).astype(np.float32)
        noise = ndimage.gaussian_filter(noise, (smooth, smooth, 0), mode="wrap")
        self._values = noise / noise.std() * 40 + 128

    def window(self, number: int, height: int, width: int) -> np.ndarray:
        """The picture of a number, (height, width, channels) uint8."""
        generator = np.random.default_rng(number)
        top, left = generator.integers(0, FIELD - height), generator.integers(0, FIELD - width)
        slope = generator.normal(0, 40, (2, 1, 1, 1))
        shade = slope[0] * np.linspace(-1, 1, height)[:, None, None] + slope[1] * np.linspace(-1, 1, width)[:, None]
        cut = self._values[top : top + height, left : left + width]
        return np.clip(cut * generator.uniform(0.6, 1.2) + shade, 0, 255).astype(np.uint8)


_fields: dict[tuple[int, float], Field] = {}


def picture(number: int, height: int, width: int, channels: int = 3, smooth: float = 2.0) -> np.ndarray:
    """Picture ``number`` of these dimensions: (height, width, channels) uint8."""
    if (channels, smooth) not in _fields:
        _fields[channels, smooth] = Field(channels, smooth)
    return _fields[channels, smooth].window(number, height, width)


def encoded(pixels: np.ndarray, format: str, **options: object) -> bytes:
    """Pixels as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def stack(number: int) -> bytes:
    """A TIFF stack of 7 slices of 32 x 32 as tifffile writes it."""
    buffer = io.BytesIO()
    slices = np.moveaxis(picture(number, 32, 32, 7, 1.5), -1, 0)
    tifffile.imwrite(buffer, slices, photometric="minisblack", metadata=None, software=False)
    return buffer.getvalue()


# ---- whole sources


def share_of(counts: dict[str, int], share: float) -> dict[str, int]:
    """A part of every count, at least 10."""
    return {name: max(int(count * share), 10) for name, count in counts.items()}


def pbc(folder: Path, share: float = 1.0) -> int:
    """Write the JPEGs of PBC, by class and with the true numbers of odd sizes; return how many."""
    census = recipe.read("bloodmnist")["census"]
    classes = share_of({name: count for name, count in census.items() if "pixels" not in name}, share)
    odd = [
        tuple(map(int, name.split()[0].split("x")))
        for name, count in census.items()
        if "pixels" in name and not name.startswith("360x363")
        for _ in range(count)
    ]
    jobs = []
    for label, count in classes.items():
        place = folder / "PBC_dataset_normal_DIB" / label
        place.mkdir(parents=True)
        jobs += [(place / f"{label[:2].upper()}_{number}.jpg", (360, 363)) for number in range(count)]
    if share == 1:
        jobs[: len(odd)] = [(path, size) for (path, _), size in zip(jobs, odd)]
    with ProcessPoolExecutor() as pool:
        list(pool.map(_write_jpeg, range(len(jobs)), *zip(*jobs), chunksize=200))
    return len(jobs)


def _write_jpeg(number: int, path: Path, size: tuple[int, int]) -> None:
    path.write_bytes(encoded(picture(number, size[1], size[0]), "JPEG", quality=92))


def bbbc051(folder: Path, share: float = 1.0) -> int:
    """Write the stacks of BBBC051, a zip a cell type and specimen; return how many."""
    total = int(recipe.read("tissuemnist")["census"]["nuclei"] * share)
    types = [name for name in CELL_TYPES if name not in ("CD45", "S1", "S2", "S3")]
    places = [(specimen, name) for specimen in ("F33", "F44", "F59") for name in types]
    bounds = [total * k // len(places) for k in range(len(places) + 1)]
    archives = [folder / "BBBC051" / specimen / f"{name}.zip" for specimen, name in places]
    for archive in archives:
        archive.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(_write_zip, archives, bounds, bounds[1:]))
    return total


def _write_zip(path: Path, first: int, end: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(first, end):
            archive.writestr(f"{path.stem}/All_3D/{number}.tif", stack(number))


#: the sources that can be written in full, by the dataset that is built from them
SOURCES: dict[str, tuple[str, Callable[[Path, float], int]]] = {
    "bloodmnist": ("pbc", pbc),
    "tissuemnist": ("bbbc051", bbbc051),
}


def numbered(folder: Path, count: int, suffix: str, content: Callable[[int], bytes]) -> Iterator[Path]:
    """Write ``0<suffix>``, ``1<suffix>`` ... into a folder and yield their paths."""
    for number in range(count):
        path = folder / f"{number}{suffix}"
        path.write_bytes(content(number))
        yield path
