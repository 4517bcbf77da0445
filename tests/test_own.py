"""Datasets of a user's own: recipes in a folder beside the project's, the general sources, and drafts of recipes."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread as read_dicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from preprocess import cli, docs, index, miniature, recipe, sources
from preprocess.acquire import registry
from preprocess.decisions import DECISIONS
from preprocess.errors import PreprocessError, UnreadableError
from preprocess.inquiry import scans
from preprocess.inspection.draft import draft
from preprocess.plan import targets
from preprocess.plan.plan import Plan
from preprocess.reading import dicom
from preprocess.reading.archives import Raw, RawFile
from preprocess.render import Renderer
from preprocess.sources import decided, volumes
from preprocess.steps import depth, regions, stacks
from preprocess.table import Sample
from tests.builds import Build, audit, build, run
from tests.test_workflow import snakemake

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"
RNG = np.random.default_rng(18)


@pytest.fixture(autouse=True)
def no_own_recipes() -> Iterator[None]:
    """Whatever a test sets beside the project's recipes goes with it."""
    yield
    recipe.use(None)


# ---- files as people have them


def picture(path: Path, shape: tuple[int, ...] = (30, 40, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(path)


@pytest.fixture
def skin(tmp_path) -> Path:
    """48 pictures of 24 patients in ``raw/skin``, a folder a class, the patient in the name."""
    raw = tmp_path / "raw"
    for label, first in (("benign", 0), ("malignant", 12)):
        for patient in range(first, first + 12):
            for number in (1, 2):
                picture(raw / "skin" / label / f"p{patient:02}_{number}.png", (30 + patient, 40, 3))
    return raw / "skin"


def slice_of(folder: Path, k: int, plane: NDArray[np.int16], **values: Any) -> Path:
    """One CT slice in DICOM, its rows to Posterior and its columns to Left, at z = 2 k mm if not said otherwise."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = CTImageStorage
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(folder), str(k)])
    one.StudyInstanceUID = one.SeriesInstanceUID = generate_uid(entropy_srcs=[str(folder)])
    one.Modality, one.InstanceNumber, one.PatientID = "CT", k + 1, folder.name
    one.Rows, one.Columns = plane.shape
    one.PixelSpacing, one.ImageOrientationPatient = [1.0, 1.5], [1, 0, 0, 0, 1, 0]
    one.ImagePositionPatient = [0, 0, 2.0 * k]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.PixelData = np.ascontiguousarray(plane).tobytes()
    for name, value in values.items():
        setattr(one, name, value)
    folder.mkdir(parents=True, exist_ok=True)
    one.save_as(folder / f"IM{k}", enforce_file_format=True)
    return folder / f"IM{k}"


def ramp(shape: tuple[int, int, int] = (6, 8, 10)) -> NDArray[np.int16]:
    """(planes, rows, columns): 30 a plane, 10 a row, 1 a column."""
    planes, rows, columns = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return np.asarray(30 * planes + 10 * rows + columns, np.int16)


def written(folder: Path, name: str = "skinmnist", source: str = "images", **changes: Any) -> str:
    """A recipe of a user's own, whose decisions may be changed; None takes a key or decision away."""
    values: dict[str, Any] = {
        "files": "all", "table": "none", "table_key": "none", "class_from": "folder", "group_from": "none",
        "split_from": "none", "columns": {}, "split.rule": "per-class", "split.ratio": "7:1:2",
        "split.group_by": "none", "split.keep": {}, "order": "seeded", "decoder": "pillow", "crop": "none",
        "crop_rounding": "half-even", "kernel": "bicubic",
    }  # fmt: skip
    content: dict[str, Any] = {
        "name": name, "source": source, "raw": ".", "title": "A set of one's own", "modality": "Camera",
        "task": "binary-class", "dimensions": 2, "channels": 3, "group": "patient", "licence": "unknown",
        "label": {"rule": "map", "classes": ["benign", "malignant"], "map": {"benign": 0, "malignant": 1}},
        "steps": ["decode", "rgb", "crop", "resize"],
    }  # fmt: skip
    for key, value in changes.items():
        (values if key.replace("__", ".") in DECISIONS else content)[key.replace("__", ".")] = value
    content = {key: value for key, value in content.items() if value is not None}
    content["decisions"] = {
        key: {"both": {"value": value, "evidence": "assumed", "why": "ours"}}
        for key, value in values.items() if value is not None
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    recipe.use(folder)
    return name


def samples(raw: Path, tmp_path: Path, **changes: Any) -> dict[str, Sample]:
    """The samples of a folder as the general source of pictures lists them, by key."""
    name = written(tmp_path / "recipes", **changes)
    found = index.build(recipe.load(name, "paper"), raw, "warn", None).samples
    return {sample.key: sample for sample in found}


def made(name: str, raw: Path, tmp_path: Path) -> tuple[Build, dict[str, Any]]:
    """A draft of a folder, built and audited by the commands that the workflow calls."""
    run("new", name, "--raw", raw, "--recipes", tmp_path / "recipes")
    recipe.use(tmp_path / "recipes")
    recipe.validate(name, sources.asked)
    done = build(name, raw, tmp_path / "built", miniature=False)
    _, data = audit(done, raw, tmp_path / "built", miniature=False)
    return done, data


def no_group_straddles(done: Build) -> bool:
    splits: dict[str, set[str]] = {}
    for row in done.samples:
        splits.setdefault(row["group"], set()).add(row["split"])
    return all(len(found) == 1 for found in splits.values())


# ---- the story: a folder, new, the build, its audit; no Python


@pytest.mark.workflow
def test_from_a_folder_of_pictures_to_an_audited_dataset(skin, folder):
    mine = skin.rename(skin.with_name("my skin"))
    told = snakemake(folder, "new", "--config", "name=skinmnist", f"raw={mine}")
    assert "48 picture" in told
    assert "classes by 'folder': benign 24, malignant 24" in told
    command = shlex.split(re.search(r"to build it: (.*)", told)[1])
    assert command[0] == "snakemake"
    assert "24 different in 48" in (folder / "recipes" / "skinmnist.yaml").read_text()
    told = snakemake(folder, *command[1:], f"results={folder / 'results'}")
    out = folder / "results" / "paper"
    with np.load(out / "skinmnist.npz") as file:
        assert sum(len(file[f"{split}_labels"]) for split in ("train", "val", "test")) == 48
        assert file["train_images"].shape[1:] == (28, 28, 3)
    leaks = {row["check"]: row["counts"] for row in
             json.loads((out / "audit" / "audit.json").read_text())["datasets"]["skinmnist"]["leakage"]}  # fmt: skip
    assert set(leaks["groups"].values()) <= {0}
    assert (out / "audit" / "skinmnist.html").is_file()
    assert re.search(r"^skinmnist +48 ", told, re.MULTILINE)


def test_from_scans_and_a_table_to_an_audited_dataset(tmp_path):
    rows = ["file,patient,diagnosis,age"]
    for number in range(20):
        values = RNG.normal(100, 30, (12, 14, 9)).astype(np.float32)
        (tmp_path / "scans" / "nii").mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values, np.diag([1, 1, 2, 1])), tmp_path / f"scans/nii/s{number}.nii.gz")
        rows.append(f"s{number},pt{number // 2},{'tumour' if number % 3 else 'healthy'},{40 + number}")
    (tmp_path / "scans" / "all.csv").write_text("\n".join(rows))
    done, data = made("scanmnist3d", tmp_path / "scans", tmp_path)
    assert len(done.samples) == 20
    assert no_group_straddles(done)
    assert {row["age"] for row in done.samples} == {str(40 + number) for number in range(20)}
    assert data["classes"] == ["healthy", "tumour"]
    assert not data["errors"]
    by_key = {row["key"]: row for row in done.samples}
    assert by_key["nii/s4.nii.gz"]["group"] == "pt2"
    assert by_key["nii/s4.nii.gz"]["spacing"] == "1 1 2"


def test_from_dicom_series_to_an_audited_dataset(tmp_path):
    """Slices in an order of their own, three series a patient; the grid runs to Left, Posterior and Superior."""
    for patient in range(12):
        label, planes = ("a", ramp()) if patient % 2 else ("b", ramp()[::-1])
        for number in (1, 2):
            place = tmp_path / "ct" / label / f"PAT{patient}-{number}"
            for k in (3, 1, 0, 5, 4, 2):
                slice_of(place, k, planes[k], PatientID=f"PAT{patient}", PatientSex="F")
    done, data = made("ctmnist3d", tmp_path / "ct", tmp_path)
    assert len(done.samples) == 24
    assert {row["group"] for row in done.samples} == {f"PAT{patient}" for patient in range(12)}
    assert {row["sex"] for row in done.samples} == {"F"}
    assert {row["raw_form"] for row in done.samples} == {"int16 10x8x6"}
    assert no_group_straddles(done)
    assert not data["errors"]
    rising = done.images(28)["a/PAT1-1"].astype(int)
    assert (np.diff(rising[14, 14]) >= 0).all()
    assert rising[14, 14, -1] > rising[14, 14, 0]
    falling = done.images(28)["b/PAT0-1"].astype(int)
    assert falling[14, 14, -1] < falling[14, 14, 0]


# ---- recipes beside the project's


def test_all_that_is_missing_is_told_with_the_lines_to_add(tmp_path):
    name = written(tmp_path / "recipes", modality=None, licence=None, kernel=None, split__ratio=None, class_from=None)
    with pytest.raises(PreprocessError) as caught:
        Plan({"recipes": str(tmp_path / "recipes")}, SCHEMA)
    text = str(caught.value)
    assert f"{name}.yaml: lacks" in text
    lines = re.findall(r"`(.+?)`", text)
    assert lines[:2] == ["modality: Dermatoscope", "licence: unknown"]
    missing = yaml.safe_load("\n".join(lines[2:]))
    assert missing.keys() == {"kernel", "split.ratio", "class_from"}
    path = tmp_path / "recipes" / f"{name}.yaml"
    path.write_text("\n".join([*lines[:2], path.read_text(), *lines[2:]]))
    recipe.use(tmp_path / "recipes")
    recipe.validate(name, sources.asked)


#: whose step takes its ``cube`` from a column, which has the name of a decision
@pytest.mark.parametrize("name", [name for name in recipe.names() if name != "synapsemnist3d"])
def test_no_recipe_of_the_project_lacks_a_decision(name):
    recipe.validate(name, sources.asked)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": ["decode", "polish"]}, "there is no step 'polish'"),
        ({"source": "pictures"}, "there is no source 'pictures'; it can be images, meshes, volumes"),
        ({"source": "mine.py"}, "mine.py is no file beside the recipe"),
        ({"class_from": "name ("}, "no regular expression"),
        ({"class_from": "somewhere"}, "is not one of"),
        ({"columns": {"key": "column id"}}, "must give each a place"),
        ({"files": []}, "list of patterns"),
        ({"intensity": "9,1"}, "runs backwards"),
        ({"origin": {"landing": "nowhere"}}, None),
        ({"options": {"part": "oct"}}, "options: images knows no part"),
        ({"label": {"rule": "guess", "classes": ["a", "b"]}}, "label.rule"),
        ({"label": {"rule": "map", "classes": ["a", "b"], "map": {"x": 2}}}, "x: 2 is no class; there are 2, from 0"),
    ],
)
def test_a_recipe_that_does_not_fit_is_told_by_its_file(tmp_path, changes, words):
    written(tmp_path / "recipes", **changes)
    with pytest.raises(PreprocessError, match=re.escape(words or "origin: landing")) as caught:
        Plan({"recipes": str(tmp_path / "recipes")}, SCHEMA)
        registry.load()
    assert "skinmnist.yaml" in str(caught.value)


@pytest.mark.parametrize("name", ["breastmnist", "busi", "fetch", "checksums"])
def test_names_of_the_project_are_taken(tmp_path, name):
    (tmp_path / "recipes").mkdir()
    shutil.copy(ROOT / "preprocess/recipes/breastmnist.yaml", tmp_path / "recipes" / f"{name}.yaml")
    if name in ("fetch", "checksums"):
        written(tmp_path / "recipes", name)
    with pytest.raises(PreprocessError, match=rf"{name}.yaml: .*rename file and dataset"):
        Plan({"recipes": str(tmp_path / "recipes")}, SCHEMA)


def test_a_folder_that_is_none_and_a_file_that_is_no_yaml(tmp_path):
    with pytest.raises(PreprocessError, match=r"recipes: .* is not a folder"):
        Plan({"recipes": str(tmp_path / "gone")}, SCHEMA)
    (tmp_path / "skinmnist.yaml").write_text("a: [")
    with pytest.raises(PreprocessError, match=r"skinmnist.yaml: not readable as YAML"):
        Plan({"recipes": str(tmp_path)}, SCHEMA)


def test_a_dataset_of_ones_own_is_a_target_and_part_of_all_where_its_files_are(tmp_path, skin):
    name = written(tmp_path / "recipes", raw="skin")
    settings = {"recipes": str(tmp_path / "recipes"), "results": str(tmp_path / "results")}
    there = Plan({**settings, "raw": str(skin.parent)}, SCHEMA)
    assert there.selected == [name]
    assert there.missing == []
    assert there.folder(name) == skin
    assert name in targets.names()
    assert there.current("index", name)
    assert there.config_of(name)["recipes"] == settings["recipes"]
    with pytest.raises(PreprocessError, match=r"skinmnist: .*names no generator; name the folder"):
        Plan(settings, SCHEMA).require(name)
    (tmp_path / "other").mkdir()
    with pytest.raises(PreprocessError, match=r"holds no files of its source; .*says raw: skin"):
        Plan({**settings, "raw": str(tmp_path / "other")}, SCHEMA).require(name)
    assert name not in Plan({}, SCHEMA).sources


def test_the_raw_folder_of_a_recipe_is_the_raw_folder_one_in_it_or_one_elsewhere(tmp_path, skin):
    for raw, config, found in ((".", skin, skin), ("skin", skin.parent, skin), (str(skin), ROOT / "docs", skin)):
        name = written(tmp_path / "recipes", raw=raw)
        plan = Plan({"recipes": str(tmp_path / "recipes"), "raw": str(config), "results": str(tmp_path / "r")}, SCHEMA)
        assert plan.folder(name) == found
        before = plan.current("index", name)
        (skin / "benign" / "p00_1.png").touch()
        plan = Plan({"recipes": str(tmp_path / "recipes"), "raw": str(config), "results": str(tmp_path / "r")}, SCHEMA)
        assert plan.current("index", name) != before
    known = tmp_path / "cache"
    run("verify", name, "--raw", ROOT / "docs", "--cache", known, "--output", tmp_path / "verified.json")
    assert len((known / f"{name}.tsv").read_text().splitlines()) == 48
    with pytest.raises(PreprocessError, match="lies in the raw folder"):
        Plan({"recipes": str(tmp_path / "recipes"), "raw": str(ROOT / "docs"), "results": str(skin / "out")}, SCHEMA)


OWN = '''"""Rows of one file: a letter each."""

import numpy as np

from preprocess.sources import Listing
from preprocess.table import Sample

PRESENT = ("letters.txt",)


def index(raw):
    letters = raw.read("letters.txt").decode().split()
    samples = [Sample(f"{n}", "letters.txt", original_label=one) for n, one in enumerate(letters)]
    return Listing(samples, {one: letters.count(one) for one in sorted(set(letters))})


def open(raw, sample):
    drawn = np.full((28, 28, 3), 40 * (1 + ord(sample.original_label) - ord("a")), np.uint8)
    drawn[0, 0] = int(sample.key)
    return drawn
'''
GENERATOR = """CENSUS = {"letters": {"a": 20, "b": 20}}


def generate(folder):
    folder.mkdir(exist_ok=True)
    (folder / "letters.txt").write_text("a b " * 20)
"""


@pytest.fixture
def letters(tmp_path) -> Path:
    """A dataset with a source and a generator of its own."""
    written(tmp_path / "recipes", "letters", "letters_source.py", generator="letters_drawn.py", steps=["rgb"],
            files=None, table=None, table_key=None, class_from=None, group_from=None, split_from=None, columns=None,
            label={"rule": "map", "classes": ["a", "b"], "map": {"a": 0, "b": 1}}, raw=None)  # fmt: skip
    (tmp_path / "recipes" / "letters_source.py").write_text(OWN)
    (tmp_path / "recipes" / "letters_drawn.py").write_text(GENERATOR)
    return tmp_path / "recipes"


def test_a_source_and_a_generator_of_ones_own(letters, tmp_path):
    plan = Plan({"recipes": str(letters), "results": str(tmp_path / "results")}, SCHEMA)
    assert plan.is_present("letters")
    miniature.generate("letters", tmp_path / "drawn")
    done = build("letters", tmp_path / "drawn", tmp_path / "built")
    labels = {row["key"]: row["label"] for row in done.samples}
    assert len(labels) == 40
    assert all((image[1:] == 40 * (1 + int(labels[key]))).all() for key, image in done.images(28).items())
    _, data = audit(done, tmp_path / "drawn", tmp_path / "built")
    assert not data["errors"]


@pytest.mark.parametrize(
    ("file", "stage"),
    [("letters_source.py", "index"), ("letters_drawn.py", "miniature"), ("letters.yaml", "provenance")],
)
def test_what_a_result_depends_on_counts_a_users_files(letters, tmp_path, file, stage):
    def current() -> dict[str, str]:
        from preprocess.plan import fingerprint

        fingerprint.of.cache_clear()
        fingerprint._read.cache_clear()
        plan = Plan({"recipes": str(letters), "results": str(tmp_path / "results")}, SCHEMA)
        return {name: plan.current(name, "letters") for name in ("miniature", "index", "render", "provenance")}

    before = current()
    with open(letters / file, "a") as more:
        more.write("\n# another line\n")
    after = current()
    order = list(before)
    assert [name for name in order if before[name] != after[name]] == order[order.index(stage) :]


def test_another_dataset_of_a_source_of_the_project(tmp_path, stand_in):
    """Its stand-in serves it too, as far as it goes: nobody counted it."""
    none = dict.fromkeys(("files", "table", "table_key", "class_from", "group_from", "split_from", "columns", "raw"))
    label = {"rule": "map", "classes": ["normal", "lump"], "map": {"normal": 0, "benign": 1, "malignant": 1}}
    name = written(tmp_path / "recipes", "lumpmnist", "busi", label=label, **none)
    plan = Plan({"recipes": str(tmp_path / "recipes"), "results": str(tmp_path / "results")}, SCHEMA)
    assert plan.own_sources == []
    assert plan.of_source("busi") == ["breastmnist", name]
    assert plan.is_present(name)
    done = build(name, stand_in("busi"), tmp_path / "built")
    theirs = index.build(
        recipe.load("breastmnist", "paper"), stand_in("busi"), "strict", miniature.census("breastmnist")
    )
    wanted = {one.key: str(int(one.original_label != "normal")) for one in theirs.samples}
    assert {row["key"]: row["label"] for row in done.samples} == wanted


def test_code_of_ones_own_that_cannot_be_used_is_told(letters):
    path = str(letters / "letters_source.py")
    Path(path).write_text("import nothing_of_this_name\n")
    sources._own.cache_clear()
    with pytest.raises(PreprocessError, match=r"letters_source.py: cannot be imported \(ModuleNotFoundError"):
        sources.get(path)
    Path(path).write_text("PRESENT = ()\n")
    with pytest.raises(PreprocessError, match="has no index and no open"):
        sources.get(path)


# ---- where values come from


@pytest.mark.parametrize(
    ("changes", "label", "group", "split"),
    [
        ({}, "benign", "", ""),
        ({"class_from": "folder 2", "split_from": "folder"}, "train", "", "benign"),
        ({"class_from": "name _([a-z]+)_"}, "left", "", ""),
        ({"class_from": "path ^([a-z]+)/", "group_from": "name (p[0-9]+)"}, "train", "p7", ""),
        (
            {"class_from": "column dx", "group_from": "column who", "table": "*.csv", "table_key": "image"},
            "nv",
            "w1",
            "",
        ),
        ({"class_from": "columns nv, mel", "table": "t.csv", "table_key": "image"}, "nv", "", ""),
        ({"class_from": "column dx", "table": "t.csv", "table_key": "id = name p([0-9]+)"}, "nv", "", ""),
    ],
)
def test_where_class_group_and_split_come_from(tmp_path, changes, label, group, split):
    picture(tmp_path / "raw/train/benign/p7_left_1.png")
    (tmp_path / "raw/t.csv").write_text("image;dx;who;nv;mel;id\np7_left_1;nv;w1;1.0;0;7.0\n")
    labels = {"rule": "map", "classes": ["x", label], "map": {label: 1}}
    (sample,) = samples(tmp_path / "raw", tmp_path, label=labels, **changes).values()
    assert (sample.key, sample.original_label) == ("train/benign/p7_left_1.png", label)
    assert (sample.group, sample.source_split, sample.label) == (group, split, "1")


def test_several_columns_make_several_labels(tmp_path):
    for name in "abc":
        picture(tmp_path / "raw" / f"{name}.png")
    (tmp_path / "raw/t.csv").write_text("image,oedema,mass\na.png,1,1\nb.png,0,1\nc.png,0,0\n")
    label = {"rule": "several", "none": "none", "classes": ["oedema", "mass"], "map": {"oedema": 0, "mass": 1}}
    found = samples(tmp_path / "raw", tmp_path, label=label, task="multi-label", class_from="columns oedema, mass",
                    table="t.csv", table_key="image")  # fmt: skip
    assert {key: one.label for key, one in found.items()} == {"a.png": "1 1", "b.png": "0 1", "c.png": "0 0"}


def test_a_name_that_does_not_fit_is_told_with_the_expression(tmp_path, skin):
    picture(skin / "benign" / "summary.png")
    unfit = r"summary.png: 'summary.png' does not fit the expression 'p\(.*leave the file out: files: ..!summary.png"
    with pytest.raises(PreprocessError, match=unfit):
        samples(skin, tmp_path, group_from="name p([0-9]+)")
    assert len(samples(skin, tmp_path, group_from="name p([0-9]+)", files=["!summary*"])) == 48


def test_rows_and_files_that_do_not_find_each_other(tmp_path):
    for name in "ab":
        picture(tmp_path / "raw" / f"{name}.png")
    table = tmp_path / "raw" / "t.csv"
    table.write_text("image,dx\na.png,benign\nc.png,malignant\n")
    found = samples(tmp_path / "raw", tmp_path, class_from="column dx", table="t.csv", table_key="image")
    assert {key: (one.label, one.reason) for key, one in found.items()} == {
        "a.png": ("0", ""), "b.png": ("", "no-label"), "c.png": ("1", "missing"),
    }  # fmt: skip
    in_force = recipe.load("skinmnist", "paper")
    with pytest.raises(PreprocessError, match=r"c\.png"):
        index.build(in_force, tmp_path / "raw", "strict", None)
    with pytest.raises(PreprocessError, match=r"b.png: no row of the table names it, and group_from"):
        samples(tmp_path / "raw", tmp_path, class_from="name (.)", group_from="column dx", table="t.csv",
                table_key="image")  # fmt: skip
    table.write_text("image,dx\na.png,benign\na,benign\na.png,malignant\nb.png,benign\n")
    with pytest.raises(PreprocessError, match=r"line 4: a second row for a.png"):
        samples(tmp_path / "raw", tmp_path, class_from="column dx", table="t.csv", table_key="image")
    with pytest.raises(PreprocessError, match=r"no table is called u\.csv"):
        samples(tmp_path / "raw", tmp_path, class_from="column dx", table="u.csv", table_key="image")
    with pytest.raises(PreprocessError, match="has no column 'name'"):
        samples(tmp_path / "raw", tmp_path, class_from="column dx", table="t.csv", table_key="name")


def test_a_row_that_may_name_two_files_is_refused(tmp_path):
    for folder in ("one", "two"):
        picture(tmp_path / "raw" / folder / "a.png")
    (tmp_path / "raw" / "t.csv").write_text("image,dx\na.png,benign\n")
    named = {"class_from": "column dx", "table": "t.csv", "table_key": "image"}
    with pytest.raises(PreprocessError, match=r"'a.png' may be one/a.png or two/a.png; name them by their paths"):
        samples(tmp_path / "raw", tmp_path, **named)
    assert len(samples(tmp_path / "raw", tmp_path, **named, files=["one/*"])) == 1


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_keys_and_pixels_do_not_depend_on_packing(tmp_path, skin, kind):
    tree = samples(skin.parent, tmp_path)
    packed = tmp_path / "packed"
    packed.mkdir()
    if kind == "zip":
        with zipfile.ZipFile(packed / "skin.zip", "w") as file:
            for path in sorted(skin.rglob("*.png")):
                file.write(path, path.relative_to(skin.parent).as_posix())
    else:
        with tarfile.open(packed / f"skin.{kind}", "w:gz" if kind.endswith("gz") else "w") as archive:
            archive.add(skin, "skin")
    found = samples(packed, tmp_path)
    assert list(found) == list(tree)
    in_force = recipe.load("skinmnist", "paper")
    with Renderer(in_force, packed, [28]) as one, Renderer(in_force, skin.parent, [28]) as other:
        for key in list(tree)[:3]:
            assert np.array_equal(one.render(found[key]).arrays[28], other.render(tree[key]).arrays[28])


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a/b.png", "a/b.png"), ("x.zip!/a/b.png", "x/a/b.png"), ("x.zip!/x/b.png", "x/b.png"), ("x.zip!/x", "x/x"),
        ("d/x.tar.gz!/y.zip!/y/b.png", "d/x/y/b.png"),
    ],
)  # fmt: skip
def test_keys(path, key):
    assert decided.key_of(RawFile(path, 1)) == key


def test_copies_are_left_aside_and_two_versions_refused(tmp_path, skin):
    place = tmp_path / "twice"
    shutil.copytree(skin / "benign", place / "raw" / "benign")
    with zipfile.ZipFile(place / "raw.zip", "w") as file:
        file.write(skin / "benign" / "p00_1.png", "raw/benign/p00_1.png")
    assert len(samples(place, tmp_path, label={"rule": "map", "classes": ["benign", "x"], "map": {"benign": 0}})) == 24
    picture(place / "raw" / "benign" / "p00_1.png")
    with pytest.raises(PreprocessError, match="have one name and differ"):
        samples(place, tmp_path)


# ---- pixels


def test_sixteen_bits_and_dicom_become_eight_as_decided(tmp_path):
    deep = RNG.integers(0, 4096, (20, 20), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    dark = np.arange(400, dtype=np.int16).reshape(20, 20)
    path = slice_of(tmp_path / "x", 0, dark, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11,
                    PixelRepresentation=0)  # fmt: skip
    with Raw(tmp_path) as raw:
        sixteen = depth.values(sources.get("images").open(raw, Sample("a", "deep.png")))
        turned = depth.values(sources.get("images").open(raw, Sample("a", path.relative_to(tmp_path).as_posix())))
    assert np.array_equal(sixteen, deep)
    assert np.array_equal(turned, 4095 - dark)
    assert np.array_equal(stacks.intensity(sixteen, "0,4095"), np.rint(deep / 4095 * 255))
    low, high = np.percentile(deep, (1, 99))
    wanted = np.rint(np.clip((deep - low) / (high - low), 0, 1) * 255)
    assert np.abs(stacks.intensity(sixteen, "sample-percentiles 1,99").astype(float) - wanted).max() <= 1
    with pytest.raises(UnreadableError, match="not numbers"):
        stacks.intensity(np.array([np.nan, 1.0]), "sample-range")


def test_colour_and_several_frames_of_dicom(tmp_path):
    """Compressed colour comes out as Pillow decodes the same JPEG; nothing says which of several frames is meant."""
    rows, columns = np.indices((32, 48))
    colour = np.stack([3 * (rows + columns), 255 - 3 * (rows + columns), np.full_like(rows, 90)], -1).astype(np.uint8)
    packed = io.BytesIO()
    Image.fromarray(colour).save(packed, "JPEG", quality=95)
    one = read_dicom(slice_of(tmp_path, 0, np.zeros((32, 48), np.int16), SamplesPerPixel=3, PlanarConfiguration=0,
                              PhotometricInterpretation="RGB", BitsAllocated=8, BitsStored=8, HighBit=7,
                              PixelRepresentation=0, PixelData=colour.tobytes()))  # fmt: skip
    assert np.array_equal(dicom.Frame(saved(one)).values(), colour)
    one.PhotometricInterpretation = "YBR_FULL_422"
    with pytest.raises(UnreadableError, match="is YBR_FULL_422; known are"):
        dicom.Frame(saved(one)).values()
    one.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    one.PixelData = encapsulate([packed.getvalue()])
    one["PixelData"].VR, one["PixelData"].is_undefined_length = "OB", True
    assert np.array_equal(dicom.Frame(saved(one)).values(), np.asarray(Image.open(packed).convert("RGB")))
    one.NumberOfFrames = 2
    with pytest.raises(UnreadableError, match="holds 2 pictures"):
        dicom.Frame(saved(one)).values()


def saved(one: Dataset) -> bytes:
    buffer = io.BytesIO()
    one.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_a_damaged_dicom_picture_is_unreadable(tmp_path):
    whole = slice_of(tmp_path, 0, ramp()[0]).read_bytes()
    for data in (whole[:-50], whole[:200]):
        with pytest.raises(UnreadableError):
            dicom.Frame(data).values()


def volume_of(tmp_path: Path, values: NDArray[Any], affine: NDArray[Any]) -> Any:
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "v.nii")
    raw = Raw(tmp_path)
    return volumes.open(raw, Sample("v", "v.nii"))


def test_parts_of_a_volume(tmp_path):
    """A box, and a cube in mm that leaves the volume: what lies beyond is the least of what lies within."""
    values = np.arange(10 * 12 * 6, dtype=np.float32).reshape(10, 12, 6)
    opened = volume_of(tmp_path, values, np.diag([-1.0, -1.0, 2.0, 1.0]))  # stored as LPS
    part = regions.region(opened, "lps", "box", "mm", 8, "LPS 2:5 3:9 1:4")
    assert np.array_equal(part, values[2:5, 3:9, 1:4])
    cube = regions.region(opened, "lps", "cube", "mm", 8, "LPS 1:2 6:7 3:4")
    assert cube.shape == (8, 8, 4)
    inside = values[0:5, 2:10, 1:5]
    assert np.array_equal(cube[3:], inside)
    assert (cube[:3] == inside.min()).all()
    assert np.array_equal(regions.region(opened, "lps", "whole", "mm", 8, ""), values)
    with pytest.raises(PreprocessError, match="needs a place"):
        regions.region(opened, "lps", "box", "mm", 8, "")
    turned = volume_of(tmp_path, values[::-1], np.array([[1.0, 0, 0, -9], [0, -1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]))
    assert np.array_equal(regions.region(turned, "lps", "whole", "mm", 8, ""), values)


VOLUMES = {
    "steps": ["region", "intensity", "zoom"], "dimensions": 3, "channels": 1, "decoder": None, "crop": None,
    "crop_rounding": None, "kernel": None, "orientation": "lps", "region": "box", "cube": 8, "crop_unit": "voxel",
    "intensity": "sample-range", "zoom": "whole", "mask_files": "none", "place_from": "none",
}  # fmt: skip


@pytest.fixture
def masked(tmp_path) -> Path:
    """Three scans, one with a mask beside it, one with an empty one, one without."""
    (tmp_path / "raw" / "benign").mkdir(parents=True)
    for number in (1, 2, 3):
        scan = np.zeros((10, 12, 6), np.int16)
        nibabel.save(nibabel.Nifti1Image(scan, np.diag([-1, -1, 2, 1])), tmp_path / f"raw/benign/s{number}.nii.gz")
        if number < 3:
            scan[2:5, 3:4, 1:5] = 2 - number
            nibabel.save(
                nibabel.Nifti1Image(scan[::-1], np.array([[1, 0, 0, -9], [0, -1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])),
                tmp_path / f"raw/benign/s{number}_seg.nii.gz",
            )
    return tmp_path / "raw"


def test_the_place_of_a_mask(tmp_path, masked):
    """The mask is stored the other way round along x; its box is told in the array of the scan."""
    found = samples(
        masked, tmp_path, source="volumes", **VOLUMES | {"mask_files": "name (.+)_seg", "place_from": "mask"}
    )
    assert list(found) == [f"benign/s{number}.nii.gz" for number in (1, 2, 3)]
    assert found["benign/s1.nii.gz"].attributes["box"] == "LPS 2:5 3:4 1:5"
    assert [one.reason for one in found.values()] == ["", "empty-mask", "missing"]
    in_force, sample = recipe.load("skinmnist", "paper"), found["benign/s1.nii.gz"]
    with Raw(masked) as raw:  # where the trace of a row draws it in its scan
        drawn = scans.of(in_force, sample, volumes.open(raw, sample))
        around = scans.of(in_force.changed({"region": "cube"}), sample, volumes.open(raw, sample))
    assert drawn.box == ((2, 5), (3, 4), (1, 5))
    assert around.box == ((-1, 7), (-1, 7), (-2, 6))


def test_several_places_in_one_volume(tmp_path, masked):
    (masked / "t.csv").write_text("scan,x,y,z\ns1,2,3,4\ns1,5,5,5\ns2,1,1,1\ns3,1,1,99\n")
    found = samples(masked, tmp_path, source="volumes", **VOLUMES | {
        "files": ["!*_seg*"], "table": "t.csv", "table_key": "scan", "place_from": "centre x, y, z"})  # fmt: skip
    assert {key: (one.attributes["box"], one.unit, one.reason) for key, one in found.items()} == {
        "benign/s1.nii.gz/1": ("LPS 2:3 3:4 4:5", "benign/s1.nii.gz", ""),
        "benign/s1.nii.gz/2": ("LPS 5:6 5:6 5:6", "benign/s1.nii.gz", ""),
        "benign/s2.nii.gz": ("LPS 1:2 1:2 1:2", "", ""),
        "benign/s3.nii.gz": ("LPS 1:2 1:2 99:100", "", "outside-volume"),
    }


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda place: (place / "IM3").unlink(), "a slice is missing"),
        (lambda place: slice_of(place, 9, ramp()[0], ImagePositionPatient=[0, 0, 4.0]), "two of its slices lie at one"),
        (
            lambda place: slice_of(place, 2, ramp()[2], PixelSpacing=[2.0, 1.5]),
            "differ in rows, columns or pixel spacing",
        ),
        (lambda place: slice_of(place, 2, ramp()[2], ImageOrientationPatient=[0, 1, 0, 1, 0, 0]), "not parallel"),
        (lambda place: slice_of(place, 2, ramp()[2], ImagePositionPatient=[30, 0, 4.0]), "do not lie along"),
    ],
)
def test_a_series_that_is_no_stack(tmp_path, spoil, words):
    place = tmp_path / "raw" / "benign" / "one"
    for k in range(6):
        slice_of(place, k, ramp()[k])
    found = samples(tmp_path / "raw", tmp_path, source="volumes", **VOLUMES)
    assert found["benign/one"].attributes["spacing"] == "1.5 1 2"
    assert found["benign/one"].attributes["axes"] == "LPS"
    spoil(place)
    (sample,) = samples_of_spoilt(tmp_path)
    assert sample.reason == "unreadable"
    assert words in sample.detail


def samples_of_spoilt(tmp_path: Path) -> list[Sample]:
    """The listing itself: a build refuses a folder of which nothing can be read."""
    in_force = recipe.load("skinmnist", "paper")
    decided_of = {key: choice.value for key, choice in in_force.decisions.items()}
    with Raw(tmp_path / "raw") as raw:
        return volumes.index(raw, *(decided_of[key] for key in (
            "files", "table", "table_key", "class_from", "group_from", "split_from", "columns", "mask_files",
            "place_from")), ).samples  # fmt: skip


def test_a_sagittal_series_lies_as_its_header_says(tmp_path):
    """Rows run to Posterior, columns to Inferior: turned to Left, Posterior, Superior by the header alone."""
    place = tmp_path / "raw" / "benign" / "one"
    for k in range(6):
        slice_of(place, k, ramp()[k], ImageOrientationPatient=[0, 1, 0, 0, 0, -1], ImagePositionPatient=[2.0 * k, 0, 0])
    sample = samples(tmp_path / "raw", tmp_path, source="volumes", **VOLUMES)["benign/one"]
    with Raw(tmp_path / "raw") as raw:
        found = regions.region(volumes.open(raw, sample), "lps", "whole", "mm", 8, "")
    planes = ramp()
    assert found.shape == (6, 10, 8)
    for left, posterior, inferior in ((0, 0, 0), (5, 9, 7), (2, 3, 4)):
        assert found[left, posterior, 7 - inferior] == planes[left, inferior, posterior]


def test_meshes_as_the_source_of_vesselmnist3d(tmp_path, stand_in):
    """The same files through the general source give the same grids."""
    raw = stand_in("intra")
    theirs = recipe.load("vesselmnist3d", "paper")
    known = {one.path: one for one in index.build(theirs, raw, "strict", miniature.census("vesselmnist3d")).samples}
    own = {key: choice.value for key, choice in theirs.decisions.items()}
    label = {"rule": "map", "classes": ["vessel", "aneurysm"], "map": {"vessel": 0, "aneurysm": 1}}
    pixels = {key: own[key] for key in ("repair", "voxels", "cube", "zoom")}
    pixels |= dict.fromkeys(("decoder", "crop", "crop_rounding", "kernel"))
    found = samples(raw, tmp_path, source="meshes", steps=list(theirs.steps), dimensions=3, channels=1, label=label,
                    files=["*generated/*"], class_from="folder 2", group_from="name (AN[0-9]+)-", **pixels)  # fmt: skip
    assert {one.path for one in found.values()} == set(known)
    assert all(one.label == known[one.path].label and one.group == known[one.path].group for one in found.values())
    some = list(found.values())[::9]
    with Renderer(theirs, raw, [28]) as one, Renderer(recipe.load("skinmnist", "paper"), raw, [28]) as other:
        for sample in some:
            wanted = one.render(known[sample.path]).arrays[28]
            assert np.array_equal(other.render(sample).arrays[28], wanted)


# ---- drafts


def drafted(raw: Path) -> dict[str, Any]:
    content = yaml.safe_load(draft("skinmnist", raw).text)
    decisions = {key: entry["both"]["value"] for key, entry in content["decisions"].items()}
    return {**content, **decisions}


def test_a_draft_sees_splits_in_folders(tmp_path):
    for split, count in (("Train", 8), ("test", 4)):
        for label in ("cat", "dog", "emu"):
            for number in range(count):
                picture(tmp_path / "raw" / split / label / f"{label}{number}.jpg", (20, 20))
    found = drafted(tmp_path / "raw")
    assert (found["class_from"], found["split_from"]) == ("folder", "folder 2")
    assert (found["split.keep"], found["split.ratio"], found["split.rule"]) == ({"test": "test"}, "9:1", "per-class")
    assert found["census"] == {"cat": 12, "dog": 12, "emu": 12}
    assert (found["task"], found["channels"]) == ("multi-class", 1)


def test_a_draft_leaves_masks_out(tmp_path):
    for label in ("benign", "malignant"):
        for number in range(6):
            picture(tmp_path / "raw" / label / f"{label} ({number}).png")
            picture(tmp_path / "raw" / label / f"{label} ({number})_mask.png")
    found = drafted(tmp_path / "raw")
    assert found["files"] == ["!*_mask*"]
    assert found["census"] == {"benign": 6, "malignant": 6}


def test_a_draft_reads_marks_in_columns_and_patients_in_a_table(tmp_path):
    rows = ["Image Index,Patient ID,Mass,Oedema,Sex"]
    for number in range(12):
        picture(tmp_path / "raw" / "images" / f"{number:03}.png", (20, 20))
        rows.append(f"{number:03}.png,{number // 3},{number % 2},{int(number % 3 == 0)},F")
    (tmp_path / "raw" / "labels.csv").write_text("\n".join(rows))
    found = drafted(tmp_path / "raw")
    assert (found["table"], found["table_key"]) == ("labels.csv", "Image Index")
    assert (found["class_from"], found["task"]) == ("columns Mass, Oedema", "multi-label")
    assert (found["group_from"], found["split.group_by"]) == ("column Patient ID", "group")
    assert found["columns"] == {"sex": "column Sex"}


def test_a_draft_reads_several_findings_in_one_column(tmp_path):
    rows = ["Image Index,Finding Labels"]
    for number, finding in enumerate(("Mass|Oedema", "Mass", "No Finding", "Oedema") * 3):
        picture(tmp_path / "raw" / f"{number:03}.png", (20, 20))
        rows.append(f"{number:03}.png,{finding}")
    (tmp_path / "raw" / "labels.csv").write_text("\n".join(rows))
    found = drafted(tmp_path / "raw")
    assert found["label"] == {
        "rule": "several", "none": "No Finding", "classes": ["Mass", "Oedema"], "map": {"Mass": 0, "Oedema": 1},
    }  # fmt: skip
    written_as = {key: found[key] for key in ("label", "task", "class_from", "table", "table_key")}
    labels = [one.label for one in samples(tmp_path / "raw", tmp_path, **written_as).values()]
    assert labels[:4] == ["1 1", "1 0", "0 0", "0 1"]


def test_a_draft_of_folders_of_patients_takes_them_for_groups(tmp_path):
    for number in range(10):
        for view in (1, 2):
            picture(tmp_path / "raw" / ("sick" if number % 2 else "well") / f"case{number}" / f"{view}.png")
    found = drafted(tmp_path / "raw")
    assert (found["class_from"], found["group_from"], found["group"]) == ("folder 2", "folder", "patient")


def test_a_draft_of_dicom_pictures(tmp_path):
    for number in range(8):
        place = tmp_path / "raw" / ("sick" if number % 2 else "well")
        slice_of(place, number, ramp()[0], Modality="DX", PatientID=f"X{number // 2}",
                 SeriesInstanceUID=generate_uid(entropy_srcs=[str(number)]))  # fmt: skip
    found = drafted(tmp_path / "raw")
    assert (found["source"], found["modality"]) == ("images", "DX")
    assert found["steps"] == ["values", "intensity", "gray", "crop", "resize"]
    assert found["group_from"] == "header PatientID"


@pytest.mark.parametrize(
    ("names", "words"), [((), "no file"), (("a.docx",), "1 other"), (("a.png", "b.png"), "classes")]
)
def test_a_folder_of_which_nothing_can_be_drafted(tmp_path, names, words):
    (tmp_path / "raw").mkdir()
    for name in names:
        picture(tmp_path / "raw" / name) if name.endswith("png") else (tmp_path / "raw" / name).write_text("x")
    with pytest.raises(PreprocessError, match=words):
        draft("skinmnist", tmp_path / "raw")


def test_a_draft_that_cannot_be_built_yet_is_written_and_says_so(tmp_path, skin):
    """A table of some of the files only, which says the patients: the draft stands, and so does what is wrong."""
    rows = [f"{path.name},{path.name[:3]}" for path in sorted(skin.rglob("*.png"))]
    (skin / "list.csv").write_text("\n".join(["image,patient", *rows[:-1]]))
    found = draft("skinmnist", skin)
    assert yaml.safe_load(found.text)["decisions"]["group_from"]["both"]["value"] == "column patient"
    assert any(
        line.startswith("not yet: ") and "p23_2.png: no row of the table names it" in line for line in found.told
    )


def test_a_draft_overwrites_nothing(tmp_path, skin, capsys):
    words = ["new", "skinmnist", "--raw", str(skin), "--recipes", str(tmp_path / "recipes")]
    assert cli.main(words) == 0
    made_of = tmp_path / "recipes" / "skinmnist.yaml"
    made_of.write_text("mine")
    assert cli.main(words) == 1
    assert "skinmnist.yaml is there already, and nothing is overwritten" in capsys.readouterr().err
    assert made_of.read_text() == "mine"


def test_new_wants_a_name_and_a_folder(tmp_path, capsys):
    with pytest.raises(PreprocessError, match="a target is called fetch already"):
        _ = Plan({"name": "fetch", "raw": str(tmp_path), "results": str(tmp_path.parent / "r")}, SCHEMA).new_name
    with pytest.raises(PreprocessError, match="name a dataset and the folder"):
        _ = Plan({"name": "skinmnist"}, SCHEMA).new_name
    assert cli.main(["new", "breastmnist", "--raw", str(tmp_path)]) == 1
    assert "breastmnist of the project is there already" in capsys.readouterr().err


def test_every_value_a_draft_begins_with_is_allowed():
    for key, decision in DECISIONS.items():
        if decision.usual is not None:
            assert decision.problem(decision.first) is None, key


def test_what_the_guide_decides_is_allowed():
    text = (ROOT / "docs" / "adding-a-dataset.md").read_text(encoding="utf-8")
    shown = re.findall(r"^ +([a-z_.]+): (\{both: .+\})$", text, re.MULTILINE)
    assert len(shown) >= 9
    for key, entry in shown:
        assert DECISIONS[key].problem(yaml.safe_load(entry)["both"]["value"]) is None, key


def test_the_general_sources_have_a_page():
    assert {f"sources/{name}.md" for name in recipe.GENERAL} <= docs.pages().keys()


# ---- real files


def through_images(dataset: str, raw: Path, tmp_path: Path, options: dict[str, Any], names: dict[str, int]) -> int:
    """Render all there is through the dataset's own source and through images, whose class is the folder; how many.

    ``names`` are the classes by the folders' names, where the source has others.
    """
    protocol = "released"
    theirs = recipe.load(dataset, protocol)
    known = {one.path: one for one in index.build(theirs, raw, "warn", theirs.dataset.census).samples}
    content = recipe.read(dataset)
    added = {
        "table": "none",
        "table_key": "none",
        "split_from": "none",
        "columns": {},
        "class_from": "folder",
        **options,
    }
    label = {**content["label"], "map": names or content["label"]["map"]}
    own = {**content, "name": "ownmnist", "source": "images", "raw": ".", "label": label}
    own.pop("options", None)
    own["decisions"] = content["decisions"] | {
        key: {"both": {"value": value, "evidence": "read", "why": "its layout"}} for key, value in added.items()
    }
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "ownmnist.yaml").write_text(yaml.safe_dump(own))
    recipe.use(tmp_path / "recipes")
    recipe.validate("ownmnist", sources.asked)
    ours = recipe.load("ownmnist", protocol)
    found = {one.path: one for one in index.build(ours, raw, "warn", None).samples}
    assert found.keys() == known.keys()
    with Renderer(theirs, raw, [28, 64]) as one, Renderer(ours, raw, [28, 64]) as other:
        for path, sample in found.items():
            assert (sample.label, sample.group) == (known[path].label, known[path].group)
            wanted, got = one.render(known[path]), other.render(sample)
            assert got.raw_sha256 == wanted.raw_sha256
            assert all(np.array_equal(got.arrays[size], wanted.arrays[size]) for size in (28, 64))
    return len(found)


@pytest.mark.real
@pytest.mark.parametrize(
    ("dataset", "source", "options", "names"),
    [
        ("breastmnist", "busi", {"files": ["*.png", "!*_mask*"], "group_from": "none"}, {}),
        ("bloodmnist", "pbc", {"files": "all", "group_from": "none"}, {}),
        (
            "pneumoniamnist",
            "kermany",
            {"files": ["*chest_xray/*"], "group_from": "name (person[0-9]+)_|$"},
            {"NORMAL": 0, "PNEUMONIA": 1},
        ),
    ],
)
def test_real_files_through_images_give_the_same_pixels(real, tmp_path, dataset, source, options, names):
    assert through_images(dataset, real / source, tmp_path, options, names) > 5
