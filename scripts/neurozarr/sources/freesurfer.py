"""The colour table that FreeSurfer puts after the voxels of MGH and MGZ images of labels.

The layout is that of FreeSurfer's tags.c, mriio.c and colortab.c: big-endian, with tags after five
parameters of the scan.
"""

from __future__ import annotations

import struct
from typing import Any

#: Size of TR, flip angle, TE, TI and field of view, in bytes.
_SCAN = 20
#: TAG_OLD_COLORTABLE: the table follows, without its length.
_COLOR_TABLE = 1
#: Tags without length and content: TAG_OLD_USEREALRAS and TAG_OLD_SURF_GEOM.
_EMPTY = (2, 20)
#: Where no more tags are read: at the end, or at TAG_OLD_MGH_XFORM, whose length is not reliable.
_LAST = (0, 30)
#: Version of tables whose entries have numbers of their own.
_NUMBERED = -2
#: Label of what is outside, which FreeSurfer does not draw.
_BACKGROUND = 0


class _Reader:
    """Reads numbers and texts one after the other."""

    def __init__(self, content: bytes, place: int) -> None:
        self._content = content
        self._place = place

    @property
    def is_at_end(self) -> bool:
        return self._place >= len(self._content)

    def take(self, count: int) -> bytes:
        end = self._place + count
        if not self._place <= end <= len(self._content):
            raise ValueError(f"{count} bytes at byte {self._place} of {len(self._content)}")
        found = self._content[self._place : end]
        self._place = end
        return found

    def integers(self, count: int, kind: str = "i") -> tuple[int, ...]:
        numbers = f">{count}{kind}"
        return struct.unpack(numbers, self.take(struct.calcsize(numbers)))

    def text(self) -> str:
        (length,) = self.integers(1)
        return self.take(length).rstrip(b"\0").decode("utf-8", "replace")


def labels(after: bytes) -> dict[str, Any] | None:
    """Names and colours of labels, from what is after the voxels of an image.

    Parameters
    ----------
    after
        The bytes after the voxels.

    Returns
    -------
    dict[str, Any] or None
        "colors" and "properties" of "image-label" metadata; None if there is no colour table.

    Raises
    ------
    ValueError
        The tags or the table are cut short or damaged.
    """
    reader = _Reader(after, _SCAN)
    while not reader.is_at_end:
        (tag,) = reader.integers(1)
        if tag == _COLOR_TABLE:
            return _table(reader)
        if tag in _LAST:
            return None
        if tag not in _EMPTY:
            (length,) = reader.integers(1, "q")
            reader.take(length)
    return None


def _table(reader: _Reader) -> dict[str, Any]:
    (version,) = reader.integers(1)
    if version < 0 and version != _NUMBERED:
        raise ValueError(f"a colour table of version {-version}; supported: 1 and 2")
    if version == _NUMBERED:
        reader.integers(1)  # The highest number of a label and 1.
    reader.text()  # The file that the table comes from.
    count = version if version > 0 else reader.integers(1)[0]
    colors, properties = [], []
    for number in range(count):
        value = reader.integers(1)[0] if version == _NUMBERED else number
        if name := reader.text():
            properties.append({"label-value": value, "name": name})
        *rgb, transparency = reader.integers(4)
        if name and value != _BACKGROUND:
            colors.append({"label-value": value, "rgba": [*rgb, 255 - transparency]})
    return {"colors": colors, "properties": properties}
