"""Montages: pictures of stand-ins are marked, and those of real files are not."""

from __future__ import annotations

import numpy as np
from PIL import Image

from preprocess import packed, recipe
from preprocess.audit import montage
from tests.builds import run


def test_pictures_of_stand_ins_are_marked_on_both_edges(drawn, stand_in, tmp_path):
    done, _, _, folder = drawn
    for name in ("breastmnist.png", "collection.png"):
        pixels = np.asarray(Image.open(folder / name).convert("RGB"))
        for band in (pixels[:20], pixels[-20:]):
            amber = (band == (255, 200, 60)).all(axis=2)
            assert amber.mean() > 0.7
            assert (band.max(axis=2) < 80).any()  # letters
    # the same pictures, taken for real ones, have no band: what lies between is all of them
    lines = montage.by_class(recipe.load("breastmnist", "paper"), done.npz(28), packed.read(done.seen(28)))
    montage.montage(lines, tmp_path / "montage.png")
    run("collection", "breastmnist", "--npz", done.npz(28), "--output", tmp_path / "collection.png")
    for plain_picture, marked in (("montage.png", "breastmnist.png"), ("collection.png", "collection.png")):
        real = np.asarray(Image.open(tmp_path / plain_picture).convert("RGB"))
        np.testing.assert_array_equal(np.asarray(Image.open(folder / marked).convert("RGB"))[20:-20], real)


def test_a_picture_says_all_that_it_is_not():
    assert montage.marks(False, False) == ""
    assert montage.marks(True, False) == "drawings, not data"
    assert montage.marks(False, True) == "a rehearsal, not a build"
    assert montage.marks(True, True) == "drawings, not data; a rehearsal, not a build"
