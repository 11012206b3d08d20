"""Options as a JSON schema describes them: their defaults, and what is wrong with a value."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from neurozarr.errors import ConfigError
from neurozarr.zarr.documents import Document

#: More than any options have: how deep values lie in each other, how many there are, and how long a
#: text is that means something in YAML. YAML can say a lot in a few words.
_DEEPEST, _MOST, _LONGEST = 6, 10**6, 2**12
#: How much of a value an error repeats.
_REPEATED = 200


class Schema:
    """A JSON schema whose errors are one sentence each, and whose defaults can be filled in."""

    def __init__(self, path: str | Path) -> None:
        self._schema = _load(Path(path))
        self._validator = jsonschema.Draft202012Validator(self._schema)

    def options(self) -> list[str]:
        """Dotted names of all options."""
        return list(_leaves(self._schema))

    def with_defaults(self, values: Document) -> Document:
        """The values, checked, with the defaults of what they leave out.

        Text that is no value of an option is read as YAML first: it may come from a command line.
        """
        if _is_vast(values):
            raise ConfigError(
                f"more than {_MOST} values, or more than {_DEEPEST} in each other, aliases resolved"
            )
        read = copy.deepcopy(values)
        for group, option in (name.split(".") for name in self.options() if "." in name):
            if isinstance(read.get(group), dict) and option in read[group]:
                read[group][option] = self.parse(f"{group}.{option}", read[group][option])
        self.check(read)
        return _fill(self._schema, read)

    def check(self, values: Document) -> None:
        """Raise a ConfigError for the first value that is wrong."""
        errors = self._validator.iter_errors(values)
        found = min(errors, key=lambda error: [*map(str, error.path)], default=None)
        if found is not None:
            raise ConfigError(_explain(found))

    def parse(self, name: str, value: Any) -> Any:
        """The value of an option: itself where it is one, else what its text means in YAML."""
        if self._is_valid(name, value):
            return value
        read = _from_text(value)
        return read if self._is_valid(name, read) else value

    def _is_valid(self, name: str, value: Any) -> bool:
        return bool(jsonschema.Draft202012Validator(self._option(name)).is_valid(value))

    def _option(self, name: str) -> Document:
        found = self._schema
        for key in name.split("."):
            found = found["properties"][key]
        return found


@cache
def _load(path: Path) -> Document:
    return yaml.safe_load(path.read_text())


def _from_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _from_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_from_text(item) for item in value]
    if not isinstance(value, str) or len(value) > _LONGEST:
        return value
    try:
        read = yaml.safe_load(value)
    except Exception:  # Not YAMLErrors alone, for a date or a number that is none.
        return value
    return value if _is_vast(read) else read


def _is_vast(values: Any) -> bool:
    """Whether there is more in some values than in any options."""
    count, inside = 0, [(values, 0)]
    while inside:
        value, depth = inside.pop()
        items = value.values() if isinstance(value, dict) else value
        if isinstance(value, (dict, list, tuple)):
            count += len(value)
            if count > _MOST or depth == _DEEPEST:
                return True
            inside += [(item, depth + 1) for item in items]
    return False


def _leaves(schema: Document, prefix: str = "") -> Iterator[str]:
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield from _leaves(part, f"{prefix}{name}.")
        else:
            yield prefix + name


def _fill(schema: Document, values: Document) -> Document:
    return {
        name: _fill(part, values.get(name) or {})
        if "properties" in part
        else values.get(name, copy.deepcopy(part["default"]))
        for name, part in schema["properties"].items()
    }


def _explain(error: jsonschema.ValidationError) -> str:
    """One sentence for what a schema found wrong."""
    schema: Any = error.schema
    asked: Any = error.validator_value
    value: Any = error.instance
    where = ".".join(str(part) for part in error.path)
    if error.validator == "additionalProperties":
        known = list(schema["properties"])
        name = next(key for key in value if key not in known)
        prefix = f"{where}." if where else ""
        return f"unknown option {prefix}{name}{suggest(str(name), known)}"
    if error.validator == "required":
        name = next(name for name in asked if name not in value)
        return f"{name} is missing"
    description = " ".join(schema.get("description", error.message).split())
    said = repr(value)
    said = said if len(said) <= _REPEATED else f"{said[:_REPEATED]}..."
    return f"{where} is {said}; allowed: {description}"


def suggest(name: str, known: list[str]) -> str:
    """The end of a sentence about an unknown name: the known one that is like it, or all."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
