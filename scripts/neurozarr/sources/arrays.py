"""Choosing among the arrays of a file, by their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurozarr.errors import SourceError
from neurozarr.sources.base import Member

#: Maximum number of arrays that an error lists.
_MAX_LISTED = 20


def named_labels(name: str, dtype: np.dtype[Any]) -> bool:
    """Whether an array holds labels: integers that, or a group of which, are named "labels"."""
    return dtype.kind in "biu" and "labels" in name.split("/")


def members(path: str, arrays: Mapping[str, tuple[int, ...]]) -> list[Member]:
    """List the arrays that can be images: those with two or more axes longer than 1.

    Parameters
    ----------
    path
        The file.
    arrays
        Shapes of the arrays that can be converted, by name.

    Raises
    ------
    SourceError
        There are none.
    """
    found = [name for name, shape in arrays.items() if _is_image(shape) and 0 not in shape]
    if not found:
        raise SourceError(f"{path}: the file holds {_listed(arrays)}, and no image; give dataset")
    return [Member(name, name.strip("/")) for name in found]


def choose_dataset(path: str, named: str | None, arrays: dict[str, tuple[int, ...]]) -> str:
    """Choose the dataset to convert.

    Parameters
    ----------
    path
        The file.
    named
        The dataset that the user names; None to choose the only one. If there are several, only
        those with two or more non-singleton axes count.
    arrays
        Shapes of the datasets that can be converted, by name.

    Returns
    -------
    str
        Name of the dataset.

    Raises
    ------
    SourceError
        There is no such dataset, or several could be meant; the error lists them.
    """
    if named in arrays:
        return named
    if named is None:
        images = {name: shape for name, shape in arrays.items() if _is_image(shape)}
        arrays = images or arrays
        if len(arrays) == 1:
            return next(iter(arrays))
    content = _listed(arrays)
    if named is not None:
        raise SourceError(f"{path}: dataset is {named!r}, but the file holds {content}")
    raise SourceError(f"{path}: the file holds {content}" + "; name one by dataset" * bool(arrays))


def _is_image(shape: Sequence[int]) -> bool:
    return sum(side > 1 for side in shape) > 1


def _listed(arrays: Mapping[str, tuple[int, ...]]) -> str:
    listed = [f"{name} of shape {shape}" for name, shape in arrays.items()]
    if len(listed) > _MAX_LISTED:
        listed[_MAX_LISTED:] = [f"{len(listed) - _MAX_LISTED} more"]
    return ", ".join(listed) or "no array of numbers with 2 to 5 dimensions"
