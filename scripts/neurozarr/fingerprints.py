"""Whether a source is still what it was when its conversion began.

Blocks are converted one after the other, for hours or days: a source that changes meanwhile would
be converted half and half.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import xxhash

from neurozarr.errors import SourceError

#: Files up to this size, in bytes, are known by their content, larger ones by the time when they
#: were modified: as Snakemake decides whether a file is new.
SMALL = 1_000_000

#: Size in bytes, and either the checksum of the content or the time of modification in ns.
Fingerprint = dict[str, int]


def fingerprints(files: Iterable[str | os.PathLike[str]]) -> dict[str, Fingerprint]:
    """What tells each file from another of its name.

    Raises
    ------
    SourceError
        A file is not there, or cannot be read.
    """
    return {os.fspath(file): _fingerprint(file) for file in files}


def check(known: Mapping[str, Fingerprint], files: Iterable[str | os.PathLike[str]]) -> None:
    """Raise a SourceError where files are not those whose fingerprints are known."""
    names = {os.fspath(file) for file in files}
    for name in sorted(names ^ known.keys()):
        raise SourceError(f"{name} {'came' if name in names else 'went'} {_SINCE}")
    for name, then in known.items():
        now = _fingerprint(name)
        if now["size"] != then["size"]:
            raise SourceError(f"{name} had {then['size']} bytes, and has {now['size']}, {_SINCE}")
        if now != then:
            raise SourceError(f"{name} was changed {_SINCE}")


_SINCE = (
    "since its conversion began. Run again, and it is converted anew; if it is not, delete level 0 "
    "of its store and run again"
)


def _fingerprint(file: str | os.PathLike[str]) -> Fingerprint:
    try:
        status = os.stat(file)
        if status.st_size > SMALL:
            return {"size": status.st_size, "modified": status.st_mtime_ns}
        checksum = xxhash.xxh3_64_intdigest(Path(file).read_bytes())
    except OSError as error:
        raise SourceError(f"{os.fspath(file)} cannot be read ({error.strerror})") from None
    return {"size": status.st_size, "checksum": checksum}
