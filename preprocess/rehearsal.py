"""A rehearsal: a small sample of the true files goes through every step, so that hours of rendering start after proof.

The sample is taken when the splits are known, so the splits are those of the whole. The others are left out with the
reason :data:`REASON` and stand in ``excluded.tsv`` like any sample that is left out.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from preprocess.files import read_json
from preprocess.table import Sample, read_rows

#: why a sample is not in a rehearsal, see :mod:`preprocess.reasons`
REASON = "not-rehearsed"
#: of one group so many samples of a stratum are taken before the next group is: few scans are opened, but not one alone
TOGETHER = 2


def leave_out(samples: Iterable[Sample], n: int, seed: int) -> tuple[int, int]:
    """Keep ``n`` of the samples that have a split, at least one of each split and class, and leave out the others.

    Each split and class gets its share of ``n``. Within it groups (patient, lesion, scan ...) are drawn by the
    seed and not single samples, the same groups in every class, :data:`TOGETHER` samples of one before the next: so
    what straddles the splits of the whole can be seen in the sample, a volume is opened for several samples,
    and no group is put on another side than in the whole. A multi-label sample belongs to the first label it has. A
    sample whose group is unknown is a group of its own.
    The draw depends on keys, groups, labels, splits and the seed only.

    Args:
        samples: all samples of a dataset, changed in place: one that is not drawn loses its split and its place.
        n: how many to keep; more where there are more pairs of split and class, all where there are no more samples.
        seed: any whole number.

    Returns:
        how many were kept, and how many there were.
    """
    strata: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.split and not sample.reason:
            # of several labels the first it has, of which there are few
            strata[sample.split, next(map(str, sample.classes), "")].append(sample)
    shares = _shares({stratum: len(members) for stratum, members in strata.items()}, n)
    kept = 0
    for stratum, members in strata.items():
        drawn = {sample.key for sample in _draw(members, shares[stratum], seed)}
        kept += len(drawn)
        for sample in members:
            if sample.key not in drawn:
                sample.split, sample.index = "", -1
                sample.reason, sample.detail = REASON, f"a rehearsal on {n:,} samples"
    return kept, sum(map(len, strata.values()))


def _shares(counts: Mapping[tuple[str, str], int], n: int) -> dict[tuple[str, str], int]:
    """How many of each stratum: one, and then by largest remainders of what is left of ``n``."""
    total = sum(counts.values())
    if n >= total:
        return dict(counts)
    shares = dict.fromkeys(counts, 1)
    left = max(n - len(counts), 0)
    open_places = {stratum: count - 1 for stratum, count in counts.items()}
    whole = sum(open_places.values())
    exact = {stratum: left * places / whole if whole else 0.0 for stratum, places in open_places.items()}
    for stratum, share in exact.items():
        shares[stratum] += int(share)
    remaining = left - sum(int(share) for share in exact.values())
    by_remainder = sorted(exact, key=lambda stratum: (int(exact[stratum]) - exact[stratum], stratum))
    for stratum in by_remainder[:remaining]:
        shares[stratum] += 1
    return shares


def _draw(members: list[Sample], count: int, seed: int) -> list[Sample]:
    """Some samples of one stratum, group by group."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in members:
        groups[sample.group or f"\0{sample.key}"].append(sample)
    ranked: list[tuple[int, str, str, Sample]] = []
    for group, found in groups.items():
        for place, sample in enumerate(sorted(found, key=lambda one: _rank(seed, one.key))):
            ranked.append((place // TOGETHER, _rank(seed, group), sample.key, sample))
    return [sample for *_, sample in sorted(ranked, key=lambda one: one[:3])[:count]]


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{name}".encode()).hexdigest()


def outcome(name: str, summary: Path, match: Path | None) -> list[str]:
    """What a rehearsal of one dataset says at its end, for the terminal.

    Args:
        name: the dataset.
        summary: its part of ``audit.json``.
        match: the ``decisions.tsv`` of its match with the published file, or None where there was none.
    """
    audit = read_json(summary)
    rows = sum(audit["counts"].values())
    lines = [
        f"{name}: a rehearsal on {rows:,} samples, no build: "
        f"{_number(audit['errors'], 'error')}, {_number(audit['warnings'], 'warning')}"
    ]
    lines += [f"{name}: {file}: {verdict['text']}" for file, verdict in audit["verdict"].items()]
    if match is not None:
        lines += [f"{name}: {_pixels(row, rows)}" for row in read_rows(match) if row["decision"] == "all"]
    return lines


def _number(checks: list[str], what: str) -> str:
    named = f" ({', '.join(dict.fromkeys(checks))})" if checks else ""
    return f"{len(checks)} {what}{'' if len(checks) == 1 else 's'}{named}"


def _pixels(row: dict[str, str], rows: int) -> str:
    """Whether the pixels agree, by the line of all rows of one size in ``decisions.tsv``."""
    exact = int(row["exact"])
    told = f"{exact:,} of {rows:,} samples are a published row at {row['size']} pixel for pixel"
    if row["in_force"] and exact == rows:
        return f"the pixels agree: {told}"
    if row["in_force"] and exact:
        return f"the pixels agree in part: {told}; the page of the match shows the others"
    if exact:
        return f"the pixels do not agree: by {row['value']} {told}, by the decisions in force fewer"
    return f"the pixels do not agree: {told}"
