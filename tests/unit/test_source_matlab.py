"""MATLAB files of versions 5 to 7."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.plan import regions, whole
from neurozarr.sources import matlab, open_source

from .conversions import convert
from .families import assert_holds

SAVED = Path(scipy.__file__).parent / "io/matlab/tests/data"
RNG = np.random.default_rng(0)
VOLUME = RNG.integers(0, 250, (7, 8, 9)).astype("u1")


def write(path, variables, compressed=True):
    scipy.io.savemat(path, variables, do_compression=compressed)
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "compressed"])
def volume(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("matlab") / "a.mat"
    return open_source(write(path, {"v": VOLUME, "n": 5, "word": "hello"}, request.param))


@pytest.fixture
def one(tmp_path):
    """The array of 1 number that `volume` holds beside the volume makes it name one."""
    return write(tmp_path / "a.mat", {"v": VOLUME})
