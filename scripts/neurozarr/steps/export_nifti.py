"""Export a level of an image as a NIfTI file."""

from __future__ import annotations

import logging
import math
import os

from neurozarr.drivers import open_array, open_group
from neurozarr.durable import sync
from neurozarr.errors import StoreError
from neurozarr.nifti.fit import COLOURS, file_header, level_header
from neurozarr.ome import reading
from neurozarr.run import ownership
from neurozarr.run.paths import StorePaths
from neurozarr.voxels import export
from neurozarr.zarr.documents import HEADER

logger = logging.getLogger(__name__)


def export_nifti(paths: StorePaths, level: int, *, driver: str, threads: int) -> None:
    """Export a level as a NIfTI file, using only the voxels and metadata of the store.

    Parameters
    ----------
    paths
        Paths of the store, a .nii.zarr.
    level
        Number of the level.
    driver
        Library that reads the voxels.
    threads
        Number of chunks that are decoded at once.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    path = paths.export(level)
    group = open_group(paths.store, "r", driver=driver)
    image = reading.image_of(group.attrs)
    axes = reading.grid_of(image, level).axes or ""
    placed = reading.placement(image, level, axes)
    if placed is None:
        raise StoreError(
            f"{paths.store}: no position of level {level} in its metadata; convert the image again"
        )
    scale, shift = placed
    array = open_array(paths.level(level).folder, "r", driver=driver, threads=threads)
    stored = group.array(HEADER)
    changed = stored.attrs.get(COLOURS) or {}
    header = level_header(
        stored[...].tobytes(),
        axes=axes,
        shape=array.shape,
        scale=scale,
        shift=shift,
        changed=changed,
    )
    temporary = path.with_name(f"{path.name}.tmp")
    whole = file_header(header)
    export.write_nifti(array, axes, whole, temporary, colours="datatype" in changed)
    ownership.record_file(paths.export_receipt(level), temporary)
    os.replace(temporary, path)
    sync(path.parent)
    size = math.prod(array.shape) * array.dtype.itemsize
    logger.info("%s: level %d, %.1f MB", path, level, size / 1e6)
