"""Writing OME-Zarr metadata: pure functions that return a group's attributes.

`neurozarr.ome.reading` reads them.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from neurozarr import units
from neurozarr.axes import AXIS_TYPES, RAS, Space
from neurozarr.ome.placement import Placement
from neurozarr.ome.reading import images_of
from neurozarr.zarr.documents import Document
from neurozarr.zarr.versions import zarr_version

#: Name of the coordinate system of all levels, from 0.6 on: scaled voxels of level 0.
INTRINSIC = "intrinsic"
_COLORS = ("FF0000", "00FF00", "0000FF", "FF00FF", "00FFFF", "FFFF00")


def attributes(
    *,
    axes: Sequence[str],
    placements: Sequence[Placement],
    space_scale: float | Sequence[float] = 1.0,
    position: Sequence[float] = (),
    time_scale: float = 1.0,
    space_unit: str = "micrometer",
    time_unit: str = "second",
    name: str = "",
    multiscales_type: str = "",
    metadata: Mapping[str, Any] | None = None,
    orientation: Mapping[str, str] | None = None,
    spaces: Sequence[Space] = (),
    ome_version: str = "0.4",
) -> dict[str, Any]:
    """The attributes of a group that is a multiscale image.

    Parameters
    ----------
    placements
        Where the voxels of each level are, finest first, along the spatial axes.
    position
        Position of the centre of the first voxel of level 0 along the spatial axes, in
        ``space_unit``; empty for 0.
    axes, space_scale, time_scale, space_unit, time_unit, name, multiscales_type, ome_version
        As in `neurozarr.zarr.abc.ZarrGroup.write_ome_metadata`.
    metadata
        Details of the downsampling, for the field "metadata".
    orientation
        Anatomical orientation of spatial axes, by their names: values of RFC-4.
    spaces
        Coordinate systems of the image, anatomical or not; ignored before version 0.6.

    Returns
    -------
    dict
        ``{"multiscales": [...]}`` for 0.4, ``{"ome": {...}}`` for later versions (OME-Zarr,
        "multiscales" metadata). The time step is in the transformations of each level, where all
        readers look for it. NIfTI-Zarr (1.0.rc1, section 2.3) recommends those of the image, of
        which there are none.

    Raises
    ------
    ValueError
        An axis, a unit or a version is unknown, or a size does not match the axes.
    """
    zarr_version(ome_version)
    axes = tuple(axes)
    _check_axes(axes)
    batch = sum(AXIS_TYPES[axis] != "space" for axis in axes)
    voxel_size = per_axis("space_scale", space_scale, len(axes) - batch)
    first = per_axis("position", position or 0.0, len(axes) - batch)
    leading = [float(time_scale) if axis == "t" else 1.0 for axis in axes[:batch]]
    levels = [
        (
            [*leading, *(s * size for s, size in zip(place.size, voxel_size, strict=True))],
            [0.0] * batch
            + [f + p * s for f, p, s in zip(first, place.first, voxel_size, strict=True)],
        )
        for place in placements
    ]
    described = [_axis(axis, space_unit, time_unit, orientation or {}) for axis in axes]
    multiscale: dict[str, Any] = {}
    if ome_version == "0.6":
        multiscale["coordinateSystems"] = [{"name": INTRINSIC, "axes": described}]
        multiscale["datasets"] = [
            _dataset(str(number), scale, shift) for number, (scale, shift) in enumerate(levels)
        ]
        if spaces:
            multiscale["coordinateSystems"] += [
                {
                    "name": space.name,
                    "axes": [
                        _axis(axis, space.unit, time_unit, space.orientation) for axis in axes
                    ],
                }
                for space in spaces
            ]
            multiscale["coordinateTransformations"] = [
                _affine(space, axes, voxel_size, first) for space in spaces
            ]
    else:
        multiscale["axes"] = described
        multiscale["datasets"] = [
            {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {"type": "translation", "translation": shift},
                ],
            }
            for number, (scale, shift) in enumerate(levels)
        ]
    if name:
        multiscale["name"] = name
    if multiscales_type:
        multiscale["type"] = multiscales_type
    if metadata:
        multiscale["metadata"] = dict(metadata)
    if ome_version == "0.4":
        return {"multiscales": [{"version": "0.4"} | multiscale]}
    return {"ome": {"version": ome_version, "multiscales": [multiscale]}}


def channels(
    count: int,
    *,
    names: Sequence[str] = (),
    colors: Sequence[str] = (),
    windows: Sequence[tuple[float, float] | None] = (),
    active: Sequence[bool] = (),
) -> list[Document]:
    """Label, colour and state of each channel (OME-Zarr, "omero" metadata).

    Parameters
    ----------
    count
        Number of channels.
    names, colors, windows, active
        For each channel: its label; its colour, as six hexadecimal digits; start and end of its
        display window; and whether it is shown. Empty if unknown; "" or None for a channel of which
        it is unknown. By default, a channel is white if it is the only one; otherwise red, green,
        blue, magenta, cyan and yellow, in turn.
    """
    cycle = itertools.cycle(_COLORS) if count > 1 else iter(["FFFFFF"])
    described: list[Document] = []
    for number, default in zip(range(count), cycle, strict=False):
        label = names[number] if names else ""
        color = (colors[number] if colors else "") or default
        window = windows[number] if windows else None
        described.append(
            ({"label": label} if label else {})
            | {"color": color.upper(), "active": active[number] if active else True}
            | ({"window": dict(zip(("start", "end"), window, strict=True))} if window else {})
        )
    return described


def with_version(attributes: Document, versions: Sequence[str]) -> Document:
    """The attributes of an image with the versions of this package that wrote its levels.

    Parameters
    ----------
    attributes
        The result of `attributes`, with ``metadata``.
    versions
        Version for each level, finest first.
    """
    changed = copy.deepcopy(attributes)
    (multiscale,) = images_of(changed)
    multiscale["metadata"]["version"] = ", ".join(dict.fromkeys(versions))
    return changed


def with_windows(
    attributes: Document,
    channels: Sequence[Document],
    windows: Sequence[tuple[float, float, float, float]],
) -> Document:
    """The attributes of an image with the "omero" metadata of its channels.

    Parameters
    ----------
    attributes
        The result of `attributes`.
    channels
        The result of `channels`, whose windows take precedence.
    windows
        Display window of each channel: min, max, start and end.
    """
    if not channels:
        return attributes
    omero = {
        "channels": [
            channel
            | {
                "window": dict(zip(("min", "max", "start", "end"), window, strict=True))
                | channel.get("window", {})
            }
            for channel, window in zip(channels, windows, strict=True)
        ],
        "rdefs": {"model": "color" if len(channels) > 1 else "greyscale"},
    }
    if "ome" in attributes:
        return attributes | {"ome": attributes["ome"] | {"omero": omero}}
    return attributes | {"omero": omero}


def _dataset(path: str, scale: Sequence[float], shift: Sequence[float]) -> Document:
    """The "datasets" entry of a level in 0.6: its scale and, if it is not 0, its translation."""
    transform: Document = {"type": "scale", "scale": scale}
    if any(shift):
        steps = [transform, {"type": "translation", "translation": shift}]
        transform = {"type": "sequence", "transformations": steps}
    ends = {"input": {"path": path}, "output": {"name": INTRINSIC}}
    return {"path": path, "coordinateTransformations": [transform | ends]}


def _affine(
    space: Space, axes: Sequence[str], voxel_size: Sequence[float], first: Sequence[float]
) -> Document:
    """The 0.6 transformation from intrinsic to anatomical coordinates.

    Intrinsic coordinates are those of the first voxel, ``first``, plus scaled voxel indices.
    """
    spatial = axes[len(axes) - len(voxel_size) :]
    sizes, starts = (dict(zip(spatial, values, strict=True)) for values in (voxel_size, first))

    def row(to: str) -> list[float]:
        if to not in RAS:
            return [*(float(to == start) for start in axes), 0.0]
        *columns, offset = space.affine["xyz".index(to)]
        known = {
            axis: value / sizes[axis]
            for axis, value in zip("xyz", columns, strict=True)
            if axis in sizes
        }
        offset -= sum(value * starts[axis] for axis, value in known.items())
        return [*(known.get(start, 0.0) for start in axes), offset]

    return {
        "type": "affine",
        "affine": [row(to) for to in axes],
        "input": {"name": INTRINSIC},
        "output": {"name": space.name},
    }


def _check_axes(axes: tuple[str, ...]) -> None:
    known = [axis for axis in AXIS_TYPES if axis in axes]
    if list(axes) != known or known[-2:] != ["y", "x"]:
        raise ValueError(
            f"axes are {list(axes)}; allowed: t, c, z, y, x in this order; t, c and z can be left "
            "out"
        )


def _axis(
    axis: str, space_unit: str, time_unit: str, orientation: Mapping[str, str]
) -> dict[str, Any]:
    kind = AXIS_TYPES[axis]
    unit = {"space": space_unit, "time": time_unit}.get(kind, "")
    described: dict[str, Any] = {"name": axis, "type": kind}
    if unit:
        described["unit"] = units.ome_unit(unit, kind)
    if axis in orientation:
        described["orientation"] = {"type": "anatomical", "value": orientation[axis]}
    return described


def per_axis(field: str, value: Any, ndim: int) -> list[Any]:
    """A value for each of ``ndim`` axes, from one for all of them or one for each.

    Raises
    ------
    ValueError
        There is another number of values; the message names the ``field``.
    """
    values = [value] * ndim if isinstance(value, str) or not hasattr(value, "__len__") else value
    if len(values) != ndim:
        raise ValueError(
            f"{field} is {value!r}; allowed: one value, or one for each of {ndim} axes"
        )
    return list(values)
