"""Write the voxels of level 0."""

from __future__ import annotations

import time
from pathlib import Path

from neurozarr import receipts, voxels
from neurozarr.drivers import open_array
from neurozarr.publishing import clear
from neurozarr.sources import open_source


def write_base(
    source: Path,
    array: Path,
    *,
    axes: str | None,
    driver: str,
    threads: int,
    array_receipt: Path,
    receipt: Path,
) -> None:
    """Copy the voxels of a source into level 0.

    Parameters
    ----------
    source, axes
        The volume, and names of its axes where they are not what its format says.
    array
        Directory of level 0.
    driver, threads
        Library that carries the voxels, and how many chunks it encodes at once.
    array_receipt, receipt
        Receipt of the array, and file to write last.
    """
    clear(array)
    start = time.monotonic()
    voxels.write_base(
        open_source(source, axes=axes),
        open_array(array, driver=driver, threads=threads),
        threads=threads,
    )
    receipts.write_voxels_receipt(receipt, array, array_receipt, seconds=time.monotonic() - start)
