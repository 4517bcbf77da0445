"""The audit pages: one per dataset, and the index of all."""

from __future__ import annotations

import inspect
from collections import Counter, defaultdict
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from preprocess import __version__, recipe, sources
from preprocess.audit import pictures
from preprocess.decisions import DECISIONS, EVIDENCE, PROTOCOLS
from preprocess.files import read_json, write_json, write_text
from preprocess.reasons import REASONS
from preprocess.recipe import Recipe
from preprocess.split import SPLITS
from preprocess.table import Sample, read_rows, read_samples

#: how many excluded samples of one reason are named
EXAMPLES = 10
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


def summarise(
    in_force: Recipe,
    samples_table: Path,
    excluded_table: Path,
    provenance: dict[str, Any],
    findings: list[dict[str, Any]],
) -> dict[str, Any]:
    """All the audit says of one dataset, as plain values: its part of ``audit.json``."""
    rows = list(read_rows(samples_table))
    excluded: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_rows(excluded_table):
        excluded[row["reason"]].append(row)
    names: list[str] = in_force.about["label"]["classes"]
    return {
        "dataset": in_force.name,
        "title": in_force.about["title"],
        "source": in_force.source,
        "modality": in_force.about["modality"],
        "task": in_force.about["task"],
        "licence": in_force.about["licence"],
        "group": in_force.about["group"],
        "protocol": in_force.protocol,
        "classes": names,
        "counts": {split: sum(row["split"] == split for row in rows) for split in SPLITS},
        "published": in_force.about["published"],
        "class_counts": {
            split: _class_counts(names, [row for row in rows if row["split"] == split]) for split in SPLITS
        },
        "decisions": _decisions(in_force),
        "raw_forms": _forms(rows),
        "excluded": {
            reason: {"count": len(members), "meaning": REASONS[reason].meaning, "examples": members[:EXAMPLES]}
            for reason, members in sorted(excluded.items())
        },
        "findings": findings,
        "errors": _open(findings, "error"),
        "warnings": _open(findings, "warning"),
        "verdict": provenance["verdict"],
        "versions": provenance["versions"],
        "commit": provenance["commit"],
        "config": provenance["config"],
        "sums": provenance["sums"],
    }


def _open(findings: list[dict[str, Any]], level: str) -> int:
    return sum(finding["level"] == level and not finding.get("excepted") for finding in findings)


def _class_counts(names: list[str], rows: list[dict[str, str]]) -> list[int]:
    """Samples of each class; positives of each label in a multi-label set."""
    labels = np.array([row["label"].split() for row in rows], np.int64)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return [int(value) for value in labels.sum(axis=0)]
    return [int(value) for value in np.bincount(labels.ravel(), minlength=len(names))]


def _decisions(in_force: Recipe) -> list[dict[str, Any]]:
    written = recipe.read(in_force.name)["decisions"]
    return [
        {
            "key": key,
            "meaning": DECISIONS[key].meaning,
            "protocols": _protocols(written.get(key, {})),
            "in_force": {"value": choice.value, "evidence": choice.evidence, "why": choice.why, "note": choice.note},
        }
        for key, choice in in_force.decisions.items()
    ]


def _protocols(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry.get("both") or entry.get(name) for name in PROTOCOLS}


def _forms(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Formats and modes of the raw files with the range of their sizes."""
    counts: Counter[str] = Counter()
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        words = row["raw_form"].split()
        size = next((word for word in words if word[:1].isdigit() and "x" in word), "")
        kind = " ".join(word for word in words if word != size)
        counts[kind] += 1
        sizes[kind][size] += 1
    return [
        {"kind": kind, "count": count, "sizes": len(sizes[kind]), "most": sizes[kind].most_common(3)}
        for kind, count in counts.most_common()
    ]


@dataclass(frozen=True)
class Picked:
    """Where the pictures of a page come from: raw folder, an npz and its size, samples table, montage."""

    raw: Path
    npz: Path
    size: int
    samples: Path
    montage: Path


def write_page(in_force: Recipe, picked: Picked, summary: dict[str, Any], out: Path) -> None:
    """Write the page of one dataset, pictures embedded."""
    rows = list(read_rows(picked.samples))
    wanted = {key for finding in summary["findings"] for example in finding["examples"] for key in example}
    shown = _example(picked.samples)
    text = _environment().get_template("dataset.html.j2").render(
        page=summary,
        grades=GRADES,
        montage=pictures.embed_file(picked.montage),
        pictures=pictures.of_samples(picked.npz, rows, wanted),
        where={row["key"]: f"{row['split']} {row['index']}" for row in rows},
        balance=pictures.class_balance(summary["classes"], summary["class_counts"]),
        alternatives=pictures.alternatives(in_force, picked.raw, shown, picked.size),
        sample=shown,
        size=picked.size,
        documentation=inspect.cleandoc(sources.get(in_force.source).__doc__ or ""),
        version=__version__,
    )  # fmt: skip
    write_text(out, text)


def _example(samples_table: Path) -> Sample:
    """The first sample of the test set, or of all where the test set is empty."""
    first = None
    for sample in read_samples(samples_table):
        first = first or sample
        if sample.split == "test":
            return sample
    assert first is not None
    return first


def write_index(summaries: list[Path], page: Path, data: Path) -> None:
    """Write ``index.html`` and ``audit.json`` from the summaries of all datasets."""
    datasets = [read_json(path) for path in summaries]
    write_json(data, {"version": __version__, "datasets": {one["dataset"]: one for one in datasets}})
    write_text(page, _environment().get_template("index.html.j2").render(datasets=datasets, version=__version__))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(resources.files("preprocess") / "audit" / "templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = "{:,}".format
    return environment
