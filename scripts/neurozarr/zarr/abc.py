"""The interface of arrays and groups in a Zarr store, whichever library carries the voxels.

The names and signatures are those of ``linc_convert.utils.io.zarr.abc``. The pyramid, the OME
metadata and the NIfTI header are written by `neurozarr.drivers.image`, once for all drivers, on top
of the other members.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

if TYPE_CHECKING:
    from nibabel import Nifti1Header

    from neurozarr.zarr.config import ZarrConfig


class ZarrArrayConfig(TypedDict, total=False):
    """How an array is stored; the fields of `ZarrConfig` that concern one array."""

    chunk: int | tuple[int, ...]
    shard: int | tuple[int, ...] | Literal["auto"] | None
    compressor: Literal["blosc", "zlib", "gzip", "zstd"] | None
    compressor_options: dict[str, Any]
    dimension_separator: Literal[".", "/"]
    order: Literal["C", "F"]
    fill_value: complex | None


class ZarrNode(ABC):
    """An array or a group, at a path on disk."""

    def __init__(self, store_path: str | PathLike[str]) -> None:
        self._store_path = store_path

    @property
    def store_path(self) -> str | PathLike[str]:
        """Directory of this node."""
        return self._store_path

    @property
    @abstractmethod
    def attrs(self) -> MutableMapping[str, Any]:
        """User attributes of this node; what is assigned is on disk at once."""

    @property
    @abstractmethod
    def zarr_version(self) -> Literal[2, 3]:
        """Version of the Zarr format."""


class ZarrArray(ZarrNode):
    """An n-dimensional array."""

    @property
    @abstractmethod
    def ndim(self) -> int:
        """Number of dimensions."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Length of every dimension, in voxels."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""

    @property
    @abstractmethod
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk: the smallest part that can be read."""

    @property
    @abstractmethod
    def shards(self) -> tuple[int, ...] | None:
        """Shape of a shard: the smallest part that can be written. None where unsharded."""

    @property
    @abstractmethod
    def dimension_names(self) -> tuple[str | None, ...] | None:
        """Names of the dimensions (Zarr v3 only; None where there are none)."""

    @dimension_names.setter
    @abstractmethod
    def dimension_names(self, names: Sequence[str]) -> None: ...

    @abstractmethod
    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a region, given by integers, slices and Ellipsis as in NumPy."""

    @abstractmethod
    def __setitem__(self, key: Any, value: ArrayLike) -> None:
        """Write a region; finished when it returns."""


class ZarrGroup(ZarrNode):
    """A group of arrays and groups.

    An image is a group whose arrays "0", "1", … are its levels, finest first, with the axes
    (t, c, z, y, x) or some of them.
    """

    @classmethod
    @abstractmethod
    def from_config(cls, zarr_config: ZarrConfig) -> Self:
        """Create, or open, the group at ``zarr_config.out``."""

    @abstractmethod
    def keys(self) -> Iterator[str]:
        """Names of the arrays and groups in this group, in natural order."""

    @abstractmethod
    def __contains__(self, key: object) -> bool:
        """Whether this group has an array or a group of that name."""

    @abstractmethod
    def __getitem__(self, key: str) -> ZarrArray | ZarrGroup:
        """Open an array or a group; KeyError where there is none."""

    @abstractmethod
    def __setitem__(self, key: str, value: ZarrNode) -> None:
        """Put a copy of an array or a group here, in place of what had that name."""

    @abstractmethod
    def __delitem__(self, key: str) -> None:
        """Delete an array or a group and all that is in it; KeyError where there is none."""

    @abstractmethod
    def create_group(self, name: str, overwrite: bool = False) -> ZarrGroup:
        """Create a group, or open it where it exists (``overwrite``: empty it first)."""

    @abstractmethod
    def create_array(
        self,
        name: str,
        shape: Sequence[int],
        dtype: DTypeLike,
        *,
        zarr_config: ZarrConfig | None = None,
        **kwargs: Unpack[ZarrArrayConfig],
    ) -> ZarrArray:
        """Create an array.

        Parameters
        ----------
        name
            Name in this group.
        shape
            Length of every dimension, in voxels.
        dtype
            Data type of the voxels.
        zarr_config
            How to store it; by default as the group was configured.
        **kwargs
            Single fields, which win over ``zarr_config``.

        Raises
        ------
        FileExistsError
            The name is taken, and the configuration does not say ``overwrite``.
        ValueError, TypeError
            A field is wrong or unknown, or does not fit shape and dtype.
        """

    @abstractmethod
    def create_array_from_base(
        self,
        name: str,
        shape: Sequence[int],
        data: ArrayLike | None = None,
        **kwargs: Unpack[ZarrArrayConfig],
    ) -> ZarrArray:
        """Create an array like array "0", in place of what had that name.

        Everything but the shape is taken from array "0": dtype, chunks, shards, codecs, order,
        fill value, chunk key encoding and dimension names.

        Parameters
        ----------
        name
            Name in this group.
        shape
            Length of every dimension, in voxels; as many as array "0" has.
        data
            Voxels to fill it with, of that shape.
        **kwargs
            Fields that differ from array "0".
        """

    def array(self, name: str) -> ZarrArray:
        """Open an array; KeyError where there is none, or where it is a group."""
        node = self[name]
        if not isinstance(node, ZarrArray):
            raise KeyError(f"{name!r} in {self.store_path} is a group, not an array")
        return node

    @abstractmethod
    def generate_pyramid(
        self,
        levels: int = -1,
        ndim: int = 3,
        mode: str | Callable[..., Any] = "mean",
        no_pyramid_axis: int | None = None,
    ) -> list[list[int]]:
        """Write levels 1, 2, … of the pyramid whose level 0 is array "0".

        Each level halves every spatial axis of the last one, rounding down and never below 1;
        other axes are left alone. Levels of an older, taller pyramid are deleted.

        Parameters
        ----------
        levels
            Number of levels beyond the base; -1 stops at the first level that fits in one chunk
            along every sampled axis.
        ndim
            Number of spatial axes, the last ones of the array.
        mode
            How eight voxels become one: "mean", "median", "mode" or "stride", or a function
            that reduces the axes it is given (``f(array, axis=tuple)``).
        no_pyramid_axis
            Index, among the spatial axes, of one that is not sampled.

        Returns
        -------
        list[list[int]]
            Spatial shape of every level, finest first.
        """

    @abstractmethod
    def write_ome_metadata(
        self,
        axes: Sequence[str],
        space_scale: float | Sequence[float] = 1.0,
        time_scale: float = 1.0,
        space_unit: str = "micrometer",
        time_unit: str = "second",
        name: str = "",
        pyramid_aligns: str | float | Sequence[str | float] = 2,
        levels: int | None = None,
        no_pool: int | None = None,
        multiscales_type: str = "",
        ome_version: Literal["0.4", "0.5"] = "0.4",
    ) -> None:
        """Write the OME-Zarr metadata of this image.

        Parameters
        ----------
        axes
            Name of each dimension, in Zarr order: some of t, c, z, y, x.
        space_scale
            Voxel size of level 0 in Zarr order (z, y, x), or one number for all.
        time_scale
            Time between two volumes.
        space_unit, time_unit
            UDUNITS names of the units of both; "" where unknown.
        name
            Name of the image; "" for none.
        pyramid_aligns
            Size of the window that was pooled from level to level, or "edge" or "center", where
            the edges or the centres of the corner voxels coincide; one value for all spatial
            axes, or one each.
        levels
            Number of levels beyond the base; None finds the levels that exist.
        no_pool
            Index, among the spatial axes, of one that was not sampled.
        multiscales_type
            How the pyramid was made; "" for nothing.
        ome_version
            Version of OME-Zarr: 0.4 is meant for Zarr v2, 0.5 and 0.6 for Zarr v3. A warning is
            given where they do not match.
        """

    @abstractmethod
    def write_nifti_header(self, header: Nifti1Header | bytes) -> None:
        """Write a NIfTI header as the array "nifti", in place of an older one.

        A uint8 array of one chunk, not compressed, whose attributes hold the header's JSON form
        (NIfTI-Zarr 1.0.rc1, section 2.4).

        Parameters
        ----------
        header
            The header's bytes as they stand on disk, 348 for NIfTI-1 and 540 for NIfTI-2, with
            the extender and the extensions where there are any; or a NIfTI-1 or NIfTI-2 header
            of nibabel (which sets the slope to NaN when it loads an image: prefer the bytes).
        """
