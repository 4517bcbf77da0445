"""Steps for 2D pictures. Arrays are uint8, (H, W) gray or (H, W, 3) RGB."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from preprocess.errors import UnreadableError
from preprocess.steps import ijg

Pixels = NDArray[np.uint8]

#: Pillow modes that lose nothing a dataset keeps; alpha is dropped, as every known pipeline does
_TO_GRAY = {"1", "L", "LA", "La"}
_TO_RGB = {"P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr"}


def decode(data: bytes, decoder: str) -> Pixels:
    """Decode one image file.

    Bilevel and gray stay gray; palette, CMYK and YCbCr become RGB by Pillow's conversion; alpha is
    dropped. EXIF orientation is not applied: no published pipeline is known to apply it.

    Args:
        data: the file's bytes.
        decoder: the decision of that name; it concerns JPEG files only.

    Raises:
        UnreadableError: damaged or truncated, or deeper than 8 bits (no rule says how to reduce it).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # faulty TIFF headers are common and harmless
            image = Image.open(io.BytesIO(data))
            if image.mode in _TO_GRAY:
                return np.asarray(image.convert("L"))
            if image.mode in _TO_RGB:
                pixels = np.asarray(image.convert("RGB"))
                # Pillow has read the whole file by now: what follows may not meet a damaged one
                if decoder.startswith("ijg-") and image.format == "JPEG" and image.mode == "RGB":
                    return ijg.decode(data, decoder.removeprefix("ijg-"))
                return pixels
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError(f"cannot be decoded ({error})") from error
    raise UnreadableError(f"has pixels of mode {image.mode}; only 8-bit images are known to this source")


#: where Pillow keeps what a PNG's header says of its orientation
_EXIF_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}


def describe(data: bytes) -> str:
    """Format, mode and size of an image file from its header, and its EXIF orientation where it has one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            # asking a PNG whose header has no EXIF would decode the whole picture; one after the pixels is not seen
            tags = image.getexif() if image.format != "PNG" or not _EXIF_KEYS.isdisjoint(image.info) else {}
            rotation = tags.get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return "not an image"
    text = f"{image.format} {image.mode} {image.width}x{image.height}"
    return text if rotation == 1 else f"{text} EXIF orientation {rotation}"


def gray(image: Pixels, gray: str) -> Pixels:
    """Reduce RGB to gray; a gray image stays as it is.

    ``luma`` is Pillow's rounded ITU-R 601-2; ``libpng`` is ``(9798 R + 19235 G + 3735 B) >> 15``, and R
    where all three are equal: what OpenCV reads from a PNG, exact on BreastMNIST 28.
    """
    if image.ndim == 2:
        return image
    if gray == "luma":
        return np.asarray(Image.fromarray(image).convert("L"))
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
    resampling = Image.Resampling[kernel.upper()]
    picture = Image.fromarray(np.ascontiguousarray(image))
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
