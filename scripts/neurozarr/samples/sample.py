"""A sample: one image to convert, its options, and the plan derived from them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import xxhash

from neurozarr import ome, plan
from neurozarr.errors import ConfigError
from neurozarr.nifti import anatomy
from neurozarr.ome.reading import metadata_of
from neurozarr.regions import parent_region
from neurozarr.run import extending
from neurozarr.samples import in_place, labels
from neurozarr.samples.sample_source import SampleSource
from neurozarr.voxels import kernels
from neurozarr.zarr.config import ZarrConfig
from neurozarr.zarr.documents import Document
from neurozarr.zarr.versions import version_for

logger = logging.getLogger(__name__)

#: Options that NIfTI-Zarr 1.0.rc1 allows on Zarr v2 (sections 2.1 and 2.2).
_NIFTI_ZARR_2 = {
    "order": ("F",),
    "compressor": ("blosc", "zlib"),
    "dimension_separator": ("/",),
}


@dataclass(frozen=True, kw_only=True)
class Sample(SampleSource):
    """One image to convert, with its options, and the plan that is derived from them."""

    @cached_property
    def zarr(self) -> ZarrConfig:
        """Configuration of the store's arrays.

        Raises
        ------
        ValueError
            The options contradict each other or a specification.
        """
        options = {**self.options["zarr"], **self.options["pyramid"]}
        del options["mode"]
        if options["order"] == "auto":
            options["order"] = "F" if options["zarr_version"] == 2 else "C"
        if self.options["nifti"]["nii"] and options["zarr_version"] == 2:
            for name, allowed in _NIFTI_ZARR_2.items():
                if options[name] not in allowed:
                    raise ValueError(
                        f"zarr.{name} is {options[name]!r}, but NIfTI-Zarr on Zarr v2 allows only "
                        f"{' or '.join(map(repr, allowed))}; change it or set nifti: {{nii: false}}"
                    )
        return ZarrConfig(**options, ome_version=self.options["ome"]["ome_version"])

    @property
    def is_image_label(self) -> bool:
        """Whether the image gets "image-label" metadata, which OME-Zarr has only for integers."""
        return self.dtype.kind in "iu" and self.labels is not None

    @cached_property
    def position(self) -> tuple[float, ...]:
        """Position of the first voxel along z, y and x; empty if unknown.

        For labels, it is in the coordinates of their image, if the anatomy of both is known; that
        of DICOM images is not known before their conversion.
        """
        image = None if self.label_of is None else Sample(**self.label_of)
        if image is None or image.conversion is not None:
            return self.source.position
        found = labels.position(
            self.source, image.source, label_header=self.header, image_header=image.header
        )
        if found is None:
            logger.warning(
                "%s: its axes do not lie along those of %s: programs that use only the OME-Zarr "
                "metadata show it in another place; resample it to the grid of the image",
                self.path,
                image.path,
            )
        return found or ()

    @property
    def mode(self) -> str:
        """Downsampling mode of the pyramid."""
        return self._mode_and_reason[0]

    @property
    def mode_described(self) -> str:
        """Downsampling mode of the pyramid, and why it is this one, for the log."""
        return "pyramid by {} ({})".format(*self._mode_and_reason)

    @property
    def _mode_and_reason(self) -> tuple[str, str]:
        mode, dtype = self.options["pyramid"]["mode"], self.source.dtype
        if mode != "auto":
            return mode, "as pyramid.mode says"
        if self.labels is not None and dtype.kind in kernels.KINDS["mode"]:
            says = "its name ends in _dseg" if self.source.labels is None else "its metadata say so"
            known = f"it is labels of {self.image}" if self.image else f"it is labels: {says}"
            return "mode", known
        if dtype.kind not in kernels.KINDS["mean"]:
            return "mode", f"voxels of dtype {dtype} have no mean"
        return "mean", "nothing says that it is labels"

    @cached_property
    def levels(self) -> tuple[plan.Level, ...]:
        """Planned levels of the pyramid, finest first.

        Raises
        ------
        SourceError
            The source cannot be converted.
        ConfigError
            The options do not fit the image.
        """
        source, existing = self.source, self.existing
        try:
            levels = (
                self._further_levels(existing)
                if existing
                else plan.plan_levels(
                    source.shape,
                    self.dtype,
                    source.axes,
                    self.zarr,
                    voxel_size=source.voxel_size,
                    native_chunk_shape=source.native_chunk_shape,
                    in_order=source.file_axes if source.in_order else None,
                    block_mb=self.options["resources"]["block_mb"],
                    max_jobs=self.options["resources"]["max_jobs"],
                )
            )
            if len(levels) > 1:
                kernels.check_mode(self.mode, self.dtype)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return levels

    def _further_levels(self, existing: in_place.Existing) -> tuple[plan.Level, ...]:
        """The levels of an image of others, and those that are added to it."""
        options, resources = self.options["pyramid"], self.options["resources"]
        return plan.plan_further(
            existing.documents,
            self.source.file_axes,
            zarr=in_place.new_array_options(existing, self.options["zarr"]),
            levels=options["levels"],
            factors=options["factors"],
            edge=options["edge"],
            no_pyramid_axis=options["no_pyramid_axis"],
            voxel_size=self.source.voxel_size,
            block_mb=resources["block_mb"],
            max_jobs=resources["max_jobs"],
        )

    @property
    def first(self) -> int:
        """Number of the first level that is written: 0, unless levels are added to an image."""
        return 0 if self.existing is None else len(self.existing.documents)

    @property
    def blocks(self) -> list[int]:
        """Number of blocks of each level, finest first; 0 for those that are not written."""
        return [level.blocks for level in self.levels]

    def check(self) -> None:
        """Raise a SourceError or a ConfigError if the source or the options are not valid.

        Without a plan, only the files of the source are looked at.
        """
        if not self.is_planned:
            return
        if self.image and not self.is_image_label:
            raise ConfigError(
                f"{self.path}: its data type is {self.dtype}, but labels beneath an image are "
                f"integers: convert it, or do not make it a label of {self.image}"
            )
        if self.existing is not None:
            in_place.check_options(self.existing, self.options)
        _ = self.levels, self.attributes, self.channels, self.sidecars

    @property
    def export_levels(self) -> list[int]:
        """Levels to export as NIfTI files; a warning names those that the image does not have."""
        wanted = self.options["export"]["levels"]
        # Before DICOM files are converted, only level 0 is known to exist.
        coarsest = len(self.levels) - 1 if self.is_planned else 0
        if missing := [level for level in wanted if level > coarsest]:
            logger.warning(
                "sample %s: export.levels is %s, but its coarsest level %s; not exported: %s",
                self.name,
                wanted,
                f"is {coarsest}" if self.is_planned else "is known after its conversion: run again",
                ", ".join(map(str, missing)),
            )
        return [level for level in wanted if level <= coarsest]

    def parents(self, level: int, block: int) -> list[int]:
        """List the blocks of the parent level from which a block is made.

        Parameters
        ----------
        level
            Number of the level, 1 or more.
        block
            Number of the block in that level.
        """
        parent, child = self.levels[level - 1], self.levels[level]
        above = parent_region(child.region(block), child.factors, parent.shape)
        return parent.blocks_of(above)

    @cached_property
    def attributes(self) -> Document:
        """OME-Zarr attributes of the group, without the channels' windows.

        Of an image of others, they are what is added to its metadata, and a checksum of these.

        Raises
        ------
        ConfigError
            The metadata of an image of others do not say where its last level is.
        """
        if self.existing is not None:
            name = self.options["ome"]["name"] or self.name
            members = {"mode": self.mode, "edge": self.zarr.edge, "name": name}
            try:
                added = self.existing.extension(self.levels, self.source.file_axes, members)
            except ValueError as error:
                group = self.existing.place.group
                raise ConfigError(f"{group}: no levels can be added to it: {error}") from None
            return {"base": extending.digest_of(self.existing.attributes), **added}
        source, version = self.source, self.zarr.ome_version
        attributes = ome.attributes(
            axes=source.axes,
            placements=ome.of_factors(
                [level.factors[-3:] for level in self.levels], centred=self.mode != "stride"
            ),
            space_scale=source.voxel_size,
            position=self.position,
            time_scale=source.time_step,
            space_unit=source.space_unit,
            time_unit=source.time_unit,
            name=self.options["ome"]["name"] or self.name.rpartition("/")[-1],
            multiscales_type=self.mode,
            metadata={
                "method": "neurozarr.voxels.kernels.downsample",
                "kwargs": {
                    "mode": self.mode,
                    "factors": [list(level.factors[-3:]) for level in self.levels[1:]],
                    "edge": self.zarr.edge,
                },
                **({"source_converter": source.converter} if source.converter else {}),
                **({"source_filled": source.filled} if source.filled else {}),
            },
            orientation=anatomy.directions(self.header),
            spaces=[*anatomy.spaces(self.header), *source.spaces],
            ome_version=version_for(self.zarr.zarr_version) if version == "auto" else version,
        )
        if not self.is_image_label:
            return attributes
        return ome.with_labels(
            attributes, self.labels or {}, image="../../" if self.image else None
        )

    @property
    def planned(self) -> dict[str, Any]:
        """Arguments of `neurozarr.verify.metadata.Planned`."""
        has_header = self.options["nifti"]["nii"]
        return {
            "documents": [level.document for level in self.levels],
            "axes": self.source.axes,
            "attributes": self.attributes,
            "channels": self.channels,
            "header_checksum": xxhash.xxh3_64_intdigest(self.header) if has_header else None,
            "factors": [level.factors for level in self.levels],
            "mode": self.mode,
        }

    @cached_property
    def channels(self) -> list[Document]:
        """Name and colour of each channel for the OMERO metadata; empty for complex or labels.

        Raises
        ------
        ConfigError
            The number of names or colours differs from the number of channels.
        """
        if self.dtype.kind == "c" or self.is_image_label or not self._lacks_channels:
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
        if self.existing is not None:  # What the source says, this workflow has added.
            return ome.channels(
                count,
                names=options["channel_names"] or (),
                colors=options["channel_colors"] or (),
            )
        return ome.channels(
            count,
            names=options["channel_names"] or self.source.channel_names,
            colors=options["channel_colors"] or self.source.channel_colors,
            windows=self.source.channel_windows,
            active=self.source.channel_active,
        )

    @property
    def _lacks_channels(self) -> bool:
        """Whether nobody has described the channels; of an image without new levels, none are."""
        if self.existing is None:
            return True
        known = metadata_of(self.existing.attributes)
        return "omero" not in known and not self.levels[-1].given
