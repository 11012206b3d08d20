"""Checks of the columns of the sample sheet, or options, that describe the array in a file."""

from __future__ import annotations

from collections.abc import Sequence

from neurozarr.axes import STORED_ORDER
from neurozarr.errors import SourceError
from neurozarr.sources.base import Layout


def check_columns(path: str, layout: Layout, takes: Sequence[str]) -> None:
    """Check that the columns that are given apply to a family.

    Parameters
    ----------
    path
        The source.
    layout
        The columns.
    takes
        Names of those that apply.

    Raises
    ------
    SourceError
        Another one is given.
    """
    for name, value in layout.given.items():
        if name not in takes:
            raise SourceError(
                f"{path}: {name} is {value!r}, but does not apply to this format; leave it out"
            )


def check_axes(path: str, axes: str, shape: tuple[int, ...]) -> None:
    """Check that the names of axes that a user gives fit an array.

    Parameters
    ----------
    path
        The file of the array.
    axes
        The names, slowest first.
    shape
        Lengths of the axes, in voxels.

    Raises
    ------
    SourceError
        They do not fit.
    """
    if len(axes) != len(shape) or len(set(axes)) < len(axes) or set(axes) - set(STORED_ORDER):
        raise SourceError(
            f"{path}: axes is {axes!r}, but the array has shape {shape}: name each of its axes, "
            f"slowest first, by a different letter of {', '.join(STORED_ORDER)}"
        )
