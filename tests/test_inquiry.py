"""What an auditor asks of finished builds, with planted truths."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import json
import re
import shlex
import shutil
import zipfile

import nibabel
import numpy as np
import pytest
from PIL import Image

from preprocess import recipe, sources
from preprocess.audit import again
from preprocess.audit.apart import Figures
from preprocess.decisions import PAPER, pointer
from preprocess.errors import PreprocessError
from preprocess.geometry import Box
from preprocess.inquiry import builds, compare, prove, scans, trace
from preprocess.table import read_rows, write_rows
from tests import browser
from tests.builds import placed
from tests.test_workflow import snakemake


@pytest.fixture
def two(finished, tmp_path):
    """A results folder with the same build twice, under two names: the second is there to be changed."""
    base = tmp_path / "results"
    for name in ("paper", "released"):
        shutil.copytree(finished / "results" / "miniature" / "paper", base / name)
    return base


def change(path, edit):
    """Write an npz anew after a change to its arrays, without what pack saw of it."""
    with np.load(path) as file:
        arrays = {name: file[name].copy() for name in file.files}
    edit(arrays)
    np.savez(path, **arrays)
    shutil.rmtree(path.parent / "work" / "breastmnist" / "packed")


def against(base):
    return compare.difference(*(builds.require(base, name, "breastmnist", None) for name in ("paper", "released")))


@pytest.mark.workflow
def test_equal_builds_differ_in_nothing(two):
    found = against(two)
    assert (found.only_first, found.only_second, found.moved, found.labels_changed, found.decisions) == (0, 0, 0, 0, ())
    (size,) = found.sizes
    assert size.pixels == Figures(found.common, found.common, 0, 0, None)
    assert size.worst == ()


@pytest.mark.workflow
def test_one_changed_pixel_is_found(two):
    def edit(arrays):
        arrays["test_images"][2, 5, 6] ^= 64

    change(two / "released" / "breastmnist.npz", edit)
    found = against(two)
    (size,) = found.sizes
    assert size.pixels.equal == found.common - 1
    (row,) = size.worst
    assert row.places == "test 2, test 2"
    assert row.greatest == size.pixels.greatest == 64
    assert row.mean == pytest.approx(64 / 784)
    assert size.pixels.mean == pytest.approx(64 / 784 / found.common)
    assert size.pixels.psnr == pytest.approx(10 * np.log10(255**2 * 784 * found.common / 64**2))
    assert sum(one.pixels.rows - one.pixels.equal for one in size.classes) == 1


@pytest.mark.workflow
def test_a_swapped_label_and_a_moved_row_are_found(two):
    table = two / "released" / "breastmnist.samples.tsv"
    rows = list(read_rows(table))
    first = next(row for row in rows if row["split"] == "train")
    first["label"] = str(1 - int(first["label"]))
    moved = next(row for row in rows if row["split"] == "val")
    moved["split"] = "test"
    write_rows(table, rows[0], (row.values() for row in rows))
    found = against(two)
    assert found.labels_changed == 1
    assert found.label_examples[0].startswith(f"{first['key']} (train 0): ")
    assert (found.moved, found.membership["val"]["test"], found.membership["train"]["test"]) == (1, 1, 0)


@pytest.mark.workflow
def test_compare_says_what_is_missing_and_how_it_is_built_and_impact_what_it_is_worth(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder, symlinks=True)
    asked = ["compare", "--config", "datasets=[breastmnist]", "variants=[paper,paper+kernel=lanczos]"]
    said = snakemake(folder, *asked, fails=True)
    override = "overrides={breastmnist: {kernel: lanczos}}"
    assert f"snakemake --cores 2 breastmnist --config protocol=paper '{override}'" in said
    snakemake(folder, "breastmnist", "--config", override)
    for _ in range(2):  # a question is answered anew, and builds nothing
        said = snakemake(folder, *asked)
        assert "decisions: kernel\n" in said
        assert "busi_" not in said
    (one,) = json.loads((folder / "results/miniature/compare/compare.json").read_text())["differences"]
    assert [decision["second"] for decision in one["decisions"]] == ["lanczos"]
    assert "Drawings, not data" in (folder / "results/miniature/compare/index.html").read_text()
    assert "name two builds or more" in snakemake(folder, "compare", fails=True)
    said = snakemake(folder, "impact", *asked[1:])
    assert "paper+kernel=lanczos less paper, on same rows" in said
    assert "busi_" not in said
    assert "Drawings, not data" in (folder / "results/miniature/impact/index.html").read_text()


def test_a_build_that_is_not_there(tmp_path):
    with pytest.raises(PreprocessError, match=r"build it first: snakemake --cores 2 pathmnist .*seed=7"):
        builds.require(tmp_path, "paper+seed=7", "pathmnist", None)


def test_counts_are_proven_by_the_rule_and_not_by_another():
    (one,) = prove.counts(recipe.load("bloodmnist", "released"))
    assert one.result == prove.PROVEN
    (other,) = prove.counts(recipe.load("bloodmnist", "released", {"split.ratio": "8:1:1"}))
    assert other.result == prove.FAILS


@pytest.mark.real
def test_the_pairs_of_busi_prove_every_pixel_decision(real, tmp_path):
    """Known by the MD5 of the whole files: gray by libpng, the centre square, bilinear, no JPEG."""
    proofs = list(prove.prove(["breastmnist"], real, tmp_path, miniature=False, seed=42))
    by = {one.decision: one.result for one in proofs if one.proof == "pairs"}
    assert by == {
        "order": "proven", "label.map": "proven", "decoder": "not told apart", "gray": "proven", "crop": "proven",
        "crop_rounding": "proven", "kernel": "proven", "jpeg": "proven",
    }  # fmt: skip
    assert any("93 of 93 rows" in one.detail and "of 780 published" in one.detail for one in proofs)


@pytest.mark.real
def test_a_wrong_published_row_is_not_proven(real, tmp_path):
    raw = tmp_path / "raw"
    (raw / "released").mkdir(parents=True)
    (raw / "busi").symlink_to(real / "busi")
    shutil.copy(real / "released" / "breastmnist.npz", raw / "released")
    (raw / "released" / "breastmnist.npz").chmod(0o600)
    with open(raw / "released" / "breastmnist.npz", "ab") as file:
        file.write(b"\0")
    proofs = list(prove.prove(["breastmnist"], raw, tmp_path, miniature=False, seed=42))
    assert [one.result for one in proofs if one.proof == "file"] == ["fails"]
    assert not [one for one in proofs if one.proof == "pairs"]


def test_every_reason_that_names_a_proof_has_one():
    """And the paper's text is linked."""
    pairs = {"breastmnist", "vesselmnist3d", "adrenalmnist3d"}  # whose order is known
    for name in recipe.names():
        kinds = {choice.source.prove for choice in recipe.load(name, "released").decisions.values() if choice.source}
        assert "counts" not in kinds or next(prove.counts(recipe.load(name, "released"))).result == prove.PROVEN
        assert "pairs" not in kinds or name in pairs
        # what the paper says of one dataset or of several; its headings are not at hand
        texts = {choice.source.text for choice in recipe.load(name, "paper").decisions.values() if choice.source}
        of_paper = {text.removeprefix("the paper on ").lower() for text in texts if text.startswith("the paper")}
        assert of_paper <= {name, "sets without an official split"}
    assert pointer({"paper": "BreastMNIST"}).link == PAPER


def raw_of(finished):
    return finished / "results" / "miniature" / "raw"


@pytest.mark.workflow
def test_a_row_is_traced_by_its_place_and_by_its_key(finished):
    base = finished / "results" / "miniature"
    (by_place,) = trace.trace(["breastmnist/test/3"], "paper", base, raw_of(finished), miniature=True)
    (by_key,) = trace.trace([f"breastmnist/{by_place.key}"], "paper", base, raw_of(finished), miniature=True)
    assert by_key == by_place
    row = next(row for row in read_rows(base / "paper" / "breastmnist.samples.tsv") if row["key"] == by_place.key)
    assert (row["split"], row["index"]) == ("test", "3")
    assert by_place.raw["sha256"] == row["raw_sha256"]
    member = by_place.raw["path"].partition("!/")[2]
    with zipfile.ZipFile(raw_of(finished) / "busi" / "Dataset_BUSI.zip") as archive:
        data = archive.read(member)
    assert hashlib.sha256(data).hexdigest() == by_place.raw["sha256"]
    assert by_place.raw["bytes"] == f"{len(data):,}"
    assert by_place.equal == {28: True}
    assert by_place.unchanged
    steps = [stage.step for stage in by_place.stages]
    assert steps == ["open", *recipe.load("breastmnist", "paper").steps]
    # the last picture is the row itself
    with np.load(base / "paper" / "breastmnist.npz") as file:
        image = file["test_images"][3]
    picture = by_place.stages[-1].pictures[0][1].partition(",")[2]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))), image)
    kernel = next(one for stage in by_place.stages for one in stage.decisions if one.key == "kernel")
    assert (kernel.value, kernel.evidence) == ("bicubic", "assumed")
    with pytest.raises(PreprocessError, match="no row of"):
        trace.trace(["breastmnist/test/9999"], "paper", base, raw_of(finished), miniature=True)
    with pytest.raises(PreprocessError, match="no dataset is called 'brestmnist'; did you mean breastmnist"):
        trace.trace(["brestmnist/test/3"], "paper", base, raw_of(finished), miniature=True)


@pytest.mark.workflow
def test_a_trace_tells_a_row_that_is_not_what_its_raw_gives(two, finished):
    def edit(arrays):
        arrays["test_images"][3, 0, 0] ^= 1

    change(two / "released" / "breastmnist.npz", edit)
    asked = ["breastmnist/test/2", "breastmnist/test/3"]
    found = trace.trace(asked, "released", two, raw_of(finished), miniature=True)
    assert [one.equal for one in found] == [{28: True}, {28: False}]
    assert "NOT THE ROW" in trace.told(found[1])


def opened(dataset, source, stand_in, chosen=lambda sample: True, protocol="paper"):
    """A sample of a stand-in, its recipe, and what every step gave on it."""
    in_force = recipe.load(dataset, protocol)
    sample = next(one for one in placed(dataset, stand_in(source)) if not one.reason and chosen(one))
    seen = []
    rendered = next(again.render(in_force, stand_in(source), [28], [sample], lambda *one: seen.append(one)))[1]
    return in_force, sample, seen, rendered


@pytest.mark.parametrize(
    ("dataset", "source"),
    [
        ("organamnist", "lits"), ("fracturemnist3d", "ribfrac"), ("nodulemnist3d", "lidc_idri"),
        ("synapsemnist3d", "synapse"), ("vesselmnist3d", "intra"),
    ],
)  # fmt: skip
def test_volumes_and_meshes_show_three_planes_at_every_step(dataset, source, stand_in):
    in_force, sample, seen, rendered = opened(dataset, source, stand_in)
    finished = builds.Finished(in_force, "paper", None, {}, {})
    stages = trace._stages(finished, sample, seen, stand_in(source))
    assert [stage.step for stage in stages] == ["open", *in_force.prepare, *in_force.steps]
    assert all(len(stage.pictures) in (0, 1, 3) for stage in stages)
    assert any(len(stage.pictures) == 3 for stage in stages)
    assert [caption.partition(",")[0] for caption, _ in stages[0].pictures] == {
        "lits": ["axis 0 (to L)", "axis 1 (to A)", "axis 2 (to S)"],
        "ribfrac": ["axis 0 (to L)", "axis 1 (to P)", "axis 2 (to S)"],
        "lidc_idri": ["axis 0 (to S)", "axis 1 (to P)", "axis 2 (to L)"],
        "synapse": ["axis 0 (to z)", "axis 1 (to y)", "axis 2 (to x)"],
        "intra": [],
    }[source]
    assert rendered.arrays[28].shape == in_force.shape(28)


def rectangles(scan):
    """The bounds of the box that is drawn on each of the three planes: first and last row, first and last column."""
    for caption, picture in scans.pictures(scan):
        rows, columns = np.nonzero((picture == scans.BOX).all(-1))
        yield int(caption.rpartition(" ")[2]), (rows.min(), rows.max(), columns.min(), columns.max())


def mask_of(raw, path, number):
    """The voxels of a label by nibabel alone, in the axes as stored."""
    if "!/" in path:
        archive, _, member = path.partition("!/")
        with zipfile.ZipFile(raw / archive) as file:
            data = gzip.decompress(file.read(member))
        return np.asarray(nibabel.Nifti1Image.from_bytes(data).dataobj) == number
    return np.asarray(nibabel.load(raw / path).dataobj) == number


def test_the_box_of_an_organ_is_drawn_where_its_voxels_are(stand_in):
    """The liver's box is that of the liver's mask, which is stored as its scan."""

    def stored_alike(sample):
        return "-1-" in f"{sample.key}-" and sample.attributes["landmark"].endswith(sample.attributes["box"])

    in_force, sample, seen, _ = opened("organmnist3d", "lits", stand_in, stored_alike)
    assert sample.attributes["stored"] != "LPS"
    voxels = np.argwhere(mask_of(stand_in("lits"), sample.attributes["mask"], 1))
    low, high = voxels.min(0), voxels.max(0)
    drawn = list(rectangles(scans.of(in_force, sample, seen[0][2])))
    for axis, (plane, found) in enumerate(drawn):
        assert low[axis] <= plane <= high[axis]
        down, across = (one for one in range(3) if one != axis)
        assert np.abs(np.subtract(found, (low[down], high[down], low[across], high[across]))).max() <= 1


@pytest.mark.parametrize("protocol", ["paper", "released"])
def test_the_cube_of_a_fracture_is_drawn_around_its_voxels(protocol, stand_in):
    """Of a scan whose mask is stored as itself; the cube is 64 mm wide in both protocols."""

    def stored_alike(sample):
        return sample.attributes["axes"] == sample.attributes["mask_axes"]

    in_force, sample, seen, _ = opened("fracturemnist3d", "ribfrac", stand_in, stored_alike, protocol)
    voxels = np.argwhere(mask_of(stand_in("ribfrac"), sample.attributes["mask"], int(sample.attributes["fracture"])))
    scan = scans.of(in_force, sample, seen[0][2])
    spacing = [float(one) for one in sample.attributes["spacing"].split()]
    for axis, (first, end) in enumerate(scan.box):
        assert end - first == round(64 / spacing[axis])
        assert abs((first + end - 1) / 2 - voxels[:, axis].mean()) <= 1
    for plane, middle in zip((one for one, _ in rectangles(scan)), voxels.mean(0), strict=True):
        assert abs(plane - middle) <= 1


def test_the_cube_of_a_nodule_is_drawn_around_its_outlines(stand_in):
    """The readers' outlines are those of the annotations' database, not of what was drawn."""
    in_force, sample, seen, _ = opened("nodulemnist3d", "lidc_idri", stand_in)
    scan = scans.of(in_force, sample, seen[0][2])
    outlines = Box.parse(sample.attributes["box"]).bounds
    slices, pixels = (float(sample.attributes[name]) for name in ("slice_spacing", "pixel_spacing"))
    assert [end - first for first, end in scan.box] == [round(28 / slices), *[round(28 / pixels)] * 2]
    for axis, (plane, found) in enumerate(rectangles(scan)):
        assert outlines[axis][0] <= plane < outlines[axis][1]
        down, across = (outlines[one] for one in range(3) if one != axis)
        assert found[0] <= down[0] < down[1] <= found[1] + 1
        assert found[2] <= across[0] < across[1] <= found[3] + 1


def test_the_box_of_a_synapse_is_drawn_in_what_lies_around_it(stand_in):
    _, sample, seen, _ = opened("synapsemnist3d", "synapse", stand_in, lambda one: int(one.attributes["y"]) > 80)
    around, box = sources.surroundings("synapse", stand_in("synapse"), sample)
    assert np.array_equal(around[box.slices], seen[0][2])
    assert around.shape[1] > seen[0][2].shape[1]
    for axis, (_, found) in enumerate(rectangles(scans.of_array(around, box))):
        down, across = (box.bounds[one] for one in range(3) if one != axis)
        assert found == (down[0], down[1] - 1, across[0], across[1] - 1)


@pytest.mark.real
@pytest.mark.workflow
def test_a_row_of_busi_is_traced_in_both_protocols_and_they_are_compared(real, folder):
    config = ["--config", f"raw={real}", "census=warn"]
    for protocol, equal in (("paper", "not the published test 53"), ("released", "equal to the published test 53")):
        snakemake(folder, "breastmnist", *config, f"protocol={protocol}")
        said = snakemake(
            folder, "trace", *config, f"protocol={protocol}", "rows=['breastmnist/benign/benign (16).png']"
        )
        assert "28: the row of the npz" in said
        assert equal in said
    said = snakemake(folder, "compare", *config, "variants=[paper,released]", "datasets=[breastmnist]")
    assert "93 rows in common" in said
    assert "decisions: order, gray, crop, kernel" in said
    assert "0 of 93 rows equal" in said


@pytest.mark.workflow
def test_pictures_of_an_audit_page_name_their_rows_and_the_page_its_files(finished):
    out = finished / "results" / "miniature" / "paper"
    page = (out / "audit" / "breastmnist.html").read_text(encoding="utf-8")
    keys = {
        f"breastmnist/{row['split']}/{row['index']}": row["key"] for row in read_rows(out / "breastmnist.samples.tsv")
    }
    tiles = re.findall(r'<img alt="([^"]+)" title="[^"]+" data-row="([^"]+)"', page)
    assert len(tiles) > 20
    assert all(keys[row] == html.unescape(key) for key, row in tiles)
    files = re.findall(r'href="([^"]+)"', page.partition('id="files"')[2].partition("</p>")[0])
    assert len(files) == 6
    assert all((out / "audit" / file).exists() for file in files)


@pytest.mark.browser
@pytest.mark.workflow
def test_a_click_on_a_picture_says_its_row_and_leads_to_its_trace_once_there_is_one(finished, tmp_path):
    out = finished / "results" / "miniature" / "paper"
    rows = {f"breastmnist/{row['split']}/{row['index']}": row for row in read_rows(out / "breastmnist.samples.tsv")}
    page = (out / "audit" / "breastmnist.html").read_text(encoding="utf-8")
    (tmp_path / "audit").mkdir()
    (tmp_path / "trace").mkdir()
    (tmp_path / "audit" / "page.html").write_text(
        page
        + """<pre id="out"></pre><script>
        const wait = () => new Promise(done => setTimeout(done, 300));
        const shown = id => document.getElementById(id).checkVisibility();
        onload = async () => {
          const [one, other] = document.querySelectorAll("img[data-row]"), seen = [];
          for (const tile of [one, other]) {
            tile.click(); await wait();
            const text = document.getElementById("row").innerText, link = document.querySelector("#row-traced a").href;
            seen.push({row: tile.dataset.row, text, link, traced: shown("row-traced"), untraced: shown("row-untraced"),
              command: document.getElementById("trace").textContent});
          }
          document.getElementById("close").click();
          document.getElementById("out").textContent = JSON.stringify([...seen, shown("row")]);
        }</script>"""
    )
    first = re.search('data-row="([^"]+)"', page)[1]
    found = trace.trace([first], "paper", finished / "results" / "miniature", raw_of(finished), miniature=True)
    trace.write_names(found, tmp_path / "trace" / "traced.js")
    text = browser.dom(tmp_path / "audit" / "page.html").rpartition('<pre id="out">')[2].partition("</pre>")[0]
    one, other, still = json.loads(html.unescape(text))
    assert one["row"] == first
    assert (one["traced"], one["untraced"], other["traced"], other["untraced"]) == (True, False, False, True)
    assert one["link"].endswith(f"/trace/index.html#{first}")
    for seen in (one, other):
        row = rows[seen["row"]]
        for said in (row["key"], f"{row['split']} {row['index']}", row["path"], row["label"], row["original_label"]):
            assert said in seen["text"]
        words = shlex.split(seen["command"])
        assert words[:4] == ["snakemake", "--cores", "1", "trace"]
        assert words[-1] == f"rows=[{seen['row']}]"
        assert "protocol=paper" in words
    assert still is False
