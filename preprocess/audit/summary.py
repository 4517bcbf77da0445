"""What the audit says of one dataset: its part of ``audit.json``, and the content of its page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from preprocess import published, recipe
from preprocess.acquire import registry
from preprocess.audit import licences
from preprocess.audit.files import BuildFiles
from preprocess.audit.findings import Finding, open_checks
from preprocess.audit.provenance import Change, DecisionRecord, Provenance, RawFileRecord
from preprocess.decisions import DECISIONS, PROTOCOLS, pointer
from preprocess.published import SPLITS
from preprocess.reasons import REASONS
from preprocess.recipe import Recipe
from preprocess.table import read_rows

Row = dict[str, str]

#: how many excluded samples of one reason are named
EXAMPLES = 10
#: how many sizes of raw files, or spacings, are named
FREQUENT = 3
#: pairs of splits, and what lies within one
PLACES = (*(f"{first}-{second}" for first, second in combinations(SPLITS, 2)), "within")


@dataclass(frozen=True)
class LicenceRecord:
    """A source's licence, its grade, and where that comes from."""

    name: str
    grade: str
    why: str


@dataclass(frozen=True)
class SourceRecord:
    """Where the raw files come from.

    Attributes:
        name: the source's name in this project.
        title: what its holders call it.
        landing: the address of its page.
        licence: its licence.
        terms: what else its holders ask for.
        citation: how it is cited.
        stands_in_for: for stand-ins the real source's title; all but the name is empty then, because nothing of
            it holds for drawings.
    """

    name: str
    title: str = ""
    landing: str = ""
    licence: LicenceRecord | None = None
    terms: str = ""
    citation: str = ""
    stands_in_for: str = ""


@dataclass(frozen=True)
class EditionRows:
    """Rows of each split in one published edition, and whether it is the one the paper describes."""

    versions: str
    paper: bool
    change: str
    counts: dict[str, int]


@dataclass(frozen=True)
class PublishedClasses:
    """Published samples of each class of a split; no number where nobody published them, and why."""

    classes: tuple[int | str, ...]
    evidence: str
    why: str


@dataclass(frozen=True)
class DecisionSummary:
    """One decision: what it means, what each protocol decides, and what is in force."""

    key: str
    meaning: str
    protocols: dict[str, DecisionRecord | None]
    in_force: DecisionRecord

    @property
    def both(self) -> bool:
        """Whether both protocols decide the same, for the same reason."""
        first, *others = self.protocols.values()
        return all(one == first for one in others)


@dataclass(frozen=True)
class FormSummary:
    """Raw files of one format and mode: how many, in how many sizes, and the most frequent of these."""

    kind: str
    count: int
    sizes: int
    most: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class SpacingSummary:
    """What a column says of voxel spacing: how many samples and values, the most frequent, and ranges by axis."""

    column: str
    count: int
    values: int
    most: tuple[tuple[str, int], ...]
    ranges: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ExcludedSummary:
    """Samples left out for one reason: how many, what the reason means, and some of them."""

    count: int
    meaning: str
    examples: tuple[Row, ...]


@dataclass(frozen=True)
class LeakageSummary:
    """What lies in two splits, by pair of splits; ``counts`` is None where that cannot be known."""

    check: str
    what: str
    counts: dict[str, int] | None


@dataclass(frozen=True)
class DatasetSummary:
    """All the audit says of one dataset.

    The first fields say what the build is; see :class:`preprocess.audit.provenance.Provenance` for those that
    are taken from it (``miniature`` to ``current``, and ``archives`` to ``sums``).
    """

    dataset: str
    miniature: bool
    rehearsal: int
    variant: str
    changed: tuple[Change, ...]
    incomplete: tuple[str, ...]
    order: str
    current: str
    title: str
    modality: str
    task: str
    licence: str
    group: str
    protocol: str
    source: SourceRecord
    counts: dict[str, int]
    published: tuple[EditionRows, ...]
    classes: tuple[str, ...]
    class_counts: dict[str, tuple[int, ...]]
    class_counts_published: dict[str, PublishedClasses]
    decisions: tuple[DecisionSummary, ...]
    raw_forms: tuple[FormSummary, ...]
    spacings: tuple[SpacingSummary, ...]
    excluded: dict[str, ExcludedSummary]
    findings: tuple[Finding, ...]
    leakage: tuple[LeakageSummary, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    archives: dict[str, RawFileRecord]
    verdict: dict[str, Any]
    versions: dict[str, str]
    commit: str
    config: dict[str, Any]
    command: str
    sums: dict[str, str]


def summarise(in_force: Recipe, files: BuildFiles, rows: list[Row], made: Provenance) -> DatasetSummary:
    """Put together what the page of a build and ``audit.json`` say.

    Args:
        in_force: the recipe.
        files: the build.
        rows: the rows of its samples table.
        made: its provenance, the findings in it marked where they are signed off.
    """
    about = in_force.dataset
    names = about.classes
    splits = {split: [row for row in rows if row["split"] == split] for split in SPLITS}
    return DatasetSummary(
        dataset=in_force.name,
        miniature=made.miniature,
        rehearsal=made.rehearsal,
        variant=made.variant,
        changed=made.changed,
        incomplete=made.incomplete,
        order=made.order,
        current=made.current,
        title=about.title,
        modality=about.modality,
        task=about.task,
        licence=licences.DRAWN if made.miniature else about.licence,
        group=about.group,
        protocol=in_force.protocol,
        source=source(in_force.source, made.miniature),
        counts={split: len(members) for split, members in splits.items()},
        published=_published(in_force),
        classes=names,
        class_counts={split: _class_counts(names, members) for split, members in splits.items()},
        class_counts_published=_class_counts_published(in_force.name),
        decisions=_decisions(in_force, made),
        raw_forms=_forms(rows),
        spacings=_spacings(rows),
        excluded=_excluded(files),
        findings=made.findings,
        leakage=_leakage(about.group, made.findings),
        errors=tuple(open_checks(made.findings, "error")),
        warnings=tuple(open_checks(made.findings, "warning")),
        archives=made.raw.archives,
        verdict=made.verdict,
        versions=made.versions,
        commit=made.commit,
        config=made.config,
        command=made.command,
        sums=made.sums,
    )


def source(name: str, miniature: bool) -> SourceRecord:
    """What is known of a source; of its stand-in, only what it stands in for."""
    content = registry.one(name).content
    if miniature:
        return SourceRecord(name, stands_in_for=content["title"])
    licence = content["licence"]
    return SourceRecord(
        name=name,
        title=content["title"],
        landing=content.get("landing", ""),
        licence=LicenceRecord(licence["name"], licence["grade"], licence["why"]),
        terms=content.get("terms", ""),
        citation=content.get("citation", ""),
    )


def _published(in_force: Recipe) -> tuple[EditionRows, ...]:
    """Rows of each split in every published edition, the one in force first."""
    paper = published.paper(in_force.name)
    known = tuple(
        EditionRows(
            versions=edition.versions,
            paper=edition is paper,
            change=edition.change,
            counts={split: edition.counts[split].rows for split in SPLITS},
        )
        for edition in reversed(published.editions(in_force.name))
    )
    if known or in_force.dataset.published is None:
        return known
    counts = {split: in_force.dataset.published[split] for split in SPLITS}
    return (EditionRows("published", paper=False, change="", counts=counts),)


def _class_counts(names: tuple[str, ...], rows: list[Row]) -> tuple[int, ...]:
    """Samples of each class; positives of each label in a multi-label set."""
    labels = np.array([row["label"].split() for row in rows], np.int64)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return tuple(int(value) for value in labels.sum(axis=0))
    return tuple(int(value) for value in np.bincount(labels.ravel(), minlength=len(names)))


def _class_counts_published(name: str) -> dict[str, PublishedClasses]:
    """The published counts by class of each split, with their grade; nothing for a set that was never published."""
    edition = published.current(name)
    return {
        split: PublishedClasses(counts.classes, counts.evidence, counts.why)
        if counts.classes
        else PublishedClasses((), "unknown", counts.why or "no public source gives this split by class")
        for split, counts in (edition.counts if edition else {}).items()
    }


def _decisions(in_force: Recipe, made: Provenance) -> tuple[DecisionSummary, ...]:
    written = recipe.read(in_force.name)["decisions"]
    return tuple(
        DecisionSummary(
            key=key,
            meaning=DECISIONS[key].meaning,
            protocols={name: _of_protocol(in_force.name, key, written.get(key, {}), name) for name in PROTOCOLS},
            in_force=made.recipe.decisions[key],
        )
        for key in in_force.decisions
    )


def _of_protocol(dataset: str, key: str, entry: dict[str, Any], protocol: str) -> DecisionRecord | None:
    """What a protocol decides, and why that is not in force where its other decisions leave it nothing to decide."""
    choice = entry.get("both") or entry.get(protocol)
    if choice is None:
        return None
    idle = recipe.load(dataset, protocol).idle(key)
    source = pointer(choice["source"]) if "source" in choice else None
    return DecisionRecord(
        choice["value"], choice["evidence"], choice["why"], choice.get("note", ""), not_in_force=idle, source=source
    )


def _forms(rows: list[Row]) -> tuple[FormSummary, ...]:
    """Formats and modes of the raw files with their most frequent sizes."""
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        words = row["raw_form"].split()
        size = next((word for word in words if word[:1].isdigit() and "x" in word), "")
        sizes[" ".join(word for word in words if word != size)][size] += 1
    return tuple(
        FormSummary(kind, counts.total(), len(counts), tuple(counts.most_common(FREQUENT)))
        for kind, counts in sorted(sizes.items(), key=lambda item: -item[1].total())
    )


def _spacings(rows: list[Row]) -> tuple[SpacingSummary, ...]:
    """What the source says of the distance of its samples' voxels: every column named after a spacing."""
    columns = [name for name in (rows[0] if rows else ()) if "spacing" in name]
    counted = {name: Counter(row[name] for row in rows if row[name]) for name in columns}
    return tuple(
        SpacingSummary(name, values.total(), len(values), tuple(values.most_common(FREQUENT)), _ranges(values))
        for name, values in counted.items()
    )


def _ranges(values: Counter[str]) -> tuple[tuple[float, float], ...]:
    """The least and greatest number in each place of texts such as ``0.7 0.7 5``; nothing where they are others."""
    try:
        places = list(zip(*(map(float, text.split()) for text in values), strict=True))
    except ValueError:
        return ()
    return tuple((min(numbers), max(numbers)) for numbers in places)


def _excluded(files: BuildFiles) -> dict[str, ExcludedSummary]:
    by_reason: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(files.excluded):
        by_reason[row["reason"]].append(row)
    return {
        reason: ExcludedSummary(len(members), REASONS[reason].meaning, tuple(members[:EXAMPLES]))
        for reason, members in sorted(by_reason.items())
    }


def _leakage(group: str, findings: Iterable[Finding]) -> tuple[LeakageSummary, ...]:
    """What straddles each pair of splits, by kind."""
    kinds = {
        "groups": f"{group}s" if group != "none" else "patients or the like",
        "duplicates": "pixel-identical pairs",
        "near-duplicates": "pairs that look alike",
    }
    table = []
    for check, what in kinds.items():
        known = [one.counts for one in findings if one.check == check and one.counts is not None]
        total: Counter[str] = Counter()
        for counts in known:
            total.update(counts)
        table.append(LeakageSummary(check, what, dict(total) if known else None))
    return tuple(table)
