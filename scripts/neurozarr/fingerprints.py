"""Fingerprints of source files, to detect that a source changed during its conversion.

A conversion may take hours or days. If the source changed meanwhile, some blocks of the store would
hold the old voxels and others the new ones.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import xxhash

from neurozarr.errors import SourceError

#: Files up to this size, in bytes, also get a checksum, so that a new modification time alone does
#: not count as a change. For larger files it does.
MAX_HASHED_BYTES = 2**26

#: Name of a file, its size in bytes, its modification time in ns, and the XXH3 checksum of its
#: content (None for large files).
Fingerprint = dict[str, Any]

_SINCE = (
    "since its conversion began. Run again to convert it anew; if Snakemake then finds nothing to "
    "do, delete level 0 of its store and run again"
)


def fingerprints(files: Sequence[Path]) -> list[Fingerprint]:
    """Return the fingerprint of each file, which does not depend on the file's directory.

    Raises
    ------
    SourceError
        A file is missing or cannot be read.
    """
    return [_fingerprint(file) for file in files]


def are_same(known: Sequence[Fingerprint], files: Sequence[Path]) -> bool:
    """Tell whether files match known fingerprints, in any directory.

    The content of a file is read only if its modification time differs.

    Parameters
    ----------
    known
        Fingerprints, in the order of the files.
    files
        The files as they are now.

    Returns
    -------
    bool
        True if there are as many files as fingerprints and each file matches its own.

    Raises
    ------
    SourceError
        A file is missing or cannot be read.
    """
    return len(known) == len(files) and all(map(_is_same, known, files))


def check(known: Sequence[Fingerprint], files: Sequence[Path], of: Sequence[Path]) -> None:
    """Check that files of a source have not changed since its conversion began.

    Parameters
    ----------
    known
        Fingerprints of all files of the source at that time.
    files
        All files of the source as they are now.
    of
        The files among them to check.

    Raises
    ------
    SourceError
        The number of files or one of the checked files has changed.
    """
    if len(files) != len(known):
        counts = f"from {len(known)} to {len(files)}"
        raise SourceError(f"{files[0]}: the number of source files changed {counts} {_SINCE}")
    then = dict(zip(files, known, strict=True))
    for file in of:
        size = _status(file)["size"]
        if then[file]["file"] == file.name and then[file]["size"] != size:
            sizes = f"from {then[file]['size']} to {size} bytes"
            raise SourceError(f"{file}: its size changed {sizes} {_SINCE}")
        if not _is_same(then[file], file):
            raise SourceError(f"{file} was changed {_SINCE}")


def of_chunks(folder: Path, keys: Iterable[str]) -> Fingerprint:
    """Fingerprint of chunks of an array, some of which need not exist.

    Parameters
    ----------
    folder
        Directory of the array.
    keys
        Names of the files.

    Returns
    -------
    dict
        The number of files that exist, and a checksum of their names, sizes and modification times.

    Raises
    ------
    SourceError
        A chunk is not a file, or its directory cannot be read.
    """
    digest, count, top = xxhash.xxh3_64(), 0, os.path.join(folder, "")
    for key in keys:
        try:
            status = os.stat(top + key)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SourceError(f"{top}{key} cannot be read ({error.strerror})") from None
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{top}{key}: a directory, a pipe or a device, not a file")
        digest.update(f"{key}:{status.st_size}:{status.st_mtime_ns}\n".encode())
        count += 1
    return {"files": count, "digest": digest.hexdigest()}


def _is_same(known: Fingerprint, file: Path) -> bool:
    now = _status(file)
    if any(known.get(name) != now[name] for name in ("file", "size")):
        return False
    if known.get("modified") == now["modified"]:
        return True
    return known.get("checksum") is not None and known["checksum"] == _checksum(file)


def _fingerprint(file: Path) -> Fingerprint:
    status = _status(file)
    return status | {"checksum": _checksum(file) if status["size"] <= MAX_HASHED_BYTES else None}


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
