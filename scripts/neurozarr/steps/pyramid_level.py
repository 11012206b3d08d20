"""Write blocks of levels from their parent levels."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from neurozarr import voxels
from neurozarr.drivers import open_array
from neurozarr.durable import sync
from neurozarr.errors import NeurozarrError, SourceError, reason
from neurozarr.fingerprints import Fingerprint, of_chunks
from neurozarr.regions import Region, parent_region
from neurozarr.run import claims, publishing, receipts
from neurozarr.run.partial import Partial
from neurozarr.run.paths import LevelPaths, StorePaths
from neurozarr.steps.create_array import create_array
from neurozarr.voxels.kernels import Mode
from neurozarr.zarr.chunks import chunk_keys
from neurozarr.zarr.documents import read_json


def write_levels(paths: StorePaths, levels: Sequence[dict[str, Any]], *, threads: int) -> None:
    """Write a block of each of some levels, one after the other.

    Parameters
    ----------
    paths
        Paths of the store.
    levels
        For each level: its ``number``, the number of the ``block``, arguments of `create_array`
        (``array``), None if the array exists, and of `write_level` (``voxels``).
    threads
        Number of sub-blocks that are written at once.

    Raises
    ------
    ReceiptError, StoreError, OwnershipError
        As `write_level`.
    """
    for level in levels:
        if level["array"] is not None:
            create_array(paths, level["number"], **level["array"])
        write_level(paths, level["number"], level["block"], **level["voxels"], threads=threads)


def write_level(
    paths: StorePaths,
    number: int,
    block: int,
    *,
    region: Region,
    parent_blocks: Sequence[int],
    factors: Sequence[int],
    mode: Mode,
    driver: str,
    threads: int,
    bundle: Partial | None = None,
) -> None:
    """Write a block of a level from the voxels of its parent level.

    Parameters
    ----------
    paths
        Paths of the store.
    number
        Number of the level, 1 or more.
    block
        Number of the block.
    region
        Region of the block.
    parent_blocks
        Numbers of the blocks of the parent level from which the block is made.
    factors, mode
        Downsampling factor of each axis, and downsampling mode.
    driver
        Library that reads and writes the voxels.
    threads
        Number of sub-blocks that are written at once.
    bundle
        Counts what is written too, if the block is part of a bundle.

    Raises
    ------
    ReceiptError
        Files of the parent level are missing.
    SourceError
        The parent level is one of others, and cannot be read or has changed meanwhile.
    StoreError
        Voxels or the receipt cannot be written.
    OwnershipError
        The workflow did not write a file that would be deleted.
    ClaimError
        Another run has claimed the sample meanwhile.
    """
    parent, level = paths.level(number - 1), paths.level(number)
    sync(level.state)  # A power cut must not bring back the receipt that Snakemake deleted.
    publishing.unpublish(paths)
    start = time.monotonic()
    nonce = read_json(level.array_receipt)["nonce"]
    made_from = None
    if parent.given:
        made_from = _fingerprint(parent, region, factors)
    else:
        # A missing chunk would be read as the fill value.
        missing = receipts.check_blocks(parent, parent_blocks)
        receipts.refuse("the block cannot be made", missing)
    receipts.delete_block(level, region)
    # If its run was killed, this job may go on while another run makes the level again.
    check = partial(claims.check, paths.state)
    with Partial(level.partial(block), bundle, check=check) as counted:
        with _read_errors(parent):
            summary = voxels.downsample_level(
                open_array(parent.folder, "r", driver=driver, threads=threads),
                open_array(level.folder, driver=driver, threads=threads),
                factors=factors,
                region=region,
                mode=mode,
                threads=threads,
                told=counted.add,
            )
        if parent.given and _fingerprint(parent, region, factors) != made_from:
            raise SourceError(
                f"{parent.folder} was changed while a level was made from it: run again when "
                "nothing writes it any more"
            )
        check()
        receipts.write_block_receipt(
            level,
            block,
            region,
            summary,
            nonce=nonce,
            driver=driver,
            seconds=time.monotonic() - start,
            threads=threads,
            parent=made_from,
        )


def _fingerprint(parent: LevelPaths, region: Region, factors: Sequence[int]) -> Fingerprint:
    """Fingerprint of the files of a level of others from which a region is made."""
    document = read_json(parent.document)
    above = parent_region(region, factors, document["shape"])
    return of_chunks(parent.folder, chunk_keys(document, above))


@contextmanager
def _read_errors(parent: LevelPaths) -> Iterator[None]:
    """Turn errors in reading a level of others into SourceErrors."""
    try:
        yield
    except NeurozarrError:
        raise
    except (OSError, ValueError) as error:
        if not parent.given:
            raise
        raise SourceError(
            f"{parent.folder}: its voxels cannot be read ({reason(error)})"
        ) from error
