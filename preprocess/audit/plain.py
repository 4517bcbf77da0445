"""Dataclasses to plain values and back: what the audit writes as JSON it reads again as what it was."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def plain(value: object) -> Any:
    """A dataclass, or a list or mapping of them, as JSON knows it; keys are the fields' names, in their order."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def typed(kind: type[T], value: Any) -> T:
    """The dataclass that :func:`plain` made ``value`` from.

    Fields may be dataclasses, lists, tuples, mappings and unions of one kind with None; all else is taken as it is.

    Raises:
        TypeError: a field is missing or unknown: the file is of another version of this package.
    """
    made: T = _typed(kind, value)
    return made


def _typed(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _typed(hints.get(name, Any), one) for name, one in value.items()})  # type: ignore[operator]
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _typed(next(one for one in inner if one is not type(None)), value)
    if origin is list:
        return [_typed(inner[0], one) for one in value]
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_typed(one_kind, one) for one_kind, one in zip(kinds, value, strict=True))
    if origin is dict:
        return {key: _typed(inner[1], one) for key, one in value.items()}
    return value
