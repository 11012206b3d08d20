"""Write a block of level 0."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurozarr import voxels
from neurozarr.drivers import open_array
from neurozarr.durable import sync
from neurozarr.regions import Region
from neurozarr.run import fingerprints, ownership, receipts
from neurozarr.sources import open_source
from neurozarr.zarr.documents import read_json


def write_base(
    source: str,
    array_file: Path,
    *,
    layout: dict[str, Any],
    region: Region,
    slab: Sequence[int] | None,
    driver: str,
    threads: int,
    state: Path,
    array_receipt: Path,
    receipt: Path,
) -> None:
    """Copy a block of a source into level 0.

    Parameters
    ----------
    source, layout
        The volume, and what its files do not say of their array (see `neurozarr.sources.Layout`).
    array_file
        Metadata of level 0.
    region
        The block.
    slab
        Shape of what is read at once; None where each thread reads what it encodes.
    driver, threads
        Library that carries the voxels, and how many chunks it encodes at once.
    state, array_receipt, receipt
        Directory of the store's receipts, receipt of the array, and file to write last.

    Raises
    ------
    SourceError
        The source cannot be read, or is not what it was when the array was created.
    """
    sync(receipt.parent)  # Its old receipt, which Snakemake has deleted, must not come back.
    ownership.unpublish(array_file.parent.parent, state)
    start = time.monotonic()
    begun = read_json(array_receipt)
    volume = open_source(source, **layout)
    fingerprints.check(begun["source"], volume.files, volume.files_of(region))
    receipts.delete_block(array_file, region)
    summary = voxels.write_base(
        volume,
        open_array(array_file.parent, driver=driver, threads=threads),
        region=region,
        slab=slab,
        threads=threads,
    )
    fingerprints.check(begun["source"], volume.files, volume.files_of(region))
    receipts.write_block_receipt(
        receipt,
        array_file,
        region,
        summary,
        nonce=begun["nonce"],
        driver=driver,
        seconds=time.monotonic() - start,
        threads=threads,
    )
