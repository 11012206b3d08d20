"""Copying voxels: from a source to level 0, from level to level, and back to NIfTI."""

from neurozarr.voxels.copy import COPY_VERSION, copy_from_source, downsample_level

__all__ = ["COPY_VERSION", "copy_from_source", "downsample_level"]
