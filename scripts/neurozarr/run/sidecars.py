"""Files beside a store and named like it, with the BIDS metadata and gradients of a DICOM series.

What was written is recorded beside the store, so that files of others, and files that a user has
edited, are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import xxhash

from neurozarr.errors import OwnershipError
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.documents import read_record, write_json, write_text

logger = logging.getLogger(__name__)


def check(paths: StorePaths, endings: Iterable[str]) -> None:
    """Check that no sidecar of a store is in the place of a file that others wrote.

    Parameters
    ----------
    paths
        Paths of the store.
    endings
        Endings of the sidecars that may be written, such as ".json".

    Raises
    ------
    OwnershipError
        Such a file exists.
    """
    for ending, file in ((ending, paths.sidecar(ending)) for ending in endings):
        if file.exists() and ending not in _recorded(paths):
            raise OwnershipError(
                f"{file} was not written by this workflow, and would be overwritten. Move it away, "
                "or choose another output"
            )


def write(paths: StorePaths, texts: Mapping[str, str]) -> None:
    """Write the sidecars of a store, except those that a user has edited.

    Parameters
    ----------
    paths
        Paths of the store.
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
        if found is not None and found not in known[ending]:
            logger.warning("%s was edited and is kept as it is", file)
        elif found != written:
            known[ending] = [*known.get(ending, []), written]
            write_json(paths.sidecar_receipt, known)
            write_text(file, text)


def _recorded(paths: StorePaths) -> dict[str, list[int]]:
    """Checksums of all that was written, or was about to be, by ending."""
    return read_record(paths.sidecar_receipt) or {}


def _checksum(content: bytes) -> int:
    return xxhash.xxh3_64_intdigest(content)
