"""Where raw files come from: addresses, sizes, checksums, licences, and the steps for a person.

One YAML file a source in ``tables/sources``. A user's own ``<raw>/sources.yaml`` adds to them or
changes them (``{source: {files: [{name, urls, sha256 ...}]}}``, files by name): for another edition of a
file, or for a source whose address nobody published. Its ``mirror: <address>`` names a place that holds files
as a raw folder does, ``<address>/<source>/<name>``; it is tried before the published addresses, and what is
known of a file holds for what comes from there. The published npz are the source ``released``.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
import urllib.parse
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from preprocess import recipe, sources
from preprocess.errors import PreprocessError, instead
from preprocess.files import parse_yaml
from preprocess.recipe import Dataset

#: the source of the published files, built from the table of their checksums
RELEASED = "released"
#: a user's own additions and changes, in the raw folder
OWN_FILE = "sources.yaml"
#: the key of that file that is no source: where else the files of all sources are
MIRROR = "mirror"
#: checksums in the order of trust
DIGESTS = ("sha256", "md5")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a source.

    Attributes:
        source: name of the source.
        name: its place below ``<raw>/<source>``.
        urls: where it is, to be tried in this order; empty where only a person can get it.
        size: bytes, exactly, or None where unknown.
        about: bytes, roughly, or None.
        digests: the known checksums by algorithm; empty where none is known.
        also: checksums of other usable editions, with what they are.
        strict: whether another checksum is an error, not a warning.
        commit: the commit an archive made on demand must carry as its zip comment, or empty.
        needed: whether the source's datasets need it.
        replaces: name patterns of files that are not needed beside this one.
        equal_to: names the same data may have in another packing.
        inventory: the host's own list, ``{kind, url}``, or None.
        browser: whether the host refuses programs.
        untrusted_tls: whether to go on with a broken certificate (only with a sha256).
        note: what a reader should know.
    """

    source: str
    name: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    about: int | None = None
    digests: tuple[tuple[str, str], ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    strict: bool = True
    commit: str = ""
    needed: bool = True
    replaces: tuple[str, ...] = ()
    equal_to: tuple[str, ...] = ()
    inventory: tuple[str, str] | None = None
    browser: bool = False
    untrusted_tls: bool = False
    note: str = ""

    @property
    def only_size(self) -> int | None:
        """The size it must have; None where unknown or where other editions are usable."""
        return self.size if self.strict and not self.also else None

    @property
    def id(self) -> str:
        """``<source>/<name>``, its path below the raw folder."""
        return f"{self.source}/{self.name}"

    def is_replaced_by(self, other: RemoteFile) -> bool:
        """Whether ``other`` holds the same data, so that this one is not needed beside it."""
        return any(fnmatch.fnmatchcase(self.name, pattern) for pattern in other.replaces)


@dataclass(frozen=True)
class Source:
    """One source as its YAML file says; ``content`` holds the parts that need no type of their own."""

    name: str
    content: dict[str, Any]
    files: tuple[RemoteFile, ...]

    @property
    def licence(self) -> str:
        """The licence's name, ``unknown`` where the source does not say."""
        return str(self.content["licence"]["name"])

    @property
    def datasets(self) -> list[str]:
        """The datasets the source unlocks."""
        return list(self.content["datasets"])

    @property
    def manual(self) -> list[str]:
        """The steps for a person."""
        return list(self.content.get("manual", []))

    @property
    def layouts(self) -> list[dict[str, Any]]:
        """Known layouts of archives, published and mirrors'."""
        return list(self.content.get("layouts", []))

    @property
    def wrong(self) -> dict[str, str]:
        """Checksums of files that are often taken for those of this source, with what they are."""
        return dict(self.content.get("wrong", {}))

    @property
    def client(self) -> dict[str, Any] | None:
        """The source's own client and what to ask it for, or None."""
        return self.content.get("client")

    @property
    def needed(self) -> list[RemoteFile]:
        """The files its datasets need and that replace no other."""
        return [file for file in self.files if file.needed and not file.replaces]

    @property
    def access(self) -> str:
        """``automatic``, ``by hand``, or ``partly`` where some needed files have no address."""
        if self.client or "access" in self.content:
            return str(self.content.get("access", "automatic"))
        with_address = [bool(file.urls) for file in self.needed]
        if with_address and all(with_address):
            return "automatic"
        return "partly" if any(with_address) else "by hand"

    def about(self) -> tuple[int, bool]:
        """Bytes of what is needed, and whether that is exact; 0 where nothing is known."""
        sizes = [file.size for file in self.needed]
        if sizes and all(size is not None for size in sizes):
            return sum(size or 0 for size in sizes), True
        if "about" in self.content:
            return int(self.content["about"]), False
        rough = [file.size or file.about for file in self.needed]
        return (sum(size or 0 for size in rough), False) if rough and all(rough) else (0, False)

    def digest(self) -> str:
        """Hexadecimal digest of all that is known of the files, for a workflow manager to compare."""
        known = [replace(file, urls=()) for file in self.files]  # where a file comes from says nothing of what it is
        return hashlib.sha256(repr((known, sorted(self.wrong))).encode()).hexdigest()[:16]


def load(raw: Path | None = None) -> dict[str, Source]:
    """All sources by name, the sources of the 18 datasets first, with what ``<raw>/sources.yaml`` says.

    Raises:
        PreprocessError: a file does not fit the schema; the text names it, the place and the cause.
    """
    contents = {name: dict(content) for name, content in _own().items()} | _of_users()
    path = raw / OWN_FILE if raw else None
    mirror = ""
    if path and path.is_file():
        changes = _read_changes(path)
        mirror = _mirror(path, changes)
        for name, change in changes.items():
            if name not in contents:
                raise PreprocessError(f"{path}: no source is called {name!r}; {instead(name, contents)}")
            contents[name] = _changed(contents[name], change)
            if problem := _problem(contents[name]):
                raise PreprocessError(f"{path}: {name}: {problem}")
    return {name: _source(content, mirror) for name, content in contents.items()}


def one(source: str) -> Source:
    """The source of this name, as :func:`load` has it. Of the project's own only its file is read."""
    if source != RELEASED and (_tables() / f"{source}.yaml").is_file():
        return _source(_content(f"{source}.yaml"), "")
    return load()[source]


def _tables() -> Traversable:
    return resources.files("preprocess") / "tables" / "sources"


def _content(file: str) -> dict[str, Any]:
    content: dict[str, Any] = parse_yaml((_tables() / file).read_text(encoding="utf-8"))
    return content


@cache
def _own() -> dict[str, dict[str, Any]]:
    names = sorted(entry.name for entry in _tables().iterdir() if entry.name.endswith(".yaml"))
    found = {content["source"]: content for content in map(_content, names)}
    found[RELEASED] = _with_published_files(found[RELEASED])
    return dict(sorted(found.items(), key=lambda item: (not item[1]["datasets"], item[0])))


def problems() -> list[str]:
    """What is wrong with the project's own files; a run trusts them, the tests ask."""
    return [f"{name}: {text}" for name, content in _own().items() if (text := _problem(content))]


def raw_folder(about: Dataset, raw: Path, miniature: bool = False) -> Path:
    """The folder that serves a dataset's source.

    Args:
        about: the dataset.
        raw: the folder that holds ``<source>/...``.
        miniature: whether it holds stand-ins, which lie where the source's name says.
    """
    return raw / about.source if miniature else sources.locate(about.reader, about.folder(raw), **about.options)


def is_present(about: Dataset, raw: Path) -> bool:
    """Whether a raw folder holds anything of a dataset to render; stops at the first hit."""
    return sources.is_present(about.reader, raw_folder(about, raw), **about.options)


def _of_users() -> dict[str, dict[str, Any]]:
    """The sources that only a user's own recipes know, by what those say of them.

    Raises:
        PreprocessError: a recipe's ``origin`` does not fit the schema.
    """
    found: dict[str, dict[str, Any]] = {}
    for about in map(recipe.dataset, recipe.names()):
        if not about.is_own or about.source in _own():
            continue
        content = {
            "source": about.source,
            "title": about.title,
            "landing": "",
            "licence": {"name": about.licence, "grade": "read", "why": "the recipe says so"},
            "terms": "none",
            "citation": "none is given in the recipe",
            "datasets": [about.name],
            "files": [],
            "manual": [f"put the files into <raw>/{about.raw}"],
        } | about.origin
        if problem := _problem(content | {"landing": content["landing"] or "https://none.is/given"}):
            raise PreprocessError(f"{about.file}: origin: {problem}")
        found[about.source] = content
    return found


def _with_published_files(content: dict[str, Any]) -> dict[str, Any]:
    """The source of the published files, with names and checksums of the table of published files."""
    from preprocess import published

    entries = {entry["name"]: entry for entry in content["files"]}
    files = []
    for dataset in published.datasets():
        edition = published.current(dataset)
        for size, md5 in sorted(edition.md5.items()) if edition else ():
            name = published.file_name(dataset, size)
            url = f"{content['landing']}/files/{name}?download=1"
            files.append(entries.get(name, {}) | {"name": name, "urls": [url], "md5": md5})
    return content | {"files": files}


def _problem(content: object) -> str:
    import jsonschema

    schema = json.loads((resources.files("preprocess") / "schemas" / "source.schema.json").read_text(encoding="utf-8"))
    for error in jsonschema.Draft202012Validator(schema).iter_errors(content):
        return f"{'.'.join(str(part) for part in error.absolute_path) or 'the file'}: {error.message}"
    return ""


def _read_changes(path: Path) -> dict[str, dict[str, Any]]:
    try:
        changes = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PreprocessError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(changes, dict) or not all(
        isinstance(change, dict) for name, change in changes.items() if name != MIRROR
    ):
        raise PreprocessError(f"{path}: must be a mapping of source names to mappings, as in the documentation")
    return changes


def _mirror(path: Path, changes: dict[str, Any]) -> str:
    """Take the mirror's address out of a user's changes; empty where there is none."""
    mirror = changes.pop(MIRROR, "")
    if mirror != "" and not (isinstance(mirror, str) and re.fullmatch(r"https?://[^\s?#]+", mirror)):
        raise PreprocessError(f"{path}: {MIRROR}: {mirror!r} must be an address, https://... without ? and #")
    return str(mirror).rstrip("/")


def _changed(content: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """``content`` with a user's values; files are replaced and added by name."""
    files = {file["name"]: file for file in content["files"]}
    for file in change.get("files", []):
        if isinstance(file, dict) and "name" in file:
            files[file["name"]] = {key: value for key, value in file.items() if value is not None}
    return content | {key: value for key, value in change.items() if key != "files"} | {"files": list(files.values())}


def _source(content: dict[str, Any], mirror: str) -> Source:
    files: list[RemoteFile] = []
    for entry in content["files"]:
        first, last = entry.get("numbers", (0, 0))
        for number in range(first, last + 1):
            files.append(_file(content, entry, number if "numbers" in entry else None, mirror))
    return Source(content["source"], content, tuple(files))


def _file(content: dict[str, Any], entry: dict[str, Any], number: int | None, mirror: str) -> RemoteFile:
    def named(text: str) -> str:
        return text if number is None else text.replace("{n}", str(number))

    inventory = entry.get("inventory", content.get("inventory"))
    own = [f"{mirror}/{content['source']}/{urllib.parse.quote(named(entry['name']))}"] if mirror else []
    return RemoteFile(
        source=content["source"],
        name=named(entry["name"]),
        urls=(*own, *(named(url) for url in entry.get("urls", ()))),
        size=entry.get("size"),
        about=entry.get("about"),
        digests=tuple((kind, entry[kind]) for kind in DIGESTS if kind in entry),
        also=tuple(entry.get("also", {}).items()),
        strict=entry.get("sum_differs", "stop") == "stop",
        commit=entry.get("commit", ""),
        needed=entry.get("needed", True),
        replaces=tuple(entry.get("replaces", ())),
        equal_to=tuple(named(name) for name in entry.get("equal_to", ())),
        inventory=(inventory["kind"], inventory["url"]) if inventory else None,
        browser=content.get("browser", False),
        untrusted_tls=entry.get("untrusted_tls", False),
        note=entry.get("note", ""),
    )
