"""The part of a file that an HTTP request asks for."""

from __future__ import annotations

import re

#: No file is so large that a position has more digits, and Python refuses numbers with very many.
_RANGE = re.compile(r"bytes=([0-9]{0,20})-([0-9]{0,20})")


def asked_range(header: str | None, size: int) -> range | None:
    """The bytes of a file that a request asks for.

    Parameters
    ----------
    header
        Its header "Range" (RFC 9110, section 14.2), or None. One that is not a single range of
        bytes is ignored, as the RFC allows.
    size
        Size of the file, in bytes.

    Returns
    -------
    range or None
        Positions of the bytes; None if the range has none in the file.
    """
    said = _RANGE.fullmatch((header or "").replace(" ", ""))
    if said is None or not any(said.groups()):
        return range(size)
    first, last = said.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:  # It is invalid, and ignored.
            return range(size)
    return range(start, stop) if start < stop else None
