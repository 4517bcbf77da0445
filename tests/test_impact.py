"""What a decision is worth to a classifier, with planted truths: builds that were made to be worth so much."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from preprocess import cli, recipe
from preprocess.errors import PreprocessError
from preprocess.inquiry import baseline, impact, metrics
from preprocess.inquiry.metrics import Judged
from preprocess.published import SPLITS
from preprocess.table import SPLIT_COLUMNS, Sample, write_samples


def made(base, name, dataset, rows, pictures, **decided):
    """Write a finished build: rows of (key, split, label, group) with their pictures, and what it decides otherwise."""
    out = base / name
    out.mkdir(parents=True)
    arrays, samples = {}, []
    for split in SPLITS:
        inside = [place for place, row in enumerate(rows) if row[1] == split]
        labels = [list(map(int, rows[place][2].split())) for place in inside]
        arrays[f"{split}_images"] = np.array([pictures[place] for place in inside], np.uint8).reshape(
            -1, *pictures[0].shape
        )
        arrays[f"{split}_labels"] = np.array(labels, np.uint8).reshape(len(inside), len(rows[0][2].split()))
        samples += [
            Sample(key=key, split=split, label=label, group=group, index=number)
            for number, (key, split, label, group) in enumerate(rows[place] for place in inside)
        ]
    np.savez(out / f"{dataset}.npz", **arrays)
    write_samples(out / f"{dataset}.samples.tsv", SPLIT_COLUMNS, samples)
    in_force = recipe.load(dataset, name.partition("+")[0])
    decisions = {
        key: {"value": decided.get(key, choice.value), "not_in_force": ""} for key, choice in in_force.decisions.items()
    }
    config = {"protocol": in_force.protocol, "overrides": {}, "seed": 42}
    provenance = {"miniature": False, "config": config, "recipe": {"decisions": decisions}}
    (out / f"{dataset}.provenance.json").write_text(json.dumps(provenance))


def stripes(random, label, shape=(28, 28)):
    """Noise, with stripes along the last axis where the label is 1, in any phase."""
    wave = 60 * np.sin(np.arange(shape[-1]) * 1.3 + random.uniform(0, 6)) * label
    return np.clip(128 + random.normal(0, 25, shape) + wave, 0, 255).astype(np.uint8)


def striped(train=120, test=80, shape=(28, 28), seed=0):
    """Rows of two classes and their pictures."""
    random = np.random.RandomState(seed)
    rows = [(f"row {n}", "train" if n < train else "test", str(n % 2), "") for n in range(train + test)]
    return rows, [stripes(random, n % 2, shape) for n in range(train + test)]


def asked(base, *variants, dataset="breastmnist", workers=2):
    (found,), missing = impact.impact([dataset], variants, base, None, 42, workers)
    assert missing == []
    return found


def test_a_decision_that_wipes_the_signal_is_told(tmp_path):
    """As a window around nothing does: half of what two even classes are called is then right."""
    rows, pictures = striped()
    made(tmp_path, "paper", "breastmnist", rows, pictures)
    made(tmp_path, "paper+crop=wiped", "breastmnist", rows, [np.full((28, 28), 7)] * len(rows), crop="wiped")
    found = asked(tmp_path, "paper", "paper+crop=wiped")
    (view,) = found.views
    assert [result.accuracy.value for result in view.results] == [1, 0.5]
    assert [result.auc.value for result in view.results] == [1, 0.5]
    (worth,) = view.worth
    assert worth.accuracy.value == -0.5
    assert worth.accuracy.excludes_zero
    assert -0.7 < worth.accuracy.low < -0.5 < worth.accuracy.high < -0.3
    assert worth.agreeing == 0.5
    assert [one.key for one in found.decisions["paper+crop=wiped"]] == ["crop"]
    assert "accuracy -0.500 [" in "\n".join(impact.told([found], []))


def test_a_decision_that_does_nothing_is_worth_exactly_nothing(tmp_path):
    """And rows are joined by their keys, wherever they lie; nothing is trained twice."""
    rows, pictures = striped()
    made(tmp_path, "paper", "breastmnist", rows, pictures)
    order = np.random.RandomState(1).permutation(len(rows))
    made(tmp_path, "released", "breastmnist", [rows[place] for place in order], [pictures[place] for place in order])
    (view,) = asked(tmp_path, "paper", "released").views
    assert [result.as_before for result in view.results] == ["", "paper"]
    (worth,) = view.worth
    assert worth.accuracy == worth.auc == metrics.Figure(0, 0, 0)
    assert not worth.accuracy.excludes_zero
    assert worth.agreeing == 1


def test_a_decision_that_hardly_changes_a_pixel_leaves_zero_within_the_interval(tmp_path):
    rows, pictures = striped(seed=3)
    weak = [(picture * 0.25 + 96).astype(np.uint8) for picture in pictures]
    made(tmp_path, "paper", "breastmnist", rows, weak)
    made(tmp_path, "released", "breastmnist", rows, [picture ^ (np.arange(28) % 7 == 0) for picture in weak])
    (view,) = asked(tmp_path, "paper", "released").views
    (worth,) = view.worth
    assert view.results[1].as_before == ""
    assert worth.accuracy.low <= 0 <= worth.accuracy.high


def test_rows_that_not_all_builds_have_in_one_split_are_left_out_and_counted(tmp_path):
    rows, pictures = striped()
    moved = [(key, "val" if key == "row 130" else split, label, group) for key, split, label, group in rows]
    made(tmp_path, "paper", "breastmnist", rows, pictures)
    made(tmp_path, "released", "breastmnist", moved[1:], [255 - one for one in pictures[1:]])
    same, own = asked(tmp_path, "paper", "released").views
    assert same.left_out == {"not in all builds": 1, "in another split": 1}
    assert [(result.train, result.test) for result in same.results] == [(119, 79), (119, 79)]
    assert [(result.train, result.test) for result in own.results] == [(120, 80), (119, 79)]
    assert [worth.rows for worth in own.worth] == [(80, 79), (79,)]


def test_a_leak_is_worth_what_it_gives_on_the_rows_that_leak(tmp_path):
    """Labels say nothing but who the patient is: only who saw the patient in train can know them.

    Each patient has his own pattern and two pictures. The first build puts one of them into train and one into test.
    The second has in test the same pictures, but of those patients none in train.
    """
    random = np.random.RandomState(5)
    rows, free, pictures = [], [], []
    for patient in range(200):
        pattern, label = random.normal(128, 40, (28, 28)), str(patient % 2)
        for shot, split in enumerate(("train", "test")):
            key = f"{patient} {shot}"
            rows.append((key, split, label, str(patient)))
            free.append((key, "train" if patient < 100 else split if split == "test" else "val", label, str(patient)))
            pictures.append(np.clip(pattern + random.normal(0, 4, pattern.shape), 0, 255))
    made(tmp_path, "released", "dermamnist", rows, rgb(pictures))
    made(tmp_path, "released+split.group_by=lesion", "dermamnist", free, rgb(pictures), **{"split.group_by": "lesion"})
    found = asked(tmp_path, "released", "released+split.group_by=lesion", dataset="dermamnist")
    same, own = found.views
    assert "Nothing to train" in same.notes[0]
    assert found.resampled == "lesion"
    assert [(result.train, result.test) for result in own.results] == [(200, 200), (200, 100)]
    leaky, clean = own.results
    assert leaky.accuracy.value > 0.85
    assert clean.accuracy.low < 0.5 < clean.accuracy.high
    by = {worth.on: worth for worth in own.worth}
    assert set(by) == {
        "own split", "rows that are test in both",
        "rows that are test in both, and whose lesion is in the train of released alone",
    }  # fmt: skip
    assert all(worth.accuracy.high < -0.2 for worth in by.values())
    assert [worth.rows for worth in by.values()] == [(200, 100), (100,), (100,)]


def rgb(pictures):
    return [np.repeat(picture[..., None], 3, axis=-1) for picture in pictures]


def labelled(random, task):
    """Labels of 240 rows for a task, with what a picture of each must show."""
    if task == "multi-label":
        digits = random.randint(2, size=(240, 14))
        digits[:, 5] = 0  # a label that nobody has
        return [" ".join(map(str, row)) for row in digits], digits[:, 0]
    classes = random.randint(5, size=240)
    return [str(one) for one in classes], classes / 4


@pytest.mark.parametrize(
    ("dataset", "shape"), [("chestmnist", (28, 28)), ("retinamnist", (28, 28)), ("nodulemnist3d", (28, 28, 28))]
)
def test_many_labels_grades_and_volumes_are_learned(dataset, shape, tmp_path):
    random = np.random.RandomState(2)
    task = recipe.dataset(dataset).task
    if dataset == "nodulemnist3d":
        rows, pictures = striped(60, 40, shape)
    else:
        labels, strength = labelled(random, task)
        rows = [(f"row {n}", "train" if n < 160 else "test", label, "") for n, label in enumerate(labels)]
        pictures = [stripes(random, one, shape) for one in strength]
    pictures = rgb(pictures) if recipe.dataset(dataset).channels == 3 else pictures
    made(tmp_path, "paper", dataset, rows, pictures)
    made(tmp_path, "released", dataset, rows, [np.zeros_like(one) for one in pictures])
    (view,) = asked(tmp_path, "paper", "released", dataset=dataset).views
    seen, blind = view.results
    if task == "multi-label":  # one label of the 13 that somebody has can be seen, the others are chance
        assert seen.auc.value > 0.5 + 0.35 / 13
    else:
        assert seen.auc.value > 0.8
    assert blind.auc.value == 0.5
    assert view.worth[0].auc.value < 0


def test_the_number_of_workers_changes_no_bit():
    rows, pictures = striped(60, 40)

    def read(numbers):
        return (pictures[number] for number in numbers)

    labels = np.array([[int(row[2])] for row in rows])[:60]
    scores = [
        baseline.train(read, range(60), labels, 2, 2, 7, workers).score(read, range(60, 100)) for workers in (1, 3)
    ]
    assert np.array_equal(*scores)
    other = baseline.train(read, range(60), labels, 2, 2, 8, 1).score(read, range(60, 100))
    assert not np.array_equal(scores[0], other)


def test_of_many_rows_builds_draw_the_same(tmp_path, monkeypatch):
    """So that memory does not grow with the rows; a leak is not lost because builds draw others."""
    monkeypatch.setattr(baseline, "TRAINED", 50)
    monkeypatch.setattr(impact, "TESTED", 30)
    rows, pictures = striped()
    made(tmp_path, "paper", "breastmnist", rows, pictures)
    made(tmp_path, "released", "breastmnist", rows[1:], [255 - one for one in pictures[1:]])
    same, own = asked(tmp_path, "paper", "released").views
    assert {(result.train, result.test) for view in (same, own) for result in view.results} == {(50, 30)}
    assert same.notes[0] == "Of 119 rows of train a seeded sample of 50 was trained on."
    assert [worth.rows for worth in own.worth] == [(30, 30), (30,)]


def test_pictures_of_any_size_are_looked_at_in_as_many_places():
    random = np.random.RandomState(0)
    for edge, dimensions, places in ((28, 2, 23), (224, 2, 28), (28, 3, 12)):
        images = random.randint(256, size=(2, *(edge,) * dimensions), dtype=np.uint8)
        dictionary = baseline.learn(images, dimensions, random)
        assert dictionary.patches(images).shape[1 : 1 + dimensions] == (places,) * dimensions
        assert dictionary.encode(images).shape == (2, dictionary.features)


# ---- the metrics


def test_auc_and_accuracy_are_those_of_scikit_learn():
    """With ties, weights, and a class that nobody is of."""
    random = np.random.RandomState(0)
    scores = random.dirichlet(np.ones(5), 300).round(1)
    labels = random.randint(4, size=(300, 1))
    weights = random.randint(3, size=(2, 300)).astype(float)
    found = Judged(scores, labels).auc(weights)
    for by_draw, weight in zip(found, weights, strict=True):
        areas = [roc_auc_score(labels[:, 0] == one, scores[:, one], sample_weight=weight) for one in range(4)]
        assert by_draw == pytest.approx(np.mean(areas))
    assert Judged(scores, labels).values[0] == accuracy_score(labels[:, 0], scores.argmax(1))
    many = random.randint(2, size=(300, 5))
    judged = Judged(scores, many)
    assert judged.values[1] == pytest.approx(roc_auc_score(many, scores, average="macro"))
    by_label = [accuracy_score(many[:, one], scores[:, one] > 0.5) for one in range(5)]
    assert judged.values[0] == pytest.approx(np.mean(by_label))


def test_auc_by_hand():
    """Two of the class and two others: of four pairs two are in order and one is a tie."""
    scores = np.array([[0.2, 0.8], [0.6, 0.4], [0.4, 0.6], [0.6, 0.4]])
    labels = np.array([[1], [1], [0], [0]])
    assert Judged(scores, labels).values[1] == 2.5 / 4
    assert np.isnan(Judged(scores[:2], labels[:2]).values[1])


def test_intervals_are_as_wide_as_theory_says():
    """Of a share p of n rows 1.96 sqrt(p (1 - p) / n) to each side; twice that where four rows are of one patient."""
    right = np.arange(400) % 5 > 0
    scores = np.where(right[:, None], [[0.1, 0.9]], [[0.9, 0.1]])
    judged = Judged(scores, np.ones((400, 1), np.int64))
    expected = 2 * 1.96 * np.sqrt(0.8 * 0.2 / 400)
    rows = [str(number) for number in range(400)]
    (drawn,) = metrics.resampled([judged], rows, 0)
    accuracy, auc = metrics.figures(judged.values, drawn)
    assert accuracy.value == 0.8
    assert accuracy.high - accuracy.low == pytest.approx(expected, rel=0.1)
    assert auc == metrics.Figure(None, None, None)
    fourfold = Judged(np.repeat(scores[:100], 4, axis=0), np.ones((400, 1), np.int64))
    (drawn,) = metrics.resampled([fourfold], [str(number // 4) for number in range(400)], 0)
    accuracy, _ = metrics.figures(fourfold.values, drawn)
    assert accuracy.high - accuracy.low == pytest.approx(2 * expected, rel=0.1)
    (drawn,) = metrics.resampled([judged], [str(number % 19) for number in range(400)], 0)
    few, _ = metrics.figures(judged.values, drawn)
    assert few == metrics.Figure(0.8, None, None)


# ---- what is said


def test_the_page_says_what_the_data_say(tmp_path):
    rows, pictures = striped(60, 40)
    made(tmp_path, "paper", "breastmnist", rows, pictures)
    made(tmp_path, "released", "breastmnist", rows, [np.zeros((28, 28))] * len(rows))
    words = ["breastmnist", "--variants", "paper", "released", "paper+kernel=lanczos", "--results", str(tmp_path)]
    words += ["--seed", "1", "--workers", "1", "--output", str(tmp_path / "page.html"), "--json"]
    assert cli.main(["impact", *words, str(tmp_path / "data.json")]) == 0
    said = json.loads((tmp_path / "data.json").read_text())
    (view,) = said["impact"][0]["views"]
    page = (tmp_path / "page.html").read_text()
    for result in view["results"]:
        assert f"{result['accuracy']['value']:.3f} <span" in page
    assert f"{view['worth'][0]['auc']['value']:+.3f} <span" in page
    assert '<span class="level error">worse</span>' in page
    (line,) = said["missing"]
    assert (
        "snakemake --cores 2 breastmnist --config protocol=paper 'overrides={breastmnist: {kernel: lanczos}}'" in line
    )
    assert cli.main(["impact", *words, str(tmp_path / "again.json")]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    assert [without_times(one) for one in (again, said)] == [without_times(said)] * 2


def without_times(value):
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name != "seconds"}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def test_what_cannot_be_trained_on_is_said(tmp_path):
    rows, pictures = striped(60, 40)
    made(tmp_path, "paper", "breastmnist", [(key, split, "1", "") for key, split, _, _ in rows], pictures)
    made(tmp_path, "released", "breastmnist", rows[:60], pictures[:60])
    same, own = asked(tmp_path, "paper", "released").views
    assert same.notes == ("Nothing to train: 60 rows of train and 0 of test with a label.",)
    assert own.notes == ("paper: Nothing to train: the 60 rows of train are all of one class.",)
    with pytest.raises(PreprocessError, match="pictures of 4 are smaller than a patch of 6"):
        baseline.learn(np.zeros((3, 4, 4), np.uint8), 2, np.random.RandomState(0))


def test_without_scikit_learn_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        PreprocessError, match=r"scikit-learn, which is not installed: python -m pip install '.\[impact\]'"
    ):
        impact.impact(["breastmnist"], ["paper", "released"], tmp_path, None, 42, 1)


def test_where_no_test_labels_were_published_val_is_tested(tmp_path):
    rows, pictures = striped()
    rows = [(key, split.replace("test", "val"), label, group) for key, split, label, group in rows]
    for name in ("paper", "released"):
        made(tmp_path, name, "breastmnist", rows, pictures)
    (view,) = asked(tmp_path, "paper", "released").views
    assert view.notes == ("No build has labels in test: val is tested.",)
    assert view.results[0].test == 80
    assert dataclasses.replace(view.results[0], build="released", as_before="paper", seconds=0.0) == view.results[1]
