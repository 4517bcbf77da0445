"""Recipes: the declarative decisions of one dataset, in both protocols, each with its evidence.

The project's own lie in ``preprocess/recipes``. A folder of a user's own recipes stands beside it once :func:`use` has
named it; from there on a dataset of either is one like the other. What only the project's must have (published
numbers, a census, a stand-in, a table of where the files come from) may be absent of a user's.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from preprocess import published, steps
from preprocess.decisions import ALIKE, DECISIONS, EVIDENCE, OTHER_SIZES, PROTOCOLS, Pointer, pointer, shown
from preprocess.errors import PreprocessError, guess, instead
from preprocess.files import parse_yaml

Protocol = Literal["paper", "released"]

#: the variable that names the folder of a user's own recipes, for this process and all it starts
RECIPES = "MEDMNIST_RECIPES"
#: the sources that read anybody's files; all they know comes from the recipe
GENERAL = ("images", "meshes", "volumes")
_PROJECT = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Choice:
    """One decision in force.

    Attributes:
        value: what was decided; a mapping with the key ``other`` where it differs by size.
        evidence: its grade, one of :data:`preprocess.decisions.EVIDENCE`; ``override`` for a user's own.
        why: where it comes from.
        note: what the reader must know besides.
        missing: what an optional package that is not installed changed, and how to mend it.
        source: where the reason can be looked up or proven again.
    """

    value: Any
    evidence: str
    why: str
    note: str = ""
    missing: str = ""
    source: Pointer | None = None

    def at(self, size: int) -> Any:
        """The value for one output size."""
        if isinstance(self.value, dict) and OTHER_SIZES in self.value:
            return self.value.get(str(size), self.value[OTHER_SIZES])
        return self.value


@dataclass(frozen=True)
class Dataset:
    """What a recipe file says of its dataset besides decisions and steps.

    Attributes:
        name: its name, as the medmnist package names it.
        source: the name of its source: of the collection of raw files. Where a general source or a user's Python file
            reads them, each dataset is a collection of its own, which has the dataset's name.
        title: in words.
        modality: in words, as the paper has it.
        task: ``binary-class``, ``multi-class``, ``multi-label`` or ``ordinal-regression``.
        dimensions: 2 for pictures, 3 for volumes.
        channels: 1 for gray, 3 for RGB.
        group: what the column ``group`` holds (patient, lesion, scan ...); ``none`` where the source publishes no id.
        licence: of what is made.
        label: the rule that makes a label (:mod:`preprocess.labels`), what the rule asks for, and the ``classes``.
        census: the known counts of the raw files by name; None where none are known.
        published: rows of each split in the published file in force; None for a dataset that was never published.
        options: keyword arguments of the source's ``index``: which part of a shared source, which view.
        unpublished: the splits whose labels the source never published; they stay empty.
        create_system: the byte ``create_system`` of the published zip by size, where it is not the usual one.
        most_shards: how many jobs may render it at the most, where more would read the same archive; else None.
        reader: what reads the source: a module of :mod:`preprocess.sources`, or the path of a user's Python file.
        generator: what draws its stand-in: a module of :mod:`preprocess.miniature`, or the path of a user's Python
            file; empty where nothing does.
        raw: where its raw files are, from the user's raw folder: ``busi`` below it, ``.`` that folder itself, or an
            absolute path elsewhere.
        origin: what a user's recipe says of where the files come from, as ``tables/sources`` does.
        file: the recipe's file.
    """

    name: str
    source: str
    title: str
    modality: str
    task: str
    dimensions: int
    channels: int
    group: str
    licence: str
    label: dict[str, Any]
    census: dict[str, int] | None = None
    published: dict[str, int] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    unpublished: tuple[str, ...] = ()
    create_system: dict[int, int] = field(default_factory=dict)
    most_shards: int | None = None
    reader: str = ""
    generator: str = ""
    raw: str = ""
    origin: dict[str, Any] = field(default_factory=dict)
    file: Path = Path()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes by their index, or of the labels of a multi-label set."""
        return tuple(self.label["classes"])

    @property
    def is_own(self) -> bool:
        """Whether a user's own folder of recipes holds it."""
        return self.file.parent != _PROJECT

    @property
    def rows(self) -> int:
        """How many samples it has, as far as anything says: as published, else as the census counts them, else 0."""
        return sum((self.published or self.census or {}).values())

    def folder(self, raw: Path) -> Path:
        """The folder of its source in a user's raw folder, or where else the recipe says that it is."""
        return raw / self.raw


@dataclass(frozen=True)
class Recipe:
    """One dataset's recipe under one protocol, with a user's overrides applied.

    Attributes:
        dataset: what is said of the dataset itself.
        protocol: ``paper`` or ``released``.
        decisions: the decisions in force by key.
        prepare: the names of the first steps, whose result the datasets of a source share.
        steps: the names of the steps that lead from there, or from what the source opens, to the
            final array.
        overridden: the keys a user changed.
    """

    dataset: Dataset
    protocol: Protocol
    decisions: dict[str, Choice]
    prepare: tuple[str, ...]
    steps: tuple[str, ...]
    overridden: frozenset[str]

    @property
    def name(self) -> str:
        """The dataset's name, as the medmnist package names it."""
        return self.dataset.name

    @property
    def source(self) -> str:
        """The name of its source."""
        return self.dataset.source

    @property
    def dimensions(self) -> int:
        """2 for pictures, 3 for volumes."""
        return self.dataset.dimensions

    def shape(self, size: int) -> tuple[int, ...]:
        """The shape of one sample at ``size``."""
        channels = (3,) if self.dataset.channels == 3 else ()
        return (size,) * self.dimensions + channels

    def file_name(self, size: int) -> str:
        """``<dataset>.npz`` at 28 and ``<dataset>_<size>.npz`` otherwise, as published."""
        return published.file_name(self.name, size)

    def value(self, key: str, default: Any = None) -> Any:
        """The value in force of a decision that does not differ by size."""
        return self.decisions[key].value if key in self.decisions else default

    def idle(self, key: str, placed: bool = False) -> str:
        """Why a decision is not in force, as the other decisions stand; an empty text for one that is.

        Args:
            key: the decision.
            placed: whether an order table gave the samples their splits and places.
        """
        decision = DECISIONS[key]
        if decision.stage == "split" and key not in ("order", "split.file"):
            if placed:
                return "the order table places the samples"
            if "split.file" in self.decisions:
                return "split.file places the samples"
        for others, wanted in ((decision.needs, True), (decision.idle, False)):
            for other, values in others.items():
                if other in self.decisions and not any((one in values) is wanted for one in self._values(other)):
                    return f"{other} is {shown(self.value(other))}"
        return ""

    @property
    def renders_first(self) -> bool:
        """Whether the samples are rendered before they are split, which then rests on what they look like."""
        return self.value("split.group_by") == ALIKE and not self.idle("split.group_by")

    def _values(self, key: str) -> list[Any]:
        """The values of a decision at all its sizes."""
        value = self.value(key)
        return list(value.values()) if isinstance(value, dict) and OTHER_SIZES in value else [value]

    def assumed(self, placed: bool = False) -> list[str]:
        """The decisions in force that nothing proves."""
        return [
            key
            for key, choice in self.decisions.items()
            if choice.evidence in ("assumed", "unknown") and not self.idle(key, placed)
        ]

    def changed(self, values: dict[str, Any]) -> Recipe:
        """The same recipe with some decisions decided otherwise, for every size."""
        tried = {key: Choice(value, "unknown", "tried") for key, value in values.items()}
        return replace(self, decisions=self.decisions | tried)

    def stage_decisions(self, stage: str) -> dict[str, Any]:
        """The values in force of the decisions that belong to one stage."""
        return {key: choice.value for key, choice in self.decisions.items() if DECISIONS[key].stage == stage}

    def preparation(self) -> dict[str, Any]:
        """The values in force of the decisions that the prepared steps depend on."""
        asked = {parameter for name in self.prepare for parameter in steps.parameters(name)}
        return {key: self.decisions[key].value for key in sorted(asked & self.decisions.keys())}

    def fingerprint(self, stage: str) -> str:
        """Hexadecimal digest of all in the recipe that one stage's result depends on; ``container``: that of pack."""
        content: dict[str, Any] = {"decisions": self.stage_decisions(stage)}
        if stage == "index":
            about = self.dataset
            content["dataset"] = [about.label, about.census, about.options, about.group]
        elif stage == "split":
            content["dataset"] = self.dataset.group
        elif stage == "container":
            content["dataset"] = self.dataset.create_system
        elif stage == "render":
            content["steps"] = [self.prepare, self.steps, self.dataset.dimensions, self.dataset.channels]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def use(folder: str | Path | None) -> None:
    """Set a folder of a user's own recipes beside the project's, for this process and all it starts; None for none.

    Raises:
        PreprocessError: it is not a folder, or one of its recipes has the name of a dataset or source of the project.
    """
    if folder is None:
        os.environ.pop(RECIPES, None)
    elif not Path(folder).is_dir():
        raise PreprocessError(f"config: recipes: {folder} is not a folder; name the one that holds your <dataset>.yaml")
    else:
        os.environ[RECIPES] = str(Path(folder).absolute())
    for known in (read, dataset, _files):
        known.cache_clear()


@cache
def _files(own: str) -> dict[str, Path]:
    """The file of every recipe by the dataset's name: the project's and those of a folder ``own``, if it has a name."""
    found = {path.stem: path for path in _PROJECT.glob("*.yaml")}
    if not own:
        return found
    taken = found.keys() | {str(parse_yaml(path.read_text(encoding="utf-8"))["source"]) for path in found.values()}
    for path in Path(own).glob("*.yaml"):
        if path.stem in taken:
            raise PreprocessError(f"{path}: the project has a dataset or source of this name; rename file and dataset")
        found[path.stem] = path
    return found


def _known() -> dict[str, Path]:
    """The file of every recipe by the dataset's name, those of the folder in use among them."""
    return _files(os.environ.get(RECIPES, ""))


def names() -> list[str]:
    """The names of all datasets that have a recipe, sorted."""
    return sorted(_known())


def is_own(name: str) -> bool:
    """Whether the recipe of a dataset is a user's own.

    Raises:
        PreprocessError: there is no such recipe.
    """
    return _file(name).parent != _PROJECT


def _file(name: str) -> Path:
    path = _known().get(name)
    if path is None:
        raise PreprocessError(f"no dataset is called {name!r}; {instead(name, names())}")
    return path


@cache
def read(name: str) -> dict[str, Any]:
    """Read a recipe file. :func:`validate` checks it; jobs trust what the run has checked.

    Raises:
        PreprocessError: there is no such recipe, or its file is not YAML.
    """
    path = _file(name)
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise PreprocessError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise PreprocessError(f"{path}: must be a mapping of keys, such as 'name: {name}'")
    return content


@cache
def dataset(name: str) -> Dataset:
    """What the recipe file of a dataset says besides decisions and steps.

    Raises:
        PreprocessError: there is no such recipe.
    """
    content = read(name)
    file = _file(name)
    values = {part.name: content[part.name] for part in fields(Dataset) if part.name in content}
    reader, generator = content["source"], content.get("generator", "")
    is_code = reader.endswith(".py")
    source = name if is_code or reader in GENERAL else reader
    if not generator and source == reader:
        generator = source
    return Dataset(
        **values
        | {
            "unpublished": tuple(values.get("unpublished", ())),
            "source": source,
            "reader": _module(file, reader),
            "generator": _module(file, generator),
            "raw": content.get("raw", source),
            "file": file,
        }
    )


def _module(file: Path, named: str) -> str:
    """A module of the project that a recipe names, as it is; a Python file beside the recipe by its path."""
    return str(file.parent / named) if named.endswith(".py") else named


def load(name: str, protocol: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """Return the recipe of ``name`` under ``protocol`` with ``overrides`` (``{key: value}``) applied.

    Raises:
        PreprocessError: unknown dataset, protocol or key, or a value the key does not allow.
    """
    if protocol not in PROTOCOLS:
        raise PreprocessError(f"protocol {protocol!r}: must be one of {', '.join(PROTOCOLS)}")
    content = read(name)
    decisions = {key: _choice(key, entry.get("both") or entry[protocol]) for key, entry in content["decisions"].items()}
    for key, value in (overrides or {}).items():
        if key not in DECISIONS or (key not in decisions and key != "split.file"):
            raise PreprocessError(
                f"overrides: {name} has no decision {key!r}; {guess(key, decisions)}"
                f"it has: {', '.join(decisions)}, split.file"
            )
        value = DECISIONS[key].typed(_sizes_as_text(value))
        if problem := DECISIONS[key].problem(value):
            raise PreprocessError(f"overrides: {name}: {key}: {problem}")
        decisions[key] = _choice(key, {"value": value, "evidence": "override", "why": "config.yaml"})
    if _value_of(decisions, "split.rule") == "list" and not {"split.list", "split.file"} & decisions.keys():
        raise PreprocessError(
            f"overrides: {name}: split.rule: {name} has no published list; name a list of your own by split.file"
        )
    shape = dataset(name)
    classes = len(shape.label.get("classes", ()))
    if strange := [one for one in (_value_of(decisions, "label.map") or {}).values() if one >= classes > 0]:
        raise PreprocessError(
            f"overrides: {name}: label.map: {strange[0]} is no class; {name} has {classes}, 0 to {classes - 1}"
        )
    chain = content["steps"]
    return Recipe(
        dataset=shape,
        protocol="paper" if protocol == "paper" else "released",
        decisions=decisions,
        prepare=tuple(content.get("prepare", ())),
        steps=tuple(chain[protocol] if isinstance(chain, dict) else chain),
        overridden=frozenset(overrides or {}),
    )


def _value_of(decisions: dict[str, Choice], key: str) -> Any:
    return decisions[key].value if key in decisions else None


def _choice(key: str, entry: dict[str, Any]) -> Choice:
    value = _sizes_as_text(entry["value"])
    notes = [entry["note"]] if "note" in entry else []
    missing = ""
    if (package := missing_package(key, value)) and (optional := DECISIONS[key].optional):
        wanted, value = value, _each(value, optional.without)
        missing = (
            f"{shown(wanted)} needs the package {package}, which is not installed: {shown(value)} is used and pixels "
            f"differ; pip install {package}, or decide {key} otherwise in overrides"
        )
    source = pointer(entry["source"]) if "source" in entry else None
    return Choice(value, entry["evidence"], entry["why"], "; ".join(notes), missing, source)


def missing_package(key: str, value: object) -> str:
    """The optional package that a value needs, at any size, and that is not installed, else an empty text."""
    optional = DECISIONS[key].optional
    if optional is None or _each(value, optional.without) == value:
        return ""
    return optional.name if importlib.util.find_spec(optional.name) is None else ""


def fallbacks(recipe: Recipe) -> list[str]:
    """What a missing package changes in a build by this recipe: a line for each decision, for the start of a run."""
    return [f"{recipe.name}: {key}: {one.missing}" for key, one in recipe.decisions.items() if one.missing]


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with a change made to it, at each of its sizes."""
    return {size: change(one) for size, one in value.items()} if isinstance(value, dict) else change(value)


def _sizes_as_text(value: Any) -> Any:
    if isinstance(value, dict) and OTHER_SIZES in value:
        return {str(size): one for size, one in value.items()}
    return value


#: what a recipe must say, and a line that says it
REQUIRED = {
    "name": "name: {name}",
    "source": "source: images",
    "title": "title: Lesions of the skin, benign against malignant",
    "modality": "modality: Dermatoscope",
    "task": "task: multi-class",
    "dimensions": "dimensions: 2",
    "channels": "channels: 3",
    "group": "group: none",
    "licence": "licence: unknown",
    "label": "label: {{rule: map, classes: [benign, malignant], map: {{benign: 0, malignant: 1}}}}",
    "steps": "steps: [decode, rgb, crop, resize]",
    "decisions": "decisions: {{}}",
}
#: what besides a recipe of the project must say
OF_PROJECT = {
    "census": "census: {{benign: 437, malignant: 210}}",
    "published": "published: {{train: 546, val: 78, test: 156}}",
}
#: what a rule by classes cannot do without, and what every split can not
_SPLIT, _BY_RULE = ("split.rule", "split.keep", "order"), ("split.ratio", "split.group_by")


def validate(name: str, asks: Callable[[str], Iterable[str]] = lambda reader: ()) -> None:
    """Check a recipe file against the recipe schema and the vocabulary of decisions.

    Args:
        name: the dataset.
        asks: the decisions that a reader of sources asks for.

    Raises:
        PreprocessError: it does not fit; the text names the file, the place and the cause, and of all that is missing
            the line to add.
    """
    content = read(name)
    file = _file(name)
    of_user = is_own(name)
    where = str(file) if of_user else f"recipes/{file.name}"
    required = REQUIRED if of_user else REQUIRED | OF_PROJECT
    lacking = [line.format(name=name) for key, line in required.items() if key not in content]
    problems = _problems(content)
    if not problems and "name" in content and content["name"] != name:
        problems = [f"its name is {content['name']!r}; name the file after the dataset"]
    if not problems and of_user and "source" in content:
        problems = _file_problems(file, content)
    if problems:
        raise PreprocessError(f"{where}: {problems[0]}")
    if {"source", "steps", "label", "decisions"} <= content.keys():
        lacking += [f"  {line}" for line in _undecided(content, asks(_module(file, content["source"])))]
    if lacking:
        raise PreprocessError(f"{where}: lacks what the following lines would say, each with a value of yours: "
                              + "; ".join(f"`{line}`" for line in lacking))  # fmt: skip


def _file_problems(file: Path, content: dict[str, Any]) -> list[str]:
    """The Python files that a user's recipe names and that are not there."""
    named = [content.get(key, "") for key in ("source", "generator")]
    missing = [one for one in named if one.endswith(".py") and not (file.parent / one).is_file()]
    known = importlib.util.find_spec(f"preprocess.sources.{content['source']}") if "." not in named[0] else True
    if known is None:
        return [
            f"source: there is no source {named[0]!r}; it can be {', '.join(GENERAL)}, a source of the project, or a "
            f"Python file beside the recipe, such as {named[0]}.py"
        ]
    return [f"{one} is no file beside the recipe" for one in missing]


def _undecided(content: dict[str, Any], asked: Iterable[str]) -> list[str]:
    """The lines that decide what the steps, the source and the split ask for and nothing decides."""
    wanted = [key for step in _chained(content) for key in steps.parameters(step)]
    wanted += [*asked, *_SPLIT]
    decided = content["decisions"]
    rules = {choice["value"] for choice in decided.get("split.rule", {"both": {"value": "per-class"}}).values()}
    wanted += _BY_RULE if "per-class" in rules else ()
    if content["label"]["rule"] == "map" and "map" not in content["label"]:
        wanted.append("label.map")
    missing = [key for key in dict.fromkeys(wanted) if key in DECISIONS and key not in decided]
    return [
        f"{key}: {{both: {{value: {json.dumps(DECISIONS[key].first)}, evidence: assumed, why: ours to decide}}}}"
        for key in missing
    ]


def _chained(content: dict[str, Any]) -> list[str]:
    """The names of all steps of a recipe, of both protocols."""
    chain = content.get("steps", [])
    chains = chain.values() if isinstance(chain, dict) else [chain]
    return [*content.get("prepare", []), *(step for one in chains for step in one)]


def _problems(there: dict[str, Any]) -> list[str]:
    import jsonschema

    schema = json.loads((resources.files("preprocess") / "schemas" / "recipe.schema.json").read_text(encoding="utf-8"))
    found = [
        f"{'.'.join(str(part) for part in error.absolute_path) or 'the file'}: {error.message}"
        for error in jsonschema.Draft202012Validator(schema).iter_errors(there)
    ]
    if found:
        return found
    label = there.get("label", {"classes": (), "map": {}})
    for one, place in label.get("map", {}).items():
        if place >= len(label["classes"]):
            found.append(f"label.map: {one}: {place} is no class; there are {len(label['classes'])}, from 0")
    for step in _chained(there):
        if step not in steps.STEPS:
            found.append(f"steps: there is no step {step!r}; there are: {', '.join(steps.STEPS)}")
    for key, entry in there.get("decisions", {}).items():
        if key not in DECISIONS:
            found.append(f"decisions.{key}: not in the vocabulary of preprocess/decisions.py")
            continue
        for protocol, choice in entry.items():
            if choice["evidence"] not in EVIDENCE:
                found.append(f"decisions.{key}.{protocol}: {choice['evidence']!r} is not an evidence grade")
            if problem := DECISIONS[key].problem(_sizes_as_text(choice["value"])):
                found.append(f"decisions.{key}.{protocol}: {problem}")
    return found
