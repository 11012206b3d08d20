"""The options of a run that differ from the defaults."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from neurozarr.samples.columns import as_cells
from neurozarr.samples.sample import Sample
from neurozarr.samples.schema import CONFIG_SCHEMA, Schema
from neurozarr.zarr.documents import Document

#: Options that name what is converted.
_SOURCES = ("samples", "source")


def changed_options(config: Document, samples: Iterable[Sample]) -> list[tuple[str, str, str]]:
    """List options that differ from their defaults: name, value and default.

    Parameters
    ----------
    config
        The user's options, which are valid.
    samples
        The samples, of which a sheet may give options.
    """
    schema = Schema(CONFIG_SCHEMA)
    defaults, given = schema.with_defaults({}), schema.with_defaults(as_cells(config))
    images = [sample.options for sample in samples if sample.image is None]
    found = []
    for name in schema.options():
        default, value = _value(defaults, name), _value(given, name)
        if name in _SOURCES:
            continue
        if value != default:
            found.append((name, _text(value), _text(default)))
        if config.get("samples") is None or name.partition(".")[0] not in (images or [{}])[0]:
            continue
        others = Counter(_text(_value(options, name)) for options in images)
        # A path that all have is the same, in another form.
        if len(others) > 1 or value is None:
            others.pop(_text(value), None)
            found += [
                (name, f"{text} for {count} of {len(images)} samples", _text(default))
                for text, count in others.items()
            ]
    return found


def _value(options: Document, name: str) -> Any:
    for key in name.split("."):
        options = options[key]
    return options


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
