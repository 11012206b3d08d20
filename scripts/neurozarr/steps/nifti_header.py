"""Write the NIfTI header of an image and publish the image."""

from __future__ import annotations

import logging
import shutil
from typing import Any

import xxhash

from neurozarr import fingerprints
from neurozarr.drivers import open_group
from neurozarr.durable import sync_files
from neurozarr.errors import StoreError
from neurozarr.nifti.fit import COLOURS, changed_fields, stored_dtype
from neurozarr.run import ownership, publishing, receipts
from neurozarr.run.paths import StorePaths
from neurozarr.samples import headers
from neurozarr.sources import open_source
from neurozarr.verify.contents import header_problem
from neurozarr.zarr.documents import HEADER, read_json

logger = logging.getLogger(__name__)


def publish_header(
    paths: StorePaths,
    *,
    source: str,
    overrides: dict[str, Any],
    options: dict[str, Any],
    driver: str,
) -> None:
    """Write the NIfTI header into the store, and publish the image.

    Parameters
    ----------
    paths
        Paths of the store.
    source
        Path of the source.
    overrides
        Other arguments of `neurozarr.sources.open_source`.
    options
        Options of `neurozarr.samples.headers.header_of`: template, orientation and center.
    driver
        Library that writes the header.

    Raises
    ------
    SourceError
        The source cannot be read, or has changed since its voxels were copied.
    StoreError
        The written header cannot be read back, or does not match the array of level 0.
    OwnershipError
        The workflow did not write a file that would be replaced.
    """
    base = paths.level(0)
    template = options["template"]
    volume = open_source(
        source,
        **overrides,
        template=None if template is None else headers.read_template(template),
    )
    known = read_json(base.array_receipt)["source"]
    fingerprints.check(known, volume.files, volume.header_files)
    header = headers.header_of(
        volume,
        dtype=stored_dtype(volume.dtype),
        given=overrides,
        **options,
    )
    # The header is written and checked outside the store, then moved into it.
    staging = paths.state / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    group = open_group(staging, "w", paths.zarr_version, driver)
    group.write_nifti_header(header)
    if changed := changed_fields(volume.nifti_header or header, header):
        group.array(HEADER).attrs[COLOURS] = changed
    checksum = xxhash.xxh3_64_intdigest(header)
    problem = header_problem(
        staging / HEADER, base.folder, checksum=checksum, axes=volume.axes, driver=driver
    )
    if problem:
        raise StoreError(f"{paths.store}: {problem}")
    publishing.unpublish(paths)
    written = [read_json(staging / HEADER / file.name) for file in paths.header]
    ownership.record(paths, HEADER, written, only=True)
    folder = paths.store / HEADER
    shutil.move(staging / HEADER, folder)
    sync_files((path for path in folder.rglob("*") if path.is_file()), paths.store)
    shutil.rmtree(staging)
    receipts.write_header_receipt(paths.header_receipt, folder, checksum)
    publishing.publish(paths, read_json(paths.ome_receipt)["documents"])
    logger.info("%s: NIfTI header of %d bytes", paths.store, len(header))
