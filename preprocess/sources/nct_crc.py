"""NCT-CRC-HE-100K and CRC-VAL-HE-7K: patches of colorectal cancer slides (Kather et al. 2018), the source of PathMNIST.

Expected contents, as Zenodo record 1214456 gives them: ``NCT-CRC-HE-100K.zip`` and ``CRC-VAL-HE-7K.zip``, or
the unpacked trees, at any depth. A patch is found by its own name wherever it lies::

    NCT-CRC-HE-100K/{ADI,BACK,DEB,LYM,MUC,MUS,NORM,STR,TUM}/ADI-AAAFLCLY.tif
    CRC-VAL-HE-7K/ADI/ADI-TCGA-AAICEQFN.tif

The name holds the class and, for the second set, ``TCGA``. 100,000 and 7,180 patches, TIFF, RGB, 224 x 224
pixels, 0.5 um a pixel. Some TIFF headers are faulty, which Pillow reads over.

Refused:

- ``NCT-CRC-HE-100K-NONORM``, the same tissue without stain normalisation: PathMNIST was made from the
  normalised set. Archive and folder names tell it; where somebody renamed both, only the archive's MD5 does
  (035777cf327776a71a05c95da6d6325f, while 6fd702d11df6292bc054397ae038a464 is the right one: some public
  code has them the wrong way round), for its patches have names, classes and size of the same form.
- patches that are not 224 x 224 pixels, and patches in PNG or JPEG: a resampled or converted copy.

Keys are ``<class>/<name>``, the same in every copy. No patient id is published: 86 and 50 patients are in
the two sets, and the names do not carry them.
"""

from __future__ import annotations

import re
from collections import Counter

from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading.archives import SEPARATOR, Raw, RawFile
from preprocess.reading.picture import Picture
from preprocess.sources import PACKED, Listing
from preprocess.sources.tools import by_name, count, extent
from preprocess.table import Sample

PRESENT = ("*.tif", "*.tiff", *PACKED)
CLASSES = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")
IMAGE = re.compile(rf"((?:{'|'.join(CLASSES)})-(?:TCGA-)?[A-Z]{{8}})\.tiff?", re.IGNORECASE)
CONVERTED = re.compile(IMAGE.pattern.replace("tiff?", "(?:png|jpe?g)"), re.IGNORECASE)
LARGE, SMALL = "NCT-CRC-HE-100K", "CRC-VAL-HE-7K"
ARCHIVES = {
    f"{LARGE}.zip": (11_690_284_003, "6fd702d11df6292bc054397ae038a464"),
    f"{SMALL}.zip": (800_276_929, "2fd1651b4f94ebd818ebf90ad2b6ce06"),
}
EXTENT = (224, 224)


def index(raw: Raw) -> Listing:
    """List the patches by set, class and name.

    Raises:
        PreprocessError: the set without normalisation, a resampled or converted copy, or a patch in another
            class's folder.
    """
    files = raw.files()
    for file in files:
        if any("NONORM" in part.upper() for part in file.parts):
            raise PreprocessError(
                f"{raw.root / file.path}: this is {LARGE}-NONORM, the set without stain normalisation; "
                f"PathMNIST needs {LARGE}.zip (md5 {ARCHIVES[f'{LARGE}.zip'][1]}); take NONORM out of the folder"
            )
    images, copies = by_name(raw, files, IMAGE)
    if not images and (other := next((file for file in files if CONVERTED.fullmatch(file.name)), None)):
        raise PreprocessError(f"{raw.root / other.path}: a converted copy; the published patches are TIFF")
    samples = sorted((_sample(raw, file) for file in images.values()), key=_place)
    _refuse_resampled(raw, samples)
    notes = _archive_notes(raw, files)
    notes += copies.notes("patches")
    return Listing(samples, count(samples, "source_split", "original_label"), notes)


def open(raw: Raw, sample: Sample) -> Picture:
    """The patch's file.

    Raises:
        UnreadableError: it is of another size than every published patch.
    """
    picture = Picture(raw.read(sample.path))
    found = picture.extent
    if found is not None and found != EXTENT:
        raise UnreadableError(f"is {found[0]}x{found[1]} pixels; every published patch is 224x224")
    return picture


def _sample(raw: Raw, file: RawFile) -> Sample:
    name = file.inner.stem.upper()
    label = name.partition("-")[0]
    folder = file.parts[-2].upper() if len(file.parts) > 1 else ""
    if folder in CLASSES and folder != label:
        raise PreprocessError(
            f"{raw.root / file.path}: a {label} patch in another class's folder; restore the published tree"
        )
    return Sample(
        key=f"{label}/{name}.tif",
        path=file.path,
        original_label=label,
        source_split=SMALL if "-TCGA-" in name else LARGE,
    )


def _place(sample: Sample) -> tuple[bool, str]:
    return sample.source_split == SMALL, sample.key


def _refuse_resampled(raw: Raw, samples: list[Sample]) -> None:
    """Look at the first patch of each set and class: a copy that was resampled was so throughout."""
    first = {(sample.source_split, sample.original_label): sample for sample in reversed(samples)}
    sizes = Counter(extent(raw, sample) for sample in first.values())
    sizes.pop(None, None)  # the render stage names a file that cannot be read
    if sizes and (most := sizes.most_common(1)[0][0]) != EXTENT and most is not None:
        raise PreprocessError(
            f"{raw.root}: patches are {most[0]}x{most[1]} pixels, not 224x224; this is a resampled copy, "
            f"get the archives of Zenodo record 1214456"
        )


def _archive_notes(raw: Raw, files: list[RawFile]) -> list[str]:
    notes = []
    for name in sorted({file.path.partition(SEPARATOR)[0] for file in files if SEPARATOR in file.path}):
        place = raw.local(name)
        size, md5 = ARCHIVES.get(name.rpartition("/")[2], (0, ""))
        if place and md5 and place.stat().st_size != size:
            notes.append(f"{name} has {place.stat().st_size:,} bytes, the published one {size:,} (md5 {md5})")
    return notes
