"""The audit pages: one per dataset, and the index of all."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocess import __version__, packed, sources, web
from preprocess.audit import alternatives, montage, pictures
from preprocess.audit.files import BuildFiles
from preprocess.audit.plain import plain, typed
from preprocess.audit.provenance import Change, Provenance
from preprocess.audit.summary import PLACES, DatasetSummary, summarise
from preprocess.decisions import EVIDENCE, shown
from preprocess.files import read_json, write_json, write_text
from preprocess.published import SPLITS
from preprocess.recipe import Recipe
from preprocess.table import Sample, read_rows, sample_of

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
TEST = SPLITS[-1]


@dataclass(frozen=True)
class Leftover:
    """A file in the results folder that no dataset of the index accounts for, and why it is not attested."""

    file: str
    why: str = "left over from another build; in no list of checksums"


@dataclass(frozen=True)
class Notice:
    """What a reader must know before anything else: it stands at the top of a page.

    Attributes:
        kind: ``rehearsal``, ``changed``, ``incomplete`` or ``leftovers``.
        title: what it is about.
        lines: the particulars.
    """

    kind: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Audited:
    """A finished build with all that its page says of it.

    Attributes:
        recipe: the one in force.
        files: the build; the page shows its smallest npz.
        index: the table of every sample of the source.
        sizes: all sizes of the build.
        seed: draws the samples that are rendered with other decisions.
        made: its provenance, the findings in it marked where they are signed off.
    """

    recipe: Recipe
    files: BuildFiles
    index: Path
    sizes: Sequence[int]
    seed: int
    made: Provenance


def write_dataset(build: Audited, page: Path, data: Path, sheet: Path, workers: int = 1) -> None:
    """Write the page of one dataset, pictures embedded, what it says as JSON, and its montage as a picture.

    Args:
        build: what is shown.
        page: where the page goes.
        data: where the JSON goes, its part of ``audit.json``.
        sheet: where the montage goes.
        workers: processes that render samples with other decisions.
    """
    in_force, files = build.recipe, build.files
    size = min(files.npz)
    npz = files.npz[size]
    facts = packed.read(files.packed[size], with_cells=False)
    rows = list(read_rows(files.samples))
    summary = summarise(in_force, files, rows, build.made)
    wanted = {key for finding in summary.findings for example in finding.examples for key in example}
    example = next((number for number, row in enumerate(rows) if row["split"] == TEST), 0)
    most = alternatives.how_many(in_force, build.sizes, len(rows))
    chosen = alternatives.choose(rows, example, build.index, build.seed, most)
    shown_sample = next(sample for sample in chosen if sample.key == rows[example]["key"])
    classes = montage.by_class(in_force, npz, facts)
    montage.montage(classes, sheet, montage.marks(summary.miniature, bool(summary.rehearsal)))
    text = web.environment("preprocess.audit").get_template("dataset.html.j2").render(
        page=summary,
        miniature=summary.miniature,
        notices=notices([summary]),
        grades=GRADES,
        places=PLACES,
        montage=[
            (name, [(rows[row]["key"], pictures.embed(tile)) for row, tile in tiles.items()]) for name, tiles in classes
        ],
        files=_files_beside(summary, files),
        pictures=pictures.of_samples(npz, facts, rows, wanted),
        of_row=_rows_shown(in_force, rows, {*wanted, *(rows[row]["key"] for _, tiles in classes for row in tiles)}),
        trace=_trace(build.made.command),
        shares={split: _shares(counts) for split, counts in summary.class_counts.items()},
        alternatives=alternatives.alternatives(in_force, files.raw, chosen, shown_sample, size, build.sizes, workers),
        chosen=len(chosen),
        samples=len(rows),
        sample=shown_sample,
        size=size,
        sizes=build.sizes,
        documentation=inspect.cleandoc(sources.get(in_force.dataset.reader).__doc__ or ""),
        version=__version__,
    )  # fmt: skip
    write_text(page, text)
    write_json(data, plain(summary))


def _shares(counts: Sequence[int]) -> list[float]:
    """Each class's share of a split, in percent."""
    total = max(sum(counts), 1)
    return [100 * count / total for count in counts]


def labelled(in_force: Recipe, sample: Sample) -> str:
    """A sample's label with the names of its classes."""
    held = [in_force.dataset.classes[place] for place in sample.classes]
    return f"{sample.label} ({', '.join(held) or 'no finding'})"


def _rows_shown(in_force: Recipe, rows: Sequence[dict[str, str]], keys: set[str]) -> dict[str, dict[str, str]]:
    """What the page says of the rows whose pictures it shows, by their keys."""
    found = {}
    for row in rows:
        if row["key"] in keys:
            sample = sample_of(dict(row))
            found[sample.key] = {
                "where": f"{sample.split} {sample.index}",
                "row": f"{in_force.name}/{sample.split}/{sample.index}",
                "label": labelled(in_force, sample),
                "raw": sample.path,
            }
    return found


def _trace(command: str) -> str:
    """What traces rows of a build, from what builds it: the same configuration; the rows are still to be named."""
    words = shlex.split(command)
    words[words.index("--cores") + 1 : words.index("--cores") + 3] = ["1", "trace"]
    return shlex.join([*words, *(["--config"] if "--config" not in words else [])])


def _files_beside(summary: DatasetSummary, files: BuildFiles) -> dict[str, str]:
    """The files of the build by their names, as addresses from the page's folder."""
    tables = ("samples.tsv", "excluded.tsv", "unmatched.tsv", "provenance.json")
    names = [
        *sorted(
            {name.partition(" ")[2].partition(":")[0] for name in summary.sums}
            | {path.name for path in files.npz.values()}
        )
    ]
    names += [f"{summary.dataset}.{table}" for table in tables]
    return {name: f"../{name}" for name in names} | {f"splits/{summary.dataset}": f"../splits/{summary.dataset}/"}


def write_index(
    summaries: Sequence[Path], picture: Path, leftovers: Sequence[Leftover], page: Path, data: Path
) -> None:
    """Write ``index.html`` and ``audit.json``.

    Args:
        summaries: each dataset's part of ``audit.json``.
        picture: the picture of all datasets.
        leftovers: files of the results folder that no dataset of the index accounts for; shown, and listed in the JSON.
        page: where the index goes.
        data: where the JSON goes.
    """
    contents = [read_json(path) for path in summaries]
    datasets = [typed(DatasetSummary, content) for content in contents]
    write_json(
        data,
        {
            "version": __version__,
            "leftovers": plain(list(leftovers)),
            "datasets": {content["dataset"]: content for content in contents},
        },
    )
    text = web.environment("preprocess.audit").get_template("index.html.j2").render(
        datasets=datasets,
        miniature=any(one.miniature for one in datasets),
        notices=[*notices(datasets), *_of_leftovers(leftovers)],
        picture=web.png_file_uri(picture),
        version=__version__,
    )  # fmt: skip
    write_text(page, text)


def notices(datasets: Sequence[DatasetSummary]) -> list[Notice]:
    """What was changed in a build and what it lacks; of several, with the dataset's name before each line."""
    before = {one.dataset: f"{one.dataset}: " if len(datasets) > 1 else "" for one in datasets}
    variant = next((one.variant for one in datasets if one.variant), "")
    changed = [f"{before[one.dataset]}{_told(change)}" for one in datasets for change in one.changed]
    lacking = [f"{before[one.dataset]}{line}" for one in datasets for line in one.incomplete]
    found = []
    if rehearsed := [f"{before[one.dataset]}{_drawn(one)}" for one in datasets if one.rehearsal]:
        found.append(Notice("rehearsal", "Rehearsal: a sample of the raw files, not a build", tuple(rehearsed)))
    if variant or changed:
        title = f"Variant {variant}" if variant else "Changed decisions"
        nothing = "nothing that is shown here; the variant changes other datasets"
        found.append(Notice("changed", f"{title}: not the protocol's own decisions", tuple(changed or [nothing])))
    if lacking:
        found.append(Notice("incomplete", "Incomplete: not built from all raw files", tuple(lacking)))
    return found


def _drawn(one: DatasetSummary) -> str:
    rows = sum(one.counts.values())
    return f"{rows:,} samples, drawn by split and class to see every step at work; nothing here is the dataset"


def _told(change: Change) -> str:
    default = "not set" if change.default is None else shown(change.default)
    return f"{change.key}: {shown(change.value)} (default: {default})"


def _of_leftovers(leftovers: Sequence[Leftover]) -> list[Notice]:
    if not leftovers:
        return []
    lines = tuple(f"{one.file}: {one.why}" for one in leftovers)
    return [Notice("leftovers", "Leftovers: files in this folder that belong to no dataset shown here", lines)]
