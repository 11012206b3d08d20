"""The ZarrGroup interface, on both Zarr formats, seen by zarr-python and by TensorStore."""

import io
import json
import tempfile
import warnings

import nibabel
import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given
from hypothesis import strategies as st
from nibabel.openers import ImageOpener

import neurozarr
from neurozarr import ZarrArray, ZarrConfig, ZarrGroup, ZarrNode
from neurozarr.pyramid import downsample, factors

SHAPE = (40, 30, 20)


@pytest.fixture(params=[2, 3])
def version(request):
    return request.param


@pytest.fixture
def group(tmp_path, version):
    return neurozarr.from_config(
        ZarrConfig(out=tmp_path / "image.zarr", zarr_version=version, chunk=8)
    )


@pytest.fixture
def voxels():
    return np.random.default_rng(0).integers(-999, 999, SHAPE).astype("int16")


@pytest.fixture
def image(group, voxels):
    group.create_array("0", SHAPE, "int16")[...] = voxels
    return group


def read_tensorstore(array):
    spec = {
        "driver": "zarr3" if array.zarr_version == 3 else "zarr",
        "kvstore": f"file://{array.store_path}/",
    }
    return tensorstore.open(spec).result()


def document(array):
    name = "zarr.json" if array.zarr_version == 3 else ".zarray"
    return json.loads((array._path / name).read_text())


# Nodes


def test_nodes_know_their_path_and_format(image, version, tmp_path):
    for node, path in ((image, "image.zarr"), (image["0"], "image.zarr/0")):
        assert isinstance(node, ZarrNode)
        assert node.store_path == str(tmp_path / path)
        assert node.zarr_version == version


def test_attributes_are_on_disk_when_assigned(image):
    for node in (image, image["0"]):
        node.attrs["a"] = [1, {"b": None}]
        node.attrs.update(c="µ")
        found = zarr.open(node.store_path, mode="r").attrs
        assert dict(found) == dict(node.attrs) == {"a": [1, {"b": None}], "c": "µ"}
        del node.attrs["a"]
        assert list(node.attrs) == ["c"]
        assert len(node.attrs) == 1
        with pytest.raises(KeyError):
            node.attrs["a"]


# Arrays


def test_an_array_knows_its_shape_dtype_and_chunks(image):
    array = image["0"]
    assert isinstance(array, ZarrArray)
    assert (array.ndim, array.shape, array.dtype) == (3, SHAPE, np.dtype("int16"))
    assert (array.chunks, array.shards) == ((8, 8, 8), None)


@pytest.mark.parametrize(
    "key",
    [..., 3, -1, slice(5, 9), (slice(None), 4), (slice(3, 30, 7), ..., slice(0, 3)), (1, 2, 3)],
)
def test_a_region_is_read_as_numpy_would(image, voxels, key):
    np.testing.assert_array_equal(image["0"][key], voxels[key])
    assert isinstance(image["0"][key], np.ndarray)


def test_a_region_is_written_when_the_assignment_returns(image, voxels):
    region = (slice(3, 17), slice(None), 5)
    image["0"][region] = 7
    voxels[region] = 7
    np.testing.assert_array_equal(read_tensorstore(image["0"]).read().result(), voxels)


def test_chunks_equal_to_the_fill_value_are_written(group):
    array = group.create_array("0", (16, 16, 16), "uint8", fill_value=0)
    array[...] = 0
    chunks = [path for path in array._path.rglob("*") if path.is_file()]
    assert len(chunks) == 8 + len(list(array._path.glob("*zar*")))


def test_dimension_names_are_those_of_zarr_v3(image, version):
    array = image["0"]
    assert array.dimension_names is None
    if version == 2:
        with pytest.raises(ValueError, match="Zarr v2"):
            array.dimension_names = "zyx"
        return
    array.dimension_names = "zyx"
    assert array.dimension_names == ("z", "y", "x")
    assert zarr.open_array(array.store_path, mode="r").metadata.dimension_names == ("z", "y", "x")


# Groups


def test_members_are_found_by_name(image):
    image.create_group("labels")
    assert isinstance(image["0"], ZarrArray)
    assert isinstance(image["labels"], ZarrGroup)
    assert list(image.keys()) == ["0", "labels"]
    assert "0" in image
    assert "1" not in image
    with pytest.raises(KeyError, match="'1' is not in"):
        image["1"]
    with pytest.raises(KeyError, match="no name"):
        image["../other"]


def test_keys_are_in_natural_order(group):
    for name in ("10", "9", "nifti", "0"):
        group.create_array(name, (1,), "uint8")
    assert list(group.keys()) == ["0", "9", "10", "nifti"]


def test_a_copy_is_put_in_place_of_what_had_the_name(image, voxels):
    image.create_array("copy", (3,), "float32")
    image["copy"] = image["0"]
    np.testing.assert_array_equal(image["copy"][...], voxels)
    image["0"][...] = 0
    np.testing.assert_array_equal(image["copy"][...], voxels)
    image.create_group("a")["b"] = image["copy"]
    image["c"] = image["a"]
    np.testing.assert_array_equal(image["c"]["b"][...], voxels)


def test_only_nodes_of_the_same_format_can_be_put_into_a_group(image, version, tmp_path):
    with pytest.raises(TypeError, match="no array or group"):
        image["1"] = np.zeros(3)
    other = neurozarr.open_group(tmp_path / "other.zarr", zarr_version=5 - version)
    with pytest.raises(ValueError, match=f"Zarr v{5 - version}"):
        image["1"] = other


def test_a_member_can_be_deleted(image):
    del image["0"]
    assert "0" not in image
    assert not image._path.joinpath("0").exists()
    with pytest.raises(KeyError):
        del image["0"]


def test_a_group_is_created_or_opened_or_emptied(group):
    group.create_group("a").create_array("x", (1,), "uint8")
    assert list(group.create_group("a").keys()) == ["x"]
    assert list(group.create_group("a", overwrite=True).keys()) == []


def test_a_configuration_opens_what_exists_and_overwrites_it_if_it_says_so(tmp_path, version):
    config = {"out": tmp_path / "a.zarr", "zarr_version": version}
    neurozarr.from_config(ZarrConfig(**config)).create_group("kept")
    assert list(neurozarr.from_config(ZarrConfig(**config)).keys()) == ["kept"]
    assert list(neurozarr.from_config(ZarrConfig(**config, overwrite=True)).keys()) == []
    with pytest.raises(ValueError, match=f"is Zarr v{version}"):
        neurozarr.from_config(ZarrConfig(out=config["out"], zarr_version=5 - version))
    with pytest.raises(ValueError, match="out is None"):
        neurozarr.from_config(ZarrConfig())


def test_a_directory_that_is_not_zarr_is_never_overwritten(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with pytest.raises(FileExistsError, match="is not Zarr"):
        neurozarr.from_config(ZarrConfig(out=tmp_path / "photos", overwrite=True))
    assert (tmp_path / "photos" / "holiday.jpg").exists()


# Creating arrays


def test_the_configuration_of_the_group_decides_unless_a_field_is_given(tmp_path):
    group = neurozarr.from_config(ZarrConfig(out=tmp_path / "a.zarr", chunk=8, compressor="gzip"))
    assert document(group.create_array("a", SHAPE, "u2"))["codecs"][1]["name"] == "gzip"
    array = group.create_array("b", SHAPE, "u2", chunk=(4, 8, 10), compressor=None, fill_value=3)
    assert array.chunks == (4, 8, 10)
    assert [codec["name"] for codec in document(array)["codecs"]] == ["bytes"]
    assert document(array)["fill_value"] == 3
    other = ZarrConfig(chunk=16, compressor="zstd", compressor_options={"level": 9})
    array = group.create_array("c", SHAPE, "u2", zarr_config=other, order="F")
    assert array.chunks == (16, 16, 16)
    assert [codec["name"] for codec in document(array)["codecs"]] == ["transpose", "bytes", "zstd"]


def test_an_array_that_exists_is_kept_unless_it_may_be_overwritten(image, version):
    with pytest.raises(FileExistsError, match="exists already"):
        image.create_array("0", (3,), "uint8")
    overwrite = ZarrConfig(zarr_version=version, overwrite=True)
    assert image.create_array("0", (3,), "uint8", zarr_config=overwrite).shape == (3,)


def test_an_unknown_option_is_refused(image):
    with pytest.raises(TypeError, match=r"unknown option chunks; known: chunk, compressor"):
        image.create_array("1", (3,), "uint8", chunks=(1,))
    with pytest.raises(TypeError, match="unknown option levels"):
        image.create_array_from_base("1", SHAPE, levels=2)


def test_a_configuration_of_the_other_format_is_refused(group, version):
    with pytest.raises(ValueError, match=f"is Zarr v{version}"):
        group.create_array("0", (3,), "u1", zarr_config=ZarrConfig(zarr_version=5 - version))


OPTIONS = [
    {"compressor": None},
    {"compressor": "gzip", "compressor_options": {"level": 1}},
    {"compressor": "zstd", "compressor_options": {"level": -1}},
    {"compressor": "blosc", "compressor_options": {"cname": "lz4", "shuffle": "bitshuffle"}},
    {"compressor": "blosc", "compressor_options": {"clevel": 1, "shuffle": "noshuffle"}},
    {"order": "F"},
    {"dimension_separator": "."},
    {"fill_value": -7},
    {"chunk": (8, 16, 4)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_other_readers_agree_on_every_option(group, voxels, options):
    array = group.create_array("0", SHAPE, "int16", **options)
    array[...] = voxels
    for found in (
        zarr.open_array(array.store_path, mode="r")[...],
        read_tensorstore(array).read().result(),
    ):
        np.testing.assert_array_equal(found, voxels)


@pytest.mark.parametrize(
    ("shard", "options"),
    [(16, {}), ((16, 24, 8), {"order": "F"}), ("auto", {"compressor": None}), (32, OPTIONS[2])],
    ids=str,
)
def test_other_readers_agree_on_shards(tmp_path, voxels, shard, options):
    group = neurozarr.from_config(ZarrConfig(out=tmp_path / "a.zarr", chunk=8, shard=shard))
    array = group.create_array("0", SHAPE, "int16", **options)
    array[...] = voxels
    assert array.shards == {"auto": (64, 32, 32), 16: (16,) * 3, 32: (32,) * 3}.get(shard, shard)
    found = zarr.open_array(array.store_path, mode="r")
    assert (found.shards, found.chunks) == (array.shards, (8, 8, 8))
    np.testing.assert_array_equal(found[...], voxels)
    np.testing.assert_array_equal(read_tensorstore(array).read().result(), voxels)


def test_level_0_is_the_model_of_the_others(tmp_path, voxels):
    for number, options in enumerate([*OPTIONS, {"shard": 16}, {"shard": 16, "order": "F"}]):
        config = {"chunk": 8, "fill_value": 2} | options
        group = neurozarr.from_config(ZarrConfig(out=tmp_path / f"{number}.zarr", **config))
        base = group.create_array("0", SHAPE, "int16")
        base.dimension_names = "zyx"
        base.attrs["only"] = "mine"
        level = group.create_array_from_base("1", (20, 15, 10), data=voxels[::2, ::2, ::2])
        expected = document(base) | {"shape": [20, 15, 10], "attributes": {}}
        assert document(level) == expected
        np.testing.assert_array_equal(level[...], voxels[::2, ::2, ::2])


def test_level_0_is_the_model_on_zarr_v2_too(tmp_path):
    config = ZarrConfig(out=tmp_path / "a", zarr_version=2, chunk=8, order="F", fill_value=1)
    group = neurozarr.from_config(config)
    base = group.create_array("0", SHAPE, "float32", dimension_separator=".")
    level = group.create_array_from_base("1", (20, 15, 10))
    assert document(level) == document(base) | {"shape": [20, 15, 10]}


def test_codecs_that_no_option_expresses_are_copied_too(tmp_path):
    zarr.create_array(
        str(tmp_path / "a" / "0"),
        shape=SHAPE,
        chunks=(8, 8, 8),
        dtype="uint16",
        compressors=[zarr.codecs.ZstdCodec(level=2), zarr.codecs.Crc32cCodec()],
    )
    group = neurozarr.open_group(tmp_path / "a")
    level = group.create_array_from_base("1", (20, 15, 10))
    assert document(level)["codecs"] == document(group["0"])["codecs"]
    with pytest.raises(ValueError, match="codecs bytes, zstd, crc32c, which have no option"):
        group.create_array_from_base("2", (20, 15, 10), compressor="gzip")


def test_fields_that_are_given_win_over_level_0(group, version):
    group.create_array("0", SHAPE, "int16", compressor="blosc", compressor_options={"clevel": 9})
    level = group.create_array_from_base(
        "1", (20, 15, 10), chunk=4, compressor="zstd", order="F", fill_value=9
    )
    assert level.chunks == (4, 4, 4)
    assert level.dtype == np.dtype("int16")
    found = document(level)
    assert found["fill_value"] == 9
    if version == 2:
        assert found["compressor"] == {"id": "zstd", "level": 3}
        assert found["order"] == "F"
    else:
        assert [codec["name"] for codec in found["codecs"]] == ["transpose", "bytes", "zstd"]
    level = group.create_array_from_base("2", (20, 15, 10), compressor_options={"clevel": 2})
    blosc = document(level)["compressor"] if version == 2 else document(level)["codecs"][1]
    assert blosc.get("configuration", blosc)["clevel"] == 2


def test_a_level_has_as_many_dimensions_as_level_0(image):
    with pytest.raises(ValueError, match="has 2 dimensions"):
        image.create_array_from_base("1", (20, 15))


# Pyramid


def test_a_pyramid_is_the_mean_of_the_last_level_as_tensorstore_has_it(group):
    voxels = np.random.default_rng(1).integers(0, 2**16, (32, 16, 48)).astype("uint16")
    group.create_array("0", voxels.shape, "uint16")[...] = voxels
    assert group.generate_pyramid() == [[32, 16, 48], [16, 8, 24], [8, 4, 12], [4, 2, 6]]
    for level in (1, 2, 3):
        parent = read_tensorstore(group[str(level - 1)])
        expected = tensorstore.downsample(parent, [2, 2, 2], "mean").read().result()
        np.testing.assert_array_equal(group[str(level)][...], expected)


def test_time_and_channels_are_not_sampled(group):
    group.create_array("0", (3, 2, 20, 20, 20), "uint8")
    assert group.generate_pyramid(levels=1) == [[20, 20, 20], [10, 10, 10]]
    assert group["1"].shape == (3, 2, 10, 10, 10)


def test_a_pyramid_has_the_levels_the_mode_and_the_axes_that_are_asked_for(image, voxels):
    shapes = image.generate_pyramid(levels=2, ndim=2, mode="stride", no_pyramid_axis=1)
    assert shapes == [[30, 20], [15, 20], [7, 20]]
    np.testing.assert_array_equal(image["2"][...], voxels[:, ::2, :][:, :14:2, :])
    assert image.generate_pyramid(levels=0, mode=np.max) == [list(SHAPE)]
    assert list(image.keys()) == ["0"]
    image.generate_pyramid(levels=1, mode=np.max)
    assert image["1"][0, 0, 0] == voxels[:2, :2, :2].max()


def test_a_pyramid_of_shards_is_the_same_as_one_of_chunks(tmp_path, voxels):
    found = []
    for shard in (None, 16):
        config = ZarrConfig(out=tmp_path / f"{shard}.zarr", chunk=8, shard=shard)
        group = neurozarr.from_config(config)
        group.create_array("0", SHAPE, "int16")[...] = voxels
        group.generate_pyramid(levels=2)
        found.append([group[level][...] for level in "012"])
    for chunked, sharded in zip(*found, strict=True):
        np.testing.assert_array_equal(chunked, sharded)


@given(
    st.tuples(st.integers(1, 2), *[st.integers(1, 16)] * 3).map(list),
    st.integers(5, 9),
    st.sampled_from([None, 1, 2, 3, "auto"]),
    st.sampled_from(["u1", "i8", "f4"]),
    st.sampled_from(["mean", "median", "mode", "stride"]),
    st.sampled_from([None, 0, 2]),
)
def test_a_pyramid_in_chunks_or_shards_is_that_of_the_whole(
    shape, chunk, per_shard, dtype, mode, skipped
):
    voxels = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    if dtype == "f4":
        voxels[voxels < 10] = np.nan
    with tempfile.TemporaryDirectory() as directory:
        shard = per_shard * chunk if isinstance(per_shard, int) else per_shard
        config = ZarrConfig(out=directory, chunk=chunk, shard=shard)
        group = neurozarr.from_config(config)
        group.create_array("0", shape, dtype)[...] = voxels
        shapes = group.generate_pyramid(levels=2, mode=mode, no_pyramid_axis=skipped)
        for level in (1, 2):
            batch, spatial = shape[:-3], shapes[level]
            assert group[str(level)].shape == (*batch, *spatial)
            voxels = downsample(voxels, factors(voxels.shape, (*batch, *spatial)), mode)
            np.testing.assert_array_equal(group[str(level)][...], voxels)


def test_a_pyramid_refuses_what_it_cannot_do(image):
    with pytest.raises(ValueError, match="mode is 'max'; allowed: mean, median, mode, stride"):
        image.generate_pyramid(mode="max")
    with pytest.raises(ValueError, match="levels is -2"):
        image.generate_pyramid(levels=-2)
    with pytest.raises(ValueError, match="no_pyramid_axis is 3"):
        image.generate_pyramid(no_pyramid_axis=3)


# Metadata


def ome(group):
    """OME metadata, written in the version that is meant for the group."""
    return {"ome_version": "0.5" if group.zarr_version == 3 else "0.4"}


def multiscales(group):
    attributes = dict(zarr.open_group(group.store_path, mode="r").attrs)
    if group.zarr_version == 2:
        assert attributes["multiscales"][0]["version"] == "0.4"
        return attributes["multiscales"][0]
    assert attributes["ome"]["version"] == "0.5"
    return attributes["ome"]["multiscales"][0]


def test_ome_metadata_is_found_where_its_version_has_it(image):
    image.generate_pyramid()
    image.write_ome_metadata(["z", "y", "x"], **ome(image))
    found = multiscales(image)
    assert [axis["name"] for axis in found["axes"]] == ["z", "y", "x"]
    assert [dataset["path"] for dataset in found["datasets"]] == ["0", "1", "2", "3"]
    if image.zarr_version == 3:
        assert image["3"].dimension_names == ("z", "y", "x")


def test_ome_metadata_can_leave_levels_out(image):
    image.generate_pyramid(levels=2)
    image.write_ome_metadata("zyx", levels=1, **ome(image))
    assert [dataset["path"] for dataset in multiscales(image)["datasets"]] == ["0", "1"]
    with pytest.raises(KeyError, match="no level 3"):
        image.write_ome_metadata("zyx", levels=3, **ome(image))
    with pytest.raises(ValueError, match="levels is -1"):
        image.write_ome_metadata("zyx", levels=-1, **ome(image))


def test_every_argument_of_the_ome_metadata_is_honoured(group):
    group.create_array("0", (3, 16, 16, 16), "uint8")
    group.generate_pyramid(levels=1, no_pyramid_axis=0)
    group.write_ome_metadata(
        ["t", "z", "y", "x"],
        space_scale=[1, 2, 3],
        time_scale=0.5,
        space_unit="mm",
        time_unit="minute",
        name="brain",
        pyramid_aligns=["edge", "edge", "center"],
        no_pool=0,
        multiscales_type="mean",
        **ome(group),
    )
    found = multiscales(group)
    assert (found["name"], found["type"]) == ("brain", "mean")
    assert [axis.get("unit") for axis in found["axes"]] == ["minute"] + ["millimeter"] * 3
    assert found["coordinateTransformations"] == [{"type": "scale", "scale": [0.5, 1, 1, 1]}]
    scale, translation = found["datasets"][1]["coordinateTransformations"]
    assert scale["scale"] == [1, 1, 4, 3 * 15 / 7]
    assert translation["translation"] == [0, 0, 1, 0]


def test_a_version_that_does_not_fit_the_format_is_written_with_a_warning(image, version):
    with pytest.warns(UserWarning, match=f"into a Zarr v{version} group"):
        image.write_ome_metadata("zyx", ome_version="0.4" if version == 3 else "0.5")
    with pytest.raises(ValueError, match=r"ome_version is '0.3'; allowed: 0.4, 0.5"):
        image.write_ome_metadata("zyx", ome_version="0.3")


def test_a_fitting_version_gives_no_warning(image):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image.write_ome_metadata("zyx", **ome(image))


@pytest.mark.parametrize(("name", "size"), [("anatomical.nii", 348), ("example4d.nii.gz", 416)])
def test_the_bytes_of_a_nifti_header_are_stored_as_they_are(group, mri, name, size):
    with ImageOpener(mri / name) as file:
        raw = file.read(size)
    group.write_nifti_header(raw)
    array = group["nifti"]
    assert array[...].tobytes() == raw
    assert (array.dtype, array.shape, array.chunks) == (np.dtype("uint8"), (size,), (size,))
    assert document(array).get("compressor") is None
    assert [codec["name"] for codec in document(array).get("codecs", [])] in ([], ["bytes"])
    assert array.attrs["NIIHeaderSize"] == 348
    np.testing.assert_array_equal(read_tensorstore(array).read().result(), array[...])


@pytest.mark.parametrize("name", ["anatomical.nii", "example4d.nii.gz", "example_nifti2.nii.gz"])
def test_a_header_of_nibabel_is_stored_with_its_extensions(group, mri, name):
    header = nibabel.load(mri / name).header
    group.write_nifti_header(header)
    read = type(header).from_fileobj(io.BytesIO(group["nifti"][...].tobytes()), check=False)
    assert read.extensions == header.extensions
    assert read["vox_offset"] == 352 + 192 * ("nifti2" in name) + header.extensions.get_sizeondisk()
    read["vox_offset"] = header["vox_offset"]
    assert read == header


def test_a_nifti_header_replaces_the_one_before(group, mri):
    group.write_nifti_header(nibabel.load(mri / "example4d.nii.gz").header)
    raw = (mri / "anatomical.nii").read_bytes()[:348]
    group.write_nifti_header(raw)
    assert group["nifti"][...].tobytes() == raw
    with pytest.raises(ValueError, match="not a NIfTI header"):
        group.write_nifti_header(b"hello")
    assert group["nifti"][...].tobytes() == raw


# Opening


def test_a_driver_is_picked_by_name(image):
    assert type(neurozarr.open_group(image.store_path, driver="zarr-python")) is type(image)
    array = neurozarr.open_array(f"{image.store_path}/0", driver="zarr-python")
    assert type(array) is type(image["0"])
    for opening in (neurozarr.open_group, neurozarr.open_array):
        with pytest.raises(ValueError, match="driver is 'h5py'; allowed: zarr-python"):
            opening(image.store_path, driver="h5py")


def test_what_is_opened_for_reading_cannot_be_changed(image, voxels):
    group = neurozarr.open_group(image.store_path, "r")
    array = neurozarr.open_array(f"{image.store_path}/0", "r")
    for attempt in (
        lambda: group.attrs.update(a=1),
        lambda: group.create_array("1", (1,), "uint8"),
        lambda: group.create_array_from_base("1", SHAPE),
        lambda: group.create_group("a"),
        lambda: group.__delitem__("0"),
        lambda: group.__setitem__("1", array),
        lambda: array.__setitem__(..., 0),
        lambda: group["0"].__setitem__(..., 0),
    ):
        with pytest.raises(PermissionError, match="mode 'r'"):
            attempt()
    np.testing.assert_array_equal(array[...], voxels)


def test_modes_create_open_or_empty_a_group(tmp_path, version):
    path = tmp_path / "a.zarr"
    for mode in ("r", "r+"):
        with pytest.raises(FileNotFoundError, match="no Zarr group"):
            neurozarr.open_group(path, mode)
    assert neurozarr.open_group(path, "w-", version).zarr_version == version
    with pytest.raises(FileExistsError):
        neurozarr.open_group(path, "w-", version)
    neurozarr.open_group(path, "r+").create_group("a")
    assert list(neurozarr.open_group(path).keys()) == ["a"]
    assert list(neurozarr.open_group(path, "w", version).keys()) == []
    with pytest.raises(ValueError, match="mode is 'x'"):
        neurozarr.open_group(path, "x")
    with pytest.raises(ValueError, match=f"is Zarr v{version}"):
        neurozarr.open_group(path, zarr_version=5 - version)


def test_an_array_is_opened_by_its_path(image, version):
    path = f"{image.store_path}/0"
    assert neurozarr.open_array(path, "r+", version).shape == SHAPE
    with pytest.raises(ValueError, match=f"is Zarr v{version}"):
        neurozarr.open_array(path, zarr_version=5 - version)
    with pytest.raises(ValueError, match="mode is 'w'"):
        neurozarr.open_array(path, "w")
    with pytest.raises(FileNotFoundError, match="no Zarr array"):
        neurozarr.open_array(image.store_path)
