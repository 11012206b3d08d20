"""Writing and reading OME-Zarr metadata."""

from neurozarr.ome.labels import with_labels
from neurozarr.ome.writing import attributes, channels, with_version, with_windows

__all__ = ["attributes", "channels", "with_labels", "with_version", "with_windows"]
