"""Check the levels of an image and make its OME metadata."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from neurozarr import ome
from neurozarr.drivers import open_array
from neurozarr.run import ownership, publishing, receipts
from neurozarr.run.paths import StorePaths
from neurozarr.voxels.windows import windows
from neurozarr.zarr.documents import Document, group_documents, read_json, write_json

logger = logging.getLogger(__name__)


def make_metadata(
    paths: StorePaths,
    *,
    blocks: Sequence[int],
    attributes: Document,
    channels: Sequence[Document],
    driver: str,
) -> None:
    """Check all levels, delete levels and files that are not part of the image, make its metadata.

    The image is published at once, unless its NIfTI header must be written first. The documents of
    the group are staged in the receipt, so `ZarrGroup.write_ome_metadata`, which writes them into
    the store, is not used.

    Parameters
    ----------
    paths
        Paths of the store.
    blocks
        Number of blocks of each level, finest first.
    attributes
        OME-Zarr attributes of the group, without the channels.
    channels
        Name and colour of each channel; the display windows are added here.
    driver
        Library that reads the coarsest level, to compute the display windows.

    Raises
    ------
    ReceiptError
        A level is incomplete. Nothing is published; the message lists what is missing.
    OwnershipError
        The workflow did not write a file that would be deleted.
    """
    levels = paths.levels(blocks)
    publishing.unpublish(paths)
    wrong = [
        damage
        for level, count in zip(levels, blocks, strict=True)
        for damage in receipts.check(level, count)
    ]
    receipts.refuse("the image cannot be published", wrong)
    kept = {level.folder.name for level in levels}
    for name in sorted(kept):
        ownership.remove_unfinished(paths, name)
    for surplus in paths.store.iterdir():
        if surplus.name.isdigit() and surplus.name not in kept:
            receipts.delete(paths.level(surplus.name))
            ownership.remove(paths, surplus.name)
    made_from = {"attributes": attributes, "channels": list(channels)}
    made_by = [read_json(level.array_receipt)["version"] for level in levels]
    attributes = ome.with_version(attributes, made_by)
    if channels:
        coarsest = open_array(levels[-1].folder, "r", driver=driver)
        axis = coarsest.ndim - 4 if len(channels) > 1 else None
        found = windows(coarsest, axis, *receipts.extremes(levels[0], blocks[0]))
        attributes = ome.with_windows(attributes, channels, found)
    documents = group_documents(paths.zarr_version, attributes)
    write_json(paths.ome_receipt, made_from | {"documents": documents})
    logger.info("%s: %d levels checked", paths.store, len(levels))
    if not paths.nii:
        publishing.publish(paths, documents)
