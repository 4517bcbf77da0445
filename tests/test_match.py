"""Matching published rows with raw images: on made images whose truth is known, and on the real ones."""

from __future__ import annotations

import csv
import hashlib
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocess import container, order, published, recipe
from preprocess.errors import PreprocessError
from preprocess.match import features, tiles
from preprocess.match.run import MatchFiles, match, recognise
from preprocess.plan.plan import Plan
from preprocess.reading.archives import Raw
from preprocess.table import read_rows, read_samples
from tests.builds import CommandError, run

ROOT = Path(__file__).parents[1]


# ---- whole matches, on the stand-in: its own build stands for the published file


class Matched:
    """What a match wrote."""

    def __init__(self, folder: Path, lines: list[str]) -> None:
        self.lines = lines
        self.order = list(csv.DictReader((folder / "order.csv").open(encoding="utf-8")))
        self.unmatched = list(csv.DictReader((folder / "unmatched.csv").open(encoding="utf-8")))
        self.decisions = list(read_rows(folder / "decisions.tsv"))
        self.page = (folder / "index.html").read_text(encoding="utf-8")

    def values(self, decision: str, size: int = 28) -> dict[str, dict[str, str]]:
        return {
            row["value"]: row for row in self.decisions if row["decision"] == decision and row["size"] == str(size)
        }  # fmt: skip

    def best(self, size: int = 28) -> dict[str, str]:
        return {
            row["decision"]: row["value"]
            for row in self.decisions
            if row["best"] and row["decision"] != "all" and row["size"] == str(size)
        }


@pytest.fixture
def publish(monkeypatch):
    """Let a built npz be the published one of its dataset and size."""

    def as_published(dataset: str, files: dict[int, Path]) -> None:
        md5 = {size: hashlib.md5(path.read_bytes()).hexdigest() for size, path in files.items()}
        edition = published.Edition(dataset, "3.0.0", "", md5, {})
        known = {md5[size]: published.File(edition, size) for size in md5}
        monkeypatch.setattr(published, "identify", known.get)

    return as_published


def indexed(raw: Path, folder: Path, *words: object, dataset: str = "breastmnist", census: str = "strict") -> Path:
    table = folder / "index.tsv"
    run("index", dataset, "--protocol", "released", "--raw", raw, "--census", census, *words, "--output", table,
        "--counts", folder / "census.tsv")  # fmt: skip
    return table


def truth(build) -> dict[tuple[str, str], str]:
    return {(row["split"], row["index"]): row["key"] for row in build.samples}


def test_a_build_is_matched_with_its_own_raw(stand_in, builder, publish, tmp_path):
    raw = stand_in("busi")
    done = builder("breastmnist", raw, protocol="released", sizes=(28, 64))
    publish("breastmnist", {28: done.npz(28), 64: done.npz(64)})
    about = recipe.load("breastmnist", "released")
    files = [done.npz(64), done.npz(28)]
    lines = match(about, MatchFiles(raw, done.folder / "index.tsv", files), tmp_path / "match", 1, 42)
    result = Matched(tmp_path / "match", lines)
    assert not result.unmatched
    given = {(row["split"], row["index"]): row for row in result.order}
    expected = truth(done)
    assert given.keys() == expected.keys()
    for place, row in given.items():
        assert expected[place] in (row["image_id"], *row["others"].split(" | "))
        assert row["how"] == "exact"
    assert result.best(28)["gray"] == "libpng"
    assert result.best(64)["gray"] == "luma"
    assert result.best(64)["kernel"] == "bilinear"
    assert [row["rows"] for row in result.decisions if row["decision"] == "all"] == [str(len(expected))] * 2
    assert [row["exact"] for row in result.decisions if row["decision"] == "all"] == [str(len(expected))] * 2
    assert any("the decisions in force are the best" in line for line in lines)
    samples = list(read_samples(done.folder / "index.tsv"))
    assert order.apply(order.read(tmp_path / "match" / "order.csv"), samples, {}) == []
    assert {(sample.split, sample.released_index): sample.key for sample in samples if sample.split} == {
        place: row["image_id"] for place, row in given.items()
    }


def test_a_wrong_start_is_put_right(stand_in, builder, publish, tmp_path):
    """Decisions that give no row at all are replaced by those that made the file, one after the other."""
    raw = stand_in("busi")
    made = {"gray": "first", "crop": "centre-square", "crop_rounding": "ceil", "kernel": "hamming", "jpeg": "q75"}
    done = builder("breastmnist", raw, protocol="released", overrides=made)
    publish("breastmnist", {28: done.npz(28)})
    about = recipe.load("breastmnist", "paper")
    lines = match(about, MatchFiles(raw, done.folder / "index.tsv", [done.npz(28)]), tmp_path / "match", 1, 42)
    result = Matched(tmp_path / "match", lines)
    assert not result.unmatched
    assert all(truth(done)[row["split"], row["index"]] == row["image_id"] for row in result.order)
    assert made.items() <= result.best().items()
    whole = next(row for row in result.decisions if row["decision"] == "all")
    assert (whole["exact"], whole["rows"]) == (str(len(done.samples)), str(len(done.samples)))
    assert result.values("protocol")["paper"]["in_force"] == "yes"
    assert "not those in force" in lines[-1]
    assert "kernel: hamming" in lines[-1]


def test_several_processes_render_the_same(stand_in, tmp_path):
    raw, about = stand_in("busi"), recipe.load("breastmnist", "released")
    samples = list(read_samples(indexed(raw, tmp_path, "--miniature")))
    how = features.Rendering(about, raw, 56, "0,1")
    one, three = (features.render(how, samples, tmp_path / str(count), count) for count in (1, 3))
    assert len(set(one.digests)) > len(samples) - 3
    assert one.digests == three.digests
    assert np.array_equal(one.rows.block(0, len(samples)), three.rows.block(0, len(samples)))


def test_every_alternative_has_its_figures(stand_in, builder, publish, tmp_path):
    raw = stand_in("busi")
    done = builder("breastmnist", raw, protocol="released")
    publish("breastmnist", {28: done.npz(28)})
    about = recipe.load("breastmnist", "released")
    match(about, MatchFiles(raw, done.folder / "index.tsv", [done.npz(28)]), tmp_path / "match", 1, 42)
    kernels = Matched(tmp_path / "match", []).values("kernel")
    assert kernels.pop("scikit-image")["exact"] == "0"
    assert set(kernels) == {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"}
    files = Raw(raw)
    images = {row["key"]: Image.open(io.BytesIO(files.read(row["path"]))).convert("RGB") for row in done.samples}
    for name, row in kernels.items():
        wanted = exact = 0
        for sample in done.samples:
            ours = np.asarray(_by_hand(images[sample["key"]], Image.Resampling[name.upper()])).astype(int)
            theirs = done.arrays(28)[f"{sample['split']}_images"][int(sample["index"])]
            exact += not np.abs(ours - theirs).any()
            wanted += np.abs(ours - theirs).mean()
        assert int(row["exact"]) == exact
        assert float(row["mean_abs_difference"]) == pytest.approx(wanted / len(done.samples), abs=1e-4)
    assert next(iter(kernels)) == "bilinear"


def _by_hand(image: Image.Image, kernel: Image.Resampling) -> Image.Image:
    """The released recipe at 28 as the facts say it, by another way than the steps."""
    r, g, b = (np.asarray(image)[..., channel].astype(int) for channel in range(3))
    gray = np.where((r == g) & (g == b), r, (9798 * r + 19235 * g + 3735 * b) // 32768).astype(np.uint8)
    side = min(gray.shape)
    top, left = (int(round((length - side) / 2.0)) for length in gray.shape)
    return Image.fromarray(gray[top : top + side, left : left + side]).resize((28, 28), kernel)


def match_altered(raw, done, arrays, publish, tmp_path):
    """Match a build with a file of its own arrays, altered, that stands for the published one."""
    path = tmp_path / "breastmnist.npz"
    container.write(path, [container.Array(name, array.shape, [array.tobytes()]) for name, array in arrays.items()], 3)
    publish("breastmnist", {28: path})
    about = recipe.load("breastmnist", "released")
    lines = match(about, MatchFiles(raw, done.folder / "index.tsv", [path]), tmp_path / "match", 1, 42)
    result = Matched(tmp_path / "match", lines)
    return result, lines


def test_rows_that_lie_otherwise_are_found_and_said(stand_in, builder, publish, tmp_path):
    raw = stand_in("busi")
    done = builder("breastmnist", raw, protocol="released")
    arrays = done.arrays(28)
    turned = {
        name: array.transpose(0, 2, 1)[:, :, ::-1] if "images" in name else array for name, array in arrays.items()
    }
    result, lines = match_altered(raw, done, turned, publish, tmp_path)
    assert len(result.order) == len(done.samples)
    assert all(truth(done)[row["split"], row["index"]] == row["image_id"] for row in result.order)
    assert result.best()["axes"] == "1,0r"
    assert "axes: 1,0r (what no recipe decides)" in lines[-1]
    assert result.values("axes")["0,1"]["in_force"] == "yes"
    assert int(result.values("axes")["0,1"]["exact"]) < len(done.samples) / 4


def test_a_pixel_and_a_label_that_were_changed_are_named(stand_in, builder, publish, tmp_path):
    raw = stand_in("busi")
    done = builder("breastmnist", raw, protocol="released")
    arrays = done.arrays(28)
    arrays["train_images"][2, 4, 4] ^= 8
    arrays["test_labels"][1] ^= 1
    arrays["train_images"][[5, 6]] = arrays["train_images"][[6, 5]]
    result, _ = match_altered(raw, done, arrays, publish, tmp_path)
    given = {(row["split"], row["index"]): row for row in result.order}
    expected = truth(done)
    expected["train", "5"], expected["train", "6"] = expected["train", "6"], expected["train", "5"]
    assert {place: row["image_id"] for place, row in given.items()} == expected
    assert [place for place, row in given.items() if row["how"] != "exact"] == [("train", "2")]
    assert given["train", "2"]["how"] == "nearest"
    noted = {place: row["note"] for place, row in given.items() if row["note"]}
    label = int(arrays["test_labels"][1, 0])
    assert noted == {("test", "1"): f"label differs: published {label}, raw {1 - label}"}
    assert result.page.count("found as the nearest") == 1
    assert "differs by up to 8, on average 0.010" in result.page


def test_partial_raw_leaves_rows_over(stand_in, builder, publish, tmp_path):
    raw = stand_in("busi")
    done = builder("breastmnist", raw, protocol="released")
    publish("breastmnist", {28: done.npz(28)})
    lines = (done.folder / "index.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "index.tsv").write_text("".join(lines[:1] + lines[1::3]), encoding="utf-8")
    about = recipe.load("breastmnist", "released")
    match(about, MatchFiles(raw, tmp_path / "index.tsv", [done.npz(28)]), tmp_path / "match", 1, 42)
    result = Matched(tmp_path / "match", [])
    assert len(result.order) == len(lines[1::3])
    assert len(result.unmatched) == len(done.samples) - len(lines[1::3])
    assert all(row["reason"] for row in result.unmatched)


def test_a_file_that_was_not_published_is_refused(stand_in, builder, publish, tmp_path):
    done = builder("breastmnist", stand_in("busi"), protocol="released")
    with pytest.raises(PreprocessError, match=r"none of the published files \(MD5 [0-9a-f]{32}\); download it again"):
        recognise(recipe.load("breastmnist", "released"), [done.npz(28)])
    with pytest.raises(CommandError):
        run("match", "breastmnist", "--protocol", "released", "--raw", stand_in("busi"), "--index",
            done.folder / "index.tsv", "--published", done.npz(28), "--workers", 1, "--seed", 42, "--output",
            tmp_path / "match")  # fmt: skip
    assert not (tmp_path / "match").exists()


class Links(HTMLParser):
    """Everything a page would load, and its images."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.images = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attributes if name in ("src", "href")]
        self.images += tag == "img"


def test_the_page_stands_alone_and_escapes_names(stand_in, builder, publish, tmp_path):
    raw = stand_in("busi")
    done = builder("breastmnist", raw, protocol="released")
    publish("breastmnist", {28: done.npz(28)})
    table = tmp_path / "index.tsv"
    table.write_text((done.folder / "index.tsv").read_text().replace("benign/benign (1).png\t", "<b>1</b>\t", 1))
    match(recipe.load("breastmnist", "released"), MatchFiles(raw, table, [done.npz(28)]), tmp_path / "match", 1, 42)
    page = (tmp_path / "match" / "index.html").read_text(encoding="utf-8")
    links = Links()
    links.feed(page)
    assert links.images == 3 * 6
    assert all(link.startswith("data:image/png;base64,") for link in links.loaded)
    assert "http" not in page.replace("data:image", "")
    assert "<b>1</b>" not in page
    assert "prefers-color-scheme: dark" in page
    assert page.count("bilinear") >= 1


def test_the_frame_of_boxes_is_found(stand_in, builder, publish, tmp_path):
    """Boxes laid over the arrays as stored, matched from their own frame."""
    raw = stand_in("lits")
    done = builder("organamnist", raw, protocol="released", overrides={"orientation": "raw"})
    publish("organamnist", {28: done.npz(28)})
    about = recipe.load("organamnist", "released", {"orientation": "lps"})
    lines = match(about, MatchFiles(raw, done.folder / "index.tsv", [done.npz(28)]), tmp_path / "match", 1, 42)
    frames = {
        value: int(row["exact"]) for value, row in Matched(tmp_path / "match", lines).values("orientation").items()
    }
    assert max(frames, key=lambda value: frames[value]) == "raw"
    assert frames["raw"] > max(frames["lps"], frames["lps-y-reversed"])


# ---- montages of tiles


def montage(path: Path, images: list[np.ndarray], edge: int) -> Path:
    """Tiles row by row, the rest of the last rows gray as scikit-image fills them."""
    size = len(images[0])
    whole = np.full((edge * size, edge * size, *images[0].shape[2:]), 128, np.uint8)
    for place, image in enumerate(images):
        row, column = divmod(place, edge)
        whole[row * size : (row + 1) * size, column * size : (column + 1) * size] = image
    Image.fromarray(whole).save(path)
    return path


def test_tiles_are_matched_as_rows_are(stand_in, builder, tmp_path):
    raw = stand_in("busi")
    done = builder("breastmnist", raw, protocol="released", sizes=(28, 64))
    about = recipe.load("breastmnist", "paper")
    for size in (28, 64):
        some = list(done.images(size).items())[3:24]
        name = "breastmnist.png" if size == 28 else "breastmnist_64.png"
        path = montage(tmp_path / name, [image for _, image in some], 5)
        out = tmp_path / f"match-{size}"
        lines = match(about, MatchFiles(raw, done.folder / "index.tsv", [path]), out, 1, 42)
        result = Matched(out, lines)
        assert not result.unmatched
        for place, (key, _) in enumerate(some):
            row = result.order[place]
            assert (row["split"], row["index"], row["label"], row["how"]) == ("tile", str(place), "", "exact")
            assert key in (row["image_id"], *row["others"].split(" | "))
            assert not row["note"]
        assert result.best(size)["kernel"] == "bilinear"
        assert result.best(size)["crop"] == "centre-square"
        assert not any(row["decision"].startswith("label") for row in result.decisions)
        assert "Tiles have no split" in result.page
        assert "21 of 21 rows found are exact" in lines[-1]
        # no order of a file can be made of it
        with pytest.raises(PreprocessError, match="not a split and an index: tile,0"):
            order.read(out / "order.csv")


@pytest.mark.parametrize(
    ("name", "shape", "colour", "cause"),
    [
        ("breastmnist.png", (56, 84), 0, "is 84x56 pixels, not N x N tiles of 28"),
        ("breastmnist.png", (60, 60), 0, "is 60x60 pixels, not N x N tiles of 28"),
        ("breastmnist_64.png", (56, 56), 0, "is 56x56 pixels, not N x N tiles of 64"),
        ("breastmnist.png", (56, 56), 9, "has colour, and this dataset is gray"),
        ("breastmnist.png", None, 0, "shows no tile, every one of its 4 places is blank"),
        ("busi.png", (56, 56), 0, "a montage of tiles is named breastmnist.png where the tiles have 28 pixels"),
        ("breastmnist_x.png", (56, 56), 0, "else breastmnist_<pixels>.png; rename it"),
    ],
)
def test_what_is_no_montage_is_said(name, shape, colour, cause, tmp_path, stand_in):
    random = np.random.default_rng(3)
    gray = random.integers(0, 200, shape, np.uint8) if shape else np.full((56, 56), 7, np.uint8)
    pixels = np.dstack([gray, gray, gray])
    pixels[0, 0, 0] += colour
    Image.fromarray(pixels).save(tmp_path / name)
    table = indexed(stand_in("busi"), tmp_path, "--miniature")
    with pytest.raises(PreprocessError) as told:
        match(
            recipe.load("breastmnist", "released"),
            MatchFiles(stand_in("busi"), table, [tmp_path / name]),
            tmp_path / "m",
            1,
            42,
        )
    assert cause in str(told.value)
    assert str(told.value).startswith(str(tmp_path / name))


def test_a_lossy_picture_or_a_volume_is_no_montage(tmp_path):
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (56, 56), np.uint8))
    picture.save(tmp_path / "breastmnist.png", "JPEG")
    with pytest.raises(PreprocessError, match="is JPEG, which may have changed pixels; a PNG is needed"):
        list(tiles.of(tmp_path / "breastmnist.png", (28, 28)))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(PreprocessError, match="cannot be read as a picture"):
        list(tiles.of(tmp_path / "broken.png", (28, 28)))
    with pytest.raises(PreprocessError, match="this dataset has volumes"):
        list(tiles.of(tmp_path / "broken.png", (28, 28, 28)))


def test_an_npz_and_a_montage_of_one_size_are_too_many(tmp_path):
    for name in ("breastmnist.png", "deeper"):
        (tmp_path / name).mkdir() if name == "deeper" else (tmp_path / name).write_bytes(b"")
    (tmp_path / "deeper" / "breastmnist.png").write_bytes(b"")
    with pytest.raises(PreprocessError, match="is of the same size; take one of them away"):
        recognise(
            recipe.load("breastmnist", "released"),
            [tmp_path / "breastmnist.png", tmp_path / "deeper" / "breastmnist.png"],
        )


def test_nothing_to_match_is_said(tmp_path):
    schema = ROOT / "workflow" / "schemas" / "config.schema.json"
    with pytest.raises(PreprocessError, match="a stand-in has no published files"):
        Plan({"results": str(tmp_path)}, schema).matches()
    (tmp_path / "raw" / "busi").mkdir(parents=True)
    (tmp_path / "raw" / "busi" / "benign (1).png").write_bytes(b"")
    config = {"results": str(tmp_path), "raw": str(tmp_path / "raw"), "datasets": ["breastmnist"]}
    with pytest.raises(PreprocessError, match="holds no published npz of breastmnist"):
        Plan(config, schema).matches()
    (tmp_path / "raw" / "released").mkdir()
    (tmp_path / "raw" / "released" / "breastmnist_128.npz").write_bytes(b"")
    assert [Path(path).parts[-3:] for path in Plan(config, schema).matches()] == [
        ("match", "breastmnist", "index.html")
    ]
    # a montage serves where there is no npz of its size
    for name in ("breastmnist.png", "breastmnist_128.png", "breastmnist_x.png", "bloodmnist.png"):
        (tmp_path / "raw" / "released" / name).write_bytes(b"")
    found = [Path(path).name for path in Plan(config, schema).published_files("breastmnist")]
    assert found == ["breastmnist.png", "breastmnist_128.npz"]


# ---- the real ones


@pytest.fixture(scope="module")
def real_busi(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("match")
    table = indexed(real / "busi", folder, census="warn")
    run("match", "breastmnist", "--protocol", "released", "--raw", real / "busi", "--index", table, "--published",
        real / "released" / "breastmnist.npz", "--workers", 1, "--seed", 42, "--output", folder / "match")  # fmt: skip
    return Matched(folder / "match", [])


@pytest.mark.real
def test_all_93_real_busi_images_are_found(real_busi, real):
    rows = csv.DictReader((real / "released_order" / "breastmnist.csv").open(encoding="utf-8"))
    known = {row["image"]: (row["split"], row["index"], row["label"]) for row in rows}
    assert len(real_busi.order) == 93
    for row in real_busi.order:
        assert known[row["image_id"]] == (row["split"], row["index"], row["label"])
        assert (row["how"], row["others"], row["note"]) == ("exact", "", "")
    assert len(real_busi.unmatched) == 780 - 93


@pytest.mark.real
def test_real_busi_ranks_the_released_decisions_first(real_busi):
    assert real_busi.best() == {
        "decoder": "pillow", "gray": "libpng", "crop": "centre-square", "crop_rounding": "half-even",
        "kernel": "bilinear", "jpeg": "none", "axes": "0,1",
        "label.map": '{"benign": 1, "malignant": 0, "normal": 1}',
    }  # fmt: skip
    exact = {
        decision: {value: int(row["exact"]) for value, row in real_busi.values(decision).items()}
        for decision in ("crop", "crop_rounding", "kernel", "gray", "jpeg")
    }
    assert exact["kernel"].pop("bilinear") == 93
    assert exact["kernel"] == dict.fromkeys(("bicubic", "hamming", "box", "lanczos", "nearest", "scikit-image"), 0)
    assert {"q75", "q75 twice", "q75 3 times", "q75 4 times"} <= set(exact["jpeg"])
    assert exact["crop"] == {"centre-square": 93, "none": 0}
    assert exact["crop_rounding"]["half-even"] == 93
    assert 0 < exact["crop_rounding"]["floor"] < 93
    assert 0 < exact["crop_rounding"]["ceil"] < 93
    assert exact["gray"]["libpng"] == 93 > max(exact["gray"]["luma"], exact["gray"]["first"]) >= 93 - 16
    assert all(count == (93 if value == "none" else 0) for value, count in exact["jpeg"].items())
    (whole,) = (row for row in real_busi.decisions if row["decision"] == "all")
    assert (whole["exact"], whole["rows"], whole["mean_abs_difference"]) == ("93", "93", "0.0000")


@pytest.fixture(scope="module")
def real_derma(real, tmp_path_factory):
    """The five originals in HAM10000's layout, and the page's tiles of them among others as a montage."""
    folder = tmp_path_factory.mktemp("derma")
    raw = folder / "raw"
    (raw / "HAM10000_images_part_1").mkdir(parents=True)
    (raw / "HAM10000_metadata.csv").symlink_to(real / "ham10000" / "HAM10000_metadata.csv")
    pixels = real / "released_pixels" / "derma"
    for path in pixels.glob("*.jpg"):
        (raw / "HAM10000_images_part_1" / path.name).symlink_to(path)
    with np.load(pixels / "official.npz") as file:
        some = [file[name] for name in sorted(file.files) if name.startswith("site")]
    table = indexed(raw, folder, dataset="dermamnist", census="warn")
    path = montage(folder / "dermamnist.png", some, 3)
    lines = match(recipe.load("dermamnist", "released"), MatchFiles(raw, table, [path]), folder / "match", 1, 42)
    return Matched(folder / "match", lines)


@pytest.mark.real
def test_real_tiles_of_the_page_rank_one_jpeg_pass_first(real_derma):
    """Five of six tiles have their original; in force are two passes, as in the published file."""
    assert len(real_derma.order) == 5
    assert len(real_derma.unmatched) == 1
    exact = {
        decision: {value: int(row["exact"]) for value, row in real_derma.values(decision).items() if row["exact"]}
        for decision in ("jpeg", "crop", "kernel")
    }
    assert exact["jpeg"].pop("q75") == 5
    assert set(exact["jpeg"].values()) == {0}
    assert {"q75 twice", "q75 3 times", "none"} <= set(exact["jpeg"])
    assert exact["crop"] == {"centre-square": 5, "none": 0}
    assert exact["kernel"].pop("bilinear") == 5
    assert set(exact["kernel"].values()) == {0}
    assert "jpeg: q75: 5 of 5 rows found are exact" in real_derma.lines[-1]
