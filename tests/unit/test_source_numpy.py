"""NumPy's .npy files, and raw voxels."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorstore
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.regions import whole
from neurozarr.sources import open_source

from .conversions import convert
from .families import assert_holds


@pytest.fixture(scope="module")
def voxels():
    return np.random.default_rng(0).integers(0, 60_000, (5, 6, 7)).astype("u2")


@pytest.mark.parametrize("dtype", ["<u2", ">i2", "i1", "?", "f2", ">f4", "<f8", "u8", ">c8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_arrays_are_read(tmp_path, voxels, dtype, order):
    values = np.array(voxels.astype(dtype), order=order)
    np.save(tmp_path / "a.npy", values)
    source = open_source(tmp_path / "a.npy")
    assert source.axes == "zyx"
    assert source.file_axes == ("zyx" if order == "C" else "xyz")
    assert_holds(source, np.load(tmp_path / "a.npy"))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_the_npy_format_are_read(tmp_path, voxels, version):
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array(file, voxels, version=version)
    assert_holds(open_source(tmp_path / "a.npy"), voxels)


@pytest.fixture(scope="module", params=["C", "F"])
def raw(request, tmp_path_factory, voxels):
    """A raw file of voxels that are indexed by x, c, y, and the source that it is."""
    path = tmp_path_factory.mktemp("raw") / "a.raw"
    path.write_bytes(b"12345" + voxels.astype(">u2").tobytes(order=request.param))
    return open_source(
        path, axes="xcy", shape=voxels.shape, dtype=">u2", order=request.param, offset=5
    )


@given(data=st.data())
def test_axes_and_shape_are_in_index_order_in_any_memory_order(raw, voxels, data):
    assert raw.axes == "czyx"
    assert_holds(raw, voxels.transpose(1, 2, 0)[:, None], data)


def test_the_fastest_axis_is_the_last_of_file_axes(raw, voxels):
    in_file = np.frombuffer(raw.files[0].read_bytes()[5:], ">u2").reshape(raw.file_shape)
    np.testing.assert_array_equal(raw.read_file(whole(raw.file_shape)), in_file)


@pytest.mark.parametrize(("ndim", "axes"), [(2, "yx"), (3, "zyx")])
@pytest.mark.parametrize("name", ["a.raw", "a.bin", "A.DAT"])
def test_raw_voxels_have_defaults(tmp_path, voxels, ndim, axes, name):
    voxels = voxels[(0,) * (3 - ndim)]
    (tmp_path / name).write_bytes(voxels.tobytes())
    source = open_source(tmp_path / name, shape=voxels.shape, dtype="uint16")
    assert source.file_axes == axes
    assert source.file_native_chunk_shape is None
    assert (source.voxel_size, source.space_unit, source.affine) == ((1, 1, 1), "", None)
    assert_holds(source, voxels.reshape(-1, *voxels.shape[-2:]))


def test_one_and_five_dimensions_need_axes(tmp_path):
    values = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)
    np.save(tmp_path / "a.npy", values)
    assert_holds(open_source(tmp_path / "a.npy", axes="xyzct"), values.transpose(4, 3, 2, 1, 0))
    np.save(tmp_path / "b.npy", values.ravel())
    assert_holds(open_source(tmp_path / "b.npy", axes="z"), values.reshape(-1, 1, 1))


@pytest.mark.parametrize(
    ("values", "axes", "message"),
    [
        (np.zeros((2, 2), object), None, "its dtype is object; only arrays of numbers"),
        (np.zeros((2, 2), [("é", "u1")]), None, "only arrays of numbers"),
        (np.zeros((2, 2), "S3"), None, "S3"),
        (np.zeros((2, 2), "g"), None, r"float128|longdouble"),
        (np.zeros((2, 2, 2, 2)), None, r"shape \(2, 2, 2, 2\): give axes"),
        (np.zeros(()), None, r"shape \(\): give axes"),
        (np.zeros((2, 2)), "zyx", r"axes is 'zyx', but the array has shape \(2, 2\)"),
        (np.zeros((2, 0)), None, r"the array is empty: its shape is \(2, 0\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_unsupported_arrays_are_refused(tmp_path, values, axes, message):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(SourceError, match=rf"a\.npy: .*({message})"):
        open_source(tmp_path / "a.npy", axes=axes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello, world", "its .npy header cannot be read"),
        (b"\x93NUMPY\x01\x00\x04\x00{'a'", "its .npy header cannot be read"),
        (b"\x93NUMPY\x09\x00\x04\x00{'a'", r"version 9\.0 of the \.npy format is unknown"),
    ],
)
def test_damaged_npy_files_are_refused(tmp_path, content, message):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "raw voxels have no header: give shape and dtype"),
        ({"shape": (4, 5)}, "give dtype"),
        ({"dtype": "u2"}, "give shape"),
        ({"shape": (4, 5), "dtype": "u3"}, "dtype is 'u3'; allowed: the name of a NumPy data type"),
        ({"shape": (4, 5), "dtype": "O"}, "its dtype is object"),
        ({"shape": (4, 5), "dtype": "u2,u1"}, "only arrays of numbers"),
        ({"shape": (4, 0), "dtype": "u2"}, "the array is empty"),
        ({"shape": (4, 5), "dtype": "u2", "order": "K"}, "order is 'K'; allowed: C or F"),
        ({"shape": (4, 5), "dtype": "u2", "offset": -1}, "offset is -1; allowed"),
        ({"shape": (4, 6), "dtype": "u2"}, "cut short: 40 bytes, but .* at byte 48"),
        ({"shape": (4, 4), "dtype": "u2"}, "too long: 40 bytes, but .* at byte 32"),
        ({"shape": (4, 5), "dtype": "u2", "offset": 2}, "cut short: 40 bytes, but .* at byte 42"),
        ({"shape": (4, 5), "dtype": "u2", "dataset": "a"}, "dataset is 'a'"),
    ],
)
def test_the_layout_of_raw_voxels_must_fit_the_file(tmp_path, said, message):
    (tmp_path / "a.raw").write_bytes(bytes(40))
    with pytest.raises(SourceError, match=rf"a\.raw: .*{message}"):
        open_source(tmp_path / "a.raw", **said)


@pytest.mark.parametrize("name", ["a.npy", "a.raw"])
def test_errors_name_missing_files_and_directories(tmp_path, name):
    said = {"shape": (4, 5), "dtype": "u2"} if name == "a.raw" else {}
    with pytest.raises(SourceError, match=f"{name}: there is no such file"):
        open_source(tmp_path / name, **said)
    (tmp_path / name).mkdir()
    with pytest.raises(SourceError, match=f"{name}: a directory"):
        open_source(tmp_path / name, **said)


def test_truncated_npy_files_fail_when_opened_or_read(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((100, 100, 100), "f4"))
    source = open_source(tmp_path / "a.npy")
    assert source.read(whole(source.shape)).all()
    os.truncate(tmp_path / "a.npy", 1_000_000)
    for act in (lambda: source.read(whole(source.shape)), lambda: open_source(tmp_path / "a.npy")):
        with pytest.raises(SourceError, match=r"cut short: 1000000 bytes, but .* at byte 4000128"):
            act()


def test_threads_read_the_same_voxels(raw, voxels):
    expected = voxels.transpose(1, 2, 0)[:, None]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(
            lambda c: raw.read((slice(c, c + 1), *whole(raw.shape[1:]))), [*range(6)] * 20
        )
        for number, part in enumerate(found):
            np.testing.assert_array_equal(part, expected[number % 6][None])


def test_raw_voxels_are_converted(tmp_path, voxels):
    sheet = tmp_path / "samples.tsv"
    path = tmp_path / "a.raw"
    path.write_bytes(voxels.tobytes(order="F"))
    sheet.write_text(
        "sample\tsource\taxes\tshape\tdtype\torder\tvoxel_size\tunit\n"
        f"a\t{path}\txyz\t5,6,7\tuint16\tF\t3,2,1\tmicrometer\n"
    )
    store, sample = convert(None, tmp_path, {"source": None, "samples": str(sheet)})
    assert sample.source.voxel_size == (3, 2, 1)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store / "0")}}
    stored = tensorstore.open(spec).result().read().result()
    np.testing.assert_array_equal(stored, voxels.T)
