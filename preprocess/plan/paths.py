"""Every path a run writes, said once: rules take them with their wildcards open, the plan fills them in."""

from __future__ import annotations

from pathlib import Path

#: by name; ``{base}`` is the results folder of stand-ins or of data, ``{out}`` that of one build below it
PLACES = {
    # ---- of the raw files, whatever the build
    "stand_in": "{base}/raw/{source}",
    "verified": "{base}/verified/{source}.json",
    "inspected": "{base}/inspect/{source}.md",
    "inspected_data": "{base}/inspect/{source}.json",
    # ---- on the way; ``{sharing}`` are the datasets of a source that share what is prepared, joined by +
    "prepared": "{out}/work/{source}/prepared/{sharing}/{batch}/{shard}",
    "index": "{out}/work/{dataset}/index.tsv",
    "census": "{out}/work/{dataset}/census.tsv",
    "alike": "{out}/work/{dataset}/alike.tsv",
    "split": "{out}/work/{dataset}/split.tsv",
    "shard": "{out}/work/{dataset}/shards/{batch}/{shard}",
    "rows": "{out}/work/{dataset}/rows.tsv",
    "seen": "{out}/work/{dataset}/packed/seen{tail}.npz",
    "record": "{out}/work/{dataset}/packed/record{tail}.json",
    "sums": "{out}/work/{dataset}/packed/sums{tail}.tsv",
    "checks": "{out}/work/{dataset}/checks.json",
    "duplicates": "{out}/work/{dataset}/duplicates.tsv",
    "verdict": "{out}/work/{dataset}/verdict.json",
    "summary": "{out}/work/{dataset}/audit.json",
    "gate": "{out}/work/{dataset}/gate.txt",
    # ---- what a user gets of one dataset
    "npz": "{out}/{dataset}{tail}.npz",
    "samples": "{out}/{dataset}.samples.tsv",
    "excluded": "{out}/{dataset}.excluded.tsv",
    "unmatched": "{out}/{dataset}.unmatched.tsv",
    "provenance": "{out}/{dataset}.provenance.json",
    "splits": "{out}/splits/{dataset}",
    "page": "{out}/audit/{dataset}.html",
    "montage": "{out}/audit/{dataset}.png",
    "npy": "{out}/npy/{dataset}{tail}",
    "png": "{out}/png/{dataset}{tail}",
    "png_table": "{out}/png/{dataset}{tail}.csv",
    "croissant": "{out}/{dataset}{tail}.croissant.json",
    "parquet": "{out}/parquet/{dataset}{tail}/data",
    "card": "{out}/parquet/{dataset}{tail}/README.md",
    "webdataset": "{out}/webdataset/{dataset}{tail}",
    "zarr": "{out}/zarr/{dataset}{tail}.zarr",
    # ---- of all datasets together
    "md5": "{out}/MD5SUMS",
    "sha256": "{out}/SHA256SUMS",
    "arrays": "{out}/ARRAYS.sha256",
    "collection": "{out}/audit/collection.png",
    "audit_index": "{out}/audit/index.html",
    "audit_data": "{out}/audit/audit.json",
    # ---- answers to what is asked of builds
    "proofs": "{base}/proofs.tsv",
    "compare": "{base}/compare/index.html",
    "compare_data": "{base}/compare/compare.json",
    "impact": "{base}/impact/index.html",
    "impact_data": "{base}/impact/impact.json",
    "trace": "{out}/trace/index.html",
    "trace_data": "{out}/trace/trace.json",
    "traced": "{out}/trace/traced.js",
    # ---- of a match with the published files
    "order": "{out}/match/{dataset}/order.csv",
    "match_unmatched": "{out}/match/{dataset}/unmatched.csv",
    "decisions": "{out}/match/{dataset}/decisions.tsv",
    "match": "{out}/match/{dataset}/index.html",
}
#: what a further format consists of, by the names of its places
EXPORTS = {
    "npy": ("npy",),
    "png": ("png", "png_table"),
    "croissant": ("croissant",),
    "parquet": ("parquet", "card"),
    "webdataset": ("webdataset",),
    "zarr": ("zarr",),
}
SUM_LISTS = ("md5", "sha256", "arrays")


class Paths:
    """The places of one build."""

    def __init__(self, base: Path, out: Path) -> None:
        self.base, self.out = base, out

    def __getitem__(self, name: str) -> str:
        """A place with its wildcards open: ``results/paper/work/{dataset}/index.tsv``."""
        return PLACES[name].replace("{base}", str(self.base)).replace("{out}", str(self.out))

    def of(self, name: str, **wildcards: object) -> str:
        """A place with its wildcards filled in."""
        place = self[name]
        for wildcard, value in wildcards.items():
            place = place.replace(f"{{{wildcard}}}", str(value))
        return place

    def log(self, name: str, folder: str = "{dataset}") -> str:
        """The log of a rule's job, with its wildcards open."""
        return str(self.out / "logs" / folder / f"{name}.log")

    def benchmark(self, name: str, folder: str = "{dataset}") -> str:
        """Snakemake's own figures on a rule's job, with its wildcards open."""
        return str(self.out / "benchmarks" / folder / f"{name}.tsv")
