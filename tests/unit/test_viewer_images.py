"""What the viewer knows of the images of stores, and what it refuses."""

import os

import nibabel
import numpy as np
import pytest
import zarr

import neurozarr
from neurozarr.errors import SourceError
from neurozarr.viewer.images import MAX_LAYERS, open_images

from ..omezarr import write
from .test_info import image as write_image


def refusal(path):
    with pytest.raises(SourceError) as error:
        open_images(str(path))
    (line,) = str(error.value).splitlines()
    return line


@pytest.mark.parametrize(
    "options", [{}, {"ome": {"ome_version": "0.6"}}, {"nifti": {"nii": False}}]
)
def test_affine_is_that_of_the_source(mri, tmp_path, options):
    store = neurozarr.convert(mri / "example4d.nii.gz", tmp_path, **options)
    (image,) = open_images(str(store))
    if "nifti" not in options:
        np.testing.assert_allclose(
            image.affine, nibabel.load(mri / "example4d.nii.gz").affine, atol=1e-4
        )
    assert image.affine is not None
    assert (image.name, image.axes, image.shape) == ("example4d", "tzyx", (2, 24, 96, 128))
    assert (image.space_unit, image.time_unit) == ("millimeter", "second")


def test_affine_without_a_code_is_unknown(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((8, 9, 10), "u1"))
    store = neurozarr.convert(tmp_path / "a.npy", tmp_path / "out", voxel_size=1, unit="mm")
    assert (store / "nifti").exists()
    (image,) = open_images(str(store))
    assert image.affine is None


def test_labels_follow_their_image(tmp_path):
    voxels = np.arange(512, dtype="f4").reshape(8, 8, 8)
    colors = {"colors": [{"label-value": 1, "rgba": [1, 2, 3, 4]}]}
    values = (voxels > 5).astype("u1")
    path = write(
        tmp_path / "a.ome.zarr", voxels, labels={"one": (values, colors), "two": (values, {})}
    )
    image, one, two = open_images(str(path))
    assert [shown.name for shown in (image, one, two)] == ["a", "one", "two"]
    assert (image.labels, one.labels, two.labels) == (None, colors, {})
    assert [shown.dtype for shown in (image, one, two)] == ["f4", "u1", "u1"]


def test_window_that_the_metadata_lack_is_of_the_voxels(tmp_path):
    voxels = np.concatenate([np.full((1, 8, 8, 8), np.nan), np.zeros((1, 8, 8, 8))]).astype("f4")
    voxels = np.concatenate([voxels, np.full((1, 8, 8, 8), 7, "f4")])
    omero = {"channels": [{}, {"window": {"start": 2, "end": 3}, "label": "b"}]}
    (image,) = open_images(str(write(tmp_path / "a", voxels, "czyx", omero=omero)))
    assert [channel.window for channel in image.channels] == [None, (2, 3), (0, 7)]
    assert [channel.name for channel in image.channels] == ["", "b", ""]


def test_window_of_the_largest_numbers_is_finite(tmp_path):
    voxels = np.full((4, 4, 4), -1.7e308)
    voxels[2:] = 1.7e308
    ((channel,),) = (image.channels for image in open_images(str(write(tmp_path / "a", voxels))))
    assert channel.window == (-1.7e308, 1.7e308)


def test_impossible_details_of_labels_are_ignored(tmp_path):
    values = np.ones((4, 4, 4), "u1")
    color = {"label-value": 1, "rgba": [1, 2, 3, 4]}
    details = {
        "colors": [{"rgba": [1, 2, 3, 4]}, {"label-value": 2, "rgba": [0.5, 0, 0, 1]}, 7, color],
        "properties": [{"name": "x"}, None, {"label-value": "y"}],
    }
    path = write(tmp_path / "a", values, labels={"b": (values, details)})
    _, labels = open_images(str(path))
    assert labels.labels == {"colors": [color]}
    assert labels.names is None


def test_window_of_a_large_volume_is_that_of_its_middle(tmp_path):
    path = tmp_path / "a"
    write(path, np.zeros((4, 4, 4), "u2"))
    array = zarr.create_array(
        path / "0", shape=(700,) * 3, chunks=(50,) * 3, dtype="u2", overwrite=True
    )
    array[350:400, 350:400, 350:400] = np.resize(np.linspace(100, 400, 50).round(), (50, 50, 50))
    array[:50, :50, :50] = 60_000
    ((channel,),) = (image.channels for image in open_images(str(path)))
    assert channel.window == (100, 400)
    array[350:400, 350:400, 350:400] = 7
    ((channel,),) = (image.channels for image in open_images(str(path)))
    assert channel.window is None


def test_many_channels_are_not_all_read(tmp_path):
    voxels = np.arange(MAX_LAYERS + 1, dtype="u1")[:, np.newaxis, np.newaxis] + np.eye(
        4, dtype="u1"
    )
    path = write(tmp_path / "a", voxels, "cyx", chunk=1)
    windows = [channel.window for channel in open_images(str(path))[0].channels]
    assert windows == [(0, 1), *[None] * MAX_LAYERS]


def test_channels_without_a_colour_have_different_ones(tmp_path):
    omero = {"channels": [{}, {"color": "FFFFFF"}, {}]}
    path = write(tmp_path / "a", np.zeros((3, 4, 4, 4), "u1"), "czyx", omero=omero)
    colors = [channel.color for channel in open_images(str(path))[0].channels]
    assert colors == ["FF0000", "FFFFFF", "0000FF"]


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"])
def test_image_of_any_version_is_shown(tmp_path, version):
    (image,) = open_images(str(write_image(tmp_path / "a", version)))
    assert image.axes == ("tczyx" if version < "0.3" else "zyx")
    assert image.voxel_size[-3:] == ((3.0, 2.0, 0.5) if version >= "0.4" else (1.0,) * 3)
    assert image.document["attributes"]["ome"]["version"] == "0.5"


def test_levels_without_a_scale_have_that_of_their_shapes(tmp_path):
    path = write_image(tmp_path / "a", "0.3")
    group = zarr.open_group(path, zarr_format=2)
    group.create_array("half", shape=(2, 3, 4), dtype="u2", chunks=(2,) * 3)
    multiscale = group.attrs["multiscales"][0]
    multiscale["datasets"].append({"path": "half"})
    group.attrs["multiscales"] = [multiscale]
    (image,) = open_images(str(path))
    assert (image.levels[1].size, image.levels[1].first) == ((2.0,) * 3, (0.5,) * 3)


def test_what_cannot_be_shown_is_refused_by_name(tmp_path):
    complex_numbers = write(tmp_path / "complex", np.ones((4, 4, 4), "c8"))
    assert refusal(complex_numbers).startswith(f"{complex_numbers}: voxels of type complex64")
    array = tmp_path / "array.zarr"
    zarr.create_array(array, data=np.ones((4, 4, 4)))
    assert refusal(array) == f"{array}: it contains no OME-Zarr image; convert it first"
    file = tmp_path / "scan.nii.gz"
    file.touch()
    assert "a file, not a store; convert it first: neurozarr run" in refusal(file)
    assert "there is no such directory" in refusal(tmp_path / "none")
    assert "neither Zarr nor N5" in refusal(tmp_path)
    assert "only stores on this computer" in refusal("https://127.0.0.1/a.zarr")


def test_one_of_several_images_is_asked_for(tmp_path):
    root = tmp_path / "both.zarr"
    zarr.create_group(root)
    for name in "ab":
        write(root / name, np.ones((4, 4, 4)))
    assert refusal(root).endswith(f"give those to show: {root}/a, {root}/b")
    assert len(open_images(f"{root}/a")) == 1


def test_level_outside_the_store_is_refused(tmp_path):
    path = write(tmp_path / "a.zarr", np.ones((4, 4, 4)))
    os.rename(path / "0", tmp_path / "secret")
    os.symlink(tmp_path / "secret", path / "0")
    assert refusal(path) == (
        f"{path}/0: a link to {tmp_path}/secret, outside the store; copy it into the store"
    )
