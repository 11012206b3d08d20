"""The JSON documents of a store, and of what lies beside it: their names, reading and writing.

This module, and `neurozarr.zarr.chunks`, import nothing large: a job without voxels starts sooner.
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

#: Names of the files that describe an array, and a group, by version of Zarr; the first makes a
#: directory an array, or a group.
FILES: dict[int, tuple[str, ...]] = {2: (".zarray", ".zattrs"), 3: ("zarr.json",)}
GROUP_FILES: dict[int, tuple[str, ...]] = {2: (".zgroup", ".zattrs"), 3: ("zarr.json",)}

#: Name of the array that holds the NIfTI header (NIfTI-Zarr 1.0.rc1, section 2.4).
HEADER = "nifti"


def read_json(path: str | os.PathLike[str]) -> Document:
    """Read a JSON document."""
    return json.loads(Path(path).read_text())


def read_record(path: str | os.PathLike[str]) -> Document | None:
    """Read a JSON document that may be missing, or damaged: None then.

    Of a damaged one the log says so.
    """
    try:
        document: Any = read_json(path)
        if isinstance(document, dict):
            return document
        reason = "no JSON object"
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        reason = str(error)
    _warn(f"{path} is damaged ({reason}): it counts as missing")
    return None


@cache
def _warn(message: str) -> None:
    """Log a message once, however often it is said."""
    logger.warning("%s", message)


def write_json(path: str | os.PathLike[str], document: Document) -> None:
    """Write a JSON document; a reader sees the old one or the new one, never half of it.

    When it returns, the new one is on the disk.

    Raises
    ------
    StoreError
        It cannot be written: for want of room or of permission, say.
    """
    path = Path(path)
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    temporary = path.with_name(path.name + ".tmp")
    try:
        make_folder(path.parent)
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        raise cannot_be_written(path, error) from error


def cannot_be_written(path: Path, error: OSError) -> StoreError:
    """What to raise for a file that the system does not let be written."""
    if isinstance(error, StoreError):
        return error
    return StoreError(
        f"{path}: it cannot be written ({error.strerror or error}). Run again when this is mended"
    )


def group_documents(zarr_version: int, attributes: Document) -> dict[str, Document]:
    """Describe a group: its files' names and contents, the one that makes it a group last."""
    if zarr_version == 2:
        return {".zattrs": attributes, ".zgroup": {"zarr_format": 2}}
    return {"zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": attributes}}
