"""Documents of Zarr arrays, compared with zarr-python and TensorStore."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given
from hypothesis import strategies as st

from neurozarr import ZarrConfig
from neurozarr.zarr import chunks, documents, metadata
from neurozarr.zarr.config import BLOSC_CODECS, BLOSC_SHUFFLES

DTYPES = ["bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
LEVELS = {"level": st.integers(0, 9)}
OPTIONS = {
    "blosc": {
        "cname": st.sampled_from(BLOSC_CODECS),
        "clevel": st.integers(0, 9),
        "shuffle": st.sampled_from(BLOSC_SHUFFLES),
        "blocksize": st.sampled_from([0, 4096]),
    },
    "zlib": LEVELS,
    "gzip": LEVELS,
    "zstd": {"level": st.integers(-7, 22), "checksum": st.booleans()},
    None: {},
}


@st.composite
def configs(draw):
    version = draw(st.sampled_from([2, 3]))
    names = [name for name in OPTIONS if (version, name) != (3, "zlib")]
    compressor = draw(st.sampled_from(names))
    options = draw(st.fixed_dictionaries({}, optional=OPTIONS[compressor]))
    if version == 2:
        options.pop("checksum", None)
    return ZarrConfig(
        zarr_version=version,
        compressor=compressor,
        compressor_options=options,
        order=draw(st.sampled_from("CF")),
        dimension_separator=draw(st.sampled_from("./")),
        fill_value=draw(st.sampled_from([None, 0, 1])),
    )


def describe(config, dtype, shape=(6, 5, 4), chunks=(4, 4, 2), shards=None):
    return metadata.array_document(
        shape, np.dtype(dtype), chunks=chunks, shards=shards, config=config, dimension_names="zyx"
    )


def store(directory, document):
    name = documents.FILES[document["zarr_format"]][0]
    documents.write_json(directory / name, document)
    driver = "zarr" if document["zarr_format"] == 2 else "zarr3"
    spec = {"driver": driver, "kvstore": f"file://{directory}/"}
    return zarr.open_array(str(directory)), tensorstore.open(spec, open=True).result()


@given(configs(), st.sampled_from(DTYPES), st.booleans())
def test_zarr_python_and_tensorstore_read_each_others_arrays(config, dtype, sharded):
    if sharded and config.zarr_version == 2:
        return
    document = describe(config, dtype, shards=(4, 8, 4) if sharded else None)
    voxels = np.arange(120).reshape(6, 5, 4).astype(dtype)
    with tempfile.TemporaryDirectory() as directory:
        by_zarr, by_tensorstore = store(Path(directory), document)
        by_zarr[...] = voxels
        np.testing.assert_array_equal(by_tensorstore.read().result(), voxels)
        assert by_zarr.dtype == np.dtype(dtype)
        assert (by_zarr.chunks, by_zarr.shards) == ((4, 4, 2), (4, 8, 4) if sharded else None)
        by_tensorstore[...] = voxels[::-1]
        np.testing.assert_array_equal(by_zarr[...], voxels[::-1])


@given(configs(), st.sampled_from(DTYPES), st.sampled_from([None, (4, 8, 4)]))
def test_options_are_recovered_from_a_document(config, dtype, shards):
    shards = shards if config.zarr_version == 3 else None
    found = metadata.options(describe(config, dtype, shards=shards))
    fill_value = 0 if config.fill_value is None else config.fill_value
    expected_settings = config.compressor_settings()
    if config.zarr_version == 2:
        expected_settings.pop("checksum", None)
    assert found == {
        "zarr_version": config.zarr_version,
        "chunk": (4, 4, 2),
        "shard": shards,
        "compressor": config.compressor,
        "compressor_options": expected_settings,
        "dimension_separator": config.dimension_separator,
        "order": config.order,
        "fill_value": fill_value,
    }
    assert metadata.dtype_of(describe(config, dtype)) == np.dtype(dtype)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("u1", 255),
        ("i8", -(2**63)),
        ("u8", 2**64 - 1),
        ("f4", 0.1),
        ("f2", float("nan")),
        ("f8", float("-inf")),
        ("c16", 1 - 2j),
        ("bool", True),
    ],
)
def test_missing_chunks_read_as_the_fill_value(tmp_path, version, dtype, value):
    config = ZarrConfig(zarr_version=version, fill_value=value)
    document = describe(config, dtype)
    expected = np.full((6, 5, 4), value, dtype)
    by_zarr, by_tensorstore = store(tmp_path, document)
    np.testing.assert_array_equal(by_zarr[...], expected)
    np.testing.assert_array_equal(by_tensorstore.read().result(), expected)
    found = metadata.decode_fill_value(document["fill_value"])
    np.testing.assert_equal(np.array(found, dtype), np.array(value, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_array_has_an_undefined_fill_value(tmp_path, dtype):
    """Zarr v2 allows null, on which many readers fail."""
    by_zarr, by_tensorstore = store(tmp_path, describe(ZarrConfig(zarr_version=2), dtype))
    assert by_zarr.fill_value == by_zarr.dtype.type(0)
    assert by_tensorstore.fill_value == by_zarr.dtype.type(0)


@pytest.mark.parametrize(
    ("dtype", "value"), [("u1", 256), ("u2", -1), ("i4", 0.5), ("f4", 1j), ("bool", 2), ("i2", 1j)]
)
def test_fill_value_outside_the_dtype_is_refused(dtype, value):
    with pytest.raises(ValueError, match=r"fill_value is .*, which dtype .* cannot hold"):
        describe(ZarrConfig(fill_value=value), dtype)


@pytest.mark.parametrize("dtype", ["f16", "c32", "U3", "V3", [("r", "u1")], "M8[s]", "O"])
def test_dtype_that_zarr_does_not_have_is_refused(dtype):
    with pytest.raises(TypeError, match="cannot be stored in Zarr; allowed: bool, integers"):
        describe(ZarrConfig(), dtype)


def test_big_endian_dtype_is_stored_little_endian():
    assert describe(ZarrConfig(zarr_version=2), ">i2")["dtype"] == "<i2"
    assert describe(ZarrConfig(), ">i2") == describe(ZarrConfig(), "<i2")


@given(configs(), st.sampled_from([None, (4, 8, 4)]))
def test_chunk_keys_are_the_names_of_chunk_files(config, shards):
    shards = shards if config.zarr_version == 3 else None
    document = describe(config, "u1", shards=shards)
    grid = chunks.write_chunk_grid(document)
    assert grid == ((2, 1, 1) if shards else (2, 2, 2))
    with tempfile.TemporaryDirectory() as directory:
        array, _ = store(Path(directory), document)
        array[...] = np.arange(1, 121).reshape(6, 5, 4)
        files = {
            path.relative_to(directory).as_posix()
            for path in Path(directory).rglob("*")
            if path.is_file()
        }
    keys = {chunks.chunk_key(document, index): index for index in np.ndindex(*grid)}
    assert files - {"zarr.json", ".zarray", ".zattrs"} == keys.keys()
    for key, index in keys.items():
        assert chunks.chunk_index(document, key) == index
    for key in ("c/0/0", "c/0/0/9", "0.0.0.0", "c/0/0/x", "c/0/0/01", "zarr.json", "c/0/0/-1"):
        assert chunks.chunk_index(document, key) is None
