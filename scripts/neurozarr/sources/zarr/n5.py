"""Axes and voxel size of N5 arrays, in the dialects of different programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from neurozarr.ome import reading
from neurozarr.ome.reading import Grid
from neurozarr.sources.coordinates import of_axistags
from neurozarr.sources.zarr.images import parents
from neurozarr.sources.zarr.nodes import Node, Store
from neurozarr.zarr.documents import Document


def grid_of_n5(store: Store, array: Node, ndim: int) -> Grid:
    """Axes, scale and units of an N5 array, slowest axis first.

    They are read from its ``transform``: slowest axis first, unless its ``ordering`` is "F".
    Otherwise they come from ``axes``,
    ``pixelResolution`` or ``resolution``, and ``units`` or ``unit`` (fastest axis first) of the
    array or the nearest group that has them, with ``downsamplingFactors`` that multiply the scale;
    or from ilastik's attributes (slowest axis first).
    """
    if isinstance(transform := array.attributes.get("transform"), dict) and "scale" in transform:
        step = -1 if transform.get("ordering") == "F" else 1
        scale = _numbers(transform["scale"], ndim)
        return Grid(
            axes=reading.letters((transform.get("axes") or ())[::step]),
            scale=None if scale is None else scale[::step],
            units=tuple((transform.get("units") or ())[::step]),
            shift=(_numbers(transform.get("translate"), ndim) or ())[::step],
        )
    nearest = [array.attributes, *(group.attributes for group in parents(store, array))]
    scale = None
    all_units: Any = None
    for attributes in nearest:
        resolution = attributes.get("pixelResolution", attributes.get("resolution"))
        own_units = attributes.get("units", attributes.get("unit"))
        if isinstance(resolution, dict):
            own_units = resolution.get("unit", own_units)
            resolution = resolution.get("dimensions")
        scale = scale or _numbers(resolution, ndim)
        all_units = all_units or own_units
    factors = _numbers(array.attributes.get("downsamplingFactors"), ndim) or _numbers(
        _factors(nearest[1:], array.path.rpartition("/")[2]), ndim
    )
    if scale and factors:
        scale = tuple(size * factor for size, factor in zip(scale, factors, strict=True))
    if isinstance(all_units, str):
        all_units = [all_units] * ndim
    tags = of_axistags(array.attributes, ndim)
    if scale is None and tags is not None:
        return tags
    names = next((attributes["axes"] for attributes in nearest if "axes" in attributes), ())
    return Grid(
        axes=reading.letters(names[::-1]),
        scale=None if scale is None else scale[::-1],
        units=tuple((all_units or ())[::-1]),
    )


def _factors(groups: Sequence[Document], name: str) -> Any:
    """Downsampling factors of a level named s0, s1 and so on, in the attributes of its groups."""
    level = re.fullmatch(r"s(\d+)", name)
    for attributes in groups:
        steps = attributes.get("scales", attributes.get("downsamplingFactors"))
        if level and isinstance(steps, list) and int(level[1]) < len(steps):
            return steps[int(level[1])]
    return None


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """Convert a list of ``count`` numbers; None if it is anything else."""
    if not isinstance(values, list) or len(values) != count:
        return None
    return tuple(map(float, values))
