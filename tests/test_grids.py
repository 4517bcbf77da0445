"""The steps for grids: the cube about a mask, and the zooms."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.errors import ExcludeSample, UnreadableError
from preprocess.steps import grids


def test_cube_of_a_1_mm_mask_is_a_plain_cut():
    cells = np.zeros((90, 80, 70), bool)
    cells[20:31, 40:49, 3:16] = True  # centre 25, 44, 9: the cube leaves the volume at both ends of z
    cube = grids.cut_mask(grids.Mask(cells, (1.0, 1.0, 1.0)), 64)
    padded = np.pad(cells, 64)
    np.testing.assert_array_equal(cube, padded[64 - 7 : 64 + 57, 64 + 12 : 64 + 76, 64 - 23 : 64 + 41])


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 2.0), (1.0, 1.0, 1.25), (1.6, 0.5, 0.9)])
def test_cube_is_in_mm_whatever_the_spacing(spacing):
    places = [np.arange(round(80 / step)) * step for step in spacing]
    x, y, z = np.meshgrid(*places, indexing="ij")
    ball = ((x - 38) / 20) ** 2 + ((y - 41) / 12) ** 2 + ((z - 40) / 14) ** 2 < 1
    cube = grids.cut_mask(grids.Mask(ball, spacing), 64)
    assert cube.shape == (64, 64, 64)
    assert cube.sum() == pytest.approx(4 / 3 * np.pi * 20 * 12 * 14, rel=0.03)
    np.testing.assert_allclose([np.mean(axis) for axis in np.nonzero(cube)], 32, atol=0.8)
    extents = [np.ptp(axis) + 1 for axis in np.nonzero(cube)]
    np.testing.assert_allclose(extents, [40, 24, 28], atol=2.1)


def test_empty_mask_is_excluded():
    with pytest.raises(ExcludeSample, match="empty-grid"):
        grids.cut_mask(grids.Mask(np.zeros((9, 9, 9), bool), (1.0, 1.0, 1.0)), 64)


def test_zoom_whole_is_scipy_but_for_its_zero_line():
    """At 64 to 28 scipy leaves the last line of every axis empty; all others are the same."""
    volume = np.random.default_rng(0).normal(size=(64, 64, 64))
    whole, scipy = (grids.zoom(volume, 28, name) for name in ("whole", "scipy"))
    np.testing.assert_allclose(whole[:-1, :-1, :-1], scipy[:-1, :-1, :-1], atol=1e-9)
    assert not scipy[-1].any()
    np.testing.assert_allclose(whole[-1, -1, -1], volume[-1, -1, -1], atol=1e-9)
    np.testing.assert_allclose(whole[0, 0, 0], volume[0, 0, 0], atol=1e-9)


def test_a_cube_of_tiny_voxels_is_refused_with_their_number(monkeypatch):
    """64 mm of 0.13 mm are 492 voxels an edge, and 24 more for the spline."""
    lattice = grids.Lattice.of((600, 600, 600), (0.13,) * 3, 1.0)
    asked = []
    with pytest.raises(UnreadableError, match=r"1\d\d,\d{3},\d{3} voxels go into one cube"):
        lattice.cube(asked.append, np.array([5, 5, 5]), 64, 0)
    assert not asked  # before anything is read
