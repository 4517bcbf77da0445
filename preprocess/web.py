"""What all generated pages share: the templates' environment, and pictures embedded in a page."""

from __future__ import annotations

import base64
import io
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from preprocess.decisions import shown

if TYPE_CHECKING:
    import jinja2

#: zlib's strategy that looks for runs alone: what PNG's filters leave of a photograph hardly repeats, so that the file
#: is as large (0.99 to 1.01 times on blood cells) and made in a tenth of the time
_RUNS = 3


def environment(*packages: str, html: bool = True) -> jinja2.Environment:
    """The environment of the templates in the folder ``templates`` of a package, and of others it builds on.

    Args:
        packages: such as ``preprocess.audit``.
        html: whether values are escaped for HTML; Markdown is not, and keeps its final newline.
    """
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([str(resources.files(package) / "templates") for package in packages]),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not html,
    )
    made.filters |= {"number": "{:,}".format, "shown": shown, "cell": cell}
    return made


def cell(text: object) -> str:
    """Text for a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def save_png(picture: Image.Image, out: Path | BinaryIO) -> None:
    """Write a picture of a page as a PNG."""
    picture.save(out, "PNG", compress_type=_RUNS)


def png_uri(image: NDArray[np.uint8]) -> str:
    """A data URI of one picture, (H, W) or (H, W, 3), as a PNG with a pixel for each pixel."""
    buffer = io.BytesIO()
    save_png(Image.fromarray(np.ascontiguousarray(image)), buffer)
    return _uri(buffer.getvalue())


def png_file_uri(path: Path) -> str:
    """A data URI of a PNG file."""
    return _uri(path.read_bytes())


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
