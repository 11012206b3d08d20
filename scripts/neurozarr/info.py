"""A table of the levels of a store, which the command ``neurozarr info`` prints."""

from __future__ import annotations

from pathlib import Path

from neurozarr.errors import SourceError
from neurozarr.ome import reading
from neurozarr.sources.zarr.images import (
    check_converted,
    damage_named,
    images,
    level_of,
    open_store,
)
from neurozarr.sources.zarr.nodes import Node, Store, join
from neurozarr.sources.zarr.store import grid_of_image
from neurozarr.tables import by, level_line, voxel_size
from neurozarr.zarr.documents import HEADER


def describe(path: str) -> str:
    """Return a table of the levels of each image in a store: shape, voxel size, chunk, disk usage.

    Raises
    ------
    SourceError
        There is no store, it contains no image, or its metadata are damaged.
    """
    check_converted(path)
    with damage_named(path):
        store = open_store(path)
        nodes = [node for name in images(store, "") if (node := store.node(name))]
        groups = [node for node in nodes if not node.is_array]
        if not groups:
            kind = "array" if nodes and not nodes[0].path else "group"
            raise SourceError(f"{path}: a Zarr {kind} that contains no OME-Zarr image")
        return "\n\n".join(_describe(store, group) for group in groups)


def _describe(store: Store, group: Node) -> str:
    image = reading.image_of(group.attributes)
    rows, grids = [], []
    for level in reading.levels_of(image):
        node = level_of(store, group, image, level)
        array, address = store.open(node), store.address(node.path)
        grid = grid_of_image(address, image, level, len(array.shape))
        size = "unknown" if store.is_address else f"{_size(Path(address)) / 1e6:.2f}"
        rows.append(
            level_line(
                reading.path_of(image, level),
                by(array.shape),
                voxel_size(grid.scale or ()),
                by(array.chunks),
                size,
            )
        )
        grids.append(grid)
    named = zip(grids[0].names, grids[0].units, grids[0].types, strict=True)
    axes = [f"{name} ({unit or kind or 'unknown'})" for name, unit, kind in named]
    lines = [
        f"{store.address(group.path)}: Zarr v{group.version}, axes {', '.join(axes)}",
        level_line("level", "shape", "voxel size", "chunk", "MB on disk"),
        *rows,
    ]
    header = store.node(join(group.path, HEADER))
    if header is not None and header.is_array:
        lines.append(f"with a NIfTI header of {store.open(header).shape[0]} bytes")
    return "\n".join(lines)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
