"""Neuroglancer's precomputed volumes, as TensorStore writes them."""

import gzip
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.sources import family_of, open_source, stem
from neurozarr.sources.paths import expand
from neurozarr.sources.precomputed import PrecomputedSource

from .conversions import converted_with
from .families import assert_holds
from .test_source_zarr import served  # noqa: F401

VOXELS = np.random.default_rng(0).integers(0, 200, (2, 7, 9, 13))
SHARDS = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "minishard_bits": 1,
    "shard_bits": 1,
    "hash": "identity",
    "data_encoding": "gzip",
    "minishard_index_encoding": "gzip",
}


def write(path, voxels, *, kind="image", **scale):
    """Write a volume whose axes are (c, z, y, x); its path."""
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "multiscale_metadata": {
            "data_type": voxels.dtype.name,
            "num_channels": len(voxels),
            "type": kind,
        },
        "scale_metadata": {
            "size": voxels.shape[:0:-1],
            "encoding": "raw",
            "chunk_size": [5, 4, 3],
            "resolution": [8, 8, 40],
            "voxel_offset": [100, -3, 5],
        }
        | scale,
    }
    array = tensorstore.open(spec, create=True).result()
    array[...].write(voxels.T).result()
    return path


@pytest.mark.parametrize(
    ("scale", "kind"),
    [
        ({}, "image"),
        ({"sharding": SHARDS}, "image"),
        ({"encoding": "png"}, "image"),
        ({"encoding": "compressed_segmentation", "compressed_segmentation_block_size": [8, 8, 8]},
         "segmentation"),
    ],
    ids=["raw", "sharded", "png", "segmentation"],
)  # fmt: skip
@settings(max_examples=5)
@given(data=st.data())
def test_what_tensorstore_writes_is_read(tmp_path_factory, scale, kind, data):
    channels = data.draw(st.sampled_from([1, 2]))
    dtype = "u8" if kind == "segmentation" else data.draw(st.sampled_from(["u1", "u2"]))
    voxels = VOXELS[:channels].astype(dtype)
    path = write(tmp_path_factory.mktemp("a"), voxels, kind=kind, **scale)
    source = open_source(path)
    assert_holds(source, voxels if channels > 1 else voxels[0], data)
    assert_holds(source, voxels if channels > 1 else voxels[0])
    assert (source.voxel_size, source.space_unit) == ((40, 8, 8), "nanometer")
    # Neuroglancer's coordinates are 0 at a corner of a voxel.
    assert source.position == (5.5 * 40, -2.5 * 8, 100.5 * 8)
    assert source.affine is None
    assert source.labels == ({} if kind == "segmentation" else None)
    assert source.native_chunk_shape[-3:] == (3, 4, 5)
    assert source.files == (path / "info",)


def test_the_finest_scale_is_read_wherever_it_is(tmp_path):
    write(tmp_path / "a", VOXELS[:1, :, ::2, ::2].astype("u2"), resolution=[16, 16, 40])
    write(tmp_path / "a", VOXELS[:1].astype("u2"))
    assert_holds(open_source(tmp_path / "a"), VOXELS[0].astype("u2"))


def test_a_volume_is_converted(tmp_path):
    write(tmp_path / "a", VOXELS[:1].astype("u2"), sharding=SHARDS)
    found = converted_with(tmp_path / "a", tmp_path, chunk=4)
    np.testing.assert_array_equal(found, VOXELS[0])


def test_axes_can_be_given(tmp_path):
    write(tmp_path / "a", VOXELS.astype("u2"))
    source = open_source(tmp_path / "a", axes="tzyx")
    assert (source.axes, source.voxel_size) == ("tzyx", (40, 8, 8))
    with pytest.raises(SourceError, match="axes is 'zyx', but the array has shape"):
        open_source(tmp_path / "a", axes="zyx")


def test_missing_chunks_are_zeros_and_pipes_are_refused(tmp_path):
    write(tmp_path / "a", VOXELS[:1].astype("u2"))
    chunk = tmp_path / "a/8_8_40/100-105_-3-1_5-8"
    chunk.unlink()
    source = open_source(tmp_path / "a")
    expected = VOXELS[0].astype("u2")
    expected[:3, :4, :5] = 0
    assert_holds(source, expected)
    chunk.with_name(f"{chunk.name}.br").touch()
    with pytest.raises(SourceError, match=r"5-8\.br: chunks that end in \.br are not supported"):
        source.read((slice(2, 3), slice(3, 4), slice(4, 5)))
    os.mkfifo(chunk)
    with pytest.raises(SourceError, match=r"100-105_-3-1_5-8: a directory, a pipe or a device"):
        source.read((slice(2, 3), slice(3, 4), slice(4, 5)))
    source.read((slice(3, 4), slice(0, 4), slice(0, 4)))
    os.unlink(chunk)
    chunk.write_bytes(b"short")
    with pytest.raises(SourceError, match="the voxels cannot be read"):
        source.read((slice(2, 3), slice(3, 4), slice(4, 5)))


@settings(max_examples=5)
@given(data=st.data())
@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_chunks_as_cloudvolume_compresses_them_are_read(tmp_path_factory, encoding, data):
    voxels = VOXELS.astype("u2")
    path = write(tmp_path_factory.mktemp("a"), voxels, encoding=encoding)
    for number, chunk in enumerate(sorted((path / "8_8_40").iterdir())):
        if number % 5:
            chunk.with_name(f"{chunk.name}.gz").write_bytes(gzip.compress(chunk.read_bytes()))
            chunk.unlink()
    assert_holds(open_source(path), voxels, data)
    assert_holds(open_source(path), voxels)
    chunk = next((path / "8_8_40").glob("*.gz"))
    chunk.write_bytes(chunk.read_bytes()[:-9])
    with pytest.raises(SourceError, match="the voxels cannot be read"):
        assert_holds(open_source(path), voxels)


def test_threads_read_the_same_voxels(tmp_path):
    source = open_source(write(tmp_path / "a", VOXELS[:1].astype("u2"), sharding=SHARDS))
    regions = [(slice(z, z + 1), slice(0, 9), slice(0, 13)) for z in range(7)]
    with ThreadPoolExecutor(4) as pool:
        found = np.concatenate(list(pool.map(source.read, regions)))
    np.testing.assert_array_equal(found, VOXELS[0])


@pytest.mark.parametrize("sharding", [None, SHARDS])
def test_a_url_is_read(tmp_path, served, sharding):  # noqa: F811
    scale = {"sharding": sharding} if sharding else {}
    write(tmp_path / "b c", VOXELS[:1].astype("u2"), **scale)
    url = f"precomputed://{served.address}/b%20c"
    assert expand(url, addresses=True) == url
    source = open_source(url)
    assert_holds(source, VOXELS[0].astype("u2"))
    assert (source.files, source.position) == ((), (220, -20, 804))
    assert stem("precomputed://https://example.org/a/em/") == "em"
    with pytest.raises(SourceError, match=r"/info: there is no such document"):
        open_source(f"precomputed://{served.address}/d")
    with pytest.raises(
        SourceError, match=r"neither Zarr nor N5.*; is it precomputed://http.* Other files must"
    ):
        open_source(f"{served.address}/b%20c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": []}, "info has no scales: it is no volume"),
        ({"scales": [{}]}, "its metadata are invalid"),
        ({"scales": {"a": 1}}, "its metadata are invalid"),
        ({"data_type": "u99"}, "it cannot be opened"),
        ({"num_channels": -1}, "it cannot be opened"),
    ],
)
def test_damaged_metadata_are_refused(tmp_path, change, message):
    info = write(tmp_path / "a", VOXELS[:1].astype("u2")) / "info"
    info.write_text(json.dumps(json.loads(info.read_text()) | change))
    with pytest.raises(SourceError, match=rf"a: .*{message}|a/{message}"):
        open_source(tmp_path / "a")


def test_a_document_that_is_no_json_is_refused(tmp_path):
    info = write(tmp_path / "a", VOXELS[:1].astype("u2")) / "info"
    info.write_text('{"scales"')
    with pytest.raises(SourceError, match="a: its metadata are invalid"):
        open_source(tmp_path / "a")
    info.unlink()
    os.mkfifo(info)
    assert family_of(str(tmp_path / "a")) is not PrecomputedSource
