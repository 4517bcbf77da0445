"""JPEG by libjpeg-turbo with nothing let through: libjpeg goes on over corrupt data and warns, and Pillow drops that.

simplejpeg uses the same library and takes a warning for an error. A hole, a dropped stretch and an early end marker
are found. Bits that changed into other valid codes are not: a JPEG has no checksum. A hole of zeros, which a download
that was broken off leaves, may decode to as many blocks as were there, and libjpeg has nothing to say. It is found by
what it decodes to: whole blocks of one coefficient again and again.

The pixels of a recipe are Pillow's. Pillow and simplejpeg bring a libjpeg-turbo each, and decode alike only while the
two are of one mind: versions have differed in how they blow up chroma and smooth unfinished scans. So a process
decodes a picture of its own of each kind with both before it trusts the second with that kind (:func:`_is_alike`);
where a pixel differs, and for the kinds that are not listed (CMYK, RGB as it is, odd sampling, lossless, arithmetic
coding), Pillow decodes, and :func:`damage` undoes the entropy coding once more at an eighth of the size and in gray.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from preprocess.errors import UnreadableError, told

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

#: TIFF tags: how strips are packed, the tables they share, where strips or tiles lie, and their lengths
_COMPRESSION, _TABLES = 259, 347
_PLACES = ((273, 279), (324, 325))
#: TIFF's number of JPEG compression
JPEG_IN_TIFF = 7
#: zeros in a row that are two blocks at least
_HOLE = 64
#: start of a frame, by how it is coded: Huffman codes in one go, and in scans that follow each other
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), (0xC2,)
_SCAN = 0xDA
#: Pillow's mode by the colours that a file stores; the other colours are left to Pillow
_MODES = {"Gray": "L", "YCbCr": "RGB"}
#: what simplejpeg calls the modes
_NAMES = {"L": "GRAY", "RGB": "RGB"}
#: what Pillow calls the sampling of chroma that it can write in scans, by simplejpeg's name
_PROGRESSIVE_SAMPLING = {"Gray": -1, "444": 0, "422": 1, "420": 2}


def decoded(data: bytes, mode: str, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """The pixels of a whole JPEG as Pillow decodes them, by one decoding that also sees damage.

    Args:
        data: the file.
        mode: Pillow's mode of the picture.
        size: its width and height by Pillow.

    Returns:
        uint8 (H, W) where the mode is ``L``, (H, W, 3) where it is ``RGB``. None where Pillow has to decode, and to
        say what is wrong: a rare kind, a damaged file.
    """
    try:
        colours, sampling = _header(data)
        is_progressive = _is_progressive(data)
        if _MODES.get(colours) != mode or is_progressive is None or not _is_alike(mode, sampling, is_progressive):
            return None
        pixels = _strict(data, mode)
    except (ValueError, UnreadableError):
        return None
    return pixels if pixels.shape[1::-1] == size and not _has_hole(data) else None


def _header(data: bytes) -> tuple[str, str]:
    """What colours a file stores, and how its chroma is sampled.

    Raises:
        ValueError: no header, or a damaged one.
        UnreadableError: sampled as TurboJPEG has no name for.
    """
    import simplejpeg

    try:
        _, _, colours, sampling = simplejpeg.decode_jpeg_header(data)
    except KeyError:  # a name that simplejpeg does not know
        sampling = None
    except ValueError as error:
        if "subsampling" not in str(error):
            raise
        sampling = None
    if sampling is None:
        raise UnreadableError(
            "samples its colours in a rare way, in which damage could not be seen; save it as a PNG to use it"
        )
    return colours, sampling


def _strict(data: bytes, mode: str) -> NDArray[np.uint8]:
    """Decode as Pillow does: the slow transform, chroma interpolated. Raises ValueError where libjpeg warns."""
    import simplejpeg

    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, _NAMES[mode], fastdct=False, fastupsample=False, strict=True
    )
    return pixels[..., 0] if mode == "L" else pixels


@cache
def _is_alike(mode: str, sampling: str, is_progressive: bool) -> bool:
    """Whether simplejpeg decodes JPEGs of a kind to the pixels that Pillow decodes them to, seen on made-up ones."""
    import numpy as np
    from PIL import Image

    try:
        return all(
            np.array_equal(_strict(data, mode), np.asarray(Image.open(io.BytesIO(data))))
            for data in _made_up(mode, sampling, is_progressive)
        )
    except (ValueError, KeyError, OSError):  # one of the two cannot read or write the kind
        return False


def _made_up(mode: str, sampling: str, is_progressive: bool) -> Iterator[bytes]:
    """Pictures of waves and noise, in a size that fills no block and no register of the processor.

    Raises KeyError: nothing here writes the kind.
    """
    import numpy as np
    import simplejpeg
    from PIL import Image

    rows, columns = np.ogrid[:75, :107]
    waves = np.stack([128 + 60 * np.sin(rows / (5 + k)) * np.cos(columns / (3 + k)) for k in range(3)], axis=2)
    noise = (rows[..., None] * 7919 + columns[..., None] * 104729 + np.arange(3) * 613) ** 2 % 131
    picture = (waves + noise - 65).clip(0, 255).astype(np.uint8)
    picture = np.ascontiguousarray(picture[..., :1]) if mode == "L" else picture
    if not is_progressive:
        yield simplejpeg.encode_jpeg(picture, 85, _NAMES[mode], sampling)
        return
    buffer = io.BytesIO()
    image = Image.fromarray(picture[..., 0] if mode == "L" else picture)
    image.save(buffer, "JPEG", quality=85, progressive=True, subsampling=_PROGRESSIVE_SAMPLING[sampling])
    yield buffer.getvalue()
    # without its last scan, which a file may lack and libjpeg smooths over
    yield buffer.getvalue().rpartition(b"\xff\xda")[0] + b"\xff\xd9"


def damage(data: bytes) -> str:
    """What speaks against a JPEG file's data; empty where nothing does.

    Raises:
        UnreadableError: its chroma is sampled as in no JPEG that can be checked, damaged or not.
    """
    import simplejpeg

    try:
        colours = _header(data)[0]
        mode = "CMYK" if colours in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(data, mode, fastdct=True, fastupsample=True, min_factor=8, strict=True)
    except ValueError as error:
        return f"libjpeg says {told(error)}"
    return f"{_HOLE} or more bytes of its data in a row are zeros" if _has_hole(data) else ""


def _has_hole(data: bytes) -> bool:
    """Whether zeros stand where no encoder puts them: in the data of a JPEG of one scan, many in a row.

    They are one code again and again, the first of each table. Where that of a table of coefficients means another
    thing than the end of a block, they are blocks of nothing but one coefficient, one after another.
    """
    is_sequential, is_strange = False, False
    for kind, start, end in _segments(data):
        if kind == _SCAN:
            if not (is_sequential and is_strange) or (hole := data.find(bytes(_HOLE), end)) < 0:
                return False
            stop = data.find(b"\xff\xd9", end, hole + _HOLE)  # what follows the picture may be zeros
            return stop < 0
        is_sequential |= kind in _SEQUENTIAL
        while kind == 0xC4 and start + 17 < end:  # tables: class and number, codes of each length, their meanings
            is_strange |= data[start] >> 4 == 1 and data[start + 17] != 0
            start += 17 + sum(data[start + 1 : start + 17])
    return False


def _is_progressive(data: bytes) -> bool | None:
    """Whether the picture comes in scans that refine each other; None where it is coded in a rare way."""
    kinds = {kind for kind, _, _ in _segments(data)}
    return not kinds.isdisjoint(_PROGRESSIVE) if not kinds.isdisjoint(_SEQUENTIAL + _PROGRESSIVE) else None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The segments of a JPEG up to its first scan, which is the last told: kind, where the content begins and ends."""
    place = 2
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        kind, end = data[place + 1], place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        yield kind, place + 4, end
        if kind == _SCAN:
            return
        place = end


def damage_in_tiff(data: bytes, image: Image.Image) -> str:
    """The same for the JPEG strips or tiles of a TIFF file's first picture; empty where it has none."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(_COMPRESSION) != JPEG_IN_TIFF:
        return ""
    places = [place for names in _PLACES for place in zip(*(tags.get(name, ()) for name in names))]
    return damage_in_parts(data, tags.get(_TABLES, b""), places)


def damage_in_parts(data: bytes, tables: bytes, places: Iterable[tuple[int, int]]) -> str:
    """The same for JPEG strips or tiles of a file.

    Args:
        data: the file.
        tables: those that its strips share, a JPEG without a picture; may be empty.
        places: start and length of each strip in bytes.
    """
    for start, length in places:
        part = data[start : start + length]
        # the end marker of the tables and the part's start marker go
        if found := damage(tables[:-2] + part[2:] if tables else part):
            return found
    return ""
