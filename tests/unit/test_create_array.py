"""Creating arrays in Zarr v2 and v3, and reading them with zarr-python and TensorStore."""

import numpy as np
import pytest
import zarr

import neurozarr
from neurozarr import ZarrConfig
from neurozarr.voxels.kernels import downsample

from .stores import OPTIONS, SHAPE, document, read_tensorstore


def test_arguments_take_precedence_over_the_configuration(driver, tmp_path):
    group = neurozarr.from_config(
        ZarrConfig(driver=driver, out=tmp_path / "a.zarr", chunk=8, compressor="gzip")
    )
    assert document(group.create_array("a", SHAPE, "u2"))["codecs"][1]["name"] == "gzip"
    array = group.create_array("b", SHAPE, "u2", chunk=(4, 8, 10), compressor=None, fill_value=3)
    assert array.chunks == (4, 8, 10)
    assert [codec["name"] for codec in document(array)["codecs"]] == ["bytes"]
    assert document(array)["fill_value"] == 3
    other = ZarrConfig(chunk=16, compressor="zstd", compressor_options={"level": 9})
    array = group.create_array("c", SHAPE, "u2", zarr_config=other, order="F")
    assert array.chunks == (16, 16, 16)
    assert [codec["name"] for codec in document(array)["codecs"]] == ["transpose", "bytes", "zstd"]


def test_existing_array_is_only_replaced_with_overwrite(image, version):
    with pytest.raises(FileExistsError, match="exists already"):
        image.create_array("0", (3,), "uint8")
    overwrite = ZarrConfig(zarr_version=version, overwrite=True)
    assert image.create_array("0", (3,), "uint8", zarr_config=overwrite).shape == (3,)
    assert image.create_array("0", (4,), "uint8", overwrite=True).shape == (4,)
    with pytest.raises(FileExistsError, match="exists already"):
        image.create_array("0", (3,), "uint8", zarr_config=overwrite, overwrite=False)


def test_data_are_written_into_a_new_array(group, voxels):
    array = group.create_array("0", SHAPE, "float32", data=voxels)
    np.testing.assert_array_equal(read_tensorstore(array).read().result(), voxels)
    copy = group.create_array("1", array.shape, array.dtype, data=array)
    np.testing.assert_array_equal(copy[...], voxels)
    with pytest.raises(ValueError, match=r"data has shape \(30, 20\), but the array '0' has"):
        group.create_array("0", SHAPE, "float32", data=voxels[0], overwrite=True)
    again = group.create_array("0", SHAPE, "int16", data=array, overwrite=True)
    np.testing.assert_array_equal(again[...], voxels)


def test_options_of_an_array_may_be_named_as_in_linc_convert(group, version):
    options = {"chunks": (4, 8, 16), "compressor_opt": {"clevel": 9}}
    options |= {} if version == 2 else {"shards": (8, 16, 16)}
    array = group.create_array("0", SHAPE, "int16", **options)
    assert (array.chunks, array.shards) == ((4, 8, 16), options.get("shards"))
    named = {"chunk": (4, 8, 16), "shard": options.get("shards"), "compressor": "blosc"}
    same = group.create_array("1", SHAPE, "int16", compressor_options={"clevel": 9}, **named)
    assert document(array) == document(same)
    assert group.create_array_from_base("2", SHAPE, chunks=2, shards=None).chunks == (2, 2, 2)
    plain = group.create_array("3", SHAPE, "int16", compressor="none")
    assert document(plain) == document(group.create_array("4", SHAPE, "int16", compressor=None))
    with pytest.raises(TypeError, match="chunks and chunk are one option"):
        group.create_array("5", SHAPE, "int16", chunk=8, chunks=8)


def test_channels_and_times_may_share_chunks(driver, tmp_path):
    config = ZarrConfig(driver=driver, chunk=(8,), chunk_channels=False, no_time=True)
    group = neurozarr.from_config(tmp_path / "a.zarr", config)
    voxels = np.arange(3 * 16**3).reshape(3, 16, 16, 16)
    array = group.create_array("0", voxels.shape, voxels.dtype, data=voxels)
    assert array.chunks == (3, 8, 8, 8)
    group.generate_pyramid(levels=1)
    assert group["1"].chunks == (3, 8, 8, 8)
    expected = downsample(voxels, (1, 2, 2, 2), "mean")
    np.testing.assert_array_equal(group["1"][...], expected)


def test_unknown_option_is_refused(image):
    with pytest.raises(TypeError, match=r"unknown option filters; known: chunk, compressor"):
        image.create_array("1", (3,), "uint8", filters=None)
    with pytest.raises(TypeError, match="unknown option levels"):
        image.create_array_from_base("1", SHAPE, levels=2)


def test_configuration_of_the_other_zarr_version_is_refused(group, version):
    with pytest.raises(ValueError, match=f"is Zarr v{version}"):
        group.create_array("0", (3,), "u1", zarr_config=ZarrConfig(zarr_version=5 - version))


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
def test_other_readers_agree_on_shards(driver, tmp_path, voxels, shard, options):
    group = neurozarr.from_config(
        ZarrConfig(driver=driver, out=tmp_path / "a.zarr", chunk=8, shard=shard)
    )
    array = group.create_array("0", SHAPE, "int16", **options)
    array[...] = voxels
    assert array.shards == {"auto": (64, 32, 32), 16: (16,) * 3, 32: (32,) * 3}.get(shard, shard)
    found = zarr.open_array(array.store_path, mode="r")
    assert (found.shards, found.chunks) == (array.shards, (8, 8, 8))
    np.testing.assert_array_equal(found[...], voxels)
    np.testing.assert_array_equal(read_tensorstore(array).read().result(), voxels)


def test_other_levels_have_the_options_of_level_0(driver, tmp_path, voxels):
    for number, options in enumerate([*OPTIONS, {"shard": 16}, {"shard": 16, "order": "F"}]):
        config = {"chunk": 8, "fill_value": 2} | options
        group = neurozarr.from_config(
            ZarrConfig(driver=driver, out=tmp_path / f"{number}.zarr", **config)
        )
        base = group.create_array("0", SHAPE, "int16")
        base.dimension_names = "zyx"
        base.attrs["only"] = "mine"
        level = group.create_array_from_base("1", (20, 15, 10), data=voxels[::2, ::2, ::2])
        expected = document(base) | {"shape": [20, 15, 10], "attributes": {}}
        assert document(level) == expected
        np.testing.assert_array_equal(level[...], voxels[::2, ::2, ::2])


def test_other_levels_have_the_options_of_level_0_in_v2(driver, tmp_path):
    config = ZarrConfig(
        driver=driver, out=tmp_path / "a", zarr_version=2, chunk=8, order="F", fill_value=1
    )
    group = neurozarr.from_config(config)
    base = group.create_array("0", SHAPE, "float32", dimension_separator=".")
    level = group.create_array_from_base("1", (20, 15, 10))
    assert document(level) == document(base) | {"shape": [20, 15, 10]}


def test_codecs_without_an_option_are_copied(tmp_path):
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
    with pytest.raises(ValueError, match="no option for the array's codecs bytes, zstd, crc32c"):
        group.create_array_from_base("2", (20, 15, 10), compressor="gzip")


def test_arguments_take_precedence_over_level_0(group, version):
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


def test_levels_must_have_as_many_dimensions_as_level_0(image):
    with pytest.raises(ValueError, match="has 2 dimensions"):
        image.create_array_from_base("1", (20, 15))
