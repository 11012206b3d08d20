"""Pyramid, OME metadata and NIfTI header of an image, for all drivers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neurozarr import ome, voxels
from neurozarr.axes import SPATIAL, spatial_index
from neurozarr.plan.pyramid import Step, pyramid
from neurozarr.zarr.abc import ZarrArray, ZarrGroup
from neurozarr.zarr.versions import zarr_version

if TYPE_CHECKING:
    from nibabel import Nifti1Header


class ImageGroup(ZarrGroup):
    """A group that writes its pyramid and metadata with the members that a driver implements."""

    #: Name of the mode of `generate_pyramid`, and the levels that it made; empty if it did not.
    _mode = ""
    _steps: Sequence[Step] = ()

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
        base = self.array("0")
        batch = base.shape[: base.ndim - ndim]
        steps = pyramid(
            base.shape[base.ndim - ndim :],
            base.chunks[base.ndim - ndim :],
            levels=levels,
            factors=factors,
            edge=edge,
            voxel_size=voxel_size,
            no_pyramid_axis=no_pyramid_axis,
        )
        for name in [key for key in self.keys() if key.isdigit() and int(key) >= len(steps)]:
            del self[name]
        parent = base
        for level, step in enumerate(steps[1:], start=1):
            child = self.create_array_from_base(str(level), (*batch, *step.shape))
            every = (1,) * len(batch) + step.factors
            voxels.downsample_level(parent, child, factors=every, mode=mode)
            parent = child
        name = mode if isinstance(mode, str) else getattr(mode, "__name__", "")
        self._mode = name if name.isidentifier() else ""  # A lambda's name is "<lambda>".
        self._steps = steps
        return [list(step.shape) for step in steps]

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
        if zarr_version(ome_version) != self.zarr_version:
            wanted, ome_version = ome_version, "0.4" if self.zarr_version == 2 else "0.5"
            warnings.warn(
                f"ome_version is {wanted!r}, which requires Zarr v{zarr_version(wanted)}, but "
                f"{self.store_path} is Zarr v{self.zarr_version}: OME-Zarr {ome_version} is "
                f"written; give ome_version={ome_version!r}",
                stacklevel=2,
            )
        arrays = list(self._levels(levels))
        ndim = sum(axis in SPATIAL for axis in axes)
        if any(array.ndim != len(axes) for array in arrays):
            raise ValueError(f"axes are {tuple(axes)}, but level 0 has shape {arrays[0].shape}")
        aligns = ome.per_axis("pyramid_aligns", pyramid_aligns, ndim)
        kept = spatial_index("no_pool", no_pool, ndim)
        shapes = [array.shape[len(axes) - ndim :] for array in arrays]
        if self._made(shapes):
            lacking = (1,) * (ndim - len(self._steps[0].factors))
            factors = factors or [lacking + step.factors for step in self._steps[1:]]
            if self._mode == "stride":
                aligns = [align if isinstance(align, str) else "first" for align in aligns]
        attributes = ome.attributes(
            axes=axes,
            placements=ome.of_shapes(shapes, aligns, kept, factors),
            space_scale=space_scale,
            time_scale=time_scale,
            space_unit=space_unit,
            time_unit=time_unit,
            name=name or self._name,
            multiscales_type=multiscales_type or self._mode,
            ome_version=ome_version,
        )
        if self.zarr_version == 3:
            for array in arrays:
                array.dimension_names = axes
        self.attrs.update(attributes)

    def _made(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether `generate_pyramid` made the levels of given spatial shapes."""
        return bool(self._steps) and all(
            shape[-len(step.shape) :] == step.shape
            for shape, step in zip(shapes, self._steps, strict=False)
        )

    @property
    def _name(self) -> str:
        """Name of the directory, without the ending of a store."""
        name = Path(self.store_path).absolute().name
        return re.sub(r"(\.ome|\.nii)?\.zarr$", "", name)

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
