"""Voxels on their way: from a source to level 0, from level to level, and back to NIfTI."""

from neurozarr.voxels.copy import COPY_VERSION, read_base, write_base, write_level

__all__ = ["COPY_VERSION", "read_base", "write_base", "write_level"]
