"""Boxes and points: their text, and how they turn, against voxels marked in an array."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

from preprocess import geometry
from preprocess.errors import PreprocessError
from preprocess.geometry import Box, Point

#: the 48 ways an array can lie in a body
BODY = ["".join(word) for pairs in itertools.permutations(("LR", "PA", "SI")) for word in itertools.product(*pairs)]

frames = st.sampled_from(BODY)
shapes = st.tuples(*[st.integers(1, 7)] * 3)
intervals = st.tuples(st.integers(-3, 6), st.integers(1, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))
bounds = st.tuples(intervals, intervals, intervals)


@st.composite
def inside(draw):
    """A shape, and a box in it."""
    shape = draw(shapes)
    firsts = [draw(st.integers(0, extent - 1)) for extent in shape]
    return shape, tuple((first, draw(st.integers(first + 1, n))) for first, n in zip(firsts, shape, strict=True))


def marked(shape, bounds):
    """The voxels of a box, set one by one."""
    cells = np.zeros(shape, bool)
    for place in np.ndindex(shape):
        cells[place] = all(a <= k < b for k, (a, b) in zip(place, bounds, strict=True))
    return cells


@given(frame=st.sampled_from([*BODY, "zyx"]), bounds=bounds)
def test_a_box_is_what_its_text_says(frame, bounds):
    box = Box(frame, bounds)
    assert Box.parse(box.text) == box
    assert box.text == f"{frame} " + " ".join(f"{first}:{end}" for first, end in bounds)


@given(frame=st.sampled_from([*BODY, "zyx"]), place=st.tuples(*[st.integers(-(10**6), 10**6)] * 3))
def test_a_point_is_what_its_text_says(frame, place):
    point = Point.of(frame, [value / 10**4 for value in place])
    assert Point.parse(point.text(4)) == point
    assert Point.parse(f"{frame} " + " ".join(map(str, place))).place == place


@pytest.mark.parametrize("text", [
    "", "LPS", "1:2 3:4 5:6", "LPS 1 2 3 4 5 6", "LPS 1:2 3:4", "LPS 1:2 3:4 5:6 7:8", "LRS 1:2 3:4 5:6",
    "lps 1:2 3:4 5:6", "LPS 2:2 3:4 5:6", "LPS 3:2 3:4 5:6", "LPS 1.5:2 3:4 5:6", "LPS  1:2 3:4 5:6", "xyz 1:2 3:4 5:6",
])  # fmt: skip
def test_other_texts_are_no_box(text):
    with pytest.raises(PreprocessError, match="is not a box such as"):
        Box.parse(text)


@pytest.mark.parametrize("text", ["", "1 2 3", "LPS 1 2", "LPS 1 2 3 4", "LLS 1 2 3", "LPS nan 2 3", "LPS 1:2 3:4 5:6"])
def test_other_texts_are_no_point(text):
    with pytest.raises(PreprocessError, match="is not a point such as"):
        Point.parse(text)


def test_the_frames_of_a_body_are_48():
    words = ["".join(word) for word in itertools.product("LRPASI", repeat=3)]
    assert sorted(filter(geometry.is_frame, words)) == sorted(BODY)
    assert len(BODY) == 48


@given(box=inside(), axes=frames, frame=frames)
def test_a_box_turns_as_its_voxels_do(box, axes, frame):
    """nibabel turns the array; the box of what is set in it then is the box turned."""
    shape, bounds = box
    turned = apply_orientation(marked(shape, bounds), ornt_transform(axcodes2ornt(axes), axcodes2ornt(frame)))
    assert geometry.extents(shape, axes, frame) == turned.shape
    found = Box(axes, bounds).turned(shape, frame)
    assert np.array_equal(marked(turned.shape, found.bounds), turned)
    assert turned[found.slices].all() and turned[found.slices].size == turned.sum() == found.voxels
    assert found.turned(turned.shape, axes) == Box(axes, bounds)


@given(box=inside(), axes=frames, frame=frames)
def test_a_point_turns_as_its_box_does(box, axes, frame):
    shape, bounds = box
    own = Box(axes, bounds)
    assert own.centre.place == tuple(np.argwhere(marked(shape, bounds)).mean(axis=0))
    assert own.centre.turned(shape, frame) == own.turned(shape, frame).centre


@given(one=bounds, other=bounds)
def test_what_two_boxes_share_is_counted(one, other):
    cells = [set(itertools.product(*(range(first, end) for first, end in bounds))) for bounds in (one, other)]
    first, second = Box("LPS", one), Box("LPS", other)
    assert first.voxels == len(cells[0])
    assert first.common(second) == len(cells[0] & cells[1])
    assert first.overlap(second) == len(cells[0] & cells[1]) / len(cells[0] | cells[1])


@given(bounds=bounds, shape=shapes)
def test_a_box_fits_where_all_its_voxels_are(bounds, shape):
    there = marked(shape, bounds).sum()
    assert Box("zyx", bounds).fits(shape) == (there == Box("zyx", bounds).voxels)


@given(box=inside(), margin=st.integers(0, 5))
def test_growing_stays_in_the_grid(box, margin):
    shape, bounds = box
    grown = Box("zyx", bounds).grown(margin, shape)
    wanted = marked(shape, [(first - margin, end + margin) for first, end in bounds])
    assert np.array_equal(marked(shape, grown.bounds), wanted)
    assert grown.fits(shape)
