"""Make the page of a store."""

from __future__ import annotations

import logging
from typing import Any

from neurozarr.report import page_records
from neurozarr.report.page import make_page
from neurozarr.run.locks import locked
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.documents import read_record

logger = logging.getLogger(__name__)


def report_sample(paths: StorePaths, *, with_image: bool = True, **given: Any) -> None:
    """Make the page of a published store, and its thumbnail.

    If it is a label, the page of its image, which shows it, is made again as well, if there is one.

    Parameters
    ----------
    paths
        Paths of the store.
    with_image
        False to leave the page of the image as it is.
    **given
        Arguments of `neurozarr.report.page.make_page`.

    Raises
    ------
    DamageError
        A file of the store is missing.
    OwnershipError
        Another program wrote a file that would be replaced.
    StoreError
        A file cannot be written.
    """
    # Jobs of an image and of its labels may make the page of the image at the same time.
    with locked(paths.page_receipt.with_name(f"{paths.page_receipt.name}.lock")):
        made_from = page_records.made_from(paths)
        page = make_page(paths, **given)
        page_records.write(
            paths.page_receipt,
            # What cannot be written as UTF-8 are bytes in the name of a file that are no text.
            {
                paths.page: page.html.encode(errors="backslashreplace"),
                paths.thumbnail: page.thumbnail,
            },
            {"made_from": made_from, "row": page.row, "given": given},
        )
    logger.info("%s: %.1f MB", paths.page, len(page.html) / 1e6)
    image = paths.image
    if (
        paths.label
        and not paths.place
        and with_image
        and all(file.exists() for file in image.group)
    ):
        known = read_record(image.page_receipt) or {}
        if "given" in known and known.get("made_from") != page_records.made_from(image):
            report_sample(image, **known["given"])
