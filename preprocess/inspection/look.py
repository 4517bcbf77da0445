"""Looking at one source: the survey of its files, what each dataset would be built from, and what it is in one word."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from preprocess import __version__, environment, index, order, recipe
from preprocess import miniature as stand_ins
from preprocess.acquire import estimate, inventory, recognise, registry
from preprocess.acquire.digests import DigestCache
from preprocess.errors import PreprocessError
from preprocess.inspection import expected, masking
from preprocess.inspection.report import Counted, Dataset, Layout, Report, Trouble, histograms
from preprocess.inspection.survey import EVERY, Progress, Survey, survey
from preprocess.reading.archives import Raw, is_tar, is_zip
from preprocess.recipe import Recipe
from preprocess.table import Sample

#: names looked at for a layout; every known one shows itself long before
_NAMES = 20_000
#: further messages of a reader that a report takes, and files that cannot be read
_MESSAGES, _TROUBLES = 10, 20


@dataclass(frozen=True)
class Wish:
    """What one look is to say.

    Attributes:
        source: the source.
        root: the folder that holds the folders of all sources.
        protocol: the decisions that builds would take.
        overrides: a user's own, by dataset.
        sizes, sizes_3d: the sizes that builds would have.
        seed: picks the files that are opened.
        miniature: whether these are stand-ins.
        cache: where checksums of raw files are remembered.
    """

    source: str
    root: Path
    protocol: str
    overrides: dict[str, dict[str, object]]
    sizes: tuple[int, ...]
    sizes_3d: tuple[int, ...]
    seed: int
    miniature: bool
    cache: Path


def look(wish: Wish, say: Progress, every: float = EVERY) -> Report:
    """Look at one source and say what is there; it raises nothing that a file could cause.

    Args:
        wish: what to look at.
        say: takes a line of progress.
        every: seconds between two such lines.
    """
    start = time.monotonic()
    about = registry.load(None if wish.miniature else wish.root)[wish.source]
    first = recipe.dataset(about.datasets[0])
    folder = registry.raw_folder(first, wish.root, wish.miniature)
    if not folder.is_dir():
        found, datasets, layouts = Survey(), [], []
    else:
        with Raw(folder) as raw:
            found = survey(wish.source, first.reader, raw, wish.seed, say, every)
            layouts = _layouts(found, wish.source)
            datasets = (
                [_dataset(name, raw, wish, found, say) for name in about.datasets]
                if found.files or found.archives
                else []
            )
    stock = inventory.take(about, wish.root, DigestCache(wish.cache, wish.source, wish.root))
    compared = [] if wish.miniature else expected.compare(wish.source, found.seen)
    say(f"{wish.source}: looked at in {time.monotonic() - start:.0f} s")
    state, why = _state(found, datasets, layouts, about)
    return Report(
        source=wish.source,
        title=about.content["title"],
        stand_in=wish.miniature,
        state=state,
        why=why,
        versions={"medmnist-rebuild": __version__, **environment.versions()},
        platform=sys.platform,
        protocol=wish.protocol,
        known_files="a stand-in: not compared" if wish.miniature else _known(about, stock, wish.root),
        layouts=tuple(layouts),
        files=found.files,
        bytes_stored=found.stored,
        bytes_unpacked=found.size,
        archives=tuple(found.archives),
        patterns=found.patterns,
        kinds=dict(sorted(found.kinds.items())),
        names_twice=found.twice,
        opened=found.opened,
        by_header=found.by_header,
        unreadable=tuple(Trouble(*one) for one in found.unreadable[:_TROUBLES]),
        unreadable_count=len(found.unreadable),
        headers=histograms(found.traits.values()),
        expected=tuple(
            Counted(
                f"{one.header.trait} ({f'{one.header.kind} {one.header.match}'.strip()})",
                one.header.told, one.header.grade, one.fit, one.others,
            )
            for one in compared
        ),
        datasets=tuple(datasets),
        traceback=tuple(found.traceback),
    )  # fmt: skip


def _known(about: registry.Source, stock: inventory.Stock, root: Path) -> str:
    """What of the files that the registry names is there, in words that name published files only."""
    there = len(about.needed) - len(stock.absent)
    told = [f"{stock.state}: {there} of {len(about.needed)} published files are there, or what may be in them"]
    if about.needed and stock.absent:
        told.append(f"not {', '.join(file.name for file in stock.absent[:6])}{' ...' if stock.absent[6:] else ''}")
    size, exact = about.about()
    if size:
        whole = f"{inventory.gigabytes(size)}{'' if exact else ', roughly'}"
        told.append(f"{inventory.gigabytes(stock.size)} of {whole}")
    told += [masking.message(remark, root) for remark in stock.remarks[:3]]
    return "; ".join(told)


def _layouts(found: Survey, source: str) -> list[Layout]:
    """The known layouts that names fit: the source's own first, then those of others."""
    step = max(1, len(found.names) // _NAMES)
    names = [name.partition("!/")[2] or name for name in found.names[::step]] + found.names[::step]
    layouts = recognise.recognise(dict.fromkeys(names), registry.load())
    return sorted(
        (Layout(one.source, one.name, one.usable) for one in layouts),
        key=lambda one: (one.source != source, one.source),
    )


class _Messages(logging.Handler):
    """What readers log, masked."""

    def __init__(self, root: Path) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self._root = root

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < _MESSAGES:
            self.lines.append(masking.message(record.getMessage(), self._root))


@contextlib.contextmanager
def _listening(root: Path) -> Iterator[list[str]]:
    """What the readers say within the block, instead of to the terminal."""
    logger, handler = logging.getLogger("preprocess"), _Messages(root)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _dataset(name: str, raw: Raw, wish: Wish, found: Survey, say: Progress) -> Dataset:
    """What a dataset would be built from, by the very reader that a build runs."""
    in_force = recipe.load(name, wish.protocol, wish.overrides.get(name))
    known = stand_ins.census(name) if wish.miniature else in_force.dataset.census
    sizes = wish.sizes if in_force.dimensions == 2 else wish.sizes_3d
    price = estimate.cost(name, sizes)
    say(f"{wish.source}: counting the samples of {name}")
    samples: list[Sample] = []
    census = [(what, count, None) for what, count in (known or {}).items()]
    why = ""
    with _listening(wish.root) as messages:
        try:
            indexed = index.build(in_force, raw.root, "warn", known, raw)
            samples, census = indexed.samples, list(indexed.census)  # type: ignore[arg-type]
        except PreprocessError as error:
            why = masking.message(str(error), wish.root)
        except Exception as error:  # as in a survey: a report, whatever a file holds
            why = f"unexpected error: {type(error).__name__}"
            found.traceback = found.traceback or masking.trace(error, wish.root)
    left_out = Counter(sample.reason for sample in samples if sample.reason)
    differs = any(count != there for _, count, there in census)
    damaged = next((one for one in found.archives if one.error), None)
    if not why and damaged is not None:
        why = f"{damaged.name} cannot be listed"
    if why:
        builds = "no"
    elif differs or left_out["missing"] or left_out["unreadable"]:
        builds, why = "with census: warn", "counts differ, or files are missing"
    else:
        builds = "yes"
    return Dataset(
        name=name,
        builds=builds,
        why=why,
        counts=tuple(census),
        samples=sum(not sample.reason for sample in samples),
        by_class=_by_class(in_force, samples),
        left_out=dict(sorted(left_out.items())),
        falls_back=tuple(_fallbacks(in_force, samples, wish)),
        messages=tuple(messages),
        scratch=price.scratch,
        output=price.output,
        cpu_hours=round(price.seconds / 3600, 2),
        basis=price.basis,
    )


def _by_class(in_force: Recipe, samples: list[Sample]) -> dict[str, int]:
    """Samples of each class, of a multi-label set those that have each label."""
    classes = in_force.dataset.classes
    counts = Counter[int]()
    for sample in samples:
        if not sample.reason:
            counts.update(sample.classes)
    return {name: counts[place] for place, name in enumerate(classes)}


def _fallbacks(in_force: Recipe, samples: list[Sample], wish: Wish) -> Iterator[str]:
    """The decisions that cannot be in force as they stand, and what stands for them."""
    for line in recipe.fallbacks(in_force):
        yield line.removeprefix(f"{in_force.name}: ")
    if in_force.value("order") == "table" and (wish.miniature or order.find(in_force.name, wish.root) is None):
        yield "order: no order table is at hand: rows are in a seeded order, and splits follow the rule"
    if in_force.value("mask") == "ribs" and any(sample.attributes.get("ribs") == "none" for sample in samples):
        yield "mask: no mask of the ribs is at hand: the volumes show everything"


def _state(found: Survey, datasets: list[Dataset], layouts: list[Layout], about: registry.Source) -> tuple[str, str]:
    """What is there in one word, and why: see :data:`preprocess.inspection.report.STATES`."""
    if not found.files and not found.archives:
        return "missing", "no file is there"
    if damaged := [one for one in found.archives if one.error]:
        return "broken", f"{damaged[0].name}: {damaged[0].error}"
    source = about.name
    own = [one for one in layouts if one.source == source]
    listed = {file.name for file in about.files if not (is_zip(file.name) or is_tar(file.name))}
    if not any(one.samples for one in datasets):
        if own and not any(one.usable for one in own):
            return "unusable", f"it is {own[0].name}"
        other = [one for one in layouts if one.source != source and one.usable]
        if own or any(name.rpartition("/")[2] in listed for name in found.names):
            return ("broken", _first(found)) if found.unreadable else ("incomplete", datasets[0].why)
        told = f"; it looks like {other[0].source}: {other[0].name}" if other else ""
        return "foreign", f"no known layout of {source}, and no sample of it{told}"
    if found.unreadable:
        return "broken", _first(found)
    if bad := next((one for one in datasets if one.left_out.get("unreadable")), None):
        return "broken", f"{bad.left_out['unreadable']:,} samples of {bad.name} cannot be read"
    served = [one for one in datasets if one.samples]
    fewer = [one for one in served if _fewer(one)]
    if fewer:
        return "incomplete", f"fewer than the known counts for {', '.join(one.name for one in fewer)}"
    if any(one.builds != "yes" for one in served):
        return "different", f"other counts than the known ones for {', '.join(one.name for one in served)}"
    without = [one.name for one in datasets if not one.samples]
    return "complete", f"all known counts{f', and nothing for {chr(44).join(without)}' if without else ''}"


def _first(found: Survey) -> str:
    _, where, cause = found.unreadable[0]
    return (
        f"{len(found.unreadable)} of {found.opened + found.by_header} files looked at cannot be read; {where}: {cause}"
    )


def _fewer(one: Dataset) -> bool:
    fewer = any(there is not None and there < count for _, count, there in one.counts)
    return fewer or bool(one.left_out.get("missing"))
