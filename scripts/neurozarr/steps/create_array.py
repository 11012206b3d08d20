"""Create one level of an image, empty."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from neurozarr import receipts
from neurozarr.documents import FILES, Document, write_json
from neurozarr.fingerprints import fingerprints
from neurozarr.publishing import unpublish

logger = logging.getLogger(__name__)


def create_array(
    array: Path, document: Document, *, receipt: Path, source: Sequence[Path] = ()
) -> None:
    """Create one level, empty, after unpublishing the image and deleting what the level held.

    Parameters
    ----------
    array
        Directory of the level, in the store.
    document
        Its Zarr metadata.
    receipt
        File to write last.
    source
        Files that level 0 will be copied from: the receipt says what they are now.

    Raises
    ------
    SourceError
        One of them cannot be read; nothing is changed.
    """
    known = fingerprints(source)
    unpublish(array.parent)
    if array.exists():
        shutil.rmtree(array)
    write_json(array / FILES[document["zarr_format"]][0], document)
    receipts.write_array_receipt(receipt, known)
    logger.info("%s: created, shape %s", array, document["shape"])
