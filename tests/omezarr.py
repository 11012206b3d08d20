"""OME-Zarr images as others write them, with zarr-python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

AXES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write(
    path: Path,
    voxels: np.ndarray,
    axes: str = "zyx",
    *,
    chunk: int = 4,
    labels: Mapping[str, Any] | None = None,
    omero: Mapping[str, Any] | None = None,
) -> Path:
    """Write an image of one level as OME-Zarr 0.5, and label images of the same grid below it."""
    chunks = (chunk,) * len(axes)
    described = [{"name": axis, "type": AXES[axis]} for axis in axes]
    scale = [{"type": "scale", "scale": [1.0] * len(axes)}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    ome = {"version": "0.5", "multiscales": [{"axes": described, "datasets": datasets}]}
    zarr.create_group(path, attributes={"ome": ome | ({"omero": omero} if omero else {})})
    zarr.create_array(path / "0", data=voxels, chunks=chunks)
    if labels:
        zarr.create_group(path / "labels", attributes={"ome": {"labels": [*labels]}})
        for name, (values, details) in labels.items():
            attributes = {"ome": ome | {"image-label": details}}
            zarr.create_group(path / "labels" / name, attributes=attributes)
            zarr.create_array(path / "labels" / name / "0", data=values, chunks=chunks)
    return path
