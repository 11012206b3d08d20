"""Write a block of a level from the last one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from neurozarr import voxels
from neurozarr.drivers import open_array
from neurozarr.durable import sync
from neurozarr.regions import Region
from neurozarr.run import ownership, receipts
from neurozarr.voxels.kernels import Mode
from neurozarr.zarr.documents import read_json


def write_level(
    parent_file: Path,
    array_file: Path,
    *,
    parent_blocks: Sequence[Path],
    region: Region,
    mode: Mode,
    driver: str,
    threads: int,
    state: Path,
    array_receipt: Path,
    receipt: Path,
) -> None:
    """Write a block of a level from the voxels of the last one.

    Parameters
    ----------
    parent_file, array_file
        Metadata of both levels.
    parent_blocks
        Receipts of those blocks of the last level that the block is made from.
    region
        The block.
    mode
        How a window of voxels becomes one.
    driver, threads
        Library that carries the voxels, and how many chunks are made at once.
    state, array_receipt, receipt
        Directory of the store's receipts, receipt of the array, and file to write last.

    Raises
    ------
    ReceiptError
        Files of the last level are missing.
    """
    sync(receipt.parent)  # Its old receipt, which Snakemake has deleted, must not come back.
    ownership.unpublish(array_file.parent.parent, state)
    start = time.monotonic()
    nonce = read_json(array_receipt)["nonce"]
    # A chunk that is missing would be read as the fill value.
    missing = receipts.check_blocks(parent_file, parent_blocks)
    receipts.refuse("the block cannot be made", missing)
    receipts.delete_block(array_file, region)
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
        nonce=nonce,
        driver=driver,
        seconds=time.monotonic() - start,
        threads=threads,
    )
