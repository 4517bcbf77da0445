"""What a configuration asks for: datasets, files, shards, and the command line of every stage.

This is the side a workflow manager talks to. It imports nothing heavy and knows no workflow
manager: it turns a mapping of settings into paths, options and fingerprints.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from preprocess import published, recipe, sources, steps
from preprocess.acquire import registry
from preprocess.acquire.verify import Lock
from preprocess.decisions import DECISIONS
from preprocess.errors import PreprocessError
from preprocess.plan import fingerprint
from preprocess.recipe import Recipe

MINIATURE = "miniature"


@dataclass(frozen=True)
class Stage:
    """One stage's command.

    Attributes:
        modules: what its command imports, besides the dataset's own source and steps.
        options: the options it takes from the plan, besides the dataset, the protocol and the overrides.
        uses: whether it also runs the source (``source``), all steps (``steps``) or those that are
            prepared (``prepare``).
        decides: the stages whose decisions it depends on.
    """

    modules: tuple[str, ...]
    options: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    decides: tuple[str, ...] = ()


ALL = ("index", "split", "render")
STAGES = {
    "index": Stage(("preprocess.index",), ("raw", "census", "miniature"), ("source",), ("index",)),
    "split": Stage(("preprocess.split",), ("seed", "order-table"), (), ("split",)),
    "prepare": Stage(("preprocess.prepare",), ("raw", "shards"), ("source", "prepare"), ("index", "render")),
    "render": Stage(
        ("preprocess.render",), ("raw", "census", "sizes", "shards"), ("source", "steps"), ("index", "render")
    ),
    "collect": Stage(("preprocess.collect",)),
    "pack": Stage(("preprocess.pack",)),
    "check": Stage(("preprocess.audit.checks",), ("raw", "sizes", "seed", "miniature"), ("source", "steps"), ALL),
    "sums": Stage(("preprocess.checksums",)),
    "verdict": Stage(("preprocess.audit.verdict",), ("released", "miniature", "sizes"), (), ALL),
    "match": Stage(("preprocess.match.run",), ("raw", "seed"), ("source", "steps"), ("index", "render")),
    "provenance": Stage(("preprocess.audit.provenance",), ("miniature", "default-seed", "config"), (), ALL),
    "montage": Stage(("preprocess.audit.montage",), ("miniature",)),
    "export": Stage(("preprocess.exports",), ("miniature",), (), ALL),
    "leak-free": Stage(("preprocess.audit.leakfree",), ("seed",), (), ("split",)),
    "audit": Stage(
        ("preprocess.audit.pages", "preprocess.audit.exceptions"),
        ("raw", "exceptions", "size"),
        ("source", "steps"),
        ALL,
    ),
}


@dataclass(frozen=True)
class Settings:
    """The configuration, checked and with defaults filled in."""

    raw: str
    results: str
    protocol: str
    sizes: tuple[int, ...]
    sizes_3d: tuple[int, ...]
    datasets: tuple[str, ...] | None
    seed: int
    census: str
    overrides: dict[str, dict[str, Any]]
    exports: tuple[str, ...]
    exceptions: str | None
    sources: tuple[str, ...]


def settings(config: dict[str, Any], schema: dict[str, Any]) -> Settings:
    """Check a configuration against its JSON schema and fill in the schema's defaults.

    Values may be text, as a command line gives them: ``[28, 64]``, ``28,64``, ``{a: {b: c}}``.

    Raises:
        PreprocessError: an unknown key, a value of the wrong kind, or a dataset that does not exist.
    """
    import jsonschema

    values = {key: part["default"] for key, part in schema["properties"].items()}
    for key, value in config.items():
        if value is not None:
            try:
                values[key] = _plain(value, schema["properties"].get(key, {}))
            except yaml.YAMLError as broken:
                raise PreprocessError(f"config: {key}: {value!r} cannot be read ({_line(broken)})") from broken
    for error in jsonschema.Draft202012Validator(schema).iter_errors(values):
        where = ".".join(str(part) for part in error.absolute_path)
        raise PreprocessError(
            f"config: {where + ': ' if where else ''}{error.message}; the keys are {', '.join(schema['properties'])}"
        )
    known = recipe.names()
    chosen = None if values["datasets"] == "all" else tuple(values["datasets"])
    for name in [*(chosen or ()), *values["overrides"]]:
        if name not in known:
            raise PreprocessError(f"config: no dataset is called {name!r}; there are: {', '.join(known)}")
    return Settings(
        raw=values["raw"],
        results=values["results"],
        protocol=values["protocol"],
        sizes=tuple(values["sizes"]),
        sizes_3d=tuple(values["sizes_3d"]),
        datasets=chosen,
        seed=values["seed"],
        census=values["census"],
        overrides=values["overrides"],
        exports=tuple(values["exports"]),
        exceptions=values["exceptions"],
        sources=tuple(values["sources"]),
    )


def _plain(value: Any, schema: dict[str, Any]) -> Any:
    """Undo what a command line does to lists, mappings and numbers."""
    kinds = {part.get("type") for part in [schema, *schema.get("anyOf", [])]}
    if isinstance(value, str) and kinds & {"array", "object"} and value != schema.get("default"):
        value = yaml.safe_load(value) if value.strip()[:1] in "[{" else [piece.strip() for piece in value.split(",")]
    if "array" in kinds and isinstance(value, int):
        value = [value]
    if "integer" in kinds and isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, list) and schema.get("items", {}).get("type") == "integer":
        value = [int(one) if isinstance(one, str) and one.isdecimal() else one for one in value]
    return value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


class Plan:
    """Everything a run needs to know, derived from its settings."""

    def __init__(self, config: dict[str, Any], schema: Path) -> None:
        rules = json.loads(schema.read_text(encoding="utf-8"))
        self.settings = settings(config, rules)
        self.default_seed: int = rules["properties"]["seed"]["default"]
        for name in recipe.names():
            recipe.validate(name)
        results = Path(self.settings.results)
        self.base = results / MINIATURE if self.is_miniature else results
        self.raw = self.miniature_raw if self.is_miniature else Path(self.settings.raw)
        self.out = self.base / self.settings.protocol
        if not self.is_miniature and not self.raw.is_dir():
            raise PreprocessError(
                f"config: raw: {self.raw} is not a folder; name the folder that holds <source>/..., or 'miniature'"
            )
        for name in self.settings.overrides:
            self.recipe(name)
        for name in self.settings.datasets or ():
            self.require(name)
        check_writable(self.base)

    @property
    def is_miniature(self) -> bool:
        """Whether the run uses the embedded stand-ins."""
        return self.settings.raw == MINIATURE

    def recipe(self, dataset: str) -> Recipe:
        """The recipe of a dataset with the decisions in force."""
        return _recipe(dataset, self.settings.protocol, json.dumps(self.settings.overrides.get(dataset, {})))

    def sizes(self, dataset: str) -> tuple[int, ...]:
        """The sizes to build of a dataset."""
        return self.settings.sizes if self.recipe(dataset).dimensions == 2 else self.settings.sizes_3d

    @cached_property
    def sources(self) -> list[str]:
        """The sources of all recipes, sorted; each has a rules file of its name."""
        return sorted({recipe.read(name)["source"] for name in recipe.names()})

    def of_source(self, source: str) -> list[str]:
        """The datasets a source serves."""
        return [name for name in recipe.names() if recipe.read(name)["source"] == source]

    def is_present(self, dataset: str) -> bool:
        """Whether the dataset's source has anything to render."""
        about = self.recipe(dataset)
        options = about.about.get("options", {})
        return self.is_miniature or sources.is_present(about.source, self.folder(dataset), **options)

    def folder(self, dataset: str) -> Path:
        """The raw folder that serves the dataset's source."""
        about = self.recipe(dataset)
        if self.is_miniature:
            return self.raw / about.source
        return sources.locate(about.source, self.raw, **about.about.get("options", {}))

    def require(self, dataset: str) -> None:
        """Refuse a dataset asked for by name whose source is not there."""
        if not self.is_present(dataset):
            folder = self.raw / self.recipe(dataset).source
            raise PreprocessError(
                f"{dataset}: {folder} holds no files of its source; see 'snakemake --cores 1 sources'"
            )

    @cached_property
    def selected(self) -> list[str]:
        """The datasets to build: those named, or all that are present."""
        if self.settings.datasets is not None:
            return list(self.settings.datasets)
        return [name for name in recipe.names() if self.is_present(name)]

    def _some(self) -> list[str]:
        """The datasets to build, at least one."""
        if not self.selected:
            raise PreprocessError(f"raw: {self.raw} holds raw files of no dataset; see 'snakemake --cores 1 sources'")
        return self.selected

    @cached_property
    def missing(self) -> list[str]:
        """The datasets ``all`` leaves out because their source is not there."""
        return (
            [] if self.settings.datasets is not None else [name for name in recipe.names() if name not in self.selected]
        )

    def shards(self, dataset: str) -> int:
        """How many jobs render the dataset; a miniature has at most two, so that joining is exercised."""
        shards: int = self.recipe(dataset).about["shards"]
        return min(shards, 2) if self.is_miniature else shards

    # ---- paths

    @property
    def miniature_raw(self) -> Path:
        """Where the stand-ins are generated."""
        return Path(self.settings.results) / MINIATURE / "raw"

    def work(self, dataset: str, *parts: str) -> str:
        """A path in the dataset's working folder."""
        return str(self.out.joinpath("work", dataset, *parts))

    def npz(self, dataset: str) -> list[str]:
        """The npz of every size, in the order of :meth:`sizes`."""
        return [str(self.out / self.recipe(dataset).file_name(size)) for size in self.sizes(dataset)]

    def audit_size(self, dataset: str) -> int:
        """The size the audit shows: the largest that keeps its page small."""
        sizes = self.sizes(dataset)
        return max((size for size in sizes if size <= 128), default=min(sizes))

    def audit_npz(self, dataset: str) -> str:
        """The npz the audit shows."""
        return str(self.out / self.recipe(dataset).file_name(self.audit_size(dataset)))

    def raw_inputs(self, dataset: str) -> list[str]:
        """What the index depends on: the entries of the source's raw folder."""
        self.require(dataset)
        folder = self.folder(dataset)
        if self.is_miniature:
            return [str(folder)]
        return [str(entry) for entry in sources.entries(self.recipe(dataset).source, folder)]

    def raw_entries(self, source: str) -> list[str]:
        """The entries of a source's raw folder."""
        served = self.of_source(source)
        return self.raw_inputs(next(filter(self.is_present, served), served[0]))

    def verified(self, source: str) -> list[str]:
        """The report on a source's checksums a build waits for; stand-ins have none."""
        return [] if self.is_miniature else [str(self.out / "raw" / f"{source}.json")]

    def known_files(self, source: str) -> str:
        """Digest of the checksums known of a source's files."""
        if self.is_miniature:
            return ""
        known = self._registry[source]
        return f"{known.digest()}-{Lock(self.raw).digest(known)}"

    @cached_property
    def _registry(self) -> dict[str, registry.Source]:
        return registry.load(self.raw)

    @property
    def memory(self) -> Path:
        """Where the checksums of raw files are remembered, whatever the protocol."""
        return Path(self.settings.results) / "cache" / "verified"

    def order_table(self, dataset: str) -> str | None:
        """The order table in force; the published orders say nothing of a miniature."""
        from preprocess import order

        if self.recipe(dataset).value("order") != "table":
            return None
        found = order.find(dataset, self.raw)
        if found is None or (self.is_miniature and not str(found).startswith(str(self.raw))):
            return None
        return str(found)

    @property
    def released(self) -> Path:
        """Where published files lie; no stand-in is compared with them."""
        return self.raw / "released"

    def matchable(self) -> list[str]:
        """The selected datasets that have a published file to match with."""
        return [name for name in self.selected if self.all_released_files(name)]

    def all_released_files(self, dataset: str) -> list[str]:
        """Every published file of a dataset that is there, of any published size."""
        edition = published.current(dataset)
        return self.released_files(dataset, edition.md5 if edition else ())

    def match_outputs(self) -> list[str]:
        """The page of every match.

        Raises:
            PreprocessError: there is nothing to match with.
        """
        if not self.matchable():
            held = f"{self.released} holds no published npz of {', '.join(self.selected) or 'any dataset'}"
            raise PreprocessError(
                f"match: {'a stand-in has no published files' if self.is_miniature else held}; "
                "put <dataset>.npz as published into <raw>/released, and set raw to that folder"
            )
        return [str(self.out / "match" / name / "index.html") for name in self.matchable()]

    @property
    def published_facts(self) -> str:
        """The table of published checksums and counts, a file like any other input."""
        return str(published.table())

    def released_files(self, dataset: str, sizes: Iterable[int]) -> list[str]:
        """Those of a dataset's published files that are there; their MD5 is checked by who reads them."""
        if self.is_miniature:
            return []
        names = [self.recipe(dataset).file_name(size) for size in sizes]
        return [str(self.released / name) for name in names if (self.released / name).is_file()]

    def prepared_by(self, dataset: str) -> str | None:
        """The dataset whose prepare jobs serve this one too: the first of its source that decides alike."""
        in_force = self.recipe(dataset)
        if not in_force.prepare:
            return None
        return next(
            name for name in self.of_source(in_force.source) if self._preparation(name) == self._preparation(dataset)
        )

    def _preparation(self, dataset: str) -> str:
        in_force = self.recipe(dataset)
        return json.dumps([in_force.prepare, in_force.preparation(), self.shards(dataset)], sort_keys=True)

    def prepares(self, source: str) -> bool:
        """Whether some dataset of the source has steps that are prepared."""
        return any(recipe.read(name).get("prepare") for name in self.of_source(source))

    def prepared_folder(self, dataset: str, shard: str) -> str | None:
        """The folder of prepared arrays that a render job starts from."""
        maker = self.prepared_by(dataset)
        return maker and self.work(maker, "prepared", shard)

    def split_file(self, dataset: str) -> str | None:
        """The user's own table of splits, where the configuration names one."""
        path: str | None = self.recipe(dataset).value("split.file")
        if path is not None and not Path(path).is_file():
            raise PreprocessError(f"overrides: {dataset}: split.file: {path} is not a file")
        return path

    def shard_folders(self, dataset: str) -> list[str]:
        """The folders the render jobs write, in order."""
        return [self.work(dataset, "shards", str(shard)) for shard in range(self.shards(dataset))]

    def outputs(self, dataset: str) -> list[str]:
        """Every file a user gets of one dataset, but the lists of checksums."""
        tables = [str(self.out / f"{dataset}.{kind}") for kind in ("samples.tsv", "excluded.tsv", "provenance.json")]
        whole = [str(self.out / "splits" / dataset), self.audit_page(dataset), self.montage(dataset)]
        return [*self.npz(dataset), *tables, *whole, *self.exports(dataset)]

    def exports(self, dataset: str) -> list[str]:
        """The further formats asked for, of every size."""
        if not self.settings.exports:
            return []
        from preprocess import exports

        return [str(exports.place(Path(npz), form)) for form in self.settings.exports for npz in self.npz(dataset)]

    def audit_page(self, dataset: str) -> str:
        """The audit page of one dataset."""
        return str(self.out / "audit" / f"{dataset}.html")

    def montage(self, dataset: str) -> str:
        """The picture of one dataset's classes."""
        return str(self.out / "audit" / f"{dataset}.png")

    @property
    def audit(self) -> list[str]:
        """The audit's index, picture and data, and the gate that fails when it holds an error."""
        return [
            str(self.out / place)
            for place in ("audit/index.html", "audit/collection.png", "audit/audit.json", "work/gate.txt")
        ]

    @property
    def sum_lists(self) -> list[str]:
        """The lists of checksums of the results folder."""
        return [str(self.out / name) for name in ("MD5SUMS", "SHA256SUMS", "ARRAYS.sha256")]

    def everything(self) -> list[str]:
        """All a run makes where nothing is named. Raises PreprocessError: there is nothing to make it from."""
        return [*(path for name in self._some() for path in self.outputs(name)), *self.sum_lists, *self.audit]

    def all_audits(self) -> list[str]:
        """The audit of everything configured. Raises PreprocessError: there is nothing to audit."""
        return [*self.audit, *map(self.audit_page, self._some())]

    # ---- command lines

    def options(self, stage: str, dataset: str) -> str:
        """The command line options of one stage, quoted for a shell; only what changes its result."""
        words = [dataset, "--protocol", self.settings.protocol]
        overrides = self.settings.overrides.get(dataset, {})
        relevant = {key: value for key, value in overrides.items() if DECISIONS[key].stage in STAGES[stage].decides}
        if stage == "prepare":  # what else a dataset decides is nothing to those that share its prepared units
            relevant = {key: value for key, value in relevant.items() if key in self.recipe(dataset).preparation()}
        if relevant:
            words += ["--overrides", json.dumps(relevant, sort_keys=True)]
        for name in STAGES[stage].options:
            words += self._option(name, dataset)
        return shlex.join(words)

    def _option(self, name: str, dataset: str) -> list[str]:
        values: dict[str, Any] = {
            "raw": self.folder(dataset),
            "census": self.settings.census,
            "released": self.released,
            "seed": self.settings.seed,
            "shards": self.shards(dataset),
            "size": self.audit_size(dataset),
        }
        if name in values:
            return [f"--{name}", str(values[name])]
        if name == "miniature":
            return ["--miniature"] if self.is_miniature else []
        if name == "sizes":
            return ["--sizes", *map(str, self.sizes(dataset))]
        if name == "order-table":
            return ["--order-table", table] if (table := self.order_table(dataset)) else []
        if name == "exceptions":
            return ["--exceptions", self.settings.exceptions] if self.settings.exceptions else []
        if name == "default-seed":
            return ["--default-seed", str(self.default_seed)]
        assert name == "config", name
        return ["--config", json.dumps(self.settings.__dict__, sort_keys=True, default=str)]

    def raw_options(self, stage: str, source: str = "") -> str:
        """The command line options of ``sources``, ``fetch`` and ``verify``, quoted for a shell."""
        words = [source] if source else []
        words += ["--memory", str(self.memory), *(["--raw", str(self.raw)] if not self.is_miniature else [])]
        if stage == "fetch":
            words += ["--sources", *self.settings.sources]
        if stage in ("fetch", "sources"):
            words += self._build_options(self.settings.datasets or (None if self.is_miniature else self.selected))
        return shlex.join(words)

    def _build_options(self, datasets: Iterable[str] | None) -> list[str]:
        chosen = [] if datasets is None else ["--datasets", *datasets]
        sizes = ["--sizes", *map(str, self.settings.sizes), "--sizes-3d", *map(str, self.settings.sizes_3d)]
        return ["--results", self.settings.results, *sizes, *chosen]

    def forecast(self, datasets: Iterable[str], cores: int) -> list[str]:
        """Disk, scratch and hours of rendering some datasets; nothing for stand-ins.

        Raises:
            PreprocessError: the disk has not enough room.
        """
        from preprocess.acquire import estimate

        costs = [estimate.cost(name, self.sizes(name)) for name in sorted(datasets)]
        if self.is_miniature or not costs:
            return []
        return [*estimate.report(costs, cores), estimate.check_room(costs, self.out)]

    def fingerprint(self, stage: str, dataset: str) -> str:
        """Digest of the recipe and code a stage's result depends on, for the manager to compare."""
        in_force = self.recipe(dataset)
        modules = [*STAGES[stage].modules]
        if "source" in STAGES[stage].uses:
            modules.append(f"preprocess.sources.{in_force.source}")
        if "steps" in STAGES[stage].uses:
            modules += [steps.module_of(name) for name in (*in_force.prepare, *in_force.steps)]
        if "prepare" in STAGES[stage].uses:
            modules += [steps.module_of(name) for name in in_force.prepare]
        parts = [fingerprint.of(*sorted(set(modules)))]
        if stage in ALL:
            parts.append(in_force.fingerprint(stage))  # type: ignore[arg-type]
        if stage == "match":
            parts.append(in_force.fingerprint("render"))
        if stage == "prepare":
            parts.append(hashlib.sha256(self._preparation(dataset).encode()).hexdigest()[:16])
        return "-".join(parts)

    def code_of(self, module: str) -> str:
        """Digest of the code one module reaches."""
        return fingerprint.of(module)

    def miniature_fingerprint(self, source: str) -> str:
        """Digest of the generator of a source's stand-in."""
        return fingerprint.of(f"preprocess.miniature.{source}")


@cache
def _recipe(dataset: str, protocol: str, overrides: str) -> Recipe:
    return recipe.load(dataset, protocol, json.loads(overrides))


def check_writable(folder: Path) -> None:
    """Refuse a results folder that cannot be written, before any job runs."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PreprocessError(
            f"config: results: {folder} cannot be written ({error.strerror}); choose another folder"
        ) from error
