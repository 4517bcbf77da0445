"""What images are compared by: means over blocks, and every lie of a volume."""

from __future__ import annotations

import numpy as np

from preprocess import recipe
from preprocess.match import features


def test_reducing_is_a_mean_over_blocks():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert features.reduce(image, 2, 4).tolist() == [[14, 18], [46, 50]]  # 13.5, 17.5, 45.5, 49.5, halves to even
    colour = np.zeros((9, 9, 3), np.uint8)
    colour[..., 1] = 7
    assert features.reduce(colour, 2, 3).shape == (3, 3, 3)
    assert (features.reduce(colour, 2, 3)[..., 1] == 7).all()
    assert features.reduce(np.full((65, 65, 65), 9, np.uint8), 3, 2).shape == (32, 32, 32)
    assert features.width(recipe.load("breastmnist", "released"), 224) == 28 * 28


def test_every_lie_of_a_volume_is_tried_once():
    volume = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert features.turn(volume, "0,1,2").tolist() == volume.tolist()
    assert features.turn(volume, "2,0,1r").tolist() == volume.transpose(2, 0, 1)[:, :, ::-1].tolist()
    cube = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert len({features.turn(cube, axes).tobytes() for axes in features.all_axes(3)}) == 48
    colour = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    # transposed, then its columns reversed: the first row is the first column from below
    assert features.turn(colour, "1,0r")[0].tolist() == [colour[1, 0].tolist(), colour[0, 0].tolist()]
    assert len({features.turn(colour, axes).tobytes() for axes in features.all_axes(2)}) == 8
