"""A power cut at a system call, for tests in one process."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest


class PowerOffError(BaseException):
    """Raised where the power fails; no code catches it."""


@contextmanager
def power_off_at(
    stop: int | None,
    names: Sequence[str] = ("replace", "unlink", "rename"),
    *,
    after: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Raise a PowerOffError at a call of functions of `os`, counted from 1; None for at none.

    ``after`` is called after each of the others.
    """
    calls = 0

    def counted(function):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == stop:
                raise PowerOffError
            result = function(*args, **kwargs)
            if after:
                after()
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(os, name, counted(getattr(os, name)))
        yield
