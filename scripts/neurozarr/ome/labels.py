"""The metadata of images whose voxels are labels: pure functions (OME-Zarr, "labels" metadata)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from neurozarr.zarr.documents import Document

#: Members of "image-label" that say something of the file they are in, not of the labels.
_OF_THE_FILE = ("version", "source")


def with_labels(
    attributes: Document, details: Mapping[str, Any], *, image: str | None = None
) -> Document:
    """The attributes of an image with the metadata "image-label".

    Parameters
    ----------
    attributes
        The result of `neurozarr.ome.attributes`.
    details
        Details of the labels: "colors" (a list of objects with "label-value" and "rgba"),
        "properties" (a list of objects with "label-value" and anything else), or others. What is
        not valid in the two lists is left out.
    image
        Path from the group of the labels to that of the image they are of; None if unknown.
    """
    described = valid_details({k: v for k, v in details.items() if k not in _OF_THE_FILE})
    if image is not None:
        described["source"] = {"image": image}
    if "ome" in attributes:
        return attributes | {"ome": attributes["ome"] | {"image-label": described}}
    return attributes | {"image-label": {"version": "0.4"} | described}


def valid_details(details: Mapping[str, Any]) -> Document:
    """Details without what the specification does not allow, and without repeated label values."""
    kept = dict(details)
    for name in ("colors", "properties"):
        entries = details.get(name)
        valid: dict[int, Document] = {}
        for entry in entries if isinstance(entries, list) else []:
            value = _label_value(entry)
            if value is None or not _is_json(entry):
                continue
            if name != "colors" or _is_color(entry.get("rgba")):
                valid.setdefault(value, entry | {"label-value": value})
        kept.pop(name, None)
        if valid:
            kept[name] = list(valid.values())
    return {name: value for name, value in kept.items() if _is_json(value)}


def _label_value(entry: Any) -> int | None:
    """The integer "label-value" of an entry; None if it has none."""
    value = entry.get("label-value") if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
        return None
    return int(value)


def _is_color(rgba: Any) -> bool:
    return isinstance(rgba, list) and len(rgba) == 4 and all(map(_is_byte, rgba))


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _is_json(value: Any) -> bool:
    """Whether a value can be written as JSON, which has no NaN and no infinity."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
