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

from .conversions import (
    DTYPES,
    KINDS,
    convert,
    convert_row,
    exported,
    nifti_file,
    numbers,
    paths_of,
)
from .volumes import Volume, volume


@st.composite
def any_headers(draw):
    """A header of which all fields are any bytes, except those that say where the voxels are."""
    kind, order = draw(st.sampled_from(KINDS)), draw(st.sampled_from("<>"))
    dtype = kind.template_dtype.newbyteorder(order)
    size = dtype.itemsize
    record = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype)[0].copy()
    header = kind(endianness=order)
    dim = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    dim += [1] * draw(st.integers(0, 2)) if len(dim) == 5 else []
    header.set_data_shape(dim)
    header.set_data_dtype(draw(st.sampled_from([*DTYPES, "RGB", "RGBA"])) if len(dim) < 5 else "i2")
    rest = draw(st.sampled_from([b"", *[b"\x20\0\0\0\6\0\0\0".ljust(32, b"?")] * (order == "<")]))
    header["vox_offset"] = size + 4 + len(rest)
    for name in {"sizeof_hdr", "datatype", "vox_offset", "magic", "eol_check"} & {*dtype.names}:
        record[name] = header[name]
    record["dim"][: 1 + len(dim)] = header["dim"][: 1 + len(dim)]
    # nibabel, which cannot use an infinite intercept, or a quaternion that is not a rotation.
    record["scl_inter"] = draw(numbers)
    if abs(record["qform_code"]) < 9 or draw(st.booleans()):
        for letter in "bcd":
            record[f"quatern_{letter}"] = draw(st.floats(-0.5, 0.5, width=32))
        record["qform_code"], record["sform_code"] = draw(st.tuples(*[st.integers(-1, 5)] * 2))
    else:
        record["sform_code"] = draw(st.integers(1, 9))
    return header, record.tobytes() + bytes([bool(rest), 0, 0, 0]) + rest


@settings(max_examples=30)
@given(any_headers(), st.sampled_from([{}, {"zarr_version": 2, "order": "F"}, {"shard": 4}]))
def test_every_field_of_every_header_and_every_voxel_return(made, zarr):
    with tempfile.TemporaryDirectory() as folder:
        source = nifti_file(Path(folder, "a.nii"), made)
        store, _ = convert(source, Path(folder), {"zarr": {"chunk": 2} | zarr})
        assert exported(store) == source.read_bytes()
        stored = neurozarr.open_array(store / "nifti", "r")[...].tobytes()
        if made[0].get_data_dtype().names is None and len(made[0].get_data_shape()) < 6:
            assert made[1] in (stored, stored + bytes(4))
        found, expected = nifti.fields(stored), nifti.fields(made[1])
        for name in {*found.dtype.names} - {"dim", "datatype", "bitpix", "intent_code"}:
            assert found[name].tobytes() == expected[name].tobytes()


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
    config = {"zarr": {"chunk": 4}, "pyramid": {"factors": 2}}
    store, sample = convert(tmp_path / "a.nii", tmp_path, config)
    assert sample.levels[0].shape == (*times, len(colours), 7, 6, 5)
    assert exported(store) == (tmp_path / "a.nii").read_bytes()
    level = nibabel.Nifti1Image.from_bytes(exported(store, 1))
    assert (level.shape, level.get_data_dtype()) == ((2, 3, 3, *times), dtype)
    assert [channel["color"] for channel in sample.channels][:3] == ["FF0000", "00FF00", "0000FF"]


@pytest.mark.parametrize(
    ("kind", "factors"), [(KINDS[0], 2), (KINDS[0], "auto"), (KINDS[1], [[3, 1, 2], [1, 2, 2]])]
)
def test_export_of_a_level_keeps_its_position(tmp_path, kind, factors):
    affine = nibabel.affines.from_matvec(
        nibabel.eulerangles.euler2mat(0.3, 0.2, 0.1) * [1, 2, 3], (-10, 20, 5)
    )
    voxels = np.random.default_rng(0).integers(0, 99, (20, 18, 16, 2)).astype("i2")
    type_ = nibabel.Nifti1Image if kind is KINDS[0] else nibabel.Nifti2Image
    image = type_(voxels, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(tmp_path / "a.nii")
    config = {"zarr": {"chunk": 8}, "pyramid": {"factors": factors}}
    store, sample = convert(tmp_path / "a.nii", tmp_path, config)
    total = np.ones(3, int)
    for level in (1, 2):
        total *= sample.levels[level].factors[:0:-1]
        wanted = {"2": [2**level] * 3, "auto": [2**level, level, level]}
        assert total.tolist() == wanted.get(str(factors), [2**level, level, 3])
        back = type_.from_bytes(exported(store, level))
        middle = (total - 1) / 2
        expected = nibabel.affines.apply_affine(image.affine, middle)
        np.testing.assert_allclose(back.affine[:3, 3], expected, rtol=1e-6)
        np.testing.assert_allclose(back.header.get_qform(), back.affine, atol=1e-4)
        np.testing.assert_allclose(back.affine[:3, :3], image.affine[:3, :3] * total, rtol=1e-6)
        assert back.shape[:3] == sample.levels[level].shape[:0:-1]
        assert back.header.get_xyzt_units() == ("mm", "sec")
    x, y, z = sample.levels[1].factors[:0:-1]
    np.testing.assert_array_equal(
        nibabel.load(paths_of(store).export(1)).dataobj[0, 0, 0],
        np.rint(voxels[:x, :y, :z].mean((0, 1, 2))),
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
    config = {"nifti": {"nii": nii}, "ome": {"orientation": "axial"}, "pyramid": {"mode": "stride"}}
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


def test_a_template_gives_a_store_its_sizes(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 6, 5, 4), "u1"))
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6, 2), "u1"), np.diag([2, 1.5, 3, 1]))
    image.header.set_zooms((2, 1.5, 3, 2.5))
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(tmp_path / "t.nii")
    row = {"source": tmp_path / "a.npy", "axes": "tzyx", "nifti.header": tmp_path / "t.nii"}
    store, _ = convert_row(tmp_path, sample="a", **row)
    (levels,) = neurozarr.open_group(store, "r").attrs["ome"]["multiscales"]
    assert [axis.get("unit") for axis in levels["axes"]] == ["second", *["millimeter"] * 3]
    scale = levels["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == [2.5, 3, 1.5, 2]
    back = nibabel.Nifti1Image.from_bytes(exported(store))
    assert back.header.get_zooms() == (2, 1.5, 3, 2.5)
    assert back.header.get_xyzt_units() == ("mm", "sec")
    store, _ = convert_row(tmp_path, sample="b", **row, time_step=40, time_unit="ms")
    back = nibabel.Nifti1Image.from_bytes(exported(store))
    assert (back.header.get_zooms()[3], back.header.get_xyzt_units()[1]) == (40, "msec")
