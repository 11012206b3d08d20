"""The steps of a conversion: what each job does, between the files that it takes and leaves.

An image is published last, and unpublished before anything below it changes: whoever finds the
metadata of its group finds all of its levels, whole.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurozarr import metadata, nifti, pyramid, receipts, voxels
from neurozarr.drivers import open_array, open_group
from neurozarr.local import read_json, write_json
from neurozarr.metadata import Document
from neurozarr.sources import open_source

logger = logging.getLogger(__name__)

HEADER = "nifti"


def unpublish(store: Path) -> None:
    """Take the metadata of the group and the NIfTI header away: an image is no longer there."""
    for names in metadata.GROUP_FILES.values():
        for name in names:
            (store / name).unlink(missing_ok=True)
    shutil.rmtree(store / HEADER, ignore_errors=True)


def create_array(array: Path, document: Document, *, receipt: Path) -> None:
    """Create one level, empty, after unpublishing the image and deleting what the level held.

    Parameters
    ----------
    array
        Directory of the level, in the store.
    document
        Its Zarr metadata.
    receipt
        File to write last.
    """
    unpublish(array.parent)
    if array.exists():
        shutil.rmtree(array)
    write_json(array / metadata.FILES[document["zarr_format"]][0], document)
    receipts.write_array_receipt(receipt, array)
    logger.info("%s: created, shape %s", array, document["shape"])


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
    start = _begin(array)
    voxels.write_base(
        open_source(source, axes=axes), open_array(array, driver=driver), threads=threads
    )
    _end(array, array_receipt, receipt, start)


def write_level(
    parent: Path,
    array: Path,
    *,
    mode: pyramid.Mode,
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
        As for `write_base`.
    """
    start = _begin(array)
    voxels.write_level(
        open_array(parent, "r", driver=driver),
        open_array(array, driver=driver),
        mode=mode,
        threads=threads,
    )
    _end(array, array_receipt, receipt, start)


def publish_image(
    store: Path,
    attributes: Document,
    *,
    levels: Sequence[tuple[Path, Path, Path]],
) -> None:
    """Check every level, delete what is no part of the image, and publish it.

    Parameters
    ----------
    store
        Directory of the group.
    attributes
        Attributes of the group: the OME-Zarr metadata.
    levels
        For each level, finest first, its array file, its receipt and that of its voxels.

    Raises
    ------
    ReceiptError
        A level is not whole. Nothing is published; the message lists what is missing.
    """
    unpublish(store)
    wrong, kept = [], set()
    for array_file, array_receipt, voxels_receipt in levels:
        array = array_file.parent
        kept.add(array.name)
        wrong += receipts.check(array, array_receipt, voxels_receipt, _count_files(array_file))
    if wrong:
        raise receipts.ReceiptError(
            "the image cannot be published: "
            + "; ".join(wrong)
            + ". Delete these levels and run again: they are rebuilt"
        )
    for surplus in store.iterdir():
        if surplus.name.isdigit() and surplus.name not in kept:
            shutil.rmtree(surplus)
    zarr_version = read_json(levels[0][0])["zarr_format"]
    for name, document in metadata.group_documents(zarr_version, attributes).items():
        write_json(store / name, document)
    logger.info("%s: published, %d levels", store, len(levels))


def publish_header(
    source: Path,
    store: Path,
    *,
    overrides: dict[str, Any],
    driver: str,
    staging: Path,
) -> None:
    """Write the NIfTI header of an image, whole, into its store.

    Parameters
    ----------
    source, overrides
        The volume, and the axes, voxel size and unit that are not what its header says (None where
        they are).
    store
        Directory of the group.
    driver
        Library that writes it.
    staging
        Directory on the same file system, to make it in.
    """
    volume = open_source(source, **overrides)
    header = nifti.fit_header(
        volume.nifti_header,
        axes=volume.axes,
        shape=volume.shape,
        voxel_size=volume.voxel_size if overrides["voxel_size"] else None,
        space_unit=volume.space_unit if overrides["unit"] else None,
    )
    shutil.rmtree(staging, ignore_errors=True)
    zarr_version = open_group(store, "r").zarr_version
    open_group(staging, "w", zarr_version, driver).write_nifti_header(header)
    shutil.rmtree(store / HEADER, ignore_errors=True)
    (staging / HEADER).rename(store / HEADER)
    shutil.rmtree(staging)
    logger.info("%s: NIfTI header of %d bytes", store, len(header))


def _begin(array: Path) -> float:
    """Unpublish the image, and delete the voxels that an earlier run left in the level."""
    unpublish(array.parent)
    documents = {name for names in metadata.FILES.values() for name in names}
    for child in array.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        elif child.name not in documents:
            child.unlink()
    return time.monotonic()


def _end(array: Path, array_receipt: Path, receipt: Path, start: float) -> None:
    seconds = time.monotonic() - start
    receipts.write_voxels_receipt(receipt, array, array_receipt, seconds)
    written = read_json(receipt)
    logger.info(
        "%s: %d files, %.1f MB in %.2f s", array, written["files"], written["bytes"] / 1e6, seconds
    )


def _count_files(array_file: Path) -> int:
    """How many chunk files (shard files where there are shards) an array has when it is whole."""
    document = read_json(array_file)
    unit = document.get("chunks") or document["chunk_grid"]["configuration"]["chunk_shape"]
    return math.prod(
        -(-length // size) for length, size in zip(document["shape"], unit, strict=True)
    )
