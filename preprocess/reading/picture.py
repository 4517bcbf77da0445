"""Image files as sources open them: the bytes, and a header that is parsed once however many ask for it.

The same holds for every format. Pixels are taken as stored: an orientation that the file names, in EXIF or in
TIFF's own tag, is reported and not applied, as no published pipeline is known to have applied it. Refused are more
than 8 bits a channel and signed or floating numbers (no rule says how to reduce them), several pictures in one
file, JPEG data that libjpeg calls corrupt, also within TIFF, and a small file of very many pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from preprocess.errors import UnreadableError, told
from preprocess.reading import jpeg
from preprocess.reading.archives import MAX_FREE_SIZE, MAX_RATIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

#: what raw pictures come in; Pillow's other readers are not offered files nobody vouches for
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
#: where Pillow keeps what a file says of its orientation, TIFF aside
_EXIF_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}
#: TIFF tags: bits a channel, orientation, and the kind of numbers, of which 1 is unsigned and 4 is not told
_BITS, _ORIENTATION, _NUMBERS = 258, 274, 339
#: Pillow's transposition that undoes a turn, by orientation; the two quarter turns are each other's
_UNDO = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
#: what Pillow and tifffile let through where a header or the data hold nonsense
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    RuntimeError, MemoryError, AssertionError, ArithmeticError, struct.error, zlib.error,
)  # fmt: skip


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
        """Width and height in pixels as stored, by the header; None where it cannot be read."""
        try:
            width, height = self._image.size
            # Pillow turns TIFF, and so its size
            return (height, width) if self._tiff_orientation >= 5 else (width, height)
        except UnreadableError:
            return None

    @cached_property
    def _tiff_orientation(self) -> int:
        """The orientation by which Pillow turns the picture as it loads it: TIFF's own tag; 1 where it does not."""
        tags: Any = getattr(self._image, "tag_v2", {})
        value = tags.get(_ORIENTATION, 1) if self._image.format == "TIFF" else 1
        return value if isinstance(value, int) and 1 <= value <= 8 else 1

    @property
    def bits(self) -> int:
        """Bits a channel as the file stores them. Raises UnreadableError: no image file."""
        image = self._image
        if image.format == "PNG":
            return self.data[24]  # of IHDR, which is the first chunk
        tags: Any = getattr(image, "tag_v2", {})
        found = tags.get(_BITS, 8) if image.format == "TIFF" else 8
        return int(max(found)) if isinstance(found, tuple) else int(found)

    @property
    def form(self) -> str:
        """Format, mode and size in words, and the EXIF orientation where the file has one: ``PNG RGB 562x471``.

        What follows a PNG's pixels is seen once they have been decoded, and costs no decoding here.
        """
        from PIL import ExifTags

        try:
            image = self._image
            rotation = self._tiff_orientation
            with _reading():
                if image.format != "TIFF" and not _EXIF_KEYS.isdisjoint(image.info):
                    rotation = image.getexif().get(ExifTags.Base.Orientation, 1)
        except UnreadableError:
            return "not an image"
        width, height = self.extent or (0, 0)
        text = f"{image.format} {image.mode} {width}x{height}"
        return text if rotation == 1 else f"{text} EXIF orientation {rotation}"

    def traits(self) -> dict[str, str]:
        """What the header says, for a census of files: format, mode, bits, width, height, frames, orientation.

        Raises:
            UnreadableError: no image file.
        """
        width, height = self.extent or (0, 0)
        words = self.form.split(" EXIF orientation ")
        with _reading():
            frames = getattr(self._image, "n_frames", 1)
        return {
            "format": self.format or "none", "mode": self.mode, "bits a channel": str(self.bits), "width": str(width),
            "height": str(height), "frames": str(frames), "orientation": words[1] if len(words) > 1 else "1",
        }  # fmt: skip

    def decode_all(self) -> None:
        """Decode every frame, of any depth, to see whether all of it is there.

        Raises:
            UnreadableError: damaged or truncated.
        """
        with _reading():
            frames = getattr(self._image, "n_frames", 1)
        if frames == 1 and self.bits <= 8:
            self.converted(self.mode)
            return
        with _reading():
            for frame in range(frames):
                self._image.seek(frame)
                self._image.load()

    def values(self) -> NDArray[Any]:
        """The numbers of a gray picture of more than 8 bits as stored, nothing turned: (H, W).

        Raises:
            UnreadableError: damaged or truncated, of several pictures, colour, or of more than 16 bits.
        """
        import numpy as np

        image = self._image
        self._refuse(deep=True)
        if self.bits > 16 or not image.mode.startswith("I"):
            raise UnreadableError(
                f"has {self.bits} bits a channel of mode {image.mode}; known are up to 16 bits of gray"
            )
        orientation = self._tiff_orientation
        with _reading():
            image.load()
            turned = image if orientation == 1 else image.transpose(_transpose(_UNDO[orientation]))
        if image.format == "PNG" and (chunk := _wrong_chunk(self.data)):
            raise UnreadableError(f"is damaged: the checksum of its chunk {chunk} is wrong")
        return np.asarray(turned)

    def sha256(self) -> str:
        """Digest of the file's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def converted(self, mode: str) -> Image.Image:
        """Decode the whole picture, in Pillow's ``mode``; not to be changed.

        Raises:
            UnreadableError: damaged or truncated, or one of what this module refuses.
        """
        return self._stored if self._stored.mode == mode else self._stored.convert(mode)

    @cached_property
    def array(self) -> NDArray[np.uint8] | None:
        """The pixels in the mode of the file, (H, W) or (H, W, 3), where no Pillow image was needed to decode them.

        So with most JPEGs; None with everything else. Not to be changed.

        Raises:
            UnreadableError: one of what this module refuses.
        """
        image = self._image
        if image.format != "JPEG":
            return None
        self._refuse()
        return jpeg.decoded(self.data, image.mode, image.size)

    @cached_property
    def _stored(self) -> Image.Image:
        """The picture as stored, all of it decoded and nothing turned."""
        from PIL import Image

        if self.array is not None:
            return Image.fromarray(self.array)
        image = self._image
        orientation = self._tiff_orientation  # before it is loaded: Pillow forgets the tag then
        self._refuse()
        with _reading():
            image.load()
            turned = image if orientation == 1 else image.transpose(_transpose(_UNDO[orientation]))
        if image.format == "PNG" and (chunk := _wrong_chunk(self.data)):
            raise UnreadableError(f"is damaged: the checksum of its chunk {chunk} is wrong")
        # Pillow has told what it can tell of a damaged file by now
        damage = jpeg.damage(self.data) if image.format == "JPEG" else jpeg.damage_in_tiff(self.data, image)
        if damage:
            raise UnreadableError(f"is damaged: {damage}")
        return turned

    def _refuse(self, deep: bool = False) -> None:
        """Refuse what this module has no rule for; ``deep`` for what only :meth:`values` reads."""
        image = self._image
        if self.bits > 8 and not deep:
            raise UnreadableError(f"has {self.bits} bits a channel; only 8-bit images are known to this source")
        with _reading():
            pages = getattr(image, "n_frames", 1)
            tags: Any = getattr(image, "tag_v2", {})
            numbers = tags.get(_NUMBERS, 1) if image.format == "TIFF" else 1
        if pages > 1:
            raise UnreadableError(f"holds {pages} pictures; nothing says which of them is the sample")
        if not {1, 4}.issuperset(numbers if isinstance(numbers, tuple) else (numbers,)):
            raise UnreadableError("holds signed or floating numbers; only 8-bit images are known to this source")
        size = image.width * image.height * len(image.getbands()) * (2 if deep else 1)
        if size > MAX_FREE_SIZE and size > MAX_RATIO * len(self.data):
            raise UnreadableError(
                f"would grow from {len(self.data):,} bytes to {size:,} of pixels; no picture, refused"
            )


def _wrong_chunk(data: bytes) -> str:
    """The first chunk of a PNG whose CRC is wrong, of those pixels depend on; Pillow skips the CRC of the pixels."""
    place = 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        # an upper case first letter says that the picture cannot do without it
        if kind[:1].isupper() and zlib.crc32(memoryview(data)[place + 4 : end]) != int.from_bytes(
            data[end : end + 4], "big"
        ):
            return kind.decode("latin-1")
        if kind == b"IEND":
            return ""
        place = end + 4
    return "IEND"


def _transpose(method: int) -> Image.Transpose:
    from PIL import Image

    return Image.Transpose(method)


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turn what Pillow raises on damaged files into one error."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # it would refuse good slices of 200 megapixels; this module has a limit of its own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # faulty TIFF headers are common and harmless
            yield
    except DAMAGE as error:
        raise UnreadableError(f"cannot be decoded ({told(error) or type(error).__name__})") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
