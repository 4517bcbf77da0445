"""Steps for 2D pictures. Arrays are uint8, (H, W) gray or (H, W, 3) RGB."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

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
    dropped. EXIF orientation is not applied: no published pipeline is known to apply it.

    Args:
        picture: the file.
        decoder: the decision of that name; it concerns JPEG files only.

    Raises:
        UnreadableError: damaged or truncated, or deeper than 8 bits (no rule says how to reduce it).
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
    """Resize to ``size`` x ``size`` with Pillow's antialiased filter, horizontally first, or by :func:`gaussian`.

    Two calls fix the order of the passes, which Pillow 13 chooses by the shape and earlier versions
    do not; the intermediate is 8-bit in both, so square images are the same in all versions.
    """
    if image.shape[:2] == (size, size):
        return image
    if kernel == LATTICE_KERNEL:
        return gaussian(image, size)
    resampling = Image.Resampling[kernel.upper()]
    picture = _TWINS.image(image)
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
    """The antialiased resize of scikit-image 0.15 to 0.18 on uint8, by scipy: what made ChestMNIST 28.

    A Gaussian of (scale - 1) / 2 source pixels whose result is cut to whole levels after each axis, bilinear
    interpolation at the centres of the new pixels, cut once more. An axis that grows is not blurred, and what lies
    beyond an edge is mirrored. The formula is that of the library's source; see :data:`PUBLISHED_LATTICES` for what
    of it was measured. scipy 1.5 and 1.17 give the same bytes.
    """
    from scipy import ndimage

    lattices = PUBLISHED_LATTICES.get((image.shape[0], size)) if image.shape[0] == image.shape[1] else None
    if lattices is None:
        scales = [extent / size for extent in image.shape[:2]]
        lattices = (_Lattice(scales[0], scales[0] / 2 - 0.5), _Lattice(scales[1], scales[1] / 2 - 0.5))
    sigmas = [max(0.0, (extent / size - 1) / 2) for extent in image.shape[:2]] + [0.0] * (image.ndim - 2)
    blurred = ndimage.gaussian_filter(image, sigmas, mode="mirror") * (1.0 / 255)
    (above, below, down), (left, right, across) = (
        _between(lattice, size, extent) for lattice, extent in zip(lattices, image.shape)
    )
    down = down.reshape(-1, 1, *[1] * (image.ndim - 2))
    across = across.reshape(1, -1, *[1] * (image.ndim - 2))
    upper = (1 - across) * blurred[np.ix_(above, left)] + across * blurred[np.ix_(above, right)]
    lower = (1 - across) * blurred[np.ix_(below, left)] + across * blurred[np.ix_(below, right)]
    whole: Pixels = (((1 - down) * upper + down * lower) * 255).astype(np.uint8)
    return whole


def _between(
    lattice: _Lattice, size: int, extent: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The source pixels before and after each place of an axis, and how far it is from the one to the other."""
    places = lattice.scale * np.arange(size) + lattice.offset
    before = np.floor(places).astype(np.int64)
    first, second = (
        np.clip(extent - 1 - np.abs(extent - 1 - np.abs(one)), 0, None) for one in (before, before + 1)
    )  # fmt: skip
    return first, second, places - before


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
