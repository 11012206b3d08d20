"""Multi-resolution OME-Zarr and NIfTI-Zarr stores of neuroimaging volumes.

Convert a volume, and look at its levels:

>>> import neurozarr
>>> store = neurozarr.convert("scan.nii.gz", "converted", zarr={"chunk": 16})
>>> image = neurozarr.open_group(store, "r")
>>> [image.array(level).shape for level in image.keys() if level.isdigit()]
[(25, 41, 33), (12, 20, 16), (6, 10, 8)]

Words
-----
These have one meaning each, in names and in texts:

store
    A Zarr group with the levels of one image, its OME metadata and its NIfTI header.
sample
    One image to convert, and how.
level
    One resolution of an image, an array. Level 0 has the voxels of the source; each level is made
    from its parent level, the next finer one. The last is the coarsest level.
chunk
    What is compressed together in an array.
shard
    A file of several chunks.
write chunk
    What is one file: a shard, or a chunk where there are no shards.
native chunk
    What is decoded together in the files of a source: a plane, a strip, a tile, a chunk.
region
    Any box of voxels of an array, as a slice along each axis.
block
    The region of a level that one job writes: whole write chunks.
slab
    The region of a source that is read at once, where that is more than a thread writes at once.
sub-block
    The region that a thread writes at once: one or several write chunks.
receipt
    A JSON file beside the store that records what a step has done.
recipe
    What decides the voxels of a level, apart from its parent level or the source's files.
claim
    A JSON file beside the store that says which run works on it.
record
    A JSON file in the output directory that says what a run has to do, for those who look on.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neurozarr.conversion import convert
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
    "convert",
    "from_config",
    "open_array",
    "open_group",
]

#: Modules of the names above, imported when a name is first used: a job without voxels needs none.
_MODULES = {
    "zarr.abc": ("ZarrArray", "ZarrArrayConfig", "ZarrGroup", "ZarrNode"),
    "zarr.config": ("ZarrConfig",),
    "conversion": ("convert",),
    "drivers": ("from_config", "open_array", "open_group"),
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("neurozarr.version").VERSION
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"neurozarr.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
