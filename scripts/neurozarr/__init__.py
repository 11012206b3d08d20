"""Multi-resolution OME-Zarr and NIfTI-Zarr stores of neuroimaging volumes."""

from neurozarr.abc import ZarrArray, ZarrArrayConfig, ZarrGroup, ZarrNode
from neurozarr.config import ZarrConfig
from neurozarr.drivers import from_config, open_array, open_group

__all__ = [
    "ZarrArray",
    "ZarrArrayConfig",
    "ZarrConfig",
    "ZarrGroup",
    "ZarrNode",
    "from_config",
    "open_array",
    "open_group",
]
