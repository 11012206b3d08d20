"""HDF5 files: datasets, MATLAB v7.3 variables, Imaris images."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy
import zarr
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.regions import regions, whole
from neurozarr.sources import open_source
from neurozarr.sources.base import Layout
from neurozarr.sources.hdf5 import Hdf5Source
from neurozarr.sources.matlab import MatlabHdf5Source

from ..programs import Program
from .conversions import convert
from .families import assert_holds

SAVED = Path(scipy.__file__).parent / "io/matlab/tests/data"
RNG = np.random.default_rng(0)
VOXELS = RNG.integers(0, 250, (2, 3, 9, 10, 11)).astype("u1")


def write(path, arrays, **options):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **options)
    return path


LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (4, 5, 6)},
    "gzip": {"chunks": (1, 10, 11), "compression": "gzip", "shuffle": True},
    "lzf": {"chunks": (3, 3, 3), "compression": "lzf", "fletcher32": True},
    "scaleoffset": {"chunks": (9, 10, 11), "scaleoffset": 0},
    "larger": {"chunks": (16, 16, 16), "maxshape": (None, None, None)},
}


@pytest.fixture(scope="module", params=LAYOUTS)
def stored(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("hdf5") / "a.h5"
    return open_source(write(path, {"raw": VOXELS[0, 0]}, **LAYOUTS[request.param])), request.param


@given(data=st.data())
def test_any_region_is_read_from_any_storage_layout(stored, data):
    source, layout = stored
    assert source.native_chunk_shape == LAYOUTS[layout].get("chunks")
    assert_holds(source, VOXELS[0, 0], data)


@pytest.mark.parametrize(
    "dtype", ["?", "i1", ">i2", "<u4", ">u8", "<f2", ">f4", "f8", "<c8", ">c16"]
)
def test_values_of_all_types_are_kept(tmp_path, dtype):
    values = (RNG.normal(size=(3, 4, 5)) * 100).astype("f4").astype(dtype)
    assert_holds(open_source(write(tmp_path / "a.hdf5", {"raw": values})), values)


def test_enumerations_and_pairs_of_floats_are_read(tmp_path):
    path = tmp_path / "a.h5"
    labels = VOXELS[0, 0] % 2
    pairs = np.zeros((3, 4, 5), [("real", ">f4"), ("imag", ">f4")])
    pairs["real"], pairs["imag"] = RNG.normal(size=(2, 3, 4, 5))
    with h5py.File(path, "w") as file:
        kind = h5py.enum_dtype({"out": 0, "in": 1}, basetype="u1")
        file.create_dataset("labels", data=labels, dtype=kind)
        file["pairs"] = pairs
    assert_holds(open_source(path, dataset="labels"), labels)
    assert_holds(open_source(path, dataset="/pairs"), pairs["real"] + 1j * pairs["imag"])


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6)])
def test_two_and_three_axes_are_spatial_by_default(tmp_path, shape):
    values = RNG.integers(0, 9, shape).astype("i2")
    assert_holds(open_source(write(tmp_path / "a.h5", {"a": values})), values.reshape(-1, 5, 6))


def test_axes_are_named_by_labels_ilastik_or_the_user(tmp_path):
    path = write(tmp_path / "a.h5", {"a": VOXELS[:, 0]})
    with pytest.raises(SourceError, match=r"/a has shape \(2, 9, 10, 11\), and its axes have no"):
        open_source(path)
    with h5py.File(path, "r+") as file:
        tags = [{"key": key, "typeFlags": 2, "resolution": 0} for key in "tyxz"]
        file["a"].attrs["axistags"] = json.dumps({"axes": tags})
    assert_holds(open_source(path), VOXELS[:, 0].transpose(0, 3, 1, 2))
    with h5py.File(path, "r+") as file:
        for number, label in enumerate("czyx"):
            file["a"].dims[number].label = label
    assert open_source(path).axes == "czyx"
    assert_holds(open_source(path, axes="tzyx"), VOXELS[:, 0])
    with pytest.raises(SourceError, match=r"axes is 'zyx', but the array has shape \(2, 9,"):
        open_source(path, axes="zyx")


@pytest.mark.parametrize("tags", ["?", "{}", '{"axes": [{"key": "q"}]}', '{"axes": 1}', 7])
def test_invalid_axistags_are_ignored(tmp_path, tags):
    path = write(tmp_path / "a.h5", {"a": VOXELS[0, 0]})
    with h5py.File(path, "r+") as file:
        file["a"].attrs["axistags"] = tags
    assert open_source(path).file_axes == "zyx"


@pytest.mark.parametrize(
    ("said", "size"), [([2, 0.5, 0.25], (2, 0.5, 0.25)), ([1, 2], None), ([0, 1, 1], None)]
)
def test_element_size_um_is_the_voxel_size(tmp_path, said, size):
    path = write(tmp_path / "a.h5", {"a": VOXELS[0, 0]})
    with h5py.File(path, "r+") as file:
        file["a"].attrs["element_size_um"] = said
    source = open_source(path)
    unit = "micrometer" if size else ""
    assert (source.voxel_size, source.space_unit) == (size or (1, 1, 1), unit)


def tag(path, **said):
    """Give the dataset ilastik's attributes: the resolution and the unit of each axis."""
    axes = [{"key": axis, "typeFlags": 2, "resolution": size} for axis, (size, _) in said.items()]
    names = {axis: unit for axis, (_, unit) in said.items() if unit is not None}
    with h5py.File(path, "r+") as file:
        file["a"].attrs["axistags"] = json.dumps({"axes": axes})
        if names:
            file["a"].attrs["axis_units"] = json.dumps(names)
    return path


@pytest.mark.parametrize(
    ("said", "axes", "expected"),
    [
        (
            {"t": (2.5, "s"), "z": (0.002, "mm"), "y": (0.5, "um"), "x": (0.25, "um")},
            None,
            ("tzyx", (2, 0.5, 0.25), "micrometer", 2.5, "second"),
        ),
        ({"c": (0, ""), "z": (2, None), "y": (0.5, None), "x": (0.25, None)}, None,
         ("czyx", (2, 0.5, 0.25), "", 1, "")),
        ({"c": (0, ""), "z": (0, None), "y": (0.5, None), "x": (0.25, None)}, None,
         ("czyx", (1, 1, 1), "", 1, "")),
        # Sizes belong to dimensions, whatever their letters; but not to dimensions of another type.
        ({"t": (9, "s"), "x": (3, "um"), "y": (2, "um"), "z": (1, "um")}, "tzyx",
         ("tzyx", (3, 2, 1), "micrometer", 9, "second")),
        ({"t": (9, "s"), "z": (3, "um"), "y": (2, "um"), "x": (1, "um")}, "zcyx",
         ("zcyx", (1, 2, 1), "micrometer", 1, "")),
    ],
)  # fmt: skip
def test_axistags_have_sizes_and_units(tmp_path, said, axes, expected):
    shape = VOXELS[:, 0].shape
    path = write(tmp_path / "a.h5", {"a": VOXELS[:, 0]})
    source = open_source(tag(path, **said), axes=axes)
    found = (source.voxel_size, source.space_unit, source.time_step, source.time_unit)
    assert (source.file_axes, *found) == expected
    assert source.file_shape == shape
    assert source.position == ()


def test_element_size_um_belongs_to_dimensions(tmp_path):
    path = write(tmp_path / "a.h5", {"a": VOXELS[0, 0]})
    with h5py.File(path, "r+") as file:
        file["a"].attrs["element_size_um"] = [3, 2, 1]
    assert open_source(path, axes="xyz").voxel_size == (1, 2, 3)
    assert open_source(path, axes="cyx").voxel_size == (3, 2, 1)


def test_labels_are_integers_in_a_group_or_with_a_colour_table(tmp_path):
    images = {"volumes/raw": VOXELS[0, 0], "volumes/labels/ids": VOXELS[0, 0]}
    floats = {"labels": VOXELS[0, 0].astype("f4"), "a": VOXELS[0, 0]}
    path = write(tmp_path / "a.h5", images | floats)
    with h5py.File(path, "r+") as file:
        file["a"].attrs["display_mode"] = "random-colortable"
        file["volumes/raw"].attrs["display_mode"] = "grayscale"
    found = {name: open_source(path, dataset=name).labels for name in images | floats}
    assert found == {"volumes/raw": None, "volumes/labels/ids": {}, "labels": None, "a": {}}


def test_all_images_of_a_file_are_listed(tmp_path):
    arrays = {
        "b/raw": VOXELS[0, 0],
        "a": VOXELS,
        "line": np.zeros((1, 9)),
        "six": np.zeros((2,) * 6),
    }
    path = write(tmp_path / "a.h5", arrays)
    assert Hdf5Source.images(str(path), Layout()) == [("/a", "a"), ("/b/raw", "b/raw")]
    path = matlab(tmp_path / "a.mat", {"v": VOXELS[0, 0], "step": np.ones((1, 1))})
    assert MatlabHdf5Source.images(str(path), Layout()) == [("/v", "v")]
    path = write(tmp_path / "b.h5", {"line": np.zeros((1, 9))})
    with pytest.raises(SourceError, match=r"/line of shape \(1, 9\), and no image; give dataset"):
        Hdf5Source.images(str(path), Layout())


def test_one_of_several_datasets_must_be_named(tmp_path):
    arrays = {"t0/s0": VOXELS[0, 0], "t0/s1": VOXELS[0, 0, ::2], "n": np.arange(3), "s": "text"}
    path = write(tmp_path / "a.h5", arrays)
    there = r"the file holds /t0/s0 of shape \(9, 10, 11\), /t0/s1 of shape \(5, 10, 11\)"
    with pytest.raises(SourceError, match=rf"{there}; name one by dataset"):
        open_source(path)
    for name in ("t0", "t0/s2", "/x/y"):
        with pytest.raises(SourceError, match=rf"dataset is '{name}', but {there}"):
            open_source(path, dataset=name)
    with pytest.raises(SourceError, match=r"s has shape \(\) and type object; only arrays of num"):
        open_source(path, dataset="s")
    assert_holds(open_source(path, dataset="t0/s1"), VOXELS[0, 0, ::2])
    assert_holds(open_source(path, dataset="n", axes="x"), np.arange(3).reshape(1, 1, 3))


def test_datasets_with_one_long_axis_are_no_candidates(tmp_path):
    arrays = {"a": VOXELS[0, 0], "step": np.zeros((1, 1)), "times": np.zeros((9, 1))}
    assert_holds(open_source(write(tmp_path / "a.h5", arrays)), VOXELS[0, 0])


def test_a_long_list_of_datasets_is_truncated(tmp_path):
    path = write(tmp_path / "a.h5", {f"a{i:02}": VOXELS[0, 0, 0] for i in range(25)})
    with pytest.raises(SourceError, match=r"/a19 of shape \(10, 11\), 5 more; name one"):
        open_source(path)


def test_datasets_without_numbers_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["words"] = np.full((2, 3), b"ab")
        file["table"] = np.zeros((2, 3), [("a", "i2"), ("b", "f4")])
        file["six"] = np.zeros((1,) * 6)
        file["null"] = h5py.Empty("f4")
    with pytest.raises(SourceError, match="the file holds no array of numbers with 2 to 5 dim"):
        open_source(path)
    for name in ("words", "table", "six", "null"):
        with pytest.raises(SourceError, match=f"{name} has shape .* only arrays of numbers with 1"):
            open_source(path, dataset=name)
    write(path, {"a": np.zeros((0, 3, 4))})
    with pytest.raises(SourceError, match="the array is empty"):
        open_source(path)
    write(path, {"a": np.zeros((2, 3, 4), "longdouble")})
    with pytest.raises(SourceError, match="cannot be stored in Zarr"):
        open_source(path)


def test_real_complex_numbers_are_read_and_texts_refused():
    data = Path(h5py.__file__).parent / "tests/data_files"
    with h5py.File(data / "compound-dtype-complex.h5") as file:
        arrays = {name: dataset[()] for name, dataset in file.items()}
    assert arrays
    for name, values in arrays.items():
        source = open_source(data / "compound-dtype-complex.h5", dataset=name, axes="x")
        assert source.dtype.kind == "c"
        assert_holds(source, values[None, None])
    with pytest.raises(SourceError, match="the file holds no array of numbers"):
        open_source(data / "vlen_string_dset.h5")


def test_errors_name_a_missing_filter(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk((4, 4, 4))
        created.set_filter(32099, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((8, 8, 8))
        h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_UINT8, space, created)
    with pytest.raises(SourceError, match=r"/a is compressed by filter 32099 .*HDF5_PLUGIN_PATH"):
        open_source(path)


def test_linked_and_virtual_datasets_list_their_files(tmp_path):
    stored = {"chunks": (3, 10, 11), "compression": "gzip"}
    parts = [write(tmp_path / f"{i}.h5", {"in/raw": VOXELS[0, i]}, **stored) for i in range(3)]
    path = tmp_path / "a.h5"
    layout = h5py.VirtualLayout(VOXELS[0].shape, "u1")
    for i in range(3):
        layout[i] = h5py.VirtualSource(f"{i}.h5", "in/raw", VOXELS[0, i].shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("all", layout)
        file["link"] = h5py.ExternalLink("1.h5", "in/raw")
        file["nowhere"] = h5py.SoftLink("/nothing")
    source = open_source(path, axes="czyx")
    assert source.files == (path, *parts)
    assert source.native_chunk_shape == (1, 3, 10, 11)
    assert_holds(source, VOXELS[0])
    source = open_source(path, dataset="link")
    assert source.files == (path, parts[1])
    assert_holds(source, VOXELS[0, 1])
    with pytest.raises(SourceError, match="dataset is 'nowhere', but the file holds /all"):
        open_source(path, dataset="nowhere")
    with h5py.File(parts[0], "r+") as file:
        file.move("in/raw", "in/cooked")
    with pytest.raises(SourceError, match=r"in/raw in .*0\.h5, a source of /all, is missing"):
        open_source(path, axes="czyx")
    parts[0].unlink()
    with pytest.raises(SourceError, match=r"0\.h5, a source of /all, is missing"):
        open_source(path, axes="czyx")


@pytest.mark.parametrize("circle", ["a", "ab", "abc"])
def test_a_virtual_dataset_that_contains_itself_is_refused(tmp_path, circle):
    for name, after in zip(circle, circle[1:] + circle[:1], strict=True):
        layout = h5py.VirtualLayout((4, 5, 6), "u1")
        layout[:] = h5py.VirtualSource("." if name == after else f"{after}.h5", "v", (4, 5, 6))
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_virtual_dataset("v", layout)
            file["link"] = h5py.ExternalLink(f"{after}.h5", "v")
    for name in ("v", "link", None):
        with pytest.raises(SourceError, match=r"the virtual dataset /v contains itself"):
            open_source(tmp_path / "a.h5", dataset=name)


def test_virtual_datasets_may_be_nested(tmp_path):
    path = write(tmp_path / "a.h5", {"0": VOXELS[0, 0]})
    shape = VOXELS[0, 0].shape
    with h5py.File(path, "r+") as file:
        for number in range(1, 40):
            layout = h5py.VirtualLayout(shape, "u1")
            layout[:4] = h5py.VirtualSource(".", f"{number - 1}", shape)[:4]
            layout[4:] = h5py.VirtualSource("a.h5", f"{number - 1}", shape)[4:]
            file.create_virtual_dataset(f"{number}", layout)
    assert_holds(open_source(path, dataset="5"), VOXELS[0, 0])
    with pytest.raises(SourceError, match="more than 32 virtual datasets are nested"):
        open_source(path, dataset="39")


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_links_to_pipes_and_directories_are_refused(tmp_path, kind):
    path, other = tmp_path / "a.h5", tmp_path / "p.h5"
    match kind:
        case "pipe":
            os.mkfifo(other)
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(other))
        case "device":
            other.symlink_to("/dev/zero")
    layout = h5py.VirtualLayout((4, 5, 6), "u1")
    layout[:] = h5py.VirtualSource("p.h5", "v", (4, 5, 6))
    outer = h5py.VirtualLayout((4, 5, 6), "u1")
    outer[:] = h5py.VirtualSource("b.h5", "virtual", (4, 5, 6))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("virtual", layout)
        file["far"] = h5py.ExternalLink("p.h5", "/v")
    with h5py.File(path, "w") as file:
        file["g/link"] = h5py.ExternalLink("p.h5", "/v")
        file["soft"] = h5py.SoftLink("/g/link")
        file["over"] = h5py.ExternalLink("b.h5", "/")
        file["round"] = h5py.SoftLink("/round")
        file.create_virtual_dataset("virtual", outer)
    for name in ("g/link", "soft", "over/far", "over/virtual", "virtual", None):
        with pytest.raises(SourceError, match=r"p\.h5: a directory, a pipe or a device"):
            open_source(path, dataset=name)
    with pytest.raises(SourceError, match="more than 32 links, or a circle, lead to"):
        open_source(path, dataset="round/a")
    with pytest.raises(SourceError, match=r"p\.h5: a directory, a pipe or a device"):
        open_source(other)


def test_external_raw_storage_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        raw = [(str(tmp_path / "a.raw"), 0, 990)]
        file.create_dataset("a", (9, 10, 11), "u1", external=raw)
    with pytest.raises(SourceError, match=r"/a is stored in raw files, such as .*a\.raw: copy it"):
        open_source(path)


def test_errors_name_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(SourceError, match=r"a\.h5: there is no such file"):
        open_source(tmp_path / "a.h5")
    (tmp_path / "b.h5").mkdir()
    with pytest.raises(SourceError, match=r"b\.h5: a directory"):
        open_source(tmp_path / "b.h5")
    (tmp_path / "c.h5").write_bytes(b"hello")
    with pytest.raises(SourceError, match=r"c\.h5: HDF5 cannot open the file"):
        open_source(tmp_path / "c.h5")
    path = write(tmp_path / "d.h5", {"a": VOXELS})
    os.truncate(path, 3000)
    with pytest.raises(SourceError, match=r"d\.h5: HDF5 cannot open the file .*truncated"):
        open_source(path)


@pytest.mark.parametrize("name", ["a.h5", "a.mat"])
def test_errors_name_a_file_with_a_damaged_header(tmp_path, name):
    path = write(tmp_path / name, {"a": VOXELS[0, 0]})
    path.write_bytes(path.read_bytes().replace(b"SNOD", b"FILM"))
    with pytest.raises(SourceError, match=rf"{name}: its headers cannot be read"):
        open_source(path)


def test_errors_name_the_file_of_a_damaged_chunk(tmp_path):
    path = write(tmp_path / "a.h5", {"a": VOXELS[0, 0]}, chunks=(9, 10, 11), compression="gzip")
    with h5py.File(path) as file:
        start = file["a"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[start : start + 50] = bytes(50)
    path.write_bytes(content)
    source = open_source(path)
    with pytest.raises(SourceError, match=r"a\.h5: the voxels cannot be read"):
        source.read(whole(source.shape))


@pytest.mark.parametrize("name", ["a.h5", "a.ims", "a.mat"])
def test_errors_name_the_extra_if_h5py_is_missing(tmp_path, monkeypatch, name):
    path = write(tmp_path / name, {"a": VOXELS[0, 0]})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SourceError, match=rf"{name}: .* h5py is needed: .*(h5py|hdf5)"):
        open_source(path)


def test_threads_share_one_open_file(tmp_path):
    path = write(tmp_path / "a.h5", {"a": VOXELS}, chunks=(1, 1, 4, 4, 4), compression="gzip")
    source = open_source(path, axes="tczyx")
    assert "stored" not in vars(source)
    read = np.empty_like(VOXELS)

    def copy(part):
        read[part] = source.read(part)
        return id(source.stored)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(copy, regions(whole(VOXELS.shape), (1, 1, 3, 5, 11))))) == 1
    np.testing.assert_array_equal(read, VOXELS)


def test_a_file_locked_by_a_writer_is_read(tmp_path):
    path = write(tmp_path / "a.h5", {"a": VOXELS[0, 0]})
    program = "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, 2); print(); input()"
    command = [sys.executable, "-c", program, path]
    with Program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(OSError, match="lock"):
            h5py.File(path, "r", locking=True)
        assert_holds(open_source(path), VOXELS[0, 0])
        other.communicate(b"\n")


# MATLAB v7.3


def matlab(path, variables):
    """Variables as MATLAB 7.3 saves them: its last dimension first, below a header of 512 bytes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            array = np.asarray(values).T
            kind = {"bool": "logical", "float64": "double", "float32": "single"}.get(
                array.dtype.name, array.dtype.name
            )
            if array.dtype.kind == "c":
                parts = np.zeros(array.shape, [("real", "f8"), ("imag", "f8")])
                parts["real"], parts["imag"] = array.real, array.imag
                array, kind = parts, "double"
            if kind == "logical":
                array = array.astype("u1")
            file.create_dataset(name, data=array).attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\0\2IM")
    return path


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i4", "u8", "f4", "f8", "c16"])
def test_a_matlab_volume_has_rows_columns_and_planes(tmp_path, dtype):
    volume = (RNG.normal(size=(4, 5, 6)) * 100).astype("f4").astype(dtype)
    source = open_source(matlab(tmp_path / "a.mat", {"v": volume}))
    assert source.file_axes == "zxy"
    assert_holds(source, volume.transpose(2, 0, 1))


def test_variables_without_numbers_are_ignored(tmp_path):
    path = matlab(tmp_path / "a.mat", {"v": VOXELS[0, 0], "word": np.zeros((1, 3), "u2")})
    with h5py.File(path, "r+") as file:
        file["word"].attrs["MATLAB_class"] = np.bytes_("char")
        file["#refs#/a"] = VOXELS[0, 0]
        file["cell"] = np.full((2, 2), file["#refs#/a"].ref)
        file["cell"].attrs["MATLAB_class"] = np.bytes_("cell")
        file["empty"] = np.array([[0], [3]], "u8")
        file["empty"].attrs.update({"MATLAB_class": np.bytes_("double"), "MATLAB_empty": 1})
    assert_holds(open_source(path), VOXELS[0, 0].transpose(2, 0, 1))
    with h5py.File(path, "r+") as file:
        file["s/four"] = VOXELS[0]
    with pytest.raises(SourceError, match="give axes, slowest first, such as czxy"):
        open_source(path, dataset="s/four")
    assert_holds(open_source(path, dataset="s/four", axes="czxy"), VOXELS[0].transpose(0, 1, 3, 2))
    with pytest.raises(SourceError, match=r"word has shape \(3, 1\) and type uint16; only arrays"):
        open_source(path, dataset="word")


def test_a_real_matlab_file_is_read():
    source = open_source(SAVED / "testhdf5_7.4_GLNX86.mat")
    assert_holds(source, np.linspace(0, 2 * np.pi, 9).reshape(1, 1, 9))


# Imaris


def characters(text):
    return np.frombuffer(text if isinstance(text, bytes) else text.encode(), "S1")


def imaris(path, volumes, *, unit="um", times=None, colors=("1.000 0.000 0.500",), **options):
    """Volumes by time point and channel, in whole chunks, as Imaris 5.5 saves them."""
    shape = volumes.shape[2:]
    chunks = options.setdefault("chunks", (4, 4, 4))
    padding = [(0, -n % c) for n, c in zip(shape, chunks, strict=True)]
    with h5py.File(path, "w") as file:
        for t, c in np.ndindex(volumes.shape[:2]):
            for level in range(2):
                place = f"DataSet/ResolutionLevel {level}/TimePoint {t}/Channel {c}"
                data = np.pad(volumes[t, c], padding)[(slice(None, None, 1 + level),) * 3]
                file.create_dataset(f"{place}/Data", data=data, **options)
        image = file.create_group("DataSetInfo/Image").attrs
        for i, (axis, n) in enumerate(zip("XYZ", shape[::-1], strict=True)):
            image[axis] = characters(str(n))
            image[f"ExtMin{i}"] = characters(f"{-i:.3f}")
            image[f"ExtMax{i}"] = characters(f"{n * 0.5 * (i + 1) - i:.3f}")
        image["Unit"] = characters(unit)
        for c, color in enumerate(colors):
            channel = file.create_group(f"DataSetInfo/Channel {c}").attrs
            channel["Name"], channel["Color"] = characters(f"dye {c}"), characters(color)
        info = file.create_group("DataSetInfo/TimeInfo").attrs
        for t, time in enumerate(times or ()):
            info[f"TimePoint{t + 1}"] = characters(time)
    return path


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("imaris") / "a.ims"
    times = ["2010-01-01 23:59:50.000", "2010-01-02 00:00:02.500"]
    colors = ("1.000 0.000 0.500", "0 1 0", "0 0 1")
    return imaris(path, VOXELS, times=times, colors=colors, compression="gzip")


@given(data=st.data())
def test_the_finest_imaris_level_is_read_without_padding(image, data):
    source = open_source(image)
    assert source.native_chunk_shape == (1, 1, 4, 4, 4)
    assert_holds(source, VOXELS, data)


def test_imaris_metadata_are_read(image):
    source = open_source(image)
    source.check()
    assert source.voxel_size == pytest.approx((1.5, 1, 0.5))
    assert (source.space_unit, source.time_unit, source.time_step) == ("micrometer", "second", 12.5)
    assert source.channel_names == ("dye 0", "dye 1", "dye 2")
    assert source.channel_colors == ("FF0080", "00FF00", "0000FF")


@pytest.mark.parametrize(("times", "channels"), [(1, 1), (2, 1), (1, 3)])
def test_imaris_axes_of_length_1_are_omitted(tmp_path, times, channels):
    voxels = VOXELS[:times, :channels]
    source = open_source(imaris(tmp_path / "a.ims", voxels.astype(">u2")))
    assert source.axes == "t" * (times > 1) + "c" * (channels > 1) + "zyx"
    assert_holds(source, voxels.astype(">u2").reshape(source.shape))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"unit": "furlong"}, {"space_unit": "", "voxel_size": (1.5, 1, 0.5)}),
        ({"unit": "µm"}, {"space_unit": "micrometer"}),
        ({"unit": b"\xb5m"}, {"space_unit": "micrometer"}),
        ({"colors": ("1 0", "red")}, {"channel_colors": ()}),
        ({"times": ["2010-01-01 00:00:00", "tomorrow"]}, {"time_step": 1, "time_unit": ""}),
        ({"times": ["2010-01-01 00:00:00"] * 2}, {"time_step": 1, "time_unit": ""}),
    ],
)
def test_invalid_imaris_metadata_are_ignored(tmp_path, said, expected):
    source = open_source(imaris(tmp_path / "a.ims", VOXELS, **said))
    assert {name: getattr(source, name) for name in expected} == expected


def test_the_position_of_imaris_is_the_centre_of_the_first_voxel(image):
    """ExtMin is its corner, as the converters of Imaris say (imglib2-imaris-bridge)."""
    assert open_source(image).position == pytest.approx((-2 + 0.75, -1 + 0.5, 0 + 0.25))


def test_imaris_channels_may_be_described_in_part(tmp_path):
    path = imaris(tmp_path / "a.ims", VOXELS, colors=("1 0 0", "red"))
    with h5py.File(path, "r+") as file:
        first, second = (file[f"DataSetInfo/Channel {c}"].attrs for c in (0, 1))
        first["Name"] = characters("(name not specified)")
        first["ColorRange"] = characters("0.000 300.000")
        second["ColorRange"] = characters("255.000 300.000")
    source = open_source(path)
    assert source.channel_names == ("", "dye 1", "")
    assert source.channel_colors == ("FF0000", "", "")
    assert source.channel_windows == ((0, 300), None, None)


def test_a_minimal_imaris_file_has_its_size_in_one_place(tmp_path):
    path = imaris(tmp_path / "a.ims", VOXELS)
    with h5py.File(path, "r+") as file:
        image = file["DataSetInfo/Image"].attrs
        channel = file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"].attrs
        for axis in "XYZ":
            channel[f"ImageSize{axis}"] = image[axis]
            del image[axis]
    assert_holds(open_source(path), VOXELS)


def test_incomplete_imaris_files_are_refused(tmp_path):
    path = imaris(tmp_path / "a.ims", VOXELS)
    with pytest.raises(SourceError, match="axes is 'zyx', but does not apply to this format"):
        open_source(path, axes="zyx")
    with h5py.File(path, "r+") as file:
        last = file["DataSet/ResolutionLevel 0/TimePoint 1/Channel 2"]
        del last["Data"]
    with pytest.raises(SourceError, match=r"/DataSet/.*TimePoint 1/Channel 2/Data is missing"):
        open_source(path).check()
    with h5py.File(path, "r+") as file:
        last = file["DataSet/ResolutionLevel 0/TimePoint 1/Channel 2"]
        last["Data"] = np.zeros((12, 12, 12), "f4")
    with pytest.raises(SourceError, match=r"Channel 2/Data has shape .* float32, but /DataSet"):
        open_source(path).check()
    with h5py.File(path, "r+") as file:
        file["DataSetInfo/Image"].attrs["Z"] = characters("13")
    with pytest.raises(SourceError, match=r"z, y, x in .* is \(13, 10, 11\), but /DataSet"):
        open_source(path)
    with h5py.File(path, "r+") as file:
        del file["DataSetInfo/Image"]
    with pytest.raises(SourceError, match="not an Imaris"):
        open_source(path)


def test_conversion_keeps_voxels_channels_and_voxel_size(tmp_path, image):
    store, _ = convert(image, tmp_path, {"zarr": {"chunk": 4}, "nifti": {"nii": False}})
    attributes = json.loads((store / "zarr.json").read_text())["attributes"]["ome"]
    assert [channel["label"] for channel in attributes["omero"]["channels"]][:2] == [
        "dye 0",
        "dye 1",
    ]
    (multiscale,) = attributes["multiscales"]
    scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == pytest.approx([12.5, 1, 1.5, 1, 0.5])
    np.testing.assert_array_equal(zarr.open_array(store / "0", mode="r")[...], VOXELS)
