"""MATLAB files of versions 5 to 7."""

import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import zarr
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.regions import regions, whole
from neurozarr.sources import open_source
from neurozarr.sources.base import Layout
from neurozarr.sources.matlab import MatlabSource

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
    return open_source(write(path, {"step": 5, "v": VOLUME, "word": "hello"}, request.param))


@given(data=st.data())
def test_a_volume_has_rows_columns_and_planes(volume, data):
    assert (volume.file_axes, volume.native_chunk_shape) == ("zxy", None)
    assert volume.held_bytes == VOLUME.nbytes
    assert_holds(volume, VOLUME.transpose(2, 0, 1), data)


def test_all_volumes_of_a_file_are_listed(tmp_path):
    path = write(tmp_path / "a.mat", {"step": 5, "v": VOLUME, "word": "hello", "w": VOLUME[0]})
    assert MatlabSource.images(str(path), Layout()) == [("v", "v"), ("w", "w")]
    path = write(tmp_path / "a.mat", {"labels": VOLUME, "v": VOLUME})
    assert [open_source(path, dataset=name).labels for name in ("labels", "v")] == [{}, None]
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(SourceError, match=r"a\.mat: cut short"):
        MatlabSource.images(str(path), Layout())


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"]
)
@pytest.mark.parametrize("compressed", [False, True])
def test_values_of_all_types_are_kept(tmp_path, dtype, compressed):
    values = (RNG.normal(size=(3, 4, 5)) * 100).astype("f4").astype(dtype)
    if dtype[0] == "c":
        values.imag = RNG.normal(size=values.shape)
    source = open_source(write(tmp_path / "a.mat", {"v": values}, compressed))
    assert_holds(source, values.transpose(2, 0, 1))
    assert source.held_bytes == values.nbytes * (3 if dtype[0] == "c" else 1)


NAMES = ["3dmatrix_6.1_SOL2", "3dmatrix_6.5.1_GLNX86", "3dmatrix_7.1_GLNX86", "3dmatrix_7.4_GLNX86"]


@pytest.mark.parametrize("name", NAMES)
def test_real_matlab_volumes_are_read(name):
    expected = np.arange(1, 25).reshape(2, 3, 4, order="F").astype("f8")
    assert_holds(open_source(SAVED / f"test{name}.mat"), expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("testmatrix_6.1_SOL2", None),
        ("testmatrix_7.4_GLNX86", None),
        ("testcomplex_6.1_SOL2", None),
        ("testcomplex_7.4_GLNX86", None),
        ("testbool_8_WIN64", None),
        ("testmulti_7.4_GLNX86", "theta"),
        ("big_endian", None),
        ("little_endian", None),
        ("test_skip_variable", None),
        ("some_functions", "b"),
    ],
)
def test_real_matlab_matrices_are_read(name, dataset):
    source = open_source(SAVED / f"{name}.mat", dataset=dataset)
    found = scipy.io.loadmat(SAVED / f"{name}.mat")[source.dataset]
    kind = {"testbool_8_WIN64": "?", "testmatrix_7.4_GLNX86": "f8", "some_functions": "f8"}
    expected = found.astype(kind.get(name, found.dtype))[None]
    if name == "testmatrix_6.1_SOL2":
        expected = expected.astype("f8")
    assert_holds(source, expected)


def test_variables_match_those_that_scipy_lists():
    for file in sorted(SAVED.glob("*[67].*.mat")):
        if file.name.startswith("testhdf5"):
            continue
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(file)}
        for name in shapes:
            try:
                source = open_source(file, dataset=name, axes="xyztc"[: len(shapes[name])])
            except SourceError as error:
                assert "only full arrays of numbers" in str(error)  # noqa: PT017
            else:
                assert source.file_shape == shapes[name][::-1]


def test_four_dimensions_need_axes(tmp_path):
    values = RNG.integers(0, 9, (3, 4, 5, 2)).astype("i2")
    path = write(tmp_path / "a.mat", {"v": values})
    with pytest.raises(SourceError, match=r"v has size \(3, 4, 5, 2\), .* give axes, the last"):
        open_source(path)
    assert_holds(open_source(path, axes="czxy"), values.transpose(3, 2, 0, 1))
    with pytest.raises(SourceError, match=r"axes is 'zxy', but the array has shape \(2, 5, 4, 3\)"):
        open_source(path, axes="zxy")


def test_one_of_several_arrays_must_be_named(tmp_path):
    path = write(tmp_path / "a.mat", {"a": VOLUME, "b": VOLUME[0], "n": 3})
    with pytest.raises(SourceError, match=r"a of shape \(7, 8, 9\), b of shape \(8, 9\); name one"):
        open_source(path)
    with pytest.raises(SourceError, match=r"dataset is 'c', but the file holds a of .* n of shape"):
        open_source(path, dataset="c")
    assert_holds(open_source(path, dataset="b"), VOLUME[:1])
    assert_holds(open_source(path, dataset="n"), np.full((1, 1, 1), 3))


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        ("testsparse_7.4_GLNX86", "testsparse", "sparse"),
        ("logical_sparse", "sp_log_5_4", "sparse"),
        ("teststruct_7.4_GLNX86", "teststruct", "struct"),
        ("testcell_6.1_SOL2", "testcell", "cell"),
        ("testobject_7.4_GLNX86", "testobject", "object"),
        ("teststring_7.4_GLNX86", "teststring", "char"),
        ("testfunc_7.4_GLNX86", "testfunc", "function"),
    ],
)
def test_only_full_arrays_of_numbers_are_read(file, name, kind):
    with pytest.raises(SourceError, match=rf"{name} is {kind} of size .*; only full arrays of num"):
        open_source(SAVED / f"{file}.mat", dataset=name)
    with pytest.raises(SourceError, match="the file holds no array of numbers"):
        open_source(SAVED / f"{file}.mat")


def test_complex_integers_are_refused(tmp_path):
    path = write(tmp_path / "a.mat", {"v": VOLUME.astype("i2")}, compressed=False)
    content = bytearray(path.read_bytes())
    content[128 + 17] |= 0x08
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"v is complex int16 of size \(7, 8, 9\)"):
        open_source(path, dataset="v")


def test_opaque_objects_are_ignored(tmp_path):
    path = write(tmp_path / "a.mat", {"v": VOLUME})
    opaque = struct.pack("<4I", 6, 8, 17, 0) + struct.pack("<2I", 1 | 1 << 16, ord("s")) * 3
    content = path.read_bytes()
    path.write_bytes(content[:128] + struct.pack("<2I", 14, len(opaque)) + opaque + content[128:])
    assert_holds(open_source(path), VOLUME.transpose(2, 0, 1))


def test_errors_name_a_file_that_is_not_matlab(tmp_path):
    path = tmp_path / "a.mat"
    with pytest.raises(SourceError, match=r"a\.mat: there is no such file"):
        open_source(path)
    for content in (b"hello", bytes(200), b"x" * 200):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"a\.mat: not a MATLAB file of version 5 or later"):
            open_source(path)
    with pytest.raises(SourceError, match="not a MATLAB file of version 5 or later; save it again"):
        open_source(SAVED / "testmatrix_4.2c_SOL2.mat")
    write(path, {"v": VOLUME})
    os.truncate(path, 300)
    with pytest.raises(SourceError, match=r"cut short: 300 bytes, but a variable ends at byte \d+"):
        open_source(path)
    with pytest.raises(SourceError, match=r"corrupted_zlib_checksum\.mat: its variables cannot be"):
        open_source(SAVED / "corrupted_zlib_checksum.mat")
    with pytest.raises(SourceError, match=r"bad_miuint32\.mat: damaged: the header of an_array"):
        open_source(SAVED / "bad_miuint32.mat")


def test_values_of_an_unknown_type_are_refused(tmp_path):
    path = write(tmp_path / "a.mat", {"v": VOLUME}, compressed=False)
    content = bytearray(path.read_bytes())
    content[184] = 127
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"cannot be listed \(the values of v have type 127"):
        open_source(path)


def test_errors_name_a_file_with_damaged_voxels():
    source = open_source(SAVED / "corrupted_zlib_data.mat", dataset="datagrid")
    with pytest.raises(SourceError, match=r"corrupted_zlib_data\.mat: the voxels cannot be read"):
        source.read(whole(source.shape))


def test_errors_name_the_extra_if_scipy_is_missing(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mat", {"v": VOLUME})
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(SourceError, match=r"scipy.* is needed: .*(scipy|matlab)"):
        open_source(path)


def test_threads_read_the_file_once(tmp_path, monkeypatch):
    source = open_source(write(tmp_path / "a.mat", {"v": VOLUME}))
    assert "voxels" not in vars(source)
    times = []
    loadmat = scipy.io.loadmat

    def counting(*args, **options):
        times.append(options["variable_names"])
        return loadmat(*args, **options)

    monkeypatch.setattr(scipy.io, "loadmat", counting)
    read = np.empty(source.shape, "u1")

    def copy(part):
        read[part] = source.read(part)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy, regions(whole(source.shape), (2, 3, 8))))
    np.testing.assert_array_equal(read, VOLUME.transpose(2, 0, 1))
    assert times == [["v"]]


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.mat")
    with pytest.raises(SourceError, match=r"a\.mat: a directory, a pipe or a device, not a file"):
        open_source(tmp_path / "a.mat")


def test_conversion_keeps_the_voxels(tmp_path):
    path = write(tmp_path / "a.mat", {"v": VOLUME})
    store, sample = convert(path, tmp_path, {"zarr": {"chunk": 4}})
    assert sample.dtype == np.dtype("u1")
    np.testing.assert_array_equal(
        zarr.open_array(store / "0", mode="r")[...], VOLUME.transpose(2, 0, 1)
    )
