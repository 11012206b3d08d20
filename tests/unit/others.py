"""OME-Zarr images of others, written by their programs or by zarr-python."""

import hashlib
import json
import shutil
import warnings

import numpy as np
import zarr

SHAPE = (20, 30, 40)
TYPES = {"t": "time", "c": "channel"}


def voxels(shape=SHAPE, dtype="u2"):
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


def image(folder, version=3, *, names=("0",), axes="zyx", shape=SHAPE, dtype="u2", **options):
    """An image with levels of some names, each half as large as the one before."""
    more = {name: options.pop(name, {}) for name in ("attributes", "ome")}
    group = zarr.open_group(folder, mode="w", zarr_format=version)
    datasets = []
    for level, name in enumerate(names):
        lengths = [n if a in TYPES else n >> level for a, n in zip(axes, shape, strict=True)]
        data = voxels(lengths, dtype)
        chunks = tuple(min(8, length) for length in lengths)
        array = group.create_array(
            name, shape=data.shape, chunks=chunks, dtype=data.dtype, **options
        )
        array[:] = data
        scale = [0.25 * (1 if axis in TYPES else 2**level) for axis in axes]
        steps = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": [0.5] * len(axes)},
        ]
        datasets.append({"path": name, "coordinateTransformations": steps})
    described = [{"name": axis, "type": TYPES.get(axis, "space")} for axis in axes]
    multiscales = [{"axes": described, "datasets": datasets}]
    if version == 2:
        multiscales[0]["version"] = "0.4"
    ome = {"multiscales": multiscales} | more["ome"]
    group.attrs.update(
        more["attributes"] | (ome if version == 2 else {"ome": {"version": "0.5"} | ome})
    )
    return folder


def by_ngff_zarr(folder, version):
    """An image by ngff-zarr: scale0/image in groups, with consolidated metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ngff_zarr

        made = ngff_zarr.to_ngff_image(
            voxels(), dims=tuple("zyx"), scale=dict.fromkeys("zyx", 0.25)
        )
        multiscales = ngff_zarr.to_multiscales(made, scale_factors=[], chunks=8)
        ngff_zarr.to_ngff_zarr(str(folder), multiscales, version=version)
    return folder


def by_ome_zarr(folder, version):
    """An image by ome-zarr-py."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ome_zarr.format import FormatV04, FormatV05
        from ome_zarr.writer import write_image

        kind = FormatV04() if version == "0.4" else FormatV05()
        write_image(
            voxels(),
            str(folder),
            axes="zyx",
            scale_factors=[],
            fmt=kind,
            storage_options={"chunks": (8, 8, 8)},
        )
    return folder


def tree(folder):
    """A checksum of every file, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def attributes(folder):
    """The attributes of a group, read as JSON."""
    if (folder / ".zattrs").exists():
        return json.loads((folder / ".zattrs").read_text())
    return json.loads((folder / "zarr.json").read_text())["attributes"]


def multiscale(folder):
    found = attributes(folder)
    return found.get("ome", found)["multiscales"][0]


def levels(folder):
    """The voxels of all levels that an image lists, by zarr-python."""
    group = zarr.open_group(folder, mode="r")
    return [group[entry["path"]][...] for entry in multiscale(folder)["datasets"]]


def copy(folder, to):
    return shutil.copytree(folder, to)
