"""Where files of a stack, a mosaic or a series lie: in the order of their names, or on a grid."""

from __future__ import annotations

import glob
import itertools
import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from neurozarr.axes import STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.files import check_kind
from neurozarr.sources import images
from neurozarr.sources.paths import PLACE, is_pattern, natural, positions, sources

logger = logging.getLogger(__name__)

#: Maximum number of places, existing or missing, for each file of a stack.
_MAX_PLACES = 1000
#: Maximum number of files that a message lists.
_MAX_LISTED = 20


def expanded(path: str) -> list[str]:
    """The files and directories that a glob matches."""
    return glob.glob(path, recursive=True)


def slices(path: str, output: str | None) -> list[str]:
    """Find the slices of a directory or a glob, in natural order.

    Parameters
    ----------
    path
        The directory, glob or file.
    output
        Output directory of the run, in which a glob matches no slices.

    Returns
    -------
    list[str]
        The slices.

    Raises
    ------
    SourceError
        There are none, there are other files among them, or two have the same position.
    """
    if os.path.isdir(path):
        found = sorted(_files(path))
    elif is_pattern(path):
        matches = expanded(path) if output is None else sources(path, output)
        found = sorted(file for file in matches if not os.path.isdir(file))
    else:
        found = [path]
    if not found:
        raise SourceError(f"{path}: no file matches")
    formats = {file: images.format_of(file) for file in found}
    suffix = next((os.path.splitext(file)[1] for file in found if formats[file]), ".tif")
    for file, name in formats.items():
        if not name:
            raise SourceError(
                f"{file}: not an image; give a glob that matches only the slices, such as "
                f"{os.path.join(os.path.dirname(file), '*' + suffix)}"
            )
        if name != formats[found[0]]:
            raise SourceError(
                f"{file}: a {name} file, but {found[0]} is {formats[found[0]]}; give a glob that "
                "matches only the slices"
            )
    unique: dict[str, str] = {}
    for file in found:
        key = re.sub(r"(?<!\d)0+(?=\d)", "", os.path.splitext(file)[0])  # without leading zeros
        if key in unique:
            raise SourceError(
                f"{file}: it has the same position in the stack as {unique[key]}; move one of them "
                "away"
            )
        unique[key] = file
    found.sort(key=lambda file: natural(os.path.splitext(file)[0]))
    return found


def _files(path: str) -> Iterator[str]:
    """The files of a directory, except hidden ones."""
    with os.scandir(path) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and not entry.is_dir():
                if not entry.is_file():
                    check_kind(entry.path)
                yield entry.path


def placed_slices(path: str, files: Sequence[str], *, may_lack: bool) -> np.ndarray[Any, Any]:
    """Index of the slice at each place of a stack; -1 if it is missing.

    Which are missing can be told if the names of the slices differ in one number only. The numbers
    may have any step, if it is constant.

    Raises
    ------
    SourceError
        A slice of a directory is missing, or of any stack if ``may_lack`` but it is unclear where.
    """
    together = np.arange(len(files))
    names = [natural(os.path.splitext(os.path.basename(file))[0]) for file in files]
    if len({tuple(text for text, _ in name) for name in names}) > 1:
        return together
    varying = [column for column in zip(*names, strict=True) if len(set(column)) > 1]
    if len(varying) != 1 or not (may_lack or os.path.isdir(path)):
        return together
    numbers = [number for _, number in varying[0]]
    step = min(b - a for a, b in itertools.pairwise(numbers))
    for (number, after), (file, next_file) in zip(
        itertools.pairwise(numbers), itertools.pairwise(files), strict=True
    ):
        if (after - number) % step if may_lack else after - number != step:
            raise SourceError(
                f"{path}: slice {number + step} is missing between {file} and {next_file}; to "
                "convert the existing ones, give a glob"
                + ("" if may_lack else ", or to fill it with zeros, give fill as missing")
            )
    placed = _none_placed(path, [(numbers[-1] - numbers[0]) // step + 1], len(files))
    placed[(np.array(numbers) - numbers[0]) // step] = together
    return placed


class Grid(NamedTuple):
    """The files of a pattern, in C order of its axes, and the index of the file at each place.

    The index of a file that is missing is -1. If {c} stands for words, ``words`` are these, in the
    order of the channels.
    """

    axes: str
    placed: np.ndarray[Any, Any]
    files: list[str]
    words: tuple[str, ...]


def grid(pattern: str, *, may_lack: bool = False) -> Grid:
    """Place the files of a pattern on a grid, in which files may be missing if they ``may_lack``.


    Raises
    ------
    SourceError
        There are none, a number is missing, or two files have the same numbers.
    """
    found, words, others = positions(pattern)
    if not found:
        raise SourceError(
            f"{pattern}: no file matches with numbers at the placeholders"
            + (
                f", or at {{c}} with words without _ and .; there are {_text(others)}"
                * bool(others)
            )
        )
    if others:
        logger.warning(
            "%s: {c} stands for words without _ and .: %s; left out: %s",
            pattern,
            ", ".join(words),
            _text(others),
        )
    elif any(map(str.isdecimal, words)):
        logger.warning(
            "%s: {c} stands for numbers and words, which are all channels: %s",
            pattern,
            ", ".join(words),
        )
    axes = "".join(axis for axis in STORED_ORDER if axis in re.findall(PLACE, pattern))
    files: dict[tuple[int, ...], str] = {}
    for file in sorted(found):
        index = tuple(found[file][axis] for axis in axes)
        if index in files:
            raise SourceError(
                f"{file}: it has the same position in the grid as {files[index]}; move one of them "
                "away"
            )
        files[index] = file
    numbers = [sorted(set(along)) for along in zip(*files, strict=True)]
    for axis, along in zip(axes, numbers, strict=True):
        for number, after in itertools.pairwise(along):
            if after != number + 1 and not may_lack:
                raise SourceError(
                    f"{pattern}: no file has {axis} = {number + 1}, but there are {number} and "
                    f"{after}; numbers must be consecutive, or give a glob, or fill as missing"
                )
    placed = _none_placed(pattern, [along[-1] - along[0] + 1 for along in numbers], len(files))
    for number, index in enumerate(sorted(files)):
        placed[tuple(i - along[0] for i, along in zip(index, numbers, strict=True))] = number
    if len(files) < placed.size and not may_lack:
        first = next(index for index in itertools.product(*numbers) if index not in files)
        where = ", ".join(
            f"{axis} = {words[n] if words and axis == 'c' else n}"
            for axis, n in zip(axes, first, strict=True)
        )
        raise SourceError(
            f"{pattern}: no file has {where}; {placed.size - len(files)} of {placed.size} are "
            "missing; to fill them with zeros, give fill as missing"
        )
    return Grid(axes, placed, [files[index] for index in sorted(files)], words)


def _none_placed(path: str, counts: Sequence[int], existing: int) -> np.ndarray[Any, Any]:
    """A grid of missing files; a SourceError if hardly any exists: a number may be a date."""
    if math.prod(counts) > _MAX_PLACES * existing:
        raise SourceError(
            f"{path}: {existing} files exist, but according to their numbers there are "
            f"{math.prod(counts)}"
        )
    return np.full(counts, -1)


def _text(files: Sequence[str]) -> str:
    """The first of some files, for messages."""
    return ", ".join(files[:_MAX_LISTED]) + ", ..." * (len(files) > _MAX_LISTED)
