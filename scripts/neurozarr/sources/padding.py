"""Slices of different size, each placed within a slice that is as large as any of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from neurozarr.regions import Region
from neurozarr.sources import images
from neurozarr.sources.images import Image

#: Axes along which slices may have different lengths.
_PADDED = "yx"
#: Maximum number of slices that are named.
_MAX_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Padding:
    """Where slices lie within padded ones.

    Attributes
    ----------
    shapes
        Shape of each slice, in voxels.
    starts
        Index of its first voxel in the padded slice.
    text
        What is padded, in words; "" if nothing is.
    """

    shapes: tuple[tuple[int, ...], ...]
    starts: tuple[tuple[int, ...], ...]
    text: str

    def read(self, number: int, file: str, region: Region, padded: Image) -> np.ndarray:
        """Read a region of a padded slice: zeros where the slice has no voxels.

        Parameters
        ----------
        number
            Number of the slice.
        file
            Its file.
        region
            A slice for each axis of the padded slice.
        padded
            What the header would contain if the slice were as large.

        Raises
        ------
        SourceError
            The file has changed, or cannot be read.
        """
        voxels = np.zeros([side.stop - side.start for side in region], padded.dtype)
        shape = self.shapes[number]
        inside, target = [], []
        for side, start, length in zip(region, self.starts[number], shape, strict=True):
            first, end = max(side.start - start, 0), min(side.stop - start, length)
            if first >= end:
                return voxels
            inside.append(slice(first, end))
            target.append(slice(first + start - side.start, end + start - side.start))
        expected = replace(padded, shape=shape)
        voxels[tuple(target)] = images.read_voxels(file, tuple(inside), expected)
        return voxels


def pad(files: Sequence[str], where: str) -> tuple[Image, Padding]:
    """Place slices within one that is as large as any of them; this reads all headers.

    Parameters
    ----------
    files
        The slices.
    where
        "center" or "corner", that of the first voxel.

    Returns
    -------
    Image, Padding
        Header of the padded slices, of the first file that is as large; and where each slice lies.

    Raises
    ------
    SourceError
        The slices have different axes, numbers of channels or data types, or cannot be read.
    """
    first = images.read_header(files[0])
    shapes, chunks = [], []
    for file in files:
        image = images.read_header(file)
        lengths = dict(zip(image.axes, image.shape, strict=True))
        shape = tuple(
            lengths.get(axis, 1) if axis in _PADDED else length
            for axis, length in zip(first.axes, first.shape, strict=True)
        )
        images.check(file, image, replace(first, shape=shape))
        shapes.append(shape)
        chunks.append(image.native_chunk_shape)
    largest = tuple(map(max, zip(*shapes, strict=True)))
    starts = [
        tuple(
            (n - length) // 2 * (where == "center")
            for n, length in zip(largest, shape, strict=True)
        )
        for shape in shapes
    ]
    smaller = [number for number, shape in enumerate(shapes) if shape != largest]
    named = [
        f"{os.path.basename(files[number])} of {shapes[number]} from {starts[number]}"
        for number in smaller[:_MAX_LISTED]
    ]
    more = ", ..." if len(smaller) > _MAX_LISTED else ""
    text = (
        f"margins of {len(smaller)} of {len(files)} slices in {largest}: {', '.join(named)}{more}"
    )
    chunk = tuple(map(max, zip(*chunks, strict=True)))
    file = files[shapes.index(largest)] if largest in shapes else files[0]
    padded = replace(first, shape=largest, native_chunk_shape=chunk, file=file)
    return padded, Padding(shapes=tuple(shapes), starts=tuple(starts), text=text if smaller else "")
