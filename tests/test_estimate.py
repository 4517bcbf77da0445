"""What a build costs: figures with a basis for every dataset, and the time in words."""

from __future__ import annotations

import pytest

from preprocess import recipe
from preprocess.acquire import estimate
from preprocess.errors import PreprocessError


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


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("bloodmnist", 6),  # 17,092 x (1 + 4 x 1.3) ms x 1.5 = 159 s
        ("breastmnist", 1),  # 780 x (7.5 + 4 x 0.5) ms x 1.5 = 11 s
        ("nodulemnist3d", 262),  # 1,633 x (3,000 + 2 x 100) ms x 1.5 = 7,838 s
        ("chestmnist", 12),  # 112,120 x (18 + 4 x 1.5) ms x 1.5 = 4,036 s, and 12 archives
    ],
)
def test_there_is_a_job_for_30_seconds(name, jobs):
    assert estimate.shards(name) == jobs


def test_memory_follows_rows_sizes_and_scans():
    sizes = (28, 64, 128, 224)
    # 236,386 rows of 3,000 bytes are 709 MB, and 300 MB come first
    assert estimate.memory("tissuemnist", sizes, of_scans=False) == 1100
    # 140 million voxels of 14 bytes are 1,960 MB, 58,830 rows 176 MB
    assert estimate.memory("organamnist", sizes, of_scans=True) == 2500
    assert estimate.memory("organamnist", sizes, of_scans=False) == 500
    # 17,092 rows are 51 MB, a picture at all sizes 1 MB, and four processes of 90 MB pack
    assert estimate.memory("bloodmnist", sizes, of_scans=False, packers=4) == 800
    # one volume of 512 x 512 x 512 floats is 537 MB
    assert estimate.memory("vesselmnist3d", (512,), of_scans=True) == 900


def test_large_files_are_packed_by_more_workers():
    quick, slow = (
        [estimate.pack_workers("bloodmnist", size, packing) for size in (28, 64, 128, 224)]
        for packing in ("quick", "slow")
    )
    # 17,092 x 3 x 64 x 64 bytes are 3.1 times 64 MiB, 17,092 x 3 x 128 x 128 are 2.1 times 384 MiB; 4 are the most
    assert (quick, slow) == ([1, 1, 2, 4], [1, 3, 12, 16])


def test_audits_that_would_hold_scans_several_times_have_one_process():
    assert estimate.audit_workers("bloodmnist") > 1
    assert {estimate.audit_workers(name) for name in ("organamnist", "nodulemnist3d", "synapsemnist3d")} == {1}


def test_zlib_takes_seven_times_as_long_to_pack():
    quick, slow = (estimate.cost("pathmnist", [224], packing=packing) for packing in ("quick", "slow"))
    pixels = 107_180 * 3 * 224 * 224
    assert slow.seconds - quick.seconds == pytest.approx(pixels / 20e6 - pixels / 140e6)


@pytest.mark.parametrize("name", recipe.names())
def test_every_dataset_has_figures_with_a_basis(name):
    one = estimate.cost(name, [28])
    assert one.basis in ("measured", "similar", "assumed")
    assert one.seconds > 0


def test_large_sizes_cost_what_their_pixels_cost():
    # 780 x (7.5 + 0.5 x (5000 / 224)^2) ms, half as much again, and 780 x 5000^2 bytes packed at 140 MB a second
    expected = 780 * (7.5 + 0.5 * (5000 / 224) ** 2) / 1000 * 1.5 + 780 * 5000**2 / 140e6
    one = estimate.cost("breastmnist", [5000])
    assert one.seconds == pytest.approx(expected)
    assert one.memory == 4 * 500  # 300 MB, 780 rows, and 4 x 5000^2 bytes, in each process of an audit
    assert one.scratch == 780 * 5000**2


def test_a_job_that_cannot_fit_is_refused(monkeypatch):
    one = estimate.cost("vesselmnist3d", [512])
    assert one.memory == 900
    estimate.check_memory([one, estimate.cost("breastmnist", [28])])
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 200_000, "SC_PAGE_SIZE": 4096}.__getitem__)
    with pytest.raises(PreprocessError, match=r"vesselmnist3d: a job needs about 900.0 MB of memory .* has 819.2 MB"):
        estimate.check_memory([one])
