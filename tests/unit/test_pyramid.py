"""Downsampling kernels, compared with NumPy, exact fractions and TensorStore."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import tensorstore
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurozarr import ome
from neurozarr.voxels.kernels import check_mode, downsample

INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
FLOATS = ["f2", "f4", "f8"]

shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5)


def windows(voxels, steps, edge="drop"):
    """For each window of voxels that become one: the index of the result, and its values."""
    lengths = zip(voxels.shape, steps, strict=True)
    shape = [length // step if edge == "drop" else -(-length // step) for length, step in lengths]
    for index in itertools.product(*map(range, shape)):
        window = tuple(
            slice(i * step, (i + 1) * step) for i, step in zip(index, steps, strict=True)
        )
        yield index, voxels[window].ravel().tolist()


@st.composite
def cases(draw, dtypes, **options):
    """Voxels, and the downsampling factor of each axis."""
    shape = draw(shapes)
    dtype = draw(st.sampled_from(dtypes))
    elements = hnp.from_dtype(np.dtype(dtype), **options)
    few = st.lists(elements, min_size=1, max_size=3).flatmap(st.sampled_from)
    voxels = draw(hnp.arrays(dtype, shape, elements=st.one_of(elements, few)))
    sides = [st.sampled_from([1, 2, 2, 3, 4][: 2 * length - 1]) for length in shape]
    return voxels, draw(st.tuples(*sides))


@given(cases(INTEGERS))
def test_mean_of_integers_is_exact_and_rounds_to_even(case):
    voxels, steps = case
    result = downsample(voxels, steps, "mean")
    assert result.dtype == voxels.dtype
    for index, values in windows(voxels, steps):
        assert result[index] == round(Fraction(sum(values), len(values)))


@given(cases(INTEGERS))
def test_median_of_integers_is_exact_and_rounds_to_even(case):
    voxels, steps = case
    result = downsample(voxels, steps, "median")
    assert result.dtype == voxels.dtype
    for index, values in windows(voxels, steps):
        middle = sorted(values)[(len(values) - 1) // 2 : len(values) // 2 + 1]
        assert result[index] == round(Fraction(sum(middle), len(middle)))


@given(cases([*INTEGERS, "bool", "f4"], **{"allow_nan": False}))
def test_mode_is_the_smallest_most_frequent_value(case):
    voxels, steps = case
    result = downsample(voxels, steps, "mode")
    assert result.dtype == voxels.dtype
    for index, values in windows(voxels, steps):
        counts = Counter(values)
        most = max(counts.values())
        assert result[index] == min(value for value in counts if counts[value] == most)


@given(cases([*INTEGERS, *FLOATS, "c8", "c16", "bool"]))
def test_stride_is_the_first_value_of_each_window(case):
    voxels, steps = case
    result = downsample(voxels, steps, "stride")
    assert result.dtype == voxels.dtype
    shape = tuple(length // step for length, step in zip(voxels.shape, steps, strict=True))
    expected = voxels[tuple(slice(0, n * s, s) for n, s in zip(shape, steps, strict=True))]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning", "ignore:Mean of empty")
@pytest.mark.parametrize(("mode", "reference"), [("mean", np.nanmean), ("median", np.nanmedian)])
@given(case=cases(FLOATS))
def test_mean_and_median_of_floats_ignore_nan(mode, reference, case):
    voxels, steps = case
    voxels = np.where(np.abs(voxels) < np.finfo(voxels.dtype).max / 16, voxels, 1)
    result = downsample(voxels, steps, mode)
    assert result.dtype == voxels.dtype
    tolerance = 8 * np.finfo(voxels.dtype).eps
    for index, values in windows(voxels, steps):
        scale = np.nanmax(np.abs(values)) if not np.isnan(values).all() else 0
        expected = reference(np.array(values, "f8"))
        np.testing.assert_allclose(
            result[index],
            expected,
            rtol=0,
            atol=scale * tolerance + 8 * np.finfo(voxels.dtype).smallest_subnormal,
        )


def test_infinities_are_kept():
    voxels = np.array([np.inf, 1, -np.inf, 1, np.inf, -np.inf, np.nan, np.inf])
    for mode in ("mean", "median"):
        np.testing.assert_array_equal(
            downsample(voxels, [2], mode), [np.inf, -np.inf, np.nan, np.inf]
        )


@pytest.mark.parametrize("dtype", FLOATS)
def test_mean_of_large_floats_does_not_overflow(dtype):
    largest = np.finfo(dtype).max
    voxels = np.full((4, 4, 4), largest, dtype)
    assert (downsample(voxels, [2, 2, 2], "mean") == largest).all()
    assert (downsample(voxels, [2, 2, 2], "median") == largest).all()


def test_mean_of_complex_numbers_ignores_nan():
    voxels = np.random.default_rng(0).normal(size=(4, 6, 8)).view("c16").astype("c8")
    voxels[0, 0, 0] = np.nan
    result = downsample(voxels, [1, 2, 2], "mean")
    assert result.dtype == voxels.dtype
    expected = np.nanmean(voxels.reshape(4, 3, 2, 2, 2), axis=(2, 4))
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_nan_counts_as_one_value_in_the_mode():
    voxels = np.array([[np.nan, np.nan, 1, 2], [np.nan, 3, np.nan, 1]], "f4")
    np.testing.assert_array_equal(downsample(voxels, [2, 2], "mode"), [[np.nan, 1]])


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_mean_equals_that_of_tensorstore(dtype):
    info = np.iinfo(dtype)
    voxels = np.random.default_rng(0).integers(
        info.min, info.max, (64, 32, 16), dtype, endpoint=True
    )
    # TensorStore sums 64-bit integers in 64 bits: the sum of eight must not overflow.
    voxels = voxels >> 3 if info.bits == 64 else voxels
    for steps in ([2, 2, 2], [1, 2, 2], [2, 1, 1]):
        expected = tensorstore.downsample(tensorstore.array(voxels), steps, "mean")
        np.testing.assert_array_equal(downsample(voxels, steps), expected.read().result())


def test_mean_has_no_bias_from_level_to_level():
    voxels = np.random.default_rng(0).integers(0, 256, (128, 128, 128)).astype("u1")
    mean = voxels.mean()
    for _ in range(4):
        voxels = downsample(voxels, [2, 2, 2])
    assert abs(voxels.mean() - mean) < 0.05


@given(cases(["i2", "f4"], allow_nan=False, allow_infinity=False))
def test_function_as_mode_reduces_the_given_axes(case):
    voxels, steps = case
    result = downsample(voxels, steps, np.max)
    assert result.dtype == voxels.dtype
    for index, values in windows(voxels, steps):
        assert result[index] == max(values)


def test_result_of_a_function_is_rounded_to_integers():
    assert downsample(np.array([0, 1, 1, 2], "u1"), [2], np.mean).tolist() == [0, 2]


@given(
    cases(["u1", "i2", "i8"]),
    st.sampled_from(
        [
            ("mean", lambda values: round(Fraction(sum(values), len(values)))),
            ("stride", lambda values: values[0]),
            (np.max, max),
        ]
    ),
)
def test_windows_at_the_edge_can_be_kept(case, how):
    (voxels, steps), (mode, expected) = case, how
    result = downsample(voxels, steps, mode, edge="keep")
    assert result.shape == tuple(-(-n // s) for n, s in zip(voxels.shape, steps, strict=True))
    for index, values in windows(voxels, steps, "keep"):
        assert result[index] == expected(values)


@pytest.mark.parametrize("mode", ["mean", "median", "stride", np.mean])
@pytest.mark.parametrize("factors", [[2], [4], [3], [2, 3]])
def test_voxels_of_a_ramp_are_where_the_metadata_say(mode, factors):
    ramp = np.arange(48, dtype=float)
    for factor in factors:
        ramp = downsample(ramp, [factor], mode)
    steps = [[1], *([factor] for factor in factors)]
    size, first = ome.of_factors(steps, centred=mode != "stride")[-1]
    np.testing.assert_array_equal(ramp, first[0] + size[0] * np.arange(len(ramp)))


@pytest.mark.parametrize("mode", ["mean", "median", "mode", "stride"])
def test_odd_last_plane_is_dropped(mode):
    voxels = np.arange(5 * 7 * 3).reshape(5, 7, 3)
    expected = downsample(voxels[:4, :6, :2], [2, 2, 2], mode)
    np.testing.assert_array_equal(downsample(voxels, [2, 2, 2], mode), expected)


@pytest.mark.parametrize(
    ("mode", "dtype", "able"),
    [
        ("mean", "bool", "mode, stride"),
        ("median", "bool", "mode, stride"),
        ("median", "c8", "mean, stride"),
        ("mode", "c16", "mean, stride"),
    ],
)
def test_mode_not_defined_for_a_dtype_is_refused(mode, dtype, able):
    with pytest.raises(ValueError, match=f"mode is '{mode}'.*dtype .*; allowed: {able}"):
        downsample(np.zeros(4, dtype), [2], mode)


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode is 'max'; allowed: mean, median, mode, stride, or"):
        check_mode("max", np.dtype("u1"))
