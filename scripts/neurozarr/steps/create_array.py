"""Create one level of an image, empty."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurozarr.durable import sync
from neurozarr.run import ownership, receipts
from neurozarr.run.fingerprints import fingerprints
from neurozarr.zarr.documents import FILES, Document, write_json

logger = logging.getLogger(__name__)


def create_array(
    array: Path,
    document: Document,
    *,
    state: Path,
    receipt: Path,
    recipe: dict[str, Any],
    source: Sequence[Path] = (),
) -> None:
    """Create one level, empty, after unpublishing the image and deleting what the level held.

    Parameters
    ----------
    array
        Directory of the level, in the store.
    document
        Its Zarr metadata.
    state
        Directory of the receipts of the store.
    receipt
        File to write last.
    recipe
        What the array is made from, beside its document and the source, for the receipt.
    source
        Files that level 0 will be copied from: the receipt says what they are now.

    Raises
    ------
    SourceError
        One of them cannot be read; nothing is changed.
    OwnershipError
        A file that would be deleted is not this workflow's; nothing is changed.
    """
    known = fingerprints(source)
    store, level = array.parent, array.name
    if receipt.parent.exists():
        sync(receipt.parent)  # Its old receipt, which Snakemake has deleted, must not come back.
    ownership.unpublish(store, state)
    ownership.remove(store, state, level)
    ownership.record(state, level, [document], only=True)
    write_json(array / FILES[document["zarr_format"]][0], document)
    receipts.write_array_receipt(receipt, document, known, recipe)
    logger.info("%s: created, shape %s", array, document["shape"])
