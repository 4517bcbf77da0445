"""What the result of each stage depends on, besides the options its command is given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        modules: what its command imports, besides the dataset's own source and steps.
        after: the stages whose results it reads.
        decides: the stages whose decisions its command takes.
        runs: what else of the package it runs: ``source``, ``steps`` (all), ``prepare`` (those that are prepared) or
            the ``generator`` of the stand-in.
        reads: what it reads besides those results: ``raw`` (the dataset's raw files) or ``source`` (all files of its
            source), ``order`` and ``lists`` (who is in which split), ``published`` (files to compare with),
            ``exceptions``, ``form`` (of the container), ``config`` (the part of the configuration that the dataset's
            files depend on).
        prints: the facts it prints or compares with, by name (:data:`FACTS`).
    """

    modules: tuple[str, ...]
    after: tuple[str, ...] = ()
    decides: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()


#: files of facts below the package by name, with the dataset and its source filled in
FACTS = {
    "recipe": ("recipes/{dataset}.yaml",),
    "source": ("tables/sources/{source}.yaml",),
    "published": ("tables/published.yaml",),
    "template": ("audit/templates/*", "match/templates/*"),
    "report": ("inspection/templates/*", "recipes/*", "tables/sources/*", "tables/expected/*"),
    "card": ("exports/templates/*",),
    "versions": (),  # of Python and the libraries: no file
}

ALL = ("index", "split", "render")
#: what comes after what, where the samples are rendered before they are split
RENDERED_FIRST = {"render": ("index",), "split": ("index", "alike")}
STAGES = {
    "miniature": Stage(("preprocess.miniature",), runs=("generator",)),
    "verify": Stage(
        ("preprocess.acquire.verify",), runs=("source",), reads=("source", "published"), prints=("source",)
    ),
    "index": Stage(("preprocess.index",), ("miniature",), ("index",), ("source",), ("raw",)),
    "split": Stage(("preprocess.split",), ("index",), ("split",), reads=("order", "lists")),
    "prepare": Stage(("preprocess.prepare",), ("index",), ("index", "render"), ("source", "prepare"), ("raw",)),
    "render": Stage(("preprocess.shards",), ("split",), ("index", "render"), ("source", "steps"), ("raw",)),
    "alike": Stage(("preprocess.alike",), ("render",)),
    "collect": Stage(("preprocess.collect",), ("split", "render")),
    "pack": Stage(("preprocess.pack",), ("collect",), ("container",), reads=("form",)),
    "samples": Stage(("preprocess.collect",), ("pack",)),
    "check": Stage(
        ("preprocess.audit.checks",),
        ("samples",),
        ALL,
        ("source", "steps"),
        ("raw",),
        ("recipe", "source", "published"),
    ),
    "reread": Stage(("preprocess.checksums", "preprocess.packed"), ("pack",)),
    "verdict": Stage(
        ("preprocess.audit.verdict",), ("reread", "samples"), ALL, reads=("published",), prints=("recipe", "published")
    ),
    "provenance": Stage(
        ("preprocess.audit.provenance",),
        ("check", "verdict", "verify"),
        ALL,
        reads=("config",),
        prints=("recipe", "source", "published", "versions"),
    ),
    "leak_free": Stage(("preprocess.audit.leakfree",), ("check",), ("split",), reads=("lists",)),
    "audit": Stage(
        ("preprocess.audit.pages", "preprocess.audit.exceptions"),
        ("provenance",),
        ALL,
        ("source", "steps"),
        ("raw", "exceptions"),
        ("recipe", "source", "published", "template"),
    ),
    "gate": Stage(("preprocess.audit.exceptions",), ("audit",)),
    "export_npy": Stage(("preprocess.exports.npy",), ("samples",)),
    "export_png": Stage(("preprocess.exports.png",), ("samples",)),
    "export_croissant": Stage(("preprocess.exports.croissant",), ("samples",), ALL, prints=("recipe", "source")),
    "export_parquet": Stage(("preprocess.exports.parquet",), ("samples",), ALL, prints=("recipe",)),
    "card": Stage(
        ("preprocess.exports.card",), ("export_parquet", "audit"), ALL, prints=("recipe", "source", "published", "card")
    ),
    "export_webdataset": Stage(("preprocess.exports.webdataset",), ("samples",), ALL, prints=("recipe", "source")),
    "export_zarr": Stage(("preprocess.exports.zarr",), ("samples",), ALL, prints=("recipe", "source")),
    "match": Stage(
        ("preprocess.match.run",),
        ("index",),
        ("index", "render"),
        ("source", "steps"),
        ("raw", "published"),
        ("recipe", "published", "template"),
    ),
    # a look at the files of a source
    "inspect": Stage(
        ("preprocess.inspection.look",), ("miniature",), ALL, ("source",), ("source",), ("recipe", "source", "report")
    ),
    # in a rehearsal, of the samples that were drawn
    "match_sample": Stage(
        ("preprocess.match.run",),
        ("split",),
        ALL,
        ("source", "steps"),
        ("raw", "published"),
        ("recipe", "published", "template"),
    ),
    # of all datasets together
    "checksums": Stage(("preprocess.checksums",), ("reread",)),
    "collection": Stage(("preprocess.audit.montage",), ("pack",), prints=("recipe",)),
    "audit_index": Stage(("preprocess.audit.pages",), ("audit",), prints=("template",)),
}


def after(name: str, renders_first: bool) -> tuple[str, ...]:
    """The stages whose results one reads, by whether the samples are rendered before they are split."""
    return RENDERED_FIRST.get(name, STAGES[name].after) if renders_first else STAGES[name].after
