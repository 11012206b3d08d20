"""Whether a source is still what it was when its conversion began.

Blocks are converted one after the other, for hours or days: a source that changes meanwhile would
be converted half and half.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash

from neurozarr.errors import SourceError

#: Size of a file, in bytes, up to which a checksum of its content tells whether it is the same when
#: the time of its modification is another; a larger file then counts as another one.
SMALL = 2**26

#: Name and size in bytes of a file, the time, in ns, when it was modified, and the checksum of its
#: content if it is small.
Fingerprint = dict[str, Any]

_SINCE = (
    "since its conversion began. Run again, and it is converted anew; if it is not, delete level 0 "
    "of its store and run again"
)


def fingerprints(files: Sequence[Path]) -> list[Fingerprint]:
    """What tells each file from another one of its name, wherever they are.

    Raises
    ------
    SourceError
        A file is not there, or cannot be read.
    """
    return [_fingerprint(file) for file in files]


def are_same(known: Sequence[Fingerprint], files: Sequence[Path]) -> bool:
    """Whether files, wherever they are, are those whose fingerprints are known.

    Their content is read only where their times are other ones.

    Raises
    ------
    SourceError
        A file is not there, or cannot be read.
    """
    return len(known) == len(files) and all(map(_is_same, known, files))


def check(known: Sequence[Fingerprint], files: Sequence[Path], of: Sequence[Path]) -> None:
    """Raise a SourceError where files are not those whose fingerprints are known.

    Parameters
    ----------
    known
        Fingerprints of all files of a source, when its conversion began.
    files
        All its files, now.
    of
        Those of them to look at.
    """
    if len(files) != len(known):
        raise SourceError(f"{files[0]} was one of {len(known)} files, not {len(files)}, {_SINCE}")
    then = dict(zip(files, known, strict=True))
    for file in of:
        size = _status(file)["size"]
        if then[file]["file"] == file.name and then[file]["size"] != size:
            raise SourceError(f"{file} had {then[file]['size']} bytes, and has {size}, {_SINCE}")
        if not _is_same(then[file], file):
            raise SourceError(f"{file} was changed {_SINCE}")


def _is_same(known: Fingerprint, file: Path) -> bool:
    now = _status(file)
    if any(known.get(name) != now[name] for name in ("file", "size")):
        return False
    if known.get("modified") == now["modified"]:
        return True
    return known.get("checksum") is not None and known["checksum"] == _checksum(file)


def _fingerprint(file: Path) -> Fingerprint:
    status = _status(file)
    return status | {"checksum": _checksum(file) if status["size"] <= SMALL else None}


def _status(file: Path) -> Fingerprint:
    try:
        status = file.stat()
    except OSError as error:
        raise SourceError(f"{file} cannot be read ({error.strerror})") from None
    return {"file": file.name, "size": status.st_size, "modified": status.st_mtime_ns}


def _checksum(file: Path) -> int:
    try:
        return xxhash.xxh3_64_intdigest(file.read_bytes())
    except OSError as error:
        raise SourceError(f"{file} cannot be read ({error.strerror})") from None
