"""What the generators share: noise that looks like tissue, encoding, and archives with fixed times."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]


def rng(*seed: int | str) -> np.random.Generator:
    """A generator seeded by numbers and names."""
    return np.random.default_rng(
        [word if isinstance(word, int) else int.from_bytes(word.encode(), "big") for word in seed]
    )


def blurred(values: NDArray[Any], scale: float | tuple[float, ...], mode: str = "reflect") -> NDArray[Any]:
    """Values, of the same shape and dtype, blurred by a Gaussian of so many samples along each axis."""
    from scipy.ndimage import gaussian_filter  # here: who asks a generator what it counts draws nothing

    return np.asarray(gaussian_filter(values, scale, mode=mode))


def smooth_noise(generator: np.random.Generator, shape: tuple[int, ...], scale: float) -> Floats:
    """Gaussian noise blurred to a length of ``scale`` samples, with mean 0 and standard deviation 1."""
    noise = blurred(generator.standard_normal(shape), scale, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std())


def grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Row and column coordinates from -1 to 1."""
    return np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]  # type: ignore[return-value]


def to_uint8(values: Floats) -> NDArray[np.uint8]:
    """Clip 0..1 and scale to 0..255."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def enlarge(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Bring a small drawing to the dimensions of a true file: cheaper than drawing it that large."""
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def encode(image: NDArray[np.uint8], format: str, **options: object) -> bytes:
    """Encode an array as an image file; a PNG fast, for it is read once or twice."""
    buffer = io.BytesIO()
    if format == "PNG":
        options = {"compress_level": 1, **options}
    Image.fromarray(image).save(buffer, format, **options)
    return buffer.getvalue()


def write_zip(path: Path | IO[bytes], members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write a zip whose bytes depend on names and contents only."""
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.compress_type = compression
            archive.writestr(info, data)


def write_tar_gz(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a tar.gz whose bytes depend on names and contents only; a name that ends in / is a folder."""
    with (
        open(path, "wb") as handle,
        gzip.GzipFile("", "wb", 1, handle, 0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, data in members.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mtime = 1_500_000_000
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_tree(folder: Path, members: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for name, data in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
