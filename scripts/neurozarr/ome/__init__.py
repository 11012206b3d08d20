"""The metadata of OME-Zarr: how they are written, and how they are read."""

from neurozarr.ome.writing import INTRINSIC, attributes, channels, with_version, with_windows

__all__ = ["INTRINSIC", "attributes", "channels", "with_version", "with_windows"]
