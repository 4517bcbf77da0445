"""Near duplicates: those that a plain loop finds, and the known ones among real images."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from benchmarks import near_duplicates
from preprocess import duplicates
from preprocess.cells import cells as cells_of
from tests.builds import unpack


@pytest.fixture(params=[False, True], ids=["pairs that share a part of the hash", "all pairs"])
def all_pairs(request, monkeypatch):
    """Both ways to find near duplicates, whichever would be less work, with blocks that several are needed of."""
    monkeypatch.setattr(duplicates, "BLOCK", 16)
    monkeypatch.setattr(duplicates, "CHUNK", 50)
    monkeypatch.setattr(duplicates, "FIT", 64)
    return request.param


def test_the_way_with_less_work_is_taken(monkeypatch):
    """Hashes of noise share nothing; among those of one picture every pair shares all."""
    taken = []
    for name in ("_sharing", "_of_all"):
        monkeypatch.setattr(duplicates, name, lambda *arguments, name=name: taken.append(name) or iter(()))
    noise = np.random.default_rng(2).integers(0, 256, (400, 17, 17)).astype(np.uint8)
    duplicates.near(noise)
    duplicates.near(noise[:1].repeat(400, 0))
    assert taken == ["_sharing", "_of_all"]


# ---- pairs, by a plain loop


def views(cells):
    """The eight ways a square can lie, by how they are said: Pillow turns and mirrors."""
    picture = Image.fromarray(cells)
    return {
        f"{mirrored}{turned}" or "same": np.asarray(one.rotate(angle))
        for mirrored, one in (("", picture), ("mirrored", picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
        for angle, turned in ((0, ""), (90, f"{', ' * bool(mirrored)}turned 90"),
                              (180, f"{', ' * bool(mirrored)}turned 180"), (270, f"{', ' * bool(mirrored)}turned 270"))
    }  # fmt: skip


class View:
    """Cells that lie in some way: their bits from left to right and from bottom to top, and their standard scores."""

    def __init__(self, cells):
        self.bits = [self.hashed(cells.tolist()), self.hashed(np.rot90(cells).tolist())]
        self.scores = (cells - cells.mean()) / cells.std()

    @staticmethod
    def hashed(cells):
        return np.array([right - left > 2 for line in cells for left, right in pairwise(line)])

    def distances(self, other, is_quarter):
        """Hamming distances along one direction or both, without flat pictures."""
        for one, its in list(zip(self.bits, other.bits, strict=True))[: 1 if is_quarter else 2]:
            if all(24 <= bits.sum() <= 272 - 24 for bits in (one, its)):
                yield int((one != its).sum())


def near_by_loop(cells):
    """What each pair is: the turn and the distance, by looking at every view of either of the two."""
    every = [{turn: View(one) for turn, one in views(picture).items()} for picture in cells]
    back = {"turned 90": "turned 270", "turned 270": "turned 90"}
    found = {}
    for first, second in combinations(range(len(cells)), 2):
        seen = []
        for turn in duplicates.TURNS:
            for one, other in ((first, second), (second, first)):
                left, right = every[one]["same"], every[other][turn]
                if (left.scores * right.scores).mean() >= 0.985:
                    # the second is what the view makes of the first, or undoes it
                    of_first = duplicates.TURNS.index(turn if one == second else back.get(turn, turn))
                    distances = left.distances(right, is_quarter=turn[-2:] in ("90", "70"))
                    seen += [(distance, of_first) for distance in distances if distance <= 12]
        if seen:
            found[first, second] = min(seen)
    return {pair: (duplicates.TURNS[turn], distance) for pair, (distance, turn) in found.items()}


def found_in(cells, **options):
    return {(one.first, one.second): (one.turn, one.distance) for one in duplicates.near(cells, **options)}


def test_near_duplicates_are_those_a_plain_loop_finds(all_pairs):
    generator = np.random.default_rng(3)
    cells = generator.integers(0, 200, (48, 17, 17)).astype(np.uint8)
    planted = {(3, 7): "same", (40, 41): "turned 90", (0, 45): "mirrored", (20, 44): "mirrored, turned 90"}
    for (original, copy), turn in planted.items():
        cells[copy] = views(cells[original])[turn] + generator.integers(0, 5, (17, 17))
    cells[43] = cells[1] + generator.integers(0, 120, (17, 17))  # too much noise
    cells[2] = cells[2] + cells[2, :, ::-1]  # symmetrical, and so is its copy
    cells[42] = cells[2]
    cells[[30, 31], :, :2] = (90, 95)  # two flat pictures are no duplicates
    cells[[30, 31], :, 2:] = 90
    expected = near_by_loop(cells)
    assert {pair: turn for pair, (turn, _) in expected.items()} == planted | {(2, 42): "same"}
    assert found_in(cells, all_pairs=all_pairs) == expected


def test_near_duplicates_among_pictures_that_resemble_each_other(all_pairs):
    """One slope with some bright cells, each of which turns bits: distances about the threshold, shared parts."""
    generator = np.random.default_rng(5)
    slope = np.minimum(np.arange(17) * 12, 64 - np.arange(17) * 4) + np.arange(17)[:, None] * 5
    cells = np.tile(slope, (30, 1, 1)).astype(np.uint8)
    for one in cells:
        count = generator.integers(0, 26)
        one[generator.integers(0, 17, count), generator.integers(0, 17, count)] += 9
    cells[15:] = cells[15:, ::-1, ::-1]
    expected = near_by_loop(cells)
    counts = Counter(distance for _, distance in expected.values())
    assert counts[11]
    assert counts[12]
    assert len(expected) < 30 * 29 / 2
    assert {turn for turn, _ in expected.values()} >= {"same", "turned 180"}
    assert found_in(cells, all_pairs=all_pairs) == expected


def test_of_too_many_pairs_those_are_kept_that_link(all_pairs):
    """Thirty copies of one picture are 435 pairs; ten of them and what links the others make one cluster."""
    generator = np.random.default_rng(6)
    cells = generator.integers(0, 200, (40, 17, 17)).astype(np.uint8)
    cells[:30] = cells[0] + generator.integers(0, 3, (30, 17, 17))
    assert len(duplicates.near(cells, all_pairs=all_pairs)) == 435
    few = duplicates.near(cells, limit=10, all_pairs=all_pairs)
    assert len(few) < 150
    links = [(pair.first, pair.second) for pair in few]
    assert duplicates.clusters(40, links).tolist() == [0] * 30 + list(range(30, 40))


def test_identical_pictures_stand_with_their_first():
    generator = np.random.default_rng(7)
    cells = generator.integers(0, 200, (6, 17, 17)).astype(np.uint8)
    cells[[2, 4, 5]] = cells[1]
    cells[5, 3, 3] += 3
    cells[3] = 7  # flat, as is the first
    cells[0] = 7
    pairs = duplicates.alike([one.tobytes() for one in cells], cells)
    told = [(pair.first, pair.second, pair.turn) for pair in pairs]
    first = [(0, 3, "identical"), (1, 2, "identical"), (1, 4, "identical")]
    assert told == [*first, (1, 5, "same"), (2, 5, "same"), (4, 5, "same")]


def test_hash_sees_through_size_and_brightness():
    generator = np.random.default_rng(1)
    picture = np.kron(generator.integers(40, 180, (17, 17)), np.ones((8, 8))).astype(np.uint8)

    def bits(image):
        return duplicates.difference_hash(cells_of(image, 2))

    assert np.array_equal(bits(picture), bits(picture + 30))
    assert np.array_equal(bits(picture), bits(picture.repeat(3, 0).repeat(3, 1)))
    assert (bits(picture) != bits(picture[::-1])).sum() > 60


def test_of_a_volume_the_turns_within_its_planes_are_found():
    generator = np.random.default_rng(8)
    volume = np.kron(generator.integers(0, 250, (4, 10, 10)), np.ones((7, 3, 3))).astype(np.uint8)[:28, :28, :28]
    copies = [volume, volume[:, :, ::-1], volume.transpose(0, 2, 1), volume[::-1], volume.transpose(1, 2, 0)]
    cells = np.stack([cells_of(one, 3) for one in copies])
    turns = {pair.second: pair.turn for pair in duplicates.near(cells) if pair.first == 0}
    assert turns == {1: "mirrored", 2: "mirrored, turned 90", 3: "same"}


# ---- changed copies of pictures


@pytest.mark.parametrize(
    "name", ["drawings", *(pytest.param(name, marks=pytest.mark.real) for name in near_duplicates.FOLDERS)]
)
def test_changed_copies_are_found_and_nothing_else(name, stand_in, request, tmp_path):
    """At 28, by kind of change; docs/benchmarks.md has the shares of all pictures and sizes. Here few, and reduced."""
    if name == "drawings":
        dataset, folder = (
            "breastmnist",
            unpack(stand_in("busi") / "Dataset_BUSI.zip", tmp_path) / "Dataset_BUSI_with_GT",
        )
    else:
        dataset, folder = name, request.getfixturevalue("real") / near_duplicates.FOLDERS[name]
    pictures = near_duplicates.pictures(folder)
    pictures = pictures[:: max(len(pictures) // 8, 1)]
    for picture in pictures:
        picture.thumbnail((300, 300))
    there = near_duplicates.planted(dataset, pictures, [28])[28]
    assert duplicates.near(there) == []
    for change, (function, turn) in near_duplicates.CHANGES.items():
        copies = near_duplicates.planted(dataset, pictures, [28], function)[28]
        outcome = near_duplicates.search(there, copies, turn)
        assert outcome.found == outcome.rightly, change
        assert not outcome.strangers, change
        if "cropped" in change:  # known to be missed
            continue
        assert outcome.found >= 0.75 * len(pictures), (change, outcome)


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
    ("benign (323)", "benign (6)"),
    ("benign (433)", "malignant (145)"),
    ("benign (42)", "malignant (51)"),
    ("benign (13)", "benign (330)"),
    ("benign (234)", "benign (261)"),
    ("benign (240)", "benign (277)"),
    ("benign (255)", "benign (277)"),
    ("malignant (116)", "malignant (18)"),
]

#: it is too far off: the one is cut tighter
MISSED = ("benign (240)", "benign (277)")


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
    assert {pair for pair in strangers if len(pair) == 2} == {frozenset(pair) for pair in SEEN_BY_EYE if pair != MISSED}
    per_original = Counter(origin[pair.first] for pair in pairs if origin[pair.first] == origin[pair.second])
    found, possible = sum(per_original.values()), len(files) * 15
    assert found / possible > 0.95, f"{found} of {possible} known pairs"


@pytest.mark.real
def test_the_known_pair_of_busi_is_found(real, builder):
    done = builder("breastmnist", real / "busi", protocol="released", sizes=(64,), census="warn", miniature=False)
    pair = {"benign/benign (433).png", "malignant/malignant (145).png"}
    conflicts = [one for one in done.findings if one["check"] == "duplicates-label"]
    assert [set(example) for one in conflicts for example in one["examples"]] == [pair]


def test_of_flat_pictures_none_are_near():
    cells = np.repeat(np.arange(40, dtype=np.uint8)[:, None, None], 17, axis=1).repeat(17, axis=2)
    assert duplicates.near(cells) == []
    assert duplicates.near(cells, all_pairs=True) == []
