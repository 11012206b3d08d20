"""Names and colours of the labels of a segmentation, from its lookup table.

BIDS 1.10, "Segmentations": a file ``*_dseg.tsv`` with the columns index, name and, optionally,
color and others. It applies to images by the inheritance principle.
"""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

from neurozarr.files import check_file

logger = logging.getLogger(__name__)

_ENDING = "_dseg.tsv"
_DESCRIPTION = "dataset_description.json"
#: What BIDS writes for a value that is missing.
_MISSING = ("", "n/a")
#: Label of what is outside, which is not drawn.
_BACKGROUND = 0


def details(image: str) -> dict[str, Any]:
    """Names and colours of labels, from the nearest table that applies to an image.

    Parameters
    ----------
    image
        Path of the image, whose name ends in ``_dseg`` before its ending.

    Returns
    -------
    dict[str, Any]
        "colors" and "properties" of "image-label" metadata; empty if no table applies, or if it is
        damaged: then a warning says so.

    Raises
    ------
    SourceError
        The table is not a regular file that can be read.
    """
    file = next(_tables(image), None)
    if file is None:
        return {}
    check_file(file)
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            rows = [[_plain(cell) for cell in row] for row in csv.reader(lines, _Tabs)]
        return _details(rows)
    except (KeyError, ValueError, csv.Error) as error:
        logger.warning(
            "%s: the labels of %s get no names and colours, because this table is damaged (%s)",
            file,
            image,
            f"there is no column {error}" if isinstance(error, KeyError) else error,
        )
        return {}


class _Tabs(csv.Dialect):
    """Cells between tabs; BIDS has no quotes around them."""

    delimiter = "\t"
    lineterminator = "\n"
    quoting = csv.QUOTE_NONE


def _plain(cell: str) -> str:
    """A cell without the quotes that programs such as fMRIPrep write around text."""
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _details(rows: list[list[str]]) -> dict[str, Any]:
    colors, properties = [], []
    heading = rows[0] if rows else []
    for row in filter(any, rows[1:]):
        cells = dict(zip(heading, row, strict=False))
        value, color = int(cells.pop("index")), cells.pop("color", "")
        kept = {name: text for name, text in cells.items() if name and text not in _MISSING}
        properties.append({"label-value": value, "name": cells["name"]} | kept)
        if value != _BACKGROUND and re.fullmatch(r"#?[0-9a-fA-F]{6}", color):
            colors.append({"label-value": value, "rgba": [*bytes.fromhex(color[-6:]), 255]})
    return {"colors": colors, "properties": properties}


def _tables(image: str) -> Iterator[str]:
    """Tables that apply to an image, the nearest and that whose name says most first.

    They lie in its directory or, in a data set, in those above it, and have no entities that the
    image does not have.
    """
    folder, name = os.path.split(os.path.abspath(image))
    named = _entities(name)
    folders = [folder]
    while not os.path.lexists(os.path.join(folders[-1], _DESCRIPTION)):
        parent = os.path.dirname(folders[-1])
        if parent == folders[-1]:
            folders = [folder]
            break
        folders.append(parent)
    for place in folders:
        names = os.listdir(place) if os.access(place, os.R_OK) else []
        tables = [other for other in names if f"_{other}".endswith(_ENDING)]
        fitting = [other for other in tables if _entities(other) <= named]
        for other in sorted(fitting, key=lambda other: (-len(_entities(other)), other)):
            yield os.path.join(place, other)


def _entities(name: str) -> set[str]:
    """Entities of a file, such as ``sub-01``, without its suffix."""
    return set(name.partition(".")[0].split("_")[:-1])
