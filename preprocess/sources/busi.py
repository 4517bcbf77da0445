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

from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import count, natural, open_picture
from preprocess.table import Sample

PRESENT = ("*.png", *PACKED)
IMAGE = re.compile(r"(benign|malignant|normal) \((\d+)\)\.png", re.IGNORECASE)
MASK = re.compile(r"(benign|malignant|normal) \((\d+)\)_mask(_\d+)?\.png", re.IGNORECASE)

open = open_picture


def index(raw: Raw) -> Listing:
    """List the images in natural order within each class.

    Raises:
        PreprocessError: one image occurs twice (two copies of the data), or lies in another class's folder.
    """
    samples: dict[str, Sample] = {}
    masks: dict[str, int] = {}
    others: list[str] = []
    for file in raw.files():
        if match := MASK.fullmatch(file.name):
            image = f"{match[1].lower()} ({match[2]})"
            masks[image] = masks.get(image, 0) + 1
            continue
        match = IMAGE.fullmatch(file.name)
        if match is None:
            others.append(file.path)
            continue
        label = match[1].lower()
        if len(file.parts) > 1 and file.parts[-2].lower() != label:
            raise PreprocessError(
                f"{raw.root / file.path}: a {label} image in another class's folder; restore the published tree"
            )
        key = f"{label}/{label} ({match[2]}).png"
        if key in samples:
            raise PreprocessError(
                f"{raw.root}: {key} is there twice: {samples[key].path} and {file.path}; keep one copy"
            )
        samples[key] = Sample(key=key, path=file.path, original_label=label)
    for key, sample in samples.items():
        sample.attributes["masks"] = str(masks.get(key.rpartition("/")[2].removesuffix(".png"), 0))
    ordered = [samples[key] for key in sorted(samples, key=natural)]
    notes = [f"{len(others)} files are neither image nor mask, ignored: {', '.join(others[:3])}"] if others else []
    return Listing(ordered, count(ordered, "original_label"), notes)
