"""Create one level of an image, empty."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurozarr.durable import sync
from neurozarr.run import ownership, receipts
from neurozarr.run.fingerprints import fingerprints
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.documents import Document, write_json

logger = logging.getLogger(__name__)


def create_array(
    paths: StorePaths,
    number: int,
    *,
    document: Document,
    recipe: dict[str, Any],
    source: Sequence[str | Path] = (),
) -> None:
    """Create one level, empty, after unpublishing the image and deleting what the level held.

    The planned document is written as it is, without `ZarrGroup.create_array`, which would need the
    metadata of the group: these are the last file of an image to appear.

    Parameters
    ----------
    paths
        Where the store lies.
    number
        Of the level.
    document
        Zarr metadata of its array.
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
    level, node = paths.level(number), str(number)
    known = fingerprints([Path(file) for file in source])
    if level.state.exists():
        sync(level.state)  # Its old receipt, which Snakemake has deleted, must not come back.
    ownership.unpublish(paths)
    ownership.remove(paths, node)
    ownership.record(paths, node, [document], only=True)
    write_json(level.document, document)
    receipts.write_array_receipt(level.array_receipt, document, known, recipe)
    logger.info("%s: created, shape %s", level.folder, document["shape"])
