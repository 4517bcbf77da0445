"""The audit finds what was planted, and nothing where nothing was."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from preprocess import duplicates, leakfree, recipe
from preprocess.audit import exceptions, pages
from preprocess.errors import PreprocessError
from preprocess.table import Sample
from tests.builds import CommandError, build, run
from tests.test_busi import unpack


def audit(done, raw, folder, protocol="paper", signed=()):
    """The pages and data of one finished build, by the commands of the workflow."""
    size = done.sizes[0]
    common = [done.dataset, "--protocol", protocol]
    tables = ["--samples", done.folder / "samples.tsv"]
    sums = done.folder / "sums.tsv"
    run("sums", done.npz(size), "--output", sums)
    verdict = ["verdict", *common, "--sizes", size, "--npz", done.npz(size), *tables, "--sums", sums, "--miniature"]
    run(*verdict, "--released", folder, "--output", done.folder / "verdict.json")
    run("provenance", *common, "--raw", raw, *tables, "--sums", sums, "--checks", done.folder / "checks.json",
        "--verdict", done.folder / "verdict.json", "--output", done.folder / "provenance.json")  # fmt: skip
    run("montage", *common, "--npz", done.npz(size), "--output", done.folder / "montage.png")
    extra = ["--exceptions", signed] if signed else []
    run("audit", *common, "--raw", raw, *extra, "--npz", done.npz(size), "--size", size, *tables, "--excluded",
        done.folder / "excluded.tsv", "--provenance", done.folder / "provenance.json", "--montage",
        done.folder / "montage.png", "--output", folder / f"{done.dataset}.html", "--summary",
        done.folder / "audit.json")  # fmt: skip
    run("audit-index", done.folder / "audit.json", "--output", folder / "index.html", "--json", folder / "audit.json")
    page = (folder / f"{done.dataset}.html").read_text(encoding="utf-8")
    return page, json.loads((folder / "audit.json").read_text())["datasets"][done.dataset]


@pytest.fixture
def tree(stand_in, tmp_path):
    return unpack(stand_in("busi") / "Dataset_BUSI.zip", tmp_path / "raw")


def image(tree: Path, label: str, number: int) -> Path:
    return tree / "Dataset_BUSI_with_GT" / label / f"{label} ({number}).png"


def levels(found) -> dict[str, str]:
    return {one["check"]: one["level"] for one in found["findings"] if one["level"] != "information"}


def test_nothing_is_found_where_nothing_was_planted(stand_in, builder, tmp_path):
    page, found = audit(builder("breastmnist", stand_in("busi")), stand_in("busi"), tmp_path)
    assert levels(found) == {}
    assert found["errors"] == found["warnings"] == 0
    assert "Nothing." in page.partition('id="excluded"')[2]
    run("gate", tmp_path / "audit.json", "--output", tmp_path / "gate.txt")


def test_planted_defects_are_found_each_on_its_page_and_in_the_data(tree, tmp_path):
    whole = build("breastmnist", tree, tmp_path / "whole")
    split = {row["key"]: row["split"] for row in whole.samples}

    def pick(label: str, wanted: str) -> int:
        keys = sorted(key for key, one in split.items() if one == wanted and key.startswith(label))
        return int(keys[0].partition("(")[2].partition(")")[0])

    train, test, other = pick("benign", "train"), pick("benign", "test"), pick("malignant", "train")
    shutil.copy(image(tree, "benign", train), image(tree, "benign", test))
    shutil.copy(image(tree, "benign", train), image(tree, "malignant", other))
    broken = next(n for n in (5, 6, 7, 8) if f"normal/normal ({n}).png" in split)
    image(tree, "normal", broken).write_bytes(image(tree, "normal", broken).read_bytes()[:500])
    from PIL import Image

    Image.new("RGB", (80, 60), (7, 7, 7)).save(image(tree, "normal", 1))
    Image.open(image(tree, "normal", 2)).crop((0, 0, 25, 120)).save(image(tree, "normal", 2))
    shutil.copy(image(tree, "benign", 2), image(tree, "benign", 21))  # one more than there should be

    done = build("breastmnist", tree, tmp_path / "planted", census="warn")
    page, found = audit(done, tree, tmp_path)
    assert levels(found) == {
        "census": "warning",
        "unreadable": "warning",
        "blank": "error",
        "duplicates": "warning",
        "duplicates-label": "warning",
    }
    by_check = {(one["check"], one["level"]): one for one in found["findings"]}
    assert "benign 21 of 20" in by_check["census", "warning"]["text"]
    assert by_check["blank", "error"]["examples"] == [["normal/normal (1).png"]]
    assert by_check["unreadable", "warning"]["examples"] == [[f"normal/normal ({broken}).png"]]
    pair = [f"benign/benign ({number}).png" for number in (train, test)]
    assert sorted(pair) in [sorted(example) for example in by_check["duplicates", "warning"]["examples"]]
    conflict = {key for pair in by_check["duplicates-label", "warning"]["examples"] for key in pair}
    assert f"malignant/malignant ({other}).png" in conflict
    assert by_check["upsampled", "information"]["examples"] == [["normal/normal (2).png"]]
    assert found["excluded"]["unreadable"]["count"] == 1
    for name in ("census", "unreadable", "blank", "duplicates", "duplicates-label", "upsampled"):
        assert f'data-check="{name}"' in page
    assert f"malignant/malignant ({other}).png" in page

    with pytest.raises(CommandError):
        run("gate", tmp_path / "audit.json", "--output", tmp_path / "gate.txt")
    assert not (tmp_path / "gate.txt").exists()
    signed = tmp_path / "signed.yaml"
    signed.write_text("- {dataset: breastmnist, check: blank, reason: planted by a test, signed: A. Tester}\n")
    page, found = audit(done, tree, tmp_path, signed=signed)
    assert "planted by a test (A. Tester)" in page
    run("gate", tmp_path / "audit.json", "--output", tmp_path / "gate.txt")


def test_a_patient_in_two_splits_is_found_under_the_released_rule(stand_in, builder, tmp_path):
    raw = stand_in("ham10000")
    leaky = builder("dermamnist", raw, protocol="released")
    page, found = audit(leaky, raw, tmp_path, protocol="released")
    # counted a second way, from the samples table alone
    splits: dict[str, set[str]] = {}
    for row in leaky.samples:
        splits.setdefault(row["group"], set()).add(row["split"])
    straddling = sum({"train", "test"} <= one for one in splits.values())
    assert straddling
    texts = [one["text"] for one in found["findings"] if one["check"] == "groups" and one["level"] == "warning"]
    assert any(text.startswith(f"{straddling} of {len(splits)} lesions are in train and test") for text in texts)
    assert 'data-check="groups" data-level="warning"' in page
    clean = builder("dermamnist", raw)
    assert not [one for one in clean.findings if one["check"] == "groups" and one["level"] == "warning"]


def test_exceptions_need_every_field(tmp_path):
    path = tmp_path / "signed.yaml"
    path.write_text("- {dataset: breastmnist, check: blank, reason: '', signed: me}\n")
    with pytest.raises(PreprocessError, match="entry 1 needs exactly dataset, check, reason, signed"):
        exceptions.read(path)
    with pytest.raises(PreprocessError, match="cannot be read"):
        exceptions.read(tmp_path / "none.yaml")


def test_every_grade_is_explained():
    assert all(pages.GRADES.values())


# ---- duplicates


def test_near_duplicates_are_those_a_plain_loop_finds(monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", 16)
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
    assert {(pair.first, pair.second): pair.distance for pair in duplicates.near(cells)} == expected


def test_hash_sees_through_size_and_brightness():
    generator = np.random.default_rng(1)
    picture = np.kron(generator.integers(40, 180, (16, 17)), np.ones((8, 8))).astype(np.uint8)

    def bits(image):
        return duplicates.difference_hash(duplicates.cells(image, 2))

    assert np.array_equal(bits(picture), bits(picture + 30))
    assert np.array_equal(bits(picture), bits(picture.repeat(3, 0).repeat(3, 1)))
    assert (bits(picture) != bits(picture[::-1])).sum() > 60


def altered(picture):
    """What a copy of an image goes through: JPEG, noise, scale, brightness, a burnt-in mark."""
    import io

    from PIL import Image, ImageEnhance

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
    from PIL import Image

    folder = real / "busi" / "Dataset_BUSI_with_GT"
    files = [path for path in sorted(folder.rglob("*.png")) if "mask" not in path.name]
    cells, origin = [], []
    for number, path in enumerate(files):
        picture = Image.open(path).convert("L")
        for one in (picture, *altered(picture)):
            cells.append(duplicates.cells(np.asarray(one), 2))
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


# ---- leak-free lists


@pytest.fixture(scope="module")
def lesions(real):
    """The real HAM10000 metadata as samples."""
    with open(real / "ham10000" / "HAM10000_metadata.csv") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["dx"] for row in rows})
    return [Sample(key=row["image_id"], group=row["lesion_id"], label=str(classes.index(row["dx"]))) for row in rows]


@pytest.mark.real
def test_released_rule_leaks_lesions_and_both_lists_do_not(lesions):
    from preprocess.split import assign

    released = recipe.load("dermamnist", "released")
    samples = assign(released, lesions, 42).samples
    assert Counter(sample.split for sample in samples) == {"train": 7007, "val": 1003, "test": 2005}

    def straddling(split_of):
        splits: dict[str, set[str]] = {}
        for sample in lesions:
            splits.setdefault(sample.group, set()).add(split_of[sample.key])
        return sum(len(one) > 1 for one in splits.values())

    assert straddling({sample.key: sample.split for sample in samples}) > 700
    moved = leakfree.move_to_train(samples)
    assert straddling(moved) == 0
    assert set(moved) == {sample.key for sample in samples}
    # only ever into train, never out of it
    assert all(moved[sample.key] in ("train", sample.split) for sample in samples)
    again = leakfree.grouped(released, samples, 42)
    assert straddling(again) == 0
    assert set(again) == set(moved)


# ---- in a browser


@pytest.mark.browser
def test_pages_show_in_a_browser(stand_in, builder, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    audit(builder("dermamnist", stand_in("ham10000")), stand_in("ham10000"), tmp_path)

    def browse(*words: str) -> str:
        quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        options = ["--headless", "--no-sandbox", "--disable-gpu", *quiet, f"--user-data-dir={tmp_path / 'profile'}"]
        return subprocess.run(
            [chromium, *options, *words], capture_output=True, text=True, timeout=120, check=True
        ).stdout

    # a page of the same folder looks at what the browser made of the others
    probe = tmp_path / "probe.html"
    probe.write_text(
        """<iframe id="f" src="dermamnist.html" style="width:390px;height:3000px"></iframe><pre id="out"></pre><script>
        f.onload = () => { const d = f.contentDocument; out.textContent = JSON.stringify({
          broken: [...d.images].filter(i => !i.complete || !i.naturalWidth).length, images: d.images.length,
          wide: d.documentElement.scrollWidth, findings: d.querySelectorAll('.finding').length,
          bars: d.querySelectorAll('#balance path').length,
          outside: [...d.querySelectorAll('[src],[href]')]
            .filter(e => /^(https?:)?\\/\\//.test(e.getAttribute('src') || e.getAttribute('href'))).length,
        })}</script>"""
    )
    dom = browse("--allow-file-access-from-files", "--virtual-time-budget=20000", "--dump-dom", probe.as_uri())
    seen = json.loads(dom.partition('<pre id="out">')[2].partition("</pre>")[0])
    assert seen["broken"] == 0
    assert seen["images"] > 5
    assert seen["wide"] <= 390  # no sideways scrolling on a phone
    assert seen["findings"] >= 6
    assert seen["bars"] > 7
    assert seen["outside"] == 0
    assert (tmp_path / "dermamnist.html").stat().st_size < 3_000_000
