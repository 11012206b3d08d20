"""What columns of a sheet say, said by options of a run without one."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
import zarr

import neurozarr
from neurozarr.errors import ConfigError
from neurozarr.samples.columns import PROPERTIES
from neurozarr.samples.reading import read_run


@pytest.fixture(autouse=True)
def directory(tmp_path, mri, monkeypatch):
    """A working directory with an image."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(mri / "anatomical.nii", "a.nii")
    return tmp_path


#: Values of an option: text as in a cell, and what YAML, the command line and Python give instead.
SAME = {
    "axes": ["zyx"],
    "dataset": ["0", 0],
    "shape": ["3,4,5", " 3, 4,5", [3, 4, 5], (3, 4, 5), ["3", "4", "5"]],
    "dtype": [">f4"],
    "order": ["F"],
    "offset": ["352", 352, np.int64(352)],
    "overlap": ["0,1,2", [0, 1, 2]],
    "pad": ["center"],
    "missing": ["fill"],
    "voxel_size": ["4,1.6,1e-05", [4, 1.6, 1e-5], (4, 1.6, np.float64(1e-5)), "4.0, 1.6,.00001"],
    "unit": ["um"],
    "time_step": ["2.5", 2.5, np.float32(2.5)],
    "time_unit": ["s"],
    "in_place": ["true", True, "True"],
}


def test_every_column_is_tested():
    assert tuple(SAME) == PROPERTIES


# An image whose own store is written is no NIfTI file: see test_in_place.py.
@pytest.mark.parametrize("name", [name for name in PROPERTIES if name != "in_place"])
def test_option_says_the_same_as_a_column(directory, name):
    (directory / "s.tsv").write_text(f"sample\tsource\t{name}\na\ta.nii\t{SAME[name][0]}\n")
    in_sheet = read_run({"samples": "s.tsv"})[1]["a"]
    plain = read_run({"source": "a.nii"})[1]["a"]
    assert in_sheet != plain
    for value in SAME[name]:
        found = read_run({"source": "a.nii", name: value})[1]["a"]
        assert replace(found, path="a.nii") == in_sheet, value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voxel_size": "4,,1"}, "config: voxel_size is '4,,1'; allowed: voxel size, if the sour"),
        ({"voxel_size": -1}, "config: voxel_size is '-1'; allowed"),
        ({"voxel_size": [1, [2], 3]}, "config: voxel_size is [1, [2], 3]; allowed"),
        ({"voxel_size": [1, 2, 3, 4]}, "config: voxel_size is '1,2,3,4'; allowed"),
        ({"shape": []}, "config: shape is []; allowed: shape of the array of raw voxels"),
        ({"offset": True}, "config: offset is True; allowed"),
        ({"offset": 1.5}, "config: offset is '1.5'; allowed"),
        ({"dtype": np.uint8}, "config: dtype is <class 'numpy.uint8'>; allowed"),
        ({"order": {"C": 1}}, "config: order is {'C': 1}; allowed"),
        ({"label_of": "a"}, "config: unknown option label_of"),
        ({"voxel_sizes": 1}, "config: unknown option voxel_sizes; did you mean voxel_size?"),
    ],
    ids=str,
)
def test_wrong_option_is_named_in_one_line(options, message):
    with pytest.raises(ConfigError) as error:
        read_run({"source": "a.nii"} | options)
    assert message in str(error.value)


def test_empty_option_is_as_an_empty_cell():
    plain = read_run({"source": "a.nii"})[1]
    assert read_run({"source": "a.nii"} | dict.fromkeys(PROPERTIES, ""))[1] == plain


def test_option_is_refused_beside_a_sheet(directory):
    (directory / "s.tsv").write_text("sample\tsource\na\ta.nii\n")
    with pytest.raises(
        ConfigError,
        match=r"config: unit and samples are both given; give unit in a column of the sheet s\.tsv",
    ):
        read_run({"samples": "s.tsv", "unit": "mm"})


def test_option_describes_all_sources(directory):
    for name in ("x.raw", "y.raw"):
        np.arange(24, dtype=">u2").tofile(name)
    options = {"shape": [2, 3, 4], "dtype": ">u2", "voxel_size": 0.5, "unit": "micrometer"}
    samples = read_run({"source": "*.raw"} | options)[1]
    assert [*samples] == ["x", "y"]
    for sample in samples.values():
        assert sample.source.shape == (2, 3, 4)
        assert sample.source.voxel_size == (0.5, 0.5, 0.5)
        assert sample.source.space_unit == "micrometer"


def test_a_star_makes_a_sample_of_each_image():
    zarr.create_group("c.zarr")
    for name in ("c.zarr/raw", "c.zarr/ids (1)"):
        zarr.create_array(name, data=np.zeros((2, 3, 4), "u1"))
    samples = read_run({"source": ["c.zarr"], "dataset": "*"})[1]
    assert {name: sample.layout["dataset"] for name, sample in samples.items()} == {
        "c_ids_1": "ids (1)",
        "c_raw": "raw",
    }


def test_convert_takes_the_options(directory):
    np.arange(24, dtype="u2").tofile("x y.raw")
    store = neurozarr.convert(
        "x y.raw", "out", shape=(2, 3, 4), dtype="<u2", voxel_size=(4, 1.6, 1.6), unit="micrometer"
    )
    assert store.name == "x_y.nii.zarr"
    group = zarr.open_group(store, mode="r")
    image = group.attrs["ome"]["multiscales"][0]
    transformation = image["datasets"][0]["coordinateTransformations"][0]
    assert transformation == {"type": "scale", "scale": [4, 1.6, 1.6]}
    assert {axis["unit"] for axis in image["axes"]} == {"micrometer"}
    np.testing.assert_array_equal(group["0"][:], np.arange(24).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample,source\na,a.nii\n", "its columns are separated by commas, not by tabs; save it"),
        ('"sample", "source", "axes"\n', "first line is sample<tab>source<tab>axes"),
        ("source;sample\n", "its columns are separated by semicolons, not by tabs"),
        ("sample    source\n", "separated by spaces, not by tabs; save it as tab-separated text"),
        ("sample\tsource\na a.nii\n", "line 2: its cells are separated by spaces, not by tabs"),
        ("sample\tsource\na,a.nii\n", "line 2: its cells are separated by commas, not by tabs; w"),
        ("sample\tsource\tunit\na;a.nii\t\t\n", "write a<tab>a.nii"),
        ("samples, sources\n", "unknown column 'samples, sources'"),
    ],
    ids=str,
)
def test_sheet_without_tabs_is_named(directory, text, message):
    (directory / "s.csv").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_run({"samples": "s.csv"})
    assert str(error.value).startswith("s.csv")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mode: median",
            "unknown option mode; did you mean pyramid.mode? write mode: median indented below "
            "pyramid:, or on the command line neurozarr run ... pyramid.mode=median, or snakemake "
            "... --config pyramid='{mode: median}'",
        ),
        (
            "levels: 2",
            "unknown option levels; did you mean pyramid.levels or export.levels? write ",
        ),
        ("pyramid:\nmode: median\nedge: keep", "unknown option mode (also edge); did you mean py"),
        ("pyramid.mode: median", "unknown option pyramid.mode; write mode: median indented below "),
        ("zarr: {mode: mean}", "unknown option zarr.mode; did you mean pyramid.mode? write mode:"),
        ("units: u.tsv\nref: {}", "unknown option units (also ref); did you mean unit?"),
        ("source.x: 1", "unknown option source.x; known: samples, source, "),
        ("chunk: [1, 2]", "unknown option chunk; did you mean zarr.chunk? write chunk: ... "),
    ],
    ids=str,
)
def test_unknown_option_is_found_in_its_file(directory, text, message):
    for name in ("config/config.yaml", "my.yaml"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
        (directory / "empty.yaml").touch()
        config = yaml.safe_load(text) | {"source": "a.nii"}
        with pytest.raises(ConfigError) as error:
            read_run(config, files=[directory / "empty.yaml", name])
        assert str(error.value).startswith(f"{name}: {message}")
        assert ("belongs to another project" in str(error.value)) == ("/" in name)
        with pytest.raises(ConfigError) as error:
            read_run(config)
        assert str(error.value).startswith(f"config: {message}")
