"""Writing and reading OME-Zarr metadata."""

from neurozarr.ome.writing import attributes, channels, with_version, with_windows

__all__ = ["attributes", "channels", "with_version", "with_windows"]
