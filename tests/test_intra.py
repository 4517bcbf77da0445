"""IntrA: the reader on its layouts, the split by model, and the real meshes built against the published rows."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from preprocess import order
from preprocess.errors import PreprocessError
from preprocess.reading.archives import Raw
from preprocess.sources import intra
from tests.builds import CommandError, placed

CENSUS = {"vessel": 31, "aneurysm": 20, "models": 11}
SPECK = "vessel/ArteryObjAN186-10.obj"


@pytest.fixture
def tree(stand_in, tmp_path):
    return Path(shutil.copytree(stand_in("intra"), tmp_path / "intra"))


def keys(folder):
    return [sample.key for sample in intra.index(Raw(folder)).samples]


def test_index_lists_generated_meshes_only(tree):
    listing = intra.index(Raw(tree))
    assert listing.census == CENSUS
    assert all(sample.path.startswith(f"IntrA/generated/{sample.original_label}/obj/") for sample in listing.samples)
    names = [sample.key.partition("/")[2] for sample in listing.samples]
    assert len(set(names)) < len(names)  # names occur in both classes
    assert {sample.key: sample.group for sample in listing.samples}["vessel/ArteryObjAN23-0.obj"] == "AN23"
    assert [key for key in keys(tree) if "AN1-" in key or "AN9-" in key][:4] == [
        "vessel/ArteryObjAN1-0.obj",
        "vessel/ArteryObjAN1-1.obj",
        "vessel/ArteryObjAN1-2.obj",
        "vessel/ArteryObjAN9-0.obj",
    ]


def test_layouts_give_the_same_samples(tree, tmp_path):
    expected, contents = keys(tree), {}
    for sample in intra.index(Raw(tree)).samples:
        contents[sample.key] = intra.open(Raw(tree), sample)
    layouts = [tmp_path / name for name in ("zip", "classes", "flat", "nested")]
    for layout in layouts:
        layout.mkdir()
    with zipfile.ZipFile(layouts[0] / "IntrA-20230105T101010Z-001.zip", "w") as archive:
        for path in sorted(tree.rglob("*.*")):
            archive.write(path, path.relative_to(tree))
    for label in intra.CLASSES:
        source = tree / "IntrA" / "generated" / label
        shutil.copytree(source, layouts[1] / label)
        shutil.copytree(source / "obj", layouts[2] / "data" / label)
        shutil.copytree(source, layouts[3] / "download" / "3D" / "IntrA-master" / "generated" / label)
    for layout in layouts:
        listing = intra.index(Raw(layout))
        assert [sample.key for sample in listing.samples] == expected
        assert all(intra.open(Raw(layout), sample) == contents[sample.key] for sample in listing.samples)


def test_other_parts_alone_are_refused(tree):
    shutil.rmtree(tree / "IntrA" / "generated")
    with pytest.raises(PreprocessError, match="holds no mesh of generated"):
        intra.index(Raw(tree))


def test_point_lists_alone_are_refused(tree):
    for label in intra.CLASSES:
        shutil.rmtree(tree / "IntrA" / "generated" / label / "obj")
    with pytest.raises(PreprocessError, match=r"\.ad point lists"):
        intra.index(Raw(tree))


def test_two_copies_that_differ_are_refused(tree):
    shutil.copytree(tree / "IntrA", tree / "again")
    assert {sample.path.partition("/")[0] for sample in intra.index(Raw(tree)).samples} == {"IntrA"}
    other = next((tree / "again").rglob("vessel/obj/ArteryObjAN1-0.obj"))
    other.write_bytes(other.read_bytes() + b"\n")
    with pytest.raises(PreprocessError, match=r"IntrA/.*AN1-0\.obj and again/.*AN1-0\.obj have one name and differ"):
        intra.index(Raw(tree))


def test_another_name_is_refused(tree):
    folder = tree / "IntrA" / "generated" / "vessel" / "obj"
    (folder / "ArteryObjAN1-0.obj").rename(folder / "copy of AN1.obj")
    with pytest.raises(PreprocessError, match="not a segment's name"):
        intra.index(Raw(tree))


def test_missing_mesh_stops_and_broken_mesh_stops_or_is_left_out(tree, builder):
    path = tree / "IntrA" / "generated" / "aneurysm" / "obj" / "ArteryObjAN9-1.obj"
    text = path.read_text()
    path.write_text(text[: text.rindex(" ")] + "\n")  # cut within its last line
    with pytest.raises(CommandError):
        builder("vesselmnist3d", tree)
    done = builder("vesselmnist3d", tree, census="warn")
    assert {row["raw_form"] for row in done.samples} == {"OBJ file"}
    assert {row["key"]: row["reason"] for row in done.excluded} == {
        "aneurysm/ArteryObjAN9-1.obj": "unreadable",
        SPECK: "empty-grid",
    }
    path.unlink()
    with pytest.raises(CommandError):
        builder("vesselmnist3d", tree)


def test_paper_keeps_models_together_and_released_does_not(stand_in):
    splits = {}
    for protocol in ("paper", "released"):
        groups: dict[str, set[str]] = {}
        for sample in placed("vesselmnist3d", stand_in("intra"), protocol):
            groups.setdefault(sample.group, set()).add(sample.split)
        splits[protocol] = max(len(found) for found in groups.values())
    assert splits == {"paper": 1, "released": 3}


@pytest.mark.parametrize("protocol", ["paper", "released"])
@pytest.mark.parametrize("sizes", [(36,), (28, 33)])
def test_blank_mesh_is_left_out_late_and_of_every_size(protocol, sizes, stand_in, builder):
    """Without a table the rule cuts 31 and 20 samples; the blank one then leaves its split, as in version 2.2.4."""
    done = builder("vesselmnist3d", stand_in("intra"), protocol=protocol, sizes=sizes)
    assert [(row["key"], row["reason"]) for row in done.excluded] == [(SPECK, "empty-grid")]
    if protocol == "released":
        count = {split: sum(row["split"] == split for row in done.samples) for split in ("train", "val", "test")}
        whole = {"train": 21 + 14, "val": 3 + 2, "test": 7 + 4}
        assert sum(whole[split] - count[split] for split in whole) == 1
        assert max(whole[split] - count[split] for split in whole) == 1


def test_protocols_hold_only_0_and_255_and_differ_by_voxels(stand_in, builder):
    paper, released, changed = (
        builder("vesselmnist3d", stand_in("intra"), protocol=protocol, overrides=overrides).images(28)
        for protocol, overrides in (("paper", {}), ("released", {}), ("released", {"voxels": "inside"}))
    )
    assert {int(value) for image in paper.values() for value in np.unique(image)} == {0, 255}
    for key, cells in paper.items():
        # the surface has a thickness
        assert (released[key] > 0).sum() > (cells > 0).sum()
        np.testing.assert_array_equal(changed[key], cells)


def test_order_table_of_the_project_has_the_published_sizes():
    table = order.read(order.find("vesselmnist3d", None))
    count = {(split, label): 0 for split in ("train", "val", "test") for label in ("vessel", "aneurysm")}
    last: dict[str, str] = {}
    for row in table.rows:
        label, _, name = row.image_id.partition("/")
        assert intra.NAME.fullmatch(name)
        count[row.split, label] += 1
        # in every split aneurysms come first
        assert not (last.get(row.split) == "vessel" and label == "aneurysm")
        last[row.split] = label
    assert count == {
        ("train", "vessel"): 1185, ("train", "aneurysm"): 150,
        ("val", "vessel"): 169, ("val", "aneurysm"): 22,
        ("test", "vessel"): 339, ("test", "aneurysm"): 43,
    }  # fmt: skip
    assert len({row.image_id for row in table.rows}) == 1908
    assert SPECK not in {row.image_id for row in table.rows}


@pytest.mark.real
def test_real_meshes_are_built_to_their_published_rows(real, builder):
    table = Path(str(order.find("vesselmnist3d", None)))
    done = builder(
        "vesselmnist3d", real / "intra", protocol="released", census="warn", miniature=False, order_table=table
    )
    assert len(done.samples) == 40
    assert len((done.folder / "unmatched.tsv").read_text().splitlines()) == 1 + 1908 - 40
    arrays = done.arrays(28)
    with np.load(real / "released" / "vesselmnist3d.npz") as file:
        published = {name: file[name] for name in file.files}
    for row in done.samples:
        place, theirs = int(row["index"]), int(row["released_index"])
        np.testing.assert_array_equal(
            arrays[f"{row['split']}_images"][place], published[f"{row['split']}_images"][theirs]
        )
        assert arrays[f"{row['split']}_labels"][place] == published[f"{row['split']}_labels"][theirs]


@pytest.mark.real
def test_order_table_is_the_real_one(real):
    for name in ("vesselmnist3d", "breastmnist"):
        theirs = order.read(real / "released_order" / f"{name}.csv")
        ours = order.read(order.find(name, None))
        assert [(row.split, row.index, row.image_id) for row in ours.rows] == [
            (row.split, row.index, row.image_id) for row in theirs.rows
        ]
