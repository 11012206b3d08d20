"""Write the NIfTI header of an image."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from neurozarr.drivers import open_group
from neurozarr.publishing import HEADER
from neurozarr.sources import header_of, open_source

logger = logging.getLogger(__name__)


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
    header = header_of(open_source(source, **overrides), **overrides)
    shutil.rmtree(staging, ignore_errors=True)
    zarr_version = open_group(store, "r").zarr_version
    open_group(staging, "w", zarr_version, driver).write_nifti_header(header)
    shutil.rmtree(store / HEADER, ignore_errors=True)
    (staging / HEADER).rename(store / HEADER)
    shutil.rmtree(staging)
    logger.info("%s: NIfTI header of %d bytes", store, len(header))
