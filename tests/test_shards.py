"""Which samples a shard holds: every sample once, units whole, archives whole where that costs little."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from preprocess import shards as shards_of
from preprocess.acquire import estimate
from preprocess.table import Sample


def published_parts(counts: list[int]) -> list[Sample]:
    return [
        Sample(key=f"{part}-{i}", path=f"images_{part:03}.tar.gz!/images/{i}.png")
        for part, count in enumerate(counts, 1)
        for i in range(count)
    ]


def test_a_shard_is_an_archive():
    counts = [4999, *[10_000] * 10, 7121]
    samples = published_parts(counts)
    assert len(samples) == 112_120
    shards = estimate.shards("chestmnist")
    found = [shards_of.block(shards_of.boundaries_of(samples), shard, shards) for shard in range(shards)]
    assert [end - start for start, end in found] == counts


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 12), st.integers(0, 3))
def test_blocks_are_a_partition_and_keep_units_whole(counts, shards, unit):
    samples = published_parts(counts)
    for i, one in enumerate(samples):
        one.unit = f"unit {i // (unit + 1)}" if unit else ""
    ends = [0]
    for shard in range(shards):
        start, end = shards_of.block(shards_of.boundaries_of(samples), shard, shards)
        assert start == ends[-1]
        assert end >= start
        ends.append(end)
    assert ends[-1] == len(samples)
    for end in ends[1:-1]:
        assert end in (0, len(samples)) or samples[end - 1].unit_key != samples[end].unit_key
    if len(samples) >= 4 * shards and not unit:
        sizes = np.diff(ends)
        assert sizes.max() <= 2 * len(samples) // shards + 1


def test_a_cut_does_not_move_further_than_half_a_shard():
    ends = [shards_of.block(shards_of.boundaries_of(published_parts([10, 989])), shard, 4)[1] for shard in range(4)]
    assert ends == [249, 499, 749, 999]
    ends = [shards_of.block(shards_of.boundaries_of(published_parts([130, 869])), shard, 4)[1] for shard in range(4)]
    assert ends == [130, 499, 749, 999]


def test_without_archives_blocks_are_near_equal():
    samples = [Sample(key=str(i), path=f"images/{i}.png") for i in range(1000)]
    sizes = {
        end - start
        for start, end in (shards_of.block(shards_of.boundaries_of(samples), shard, 7) for shard in range(7))
    }
    assert sizes <= {142, 143}
