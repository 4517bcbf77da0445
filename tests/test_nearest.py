"""The nearest raw image of a row: what a full search finds."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.match.nearest import Finder
from tests.builds import store


@pytest.mark.parametrize("count", [1, 5, 31, 33, 700])
@pytest.mark.parametrize("width", [12, 900])
def test_nearest_is_what_a_full_search_finds(count, width, tmp_path):
    random = np.random.default_rng(count * width)
    some = random.integers(0, 256, (count, width), np.uint8)
    queries = np.clip(some[random.integers(0, count, 40)] + random.normal(0, 20, (40, width)), 0, 255).astype(np.uint8)
    among = sorted(random.choice(count, max(1, count - 1), replace=False).tolist())
    found = Finder(store(tmp_path / "c", some), among).nearest(store(tmp_path / "q", queries), list(range(40)))
    full = ((queries[:, None].astype(int) - some[among].astype(int)) ** 2).sum(axis=2)
    assert np.array_equal(found.squares[:, 0], full.min(axis=1))
    listed = np.take_along_axis(((queries[:, None].astype(int) - some.astype(int)) ** 2).sum(axis=2), found.indices, 1)
    assert np.array_equal(listed, found.squares)
    assert (np.diff(found.squares, axis=1) >= 0).all()
    for row, indices in enumerate(found.indices):
        rest = [full[row, place] for place, index in enumerate(among) if index not in indices]
        assert min(rest, default=np.inf) >= found.bound[row] * 0.999 - 1
