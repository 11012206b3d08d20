"""OME-Zarr metadata: pure functions from axes, shapes and voxel sizes to attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from neurozarr import units

#: Versions that are written, with the version of Zarr that each asks for.
VERSIONS: dict[str, Literal[2, 3]] = {"0.4": 2, "0.5": 3}

AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def zarr_version(ome_version: str) -> Literal[2, 3]:
    """Version of Zarr that a version of OME-Zarr asks for."""
    if ome_version not in VERSIONS:
        raise ValueError(f"ome_version is {ome_version!r}; allowed: {', '.join(VERSIONS)}")
    return VERSIONS[ome_version]


def version_for(zarr_version: int) -> str:
    """Version of OME-Zarr that is meant for a version of Zarr."""
    return next(ome for ome, zarr in VERSIONS.items() if zarr == zarr_version)


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
    ome_version: str = "0.4",
) -> dict[str, Any]:
    """The attributes that make a group a multiscale image.

    Parameters
    ----------
    shapes
        Shape of every level, finest first, in the order of ``axes``.
    axes, space_scale, time_scale, space_unit, time_unit, name, pyramid_aligns, no_pool,
    multiscales_type, ome_version
        As in `neurozarr.abc.ZarrGroup.write_ome_metadata`.

    Returns
    -------
    dict
        ``{"multiscales": [...]}`` for 0.4, ``{"ome": {...}}`` for 0.5 (OME-Zarr, "multiscales"
        metadata). The scale of the time axis stands at the level of the multiscales, as NIfTI-Zarr
        has it (1.0.rc1, section 2.3).

    Raises
    ------
    ValueError
        An axis, a unit, an alignment or a version is unknown, or a length does not match the axes.
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
    multiscale: dict[str, Any] = {
        "axes": [_axis(axis, space_unit, time_unit) for axis in axes],
        "datasets": [
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0] * batch + [scale for scale, _ in row]},
                    {"type": "translation", "translation": [0.0] * batch + [t for _, t in row]},
                ],
            }
            for level, row in enumerate(zip(*columns, strict=True))
        ],
    }
    if "t" in axes:
        scale = [float(time_scale) if axis == "t" else 1.0 for axis in axes]
        multiscale["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    if name:
        multiscale["name"] = name
    if multiscales_type:
        multiscale["type"] = multiscales_type
    if ome_version == "0.4":
        return {"multiscales": [{"version": "0.4"} | multiscale]}
    return {"ome": {"version": ome_version, "multiscales": [multiscale]}}


def _check_axes(axes: tuple[str, ...]) -> None:
    known = [axis for axis in AXIS_TYPES if axis in axes]
    if list(axes) != known or known[-2:] != ["y", "x"]:
        raise ValueError(
            f"axes are {list(axes)}; allowed: t, c, z, y, x in this order, of which t, c and z can "
            "be left out"
        )


def _axis(axis: str, space_unit: str, time_unit: str) -> dict[str, str]:
    kind = AXIS_TYPES[axis]
    unit = {"space": space_unit, "time": time_unit}.get(kind, "")
    described = {"name": axis, "type": kind}
    return described | {"unit": units.ome_unit(unit, kind)} if unit else described


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
    """Scale and translation of every level along one axis, whose lengths are given."""
    transforms: list[tuple[float, float]] = []
    for level, length in enumerate(lengths):
        if level and length == lengths[level - 1]:
            transforms.append(transforms[-1])
            continue
        factor, shift = _alignment(lengths[0], length, align, level)
        transforms.append((factor * float(voxel_size), shift * float(voxel_size)))
    return transforms


def _alignment(base: int, length: int, align: str | float, level: int) -> tuple[float, float]:
    """Voxel size and position of the first voxel's centre, in voxels of the base."""
    if align == "center" and length > 1:
        return (base - 1) / (length - 1), 0.0
    if align in ("edge", "center"):
        factor = base / length
    elif isinstance(align, (int, float)) and not isinstance(align, bool) and align > 0:
        factor = float(align**level)
    else:
        raise ValueError(
            f'pyramid_aligns has {align!r}; allowed: the size of the window, "edge" or "center"'
        )
    return factor, (factor - 1) / 2
