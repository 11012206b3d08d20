"""Abstract base classes of arrays and groups in a Zarr store, for all drivers.

The names and signatures are those of ``linc_convert.utils.io.zarr.abc``, with the arguments that
its drivers add: ours take all of them. `neurozarr.drivers.image` implements pyramid, OME metadata
and NIfTI header once, with the other members.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

if TYPE_CHECKING:
    from nibabel import Nifti1Header

    from neurozarr.regions import Region
    from neurozarr.zarr.config import ZarrConfig


class ZarrArrayConfig(TypedDict, total=False):
    """The fields of `ZarrConfig` that concern one array.

    ``chunks``, ``shards`` and ``compressor_opt``, as linc-convert's drivers and zarr-python call
    them, are ``chunk``, ``shard`` and ``compressor_options``.
    """

    chunk: int | tuple[int, ...]
    chunks: int | tuple[int, ...]
    shard: int | tuple[int, ...] | Literal["auto"] | None
    shards: int | tuple[int, ...] | Literal["auto"] | None
    compressor: Literal["blosc", "zlib", "gzip", "zstd", "none"] | None
    compressor_options: dict[str, Any]
    compressor_opt: dict[str, Any]
    dimension_separator: Literal[".", "/"]
    order: Literal["C", "F"]
    fill_value: complex | None


class ZarrNode(ABC):
    """An array or a group in a directory."""

    def __init__(self, store_path: str | PathLike[str]) -> None:
        self._store_path = store_path

    @property
    def store_path(self) -> str | PathLike[str]:
        """Directory of this node."""
        return self._store_path

    @property
    @abstractmethod
    def attrs(self) -> MutableMapping[str, Any]:
        """User attributes of this node; every assignment is written to disk at once."""

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
        """Shape of a chunk, in voxels: the smallest region that can be decoded."""

    @property
    @abstractmethod
    def shards(self) -> tuple[int, ...] | None:
        """Shape of a shard, in voxels: the smallest region that can be written; or None."""

    @property
    @abstractmethod
    def dimension_names(self) -> tuple[str | None, ...] | None:
        """Names of the dimensions (Zarr v3 only); None if they have no names."""

    @dimension_names.setter
    @abstractmethod
    def dimension_names(self, names: Sequence[str]) -> None: ...

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all voxels, uncompressed, in bytes."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        """Length of the first dimension; TypeError if there is none."""
        if not self.shape:
            raise TypeError("an array without dimensions has no length")
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """Read all voxels, for `numpy.asarray`; ValueError if they must not be copied."""
        if copy is False:
            raise ValueError(
                f"the voxels of {self.store_path} cannot be had without a copy: they are read from "
                "its chunks; leave copy=False out"
            )
        return self[...].astype(dtype or self.dtype, copy=False)

    @abstractmethod
    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a region, given by integers, slices and Ellipsis as in NumPy indexing.

        For one axis, a list of integers or of booleans is allowed; IndexError for several lists.
        """

    @abstractmethod
    def __setitem__(self, key: Any, value: ArrayLike) -> None:
        """Write a region; all of it is written when this returns."""

    def store(self, region: Region, voxels: np.ndarray) -> None:
        """Write whole write chunks at the least cost.

        Parameters
        ----------
        region
            Region of the array: whole write chunks.
        voxels
            The voxels, in the dtype of the array; nobody may change them afterwards.
        """
        self[region] = voxels


class ZarrGroup(ZarrNode):
    """A group of arrays and groups.

    An image is a group whose arrays "0", "1", … are its levels, finest first. Their axes are
    (t, c, z, y, x) or some of these, in this order.
    """

    @classmethod
    @abstractmethod
    def from_config(
        cls,
        out: str | PathLike[str] | ZarrConfig | None = None,
        zarr_config: ZarrConfig | None = None,
    ) -> Self:
        """Create, or open, a group; see `neurozarr.from_config`."""

    @abstractmethod
    def keys(self) -> Iterator[str]:
        """Names of the arrays and groups in this group, in natural order."""

    def __iter__(self) -> Iterator[str]:
        """Names of the arrays and groups, as `keys`."""
        return self.keys()

    def __len__(self) -> int:
        """Number of arrays and groups in this group."""
        return sum(1 for _ in self.keys())

    def __bool__(self) -> bool:
        """True, also without arrays and groups."""
        return True

    @abstractmethod
    def __contains__(self, key: object) -> bool:
        """Whether this group has an array or a group of that name."""

    @abstractmethod
    def __getitem__(self, key: str) -> ZarrArray | ZarrGroup:
        """Open an array or a group; KeyError if there is none of that name."""

    @abstractmethod
    def __setitem__(self, key: str, value: ZarrNode) -> None:
        """Copy an array or a group into this group, and replace any existing one of that name."""

    @abstractmethod
    def __delitem__(self, key: str) -> None:
        """Delete an array or a group with its contents; KeyError if there is none."""

    @abstractmethod
    def create_group(self, name: str, overwrite: bool = False) -> ZarrGroup:
        """Create a group, or open it if it exists (``overwrite``: delete its contents first)."""

    @abstractmethod
    def create_array(
        self,
        name: str,
        shape: Sequence[int],
        dtype: DTypeLike,
        *,
        zarr_config: ZarrConfig | None = None,
        data: ArrayLike | None = None,
        overwrite: bool | None = None,
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
            How to store it; by default, the configuration of the group.
        data
            Voxels to write into it, of that shape; None leaves it empty.
        overwrite
            Whether it may replace an existing array or group; None for what the configuration says.
        **kwargs
            Single fields, which take precedence over ``zarr_config``.

        Raises
        ------
        FileExistsError
            The name is taken, and ``overwrite`` is not set.
        ValueError, TypeError
            A field is wrong, unknown or given twice, or the shape does not fit it, the dtype, or
            ``data``.
        """

    @abstractmethod
    def create_array_from_base(
        self,
        name: str,
        shape: Sequence[int],
        data: ArrayLike | None = None,
        **kwargs: Unpack[ZarrArrayConfig],
    ) -> ZarrArray:
        """Create an array like array "0", and replace any existing one of that name.

        Dtype, chunks, shards, codecs, order, fill value, chunk key encoding and dimension names
        are those of array "0".

        Parameters
        ----------
        name
            Name in this group.
        shape
            Length of every dimension, in voxels; array "0" must have as many dimensions.
        data
            Voxels to write into it, of that shape; None leaves it empty.
        **kwargs
            Fields of the configuration that differ from array "0".
        """

    def array(self, name: str) -> ZarrArray:
        """Open an array; KeyError if there is none of that name, or it is a group."""
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
        no_pyramid_axis: int | str | None = None,
        factors: int | Literal["auto"] | Sequence[Sequence[int]] = 2,
        edge: Literal["drop", "keep"] = "drop",
        voxel_size: Sequence[float] | None = None,
    ) -> list[list[int]]:
        """Write levels 1, 2, … of the pyramid whose level 0 is array "0".

        By default, each spatial axis is half as long as in the parent level, rounded down, and at
        least 1; other axes do not change. Levels beyond the last one, of an earlier pyramid, are
        deleted.

        Parameters
        ----------
        levels
            Number of levels after level 0; -1 stops at the first level that fits in one chunk
            along every downsampled axis.
        ndim
            Number of spatial axes, which are the last axes of the array.
        mode
            How a window of voxels becomes one: "mean", "median", "mode" or "stride", or a function
            that reduces the axes it is given (``f(array, axis=tuple)``).
        no_pyramid_axis
            Index among the spatial axes, or name (z, y, x), of an axis that is not downsampled.
        factors
            2, or another factor of all axes; "auto" halves only those axes whose voxel is smaller
            than twice the smallest; or, for each level after level 0, a list of the factor of each
            spatial axis.
        edge
            Whether a window that the edge of the image cuts is left out ("drop") or becomes a voxel
            like others ("keep").
        voxel_size
            Voxel size of level 0 along the spatial axes, for "auto"; None if they are equal.

        Returns
        -------
        list[list[int]]
            Spatial shape of every level, in voxels, finest first.
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
        no_pool: int | str | None = None,
        multiscales_type: str = "",
        ome_version: Literal["0.4", "0.5"] = "0.4",
        factors: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """Write the OME-Zarr metadata of this image.

        Parameters
        ----------
        axes
            Name of each dimension, in Zarr order: some of t, c, z, y, x.
        space_scale
            Voxel size of level 0 in Zarr order (z, y, x), or one number for all axes, in
            ``space_unit``.
        time_scale
            Time between two volumes, in ``time_unit``.
        space_unit, time_unit
            UDUNITS names of the units; "" if unknown.
        name
            Name of the image; "" for that of the group's directory, without its ending.
        pyramid_aligns
            Downsampling factor from level to level; "first" for the mode "stride", whose voxels are
            copies of the first voxel of their window (both are known, and need not be given, if
            this object has generated the pyramid); or "edge" or "center", if the edges or the
            centres of the corner voxels of all levels coincide. One value for all spatial axes,
            or one for each.
        levels
            Number of levels after level 0; None for all levels that exist.
        no_pool
            Index among the spatial axes, or name, of an axis that was not downsampled.
        multiscales_type
            Downsampling method, for the field "type"; "" for the mode with which this object made
            the levels (`generate_pyramid`), or for no such field if it did not.
        ome_version
            Version of OME-Zarr: 0.4 is for Zarr v2, 0.5 and 0.6 are for Zarr v3. If the group has
            the other version of Zarr, 0.5 instead of 0.4, or 0.4 instead of the others, is written,
            with a warning.
        factors
            The list of factors that `generate_pyramid` was given, if it was given one, instead of
            the number in ``pyramid_aligns``.
        """

    @abstractmethod
    def write_nifti_header(self, header: Nifti1Header | bytes) -> None:
        """Write a NIfTI header as the array "nifti", and replace an existing one.

        The array has dtype uint8 and one uncompressed chunk; its attributes are the header's JSON
        form (NIfTI-Zarr 1.0.rc1, section 2.4).

        Parameters
        ----------
        header
            The bytes of the header in its file: 348 for NIfTI-1 and 540 for NIfTI-2, and the
            extender and extensions, if any; or a NIfTI-1 or NIfTI-2 header of nibabel. Prefer
            the bytes: nibabel sets the slope to NaN when it loads an image.
        """
