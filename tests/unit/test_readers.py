"""Reading images of any NIfTI header with other libraries."""

import json
import tempfile
from pathlib import Path

import ngff_zarr
import nibabel
import niizarr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

from .conversions import convert, headers, nifti_file

pytestmark = pytest.mark.filterwarnings("ignore")


STORES = (
    {"zarr": {"chunk": 2, "zarr_version": 2, "compressor": "blosc"}},
    {"zarr": {"chunk": 2}},
    {"zarr": {"chunk": 2, "shard": 4}},
    {"zarr": {"chunk": 2}, "ome": {"ome_version": "0.6"}},
)


@settings(max_examples=30)
@given(headers(), st.sampled_from(STORES), st.sampled_from(["auto", 2, [[1, 2, 3], [2, 1, 1]]]))
def test_other_readers_agree_on_voxels_axes_and_transformations(made, config, factors):
    with tempfile.TemporaryDirectory() as folder:
        source = nifti_file(Path(folder, "a.nii"), made)
        store, sample = convert(source, Path(folder), config | {"pyramid": {"factors": factors}})
        image = nibabel.load(source)
        voxels = sample.source.read(tuple(slice(0, n) for n in sample.source.shape))
        axes = sample.source.axes
        zooms = dict(zip("xyzt", map(float, image.header.get_zooms()), strict=False))
        is_0_6 = "ome" in config
        node = None if is_0_6 else next(Reader(parse_url(str(store)))())
        total = np.ones(len(axes))
        for level, read in enumerate(
            ngff_zarr.from_ngff_zarr(str(store), validate=not is_0_6).images
        ):
            assert "".join(read.dims) == axes
            total *= sample.levels[level].factors
            scale, shift = dict(read.scale), dict(read.translation)
            if node is not None:
                assert "".join(axis["name"] for axis in node.metadata["axes"]) == axes
                np.testing.assert_array_equal(np.asarray(node.data[level]), np.asarray(read.data))
                steps = node.metadata["coordinateTransformations"][level]
                assert [dict(zip(axes, step[step["type"]], strict=True)) for step in steps] == [
                    dict.fromkeys(axes, 1.0) | scale,
                    dict.fromkeys(axes, 0.0) | shift,
                ]
            for axis, factor in zip(axes, total, strict=True):
                size = abs(zooms.get(axis, 1.0))
                if axis == "t" and not 0 < zooms.get("t", 1.0) < np.inf:
                    size = 1.0
                assert scale.get(axis, 1.0) == size * factor
                assert shift.get(axis, 0.0) == pytest.approx(size * (factor - 1) / 2)
            if not level:
                np.testing.assert_array_equal(np.asarray(read.data), voxels)


@settings(max_examples=25)
@given(headers())
def test_zarr2nii_restores_voxels_and_header(made):
    with tempfile.TemporaryDirectory() as folder:
        source = nifti_file(Path(folder, "a.nii"), made)
        store, _ = convert(source, Path(folder), {"zarr": {"chunk": 2}})
        niizarr.zarr2nii(str(store), str(Path(folder, "back.nii")))
        back, image = nibabel.load(Path(folder, "back.nii")), nibabel.load(source)
        np.testing.assert_array_equal(
            back.dataobj.get_unscaled(), image.dataobj.get_unscaled().reshape(back.shape)
        )
        np.testing.assert_array_equal(back.affine, image.affine)
        assert back.header.get_zooms()[:3] == image.header.get_zooms()[:3]
        assert back.header["xyzt_units"] == image.header["xyzt_units"]
        for field in ("intent_code", "sform_code", "qform_code", "descrip", "dim_info"):
            assert back.header[field] == image.header[field]


@pytest.mark.parametrize(("mode", "place"), [("mean", 0.5), ("median", 0.5), ("stride", 0.0)])
def test_position_of_a_store_of_others_is_that_of_every_level(tmp_path, mode, place):
    scale, start = {"z": 3.0, "y": 2.0, "x": 2.0}, {"z": -20.0, "y": 0.5, "x": 1000.0}
    unit = dict.fromkeys("zyx", "micrometer")
    voxels = np.add.outer(np.arange(8), np.add.outer(np.zeros(8), np.arange(8))).astype("f4")
    image = ngff_zarr.to_ngff_image(voxels, list("zyx"), scale, start, axes_units=unit)
    ngff_zarr.to_ngff_zarr(
        str(tmp_path / "a.ome.zarr"), ngff_zarr.to_multiscales(image, scale_factors=[])
    )
    config = {"zarr": {"chunk": 4}, "pyramid": {"mode": mode}}
    store, _ = convert(tmp_path / "a.ome.zarr", tmp_path / "out", config)
    first, second = ngff_zarr.from_ngff_zarr(str(store), validate=True).images
    assert (dict(first.scale), dict(first.translation)) == (scale, start)
    assert dict(second.translation) == {axis: start[axis] + place * scale[axis] for axis in "zyx"}
    # The values are the position along z plus that along x, in voxels of level 0.
    assert np.asarray(second.data)[0, 0, 0] == 2 * place
    attributes = json.loads((store / "zarr.json").read_text())["attributes"]
    assert "orientation" not in json.dumps(attributes)
