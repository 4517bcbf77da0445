"""Further formats of a finished npz, written on request (``exports``): a module a format.

Every module has ``write(built, out)``, which writes one file or one folder: the same bytes for the same npz, table
and versions of libraries, in memory that does not grow with the rows. What they share is in
:mod:`preprocess.exports.built`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from preprocess.errors import PreprocessError

if TYPE_CHECKING:
    from preprocess.exports.built import Built


@dataclass(frozen=True)
class Format:
    """One format: the package that writes it, by the name it is imported by, where it is no part of the install.

    The extra of ``pyproject.toml`` that installs the package has the format's name.
    """

    library: str = ""


#: the formats by name; the module of each has the same name
FORMATS = {
    "npy": Format(),
    "png": Format(),
    "croissant": Format(),
    "parquet": Format("pyarrow"),
    "webdataset": Format(),
    "zarr": Format("zarr"),
}


def check(formats: Iterable[str]) -> None:
    """Refuse formats whose package is not installed: before the first job, for they are written by the last ones.

    Raises:
        PreprocessError: a package is missing; it says how to install it.
    """
    for name in formats:
        library = FORMATS[name].library
        if library and importlib.util.find_spec(library) is None:
            raise PreprocessError(
                f"exports: {name} needs the package {library}, which is not installed: in the project's folder, "
                f"python -m pip install '.[{name}]'; or leave {name} out of exports"
            )


def write(name: str, built: Built, out: Path) -> None:
    """Write one format of a finished npz to ``out``, a folder or a file as the format has it.

    Raises:
        PreprocessError: the format's package is not installed, the npz is damaged, or its samples table is another's.
    """
    check([name])
    importlib.import_module(f"{__name__}.{name}").write(built, out)
