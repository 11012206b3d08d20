"""Check the levels that are added to an image of others, and add them to its metadata."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from neurozarr import ome
from neurozarr.drivers import open_array
from neurozarr.run import extending, ownership, publishing, receipts
from neurozarr.run.paths import StorePaths
from neurozarr.voxels.windows import windows
from neurozarr.zarr.documents import Document, read_json, write_json

logger = logging.getLogger(__name__)


def extend_metadata(
    paths: StorePaths,
    *,
    blocks: Sequence[int],
    attributes: Document,
    channels: Sequence[Document],
    axis: int | None,
    driver: str,
) -> None:
    """Check all added levels, delete those that are not planned any more, and publish the others.

    Parameters
    ----------
    paths
        Paths of the image.
    blocks
        Number of blocks of each level, finest first; 0 for those of others.
    attributes
        What is added to the metadata (see `neurozarr.ome.extending`), and ``base``, the checksum of
        the attributes that were there when this was planned.
    channels
        Name and colour of each channel; the display windows are added here. Empty if none are
        added.
    axis
        Index of the channel axis; None if there is none.
    driver
        Library that reads the coarsest level, to compute the display windows.

    Raises
    ------
    ReceiptError
        An added level is incomplete. Nothing is published; the message lists what is missing.
    OwnershipError
        The workflow did not write a file that would be deleted.
    StoreError
        The documents of the image cannot be written, or were changed by another program.
    """
    levels = [level for level in paths.levels(blocks) if not level.given]
    publishing.unpublish(paths)
    counts = blocks[len(blocks) - len(levels) :]
    wrong = [
        damage
        for level, count in zip(levels, counts, strict=True)
        for damage in receipts.check(level, count)
    ]
    receipts.refuse("the levels cannot be published", wrong)
    for level in levels:
        ownership.remove_unfinished(paths, str(level.number))
    for state in paths.state.glob("[0-9]*"):
        if int(state.name) >= len(blocks):
            receipts.delete(paths.level(state.name))
            ownership.remove(paths, state.name)
    added = {name: value for name, value in attributes.items() if name != "base"}
    if "metadata" in added["multiscale"]:
        made_by = [read_json(level.array_receipt)["version"] for level in levels]
        version = {"version": ", ".join(dict.fromkeys(made_by))}
        metadata = {"metadata": added["multiscale"]["metadata"] | version}
        added["multiscale"] = added["multiscale"] | metadata
    if channels:
        coarsest = open_array(levels[-1].folder, "r", driver=driver)
        found = windows(coarsest, axis, *receipts.extremes(levels[0], counts[0]))
        added["group"] = ome.with_windows({}, channels, found)
    extending.publish(paths, added, base=attributes["base"])
    write_json(paths.ome_receipt, {"attributes": attributes, "channels": list(channels)})
