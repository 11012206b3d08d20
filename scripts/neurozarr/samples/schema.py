"""Check options against a JSON schema, and fill in their defaults."""

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

#: Limits of what is read as YAML: depth of nested values, number of values, and characters of a
#: text. A "YAML bomb" uses aliases to expand a few lines into billions of values.
MAX_DEPTH, MAX_VALUES, MAX_TEXT = 6, 10**6, 2**12
#: Number of characters of a wrong value that an error message repeats.
MAX_QUOTED = 200


class Schema:
    """A JSON schema that reports errors as one sentence and can fill in defaults."""

    def __init__(self, path: str | Path) -> None:
        self._schema = _load(Path(path))
        self._validator = jsonschema.Draft202012Validator(self._schema)

    def options(self) -> list[str]:
        """List the dotted names of all options."""
        return list(_leaves(self._schema))

    def with_defaults(self, values: Document) -> Document:
        """Check values, and add the defaults of missing options.

        Text that is not a valid value is parsed as YAML: it may come from the command line.
        """
        if exceeds_limits(values):
            raise ConfigError(
                f"more than {MAX_VALUES} values, or more than {MAX_DEPTH} nested in each other "
                "(after YAML aliases are expanded)"
            )
        read = copy.deepcopy(values)
        for name in self.options():
            group, _, option = name.rpartition(".")
            values_of_group = read.get(group) if group else read
            if isinstance(values_of_group, dict) and option in values_of_group:
                values_of_group[option] = self.parse(name, values_of_group[option])
        self.check(read)
        return _fill(self._schema, read)

    def check(self, values: Document) -> None:
        """Raise a ConfigError for the first value that is not valid."""
        errors = self._validator.iter_errors(values)
        found = min(errors, key=lambda error: [*map(str, error.path)], default=None)
        if found is not None:
            raise ConfigError(_explain(found))

    def parse(self, name: str, value: Any) -> Any:
        """Return a valid value as it is; parse any other value as YAML.

        Parameters
        ----------
        name
            Dotted name of the option.
        value
            Its value, or the text of its value.
        """
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
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return value
    try:
        read = yaml.safe_load(value)
    except Exception:  # PyYAML also raises other errors, such as ValueError for an invalid date.
        return value
    return value if exceeds_limits(read) else read


def exceeds_limits(values: Any) -> bool:
    """Tell whether there are more than MAX_VALUES values, or more than MAX_DEPTH nested ones."""
    count, inside = 0, [(values, 0)]
    while inside:
        value, depth = inside.pop()
        items = value.values() if isinstance(value, dict) else value
        if isinstance(value, (dict, list, tuple)):
            count += len(value)
            if count > MAX_VALUES or depth == MAX_DEPTH:
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
    """Describe a validation error in one sentence."""
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
    quoted = repr(value)
    quoted = quoted if len(quoted) <= MAX_QUOTED else f"{quoted[:MAX_QUOTED]}..."
    return f"{where} is {quoted}; allowed: {description}"


def suggest(name: str, known: list[str]) -> str:
    """Return the end of an error about an unknown name: the most similar known name, or all.

    Parameters
    ----------
    name
        The unknown name.
    known
        The known names.
    """
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
