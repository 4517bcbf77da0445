"""What a page says first, what it says of stand-ins and of incomplete raws, and how it looks on a phone."""

from __future__ import annotations

import html
import json
import re

import pytest
import yaml

from preprocess.acquire import registry
from preprocess.audit import pages, summary
from preprocess.audit.plain import plain
from preprocess.table import write_rows
from tests import browser
from tests.builds import audit, build, run, unpack
from tests.conftest import ROOT

RECIPES = ROOT / "preprocess" / "recipes"


def notices(page: str) -> dict[str, tuple[str, list[str]]]:
    """Title and lines of every notice of a page, by kind."""
    form = r'<section class="notice" data-notice="(\w+)">\s*<h2>(.*?)</h2>\s*<ul>(.*?)</ul>'
    return {
        kind: (html.unescape(title), [html.unescape(line) for line in re.findall("<li>(.*?)</li>", lines)])
        for kind, title, lines in re.findall(form, page, re.DOTALL)
    }


def section(page: str, name: str) -> str:
    """The part of a page under one of its headings, without markup."""
    part = page.partition(f'id="{name}">')[2].partition("<h2")[0]
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", part)).split())


def cells(page: str) -> dict[str, dict[str, str]]:
    """The table of decisions: markup of each cell by decision and column."""
    rows = page.partition('id="decisions"')[2].partition("<h2")[0].split("<tr>")[2:]
    form = r'<td data-name="([^"]+)"[^>]*>(.*?)</td>'
    return {re.search("<code>(.*?)</code>", row)[1]: dict(re.findall(form, row, re.DOTALL)) for row in rows}


# ---- what was changed


def test_a_variant_says_first_what_was_changed(stand_in, drawn, tmp_path):
    overrides = {"kernel": "lanczos", "split.file": str(tmp_path / "own.csv")}
    keys = [row["key"] for row in drawn[0].samples]
    rows = [(key, ("train", "val", "test")[number % 3]) for number, key in enumerate(keys)]
    write_rows(tmp_path / "own.csv", ("key", "split"), rows, ",")
    done = build("breastmnist", stand_in("busi"), tmp_path / "built", overrides=overrides, seed=7)
    config = {"seed": 7, "overrides": {"breastmnist": overrides, "dermamnist": {"kernel": "box"}}}
    facts = ["--variant", "kernel=lanczos", "--current", "abc123", "--config", json.dumps(config)]
    page, data = audit(done, stand_in("busi"), tmp_path, overrides=overrides, run_facts=facts)
    own = f"split.file: {tmp_path / 'own.csv'} (default: not set)"
    told = {"kernel: lanczos (default: bicubic)", own, "seed: 7 (default: 42)"}
    index = (tmp_path / "index.html").read_text()
    for text in (page, index):
        title, lines = notices(text)["changed"]
        assert title == "Variant kernel=lanczos: not the protocol's own decisions"
        assert set(lines) == told
        assert text.index('data-notice="changed"') < text.index("<h1>")
    assert "paper+kernel=lanczos" in index
    made = json.loads((done.folder / "provenance.json").read_text())
    for record in (made, data):
        assert (record["variant"], record["current"], record["order"]) == ("kernel=lanczos", "abc123", "seeded")
        assert {"key": "kernel", "value": "lanczos", "default": "bicubic"} in record["changed"]
        assert {"key": "seed", "value": 7, "default": 42} in record["changed"]
        assert len(record["changed"]) == 3
    assert "variant=kernel=lanczos" in data["command"]
    assert "dermamnist" not in data["command"]
    # the user's table splits, so the recipe's rule does not
    assert "not in force: split.file places the samples" in cells(page)["split.rule"]["in force"]


def test_the_default_has_nothing_to_say_first(drawn):
    done, page, data, folder = drawn
    assert notices(page) == notices((folder / "index.html").read_text()) == {}
    made = json.loads((done.folder / "provenance.json").read_text())
    for record in (made, data):
        assert (record["variant"], record["changed"], record["incomplete"], record["order"]) == ("", [], [], "seeded")
    assert "variant" not in data["command"]


def test_a_variant_of_other_datasets_is_named_too(stand_in, drawn, tmp_path):
    done, *_ = drawn
    page, data = audit(done, stand_in("busi"), tmp_path, run_facts=["--config", "{}", "--variant", "derma"])
    assert notices(page)["changed"][0].startswith("Variant derma:")
    assert data["changed"] == []


def test_the_index_names_the_dataset_of_every_line(drawn, tmp_path):
    _, _, data, folder = drawn
    lacking = data | {"incomplete": ["census: benign 1 of 2"]}
    crop = {"key": "crop", "value": {"28": "none", "other": "centre-20"}, "default": "none"}
    changed = data | {"dataset": "dermamnist", "variant": "x", "changed": [crop]}
    for number, one in enumerate((lacking, changed)):
        (tmp_path / f"{number}.json").write_text(json.dumps(one))
    run("audit-index", tmp_path / "0.json", tmp_path / "1.json", "--picture", folder / "collection.png", "--output",
        tmp_path / "index.html", "--json", tmp_path / "audit.json")  # fmt: skip
    shown = notices((tmp_path / "index.html").read_text())
    assert shown["changed"][1] == ["dermamnist: crop: 28: none, other: centre-20 (default: none)"]
    assert shown["incomplete"][1] == ["breastmnist: census: benign 1 of 2"]


# ---- stand-ins


def test_stand_ins_are_never_shown_as_their_source(drawn):
    done, page, data, folder = drawn
    known = registry.load()["busi"].content
    index = (folder / "index.html").read_text()
    for text in (page, index):
        mark = text.partition('<div class="drawings"')
        assert mark[1]
        assert text.index("<body>") < text.index('<div class="drawings"') < text.index("<h1>")
        assert "Drawings, not data." in mark[2].partition("</div>")[0]
        assert known["citation"][:40] not in html.unescape(text)
        assert known["landing"] not in text
    source = section(page, "source")
    assert "preprocess/miniature/busi.py drew them" in source
    assert f"stand in for the files of {known['title']}" in source
    made = json.loads((done.folder / "provenance.json").read_text())
    assert made["miniature"] is data["miniature"] is True
    for licence in (made["recipe"]["licence"], data["licence"]):
        assert known["licence"]["name"] not in licence
        assert "drawings" in licence
    assert data["source"] == plain(summary.SourceRecord("busi", stands_in_for=known["title"]))
    (census,) = [one["text"] for one in data["findings"] if one["check"] == "census"]
    assert "counts of the drawings are those of the generator" in census
    assert "known ones" not in page
    assert "this build, of the generator" in page


def test_real_files_are_shown_with_their_source(stand_in, drawn, tmp_path):
    """The same arrays, said to be of real files."""
    done, *_ = drawn
    files = {name: done.folder / f"{name}.tsv" for name in ("index", "samples", "excluded", "unmatched")}
    tables = [word for name, path in files.items() for word in (f"--{name}", path)]
    tables += ["--counts", done.folder / "census.tsv", "--sizes", 28, "--npz", done.npz(28), "--packed", done.seen(28)]
    run(
        "check",
        "breastmnist",
        "--protocol",
        "paper",
        "--seed",
        42,
        "--raw",
        stand_in("busi"),
        *tables,
        "--output",
        tmp_path / "checks.json",
        "--duplicates",
        tmp_path / "duplicates.tsv",
    )
    (census,) = [one["text"] for one in json.loads((tmp_path / "checks.json").read_text()) if one["check"] == "census"]
    assert census.startswith("all 3 counts of the raw files are the known ones:")
    page, data = audit(done, stand_in("busi"), tmp_path, miniature=False)
    known = registry.load()["busi"].content
    assert 'class="drawings"' not in page
    assert known["landing"] in section(page, "source")
    assert data["licence"] == data["source"]["licence"]["name"] == known["licence"]["name"]
    assert data["miniature"] is False


# ---- incomplete raws, and what placed the rows


def test_what_the_raw_files_lack_is_said_first(stand_in, tmp_path):
    tree = unpack(stand_in("busi") / "Dataset_BUSI.zip", tmp_path / "raw") / "Dataset_BUSI_with_GT"
    whole = build("breastmnist", tree.parent, tmp_path / "whole", protocol="released")
    order = tmp_path / "order.csv"
    rows = [(row["split"], row["index"], row["key"]) for row in whole.samples]
    write_rows(order, ("split", "index", "image_id"), rows, ",")
    gone = [row for row in whole.samples if row["key"].startswith("malignant/")][:2]
    broken = next(row for row in whole.samples if row["key"].startswith("normal/"))
    for row in gone:
        (tree / row["key"]).unlink()
    (tree / broken["key"]).write_bytes(b"no picture")
    options = {"protocol": "released", "census": "warn", "order_table": order}
    done = build("breastmnist", tree.parent, tmp_path / "built", **options)
    page, data = audit(done, tree.parent, tmp_path, protocol="released")
    malignant = sum(row["key"].startswith("malignant/") for row in whole.samples)
    expected = {
        f"census: the drawings are not the generator's: malignant {malignant - 2} of {malignant}",
        "unmatched: 2 of 780 published rows have no sample in this build (2 no raw file of that name)",
        "unreadable: 1 file is unreadable and left out",
    }
    made = json.loads((done.folder / "provenance.json").read_text())
    assert set(made["incomplete"]) == set(data["incomplete"]) == expected
    for text in (page, (tmp_path / "index.html").read_text()):
        assert set(notices(text)["incomplete"][1]) == expected
        assert text.index('data-notice="incomplete"') < text.index("<h1>")
    left_out = section(page, "excluded")
    assert "Nothing" not in left_out
    assert "2 of 780 published rows" in left_out
    assert broken["key"] in left_out
    # the table placed the rows: no rule splits, and none is assumed
    assert made["order"] == data["order"] == "table"
    assert "no rule splits here" in section(page, "decisions")
    for key in ("split.rule", "split.ratio"):
        assert "not in force: the order table places the samples" in cells(page)[key]["in force"]
        assert made["recipe"]["decisions"][key]["not_in_force"]
    assumed = [one["text"] for one in data["findings"] if one["check"] == "assumed"]
    assert not any("split." in text for text in assumed)


def test_rows_that_are_only_unmatched_are_not_nothing(stand_in, tmp_path):
    whole = build("breastmnist", stand_in("busi"), tmp_path / "whole", protocol="released")
    order = tmp_path / "order.csv"
    rows = [(row["split"], row["index"], row["key"]) for row in whole.samples]
    write_rows(order, ("split", "index", "image_id"), [*rows, ("test", 9999, "benign (999)")], ",")
    done = build("breastmnist", stand_in("busi"), tmp_path / "built", protocol="released", order_table=order)
    assert done.excluded == []
    page, data = audit(done, stand_in("busi"), tmp_path, protocol="released")
    assert "Nothing" not in section(page, "excluded")
    assert "benign (999)" in page
    assert len(data["incomplete"]) == 1


@pytest.mark.real
def test_a_part_of_busi_says_how_many_published_rows_it_lacks(real, tmp_path):
    order = ROOT / "preprocess" / "tables" / "order" / "breastmnist.csv"
    options = {"protocol": "released", "census": "warn", "miniature": False, "order_table": order}
    done = build("breastmnist", real / "busi", tmp_path / "built", **options)
    page, data = audit(done, real / "busi", tmp_path, protocol="released", miniature=False)
    pictures = [path for path in (real / "busi").rglob("*.png") if "_mask" not in path.name]
    lines = data["incomplete"]
    assert any(line.startswith(f"unmatched: {780 - len(pictures)} of 780 published rows") for line in lines)
    assert any("benign 54 of 437, malignant 24 of 210, normal 15 of 133" in line for line in lines)
    assert "Nothing" not in section(page, "excluded")


# ---- leftovers


def test_leftovers_are_named_on_the_index_and_in_the_data(stand_in, drawn, tmp_path):
    done, _, _, folder = drawn
    assert json.loads((folder / "audit.json").read_text())["leftovers"] == []
    left = ["breastmnist_37.npz", "png/<old>"]
    page, _ = audit(done, stand_in("busi"), tmp_path, leftovers=left)
    index = (tmp_path / "index.html").read_text()
    assert notices(index)["leftovers"][1] == [
        f"{file}: left over from another build; in no list of checksums" for file in left
    ]
    assert "leftovers" not in notices(page)
    told = json.loads((tmp_path / "audit.json").read_text())["leftovers"]
    assert [one["file"] for one in told] == left
    assert all(one["why"] for one in told)


# ---- tables


def test_decisions_that_are_the_same_in_both_protocols_stand_once(drawn):
    _, page, _, _ = drawn
    written = yaml.safe_load((RECIPES / "breastmnist.yaml").read_text())["decisions"]
    same = {key for key, entry in written.items() if "both" in entry or entry["paper"] == entry["released"]}
    shown = cells(page)
    assert same
    assert {key for key, row in shown.items() if "both" in row} == same
    assert all(("both" in row) != ("paper" in row) for row in shown.values())
    assert all(row["paper"] != row["released"] for row in shown.values() if "paper" in row)


def test_a_split_without_published_classes_says_so(stand_in, builder, tmp_path):
    page, data = audit(builder("nodulemnist3d", stand_in("lidc_idri")), stand_in("lidc_idri"), tmp_path)
    known = data["class_counts_published"]
    assert known["train"]["classes"] == [863, 295]  # loss weights of a public script
    assert (known["val"]["classes"], known["val"]["evidence"]) == ([], "unknown")
    table = page.partition('id="by-class"')[2].partition("</table>")[0]
    assert table.count(">unknown<") == 3  # the grade in the header, and both classes
    assert re.search(r'data-unknown="val">Published val counts by class: unknown, \w+', page)


@pytest.mark.browser
def test_nothing_is_cut_on_a_phone(stand_in, builder, tmp_path):
    audit(builder("organcmnist", stand_in("lits")), stand_in("lits"), tmp_path)
    probe = tmp_path / "probe.html"
    probe.write_text(
        """<iframe id="i" src="index.html" style="width:390px;height:900px"></iframe>
        <iframe id="p" src="organcmnist.html" style="width:390px;height:3000px"></iframe><pre id="out"></pre><script>
        onload = () => { const d = p.contentDocument, x = i.contentDocument;
          const cut = page => [...page.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth + 1).length;
          out.textContent = JSON.stringify({
            cut: cut(d) + cut(x), tables: d.querySelectorAll('.wide table').length, wide: d.documentElement.scrollWidth,
            leakage: [...d.querySelectorAll('[data-leak] td')].map(e => e.getBoundingClientRect().right),
            counts: [...x.querySelectorAll('td[data-name=train]')].map(e => e.innerText),
            bar: d.querySelector('.drawings').getBoundingClientRect().width, room: d.documentElement.clientWidth,
            notice: getComputedStyle(d.querySelector('.drawings')).color,
          })}</script>"""
    )
    for words in ((), (browser.DARK,)):
        seen = json.loads(browser.dom(probe, *words).partition('<pre id="out">')[2].partition("</pre>")[0])
        assert seen["cut"] == 0
        assert seen["tables"] >= 4
        assert seen["wide"] <= 390
        assert max(seen["leakage"]) <= 390
        assert seen["bar"] == seen["room"]
        assert all(re.fullmatch(r"[\d,]+ of [\d,]+( paper [\d,]+)?", " ".join(one.split())) for one in seen["counts"])
        assert seen["notice"] == "rgb(28, 30, 33)"  # dark letters on amber, on light and dark pages


def test_every_grade_is_explained():
    assert all(pages.GRADES.values())
