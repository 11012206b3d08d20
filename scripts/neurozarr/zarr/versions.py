"""Versions of OME-Zarr, and the version of Zarr that each requires."""

from __future__ import annotations

from typing import Literal

#: Versions of OME-Zarr that can be written, with the version of Zarr that each requires.
VERSIONS: dict[str, Literal[2, 3]] = {"0.4": 2, "0.5": 3, "0.6": 3}


def zarr_version(ome_version: str) -> Literal[2, 3]:
    """Version of Zarr that a version of OME-Zarr requires."""
    if ome_version not in VERSIONS:
        raise ValueError(f"ome_version is {ome_version!r}; allowed: {', '.join(VERSIONS)}")
    return VERSIONS[ome_version]


def version_for(zarr_version: int) -> str:
    """Default version of OME-Zarr for a version of Zarr."""
    return next(ome for ome, zarr in VERSIONS.items() if zarr == zarr_version)
