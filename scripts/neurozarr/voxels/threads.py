"""Calls of one function on many items, in threads, without drawing them far ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


R = TypeVar("R")


def one_ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Each item with what a function returns for it, worked out while the last one is in use."""
    with ThreadPoolExecutor(1) as pool:
        ahead: list[tuple[T, Future[R]]] = []
        for item in items:
            ahead.append((item, pool.submit(function, item)))
            if len(ahead) > 1:
                last, future = ahead.pop(0)
                yield last, future.result()
        for last, future in ahead:
            yield last, future.result()


def for_each(function: Callable[[T], R], items: Iterable[T], *, threads: int) -> list[R]:
    """Call a function on every item, in several threads, and return what it returned.

    Items are drawn in this thread, in order, and no more than one is drawn ahead of the threads.
    The first error stops the drawing and is raised. Results come in no order.
    """
    results: list[R] = []
    with ThreadPoolExecutor(threads) as pool:
        running: set[Future[R]] = set()
        for item in items:
            running.add(pool.submit(function, item))
            if len(running) > threads:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                results += [future.result() for future in done]
        results += [future.result() for future in running]
    return results
