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
from neurozarr.ome.reading import images_of
from neurozarr.zarr.documents import Document
from neurozarr.zarr.versions import zarr_version

#: Name of the coordinate system of all levels, from 0.6 on: scaled voxels of level 0.
INTRINSIC = "intrinsic"
_COLORS = ("FF0000", "00FF00", "0000FF", "FF00FF", "00FFFF", "FFFF00")


def attributes(
    *,
    axes: Sequence[str],
    shapes: Sequence[Sequence[int]],
    space_scale: float | Sequence[float] = 1.0,
    time_scale: float = 1.0,
    space_unit: str = "micrometer",
    time_unit: str = "second",
    name: str = "",
    pyramid_aligns: str | float | Sequence[str | float] = 2,
    no_pool: int | None = None,
    multiscales_type: str = "",
    metadata: Mapping[str, Any] | None = None,
    orientation: Mapping[str, str] | None = None,
    spaces: Sequence[Space] = (),
    ome_version: str = "0.4",
) -> dict[str, Any]:
    """The attributes of a group that is a multiscale image.

    Parameters
    ----------
    shapes
        Shape of every level, finest first, in voxels, in the order of ``axes``.
    axes, space_scale, time_scale, space_unit, time_unit, name, pyramid_aligns, no_pool,
    multiscales_type, ome_version
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
        "multiscales" metadata). In 0.4 and 0.5, the time step is in the transformations of the
        image, as NIfTI-Zarr requires (1.0.rc1, section 2.3); in 0.6, in those of each level,
        since those of the image can only lead to other coordinate systems.

    Raises
    ------
    ValueError
        An axis, a unit, an alignment or a version is unknown, or a shape or a scale does not match
        the axes.
    """
    zarr_version(ome_version)
    axes = tuple(axes)
    _check_axes(axes)
    for shape in shapes:
        if len(shape) != len(axes):
            raise ValueError(f"axes are {axes}, but a level has shape {tuple(shape)}")
    batch = sum(AXIS_TYPES[axis] != "space" for axis in axes)
    ndim = len(axes) - batch
    voxel_size = _per_axis("space_scale", space_scale, ndim)
    aligns = _per_axis("pyramid_aligns", pyramid_aligns, ndim)
    if no_pool is not None and not 0 <= no_pool < ndim:
        raise ValueError(f"no_pool is {no_pool}; allowed: None, or an index below {ndim}")

    columns = [
        _axis_transforms([shape[batch + i] for shape in shapes], voxel_size[i], aligns[i])
        if i != no_pool
        else [(float(voxel_size[i]), 0.0)] * len(shapes)
        for i in range(ndim)
    ]
    levels = list(zip(*columns, strict=True))
    time = [float(time_scale) if axis == "t" else 1.0 for axis in axes]
    described = [_axis(axis, space_unit, time_unit, orientation or {}) for axis in axes]
    multiscale: dict[str, Any] = {}
    if ome_version == "0.6":
        multiscale["coordinateSystems"] = [{"name": INTRINSIC, "axes": described}]
        multiscale["datasets"] = [
            _dataset(str(number), row, time[:batch]) for number, row in enumerate(levels)
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
                _affine(space, axes, voxel_size) for space in spaces
            ]
    else:
        multiscale["axes"] = described
        multiscale["datasets"] = [
            {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0] * batch + [scale for scale, _ in row]},
                    {"type": "translation", "translation": [0.0] * batch + [t for _, t in row]},
                ],
            }
            for number, row in enumerate(levels)
        ]
        if "t" in axes:
            multiscale["coordinateTransformations"] = [{"type": "scale", "scale": time}]
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


def _dataset(path: str, row: Sequence[tuple[float, float]], batch: Sequence[float]) -> Document:
    """The "datasets" entry of a level in 0.6: its scale and, if it is not 0, its translation."""
    scale = {"type": "scale", "scale": [*batch, *(scale for scale, _ in row)]}
    shift = {"type": "translation", "translation": [0.0] * len(batch) + [t for _, t in row]}
    moved = any(shift["translation"])
    transform = {"type": "sequence", "transformations": [scale, shift]} if moved else scale
    ends = {"input": {"path": path}, "output": {"name": INTRINSIC}}
    return {"path": path, "coordinateTransformations": [transform | ends]}


def _affine(space: Space, axes: Sequence[str], voxel_size: Sequence[float]) -> Document:
    """The 0.6 transformation from scaled voxels to an anatomical coordinate system."""
    sizes = dict(zip(reversed(axes), reversed(voxel_size), strict=False))

    def entry(to: str, start: str) -> float:
        if to in RAS and start in RAS:
            return space.affine["xyz".index(to)]["xyz".index(start)] / sizes[start]
        return float(to == start)

    return {
        "type": "affine",
        "affine": [
            [*(entry(to, start) for start in axes), space.affine["xyz".index(to)][3]]
            if to in RAS
            else [*(entry(to, start) for start in axes), 0.0]
            for to in axes
        ],
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


def _per_axis(field: str, value: Any, ndim: int) -> list[Any]:
    values = [value] * ndim if isinstance(value, str) or not hasattr(value, "__len__") else value
    if len(values) != ndim:
        raise ValueError(
            f"{field} is {value!r}; allowed: one value, or one for each of {ndim} axes"
        )
    return list(values)


def _axis_transforms(
    lengths: Sequence[int], voxel_size: float, align: str | float
) -> list[tuple[float, float]]:
    """Scale and translation of every level along one axis, from the lengths of the levels."""
    transforms: list[tuple[float, float]] = []
    for level, length in enumerate(lengths):
        if level and length == lengths[level - 1]:
            transforms.append(transforms[-1])
            continue
        factor, shift = _alignment(lengths[0], length, align, level)
        transforms.append((factor * float(voxel_size), shift * float(voxel_size)))
    return transforms


def _alignment(base: int, length: int, align: str | float, level: int) -> tuple[float, float]:
    """Voxel size, and position of the first voxel's centre, in voxels of level 0."""
    if align == "center" and length > 1:
        return (base - 1) / (length - 1), 0.0
    if align in ("edge", "center"):
        factor = base / length
    elif isinstance(align, (int, float)) and not isinstance(align, bool) and align > 0:
        factor = float(align**level)
    else:
        raise ValueError(
            f'pyramid_aligns has {align!r}; allowed: a downsampling factor, "edge" or "center"'
        )
    return factor, (factor - 1) / 2
