"""Conversion of a NIfTI file to a store, and export back to NIfTI."""

import gzip
import shutil
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurozarr
from neurozarr import nifti, sources
from neurozarr.voxels import export

from .conversions import KINDS, convert, exported, headers, nifti_file, paths_of
from .volumes import Volume, volume


@settings(max_examples=30)
@given(headers(), st.sampled_from([{}, {"zarr_version": 2, "order": "F"}, {"shard": 4}]))
def test_export_restores_every_byte(made, zarr):
    with tempfile.TemporaryDirectory() as folder:
        source = nifti_file(Path(folder, "a.nii"), made)
        store, _ = convert(source, Path(folder), {"zarr": {"chunk": 2} | zarr})
        assert exported(store) == source.read_bytes()


@pytest.mark.parametrize("colours", [("R", "G", "B"), ("R", "G", "B", "A")])
@pytest.mark.parametrize("times", [(), (3,)])
def test_export_restores_rgb_voxels(tmp_path, colours, times):
    dtype = np.dtype([(colour, "u1") for colour in colours])
    shape = (5, 6, 7, *times)
    rng = np.random.default_rng(0)
    voxels = np.frombuffer(rng.bytes(int(np.prod(shape)) * len(colours)), dtype)
    image = nibabel.Nifti1Image(voxels.reshape(shape, order="F"), np.diag([2, 3, 4, 1]))
    image.header["intent_code"], image.header["intent_p1"] = 1007, 3
    image.to_filename(tmp_path / "a.nii")
    store, sample = convert(tmp_path / "a.nii", tmp_path, {"zarr": {"chunk": 4}})
    assert sample.levels[0].shape == (*times, len(colours), 7, 6, 5)
    assert exported(store) == (tmp_path / "a.nii").read_bytes()
    level = nibabel.Nifti1Image.from_bytes(exported(store, 1))
    assert (level.shape, level.get_data_dtype()) == ((2, 3, 3, *times), dtype)
    assert [channel["color"] for channel in sample.channels][:3] == ["FF0000", "00FF00", "0000FF"]


@pytest.mark.parametrize("kind", KINDS)
def test_export_of_a_level_keeps_its_position(tmp_path, kind):
    affine = nibabel.affines.from_matvec(
        nibabel.eulerangles.euler2mat(0.3, 0.2, 0.1) * [1, 2, 3], (-10, 20, 5)
    )
    voxels = np.random.default_rng(0).integers(0, 99, (20, 18, 16, 2)).astype("i2")
    type_ = nibabel.Nifti1Image if kind is KINDS[0] else nibabel.Nifti2Image
    image = type_(voxels, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(tmp_path / "a.nii")
    store, sample = convert(tmp_path / "a.nii", tmp_path, {"zarr": {"chunk": 8}})
    for level in (1, 2):
        back = type_.from_bytes(exported(store, level))
        middle = np.array([2**level - 1] * 3) / 2
        expected = nibabel.affines.apply_affine(image.affine, middle)
        np.testing.assert_allclose(back.affine[:3, 3], expected, rtol=1e-6)
        np.testing.assert_allclose(back.header.get_qform(), back.affine, atol=1e-4)
        np.testing.assert_allclose(back.affine[:3, :3], image.affine[:3, :3] * 2**level, rtol=1e-6)
        assert back.shape[:3] == sample.levels[level].shape[:0:-1]
        assert back.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_array_equal(
        nibabel.load(paths_of(store).export(1)).dataobj[0, 0, 0],
        np.rint(voxels[:2, :2, :2].mean((0, 1, 2))),
    )


def test_export_of_a_file_pair_is_one_file(tmp_path):
    voxels = np.arange(120, dtype=">i2").reshape(4, 5, 6)
    image = nibabel.Nifti1Pair(voxels, np.eye(4), nibabel.Nifti1Header(endianness=">"))
    image.to_filename(tmp_path / "a.img")
    store, _ = convert(tmp_path / "a.hdr", tmp_path)
    found = exported(store)
    assert found[352:] == (tmp_path / "a.img").read_bytes()
    expected = nifti.fields((tmp_path / "a.hdr").read_bytes())
    expected["magic"], expected["vox_offset"] = b"n+1", 352
    assert found[:348] == expected.tobytes()


def test_export_is_streamed_and_reproducible(tmp_path, monkeypatch, mri):
    shutil.copy(mri / "anatomical.nii", tmp_path)
    store, _ = convert(tmp_path / "anatomical.nii", tmp_path)
    whole = exported(store)
    file = paths_of(store).export(0).read_bytes()
    monkeypatch.setattr(export, "SLAB_BYTES", 1)
    assert exported(store) == whole == (mri / "anatomical.nii").read_bytes()
    assert gzip.decompress(file) == whole
    assert list(tmp_path.glob("*.tmp")) == []


class ArrayFile(Volume):
    """A source that reads an .npy file, for dtypes that NIfTI does not have."""

    suffixes = (".npy",)

    @classmethod
    def open(cls, path, layout):
        return volume(np.load(path), kind=cls, files=(Path(path),))


@pytest.mark.parametrize(("dtype", "wider"), [("bool", "u1"), ("f2", "f4")])
@pytest.mark.parametrize("nii", [True, False])
def test_dtypes_are_only_widened_with_a_nifti_header(tmp_path, monkeypatch, dtype, wider, nii):
    monkeypatch.setattr(sources, "FAMILIES", (ArrayFile,))
    voxels = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(dtype)
    np.save(tmp_path / "a.npy", voxels)
    config = {"nifti": {"nii": nii, "orientation": "axial"}, "pyramid": {"mode": "stride"}}
    store, sample = convert(tmp_path / "a.npy", tmp_path, config | {"zarr": {"chunk": 4}})
    array = neurozarr.open_array(store / "0", "r")
    assert array.dtype == sample.dtype == np.dtype(wider if nii else dtype)
    np.testing.assert_array_equal(array[...], voxels)
    axes = neurozarr.open_group(store, "r").attrs["ome"]["multiscales"][0]["axes"]
    assert [axis["orientation"]["value"].split("-")[0] for axis in axes] == [
        *("inferior", "anterior", "right")
    ]
    if nii:
        back = nibabel.Nifti1Image.from_bytes(exported(store))
        assert back.get_data_dtype() == np.dtype(wider)
        np.testing.assert_array_equal(back.dataobj, voxels.T.astype(wider))
        assert nibabel.aff2axcodes(back.affine) == ("L", "P", "S")
