"""Raw folders damaged at random, with a seed: nothing wrong, nothing lost in silence, no traceback.

Whatever is done to a stand-in's raw folder, building from it ends in one of three ways: every sample has the pixels
and the label it has without the damage, or is excluded with a reason, or the run stops with one clear line. A sample
may be absent where the census says that the counts differ, as for a list that was cut between two rows.

Left out is what nobody can see: bits of a file without any checksum that change into other valid bits.

``MEDMNIST_FUZZ`` sets how many mutations each dataset gets; a failure names its seed.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from preprocess import index, miniature, recipe, sources, split
from preprocess.errors import ExcludeSample, PreprocessError, UnreadableError
from preprocess.reading.archives import is_tar, is_zip
from preprocess.reading.dicom import Series
from preprocess.reading.volume import Volume
from preprocess.render import Renderer, digest
from preprocess.table import Sample

#: a dataset of every source, and of both parts of the one that has two
DATASETS = (
    "pathmnist", "chestmnist", "dermamnist", "octmnist", "pneumoniamnist", "retinamnist", "breastmnist", "bloodmnist",
    "tissuemnist", "vesselmnist3d", "synapsemnist3d", "adrenalmnist3d", "fracturemnist3d", "nodulemnist3d",
    "organmnist3d",
)  # fmt: skip
#: of stand-ins that take seconds to build from, what is left out
LEFT_OUT = {
    "ribfrac": r"ribfrac-train-images-1\.zip|ribfrac-test-images\.zip",
    "lits": r"Training_Batch2\.zip|.*/(volume|segmentation)-0\.nii",
    "lidc_idri": r"LIDC-IDRI/LIDC-IDRI-(?!0719).*",
}
COUNT = int(os.environ.get("MEDMNIST_FUZZ", "20"))
TABLES = (".csv", ".tab", ".tsv")

Rng = random.Random


@dataclass
class Result:
    """What became of a raw folder: values of samples by key, reasons of exclusion by key, counts found and wanted."""

    values: dict[str, tuple[str, str]]
    excluded: dict[str, str]
    found: dict[str, int]
    wanted: dict[str, int]

    @property
    def counts_differ(self) -> bool:
        return self.found != {name: count for name, count in self.wanted.items() if count}


_RENDERED: dict[tuple[str, str, str], str] = {}


def built(dataset: str, folder: Path, census: dict[str, int]) -> Result:
    """Index, split and render everything at 28, as the stages do under ``census: warn``."""
    in_force = recipe.load(dataset, "paper")
    sources.is_present(in_force.source, folder, **in_force.dataset.options)
    indexed = index.build(in_force, folder, "warn", census)
    samples = split.assign(in_force, indexed.samples, 42).samples
    result = Result({}, {}, {name: found for name, _, found in indexed.census if found}, census)
    renderer = Renderer(in_force, folder, [28])
    for sample in samples:
        if sample.reason:
            result.excluded[sample.key] = sample.reason
            continue
        try:
            result.values[sample.key] = (sample.label, rendered(dataset, renderer, sample))
        except ExcludeSample as exclusion:
            result.excluded[sample.key] = exclusion.reason
        except UnreadableError as error:
            assert "\n" not in error.detail and str(folder) not in error.detail and " at 0x" not in error.detail
            result.excluded[sample.key] = "unreadable"
    renderer.raw.close()
    return result


def rendered(dataset: str, renderer: Renderer, sample: Sample) -> str:
    """Digest of a sample's pixels; those of known bytes are known."""
    opened = renderer._open(renderer.raw, sample)
    if isinstance(opened, Series):
        places = [one.path for one in opened.slices]
    elif isinstance(opened, Volume):
        places = [sample.path, *filter(None, map(sample.attributes.get, ("mask", "ribs")))]
    else:
        places = []
    held = [renderer.raw.read(place) for place in places if place != "none"] or [digest(opened).encode()]
    # what is asked of a row are its columns; the paths among them are another's after a renaming
    told = [f"{name}={text}" for name, text in sorted(sample.attributes.items()) if name not in ("mask", "ribs")]
    key = (dataset, hashlib.sha256(b"".join(held)).hexdigest(), f"{getattr(opened, 'axes', '')} {told}")
    if key not in _RENDERED:
        _RENDERED[key] = hashlib.sha256(renderer.render(sample).arrays[28].tobytes()).hexdigest()
    return _RENDERED[key]


# ---- mutations: each changes one thing in a raw folder and says what


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def write(path: Path, data: bytes) -> str:
    path.unlink()  # it may be a hard link to the stand-in's own file
    path.write_bytes(data)
    return path.name


def truncate(folder: Path, rng: Rng) -> str:
    path = rng.choice(files_of(folder))
    data = path.read_bytes()
    return write(path, data[: int(len(data) * rng.choice((0.02, 0.3, 0.5, 0.8, 0.95)))])


def empty(folder: Path, rng: Rng) -> str:
    return write(rng.choice(files_of(folder)), b"")


def head(folder: Path, rng: Rng) -> str:
    path = rng.choice(files_of(folder))
    data = path.read_bytes()
    return write(path, rng.randbytes(8) + data[8:])


def page(folder: Path, rng: Rng) -> str:
    return write(rng.choice(files_of(folder)), b"<!DOCTYPE html><html><body>please log in</body></html>\n" * 5)


def hole(folder: Path, rng: Rng) -> str:
    """Zeros over a stretch of what has a checksum, or of a JPEG's data."""
    chosen = [path for path in files_of(folder) if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".zip", ".gz")]
    if not chosen:
        return truncate(folder, rng)
    path = rng.choice(chosen)
    data = path.read_bytes()
    at = rng.randrange(len(data) // 3, max(len(data) * 2 // 3, len(data) // 3 + 1))
    return write(path, data[:at] + bytes(min(512, len(data) - at)) + data[at + 512 :])


def flip(folder: Path, rng: Rng) -> str:
    """Other bytes somewhere in what has a checksum of its own."""
    chosen = [path for path in files_of(folder) if path.suffix.lower() in (".png", ".zip", ".gz")]
    if not chosen:
        return head(folder, rng)
    path = rng.choice(chosen)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 4))):
        data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    return write(path, bytes(data))


def remove(folder: Path, rng: Rng) -> str:
    path = rng.choice(files_of(folder))
    path.unlink()
    return path.name


def kind_of(path: Path) -> str:
    """What a file holds by its name; a volume is one whether packed or not."""
    return ".nii" if path.name.lower().endswith((".nii", ".nii.gz")) else path.suffix.lower()


def kinds_swapped(folder: Path, rng: Rng) -> str:
    """The contents of two files of different kinds, each under the other's name."""
    one = rng.choice(files_of(folder))
    others = [path for path in files_of(folder) if kind_of(path) != kind_of(one)]
    if not others:
        return empty(folder, rng)
    other = rng.choice(others)
    first, second = one.read_bytes(), other.read_bytes()
    return f"{write(one, second)} and {write(other, first)}"


def copied(folder: Path, rng: Rng) -> str:
    """The same file once more, in a folder of its own."""
    path = rng.choice(files_of(folder))
    place = folder / rng.choice(("AAA", "zzz")) / path.relative_to(folder)
    place.parent.mkdir(parents=True)
    shutil.copyfile(path, place)
    return path.name


def doubled(folder: Path, rng: Rng) -> str:
    """A file of the same name and other content, in a folder of its own."""
    path = rng.choice(files_of(folder))
    place = folder / rng.choice(("AAA", "zzz")) / path.relative_to(folder)
    place.parent.mkdir(parents=True)
    data = bytearray(path.read_bytes())
    if data:
        data[len(data) * 3 // 4] ^= 0x55
    place.write_bytes(data)
    return path.name


def twin(folder: Path, rng: Rng) -> str:
    """Another picture beside one, with the other spelling of its extension."""
    spellings = {".jpg": ".jpeg", ".jpeg": ".jpg", ".tif": ".tiff", ".png": ".PNG"}
    chosen = [path for path in files_of(folder) if path.suffix in spellings]
    if len(chosen) < 2:
        return copied(folder, rng)
    path, other = rng.sample(chosen, 2)
    place = path.with_suffix(spellings[path.suffix])
    if place.exists():
        return remove(folder, rng)
    shutil.copyfile(other, place)
    return f"{place.name} from {other.name}"


def renamed(folder: Path, rng: Rng) -> str:
    path = rng.choice(files_of(folder))
    place = path.with_name(rng.choice((path.name.upper(), path.name.lower(), f"{path.name}.bak", f"x{path.name}")))
    path.rename(place)
    return f"{path.name} -> {place.name}"


def bytes_in_name(folder: Path, rng: Rng) -> str:
    """All of it in a folder whose name is not UTF-8."""
    inner = os.fsdecode(os.fsencode(folder) + b"/Im\xe1genes")
    entries = list(folder.iterdir())
    Path(inner).mkdir()
    for entry in entries:
        entry.rename(Path(inner) / entry.name)
    return "into Im\\xe1genes"


def reencoded(folder: Path, rng: Rng) -> str:
    """A table as other programs save it."""
    chosen = [path for path in files_of(folder) if path.suffix.lower() in TABLES]
    if not chosen:
        return litter(folder, rng)
    path = rng.choice(chosen)
    text = path.read_text(encoding="utf-8-sig")
    ways: dict[str, Callable[[], bytes]] = {
        "utf-16": lambda: text.encode("utf-16"),
        "utf-16-be": lambda: "\ufeff".encode("utf-16-be") + text.encode("utf-16-be"),
        "BOM": lambda: b"\xef\xbb\xbf" + text.encode(),
        "CRLF": lambda: text.replace("\r\n", "\n").replace("\n", "\r\n").encode(),
        "CR": lambda: text.replace("\r\n", "\n").replace("\n", "\r").encode(),
        "semicolon": lambda: text.replace(",", ";").encode(),
        "tab": lambda: text.replace(",", "\t").encode(),
        "empty lines": lambda: text.replace("\n", "\n\n").encode(),
        "quote": lambda: text.replace(",", ',"', 1).encode(),
        "short row": lambda: text.rstrip("\n").rpartition(",")[0].encode(),
    }
    way = rng.choice(sorted(ways))
    return f"{write(path, ways[way]())} as {way}"


def litter(folder: Path, rng: Rng) -> str:
    for name in (b"le\xe9me.txt", b".DS_Store", b"Thumbs.db", b"note.pdf"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(rng.randbytes(20))
    return "litter"


def dangling(folder: Path, rng: Rng) -> str:
    (folder / f"gone{rng.choice(files_of(folder)).suffix}").symlink_to(folder / "nowhere")
    return "a link to nothing"


def packed(folder: Path, rng: Rng) -> str:
    """All of it in one archive of some form, whole or not."""
    paths = files_of(folder)
    names = [path.relative_to(folder).as_posix() for path in paths]
    form = rng.choice(("zip", "stored", "backslashes", "tar", "tar.gz", "tar as tar.gz", "v7", "method", "encrypted"))
    place = folder / (
        "all.tar.gz" if form in ("tar.gz", "tar as tar.gz") else "all.tar" if "tar" in form else "all.zip"
    )
    place = place.with_name("all.tar") if form == "v7" else place
    if is_tar(place.name):
        kind = {"v7": tarfile.USTAR_FORMAT}.get(form, tarfile.PAX_FORMAT)
        with tarfile.open(place, "w:gz" if form == "tar.gz" else "w", format=kind) as archive:
            for path, name in zip(paths, names, strict=True):
                archive.add(path, name)
    else:
        method = zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(place, "w", method) as file:
            for path, name in zip(paths, names, strict=True):
                info = zipfile.ZipInfo("x")
                info.filename = name.replace("/", "\\") if form == "backslashes" else name
                info.compress_type = method
                file.writestr(info, path.read_bytes())
    for path in paths:
        path.unlink()
    data = bytearray(place.read_bytes())
    if form in ("method", "encrypted"):
        first = data.index(b"PK\1\2")
        data[first + 10 : first + 12] = struct.pack("<H", 9 if form == "method" else 99)
    if form == "v7":  # no magic: what tells a header is its checksum
        for start in range(0, len(data) - 512, 512):
            if data[start + 257 : start + 262] == b"ustar":
                data[start + 257 : start + 265] = bytes(8)
                data[start + 148 : start + 156] = b" " * 8
                data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    if rng.random() < 0.3:
        data[rng.randrange(len(data))] ^= 0xFF if is_zip(place.name) or form == "tar.gz" else 0
    if rng.random() < 0.2:
        data = data[: len(data) * 3 // 4]
    place.write_bytes(data)
    return form


MUTATIONS = (
    truncate, empty, head, page, hole, flip, remove, kinds_swapped, copied, doubled, twin, renamed, bytes_in_name,
    reencoded, litter, dangling, packed,
)  # fmt: skip


def laid_out(source: Path, folder: Path, unpacked: bool) -> None:
    """The stand-in's files, its archives as they are or unpacked; files are hard links where they can be."""
    shutil.copytree(source, folder, copy_function=os.link)
    for path in files_of(folder):
        if re.fullmatch(LEFT_OUT.get(source.name, ""), path.relative_to(folder).as_posix()):
            path.unlink()
    for path in files_of(folder) if unpacked else []:
        if is_zip(path.name) or is_tar(path.name):
            inside = folder / path.relative_to(folder).as_posix().removesuffix(".zip").removesuffix(".tar.gz")
            shutil.unpack_archive(path, inside)
            path.unlink()
    shutil.rmtree(folder / "__MACOSX", ignore_errors=True)


def problem_of(before: Result, dataset: str, folder: Path) -> str:
    """What is wrong with how building from a mutated folder ended; empty where nothing is."""
    try:
        after = built(dataset, folder, before.wanted)
    except PreprocessError as error:
        return f"more than one line: {error}" if "\n" in str(error) or len(str(error)) > 1500 else ""
    except Exception as error:  # whatever it is, a user should not have seen it
        return f"{type(error).__name__}: {error}"
    changed = [key for key, value in after.values.items() if before.values.get(key, value) != value]
    if changed:
        return f"other values: {changed[:3]}"
    lost = before.values.keys() - after.values.keys() - after.excluded.keys()
    new = after.values.keys() - before.values.keys()
    if sorted(before.values[key] for key in lost) == sorted(after.values[key] for key in new):
        return ""  # a file that was renamed is the same sample under another key
    return "" if after.counts_differ or not (lost or new) else f"lost {sorted(lost)[:3]}, new {sorted(new)[:3]}"


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_damage_to_a_raw_folder_goes_unsaid(dataset, stand_in, tmp_path, caplog):
    source = stand_in(recipe.read(dataset)["source"])
    trees = {}
    for unpacked in (False, True):
        trees[unpacked] = tmp_path / f"whole-{unpacked}"
        laid_out(source, trees[unpacked], unpacked)
    census = miniature.census(dataset)
    if source.name in LEFT_OUT:
        census = built(dataset, trees[False], census).found
    before = built(dataset, trees[False], census)
    assert before == built(dataset, trees[True], census)
    assert before.values and not before.counts_differ
    problems = []
    for seed in range(COUNT):
        rng = random.Random(f"{dataset} {seed}")
        folder = tmp_path / "mutated"
        shutil.copytree(trees[rng.random() < 0.7], folder, copy_function=os.link)
        mutation = MUTATIONS[seed % len(MUTATIONS)]
        said = mutation(folder, rng)
        if problem := problem_of(before, dataset, folder):
            problems.append(f"{dataset} {seed}: {mutation.__name__} {said}: {problem}")
        shutil.rmtree(folder)
        caplog.clear()
    assert not problems, "\n".join(problems)
