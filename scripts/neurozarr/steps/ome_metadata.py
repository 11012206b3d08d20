"""Check every level of an image, and make its metadata."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from neurozarr import ome
from neurozarr.drivers import open_array
from neurozarr.run import ownership, receipts
from neurozarr.voxels.windows import windows
from neurozarr.zarr.documents import Document, group_documents, read_json, write_json

logger = logging.getLogger(__name__)


def make_metadata(
    store: Path,
    attributes: Document,
    *,
    state: Path,
    levels: Sequence[tuple[Path, Path, Sequence[Path]]],
    channels: Sequence[Document],
    driver: str,
    receipt: Path,
    publish: bool,
) -> None:
    """Check every level, delete what is no part of the image, and make its metadata.

    Parameters
    ----------
    store
        Directory of the group.
    attributes
        Attributes of the group: the OME-Zarr metadata.
    state
        Directory of the receipts of the store.
    levels
        For each level, finest first, its array file, its receipt and those of its blocks.
    channels
        Name and colour of each channel; their windows are added.
    driver
        Library that reads the last level for that.
    receipt
        File to write: the documents of the group, and what they are made from.
    publish
        Whether to publish the image; else what writes its NIfTI header does.

    Raises
    ------
    ReceiptError
        A level is not whole. Nothing is published; the message lists what is missing.
    OwnershipError
        A file that would be deleted is not this workflow's.
    """
    ownership.unpublish(store, state)
    wrong = [damage for level in levels for damage in receipts.check(*level)]
    receipts.refuse("the image cannot be published", wrong)
    for array_file, *_ in levels:
        ownership.remove_unfinished(store, state, array_file.parent.name)
    kept = {array_file.parent.name for array_file, *_ in levels}
    for surplus in store.iterdir():
        if surplus.name.isdigit() and surplus.name not in kept:
            receipts.delete(state / surplus.name)
            ownership.remove(store, state, surplus.name)
    zarr_version = read_json(levels[0][0])["zarr_format"]
    made_from = {"attributes": attributes, "channels": list(channels)}
    attributes = ome.with_version(attributes, [read_json(level[1])["version"] for level in levels])
    if channels:
        coarsest = open_array(levels[-1][0].parent, "r", driver=driver)
        axis = coarsest.ndim - 4 if len(channels) > 1 else None
        found = windows(coarsest, axis, *receipts.extremes(levels[0][2]))
        attributes = ome.with_windows(attributes, channels, found)
    documents = group_documents(zarr_version, attributes)
    write_json(receipt, made_from | {"documents": documents})
    logger.info("%s: checked, %d levels", store, len(levels))
    if publish:
        publish_documents(store, documents, state=state)


def publish_documents(store: Path, documents: dict[str, Document], *, state: Path) -> None:
    """Publish an image: write the documents of its group, the last files that it gets.

    Parameters
    ----------
    store
        Directory of the group.
    documents
        Names and contents, the one that makes it a group last.
    state
        Directory of the receipts of the store.
    """
    ownership.record(state, "", documents.values(), only=True)
    for name, document in documents.items():
        write_json(store / name, document)
    logger.info("%s: published", store)
