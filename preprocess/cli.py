"""The command line: ``python -m preprocess <stage> <dataset> ...``, one command a stage.

Every command reads files and writes files; what it says goes to ``--log`` and to standard error.
An error the user can mend is one line and exit code 1; anything else is a traceback.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from preprocess import recipe
from preprocess.environment import peak_memory
from preprocess.errors import PreprocessError
from preprocess.recipe import Recipe

log = logging.getLogger("preprocess")


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _start_log(options.log)
    try:
        options.run(options)
    except PreprocessError as error:
        log.error("%s", error)
        return 1
    except BrokenPipeError:
        return 1
    except Exception:
        log.exception("%s failed; this is a defect, please report it with this log", options.command)
        return 2
    finally:
        log.info("%s", _cost())
    return 0


def _cost() -> str:
    """What this process has cost, for who plans memory and time of jobs on a cluster."""
    return f"cost: {time.process_time():.1f} CPU seconds, at most {peak_memory() / 2**20:.0f} MB of memory"


def _start_log(path: Path | None) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.WARNING)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", handlers=handlers, force=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m preprocess", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, run: Any, text: str, dataset: bool = True) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(run=run)
        one.add_argument("--log", type=Path, help="also write messages to this file")
        if dataset:
            one.add_argument("dataset", help="name of the dataset, such as breastmnist")
            one.add_argument("--protocol", default="paper", help="paper or released")
            one.add_argument("--overrides", type=_mapping, default={}, help="JSON mapping of decisions to values")
        return one

    one = command("miniature", _miniature, "generate the stand-in of a source", dataset=False)
    one.add_argument("source")
    one.add_argument("folder", type=Path)

    one = command("index", _index, "list, label and count the samples of a dataset")
    one.add_argument("--raw", type=Path, required=True, help="the source's raw folder")
    one.add_argument("--census", choices=("strict", "warn"), default="strict")
    one.add_argument("--miniature", action="store_true", help="compare with the generator's counts")
    one.add_argument("--output", type=Path, required=True)
    one.add_argument("--counts", type=Path, required=True, help="the table of expected and found counts")

    one = command("split", _split, "assign the samples to train, val and test and order them")
    one.add_argument("--index", type=Path, required=True)
    one.add_argument("--seed", type=int, default=42)
    one.add_argument("--order-table", type=Path)
    one.add_argument("--output", type=Path, required=True)
    one.add_argument("--unmatched", type=Path, required=True, help="rows of the order table without a sample")

    one = command("prepare", _prepare, "run the first steps for all datasets that share them")
    one.add_argument("--raw", type=Path, required=True)
    one.add_argument("--index", type=Path, required=True)
    one.add_argument("--shard", type=int, required=True)
    one.add_argument("--shards", type=int, required=True)
    one.add_argument("--output", type=Path, required=True, help="the shard's folder")

    one = command("render", _render, "render one shard at all sizes")
    one.add_argument("--raw", type=Path, required=True)
    one.add_argument("--census", choices=("strict", "warn"), default="strict")
    one.add_argument("--split", type=Path, required=True)
    one.add_argument("--shard", type=int, required=True)
    one.add_argument("--shards", type=int, required=True)
    one.add_argument("--sizes", type=int, nargs="+", required=True)
    one.add_argument("--prepared", type=Path, nargs="?", help="the folder the prepare job of the same shard wrote")
    one.add_argument("--output", type=Path, required=True, help="the shard's folder")

    one = command("collect", _collect, "write the samples table and the table of what was left out", dataset=False)
    one.add_argument("--split", type=Path, required=True)
    one.add_argument("--shards", type=Path, nargs="+", required=True, help="the shards' folders in order")
    one.add_argument("--samples", type=Path, required=True)
    one.add_argument("--excluded", type=Path, required=True)

    one = command("pack", _pack, "write one npz")
    one.add_argument("--size", type=int, required=True)
    one.add_argument("--samples", type=Path, required=True)
    one.add_argument("--shards", type=Path, nargs="+", required=True, help="the shards' folders in order")
    one.add_argument("--output", type=Path, required=True)

    one = command("check", _check, "check what was built and write the findings")
    one.add_argument("--raw", type=Path, required=True)
    one.add_argument("--index", type=Path, required=True)
    one.add_argument("--counts", type=Path, required=True)
    one.add_argument("--samples", type=Path, required=True)
    one.add_argument("--excluded", type=Path, required=True)
    one.add_argument("--unmatched", type=Path, required=True, help="rows of the order table without a sample")
    one.add_argument("--sizes", type=int, nargs="+", required=True)
    one.add_argument("--npz", type=Path, nargs="+", required=True)
    one.add_argument("--seed", type=int, default=42)
    one.add_argument("--miniature", action="store_true", help="built from a stand-in")
    one.add_argument("--output", type=Path, required=True)

    one = command("verdict", _verdict, "say how what was built stands to the published files")
    one.add_argument("--released", type=Path, required=True, help="the folder with the published npz, if any")
    one.add_argument("--miniature", action="store_true", help="built from a stand-in")
    one.add_argument("--samples", type=Path, required=True)
    one.add_argument("--sums", type=Path, required=True)
    one.add_argument("--sizes", type=int, nargs="+", required=True)
    one.add_argument("--npz", type=Path, nargs="+", required=True)
    one.add_argument("--output", type=Path, required=True)

    one = command("match", _match, "find the raw sample of every published row, and rank the decisions")
    one.add_argument("--raw", type=Path, required=True, help="the source's raw folder")
    one.add_argument("--index", type=Path, required=True)
    one.add_argument("--published", type=Path, nargs="+", required=True, help="published npz of the dataset")
    one.add_argument("--workers", type=int, default=1, help="processes that render")
    one.add_argument("--seed", type=int, default=42)
    one.add_argument("--output", type=Path, required=True, help="the folder to write")

    one = command("provenance", _provenance, "write what a build was made from")
    one.add_argument("--config", type=_mapping, default={})
    one.add_argument("--miniature", action="store_true", help="built from a stand-in")
    one.add_argument("--default-seed", type=int, default=42, help="the seed of a run that names none")
    one.add_argument("--variant", default="", help="the variant's name; left out for the default decisions")
    one.add_argument("--current", default="", help="a digest of all the build depends on")
    one.add_argument("--samples", type=Path, required=True)
    one.add_argument("--sums", type=Path, required=True)
    one.add_argument("--checks", type=Path, required=True)
    one.add_argument("--verdict", type=Path, required=True)
    one.add_argument("--verified", type=Path, nargs="*", default=[], help="what verify wrote; none for a stand-in")
    one.add_argument("--output", type=Path, required=True)

    one = command("montage", _montage, "draw samples of each class")
    one.add_argument("--npz", type=Path, required=True)
    one.add_argument("--miniature", action="store_true", help="built from a stand-in")
    one.add_argument("--output", type=Path, required=True)

    one = command("leak-free", _leak_free, "write leak-free alternatives to the split, as lists of ids")
    one.add_argument("--samples", type=Path, required=True)
    one.add_argument("--seed", type=int, default=42)
    one.add_argument("--output", type=Path, required=True, help="a folder")

    one = command("audit", _audit, "write the audit page of a dataset and its part of audit.json")
    one.add_argument("--raw", type=Path, required=True)
    one.add_argument("--exceptions", type=Path, help="the file of signed-off findings")
    one.add_argument("--npz", type=Path, required=True)
    one.add_argument("--size", type=int, required=True)
    one.add_argument("--samples", type=Path, required=True)
    one.add_argument("--excluded", type=Path, required=True)
    one.add_argument("--provenance", type=Path, required=True)
    one.add_argument("--output", type=Path, required=True)
    one.add_argument("--summary", type=Path, required=True)

    one = command("collection", _collection, "draw samples of every dataset in one picture", dataset=False)
    one.add_argument("datasets", nargs="+")
    one.add_argument("--npz", type=Path, nargs="+", required=True, help="one of each dataset")
    one.add_argument("--miniature", action="store_true", help="built from stand-ins")
    one.add_argument("--output", type=Path, required=True)

    one = command("audit-index", _audit_index, "write the index of the audit and audit.json", dataset=False)
    one.add_argument("summaries", type=Path, nargs="+")
    one.add_argument("--picture", type=Path, required=True, help="the picture of all datasets")
    one.add_argument("--leftovers", type=Path, help="a table of files this run did not make: file, why")
    one.add_argument("--output", type=Path, required=True)
    one.add_argument("--json", type=Path, required=True)

    one = command("gate", _gate, "fail when the audit holds an error that nobody signed off", dataset=False)
    one.add_argument("audit", type=Path, help="audit.json, or one dataset's part of it")
    one.add_argument("--output", type=Path, required=True)

    one = command(
        "sums", _sums, "write the checksums of a dataset and refresh the lists of the results folder", dataset=False
    )
    one.add_argument("npz", type=Path, nargs="+")
    one.add_argument("--output", type=Path, required=True)

    one = command("export", _export, "write one npz in a further format")
    one.add_argument("--format", choices=("npy", "png", "croissant"), required=True)
    one.add_argument("--npz", type=Path, required=True)
    one.add_argument("--samples", type=Path, required=True)
    one.add_argument("--miniature", action="store_true", help="built from a stand-in")
    one.add_argument("--output", type=Path, required=True, help="a folder; of croissant, the file")

    one = command("docs", _docs, "write the generated pages of the documentation", dataset=False)
    one.add_argument("folder", type=Path)

    one = command("checksums", _checksums, "write the lists of checksums of a results folder", dataset=False)
    one.add_argument("tables", type=Path, nargs="+")
    one.add_argument("--folder", type=Path, required=True)

    def places(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
        one.add_argument("--raw", type=Path, help="the folder that holds <source>/...; left out for the stand-ins")
        one.add_argument("--memory", type=Path, required=True, help="folder that remembers checksums")
        return one

    def build(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
        one.add_argument("--results", type=Path, default=Path("results"))
        one.add_argument("--datasets", nargs="*", help="all if left out")
        one.add_argument("--sizes", type=int, nargs="+", default=[28])
        one.add_argument("--sizes-3d", type=int, nargs="+", default=[28])
        one.add_argument("--cores", type=int, default=1)
        return one

    one = build(places(command("sources", _sources, "list what of the raw files is there", dataset=False)))

    one = build(places(command("fetch", _fetch, "download what the named sources offer", dataset=False)))
    one.add_argument("--sources", nargs="*", default=[], help="<source> or <source>/<file pattern>; none: only list")
    one.add_argument("--tries", type=int, default=8, help="attempts in a row without a new byte")
    one.add_argument("--pause", type=float, default=1.0, help="seconds before the second attempt, then doubled")

    one = places(command("verify", _verify, "check the archives of a source against known checksums", dataset=False))
    one.add_argument("source")
    one.add_argument("--force", action="store_true", help="read the files again, whatever is remembered")
    one.add_argument("--output", type=Path, help="write what was found as JSON")

    build(command("estimate", _estimate, "disk, scratch and hours of a real run", dataset=False))

    one = command("recognise", _recognise, "say what archives hold, by the names in them", dataset=False)
    one.add_argument("archives", type=Path, nargs="+")
    return parser


def _mapping(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON mapping")
    return value


def _recipe(options: argparse.Namespace) -> Recipe:
    return recipe.load(options.dataset, options.protocol, options.overrides)


def _miniature(options: argparse.Namespace) -> None:
    from preprocess import miniature

    miniature.generate(options.source, options.folder)


def _index(options: argparse.Namespace) -> None:
    from preprocess import index, miniature
    from preprocess.table import INDEX_COLUMNS, write_rows, write_samples

    in_force = _recipe(options)
    expected = miniature.census(options.dataset) if options.miniature else in_force.about["census"]
    indexed = index.build(in_force, options.raw, options.census, expected)
    write_samples(options.output, INDEX_COLUMNS, indexed.samples)
    write_rows(options.counts, index.CENSUS_COLUMNS, indexed.census)


def _split(options: argparse.Namespace) -> None:
    from preprocess import order, split
    from preprocess.table import SPLIT_COLUMNS, read_samples, write_rows, write_samples

    table = order.read(options.order_table) if options.order_table else None
    outcome = split.assign(_recipe(options), list(read_samples(options.index)), options.seed, table)
    write_samples(options.output, SPLIT_COLUMNS, outcome.samples)
    rows = [(one.row.split, one.row.index, one.row.image_id, one.reason) for one in outcome.unmatched]
    write_rows(options.unmatched, ("split", "index", "image_id", "reason"), rows)
    if rows and table:
        log.warning(
            "%s: %s of %s rows have no sample; see %s",
            table.name,
            f"{len(rows):,}",
            f"{len(table.rows):,}",
            options.unmatched,
        )


def _prepare(options: argparse.Namespace) -> None:
    from preprocess.prepare import prepare_shard

    prepare_shard(_recipe(options), options.raw, options.index, options.shard, options.shards, options.output)


def _render(options: argparse.Namespace) -> None:
    from preprocess.prepared import Prepared
    from preprocess.render import render_shard

    in_force, strict = _recipe(options), options.census == "strict"
    render_shard(
        in_force,
        options.raw,
        options.split,
        options.shard,
        options.shards,
        options.sizes,
        options.output,
        strict,
        Prepared(options.prepared) if options.prepared else None,
    )


def _collect(options: argparse.Namespace) -> None:
    from preprocess.collect import collect

    collect(options.split, options.shards, options.samples, options.excluded)


def _pack(options: argparse.Namespace) -> None:
    from preprocess import exports
    from preprocess.pack import pack

    exports.discard(options.output)
    pack(_recipe(options), options.size, options.samples, options.shards, options.output)


def _check(options: argparse.Namespace) -> None:
    from preprocess.audit import checks
    from preprocess.audit.files import BuildFiles, StageTables
    from preprocess.audit.findings import LOG_LEVELS
    from preprocess.audit.plain import plain
    from preprocess.files import write_json

    npz = dict(zip(options.sizes, options.npz, strict=True))
    files = BuildFiles(options.raw, npz, options.samples, options.excluded)
    tables = StageTables(options.index, options.counts, options.unmatched)
    findings = checks.check(_recipe(options), files, tables, options.seed, options.miniature)
    for finding in findings:
        log.log(LOG_LEVELS[finding.level], "%s: %s: %s", options.dataset, finding.check, finding.text)
    write_json(options.output, plain(findings))


def _verdict(options: argparse.Namespace) -> None:
    from preprocess.audit import verdict
    from preprocess.checksums import read_sums
    from preprocess.files import write_json

    in_force, sums = _recipe(options), read_sums(options.sums)
    verdicts = [
        verdict.judge(in_force, size, path, options.samples, sums, options.released / path.name, options.miniature)
        for size, path in zip(options.sizes, options.npz, strict=True)
    ]
    for one in verdicts:
        log.info("%s: %s", one.file, one.text)
        for line in (*one.notes, *map(str, one.differences)):
            log.info("%s: %s", one.file, line)
        if in_force.protocol == "released" and not options.miniature:
            print(f"{one.file}: {one.text}", flush=True)  # what the run is for, so on the terminal too
    write_json(options.output, verdict.as_json(verdicts))


def _match(options: argparse.Namespace) -> None:
    from preprocess.match.run import match

    lines = match(
        _recipe(options), options.raw, options.index, options.published, options.output, options.workers, options.seed
    )
    for line in lines:
        log.info("%s", line)
        print(line, flush=True)


def _provenance(options: argparse.Namespace) -> None:
    from preprocess.audit.plain import plain
    from preprocess.audit.provenance import BuildRecords, RunFacts, describe
    from preprocess.files import write_json

    records = BuildRecords(options.samples, options.sums, options.checks, options.verdict, tuple(options.verified))
    run = RunFacts(options.config, options.miniature, options.default_seed, options.variant, options.current)
    write_json(options.output, plain(describe(_recipe(options), records, run)))


def _montage(options: argparse.Namespace) -> None:
    from preprocess.audit.montage import montage

    montage(_recipe(options), options.npz, options.output, options.miniature)


def _leak_free(options: argparse.Namespace) -> None:
    from preprocess.audit import leakfree

    leakfree.write(_recipe(options), options.samples, options.seed, options.output)


def _audit(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from preprocess.audit import exceptions, pages
    from preprocess.audit.files import BuildFiles
    from preprocess.audit.plain import typed
    from preprocess.audit.provenance import Provenance
    from preprocess.files import read_json

    made = typed(Provenance, read_json(options.provenance))
    findings = exceptions.mark(options.dataset, made.findings, exceptions.read(options.exceptions))
    files = BuildFiles(options.raw, {options.size: options.npz}, options.samples, options.excluded)
    pages.write_dataset(
        _recipe(options), files, replace(made, findings=tuple(findings)), options.output, options.summary
    )


def _collection(options: argparse.Namespace) -> None:
    from preprocess.audit.montage import collection

    recipes = [recipe.load(name, "paper") for name in options.datasets]
    named = zip(options.datasets, recipes, options.npz, strict=True)
    collection({name: (one, path) for name, one, path in named}, options.output, options.miniature)


def _audit_index(options: argparse.Namespace) -> None:
    from preprocess.audit import pages
    from preprocess.table import read_rows

    rows = read_rows(options.leftovers) if options.leftovers else ()
    leftovers = [pages.Leftover(row["file"], row["why"]) for row in rows]
    pages.write_index(options.summaries, options.picture, leftovers, options.output, options.json)


def _gate(options: argparse.Namespace) -> None:
    from preprocess.audit import exceptions
    from preprocess.files import read_json, write_text

    errors = exceptions.errors(read_json(options.audit))
    if errors:
        told = "; ".join(errors)
        raise PreprocessError(f"{told}. Mend the cause, or sign the finding off in a file named by 'exceptions'")
    write_text(options.output, "no error that is not signed off\n")


def _sums(options: argparse.Namespace) -> None:
    from preprocess import checksums

    checksums.write_sums(options.npz, options.output)
    others = options.output.parents[1].glob(f"*/{options.output.name}")
    checksums.write_lists(others, options.npz[0].parent)


def _checksums(options: argparse.Namespace) -> None:
    from preprocess import checksums

    checksums.write_lists(options.tables, options.folder)


def _export(options: argparse.Namespace) -> None:
    from preprocess import exports

    in_force = _recipe(options)
    if options.format == "npy":
        exports.write_npy(options.npz, options.output)
    elif options.format == "png":
        exports.write_pictures(options.npz, options.output, volumes=in_force.dimensions == 3)
    else:
        exports.write_croissant(in_force, options.npz, options.samples, options.output, options.miniature)


def _docs(options: argparse.Namespace) -> None:
    from preprocess import docs

    docs.write(options.folder)


def _sources(options: argparse.Namespace) -> None:
    from preprocess.acquire import inventory, registry
    from preprocess.acquire.verify import Memory

    known = registry.load(options.raw)
    nowhere = Path("raw: miniature")  # the stand-ins are not looked for
    raw = options.raw or nowhere
    stocks = [inventory.take(one, raw, Memory(options.memory, one.name)) for one in known.values()]
    lines = inventory.table(stocks)
    if options.raw is None:
        lines.append("raw is 'miniature': no raw folder was looked at; name one with --config raw=DIR")
    else:
        lines += [f"{stock.source.name}: {line}" for stock in stocks for line in stock.remarks]
        lines += inventory.loose_archives(raw, known)
    lines += inventory.advice(stocks, options.raw)
    print("\n".join(lines), flush=True)
    _estimate(options)


def _fetch(options: argparse.Namespace) -> None:
    from preprocess.acquire import registry
    from preprocess.acquire.download import Downloader, Patience
    from preprocess.acquire.fetch import Fetcher, orders

    if not options.sources:
        _sources(options)
        print("nothing was downloaded: name what you want, as in --config sources=busi,pbc raw=DIR", flush=True)
        return
    if options.raw is None:
        raise PreprocessError("fetch: raw is 'miniature'; name the folder the files shall go to: --config raw=DIR")
    wanted = orders(options.sources, registry.load(options.raw))
    with Downloader(Patience(options.tries, options.pause)) as downloader:
        Fetcher(options.raw, options.memory, downloader, lambda line: print(line, flush=True)).fetch(wanted)


def _verify(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from preprocess.acquire import registry, verify
    from preprocess.files import write_json

    known = registry.load(options.raw)
    if options.raw is None or options.source not in known:
        raise PreprocessError(f"verify: name --raw and one of the sources: {', '.join(known)}")
    verdicts = verify.verify(
        known[options.source], options.raw, verify.Memory(options.memory, options.source), options.force
    )
    for one in verdicts:
        log.info("%s: sha256 %s, %s", one.file, one.sha256, one.basis)
    unknown = [one.file for one in verdicts if not one.known]
    if unknown:
        log.info("no checksum is known of %s files, the first is %s", len(unknown), unknown[0])
    if options.output:
        write_json(options.output, [asdict(one) for one in verdicts])
    else:
        for one in verdicts:
            print(f"{one.file}: sha256 {one.sha256} ({one.basis})")


def _estimate(options: argparse.Namespace) -> None:
    from preprocess.acquire import estimate

    names = recipe.names() if options.datasets is None else options.datasets
    costs = [
        estimate.cost(name, options.sizes if recipe.read(name)["dimensions"] == 2 else options.sizes_3d)
        for name in names
    ]
    if costs:
        print("\n".join(estimate.report(costs, options.cores)), flush=True)
        try:
            print(estimate.check_room(costs, options.results), flush=True)
        except PreprocessError as error:
            print(error, flush=True)


def _recognise(options: argparse.Namespace) -> None:
    from preprocess.acquire import inventory, registry

    known = registry.load()
    for path in options.archives:
        print(inventory.describe(path, known))
