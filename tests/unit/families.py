"""What every family of sources is held to."""

import numpy as np
from hypothesis import strategies as st

from neurozarr.regions import whole


@st.composite
def regions(draw, shape):
    """A region of an array, as slices with steps of 1, not empty."""
    sides = []
    for length in shape:
        start = draw(st.integers(0, length - 1))
        sides.append(slice(start, draw(st.integers(start + 1, length))))
    return tuple(sides)


def assert_holds(source, expected, data=None):
    """That a source has these voxels, along its stored axes: all, and any region that is drawn."""
    assert source.shape == expected.shape
    assert source.dtype == expected.dtype.newbyteorder("=")
    assert source.dtype.isnative
    region = whole(source.shape) if data is None else data.draw(regions(source.shape))
    found = source.read(region)
    assert found.dtype == source.dtype
    np.testing.assert_array_equal(found, expected[region])
