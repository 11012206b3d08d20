"""Pyramid, OME metadata and NIfTI header of an image, for all drivers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neurozarr import ome, voxels
from neurozarr.zarr.abc import ZarrArray, ZarrGroup
from neurozarr.zarr.layout import pyramid_shapes
from neurozarr.zarr.versions import zarr_version

if TYPE_CHECKING:
    from nibabel import Nifti1Header


class ImageGroup(ZarrGroup):
    """A group that writes its pyramid and metadata with the members that a driver implements."""

    def generate_pyramid(
        self,
        levels: int = -1,
        ndim: int = 3,
        mode: str | Callable[..., Any] = "mean",
        no_pyramid_axis: int | None = None,
    ) -> list[list[int]]:
        base = self.array("0")
        batch = base.shape[: base.ndim - ndim]
        shapes = pyramid_shapes(
            base.shape[base.ndim - ndim :],
            base.chunks[base.ndim - ndim :],
            levels=levels,
            no_pyramid_axis=no_pyramid_axis,
        )
        for name in [key for key in self.keys() if key.isdigit() and int(key) >= len(shapes)]:
            del self[name]
        parent = base
        for level, spatial in enumerate(shapes[1:], start=1):
            child = self.create_array_from_base(str(level), (*batch, *spatial))
            voxels.downsample_level(parent, child, mode=mode)
            parent = child
        return [list(shape) for shape in shapes]

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
        if zarr_version(ome_version) != self.zarr_version:
            warnings.warn(
                f"OME-Zarr {ome_version} is written into a Zarr v{self.zarr_version} group, but "
                f"its specification requires Zarr v{zarr_version(ome_version)}",
                stacklevel=2,
            )
        arrays = list(self._levels(levels))
        attributes = ome.attributes(
            axes=axes,
            shapes=[array.shape for array in arrays],
            space_scale=space_scale,
            time_scale=time_scale,
            space_unit=space_unit,
            time_unit=time_unit,
            name=name,
            pyramid_aligns=pyramid_aligns,
            no_pool=no_pool,
            multiscales_type=multiscales_type,
            ome_version=ome_version,
        )
        if self.zarr_version == 3:
            for array in arrays:
                array.dimension_names = axes
        self.attrs.update(attributes)

    def _levels(self, levels: int | None) -> Iterator[ZarrArray]:
        if levels is not None and levels < 0:
            raise ValueError(f"levels is {levels}; allowed: None, or 0 or more")
        level = 0
        while levels is None or level <= levels:
            if str(level) not in self:
                if levels is None and level > 0:
                    return
                raise KeyError(f"{self.store_path} has no level {level}")
            yield self.array(str(level))
            level += 1

    def write_nifti_header(self, header: Nifti1Header | bytes) -> None:
        from neurozarr import nifti  # Imports nibabel, which is slow; no other member needs it.

        raw = header if isinstance(header, bytes) else nifti.header_bytes(header)
        attributes = nifti.header_json(raw)
        if "nifti" in self:
            del self["nifti"]
        array = self.create_array(
            "nifti",
            (len(raw),),
            "uint8",
            chunk=(len(raw),),
            shard=None,
            compressor=None,
            compressor_options={},
            order="C",
            fill_value=None,
        )
        array[:] = np.frombuffer(raw, "uint8")
        array.attrs.update(attributes)
