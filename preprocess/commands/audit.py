"""What was built is checked, compared, recorded and shown."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from preprocess.commands import Function
from preprocess.commands.stages import Raw
from preprocess.errors import PreprocessError

if TYPE_CHECKING:
    from preprocess.recipe import Recipe

log = logging.getLogger("preprocess")

Miniature = Annotated[bool, "built from a stand-in"]
Rehearsal = Annotated[int, "how many samples a rehearsal draws; 0 for a build"]


def check(
    recipe: Recipe,
    raw: Raw,
    index: Path,
    counts: Path,
    samples: Path,
    excluded: Path,
    unmatched: Annotated[Path, "rows of the order table without a sample"],
    sizes: list[int],
    npz: list[Path],
    packed: Annotated[list[Path], "what pack saw of each"],
    seed: Annotated[int, "picks the rows that are rendered again"],
    output: Path,
    duplicates: Annotated[Path, "the table of pairs that are the same or look alike"],
    miniature: Miniature = False,
    rehearsal: Rehearsal = 0,
) -> None:
    """Check what was built and write the findings, and the pairs of images that are the same or look alike."""
    from preprocess.audit import checks
    from preprocess.audit.files import BuildFiles, StageTables
    from preprocess.audit.findings import LOG_LEVELS
    from preprocess.audit.plain import plain
    from preprocess.files import write_json

    files = BuildFiles(
        raw, dict(zip(sizes, npz, strict=True)), dict(zip(sizes, packed, strict=True)), samples, excluded
    )
    pairs = checks.alike(files)
    findings = checks.check(recipe, files, StageTables(index, counts, unmatched), pairs, seed, miniature, rehearsal)
    for finding in findings:
        log.log(LOG_LEVELS[finding.level], "%s: %s: %s", recipe.name, finding.check, finding.text)
    checks.write_pairs(files, pairs, duplicates)
    write_json(output, plain(findings))


def reread(npz: Path, /, packed: Annotated[Path, "what pack saw of it"], workers: int, output: Path) -> None:
    """Read a finished npz: its checksums, and that its arrays are those that were written."""
    from preprocess import checksums
    from preprocess.packed import arrays

    checksums.write_sums(npz, arrays(packed), output, workers)


def checksums(tables: list[Path], /, output: Annotated[list[Path], "MD5SUMS, SHA256SUMS and ARRAYS.sha256"]) -> None:
    """Join tables of checksums to the lists of a results folder."""
    from preprocess import checksums

    checksums.write_lists(tables, output)


def verdict(
    recipe: Recipe,
    samples: Path,
    sums: list[Path],
    sizes: list[int],
    npz: list[Path],
    released: Annotated[Path, "the folder with the published npz, if any"],
    output: Path,
    miniature: Miniature = False,
    rehearsal: Rehearsal = 0,
) -> None:
    """Compare what was built with the published files."""
    from preprocess.audit import verdict
    from preprocess.checksums import read_sums
    from preprocess.files import write_json

    known = read_sums(sums)
    verdicts = [
        verdict.judge(verdict.BuiltFile(recipe, size, path, samples, known), released / path.name, miniature, rehearsal)
        for size, path in zip(sizes, npz, strict=True)
    ]
    for one in verdicts:
        log.info("%s: %s", one.file, one.text)
        for line in (*one.notes, *map(str, one.differences)):
            log.info("%s: %s", one.file, line)
        if recipe.protocol == "released" and not miniature:
            print(f"{one.file}: {one.text}", flush=True)  # what the run is for, so on the terminal too
    write_json(output, verdict.as_json(verdicts))


def match(
    recipe: Recipe,
    raw: Raw,
    index: Path,
    published: Annotated[list[Path], "published npz of the dataset"],
    workers: Annotated[int, "processes that render"],
    seed: int,
    output: Annotated[Path, "the folder to write"],
    rehearsal: Rehearsal = 0,
) -> None:
    """Find the raw sample of every published row, and rank the decisions."""
    from preprocess.match.run import MatchFiles, match

    for line in match(recipe, MatchFiles(raw, index, published), output, workers, seed, rehearsal):
        log.info("%s", line)
        print(line, flush=True)


def provenance(
    recipe: Recipe,
    config: dict[str, Any],
    default_seed: Annotated[int, "the seed of a run that names none"],
    samples: Path,
    sums: list[Path],
    records: Annotated[list[Path], "how each npz was packed"],
    checks: Path,
    verdict: Path,
    output: Path,
    miniature: Miniature = False,
    rehearsal: Rehearsal = 0,
    variant: Annotated[str | None, "its name; none for the protocol's own decisions"] = None,
    current: Annotated[str, "digest of all that the dataset's files depend on"] = "",
    verified: Annotated[list[Path], "what verify wrote; none for a stand-in"] = [],  # noqa: B006
) -> None:
    """Record what a build was made from."""
    from preprocess.audit.plain import plain
    from preprocess.audit.provenance import BuildRecords, RunFacts, describe
    from preprocess.files import write_json

    built = BuildRecords(samples, tuple(sums), tuple(records), checks, verdict, tuple(verified))
    facts = RunFacts(config, miniature, default_seed, variant or "", current, rehearsal)
    write_json(output, plain(describe(recipe, built, facts)))


def leak_free(
    recipe: Recipe,
    samples: Path,
    duplicates: Annotated[Path, "the pairs that check found"],
    seed: int,
    output: Annotated[Path, "a folder"],
) -> None:
    """Write leak-free alternatives to the split, as lists of ids."""
    from preprocess.audit import leakfree

    leakfree.write(recipe, samples, duplicates, seed, output)


def audit(
    recipe: Recipe,
    raw: Raw,
    npz: Path,
    size: int,
    packed: Annotated[Path, "what pack saw of it"],
    samples: Path,
    excluded: Path,
    index: Annotated[Path, "the table of every sample of the source"],
    sizes: Annotated[list[int], "all sizes of the build"],
    seed: Annotated[int, "draws the samples that are rendered with other decisions"],
    provenance: Path,
    output: Path,
    summary: Path,
    montage: Path,
    exceptions: Annotated[Path | None, "the file of signed-off findings"] = None,
    workers: Annotated[int, "processes that render"] = 1,
) -> None:
    """Write the audit page of a dataset, its part of audit.json, and its montage."""
    from dataclasses import replace

    from preprocess.audit import exceptions as signed
    from preprocess.audit import pages
    from preprocess.audit.files import BuildFiles
    from preprocess.audit.plain import typed
    from preprocess.audit.provenance import Provenance
    from preprocess.files import read_json

    made = typed(Provenance, read_json(provenance))
    findings = signed.mark(recipe.name, made.findings, signed.read(exceptions))
    files = BuildFiles(raw, {size: npz}, {size: packed}, samples, excluded)
    made = replace(made, findings=tuple(findings))
    pages.write_dataset(pages.Audited(recipe, files, index, sizes, seed, made), output, summary, montage, workers)


def collection(
    datasets: list[str],
    /,
    npz: Annotated[list[Path], "one of each dataset"],
    output: Path,
    miniature: Miniature = False,
    rehearsal: Rehearsal = 0,
) -> None:
    """Draw samples of every dataset in one picture."""
    from preprocess import recipe
    from preprocess.audit import montage

    recipes = [recipe.load(name, "paper") for name in datasets]
    files = {one.name: (one, path) for one, path in zip(recipes, npz, strict=True)}
    montage.collection(files, output, montage.marks(miniature, bool(rehearsal)))


def audit_index(
    summaries: list[Path],
    /,
    picture: Annotated[Path, "the picture of all datasets"],
    output: Path,
    json: Path,
    leftovers: Annotated[list[str], "files that no dataset of the index accounts for"] = [],  # noqa: B006
) -> None:
    """Write the index of the audit and audit.json."""
    from preprocess.audit import pages

    pages.write_index(summaries, picture, [pages.Leftover(file) for file in leftovers], output, json)


def gate(summary: Annotated[Path, "the dataset's part of audit.json"], /, output: Path) -> None:
    """Fail when the audit holds an error that nobody signed off."""
    from preprocess.audit import exceptions
    from preprocess.files import read_json, write_text

    if errors := exceptions.errors(read_json(summary)):
        told = "; ".join(errors)
        raise PreprocessError(f"{told}. Mend the cause, or sign the finding off in a file named by 'exceptions'")
    write_text(output, "no error that is not signed off\n")


def rehearsed(
    datasets: list[str],
    /,
    summaries: Annotated[list[Path], "each dataset's part of audit.json"],
    matches: Annotated[list[Path], "what was decided by each match with a published file"] = [],  # noqa: B006
) -> None:
    """Say at the end of a rehearsal how it went, and whether the pixels agree."""
    from preprocess.rehearsal import outcome

    matched = {path.parent.name: path for path in matches}
    for name, summary in zip(datasets, summaries, strict=True):
        print("\n".join(outcome(name, summary, matched.get(name))), flush=True)


COMMANDS: tuple[Function, ...] = (
    check, reread, checksums, verdict, match, provenance, leak_free, audit, collection, audit_index, gate, rehearsed,
)  # fmt: skip
