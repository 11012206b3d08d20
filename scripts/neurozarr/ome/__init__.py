"""Writing and reading OME-Zarr metadata."""

from neurozarr.ome.labels import with_labels
from neurozarr.ome.placement import of_factors, of_shapes
from neurozarr.ome.writing import attributes, channels, per_axis, with_version, with_windows

__all__ = [
    "attributes",
    "channels",
    "of_factors",
    "of_shapes",
    "per_axis",
    "with_labels",
    "with_version",
    "with_windows",
]
