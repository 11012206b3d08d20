"""The files at the top of a derivative data set of converted images."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurozarr.bids.dataset import read_description
from neurozarr.version import VERSION

#: Files at the top of a derivative.
NAMES = ("dataset_description.json", ".bidsignore")
#: Version of BIDS whose rules the names of files follow.
_BIDS = "1.10.0"
#: What validators of BIDS shall not look at: they know no .nii.zarr, take the JSON file of one for
#: that of an image that is missing, and do not know exports and reports.
_IGNORED = ("*.zarr", "sub-*/**/*.json", "nifti", "verify")


def texts(roots: Sequence[str], folder: str | os.PathLike[str]) -> dict[str, str]:
    """Contents of the files at the top of a derivative, by their names.

    The version of neurozarr is that in the description that is there, if all else is the same: a
    new version makes no new derivative.

    Parameters
    ----------
    roots
        Directories of the data sets whose images are converted.
    folder
        Directory of the derivative.
    """
    document = _document(roots)
    there = read_description(os.fspath(folder))
    if _without_version(there) == _without_version(document):
        document = there
    return {
        NAMES[0]: json.dumps(document, indent=2, ensure_ascii=False) + "\n",
        NAMES[1]: "".join(f"{pattern}\n" for pattern in _IGNORED),
    }


def _document(roots: Sequence[str]) -> dict[str, Any]:
    """The description of a derivative (BIDS 1.10, "dataset_description.json")."""
    found = {root: read_description(root) for root in roots}
    names = [str(known.get("Name") or Path(root).resolve().name) for root, known in found.items()]
    return {
        "Name": f"{', '.join(names)}: images as OME-Zarr",
        "BIDSVersion": _BIDS,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "neurozarr", "Version": VERSION}],
        "SourceDatasets": [_source(root, known) for root, known in found.items()],
    }


def _source(root: str, known: dict[str, Any]) -> dict[str, str]:
    if isinstance(doi := known.get("DatasetDOI"), str) and doi:
        return {"DOI": doi}
    return {"URL": Path(root).resolve().as_uri()}


def _without_version(document: dict[str, Any]) -> dict[str, Any]:
    made_by = document.get("GeneratedBy")
    if not (isinstance(made_by, list) and made_by and isinstance(made_by[0], dict)):
        return document
    return document | {"GeneratedBy": [made_by[0] | {"Version": None}, *made_by[1:]]}
