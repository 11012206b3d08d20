"""The plan of an image: levels, chunks, shards, blocks, sub-blocks, time and memory."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr import ZarrConfig, plan
from neurozarr.plan import slabs
from neurozarr.plan.pyramid import pyramid
from neurozarr.regions import parent_region, regions, regions_in_order, whole
from neurozarr.run.paths import StorePaths, coarse_levels
from neurozarr.zarr.layout import array_layout

UINT16 = np.dtype("uint16")

shapes_and_tiles = st.integers(1, 4).flatmap(
    lambda ndim: st.tuples(
        st.lists(st.integers(1, 40), min_size=ndim, max_size=ndim),
        st.lists(st.integers(1, 50), min_size=ndim, max_size=ndim),
    )
)


@given(shapes_and_tiles)
def test_regions_tile_an_array_exactly(case):
    shape, tile = case
    count = np.zeros(shape, int)
    for region in regions(whole(shape), tile):
        count[region] += 1
        for side, size, length in zip(region, tile, shape, strict=True):
            assert side.start % size == 0
            assert side.stop == min(side.start + size, length)
    assert (count == 1).all()


@given(
    st.lists(st.integers(1, 5000), min_size=3, max_size=3),
    st.lists(st.integers(1, 300), min_size=3, max_size=3),
    st.sampled_from([None, 0, 1, 2]),
)
def test_levels_are_halved_until_one_fits_in_a_chunk(shape, chunks, skipped):
    shapes = [step.shape for step in pyramid(shape, chunks, no_pyramid_axis=skipped)]
    assert shapes[0] == tuple(shape)
    for parent, child in itertools.pairwise(shapes):
        for axis in range(3):
            assert child[axis] == (parent[axis] if axis == skipped else max(parent[axis] // 2, 1))

    def fits(shape):
        return all(shape[axis] <= chunks[axis] for axis in range(3) if axis != skipped)

    assert fits(shapes[-1])
    assert not any(fits(shape) for shape in shapes[:-1])


def test_explicit_levels_may_be_smaller_than_a_chunk():
    assert pyramid((5, 2, 1), (64,) * 3, levels=3) == [
        ((5, 2, 1), (1, 1, 1)),
        ((2, 1, 1), (2, 2, 1)),
        ((1, 1, 1), (2, 1, 1)),
        ((1, 1, 1), (1, 1, 1)),
    ]


def test_automatic_factors_make_voxels_isotropic():
    thick = pyramid((40, 800, 800), (64,) * 3, factors="auto", voxel_size=(4, 0.5, 0.5))
    assert thick == [
        ((40, 800, 800), (1, 1, 1)),
        ((40, 400, 400), (1, 2, 2)),
        ((40, 200, 200), (1, 2, 2)),
        ((40, 100, 100), (1, 2, 2)),
        ((20, 50, 50), (2, 2, 2)),
    ]
    thin = pyramid((5, 800, 800), (64,) * 3, factors="auto")
    assert [step.shape[0] for step in thin] == [5, 2, 2, 2, 2]


sides = st.lists(st.integers(1, 3000), min_size=3, max_size=3)


@given(
    sides,
    st.lists(st.integers(1, 300), min_size=3, max_size=3),
    st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
    st.integers(-1, 9),
    st.sampled_from(["drop", "keep"]),
    st.sampled_from([None, 0, 1, 2]),
)
def test_automatic_factors_halve_the_axes_with_small_voxels(
    shape, chunks, sizes, levels, edge, skipped
):
    steps = pyramid(
        shape,
        chunks,
        factors="auto",
        voxel_size=sizes,
        levels=levels,
        edge=edge,
        no_pyramid_axis=skipped,
    )
    assert levels < 0 or len(steps) <= levels + 1

    def halved(length):
        return length // 2 if edge == "drop" else -(-length // 2)

    def able(shape):
        return [axis for axis in range(3) if axis != skipped and halved(shape[axis]) > 1]

    for parent, child in itertools.pairwise(steps):
        smallest = min(sizes[axis] for axis in able(parent.shape))
        for axis in range(3):
            small = axis in able(parent.shape) and sizes[axis] < 1.998 * smallest
            assert child.factors[axis] == 2 if small else child.factors[axis] in (1, 2)
            assert (
                child.shape[axis]
                == [parent.shape[axis], halved(parent.shape[axis])][child.factors[axis] - 1]
            )
            assert child.factors[axis] == 1 or sizes[axis] < 2 * smallest
        sizes = [size * factor for size, factor in zip(sizes, child.factors, strict=True)]
    last = steps[-1].shape
    if levels < 0:
        assert all(last[axis] <= chunks[axis] for axis in able(last))
    elif len(steps) <= levels:
        assert not able(last)


def test_factors_of_each_level_can_be_listed():
    listed = [[1, 2, 4], [3, 1, 1]]
    assert [step.shape for step in pyramid((10, 10, 10), (4,) * 3, factors=listed)] == [
        (10, 10, 10),
        (10, 5, 2),
        (3, 5, 2),
    ]
    kept = pyramid((10, 10, 10), (4,) * 3, factors=listed, edge="keep", levels=1)
    assert [step.shape for step in kept] == [(10, 10, 10), (10, 5, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": 1}, r"factors is \[\[1\]\]; allowed: .*a number from 2 on"),
        ({"factors": [[1, 1, 1]]}, r"factors is \[\[1, 1, 1\]\]; allowed: .*, not all 1"),
        ({"factors": [[2, 2]]}, "a positive integer for each of 3 spatial axes"),
        ({"factors": [[2, 2, 2]], "levels": 2}, "levels is 2, but factors has 1 levels"),
        ({"factors": [[2, 2, 2]], "no_pyramid_axis": 0}, "is 0, but factors is a list"),
        ({"edge": "cut"}, "edge is 'cut'; allowed"),
    ],
    ids=str,
)
def test_wrong_factors_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        pyramid((100, 100, 100), (8, 8, 8), **options)


@pytest.mark.parametrize(
    ("shape", "chunk", "expected"),
    [
        ((300, 300, 300), 128, (128, 128, 128)),
        ((300, 300, 300), (64, 128, 256), (64, 128, 256)),
        ((9, 300, 300, 300), 128, (1, 128, 128, 128)),
        ((9, 3, 300, 300, 300), (3, 64, 64, 64), (1, 3, 64, 64, 64)),
        ((9, 3, 300, 300, 300), (2, 3, 64, 64, 64), (2, 3, 64, 64, 64)),
        ((40, 300, 300), 128, (40, 128, 128)),
        ((300, 300), 128, (128, 128)),
        ((348,), 128, (128,)),
    ],
)
def test_chunk_option_applies_to_the_last_axes(shape, chunk, expected):
    assert array_layout(shape, UINT16, ZarrConfig(chunk=chunk)) == (expected, None)


@pytest.mark.parametrize("chunk", [(64, 64), (1, 1, 64, 64, 64)])
def test_chunk_with_wrong_number_of_axes_is_refused(chunk):
    with pytest.raises(ValueError, match="allowed for 4 axes: one number, or 3 to 4 numbers"):
        array_layout((9, 300, 300, 300), UINT16, ZarrConfig(chunk=chunk))


def test_shard_must_be_a_multiple_of_the_chunk():
    def layout(shape, chunk, shard):
        return array_layout(shape, UINT16, ZarrConfig(chunk=chunk, shard=shard))

    assert layout((300, 300, 300), 64, 128) == ((64,) * 3, (128,) * 3)
    assert layout((40, 300, 300), 64, 128) == ((40, 64, 64), (40, 128, 128))
    with pytest.raises(ValueError, match="axis 0 is not a multiple of the chunk's 64"):
        layout((300, 300, 300), 64, 100)


@pytest.mark.parametrize(
    ("shape", "options", "chunks", "shards"),
    [
        ((9, 3), {}, (1, 1), (1, 1)),
        ((9, 3), {"chunk_channels": False}, (1, 3), (1, 3)),
        ((9, 3), {"chunk_time": False}, (9, 1), (9, 1)),
        ((9, 3), {"shard_channels": False}, (1, 1), (1, 3)),
        ((9, 3), {"shard_time": False, "chunk_channels": False}, (1, 3), (9, 3)),
        ((9,), {"chunk_channels": False, "shard_channels": False}, (1,), (1,)),
        ((9,), {"shard_time": False}, (1,), (9,)),
        ((9,), {"chunk_channels": False, "no_time": True}, (9,), (9,)),
        ((9,), {"shard_channels": False, "no_time": True}, (1,), (9,)),
        ((0,), {"chunk_time": False}, (1,), (1,)),
        ((2, 9, 3), {"chunk_time": False, "shard_channels": False}, (1, 9, 1), (1, 9, 3)),
    ],
    ids=str,
)
@pytest.mark.parametrize("shard", [64, "auto"])
def test_chunks_and_shards_may_have_all_times_or_channels(shape, options, chunks, shards, shard):
    config = ZarrConfig(chunk=32, shard=shard, **options)
    found = array_layout((*shape, 50, 50, 50), UINT16, config)
    assert found == ((*chunks, 32, 32, 32), (*shards, 64, 64, 64))


def test_automatic_shard_of_all_times_has_whole_chunks():
    config = ZarrConfig(chunk=(4, 8, 8, 8), shard="auto", shard_time=False)
    assert array_layout((9, 8, 8, 8), UINT16, config) == ((4, 8, 8, 8), (12, 8, 8, 8))


def test_no_time_is_refused_for_an_array_with_times_and_channels():
    with pytest.raises(
        ValueError, match=r"no_time is set, but an array of shape \(9, 3, 8, 8, 8\)"
    ):
        array_layout((9, 3, 8, 8, 8), UINT16, ZarrConfig(no_time=True))
    assert array_layout((8, 8), UINT16, ZarrConfig(no_time=True)) == ((8, 8), None)


@given(
    st.lists(st.integers(1, 10**5), min_size=3, max_size=5),
    st.integers(1, 256),
    st.sampled_from(["u1", "f4", "c16"]),
)
def test_automatic_shard_is_whole_chunks_up_to_1_gib(shape, chunk, dtype):
    chunks, shards = array_layout(shape, np.dtype(dtype), ZarrConfig(chunk=chunk, shard="auto"))
    assert all(s % c == 0 for s, c in zip(shards, chunks, strict=True))
    size = math.prod(shards) * np.dtype(dtype).itemsize
    assert size <= 2**30
    covers = all(s >= n for s, n in zip(shards[-3:], shape[-3:], strict=True))
    assert covers or size > 2**28


def test_plan_has_a_document_for_each_level():
    config = ZarrConfig(chunk=32, shard=64, factors=2, no_pyramid_axis=0)
    levels = plan.plan_levels((3, 100, 200, 200), UINT16, "tzyx", config)
    assert [level.shape for level in levels] == [
        (3, 100, 200, 200),
        (3, 100, 100, 100),
        (3, 100, 50, 50),
        (3, 100, 25, 25),
    ]
    for level in levels:
        assert level.write_chunk == (1, 64, 64, 64)
        assert level.document["shape"] == list(level.shape)
        assert level.document["dimension_names"] == ["t", "z", "y", "x"]


@st.composite
def planned(draw):
    """A plan of random shape, chunks, shards and blocks."""
    ndim = draw(st.integers(3, 4))
    shape = draw(st.lists(st.integers(1, 60), min_size=ndim, max_size=ndim))
    chunk = draw(st.tuples(*[st.integers(1, 20)] * 3))
    multiple = draw(st.sampled_from([None, 1, 2, 3]))
    listed = st.lists(st.tuples(st.just(2), *[st.integers(1, 5)] * 2), min_size=1, max_size=3)
    factors = draw(st.one_of(st.sampled_from(["auto", 2, 3]), listed))
    config = ZarrConfig(
        chunk=chunk,
        shard=multiple and tuple(multiple * size for size in chunk),
        factors=factors,
        edge=draw(st.sampled_from(["drop", "keep"])),
        no_pyramid_axis=None
        if isinstance(factors, list)
        else draw(st.sampled_from([None, 0, 1, 2])),
    )
    return plan.plan_levels(
        shape,
        UINT16,
        "tzyx"[-ndim:],
        config,
        voxel_size=draw(st.tuples(*[st.sampled_from([1, 2.5, 8])] * 3)),
        block_mb=draw(st.floats(1e-5, 1)),
        max_jobs=draw(st.integers(1, 10_000)),
        in_order=draw(st.sampled_from([None, "zyx"])),
    )


@given(planned())
def test_blocks_tile_each_level_and_share_no_file(levels):
    for level in levels:
        count = np.zeros(level.shape, int)
        for block in range(level.blocks):
            region = level.region(block)
            count[region] += 1
            assert level.blocks_of(region) == [block]
            for side, size, length in zip(region, level.write_chunk, level.shape, strict=True):
                assert side.start % size == 0
                assert side.stop % size == 0 or side.stop == length
        assert (count == 1).all()


@given(planned())
def test_blocks_of_the_parent_level_cover_a_block(levels):
    for parent, child in itertools.pairwise(levels):
        for block in range(child.blocks):
            needed = parent_region(child.region(block), child.factors, parent.shape)
            covered = np.zeros(parent.shape, bool)
            for number in parent.blocks_of(needed):
                touched = parent.region(number)
                assert covered[touched].size
                covered[touched] = True
            assert covered[needed].all()


def test_blocks_have_the_size_of_block_mb():
    levels = plan.plan_levels((1536,) * 3, UINT16, "zyx", ZarrConfig(), block_mb=1000, max_jobs=500)
    assert levels[0].block == (128, 1536, 1536)
    assert [level.blocks for level in levels] == [12, 1, 1, 1, 1]


def test_blocks_grow_to_keep_within_max_jobs(caplog):
    ten_terabytes = (17_000, 17_000, 17_000)
    levels = plan.plan_levels(
        ten_terabytes, UINT16, "zyx", ZarrConfig(), block_mb=1000, max_jobs=500
    )
    assert 100 < sum(level.blocks for level in levels) <= 500
    assert "blocks of 1000 MB would take more than 500 jobs (max_jobs)" in caplog.text
    few = plan.plan_levels(ten_terabytes, UINT16, "zyx", ZarrConfig(), block_mb=1, max_jobs=1)
    assert {level.blocks for level in few} == {1}


def test_level_0_of_a_sequential_source_is_one_block():
    levels = plan.plan_levels(
        (1536,) * 3, UINT16, "zyx", ZarrConfig(), block_mb=100, max_jobs=500, in_order="zyx"
    )
    assert levels[0].blocks == 1
    assert levels[1].blocks > 1


@given(st.tuples(*[st.integers(1, 300)] * 3), st.sampled_from(["u1", "f4", "c16"]))
def test_sub_block_is_whole_chunks_within_its_size_limit(chunks, dtype):
    shape = slabs.sub_block(chunks, chunks, np.dtype(dtype))
    assert all(s % c == 0 for s, c in zip(shape, chunks, strict=True))
    size = math.prod(shape) * np.dtype(dtype).itemsize
    assert size <= slabs.SUB_BLOCK_BYTES or shape == chunks
    shards = tuple(2 * size for size in chunks)
    assert slabs.sub_block(chunks, shards, np.dtype(dtype)) == shards


def test_block_has_at_most_one_thread_per_sub_block():
    levels = plan.plan_levels((256, 256, 200), np.dtype("u2"), "zyx", ZarrConfig())
    assert [level.threads(0) for level in levels] == [4, 1]
    (small,) = plan.plan_levels((64, 96, 96), np.dtype("u2"), "zyx", ZarrConfig())
    assert small.threads(0) == 1
    sharded = plan.plan_levels((256, 128, 128), np.dtype("u2"), "zyx", ZarrConfig(shard=128))
    assert sharded[0].threads(0) == 2


def test_time_limit_depends_on_voxels_and_codec():
    def minutes(threads=1, **options):
        config = ZarrConfig(**options)
        return plan.plan_levels((1024,) * 3, UINT16, "zyx", config)[0].minutes(0, threads)

    fast, slow = minutes(), minutes(compressor_options={"clevel": 5})
    slowest = minutes(compressor="gzip")
    assert plan.MIN_MINUTES < minutes(compressor=None) <= fast < slow < slowest
    assert minutes(4, compressor="gzip") - plan.MIN_MINUTES < (slowest - plan.MIN_MINUTES) / 2
    small = plan.plan_levels((9, 9, 9), UINT16, "zyx", ZarrConfig())[0]
    assert small.minutes(0, 1) == small.export_minutes == plan.MIN_MINUTES + 1


def test_blocks_share_the_cores_of_a_machine():
    levels = plan.plan_levels(
        (512, 512, 512), UINT16, "zyx", ZarrConfig(), block_mb=70, max_jobs=100
    )
    assert [level.blocks for level in levels] == [4, 1, 1]
    assert [levels[0].threads(0, cores) for cores in (None, 1, 2, 8, 9, 64)] == [4, 1, 1, 2, 3, 4]
    assert [levels[1].threads(0, cores) for cores in (None, 1, 2, 8)] == [4, 1, 2, 4]


def test_memory_does_not_depend_on_the_size_of_the_volume():
    config = ZarrConfig(chunk=64)
    small, large = (plan.plan_levels((n, n, n), UINT16, "zyx", config)[1] for n in (256, 100_000))
    assert small.memory_mb(2) == large.memory_mb(2) < large.memory_mb(4)
    for level in (small, large):
        assert plan.base_memory_mb(level, 2) < 400
    assert slabs.slab_shape_in_order((6, 900, 800), (1, 64, 64), "zyx", "zyx") == (1, 900, 800)
    in_order = replace(small, slab=(1, 900, 800))
    held = 2 * 900 * 800 * 2 / 1e6
    assert plan.base_memory_mb(in_order, 2) - plan.base_memory_mb(small, 2) >= int(held)


@pytest.mark.parametrize("file_axes", ["zyxc", "ctzyx", "tzyx", "xyz"])
def test_sequential_source_is_read_from_start_to_end(file_axes):
    axes = "".join(axis for axis in "tczyx" if axis in file_axes)
    lengths = {"t": 3, "c": 2, "z": 5, "y": 4, "x": 6}
    shape = tuple(lengths[axis] for axis in axes)
    write_chunk = tuple(2 if axis in "zyx" else 1 for axis in axes)
    slab = slabs.slab_shape_in_order(shape, write_chunk, axes, file_axes)
    places = np.arange(np.prod(shape)).reshape([lengths[axis] for axis in file_axes])
    stored = places.transpose([file_axes.index(axis) for axis in axes])
    read = [stored[r].ravel() for r in regions_in_order(whole(shape), slab, axes, file_axes)]
    assert len(read) > 1
    ends = np.cumsum([voxels.size for voxels in read])
    assert [voxels.min() for voxels in read] == [0, *ends[:-1]]
    assert [voxels.max() + 1 for voxels in read] == list(ends)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6))
def test_levels_of_one_block_at_the_end_are_made_together(blocks):
    coarse = coarse_levels(blocks)
    assert 0 not in coarse
    assert all(blocks[level] == 1 for level in coarse)
    assert coarse.stop == len(blocks)
    assert coarse.start == 1 or blocks[coarse.start - 1] > 1
    paths = StorePaths(output="out", sample="a", nii=True, zarr_version=3)
    last = paths.level(len(blocks) - 1).block_receipt(0)
    for level in paths.levels(blocks):
        assert level.made_with == (last if level.number in coarse else None)
