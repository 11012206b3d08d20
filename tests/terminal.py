"""A terminal: programs write to one end, and tests read from the other what it shows."""

import fcntl
import os
import pty
import re
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminal:
    """Both ends of a terminal, and what was written to it until now."""

    def __init__(self, columns: int) -> None:
        self._ours, self.end = pty.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.name = os.ttyname(self.end)
        self._written = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while part := os.read(self._ours, 4096):
                self._written += part
        except OSError:  # Its other end is closed.
            pass

    def close(self) -> str:
        """Close it, and return what was written to it."""
        os.close(self.end)
        self._reader.join()
        os.close(self._ours)
        return self._written.decode()


@contextmanager
def terminal(columns: int) -> Iterator[Terminal]:
    """A terminal of some width, which the caller closes if all goes well."""
    made = Terminal(columns)
    try:
        yield made
    except BaseException:
        made.close()
        raise


def shown(written: str) -> list[str]:
    """The lines that a terminal shows, however wide they are; colours apart."""
    lines, column = [""], 0
    written = re.sub(r"\x1b\[\d*m", "", written)
    for part in re.findall(r"\x1b\[K|\r|\n|[^\x1b\r\n]+", written):
        if part == "\x1b[K":
            lines[-1] = lines[-1][:column]
        elif part == "\r":
            column = 0
        elif part == "\n":
            lines.append(" " * column)
        else:
            lines[-1] = lines[-1][:column] + part + lines[-1][column + len(part) :]
            column += len(part)
    return lines
