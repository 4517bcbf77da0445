"""The alike stage: which samples look alike, for a split that keeps those together.

It comes between render and split, and only where the split asks for it: the samples are then rendered in the order of
the index.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from preprocess import duplicates, rendered
from preprocess.table import write_rows

log = logging.getLogger(__name__)

COLUMNS = ("key", "cluster")


def write(shards: list[Path], out: Path) -> None:
    """Write the samples that look like another: their keys, and the cluster of each by the first of its keys.

    Clusters are near duplicates (:mod:`preprocess.duplicates`) of the samples at
    :data:`~preprocess.rendered.LOOKED_AT`, closed transitively. They depend on keys and pixels alone, not on the order
    of the shards.

    Args:
        shards: the folders of all shards, each written with what its samples look like.
        out: the table.
    """
    entries = [(key, not reason) for _, _, (key, reason) in rendered.cells(shards, "key", "reason")]
    looks = [rendered.looks(shard) for shard in shards]
    kept = [row for row, (_, is_rendered) in enumerate(entries) if is_rendered]
    kept.sort(key=lambda row: entries[row][0])
    keys = [entries[row][0] for row in kept]
    digests, cells = (np.concatenate([look[place] for look in looks])[kept] for place in (0, 1))
    del looks
    pairs = duplicates.alike(map(bytes, digests), cells)
    first = duplicates.clusters(len(keys), ((pair.first, pair.second) for pair in pairs)).tolist()
    sizes = Counter(first)
    write_rows(out, COLUMNS, ((key, keys[row]) for key, row in zip(keys, first, strict=True) if sizes[row] > 1))
    several = [size for size in sizes.values() if size > 1]
    log.info(
        "%s of %s samples look like another: %s clusters, the largest of %s",
        f"{sum(several):,}", f"{len(keys):,}", f"{len(several):,}", f"{max(several, default=0):,}",
    )  # fmt: skip
