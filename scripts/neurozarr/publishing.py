"""Taking a published image back, before anything in its store changes."""

from __future__ import annotations

import shutil
from pathlib import Path

from neurozarr.documents import GROUP_FILES, HEADER


def unpublish(store: Path) -> None:
    """Take the metadata of the group and the NIfTI header away: an image is no longer there."""
    for names in GROUP_FILES.values():
        for name in names:
            (store / name).unlink(missing_ok=True)
    shutil.rmtree(store / HEADER, ignore_errors=True)
