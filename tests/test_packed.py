"""What pack sees of the rows: the same for any number of shards and workers, and true of the npz."""

from __future__ import annotations

import hashlib
from io import FileIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preprocess import container, packed, recipe, rendered
from preprocess import pack as packing
from preprocess.container import Form
from preprocess.errors import PreprocessError
from preprocess.npz import npy_header
from preprocess.pack import pack
from preprocess.published import SPLITS
from preprocess.table import read_rows, write_rows
from tests.builds import Build, CommandError, build, run


def images(done: Build, size: int) -> np.ndarray:
    """All images in the order of the samples table."""
    arrays = done.arrays(size)
    return np.concatenate([arrays[f"{split}_images"] for split in SPLITS])


@pytest.mark.parametrize("dataset", ["bloodmnist", "chestmnist", "vesselmnist3d"])
def test_any_number_of_shards_gives_the_same_files(dataset, builder, stand_in, tmp_path):
    source = recipe.read(dataset)["source"]
    built = [
        build(dataset, stand_in(source), tmp_path / str(shards), sizes=(28, 40), shards=shards) for shards in (1, 3, 17)
    ]
    names = [built[0].npz(28).name, built[0].npz(40).name, "rows.tsv", "samples.tsv", "excluded.tsv", "checks.json"]
    for name in [*names, built[0].seen(28).name]:
        assert len({(one.folder / name).read_bytes() for one in built}) == 1, name


@pytest.mark.parametrize("dataset", ["bloodmnist", "organmnist3d"])
def test_what_was_seen_is_true_of_the_file(dataset, builder, stand_in):
    done = builder(dataset, stand_in(recipe.read(dataset)["source"]))
    (size,) = done.sizes
    seen, every = packed.read(done.seen(size)), images(done, size)
    flat = every.reshape(len(every), -1)
    np.testing.assert_array_equal(seen.low, flat.min(axis=1))
    np.testing.assert_array_equal(seen.high, flat.max(axis=1))
    assert [one.tobytes() for one in seen.digests] == [hashlib.sha256(image.tobytes()).digest()[:16] for image in every]
    assert {name: one.sha256 for name, one in packed.arrays(done.seen(size)).items()} == {
        name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in done.arrays(size).items()
    }
    wanted = [0, len(every) // 2, len(every) - 1]
    for row, image in packed.images(done.npz(size), seen, wanted):
        np.testing.assert_array_equal(image, every[row])


def test_a_row_that_is_not_what_was_packed_is_an_error(builder, stand_in):
    done = builder("breastmnist", stand_in("busi"))
    seen = packed.read(done.seen(28))
    seen.digests[5] ^= 1
    with pytest.raises(PreprocessError, match=r"breastmnist_28\.npz: row 5 of train_images is not what was packed"):
        list(packed.images(done.npz(28), seen, [5]))


def test_a_file_that_is_not_what_was_written_is_found_when_it_is_read(builder, stand_in, tmp_path, capfd):
    """Another valid npz of the same name: every zip reader would take it."""
    done = builder("breastmnist", stand_in("busi"))
    arrays = done.arrays(28)
    arrays["val_images"] = arrays["val_images"].copy()
    arrays["val_images"][3, 0, 0] ^= 1
    np.savez_compressed(tmp_path / "breastmnist_28.npz", **arrays)
    with pytest.raises(CommandError):
        run("reread", tmp_path / "breastmnist_28.npz", "--packed", done.seen(28), "--workers", 2,
            "--output", tmp_path / "sums.tsv")  # fmt: skip
    assert "breastmnist_28.npz: val_images not as written" in capfd.readouterr().err
    assert not (tmp_path / "sums.tsv").exists()


@pytest.mark.parametrize("change", ["raw_sha256", "reason", "gone"])
def test_shards_of_another_reading_of_the_raw_files_are_refused(change, builder, stand_in, tmp_path, capfd):
    """A size added later is rendered from the files as they are then; the table says what they were."""
    done = builder("breastmnist", stand_in("busi"))
    shard = tmp_path / "shard"
    shard.mkdir()
    (shard / "28.npy").write_bytes((done.folder / "shards" / "0" / "28.npy").read_bytes())
    rows = list(read_rows(done.folder / "shards" / "0" / "rows.tsv"))
    key = rows[0]["key"]
    if change == "gone":
        del rows[0]
    else:
        rows[0] = {**rows[0], change: "unreadable" if change == "reason" else "0" * 64}
    write_rows(shard / "rows.tsv", rows[0], [row.values() for row in rows])
    in_force = recipe.load("breastmnist", "paper")
    table = tmp_path / "rows.tsv"
    kept = [("train", row["key"], 0, row["raw_sha256"]) for row in read_rows(done.folder / "rows.tsv")]
    write_rows(table, ("split", "key", "label", "raw_sha256"), kept)
    with pytest.raises(PreprocessError, match="run again") as told:
        pack(in_force, 28, table, [shard, done.folder / "shards" / "1"], tmp_path / "x.npz", Form())
    assert key in str(told.value)
    assert not (tmp_path / "x.npz").exists()


def shards_of(folder, images, counts, generator):
    """Shards that hold images anyhow, and the table of rows that brings them in order."""
    shards = [folder / str(number) for number in range(3)]
    held: list[list[int]] = [[] for _ in shards]
    for row in generator.permutation(len(images)).tolist():
        held[generator.integers(len(shards))].append(row)
    for shard, rows in zip(shards, held):
        shard.mkdir(parents=True)
        table = [(f"{row}.png", "", "", "", "PNG L", "0" * 64) for row in rows]
        write_rows(shard / rendered.TABLE, rendered.COLUMNS, table)
        (shard / f"{images.shape[1]}.npy").write_bytes(
            npy_header((len(rows), *images.shape[1:])) + images[rows].tobytes()
        )
    splits = np.repeat(SPLITS, counts)
    write_rows(folder / "rows.tsv", ("split", "key", "label", "raw_sha256"),
               [(split, f"{row}.png", row % 3, "0" * 64) for row, split in enumerate(splits)])  # fmt: skip
    return folder / "rows.tsv", shards


@pytest.mark.parametrize("form", [Form("published"), Form("chunked", 1), Form("chunked", 0)], ids=str)
@pytest.mark.parametrize(("dataset", "size"), [("chestmnist", 9), ("bloodmnist", 30), ("vesselmnist3d", 12)])
@settings(deadline=None, max_examples=15)
@given(counts=st.tuples(*[st.integers(0, 15)] * 3).filter(any), part=st.integers(130, 4000), seed=st.integers(0, 99))
def test_rows_lie_anyhow_in_parts_and_shards(form, dataset, size, counts, part, seed, tmp_path_factory):
    """Rows longer and shorter than a part, many of them or none, in any order of the shards."""
    in_force, folder = recipe.load(dataset, "paper"), tmp_path_factory.mktemp("parts")
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (sum(counts), *in_force.shape(size)), np.uint8)
    table, shards = shards_of(folder, images, counts, generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(container, "CHUNK", -(-part // container.RESTART))
        seen = pack(in_force, size, table, shards, folder / "x.npz", form)
    with np.load(folder / "x.npz") as file:
        np.testing.assert_array_equal(np.concatenate([file[f"{split}_images"] for split in SPLITS]), images)
    assert seen.counts == counts
    flat = images.reshape(len(images), -1)
    np.testing.assert_array_equal((seen.low, seen.high), (flat.min(axis=1), flat.max(axis=1)))
    assert [one.tobytes() for one in seen.digests] == [hashlib.sha256(one).digest()[:16] for one in flat]
    pictures = images.mean(axis=1).astype(np.uint8) if in_force.dimensions == 3 else images
    for picture, cells in zip(pictures, seen.cells, strict=True):
        np.testing.assert_array_equal(
            cells, Image.fromarray(picture).convert("L").resize((17, 17), Image.Resampling.BOX)
        )


def test_processes_pack_and_see_the_same(tmp_path):
    """Four parts of 8 MiB, the last a short one."""
    in_force, generator = recipe.load("chestmnist", "paper"), np.random.default_rng(0)
    images = generator.integers(0, 256, (500, 224, 224), np.uint8)
    table, shards = shards_of(tmp_path, images, (480, 20, 0), generator)
    for workers in (1, 3):
        pack(in_force, 224, table, shards, tmp_path / f"{workers}.npz", Form("chunked", 1), workers).write(
            tmp_path / f"seen_{workers}.npz"
        )
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "3.npz").read_bytes()
    assert (tmp_path / "seen_1.npz").read_bytes() == (tmp_path / "seen_3.npz").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_ends_early_is_an_error(workers, tmp_path):
    """In the shard's name, though it lies beside the npz that is written."""
    in_force, generator = recipe.load("chestmnist", "paper"), np.random.default_rng(0)
    images = generator.integers(0, 256, (90, 28, 28), np.uint8)
    table, shards = shards_of(tmp_path, images, (70, 10, 10), generator)
    cut = shards[1] / "28.npy"
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(
        PreprocessError, match=rf"{cut}: cannot be read \(it ends early\); delete {cut.parent} and run again"
    ):
        pack(in_force, 28, table, shards, tmp_path / "x.npz", Form("chunked", 1), workers)
    assert [path.name for path in tmp_path.iterdir() if "npz" in path.name] == []


def test_each_shard_is_opened_once_for_a_part(tmp_path, monkeypatch):
    """Rows come from the shards anyhow; to open one for each would be slow where files are far away."""
    in_force, generator, opened = recipe.load("chestmnist", "paper"), np.random.default_rng(0), []
    images = generator.integers(0, 256, (900, 28, 28), np.uint8)
    table, shards = shards_of(tmp_path, images, (700, 100, 100), generator)
    monkeypatch.setattr(packing, "FileIO", lambda path: opened.append(path) or FileIO(path))
    pack(in_force, 28, table, shards, tmp_path / "x.npz", Form("chunked", 1))
    assert len(opened) == 3 * 3
