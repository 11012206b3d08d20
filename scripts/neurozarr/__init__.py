"""Multi-resolution OME-Zarr and NIfTI-Zarr stores of neuroimaging volumes."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurozarr.drivers import from_config, open_array, open_group
    from neurozarr.zarr.abc import ZarrArray, ZarrArrayConfig, ZarrGroup, ZarrNode
    from neurozarr.zarr.config import ZarrConfig

__version__: str

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

#: Modules of the names above, imported when a name is first used: a job without voxels needs none.
_MODULES = {
    "zarr.abc": ("ZarrArray", "ZarrArrayConfig", "ZarrGroup", "ZarrNode"),
    "zarr.config": ("ZarrConfig",),
    "drivers": ("from_config", "open_array", "open_group"),
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("neurozarr.version").VERSION
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"neurozarr.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
