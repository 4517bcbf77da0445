"""What a run is to make, and of what: the side a workflow manager talks to.

It imports nothing heavy and knows no workflow manager. All that can be refused is refused when the plan is made.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from preprocess import deflate, environment, exports, published, recipe, sources
from preprocess.acquire import estimate, registry
from preprocess.audit import exceptions
from preprocess.decisions import ALIKE, DECISIONS
from preprocess.errors import PreprocessError, guess
from preprocess.files import read_json
from preprocess.plan import batches, closing, targets
from preprocess.plan import settings as settings_of
from preprocess.plan.batches import Batches
from preprocess.plan.current import Current, container, digest, order_table
from preprocess.plan.paths import EXPORTS, SUM_LISTS, Paths
from preprocess.plan.progress import Pace, Progress
from preprocess.plan.settings import MINIATURE
from preprocess.plan.stages import STAGES
from preprocess.reading.archives import walk
from preprocess.recipe import Recipe

#: where the recipes of a user go who names no folder
RECIPES = "recipes"
#: targets that write no results
LISTINGS = frozenset({"sources", "fetch", "targets", "new"})
#: the target that looks at raw files and writes reports on them
INSPECT = "inspect"
#: where rehearsals lie, beside the builds; no build has this name
REHEARSAL = "rehearsal"
#: the most jobs that render a rehearsal
REHEARSED_SHARDS = 4
#: targets that ask something of what is built, and build nothing
INQUIRIES = frozenset({"prove", "compare", "impact", "trace"})


class Plan:
    """Everything a run needs to know, derived from its settings and the targets it is asked for.

    ``targets`` gives those once they are known, which may be after the plan is made.
    """

    def __init__(self, config: dict[str, Any], schema: Path, targets: Callable[[], Iterable[str]] = tuple) -> None:
        self.settings = settings_of.read(config, schema)
        self._targets = targets
        for name in recipe.names():
            recipe.validate(name, sources.asked if name in self.own else lambda reader: ())
        self.results = Path(self.settings.results)
        self.base = self.results / MINIATURE if self.is_miniature else self.results
        self.out = self.base / REHEARSAL / self.settings.build if self.is_rehearsal else self.base / self.settings.build
        self.raw = self.results / MINIATURE / "raw" if self.is_miniature else Path(self.settings.raw)
        self.paths = Paths(self.base, self.out)
        self._check()

    def _check(self) -> None:
        """Refuse what cannot be built. Nothing is written."""
        if not self.is_miniature and not self.raw.is_dir():
            raise PreprocessError(
                f"config: raw: {self.raw} is not a folder; make it, or name the one that holds <source>/..., or "
                f"'miniature'"
            )
        check_results(self.results, None if self.is_miniature else self.raw)
        exceptions.read(Path(self.settings.exceptions) if self.settings.exceptions else None)
        for name in self.settings.overrides:
            self.recipe(name)
            self._check_split_file(name)
            self._check_rendered_first(name)
        for name in self.settings.datasets or ():
            self.require(name)
        for name in self.own:
            if name in targets.OTHERS or name in targets.RESERVED:
                raise PreprocessError(
                    f"{recipe.dataset(name).file}: a target is called {name}; rename file and dataset"
                )
            about = recipe.dataset(name)
            if strange := sources.strange(about.reader, about.options):
                raise PreprocessError(f"{about.file}: options: {recipe.read(name)['source']} knows no {strange[0]}")
            if not self.is_miniature:
                check_results(self.results, about.folder(self.raw))
        if not self.is_rehearsal:
            exports.check(self.settings.exports)

    def _check_split_file(self, dataset: str) -> None:
        path = self.split_file(dataset)
        if path is None:
            return
        if not path.is_file():
            raise PreprocessError(f"overrides: {dataset}: split.file: {path} is not a file")
        if path.resolve().is_relative_to(self.out.resolve()):
            raise PreprocessError(
                f"overrides: {dataset}: split.file: {path} is a result of this very build, which would replace it; "
                "copy it elsewhere"
            )

    def _check_rendered_first(self, dataset: str) -> None:
        """Refuse to rehearse a split that rests on what all samples look like."""
        if self.is_rehearsal and self.recipe(dataset).renders_first:
            raise PreprocessError(
                f"overrides: {dataset}: split.group_by {ALIKE}: all samples would have to be rendered, which is no "
                "rehearsal; rehearse without it, the pixels are the same"
            )

    def _check_name(self, dataset: str) -> None:
        """Refuse a variant's name that holds other decisions."""
        if not self.settings.variant_name or (made := self._record(dataset)) is None:
            return
        theirs = {key: made.get("config", {}).get(key) for key in ("overrides", "seed")}
        ours = {key: self.config_of(dataset)[key] for key in ("overrides", "seed")}
        if json.dumps(theirs, sort_keys=True) != json.dumps(ours, sort_keys=True):
            raise PreprocessError(
                f"config: variant: {self.out} holds {dataset} with other decisions ({_told(theirs)}), not with "
                f"{_told(ours)}; choose another name for the variant, or remove that folder"
            )

    # ---- the configuration

    @property
    def is_miniature(self) -> bool:
        """Whether the run uses the embedded stand-ins."""
        return self.settings.is_miniature

    @property
    def is_rehearsal(self) -> bool:
        """Whether a sample of each dataset is built, which is no build of it."""
        return self.settings.rehearsal is not None

    @cache  # noqa: B019  one plan a process
    def recipe(self, dataset: str) -> Recipe:
        """The recipe of a dataset with the decisions in force."""
        return recipe.load(dataset, self.settings.protocol, self.settings.overrides.get(dataset, {}))

    def sizes(self, dataset: str) -> tuple[int, ...]:
        """The sizes to build of a dataset."""
        return self.settings.sizes if self.recipe(dataset).dimensions == 2 else self.settings.sizes_3d

    def overrides(self, stage: str, dataset: str) -> str:
        """The user's overrides that a stage's result depends on, as JSON."""
        decided = self.settings.overrides.get(dataset, {})
        relevant = {key: value for key, value in decided.items() if DECISIONS[key].stage in STAGES[stage].decides}
        if stage == "prepare":  # its other decisions do not concern the datasets that share its prepared units
            relevant = {key: value for key, value in relevant.items() if key in self.recipe(dataset).preparation()}
        return json.dumps(relevant, sort_keys=True)

    def config_of(self, dataset: str) -> dict[str, Any]:
        """The part of the configuration that the files of one dataset depend on, as its provenance records it."""
        chosen = self.settings
        overrides = chosen.overrides.get(dataset)
        return {
            "raw": chosen.raw,
            "results": chosen.results,
            "protocol": chosen.protocol,
            "variant": chosen.variant_name,
            "sizes" if self.recipe(dataset).dimensions == 2 else "sizes_3d": list(self.sizes(dataset)),
            "seed": chosen.seed,
            "census": chosen.census,
            "deflate": chosen.deflate,
            "overrides": {dataset: overrides} if overrides else {},
            "exceptions": chosen.exceptions,
            **({"recipes": chosen.recipes} if dataset in self.own else {}),
            **({"rehearsal": chosen.rehearsal} if self.is_rehearsal else {}),
        }

    # ---- datasets

    @cached_property
    def sources(self) -> list[str]:
        """The sources of all recipes, sorted."""
        return sorted({recipe.dataset(name).source for name in recipe.names()})

    @cached_property
    def own(self) -> list[str]:
        """The datasets of a user's own recipes."""
        return [name for name in recipe.names() if recipe.is_own(name)]

    @cached_property
    def project_sources(self) -> list[str]:
        """The sources of the project's recipes, sorted; each has a rules file of its name."""
        return sorted({recipe.dataset(name).source for name in recipe.names() if name not in self.own})

    @cached_property
    def own_sources(self) -> list[str]:
        """The sources that only a user's own recipes know."""
        return [name for name in self.sources if name not in self.project_sources]

    def of_source(self, source: str) -> list[str]:
        """The datasets a source serves."""
        return [name for name in recipe.names() if recipe.dataset(name).source == source]

    @cache  # noqa: B019  one plan a process
    def is_present(self, dataset: str) -> bool:
        """Whether the dataset's source has anything to render."""
        about = self.recipe(dataset).dataset
        return bool(about.generator) if self.is_miniature else registry.is_present(about, self.raw)

    def folder(self, dataset: str) -> Path:
        """The raw folder that serves the dataset's source."""
        return registry.raw_folder(self.recipe(dataset).dataset, self.raw, self.is_miniature)

    def require(self, dataset: str) -> None:
        """Refuse a dataset asked for by name whose source is not there."""
        if self.is_present(dataset):
            return
        about = self.recipe(dataset).dataset
        if self.is_miniature:
            raise PreprocessError(
                f"{dataset}: has no stand-in, since {about.file} names no generator; name the folder of its raw files: "
                "--config raw=DIR"
            )
        folder = about.folder(self.raw)
        hint = f"{about.file} says raw: {about.raw}" if about.is_own else "see 'snakemake --cores 1 sources'"
        raise PreprocessError(f"{dataset}: {folder} holds no files of its source; {hint}")

    @cached_property
    def selected(self) -> list[str]:
        """The datasets of the configuration: those named, or all that are present."""
        if self.settings.datasets is not None:
            return list(self.settings.datasets)
        return [name for name in recipe.names() if self.is_present(name)]

    @cached_property
    def missing(self) -> list[str]:
        """The datasets ``all`` leaves out because their source is not there.

        Where nothing but a user's own files is there, none of the project's is missed.
        """
        if self.settings.datasets is not None or self.settings.name:
            return []
        if self.selected and set(self.selected) <= set(self.own):
            return [name for name in self.own if name not in self.selected]
        return [name for name in recipe.names() if name not in self.selected]

    @cached_property
    def targets(self) -> list[str]:
        """What the run is asked for, by name or path; nothing for everything."""
        return sorted(map(str, self._targets()))

    @property
    def _is_listing(self) -> bool:
        """Whether the run is asked for listings alone."""
        return bool(self.targets) and LISTINGS.issuperset(self.targets)

    @property
    def _builds_nothing(self) -> bool:
        """Whether the run is asked for nothing but listings, a look at raw files, and questions to what is built."""
        return bool(self.targets) and (LISTINGS | INQUIRIES | {INSPECT}).issuperset(self.targets)

    @cached_property
    def _named(self) -> list[str]:
        """The datasets the targets name, by their own name or by that of one of their files."""
        inside = [target.removeprefix(f"{self.base}{os.sep}") for target in self.targets]
        words = {word for target in inside for word in re.split(r"[^a-z0-9]+", target)}
        sources_named = {name for source in self.sources if source in self.targets for name in self.of_source(source)}
        return [name for name in recipe.names() if name in words or (name in sources_named and self.is_present(name))]

    @cached_property
    def scope(self) -> list[str]:
        """The datasets this run is about: those its targets name, or all that are selected."""
        return self._named or self.selected

    @cached_property
    def attested(self) -> list[str]:
        """The datasets the lists of the folder speak of: those of the run, and others there that are current."""
        return [name for name in recipe.names() if name in self.scope or self._is_recorded_current(name)]

    @cache  # noqa: B019  one plan a process
    def _record(self, dataset: str) -> dict[str, Any] | None:
        """The provenance of a dataset that lies in the build's folder."""
        try:
            made = read_json(self.paths.of("provenance", dataset=dataset))
        except (OSError, ValueError):
            return None
        return made if isinstance(made, dict) else None

    @cache  # noqa: B019  one plan a process
    def _is_recorded_current(self, dataset: str) -> bool:
        """Whether the files of a dataset that lie there are those this configuration would make."""
        made = self._record(dataset)
        if made is None or not self.is_present(dataset):
            return False
        files = [*self.outputs(dataset), *self.beside_npz("sums", dataset), self.paths.of("summary", dataset=dataset)]
        # what is cheap to see comes first: the digest reads code and lists raw files
        return all(Path(path).exists() for path in files) and made.get("current") == self.current("provenance", dataset)

    @cached_property
    def outdated(self) -> list[str]:
        """The datasets of the run that are not there, or not as this configuration would make them."""
        return [name for name in self.scope if not self._is_recorded_current(name)]

    @cached_property
    def leftovers(self) -> list[str]:
        """The files of the build's folder that no dataset of :attr:`attested` accounts for, relative to the folder."""
        files = [Path(path) for name in self.attested for path in self._files(name)]
        accounted = {place for path in files for place in (path, path.parent)}
        names = set(recipe.names())
        found = [path for pattern in _RESULTS for path in sorted(self.out.glob(pattern))]
        return sorted(
            path.relative_to(self.out).as_posix()
            for path in found
            if path not in accounted and _dataset_of(path) in names
        )

    def shards(self, dataset: str) -> int:
        """How many jobs render the dataset at each batch of sizes: as many as its cost asks for, whatever the machine.

        Datasets whose first steps are prepared together have the same number.
        """
        if self.is_miniature:
            return 1
        in_force = self.recipe(dataset)
        same = [name for name in self.of_source(in_force.source) if self.recipe(name).prepare == in_force.prepare]
        shards = max(estimate.shards(name) for name in (same if in_force.prepare else [dataset]))
        return min(shards, REHEARSED_SHARDS) if self.is_rehearsal else shards

    @cache  # noqa: B019  one plan a process
    def batches(self, dataset: str) -> Batches:
        """Which sizes of a dataset are rendered together, by what lies there."""
        of_all = self.paths.of("record", dataset=dataset, tail="*")
        records = filter(None, map(batches.read, sorted(Path(of_all).parent.glob(Path(of_all).name))))
        digest = self.current("pack", dataset)
        there = [one for one in records if one.current == digest and (self.out / one.file).is_file()]
        return batches.choose(
            self.sizes(dataset), there, lambda batch: all(map(os.path.isdir, self.shard_folders(dataset, batch)))
        )

    def container(self, dataset: str) -> str:
        """The container of a dataset's npz, see :func:`preprocess.plan.current.container`."""
        return container(self.settings, self.raw, self.recipe(dataset))

    def audit_workers(self, dataset: str) -> int:
        """Processes that render for the audit page of a dataset."""
        return 1 if self.is_miniature else estimate.audit_workers(dataset)

    def memory(self, dataset: str, of_scans: bool = False, packers: int = 0) -> int:
        """MB that a job of a dataset needs: see :func:`preprocess.acquire.estimate.memory`."""
        if self.is_miniature:
            return estimate.memory(dataset, self.sizes(dataset), of_scans=False, rows=0)
        return estimate.memory(dataset, self.sizes(dataset), of_scans, packers=packers)

    def pack_memory(self, dataset: str, workers: int) -> int:
        """MB that a job of so many workers needs to pack an npz: threads, as for the published form, need no more."""
        are_processes = workers > 1 and self.container(dataset) == "chunked"
        return self.memory(dataset, packers=workers if are_processes else 0)

    def pack_workers(self, dataset: str, size: int) -> int:
        """Workers that pack one npz: few for small files, for jobs of one worker run side by side."""
        return 1 if self.is_miniature else estimate.pack_workers(dataset, size, self._packing(dataset))

    # ---- files

    def npz(self, dataset: str) -> list[str]:
        """The npz of every size, in the order of :meth:`sizes`."""
        return [self._npz(dataset, size) for size in self.sizes(dataset)]

    def beside_npz(self, place: str, dataset: str) -> list[str]:
        """A file that goes with every npz, in the order of :meth:`sizes`."""
        return [self.beside(place, dataset, size) for size in self.sizes(dataset)]

    def beside(self, place: str, dataset: str, size: int) -> str:
        """A file that goes with the npz of one size."""
        return self.paths.of(place, dataset=dataset, tail=self._tail(dataset, size))

    def _tail(self, dataset: str, size: int) -> str:
        return Path(self._npz(dataset, size)).stem.removeprefix(dataset)

    def _npz(self, dataset: str, size: int) -> str:
        return str(self.out / self.recipe(dataset).file_name(size))

    def tails(self, source: str) -> list[str]:
        """What may follow a dataset's name in the names of its npz, by the sizes asked for: nothing, or ``_64``."""
        tails = {self._tail(name, size) for name in self.of_source(source) for size in self.sizes(name)}
        return sorted(tails, reverse=True)

    def audit_size(self, dataset: str) -> int:
        """The size the audit shows: the largest that keeps its page small."""
        sizes = self.sizes(dataset)
        return max((size for size in sizes if size <= 128), default=min(sizes))

    def audit_npz(self, dataset: str) -> str:
        """The npz the audit shows."""
        return self._npz(dataset, self.audit_size(dataset))

    def verified(self, source: str) -> list[str]:
        """The report on a source's checksums a build waits for; stand-ins have none, and a rehearsal waits for none."""
        return [] if self.is_miniature or self.is_rehearsal else [self.paths.of("verified", source=source)]

    def stand_in(self, source: str) -> list[str]:
        """The generated folder a build waits for; real files are there already."""
        return [self.paths.of("stand_in", source=source)] if self.is_miniature else []

    @property
    def cache(self) -> Path:
        """Where the checksums of raw files are remembered, whatever the build."""
        return self.results / "cache" / "raw"

    def order_table(self, dataset: str) -> Path | None:
        """The order table in force."""
        return order_table(self.settings, self.raw, self.recipe(dataset))

    def split_file(self, dataset: str) -> Path | None:
        """The user's own table of splits, where the configuration names one."""
        path = self.recipe(dataset).value("split.file")
        return Path(path) if path is not None else None

    @property
    def released(self) -> Path:
        """Where published files lie; no stand-in is compared with them."""
        return self.raw / "released"

    def published_files(self, dataset: str) -> list[str]:
        """Every published file of a dataset that is there, of any published size, or a montage of its tiles."""
        return [] if self.is_miniature else list(map(str, published.given(self.released, dataset)))

    def matchable(self) -> list[str]:
        """The datasets of the run that have a published file to match with."""
        return [name for name in self.scope if self.published_files(name)]

    def matches(self) -> list[str]:
        """The page of every match.

        Raises:
            PreprocessError: there is nothing to match with.
        """
        if not self.matchable():
            held = f"{self.released} holds no published npz of {', '.join(self.scope) or 'any dataset'}"
            raise PreprocessError(
                f"match: {'a stand-in has no published files' if self.is_miniature else held}; "
                "put <dataset>.npz as published, or <dataset>.png with its tiles, into <raw>/released, and set raw to "
                "that folder"
            )
        return [self.paths.of("match", dataset=name) for name in self.matchable()]

    def alike(self, dataset: str) -> str | None:
        """The table of the samples that look alike, where the split keeps them together."""
        return self.paths.of("alike", dataset=dataset) if self.recipe(dataset).renders_first else None

    def rendered_from(self, dataset: str) -> str:
        """The table of the samples to render: the split, or the index where the split comes after."""
        return self.paths.of("index" if self.recipe(dataset).renders_first else "split", dataset=dataset)

    def looks(self, dataset: str, batch: int) -> bool:
        """Whether the render jobs of a batch of sizes say what the samples look like: those the tables are of."""
        return self.recipe(dataset).renders_first and batch == self.batches(dataset).tables

    def candidates(self, dataset: str) -> str:
        """The table of the samples that a match looks at: all, in a rehearsal those that were drawn."""
        return self.paths.of("split" if self.is_rehearsal else "index", dataset=dataset)

    def rehearsal(self) -> list[str]:
        """All of a rehearsal: every file of a build, and the matches where published files are at hand.

        Raises:
            PreprocessError: the number of samples is not given, or there is nothing to build.
        """
        if not self.is_rehearsal:
            raise PreprocessError("rehearse: say on how many samples of each dataset, as in --config rehearsal=200")
        return [*self.everything(), *(self.paths.of("match", dataset=name) for name in self.rehearsed_matches())]

    def rehearsed_matches(self) -> list[str]:
        """The datasets whose rehearsal is matched: released ones with a published file at hand."""
        return self.matchable() if self.is_rehearsal and self.settings.protocol == "released" else []

    def sharing(self, dataset: str) -> list[str]:
        """The datasets that one set of prepare jobs serves: this one, and those of its source that decide alike.

        Empty where the recipe has no steps that are prepared.
        """
        in_force = self.recipe(dataset)
        if not in_force.prepare or self.is_rehearsal:  # all that the source holds would be prepared
            return []
        own = self._preparation(dataset)
        return [name for name in self.of_source(in_force.source) if self._preparation(name) == own]

    def prepared(self, dataset: str, batch: str, shard: str) -> str | None:
        """The folder of one prepared shard of a batch of sizes, filed under the source and all it serves."""
        sharing = self.sharing(dataset)
        if not sharing:
            return None
        source = self.recipe(dataset).source
        return self.paths.of("prepared", source=source, sharing="+".join(sharing), batch=batch, shard=shard)

    def _preparation(self, dataset: str) -> str:
        in_force = self.recipe(dataset)
        return json.dumps([in_force.prepare, in_force.preparation()], sort_keys=True)

    def prepares(self, source: str) -> bool:
        """Whether some dataset of the source has steps that are prepared."""
        return any(recipe.read(name).get("prepare") for name in self.of_source(source))

    def shard_folders(self, dataset: str, batch: int) -> list[str]:
        """The folders the render jobs of one batch write, in order."""
        numbers = range(self.shards(dataset))
        return [self.paths.of("shard", dataset=dataset, batch=batch, shard=shard) for shard in numbers]

    def exports(self, dataset: str) -> list[str]:
        """The further formats asked for, of every size; a rehearsal is not handed on."""
        if self.is_rehearsal:
            return []
        return [
            self.beside(place, dataset, size)
            for export in self.settings.exports
            for size in self.sizes(dataset)
            for place in EXPORTS[export]
        ]

    def outputs(self, dataset: str) -> list[str]:
        """Every file a user gets of one dataset alone."""
        whole = ("samples", "excluded", "provenance", "splits", "page", "montage")
        return [*self.npz(dataset), *(self.paths.of(name, dataset=dataset) for name in whole), *self.exports(dataset)]

    def _files(self, dataset: str) -> list[str]:
        """What of a dataset lies in the build's folder: :meth:`outputs`, and what goes with them."""
        return [*self.outputs(dataset), self.paths.of("unmatched", dataset=dataset)]

    def asked_for(self, dataset: str) -> list[str]:
        """What is made when a dataset is asked for: its files, the lists of the folder, and the gate behind its audit.

        Raises:
            PreprocessError: its raw files are not there, or the variant's name holds other decisions.
        """
        self.require(dataset)
        self._check_name(dataset)
        return [*self.outputs(dataset), *self.shared, self.paths.of("gate", dataset=dataset)]

    @property
    def shared(self) -> list[str]:
        """What is made of all datasets of the folder: lists of checksums, index of the audit.

        No list attests a rehearsal.
        """
        lists = () if self.is_rehearsal else SUM_LISTS
        return [self.paths[name] for name in (*lists, "collection", "audit_index", "audit_data")]

    def everything(self) -> list[str]:
        """All a run makes where nothing is named. Raises PreprocessError: there is nothing to make it from."""
        return list(dict.fromkeys(path for name in self._some() for path in self.asked_for(name)))

    def all_of_source(self, source: str) -> list[str]:
        """What is made of one source. Raises PreprocessError: none of its datasets can be built."""
        names = self.of_source(source)
        built = [name for name in names if self.is_present(name)] or names
        return list(dict.fromkeys(path for name in built for path in self.asked_for(name)))

    def all_audits(self) -> list[str]:
        """The audit of everything configured. Raises PreprocessError: there is nothing to audit."""
        pages = [self.paths.of(place, dataset=name) for name in self._some() for place in ("page", "gate")]
        return [*pages, *(self.paths[name] for name in ("collection", "audit_index", "audit_data"))]

    def _some(self) -> list[str]:
        """The datasets to build, at least one."""
        if not self.selected:
            raise PreprocessError(f"raw: {self.raw} holds raw files of no dataset; see 'snakemake --cores 1 sources'")
        return self.selected

    @property
    def new_name(self) -> str:
        """The dataset whose recipe the target ``new`` drafts.

        Raises:
            PreprocessError: none is named, no folder to look at, or a target has that name.
        """
        if not self.settings.name or self.is_miniature:
            raise PreprocessError("new: name a dataset and the folder of its files: --config name=skinmnist raw=DIR")
        if self.settings.name in targets.names() or self.settings.name in targets.RESERVED:
            raise PreprocessError(f"new: a target is called {self.settings.name} already; choose another name")
        return self.settings.name

    @property
    def new_recipes(self) -> str:
        """The folder where its recipe goes."""
        return self.settings.recipes or RECIPES

    # ---- for the listings of raw files

    @property
    def raw_option(self) -> str:
        """The raw folder, for commands that list raw files; empty for the stand-ins."""
        return "" if self.is_miniature else str(self.raw)

    @cached_property
    def inspected(self) -> list[str]:
        """The sources to look at: those named, or served by a dataset that is named; without names all that are there.

        Raises:
            PreprocessError: there is no such source or dataset, or it holds nothing.
        """
        if not self.settings.sources:
            there = [name for name in self.sources if self._can_be_looked_at(name)]
            if not there:
                raise PreprocessError(
                    f"inspect: {self.raw} holds no folder of a source; see 'snakemake --cores 1 sources'"
                )
            return there
        wanted = []
        for name in self.settings.sources:
            source = recipe.dataset(name).source if name in recipe.names() else name
            if source not in self.sources:
                raise PreprocessError(
                    f"inspect: no source and no dataset is called {name!r}; "
                    f"{guess(name, [*self.sources, *recipe.names()])}the sources are {', '.join(self.sources)}"
                )
            if not self._can_be_looked_at(source):
                raise PreprocessError(
                    f"inspect: {self._place(source)} holds no file; see 'snakemake --cores 1 sources'"
                )
            wanted.append(source)
        return list(dict.fromkeys(wanted))

    def _can_be_looked_at(self, source: str) -> bool:
        """Whether there are files of a source, or a stand-in."""
        return self.is_present(self.of_source(source)[0]) if self.is_miniature else self._holds(source)

    def _place(self, source: str) -> Path:
        """The folder of a source's own files."""
        return recipe.dataset(self.of_source(source)[0]).folder(self.raw)

    def _holds(self, source: str) -> bool:
        """Whether there is any file in the folder that serves a source."""
        folder = self.folder(self.of_source(source)[0])
        return folder.is_dir() and next(iter(walk(folder)), None) is not None

    def reports(self) -> list[str]:
        """The report of every look, as data; each has a page of its name beside it."""
        return [self.paths.of("inspected_data", source=name) for name in self.inspected]

    @property
    def priced(self) -> list[str]:
        """The datasets whose cost a listing estimates: those of the configuration."""
        if self.settings.datasets is None and self.is_miniature:
            return recipe.names()
        return self.selected

    # ---- what is current

    @cached_property
    def _current(self) -> Current:
        folders = {name: self.folder(name) for name in recipe.names()}
        return Current(self.settings, self.raw, self.cache, folders, self.config_of)

    def current(self, stage: str, dataset: str) -> str:
        """Digest of all that the result of one stage depends on: see :mod:`preprocess.plan.current`."""
        in_force = self.recipe(dataset)
        if stage != "prepare":
            return self._current.of(stage, in_force)
        return digest(self._current.of("prepare", in_force), self._preparation(dataset))

    def current_of_source(self, source: str) -> str:
        """The same of the verification of a source's files."""
        return digest([self.current("verify", name) for name in self.of_source(source)])

    def current_of_look(self, source: str) -> str:
        """The same of a look at a source's files."""
        looked = [self.settings.overrides, self.settings.sizes, self.settings.sizes_3d, self.settings.protocol]
        return digest([self.current("inspect", name) for name in self.of_source(source)], looked)

    def current_of_all(self, stage: str) -> str:
        """The same of what is made of all datasets of the folder together."""
        return self._current.of_all(stage, [self.recipe(name) for name in self.attested])

    # ---- before the first job

    def begin(self, cores: int, is_local: bool = True) -> list[str]:
        """Take the results folder for this run, and return the lines a person should read before it starts.

        ``is_local`` says whether jobs run on this machine, so that they must fit into its memory.

        Raises:
            PreprocessError: the folder cannot be written, another run holds it, the disk has not enough room, or a job
                needs more memory than this machine has.
        """
        if self._is_listing:
            return []  # a download may go on beside a build
        check_writable(self.base)
        environment.hold(self.base)
        if self._builds_nothing:
            return []
        told = [f"ERROR: {line}" for name in self.scope for line in recipe.fallbacks(self.recipe(name))]
        told += [f"{self.out / name}: left over from another build, in no list" for name in self.leftovers]
        return [*told, *self.forecast(self.outdated, cores, is_local)]

    def beforehand(self, cores: int) -> list[str]:
        """What a run that is only planned would cost; nothing is refused."""
        costs = [] if self._builds_nothing else self._costs(self.outdated)
        if not costs:
            return []
        try:
            estimate.check_memory(costs)
            last = estimate.check_room(costs, self.out)
        except PreprocessError as error:
            last = f"it would be refused: {error}"
        return [*estimate.report(costs, cores), last]

    def forecast(self, datasets: Iterable[str], cores: int, is_local: bool = True) -> list[str]:
        """Disk, scratch and hours of rendering what some datasets lack; nothing for stand-ins.

        Raises:
            PreprocessError: the disk has not enough room, or this machine not enough memory.
        """
        costs = self._costs(datasets)
        if not costs:
            return []
        if is_local:
            estimate.check_memory(costs)
        return [*estimate.report(costs, cores), estimate.check_room(costs, self.out)]

    def _costs(self, datasets: Iterable[str]) -> list[estimate.Cost]:
        """What rendering the lacking sizes of some datasets costs; nothing for stand-ins."""
        if self.is_miniature:
            return []
        lacking = {name: self.batches(name).lacking for name in sorted(datasets)}
        return [
            estimate.cost(name, sizes, self.settings.rehearsal, self._packing(name))
            for name, sizes in lacking.items()
            if sizes
        ]

    def _packing(self, dataset: str) -> str:
        """How fast the npz of a dataset are packed, in the words of the estimate."""
        is_slow = self.container(dataset) == "published" or self.settings.deflate > deflate.QUICK
        return "slow" if is_slow else "quick"

    # ---- while it goes on, and after the last job

    def progress(self, cores: int) -> Progress:
        """What tells a person how far this run is."""
        if self._builds_nothing:
            return Progress(Pace({}, {}, cores), self.sources)
        seconds = {one.dataset: one.seconds / self.shards(one.dataset) for one in self._costs(self.outdated)}
        jobs = {name: self.shards(name) for name in seconds}
        return Progress(Pace(seconds, jobs, cores), self.sources)

    def closing(self) -> list[str]:
        """The lines a person should read when the run has ended well: what was built, and where its pages are."""
        if self.targets and not {"all", "audit", *self.sources, *recipe.names()}.intersection(self.targets):
            return []
        return closing.table([(self.paths.of("summary", dataset=name), self.paths.of("page", dataset=name))
                              for name in self.scope])  # fmt: skip


#: where results of single datasets lie in a build's folder
_RESULTS = (
    "*.npz", "*.tsv", "*.json", "audit/*.html", "audit/*.png", "splits/*", "npy/*", "png/*",
    "parquet/*", "webdataset/*", "zarr/*",
)  # fmt: skip


def _dataset_of(path: Path) -> str:
    return path.name.partition(".")[0].partition("_")[0]


def _told(decisions: dict[str, Any]) -> str:
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in decisions.items())


def check_results(folder: Path, raw: Path | None) -> None:
    """Refuse a results path that cannot be a folder. Nothing is created to find out."""
    whole = folder.resolve()
    if whole == Path(whole.anchor):
        raise PreprocessError(f"config: results: {folder} is the root of the file system; name a folder of its own")
    if "{" in str(folder) or "}" in str(folder):
        raise PreprocessError(f"config: results: {folder}: braces cannot be part of the path; choose another folder")
    if raw is not None and whole.is_relative_to(raw.resolve()):
        raise PreprocessError(f"config: results: {folder} lies in the raw folder {raw}; choose one outside it")
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        why = "Permission denied" if place.is_dir() else "Not a directory"
        raise PreprocessError(f"config: results: {folder} cannot be written ({why}); choose another folder")


def check_writable(folder: Path) -> None:
    """Make the results folder; refuse one that cannot be written.

    Raises:
        PreprocessError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PreprocessError(
            f"config: results: {folder} cannot be written ({error.strerror}); choose another folder"
        ) from error
