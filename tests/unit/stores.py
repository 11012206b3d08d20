"""Small arrays to test with, and other ways to look at them."""

import json

import tensorstore

SHAPE = (40, 30, 20)

OPTIONS = [
    {"compressor": None},
    {"compressor": "gzip", "compressor_options": {"level": 1}},
    {"compressor": "zstd", "compressor_options": {"level": -1}},
    {"compressor": "blosc", "compressor_options": {"cname": "lz4", "shuffle": "bitshuffle"}},
    {"compressor": "blosc", "compressor_options": {"clevel": 1, "shuffle": "noshuffle"}},
    {"order": "F"},
    {"dimension_separator": "."},
    {"fill_value": -7},
    {"chunk": (8, 16, 4)},
]


def read_tensorstore(array):
    spec = {
        "driver": "zarr3" if array.zarr_version == 3 else "zarr",
        "kvstore": f"file://{array.store_path}/",
    }
    return tensorstore.open(spec).result()


def document(array):
    name = "zarr.json" if array.zarr_version == 3 else ".zarray"
    return json.loads((array._path / name).read_text())
