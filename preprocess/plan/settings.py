"""The configuration: checked against its schema, which also holds the defaults, and typed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from preprocess import recipe
from preprocess.errors import PreprocessError, guess, instead

#: the value of ``raw`` that stands for the embedded stand-ins
MINIATURE = "miniature"
#: the longest name of a variant that is derived from what was changed
LONGEST = 60


@dataclass(frozen=True)
class Settings:
    """The configuration, a field a key; defaults are those of the schema."""

    raw: str
    results: str
    protocol: str
    variant: str | None
    sizes: tuple[int, ...]
    sizes_3d: tuple[int, ...]
    datasets: tuple[str, ...] | None
    seed: int
    census: str
    overrides: dict[str, dict[str, Any]]
    exports: tuple[str, ...]
    deflate: int
    exceptions: str | None
    recipes: str | None
    name: str | None
    rehearsal: int | None
    sources: tuple[str, ...]
    rows: tuple[str, ...]
    variants: tuple[str, ...]
    default_seed: int

    @property
    def is_miniature(self) -> bool:
        """Whether the run uses the embedded stand-ins."""
        return self.raw == MINIATURE

    @cached_property
    def variant_name(self) -> str:
        """The name of a build that decides otherwise than its protocol; empty for the protocol's own decisions."""
        return self.variant or _derived(
            {name: changed for name, changed in self.overrides.items() if changed},
            None if self.seed == self.default_seed else self.seed,
        )

    @property
    def build(self) -> str:
        """The name of the build's folder: the protocol, and after a plus the variant."""
        return f"{self.protocol}+{self.variant_name}" if self.variant_name else self.protocol


def read(config: dict[str, Any], schema: Path) -> Settings:
    """Check a configuration against its JSON schema and fill in the schema's defaults.

    Values may be text, as a command line gives them: ``[28, 64]``, ``28,64``, ``{a: {b: c}}``.

    Raises:
        PreprocessError: an unknown key, a value of the wrong kind, or a dataset that does not exist.
    """
    import jsonschema

    known = json.loads(schema.read_text(encoding="utf-8"))
    parts = known["properties"]
    values = {key: part["default"] for key, part in parts.items()}
    for key, value in config.items():
        if value is not None:
            try:
                values[key] = _plain(value, parts.get(key, {}))
            except yaml.YAMLError as broken:
                raise PreprocessError(f"config: {key}: {value!r} cannot be read ({_line(broken)})") from broken
    for key in values:
        if key not in parts:
            raise PreprocessError(
                f"config: no key is called {key!r}; {guess(key, parts)}the keys are {', '.join(parts)}"
            )
    for error in jsonschema.Draft202012Validator(known).iter_errors(values):
        where = [str(part) for part in error.absolute_path]
        about, allowed = parts[where[0]], error.validator_value if error.validator == "enum" else ()
        raise PreprocessError(
            f"config: {'.'.join(where)}: {error.message}; {guess(error.instance, allowed)}{where[0]}: "
            f"{about['description']}, by default {json.dumps(about['default'])}"
        )
    values["datasets"] = None if values["datasets"] == "all" else values["datasets"]
    # the folder of the first recipe of a user is made with it
    recipe.use(None if values["name"] and not Path(values["recipes"] or "").is_dir() else values["recipes"])
    names = recipe.names()
    for name in [*(values["datasets"] or ()), *values["overrides"]]:
        if name not in names:
            raise PreprocessError(f"config: no dataset is called {name!r}; {instead(name, names)}")
    values["default_seed"] = parts["seed"]["default"]
    return Settings(**{field.name: _frozen(values[field.name]) for field in fields(Settings)})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any, schema: dict[str, Any]) -> Any:
    """Undo what a command line does to lists, mappings and numbers."""
    kinds = {part.get("type") for part in [schema, *schema.get("anyOf", [])]}
    if isinstance(value, str) and kinds & {"array", "object"} and value != schema.get("default"):
        value = yaml.safe_load(value) if value.strip()[:1] in "[{" else [piece.strip() for piece in value.split(",")]
    if "array" in kinds and isinstance(value, int):
        value = [value]
    if "integer" in kinds and isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, list) and schema.get("items", {}).get("type") == "integer":
        value = [int(one) if isinstance(one, str) and one.isdecimal() else one for one in value]
    return value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _derived(overrides: dict[str, dict[str, Any]], seed: int | None) -> str:
    """The name of a variant by what it changes: ``kernel=lanczos``, ``seed=7``.

    Several datasets are named where they do not change the same. A long name is cut, and what a folder's name cannot
    hold is left out; a digest of all changes then tells two variants apart.
    """
    if not overrides and seed is None:
        return ""
    changes = list(overrides.values())
    if all(change == changes[0] for change in changes):
        parts = [f"{key}={_shown(value)}" for key, value in sorted(changes[0].items())] if changes else []
    else:
        parts = [f"{name}.{key}={_shown(value)}" for name in sorted(overrides) for key, value in
                 sorted(overrides[name].items())]  # fmt: skip
    parts += [f"seed={seed}"] if seed is not None else []
    readable = ",".join(parts)
    name = re.sub(r"[^A-Za-z0-9._=,-]+", "-", readable)
    if name == readable.replace(":", "-") and len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(json.dumps([overrides, seed], sort_keys=True).encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 9].rstrip('-,')}-{digest}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{one}" for key, one in value.items())
    return str(value)
