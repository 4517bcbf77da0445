"""A small workflow manager: `python incremental.py <config as JSON>`, in a copy of the project that may be edited.

It runs every stage of BreastMNIST whose command line or digest is not that of its last run, in one process, and
nothing else. So a test can ask after every edit whether the digests told all that it concerns, without Snakemake's
own ways to notice it (times of files, jobs that ran before).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from preprocess import cli
from preprocess.plan.plan import Plan

NAME = "breastmnist"


def steps(plan: Plan) -> list[tuple[str, list[str]]]:
    """Stage and command line of each, in order."""
    p, sizes = {place: plan.paths.of(place, dataset=NAME) for place in (
        "index", "census", "split", "unmatched", "rows", "samples", "excluded", "checks", "duplicates", "verdict",
        "provenance", "montage", "splits", "page", "summary",
    )}, list(map(str, plan.sizes(NAME)))  # fmt: skip
    raw, seed, npz, shards = (
        str(plan.folder(NAME)),
        str(plan.settings.seed),
        plan.npz(NAME),
        plan.shard_folders(NAME, 0),
    )
    seen, record, sums = (plan.beside_npz(place, NAME) for place in ("seen", "record", "sums"))
    order = [str(plan.order_table(NAME))] if plan.order_table(NAME) else []
    variant = list(filter(None, [plan.settings.variant_name]))
    stages = [
        ("index", "--raw", raw, "--census", "warn", "--output", p["index"], "--counts", p["census"]),
        ("split", "--seed", seed, "--order-table", *order, "--index", p["index"], "--output", p["split"],
         "--unmatched", p["unmatched"]),
        *(("render", "--raw", raw, "--census", "warn", "--sizes", *sizes, "--table", p["split"], "--shard", str(shard),
           "--shards", str(len(shards)), "--output", folder) for shard, folder in enumerate(shards)),
        ("collect", "--split", p["split"], "--shards", *shards, "--rows", p["rows"], "--excluded", p["excluded"]),
        *(("pack", "--size", size, "--container", plan.container(NAME), "--deflate", str(plan.settings.deflate),
           "--workers", "1", "--batch", "0", "--together", *sizes, "--tables", "0", "--of-tables", *sizes, "--current",
           plan.current("pack", NAME), "--rows", p["rows"], "--shards", *shards, "--output", npz[place], "--seen",
           seen[place], "--record", record[place])
          for place, size in enumerate(sizes)),
        ("samples", "--rows", p["rows"], "--sizes", *sizes, "--packed", *seen, "--output", p["samples"]),
        ("check", "--raw", raw, "--seed", seed, "--index", p["index"], "--counts", p["census"], "--samples",
         p["samples"], "--excluded", p["excluded"], "--unmatched", p["unmatched"],
         "--sizes", *sizes, "--npz", *npz, "--packed", *seen, "--output", p["checks"],
         "--duplicates", p["duplicates"]),
        *(("reread", npz[place], "--packed", seen[place], "--workers", "1", "--output", sums[place])
          for place in range(len(npz))),
        ("verdict", "--released", str(plan.released), "--samples", p["samples"], "--sums", *sums, "--sizes", *sizes,
         "--npz", *npz, "--output", p["verdict"]),
        ("provenance", "--default-seed", str(plan.settings.default_seed), "--variant", *variant, "--config",
         json.dumps(plan.config_of(NAME), sort_keys=True), "--samples", p["samples"], "--sums", *sums, "--records",
         *record, "--checks", p["checks"], "--verdict", p["verdict"], "--output", p["provenance"]),
        ("leak_free", "--seed", seed, "--samples", p["samples"], "--duplicates", p["duplicates"],
         "--output", p["splits"]),
        ("audit", "--raw", raw, "--exceptions", *filter(None, [plan.settings.exceptions]), "--samples", p["samples"],
         "--excluded", p["excluded"], "--provenance", p["provenance"], "--size", str(plan.audit_size(NAME)), "--npz",
         plan.audit_npz(NAME), "--packed", plan.beside("seen", NAME, plan.audit_size(NAME)), "--output", p["page"],
         "--index", p["index"], "--sizes", *sizes, "--seed", seed, "--summary", p["summary"], "--montage",
         p["montage"]),
    ]  # fmt: skip
    of_recipe = {"collect": [], "samples": [], "reread": []}
    return [
        (stage, [stage.replace("_", "-"), *of_recipe.get(stage, recipe_words(plan, stage)), *words])
        for stage, *words in stages
    ]


def exports(plan: Plan) -> list[tuple[str, list[str]]]:
    """The same of exports, which an edit need not make again: those whose commands read facts."""
    npz, samples, summary = plan.npz(NAME)[0], *(plan.paths.of(place, dataset=NAME) for place in ("samples", "summary"))
    built = ["--npz", npz, "--samples", samples]
    data, card = (plan.beside(place, NAME, plan.sizes(NAME)[0]) for place in ("parquet", "card"))
    return [
        ("export_parquet", ["export", *recipe_words(plan, "export_parquet"), *built, "--format", "parquet", "--output",
                            data]),
        ("card", ["card", *recipe_words(plan, "card"), *built, "--data", data, "--summary", summary, "--output", card]),
    ]  # fmt: skip


def recipe_words(plan: Plan, stage: str) -> list[str]:
    return [NAME, "--protocol", plan.settings.protocol, "--overrides", plan.overrides(stage, NAME)]


def main() -> None:
    config = json.loads(sys.argv[1])
    plan = Plan(config, Path("workflow/schemas/config.schema.json"))
    record = Path(config["results"], "record.json")
    done = json.loads(record.read_text()) if record.exists() else {}
    ran = []
    verify = ["verify", "busi", "--raw", str(plan.raw), "--cache", str(plan.cache), "--output",
              plan.paths.of("verified", source="busi")]  # fmt: skip
    for stage, words in [*steps(plan), ("verify", verify)]:
        outputs = words[words.index("--output" if "--output" in words else "--rows") + 1]
        key = [words, plan.current(stage, NAME)]
        if done.get(outputs) != key:
            assert not cli.main(words), words
            ran.append(stage)
        done[outputs] = key
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(done))
    print(json.dumps({"ran": ran, "out": str(plan.out)}))


if __name__ == "__main__":
    main()
