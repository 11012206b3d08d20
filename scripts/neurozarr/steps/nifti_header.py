"""Write the NIfTI header of an image."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any, Literal

import xxhash

from neurozarr.drivers import open_group
from neurozarr.durable import sync_files
from neurozarr.errors import StoreError
from neurozarr.nifti.fit import COLOURS, colours_were, stored_dtype
from neurozarr.run import fingerprints, ownership, receipts
from neurozarr.samples import headers
from neurozarr.sources import open_source
from neurozarr.steps.ome_metadata import publish_documents
from neurozarr.verify.contents import header_problem
from neurozarr.zarr.documents import FILES, HEADER, read_json

logger = logging.getLogger(__name__)


def publish_header(
    source: str,
    store: Path,
    *,
    state: Path,
    array_receipt: Path,
    ome_receipt: Path,
    overrides: dict[str, Any],
    options: dict[str, Any],
    driver: str,
    receipt: Path,
) -> None:
    """Write the NIfTI header of an image, whole, into its store, and publish the image.

    Parameters
    ----------
    source, overrides
        The volume, and what its header does not say (see `neurozarr.sources.open_source`).
    store
        Directory of the group.
    state
        Directory of the receipts of the store.
    array_receipt
        Receipt of level 0, which says what the source was.
    ome_receipt
        Receipt of the image's metadata, with the documents of its group.
    options
        Options of `neurozarr.samples.headers.header_of`: template, orientation and center.
    driver
        Library that writes it.
    receipt
        File to write before the image is published.

    Raises
    ------
    SourceError
        The source cannot be read, or is not what it was when the voxels were copied.
    StoreError
        What was written does not say what the array of level 0 is, or cannot be read.
    """
    volume = open_source(source, **overrides)
    known = read_json(array_receipt)["source"]
    fingerprints.check(known, volume.files, volume.header_files)
    header = headers.header_of(
        volume,
        dtype=stored_dtype(volume.dtype),
        voxel_size=overrides.get("voxel_size"),
        unit=overrides.get("unit"),
        **options,
    )
    # Made beside the receipts; nothing in the store shows before the documents of its group do.
    staging = state / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    documents = read_json(ome_receipt)["documents"]
    zarr_version: Literal[2, 3] = 3 if "zarr.json" in documents else 2
    group = open_group(staging, "w", zarr_version, driver)
    group.write_nifti_header(header)
    if colours := colours_were(volume.nifti_header or header, header):
        group.array(HEADER).attrs[COLOURS] = colours
    checksum = xxhash.xxh3_64_intdigest(header)
    problem = header_problem(
        staging / HEADER, store / "0", checksum=checksum, axes=volume.axes, driver=driver
    )
    if problem:
        raise StoreError(f"{store}: {problem}")
    ownership.unpublish(store, state)
    written = [read_json(staging / HEADER / name) for name in FILES[zarr_version]]
    ownership.record(state, HEADER, written, only=True)
    shutil.move(staging / HEADER, store / HEADER)
    sync_files((path for path in (store / HEADER).rglob("*") if path.is_file()), store)
    shutil.rmtree(staging)
    receipts.write_header_receipt(receipt, store / HEADER, checksum)
    publish_documents(store, documents, state=state)
    logger.info("%s: NIfTI header of %d bytes", store, len(header))
