"""The documents that the viewer gets: zarr-python reads the same voxels by them."""

import json

import numcodecs
import numpy as np
import pytest
import yaozarrs
import zarr

from neurozarr.viewer.documents import array_document, image_document, viewer_dtype
from neurozarr.viewer.images import open_images
from neurozarr.viewer.server import decoded_chunk

VOXELS = np.random.default_rng(0).integers(0, 120, (9, 10, 11))
#: What zarr-python calls a codec for which Zarr v3 has no name.
ZLIB = {"name": "zlib", "configuration": {"level": 1}}

DIRECT = {
    "v2": {"zarr_format": 2},
    "v2, big-endian": {"zarr_format": 2, "dtype": ">u2"},
    "v2, order F": {"zarr_format": 2, "order": "F"},
    "v2, separator": {
        "zarr_format": 2,
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    },
    "v2, gzip": {"zarr_format": 2, "compressors": numcodecs.GZip()},
    "v2, no compressor": {"zarr_format": 2, "compressors": None},
    "v2, automatic shuffle": {
        "zarr_format": 2,
        "compressors": numcodecs.Blosc("lz4", shuffle=-1),
    },
    "v2, no fill value": {"zarr_format": 2, "fill_value": None},
    "v2, bool": {"zarr_format": 2, "dtype": "?"},
    "v3": {"zarr_format": 3},
    "v3, shards": {"zarr_format": 3, "shards": (8, 8, 8)},
    "v3, keys of v2": {"zarr_format": 3, "chunk_key_encoding": {"name": "v2", "separator": "."}},
    "v3, gzip": {"zarr_format": 3, "compressors": zarr.codecs.GzipCodec()},
    "v3, float": {"zarr_format": 3, "dtype": "f4", "fill_value": np.nan},
    "v3, bool": {"zarr_format": 3, "dtype": "?"},
}
DECODED = {
    "v2, lz4": {"zarr_format": 2, "compressors": numcodecs.LZ4()},
    "v2, filter": {"zarr_format": 2, "filters": [numcodecs.Delta(dtype="<u2")]},
    "v2, float64": {"zarr_format": 2, "dtype": ">f8"},
    "v3, int64": {"zarr_format": 3, "dtype": "i8"},
    "v3, float16": {"zarr_format": 3, "dtype": "f2"},
    "v3, float64 in shards": {"zarr_format": 3, "dtype": "f8", "shards": (8, 8, 8)},
}


def save(path, dtype="u2", **options):
    array = zarr.create_array(path, shape=VOXELS.shape, dtype=dtype, chunks=(4,) * 3, **options)
    array[...] = VOXELS
    return array[...]


def document(path):
    found = path / ".zarray" if (path / ".zarray").exists() else path / "zarr.json"
    return json.loads(found.read_text())


@pytest.mark.parametrize("name", DIRECT)
def test_chunks_stay_as_they_are(tmp_path, name):
    voxels = save(tmp_path, **DIRECT[name])
    shown = array_document(document(tmp_path), labels=False)
    assert shown["data_type"] == viewer_dtype(voxels.dtype, labels=False).name
    (tmp_path / "zarr.json").write_text(json.dumps(shown))
    np.testing.assert_array_equal(zarr.open_array(tmp_path, zarr_format=3)[...], voxels)


def test_codec_that_only_the_viewer_has_a_name_for(tmp_path):
    save(tmp_path, zarr_format=2, compressors=numcodecs.Zlib())
    assert array_document(document(tmp_path), labels=False)["codecs"][1:] == [ZLIB]


@pytest.mark.parametrize("name", DECODED)
def test_chunks_are_made_from_what_the_viewer_cannot_read(tmp_path, name):
    voxels = save(tmp_path / "0", **DECODED[name])
    assert array_document(document(tmp_path / "0"), labels=False) is None
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * 3}]}]
    axes = [{"name": axis, "type": "space"} for axis in "zyx"]
    multiscale = {"version": "0.4", "axes": axes, "datasets": datasets}
    zarr.create_group(
        tmp_path,
        zarr_format=DECODED[name]["zarr_format"],
        attributes={"multiscales": [multiscale]},
    )
    ((level,),) = (image.levels for image in open_images(str(tmp_path)))
    made = tmp_path / "made"
    for index in np.ndindex(3, 3, 3):
        file = made.joinpath("c", *map(str, index))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(decoded_chunk(level, index))
    (made / "zarr.json").write_text(json.dumps(level.document))
    np.testing.assert_array_equal(zarr.open_array(made)[...], voxels)


@pytest.mark.parametrize(
    ("dtype", "intensities", "labels"),
    [
        ("bool", "uint8", "uint8"),
        ("int64", "float32", "uint64"),
        ("float64", "float32", "uint64"),
        ("float32", "float32", "uint64"),
        ("float16", "float32", "uint64"),
        ("uint64", "uint64", "uint64"),
        ("int16", "int16", "int16"),
    ],
)
def test_labels_are_integers_and_intensities_have_32_bits(dtype, intensities, labels):
    assert viewer_dtype(np.dtype(dtype), labels=False) == intensities
    assert viewer_dtype(np.dtype(dtype), labels=True) == labels


def test_labels_of_64_bits_stay_as_they_are(tmp_path):
    save(tmp_path, dtype="i8", zarr_format=3)
    shown = array_document(document(tmp_path), labels=True)
    assert shown["data_type"] == "uint64"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_fill_value_is_valid_json(tmp_path, text):
    save(tmp_path, dtype="f4", zarr_format=2)
    file = tmp_path / ".zarray"
    for written in (f'"{text}"', text):
        given = json.loads(file.read_text()) | {"fill_value": json.loads(written)}
        file.write_text(json.dumps(given))
        assert array_document(document(tmp_path), labels=False)["fill_value"] == text


def test_shards_in_shards_are_decoded(tmp_path):
    save(tmp_path, zarr_format=3, shards=(8, 8, 8))
    found = document(tmp_path)
    (shard,) = found["codecs"]
    inner = shard["configuration"] | {"chunk_shape": [4, 4, 4], "codecs": [shard]}
    outer = {"name": "sharding_indexed", "configuration": inner}
    assert array_document(found | {"codecs": [outer]}, labels=False) is None


def test_image_document_is_valid():
    levels = [([1.0, 1.0, 1.0], [0.0, 0.0, 0.0]), ([1.0, 2.0, 2.0], [0.0, 0.5, 0.5])]
    found = image_document("zyx", ["micrometer"] * 3, [4.0, 2.0, 1.0], levels)
    yaozarrs.validate_ome_object(found["attributes"]["ome"])
    second = found["attributes"]["ome"]["multiscales"][0]["datasets"][1]
    scale, translation = second["coordinateTransformations"]
    assert (scale["scale"], translation["translation"]) == ([4, 4, 2], [0, 1, 0.5])
