"""From a configuration and a sample sheet to samples: checked, with every default filled in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash

from neurozarr import ome, plan
from neurozarr.errors import ConfigError
from neurozarr.nifti import anatomy
from neurozarr.nifti.fit import stored_dtype
from neurozarr.regions import factors, parent_region
from neurozarr.run.paths import StorePaths
from neurozarr.samples import headers
from neurozarr.sources import Source, open_source
from neurozarr.sources.paths import is_address
from neurozarr.sources.zarr.store import ZarrSource
from neurozarr.voxels import export, kernels
from neurozarr.zarr.config import ZarrConfig
from neurozarr.zarr.documents import Document
from neurozarr.zarr.versions import version_for

#: What NIfTI-Zarr 1.0.rc1 asks of arrays on Zarr v2 (sections 2.1 and 2.2).
_NIFTI_ZARR_2 = {
    "order": ("F",),
    "compressor": ("blosc", "zlib"),
    "dimension_separator": ("/",),
}


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What holds for all samples of a run: where stores go, how they are checked, and the names of
    the files in them.
    """

    output: str
    zarr_version: Literal[2, 3]
    nii: bool
    verify: Literal["none", "quick", "full"]
    overwrite: bool

    def paths(self, sample: str) -> StorePaths:
        """Where everything of a sample lies."""
        return StorePaths(
            output=self.output, sample=sample, nii=self.nii, zarr_version=self.zarr_version
        )

    def written(self, samples: Iterable[str]) -> list[Path]:
        """All that a run may write and delete below its output: stores, receipts, exports."""
        stores = [self.paths(name).store for name in samples]
        beside = [self.paths("").state.parent, self.paths("").export(0).parent]
        return [*stores, *beside]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One volume to convert, and how.

    Attributes
    ----------
    name
        Name of its files in the output.
    path
        What to convert: a file, a directory, a pattern or an address.
    layout
        What the files do not say of their array, or say wrongly: see `neurozarr.sources.Layout`.
    voxel_size, unit
        Likewise; None where they do.
    options
        Every option, by group and name.
    """

    name: str
    path: str
    layout: dict[str, Any]
    voxel_size: tuple[float, ...] | None
    unit: str | None
    options: dict[str, Any]

    @cached_property
    def zarr(self) -> ZarrConfig:
        """How the store is written.

        Raises
        ------
        ValueError
            The options contradict each other, or a specification.
        """
        options = {**self.options["zarr"], **self.options["pyramid"]}
        del options["mode"]
        if options["order"] == "auto":
            options["order"] = "F" if options["zarr_version"] == 2 else "C"
        if self.options["nifti"]["nii"] and options["zarr_version"] == 2:
            for name, allowed in _NIFTI_ZARR_2.items():
                if options[name] not in allowed:
                    raise ValueError(
                        f"zarr.{name} is {options[name]!r}, but NIfTI-Zarr on Zarr v2 has "
                        f"{' or '.join(map(repr, allowed))} alone; or set nifti: {{nii: false}}"
                    )
        return ZarrConfig(**options, ome_version=self.options["ome"]["ome_version"])

    @property
    def mode(self) -> str:
        """How a window of voxels becomes one."""
        return self.options["pyramid"]["mode"]

    @property
    def overrides(self) -> dict[str, Any]:
        """What `neurozarr.sources.open_source` is told beside the path."""
        return {**self.layout, "voxel_size": self.voxel_size, "unit": self.unit}

    @cached_property
    def source(self) -> Source:
        """The volume; its header is read when it is first asked for."""
        return open_source(self.path, **self.overrides)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the stored voxels."""
        dtype = self.source.dtype
        return stored_dtype(dtype) if self.options["nifti"]["nii"] else dtype

    @property
    def header_options(self) -> dict[str, Any]:
        """What `neurozarr.samples.headers.header_of` is told beside the overrides."""
        options = self.options["nifti"]
        return {
            "template": options["header"],
            "orientation": options["orientation"],
            "center": options["center"],
        }

    @cached_property
    def header(self) -> bytes:
        """The NIfTI header of the stored image; of an .ome.zarr, as if it had one.

        Raises
        ------
        ConfigError
            The options do not give one.
        """
        return headers.header_of(
            self.source,
            dtype=stored_dtype(self.source.dtype),
            voxel_size=self.voxel_size,
            unit=self.unit,
            **self.header_options,
        )

    @cached_property
    def levels(self) -> tuple[plan.Level, ...]:
        """The levels of its pyramid, finest first.

        Raises
        ------
        SourceError
            The file cannot be converted.
        ConfigError
            The options do not fit the volume.
        """
        source = self.source
        try:
            levels = plan.plan_levels(
                source.shape,
                self.dtype,
                source.axes,
                self.zarr,
                native_chunk_shape=source.native_chunk_shape,
                in_order=source.file_axes if source.in_order else None,
                **self.options["resources"],
            )
            if len(levels) > 1:
                kernels.check_mode(self.mode, self.dtype)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return levels

    @property
    def read_paths(self) -> list[Path]:
        """The files and directories that a run reads for this sample."""
        found = list(self.source.files)
        if isinstance(self.source, ZarrSource) and not is_address(self.path):
            found.append(Path(self.path))
        if self.options["nifti"]["header"]:
            found.append(Path(self.options["nifti"]["header"]))
        return found

    def check(self) -> None:
        """Raise a SourceError or a ConfigError for what is wrong with the file or its options."""
        _ = self.levels, self.attributes, self.channels

    def memory_mb(self, level: int, threads: int) -> int:
        """Memory of a job that writes a block of a level, in MB."""
        if level:
            return self.levels[level].memory_mb(threads)
        return plan.base_memory_mb(
            self.levels[0],
            threads,
            native_chunk_shape=self.source.native_chunk_shape,
            held_bytes=self.source.held_bytes,
        )

    @property
    def export_levels(self) -> list[int]:
        """Levels that are written as NIfTI files.

        Raises
        ------
        ConfigError
            The image has fewer levels.
        """
        wanted, last = self.options["export"]["levels"], len(self.levels) - 1
        if max(wanted) > last:
            raise ConfigError(
                f"export.levels is {wanted}, but the last level of {self.path} is {last}"
            )
        return wanted

    @property
    def export_memory_mb(self) -> int:
        """Memory of a job that writes a level as a NIfTI file, in MB."""
        base = self.levels[0]
        return export.memory_mb(base.shape, base.chunks, self.source.axes, base.dtype)

    def verify_memory_mb(self, verify: str, threads: int) -> int:
        """Memory of a job that verifies the store, in MB."""
        if verify != "full":
            return plan.BASE_MEMORY_MB
        return max(self.memory_mb(number, threads) for number in range(len(self.levels)))

    def verify_minutes(self, verify: str, threads: int) -> int:
        """Minutes that a job may take to verify the store."""
        if verify != "full":
            return plan.MIN_MINUTES
        return plan.verify_minutes(self.levels, threads)

    def parents(self, level: int, block: int) -> list[int]:
        """The blocks of the level above that a block of a level is made from."""
        parent, child = self.levels[level - 1], self.levels[level]
        steps = factors(parent.shape, child.shape)
        return parent.blocks_of(parent_region(child.region(block), steps))

    @cached_property
    def attributes(self) -> Document:
        """The OME-Zarr metadata of its group."""
        source, version = self.source, self.zarr.ome_version
        return ome.attributes(
            axes=source.axes,
            shapes=[level.shape for level in self.levels],
            space_scale=source.voxel_size,
            time_scale=source.time_step,
            space_unit=source.space_unit,
            time_unit=source.time_unit,
            name=self.options["ome"]["name"] or self.name,
            no_pool=self.zarr.no_pyramid_axis,
            multiscales_type=self.mode,
            metadata={
                "method": "neurozarr.voxels.kernels.downsample",
                "kwargs": {"mode": self.mode, "no_pyramid_axis": self.zarr.no_pyramid_axis},
            },
            orientation=anatomy.directions(self.header),
            spaces=anatomy.spaces(self.header),
            ome_version=version_for(self.zarr.zarr_version) if version == "auto" else version,
        )

    @property
    def planned(self) -> dict[str, Any]:
        """What `neurozarr.verify.metadata.Planned` is made of."""
        has_header = self.options["nifti"]["nii"]
        return {
            "documents": [level.document for level in self.levels],
            "axes": self.source.axes,
            "attributes": self.attributes,
            "channels": self.channels,
            "header_checksum": xxhash.xxh3_64_intdigest(self.header) if has_header else None,
            "mode": self.mode,
        }

    @cached_property
    def channels(self) -> list[Document]:
        """Name and colour of each channel, for the OMERO metadata; none for complex numbers.

        Raises
        ------
        ConfigError
            There are not as many names or colours as channels.
        """
        if self.dtype.kind == "c":
            return []
        lengths = dict(zip(self.source.axes, self.source.shape, strict=True))
        count = lengths.get("c", 1)
        options = self.options["ome"]
        for name in ("channel_names", "channel_colors"):
            if options[name] is not None and len(options[name]) != count:
                raise ConfigError(
                    f"ome.{name} has {len(options[name])} values, but {self.path} has {count} "
                    "channels; give one for each"
                )
        return ome.channels(
            count,
            names=options["channel_names"] or self.source.channel_names or None,
            colors=options["channel_colors"] or self.source.channel_colors or None,
        )
