"""Fingerprints of code: what a stage's modules import within this package, and which libraries.

A workflow manager sees that a file changed, not that a function did. Each stage therefore carries a
digest of the source of all modules it can reach, of the tables of facts they name, and of the
versions of the libraries they use. A user's own Python file stands for a module by its path.
"""

from __future__ import annotations

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

from preprocess import environment

PACKAGE = "preprocess"
ROOT = Path(__file__).parents[1]
#: a text constant that names a file of facts, which the module reads
_TABLES = re.compile(rb"""["'](tables/[^"'\n]+)["']""")
#: a line that imports, and what follows it in parentheses
_IMPORT = re.compile(rb"^[ \t]*((?:import|from)[ \t][^\n(]*(?:\([^)]*\))?)", re.MULTILINE)
#: an import behind something else on its line
_HIDDEN = re.compile(rb"[:;][ \t]*(?:import|from)[ \t]")


@cache
def _read(module: str) -> tuple[bytes, frozenset[str], frozenset[str]]:
    """A module's source and the tables it names, the package modules it imports, and the libraries it imports."""
    source = _path(module).read_bytes()
    inner: set[str] = set()
    outer: set[str] = set()
    tables = b""
    for name in _TABLES.findall(source):
        path = ROOT / name.decode()
        tables += path.read_bytes() if path.is_file() else b""
    for node in ast.walk(ast.parse(source)) if module.endswith(".py") else imports(source):
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


def imports(source: bytes) -> list[ast.stmt]:
    """The imports of a module of this package, by their lines: to read all of it takes Python ten times as long.

    Where a line does not tell all, the whole is read.
    """
    try:
        if not _HIDDEN.search(source):
            return [node for found in _IMPORT.findall(source) for node in ast.parse(found).body]
    except SyntaxError:  # a line of prose, or an import that goes on otherwise
        pass
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]


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
