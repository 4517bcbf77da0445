"""The steps for boxes of organs: the axes of a plane, the window of grays, and what is blank."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.errors import ExcludeSample
from preprocess.reasons import REASONS
from preprocess.steps import boxes


@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_axes_of_a_plane(view):
    x, y, z = np.indices((5, 6, 7), dtype=np.uint8)
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[view]
    rows, columns = {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[view]
    r, c = (boxes.plane(values, "2mm", "display", view, "3") for values in (rows, columns))
    # rows run to Posterior, or from the head down; columns to Left, or to Posterior
    assert (np.diff(r.astype(int), axis=0) == (1 if view == "axial" else -1)).all()
    assert (np.diff(c.astype(int), axis=1) == 1).all()
    assert (boxes.plane((x, y, z)[axis], "2mm", "display", view, "3") == 3).all()
    first = {"axial": x, "coronal": x, "sagittal": y}[view]
    assert (np.diff(boxes.plane(first, "2mm", "array", view, "3").astype(int), axis=0) == 1).all()


@given(low=st.integers(-1000, 0), width=st.integers(1, 2000), rounding=st.sampled_from(["truncate", "round"]))
def test_window_is_its_formula(low, width, rounding):
    hu = np.arange(-(2**15), 2**15, dtype=np.int16)
    gray = (np.clip(hu.astype(float), low, low + width) - low) / width * 255
    wanted = (np.round(gray) if rounding == "round" else np.floor(gray)).astype(np.uint8)
    found = boxes.window(hu[None, ::-1], f"{low},{low + width}", rounding)
    np.testing.assert_array_equal(found[0, ::-1], wanted)
    assert found[0, -1] == 0 and found.max() == 255


def test_blank_is_excluded_late():
    with pytest.raises(ExcludeSample, match="blank"):
        boxes.refuse_blank(np.zeros((3, 4), np.uint8))
    assert boxes.refuse_blank(np.array([0, 1], np.uint8)).size == 2
    assert not REASONS["blank"].early
