"""Which labels are at the voxels of the image that they are of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurozarr import units
from neurozarr.regions import Region
from neurozarr.report.image import Image, Level
from neurozarr.report.planes import MAX_BYTES, decoded_bytes


def labels_at(
    labels: Image, image: Image, level: Level, region: Region
) -> np.ndarray[Any, Any] | None:
    """The labels at the voxels of a region of an image; 0 where there are none.

    They are those of the level whose voxels are most like those of the image in size.

    Parameters
    ----------
    labels, image
        The labels, and the image that they are of, whose axes are parallel to theirs.
    level, region
        The region, of a level of the image, along z, y and x.

    Returns
    -------
    numpy.ndarray or None
        An array of the shape of the region; None if too many chunks would have to be decoded.
    """
    ratio = units.factor(image.unit, labels.unit)
    sizes = [size * ratio for size in level.size]
    for found in sorted(labels.levels, key=lambda other: _difference(other.size, sizes)):
        inside = np.ones((1, 1, 1), bool)
        places = []
        for axis, side in enumerate(region):
            steps = np.arange(side.start, side.stop) * sizes[axis] + level.first[axis] * ratio
            steps = np.rint((steps - found.first[axis]) / found.size[axis])
            places.append(np.clip(steps, 0, found.space[axis] - 1).astype(np.int64))
            shape = [-1 if axis == other else 1 for other in range(3)]
            inside = inside & (places[-1] == steps).reshape(shape)
        box = tuple(slice(int(steps.min()), int(steps.max()) + 1) for steps in places)
        if decoded_bytes(box, found.space_chunks, found.itemsize) <= MAX_BYTES:
            nearest = np.ix_(*(s - side.start for s, side in zip(places, box, strict=True)))
            return np.where(inside, found.read(box)[0][nearest], 0)
    return None


def _difference(sizes: Sequence[float], wanted: Sequence[float]) -> float:
    """How much voxel sizes differ, as the sum of the logarithms of their ratios."""
    return sum(abs(math.log(size / other)) for size, other in zip(sizes, wanted, strict=True))
