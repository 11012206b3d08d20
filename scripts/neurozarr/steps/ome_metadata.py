"""Check every level of an image, and publish it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from neurozarr import ome, receipts
from neurozarr.documents import Document, group_documents, read_json, write_json
from neurozarr.drivers import open_array
from neurozarr.publishing import unpublish
from neurozarr.windows import windows

logger = logging.getLogger(__name__)


def publish_image(
    store: Path,
    attributes: Document,
    *,
    levels: Sequence[tuple[Path, Path, Sequence[Path]]],
    channels: Sequence[Document],
    driver: str,
) -> None:
    """Check every level, delete what is no part of the image, and publish it.

    Parameters
    ----------
    store
        Directory of the group.
    attributes
        Attributes of the group: the OME-Zarr metadata.
    levels
        For each level, finest first, its array file, its receipt and those of its blocks.
    channels
        Name and colour of each channel; their windows are added.
    driver
        Library that reads the last level for that.

    Raises
    ------
    ReceiptError
        A level is not whole. Nothing is published; the message lists what is missing.
    """
    unpublish(store)
    wrong = [damage for level in levels for damage in receipts.check(*level)]
    receipts.refuse("the image cannot be published", wrong)
    for array_file, *_ in levels:
        receipts.delete_litter(array_file)
    kept = {array_file.parent.name for array_file, *_ in levels}
    for surplus in store.iterdir():
        if surplus.name.isdigit() and surplus.name not in kept:
            shutil.rmtree(surplus)
    zarr_version = read_json(levels[0][0])["zarr_format"]
    if channels:
        coarsest = open_array(levels[-1][0].parent, "r", driver=driver)
        axis = coarsest.ndim - 4 if len(channels) > 1 else None
        found = windows(coarsest, axis, *receipts.extremes(levels[0][2]))
        attributes = ome.with_windows(attributes, channels, found)
    for name, document in group_documents(zarr_version, attributes).items():
        write_json(store / name, document)
    logger.info("%s: published, %d levels", store, len(levels))
