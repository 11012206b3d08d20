"""How people show the channels of an image: their colours and windows, checked."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

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
