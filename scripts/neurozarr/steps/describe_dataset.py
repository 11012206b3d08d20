"""Write the description of a BIDS derivative."""

from __future__ import annotations

from collections.abc import Sequence

from neurozarr.bids import description
from neurozarr.run import sidecars
from neurozarr.run.paths import DatasetPaths


def describe_dataset(paths: DatasetPaths, *, roots: Sequence[str]) -> None:
    """Write the files at the top of a derivative, except those that a user has edited.

    Parameters
    ----------
    paths
        Paths of the files.
    roots
        Directories of the data sets whose images are converted.

    Raises
    ------
    OwnershipError
        One is in the place of a file that others wrote.
    """
    sidecars.write(paths, description.texts(roots, paths.top))
