"""Say what is in a store: ``python -m neurozarr STORE``."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from neurozarr import ome
from neurozarr.drivers import open_group
from neurozarr.zarr.abc import ZarrGroup


def describe(path: Path) -> str:
    """A table of an image's levels: shape, voxel size, chunks and size on disk.

    Raises
    ------
    FileNotFoundError
        There is no group.
    KeyError
        The group is no image.
    """
    group: ZarrGroup = open_group(path, "r")
    image = ome.image_of(group.attrs)
    axes = [f"{axis['name']} ({axis.get('unit', axis['type'])})" for axis in ome.axes_of(image)]
    lines = [
        f"{path}: Zarr v{group.zarr_version}, axes {', '.join(axes)}",
        f"{'level':<7}{'shape':<24}{'voxel size':<28}{'chunk':<20}{'MB on disk':>10}",
    ]
    # The scale of time stands with the image, where there are no coordinate systems to name.
    common = image.get("coordinateTransformations", []) if "axes" in image else []
    for level, dataset in enumerate(image["datasets"]):
        array = group.array(dataset["path"])
        scales = [ome.scale_of(image, level)[0], *(step["scale"] for step in common)]
        scale = [math.prod(sizes) for sizes in zip(*scales, strict=True)]
        files = (path / dataset["path"]).rglob("*")
        size = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
        lines.append(
            f"{dataset['path']:<7}{_by(array.shape):<24}{_by(f'{s:.4g}' for s in scale):<28}"
            f"{_by(array.chunks):<20}{size:>10.2f}"
        )
    if "nifti" in group:
        lines.append(f"with a NIfTI header of {group.array('nifti').shape[0]} bytes")
    return "\n".join(lines)


def _by(numbers: object) -> str:
    return " x ".join(str(number) for number in numbers)  # type: ignore[attr-defined]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        print(describe(Path(sys.argv[1])))
    except FileNotFoundError as error:
        sys.exit(str(error))
    except KeyError:
        sys.exit(f"{sys.argv[1]} is a Zarr group, but no OME-Zarr image")
