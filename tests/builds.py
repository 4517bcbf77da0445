"""A whole build and its pages in this process, through the same commands the workflow calls; and small raw files."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from preprocess import cli, index, labels, miniature, recipe, split
from preprocess.acquire.registry import RemoteFile, Source
from preprocess.errors import ExcludeSample
from preprocess.match.features import Rows
from preprocess.table import Sample, read_rows


class CommandError(AssertionError):
    """A command ended with an exit code other than 0."""


@dataclass
class Build:
    """A finished build and its files."""

    dataset: str
    folder: Path
    sizes: list[int]

    @cached_property
    def samples(self) -> list[dict[str, str]]:
        return list(read_rows(self.folder / "samples.tsv"))

    @cached_property
    def excluded(self) -> list[dict[str, str]]:
        return list(read_rows(self.folder / "excluded.tsv"))

    @cached_property
    def findings(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads((self.folder / "checks.json").read_text())
        return found

    def npz(self, size: int) -> Path:
        return self.folder / f"{self.dataset}_{size}.npz"

    def seen(self, size: int) -> Path:
        """What pack saw of the rows."""
        return self.folder / f"seen_{size}.npz"

    def record(self, size: int) -> Path:
        """How the npz was packed."""
        return self.folder / f"record_{size}.json"

    def arrays(self, size: int) -> dict[str, np.ndarray]:
        with np.load(self.npz(size)) as file:
            return {name: file[name] for name in file.files}

    def images(self, size: int) -> dict[str, np.ndarray]:
        """Every rendered sample by its key."""
        arrays = self.arrays(size)
        return {row["key"]: arrays[f"{row['split']}_images"][int(row["index"])] for row in self.samples}


def run(*words: object) -> None:
    """Run one command of the package; raise what it says when it fails."""
    code = cli.main([str(word) for word in words])
    if code:
        raise CommandError(f"exit code {code}: {' '.join(map(str, words))}")


def build(
    dataset: str,
    raw: Path,
    folder: Path,
    protocol: str = "paper",
    sizes: tuple[int, ...] = (28,),
    overrides: dict[str, Any] | None = None,
    census: str = "strict",
    miniature: bool = True,
    order_table: Path | None = None,
    seed: int = 42,
    shards: int = 2,
    container: str = "chunked",
) -> Build:
    """Build ``dataset`` from ``raw``, its source's raw folder, into ``folder``."""
    common = [dataset, "--protocol", protocol, "--overrides", json.dumps(overrides or {})]
    f = folder
    counted = ["--miniature"] if miniature else []
    run(
        "index",
        *common,
        "--raw",
        raw,
        "--census",
        census,
        *counted,
        "--output",
        f / "index.tsv",
        "--counts",
        f / "census.tsv",
    )
    table = ["--order-table", order_table] if order_table else []
    parts = [f / "shards" / str(shard) for shard in range(shards)]

    def divide(*alike: object) -> None:
        run("split", *common, "--index", f / "index.tsv", "--seed", seed, *table, "--output", f / "split.tsv",
            "--unmatched", f / "unmatched.tsv", *alike)  # fmt: skip

    def render(listing: Path, *looks: str) -> None:
        for shard, part in enumerate(parts):
            run("render", *common, "--raw", raw, "--census", census, "--table", listing, "--shard", shard,
                "--shards", shards, "--sizes", *sizes, "--output", part, *looks)  # fmt: skip

    if recipe.load(dataset, protocol, overrides).renders_first:
        render(f / "index.tsv", "--with-looks")
        run("alike", "--shards", *parts, "--output", f / "alike.tsv")
        divide("--alike", f / "alike.tsv")
    else:
        divide()
        render(f / "split.tsv")
    run("collect", "--split", f / "split.tsv", "--shards", *parts, "--rows", f / "rows.tsv",
        "--excluded", f / "excluded.tsv")  # fmt: skip
    done = Build(dataset, folder, list(sizes))
    for size in sizes:
        run("pack", *common, "--size", size, "--container", container, "--deflate", 1, "--workers", 1, "--batch", 0,
            "--together", *sizes, "--tables", 0, "--of-tables", *sizes, "--current", "",
            "--rows", f / "rows.tsv", "--shards", *parts,
            "--output", done.npz(size), "--seen", done.seen(size), "--record", done.record(size))  # fmt: skip
    run("samples", "--rows", f / "rows.tsv", "--sizes", *sizes, "--packed", *map(done.seen, sizes), "--output",
        f / "samples.tsv")  # fmt: skip
    checked(done, raw, *common[1:], *counted)
    return done


def checked(done: Build, raw: Path, *decisions: object) -> dict[tuple[str, str], dict[str, Any]]:
    """Run the check stage on a build and give its findings by check and level; the protocol is paper if not named."""
    f = done.folder
    protocol = () if "--protocol" in decisions else ("--protocol", "paper")
    tables = ["--index", f / "index.tsv", "--counts", f / "census.tsv", "--samples", f / "samples.tsv",
              "--excluded", f / "excluded.tsv", "--unmatched", f / "unmatched.tsv"]  # fmt: skip
    files = ["--sizes", *done.sizes, "--npz", *map(done.npz, done.sizes), "--packed", *map(done.seen, done.sizes)]
    run("check", done.dataset, *protocol, *decisions, "--raw", raw, *tables, *files, "--seed", 42, "--output",
        f / "checks.json", "--duplicates", f / "duplicates.tsv")  # fmt: skip
    found = json.loads((f / "checks.json").read_text())
    return {(one["check"], one["level"]): one for one in found}


def names_of_source(source: str) -> list[str]:
    """The datasets of one source."""
    return [name for name in recipe.names() if recipe.read(name)["source"] == source]


def placed(dataset: str, raw: Path, protocol: str = "paper", seed: int = 42) -> list[Sample]:
    """The samples of a stand-in with their splits, without their pixels."""
    in_force = recipe.load(dataset, protocol)
    indexed = index.build(in_force, raw, "strict", miniature.census(dataset))
    return [sample for sample in split.assign(in_force, indexed.samples, seed).samples if sample.split]


def readers_label(scores: list[int], how: dict[str, Any]) -> str | None:
    """The label that readers' scores of a nodule give, or None where they leave it out."""
    try:
        return labels.readers(Sample("x", original_label=" ".join(map(str, scores))), how)
    except ExcludeSample as exclusion:
        assert exclusion.reason == "class-dropped"
        return None


def audit(
    done: Build,
    raw: Path,
    folder: Path,
    protocol: str = "paper",
    signed: Path | None = None,
    miniature: bool = True,
    overrides: dict[str, Any] | None = None,
    run_facts: Sequence[object] = (),
    leftovers: Sequence[object] = (),
) -> tuple[str, dict[str, Any]]:
    """The pages and data of one finished build, by the commands of the workflow."""
    size = done.sizes[0]
    common = [done.dataset, "--protocol", protocol, "--overrides", json.dumps(overrides or {})]
    drawn = ["--miniature"] if miniature else []
    tables = ["--samples", done.folder / "samples.tsv"]
    sums = done.folder / "sums.tsv"
    run("reread", done.npz(size), "--packed", done.seen(size), "--workers", 1, "--output", sums)
    verdict = ["verdict", *common, "--sizes", size, "--npz", done.npz(size), *tables, "--sums", sums, *drawn]
    run(*verdict, "--released", folder, "--output", done.folder / "verdict.json")
    facts = run_facts or ["--config", "{}"]
    stages = [
        "--sums",
        sums,
        "--records",
        done.record(size),
        "--checks",
        done.folder / "checks.json",
        "--verdict",
        done.folder / "verdict.json",
    ]
    run("provenance", *common, *facts, "--default-seed", 42, *tables, *stages, *drawn, "--output",
        done.folder / "provenance.json")  # fmt: skip
    run("collection", done.dataset, "--npz", done.npz(size), *drawn, "--output", folder / "collection.png")
    extra = ["--exceptions", signed] if signed else []
    run("audit", *common, "--raw", raw, *extra, "--npz", done.npz(size), "--size", size, *tables, "--index",
        done.folder / "index.tsv", "--sizes", *done.sizes, "--seed", 42, "--excluded",
        done.folder / "excluded.tsv", "--provenance", done.folder / "provenance.json", "--output",
        folder / f"{done.dataset}.html", "--summary", done.folder / "audit.json", "--packed", done.seen(size),
        "--montage", folder / f"{done.dataset}.png")  # fmt: skip
    left = ["--leftovers", *leftovers] if leftovers else []
    run("audit-index", done.folder / "audit.json", "--picture", folder / "collection.png", *left, "--output",
        folder / "index.html", "--json", folder / "audit.json")  # fmt: skip
    page = (folder / f"{done.dataset}.html").read_text(encoding="utf-8")
    return page, json.loads((folder / "audit.json").read_text())["datasets"][done.dataset]


def image(tree: Path, label: str, number: int) -> Path:
    """A picture of BUSI's unpacked tree."""
    return tree / "Dataset_BUSI_with_GT" / label / f"{label} ({number}).png"


def unpack(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder


# ---- a source of one archive, as the registry knows it


def archive(**members: bytes) -> bytes:
    """A zip of files, each called ``<name>.png``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as one:
        for name, body in members.items():
            one.writestr(f"{name}.png", body)
    return buffer.getvalue()


#: the archive that is in place, and one of other bytes
GOOD, OTHER = archive(a=b"a" * 5000), archive(a=b"b" * 5000)


def source(*files: RemoteFile, **content: object) -> Source:
    """A source of BUSI's name, with these files."""
    return Source("busi", {"licence": {"name": "x"}, "datasets": ["breastmnist"], **content}, files)


def known(body: bytes = GOOD, **options: object) -> RemoteFile:
    """Its archive, with the checksum of ``body``."""
    digests = (("sha256", hashlib.sha256(body).hexdigest()),)
    return RemoteFile("busi", "data.zip", digests=digests, **options)  # type: ignore[arg-type]


# ---- rows of a match


def store(path: Path, images: np.ndarray) -> Rows:
    """Images as the rows a match compares."""
    rows = Rows(path, len(images), int(np.prod(images.shape[1:])))
    for place, image in enumerate(images):
        rows.write(place, image)
    return rows
