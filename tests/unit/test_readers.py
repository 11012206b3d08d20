"""Reading images of any NIfTI header with other libraries."""

import tempfile
from pathlib import Path

import ngff_zarr
import nibabel
import niizarr
import numpy as np
import pytest
from hypothesis import given, settings
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

from .conversions import convert, headers, nifti_file

pytestmark = pytest.mark.filterwarnings("ignore")


@settings(max_examples=25)
@given(headers())
def test_other_readers_agree_on_voxels_axes_and_transformations(made):
    with tempfile.TemporaryDirectory() as folder:
        source = nifti_file(Path(folder, "a.nii"), made)
        store, sample = convert(source, Path(folder), {"zarr": {"chunk": 2}})
        image = nibabel.load(source)
        voxels = sample.source.read(tuple(slice(0, n) for n in sample.source.shape))
        axes = sample.source.axes
        (node, *_) = Reader(parse_url(str(store)))()
        assert "".join(axis["name"] for axis in node.metadata["axes"]) == axes
        np.testing.assert_array_equal(np.asarray(node.data[0]), voxels)
        for level, read in enumerate(ngff_zarr.from_ngff_zarr(str(store)).images):
            assert "".join(read.dims) == axes
            transforms = node.metadata["coordinateTransformations"][level]
            found = {step["type"]: step for step in transforms}
            scale = dict(zip(axes, found["scale"]["scale"], strict=True))
            shift = dict(zip(axes, found["translation"]["translation"], strict=True))
            for axis, zoom in zip("xyz", image.header.get_zooms(), strict=False):
                size = sample.levels[0].shape[axes.index(axis)]
                # An axis of length 1 is not downsampled.
                steps = min(level, size.bit_length() - 1)
                assert read.scale[axis] == scale[axis] == abs(float(zoom)) * 2**steps
                expected = abs(float(zoom)) * (2**steps - 1) / 2
                assert read.translation[axis] == shift[axis] == pytest.approx(expected)
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
