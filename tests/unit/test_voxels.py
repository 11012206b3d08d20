"""Running over many items with several threads."""

import threading
import time

import pytest

from neurozarr.voxels import for_each


def test_every_item_is_handled_once_by_several_threads():
    seen, threads = [], set()
    barrier = threading.Barrier(3, timeout=10)

    def handle(item):
        if item < 3:
            barrier.wait()
        seen.append(item)
        threads.add(threading.get_ident())

    for_each(handle, range(100), threads=3)
    assert sorted(seen) == list(range(100))
    assert len(threads) == 3


def test_items_are_drawn_in_order_and_no_more_than_one_ahead():
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


def test_the_first_error_stops_the_rest():
    drawn = []

    def items():
        for item in range(1000):
            drawn.append(item)
            yield item

    def handle(item):
        if item == 5:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        for_each(handle, items(), threads=2)
    assert len(drawn) < 20


def test_an_error_while_drawing_is_raised():
    def items():
        yield 1
        raise EOFError("cut short")

    with pytest.raises(EOFError, match="cut short"):
        for_each(lambda item: None, items(), threads=2)
