"""What published tiles of OrganA, C and S prove by themselves: planes of one array cross in equal lines.

Two planes of one box meet in a line. If both tiles are planes of one gray array, brought to 28 pixels by the
nearest voxel, then a row or column of the one and one of the other show the same voxels of that line, and must be
equal in all 28 pixels, wherever the index rule picks the voxels that both hold. No scan is needed for it, only
which tile is which plane of which box.

``python -m preprocess.match.crossings FOLDER`` counts such lines in a folder with ``official.npz`` (arrays ``A``,
``C`` and ``S`` of tiles) and ``tiles.csv`` (``set,site_index,volume,organ,k,L_x,L_y,L_z``), for the rule of Pillow's
NEAREST and for others, which must fail.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 28
#: the axis of the array (x, y, z) a tile of each set is a plane of; rows and columns are the other two, in their order
AXIS = {"S": 0, "C": 1, "A": 2}
#: from a pixel and an extent to the voxel it shows
Rule = Callable[[int, int], int]


def nearest(pixel: int, extent: int) -> int:
    """The voxel whose place is nearest to a pixel's centre: the rule of Pillow's NEAREST."""
    return int((pixel + 0.5) * extent / SIDE)


def first(pixel: int, extent: int) -> int:
    """The voxel at a pixel's first edge: OpenCV's INTER_NEAREST."""
    return int(pixel * extent / SIDE)


def crossings(
    tiles: Mapping[str, NDArray[np.uint8]], rows: list[dict[str, str]], rule: Rule = nearest, off: int = 0
) -> tuple[int, int]:
    """Count the lines in which two tiles of one box cross.

    Args:
        tiles: by set, (N, 28, 28) uint8.
        rows: which tile (``site_index``) is which plane (``k``) of which box, and the box's extents.
        rule: which voxel a pixel shows.
        off: look for the other plane so many voxels beside its place, as a control.

    Returns:
        how many are equal in all 28 pixels, and how many there are.
    """
    boxes: dict[tuple[str, ...], list[tuple[str, int, NDArray[np.uint8]]]] = defaultdict(list)
    for row in rows:
        box = tuple(row[name] for name in ("volume", "organ", "L_x", "L_y", "L_z"))
        boxes[box].append((row["set"], int(row["k"]), tiles[row["set"]][int(row["site_index"])]))
    equal = lines = 0
    for (_, _, *extents), members in boxes.items():
        shown = [[rule(pixel, int(extent)) for pixel in range(SIDE)] for extent in extents]
        for (one, k, tile), (other, n, crossing) in combinations(members, 2):
            if one == other:
                continue
            for p in _pixels(shown[AXIS[other]], n + off):
                for q in _pixels(shown[AXIS[one]], k + off):
                    lines += 1
                    equal += np.array_equal(_line(tile, one, other, p), _line(crossing, other, one, q))
    return equal, lines


def _pixels(shown: list[int], voxel: int) -> list[int]:
    return [pixel for pixel, one in enumerate(shown) if one == voxel]


def _line(tile: NDArray[np.uint8], of: str, across: str, pixel: int) -> NDArray[np.uint8]:
    """The line of a tile of one set in which the plane of another set lies."""
    axes = [axis for axis in range(3) if axis != AXIS[of]]
    line: NDArray[np.uint8] = np.take(tile, pixel, axis=axes.index(AXIS[across]))
    return line


def main() -> None:
    """Print the counts of a folder."""
    parser = argparse.ArgumentParser(prog="python -m preprocess.match.crossings", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds official.npz and tiles.csv")
    folder: Path = parser.parse_args().folder
    with np.load(folder / "official.npz") as file:
        tiles = {name: file[name] for name in AXIS}
    with open(folder / "tiles.csv", encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for name, rule, off in (
        ("nearest voxel (Pillow)", nearest, 0),
        ("control: one voxel further", nearest, 1),
        ("control: one voxel before", nearest, -1),
        ("control: first voxel of a pixel", first, 0),
    ):
        equal, lines = crossings(tiles, rows, rule, off)
        print(f"{name}: {equal:,} of {lines:,} lines are equal in all {SIDE} pixels")


if __name__ == "__main__":
    main()
