"""Write a block of level 0."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from neurozarr import fingerprints, voxels
from neurozarr.drivers import open_array
from neurozarr.durable import sync
from neurozarr.regions import Region
from neurozarr.run import claims, publishing, receipts
from neurozarr.run.partial import Partial
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
    bundle: Partial | None = None,
) -> None:
    """Copy a block from the source into level 0.

    Parameters
    ----------
    paths
        Paths of the store.
    block
        Number of the block.
    source
        Path of the source.
    layout
        Properties of the source's array given by the user (see `neurozarr.sources.Layout`).
    region
        Region of the block.
    slab
        Shape of the slabs that are read from the source; None if each thread reads for itself.
    driver
        Library that writes the voxels.
    threads
        Number of sub-blocks that are written at once.
    bundle
        Counts what is written too, if the block is part of a bundle.

    Raises
    ------
    SourceError
        The source cannot be read, or has changed since the array was created.
    StoreError
        Voxels or the receipt cannot be written.
    OwnershipError
        The workflow did not write a file that would be deleted.
    ClaimError
        Another run has claimed the sample meanwhile.
    """
    level = paths.level(0)
    sync(level.state)  # A power cut must not bring back the receipt that Snakemake deleted.
    publishing.unpublish(paths)
    start = time.monotonic()
    array_receipt = read_json(level.array_receipt)
    volume = open_source(source, **layout)
    fingerprints.check(array_receipt["source"], volume.files, volume.files_of(region))
    receipts.delete_block(level, region)
    # If its run was killed, this job may go on while another run makes the level again.
    check = partial(claims.check, paths.state)
    with Partial(level.partial(block), bundle, check=check) as counted:
        summary = voxels.copy_from_source(
            volume,
            open_array(level.folder, driver=driver, threads=threads),
            region=region,
            slab=slab,
            threads=threads,
            told=counted.add,
        )
        fingerprints.check(array_receipt["source"], volume.files, volume.files_of(region))
        check()
        receipts.write_block_receipt(
            level,
            block,
            region,
            summary,
            nonce=array_receipt["nonce"],
            driver=driver,
            seconds=time.monotonic() - start,
            threads=threads,
        )
