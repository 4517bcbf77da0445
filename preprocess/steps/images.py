"""Steps for 2D pictures. Arrays are uint8, (H, W) gray or (H, W, 3) RGB."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.errors import UnreadableError
from preprocess.reading.picture import Picture
from preprocess.steps import ijg

Pixels = NDArray[np.uint8]

#: Pillow modes that lose nothing a dataset keeps; alpha is dropped, as every known pipeline does
_TO_GRAY = {"1", "L", "LA", "La"}
_TO_RGB = {"P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr"}


class _Pictured(np.ndarray[Any, np.dtype[np.uint8]]):
    """Pixels that keep the Pillow image of the same pixels, once there is one; it goes with them.

    An array is resized to every size, and Pillow cannot look at colour without copying it. Parts of it, and what is
    computed from it, begin without an image. As everywhere in a chain of steps, the pixels are not changed.
    """

    picture: Image.Image | None

    def __array_finalize__(self, source: object) -> None:
        self.picture = None


def _decoded(picture: Picture, mode: str) -> Pixels:
    """The pixels of a file in a mode."""
    if picture.mode == mode and picture.array is not None:
        return picture.array.view(_Pictured)  # without an image: steps that cut need none
    return _pixels(picture.converted(mode))


def _pixels(image: Image.Image) -> Pixels:
    """The pixels of a Pillow image."""
    pixels = np.asarray(image).view(_Pictured)
    pixels.picture = image
    return pixels


def _image(pixels: Pixels) -> Image.Image:
    """The Pillow image of some pixels."""
    image = pixels.picture if isinstance(pixels, _Pictured) else None
    if image is None:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        if isinstance(pixels, _Pictured):
            pixels.picture = image
    return image


def decode(picture: Picture, decoder: str) -> Pixels:
    """Decode one image file.

    Bilevel and gray stay gray; palette, CMYK and YCbCr become RGB by Pillow's conversion; alpha is
    dropped. The orientation a file names is not applied; see :mod:`preprocess.reading.picture`.

    Args:
        picture: the file.
        decoder: the decision of that name; it concerns JPEG files only.

    Raises:
        UnreadableError: damaged or truncated, of several pictures, or deeper than 8 bits (no rule says how to
            reduce it).
    """
    mode = picture.mode
    if mode in _TO_GRAY:
        return _decoded(picture, "L")
    if mode not in _TO_RGB:
        raise UnreadableError(f"has pixels of mode {mode}; only 8-bit images are known to this source")
    pixels = _decoded(picture, "RGB")
    # the whole file has been read by now: what follows may not meet a damaged one
    if decoder.startswith("ijg-") and picture.format == "JPEG" and mode == "RGB":
        return ijg.decode(picture.data, decoder.removeprefix("ijg-")).view(_Pictured)
    return pixels


def gray(image: Pixels, gray: str) -> Pixels:
    """Reduce RGB to gray; a gray image stays as it is.

    ``luma`` is Pillow's rounded ITU-R 601-2; ``libpng`` is ``(9798 R + 19235 G + 3735 B) >> 15``, and R
    where all three are equal: what OpenCV reads from a PNG, exact on BreastMNIST 28.
    """
    if image.ndim == 2:
        return image
    if gray == "luma":
        return _pixels(_image(image).convert("L"))
    if gray == "first":
        return np.ascontiguousarray(image[..., 0])
    if gray == "libpng":
        r, g, b = (image[..., channel].astype(np.int32) for channel in range(3))
        return np.where((r == g) & (g == b), r, (9798 * r + 19235 * g + 3735 * b) >> 15).astype(np.uint8)
    raise ValueError(f"gray: {gray!r}")


def rgb(image: Pixels) -> Pixels:
    """Repeat a gray image in three channels; RGB stays as it is."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def crop(image: Pixels, crop: str, crop_rounding: str) -> Pixels:
    """Cut the centred square the decision names: ``none``, ``centre-square`` or ``centre-<side>`` pixels.

    Raises:
        UnreadableError: the image is smaller than a fixed side.
    """
    if crop == "none":
        return image
    height, width = image.shape[:2]
    side = min(height, width) if crop == "centre-square" else int(crop.removeprefix("centre-"))
    if side > min(height, width):
        raise UnreadableError(f"is {width}x{height} pixels, smaller than the crop of {side}")
    top, left = (_offset(extent - side, crop_rounding) for extent in (height, width))
    return image[top : top + side, left : left + side]


def _offset(margin: int, rounding: str) -> int:
    if rounding == "half-even":
        return int(round(margin / 2.0))
    if rounding == "floor":
        return margin // 2
    if rounding == "ceil":
        return -(-margin // 2)
    raise ValueError(f"crop_rounding: {rounding!r}")


def resize(image: Pixels, size: int, kernel: str) -> Pixels:
    """Resize to ``size`` x ``size`` with Pillow's antialiased filter, horizontally first, or by :func:`gaussian`.

    Two calls fix the order of the passes, which Pillow 13 chooses by the shape and earlier versions
    do not; the intermediate is 8-bit in both, so square images are the same in all versions.
    """
    if image.shape[:2] == (size, size):
        return image
    if kernel == LATTICE_KERNEL:
        return gaussian(image, size)
    resampling = Image.Resampling[kernel.upper()]
    picture = _image(image)
    if picture.width != picture.height:
        picture = picture.resize((size, picture.height), resampling)
    return np.asarray(picture.resize((size, size), resampling))


#: the kernel that is :func:`gaussian`
LATTICE_KERNEL = "scikit-image"


@dataclass(frozen=True)
class _Lattice:
    """Where one axis of the resized image takes its values: place ``i`` at ``scale * i + offset`` of the source."""

    scale: float
    offset: float


#: By edge of the source and of the result: the lattices of rows and columns. scikit-image 0.15 to 0.18 estimated the
#: matrix by an SVD, so the published one is off the exact values, 1024 / 28 and 1024 / 56 - 1 / 2, by 1 (scale), 78
#: (rows) and 46 (columns) units in the last place. They decide 304 ties on the one published image compared, and
#: were fitted there: with them all its 784 pixels are equal, with the exact values 767, with the matrices that
#: scikit-image gets on other machines 753 to 771.
PUBLISHED_LATTICES = {
    (1024, 28): (
        _Lattice(float.fromhex("0x1.2492492492491p+5"), float.fromhex("0x1.1c924924924e0p+4")),
        _Lattice(float.fromhex("0x1.2492492492491p+5"), float.fromhex("0x1.1c924924924c0p+4")),
    )
}


def gaussian(image: Pixels, size: int) -> Pixels:
    """The antialiased resize of scikit-image 0.15 to 0.18 on uint8: what made ChestMNIST 28.

    A Gaussian of (scale - 1) / 2 source pixels whose result is cut to whole levels after each axis, bilinear
    interpolation at the centres of the new pixels, cut once more. An axis that grows is not blurred, and what lies
    beyond an edge is mirrored. The formula is that of the library's source, whose Gaussian is scipy's; see
    :data:`PUBLISHED_LATTICES` for what of it was measured.
    """
    height, width = image.shape[:2]
    lattices = PUBLISHED_LATTICES.get((height, size)) if height == width else None
    if lattices is None:
        down, across = height / size, width / size
        lattices = (_Lattice(down, down / 2 - 0.5), _Lattice(across, across / 2 - 0.5))
    channels = image.reshape(height, width, -1)
    rows, columns = _Lines(lattices[0], size, height), _Lines(lattices[1], size, width)
    blurred = _blur(channels, (height / size - 1) / 2, rows.used)
    blurred = _blur(blurred.swapaxes(0, 1), (width / size - 1) / 2, columns.used).swapaxes(0, 1)
    levels = blurred * (1.0 / 255)
    down_by, across_by = rows.fraction[:, None, None], columns.fraction[:, None]
    above, below = levels[rows.before], levels[rows.after]
    upper = (1 - across_by) * above[:, columns.before] + across_by * above[:, columns.after]
    lower = (1 - across_by) * below[:, columns.before] + across_by * below[:, columns.after]
    whole: Pixels = (((1 - down_by) * upper + down_by * lower) * 255).astype(np.uint8)
    return whole.reshape(size, size, *image.shape[2:])


class _Lines:
    """The lines of one axis that interpolation uses.

    Attributes:
        used: the source's lines, each once.
        before: where in ``used`` the line before each place of the result is.
        after: the same of the line after it.
        fraction: how far each place is from the one to the other.
    """

    def __init__(self, lattice: _Lattice, size: int, extent: int) -> None:
        places = lattice.scale * np.arange(size) + lattice.offset
        before = np.floor(places).astype(np.int64)
        self.fraction = places - before
        self.used, found = np.unique(_mirrored(np.stack([before, before + 1]), extent), return_inverse=True)
        self.before, self.after = found.reshape(2, -1)


def _mirrored(lines: NDArray[np.int64], extent: int) -> NDArray[np.int64]:
    """Lines beyond an edge as those before it, the edge itself not repeated."""
    period = max(2 * (extent - 1), 1)
    lines = np.abs(lines) % period
    return np.minimum(lines, period - lines) if extent > 1 else lines


def _blur(image: Pixels, sigma: float, lines: NDArray[np.int64]) -> Pixels:
    """``scipy.ndimage.gaussian_filter1d(image, sigma, axis=0, mode="mirror")[lines]``, to the byte.

    The same sums in the same order, at the lines that are used instead of all: scipy takes twenty times as long
    for ChestMNIST. Products are rounded before they are added, so that a compiler that fuses the two changes nothing.
    """
    if sigma <= 0:
        return image[lines]
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    weights /= weights.sum()
    values = image.astype(np.float64)
    total = values[lines] * weights[radius]
    for step in range(radius, 0, -1):
        pair = values[_mirrored(lines - step, len(image))] + values[_mirrored(lines + step, len(image))]
        pair *= weights[radius - step]
        total += pair
    blurred: Pixels = total.astype(np.uint8)
    return blurred


_JPEG = re.compile(r"q(?P<quality>\d+)(-ijg-(?P<version>\w+))?( (?P<times>twice|(?P<count>\d+) times))?")


def jpeg(image: Pixels, jpeg: str) -> Pixels:
    """Save as JPEG and read again, once or several times: the trace that saving small images under a .jpg name left.

    ``none`` returns the image; ``q75`` is Pillow's default save (quality 75, 4:2:0); ``q75 twice`` and
    ``q75 3 times`` repeat it; ``q75-ijg-9b`` is the same by IJG libjpeg 9b, which scales chroma differently
    and so gives other colours.
    """
    if jpeg == "none":
        return image
    said = _JPEG.fullmatch(jpeg)
    if said is None:
        raise ValueError(f"jpeg: {jpeg!r}")
    quality, version = int(said["quality"]), said["version"]
    for _ in range(int(said["count"] or 2) if said["times"] else 1):
        image = ijg.round_trip(image, quality, version) if version else _round_trip(image, quality)
    return image


def _round_trip(image: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
