"""What is missing in a source, in words."""

from __future__ import annotations

from collections.abc import Sequence

#: Maximum number of missing places that are named.
_MAX_PLACES = 100


def filled_text(what: str, axes: str, places: Sequence[Sequence[int]], count: int) -> str:
    """Say what is missing in a source.

    Parameters
    ----------
    what
        What they are, such as "planes" or "files".
    axes
        Names of the axes along which they are placed.
    places
        Those that are missing, by their indices or numbers along ``axes``.
    count
        Number of all, with the missing ones.

    Returns
    -------
    str
        The text; "" if nothing is missing.
    """
    if not places:
        return ""
    named = [
        " ".join(f"{axis}={number}" for axis, number in zip(axes, place, strict=True))
        for place in places[:_MAX_PLACES]
    ]
    more = ", ..." if len(places) > _MAX_PLACES else ""
    return f"{len(places)} of {count} {what} ({', '.join(named)}{more})"
