"""A line at the bottom of a terminal that is rewritten in place, below what else is printed."""

from __future__ import annotations

import os
from threading import RLock
from typing import Any, TextIO

#: ECMA-48: erase from the cursor to the end of the line.
_ERASE = "\r\x1b[K"


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which a line can be rewritten."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


class LiveLine:
    """A terminal with such a line: what is written to it appears above the line.

    Parameters
    ----------
    stream
        The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # A signal may interrupt a thread that holds it, and write.
        self._lock = RLock()
        self._text = ""
        self._is_shown = False
        self._is_at_start = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text above the line."""
        with self._lock:
            self._erase()
            count = self._stream.write(text)
            if text:
                self._is_at_start = text.endswith("\n")
            self._draw()
            return count

    def flush(self) -> None:
        """Flush the terminal."""
        self._stream.flush()

    def show(self, text: str) -> None:
        """Replace the line; "" for none."""
        with self._lock:
            self._erase()
            self._text = text
            self._draw()
            self._stream.flush()

    def _erase(self) -> None:
        if self._is_shown:
            self._stream.write(_ERASE)
            self._is_shown = False

    def _draw(self) -> None:
        if self._text and self._is_at_start:
            # Other processes write to the terminal as well: what they write begins the line.
            self._stream.write(f"{self._text[: self._width()]}\r")
            self._is_shown = True

    def _width(self) -> int:
        """Characters that fit in a line; in the last column, some terminals would begin another."""
        try:
            return max(0, os.get_terminal_size(self._stream.fileno()).columns - 1)
        except OSError:
            return 79
