"""Names, reading and writing of the JSON documents of a store and of the files beside it.

This module and `neurozarr.zarr.chunks` import no large library, so that jobs without voxels start
fast.
"""

from __future__ import annotations

import json
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

from neurozarr.durable import make_folder, sync
from neurozarr.errors import StoreError

logger = logging.getLogger(__name__)

Document = dict[str, Any]

#: Names of the metadata files of an array and of a group, by version of Zarr. The first one marks a
#: directory as an array or a group.
FILES: dict[int, tuple[str, ...]] = {2: (".zarray", ".zattrs"), 3: ("zarr.json",)}
GROUP_FILES: dict[int, tuple[str, ...]] = {2: (".zgroup", ".zattrs"), 3: ("zarr.json",)}

#: Name of the array that holds the NIfTI header (NIfTI-Zarr 1.0.rc1, section 2.4).
HEADER = "nifti"
#: Name of the group beneath an image that holds its labels (OME-Zarr 0.5, "labels" metadata).
LABELS = "labels"

#: What to do if a file of the store cannot be written.
REMEDY = "Free space or fix the permissions, then run again"


def read_json(path: str | os.PathLike[str]) -> Document:
    """Read a JSON document."""
    with open(path, "rb", buffering=0) as file:  # Of text files, Python asks the system more.
        return json.loads(file.read().decode())


def read_record(path: str | os.PathLike[str]) -> Document | None:
    """Read a JSON document; None if it is missing or damaged (then a warning is logged)."""
    try:
        document: Any = read_json(path)
        if isinstance(document, dict):
            return document
        reason = "not a JSON object"
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        reason = str(error)
    _warn(f"{path} is damaged ({reason}): it is treated as missing")
    return None


@cache
def _warn(message: str) -> None:
    """Log a message the first time only."""
    logger.warning("%s", message)


def write_json(path: str | os.PathLike[str], document: Document) -> None:
    """Write a JSON document atomically, and sync it to the disk.

    Raises
    ------
    StoreError
        The file cannot be written, for example because the disk is full.
    """
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file as UTF-8, atomically, and sync it to the disk.

    Raises
    ------
    StoreError
        The file cannot be written, for example because the disk is full.
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file atomically, and sync it to the disk.

    Raises
    ------
    StoreError
        The file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        make_folder(path.parent)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        raise cannot_be_written(path, error) from error


def cannot_be_written(path: Path, error: OSError) -> StoreError:
    """The exception to raise if a file cannot be written."""
    if isinstance(error, StoreError):
        return error
    return StoreError(f"{path}: it cannot be written ({error.strerror or error}). {REMEDY}")


def group_documents(zarr_version: int, attributes: Document) -> dict[str, Document]:
    """Names and contents of the metadata files of a group, the one that marks it as one last."""
    if zarr_version == 2:
        return {".zattrs": attributes, ".zgroup": {"zarr_format": 2}}
    return {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes}}
