"""The audit finds what was planted, and nothing where nothing was."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from preprocess import published, recipe
from preprocess.audit import checks, duplicates, exceptions, leakfree, pages
from preprocess.audit.findings import Finding
from preprocess.errors import PreprocessError
from preprocess.table import Sample, read_rows
from tests import browser
from tests.builds import CommandError, build, checked, run
from tests.test_busi import unpack


def audit(done, raw, folder, protocol="paper", signed=(), miniature=True, overrides=None, run_facts=(), leftovers=()):
    """The pages and data of one finished build, by the commands of the workflow."""
    size = done.sizes[0]
    common = [done.dataset, "--protocol", protocol, "--overrides", json.dumps(overrides or {})]
    drawn = ["--miniature"] if miniature else []
    tables = ["--samples", done.folder / "samples.tsv"]
    sums = done.folder / "sums.tsv"
    run("sums", done.npz(size), "--output", sums)
    verdict = ["verdict", *common, "--sizes", size, "--npz", done.npz(size), *tables, "--sums", sums, *drawn]
    run(*verdict, "--released", folder, "--output", done.folder / "verdict.json")
    facts = run_facts or ["--config", "{}"]
    stages = ["--sums", sums, "--checks", done.folder / "checks.json", "--verdict", done.folder / "verdict.json"]
    run("provenance", *common, *facts, "--default-seed", 42, *tables, *stages, *drawn, "--output",
        done.folder / "provenance.json")  # fmt: skip
    run("montage", *common, "--npz", done.npz(size), *drawn, "--output", folder / f"{done.dataset}.png")
    run("collection", done.dataset, "--npz", done.npz(size), *drawn, "--output", folder / "collection.png")
    extra = ["--exceptions", signed] if signed else []
    run("audit", *common, "--raw", raw, *extra, "--npz", done.npz(size), "--size", size, *tables, "--excluded",
        done.folder / "excluded.tsv", "--provenance", done.folder / "provenance.json", "--output",
        folder / f"{done.dataset}.html", "--summary", done.folder / "audit.json")  # fmt: skip
    left = ["--leftovers", *leftovers] if leftovers else []
    run("audit-index", done.folder / "audit.json", "--picture", folder / "collection.png", *left, "--output",
        folder / "index.html", "--json", folder / "audit.json")  # fmt: skip
    page = (folder / f"{done.dataset}.html").read_text(encoding="utf-8")
    return page, json.loads((folder / "audit.json").read_text())["datasets"][done.dataset]


@pytest.fixture
def tree(stand_in, tmp_path):
    return unpack(stand_in("busi") / "Dataset_BUSI.zip", tmp_path / "raw")


def image(tree: Path, label: str, number: int) -> Path:
    return tree / "Dataset_BUSI_with_GT" / label / f"{label} ({number}).png"


def levels(found) -> dict[str, str]:
    return {one["check"]: one["level"] for one in found["findings"] if one["level"] != "information"}


def on_page(page: str) -> dict[tuple[str, str], str]:
    """What the page shows of each finding, by check and level."""
    form = r'<div class="finding" data-check="([^"]+)" data-level="(\w+)">(.*?)(?=<div class="finding"|<h2)'
    shown: dict[tuple[str, str], str] = {}
    for check, level, text in re.findall(form, page, re.DOTALL):
        shown[check, level] = shown.get((check, level), "") + html.unescape(text)
    return shown


def leaks(page: str, check: str) -> list[str]:
    """The cells of one line of the page's table of leakage: train-val, train-test, val-test, within a split."""
    line = re.search(rf'<tr data-leak="{check}">(.*?)</tr>', page, re.DOTALL)[1]
    return [
        re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r'<td class="n"[^>]*>(.*?)</td>', line, re.DOTALL)
    ]


def test_nothing_is_found_where_nothing_was_planted(stand_in, builder, tmp_path):
    page, found = audit(builder("breastmnist", stand_in("busi")), stand_in("busi"), tmp_path)
    assert levels(found) == {}
    assert found["errors"] == found["warnings"] == []
    assert not [level for _, level in on_page(page) if level != "information"]
    assert "Nothing." in page.partition('id="excluded"')[2]
    assert leaks(page, "groups") == ["unknown"] * 4  # BUSI has no patients
    assert leaks(page, "duplicates") == leaks(page, "near-duplicates") == ["0"] * 4
    assert "clean" in (tmp_path / "index.html").read_text()
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
    first, darker = pick("malignant", "test"), pick("malignant", "val")
    ImageEnhance.Brightness(Image.open(image(tree, "malignant", first))).enhance(0.8).save(
        image(tree, "malignant", darker)
    )
    broken = next(n for n in (5, 6, 7, 8) if f"normal/normal ({n}).png" in split)
    image(tree, "normal", broken).write_bytes(image(tree, "normal", broken).read_bytes()[:500])
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
        "near-duplicates": "warning",
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
    almost = [f"malignant/malignant ({number}).png" for number in (first, darker)]
    assert [sorted(one) for one in by_check["near-duplicates", "warning"]["examples"]] == [sorted(almost)]
    assert by_check["near-duplicates", "warning"]["counts"] == {"val-test": 1, "within": 0}

    shown = on_page(page)
    assert {check: level for check, level in shown if level != "information"} == levels(found)
    assert "benign 21 of 20" in shown["census", "warning"]
    assert f"normal/normal ({broken}).png" in shown["unreadable", "warning"]
    assert "left out" in shown["unreadable", "warning"]
    assert f"normal/normal ({broken}).png" in page.partition('id="excluded"')[2].partition("<h2")[0]
    for check, level, keys in (
        ("blank", "error", ["normal/normal (1).png"]),
        ("duplicates", "warning", pair),
        ("duplicates-label", "warning", [f"malignant/malignant ({other}).png"]),
        ("near-duplicates", "warning", almost),
        ("upsampled", "information", ["normal/normal (2).png"]),
    ):
        for key in keys:  # with its picture, its name and its place
            assert re.search(rf'alt="{re.escape(key)}" src="data:image/png', shown[check, level]), (check, key)
            row = next(row for row in done.samples if row["key"] == key)
            assert f'{key}<br><span class="soft">{row["split"]} {row["index"]}</span>' in shown[check, level]
    copies = {"train-val": 0, "train-test": 0, "val-test": 0, "within": 0}
    by_key = {row["key"]: row["split"] for row in done.samples}
    same = [*pair, f"malignant/malignant ({other}).png"]
    if "benign/benign (2).png" in by_key:  # and the one more than there should be
        copies[between(by_key["benign/benign (2).png"], by_key["benign/benign (21).png"])] += 1
    for one, another in combinations(same, 2):
        copies[between(by_key[one], by_key[another])] += 1
    assert leaks(page, "duplicates") == [str(count) for count in copies.values()]
    assert leaks(page, "near-duplicates") == ["0", "0", "1", "0"]

    with pytest.raises(CommandError):
        run("gate", tmp_path / "audit.json", "--output", tmp_path / "gate.txt")
    assert not (tmp_path / "gate.txt").exists()
    signed = tmp_path / "signed.yaml"
    entry = {"dataset": "breastmnist", "check": "blank", "reason": "planted by a test", "signed": "A. Tester"}
    signed.write_text(json.dumps([entry | {"text": by_check["blank", "error"]["text"]}]))
    page, found = audit(done, tree, tmp_path, signed=signed)
    assert "planted by a test (A. Tester)" in on_page(page)["blank", "error"]
    assert found["errors"] == []
    assert levels(found) == levels({"findings": list(by_check.values())})  # nothing else is silenced or said
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
    assert f"{straddling} of {len(splits)} lesions are in train and test" in on_page(page)["groups", "warning"]
    pairs = (("train", "val"), ("train", "test"), ("val", "test"))
    assert leaks(page, "groups") == [*(str(sum(set(two) <= one for one in splits.values())) for two in pairs), ""]
    clean = builder("dermamnist", raw)
    assert not [one for one in clean.findings if one["check"] == "groups" and one["level"] == "warning"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {dataset: breastmnist, check: blank, reason: '', signed: me}", "entry 1 needs exactly dataset, check, rea"),
        ("- {dataset: breastmnist, check: blank, reason: so, signed: me, until: 2030}", "entry 1 needs exactly"),
        ("- {dataset: breastmnist, check: blank, reason: so}", "entry 1 needs exactly"),
        ("- {dataset: breastminst, check: blank, reason: so, signed: me}", "no dataset is called 'breastminst'"),
        ("dataset: breastmnist", "must be a list of entries"),
        ("- [", "cannot be read"),
    ],
)
def test_a_bad_file_of_exceptions_is_refused(tmp_path, text, told):
    path = tmp_path / "signed.yaml"
    path.write_text(text)
    with pytest.raises(PreprocessError, match=told) as caught:
        exceptions.read(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_exceptions_must_be_there(tmp_path):
    with pytest.raises(PreprocessError, match="cannot be read"):
        exceptions.read(tmp_path / "none.yaml")


def test_an_exception_that_fits_nothing_is_told():
    found = [Finding("blank", "error", "1 image"), Finding("ledger", "information", "all")]

    def marked(**entry):
        known = [exceptions.SignedOff("breastmnist", reason="so", signed="me", **entry)]
        return [(one.check, one.level, one.excepted or None) for one in exceptions.mark(dataset, found, known)]

    dataset, ledger = "breastmnist", ("ledger", "information", None)
    stale = ("exceptions", "warning", None)
    assert marked(check="blank") == [("blank", "error", "so (me)"), ledger]
    assert marked(check="blank", text="1 image") == [("blank", "error", "so (me)"), ledger]
    assert marked(check="blank", text="2 images") == [("blank", "error", None), ledger, stale]
    assert marked(check="ledger") == [("blank", "error", None), ledger, stale]
    dataset = "dermamnist"  # another dataset's entry is not its business
    assert marked(check="blank") == [("blank", "error", None), ledger]


def test_every_grade_is_explained():
    assert all(pages.GRADES.values())


def between(first: str, second: str) -> str:
    """The name of a pair of splits, in their order."""
    if first == second:
        return "within"
    return "-".join(sorted((first, second), key=("train", "val", "test").index))


def test_paper_counts_add_up_to_the_totals_the_paper_prints():
    """'708,069 2D images and 9,998 3D images in total': Scientific Data 10:41, abstract."""
    totals = {2: 0, 3: 0}
    for name in published.datasets():
        totals[recipe.read(name)["dimensions"]] += sum(one.rows for one in published.paper(name).counts.values())
    assert totals == {2: 708_069, 3: 9_998}


def test_counts_stand_beside_the_paper_s_and_every_edition_s(stand_in, builder, tmp_path):
    raw = stand_in("lits")
    page, found = audit(builder("organcmnist", raw), raw, tmp_path)
    later, earlier = found["published"]
    assert (later["counts"], later["paper"]) == ({"train": 12975, "val": 2392, "test": 8216}, False)
    assert (earlier["counts"], earlier["paper"]) == ({"train": 13000, "val": 2392, "test": 8268}, True)
    section = page.partition('id="classes"')[2].partition("<h2")[0]
    for count in ("12,975", "8,216", "13,000", "8,268", "2.0.0 to 2.2.3, and the paper", "2.2.4 and later"):
        assert count in section
    index = (tmp_path / "index.html").read_text()
    assert "of 12,975" in index
    assert "paper 13,000" in index
    assert "paper 2,392" not in index  # where both are the same, one is enough
    # the scans' spacing, counted a second way
    values = Counter(row["spacing"] for row in read_rows(tmp_path / "organcmnist-0" / "samples.tsv"))
    (spacing,) = found["spacings"]
    assert (spacing["column"], spacing["count"], spacing["values"]) == ("spacing", values.total(), len(values))
    assert f"{values.most_common(1)[0][0]} ({values.most_common(1)[0][1]}" in page.partition('id="spacing"')[2]


# ---- what a build must hold


def test_rows_that_do_not_come_from_their_raw_file_are_an_error(tree, tmp_path):
    """Raw files changed after they were rendered: of the rows rendered again, exactly theirs differ, at both sizes."""
    done = build("breastmnist", tree, tmp_path / "built", sizes=(28, 64))
    assert ("rebuild", "information") in checked(done, tree)
    changed = {f"benign/benign ({number}).png" for number in range(1, 11)}
    for number in range(1, 11):
        path = image(tree, "benign", number)
        ImageEnhance.Brightness(Image.open(path)).enhance(0.5).save(path)
    again = np.random.RandomState(42).permutation(len(done.samples))[:20]
    expected = {done.samples[row]["key"] for row in again} & changed
    found = checked(done, tree)
    assert 0 < len(expected) < 10
    examples = [key for (key,) in found["rebuild", "error"]["examples"]]
    assert set(examples) == expected
    assert f"{len(expected)} of 20 rows" in found["rebuild", "error"]["text"]


def test_a_lost_sample_and_an_altered_label_are_errors(tree, tmp_path):
    done = build("breastmnist", tree, tmp_path / "built")
    table = done.folder / "samples.tsv"
    whole = table.read_text()
    last = whole.splitlines()[-1]
    index = (done.folder / "index.tsv").read_text()
    stranger = "stranger" + "\t" * index.partition("\n")[0].count("\t")
    (done.folder / "index.tsv").write_text(f"{index}{stranger}\n")
    found = checked(done, tree)
    assert found["ledger", "error"]["examples"] == [["stranger"]]
    cells = last.split("\t")
    label = whole.splitlines()[0].split("\t").index("label")
    cells[label] = "1" if cells[label] == "0" else "0"
    table.write_text(whole.replace(last, "\t".join(cells)))
    assert "test_labels differ from the samples table" in checked(done, tree)["format", "error"]["text"]


# ---- duplicates


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
        return duplicates.difference_hash(duplicates.cells(image, 2))

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

    def splits_of(split_of):
        splits: dict[str, set[str]] = {}
        for sample in lesions:
            splits.setdefault(sample.group, set()).add(split_of[sample.key])
        return list(splits.values())

    def straddling(split_of):
        return sum(len(one) > 1 for one in splits_of(split_of))

    leaking = splits_of({sample.key: sample.split for sample in samples})
    assert sum(len(one) > 1 for one in leaking) > 700
    found = list(checks.groups("lesion", samples))
    assert {one.level for one in found} == {"warning"}
    assert {place: count for one in found for place, count in one.counts.items()} == {
        f"{first}-{second}": sum({first, second} <= one for one in leaking)
        for first, second in (("train", "val"), ("train", "test"), ("val", "test"))
    }
    paper = assign(recipe.load("dermamnist", "paper"), [replace(one) for one in lesions], 42).samples
    assert [one.text for one in checks.groups("lesion", paper)] == ["no lesion of 7,470 is in two splits"]
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
    audit(builder("dermamnist", stand_in("ham10000")), stand_in("ham10000"), tmp_path)

    # a page of the same folder looks at what the browser made of the others
    probe = tmp_path / "probe.html"
    probe.write_text(
        """<iframe id="f" src="dermamnist.html" style="width:390px;height:3000px"></iframe><pre id="out"></pre><script>
        f.onload = () => { const d = f.contentDocument; out.textContent = JSON.stringify({
          broken: [...d.images].filter(i => !i.complete || !i.naturalWidth).length, images: d.images.length,
          wide: d.documentElement.scrollWidth, findings: d.querySelectorAll('.finding').length,
          bars: d.querySelectorAll('#balance path').length,
          dark: [...d.querySelectorAll('#balance text')].map(t => getComputedStyle(t).fill),
          outside: [...d.querySelectorAll('[src],link[href]')]
            .filter(e => /^(https?:)?\\/\\//.test(e.getAttribute('src') || e.getAttribute('href'))).length,
        })}</script>"""
    )
    shown = browser.dom(probe, browser.DARK)
    seen = json.loads(shown.partition('<pre id="out">')[2].partition("</pre>")[0])
    assert seen["broken"] == 0
    assert seen["images"] > 5
    assert seen["wide"] <= 390  # no sideways scrolling on a phone
    assert seen["findings"] >= 6
    assert seen["bars"] > 7
    assert seen["outside"] == 0
    assert set(seen["dark"]) == {"rgb(230, 231, 233)"}  # the page's own text colour, on dark
    assert (tmp_path / "dermamnist.html").stat().st_size < 3_000_000
