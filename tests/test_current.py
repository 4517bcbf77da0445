"""What is current: whatever is edited, what is rebuilt equals a build from nothing; a touch rebuilds nothing."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from preprocess import environment, recipe
from preprocess.plan import current, fingerprint
from preprocess.plan.plan import Plan
from preprocess.plan.stages import FACTS, STAGES
from tests.test_workflow import copied

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"
#: how many random edits; more by the environment, as before a release
EDITS = int(os.environ.get("MEDMNIST_EDITS", "25"))
#: after how many a build from nothing is compared
EVERY = 5
NAME = "breastmnist"


# ---- digests


def test_every_stage_has_a_rule_and_what_it_names_exists():
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    for name, stage in STAGES.items():
        assert f'("{name}"' in rules or f"{name}:" in rules, name
        assert set(stage.after) <= STAGES.keys()
        assert set(stage.prints) <= FACTS.keys()
        for module in stage.modules:
            assert fingerprint.reach(module)


def test_every_import_of_every_module_is_found_whatever_line_it_stands_on():
    """Read by lines they are what Python reads, besides those of a program that a module keeps as a text and runs."""
    further = set()
    for path in (ROOT / "preprocess").rglob("*.py"):
        source = path.read_bytes()
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
        found, known = (sorted(map(ast.unparse, some)) for some in (fingerprint.imports(source), nodes))
        assert set(known) <= set(found), path
        further |= {(path.name, one) for one in set(found) - set(known)}
    assert further == {("gdcm.py", "import SimpleITK"), ("gdcm.py", "import numpy")}


@pytest.mark.parametrize(
    "text",
    [
        "import a, \\\n    b",
        "from b import (  # of (c)\n    a,\n)",
        "if a: import b",
        "try: from b import a\nfinally: pass",
    ],
)
def test_an_import_that_its_line_does_not_tell_is_found(text):
    names = {alias.name for node in fingerprint.imports(text.encode()) for alias in node.names}
    assert names | {getattr(node, "module", "") for node in fingerprint.imports(text.encode())} >= {"b"}


@pytest.mark.parametrize(
    ("override", "first"),
    [({"kernel": "box"}, "render"), ({"split.ratio": "8:1:1"}, "split"), ({"crop": "centre-square"}, "render")],
)
def test_a_decision_concerns_its_stage_and_those_after(override, first):
    before, after = (Plan({"overrides": {NAME: changed}}, SCHEMA) for changed in ({}, override))
    order = (
        "miniature",
        "index",
        "split",
        "render",
        "collect",
        "pack",
        "samples",
        "check",
        "reread",
        "verdict",
        "provenance",
        "audit",
    )
    changed = [stage for stage in order if before.current(stage, NAME) != after.current(stage, NAME)]
    assert changed == list(order[order.index(first) :])


def test_other_datasets_are_not_concerned():
    before, after = (Plan({"overrides": changed}, SCHEMA) for changed in ({}, {NAME: {"kernel": "box"}}))
    others = [name for name in recipe.names() if name != NAME]
    # their pixels and findings; that the record is of a variant is part of every record there
    assert [before.current("check", name) for name in others] == [after.current("check", name) for name in others]


def test_libraries_are_part_of_the_code(monkeypatch):
    before = Plan({}, SCHEMA).current("render", NAME)
    fingerprint.of.cache_clear()
    monkeypatch.setattr(environment, "version", lambda library: "another")
    try:
        assert Plan({}, SCHEMA).current("render", NAME) != before
    finally:
        fingerprint.of.cache_clear()


def test_a_package_of_an_export_concerns_that_export_alone(monkeypatch):
    watched = ("provenance", "card", "export_npy", "export_parquet", "export_zarr")
    installed = environment.version

    def digests(library: str) -> dict[str, str]:
        fingerprint.of.cache_clear()
        monkeypatch.setattr(environment, "version", lambda name: "another" if name == library else installed(name))
        plan = Plan({}, SCHEMA)
        return {name: plan.current(name, NAME) for name in watched}

    try:
        before, parquet, zarr = (digests(library) for library in ("", "pyarrow", "zarr"))
    finally:
        fingerprint.of.cache_clear()
    # the card names the files of the export it lies beside
    assert {name for name in watched if parquet[name] != before[name]} == {"export_parquet", "card"}
    assert {name for name in watched if zarr[name] != before[name]} == {"export_zarr"}


@dataclass(frozen=True)
class Watched:
    """A command that was run in a process of its own: the files below the package it opened, the modules it loaded."""

    stage: str
    opened: frozenset[Path]
    loaded: frozenset[str]


@pytest.fixture(scope="module")
def plan_of_one(stand_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    shutil.copytree(stand_in("busi"), folder / "raw" / "busi")
    return Plan({"raw": str(folder / "raw"), "results": str(folder / "results"), "census": "warn"}, SCHEMA)


@pytest.fixture(scope="module")
def watched(plan_of_one) -> list[Watched]:
    """The commands themselves, from index to the exports."""
    watch = (
        "import sys, json; opened = set(); root = sys.argv[1]; "
        "sys.addaudithook(lambda event, args: opened.add(args[0]) if event == 'open' and isinstance(args[0], str) "
        "and args[0].startswith(root) else None); sys.argv = sys.argv[2:]; "
        "from preprocess import cli; code = cli.main(sys.argv); loaded = sorted(sys.modules); "
        "print('WATCHED', json.dumps([sorted(opened), loaded])); sys.exit(code)"
    )
    sys.path.insert(0, str(ROOT / "tests"))
    import incremental

    found = []
    for stage, words in [*incremental.steps(plan_of_one), *incremental.exports(plan_of_one)]:
        done = subprocess.run(
            [sys.executable, "-c", watch, f"{fingerprint.ROOT}{os.sep}", *words],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        opened, loaded = json.loads(done.stdout.rpartition("WATCHED ")[2])
        own = frozenset(Path(path).relative_to(fingerprint.ROOT) for path in opened)
        found.append(Watched(stage, own, frozenset(loaded)))
    return found


def test_no_stage_opens_a_file_of_the_package_that_its_digest_leaves_out(watched, plan_of_one):
    """What the commands open below the package is code they reach, or facts they name."""
    in_force = plan_of_one.recipe(NAME)
    always = {"recipes", "schemas"}  # every command loads its recipe; what of it matters is in the digest
    for one in watched:
        code = {path for path in one.opened if path.suffix == ".py" or path.parent.name == "__pycache__"}
        facts = {path for path in one.opened - code if path.parts[0] not in always}
        known = {
            found.relative_to(fingerprint.ROOT)
            for name in STAGES[one.stage].prints
            for pattern in FACTS[name]
            for found in fingerprint.ROOT.glob(pattern.format(dataset=NAME, source=in_force.source))
        }
        others = {path for path in facts - known if path.parent != Path("tables/sources")}  # the registry reads all
        assert not others, (one.stage, others)


#: what a stage of flat pictures loads of these; each start of it pays for them, and most jobs do little else
SLOW = {"numpy", "scipy", "PIL", "jinja2", "jsonschema", "importlib.metadata", "preprocess.recipe"}
LOADS = {
    "index": {"preprocess.recipe"},
    "split": {"numpy", "preprocess.recipe"},
    "render": {"numpy", "PIL", "preprocess.recipe"},
    "collect": set(),
    "pack": {"numpy", "PIL", "preprocess.recipe"},
    "samples": {"numpy"},
    "check": {"numpy", "PIL", "preprocess.recipe"},
    "reread": {"numpy"},
    "verdict": {"numpy", "preprocess.recipe"},
    "provenance": {"importlib.metadata", "preprocess.recipe"},
    "leak_free": {"numpy", "preprocess.recipe"},
    "audit": {"numpy", "PIL", "jinja2", "importlib.metadata", "preprocess.recipe"},
    "export_parquet": {"numpy", "PIL", "preprocess.recipe"},
    "card": {"numpy", "PIL", "jinja2", "preprocess.recipe"},
}


def test_a_stage_loads_what_it_needs(watched):
    for one in watched:
        extra = (SLOW & one.loaded) - LOADS[one.stage]
        assert not extra, (one.stage, extra)


def test_what_a_generator_counts_is_known_without_drawing():
    """The index of a stand-in asks for it, of every dataset."""
    asked = (
        "import sys; from preprocess import miniature, recipe; "
        "counts = [miniature.census(name) for name in recipe.names()]; "
        "print(len(counts), 'scipy.ndimage' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(recipe.names())), "False"]


# ---- random edits


class Workshop:
    """A copy of the project and of an unpacked raw tree, for edits."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.project, self.raw = folder / "project", folder / "raw"
        self.project.mkdir(parents=True)
        copied(self.project)
        shutil.copy(ROOT / "tests" / "incremental.py", self.project)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(self.raw / "busi")
        self.config: dict[str, object] = {"raw": str(self.raw), "census": "warn", "sizes": [28]}
        self.spare: list[tuple[Path, bytes]] = []

    def build(self, results: Path) -> dict[str, object]:
        words = [sys.executable, "incremental.py", json.dumps(self.config | {"results": str(results)})]
        # no bytecode: an edit within the same second and of the same length would not be seen
        environment = os.environ | {"PYTHONPATH": str(self.project), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(words, cwd=self.project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def pictures(self) -> list[Path]:
        return sorted(path for path in self.raw.rglob("*.png") if "mask" not in path.name)

    # each edit gives a word on what it did

    def content(self, chance: random.Random) -> str:
        path = chance.choice(self.pictures())
        status = path.stat()
        size = (90, 70)  # of a picture that an edit before has damaged
        with contextlib.suppress(OSError), Image.open(path) as image:
            size = image.size
        buffer = io.BytesIO()
        pixels = bytes(chance.randrange(256) for _ in range(64))
        Image.frombytes("L", (8, 8), pixels).resize(size).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
        if chance.random() < 0.5:  # an older date, as unzip and rsync leave it
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - chance.randrange(1, 10**12)))
        return f"content of {path.name}"

    def damage(self, chance: random.Random) -> str:
        path = chance.choice(self.pictures())
        path.write_bytes(path.read_bytes()[: chance.randrange(20, 200)])
        return f"damage of {path.name}"

    def removed(self, chance: random.Random) -> str:
        path = chance.choice(self.pictures())
        self.spare.append((path, path.read_bytes()))
        path.unlink()
        return f"without {path.name}"

    def added(self, chance: random.Random) -> str:
        if not self.spare:
            return self.removed(chance)
        path, data = self.spare.pop()
        path.write_bytes(data)
        return f"with {path.name} again"

    def size(self, chance: random.Random) -> str:
        self.config["sizes"] = chance.choice([[28], [28, 40], [40], [32, 28]])
        return f"sizes {self.config['sizes']}"

    def seed(self, chance: random.Random) -> str:
        self.config["seed"] = chance.choice([42, 42, 7])
        return f"seed {self.config['seed']}"

    def decision(self, chance: random.Random) -> str:
        self.config["overrides"] = chance.choice([{}, {NAME: {"kernel": "box"}}, {NAME: {"split.ratio": "8:1:1"}}])
        return f"overrides {self.config['overrides']}"

    def protocol(self, chance: random.Random) -> str:
        self.config["protocol"] = chance.choice(["paper", "released"])
        return f"protocol {self.config['protocol']}"

    def fact(self, chance: random.Random) -> str:
        file, old, new = chance.choice([
            (f"recipes/{NAME}.yaml", "BUSI has no split of its own", "BUSI brings no split"),
            (f"recipes/{NAME}.yaml", "title: Breast ultrasound", "title: Ultrasound of the breast"),
            (f"recipes/{NAME}.yaml", "paper: {value: bicubic", "paper: {value: hamming"),
            ("tables/sources/busi.yaml", "title: ", "title: The "),
            ("tables/published.yaml", "datasets:", "# edited\ndatasets:"),
            ("audit/templates/dataset.html.j2", "Findings</h2>", "What was found</h2>"),
        ])  # fmt: skip
        return self._toggle(self.project / "preprocess" / file, old, new)

    def code(self, chance: random.Random) -> str:
        file, old, new = chance.choice([
            ("steps/images.py", "from __future__", "# edited\nfrom __future__"),
            ("split.py", "2**31 + rank", "2**30 + rank"),
            ("audit/montage.py", "from __future__", "# edited\nfrom __future__"),
            ("pack.py", "from __future__", "# edited\nfrom __future__"),
        ])  # fmt: skip
        return self._toggle(self.project / "preprocess" / file, old, new)

    def _toggle(self, path: Path, old: str, new: str) -> str:
        text = path.read_text()
        path.write_text(text.replace(new, old, 1) if new in text else text.replace(old, new, 1))
        assert path.read_text() != text, (path, old)
        return f"{path.name}: {new}"

    def touch(self, chance: random.Random) -> str:
        for path in self.raw.rglob("*"):
            os.utime(path)
        return "touched"

    edits: tuple[Callable[..., str], ...] = (
        content, content, damage, removed, added, size, seed, decision, protocol, fact, fact, code, touch,
    )  # fmt: skip


def outcome(out: Path, results: Path) -> dict[str, bytes]:
    """The bytes of every result, with the results folder's name taken out; of tables on the way, none."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes().replace(str(results).encode(), b"RESULTS")
        for path in sorted(out.rglob("*"))
        if path.is_file() and "work" not in path.relative_to(out).parts
    }


@pytest.mark.timeout(EDITS * 60)
def test_after_any_edits_all_is_as_if_built_from_nothing(stand_in, tmp_path):
    (archive,) = (path for path in stand_in("busi").iterdir() if path.suffix == ".zip")
    shop, chance = Workshop(tmp_path, archive), random.Random(11)
    shop.build(tmp_path / "results")
    said: list[str] = []
    for number in range(1, EDITS + 1):
        edit = chance.choice(shop.edits)
        said.append(edit(shop, chance))
        done = shop.build(tmp_path / "results")
        if edit is Workshop.touch:
            assert done["ran"] == [], said
        if number % EVERY == 0:
            fresh = shop.build(tmp_path / "fresh")
            ours, theirs = (outcome(Path(str(one["out"])), tmp_path / place) for one, place in
                            ((done, "results"), (fresh, "fresh")))  # fmt: skip
            assert {name: ours.get(name) for name in theirs} == theirs, said[-EVERY:]
            shutil.rmtree(tmp_path / "fresh")


def test_a_source_is_listed_once(tmp_path):
    folder = tmp_path / "raw" / "busi"
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"benign ({number}).png").write_bytes(b"x")
    state = current.RawState(tmp_path / "raw", tmp_path / "cache")
    assert len(state.source("busi", "busi", folder)) == 30
    assert state.source("busi", "busi", folder) is state.source("busi", "busi", folder)
