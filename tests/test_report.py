"""Snakemake's own report of finished stand-ins, and the command a page gives to build them again."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import shutil
import zipfile
from collections import namedtuple
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from docutils.core import publish_parts

from preprocess import recipe
from tests import browser
from tests.test_workflow import ROOT, digests, snakemake

pytestmark = pytest.mark.workflow

DATASETS = ("breastmnist", "vesselmnist3d")
CHOSEN = ("--config", f"datasets=[{','.join(DATASETS)}]")
OUT = Path("results/miniature/paper")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    shutil.copy(ROOT / "config.yaml", folder)
    snakemake(folder, *CHOSEN)
    return folder


@pytest.fixture(scope="module")
def report(built) -> Path:
    before = {path: path.stat().st_mtime_ns for path in (built / OUT).rglob("*") if path.is_file()}
    snakemake(built, *CHOSEN, "--report", "report.html")
    assert before == {path: path.stat().st_mtime_ns for path in (built / OUT).rglob("*") if path.is_file()}
    return built / "report.html"


def held(report: Path, name: str) -> dict:
    """One of the values the report's scripts draw from."""
    script = report.read_text(encoding="utf-8").partition(f'<script id="{name.replace("_", "-")}">')[2]
    return json.JSONDecoder().raw_decode(script.partition(f"var {name} = ")[2])[0]


def data(uri: str) -> bytes:
    assert uri.startswith("data:")
    return base64.b64decode(uri.partition("base64,")[2])


def text(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", markup).split())


def test_it_holds_pages_montages_and_data_by_dataset(report, built):
    tables = {name: [f"audit/{name}.html", f"audit/{name}.png", f"{name}.provenance.json"] for name in DATASETS}
    assert held(report, "categories") == {
        "Collection": {"Other": [str(OUT / "audit" / name) for name in ("audit.json", "collection.png", "index.html")]},
        "Datasets": {name: [str(OUT / file) for file in files] for name, files in tables.items()},
    }
    for path, entry in held(report, "results").items():
        assert data(entry["data_uri"]) == (built / path).read_bytes()
        assert entry["labels"]["what"]


def test_every_entry_has_its_caption(report):
    captions = {path: text(entry["caption"]) for path, entry in held(report, "results").items()}
    assert all(len(caption) > 40 and "{" not in caption for caption in captions.values()), captions
    for name in DATASETS:
        about = recipe.read(name)
        for file in (f"{name}.html", f"{name}.png"):
            assert captions[str(OUT / "audit" / file)].startswith(f"{about['title']}:")
        assert f"train {about['published']['train']:,}, val" in captions[str(OUT / "audit" / f"{name}.html")]
        assert ("Volumes show" in captions[str(OUT / "audit" / f"{name}.png")]) == (about["dimensions"] == 3)
    assert "protocol paper on stand-ins" in text(held(report, "workflow_desc"))


def test_counts_and_verdicts_can_be_read(report, built):
    results = held(report, "results")
    index = data(results[str(OUT / "audit/index.html")]["data_uri"]).decode()
    for name in DATASETS:
        page = data(results[str(OUT / f"audit/{name}.html")]["data_uri"]).decode()
        rows = (built / OUT / f"{name}.samples.tsv").read_text().splitlines()[1:]
        line = index.partition(f'<tr id="{name}">')[2].partition("</tr>")[0]
        for split in ("train", "val", "test"):
            count = sum(row.startswith(f"{split}\t") for row in rows)
            assert re.search(rf'data-name="{split}"><div>{count}<br> <span class="soft">of ', line), (name, split)
        for one in (line, page):
            assert "not comparable: built from a stand-in" in one


class Loads(HTMLParser):
    """Addresses a page makes its reader load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name == "src" or (name == "href" and tag == "link")]


def test_it_loads_nothing_from_elsewhere(report):
    page = report.read_text(encoding="utf-8")
    assert not [one for one in Loads(page).found if not one.startswith("data:")]
    assert not re.findall(r"(?:url\(|@import\s)\s*['\"]?(?:https?:)?//", page)


@pytest.mark.browser
def test_it_shows_in_a_browser_that_is_alone(report, tmp_path):
    """Opens the page of one dataset in the report as a reader would, and looks at what was drawn and loaded."""
    page = str(OUT / "audit/breastmnist.html")
    script = f"""<script>setTimeout(() => {{
      app.setView({{navbarMode: "subcategory", category: "Datasets", subcategory: "breastmnist"}});
      setTimeout(() => {{
        const listed = document.querySelector("nav").innerText;
        app.setView({{
          navbarMode: "resultinfo", content: "html", contentPath: results["{page}"].data_uri, resultPath: "{page}",
        }});
        setTimeout(() => {{
          const out = document.body.appendChild(document.createElement("pre"));
          out.id = "out";
          out.textContent = JSON.stringify({{
            listed, told: document.querySelector("nav").innerText,
            framed: document.querySelector("iframe").src === results["{page}"].data_uri,
            loaded: performance.getEntriesByType("resource").map(one => one.name.slice(0, 60)),
          }});
        }}, 500);
      }}, 500);
    }}, 500)</script>"""
    opened = tmp_path / "report.html"
    before, _, after = report.read_text(encoding="utf-8").rpartition("</body>")
    opened.write_text(f"{before}{script}</body>{after}", encoding="utf-8")
    seen = json.loads(browser.dom(opened).rpartition('<pre id="out">')[2].partition("</pre>")[0])
    assert "audit page: counts, verdict, decisions, findings" in seen["listed"]
    assert "montage: samples of each class" in seen["listed"]
    assert recipe.read("breastmnist")["title"] in seen["told"]
    assert seen["framed"]
    assert not [one for one in seen["loaded"] if not one.startswith("data:")]


def test_as_a_zip_it_is_a_folder_of_files(built):
    snakemake(built, *CHOSEN, "--report", "report.zip")
    with zipfile.ZipFile(built / "report.zip") as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    assert names >= {"report.html", "index.html", "collection.png", *(f"{name}.png" for name in DATASETS)}


def test_the_command_on_a_page_builds_the_same_again(tmp_path):
    """What differs from ``config.yaml`` is all in it, quoted for a shell; numbers and spaces in overrides too."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        shutil.copy(ROOT / "config.yaml", folder)
    config = {
        "protocol": "released",
        "sizes_3d": "[28,20]",
        "sizes": "[64]",
        "seed": "7",
        "results": "our results",
        "overrides": "{vesselmnist3d: {cube: 31, split.ratio: '6:2:2'}, breastmnist: {kernel: lanczos}}",
    }
    snakemake(first, "vesselmnist3d", "--config", *(f"{key}={value}" for key, value in config.items()))
    (variant,) = (first / "our results" / "miniature").glob("released+*")
    out = variant.relative_to(first)
    page = (first / out / "audit/vesselmnist3d.html").read_text(encoding="utf-8")
    command = html.unescape(re.search(r'<pre id="command">(.*?)</pre>', page, re.DOTALL)[1])
    assert command.startswith("snakemake --cores 2 vesselmnist3d --config ")
    assert '"breastmnist"' not in command  # nothing of what another dataset decides
    snakemake(second, *shlex.split(command)[1:])
    ours, theirs = (digests(folder / out) for folder in (first, second))
    assert len([name for name in ours if name.endswith(".npz")]) == 2
    assert ours == theirs  # the provenance too: what other datasets decide is not in it


@pytest.mark.parametrize("names", [(), ("Collection",), ("Datasets",), ("Collection", "Datasets")])
def test_its_front_page_links_only_to_what_is_there(names):
    """Rendered as Snakemake renders it: a report of one dataset has no collection, one of an unbuilt run nothing."""
    source = (ROOT / "workflow/report/workflow.rst").read_text(encoding="utf-8")
    links = "\n\n" + "".join(f".. _{name}: javascript:app.showCategory('{name}')\n" for name in names)
    manager = SimpleNamespace(config={"protocol": "paper", "raw": "miniature"})
    category = namedtuple("category", "name")
    categories = {category(name): {} for name in names}
    wanted = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(source + links)
    page = publish_parts(wanted.render(snakemake=manager, categories=categories), writer="html")["html_body"]
    assert "system-message" not in page
    assert "Unknown target name" not in page
    assert {name for name in ("Collection", "Datasets") if f">{name}</a>" in page} == set(names)
    assert "stand-ins" in page
