"""Calling a function on many items in threads, without taking items far ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

R = TypeVar("R")


def one_ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Each item with the function's result, computed while the caller uses the previous one."""
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
    """Call a function on every item, in several threads, and return the results in any order.

    Items are taken by the calling thread, in order, at most one ahead of the other threads. After
    an error, no more items are taken, and the error is raised.
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
