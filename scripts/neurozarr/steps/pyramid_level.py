"""Write a block of a level from the last one."""

from __future__ import annotations

import time
from pathlib import Path

from neurozarr import receipts, voxels
from neurozarr.chunks import Region
from neurozarr.drivers import open_array
from neurozarr.publishing import unpublish
from neurozarr.pyramid import Mode


def write_level(
    parent_file: Path,
    array_file: Path,
    *,
    region: Region,
    mode: Mode,
    driver: str,
    threads: int,
    array_receipt: Path,
    receipt: Path,
) -> None:
    """Write a block of a level from the voxels of the last one.

    Parameters
    ----------
    parent_file, array_file
        Metadata of both levels.
    region
        The block.
    mode
        How a window of voxels becomes one.
    driver, threads, array_receipt, receipt
        Library that carries the voxels, how many chunks are made at once, receipt of the array, and
        file to write last.
    """
    unpublish(array_file.parent.parent)
    start = time.monotonic()
    summary = voxels.write_level(
        open_array(parent_file.parent, "r", driver=driver, threads=threads),
        open_array(array_file.parent, driver=driver, threads=threads),
        region=region,
        mode=mode,
        threads=threads,
    )
    receipts.write_block_receipt(
        receipt,
        array_file,
        region,
        summary,
        array_receipt=array_receipt,
        seconds=time.monotonic() - start,
    )
