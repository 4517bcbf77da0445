"""BUSI: breast ultrasound images (Al-Dhabyani et al. 2020), the source of BreastMNIST.

Expected contents: ``Dataset_BUSI.zip`` as published, a mirror's archive under another name, or the
unpacked tree, at any depth::

    Dataset_BUSI_with_GT/{benign,malignant,normal}/benign (1).png
                                                   benign (1)_mask.png
                                                   benign (1)_mask_1.png

780 images (437 benign, 210 malignant, 133 normal). The class is the folder's. Names hold a space
and parentheses. Any name with ``mask`` is ground truth and not an image; 17 images have more than
one mask. All images are 8-bit RGB PNG, 16 with real colour, no two need have one size.

Keys are ``<class>/<name>``, the same in every copy. No patient id is published: the number in a
name is a running number within the class.
"""

from __future__ import annotations

import re
from collections import Counter

from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw, RawFile
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import count, natural, open_picture, unique
from preprocess.table import Sample

PRESENT = ("*.png", *PACKED)
IMAGE = re.compile(r"(benign|malignant|normal) \((\d+)\)\.png", re.IGNORECASE)
MASK = re.compile(r"(benign|malignant|normal) \((\d+)\)_mask(_\d+)?\.png", re.IGNORECASE)

open = open_picture


def index(raw: Raw) -> Listing:
    """List the images in natural order within each class.

    Raises:
        PreprocessError: two files of one image differ, or an image lies in another class's folder.
    """
    files = raw.files()
    images, image_copies = unique(raw, files, lambda file: _key(raw, file, IMAGE))
    masks, mask_copies = unique(raw, files, lambda file: _key(raw, file, MASK))
    of_image = Counter(mask.partition("_mask")[0] for mask in masks)
    samples = [
        Sample(
            key=key,
            path=images[key].path,
            original_label=key.partition("/")[0],
            attributes={"masks": str(of_image[key.removesuffix(".png")])},
        )
        for key in sorted(images, key=natural)
    ]
    notes = [*image_copies.notes("images"), *mask_copies.notes("masks")]
    if others := [file.path for file in files if not (IMAGE.fullmatch(file.name) or MASK.fullmatch(file.name))]:
        notes.append(f"{len(others)} files are neither image nor mask, ignored: {', '.join(others[:3])}")
    return Listing(samples, count(samples, "original_label"), notes)


def _key(raw: Raw, file: RawFile, pattern: re.Pattern[str]) -> str | None:
    """``benign/benign (1).png`` or ``benign/benign (1)_mask_1.png``; None where the name is not of the pattern."""
    match = pattern.fullmatch(file.name)
    if match is None:
        return None
    label = match[1].lower()
    if pattern is IMAGE and len(file.parts) > 1 and file.parts[-2].lower() != label:
        raise PreprocessError(
            f"{raw.root / file.path}: a {label} image in another class's folder; restore the published tree"
        )
    return f"{label}/{file.name.lower()}"
