"""The raw files: what is there, how to get the rest, whether it is what it is taken for."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from preprocess.commands import Function
from preprocess.errors import PreprocessError

log = logging.getLogger("preprocess")

Root = Annotated[Path | None, "the folder that holds <source>/...; left out for the stand-ins"]
Cache = Annotated[Path, "folder that remembers the checksums of raw files"]
Datasets = Annotated[list[str] | None, "all if left out"]


def sources(
    cache: Cache,
    results: Path,
    sizes: list[int],
    sizes_3d: list[int],
    cores: int = 1,
    raw: Root = None,
    datasets: Datasets = None,
) -> None:
    """List what of the raw files is there, how to get the rest, and what a build will cost."""
    from preprocess.acquire import inventory, registry
    from preprocess.acquire.digests import DigestCache

    known = registry.load(raw)
    place = raw or Path("raw: miniature")  # the stand-ins are not looked for
    stocks = [inventory.take(one, place, DigestCache(cache, one.name, place)) for one in known.values()]
    lines = inventory.table(stocks)
    if raw is None:
        lines.append("raw is 'miniature': no raw folder was looked at; name one with --config raw=DIR")
    else:
        lines += [f"{stock.source.name}: {line}" for stock in stocks for line in stock.remarks]
        lines += inventory.loose_archives(raw, known)
    lines += inventory.advice(stocks, raw)
    print("\n".join(lines), flush=True)
    estimate(results, sizes, sizes_3d, cores, datasets)


def fetch(
    cache: Cache,
    results: Path,
    sizes: list[int],
    sizes_3d: list[int],
    sources: Annotated[list[str], "<source> or <source>/<file pattern>; none: only list"] = [],  # noqa: B006
    cores: int = 1,
    raw: Root = None,
    datasets: Datasets = None,
    tries: Annotated[int, "attempts in a row without a new byte"] = 8,
    pause: Annotated[float, "seconds before the second attempt, then doubled"] = 1.0,
) -> None:
    """Download what the named sources offer."""
    from preprocess.acquire import registry
    from preprocess.acquire.download import Downloader, Patience
    from preprocess.acquire.fetch import Fetcher, requests

    if not sources:
        _list(cache, results, sizes, sizes_3d, cores, raw, datasets)
        print("nothing was downloaded: name what you want, as in --config sources=busi,pbc raw=DIR", flush=True)
        return
    if raw is None:
        raise PreprocessError("fetch: raw is 'miniature'; name the folder the files shall go to: --config raw=DIR")
    wanted = requests(sources, registry.load(raw))
    with Downloader(Patience(tries, pause)) as downloader:
        Fetcher(raw, cache, downloader, lambda line: print(line, flush=True)).fetch(wanted)


_list = sources


def verify(
    source: str,
    /,
    cache: Cache,
    raw: Root = None,
    force: Annotated[bool, "read the files again, whatever is remembered"] = False,
    output: Annotated[Path | None, "write what was found as JSON"] = None,
) -> None:
    """Check the files of a source against known checksums; each is read once and remembered."""
    from dataclasses import asdict

    from preprocess.acquire import registry, verify
    from preprocess.acquire.digests import DigestCache
    from preprocess.files import write_json

    known = registry.load(raw)
    if raw is None or source not in known:
        raise PreprocessError(f"verify: name --raw and one of the sources: {', '.join(known)}")
    checked = verify.verify(known[source], raw, DigestCache(cache, source, raw), force)
    for one in checked:
        log.info("%s: sha256 %s, %s", one.file, one.sha256, one.basis)
    unknown = [one.file for one in checked if not one.known]
    if unknown:
        log.info("no checksum is known of %s files, the first is %s", len(unknown), unknown[0])
    if output:
        write_json(output, [asdict(one) for one in checked])
    else:
        for one in checked:
            print(f"{one.file}: sha256 {one.sha256} ({one.basis})")


def estimate(results: Path, sizes: list[int], sizes_3d: list[int], cores: int = 1, datasets: Datasets = None) -> None:
    """Estimate disk, scratch and hours of a real run."""
    from preprocess import recipe
    from preprocess.acquire import estimate

    names: Iterable[str] = recipe.names() if datasets is None else datasets
    costs = [estimate.cost(name, sizes if recipe.dataset(name).dimensions == 2 else sizes_3d) for name in names]
    if costs:
        print("\n".join(estimate.report(costs, cores)), flush=True)
        try:
            print(estimate.check_room(costs, results), flush=True)
        except PreprocessError as error:
            print(error, flush=True)


def recognise(archives: list[Path], /) -> None:
    """Say what archives hold, by the names in them."""
    from preprocess.acquire import inventory, registry

    known = registry.load()
    for path in archives:
        print(inventory.describe(path, known))


COMMANDS: tuple[Function, ...] = (sources, fetch, verify, estimate, recognise)
