"""What a build costs: figures with a basis for every dataset, and the time in words."""

from __future__ import annotations

import pytest

from preprocess import recipe
from preprocess.acquire import estimate


@pytest.mark.parametrize(
    ("seconds", "cores", "said"),
    [
        (1, 1, "about 1 minute on 1 core"),
        (480, 2, "about 4 minutes on 2 cores"),
        (5399, 1, "about 90 minutes on 1 core"),
        (36000, 4, "about 2.5 hours on 4 cores"),
    ],
)
def test_how_long_it_takes_in_words(seconds, cores, said):
    cost = estimate.Cost("octmnist", 109_309, 1, 1, seconds, "similar")
    assert estimate.report([cost], cores)[-1] == f"{said}; rough figures"


def test_the_forecast_counts_arrays_exactly():
    one = estimate.cost("breastmnist", [28, 224])
    assert one.samples == 780
    assert one.scratch == 780 * (28 * 28 + 224 * 224)
    assert estimate.cost("dermamnist", [28]).scratch == 10_015 * 28 * 28 * 3
    assert one.output < one.scratch
    assert estimate.cost("breastmnist", [28]).seconds < one.seconds


@pytest.mark.parametrize("name", recipe.names())
def test_every_dataset_has_figures_with_a_basis(name):
    one = estimate.cost(name, [28])
    assert one.basis in ("measured", "similar", "assumed")
    assert one.seconds > 0
