"""What a report that is shared may say: words this project itself knows, and no others.

Names, ids and dates of patients, and where on somebody's disk files lie, are found in names of files and folders, in
headers and tables, and in messages that quote them. They cannot be told by looking for them. So it is the other way
round: a word stays if it is one of the project's own (a layout's folder, a class, a column, an ending), and anything
else is written ``*``; a number in a name is written ``#``.
"""

from __future__ import annotations

import ast
import errno
import gzip
import importlib
import inspect
import lzma
import os
import re
import tarfile
import traceback
import zipfile
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType

from preprocess import recipe, sources
from preprocess.acquire import registry
from preprocess.reading.archives import SEPARATOR

_PACKAGE = Path(__file__).parents[1]
#: endings and words of format that no table or layout names
_FORMATS = (
    "png", "jpg", "jpeg", "tif", "tiff", "bmp", "nii", "gz", "mha", "mhd", "nrrd", "dcm", "csv", "tsv", "txt",
    "xlsx", "xls", "xml", "json", "md", "pdf", "docx", "html", "zip", "tar", "tgz", "rar", "h", "hdf", "npz",
    "npy", "obj", "ad", "geo", "img", "hdr", "raw", "readme", "license",
)  # fmt: skip
#: what zlib's own inflate says of damaged data
_ZLIB = (
    "incorrect header check", "invalid block type", "invalid stored block lengths", "invalid distance too far back",
    "invalid code lengths set", "incorrect data check", "incomplete or truncated stream", "while decompressing data",
)  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+")
_KEPT = frozenset(" ()[]{}-_.,&+'!/")
#: numbers, and words that are not known, that follow each other with little between
_RUNS = re.compile(r"[#*](?:[._\- ^=]*[#*])+")
_ABSOLUTE = re.compile(r"(?<![^\s'\"(=:,])(?:/|[A-Za-z]:[\\/])[^\s:;,'\"()]+")


def words_of(text: str) -> set[str]:
    """The words of a text in lower case: runs of letters."""
    return {word.lower() for word in _WORD.findall(text)}


@cache
def vocabulary() -> frozenset[str]:
    """The words that names of files, folders, columns and classes may keep."""
    found = set(_FORMATS)
    for one in registry.load().values():
        for file in one.content["files"]:
            found |= words_of(file["name"])
        for layout in one.layouts:
            found |= words_of(" ".join(layout["match"]))
    for name in recipe.names():
        about = recipe.dataset(name)
        found |= words_of(
            " ".join((name, about.source, *about.classes, *(about.census or {}), *about.label.get("map", {})))
        )
    for path in sorted((_PACKAGE / "sources").rglob("*.py")):
        found |= _literals(path)
    for name in {recipe.dataset(name).reader for name in recipe.names()}:
        documented = inspect.cleandoc(sources.get(name).__doc__ or "")
        quoted = re.findall(r"``(.*?)``|^ {4}(.*)$", documented, re.MULTILINE | re.DOTALL)
        found |= words_of(" ".join(part for pair in quoted for part in pair))
    return frozenset(found)


@cache
def _with_digits() -> frozenset[str]:
    """What stays although it holds digits, in lower case: sources, datasets, cell types, published names."""
    texts = [*recipe.names(), *registry.load()]
    for one in registry.load().values():
        texts += [file["name"] for file in one.content["files"]]
        texts += [pattern for layout in one.layouts for pattern in layout["match"]]
    texts += map(_constants, sorted((_PACKAGE / "sources").rglob("*.py")))
    pieces = re.findall(r"[^\W_]+", " ".join(texts).lower())
    return frozenset(piece for piece in pieces if not piece.isdecimal() and not piece.isalpha())


@cache
def _phrases() -> frozenset[str]:
    """The words that messages may keep besides: those that this package and the readers of archives say."""
    found = words_of(" ".join((*_ZLIB, *map(os.strerror, errno.errorcode))))
    for path in sorted(_PACKAGE.rglob("*.py")):
        if path.parent.name != "miniature":  # it draws tables, whose cells name people
            found |= _literals(path)
    modules: list[ModuleType] = [zipfile, tarfile, gzip, lzma]
    for name in ("PIL.Image", "PIL.ImageFile"):
        modules.append(importlib.import_module(name))
    for module in modules:
        found |= _literals(Path(module.__file__ or ""))
    return frozenset(found)


def _literals(path: Path) -> set[str]:
    """The words of a module's text constants."""
    return words_of(_constants(path))


@cache
def _constants(path: Path) -> str:
    """A module's text constants, docstrings aside: those name people."""
    tree = ast.parse(path.read_bytes())
    documentation = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                documentation.add(id(first.value))
    texts = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    )
    return " ".join(texts)


@lru_cache(maxsize=8192)  # folders occur again and again
def name(text: str) -> str:
    """A name of a file, folder or column with what is not the project's own masked: ``benign (#).png``, ``*.dcm``."""
    return _RUNS.sub(_together, "".join(_masked_name(text, vocabulary())))


def _masked_name(text: str, known: frozenset[str]) -> Iterable[str]:
    for piece in re.finditer(r"(?P<word>[^\W_]+)|(?P<gap>\W|_)", text):
        if (word := piece["word"]) is None:
            yield piece["gap"] if piece["gap"] in _KEPT else "*"
            continue
        letters = _WORD.findall(word)
        if word.lower() in _with_digits():
            yield word
        elif all(part.lower() in known and (len(part) > 1 or part == word) for part in letters):
            yield re.sub(r"\d+", "#", word)
        else:
            yield "*"


def _together(match: re.Match[str]) -> str:
    return "*" if "*" in match[0] else "#"


def path(text: str) -> str:
    """The path of a raw file, masked folder by folder and archive by archive."""
    return SEPARATOR.join("/".join(map(name, part.split("/"))) for part in text.split(SEPARATOR))


def message(text: str, root: Path | None = None) -> str:
    """One line of a message: words that messages know, the raw folder as ``<raw>``, small and grouped numbers.

    A number stays that stands alone and has at the most two digits, or is grouped by commas as this project writes
    counts; others may be ids or dates.
    """
    for folder in (root, root.resolve()) if root is not None else ():
        text = text.replace(str(folder), "<raw>")
    text = _ABSOLUTE.sub("<path>", text)
    known = vocabulary() | _phrases()
    pieces: list[str] = []
    for piece in re.finditer(r"<raw>|<path>|\d{1,3}(?:,\d{3})+(?![\w.])|[^\W_]+|\W|_", " ".join(text.split())):
        found = piece[0]
        before, after = _around(piece)
        if found in ("<raw>", "<path>") or not re.match(r"[^\W_]", found):
            pieces.append(found if ord(found[0]) < 128 else "*")
        elif re.fullmatch(r"\d{1,3}(?:,\d{3})+", found):
            pieces.append(found if not _joined(before, after) else "#")
        elif found.isdecimal():
            pieces.append(found if len(found) <= 2 and not _joined(before, after) else "#")
        elif found.lower() in _with_digits():
            pieces.append(found)
        elif all(word.lower() in known for word in _WORD.findall(found)):
            pieces.append(re.sub(r"\d+", "#", found))
        else:
            pieces.append("*")
    return _RUNS.sub(_together, "".join(pieces))


def _around(piece: re.Match[str]) -> tuple[str, str]:
    """The characters before and after a match."""
    return piece.string[max(piece.start() - 1, 0) : piece.start()], piece.string[piece.end() : piece.end() + 1]


def _joined(before: str, after: str) -> bool:
    """Whether a number is part of a name: something other than a blank, a comma or a stop lies at it."""
    return bool(before.strip(" ,;:(<")) or bool(after.strip(" ,;:.)%>"))


def trace(error: BaseException, root: Path | None = None) -> list[str]:
    """Where an unexpected error came from, and what it is: modules, lines and functions, no paths and no values."""
    frames = [
        f"{_module(frame.filename)}, line {frame.lineno}, in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    return [*frames, f"{type(error).__name__}: {message(str(error), root)}"]


def _module(filename: str) -> str:
    """A source file from its package on: ``preprocess/reading/volume.py``, ``numpy/_core/numeric.py``."""
    parts = Path(filename).parts
    for marker in ("site-packages", "preprocess"):
        if marker in parts:
            place = len(parts) - 1 - parts[::-1].index(marker)
            return "/".join(parts[place + (marker == "site-packages") :])
    return parts[-1] if parts else filename
