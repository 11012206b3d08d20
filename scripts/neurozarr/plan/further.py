"""The levels that an image of others has, and those that are added to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurozarr.axes import SPATIAL
from neurozarr.plan.levels import Level, bytes_per_second, level_blocks
from neurozarr.plan.pyramid import Edge, Factors, pyramid
from neurozarr.zarr.chunks import inner_chunk_shape, write_chunk_shape
from neurozarr.zarr.config import ZarrConfig
from neurozarr.zarr.documents import Document
from neurozarr.zarr.layout import array_layout
from neurozarr.zarr.metadata import array_document, dtype_of, options, with_shape

#: Speed at which one thread encodes voxels by a codec for which there is no option, in bytes/s.
_UNKNOWN_CODEC = 5e6


def plan_further(
    documents: Sequence[Document],
    axes: str,
    *,
    zarr: Mapping[str, Any],
    levels: int,
    factors: Factors,
    edge: Edge,
    no_pyramid_axis: int | None,
    voxel_size: Sequence[float],
    block_mb: float,
    max_jobs: int,
) -> tuple[Level, ...]:
    """Plan the levels that are added to an image, which continue its last level.

    Parameters
    ----------
    documents
        Metadata of the arrays of its levels, finest first.
    axes
        Names of their axes, slowest first, in any order.
    zarr
        Options of the new arrays that are not to be those of the last array.
    levels, factors, edge, no_pyramid_axis
        As for `plan_levels`. The number and the factors of levels count those that there are.
    voxel_size
        Voxel size of the last level along z, y and x, in any unit.
    block_mb, max_jobs
        As for `plan_levels`.

    Returns
    -------
    tuple[Level, ...]
        All levels, finest first; those that there are have no blocks.

    Raises
    ------
    ValueError, TypeError
        An option does not fit the image.
    """
    last, there = documents[-1], len(documents)
    shape, dtype = tuple(last["shape"]), dtype_of(last).newbyteorder("=")
    template, speed = _template(last, zarr)
    chunks = inner_chunk_shape(template) or write_chunk_shape(template)
    further = max(levels - (there - 1), 0) if levels >= 0 else levels
    if not isinstance(factors, (int, str)):
        factors = factors[there - 1 :]
        further = min(further, len(factors))
    steps = pyramid(
        _spatial(shape, axes),
        _spatial(chunks, axes),
        levels=further,
        factors=factors,
        edge=edge,
        voxel_size=voxel_size,
        no_pyramid_axis=no_pyramid_axis,
    )[1:]
    shapes = [_all(step.shape, axes, shape) for step in steps]
    write_chunk = write_chunk_shape(template)
    blocks = level_blocks(shapes, write_chunk, dtype.itemsize, block_mb, max_jobs) if shapes else []
    return tuple(map(_given, documents)) + tuple(
        Level(
            shape=new,
            chunks=chunks,
            write_chunk=write_chunk,
            block=block,
            factors=_all(step.factors, axes, (1,) * len(axes)),
            dtype=dtype,
            document=with_shape(template, new),
            bytes_per_second=speed,
        )
        for new, block, step in zip(shapes, blocks, steps, strict=True)
    )


def _given(document: Document) -> Level:
    """A level that an image has."""
    write_chunk = write_chunk_shape(document)
    return Level(
        shape=tuple(document["shape"]),
        chunks=inner_chunk_shape(document) or write_chunk,
        write_chunk=write_chunk,
        block=write_chunk,
        factors=(1,) * len(write_chunk),
        dtype=dtype_of(document).newbyteorder("="),
        document=document,
        bytes_per_second=_UNKNOWN_CODEC,
        given=True,
    )


def _template(last: Document, zarr: Mapping[str, Any]) -> tuple[Document, float]:
    """The document of the new arrays, but for their shape; and the speed at which they are encoded.

    Without options for them, it is that of the last array, whatever it has.
    """
    try:
        known = options(last)
        speed = bytes_per_second(ZarrConfig(**known))
    except (KeyError, ValueError) as error:
        if zarr:
            raise ValueError(
                f"zarr.{next(iter(zarr))} cannot be changed for new levels: {error}"
            ) from None
        return last, _UNKNOWN_CODEC
    if not zarr:
        return last, speed
    if "compressor" in zarr:
        known["compressor_options"] = {}
    config = ZarrConfig(**known | dict(zarr))
    dtype = dtype_of(last)
    if last["zarr_format"] == 3 and _is_big(last["codecs"]):
        raise ValueError(
            f"zarr.{next(iter(zarr))} cannot be changed for new levels, because the voxels are "
            "big-endian"
        )
    chunks, shards = array_layout(last["shape"], dtype, config)
    made = array_document(
        last["shape"],
        dtype,
        chunks=chunks,
        shards=shards,
        config=config,
        dimension_names=last.get("dimension_names"),
    )
    if last["zarr_format"] == 2:
        made["dtype"] = last["dtype"]
    return made, bytes_per_second(config)


def _is_big(codecs: Sequence[Document]) -> bool:
    """Whether codecs of Zarr v3, also those within shards, write big-endian numbers."""
    found = [codec.get("configuration") or {} for codec in codecs]
    return any(known.get("endian") == "big" or _is_big(known.get("codecs", ())) for known in found)


def _spatial(lengths: Sequence[int], axes: str) -> list[int]:
    """Lengths along z, y and x; 1 along those that an image lacks."""
    return [lengths[axes.index(axis)] if axis in axes else 1 for axis in SPATIAL]


def _all(spatial: Sequence[int], axes: str, others: Sequence[int]) -> tuple[int, ...]:
    """A number for each axis: those along z, y and x are given, others stay."""
    return tuple(
        int(spatial[SPATIAL.index(axis)]) if axis in SPATIAL else int(other)
        for axis, other in zip(axes, others, strict=True)
    )
