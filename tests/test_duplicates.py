"""Near duplicates: those that a plain loop finds, and the known ones among real images."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from preprocess import duplicates
from preprocess.cells import cells as cells_of


@pytest.fixture(params=[False, True], ids=["pairs that share a part of the hash", "all pairs"])
def all_pairs(request, monkeypatch):
    """Both ways to find near duplicates, whichever would be less work."""
    monkeypatch.setattr(duplicates, "BLOCK", 16)
    return request.param


def test_the_way_with_less_work_is_taken():
    """Hashes of noise share nothing; among those of one picture every pair shares all."""
    noise = np.random.default_rng(2).random((400, 256)) < 0.5
    assert not duplicates.share_much(duplicates.bit_parts(noise))
    assert duplicates.share_much(duplicates.bit_parts(noise[:1].repeat(400, 0)))


def test_near_duplicates_are_those_a_plain_loop_finds(all_pairs):
    generator = np.random.default_rng(3)
    cells = generator.integers(0, 200, (60, 16, 17)).astype(np.uint8)
    for copy, original, noise in ((7, 3, 2), (40, 41, 5), (59, 0, 8), (20, 50, 30), (11, 12, 0)):
        cells[copy] = cells[original] + generator.integers(0, noise + 1, (16, 17))
    cells[[30, 31], :, :2] = (90, 91)  # two flat pictures are no duplicates
    cells[[30, 31], :, 2:] = 90
    hashes = duplicates.difference_hash(cells)
    expected = {
        (i, j): int((hashes[i] != hashes[j]).sum())
        for i in range(60)
        for j in range(i + 1, 60)
        if 30 not in (i, j)
        and (hashes[i] != hashes[j]).sum() <= 12
        and np.corrcoef(cells[i].ravel(), cells[j].ravel())[0, 1] >= 0.985
    }
    assert {(11, 12), (3, 7)} <= set(expected) <= {(11, 12), (3, 7), (40, 41), (0, 59)}
    found = duplicates.near(cells, all_pairs=all_pairs)
    assert {(pair.first, pair.second): pair.distance for pair in found} == expected


def test_near_duplicates_among_pictures_that_resemble_each_other(all_pairs):
    """One slope with up to 14 bright cells, each of which turns a bit: distances about the threshold, shared parts."""
    generator = np.random.default_rng(5)
    slope = np.minimum(np.arange(17), 16 - np.arange(17)) * 8 + 20
    cells = np.tile(slope, (120, 16, 1)).astype(np.uint8)
    for one in cells:
        count = generator.integers(0, 15)
        one[generator.integers(0, 16, count), generator.integers(0, 17, count)] += 9
    hashes = duplicates.difference_hash(cells)
    distances = {(i, j): int((hashes[i] != hashes[j]).sum()) for i, j in combinations(range(120), 2)}
    assert min(Counter(distances.values())[distance] for distance in (11, 12, 13)) > 100
    expected = {
        pair: distance
        for pair, distance in distances.items()
        if distance <= 12 and np.corrcoef(*(cells[row].ravel() for row in pair))[0, 1] >= 0.985
    }
    assert 12 in expected.values()
    found = duplicates.near(cells, all_pairs=all_pairs)
    assert {(pair.first, pair.second): pair.distance for pair in found} == expected


def test_hash_sees_through_size_and_brightness():
    generator = np.random.default_rng(1)
    picture = np.kron(generator.integers(40, 180, (16, 17)), np.ones((8, 8))).astype(np.uint8)

    def bits(image):
        return duplicates.difference_hash(cells_of(image, 2))

    assert np.array_equal(bits(picture), bits(picture + 30))
    assert np.array_equal(bits(picture), bits(picture.repeat(3, 0).repeat(3, 1)))
    assert (bits(picture) != bits(picture[::-1])).sum() > 60


def altered(picture):
    """What a copy of an image goes through: JPEG, noise, scale, brightness, a burnt-in mark."""
    import io

    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=40)
    yield Image.open(buffer)
    noise = np.random.default_rng(0).normal(0, 6, (picture.height, picture.width))
    yield Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    yield picture.resize((picture.width * 3 // 5, picture.height * 3 // 5), Image.Resampling.BICUBIC)
    yield ImageEnhance.Brightness(picture).enhance(0.85)
    marked = picture.copy()
    marked.paste(255, (5, 5, 5 + picture.width // 20, 5 + picture.height // 40))
    yield marked


#: pairs among the 93 real BUSI images that show the same picture, two of them with opposite labels
SEEN_BY_EYE = [
    ("benign (433)", "malignant (145)"),
    ("benign (42)", "malignant (51)"),
    ("benign (13)", "benign (330)"),
    ("benign (234)", "benign (261)"),
    ("benign (240)", "benign (277)"),
    ("benign (255)", "benign (277)"),
    ("malignant (116)", "malignant (18)"),
]


@pytest.mark.real
def test_the_threshold_finds_altered_copies_and_nothing_else(real):
    folder = real / "busi" / "Dataset_BUSI_with_GT"
    files = [path for path in sorted(folder.rglob("*.png")) if "mask" not in path.name]
    cells, origin = [], []
    for number, path in enumerate(files):
        picture = Image.open(path).convert("L")
        for one in (picture, *altered(picture)):
            cells.append(cells_of(np.asarray(one), 2))
            origin.append(number)
    pairs = duplicates.near(np.stack(cells))
    strangers = {frozenset(files[origin[row]].stem for row in (pair.first, pair.second)) for pair in pairs}
    assert {pair for pair in strangers if len(pair) == 2} == {frozenset(pair) for pair in SEEN_BY_EYE}
    per_original = Counter(origin[pair.first] for pair in pairs if origin[pair.first] == origin[pair.second])
    found, possible = sum(per_original.values()), len(files) * 15
    assert found / possible > 0.95, f"{found} of {possible} known pairs"


@pytest.mark.real
def test_the_known_pair_of_busi_is_found(real, builder):
    done = builder("breastmnist", real / "busi", protocol="released", sizes=(64,), census="warn", miniature=False)
    pair = {"benign/benign (433).png", "malignant/malignant (145).png"}
    conflicts = [one for one in done.findings if one["check"] == "duplicates-label"]
    assert [set(example) for one in conflicts for example in one["examples"]] == [pair]
