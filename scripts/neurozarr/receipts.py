"""What a job leaves behind, outside the store, to say what it did.

Every new array gets a receipt with a nonce, and every block that is written into it a receipt that
repeats the nonce: so voxels of an older array are told from those of the present one, although both
arrays are described by the same bytes.
"""

from __future__ import annotations

import logging
import math
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from neurozarr.chunks import Region, chunk_index, chunk_keys, file_grid
from neurozarr.documents import FILES, Document, read_json, write_json

if TYPE_CHECKING:
    from neurozarr.voxels import Summary

logger = logging.getLogger(__name__)

#: How many missing files an error names.
NAMED = 5


def write_array_receipt(receipt: Path) -> None:
    """Say that an array was created, empty."""
    write_json(receipt, {"nonce": uuid.uuid4().hex})


def write_block_receipt(
    receipt: Path,
    array_file: Path,
    region: Region,
    summary: Summary,
    *,
    array_receipt: Path,
    seconds: float,
) -> None:
    """Say that a block of an array was written, and log it.

    Parameters
    ----------
    receipt
        File to write.
    array_file
        Metadata of the array.
    region, summary
        Which voxels were written, and what is known of them.
    array_receipt
        Receipt of the array.
    seconds
        How long it took.
    """
    array = array_file.parent
    document = read_json(array_file)
    sizes = [(array / key).stat().st_size for key in chunk_keys(document, region)]
    size = sum(sizes)
    logger.info("%s: %d files, %.1f MB in %.2f s", array, len(sizes), size / 1e6, seconds)
    write_json(
        receipt,
        {
            "nonce": read_json(array_receipt)["nonce"],
            "region": [[side.start, side.stop] for side in region],
            "files": len(sizes),
            "bytes": size,
            **asdict(summary),
            "seconds": round(seconds, 3),
        },
    )


def extremes(block_receipts: Sequence[Path]) -> tuple[float, float]:
    """Smallest and largest finite value of an array, by the receipts of its blocks; or 0 and 1."""
    blocks = [read_json(receipt) for receipt in block_receipts]
    finite = [block for block in blocks if block["minimum"] is not None]
    if not finite:
        return 0.0, 1.0
    return min(block["minimum"] for block in finite), max(block["maximum"] for block in finite)


def check(array_file: Path, array_receipt: Path, block_receipts: Sequence[Path]) -> list[str]:
    """What is wrong with an array: nothing, if its voxels are all there and its own.

    Files in the array that are no part of it, which a killed job may have left, are deleted.
    """
    array = array_file.parent
    if not array_file.is_file():
        return [f"{array}: the array is missing"]
    document = read_json(array_file)
    nonce = read_json(array_receipt)["nonce"]
    blocks = [read_json(receipt) for receipt in block_receipts]
    if any(block["nonce"] != nonce for block in blocks):
        return [f"{array}: voxels were written into an older array of that name"]
    if sum(block["files"] for block in blocks) != math.prod(file_grid(document)):
        return [f"{array}: the receipts of its blocks are not those of all its voxels"]
    found = _files(array, document)
    wrong = []
    for block in blocks:
        region = tuple(slice(start, stop) for start, stop in block["region"])
        keys = list(chunk_keys(document, region))
        missing = [key for key in keys if key not in found]
        size = sum(found.get(key, 0) for key in keys)
        if missing:
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            wrong.append(f"{array}: {', '.join(missing[:NAMED])}{more} missing")
        elif size != block["bytes"]:
            wrong.append(
                f"{array}: {size} bytes in the chunk files of {block['region']}, but "
                f"{block['bytes']} were written"
            )
    return wrong


def _files(array: Path, document: Document) -> dict[str, int]:
    """Size of every chunk file, by its key; other files but the metadata are deleted."""
    found = {}
    for folder, _, names in os.walk(array):
        for name in names:
            path = Path(folder, name)
            key = path.relative_to(array).as_posix()
            if chunk_index(document, key) is not None:
                found[key] = path.stat().st_size
            elif key not in FILES[document["zarr_format"]]:
                path.unlink()
    return found
