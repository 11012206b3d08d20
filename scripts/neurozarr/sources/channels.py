"""Channels of an image that lie in several files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from neurozarr.sources.paths import PLACE

#: Endings of a file name, such as .ome.tif.
_ENDING = re.compile(r"(\.[A-Za-z]\w{1,5}){1,2}$")
#: Fields of a source that have an item for each channel, and the item of one that has none.
FIELDS = {
    "channel_names": "",
    "channel_colors": "",
    "channel_windows": None,
    "channel_active": True,
}


def joined(
    each: Sequence[Mapping[str, Any]], lengths: Sequence[int], names: Sequence[str] = ()
) -> dict[str, Any]:
    """Fields of a source whose channels are those of several files.

    Parameters
    ----------
    each
        Fields of the files, as of a source.
    lengths
        Number of channels of each.
    names
        Name of each file, if it has one. It is that of its channel or, of several channels, comes
        before their names or numbers.

    Returns
    -------
    dict
        "channel_names", "channel_colors", "channel_windows" and "channel_active", in the order of
        the files; empty if no file has any.
    """
    fields: dict[str, Any] = {}
    for field, lacking in FIELDS.items():
        items: list[Any] = []
        for known, length in zip(each, lengths, strict=True):
            own = known.get(field, ())
            items += own if len(own) == length else [lacking] * length
        fields[field] = tuple(items) if any(item != lacking for item in items) else ()
    if names:
        own = fields["channel_names"] or ("",) * sum(lengths)
        places = [
            (name, number if length > 1 else None)
            for name, length in zip(names, lengths, strict=True)
            for number in range(length)
        ]
        fields["channel_names"] = tuple(
            name if number is None else f"{name} {said or number}"
            for (name, number), said in zip(places, own, strict=True)
        )
    return fields


def differing(paths: Sequence[str]) -> list[str]:
    """What differs between the names of files: T1w and T2w of sub-01_T1w.nii and sub-01_T2w.nii.

    Words, between any of "/", "_", ".", "-" and spaces, are not divided. Directories only count if
    the names of the files are not all different. Endings and placeholders do not count.

    Parameters
    ----------
    paths
        Paths, all different.
    """
    paths = [_ENDING.sub("", re.sub(PLACE, "", path.rstrip("/"))) for path in paths]
    names = [os.path.basename(path) for path in paths]
    if len(set(names)) < len(names):
        names = paths
    split = [re.findall(r"[^/_. -]+|[/_. -]+", name) for name in names]
    start = _common(split)
    end = _common([words[start:][::-1] for words in split])
    found = ["".join(words[start : len(words) - end]).strip("/_. -") for words in split]
    return found if all(found) else names


def _common(each: Sequence[Sequence[str]]) -> int:
    """Number of words that all texts start with."""
    return sum(1 for _ in takewhile(lambda at: len(set(at)) == 1, zip(*each, strict=False)))
