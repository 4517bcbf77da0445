"""The audit finds what was planted, and nothing where nothing was."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections import Counter
from itertools import combinations

import pytest
from PIL import Image, ImageEnhance

from preprocess.table import read_rows
from tests import browser
from tests.builds import CommandError, audit, build, image, run


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
            row = next(row for row in done.samples if row["key"] == key)
            picture = next(re.finditer(rf'<img alt="{re.escape(key)}"[^>]*>', shown[check, level]))[0]
            assert 'src="data:image/png' in picture, (check, key)
            assert f'data-row="breastmnist/{row["split"]}/{row["index"]}"' in picture, (check, key)
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


def between(first: str, second: str) -> str:
    """The name of a pair of splits, in their order."""
    if first == second:
        return "within"
    return "-".join(sorted((first, second), key=("train", "val", "test").index))


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
          bars: d.querySelectorAll('#balance div i').length,
          dark: [...d.querySelectorAll('#balance span')].map(t => getComputedStyle(t).color),
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
    assert seen["bars"] == 3 * 7  # train, val and test of seven classes
    assert seen["outside"] == 0
    assert set(seen["dark"]) == {"rgb(230, 231, 233)"}  # the page's own text colour, on dark
    assert (tmp_path / "dermamnist.html").stat().st_size < 3_000_000
