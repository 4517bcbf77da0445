"""What a run can be asked for by name, and what was meant by a name that is none."""

from __future__ import annotations

from preprocess import recipe
from preprocess.acquire.inventory import aligned
from preprocess.errors import guess

#: what is not of one dataset or source
OTHERS = {
    "all": "everything configured, the default",
    "audit": "the audit pages of everything configured",
    "inspect": "what the raw files are, in minutes, and a report to share: --config sources=[...]",
    "rehearse": "a rehearsal on some samples of each dataset, in a folder of its own: --config rehearsal=200",
    "match": "which raw sample each row of the published files in <raw>/released is",
    "prove": "prove again what the raw and published files at hand allow",
    "compare": "hold builds against each other: --config variants=[...]",
    "impact": "what a decision is worth to a classifier: --config variants=[...]",
    "trace": "where rows come from, step by step: --config rows=[...]",
    "new": "look at a folder of your own and draft its recipe: --config name=... raw=DIR",
    "sources": "what of the raw files is there, how to get the rest, and what a build costs",
    "fetch": "download the sources named by --config sources=...",
    "targets": "this list",
}


#: names of rules and modules of the workflow that no dataset can have besides those of targets
RESERVED = frozenset({"checksums", "collection", "source", "published", "together", "inquiry"})


def names() -> list[str]:
    """Every name, those that are asked for most often first."""
    datasets = recipe.names()
    return [*OTHERS, *datasets, *sorted({recipe.dataset(name).source for name in datasets})]


def table() -> list[str]:
    """A line for every name."""
    of_source: dict[str, list[str]] = {}
    for name in recipe.names():
        of_source.setdefault(recipe.dataset(name).source, []).append(name)
    return aligned(
        [
            *OTHERS.items(),
            *((name, recipe.dataset(name).title) for name in recipe.names()),
            *((source, f"all of this source: {', '.join(of_source[source])}") for source in sorted(of_source)),
        ]
    )


def meant(word: str) -> str:
    """Say that there is no such target, and which name is like it: ``brestmnist``, ``BreastMNIST``."""
    like = guess(word, names())
    return f"no target is called {word!r}; {like}'snakemake --cores 1 targets' lists them"
