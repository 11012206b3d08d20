"""OMERO display windows and other metadata of channels."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr import ome
from neurozarr.voxels import windows
from neurozarr.voxels.windows import PERCENTILES


def stored(group, values, **options):
    array = group.create_array("0", values.shape, values.dtype, **options)
    array[...] = values
    return array


def test_display_window_is_percentiles_of_the_channel(group):
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(mean, 1, (20, 30, 40)) for mean in (5, 500)]).astype("f4")
    values[0, 0, 0, :9] = np.nan
    values[1, 0, 0, 0] = np.inf
    found = windows.windows(stored(group, values), 0, -9.0, 999.0)
    for (least, most, start, end), channel in zip(found, values, strict=True):
        finite = np.sort(channel[np.isfinite(channel)])
        assert (least, most) == (-9, 999)
        assert start == finite[round(PERCENTILES[0] / 100 * (finite.size - 1))]
        assert end == finite[round(PERCENTILES[1] / 100 * (finite.size - 1))]
        assert all(type(value) is float for value in (least, most, start, end))


def test_middle_volume_of_a_time_series_is_used(group):
    values = np.zeros((5, 4, 4, 4), "i2")
    values[2] = np.arange(64).reshape(4, 4, 4)
    values[4] = 9999
    ((_, _, start, end),) = windows.windows(stored(group, values), None, 0, 9999)
    assert (start, end) == (0, 63)


@pytest.mark.parametrize(
    ("values", "extremes", "expected"),
    [
        (np.full((4, 4, 4), 7, "u1"), (0, 9), (0, 9, 0, 9)),
        (np.full((4, 4, 4), 7, "u1"), (7, 7), (7, 8, 7, 8)),
        (np.full((4, 4, 4), np.nan, "f4"), (0.0, 1.0), (0, 1, 0, 1)),
    ],
)
def test_display_window_is_never_empty(group, values, extremes, expected):
    assert windows.windows(stored(group, values), None, *extremes) == [expected]


def test_display_window_of_a_large_volume_is_its_range(group, monkeypatch):
    monkeypatch.setattr(windows, "MAX_BYTES", 63)
    values = np.arange(64, dtype="u1").reshape(4, 4, 4)
    assert windows.windows(stored(group, values), None, 0, 200) == [(0, 200, 0, 200)]


class Chunked:
    """An array in memory that has chunks of a given shape."""

    def __init__(self, values, chunks):
        self.values, self.chunks, self.dtype, self.shape = (
            values,
            chunks,
            values.dtype,
            values.shape,
        )

    def __getitem__(self, region):
        return self.values[region]


DTYPES = [f"{order}{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8) for order in "<>"]
DTYPES += [f"{order}f{size}" for size in (2, 4, 8) for order in "<>"]
SHAPES = arrays.array_shapes(min_dims=3, max_dims=3, max_side=12)


@pytest.mark.parametrize("dtype", [*DTYPES, "?"])
@given(data=st.data())
def test_percentiles_equal_those_of_numpy(dtype, data):
    values = data.draw(arrays.arrays(dtype, SHAPES))
    chunks = data.draw(st.tuples(*[st.integers(1, 5)] * 3))
    check_percentiles(values, chunks)


@pytest.mark.parametrize("dtype", [*DTYPES, "?"])
@pytest.mark.parametrize("size", [1, 2, 500, 501, 30_000])
def test_percentiles_of_any_size_equal_those_of_numpy(dtype, size):
    bits = np.random.default_rng(size).integers(0, 256, size * np.dtype(dtype).itemsize, "u1")
    values = (bits & 1 if dtype == "?" else bits).view(dtype).reshape(size, 1, 1)
    check_percentiles(values, (64, 64, 64))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize(
    "some", [[np.nan], [np.inf, -np.inf], [7.0], [-7.0], [-0.0], [0.0, -0.0], [np.nan, -1, 3]]
)
def test_percentiles_of_special_values_equal_those_of_numpy(dtype, some):
    values = np.repeat(np.array(some, dtype), 700).reshape(-1, 1, 1)
    check_percentiles(values, (100, 1, 1))


def check_percentiles(values, chunks):
    region = tuple(slice(0, length) for length in values.shape)
    found = windows.percentiles(Chunked(values, chunks), region)
    finite = values[np.isfinite(values)]
    if not finite.size:
        assert found is None
        return
    if finite.dtype == bool:  # NumPy has no percentiles of these.
        finite = finite.astype("u1")
    assert found == tuple(map(float, np.percentile(finite, PERCENTILES, method="nearest")))
    assert "-0.0" not in map(str, found)


def test_channels_have_given_or_default_names_and_colours():
    assert ome.channels(1) == [{"color": "FFFFFF", "active": True}]
    assert [channel["color"] for channel in ome.channels(7)][:4] == [
        *("FF0000", "00FF00", "0000FF", "FF00FF")
    ]
    found = ome.channels(2, names=["DAPI", "GFP"], colors=["0000ff", "00FF00"])
    assert [channel["label"] for channel in found] == ["DAPI", "GFP"]
    assert [channel["color"] for channel in found] == ["0000FF", "00FF00"]


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_omero_is_beside_the_multiscales(version):
    placements = ome.of_shapes([(4, 4, 4)], ome.per_axis("pyramid_aligns", 2, 3))
    attributes = ome.attributes(axes="zyx", placements=placements, ome_version=version)
    found = ome.with_windows(attributes, ome.channels(1), [(0.0, 9.0, 1.0, 8.0)])
    image = found.get("ome", found)
    assert image["omero"] == {
        "channels": [
            {
                "color": "FFFFFF",
                "active": True,
                "window": {"min": 0, "max": 9, "start": 1, "end": 8},
            }
        ],
        "rdefs": {"model": "greyscale"},
    }
    assert "multiscales" in image
    assert ome.with_windows(attributes, [], []) == attributes
