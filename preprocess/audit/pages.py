"""The audit pages: one per dataset, and the index of all."""

from __future__ import annotations

import inspect
from collections import Counter, defaultdict
from dataclasses import dataclass
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from preprocess import __version__, published, recipe, sources
from preprocess.acquire import registry
from preprocess.audit import montage, pictures
from preprocess.decisions import DECISIONS, EVIDENCE, PROTOCOLS, shown
from preprocess.files import read_json, write_json, write_text
from preprocess.reasons import REASONS
from preprocess.recipe import Recipe
from preprocess.split import SPLITS
from preprocess.table import Sample, read_rows, read_samples

Row = dict[str, str]

#: how many excluded samples of one reason are named
EXAMPLES = 10
#: how many sizes of raw files, or spacings, are named
FREQUENT = 3
GRADES = {
    "bytes": "reproduces published bytes or pixels",
    "counts": "reproduces a published count exactly",
    "read": "read or measured in a public source",
    "consistent": "fits everything published, but other explanations fit too",
    "assumed": "no evidence or only analogy: a declared default",
    "unknown": "nothing found",
    "override": "changed in this run's configuration",
}
assert set(EVIDENCE) <= set(GRADES)
#: pairs of splits, and what lies within one
PLACES = (*(f"{first}-{second}" for first, second in combinations(SPLITS, 2)), "within")


@dataclass(frozen=True)
class Built:
    """The files of one build a page is made from: raw folder, an npz and its size, both tables, provenance."""

    raw: Path
    npz: Path
    size: int
    samples: Path
    excluded: Path
    provenance: dict[str, Any]


def write_dataset(in_force: Recipe, built: Built, findings: list[dict[str, Any]], page: Path, data: Path) -> None:
    """Write the page of one dataset, pictures embedded, and what it says as JSON: its part of ``audit.json``."""
    rows = list(read_rows(built.samples))
    summary = _summary(in_force, built, rows, findings)
    wanted = {key for finding in findings for example in finding["examples"] for key in example}
    example = _example(built.samples)
    text = _environment().get_template("dataset.html.j2").render(
        page=summary,
        grades=GRADES,
        places=PLACES,
        montage=[(name, [pictures.embed(one) for one in some]) for name, some in montage.by_class(in_force, built.npz)],
        pictures=pictures.of_samples(built.npz, rows, wanted),
        where={row["key"]: f"{row['split']} {row['index']}" for row in rows},
        balance=pictures.class_balance(summary["classes"], summary["class_counts"]),
        alternatives=pictures.alternatives(in_force, built.raw, example, built.size),
        sample=example,
        size=built.size,
        documentation=inspect.cleandoc(sources.get(in_force.source).__doc__ or ""),
        version=__version__,
    )  # fmt: skip
    write_text(page, text)
    write_json(data, summary)


def _summary(in_force: Recipe, built: Built, rows: list[Row], findings: list[dict[str, Any]]) -> dict[str, Any]:
    """All the audit says of one dataset, as plain values."""
    about, made = in_force.about, built.provenance
    names: list[str] = about["label"]["classes"]
    excluded: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(built.excluded):
        excluded[row["reason"]].append(row)
    splits = {split: [row for row in rows if row["split"] == split] for split in SPLITS}
    return {
        "dataset": in_force.name,
        "title": about["title"],
        "modality": about["modality"],
        "task": about["task"],
        "licence": about["licence"],
        "group": about["group"],
        "protocol": in_force.protocol,
        "source": {"name": in_force.source} | _source(in_force.source),
        "counts": {split: len(members) for split, members in splits.items()},
        "published": _published(in_force),
        "classes": names,
        "class_counts": {split: _class_counts(names, members) for split, members in splits.items()},
        "class_counts_published": _class_counts_published(in_force.name),
        "decisions": _decisions(in_force, any(row["released_index"] for row in rows)),
        "raw_forms": _forms(rows),
        "spacings": _spacings(rows),
        "excluded": {
            reason: {"count": len(members), "meaning": REASONS[reason].meaning, "examples": members[:EXAMPLES]}
            for reason, members in sorted(excluded.items())
        },
        "findings": findings,
        "leakage": _leakage(about["group"], findings),
        "errors": _open(findings, "error"),
        "warnings": _open(findings, "warning"),
        "archives": made["raw"]["archives"],
        **{key: made[key] for key in ("verdict", "versions", "commit", "config", "command", "sums")},
    }


def _source(name: str) -> dict[str, Any]:
    """What is known of a source: title, landing page, licence with its evidence, terms, citation."""
    content = registry.load()[name].content
    return {key: content.get(key, "") for key in ("title", "landing", "licence", "terms", "citation")}


def _published(in_force: Recipe) -> list[dict[str, Any]]:
    """Rows of each split in every published edition, the one in force first, and which of them the paper has."""
    paper = published.paper(in_force.name)
    known = [
        {
            "versions": edition.versions,
            "paper": edition is paper,
            "change": edition.change,
            "counts": {split: edition.counts[split].rows for split in SPLITS},
        }
        for edition in reversed(published.editions(in_force.name))
    ]
    counts = {split: in_force.about["published"][split] for split in SPLITS}
    return known or [{"versions": "published", "paper": False, "change": "", "counts": counts}]


def _class_counts(names: list[str], rows: list[Row]) -> list[int]:
    """Samples of each class; positives of each label in a multi-label set."""
    labels = np.array([row["label"].split() for row in rows], np.int64)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return [int(value) for value in labels.sum(axis=0)]
    return [int(value) for value in np.bincount(labels.ravel(), minlength=len(names))]


def _class_counts_published(name: str) -> dict[str, dict[str, Any]]:
    """The published counts by class of each split where they are known, with their grade."""
    edition = published.current(name)
    return {
        split: {"classes": list(counts.classes), "evidence": counts.evidence}
        for split, counts in (edition.counts if edition else {}).items()
        if counts.classes
    }


def _decisions(in_force: Recipe, placed: bool) -> list[dict[str, Any]]:
    written = recipe.read(in_force.name)["decisions"]
    return [
        {
            "key": key,
            "meaning": DECISIONS[key].meaning,
            "protocols": {name: _of_protocol(in_force.name, written.get(key, {}), name, key) for name in PROTOCOLS},
            "in_force": {
                "value": choice.value,
                "evidence": choice.evidence,
                "why": choice.why,
                "note": "; ".join(filter(None, (choice.missing, choice.note))),
                "idle": in_force.idle(key, placed),
            },
        }
        for key, choice in in_force.decisions.items()
    ]


def _of_protocol(name: str, entry: dict[str, Any], protocol: str, key: str) -> dict[str, Any] | None:
    """What a protocol decides, and why that is not in force where other decisions put it out."""
    decided = entry.get("both") or entry.get(protocol)
    return decided and decided | {"idle": recipe.load(name, protocol).idle(key)}


def _forms(rows: list[Row]) -> list[dict[str, Any]]:
    """Formats and modes of the raw files with their most frequent sizes."""
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        words = row["raw_form"].split()
        size = next((word for word in words if word[:1].isdigit() and "x" in word), "")
        sizes[" ".join(word for word in words if word != size)][size] += 1
    return [
        {"kind": kind, "count": found.total(), "sizes": len(found), "most": found.most_common(FREQUENT)}
        for kind, found in sorted(sizes.items(), key=lambda item: -item[1].total())
    ]


def _spacings(rows: list[Row]) -> list[dict[str, Any]]:
    """What the source says of the distance of its samples' voxels: every column named after a spacing."""
    found = {
        name: Counter(row[name] for row in rows if row[name]) for name in (rows[0] if rows else ()) if "spacing" in name
    }
    return [
        {"column": name, "count": values.total(), "values": len(values), "most": values.most_common(FREQUENT)}
        | {"ranges": _ranges(values)}
        for name, values in found.items()
    ]  # fmt: skip


def _ranges(values: Counter[str]) -> list[tuple[float, float]]:
    """The least and greatest number in each place of texts such as ``0.7 0.7 5``; nothing where they are others."""
    try:
        places = list(zip(*(map(float, text.split()) for text in values), strict=True))
    except ValueError:
        return []
    return [(min(numbers), max(numbers)) for numbers in places]


def _leakage(group: str, findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What straddles each pair of splits, by kind; ``counts`` is None where that cannot be known."""
    kinds = {
        "groups": f"{group}s" if group != "none" else "patients or the like",
        "duplicates": "pixel-identical pairs",
        "near-duplicates": "pairs alike to the eye",
    }
    table = []
    for check, what in kinds.items():
        known = [one["counts"] for one in findings if one["check"] == check and one["counts"] is not None]
        total: Counter[str] = Counter()
        for counts in known:
            total.update(counts)
        table.append({"check": check, "what": what, "counts": dict(total) if known else None})
    return table


def _open(findings: list[dict[str, Any]], level: str) -> list[str]:
    """The checks with findings of a level that nobody signed off."""
    return [one["check"] for one in findings if one["level"] == level and not one.get("excepted")]


def _example(samples_table: Path) -> Sample:
    """The first sample of the test set, or of all where the test set is empty."""
    first = None
    for sample in read_samples(samples_table):
        first = first or sample
        if sample.split == "test":
            return sample
    assert first is not None
    return first


def write_index(summaries: list[Path], picture: Path, page: Path, data: Path) -> None:
    """Write ``index.html``, with the picture of all datasets, and ``audit.json`` from the datasets' summaries."""
    datasets = [read_json(path) for path in summaries]
    write_json(data, {"version": __version__, "datasets": {one["dataset"]: one for one in datasets}})
    template = _environment().get_template("index.html.j2")
    write_text(page, template.render(datasets=datasets, picture=pictures.embed_file(picture), version=__version__))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(resources.files("preprocess") / "audit" / "templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": "{:,}".format, "shown": shown}
    return environment
