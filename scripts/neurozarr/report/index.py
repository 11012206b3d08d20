"""The list of all pages in an output directory, and of the samples that failed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping

from neurozarr.report import page_records
from neurozarr.report.templates import environment, text_of
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.documents import Document, read_record


def write_index(
    paths: StorePaths, failed: Mapping[str, Document], *, samples: Collection[str]
) -> None:
    """Write the list of all pages.

    Parameters
    ----------
    paths
        Paths of any store in the output directory.
    failed
        Samples of this run that failed: the ``reason`` and the ``log`` of each.
    samples
        Names of all samples of this run. Of others, failures of earlier runs stay in the list,
        until they have a page.

    Raises
    ------
    OwnershipError
        Another program wrote a file in its place.
    StoreError
        It cannot be written.
    """
    rows = page_records.rows_of(paths)
    before = (read_record(paths.index_receipt) or {}).get("failed", {})
    kept = {name: about for name, about in before.items() if name not in {*samples, *rows}}
    known = kept | dict(failed)
    content = render(rows, known).encode(errors="backslashreplace")
    about = {"made_from": page_records.index_made_from(rows), "failed": known}
    page_records.write(paths.index_receipt, {paths.index: content}, about)


def render(rows: Mapping[str, Document], failed: Mapping[str, Document]) -> str:
    """The list as HTML, in the order of the names.

    Parameters
    ----------
    rows
        What is known of each sample that has a page.
    failed
        The reason and the log of each sample that failed; it may have the page of an earlier run.
    """
    script = text_of("index.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = sorted({*rows, *failed})
    return (
        environment()
        .get_template("index.html")
        .render(
            samples=[(name, rows.get(name), failed.get(name)) for name in names],
            failed=len(failed),
            script=script,
            script_hash=f"sha256-{digest}",
        )
    )
