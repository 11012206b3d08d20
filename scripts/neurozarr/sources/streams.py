"""Streams that are compressed in a part of a file, such as after a header."""

from __future__ import annotations

import bz2
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isal import igzip_lib

_READ_BYTES = 2**17
_BZIP2 = b"BZh"
_GZIP = b"\x1f\x8b"
#: Makers of decompressors, which verify checksums, by the compression.
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP),
    "zlib": lambda: igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_ZLIB),
    "bzip2": bz2.BZ2Decompressor,
}
#: First bytes of a stream that may follow another one, of which it is a continuation.
_MAGIC = {"gzip": _GZIP, "zlib": None, "bzip2": _BZIP2}
#: Highest compression ratio (RFC 1951: 258 bytes from 2 bits; bzip2 has no limit that would help).
RATIOS = {"": 1.0, "gzip": 1032, "zlib": 1032, "bzip2": math.inf}


class _Decompressed(io.RawIOBase):
    """The bytes that a stream decompresses to."""

    def __init__(self, file: Path, start: int, codec: str) -> None:
        self._file = file.open("rb", buffering=0)
        self._start, self._codec = start, codec
        self._restart()

    def _restart(self) -> None:
        self._file.seek(self._start)
        self._decompressor = _DECOMPRESSORS[self._codec]()
        self._place, self._is_over = 0, False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, from the start of the stream, by reading all that is before it."""
        offset += self._place if whence == io.SEEK_CUR else 0
        if offset < self._place:
            self._restart()
        while self._place < offset and self.read(min(offset - self._place, _READ_BYTES)):
            pass
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill a part of a buffer; 0 bytes at the end of the stream.

        Raises
        ------
        EOFError
            The file ends before the stream does.
        Exception
            The stream is damaged.
        """
        while not self._is_over:
            given = b""
            if self._decompressor.eof:
                given = self._decompressor.unused_data or self._file.read(_READ_BYTES)
                magic = _MAGIC[self._codec]
                if magic is None or not given.startswith(magic):
                    self._is_over = True
                    break
                self._decompressor = _DECOMPRESSORS[self._codec]()
            elif self._decompressor.needs_input:
                given = self._file.read(_READ_BYTES)
                if not given:
                    raise EOFError("the file ends before its compressed data do")
            found = self._decompressor.decompress(given, len(buffer))
            if found:
                buffer[: len(found)] = found
                self._place += len(found)
                return len(found)
        return 0


def decompressed(file: Path, start: int, codec: str) -> io.BufferedReader:
    """Open the bytes that a stream in a file decompresses to.

    Parameters
    ----------
    file
        The file.
    start
        Where the stream starts, in bytes.
    codec
        "gzip", "zlib" or "bzip2".

    Returns
    -------
    io.BufferedReader
        The bytes. Going back means to start again; at the end, the checksum is verified.
    """
    return io.BufferedReader(_Decompressed(file, start, codec), _READ_BYTES)


def codec_of(first: bytes) -> str:
    """The compression of a stream, by its first bytes: gzip, or else zlib (RFC 1950 and 1952)."""
    return "gzip" if first.startswith(_GZIP) else "zlib"
