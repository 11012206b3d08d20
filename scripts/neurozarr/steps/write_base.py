"""Write a block of level 0."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from neurozarr import voxels
from neurozarr.drivers import open_array
from neurozarr.durable import sync
from neurozarr.regions import Region
from neurozarr.run import fingerprints, ownership, receipts
from neurozarr.run.paths import StorePaths
from neurozarr.sources import open_source
from neurozarr.zarr.documents import read_json


def write_base(
    paths: StorePaths,
    block: int,
    *,
    source: str,
    layout: dict[str, Any],
    region: Region,
    slab: Sequence[int] | None,
    driver: str,
    threads: int,
) -> None:
    """Copy a block of a source into level 0.

    Parameters
    ----------
    paths
        Where the store lies.
    block, region
        Number of the block, and its voxels.
    source, layout
        The volume, and what its files do not say of their array (see `neurozarr.sources.Layout`).
    slab
        Shape of what is read at once; None where each thread reads what it encodes.
    driver, threads
        Library that carries the voxels, and how many chunks it encodes at once.

    Raises
    ------
    SourceError
        The source cannot be read, or is not what it was when the array was created.
    StoreError
        Voxels or the receipt cannot be written.
    """
    level = paths.level(0)
    sync(level.state)  # Its old receipt, which Snakemake has deleted, must not come back.
    ownership.unpublish(paths)
    start = time.monotonic()
    begun = read_json(level.array_receipt)
    volume = open_source(source, **layout)
    fingerprints.check(begun["source"], volume.files, volume.files_of(region))
    receipts.delete_block(level, region)
    summary = voxels.copy_from_source(
        volume,
        open_array(level.folder, driver=driver, threads=threads),
        region=region,
        slab=slab,
        threads=threads,
    )
    fingerprints.check(begun["source"], volume.files, volume.files_of(region))
    receipts.write_block_receipt(
        level,
        block,
        region,
        summary,
        nonce=begun["nonce"],
        driver=driver,
        seconds=time.monotonic() - start,
        threads=threads,
    )
