"""Slabs of sources with native chunks: pages, strips, tiles, chunks."""

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr import ZarrConfig, from_config, plan, voxels
from neurozarr.errors import SourceError
from neurozarr.plan import slabs
from neurozarr.regions import grid, regions_of_grid, whole

from .volumes import Volume, volume

UINT16 = np.dtype("u2")


@pytest.fixture
def small(monkeypatch):
    """Sub-blocks that are smaller than the arrays of these tests."""
    monkeypatch.setattr(slabs, "SUB_BLOCK_BYTES", 2**13)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pages(Volume):
    """A source that counts how often each native chunk is read."""

    times: np.ndarray = field(repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_file(self, region):
        touched = tuple(
            slice(side.start // size, -(-side.stop // size))
            for side, size in zip(region, self.file_native_chunk_shape, strict=True)
        )
        with self.lock:
            self.times[touched] += 1
        return super().read_file(region)


def pages(shape, native_chunk_shape, **said):
    values = np.random.default_rng(0).integers(0, 60_000, shape).astype("u2")
    times = np.zeros(grid(shape, native_chunk_shape), int)
    return volume(
        values, kind=Pages, file_native_chunk_shape=native_chunk_shape, times=times, **said
    )


def write(source, tmp_path, threads=2, block_mb=1000, **config):
    """Write level 0, block by block; return the array and the planned level."""
    config = ZarrConfig(out=str(tmp_path / "a.zarr"), levels=0, **config)
    (level,) = plan.plan_levels(
        source.shape,
        UINT16,
        source.axes,
        config,
        block_mb=block_mb,
        max_jobs=1000,
        native_chunk_shape=source.native_chunk_shape,
    )
    array = from_config(config).create_array("0", source.shape, UINT16)
    for block in range(level.blocks):
        region = level.region(block)
        voxels.copy_from_source(source, array, region=region, slab=level.slab, threads=threads)
    return array, level


@pytest.mark.parametrize(
    "native_chunk_shape",
    [(1, 70, 60), (1, 8, 60), (40, 1, 1), (1, 70, 1), (16, 16, 16), (40, 70, 60)],
    ids=["pages", "strips", "columns", "rows", "tiles", "whole"],
)
@pytest.mark.parametrize(
    "config", [{"chunk": 16}, {"chunk": 8, "shard": 16}], ids=["chunks", "shards"]
)
def test_native_chunks_are_read_once(small, tmp_path, native_chunk_shape, config):
    source = pages((40, 70, 60), native_chunk_shape)
    array, _ = write(source, tmp_path, **config)
    np.testing.assert_array_equal(array[...], source.voxels)
    assert (source.times == 1).all()


def test_slabs_that_cut_native_chunks_read_few_of_them_twice(small, tmp_path):
    source = pages((100, 100, 100), (10, 10, 10))
    array, level = write(source, tmp_path, chunk=16)
    np.testing.assert_array_equal(array[...], source.voxels)
    assert source.times.max() <= 8
    assert source.times.mean() < 1.6
    assert level.slab is not None


def test_block_smaller_than_a_native_chunk_gives_a_warning(small, tmp_path, caplog):
    source = pages((40, 70, 60), (1, 70, 60))
    array, level = write(source, tmp_path, block_mb=0.05, chunk=16)
    np.testing.assert_array_equal(array[...], source.voxels)
    assert np.prod(level.slab) * 2 <= 50_000
    assert source.times.max() == -(-70 // level.slab[1])
    assert f"of shape (1, 70, 60), is decoded {source.times.max()} times" in caplog.text


def test_no_slab_if_sub_blocks_align_with_native_chunks():
    config = ZarrConfig(chunk=64)
    for native_chunk_shape in [(64, 64, 64), (32, 1, 16), (1, 1, 1), (1, 64, 300)]:
        (level,) = plan.plan_levels(
            (64, 64, 300), UINT16, "zyx", config, native_chunk_shape=native_chunk_shape
        )[:1]
        fits = native_chunk_shape != (1, 64, 300)
        assert (level.slab is None) == fits


@given(
    st.tuples(*[st.integers(1, 200)] * 3),
    st.tuples(*[st.integers(1, 40)] * 3),
    st.tuples(*[st.integers(1, 250)] * 3),
    st.floats(1e-3, 10),
)
def test_slab_is_whole_write_chunks_within_block_mb(shape, chunk, native_chunk_shape, block_mb):
    levels = plan.plan_levels(
        shape,
        UINT16,
        "zyx",
        ZarrConfig(chunk=chunk),
        block_mb=block_mb,
        max_jobs=10**9,
        native_chunk_shape=native_chunk_shape,
    )
    base = levels[0]
    assert all(level.slab is None for level in levels[1:])
    if base.slab is None:
        return
    assert all(s % w == 0 for s, w in zip(base.slab, base.write_chunk, strict=True))
    assert np.prod(base.slab) * 2 <= block_mb * 1e6 or base.slab == base.write_chunk
    assert all(b % s == 0 for b, s in zip(base.block, base.slab, strict=True))


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.tuples(st.integers(0, 12), st.integers(1, 12))] * 3),
)
def test_regions_of_grid_tile_a_region_without_crossing_the_grid(tile, sides):
    region = tuple(slice(start, start + length) for start, length in sides)
    count = np.zeros([side.stop for side in region], int)
    for inner in regions_of_grid(region, tile):
        count[inner] += 1
        for side, size in zip(inner, tile, strict=True):
            assert side.start // size == (side.stop - 1) // size
    assert (count[region] == 1).all()
    assert count.sum() == np.prod([length for _, length in sides])


def test_missing_axes_have_length_1_and_others_are_ordered():
    values = np.arange(24, dtype="u2").reshape(4, 3, 2)
    source = volume(values, file_axes="yxc", file_native_chunk_shape=(1, 3, 2))
    assert (source.axes, source.shape, source.native_chunk_shape) == (
        "czyx",
        (2, 1, 4, 3),
        (2, 1, 1, 3),
    )
    read = source.read((slice(1, 2), slice(0, 1), slice(1, 4), slice(0, 2)))
    np.testing.assert_array_equal(read, values[1:4, :2, 1][None, None])


def test_any_error_of_a_library_names_the_file():
    class Broken(Volume):
        def read_file(self, region):
            raise RuntimeError("page 7 is torn")

    source = volume(np.zeros((2, 2, 2), "u2"), kind=Broken)
    with pytest.raises(SourceError, match=r"volume\.npy: the voxels cannot be read \(page 7 is"):
        source.read(whole(source.shape))
