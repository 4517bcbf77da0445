"""Images: a folder of picture files of your own, read as the recipe decides, without a line of Python.

Expected contents: PNG, JPEG, TIFF, BMP or DICOM files of one picture each, in folders, zip or tar, at any depth; a
table (CSV or TSV) among them where the recipe names one. A DICOM file is known by its ending ``.dcm``, or by its
first bytes where its name has no known ending.

The recipe says, by decisions of these names (docs/decisions.md):

    files                 which files are samples: patterns, those with ! leave out
    table, table_key      the table, and the column of it that names the file
    class_from            where the class is: folder, file name, path, column, columns, DICOM header
    group_from            the same of the group, such as the patient
    split_from            the same of the source's own split
    columns               further columns, such as age and sex

Keys are paths below the raw folder, the same for a tree and its archive; copies of one file, equal byte for byte,
are left aside, and two that differ are refused. A file without a row in the table is left out as ``no-label`` where
its class is a column, and refused where only its group or another column is; a row that names no file is
``missing``. A name that an expression does not fit is refused.

The first step is ``decode`` where all files have 8 bits a channel and none is DICOM, else ``values`` and
``intensity``. The census counts the samples by class, those of a multi-label set in all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from preprocess.reading import kinds
from preprocess.reading.archives import Raw, RawFile
from preprocess.reading.dicom import Frame, is_dicom
from preprocess.reading.picture import Picture
from preprocess.sources.decided import holds, index_of
from preprocess.table import Sample


def present(folder: Path) -> bool:
    """Whether there is a picture, or an archive or other file that may be or hold one."""
    return holds(folder, ("picture", "series", "unknown"))


def is_picture(raw: Raw, file: RawFile) -> bool:
    """Whether a file is a picture by its ending, or DICOM."""
    return kinds.kind_of(file.name) == "picture" or kinds.is_dicom(raw, file)


index = index_of(is_picture, "pictures")


def open(raw: Raw, sample: Sample) -> Any:
    """The sample's file: a :class:`~preprocess.reading.picture.Picture`, or a DICOM :class:`Frame`."""
    data = raw.read(sample.path)
    return Frame(data) if is_dicom(data[:132]) else Picture(data)
