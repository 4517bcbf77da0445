"""The verdict: how a built file compares with the published one, and what cannot be claimed.

``identical``
    the file has the published MD5.
``arrays identical``
    all six arrays are the published ones; the container is not.
``rows``
    ``n of N rows identical, worst difference d``: N rows of ours were compared, each with the published
    row its order table names.
``not comparable``
    with the reason. Where the published order is not known, no claim about rows is made.

A row is identical when its image and its label are. Published files are compared only after their
own MD5 has been recognised. Where a complete build cannot be compared, the mean and standard deviation of its train
images are held against those of the published array: so a wrong window, crop or order of steps shows without the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preprocess import environment, npz, published
from preprocess.checksums import array_digest, file_digest, image_digest
from preprocess.errors import PreprocessError
from preprocess.recipe import Recipe
from preprocess.split import SPLITS
from preprocess.table import read_rows

Kind = Literal["identical", "arrays identical", "rows", "not comparable"]
#: how many differing rows are named
NAMED = 20


@dataclass(frozen=True)
class BuiltFile:
    """One built npz, and what is known of it.

    Attributes:
        recipe: the recipe it was built by.
        size: its size.
        path: the file.
        samples: ``<dataset>.samples.tsv``; its ``released_index`` says which published row is which.
        sums: MD5 of the file by ``<file>``, sha256 of its arrays by ``<file>:<array>``.
    """

    recipe: Recipe
    size: int
    path: Path
    samples: Path
    sums: dict[str, str]

    def array_sum(self, name: str) -> str | None:
        """The sha256 of one of its arrays."""
        return self.sums.get(f"{self.path.name}:{name}")


@dataclass(frozen=True)
class Difference:
    """One row of ours that is not the published one.

    Attributes:
        split: its split.
        index: the published row's place in its split.
        key: our sample.
        image: largest absolute difference of a pixel, 0 to 255; 0 where only the label differs.
        pixels: how many values of the image differ.
        label: ``<ours>, published <theirs>`` where labels differ, else empty.
        instead: the other published row whose image ours is, as ``<split> <index>``, else empty.
    """

    split: str
    index: int
    key: str
    image: int
    pixels: int
    label: str
    instead: str

    def __str__(self) -> str:
        parts = []
        if self.image:
            parts.append(f"{self.pixels:,} values differ, by up to {self.image}")
        if self.instead:
            parts.append(f"the image is the published {self.instead}")
        if self.label:
            parts.append(f"label {self.label}")
        return f"{self.split} {self.index} ({self.key}): {'; '.join(parts)}"


@dataclass(frozen=True)
class Verdict:
    """The verdict on one built file.

    Attributes:
        file: its name.
        verdict: its kind.
        text: the verdict in one line.
        published: the published file it was held against, with its versions; empty where there is none.
        rows: rows of ours that were compared.
        identical: how many of them equal the published ones.
        worst: largest absolute difference of a pixel among them.
        without_raw: published rows that no sample of ours claims.
        differences: the first rows that differ.
        notes: what a reader must know besides.
    """

    file: str
    verdict: Kind
    text: str
    published: str = ""
    rows: int = 0
    identical: int = 0
    worst: int = 0
    without_raw: int = 0
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Comparison:
    """What comparing two files row by row found."""

    rows: int = 0
    identical: int = 0
    worst: int = 0
    our_rows: int = 0
    published_rows: int = 0
    found: list[tuple[Difference, bytes]] = field(default_factory=list)
    digests: dict[bytes, str] = field(default_factory=dict)

    def differences(self) -> tuple[Difference, ...]:
        """The differing rows in order, each told whether it holds another row's image."""
        named = []
        for difference, digest in self.found:
            instead = self.digests.get(digest, "") if difference.image else ""
            named.append(Difference(**{**asdict(difference), "instead": instead}))
        return tuple(named)


def judge(built: BuiltFile, released: Path, miniature: bool, rehearsal: int = 0) -> Verdict:
    """Compare one built npz with what was published.

    Args:
        built: the file.
        released: the published file of that name, which need not be there.
        miniature: whether it was built from a stand-in.
        rehearsal: how many samples a rehearsal draws: what is compared then says so; 0 for a build.

    Raises:
        PreprocessError: a file cannot be read, or the order does not fit the published file.
    """
    recipe, size, path = built.recipe, built.size, built.path
    if rehearsal:
        found = judge(built, released, miniature)
        if found.verdict == "not comparable" and not _excuse(recipe, size, miniature):
            found = replace(found, text="not comparable", without_raw=0)  # what a whole build lacks is not the reason
        if found.verdict == "rows":  # rows that were not drawn lack nothing
            first = f"; first: {found.differences[0]}" if found.differences else ""
            text = f"{found.identical:,} of {found.rows:,} rows identical, worst difference {found.worst}{first}"
            found = replace(found, text=text, without_raw=0)
        return replace(found, text=f"a rehearsal, no build: {found.text}")
    reason = _excuse(recipe, size, miniature)
    if reason:
        return _not_comparable(path, reason)
    expected = published.file(recipe.name, size)
    assert expected is not None
    if (ours := published.recognise(built.sums[path.name], recipe.name, size)) is not None:
        return Verdict(path.name, "identical", f"identical: MD5 {ours.md5}, {ours}", published=str(ours))
    notes = _notes(recipe)
    if {name: built.array_sum(name) for name in expected.arrays} == expected.arrays != {}:
        return _arrays_identical(path, expected, notes)
    if not released.is_file():
        return _without_file(built, expected, notes)
    md5 = file_digest(released, "md5")
    if (theirs := published.recognise(md5, recipe.name, size)) is None:
        what = published.identify(md5) or "none of the published files"
        return _not_comparable(path, f"{released} (MD5 {md5}) is {what}; download it again", notes=notes)
    return _compare_with(built, released, theirs, notes)


def _excuse(recipe: Recipe, size: int, miniature: bool) -> str:
    if miniature:
        return "built from a stand-in"
    edition = published.current(recipe.name)
    if edition is None:
        return "this dataset was never published"
    if recipe.protocol == "paper":
        return "paper protocol"
    if size not in edition.md5:
        return f"published at {', '.join(map(str, edition.md5))} only"
    return ""


def _notes(recipe: Recipe) -> tuple[str, ...]:
    notes = [
        f"{key}: {note}" for key, choice in recipe.decisions.items() for note in (choice.missing, choice.note) if note
    ]
    if not environment.is_classic_zlib():
        notes.append("this Python's zlib is not the classic one: file MD5s cannot match, arrays can")
    if recipe.overridden:
        notes.append(f"overridden: {', '.join(sorted(recipe.overridden))}")
    return tuple(notes)


def _not_comparable(
    path: Path, reason: str, expected: str = "", notes: tuple[str, ...] = (), without: int = 0
) -> Verdict:
    return Verdict(
        path.name, "not comparable", f"not comparable: {reason}", expected, without_raw=without, notes=notes
    )  # fmt: skip


def _arrays_identical(path: Path, expected: published.File, notes: tuple[str, ...]) -> Verdict:
    text = f"arrays identical: all six are those of {expected}; the file's MD5 is not {expected.md5}"
    return Verdict(path.name, "arrays identical", text, str(expected), notes=notes)


def _without_file(built: BuiltFile, expected: published.File, notes: tuple[str, ...]) -> Verdict:
    path = built.path
    placed = sum(1 for row in read_rows(built.samples) if row["released_index"])
    total = sum(counts.rows for counts in expected.edition.counts.values())
    off, said = _fingerprint(built, expected, bool(placed))
    notes = (*notes, *said)
    if not placed:
        return _not_comparable(path, _no_order(built.recipe) + off, str(expected), (*notes, *_sizes(path, expected)))
    what = f"{placed:,} of {total:,} published rows have their raw; " if placed < total else ""
    return _not_comparable(
        path,
        f"{what}the MD5 is not {expected.md5}; put the published {expected.name} into <raw>/released to see how many "
        f"rows are identical{off}",
        str(expected),
        notes,
        total - placed,
    )


def _no_order(recipe: Recipe) -> str:
    """Why rows are not compared, and what is claimed of the splits all the same: as the rule in force decides."""
    if any(key.startswith("split.") or key == "order" for key in recipe.overridden):
        return "the split or order is overridden, so which sample a row is cannot be that of the published file"
    unknown = "the published order is not known (no order table)"
    order = "as the source lists them" if recipe.value("order") == "source" else "seeded"
    rule = recipe.value("split.rule")
    if rule == "list":
        return f"{unknown}: train, val and test are those of a published list, the order of rows within them is {order}"
    if rule == "official":
        return f"{unknown}: train, val and test are the source's own, the order of rows within them is {order}"
    kept = sorted(set((recipe.value("split.keep") or {}).values()), key=SPLITS.index)
    others = [split for split in SPLITS if split not in kept]
    own = f"{' and '.join(kept)} is the source's own; " if kept else ""
    cut = f"{', '.join(others[:-1])} and {others[-1]}"
    return (
        f"{unknown}: {own}neither the rows' order nor which samples are in {cut} is claimed; they are cut by a rule "
        "that gives the published sizes, and seeded"
    )


#: digits of the public table of means: half a unit of the last one
PRINTED = 5e-6
#: standard errors of a draw of other members that are no surprise
ERRORS = 4
#: By dimensions: shares of mean and standard deviation by which the published sizes of a set differ. BreastMNIST's 28
#: file is .03 % and 6.2 % below the figures of 224; the 28 files of Vessel, Adrenal and Fracture have 6 to 12 % less
#: than their 64 files.
BETWEEN_SIZES = {2: (0.005, 0.1), 3: (0.15, 0.15)}


def _fingerprint(built: BuiltFile, expected: published.File, placed: bool) -> tuple[str, tuple[str, ...]]:
    """Hold mean and standard deviation of a complete build's train images against the published ones.

    What is not proven widens the tolerance: the members of train where a seeded rule splits, by the errors of
    another draw of as many images, group by group; the size of the file that the figures are of.

    Returns:
        what to add to the verdict where they are further apart, and the notes.
    """
    known = expected.edition.fingerprint
    recipe, reader = built.recipe, npz.Reader(built.path)
    complete = all(
        len(reader.array(f"{split}_labels")) == counts.rows for split, counts in expected.edition.counts.items()
    )
    if known is None or not complete:
        return "", ()
    (mean, std), errors = _moments(reader.rows("train_images"))
    tolerances = np.full(2, PRINTED)
    reasons = ["the digits printed"]
    if not placed and recipe.value("split.rule") == "per-class":
        total = sum(counts.rows for counts in expected.edition.counts.values())
        share = expected.edition.counts["train"].rows / total
        tolerances += ERRORS * np.sqrt(2 * (1 - share) * _together(recipe, built.samples)) * errors
        reasons.append("which samples are in train")
    if expected.size != known.size or known.evidence == "assumed":
        tolerances += np.array(BETWEEN_SIZES[recipe.dimensions]) * (known.mean, known.std)
        reasons.append("the size of the file they are of")
    figures = (
        f"the train images at {expected.size} have mean {mean:.5f} and standard deviation {std:.5f} of 1, "
        f"the published ones {known.mean:.5f} and {known.std:.5f} (as of {known.size}, {known.evidence})"
    )
    apart = np.abs(np.array([mean - known.mean, std - known.std]))
    told = f"{', '.join(reasons)} leave {tolerances[0]:.5f} and {tolerances[1]:.5f}"
    if (apart > tolerances).any():
        off = f"{figures}, further apart than what is open explains ({told})"
        return f"; {off}: window, crop, kernel or order of steps is off", ()
    return "", (f"{figures}: they agree, where {told}",)


def _together(recipe: Recipe, samples_table: Path) -> float:
    """How many samples of train a draw takes at once: 1, or as many as a group has on average."""
    if recipe.value("split.group_by", "none") == "none":
        return 1.0
    rows = [row for row in read_rows(samples_table) if row["split"] == "train"]
    return len(rows) / len({row.get("cluster") or row["group"] or row["key"] for row in rows})


def _moments(images: Iterator[NDArray[np.uint8]]) -> tuple[tuple[float, float], NDArray[np.float64]]:
    """Mean and standard deviation of all values as shares of 255, and the standard error of each by image."""
    first, second = [], []
    for image in images:
        values = image.ravel().astype(np.float64) / 255
        first.append(values.mean())
        second.append(values @ values / len(values))
    means, squares = np.array(first), np.array(second)
    mean = float(means.mean())
    std = float(np.sqrt(max(squares.mean() - mean**2, 0.0)))
    of_std = (squares - 2 * mean * means) / (2 * std) if std else np.zeros_like(means)
    return (mean, std), np.array([means.std(), of_std.std()]) / np.sqrt(len(means))


def _sizes(path: Path, expected: published.File) -> list[str]:
    """What can be said without an order: whether splits and classes have the published numbers."""
    reader = npz.Reader(path)
    notes: list[str] = []
    for split, counts in expected.edition.counts.items():
        labels = reader.array(f"{split}_labels")
        if len(labels) != counts.rows:
            notes.append(f"{split} has {len(labels):,} rows, published {counts.rows:,}")
        elif counts.evidence in ("bytes", "counts", "read"):
            ours = by_class(labels)
            if ours != list(counts.classes):
                notes.append(f"{split} has {ours} samples by label, published {list(counts.classes)}")
    return notes or ["splits and, where known, classes have the published numbers of samples"]


def by_class(labels: NDArray[np.uint8]) -> list[int]:
    """How many of the labels (N, 1) of an npz are of each class, or of those (N, L) have each label."""
    counts: list[int] = (labels.sum(axis=0) if labels.shape[1] > 1 else np.bincount(labels[:, 0])).tolist()
    return counts


def _compare_with(built: BuiltFile, released: Path, theirs: published.File, notes: tuple[str, ...]) -> Verdict:
    path = built.path
    places = _places(built.samples)
    if not any(places.values()):
        reader = npz.Reader(released)
        if all(built.array_sum(name) == array_digest(reader.rows(name)) for name in reader.names):
            return _arrays_identical(path, theirs, notes)
        off, said = _fingerprint(built, theirs, False)
        more = (*notes, *said, *_sizes(path, theirs))
        return _not_comparable(path, _no_order(built.recipe) + off, str(theirs), more)
    outcome = _compare(path, released, places)
    without = outcome.published_rows - outcome.rows
    if outcome.identical == outcome.published_rows == outcome.our_rows:
        return _arrays_identical(path, theirs, notes)
    text = f"{outcome.identical:,} of {outcome.rows:,} rows identical, worst difference {outcome.worst}"
    if without:
        text += f"; {without:,} of {outcome.published_rows:,} published rows have no raw"
    differences = outcome.differences()
    if differences:
        text += f"; first: {differences[0]}"
    return Verdict(
        file=path.name,
        verdict="rows",
        text=text,
        published=str(theirs),
        rows=outcome.rows,
        identical=outcome.identical,
        worst=outcome.worst,
        without_raw=without,
        differences=differences,
        notes=notes,
    )


def _places(samples_table: Path) -> dict[str, list[tuple[int, int, str]]]:
    """By split: (published index, our index, key) of every row of ours that has a published place."""
    places: dict[str, list[tuple[int, int, str]]] = {split: [] for split in SPLITS}
    for row in read_rows(samples_table):
        if row["released_index"]:
            places[row["split"]].append((int(row["released_index"]), int(row["index"]), row["key"]))
    return places


def _compare(path: Path, released: Path, places: dict[str, list[tuple[int, int, str]]]) -> _Comparison:
    ours, theirs = npz.Reader(path), npz.Reader(released)
    outcome = _Comparison()
    for split in SPLITS:
        our_labels, their_labels = ours.array(f"{split}_labels"), theirs.array(f"{split}_labels")
        outcome.published_rows += len(their_labels)
        outcome.our_rows += len(our_labels)
        pairs = _pairs(ours.rows(f"{split}_images"), theirs.rows(f"{split}_images"), places[split])
        for place, mine, image, other in pairs:
            digest = image_digest(other)
            outcome.digests.setdefault(digest, f"{split} {place}")
            if mine is None or image is None:
                continue
            index, key = mine
            outcome.rows += 1
            label = _label_difference(our_labels[index], their_labels[place])
            worst, pixels = _difference(image, other)
            outcome.worst = max(outcome.worst, worst)
            if not worst and not label:
                outcome.identical += 1
            elif len(outcome.found) < NAMED:
                outcome.found.append((Difference(split, place, key, worst, pixels, label, ""), image_digest(image)))
    return outcome


def _pairs(
    ours: Iterator[NDArray[np.uint8]], theirs: Iterator[NDArray[np.uint8]], places: list[tuple[int, int, str]]
) -> Iterator[tuple[int, tuple[int, str] | None, NDArray[np.uint8] | None, NDArray[np.uint8]]]:
    """Walk both files once, in step: our rows lie in the published order, though some may be missing."""
    wanted = iter(sorted(places))
    mine = enumerate(ours)
    following = next(wanted, None)
    for place, other in enumerate(theirs):
        if following is None or following[0] != place:
            yield place, None, None, other
            continue
        _, index, key = following
        image = next(row for position, row in mine if position == index)
        yield place, (index, key), image, other
        following = next(wanted, None)
    if following is not None:
        raise PreprocessError(
            f"the order table names row {following[0]} for {following[2]}, which the published file does not have; "
            "it is the table of another version"
        )


def _label_difference(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> str:
    if ours.tolist() == theirs.tolist():
        return ""
    return f"{' '.join(map(str, ours.tolist()))}, published {' '.join(map(str, theirs.tolist()))}"


def _difference(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> tuple[int, int]:
    difference = np.abs(ours.astype(np.int16) - theirs)
    return int(difference.max()), int(np.count_nonzero(difference))


def as_json(verdicts: list[Verdict]) -> dict[str, Any]:
    """The verdicts as plain values by file name, differences as text."""
    return {
        verdict.file: asdict(verdict) | {"differences": [str(difference) for difference in verdict.differences]}
        for verdict in verdicts
    }
