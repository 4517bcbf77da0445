"""The verdict on files that are built, copied or spoilt, beside the published ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from preprocess import checksums, container, npz, published, recipe
from preprocess.audit import verdict
from preprocess.table import write_rows
from tests.builds import run

SPLITS = ("train", "val", "test")


# ---- a published file of eight rows, so that all this runs without the real ones


class Case:
    """A published breastmnist.npz of 5 + 1 + 2 rows, and a build of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        random = np.random.default_rng(1)
        self.arrays: dict[str, np.ndarray] = {}
        for split, count in zip(SPLITS, (5, 1, 2), strict=True):
            self.arrays[f"{split}_images"] = random.integers(0, 255, (count, 28, 28), np.uint8)
            self.arrays[f"{split}_labels"] = random.integers(0, 2, (count, 1), np.uint8)
        self.released = folder / "released" / "breastmnist.npz"
        self.write(self.released, self.arrays)
        md5 = hashlib.md5(self.released.read_bytes()).hexdigest()
        counts = {split: published.Counts(len(self.arrays[f"{split}_labels"]), "read") for split in SPLITS}
        edition = published.Edition("breastmnist", "3.0.0", "", {28: md5, 64: "0" * 32}, counts)
        monkeypatch.setattr(published, "editions", lambda dataset: (edition,))
        monkeypatch.setattr(published, "_by_md5", lambda: {md5: published.File(edition, 28)})

    def write(self, path: Path, arrays: dict[str, np.ndarray], system: int = 3) -> dict[str, container.Written]:
        path.parent.mkdir(exist_ok=True)
        order, _ = container.layout(2, 28)
        members = [container.Array(name, arrays[name].shape, [arrays[name].tobytes()]) for name in order]
        return container.write(path, members, system)

    def judge(
        self,
        keep: Callable[[str, int], bool] = lambda split, index: True,
        protocol: str = "released",
        placed: bool = True,
        system: int = 3,
        released: Path | None = None,
        miniature: bool = False,
        size: int = 28,
        overrides: dict[str, object] | None = None,
    ) -> verdict.Verdict:
        """Build from the rows that ``keep`` keeps, in the published order, and judge."""
        kept = {
            split: [i for i in range(len(self.arrays[f"{split}_labels"])) if keep(split, i)] for split in SPLITS
        }  # fmt: skip
        path = self.folder / "breastmnist.npz"
        arrays = {name: array[kept[name.partition("_")[0]]] for name, array in self.arrays.items()}
        written = self.write(path, arrays, system)
        table, sums = self.folder / "samples.tsv", self.folder / "sums.tsv"
        rows = [
            (split, position, f"{split}-{index}", index if placed else "")
            for split in SPLITS
            for position, index in enumerate(kept[split])
        ]
        write_rows(table, ("split", "index", "key", "released_index"), rows)
        checksums.write_sums(path, written, sums)
        in_force = recipe.load("breastmnist", protocol, overrides)
        where = released or self.released
        built = verdict.BuiltFile(in_force, size, path, table, checksums.read_sums([sums]))
        return verdict.judge(built, where, miniature)


@pytest.fixture
def case(tmp_path, monkeypatch):
    return Case(tmp_path, monkeypatch)


def test_the_same_bytes_are_identical(case):
    assert case.judge().verdict == "identical"
    assert case.judge(released=case.folder / "nothing.npz").verdict == "identical"


def test_another_container_has_identical_arrays(case):
    for placed in (True, False):
        found = case.judge(system=0, placed=placed)
        assert found.verdict == "arrays identical"
        assert "MD5 is not" in found.text


def test_a_wrong_pixel_is_named(case):
    image = case.arrays["train_images"][3]
    image[5, 6] = image[5, 6] + 3 if image[5, 6] < 200 else image[5, 6] - 3
    found = case.judge()
    assert (found.verdict, found.rows, found.identical, found.worst) == ("rows", 8, 7, 3)
    assert found.text.startswith("7 of 8 rows identical, worst difference 3")
    (one,) = found.differences
    assert (one.split, one.index, one.key, one.image, one.pixels, one.label) == ("train", 3, "train-3", 3, 1, "")
    assert str(one) == "train 3 (train-3): 1 values differ, by up to 3"


def test_swapped_rows_are_named_across_splits(case):
    train, test = case.arrays["train_images"], case.arrays["test_images"]
    train[1], test[0] = test[0].copy(), train[1].copy()
    found = case.judge()
    assert (found.identical, found.rows) == (6, 8)
    swaps = {(one.split, one.index): one.instead for one in found.differences}
    assert swaps == {("train", 1): "test 0", ("test", 0): "train 1"}
    assert "the image is the published test 0" in str(found.differences[0])


def test_a_changed_label_is_named(case):
    labels = case.arrays["val_labels"]
    labels[0, 0] = 1 - labels[0, 0]
    found = case.judge()
    assert (found.identical, found.rows, found.worst) == (7, 8, 0)
    (one,) = found.differences
    assert (one.split, one.index, one.label) == ("val", 0, f"{labels[0, 0]}, published {1 - labels[0, 0]}")


def test_rows_without_a_raw_are_counted(case):
    found = case.judge(lambda split, index: (split, index) not in {("train", 0), ("train", 3), ("test", 0)})
    assert (found.rows, found.identical, found.without_raw) == (5, 5, 3)
    assert "5 of 5 rows identical, worst difference 0; 3 of 8 published rows have no raw" in found.text
    without = case.judge(lambda split, index: split != "val", released=case.folder / "nothing.npz")
    assert without.verdict == "not comparable"
    assert "7 of 8 published rows have their raw" in without.text


def test_what_cannot_be_compared_says_why(case):
    other = case.folder / "other.npz"
    case.write(other, {name: array[::-1] for name, array in case.arrays.items()})
    changed = case.arrays["train_images"].copy()
    changed[0] ^= 1
    reasons = {
        "paper protocol": {"protocol": "paper"},
        "stand-in": {"miniature": True},
        "published at 28, 64 only": {"size": 33},
        "none of the published files; download it again": {"released": other},
        "order is not known": {"placed": False},
        "neither the rows' order nor which samples are in train, val and test is claimed": {"placed": False},
        "overridden": {"placed": False, "overrides": {"split.ratio": "8:1:1"}},
        "put the published breastmnist.npz into": {"released": case.folder / "nothing.npz"},
    }
    case.arrays["train_images"] = changed
    for text, options in reasons.items():
        found = case.judge(**options)
        assert found.verdict == "not comparable", text
        assert text in found.text
        assert found.rows == 0


def test_without_an_order_only_numbers_are_claimed(case):
    case.arrays["train_images"][0] ^= 1
    assert any("have the published numbers" in note for note in case.judge(placed=False).notes)
    fewer = case.judge(lambda split, index: index < 4, placed=False)
    assert "train has 4 rows, published 5" in fewer.notes


@pytest.mark.parametrize(
    ("dataset", "claimed"),
    [
        ("chestmnist", "train, val and test are those of a published list, the order of rows within them is seeded"),
        ("organmnist3d", "train, val and test are those of a published list"),
        ("fracturemnist3d", "train, val and test are the source's own, the order"),
        ("octmnist", "test is the source's own; neither the rows' order nor which samples are in train and val is"),
        ("bloodmnist", "neither the rows' order nor which samples are in train, val and test is claimed; they are cut"),
    ],
)
def test_what_is_claimed_of_splits_follows_the_rule_in_force(dataset, claimed):
    text = verdict._no_order(recipe.load(dataset, "released"))
    assert text.startswith("the published order is not known (no order table): ")
    assert claimed in text


class Fingerprinted(Case):
    """The same case, its published edition with mean and deviation of some size and grade."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        self.monkeypatch = monkeypatch

    def said(self, mean: float, std: float, size: int = 28, evidence: str = "consistent", **options) -> str:
        (edition,) = published.editions("breastmnist")
        edition = replace(edition, fingerprint=published.Fingerprint(mean, std, size, evidence, "typed here"))
        self.monkeypatch.setattr(published, "editions", lambda dataset: (edition,))
        found = self.judge(released=self.folder / "nothing.npz", **options)
        assert found.verdict == "not comparable"
        return "; ".join((found.text, *found.notes))


def test_mean_and_deviation_of_a_complete_build_are_held_against_the_published(tmp_path, monkeypatch):
    case = Fingerprinted(tmp_path, monkeypatch)
    case.arrays["train_images"][0] ^= 1  # not the published file any more
    values = case.arrays["train_images"] / 255
    mean, std = float(values.mean()), float(values.std())
    ruled = {"protocol": "released"}
    # by the order table the members are known: the digits printed are all that is open
    assert "they agree" in case.said(round(mean, 5), round(std, 5))
    assert "is off" in case.said(round(mean, 5) + 1e-4, round(std, 5))
    assert "is off" in case.said(round(mean, 5), round(std, 5) - 1e-4)
    # by a rule with a seed they are not: a draw of five of eight random images leaves some hundredths
    assert "they agree" in case.said(mean + 1e-4, std, placed=False, **ruled)
    assert "which samples are in train leave" in case.said(mean, std, placed=False, **ruled)
    assert "is off" in case.said(mean + 0.1, std, placed=False, **ruled)
    # figures of another size, or of one that is assumed, say less
    assert "they agree" in case.said(mean * 1.001, std * 1.06, size=224)
    assert "they agree" in case.said(mean * 1.001, std * 1.06, evidence="assumed")
    assert "is off" in case.said(mean * 1.02, std, size=224)
    assert "is off" in case.said(mean, std * 1.2, size=224)
    # and of a part nothing is said
    part = case.said(mean + 0.1, std, keep=lambda split, index: index > 0)
    assert "mean" not in part


def test_a_draw_of_groups_takes_several_samples_at_once(tmp_path):
    rows = [("train", "a", "p1"), ("train", "b", "p1"), ("train", "c", "p2"), ("train", "d", ""), ("val", "e", "p3")]
    write_rows(tmp_path / "samples.tsv", ("split", "key", "group"), rows)
    assert verdict._together(recipe.load("retinamnist", "released"), tmp_path / "samples.tsv") == 4 / 3
    assert verdict._together(recipe.load("bloodmnist", "released"), tmp_path / "samples.tsv") == 1


def test_another_zlib_is_said(case, monkeypatch):
    monkeypatch.setattr(npz.zlib, "ZLIB_RUNTIME_VERSION", "1.3.1.zlib-ng")
    case.arrays["train_images"][0] ^= 1
    assert any("file MD5s cannot match" in note for note in case.judge().notes)


def test_an_order_table_of_another_version_is_refused(case):
    case.arrays["val_images"] = np.repeat(case.arrays["val_images"], 2, axis=0)
    case.arrays["val_labels"] = np.repeat(case.arrays["val_labels"], 2, axis=0)
    with pytest.raises(verdict.PreprocessError, match="names row 1 for val-1"):
        case.judge()


def test_paper_verdict_through_the_command(stand_in, builder, tmp_path, capsys):
    done = builder("breastmnist", stand_in("busi"), protocol="released")
    sums, out = tmp_path / "work" / "breastmnist" / "sums.tsv", tmp_path / "verdict.json"
    run("reread", done.npz(28), "--packed", done.seen(28), "--workers", 1, "--output", sums)
    for protocol, reason in (("paper", "paper protocol"), ("released", "order is not known")):
        given = ["--samples", done.folder / "samples.tsv", "--sums", sums, "--sizes", 28, "--npz", done.npz(28)]
        run("verdict", "breastmnist", "--protocol", protocol, "--released", tmp_path, *given, "--output", out)
        found = json.loads(out.read_text())[done.npz(28).name]
        assert found["verdict"] == "not comparable"
        assert reason in found["text"]
        assert (found["text"] in capsys.readouterr().out) == (protocol == "released")


# ---- the real published files


@pytest.mark.real
@pytest.mark.parametrize(
    "stem", ["breastmnist", "adrenalmnist3d", "adrenalmnist3d_64", "vesselmnist3d", "vesselmnist3d_64"]
)
def test_published_files_written_again_are_identical(stem, real, tmp_path):
    released = real / "released" / f"{stem}.npz"
    dataset, _, tail = stem.partition("_")
    size = int(tail or 28)
    reader = npz.Reader(released)
    samples, sums = tmp_path / "samples.tsv", tmp_path / "sums.tsv"
    write_rows(samples, ("split", "index", "key", "released_index"), [])
    about = recipe.load("breastmnist", "released")
    about = replace(about, dataset=replace(about.dataset, name=dataset))  # of the recipe only the name matters here
    systems = {reader.create_system: "identical"} | ({1: "arrays identical"} if size == 28 else {})
    for system, expected in systems.items():
        arrays = [container.Array(name, reader.shape(name), reader.rows(name)) for name in reader.names]
        written = container.write(tmp_path / released.name, arrays, system)
        checksums.write_sums(tmp_path / released.name, written, sums)
        values = checksums.read_sums([sums])
        built = verdict.BuiltFile(about, size, tmp_path / released.name, samples, values)
        found = verdict.judge(built, tmp_path / "no", False)
        assert found.verdict == expected
