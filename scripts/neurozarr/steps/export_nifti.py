"""Write a level of an image as a NIfTI file."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from neurozarr import export, headers, ome_reading
from neurozarr.documents import HEADER
from neurozarr.drivers import open_array, open_group
from neurozarr.errors import StoreError

logger = logging.getLogger(__name__)


def export_nifti(
    store: Path, level: int, path: Path, *, receipt: Path, driver: str, threads: int
) -> None:
    """Write a level of an image as a NIfTI file, by what its store says.

    Parameters
    ----------
    store
        Directory of the group, a .nii.zarr.
    level
        Which level.
    path
        The .nii.gz to write.
    receipt
        Where it is recorded as this workflow's.
    driver, threads
        Library that reads the voxels, and how many chunks it decodes at once.
    """
    group = open_group(store, "r", driver=driver)
    image = ome_reading.image_of(group.attrs)
    axes = ome_reading.grid_of(image, level).axes or ""
    placed = ome_reading.placement(image, level, axes)
    if placed is None:
        raise StoreError(f"{store}: its metadata do not say where the voxels of level {level} lie")
    scale, shift = placed
    array = open_array(store / str(level), "r", driver=driver, threads=threads)
    stored = group.array(HEADER)
    colours = stored.attrs.get(headers.COLOURS)
    header = headers.level_header(
        stored[...].tobytes(),
        axes=axes,
        shape=array.shape,
        scale=scale,
        shift=shift,
        colours=colours,
    )
    whole = headers.file_header(header)
    export.write_nifti(array, axes, whole, path, receipt=receipt, colours=colours is not None)
    size = math.prod(array.shape) * array.dtype.itemsize
    logger.info("%s: level %d, %.1f MB", path, level, size / 1e6)
