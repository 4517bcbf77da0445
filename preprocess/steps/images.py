"""Steps for 2D pictures. Arrays are uint8, (H, W) gray or (H, W, 3) RGB."""

from __future__ import annotations

import io

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


class _Twins:
    """One array and the Pillow image of the same pixels, the last that were asked for.

    An array is resized to every size, and Pillow cannot look at colour without copying it.
    """

    def __init__(self) -> None:
        self._array: Pixels | None = None
        self._image: Image.Image | None = None

    def image(self, array: Pixels) -> Image.Image:
        if self._image is None or array is not self._array:
            self._array, self._image = array, Image.fromarray(np.ascontiguousarray(array))
        return self._image

    def array(self, image: Image.Image) -> Pixels:
        self._array, self._image = np.asarray(image), image
        return self._array


_TWINS = _Twins()


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
        return _TWINS.array(picture.converted("L"))
    if mode not in _TO_RGB:
        raise UnreadableError(f"has pixels of mode {mode}; only 8-bit images are known to this source")
    image = picture.converted("RGB")
    # Pillow has read the whole file by now: what follows may not meet a damaged one
    if decoder.startswith("ijg-") and picture.format == "JPEG" and mode == "RGB":
        return ijg.decode(picture.data, decoder.removeprefix("ijg-"))
    return _TWINS.array(image)


def gray(image: Pixels, gray: str) -> Pixels:
    """Reduce RGB to gray; a gray image stays as it is.

    ``luma`` is Pillow's rounded ITU-R 601-2; ``libpng`` is ``(9798 R + 19235 G + 3735 B) >> 15``, and R
    where all three are equal: what OpenCV reads from a PNG, exact on BreastMNIST 28.
    """
    if image.ndim == 2:
        return image
    if gray == "luma":
        return _TWINS.array(_TWINS.image(image).convert("L"))
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
    """Resize to ``size`` x ``size`` with Pillow's antialiased filter, horizontally first.

    Two calls fix the order of the passes, which Pillow 13 chooses by the shape and earlier versions
    do not; the intermediate is 8-bit in both, so square images are the same in all versions.
    """
    if image.shape[:2] == (size, size):
        return image
    resampling = Image.Resampling[kernel.upper()]
    picture = _TWINS.image(image)
    if picture.width != picture.height:
        picture = picture.resize((size, picture.height), resampling)
    return np.asarray(picture.resize((size, size), resampling))


def jpeg(image: Pixels, jpeg: str) -> Pixels:
    """Save as JPEG and read again: the trace that saving small images under a .jpg name left.

    ``none`` returns the image; ``q75`` is Pillow's default save (quality 75, 4:2:0); ``q75-ijg-9b`` the
    same by IJG libjpeg 9b, which scales chroma differently and so gives other colours.
    """
    if jpeg == "none":
        return image
    quality, _, library = jpeg.removeprefix("q").partition("-")
    if library:
        return ijg.round_trip(image, int(quality), library.removeprefix("ijg-"))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(quality))
    return np.asarray(Image.open(buffer))
