"""Warnings while a run is planned: each kind is shown once, whatever the number of samples."""

from __future__ import annotations

import logging
from collections.abc import Callable

#: Names that a line lists before it only counts.
MAX_NAMED = 5


class Notices(logging.Handler):
    """Shows the first warning of each kind at once, and counts the others.

    Warnings are of one kind if they differ only in what they are about, which their first argument
    names before a colon, in numbers and in texts of more than a word.

    Parameters
    ----------
    show
        Prints a line.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show
        #: What the warnings of each kind are about, in order, with their texts.
        self._seen: dict[tuple[str, ...], dict[str, str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Show or count a warning; the same text is counted once."""
        about = text = record.getMessage()
        kind: tuple[str, ...] = (record.name, text)
        if isinstance(record.args, tuple) and record.args and record.msg.startswith("%s:"):
            about, *others = map(str, record.args)
            kind = (record.name, record.msg, *filter(str.isalpha, others))
        seen = self._seen.setdefault(kind, {})
        if not seen:
            self._show(text)
        seen.setdefault(about, text)

    def repeated(self) -> list[str]:
        """A line for each kind of which there was more than one warning."""
        return [_line(seen) for seen in self._seen.values() if len(seen) > 1]

    def all(self) -> list[str]:
        """A line for each kind."""
        return [_line(seen) for seen in self._seen.values()]


def _line(seen: dict[str, str]) -> str:
    first, *others = seen
    return f"{seen[first]} (and {named(others)})" if others else seen[first]


def named(names: list[str]) -> str:
    """How many there are, and the first few names: "2 more: a, b"."""
    listed = ", ".join(names[:MAX_NAMED])
    return f"{len(names)} more: {listed}" + (", …" if len(names) > MAX_NAMED else "")
