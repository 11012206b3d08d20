"""The source of a sample, and what the user says of it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from neurozarr.bids import label_table, microscopy, sidecars
from neurozarr.errors import NeurozarrError, SourceError
from neurozarr.nifti.fit import stored_dtype
from neurozarr.run.paths import Place, StorePaths
from neurozarr.samples import headers, in_place
from neurozarr.sources import Source, family_of, open_source, stem
from neurozarr.sources.base import Layout
from neurozarr.sources.dicom import Conversion, DicomSource
from neurozarr.sources.paths import find, has_places, is_address, parts
from neurozarr.sources.precomputed import PrecomputedSource
from neurozarr.sources.zarr.store import ZarrSource
from neurozarr.zarr.documents import Document

#: Fields of a sample for sizes that the user gives.
SIZES = ("voxel_size", "unit", "time_step", "time_unit")


@dataclass(frozen=True, kw_only=True)
class SampleSource:
    """One image to convert, with its options, as its source and the user describe it.

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
    def overrides(self) -> dict[str, Any]:
        """Arguments of `neurozarr.sources.open_source` other than the path and the template."""
        given = {**self.layout, **{name: getattr(self, name) for name in SIZES}}
        return given | ({"beside": self._pixel_size} if self._pixel_size else {})

    @cached_property
    def _pixel_size(self) -> dict[str, tuple[float, str]]:
        """Sizes in the metadata of a microscopy image of a BIDS data set."""
        text = "" if self.bids is None else self.sidecars.get(".json", "")
        return microscopy.pixel_size(self.path, text) if "PixelSize" in text else {}

    @property
    def known(self) -> dict[str, Any]:
        """Like `overrides`, with the sizes of the opened source, so that jobs do not warn."""
        source = self.source
        known = self.layout | {"voxel_size": source.voxel_size, "unit": source.space_unit or None}
        if "t" in source.axes:
            known |= {"time_step": source.time_step, "time_unit": source.time_unit or None}
        return known

    def with_existing(self, paths: StorePaths) -> Self:
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


def _is_store(path: str) -> bool:
    """Whether a path is a store that is read as a whole: its files are not all listed."""
    return family_of(path) in (ZarrSource, PrecomputedSource)
