"""BIDS data sets for tests."""

import json

import nibabel
import numpy as np

VOXELS = np.random.default_rng(0).integers(0, 99, (6, 7, 8), dtype="i2")


def image(path, voxels=VOXELS):
    """Write an image, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = nibabel.Nifti1Image(voxels, np.diag([2, 2, 2, 1]))
    made.header.set_xyzt_units("mm", "sec")
    made.to_filename(path)
    return path


def text(path, content=""):
    """Write a text file, or a document as JSON, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def data_set(root, *images, **description):
    """A data set with a description, and images given by their paths."""
    text(root / "dataset_description.json", {"Name": "A", "BIDSVersion": "1.8.0"} | description)
    for path in images:
        image(root / path)
    return root
