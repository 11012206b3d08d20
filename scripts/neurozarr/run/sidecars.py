"""Files beside a store and named like it, with BIDS metadata and gradients; those of a derivative.

What was written is recorded with the receipts, so that files of others, and files that a user has
edited, are kept.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import xxhash

from neurozarr.errors import OwnershipError
from neurozarr.zarr.documents import read_record, write_json, write_text

logger = logging.getLogger(__name__)


class Paths(Protocol):
    """Paths of such files, by their endings or names, and of their record."""

    def sidecar(self, ending: str) -> Path:
        """Path of a file."""

    @property
    def sidecar_receipt(self) -> Path:
        """Path of the record."""


def check(paths: Paths, endings: Iterable[str]) -> None:
    """Check that no file is in the place of one that others wrote.

    Parameters
    ----------
    paths
        Paths of the store, or of the derivative.
    endings
        Endings of the files that may be written, such as ".json".

    Raises
    ------
    OwnershipError
        Such a file exists.
    """
    for ending, file in ((ending, paths.sidecar(ending)) for ending in endings):
        # A link of git-annex without its content is also a file of others.
        if os.path.lexists(file) and ending not in _recorded(paths):
            raise OwnershipError(
                f"{file} was not written by this workflow, and would be overwritten. Move it away, "
                "or choose another output"
            )


def write(paths: Paths, texts: Mapping[str, str]) -> None:
    """Write the files, and delete those that were written before; keep what a user has edited.

    Parameters
    ----------
    paths
        Paths of the store, or of the derivative.
    texts
        Their content, by their endings.

    Raises
    ------
    OwnershipError
        One is in the place of a file that others wrote.
    StoreError
        One cannot be written.
    """
    check(paths, texts)
    known = _recorded(paths)
    for ending, text in texts.items():
        file, written = paths.sidecar(ending), _checksum(text.encode())
        found = _checksum(file.read_bytes()) if file.exists() else None
        is_edited = found is not None and found not in known[ending]
        if found == written and written in known[ending]:
            continue
        known[ending] = [*known.get(ending, []), written]
        write_json(paths.sidecar_receipt, known)
        if is_edited:
            logger.warning("%s was edited and is kept as it is", file)
        else:
            write_text(file, text)
    for file in _surplus(paths, texts):
        file.unlink()


def outdated(paths: Paths, texts: Mapping[str, str]) -> str:
    """Why files that were written have to be written again; "" if they have not.

    Files that a user has edited have not, unless what they would contain has changed.
    """
    known = _recorded(paths)
    for ending, text in texts.items():
        if not paths.sidecar(ending).exists():
            return f"{paths.sidecar(ending)} is missing"
        if _checksum(text.encode()) != known.get(ending, [None])[-1]:
            return f"the metadata for {paths.sidecar(ending)} changed"
    surplus = next(_surplus(paths, texts), None)
    return f"there are no metadata for {surplus} any more" if surplus else ""


def _surplus(paths: Paths, texts: Mapping[str, str]) -> Iterator[Path]:
    """Files that were written, and not edited, but would not be written any more."""
    for ending, checksums in _recorded(paths).items():
        file = paths.sidecar(ending)
        if ending not in texts and file.exists() and _checksum(file.read_bytes()) in checksums:
            yield file


def _recorded(paths: Paths) -> dict[str, list[int]]:
    """Checksums of all that was written, or was about to be, by ending."""
    return read_record(paths.sidecar_receipt) or {}


def _checksum(content: bytes) -> int:
    return xxhash.xxh3_64_intdigest(content)
