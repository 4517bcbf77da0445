"""Image files as sources open them: the bytes, and a header that is parsed once however many ask for it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from preprocess.errors import UnreadableError

if TYPE_CHECKING:
    from PIL import Image

#: what raw pictures come in; Pillow's other readers are not offered files nobody vouches for
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
#: where Pillow keeps what a PNG says of its orientation
_EXIF_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}


@dataclass(frozen=True)
class Picture:
    """One image file: PNG, JPEG, TIFF or BMP."""

    data: bytes = field(repr=False)

    @cached_property
    def _image(self) -> Image.Image:
        from PIL import Image  # here: a list of sources needs no Pillow

        with _reading():
            return Image.open(io.BytesIO(self.data), formats=FORMATS)

    @property
    def format(self) -> str | None:
        """Pillow's name of the format. Raises UnreadableError: no image file."""
        return self._image.format

    @property
    def mode(self) -> str:
        """Pillow's mode of the pixels. Raises UnreadableError: no image file."""
        return self._image.mode

    @property
    def extent(self) -> tuple[int, int] | None:
        """Width and height in pixels as the header states them; None where it cannot be read."""
        try:
            return self._image.size
        except UnreadableError:
            return None

    @property
    def form(self) -> str:
        """Format, mode and size in words, and the EXIF orientation where the file has one: ``PNG RGB 562x471``.

        What follows a PNG's pixels is seen once they have been decoded, and costs no decoding here.
        """
        from PIL import ExifTags

        try:
            image = self._image
            with _reading():
                tags = image.getexif() if image.format != "PNG" or not _EXIF_KEYS.isdisjoint(image.info) else {}
                rotation = tags.get(ExifTags.Base.Orientation, 1)
        except UnreadableError:
            return "not an image"
        text = f"{image.format} {image.mode} {image.width}x{image.height}"
        return text if rotation == 1 else f"{text} EXIF orientation {rotation}"

    def sha256(self) -> str:
        """Digest of the file's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def converted(self, mode: str) -> Image.Image:
        """Decode the whole picture, in Pillow's ``mode``; not to be changed.

        Raises:
            UnreadableError: damaged or truncated.
        """
        image = self._image
        with _reading():
            image.load()
            return image if image.mode == mode else image.convert(mode)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turn what Pillow raises on damaged files into one error."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # faulty TIFF headers are common and harmless
            yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError(f"cannot be decoded ({error})") from error
