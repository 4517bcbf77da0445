"""PBC: normal peripheral blood cells (Acevedo et al. 2020), the source of BloodMNIST.

Expected contents: ``PBC_dataset_normal_DIB.zip`` as Mendeley Data gives it, Mendeley's zip of the whole record
that wraps it (``snkd93bnjr-1.zip``), or the unpacked tree, at any depth::

    PBC_dataset_normal_DIB/{basophil,eosinophil,erythroblast,ig,lymphocyte,monocyte,neutrophil,platelet}/BA_100102.jpg

17,092 images, JPEG, RGB. The class is the folder's; the prefix of a name is a subtype of it (BNE, SNE or
NEUTROPHIL among the neutrophils; MMY, MY, PMY or IG among the immature granulocytes) and is kept as the
attribute ``subtype``. 16,639 images are 360 pixels wide and 363 high, 453 have one of six other sizes close to
it. ``__MACOSX`` and hidden files lie between them.

Refused: a set most of whose images are not 360 x 363, for that is a resampled copy and the crop of the centre
would show something else.

Keys are ``<class>/<name>``, the same in every copy. No patient id is published.
"""

from __future__ import annotations

import re
from collections import Counter

from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw, RawFile
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import count, extent, natural, open_picture, unique
from preprocess.table import Sample

PRESENT = ("*.jpg", "*.jpeg", *PACKED)
CLASSES = ("basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil", "platelet")
IMAGE = re.compile(r"(.+)\.jpe?g", re.IGNORECASE)
EXTENT = (360, 363)

open = open_picture


def index(raw: Raw) -> Listing:
    """List the images in natural order within each class, with their sizes.

    Raises:
        PreprocessError: a resampled copy.
    """
    files = raw.files()
    images, copies = unique(raw, files, _key)
    samples = [_sample(raw, key, images[key]) for key in sorted(images, key=natural)]
    sizes = Counter(f"{one.attributes['width']}x{one.attributes['height']}" for one in samples)
    usual = f"{EXTENT[0]}x{EXTENT[1]}"
    if samples and (most := sizes.most_common(1)[0][0]) not in (usual, "x"):
        raise PreprocessError(
            f"{raw.root}: most images are {most} pixels, not {usual}; this is a resampled copy, "
            f"get PBC_dataset_normal_DIB.zip from Mendeley Data (snkd93bnjr)"
        )
    census = count(samples, "original_label")
    for size in sorted(sizes, key=natural):
        # a damaged header is told by the file's name, not by a size
        name = f"{size} pixels" if size != "x" else f"unreadable, the first {_unreadable(samples).path}"
        census[name] = sizes[size]
    notes = copies.notes("images")
    if strangers := [file.path for file in files if IMAGE.fullmatch(file.name) and _key(file) is None]:
        notes.append(f"{len(strangers)} pictures in no folder of a class, ignored: {', '.join(strangers[:3])}")
    return Listing(samples, census, notes)


def _key(file: RawFile) -> str | None:
    folder = file.parts[-2].lower() if len(file.parts) > 1 else ""
    match = IMAGE.fullmatch(file.name)
    return f"{folder}/{match[1]}.jpg" if match and folder in CLASSES else None


def _sample(raw: Raw, key: str, file: RawFile) -> Sample:
    label, _, name = key.partition("/")
    width, height = extent(raw, file) or ("", "")
    attributes = {"subtype": name.partition("_")[0], "width": str(width), "height": str(height)}
    return Sample(key=key, path=file.path, original_label=label, attributes=attributes)


def _unreadable(samples: list[Sample]) -> Sample:
    return next(sample for sample in samples if not sample.attributes["width"])
