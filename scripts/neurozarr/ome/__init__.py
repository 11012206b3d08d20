"""Writing and reading OME-Zarr metadata."""

from neurozarr.ome.writing import INTRINSIC, attributes, channels, with_version, with_windows

__all__ = ["INTRINSIC", "attributes", "channels", "with_version", "with_windows"]
