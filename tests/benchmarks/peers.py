"""Convert NIfTI files with one other tool, in one process: ``peers.py TOOL OUT CODEC SOURCE ...``.

CODEC is "own", for what the tool does by itself, or "zstd5": Blosc with zstd 5 and byte shuffle, in
chunks of 128 voxels.
"""

import sys
import warnings
from pathlib import Path

import dask.array
import nibabel

warnings.simplefilter("ignore")

CHUNK = 128


def volume(source):
    """The stored voxels, lazily where the file allows it, in Zarr order."""
    return nibabel.load(source).dataobj.get_unscaled().T


def codecs():
    from zarr.codecs import BloscCodec

    return [BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")]


def nii2zarr(source, out, codec):
    import niizarr

    options = {}
    if codec == "zstd5":
        settings = {"cname": "zstd", "clevel": 5, "shuffle": "shuffle"}
        options = {"chunk": CHUNK, "compressor": "blosc", "compressor_options": settings}
    niizarr.nii2zarr(source, out, **options)


def ngff_zarr(source, out, codec):
    import ngff_zarr

    image = ngff_zarr.to_ngff_image(volume(source), dims=["z", "y", "x"])
    multiscales = ngff_zarr.to_multiscales(image, chunks=CHUNK if codec == "zstd5" else None)
    options = {"compressors": codecs()} if codec == "zstd5" else {}
    ngff_zarr.to_ngff_zarr(out, multiscales, version="0.5", **options)


def ome_zarr_py(source, out, codec):
    from ome_zarr.writer import write_image

    image = dask.array.from_array(volume(source), chunks=CHUNK)
    options = {"chunks": (CHUNK,) * 3, "compressors": codecs()} if codec == "zstd5" else None
    write_image(image, out, axes="zyx", scale_factors=(2, 4, 8), storage_options=options)


def stack_to_chunk(source, out, codec):
    from pydantic_zarr.v3 import ArraySpec
    from stack_to_chunk import MultiScaleGroup

    voxels = volume(source).T
    stack = dask.array.from_array(voxels, chunks=(*voxels.shape[:2], 1))
    spec = ArraySpec(
        attributes={},
        shape=voxels.shape,
        data_type=voxels.dtype.name,
        chunk_key_encoding={"name": "default", "configuration": {"separator": "/"}},
        fill_value=0,
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": (CHUNK,) * 3}},
        codecs=[
            {"name": "bytes", "configuration": {"endian": "little"}},
            {
                "name": "blosc",
                "configuration": {
                    "typesize": voxels.itemsize,
                    "cname": "zstd",
                    "clevel": 5,
                    "shuffle": "shuffle",
                    "blocksize": 0,
                },
            },
        ],
    )
    group = MultiScaleGroup(
        out, name="image", voxel_size=(1, 1, 1), spatial_unit="millimeter", array_spec=spec
    )
    group.add_full_res_data(stack, n_processes=2)
    for level in (1, 2, 3):
        group.add_downsample_level(level, n_processes=2)


TOOLS = {
    "nii2zarr": nii2zarr,
    "ngff-zarr": ngff_zarr,
    "ome-zarr-py": ome_zarr_py,
    "stack-to-chunk": stack_to_chunk,
}

if __name__ == "__main__":
    tool, out, codec, *sources = sys.argv[1:]
    for source in sources:
        TOOLS[tool](source, str(Path(out, f"{Path(source).name}.zarr")), codec)
