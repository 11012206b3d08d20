"""A sample: one image to convert, its options, and the plan derived from them."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash

from neurozarr import ome, plan
from neurozarr.bids import label_table, sidecars
from neurozarr.errors import ConfigError, NeurozarrError, SourceError
from neurozarr.nifti import anatomy
from neurozarr.nifti.fit import stored_dtype
from neurozarr.ome.reading import metadata_of
from neurozarr.regions import parent_region
from neurozarr.run import extending
from neurozarr.run.paths import Place, StorePaths
from neurozarr.samples import headers, in_place, labels
from neurozarr.sources import Source, family_of, open_source, stem
from neurozarr.sources.base import Layout
from neurozarr.sources.dicom import Conversion, DicomSource
from neurozarr.sources.paths import find, has_places, is_address, parts
from neurozarr.sources.precomputed import PrecomputedSource
from neurozarr.sources.zarr.store import ZarrSource
from neurozarr.voxels import kernels
from neurozarr.zarr.config import ZarrConfig
from neurozarr.zarr.documents import Document
from neurozarr.zarr.versions import version_for

logger = logging.getLogger(__name__)

#: Fields of a sample for sizes that the user gives.
SIZES = ("voxel_size", "unit", "time_step", "time_unit")
#: Options that NIfTI-Zarr 1.0.rc1 allows on Zarr v2 (sections 2.1 and 2.2).
_NIFTI_ZARR_2 = {
    "order": ("F",),
    "compressor": ("blosc", "zlib"),
    "dimension_separator": ("/",),
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image to convert, with its options.

    Attributes
    ----------
    name
        Path of its store below the output, without its ending: a word or, if directories of sources
        are kept, ``FOLDER/NAME``; of a label, ``IMAGE/labels/NAME``, where ``IMAGE`` is the name of
        the sample that it is a label of.
    path
        The source: a file, a directory, a pattern or a URL.
    layout
        Properties of the array given by the user: see `neurozarr.sources.Layout`.
    voxel_size, unit, time_step, time_unit
        Voxel size, time step and their units given by the user; None to take them from the source.
    options
        All options, by group and name.
    label
        End of the name of a label, ``/labels/NAME``; "" if it is an image.
    label_of
        Arguments of `Sample` for the image that this one is a label of; None if it is an image.
    existing
        The image of others to which levels are added; its last level is the source. None if the
        source is converted into a store of its own.
    refused
        Why no levels can be added to the image of others that the source was to be; otherwise "".
    bids
        Directory of the BIDS data set that it is an image of; None if it is in none.
    """

    name: str
    path: str
    layout: dict[str, Any]
    voxel_size: tuple[float, ...] | None
    unit: str | None
    time_step: float | None
    time_unit: str | None
    options: dict[str, Any]
    label: str = ""
    label_of: dict[str, Any] | None = None
    existing: in_place.Existing | None = None
    refused: str = ""
    bids: str | None = None

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
    def labels(self) -> Document | None:
        """Details of the labels, as of a `Source`; None if the voxels are intensities.

        They are labels if the user or the source says so, or a BIDS file has the suffix ``dseg``
        (BIDS 1.10, "Segmentations": discrete; those with the suffix ``probseg`` are probabilities).
        If the source gives no details, they are those of the lookup table of a BIDS file.
        """
        if self.source.labels:
            return self.source.labels
        is_dseg = stem(self.path).endswith("_dseg")
        if self.source.labels is None and not self.image and not is_dseg:
            return None
        return self._label_table if is_dseg else {}

    @cached_property
    def _label_table(self) -> Document:
        return {} if is_address(self.path) else label_table.details(parts(self.path)[0])

    @property
    def image(self) -> str | None:
        """Name of the sample that this one is a label of; None if it is an image of its own."""
        return self.name.removesuffix(self.label) if self.label else None

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

    @property
    def overrides(self) -> dict[str, Any]:
        """Arguments of `neurozarr.sources.open_source` other than the path and the template."""
        return {**self.layout, **{name: getattr(self, name) for name in SIZES}}

    @property
    def known(self) -> dict[str, Any]:
        """Like `overrides`, with the sizes of the opened source, so that jobs do not warn."""
        source = self.source
        known = self.layout | {"voxel_size": source.voxel_size, "unit": source.space_unit or None}
        if "t" in source.axes:
            known |= {"time_step": source.time_step, "time_unit": source.time_unit or None}
        return known

    def with_existing(self, paths: StorePaths) -> Sample:
        """The same sample as an image of others to which levels are added, as it is now.

        Parameters
        ----------
        paths
            Paths of the sample in the output.
        """
        known = self.existing
        dataset = self.layout.get("dataset") if known is None else known.path or None
        try:
            image = in_place.existing(self.path, dataset, paths)
            options = in_place.sample_options(image, self.options)
        except NeurozarrError as error:
            return replace(self, existing=None, refused=str(error))
        layout = self.layout | {"dataset": image.dataset}
        return replace(self, layout=layout, options=options, existing=image, refused="")

    @property
    def place(self) -> tuple[Place, Literal[2, 3]] | None:
        """Place of the image of others, and its version of Zarr; None if it is converted."""
        if self.existing is not None:
            return self.existing.place, self.existing.zarr_version
        # Without levels, because none is read or written.
        return (Place(group=os.path.realpath(self.path), names=()), 3) if self.refused else None

    @property
    def source(self) -> Source:
        """The opened source; only its header is read.

        Raises
        ------
        SourceError
            It cannot be read, or no levels can be added to it where it is.
        """
        if self.refused:
            raise SourceError(self.refused)
        # Before Python 3.12, cached_property would open the sources of threads one after the other.
        known = vars(self)
        if "_source" not in known and self.existing is not None:
            # What its metadata lack, such as units, nobody is asked for.
            known["_source"] = ZarrSource.open(self.path, Layout(**self.layout))
        elif "_source" not in known:
            template = self.options["nifti"]["header"]
            known["_source"] = open_source(
                self.path,
                **self.overrides,
                template=None if template is None else headers.read_template(template),
            )
        return known["_source"]

    @property
    def conversion(self) -> Conversion | None:
        """The conversion of a DICOM source to NIfTI; None for other sources.

        Raises
        ------
        SourceError
            There is no image in it, or there are several, or dcm2niix is not installed.
        """
        known = vars(self)  # As for the source.
        if "_conversion" not in known:
            is_dicom = not is_address(self.path) and family_of(self.path) is DicomSource
            layout = Layout(**self.layout)
            is_converted = is_dicom and not self.refused
            known["_conversion"] = Conversion(self.path, layout) if is_converted else None
        return known["_conversion"]

    @property
    def is_planned(self) -> bool:
        """Whether there is a plan: DICOM files must first be converted by dcm2niix."""
        return self.conversion is None or self.conversion.is_known()

    @property
    def files(self) -> Sequence[Path]:
        """Files of the source, whether there is a plan or not."""
        return self.source.files if self.conversion is None else self.conversion.files

    @property
    def megabytes(self) -> int:
        """Size of the files of the source, in MB."""
        return math.ceil(sum(file.stat().st_size for file in self.files) / 1e6)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the stored voxels."""
        dtype = self.source.dtype
        return stored_dtype(dtype) if self.options["nifti"]["nii"] else dtype

    @property
    def header_options(self) -> dict[str, Any]:
        """Options of `neurozarr.samples.headers.header_of`."""
        options = self.options["nifti"]
        return {
            "template": options["header"],
            "orientation": self.options["ome"]["orientation"],
            "center": options["center"],
        }

    @cached_property
    def header(self) -> bytes:
        """NIfTI header of the stored image; an .ome.zarr does not store it but takes its affines.

        Raises
        ------
        ConfigError
            The header's options are not valid.
        """
        return headers.header_of(
            self.source,
            dtype=stored_dtype(self.source.dtype),
            given=self.overrides,
            **self.header_options,
        )

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

    @cached_property
    def sidecars(self) -> dict[str, str]:
        """Contents of the files beside the store, by their endings, such as ".json".

        Raises
        ------
        SourceError
            A metadata file of a BIDS data set is damaged.
        """
        if self.bids is not None:
            return sidecars.texts(self.bids, self.path)
        return self.source.sidecars

    @property
    def read_paths(self) -> list[Path]:
        """Files and directories that a run reads for this sample."""
        found = list(self.files)
        for part in parts(self.path):
            named = find(part) if has_places(part) else [part]
            found += (Path(path) for path in named if not is_address(path) and _is_store(path))
        if self.options["nifti"]["header"]:
            found.append(Path(self.options["nifti"]["header"]))
        return found

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


def _is_store(path: str) -> bool:
    """Whether a path is a store that is read as a whole: its files are not all listed."""
    return family_of(path) in (ZarrSource, PrecomputedSource)
