"""Every dataset, from its stand-in, in both protocols: what must hold of all of them."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess import miniature, recipe
from preprocess.reasons import REASONS

DATASETS = recipe.names()
#: drawings of few shapes, of which some resemble each other as copies do, across splits and of OCT across classes
RESEMBLE = {"adrenalmnist3d": {"near-duplicates"}, "octmnist": {"near-duplicates", "near-duplicates-label"}}


@pytest.mark.parametrize("name", DATASETS)
def test_recipe_is_valid(name):
    recipe.validate(name)


@pytest.mark.parametrize("protocol", ["paper", "released"])
@pytest.mark.parametrize("name", DATASETS)
def test_builds_clean(name, protocol, stand_in, builder):
    about = recipe.load(name, protocol)
    sizes = (28, 33) if about.dimensions == 3 else (28, 96)
    done = builder(name, stand_in(about.source), protocol=protocol, sizes=sizes)
    assert not [finding for finding in done.findings if finding["level"] == "error"]
    if protocol == "paper":  # the published splits leak on purpose; this one leaves a reader nothing but unclear terms
        warnings = {finding["check"] for finding in done.findings if finding["level"] == "warning"}
        expected = RESEMBLE.get(name, set()) | ({"licence"} if about.dataset.licence == "unknown" else set())
        assert warnings == expected
    assert {row["reason"] for row in done.excluded} <= set(REASONS)
    filled = {"train", "val", "test"} - set(about.dataset.unpublished)
    assert {row["split"] for row in done.samples} == filled
    for size in sizes:
        arrays = done.arrays(size)
        assert all(array.dtype == np.uint8 for array in arrays.values())
        assert sum(len(arrays[f"{split}_images"]) for split in ("train", "val", "test")) == len(done.samples)
        for split in ("train", "val", "test"):
            assert arrays[f"{split}_images"].shape[1:] == about.shape(size)


@pytest.mark.parametrize("name", DATASETS)
def test_stand_in_has_several_samples_per_class_and_split(name, stand_in, builder):
    about = recipe.load(name, "paper")
    done = builder(name, stand_in(about.source))
    labels = {row["label"] for row in done.samples if row["split"] == "train"}
    if about.dataset.task != "multi-label":
        assert labels == {str(label) for label in range(len(about.dataset.classes))}
    if about.dataset.group != "none":
        assert len({row["group"] for row in done.samples}) > 3


@pytest.mark.parametrize("source", sorted({recipe.read(name)["source"] for name in DATASETS}))
def test_stand_in_is_the_same_every_time(source, stand_in, tmp_path):
    miniature.generate(source, tmp_path / "again")
    first, again = (
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (stand_in(source), tmp_path / "again")
    )
    assert first == again
