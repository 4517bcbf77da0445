"""What of the raw files is there: the table of ``sources``, without reading any archive."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preprocess import recipe
from preprocess.acquire import recognise, registry
from preprocess.acquire.digests import DigestCache
from preprocess.acquire.registry import RemoteFile, Source
from preprocess.acquire.verify import Lock, places, problem
from preprocess.errors import PreprocessError
from preprocess.reading.archives import is_zip

#: best first; a source is what its worst needed file is
STATES = ("present", "unverified", "partial", "missing", "wrong")


@dataclass
class Stock:
    """What is there of one source.

    Attributes:
        source: the source.
        state: ``present`` (all there, checked against something known), ``unverified`` (all there,
            as far as can be told), ``partial``, ``missing`` or ``wrong``.
        size: bytes that are there.
        remarks: lines a reader should see.
        absent: the needed files that are not there.
    """

    source: Source
    state: str
    size: int = 0
    remarks: list[str] = field(default_factory=list)
    absent: list[RemoteFile] = field(default_factory=list)


def take(source: Source, raw: Path, cache: DigestCache) -> Stock:
    """See what the raw folder holds of a source. No file is read: checksums come from the cache."""
    folder = raw / source.name
    found: dict[str, list[Path]] = {}
    size = 0
    for path in places(source, raw):
        try:
            size += path.stat().st_size
        except OSError:
            continue
        found.setdefault(path.name, []).append(path)
    stock = Stock(source, "missing", size)
    lock = Lock(raw)
    states = {file.name: _state(source, file, found, cache, lock, stock) for file in source.files}
    absent = []
    for file in source.needed:
        if states[file.name] == "missing" and (others := [o for o in source.files if file.is_replaced_by(o)]):
            states[file.name] = min((states[other.name] for other in others), key=STATES.index)
        if states[file.name] == "missing":
            absent.append(file)
    needed = [states[file.name] for file in source.needed]
    stock.absent = absent
    if "wrong" in needed:
        stock.state = "wrong"
    elif needed and not absent:
        stock.state = max(needed, key=STATES.index)
    elif found and (served := _served(source, raw)):
        # unpacked, or another packing: the census of the build decides
        stock.state, known = "unverified", sum(state != "missing" for state in needed)
        what = "in another packing" if not known else "partly in another packing"
        if source.files:
            stock.remarks.append(f"{what}: nothing to compare checksums with, the build counts what is there")
        stock.absent = [file for file in absent if not _may_be_unpacked(file)]
        if served != source.datasets:
            stock.remarks.append(f"nothing for {', '.join(name for name in source.datasets if name not in served)}")
        if stock.absent or served != source.datasets:
            stock.state = "partial"
    elif found:
        stock.state = "partial"
    stock.remarks += _parts(folder, source) + _strangers(source, found)
    return stock


def _state(
    source: Source, file: RemoteFile, found: dict[str, list[Path]], cache: DigestCache, lock: Lock, stock: Stock
) -> str:
    paths = found.get(file.name, [])
    if not paths:
        return "unverified" if any(name in found for name in file.equal_to) else "missing"
    path = paths[0]
    if file.only_size is not None and path.stat().st_size != file.only_size:
        stock.remarks.append(
            f"{path}: {path.stat().st_size:,} bytes, {file.only_size:,} published; remove it, get it again"
        )
        return "wrong"
    digests = cache.get(path)
    if digests is None:
        return "unverified"
    against, basis = problem(source, file, path, digests, lock)
    if against:
        stock.remarks.append(f"{path}: {against}")
        return "wrong" if file.strict else "unverified"
    return "present" if basis else "unverified"


def _served(source: Source, raw: Path) -> list[str]:
    """The datasets of a source whose reader sees anything to render."""
    return [dataset for dataset in source.datasets if registry.is_present(recipe.dataset(dataset), raw)]


def _may_be_unpacked(file: RemoteFile) -> bool:
    """Whether the file is an archive, whose contents may lie about unpacked."""
    return file.name.endswith((".zip", ".gz", ".tar", ".nii"))


def _parts(folder: Path, source: Source) -> list[str]:
    remarks = []
    for part in sorted(folder.glob(".*.part")) if folder.is_dir() else []:
        name = part.name.removeprefix(".").removesuffix(".part")
        remarks.append(f"{folder / name}: {gigabytes(part.stat().st_size)} of it came so far; fetch goes on")
    return remarks


def _strangers(source: Source, found: dict[str, list[Path]]) -> list[str]:
    """What archives under names nobody published hold."""
    known = {file.name for file in source.files}
    remarks = []
    for name, paths in found.items():
        if name in known or not is_zip(name) or name.endswith(".nii.zip"):
            continue
        remarks.append(describe(paths[0], {source.name: source}))
    return remarks


def describe(path: Path, sources: dict[str, Source]) -> str:
    """One line on what an archive holds."""
    try:
        layouts = recognise.recognise(recognise.members(path), sources)
    except PreprocessError as error:
        return str(error)
    if not layouts:
        return f"{path}: none of the known layouts{' of its source' if len(sources) == 1 else ''}"
    names = "; ".join(
        f"{layout.source}: {layout.name}{'' if layout.usable else ' (cannot be used)'}" for layout in layouts
    )
    return f"{path}: {names}"


def table(stocks: list[Stock]) -> list[str]:
    """The table for the terminal, one line a source."""
    header = ("source", "state", "here", "in all", "licence", "how", "unlocks")
    rows = []
    for stock in stocks:
        about, exact = stock.source.about()
        rows.append(
            (
                stock.source.name,
                stock.state,
                gigabytes(stock.size) if stock.size else "-",
                ("" if exact else "~") + gigabytes(about) if about else "unknown",
                stock.source.licence,
                stock.source.access,
                " ".join(stock.source.datasets) or "-",
            )
        )
    return aligned([header, *rows])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines for the terminal, every column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def gigabytes(size: int) -> str:
    """Bytes for people, in powers of 1000 as hosts give them."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


def loose_archives(raw: Path, sources: dict[str, Source]) -> list[str]:
    """What archives that lie in the raw folder itself hold, and where they belong."""
    names = sorted(entry for entry in os.listdir(raw) if is_zip(entry) and (raw / entry).is_file())
    return [f"{describe(raw / name, sources)}; put it into its source's folder" for name in names]


def advice(stocks: list[Stock], raw: Path | None) -> list[str]:
    """How to get what is not there, for the sources that datasets need."""
    lines: list[str] = []
    wanting = [stock for stock in stocks if stock.state in ("missing", "partial") and stock.source.datasets]
    fetchable = [stock.source.name for stock in wanting if stock.source.access != "by hand"]
    if fetchable:
        lines.append(
            f"to download: snakemake --cores 1 fetch --config raw={raw or 'DIR'} sources={','.join(fetchable)}"
        )
    for stock in wanting:
        source = stock.source
        if source.access == "automatic":
            continue
        landing = f" ({source.content['landing']})" if source.content["landing"] else ""
        lines.append(f"{source.name}, by hand{landing}:")
        lines += [f"  {number}. {step}" for number, step in enumerate(source.manual, 1)]
    return [line.replace("<raw>", str(raw)) if raw else line for line in lines]
