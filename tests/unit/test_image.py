"""Pyramid, OME metadata and NIfTI header of an image."""

import io
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
from neurozarr import ZarrConfig
from neurozarr.voxels.kernels import downsample
from neurozarr.zarr.config import DRIVERS

from .stores import SHAPE, document, read_tensorstore


def test_levels_equal_the_mean_of_tensorstore(group):
    voxels = np.random.default_rng(1).integers(0, 2**16, (32, 16, 48)).astype("uint16")
    group.create_array("0", voxels.shape, "uint16")[...] = voxels
    assert group.generate_pyramid() == [[32, 16, 48], [16, 8, 24], [8, 4, 12], [4, 2, 6]]
    for level in (1, 2, 3):
        parent = read_tensorstore(group[str(level - 1)])
        expected = tensorstore.downsample(parent, [2, 2, 2], "mean").read().result()
        np.testing.assert_array_equal(group[str(level)][...], expected)


def test_time_and_channel_axes_are_not_downsampled(group):
    group.create_array("0", (3, 2, 20, 20, 20), "uint8")
    assert group.generate_pyramid(levels=1) == [[20, 20, 20], [10, 10, 10]]
    assert group["1"].shape == (3, 2, 10, 10, 10)


def test_pyramid_follows_levels_mode_and_no_pyramid_axis(image, voxels):
    shapes = image.generate_pyramid(levels=2, ndim=2, mode="stride", no_pyramid_axis=1)
    assert shapes == [[30, 20], [15, 20], [7, 20]]
    np.testing.assert_array_equal(image["2"][...], voxels[:, ::2, :][:, :14:2, :])
    assert image.generate_pyramid(levels=0, mode=np.max) == [list(SHAPE)]
    assert list(image.keys()) == ["0"]
    image.generate_pyramid(levels=1, mode=np.max)
    assert image["1"][0, 0, 0] == voxels[:2, :2, :2].max()


def test_pyramid_in_shards_equals_pyramid_in_chunks(driver, tmp_path, voxels):
    found = []
    for shard in (None, 16):
        config = ZarrConfig(driver=driver, out=tmp_path / f"{shard}.zarr", chunk=8, shard=shard)
        group = neurozarr.from_config(config)
        group.create_array("0", SHAPE, "int16")[...] = voxels
        group.generate_pyramid(levels=2)
        found.append([group[level][...] for level in "012"])
    for chunked, sharded in zip(*found, strict=True):
        np.testing.assert_array_equal(chunked, sharded)


@given(
    st.sampled_from(DRIVERS),
    st.tuples(st.integers(1, 2), *[st.integers(1, 16)] * 3).map(list),
    st.integers(5, 9),
    st.sampled_from([None, 1, 2, 3, "auto"]),
    st.sampled_from(["u1", "i8", "f4"]),
    st.sampled_from(["mean", "median", "mode", "stride"]),
    st.sampled_from([None, 0, 2]),
)
def test_pyramid_by_chunks_equals_pyramid_of_whole_arrays(
    driver, shape, chunk, per_shard, dtype, mode, skipped
):
    voxels = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    if dtype == "f4":
        voxels[voxels < 10] = np.nan
    with tempfile.TemporaryDirectory() as directory:
        shard = per_shard * chunk if isinstance(per_shard, int) else per_shard
        config = ZarrConfig(driver=driver, out=directory, chunk=chunk, shard=shard)
        group = neurozarr.from_config(config)
        group.create_array("0", shape, dtype)[...] = voxels
        shapes = group.generate_pyramid(levels=2, mode=mode, no_pyramid_axis=skipped)
        for level in (1, 2):
            batch, spatial = shape[:-3], shapes[level]
            assert group[str(level)].shape == (*batch, *spatial)
            ratios = zip(voxels.shape, (*batch, *spatial), strict=True)
            voxels = downsample(voxels, [2 - (was == now) for was, now in ratios], mode)
            np.testing.assert_array_equal(group[str(level)][...], voxels)


def test_pyramid_refuses_wrong_arguments(image):
    with pytest.raises(ValueError, match="mode is 'max'; allowed: mean, median, mode, stride"):
        image.generate_pyramid(mode="max")
    with pytest.raises(ValueError, match="levels is -2"):
        image.generate_pyramid(levels=-2)
    with pytest.raises(ValueError, match="no_pyramid_axis is 3"):
        image.generate_pyramid(no_pyramid_axis=3)
    with pytest.raises(ValueError, match=r"factors is \[\[2, 2\]\]; allowed: .*of 3 spatial axes"):
        image.generate_pyramid(factors=[[2, 2]])


def test_factors_of_each_level_and_the_edge_can_be_given(image, voxels):
    given = [[1, 2, 3], [2, 4, 1]]
    shapes = image.generate_pyramid(factors=given, edge="keep")
    expected = [-(-np.array(SHAPE) // given[0])]
    expected.append(-(-expected[0] // given[1]))
    assert shapes == [list(SHAPE), *(shape.tolist() for shape in expected)]
    once = downsample(voxels, given[0], edge="keep")
    np.testing.assert_array_equal(image["1"][...], once)
    np.testing.assert_array_equal(image["2"][...], downsample(once, given[1], edge="keep"))
    again = neurozarr.open_group(image.store_path)
    for group, told in ((image, {}), (again, {"factors": given})):
        group.write_ome_metadata("zyx", **told, **ome(image))
        scale, translation = multiscales(group)["datasets"][2]["coordinateTransformations"]
        assert (scale["scale"], translation["translation"]) == ([2, 8, 3], [0.5, 3.5, 1])
    with pytest.raises(ValueError, match="level 2 has length 4"):
        again.write_ome_metadata("zyx", **ome(image))


def test_copied_voxels_are_where_they_were_copied_from(image):
    image.generate_pyramid(levels=1, ndim=2, mode="stride")
    image.write_ome_metadata("zyx", **ome(image))
    scale, translation = multiscales(image)["datasets"][1]["coordinateTransformations"]
    assert (scale["scale"], translation["translation"]) == ([1, 2, 2], [0, 0, 0])


def test_wrong_axes_of_the_metadata_are_refused(image):
    with pytest.raises(ValueError, match=r"axes are \('y', 'x'\), but level 0 has shape"):
        image.write_ome_metadata("yx", **ome(image))
    with pytest.raises(ValueError, match="no_pool is 3; allowed: None, an index below 3, or one"):
        image.write_ome_metadata("zyx", no_pool=3, **ome(image))


def ome(group):
    """The OME-Zarr version for the Zarr version of a group, as an argument."""
    return {"ome_version": "0.5" if group.zarr_version == 3 else "0.4"}


def multiscales(group):
    attributes = dict(zarr.open_group(group.store_path, mode="r").attrs)
    if group.zarr_version == 2:
        assert attributes["multiscales"][0]["version"] == "0.4"
        return attributes["multiscales"][0]
    assert attributes["ome"]["version"] == "0.5"
    return attributes["ome"]["multiscales"][0]


def test_ome_metadata_are_in_the_place_of_their_version(image):
    image.generate_pyramid()
    image.write_ome_metadata(["z", "y", "x"], **ome(image))
    found = multiscales(image)
    assert [axis["name"] for axis in found["axes"]] == ["z", "y", "x"]
    assert [dataset["path"] for dataset in found["datasets"]] == ["0", "1", "2", "3"]
    if image.zarr_version == 3:
        assert image["3"].dimension_names == ("z", "y", "x")


def test_ome_metadata_may_describe_fewer_levels(image):
    image.generate_pyramid(levels=2)
    image.write_ome_metadata("zyx", levels=1, **ome(image))
    assert [dataset["path"] for dataset in multiscales(image)["datasets"]] == ["0", "1"]
    with pytest.raises(KeyError, match="no level 3"):
        image.write_ome_metadata("zyx", levels=3, **ome(image))
    with pytest.raises(ValueError, match="levels is -1"):
        image.write_ome_metadata("zyx", levels=-1, **ome(image))


def test_every_argument_of_write_ome_metadata_has_an_effect(group):
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
    scale, translation = found["datasets"][1]["coordinateTransformations"]
    assert scale["scale"] == [0.5, 1, 4, 3 * 15 / 7]
    assert translation["translation"] == [0, 0, 1, 0]


def test_ome_version_for_other_zarr_version_is_replaced_with_a_warning(image, version):
    wrong, right = ("0.4", "0.5") if version == 3 else ("0.5", "0.4")
    with pytest.warns(UserWarning, match=f"is Zarr v{version}: OME-Zarr {right} is written") as got:
        image.write_ome_metadata("zyx", ome_version=wrong)
    assert got[0].filename == __file__
    assert multiscales(image)
    assert len(image.attrs) == 1
    with pytest.raises(ValueError, match=r"ome_version is '0.3'; allowed: 0.4, 0.5"):
        image.write_ome_metadata("zyx", ome_version="0.3")


def test_ome_version_for_the_zarr_version_gives_no_warning(image):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image.write_ome_metadata("zyx", **ome(image))


def test_name_and_type_of_an_image_have_defaults(image):
    image.write_ome_metadata("zyx", **ome(image))
    assert multiscales(image)["name"] == "image"
    assert "type" not in multiscales(image)
    for mode, name in (
        ("median", "median"),
        (np.max, "max"),
        (lambda window, axis: window.min(axis), None),
    ):
        image.generate_pyramid(levels=1, mode=mode)
        image.write_ome_metadata("zyx", **ome(image))
        assert multiscales(image).get("type") == name


@pytest.mark.parametrize("name", ["scan.nii.zarr", "scan.ome.zarr", "scan.zarr", "scan"])
def test_name_of_an_image_has_no_ending(driver, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    group = neurozarr.from_config(name, ZarrConfig(driver=driver))
    group.create_array("0", (4, 4), "u1")
    group.write_ome_metadata("yx", ome_version="0.5")
    assert multiscales(group)["name"] == "scan"


def test_axis_that_is_not_downsampled_may_be_named(image):
    assert image.generate_pyramid(levels=1, no_pyramid_axis="z") == [[40, 30, 20], [40, 15, 10]]
    image.write_ome_metadata("zyx", no_pool="z", **ome(image))
    scale = multiscales(image)["datasets"][1]["coordinateTransformations"][0]["scale"]
    assert scale == [1, 2, 2]
    shapes = image.generate_pyramid(levels=1, ndim=2, no_pyramid_axis="x")
    assert shapes == [[30, 20], [15, 20]]
    with pytest.raises(ValueError, match=r"no_pyramid_axis is 'z'; allowed: .* one of y, x"):
        image.generate_pyramid(ndim=2, no_pyramid_axis="z")


@pytest.mark.parametrize(("name", "size"), [("anatomical.nii", 348), ("example4d.nii.gz", 416)])
def test_bytes_of_a_nifti_header_are_stored_unchanged(group, mri, name, size):
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
def test_nibabel_header_is_stored_with_its_extensions(group, mri, name):
    header = nibabel.load(mri / name).header
    group.write_nifti_header(header)
    read = type(header).from_fileobj(io.BytesIO(group["nifti"][...].tobytes()), check=False)
    assert read.extensions == header.extensions
    assert read["vox_offset"] == 352 + 192 * ("nifti2" in name) + header.extensions.get_sizeondisk()
    read["vox_offset"] = header["vox_offset"]
    assert read == header


def test_nifti_header_replaces_an_existing_one(group, mri):
    group.write_nifti_header(nibabel.load(mri / "example4d.nii.gz").header)
    raw = (mri / "anatomical.nii").read_bytes()[:348]
    group.write_nifti_header(raw)
    assert group["nifti"][...].tobytes() == raw
    with pytest.raises(ValueError, match="not a NIfTI header"):
        group.write_nifti_header(b"hello")
    assert group["nifti"][...].tobytes() == raw
