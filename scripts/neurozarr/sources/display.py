"""How people show an image: colours and windows of channels, and details of labels, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from neurozarr.zarr.documents import Document

#: Length of a colour, and how often each of its digits counts: CSS Color Module 4, section 5.2.
_HEXADECIMAL = {3: 2, 4: 2, 6: 1, 8: 1}


def colour(text: Any) -> str:
    """Hexadecimal RGB of a colour such as "#F00", "FF0000" or, with its opacity, "FF000080".

    "" if it is invalid.
    """
    digits = text.strip().removeprefix("#") if isinstance(text, str) else ""
    repeats = _HEXADECIMAL.get(len(digits))
    if repeats is None or not re.fullmatch("[0-9A-Fa-f]+", digits):
        return ""
    return "".join(digit * repeats for digit in digits)[:6]


def window(start: Any, end: Any, dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """A display window from start to end; None if it is impossible.

    It is possible if start and end are finite numbers, start is less than end, and some voxel of
    the data type can be between them. Integers stay integers.
    """
    for value in (start, end):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
    if not (math.isfinite(start) and math.isfinite(end) and start < end):
        return None
    lowest, highest = -math.inf, math.inf
    if dtype.kind == "b":
        lowest, highest = 0, 1
    elif dtype.kind in "iu":
        lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    return (start, end) if start < highest and end > lowest else None


def label_details(said: Any) -> Document:
    """The colours and properties of labels that are valid ("image-label" metadata, OME-Zarr).

    Each has a value of a label. Only the first colour of a label counts, and a colour is red,
    green, blue and opacity from 0 to 255.
    """
    said = said if isinstance(said, dict) else {}
    colors = {
        item["label-value"]: item
        for item in reversed(list(_items(said.get("colors"))))
        if _is_colour(item.get("rgba"))
    }
    found = {
        "colors": list(reversed(colors.values())),
        "properties": [
            item for item in _items(said.get("properties")) if isinstance(item["label-value"], int)
        ],
    }
    return {name: items for name, items in found.items() if items}


def _items(items: Any) -> Iterable[Document]:
    """The objects with the value of a label in a list."""
    for item in items if isinstance(items, list) else ():
        value = item.get("label-value") if isinstance(item, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield item


def _is_colour(rgba: Any) -> bool:
    return (
        isinstance(rgba, list)
        and len(rgba) == 4
        and all(type(part) is int and 0 <= part <= 255 for part in rgba)
    )
