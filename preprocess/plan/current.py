"""Whether a result is current: one digest a stage over all that its result depends on.

The digest of a stage takes in, by :data:`~preprocess.plan.stages.STAGES`:

* the code its command reaches, and the libraries' versions (:mod:`preprocess.plan.fingerprint`);
* the decisions in force, with what of the recipe belongs to them;
* the facts it prints: recipe, table of the source, published table, templates;
* the raw files of the dataset, each by path, size and the time since when its content is what it is
  (:mod:`preprocess.acquire.digests`): a touched file is read and found to be the same;
* small files of the user by their content: order table, list of splits, exceptions;
* the digests of the stages it comes after.

So the digest of one stage says whether its result is current, whatever became of an earlier run. A workflow manager
is told of nothing else: it compares the digest with that of the last run of the job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from preprocess import environment, order, published, sources, steps
from preprocess.acquire import registry
from preprocess.acquire.digests import DigestCache, place
from preprocess.acquire.verify import Lock
from preprocess.errors import PreprocessError
from preprocess.plan import fingerprint
from preprocess.plan.settings import Settings
from preprocess.plan.stages import FACTS, STAGES, Stage, after
from preprocess.reading.archives import Stat, scan
from preprocess.recipe import Dataset, Recipe


def digest(*parts: object) -> str:
    """Hexadecimal digest of some values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


class RawState:
    """The state of the raw files: path, size and age of content of each, listed once per source."""

    def __init__(self, raw: Path, cache: Path) -> None:
        self.raw, self._cache = raw, cache
        self._known: dict[str, list[Stat]] = {}

    def source(self, name: str, reader: str, folder: Path) -> list[Stat]:
        """Path below the raw folder (or all of it), size and age of every file that serves a source."""
        if name not in self._known:
            entries = sources.entries(reader, folder) if folder.is_dir() else []
            found = [file for entry in entries for file in scan(self.raw, place(entry, self.raw))]
            self._known[name] = DigestCache(self._cache, name, self.raw).since(found)
        return self._known[name]

    def files(self, source: str, paths: Iterable[Path]) -> list[Stat]:
        """The same of some single files that belong to a source's datasets."""
        found: list[Stat] = [file for path in paths for file in scan(self.raw, place(path, self.raw))]
        return DigestCache(self._cache, source, self.raw).since(found)


class Current:
    """The digests of one configuration."""

    def __init__(
        self,
        settings: Settings,
        raw: Path,
        cache: Path,
        locate: dict[str, Path],
        config_of: Callable[[str], dict[str, Any]],
    ) -> None:
        self.settings = settings
        self._config_of = config_of
        self._raw = raw
        self._locate = locate
        self._state = RawState(raw, cache)
        self._known: dict[tuple[str, str], str] = {}
        #: stand-ins are generated, files are verified
        self._absent = ("verify",) if settings.is_miniature else ("miniature",)

    @cached_property
    def _registry(self) -> dict[str, registry.Source]:
        return registry.load(self._raw)

    def of(self, stage: str, recipe: Recipe) -> str:
        """The digest of one stage of a dataset."""
        key = stage, recipe.name
        if key not in self._known:
            self._known[key] = self._of(stage, recipe)
        return self._known[key]

    def _of(self, name: str, recipe: Recipe) -> str:
        stage = STAGES[name]
        return digest(
            fingerprint.of(*_modules(stage, recipe)),
            [recipe.fingerprint(part) for part in stage.decides],
            _facts(stage.prints, recipe.dataset),
            [self._reads(part, recipe) for part in stage.reads],
            self._own_facts(recipe.source) if "source" in stage.prints else "",
            environment.versions() if "versions" in stage.prints else "",
            [self.of(one, recipe) for one in after(name, recipe.renders_first) if one not in self._absent],
            self._drawn() if "split" in stage.decides else "",
        )

    def _drawn(self) -> object:
        """What places the samples besides decisions: the seed, and how many a rehearsal draws."""
        return [self.settings.seed, self.settings.rehearsal] if self.settings.rehearsal else self.settings.seed

    def of_all(self, stage: str, recipes: Iterable[Recipe]) -> str:
        """The digest of what is made of several datasets together."""
        of = STAGES[stage]
        parts = [
            [_facts(of.prints, recipe.dataset), *(self.of(name, recipe) for name in of.after)] for recipe in recipes
        ]
        return digest(fingerprint.of(*of.modules), parts)

    def _reads(self, part: str, recipe: Recipe) -> object:
        if part in ("raw", "source"):
            return [] if self.settings.is_miniature else self._raw_files(recipe, whole=part == "source")
        if part == "published":
            return [] if self.settings.is_miniature else self._published_files(recipe)
        if part == "order":
            return _content(order_table(self.settings, self._raw, recipe))
        if part == "lists":
            name = recipe.value("split.list")
            own = fingerprint.ROOT / "tables" / "splits" / f"{name}.csv" if name else None
            user = recipe.value("split.file")
            return [_content(own), _content(Path(user) if user else None)]
        if part == "config":
            return self._config_of(recipe.name)
        if part == "form":
            return [container(self.settings, self._raw, recipe), self.settings.deflate]
        assert part == "exceptions", part
        return _content(Path(self.settings.exceptions) if self.settings.exceptions else None)

    def _raw_files(self, recipe: Recipe, whole: bool) -> list[Stat]:
        about, folder = recipe.dataset, self._locate[recipe.name]
        found = self._state.source(about.source, about.reader, folder)
        if whole:
            return found
        start = f"{place(folder, self._raw)}/"
        return [file for file in found if sources.uses(about.reader, file[0].removeprefix(start), **about.options)]

    def _published_files(self, recipe: Recipe) -> list[Stat]:
        return self._state.files(recipe.source, published.given(self._raw / registry.RELEASED, recipe.name))

    def _own_facts(self, source: str) -> str:
        """What the user's own table of sources and the lock of the first download say of a source."""
        if self.settings.is_miniature:
            return ""
        known = self._registry[source]
        return digest(known.content, known.digest(), Lock(self._raw).digest(known))


def order_table(settings: Settings, raw: Path, recipe: Recipe) -> Path | None:
    """The order table in force; the published orders say nothing of a stand-in."""
    if recipe.value("order") != "table":
        return None
    found = order.find(recipe.name, raw)
    if found is None or (settings.is_miniature and not str(found).startswith(str(raw))):
        return None
    return Path(str(found))


def container(settings: Settings, raw: Path, recipe: Recipe) -> str:
    """The container of a dataset's npz: that of the published files where their MD5 can be met.

    That is under ``released`` with the published order and no decision overridden.
    """
    is_ordered = recipe.value("order") == "source" or order_table(settings, raw, recipe) is not None
    can_be_met = settings.protocol == "released" and not settings.is_miniature and is_ordered
    return "published" if can_be_met and not recipe.overridden and published.current(recipe.name) else "chunked"


def _modules(stage: Stage, recipe: Recipe) -> list[str]:
    modules = set(stage.modules)
    if "generator" in stage.runs and recipe.dataset.generator:
        modules.add(_module("miniature", recipe.dataset.generator))
    if "source" in stage.runs:
        modules.add(_module("sources", recipe.dataset.reader))
    if "prepare" in stage.runs or "steps" in stage.runs:
        modules |= {steps.module_of(name) for name in recipe.prepare}
    if "steps" in stage.runs:
        modules |= {steps.module_of(name) for name in recipe.steps}
    return sorted(modules)


def _module(room: str, name: str) -> str:
    """A module of a room by its name there; the path of a user's own file as it is."""
    return name if name.endswith(".py") else f"preprocess.{room}.{name}"


def _facts(names: tuple[str, ...], about: Dataset) -> str:
    own = _content(about.file) if about.is_own and "recipe" in names else ""
    return f"{_project_facts(names, about.name, about.source)}{own}"


@cache
def _project_facts(names: tuple[str, ...], dataset: str, source: str) -> str:
    value = hashlib.sha256()
    for name in names:
        for pattern in FACTS[name]:
            for path in sorted(fingerprint.ROOT.glob(pattern.format(dataset=dataset, source=source))):
                value.update(f"{path.name}\n".encode() + path.read_bytes())
    return value.hexdigest()[:16]


def _content(path: Path | None) -> str:
    """Digest of a small file's bytes; empty for none."""
    if path is None:
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise PreprocessError(f"{path}: cannot be read ({error.strerror})") from error
