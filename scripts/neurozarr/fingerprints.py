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

#: Files up to this size, in bytes, are known by their content, larger ones by the time when they
#: were modified: as Snakemake decides whether a file is new.
SMALL = 1_000_000

#: Name and size in bytes of a file, and the checksum of its content or the time, in ns, when it was
#: modified.
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
    for file, now in zip(of, fingerprints(of), strict=True):
        if then[file]["file"] == now["file"] and then[file]["size"] != now["size"]:
            raise SourceError(
                f"{file} had {then[file]['size']} bytes, and has {now['size']}, {_SINCE}"
            )
        if then[file] != now:
            raise SourceError(f"{file} was changed {_SINCE}")


def _fingerprint(file: Path) -> Fingerprint:
    try:
        status = file.stat()
        known = {"file": file.name, "size": status.st_size}
        if status.st_size > SMALL:
            return known | {"modified": status.st_mtime_ns}
        return known | {"checksum": xxhash.xxh3_64_intdigest(file.read_bytes())}
    except OSError as error:
        raise SourceError(f"{file} cannot be read ({error.strerror})") from None
