"""The steps for nodules: the cube around a centre, of a scan whose resampling as a whole is the second method."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from preprocess.steps import nodules


class Scan:
    """A series that holds an array."""

    def __init__(self, hu, spacing):
        self.hu, self.spacing, self.shape, self.asked = hu, spacing, hu.shape, []

    def cut(self, bounds):
        self.asked.append(bounds)
        return self.hu[tuple(slice(*pair) for pair in bounds)]


@pytest.fixture(scope="module")
def volume():
    generator = np.random.default_rng(5)
    noise = ndimage.gaussian_filter(generator.standard_normal((30, 100, 110)), 0.8)
    return np.clip(noise * 1500 - 300, -1024, 3000).astype(np.int16)


@pytest.mark.parametrize("centre", [(15.3, 50.2, 61.7), (3.1, 5.0, 104.5), (29.0, 99.0, 2.5)])
@pytest.mark.parametrize(("pitch", "size"), [("1mm", 28), ("1mm", 64), ("field", 28), ("field", 49), ("field", 33)])
def test_the_cube_is_that_of_the_whole_scan_resampled(volume, centre, pitch, size):
    spacing = (2.5, 0.7, 0.703125)
    scan = Scan(volume, spacing)
    words = " ".join(map(str, ("SPL", *centre)))
    cube = nodules.isotropic(nodules.surroundings(scan, "centroid", 28, words, ""), pitch, size)
    edge = 28 if pitch == "1mm" else size
    step = 28 / edge
    shape = [round(n * s / step) for n, s in zip(volume.shape, spacing, strict=True)]
    factors = [m / n for m, n in zip(shape, volume.shape, strict=True)]
    whole = ndimage.zoom(volume.astype(float), factors, order=3, mode="nearest")
    assert list(whole.shape) == shape
    padded = np.pad(whole, 2 * edge, constant_values=-1024)
    # the centre on the grid that maps first voxel on first and last on last
    at = [round(c * (m - 1) / (n - 1)) for c, m, n in zip(centre, shape, volume.shape, strict=True)]
    expected = padded[tuple(slice(c - edge // 2 + 2 * edge, c - edge // 2 + 3 * edge) for c in at)]
    assert cube.shape == (edge,) * 3
    assert cube.dtype == np.int16
    assert np.abs(cube - np.clip(expected, -1024, None)).max() < 0.501  # rounded to whole HU
    (bounds,) = scan.asked
    assert np.prod([b - a for a, b in bounds]) < volume.size


def test_directions_and_the_centre():
    """A bright point off the centre shows up where it is: planes upwards, rows, columns."""
    hu = np.full((60, 200, 200), -1024, np.int16)
    hu[36 - 1 : 36 + 2, 90 - 2 : 90 + 3, 120 - 2 : 120 + 3] = 400
    place = nodules.surroundings(Scan(hu, (2.0, 0.5, 0.5)), "centroid", 28, "SPL 33 100 110", "")
    cube = nodules.isotropic(place, "field", 28)
    # 3 planes of 2 mm up, 10 rows of 0.5 mm towards the front, 10 columns of 0.5 mm to the side
    found = np.array(ndimage.center_of_mass((cube > -300).astype(float)))
    np.testing.assert_allclose(found, [14 + 6, 14 - 5, 14 + 5], atol=0.8)
    boxed = nodules.surroundings(Scan(hu, (2.0, 0.5, 0.5)), "box", 28, "", "SPL 32:35 98:103 108:113")
    assert np.array_equal(nodules.isotropic(boxed, "field", 28), cube)
    assert place.shape == (14, 56, 56)


def test_far_outside_is_air():
    scan = Scan(np.zeros((40, 60, 60), np.int16), (1.0, 1.0, 1.0))
    cube = nodules.isotropic(nodules.surroundings(scan, "centroid", 28, "SPL 20 -30 20", ""), "1mm", 28)
    assert (cube == -1024).all()
