"""How planes are drawn, and which part of them is read."""

import itertools

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.nifti import anatomy
from neurozarr.report.planes import (
    MAX_BYTES,
    MAX_SIDE,
    WINDOW,
    central_plane,
    decoded_bytes,
    round_length,
    spread,
)
from neurozarr.report.views import views

CODES = [
    "".join(letters)
    for order in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*order)
]
#: The axis of RAS+ to which a plane is perpendicular, and the letters at its edges.
PLANES = {"Axial": (2, "LRAP"), "Coronal": (1, "LRSI"), "Sagittal": (0, "PASI")}


@pytest.mark.parametrize("codes", CODES)
def test_left_is_left_and_anterior_or_superior_is_at_the_top(codes):
    voxels = np.arange(120, dtype="i2").reshape(4, 5, 6)
    affine = anatomy.oriented_affine(codes, (1, 1, 1), voxels.shape, center=True)
    image = nibabel.Nifti1Image(voxels, affine)
    canonical = np.asarray(nibabel.as_closest_canonical(image).dataobj)
    made = views(anatomy.directions(image.header.binaryblock), voxels.T.shape)
    assert [view.name for view in made] == list(PLANES)
    for view in made:
        axis, letters = PLANES[view.name]
        assert "".join(view.letters) == letters
        for place in range(voxels.T.shape[view.normal]):
            region = [slice(None)] * 3
            region[view.normal] = slice(place, place + 1)
            drawn = view.draw(voxels.T[np.newaxis, *region])[0]
            # Rows of NumPy are drawn from top to bottom.
            expected = [np.take(canonical, n, axis).T[::-1] for n in range(canonical.shape[axis])]
            assert any(np.array_equal(drawn, plane) for plane in expected)


def test_without_anatomy_axes_are_named_and_not_flipped():
    voxels = np.arange(120).reshape(4, 5, 6)
    xy, xz, zy = views({}, voxels.shape)
    assert [view.name for view in (xy, xz, zy)] == ["xy plane", "xz plane", "zy plane"]
    assert xy.letters == ("", "", "", "")
    np.testing.assert_array_equal(xy.draw(voxels[2:3]), voxels[2])
    np.testing.assert_array_equal(xz.draw(voxels[:, 3:4]), voxels[:, 3])
    np.testing.assert_array_equal(zy.draw(voxels[:, :, 1:2]), voxels[:, :, 1].T)


def test_lines_are_left_out():
    assert [view.name for view in views({}, (1, 5, 6))] == ["xy plane"]
    assert [view.name for view in views({}, (1, 1, 6))] == ["xy plane"]


@given(
    st.tuples(*[st.integers(1, 5000)] * 3),
    st.tuples(*[st.integers(1, 2000)] * 3),
    st.tuples(*[st.floats(0.1, 10)] * 3),
    st.integers(1, 64),
)
def test_shown_part_is_around_the_centre_and_bounded(shape, chunks, size, itemsize):
    for view in views({}, shape):
        plane = central_plane(view, shape, chunks, itemsize, size)
        if plane is None:
            continue
        assert decoded_bytes(plane.region, chunks, itemsize) <= MAX_BYTES
        for axis, side in enumerate(plane.region):
            middle, count = shape[axis] // 2, side.stop - side.start
            assert 0 <= side.start <= middle < side.stop <= shape[axis]
            if axis == view.normal:
                assert count == 1
            elif plane.is_whole:
                assert count == shape[axis] <= MAX_SIDE
            else:
                assert count <= WINDOW
                assert count == shape[axis] or (count - 0.5) * size[axis] <= WINDOW * min(size)


@given(
    st.tuples(*[st.integers(1, 300)] * 3), st.tuples(*[st.integers(1, 90)] * 3), st.integers(1, 8)
)
def test_decoded_bytes_are_those_of_the_chunks_that_are_touched(shape, chunks, itemsize):
    region = tuple(slice(length // 3, length // 3 + max(1, length // 2)) for length in shape)
    touched = [
        {place // chunk for place in range(side.start, side.stop)}
        for side, chunk in zip(region, chunks, strict=True)
    ]
    count = np.prod([len(each) for each in touched])
    assert decoded_bytes(region, chunks, itemsize) == count * np.prod(chunks) * itemsize


@given(st.floats(1e-9, 1e9))
def test_scale_bars_have_round_lengths(longest):
    length = round_length(longest)
    assert longest / 2.6 <= length <= longest * (1 + 1e-6)
    assert f"{length:.0e}"[0] in "125"
    assert float(f"{length:.0e}") == pytest.approx(length)


@given(st.integers(1, 1000), st.integers(1, 30))
def test_slices_are_different_and_evenly_spread(length, count):
    places = spread(length, count)
    assert len(set(places)) == len(places) == min(length, count)
    assert all(0 <= place < length for place in places)
    steps = np.diff(places)
    assert not steps.size or steps.max() - steps.min() <= 1
