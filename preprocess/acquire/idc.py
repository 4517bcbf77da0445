"""Collections of the Imaging Data Commons through its own client, the optional package ``idc-index``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from preprocess.errors import PreprocessError

log = logging.getLogger("preprocess")

#: patient, study and series folders, as the collection's own download has them
LAYOUT = "%PatientID/%StudyInstanceUID/%SeriesInstanceUID"
EXTRA = "python -m pip install 'medmnist-rebuild[idc]'"


def download(collection: str, modality: str, series: int, folder: Path) -> None:
    """Download all series of a collection and modality into ``folder``; what is there already is kept.

    Args:
        collection: the collection's name in the Imaging Data Commons.
        modality: DICOM modality, such as CT.
        series: how many series there should be; another number is a warning.
        folder: the source's raw folder.

    Raises:
        PreprocessError: the client is not installed, or it failed.
    """
    try:
        from idc_index import IDCClient
    except ImportError as error:
        raise PreprocessError(
            f"{collection}: the package idc-index is needed ({error}): {EXTRA}; or download it by hand"
        ) from error
    try:
        client: Any = IDCClient()
        table = client.index
        found = table[(table["collection_id"] == collection) & (table["Modality"] == modality)]
        wanted = sorted(set(found["SeriesInstanceUID"]))
    except Exception as error:
        raise PreprocessError(f"{collection}: the list of its series cannot be had ({_line(error)})") from error
    if not wanted:
        raise PreprocessError(f"{collection}: the Imaging Data Commons lists no {modality} series of it")
    if len(wanted) != series:
        log.warning("%s: %s %s series are listed, %s expected", collection, len(wanted), modality, series)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        client.download_from_selection(
            downloadDir=str(folder), seriesInstanceUID=wanted, dirTemplate=LAYOUT, use_s5cmd_sync=True
        )
    except Exception as error:
        raise PreprocessError(
            f"{collection}: the client failed ({_line(error)}); run the same command again, what is there is kept"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
