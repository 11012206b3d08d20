"""Arrays and groups: opening, properties, members, indexing."""

import numpy as np
import pytest
import zarr

import neurozarr
from neurozarr import ZarrArray, ZarrConfig, ZarrGroup, ZarrNode
from neurozarr.drivers import local
from neurozarr.durable import start_sync
from neurozarr.zarr.config import DRIVERS

from .stores import SHAPE, read_tensorstore


def test_nodes_have_their_path_and_zarr_version(image, version, tmp_path):
    for node, path in ((image, "image.zarr"), (image["0"], "image.zarr/0")):
        assert isinstance(node, ZarrNode)
        assert node.store_path == str(tmp_path / path)
        assert node.zarr_version == version


def test_assigned_attributes_are_written_at_once(image):
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


def test_array_has_shape_dtype_and_chunks(image):
    array = image["0"]
    assert isinstance(array, ZarrArray)
    assert (array.ndim, array.shape, array.dtype) == (3, SHAPE, np.dtype("int16"))
    assert (array.chunks, array.shards) == ((8, 8, 8), None)


@pytest.mark.parametrize(
    "key",
    [
        ...,
        3,
        -1,
        slice(5, 9),
        slice(30, 99),
        slice(9, 5),
        (slice(None), 4),
        (slice(3, 30, 7), ..., slice(0, 3)),
        (1, 2, 3),
        [1, 2],
        [9, -3, 9, 0],
        [],
        np.array([3, 30]),
        (slice(None), [4, 1]),
        (..., [7, 7, 2]),
        (3, slice(None), [4, 1]),
        (slice(2, 30, 5), [0, 8], 3),
        np.arange(40) % 3 == 0,
        (slice(5), [False] * 10 + [True] * 20),
        (np.int64(3), ..., np.uint8(2)),
    ],
    ids=str,
)
def test_indexing_follows_numpy(image, voxels, key):
    array = image["0"]
    np.testing.assert_array_equal(array[key], voxels[key])
    assert isinstance(array[key], np.ndarray)
    written = np.arange(voxels[key].size).reshape(voxels[key].shape)
    array[key] = voxels[key] = written
    np.testing.assert_array_equal(array[...], voxels)


def test_numpy_reads_an_array(image, voxels):
    array = image["0"]
    for found in (np.asarray(array), np.array(array, copy=True), np.asarray(array, "float32")):
        np.testing.assert_array_equal(found, voxels)
    assert np.asarray(array).dtype == "int16"
    assert np.asarray(array, "float32").dtype == "float32"
    assert np.mean(array) == voxels.mean()
    with pytest.raises(ValueError, match="cannot be had without a copy"):
        np.asarray(array, copy=False)


def test_array_has_the_lengths_that_numpy_has(image, voxels):
    array = image["0"]
    assert (len(array), array.size, array.nbytes) == (len(voxels), voxels.size, voxels.nbytes)
    point = image.create_array("point", (), "uint8")
    assert (point.size, point.nbytes) == (1, 1)
    with pytest.raises(TypeError, match="no length"):
        len(point)


def test_assigned_region_is_written_at_once(image, voxels):
    region = (slice(3, 17), slice(None), 5)
    image["0"][region] = 7
    voxels[region] = 7
    np.testing.assert_array_equal(read_tensorstore(image["0"]).read().result(), voxels)


def test_files_of_a_stored_region_are_written_to_the_disk_at_once(image, voxels, monkeypatch):
    started = []
    monkeypatch.setattr(local, "start_sync", lambda file: started.append(start_sync(file) or file))
    array = image["0"]
    region = (slice(8, 24), slice(0, 8), slice(0, 16))
    array.store(region, np.ascontiguousarray(voxels[region]) + 1)
    expected = voxels.copy()
    expected[region] += 1
    np.testing.assert_array_equal(array[...], expected)
    assert len(set(started)) == 4


def test_chunks_equal_to_the_fill_value_are_written(group):
    array = group.create_array("0", (16, 16, 16), "uint8", fill_value=0)
    array[...] = 0
    chunks = [path for path in array._path.rglob("*") if path.is_file()]
    assert len(chunks) == 8 + len(list(array._path.glob("*zar*")))


def test_only_zarr_v3_has_dimension_names(image, version):
    array = image["0"]
    assert array.dimension_names is None
    if version == 2:
        with pytest.raises(ValueError, match="Zarr v2"):
            array.dimension_names = "zyx"
        return
    array.dimension_names = "zyx"
    assert array.dimension_names == ("z", "y", "x")
    assert zarr.open_array(array.store_path, mode="r").metadata.dimension_names == ("z", "y", "x")


def test_members_are_found_by_name(image):
    image.create_group("labels")
    assert isinstance(image["0"], ZarrArray)
    assert isinstance(image["labels"], ZarrGroup)
    assert list(image.keys()) == ["0", "labels"]
    assert "0" in image
    assert "1" not in image
    with pytest.raises(KeyError, match="'1' is not in"):
        image["1"]
    with pytest.raises(KeyError, match="not an allowed name"):
        image["../other"]


def test_keys_are_in_natural_order(group):
    assert (list(group), len(group), bool(group)) == ([], 0, True)
    for name in ("10", "9", "nifti", "0"):
        group.create_array(name, (1,), "uint8")
    assert list(group.keys()) == list(group) == ["0", "9", "10", "nifti"]
    assert len(group) == 4


def test_assigned_node_is_copied_and_replaces_another(image, voxels):
    image.create_array("copy", (3,), "float32")
    image["copy"] = image["0"]
    np.testing.assert_array_equal(image["copy"][...], voxels)
    image["0"][...] = 0
    np.testing.assert_array_equal(image["copy"][...], voxels)
    image.create_group("a")["b"] = image["copy"]
    image["c"] = image["a"]
    np.testing.assert_array_equal(image["c"]["b"][...], voxels)


def test_assigned_node_must_have_the_same_zarr_version(image, version, tmp_path):
    with pytest.raises(TypeError, match="is not an array or group"):
        image["1"] = np.zeros(3)
    other = neurozarr.open_group(tmp_path / "other.zarr", zarr_version=5 - version)
    with pytest.raises(ValueError, match=f"Zarr v{5 - version}"):
        image["1"] = other


def test_a_member_can_be_deleted(image):
    del image["0"]
    assert "0" not in image
    assert not image._path.joinpath("0").exists()
    with pytest.raises(KeyError, match="'0' is not in"):
        del image["0"]


def test_create_group_creates_opens_or_overwrites(group):
    group.create_group("a").create_array("x", (1,), "uint8")
    assert list(group.create_group("a").keys()) == ["x"]
    assert list(group.create_group("a", overwrite=True).keys()) == []


def test_from_config_opens_or_overwrites_a_group(driver, tmp_path, version):
    config = {"out": tmp_path / "a.zarr", "zarr_version": version, "driver": driver}
    neurozarr.from_config(ZarrConfig(**config)).create_group("kept")
    assert list(neurozarr.from_config(ZarrConfig(**config)).keys()) == ["kept"]
    assert list(neurozarr.from_config(ZarrConfig(**config, overwrite=True)).keys()) == []
    with pytest.raises(ValueError, match=f"is Zarr v{version}"):
        neurozarr.from_config(
            ZarrConfig(driver=driver, out=config["out"], zarr_version=5 - version)
        )
    with pytest.raises(ValueError, match="out is None"):
        neurozarr.from_config(ZarrConfig())


def test_from_config_takes_the_directory_beside_the_configuration(driver, tmp_path):
    config = ZarrConfig(driver=driver, chunk=4, out=tmp_path / "other.zarr")
    path = tmp_path / "a.zarr"
    kind = type(neurozarr.from_config(config))
    for group in (
        neurozarr.from_config(str(path), config),
        neurozarr.from_config(out=path, zarr_config=config),
        kind.from_config(path, config),
        kind.from_config(ZarrConfig(driver=driver, chunk=4, out=path)),
    ):
        assert (type(group), group.store_path) == (kind, str(path))
        assert group.create_array("0", (9,), "u1", overwrite=True).chunks == (4,)
    assert neurozarr.from_config(zarr_config=config).store_path == str(config.out)
    for wrong in ((path,), (config, config), (), (path, {"chunk": 4})):
        with pytest.raises(TypeError, match="a ZarrConfig, or a directory and a ZarrConfig"):
            neurozarr.from_config(*wrong)


def test_directory_that_is_not_zarr_is_never_overwritten(driver, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with pytest.raises(FileExistsError, match="is not Zarr"):
        neurozarr.from_config(ZarrConfig(driver=driver, out=tmp_path / "photos", overwrite=True))
    assert (tmp_path / "photos" / "holiday.jpg").exists()


def test_driver_is_chosen_by_name(image, driver):
    assert type(neurozarr.open_group(image.store_path, driver=driver)) is type(image)
    array = neurozarr.open_array(f"{image.store_path}/0", driver=driver)
    assert type(array) is type(image["0"])
    for opening in (neurozarr.open_group, neurozarr.open_array):
        with pytest.raises(ValueError, match="driver is 'h5py'; allowed: tensorstore, zarr-python"):
            opening(image.store_path, driver="h5py")


def test_read_only_nodes_cannot_be_changed(image, voxels):
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


def test_modes_create_open_or_overwrite_a_group(tmp_path, version):
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


def test_array_is_opened_by_its_path(image, version):
    path = f"{image.store_path}/0"
    assert neurozarr.open_array(path, "r+", version).shape == SHAPE
    with pytest.raises(ValueError, match=f"is Zarr v{version}"):
        neurozarr.open_array(path, zarr_version=5 - version)
    with pytest.raises(ValueError, match="mode is 'w'"):
        neurozarr.open_array(path, "w")
    with pytest.raises(FileNotFoundError, match="no Zarr array"):
        neurozarr.open_array(image.store_path)


def test_index_outside_the_array_is_refused(image):
    for key in (40, -41, (0, 30), (0, 0, 0, 0), (..., 0, ...), slice(None, None, -1)):
        with pytest.raises(IndexError):
            image["0"][key]
        with pytest.raises(IndexError):
            image["0"][key] = 0


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([0, 40], "index 40 is outside an axis of 40 voxels"),
        ([-41], "index -41 is outside"),
        (([1, 2], [1, 2]), "allowed: a list for one axis"),
        ([[1, 2], [3, 4]], "2 dimensions; allowed: a list for one axis"),
        (np.ones(SHAPE, bool), "3 dimensions; allowed: a list for one axis"),
        ([True, False], "2 booleans for an axis of 40 voxels"),
        ([1.0], "a list of float64"),
        ("0", "'0' is not an index"),
        (None, "None is not an index"),
        (1.0, "1.0 is not an index"),
    ],
)
def test_index_of_another_kind_is_refused(image, key, message):
    array = image["0"]
    for attempt in (lambda: array[key], lambda: array.__setitem__(key, 0)):
        with pytest.raises(IndexError, match=message):
            attempt()


def test_each_driver_opens_arrays_of_the_other(image, voxels):
    for driver in DRIVERS:
        group = neurozarr.open_group(image.store_path, "r", driver=driver)
        np.testing.assert_array_equal(group["0"][...], voxels)
        assert group["0"].dimension_names == image["0"].dimension_names
