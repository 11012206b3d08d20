"""Write the voxels of a level from those of the last one."""

from __future__ import annotations

import time
from pathlib import Path

from neurozarr import receipts, voxels
from neurozarr.drivers import open_array
from neurozarr.publishing import clear
from neurozarr.pyramid import Mode


def write_level(
    parent: Path,
    array: Path,
    *,
    mode: Mode,
    driver: str,
    threads: int,
    array_receipt: Path,
    receipt: Path,
) -> None:
    """Write the voxels of a level from those of the last one.

    Parameters
    ----------
    parent, array
        Directories of both levels.
    mode
        How a window of voxels becomes one.
    driver, threads, array_receipt, receipt
        Library that carries the voxels, how many chunks are made at once, receipt of the array, and
        file to write last.
    """
    clear(array)
    start = time.monotonic()
    voxels.write_level(
        open_array(parent, "r", driver=driver, threads=threads),
        open_array(array, driver=driver, threads=threads),
        mode=mode,
        threads=threads,
    )
    receipts.write_voxels_receipt(receipt, array, array_receipt, seconds=time.monotonic() - start)
