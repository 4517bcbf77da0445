"""From a source's label to the dataset's: several classes of one image, and the scores of several readers."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess import labels, recipe
from preprocess.errors import ExcludeSample, PreprocessError
from preprocess.labels import several
from preprocess.table import Sample
from tests.builds import readers_label

LABEL = recipe.read("chestmnist")["label"] | {"source": "data_entry"}


@pytest.mark.parametrize(
    ("text", "ones"),
    [
        ("No Finding", []),
        ("Pneumonia", [6]),
        ("Pneumothorax", [7]),
        ("Pleural_Thickening|Mass", [4, 12]),
        ("Hernia|Atelectasis|Hernia", [0, 13]),
    ],
)
def test_several(text, ones):
    label = several(Sample("x", original_label=text), LABEL)
    assert [place for place, digit in enumerate(label.split()) if digit == "1"] == ones
    assert len(label.split()) == 14


def test_several_refuses_and_excludes():
    with pytest.raises(PreprocessError, match="class 'Pleural Thickening' is not known"):
        several(Sample("x", original_label="Mass|Pleural Thickening"), LABEL)
    with pytest.raises(ExcludeSample, match="no-label"):
        several(Sample("x"), LABEL)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_scores_of_any_readers(scores):
    modes = statistics.multimode(scores)
    assert labels.readers_score(scores, "mode-lowest") == min(modes)
    assert labels.readers_score(scores, "mode-highest") == max(modes)
    assert labels.readers_score(scores, "median") == statistics.median(scores)
    assert labels.readers_score(scores, "mean-rounded") == np.round(np.mean(scores))
    how = recipe.read("nodulemnist3d")["label"] | {"malignancy": "median"}
    expected = {-1.0: "0", 0.0: None, 1.0: "1"}[float(np.sign(statistics.median(scores) - 3))]
    assert readers_label(scores, how) == expected
