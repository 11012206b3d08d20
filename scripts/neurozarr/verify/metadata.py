"""Verification of a store's metadata against the plan and the OME-Zarr specification."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neurozarr import ome
from neurozarr.ome import reading
from neurozarr.run import extending, publishing, receipts
from neurozarr.run.paths import LevelPaths, StorePaths
from neurozarr.run.receipts import Damage
from neurozarr.zarr.documents import (
    GROUP_FILES,
    HEADER,
    Document,
    group_documents,
    read_json,
)

if TYPE_CHECKING:
    from neurozarr.voxels.kernels import Mode


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Plan of an image.

    Attributes
    ----------
    documents
        Metadata of the array of each level, finest first.
    axes
        Names of the axes of the arrays.
    attributes
        Attributes of the group, without its channels.
    channels
        Names and colours of the channels, without their windows.
    header_checksum
        XXH3 checksum of the NIfTI header; None if the store has none.
    factors
        Downsampling factor of each axis from level to level, finest first.
    mode
        Downsampling mode of the pyramid.
    """

    documents: Sequence[Document]
    axes: str
    attributes: Document
    channels: Sequence[Document]
    header_checksum: int | None
    factors: Sequence[Sequence[int]]
    mode: Mode

    @property
    def zarr_version(self) -> int:
        """Version of the Zarr format."""
        return self.documents[0]["zarr_format"]


def check_document(level: LevelPaths, document: Document) -> list[Damage]:
    """Compare the metadata of an array with the plan.

    Parameters
    ----------
    level
        Paths of the level.
    document
        Planned metadata.

    Returns
    -------
    list of Damage
        Empty if the metadata are as planned.
    """
    file = level.document
    try:
        if read_json(file) == document:
            return []
        problem = "the array's metadata differ from the plan"
    except FileNotFoundError:
        problem = "missing"
    except ValueError as error:
        problem = f"the array's metadata cannot be read ({error})"
    redo = level.job_output(file)
    return [Damage(path=file, problem=problem, redo=redo, level=int(level.number))]


def check_image(paths: StorePaths, planned: Planned) -> list[Damage]:
    """Check the metadata of an image against the plan and the specification.

    OME-Zarr 0.4 and 0.5 are validated by yaozarrs, which does not support 0.6.

    Parameters
    ----------
    paths
        Paths of the store.
    planned
        Plan of the image.

    Returns
    -------
    list of Damage
        Empty if the metadata are as planned and valid.
    """
    try:
        problem = _image_problem(paths.store, planned)
        if paths.label and problem is None:
            problem = publishing.list_problem(paths)
    except FileNotFoundError as error:
        problem = f"{error.filename} is missing"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"the metadata cannot be read ({error!r})"
    return [Damage(path=paths.store, problem=problem, redo=paths.group[0])] if problem else []


def check_extension(paths: StorePaths) -> list[Damage]:
    """Check that the metadata of an image of others describe the levels that were added to it.

    Parameters
    ----------
    paths
        Paths of the image.

    Returns
    -------
    list of Damage
        Empty if they do.
    """
    problem = extending.problem(paths)
    return [Damage(path=paths.store, problem=problem, redo=paths.ome_receipt)] if problem else []


def _image_problem(store: Path, planned: Planned) -> str | None:
    names = GROUP_FILES[planned.zarr_version]
    found = {name: read_json(store / name) for name in names}
    attributes: Document = found[names[-1]]["attributes"] if len(names) == 1 else found[".zattrs"]
    channels = reading.channels_of(attributes)
    windows = [tuple(channel["window"].values()) for channel in channels]
    made_by = reading.image_of(attributes)["metadata"]["version"]
    expected = ome.with_version(planned.attributes, [made_by])
    expected = ome.with_windows(expected, planned.channels, windows)
    if found != group_documents(planned.zarr_version, expected):
        return "the metadata differ from the plan"
    if reading.version_of(attributes) in ("0.4", "0.5"):
        import yaozarrs

        try:
            yaozarrs.validate_ome_json(json.dumps(attributes))
        except ValueError as error:
            return f"the metadata are not valid ({error})"
    return None


def check_header(paths: StorePaths, planned: Planned) -> list[Damage]:
    """Check the files of the NIfTI header against the plan and the header's receipt.

    Parameters
    ----------
    paths
        Paths of the store.
    planned
        Plan of the image.

    Returns
    -------
    list of Damage
        Missing and modified files.
    """
    receipt, folder, redo = paths.header_receipt, paths.store / HEADER, paths.header[0]
    try:
        known = read_json(receipt)
        if known["header"] != planned.header_checksum:
            problems = {folder: "the NIfTI header differs from the plan"}
        else:
            problems = receipts.changed_files(folder, known["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems = {receipt: f"the receipt of the NIfTI header cannot be read ({error!r})"}
    return [Damage(path=path, problem=found, redo=redo) for path, found in problems.items()]
