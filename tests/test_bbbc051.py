"""BBBC051: every layout that is read, what is refused, and the steps from a stack to a picture."""

from __future__ import annotations

import importlib.util
import io
import shutil
import struct
import zipfile

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from preprocess import published, recipe, split
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.reading.archives import Raw
from preprocess.sources import bbbc051
from preprocess.steps import stacks
from preprocess.table import Sample
from tests.builds import CommandError, build

DECISIONS = {"neighbours": "kept", "numbering": "refuse", "intensity": "uint8"}
#: facts: what each token is in MedMNIST's INFO
LABELS = {
    "CD": 0, "CNT": 0, "CD_CNT": 0, "DCT": 1, "CD31_glom": 2, "CD31_inter": 3, "CD45": 4, "Nestin": 5,
    "S1": 6, "S1S2": 6, "S2": 6, "S2S3": 6, "S3": 6, "TAL": 7,
}  # fmt: skip


def crop(seed=0, high=200):
    """A dark stack with a bright middle, each voxel known."""
    generator = np.random.default_rng(seed)
    stack = generator.integers(0, 12, (7, 32, 32)).astype(np.uint8)
    stack[2:5, 12:20, 12:20] = generator.integers(60, high, (3, 8, 8))
    return stack


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **({"photometric": "minisblack"} | options))
    return buffer.getvalue()


def put(root, *names, data=None):
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(tiff(crop(seed)) if data is None else data)
    return Raw(root)


def listed(raw, **changed):
    return bbbc051.index(raw, **(DECISIONS | changed))


def keys(raw, **changed):
    return [sample.key for sample in listed(raw, **changed).samples]


@pytest.fixture
def published_tree(stand_in):
    return stand_in("bbbc051")


def unpack(folder, into):
    """All zips unpacked in place, as a user does, without the zips."""
    shutil.copytree(folder, into, dirs_exist_ok=True)
    for archive in list(into.rglob("*.zip")):
        with zipfile.ZipFile(archive) as file:
            file.extractall(archive.parent)
        archive.unlink()
    return into


# ---- layouts


def test_zips_folders_and_a_zip_of_zips_give_the_same_samples(published_tree, tmp_path):
    tree = unpack(published_tree, tmp_path / "tree")
    (tmp_path / "zip").mkdir()
    with zipfile.ZipFile(tmp_path / "zip" / "images.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(published_tree.rglob("*")):
            file.write(path, path.relative_to(published_tree))
    first = listed(Raw(published_tree))
    assert len(list(published_tree.rglob("*.zip"))) == 27
    assert len({path.name for path in (tree / "BBBC051").rglob("All_3D/*.tif") if path.name[0] != "."}) == 86
    for root in (tree, tmp_path / "zip"):
        other, raw = listed(Raw(root)), Raw(root)
        assert [one.key for one in other.samples] == [one.key for one in first.samples]
        assert other.census == {"nuclei": 86}
        for one, same in zip(other.samples[::9], first.samples[::9], strict=True):
            assert np.array_equal(bbbc051.open(raw, one), bbbc051.open(Raw(published_tree), same))


def test_the_cell_type_of_every_file_is_its_folders(published_tree, tmp_path):
    tree = unpack(published_tree, tmp_path)
    spelled = {"CD31glom": "CD31_glom", "CD31int": "CD31_inter"}
    for sample in listed(Raw(tree)).samples:
        _, specimen, cell_type, *_, kind, _ = sample.path.split("/")
        assert kind == "All_3D"
        assert sample.original_label == spelled.get(cell_type, cell_type)
        assert sample.attributes["specimen"] == specimen


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("train/S2S3/a.tif", "train/S2S3/a.tif"),
        ("BBBC051/test/cd31_GLOM/a.TIF", "test/CD31_glom/a.TIF"),
        ("x/F44/Nestin/Nestin/All_3D/7.tif", "F44/Nestin/7.tif"),
        ("x/F59/cd31int/all 3d/7.tif", "F59/CD31_inter/7.tif"),
        ("33/CD45.1/7.tiff", "F33/CD45.1/7.tiff"),
        ("F33_CD_CNT/7.tif", "F33/CD_CNT/7.tif"),
        ("f44 tal/7.tif", "F44/TAL/7.tif"),
        ("DCT/7.tif", "DCT/7.tif"),
    ],
)
def test_names_of_folders(tmp_path, name, key):
    assert keys(put(tmp_path, name)) == [key]


@pytest.mark.parametrize("token", LABELS)
def test_every_token_has_the_label_of_the_facts(tmp_path, token):
    sample = listed(put(tmp_path, f"F33/{token}/All_3D/1.tif")).samples[0]
    assert recipe.read("tissuemnist")["label"]["map"][sample.original_label] == LABELS[token]


@pytest.mark.parametrize("folder", ["Podocytes", "DCT_CD", "CD44", "unknown"])
def test_an_unknown_cell_type_is_not_guessed(tmp_path, folder):
    with pytest.raises(PreprocessError, match="no folder on its way is a cell type; known are S1"):
        listed(put(tmp_path, f"F33/{folder}/1.tif"))


def test_masked_crops_are_a_decision(published_tree, tmp_path):
    kept, masked = listed(Raw(published_tree)), listed(Raw(published_tree), neighbours="masked")
    assert (len(kept.samples), len(masked.samples)) == (86, 78)  # eight nuclei of F59 have no mask
    assert {one.key for one in masked.samples} < {one.key for one in kept.samples}
    with pytest.raises(PreprocessError, match="no 3D crops with surroundings kept, only masked ones"):
        listed(put(tmp_path, "F33/CD/Mask_3D/1.tif", "F33/CD/Mask_2D_Maximum/1.tif"))


def test_projections_alone_are_refused(tmp_path):
    with pytest.raises(PreprocessError, match="only flat ones"):
        listed(put(tmp_path, "F33/CD/Mask_2D_Maximum/1.tif"))


def test_numbers_need_a_numbering(tmp_path):
    raw = put(tmp_path, *(f"train/{number}/a.tif" for number in range(1, 9)))
    with pytest.raises(PreprocessError, match="the number 1, which numbering 'refuse' gives no name; override"):
        listed(raw)
    labels = recipe.read("tissuemnist")["label"]["map"]
    info = [labels[one.original_label] for one in sorted(listed(raw, numbering="info").samples, key=by_folder)]
    assert info == list(range(8))
    nephnet = [one.original_label for one in sorted(listed(raw, numbering="nephnet").samples, key=by_folder)]
    assert nephnet == ["S1", "S2S3", "TAL", "DCT", "CD", "CD45", "Nestin", "CD31_glom"]
    with pytest.raises(PreprocessError, match="the number 9, which numbering 'info' gives no name"):
        listed(put(tmp_path, "train/9/a.tif"), numbering="info")


def by_folder(sample):
    return sample.path.split("/")[-2]


@pytest.mark.parametrize("names", [["images_ 1_F33.csv"], ["readme.txt"], []])
def test_other_forms_are_refused(tmp_path, names):
    with pytest.raises(PreprocessError, match="no TIFF crops and no HDF5 store, but"):
        listed(put(tmp_path, *names, data=b"1,2,3"))


def test_two_nuclei_of_one_name_are_refused(tmp_path, capsys):
    """The same nuclei beside themselves: unpacked next to the archive."""
    put(tmp_path / "raw", "a/F33/CD/1.tif", "b/F33/CD/1.tif")
    with pytest.raises(CommandError):
        build("tissuemnist", tmp_path / "raw", tmp_path / "out", census="warn", miniature=False)
    assert "a/F33/CD/1.tif and b/F33/CD/1.tif have one name and differ" in capsys.readouterr().err


# ---- the authors' HDF5 store


def store(path, form, labels=(1, 2, 9), test=(5,)):
    """As pandas writes it: appended tables, fixed frames, or plain arrays; rows of 7,168 numbers."""
    crops = {"train": [crop(i) for i in range(len(labels))], "test": [crop(90 + i) for i in range(len(test))]}
    with h5py.File(path, "w") as file:
        for part, numbers in (("train", labels), ("test", test)):
            rows = np.array([one.reshape(-1) for one in crops[part]], np.int64)
            if form == "plain":
                file[f"{part}_data"], file[f"{part}_labels"] = rows, np.array(numbers)
            elif form == "fixed":
                file[f"{part}_data/block0_values"], file[f"{part}_labels/values"] = rows, np.array(numbers)
                file[f"{part}_data/axis0"] = np.arange(7168)
            else:
                table = np.zeros(len(rows), [("index", "<i8"), ("values_block_0", "<i8", (7168,))])
                table["values_block_0"] = rows
                series = np.zeros(len(rows), [("index", "<i8"), ("values", "<i8")])
                series["values"] = numbers
                file[f"{part}_data/table"], file[f"{part}_labels/table"] = table, series
    return crops


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["table", "fixed", "plain"])
def test_the_store_in_every_form(tmp_path, form, packed):
    crops = store(tmp_path / "f33f44f59.h5", form)
    if packed:
        with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
            file.write(tmp_path / "f33f44f59.h5", "f33f44f59.h5")
        (tmp_path / "f33f44f59.h5").unlink()
    raw = Raw(tmp_path)
    samples = listed(raw, numbering="nephnet").samples
    assert [one.key for one in samples] == ["train/S1/0", "train/S2S3/1", "train/CD31_inter/2", "test/CD/0"]
    for sample, expected in zip(samples, crops["train"] + crops["test"], strict=True):
        assert np.array_equal(bbbc051.open(raw, sample), expected)  # z, y, x, the last the fastest


def test_the_store_needs_a_numbering_and_its_labels(tmp_path):
    store(tmp_path / "a.h5", "table")
    with pytest.raises(PreprocessError, match="which numbering 'refuse' gives no name"):
        listed(Raw(tmp_path))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["test_labels"]
    with pytest.raises(PreprocessError, match="has test_data, but no test_labels"):
        listed(Raw(tmp_path), numbering="nephnet")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(PreprocessError, match=r"a\.h5: cannot be opened as HDF5, damaged"):
        listed(Raw(tmp_path), numbering="nephnet")


def test_a_store_beside_tiff_files_is_refused(tmp_path):
    store(tmp_path / "a.h5", "plain")
    with pytest.raises(PreprocessError, match="keep one form of the data"):
        listed(put(tmp_path, "F33/CD/1.tif"))


def test_the_store_builds(tmp_path):
    store(tmp_path / "raw.h5", "table", labels=tuple(range(1, 10)) * 8, test=(1, 2))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw.h5").rename(tmp_path / "raw" / "all.h5")
    done = build(
        "tissuemnist", tmp_path / "raw", tmp_path / "out", census="warn", miniature=False,
        overrides={"numbering": "nephnet"},
    )  # fmt: skip
    row = done.samples[0]
    first = crop(int(row["row"]) + (90 if row["table"] == "test_data" else 0))
    picture = Image.fromarray(first.max(axis=0)).resize((28, 28), Image.Resampling.BICUBIC)
    assert np.array_equal(done.images(28)[row["key"]], np.asarray(picture))


# ---- axes


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (crop(), {}),  # seven pages
        (crop(), {"imagej": True}),
        (crop(), {"metadata": None}),
        (crop().transpose(1, 2, 0), {"planarconfig": "contig"}),  # one page of seven samples
        (crop().transpose(1, 2, 0), {"metadata": {"axes": "YXZ"}}),  # 32 pages of 32 x 7
        (crop()[:, None], {}),
        (crop().astype(np.uint16), {}),
    ],
)
def test_depth_is_the_axis_of_seven(tmp_path, array, options):
    raw = put(tmp_path, "F33/CD/1.tif", data=tiff(array, **options))
    stack = bbbc051.open(raw, listed(raw).samples[0])
    assert np.array_equal(stack, crop())


@pytest.mark.parametrize("shape", [(6, 32, 32), (8, 32, 32), (32, 32, 32), (7, 32, 30), (32, 32), (7, 7, 32)])
def test_other_axes_are_refused_not_guessed(tmp_path, shape):
    raw = put(tmp_path, "F33/CD/1.tif", data=tiff(np.zeros(shape, np.uint8)))
    with pytest.raises(PreprocessError, match=r"F33/CD/1.tif: holds uint8 of shape .* nothing is guessed"):
        listed(raw)


def test_one_damaged_crop_is_left_to_the_render_stage(tmp_path):
    raw = put(tmp_path, *(f"F33/CD/{i}.tif" for i in range(5)))
    (tmp_path / "F33/CD/2.tif").write_bytes(b"II*\0 not a picture")
    damaged = listed(raw).samples[2]
    with pytest.raises(UnreadableError, match="cannot be decoded"):
        bbbc051.open(raw, damaged)
    whole = tiff(crop())
    (tmp_path / "F33/CD/2.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableError):
        bbbc051.open(Raw(tmp_path), damaged)


# ---- intensities


def test_the_inspection_is_told(tmp_path):
    notes = listed(put(tmp_path, *(f"F33/TAL/{i}.tif" for i in range(3)))).notes
    assert notes[0] == "3 TIFF crops in folders"
    assert notes[1].startswith("inspected 3 crops: uint8, values run from 0 to ")
    assert notes[2] == "TAL 3"


@pytest.mark.parametrize(
    ("change", "message", "remedy"),
    [
        (lambda v: v + 128, "128 seems to be added to every byte.*offset-128", "offset-128"),  # wraps at 256
        (lambda v: v.view(np.int8), "these are signed bytes", "signed"),
        (lambda v: v.astype(np.uint16) * 16, "this is not 0 to 255", "sample-range"),
        (lambda v: (v / 255).astype(np.float32), "this is not 0 to 255", "sample-range"),
    ],
)
def test_values_must_be_what_the_decision_says(tmp_path, change, message, remedy):
    raw = put(tmp_path, "F33/CD/1.tif", data=tiff(change(crop(high=250))))
    with pytest.raises(PreprocessError, match=f"{message}.*override intensity"):
        listed(raw)
    sample = listed(raw, intensity=remedy).samples[0]
    read = stacks.intensity(bbbc051.open(raw, sample), remedy)
    if remedy == "sample-range":
        assert (read.min(), read.max()) == (0, 255)
    else:
        assert np.array_equal(read, crop(high=250))


@pytest.mark.parametrize("intensity", ["offset-128", "signed"])
def test_a_remedy_for_nothing_is_refused(tmp_path, intensity):
    with pytest.raises(PreprocessError, match="these are no"):
        listed(put(tmp_path, "F33/CD/1.tif"), intensity=intensity)


def test_bytes_written_as_other_numbers_stay_bytes():
    for kind in (np.int64, np.uint16, np.float64):
        read = stacks.intensity(crop().astype(kind), "uint8")
        assert read.dtype == np.uint8
        assert np.array_equal(read, crop())


# ---- the dataset


def test_every_size_comes_from_the_projection(published_tree, builder):
    done = builder("tissuemnist", published_tree, protocol="released", sizes=(28, 64))
    raw = Raw(published_tree)
    for row in done.samples[::7]:
        data = raw.read(row["path"])
        highest = np.asarray(tifffile.imread(io.BytesIO(data))).max(axis=0)
        for size in (28, 64):
            expected = Image.fromarray(highest).resize((size, size), Image.Resampling.BILINEAR)
            for _ in range(2 if size == 28 else 0):
                expected.save(buffer := io.BytesIO(), "JPEG", quality=75)
                expected = Image.open(buffer)
            assert np.array_equal(done.images(size)[row["key"]], np.asarray(expected))
        assert row["upsampled"] == "64"
    assert {row["specimen"] for row in done.samples} == {"F33", "F44", "F59"}


@pytest.mark.parametrize("changed", [{"project": "mean"}, {"neighbours": "masked"}, {"intensity": "sample-range"}])
def test_a_decision_changes_the_pixels(published_tree, builder, changed):
    plain = builder("tissuemnist", published_tree).images(28)
    other = builder("tissuemnist", published_tree, overrides=changed, census="warn").images(28)
    assert not all(np.array_equal(image, plain[key]) for key, image in other.items())


@pytest.mark.parametrize("sizes", [(11163, 22010), (11164, 22009)])
def test_class_sizes_that_fit_give_every_published_total(sizes):
    """Both solutions of the facts, by the rule in force."""
    in_force = recipe.load("tissuemnist", "released")
    numbers = [75822, sizes[0], 8381, sizes[1], 11128, 11008, 56005, 40869]
    assert sum(numbers) == in_force.dataset.census["nuclei"] == 236_386
    assert [in_force.value(f"split.{key}") for key in ("rule", "group_by", "keep")] == ["per-class", "none", {}]
    found = np.diff([split.cuts(number, in_force.value("split.ratio")) for number in numbers], axis=1, prepend=0).sum(0)
    counts = published.current("tissuemnist").counts
    assert found.tolist() == [165_466, 23_640, 47_280] == [counts[part].rows for part in ("train", "val", "test")]
    assert list(in_force.dataset.published.values()) == found.tolist()


# ---- what further packages read


@pytest.mark.parametrize("packing", ["tiff_lzw", "tiff_deflate", "packbits", "zstd", "lzma"])
def test_a_packing_is_read_or_the_package_it_needs_is_named(tmp_path, packing):
    folder = tmp_path / "F33" / "TAL" / "All_3D"
    folder.mkdir(parents=True)
    array = crop().astype(np.uint8)
    first, *others = map(Image.fromarray, array)
    try:
        first.save(folder / "1.tif", save_all=True, append_images=others, compression=packing)
    except OSError:
        pytest.skip(f"this Pillow does not write {packing}")
    if packing in ("tiff_deflate", "packbits", "lzma") or importlib.util.find_spec("imagecodecs"):
        assert np.array_equal(bbbc051.open(Raw(tmp_path), listed(Raw(tmp_path)).samples[0]), array)
        return
    with pytest.raises(PreprocessError, match=r"1\.tif: packed in a way .* pip install imagecodecs"):
        listed(Raw(tmp_path))


@pytest.mark.parametrize("page", [0, 3, 6])
def test_damage_in_a_stack_of_jpegs_is_seen(page, tmp_path):
    """Pixels cut off in one plane: libjpeg, in whatever package, would fill them up in silence."""
    folder = tmp_path / "F33" / "TAL" / "All_3D"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(1).integers(0, 256, (7, 32, 32), np.uint8)
    first, *others = map(Image.fromarray, noise)
    first.save(folder / "1.tif", save_all=True, append_images=others, compression="jpeg")
    data = bytearray((folder / "1.tif").read_bytes())
    with tifffile.TiffFile(folder / "1.tif") as file:
        start, length = file.pages[page].dataoffsets[0], file.pages[page].databytecounts[0]
    data[start + length // 2 : start + length - 2] = bytes(length - 2 - length // 2)
    sample = Sample(key="TAL/1.tif", path="F33/TAL/All_3D/1.tif", original_label="TAL", attributes={})
    if importlib.util.find_spec("imagecodecs"):
        assert bbbc051.open(Raw(tmp_path), sample).shape == (7, 32, 32)
    else:
        with pytest.raises(PreprocessError, match=r"1\.tif: packed in a way .* pip install imagecodecs"):
            bbbc051.open(Raw(tmp_path), sample)
    (folder / "1.tif").write_bytes(data)
    with pytest.raises(UnreadableError, match="is damaged: "):
        bbbc051.open(Raw(tmp_path), sample)


def test_a_stack_that_claims_to_be_vast_is_refused_before_it_is_unpacked(tmp_path):
    """Deflate, one strip: 32 x 32 said to be 2**31 - 1 squared."""
    folder = tmp_path / "F33" / "TAL" / "All_3D"
    folder.mkdir(parents=True)
    buffer = io.BytesIO()
    Image.fromarray(crop().astype(np.uint8)[0]).save(buffer, "TIFF", compression="tiff_deflate")
    data = bytearray(buffer.getvalue())
    at = struct.unpack("<I", data[4:8])[0]
    for entry in range(at + 2, at + 2 + 12 * struct.unpack("<H", data[at : at + 2])[0], 12):
        if struct.unpack("<H", data[entry : entry + 2])[0] in (256, 257):
            data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, 2**31 - 1)
    (folder / "1.tif").write_bytes(data)
    with pytest.raises(PreprocessError, match=r"of shape .*nothing is guessed|cannot be decoded"):
        listed(Raw(tmp_path))


def test_a_row_that_nobody_wrote_is_left_out(tmp_path):
    rows = np.stack([crop(seed).reshape(-1) for seed in range(6)]).astype(np.uint8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("train_data", rows.shape, np.uint8, chunks=(2, rows.shape[1]))
        data[:4] = rows[:4]
        file["train_labels"] = np.ones(6, np.int64)
    raw = Raw(tmp_path)
    samples = bbbc051.index(raw, "kept", "info", "uint8").samples
    assert np.array_equal(bbbc051.open(raw, samples[3]).reshape(-1), rows[3])
    with pytest.raises(UnreadableError, match="holds no data at 4 0: that part was never written"):
        bbbc051.open(raw, samples[4])
