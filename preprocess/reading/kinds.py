"""What kind of data a file is by its name, and where names say nothing by its first bytes."""

from __future__ import annotations

from pathlib import PurePosixPath

from preprocess.reading import dicom
from preprocess.reading.archives import Raw, RawFile

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
SERIES = (".dcm", ".dicom")
STORES = (".h5", ".hdf5")
TABLES = (".csv", ".tsv")
MESHES = (".obj",)
#: what is neither data nor a table, whatever it holds
ASIDE = (
    ".txt", ".md", ".pdf", ".xml", ".json", ".yaml", ".yml", ".docx", ".html", ".xlsx", ".xls", ".py", ".ad", ".geo",
    ".raw", ".img", ".hdr", ".zip", ".gz", ".tar", ".tgz",
)  # fmt: skip
_KINDS = {
    "picture": PICTURES, "volume": VOLUMES, "store": STORES, "table": TABLES, "mesh": MESHES, "arrays": (".npz",),
    "series": SERIES,
}  # fmt: skip


def kind_of(name: str) -> str:
    """The kind of a file by its name; ``unknown`` where only its first bytes can tell, empty for what is left aside."""
    lower = name.lower()
    for kind, endings in _KINDS.items():
        if lower.endswith(endings):
            return kind
    return "" if lower.endswith(ASIDE) or not PurePosixPath(lower).name else "unknown"


def is_dicom(raw: Raw, file: RawFile) -> bool:
    """Whether a file is DICOM: by its ending, or by its first bytes where its name says nothing."""
    kind = kind_of(file.name)
    return kind == "series" or (kind == "unknown" and dicom.is_dicom(raw.head(file.path, 132)))
