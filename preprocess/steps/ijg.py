"""JPEG by the Independent JPEG Group's libjpeg, in a named version.

Versions 7 to 9d scale chroma by DCT where libjpeg-turbo and 6b interpolate, so colours differ. The
package jpeglib runs each version; it works on files, and its library ends the process on
a damaged one, so callers pass only what another decoder has read whole.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError


def decode(data: bytes, version: str) -> NDArray[np.uint8]:
    """Decode an undamaged colour JPEG to (H, W, 3) by libjpeg ``version``, such as ``9b``."""
    jpeglib = _jpeglib()
    with tempfile.TemporaryDirectory() as folder, jpeglib.version(version):
        path = Path(folder) / "image.jpg"
        path.write_bytes(data)
        return np.ascontiguousarray(jpeglib.read_spatial(path).spatial)


def round_trip(image: NDArray[np.uint8], quality: int, version: str) -> NDArray[np.uint8]:
    """Save ``image``, (H, W) or (H, W, 3), as JPEG (colour 4:2:0) by libjpeg ``version`` and read it again."""
    jpeglib = _jpeglib()
    channels = image if image.ndim == 3 else image[..., None]
    with tempfile.TemporaryDirectory() as folder, jpeglib.version(version):
        path = Path(folder) / "image.jpg"
        encoder = jpeglib.from_spatial(np.ascontiguousarray(channels))
        if image.ndim == 3:
            encoder.samp_factor = ((2, 2), (1, 1), (1, 1))
        encoder.write_spatial(str(path), qt=quality)
        return np.ascontiguousarray(jpeglib.read_spatial(path).spatial).reshape(image.shape)


def _jpeglib() -> Any:
    try:
        import jpeglib
    except ImportError as error:
        raise PreprocessError("this decision needs the package jpeglib: pip install jpeglib") from error
    return jpeglib
