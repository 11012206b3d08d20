"""Check options against a JSON schema, and fill in their defaults."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from neurozarr.errors import ConfigError
from neurozarr.zarr.documents import Document

#: Schemas of the configuration and of a row of the sample sheet.
CONFIG_SCHEMA = Path(__file__).with_name("config.schema.yaml")
SHEET_SCHEMA = Path(__file__).with_name("samples.schema.yaml")
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

    def unknown(self, values: Document) -> list[str]:
        """List the dotted names of values that are no options.

        Raises
        ------
        ConfigError
            There are too many values to check or to copy them.
        """
        if exceeds_limits(values):
            raise ConfigError(
                f"more than {MAX_VALUES} values, or more than {MAX_DEPTH} nested in each other "
                "(after YAML aliases are expanded)"
            )
        return list(_unknown(self._schema, values))

    def explain_unknown(self, names: list[str], values: Document) -> str:
        """Describe unknown options in one sentence: which option may be meant, and how to write it.

        Parameters
        ----------
        names
            Dotted names of the unknown options, at least one.
        values
            All options.
        """
        meant = {name: self._of_groups(name) for name in names}
        name = next((name for name in names if meant[name]), names[0])
        others = [other for other in names if other != name]
        said = f"unknown option {name}" + (f" (also {', '.join(others)})" if others else "")
        if not meant[name]:
            return said + suggest(name.split(".")[-1], self._beside(name))
        group, option = meant[name][0].split(".")
        value = values.get(name)
        text = str(value) if isinstance(value, (str, int, float)) else "..."
        text = text if len(text) <= MAX_QUOTED else "..."
        asked = "" if name in meant[name] else f"did you mean {' or '.join(meant[name])}? "
        return (
            f"{said}; {asked}write {option}: {text} indented below {group}:, or on the command "
            f"line neurozarr run ... {group}.{option}={text}, or snakemake ... --config "
            f"{group}='{{{option}: {text}}}'"
        )

    def _of_groups(self, unknown: str) -> list[str]:
        """Dotted names of the options of groups that have the name of an unknown option."""
        last = unknown.split(".")[-1]
        return [name for name in self.options() if name.split(".")[1:] == [last]]

    def _beside(self, unknown: str) -> list[str]:
        """Names of the options that there are where an unknown option is."""
        group = self._schema["properties"].get(unknown.split(".")[0], {})
        return list(group.get("properties", self._schema["properties"]))

    def with_defaults(self, values: Document) -> Document:
        """Check values, and add the defaults of missing options.

        Text that is not a valid value is parsed as YAML: it may come from the command line.
        """
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
        """Return a valid value as it is; parse any other value as YAML, or as items of a list.

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
        several = isinstance(value, str) and "," in value and all(map(str.strip, value.split(",")))
        if several and not self._is_valid(name, read):
            read = _from_text(f"[{value}]")
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
    """Read a schema. A reference to a property of another schema gives also its description."""
    schema: Document = yaml.safe_load(path.read_text())
    for part in schema["properties"].values():
        for choice in part.get("anyOf", ()):
            if "$ref" in choice:
                file, _, name = choice.pop("$ref").partition("#/properties/")
                choice |= _load(path.with_name(file))["properties"][name]
                part["description"] = choice["description"]
    return schema


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


def _unknown(schema: Document, values: Any, prefix: str = "") -> Iterator[str]:
    for name, value in values.items() if isinstance(values, dict) else ():
        part = schema["properties"].get(name)
        if part is None:
            yield f"{prefix}{name}"
        elif "properties" in part:
            yield from _unknown(part, value, f"{prefix}{name}.")


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
    if error.validator == "required":
        name = next(name for name in asked if name not in value)
        return f"{name} is missing"
    description = " ".join(schema.get("description", error.message).split())
    quoted = _quoted(value)
    quoted = quoted if len(quoted) <= MAX_QUOTED else f"{quoted[:MAX_QUOTED]}..."
    wants_text = error.validator == "type" and "string" in asked
    is_other = wants_text and isinstance(value, (bool, int, float, date))
    hint = "; text that is also a number, a date, yes or no needs quotes" if is_other else ""
    return f"{where} is {quoted}; allowed: {description}{hint}"


def _quoted(value: Any) -> str:
    """A value as it is written in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, date) else repr(value)


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
