"""Any axes, in any order of the file, in native chunks of any size, reach the store."""

import shutil
import tempfile
from pathlib import Path

import h5py
import nrrd
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurozarr.axes import STORED_ORDER

from .conversions import converted_with


def save_zarr(folder, data, chunks, compress):
    codecs = {} if compress else {"compressors": None}
    zarr.create_array(folder / "a.zarr", data=data, chunks=chunks, **codecs)
    return "a.zarr"


def save_hdf5(folder, data, chunks, compress):
    with h5py.File(folder / "a.h5", "w") as file:
        options = {"chunks": chunks, "compression": "gzip"} if compress else {}
        file.create_dataset("a", data=data, **options)
    return "a.h5"


def save_npy(folder, data, chunks, compress):
    np.save(folder / "a.npy", data)
    return "a.npy"


def save_nrrd(folder, data, chunks, compress):
    header = {"encoding": "gzip" if compress else "raw"}
    nrrd.write(str(folder / "a.nrrd"), data, header, index_order="C")
    return "a.nrrd"


def save_tiff(folder, data, chunks, compress):
    tifffile.imwrite(
        folder / "a.tif",
        data,
        photometric="minisblack",
        compression="lzw" if compress else None,
        rowsperstrip=chunks[-2],
    )
    return "a.tif"


@st.composite
def arrays(draw):
    """An array with at least y and x in any order, and the shape of its native chunks."""
    others = draw(st.sets(st.sampled_from("tcz")))
    axes = "".join(draw(st.permutations(sorted(others | {"y", "x"}))))
    shape = [draw(st.integers(1, 24 if axis in "zyx" else 3)) for axis in axes]
    chunks = tuple(draw(st.integers(1, length)) for length in shape)
    return axes, np.arange(np.prod(shape), dtype="u2").reshape(shape), chunks


@pytest.mark.parametrize("save", [save_zarr, save_hdf5, save_npy, save_nrrd, save_tiff])
@settings(max_examples=10)
@given(arrays(), st.booleans(), st.sampled_from([4, 16]))
def test_voxels_are_where_their_axes_say(save, made, compress, chunk):
    axes, data, chunks = made
    assume(save is not save_tiff or 1 not in data.shape)  # TIFF has no axes of length 1.
    if save is save_tiff and not axes.endswith("yx"):
        order = [*(axis for axis in axes if axis not in "yx"), "y", "x"]
        data = data.transpose([axes.index(axis) for axis in order])
        axes = "".join(order)
        chunks = data.shape
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / save(folder, data, chunks, compress)
        found = converted_with(source, folder, axes=axes, chunk=chunk)
    known = [axis for axis in STORED_ORDER if axis in axes]
    expected = data.transpose([axes.index(axis) for axis in known])
    lengths = dict(zip(axes, data.shape, strict=True))
    assert found.shape[-3:] == tuple(lengths.get(axis, 1) for axis in "zyx")
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


def test_a_compressed_slice_larger_than_a_chunk_is_converted(tmp_path):
    """As microscopes write them: a strip of such a slice crossed chunks of the store."""
    data = np.random.default_rng(0).integers(0, 999, (300, 400)).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", data, compression="lzw")
    np.testing.assert_array_equal(converted_with(tmp_path / "a.tif", tmp_path)[0], data)
    (tmp_path / "tiles").mkdir()
    for y in range(2):
        for c in range(2):
            tile = data[150 * y : 150 * y + 150] + c
            tifffile.imwrite(tmp_path / f"tiles/c{c}_y{y}.tif", tile, compression="deflate")
    shutil.rmtree(tmp_path / "out")
    found = converted_with(tmp_path / "tiles/c{c}_y{y}.tif", tmp_path)
    np.testing.assert_array_equal(found[:, 0], np.stack([data, data + 1]))
