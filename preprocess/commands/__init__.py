"""The commands of ``python -m preprocess``: each a function, its arguments the function's own parameters.

What a parameter becomes on the command line follows from its annotation:

``recipe: Recipe``
    the dataset by name, ``--protocol`` and ``--overrides``;
``name: Path``, ``str``, ``int``, ``float``
    ``--name VALUE``, required where the parameter has no default;
``name: X | None``
    ``--name [VALUE]``, absent or without a value: None;
``name: list[X]``
    ``--name VALUE ...``; with a default it may be empty or absent;
``name: bool``
    the flag ``--name``;
``name: dict``
    a JSON mapping;
``name: Literal[...]``
    one of some words.

Parameters before ``/`` are given without their name. ``Annotated[X, "text"]`` explains one. Nothing heavy is imported
here: a function imports what it runs, and recipes are there for those alone that take one.
"""

from __future__ import annotations

import argparse
import inspect
import json
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

Function = Callable[..., None]


class _Recipe:
    """Stands for a recipe where commands are described: the module of recipes takes as long to load as all the rest."""


def _hints(function: Function, include_extras: bool = False) -> dict[str, Any]:
    return typing.get_type_hints(function, localns={"Recipe": _Recipe}, include_extras=include_extras)


def add(parser: argparse.ArgumentParser, function: Function) -> None:
    """Add the parameters of a command's function to its parser."""
    hints = _hints(function, include_extras=True)
    parser.add_argument("--log", type=Path, help="also write messages to this file")
    parser.add_argument("--seek", type=Path, help="a folder that remembers where packed archives can be read from")
    for parameter in inspect.signature(function).parameters.values():
        if hints[parameter.name] is _Recipe:
            parser.add_argument("dataset", help="name of the dataset, such as breastmnist")
            parser.add_argument("--protocol", choices=("paper", "released"), required=True)
            parser.add_argument("--overrides", type=_mapping, default={}, help="JSON mapping of decisions to values")
        else:
            _add(parser, parameter, hints[parameter.name])


def _add(parser: argparse.ArgumentParser, parameter: inspect.Parameter, hint: object) -> None:
    text = ""
    if typing.get_origin(hint) is typing.Annotated:
        hint, text = typing.get_args(hint)
    options: dict[str, Any] = {"help": text}
    is_required = parameter.default is inspect.Parameter.empty
    if hint is bool:
        options |= {"action": "store_true"}
    else:
        options |= _kind(hint, is_required)
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        parser.add_argument(parameter.name, **options)
        return
    if not is_required:
        options["default"] = parameter.default
    flag = "--" + parameter.name.replace("_", "-")
    parser.add_argument(flag, required=is_required, dest=parameter.name, **options)


def _kind(hint: object, is_required: bool) -> dict[str, Any]:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return _kind(parts[0], True) | {"nargs": "+" if is_required else "*"}
    if origin in (typing.Union, types.UnionType):
        inner = next(part for part in parts if part is not type(None))
        nargs = {} if typing.get_origin(inner) is list else {"nargs": "?"}
        return _kind(inner, False) | nargs
    if origin is Literal:
        return {"choices": parts}
    if origin is dict or hint is dict:
        return {"type": _mapping}
    return {"type": hint}


def _mapping(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON mapping")
    return value


def call(function: Function, options: argparse.Namespace) -> None:
    """Call a command's function with what its parser found."""
    hints = _hints(function)
    positional, named = [], {}
    for parameter in inspect.signature(function).parameters.values():
        if hints[parameter.name] is _Recipe:
            from preprocess import recipe

            value: Any = recipe.load(options.dataset, options.protocol, options.overrides)
        else:
            value = getattr(options, parameter.name)
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            named[parameter.name] = value
    function(*positional, **named)
