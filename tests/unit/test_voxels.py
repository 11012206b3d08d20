"""Threads over many items; checksums and statistics of voxels."""

import math
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurozarr.voxels.summary import checksum, merge, summarize
from neurozarr.voxels.threads import for_each, one_ahead

from ..programs import PATIENCE


def test_every_item_is_handled_once_by_several_threads():
    seen, threads = [], set()
    barrier = threading.Barrier(3, timeout=PATIENCE)

    def handle(item):
        if item < 3:
            barrier.wait()
        seen.append(item)
        threads.add(threading.get_ident())

    for_each(handle, range(100), threads=3)
    assert sorted(seen) == list(range(100))
    assert len(threads) == 3


def test_items_are_taken_in_order_and_at_most_one_ahead():
    drawn, most = [], 0
    lock = threading.Lock()

    def items():
        nonlocal most
        for item in range(50):
            drawn.append(item)
            with lock:
                most = max(most, len(drawn) - done)
            yield item

    done = 0

    def handle(item):
        nonlocal done
        time.sleep(0.001)
        with lock:
            done += 1

    for_each(handle, items(), threads=2)
    assert drawn == list(range(50))
    assert most <= 2 + 2


def test_first_error_stops_the_rest():
    drawn = []

    def items():
        for item in range(1000):
            drawn.append(item)
            yield item

    def handle(item):
        if item == 5:
            raise OSError("disk full")
        if item > 5:
            time.sleep(0.005)  # The other thread may be late to raise it.

    with pytest.raises(OSError, match="disk full"):
        for_each(handle, items(), threads=2)
    assert len(drawn) < 1000


def test_error_in_the_iterable_is_raised():
    def items():
        yield 1
        raise EOFError("cut short")

    with pytest.raises(EOFError, match="cut short"):
        for_each(lambda item: None, items(), threads=2)


def test_results_are_returned():
    assert sorted(for_each(lambda item: item * 2, range(10), threads=3)) == list(range(0, 20, 2))


@given(
    hnp.arrays(
        st.sampled_from(["u1", "i2", "u4", "i8", "u8", "f4", "f8", "bool"]),
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=5),
    )
)
def test_summary_describes_the_finite_voxels(voxels):
    found = summarize(voxels, 0)
    finite = [value for value in voxels.ravel().tolist() if math.isfinite(value)]
    assert found.count == len(finite)
    assert found.minimum == min(finite, default=None)
    assert found.maximum == max(finite, default=None)
    if voxels.dtype.kind == "f" and finite:
        assert found.total == pytest.approx(float(np.sum(finite)), rel=1e-9, abs=1e-30)
    else:
        assert found.total == (sum(finite) if finite else None)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_the_total_of_integers_is_exact(dtype):
    for value in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        voxels = np.full((3, 2**15 + 1), value, dtype)
        assert summarize(voxels, 0).total == voxels.size * int(value)


def test_checksum_depends_on_voxels_and_their_position():
    voxels = np.arange(8, dtype="u2")
    found = {
        checksum(values, (slice(start, start + 8),), (8,), (16,))
        for values in (voxels, voxels + 1)
        for start in (0, 8)
    }
    assert len(found) == 4


@given(st.tuples(*[st.integers(1, 4)] * 3), st.tuples(*[st.integers(1, 9)] * 3))
def test_checksum_does_not_depend_on_the_blocks(write_chunk, shape):
    voxels = np.random.default_rng(0).integers(0, 999, shape)
    whole = tuple(slice(0, length) for length in shape)
    first, second = (
        (slice(0, min(shape[0], write_chunk[0])), *whole[1:]),
        (slice(min(shape[0], write_chunk[0]), shape[0]), *whole[1:]),
    )
    found = [
        checksum(np.ascontiguousarray(voxels[block]), block, write_chunk, shape)
        for block in (first, second)
        if voxels[block].size
    ]
    assert sum(found) % 2**64 == checksum(voxels, whole, write_chunk, shape)


def test_summaries_are_merged_in_any_order():
    voxels = np.random.default_rng(0).normal(size=(4, 100))
    voxels[0] = np.nan
    parts = [summarize(row, seed) for seed, row in enumerate(voxels)]
    assert merge(parts) == merge(parts[::-1])
    assert merge(parts).count == 300
    assert merge(parts).maximum == np.nanmax(voxels)
    assert merge([summarize(np.array([np.nan]), 0)]).total is None
    largest = np.array([np.finfo("f8").max] * 2)
    assert (merge([summarize(largest, 0)]).total, merge([summarize(largest, 0)]).count) == (None, 2)


def test_next_item_is_computed_while_one_is_in_use():
    begun = [threading.Event() for _ in range(6)]

    def work(item):
        begun[item].set()
        return -item

    for number, (item, result) in enumerate(one_ahead(work, range(6))):
        assert (item, result) == (number, -number)
        assert all(event.wait(PATIENCE) for event in begun[: number + 2])
        assert not any(event.is_set() for event in begun[number + 2 :])


def test_error_in_one_ahead_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(one_ahead(lambda item: 1 / item, [2, 1, 0, 3]))
