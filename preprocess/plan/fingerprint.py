"""Fingerprints of code: what a stage's modules import within this package, and which libraries.

A workflow manager sees that a file changed, not that a function did. Each stage therefore carries a
digest of the source of all modules it can reach, of the tables of facts they name, and of the
versions of the libraries they use. A user's own Python file stands for a module by its path.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from preprocess import environment

PACKAGE = "preprocess"
ROOT = Path(__file__).parents[1]
#: a text constant that begins so is a file of facts the module reads
TABLES = "tables/"


@cache
def _read(module: str) -> tuple[bytes, frozenset[str], frozenset[str]]:
    """A module's source and the tables it names, the package modules it imports, and the libraries it imports."""
    source = _path(module).read_bytes()
    inner: set[str] = set()
    outer: set[str] = set()
    tables = b""
    tree = ast.parse(source)
    if TABLES.encode() in source:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(TABLES):
                tables += (ROOT / node.value).read_bytes() if (ROOT / node.value).is_file() else b""
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == PACKAGE:
                inner.add(name)
            elif name in environment.LIBRARIES or name in environment.EXPORTERS:
                outer.add(name)
    return source + tables, frozenset(name for name in inner if _exists(name)), frozenset(outer)


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements of a body and of those inside them; expressions hold no import, and are nine tenths of a tree."""
    for node in body:
        yield node
        for block in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from _statements(getattr(node, block, ()))


def _path(module: str) -> Path:
    """The file of a module of this package by its name, or a user's own file by its path."""
    if module.endswith(".py"):
        return Path(module)
    path = ROOT.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _exists(module: str) -> bool:
    path = ROOT.joinpath(*module.split(".")[1:])
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def reach(*modules: str) -> list[str]:
    """All modules of this package that ``modules`` import, directly or not, themselves included."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(_read(module)[1])
    return sorted(found)


@cache
def of(*modules: str) -> str:
    """Hexadecimal digest of the code that ``modules`` reach and of the libraries' versions."""
    value = hashlib.sha256()
    libraries: set[str] = set()
    for module in reach(*modules):
        source, _, outer = _read(module)
        value.update(f"{module} {len(source)}\n".encode() + source)
        libraries |= outer
    value.update("".join(f"{name} {environment.version(name)}\n" for name in sorted(libraries)).encode())
    return value.hexdigest()[:16]
