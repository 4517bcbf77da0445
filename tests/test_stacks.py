"""The steps for stacks of slices: intensities as they are decided, and projections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.errors import UnreadableError
from preprocess.steps import stacks


@pytest.mark.parametrize(
    ("value", "intensity"), [(256, "uint8"), (-1, "uint8"), (0.5, "uint8"), (128, "signed"), (-129, "signed")]
)
def test_one_value_out_of_range_is_unreadable(value, intensity):
    stack = np.zeros((7, 32, 32), np.float64)
    stack[3, 5, 5] = value
    with pytest.raises(UnreadableError, match=f"not the bytes of intensity '{intensity}'"):
        stacks.intensity(stack, intensity)


@given(st.binary(min_size=7 * 4, max_size=7 * 4))
def test_intensities_by_hand(data):
    """Each voxel by plain arithmetic."""
    stack = np.frombuffer(data, np.uint8).reshape(7, 2, 2)
    flat = list(data)
    signed = stacks.intensity(stack.view(np.int8), "signed").ravel().tolist()
    assert signed == [(value if value < 128 else value - 256) % 256 for value in flat]
    assert stacks.intensity(stack, "offset-128").ravel().tolist() == [(value - 128) % 256 for value in flat]
    low, high = min(flat), max(flat)
    spread = stacks.intensity(stack, "sample-range").ravel().tolist()
    assert all(
        abs(got - (255 * (value - low) / (high - low) if high > low else 0)) <= 0.5
        for got, value in zip(spread, flat, strict=True)
    )
    columns = [[flat[4 * z + i] for z in range(7)] for i in range(4)]
    assert stacks.project(stack, "max").ravel().tolist() == [max(column) for column in columns]
    assert stacks.project(stack, "middle").ravel().tolist() == [column[3] for column in columns]
    assert all(
        abs(got - sum(column) / 7) <= 0.5
        for got, column in zip(stacks.project(stack, "mean").ravel().tolist(), columns, strict=True)
    )
