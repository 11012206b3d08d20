"""Write the BIDS metadata of an image beside its store."""

from __future__ import annotations

from collections.abc import Mapping

from neurozarr.run import sidecars
from neurozarr.run.paths import StorePaths


def write_sidecars(paths: StorePaths, *, texts: Mapping[str, str]) -> None:
    """Write the files beside a store, except those that a user has edited.

    Parameters
    ----------
    paths
        Paths of the store.
    texts
        Contents of the files, by their endings.

    Raises
    ------
    OwnershipError
        One is in the place of a file that others wrote.
    """
    sidecars.write(paths, texts)
