"""Filters for the warnings of libraries, which are those of all threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

#: Held while filters are changed.
_LOCK = threading.RLock()


@contextmanager
def caught_warnings(
    action: Literal["always", "ignore"], category: type[Warning] = Warning
) -> Iterator[list[warnings.WarningMessage]]:
    """Catch the warnings of a library in a block, which only one thread runs at a time.

    Parameters
    ----------
    action
        What becomes of warnings of the category: all are caught, or none.
    category
        Warnings of other categories are treated as outside the block.

    Yields
    ------
    list of warnings.WarningMessage
        The warnings that are caught, which is complete at the end of the block.
    """
    with _LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action, category)
        yield caught
