"""Create the empty array of a level."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from neurozarr.fingerprints import fingerprints
from neurozarr.run import extending, ownership, publishing, receipts
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.documents import Document, read_record, write_json

logger = logging.getLogger(__name__)


def create_array(
    paths: StorePaths,
    number: int,
    *,
    document: Document,
    recipe: dict[str, Any],
    source: Sequence[str | Path] = (),
    beside: Mapping[str, Document] | None = None,
) -> None:
    """Unpublish the image, delete the old array of a level, and create an empty one.

    The planned document is written directly. `ZarrGroup.create_array` would need the metadata of
    the group, which must be written last.

    Parameters
    ----------
    paths
        Paths of the store.
    number
        Number of the level.
    document
        Zarr metadata of the array.
    recipe
        Recipe of the level, for the receipt.
    source
        Files from which level 0 will be copied; the receipt records their fingerprints.
    beside
        Documents beside that of the array, by path in the store: of a level that is added to an
        image of others.

    Raises
    ------
    SourceError
        A file of the source cannot be read; nothing is changed.
    OwnershipError
        The workflow did not write a file that would be deleted; nothing is changed.
    """
    level, node = paths.level(number), str(number)
    known = fingerprints([Path(file) for file in source])
    publishing.unpublish(paths)
    receipts.delete_dependent(paths, number)
    others = {paths.store / name: made for name, made in (beside or {}).items()}
    # Another run, with another output, may be adding levels to the same image.
    with extending.locked(paths.store) if paths.place is not None else nullcontext():
        ownership.remove(paths, node)
        ownership.record(paths, node, [document, *others.values()], only=True)
        for file, made in others.items():
            if read_record(file) != made:
                ownership.check_absent(paths, file)
                write_json(file, made)
        write_json(level.document, document)
    receipts.write_array_receipt(level.array_receipt, document, known, recipe)
    logger.info("%s: created with shape %s", level.folder, document["shape"])
