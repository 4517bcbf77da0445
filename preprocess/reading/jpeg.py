"""Whether a JPEG's data are whole: libjpeg goes on over corrupt data and warns, and Pillow drops its warnings.

The data are decoded once more by simplejpeg, which uses the same libjpeg-turbo and takes a warning for an error:
at an eighth of the size and in gray, so that little more than the entropy coding is undone. A hole, a dropped
stretch and an early end marker are found. Bits that changed into other valid codes are not: a JPEG has no checksum.

A hole of zeros, which a download that was broken off leaves, may decode to as many blocks as were there, and libjpeg
has nothing to say. It is found by what it decodes to: whole blocks of one coefficient again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from preprocess.errors import told

if TYPE_CHECKING:
    from PIL import Image

#: TIFF tags: how strips are packed, the tables they share, where strips or tiles lie, and their lengths
_COMPRESSION, _TABLES = 259, 347
_PLACES = ((273, 279), (324, 325))
#: TIFF's number of JPEG compression
JPEG_IN_TIFF = 7
#: zeros in a row that are two blocks at least
_HOLE = 64


def damage(data: bytes) -> str:
    """What speaks against a JPEG file's data; empty where nothing does."""
    import simplejpeg

    try:
        colours = simplejpeg.decode_jpeg_header(data)[2]
        mode = "CMYK" if colours in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(data, mode, fastdct=True, fastupsample=True, min_factor=8, strict=True)
    except ValueError as error:
        return f"libjpeg says {told(error)}"
    return f"{_HOLE} or more bytes of its data in a row are zeros" if _has_hole(data) else ""


def _has_hole(data: bytes) -> bool:
    """Whether zeros stand where no encoder puts them: in a baseline JPEG's data, many in a row.

    They are one code again and again, the first of each table. Where that of a table of coefficients means another
    thing than the end of a block, they are blocks of nothing but one coefficient, one after another.
    """
    place, is_baseline, is_strange = 2, False, False
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        kind, end = data[place + 1], place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if kind == 0xDA:  # the data
            stop = data.find(b"\xff\xd9", end)
            return is_baseline and is_strange and data.find(bytes(_HOLE), end, stop if stop > 0 else None) >= 0
        is_baseline |= kind in (0xC0, 0xC1)
        at = place + 4
        while kind == 0xC4 and at + 17 < end:  # tables: class and number, how many codes of each length, their meanings
            is_strange |= data[at] >> 4 == 1 and data[at + 17] != 0
            at += 17 + sum(data[at + 1 : at + 17])
        place = end
    return False


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
