"""Whether a JPEG's data are whole: libjpeg goes on over corrupt data and warns, and Pillow drops its warnings.

The data are decoded once more by simplejpeg, which uses the same libjpeg-turbo and takes a warning for an error:
at an eighth of the size and in gray, so that little more than the entropy coding is undone. A hole, a dropped
stretch and an early end marker are found. Bits that changed into other valid codes are not: a JPEG has no checksum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preprocess.errors import told

if TYPE_CHECKING:
    from PIL import Image

#: TIFF tags: how strips are packed, the tables they share, where strips or tiles lie, and their lengths
_COMPRESSION, _TABLES = 259, 347
_PLACES = ((273, 279), (324, 325))
_JPEG = 7


def damage(data: bytes) -> str:
    """What libjpeg says against a JPEG file's data; empty where it has nothing to say."""
    import simplejpeg

    try:
        colours = simplejpeg.decode_jpeg_header(data)[2]
        mode = "CMYK" if colours in ("CMYK", "YCCK") else "GRAY"
        simplejpeg.decode_jpeg(data, mode, fastdct=True, fastupsample=True, min_factor=8, strict=True)
    except ValueError as error:
        return told(error)
    return ""


def damage_in_tiff(data: bytes, image: Image.Image) -> str:
    """The same for the JPEG strips or tiles of a TIFF file's first picture; empty where it has none."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(_COMPRESSION) != _JPEG:
        return ""
    tables = tags.get(_TABLES, b"")
    for starts, lengths in _PLACES:
        for start, length in zip(tags.get(starts, ()), tags.get(lengths, ())):
            part = data[start : start + length]
            # the tables are a JPEG without a picture: its end marker and the part's start marker go
            if found := damage(tables[:-2] + part[2:] if tables else part):
                return found
    return ""
