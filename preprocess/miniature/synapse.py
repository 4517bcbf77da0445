"""A stand-in for the synapses: a small EM volume as zipped PNG slices, as MitoEM-R has it, and a table.

Membranes wind through a gray cytoplasm with vesicles and dark mitochondria. An excitatory synapse has
a thick density on one side of its membrane and vesicles on the other, an inhibitory one a thin density.
One synapse lies so near the volume's edge that its cube leaves it; some neurons have a split. The
slices are smaller than the true 4096 x 4096.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocess.miniature.drawing import blurred, encode, rng, write_tree, write_zip

SHAPE = (60, 288, 288)
VOXEL = np.array([30.0, 8.0, 8.0])
NEURONS = 8
INHIBITORY, EXCITATORY = 13, 30
#: neurons whose split the table gives
SPLITS = {0: "train", 1: "val", 2: "test"}
CENSUS = {"synapsemnist3d": {"label 0": INHIBITORY, "label 1": EXCITATORY}}

Volume = NDArray[np.float32]


def generate(folder: Path) -> None:
    """Write the archive of slices and the table into ``folder``."""
    generator = rng("synapse")
    distance, volume = _tissue(generator)
    labels = generator.permutation([0] * INHIBITORY + [1] * EXCITATORY)
    lines = ["z,y,x,label,neuron,split"]
    for number, (label, spot) in enumerate(zip(labels.tolist(), _spots(generator), strict=False)):
        z, y, x = _on_membrane(distance, spot)
        _draw_synapse(generator, volume, distance, (z, y, x), excitatory=label == 1)
        neuron = number % NEURONS
        lines.append(f"{z},{y},{x},{label},neuron-{neuron},{SPLITS.get(neuron, '')}")
    lines[-1] = f"{SHAPE[0] // 2},60,{SHAPE[2] // 2},{labels[-1]},neuron-7,"
    volume += generator.normal(0, 0.045, SHAPE).astype(np.float32)
    slices = (np.clip(volume, 0, 1) * 255).astype(np.uint8)
    members = {f"im/im{z:04d}.png": encode(plane, "PNG") for z, plane in enumerate(slices)}
    write_zip(folder / "EM30-R-im.zip", {**members, "__MACOSX/im/._im0000.png": b"\0\5\x16\7"}, zipfile.ZIP_STORED)
    write_tree(folder, {"synapses.csv": ("\n".join(lines) + "\n").encode()})


def _tissue(generator: np.random.Generator) -> tuple[Volume, Volume]:
    """Signed distance (about, in nm) to the membrane, and gray values from 0 to 1."""
    coarse = [_field(generator, 420), _field(generator, 420)]
    folded = np.where(np.abs(coarse[0]) < np.abs(coarse[1]), coarse[0], coarse[1])
    distance = (folded * 260).astype(np.float32)
    volume = 0.66 + 0.05 * _field(generator, 60)
    mitochondria = (_field(generator, 300) > 1.9) & (np.abs(distance) > 60)
    cristae = np.sin(_field(generator, 200) * 14)
    volume[mitochondria] = 0.4 + 0.09 * cristae[mitochondria]
    volume -= 0.45 * np.exp(-((distance / 13) ** 2))
    return distance, volume.astype(np.float32)


def _field(generator: np.random.Generator, scale: float) -> Volume:
    """Smooth noise with a length of ``scale`` nm, mean 0 and standard deviation 1, made on a coarse grid."""
    from scipy.ndimage import zoom

    steps = np.maximum(np.round(scale / 2.5 / VOXEL), 1)
    coarse = generator.standard_normal([int(np.ceil(n / step)) + 1 for n, step in zip(SHAPE, steps, strict=True)])
    coarse = blurred(coarse, 1.0)
    factors = [n / m for n, m in zip(SHAPE, coarse.shape, strict=True)]
    fine = zoom(coarse.astype(np.float32), factors, order=1, mode="nearest", grid_mode=True)
    return np.asarray((fine - fine.mean()) / fine.std(), np.float32)


def _spots(generator: np.random.Generator) -> list[tuple[int, int, int]]:
    """Places whose cubes fit, apart from each other."""
    axes = [(18, 30, 42), range(69, SHAPE[1] - 68, 37), range(69, SHAPE[2] - 68, 37)]
    spots = [(z, y, x) for z in axes[0] for y in axes[1] for x in axes[2]]
    return [spots[i] for i in generator.permutation(len(spots))]


def _on_membrane(distance: Volume, spot: tuple[int, int, int]) -> tuple[int, int, int]:
    """The voxel nearest to a membrane within a few steps of a spot."""
    z, y, x = spot
    around = np.abs(distance[z, y - 5 : y + 6, x - 5 : x + 6])
    row, column = np.unravel_index(around.argmin(), around.shape)
    return z, y - 5 + int(row), x - 5 + int(column)


def _draw_synapse(
    generator: np.random.Generator, volume: Volume, distance: Volume, centre: tuple[int, int, int], excitatory: bool
) -> None:
    z, y, x = centre
    part = (slice(z - 10, z + 11), slice(y - 40, y + 41), slice(x - 40, x + 41))
    offsets = (np.indices(volume[part].shape) - np.array([10, 40, 40])[:, None, None, None]) * VOXEL[
        :, None, None, None
    ]
    away = np.sqrt((offsets**2).sum(axis=0))
    side = distance[part] - distance[z, y, x]
    thick, shift = (30, 24) if excitatory else (15, 0)
    density = np.exp(-(((side - shift) / thick) ** 2)) * (away < 190)
    volume[part] -= 0.5 * blurred(density.astype(np.float32), (0.5, 1.5, 1.5))
    for place in np.round(generator.normal(0, 90, (40, 3)) / VOXEL).astype(int):
        at = np.clip(np.array(centre) + place, np.array(_VESICLE.shape) // 2, np.array(SHAPE) - _VESICLE.shape)
        box = tuple(slice(k - n // 2, k + n // 2 + 1) for k, n in zip(at, _VESICLE.shape, strict=True))
        volume[box] -= _VESICLE * (distance[box] - distance[z, y, x] < -40)


def _vesicle() -> Volume:
    """The membrane of a ball of 22 nm."""
    radius = np.sqrt((((np.indices((5, 13, 13)).T - [2, 6, 6]) * VOXEL) ** 2).sum(axis=-1)).T
    return np.asarray(0.22 * np.exp(-(((radius - 22) / 9) ** 2)), np.float32)


_VESICLE = _vesicle()
