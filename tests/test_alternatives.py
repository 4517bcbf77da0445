"""What another decision would have looked like: its figures by a second way, each raw file opened once."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess import recipe, sources
from preprocess.audit import again
from preprocess.audit.alternatives import alternatives, choose, how_many
from preprocess.render import Renderer
from preprocess.table import SPLIT_COLUMNS, read_rows, write_samples
from tests.builds import placed


def some(dataset, raw, count):
    return [sample for sample in placed(dataset, raw) if not sample.reason][:count]


def test_the_figures_are_those_of_builds_apart(stand_in):
    """Each alternative built by itself, and held against the build in force by its arrays."""
    in_force, raw, sizes = recipe.load("breastmnist", "paper"), stand_in("busi"), [28, 64]
    samples = some("breastmnist", raw, 10)
    found = {one.key: one for one in alternatives(in_force, raw, samples, samples[3], 64, sizes)}

    def built(decided):
        with Renderer(decided, raw, sizes) as renderer:
            arrays = [renderer.render(sample).arrays for sample in samples]
        return {size: np.stack([one[size] for one in arrays]).astype(int) for size in sizes}

    ours = built(in_force)
    for key, value in (("kernel", "lanczos"), ("gray", "libpng")):
        told = next(one for one in found[key].values if one.value == value)
        theirs = built(in_force.changed({key: value}))
        for size in sizes:
            gap = np.abs(ours[size] - theirs[size])
            figures = told.figures[size]
            assert figures.rows == 10
            assert figures.equal == sum(not one.any() for one in gap)
            assert figures.mean == pytest.approx(gap.mean())
            assert figures.greatest == gap.max()
            assert figures.psnr == pytest.approx(10 * np.log10(255**2 / np.square(gap).mean()))
    assert not found["decoder"].changes  # all of BUSI are PNG
    assert found["kernel"].changes
    assert next(one.in_force for one in found["kernel"].values if one.value == "bicubic") == (28, 64)
    assert all(one.picture for row in found.values() for one in row.values if not one.failed)


def test_several_processes_find_the_same(stand_in):
    in_force, raw = recipe.load("bloodmnist", "paper"), stand_in("pbc")
    samples = some("bloodmnist", raw, 7)
    one, three = (alternatives(in_force, raw, samples, samples[5], 28, [28, 64], workers) for workers in (1, 3))
    assert one == three
    assert any(value.figures for row in one for value in row.values)


def test_only_what_is_in_force_is_decided_otherwise(stand_in):
    """No crop is cut in ChestMNIST, so nothing rounds it; at 64 what is in force at 28 is another value."""
    raw = stand_in("chestxray14")
    samples = some("chestmnist", raw, 2)
    in_force = recipe.load("chestmnist", "paper")
    assert in_force.idle("crop_rounding")
    assert "crop_rounding" not in {one.key for one in alternatives(in_force, raw, samples, samples[0], 28, [28])}
    raw = stand_in("pbc")
    samples = some("bloodmnist", raw, 2)
    found = alternatives(recipe.load("bloodmnist", "released"), raw, samples, samples[0], 28, [28, 64])
    jpeg = next(one for one in found if one.key == "jpeg")
    by = {one.value: one for one in jpeg.values}
    assert (by["q75-ijg-9b"].in_force, by["none"].in_force) == ((28,), (64,))
    assert set(by["q75-ijg-9b"].figures) == {64}
    assert set(by["none"].figures) == {28}


def test_what_cannot_be_rendered_is_counted_with_its_cause(stand_in, tmp_path):
    """The small pictures of DermaMNIST's stand-in are lower than 200 pixels."""
    raw = stand_in("ham10000")
    samples = some("dermamnist", raw, 6)
    found = alternatives(recipe.load("dermamnist", "paper"), raw, samples, samples[0], 28, [28])
    cut = next(value for one in found if one.key == "crop" for value in one.values if value.value == "centre-200")
    assert cut.failed + (cut.figures[28].rows if cut.figures else 0) == 6
    assert cut.failed >= 3
    assert "200" in cut.problem


def test_each_raw_file_is_opened_once_and_nothing_is_kept(stand_in, monkeypatch):
    raw = stand_in("busi")
    samples = some("breastmnist", raw, 3)
    source, opened, units = sources.get("busi"), [], []
    real = source.open

    def counted(raw, sample):
        opened.append(sample.key)
        return real(raw, sample)

    monkeypatch.setattr(source, "open", counted)
    render = Renderer.render

    def watched(self, sample, watch=None):
        try:
            return render(self, sample, watch)
        finally:
            units.append(chains(self._unit.opened))

    monkeypatch.setattr(Renderer, "render", watched)
    alternatives(recipe.load("breastmnist", "paper"), raw, samples, samples[0], 28, [28])
    assert opened == [sample.key for sample in samples]
    assert len(units) > 30
    assert set(units) == {1}


def chains(result):
    """How many ends the kept results have."""
    return sum(map(chains, result.then.values())) or 1


def test_few_files_are_opened_for_a_sample_of_rows():
    """Ten rows of a scan, a hundred of pictures that are files of their own, and all where there are fewer."""
    scans = [f"scan {number % 40}" for number in range(4000)]
    rows = again.drawn(scans, 100, 10, 1)
    assert len(set(rows)) == 100
    assert sorted({scans[row] for row in rows}) == sorted({scans[row] for row in rows[::10]})
    assert len({scans[row] for row in rows}) == 10
    assert again.drawn(scans, 100, 10, 1) == rows != again.drawn(scans, 100, 10, 2)
    assert len(set(again.drawn([str(number) for number in range(4000)], 100, 10, 1))) == 100
    assert sorted(again.drawn(["one"] * 30, 100, 10, 1)) == list(range(30))
    assert len(again.drawn(["one"] * 130, 100, 10, 1)) == 100


def test_the_number_of_rows_follows_from_what_there_is_to_render():
    """A tenth, from 8 to 100; of large volumes, each of which is rendered a dozen times, fewer."""
    picture, volume = recipe.load("breastmnist", "paper"), recipe.load("fracturemnist3d", "paper")
    rows = (5, 40, 400, 100_000)
    assert [how_many(picture, [28], count) for count in rows] == [5, 8, 40, 100]
    assert how_many(picture, [28, 64, 128, 224], 100_000) == 100
    assert how_many(volume, [28], 1370) == 100
    assert 8 < how_many(volume, [64], 1370) < 100
    assert how_many(volume, [28, 64, 128, 224], 1370) == 8


def test_the_sample_is_read_as_the_raw_files_lie_and_holds_the_example(stand_in, tmp_path):
    """And what is opened together, which the table of samples does not say."""
    samples = [sample for sample in placed("organmnist3d", stand_in("lits")) if not sample.reason]
    assert all(sample.unit for sample in samples)
    columns = [name for name in SPLIT_COLUMNS if name != "unit"]
    write_samples(tmp_path / "samples.tsv", tuple(columns), samples)
    write_samples(tmp_path / "index.tsv", SPLIT_COLUMNS, list(reversed(samples)))
    rows = list(read_rows(tmp_path / "samples.tsv"))
    assert len(rows) > 20
    chosen = choose(rows, 5, tmp_path / "index.tsv", 7, 20)
    assert len(chosen) == 20
    assert {one.key: one.unit for one in chosen}.items() <= {one.key: one.unit for one in samples}.items()
    assert samples[5].key in {one.key for one in chosen}
    places = {sample.key: place for place, sample in enumerate(samples)}
    order = [places[one.key] for one in chosen]
    assert order == sorted(order, reverse=True)
