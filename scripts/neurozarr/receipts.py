"""What a job leaves behind, outside the store, to say what it did.

Every new array gets a receipt with a nonce, and the voxels written into it a receipt that repeats
the nonce: so voxels of an older array are told from those of the present one, although both arrays
are described by the same bytes.
"""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path

from neurozarr.local import read_json, write_json
from neurozarr.metadata import FILES, count_files

logger = logging.getLogger(__name__)


def chunk_files(array: Path) -> dict[str, int]:
    """Size in bytes of every file of an array but its metadata, by its path in the array."""
    found = {}
    for folder, _, names in os.walk(array):
        for name in names:
            path = Path(folder, name)
            found[path.relative_to(array).as_posix()] = path.stat().st_size
    for name in (name for names in FILES.values() for name in names):
        found.pop(name, None)
    return found


def write_array_receipt(receipt: Path, array: Path) -> None:
    """Say that an array was created, empty."""
    write_json(receipt, {"array": os.fspath(array), "nonce": uuid.uuid4().hex})


def write_voxels_receipt(
    receipt: Path, array: Path, array_receipt: Path, *, seconds: float
) -> None:
    """Say that all voxels of an array were written, into how many files and bytes, and log it."""
    files = chunk_files(array)
    size = sum(files.values())
    logger.info("%s: %d files, %.1f MB in %.2f s", array, len(files), size / 1e6, seconds)
    write_json(
        receipt,
        {
            "array": os.fspath(array),
            "nonce": read_json(array_receipt)["nonce"],
            "files": len(files),
            "bytes": size,
            "seconds": round(seconds, 3),
        },
    )


def check(array_file: Path, array_receipt: Path, voxels_receipt: Path) -> list[str]:
    """What is wrong with an array: nothing, if its voxels are all there and its own."""
    array = array_file.parent
    if not array_file.is_file():
        return [f"{array}: the array is missing"]
    voxels = read_json(voxels_receipt)
    if voxels["nonce"] != read_json(array_receipt)["nonce"]:
        return [f"{array}: the voxels were written into an older array of that name"]
    files = chunk_files(array)
    expected = count_files(read_json(array_file))
    if len(files) != expected:
        return [f"{array}: {len(files)} chunk files, but there must be {expected}"]
    size = sum(files.values())
    if size != voxels["bytes"]:
        return [f"{array}: {size} bytes in chunk files, but {voxels['bytes']} were written"]
    return []
