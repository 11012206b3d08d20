"""Options of a run that are the same for all its samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from neurozarr.run.paths import DatasetPaths, Place, StorePaths
from neurozarr.zarr.documents import LABELS


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Options that are the same for all samples of a run.

    Attributes
    ----------
    output
        Output directory, which contains the stores.
    zarr_version
        Version of the Zarr format.
    nii
        Whether the stores have a NIfTI header.
    verify
        How a store is verified after it is published.
    overwrite
        Whether a store that was made from another source may be replaced.
    bundle
        Whether many small samples are converted in one job.
    check_space
        Whether a run that does not fit on the disk is refused.
    in_place
        For each sample whose levels are added to an image of others: its place, and the version of
        Zarr. The place has no levels if none can be added.
    datasets
        The BIDS data sets whose images are converted, by the directory below the output of their
        derivative, such as "a/", or "" for the output itself.
    in_labels
        Names of images that are in a directory named like that of the labels of an image.
    """

    output: str
    zarr_version: Literal[2, 3]
    nii: bool
    verify: Literal["none", "quick", "full"]
    overwrite: bool
    bundle: bool
    check_space: bool
    in_place: dict[str, tuple[Place, Literal[2, 3]]] = field(default_factory=dict)
    datasets: dict[str, list[str]] = field(default_factory=dict)
    in_labels: tuple[str, ...] = ()

    def paths(self, sample: str) -> StorePaths:
        """Return the paths of a sample, by its name."""
        image, found, label = sample.rpartition(f"/{LABELS}/")
        if not found or sample in self.in_labels:
            image, found, label = sample, "", ""
        place, version = self.in_place.get(sample, (None, self.zarr_version))
        return StorePaths(
            output=self.output,
            sample=image,
            nii=self.nii and place is None,
            zarr_version=version,
            label=found + label,
            place=place,
        )

    def derivative(self, folder: str) -> DatasetPaths:
        """Return the paths of the files at the top of a derivative, by its directory."""
        return DatasetPaths(output=self.output, folder=folder)

    def written(self, samples: Iterable[str]) -> list[Path]:
        """List the stores, and the directories of receipts, exports and pages, of a run."""
        stores = [self.paths(name).store for name in samples if name not in self.in_place]
        none = self.paths("")
        beside = [none.state.parent, none.export(0).parent, none.index.parent]
        return [*stores, *beside]

    def groups(self) -> dict[str, Path]:
        """Directories of the images of others to which levels are added, by sample."""
        return {
            name: Path(place.group) for name, (place, _) in self.in_place.items() if place.names
        }
