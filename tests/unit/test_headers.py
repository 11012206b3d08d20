"""NIfTI headers of stored images: from the source, from a template, or new."""

import gzip

import nibabel
import numpy as np
import pytest

import neurozarr
from neurozarr import nifti
from neurozarr.errors import ConfigError
from neurozarr.nifti import anatomy
from neurozarr.nifti.fit import (
    changed_fields,
    file_header,
    fit_header,
    level_header,
    stored_dtype,
)
from neurozarr.samples import headers

from .volumes import volume

FLOAT = np.dtype("float32")
OBLIQUE = np.array([[0.0, 2.0, 0.1, 10], [3.0, 0.0, 0.2, 20], [0.3, 0.1, -4.0, 30], [0, 0, 0, 1]])


def header(kind=nibabel.Nifti1Header, shape=(4, 5, 6), **values):
    made = kind()
    made.set_data_shape(shape)
    for name, value in values.items():
        made[name] = value
    return made.binaryblock


def fit(raw, **changes):
    return fit_header(raw, **{"axes": "zyx", "shape": (6, 5, 4), "dtype": FLOAT} | changes)


def load(raw):
    kind = nifti.header_type(raw)
    return kind(raw[: kind.template_dtype.itemsize], endianness=nifti.byte_order(raw))


# Headers of the source


@pytest.mark.parametrize("kind", [nibabel.Nifti1Header, nibabel.Nifti2Header])
@pytest.mark.parametrize("endianness", "<>")
def test_header_that_fits_is_unchanged(kind, endianness):
    made = kind(endianness=endianness)
    made.set_data_shape((4, 5, 6))
    raw = made.binaryblock + b"\1\0\0\0" + b"extension"
    assert fit(raw) == raw


@pytest.mark.parametrize("endianness", "<>")
def test_voxel_size_scales_the_sform_about_the_first_voxel(endianness):
    made = nibabel.Nifti1Header(endianness=endianness)
    made.set_data_shape((4, 5, 6))
    affine = np.array([[0, 2, 0, 10], [3, 0, 0, 20], [0, 0, -4, 30], [0, 0, 0, 1]])
    made.set_sform(affine, 1)
    made.set_zooms((3, 2, 4))
    found = load(fit(made.binaryblock, voxel_size=(1, 2, 6)))
    assert found.get_zooms() == (6, 2, 1)
    np.testing.assert_array_equal(found.get_sform(), affine * [2, 1, 0.25, 1])


@pytest.mark.parametrize("size", [0, np.nan, np.inf])
def test_voxel_size_replaces_an_invalid_one_in_the_sform(size):
    made = header(pixdim=[1] + [size] * 7, srow_x=[1, 0, 0, 5])
    fields = nifti.fields(fit(made, voxel_size=(1, 2, 6)))
    assert fields["srow_x"].tolist() == [6, 0, 0, 5]
    assert fields["pixdim"][1:4].tolist() == [6, 2, 1]


def test_unit_is_that_of_the_header_or_the_given_one():
    made = header(xyzt_units=2 + 16)
    assert fit(made) == made
    assert nifti.fields(fit(made, space_unit="micrometer"))["xyzt_units"] == 3 + 16


def test_lengths_in_a_unit_without_nifti_code_are_converted():
    made = nibabel.Nifti1Header()
    made.set_data_shape((4, 5, 6))
    made.set_sform(OBLIQUE * 100, 1)
    made.set_qform(OBLIQUE * 100, 1)
    found = load(fit(made.binaryblock, voxel_size=(300, 200, 100), space_unit="nanometer"))
    assert found.get_xyzt_units()[0] == "micron"
    np.testing.assert_allclose(found.get_zooms(), (0.1, 0.2, 0.3), rtol=1e-6)
    np.testing.assert_allclose(found.get_sform()[:3, 3], (1, 2, 3), rtol=1e-6)
    np.testing.assert_allclose(found.get_qform()[:3, 3], (1, 2, 3), rtol=1e-6)


def test_dimensions_of_the_header_are_those_of_the_axes():
    made = header(shape=(4, 5, 6, 3))
    found = nifti.fields(fit(made, axes="czyx", shape=(3, 6, 5, 4)))
    assert found["dim"].tolist() == [5, 4, 5, 6, 1, 3, 1, 1]
    assert fit(made, axes="tzyx", shape=(3, 6, 5, 4)) == made


@pytest.mark.parametrize(("code", "intent", "count"), [(128, 2003, 3), (2304, 2004, 4)])
def test_rgb_becomes_channels_and_can_be_restored(code, intent, count):
    made = header(datatype=code, bitpix=8 * count, intent_code=7, intent_p1=np.nan, pixdim=range(8))
    found = fit(made, axes="czyx", shape=(count, 6, 5, 4), dtype=np.dtype("u1"))
    fields = nifti.fields(found)
    assert (fields["datatype"], fields["bitpix"], fields["intent_code"]) == (2, 8, intent)
    assert fields["dim"].tolist() == [5, 4, 5, 6, 1, count, 1, 1]
    assert nifti.header_json(found)["Intent"] == {3: "rgb", 4: "rgba"}[count]
    restored = level_header(
        found,
        axes="czyx",
        shape=(count, 6, 5, 4),
        scale=[1, 1, 1],
        shift=[0, 0, 0],
        changed=changed_fields(made, found),
    )
    assert restored == made
    assert changed_fields(header(), header()) is None


# Headers of a template


def test_template_gives_the_fields_that_the_volume_does_not():
    made = nibabel.Nifti1Header(endianness=">")
    made.set_data_shape((40, 50, 60, 7))
    made.set_data_dtype("int16")
    made.set_sform(OBLIQUE, 4)
    made.set_qform(OBLIQUE, 1)
    made.set_xyzt_units("mm", "sec")
    for name, value in {"descrip": b"a template", "intent_code": 3, "scl_slope": 9}.items():
        made[name] = value
    source = volume(
        np.zeros((6, 5, 4), "f4"), voxel_size=(30.0, 20.0, 10.0), space_unit="micrometer"
    )
    raw = headers.adopt_header(made.binaryblock + b"\1\0\0\0extension 12", source, FLOAT)
    found = load(raw)
    assert raw.endswith(b"\1\0\0\0extension 12")
    assert found.get_data_shape() == (4, 5, 6)
    assert found.get_data_dtype() == np.dtype(">f4")
    assert found.get_xyzt_units() == ("micron", "sec")
    np.testing.assert_allclose(found.get_zooms(), (10, 20, 30))
    assert (found["sform_code"], found["qform_code"], found["intent_code"]) == (4, 1, 3)
    assert (found["scl_slope"], found["descrip"].item()) == (1, b"a template")
    # The template is in millimetres, the volume in micrometres; directions do not change.
    np.testing.assert_allclose(found.get_sform()[:3, 3], OBLIQUE[:3, 3] * 1000)
    np.testing.assert_allclose(found.get_qform()[:3, 3], OBLIQUE[:3, 3] * 1000)
    columns = OBLIQUE[:3, :3] / np.linalg.norm(OBLIQUE[:3, :3], axis=0)
    np.testing.assert_allclose(found.get_sform()[:3, :3], columns * [10, 20, 30], rtol=1e-6)


def test_template_becomes_nifti_2_for_a_long_volume():
    made = header(descrip=b"long", sform_code=2, srow_x=[1, 2, 3, 4], intent_name=b"it")
    source = volume(np.zeros((1, 1, 40_000), "f4"), voxel_size=(3.0, 2.0, 1.0))
    raw = headers.adopt_header(made + b"\1\0\0\0" + bytes(12), source, FLOAT)
    found = load(raw)
    assert isinstance(found, nibabel.Nifti2Header)
    assert found.get_data_shape() == (40_000, 1, 1)
    assert (found["descrip"].item(), found["intent_name"].item()) == (b"long", b"it")
    assert found["vox_offset"] == 540 + 16 == len(raw)
    assert nifti.header_json(raw)["NIIFormat"] == "n+2"


@pytest.mark.parametrize("kind", ["a.nii", "a.nii.gz", "a.hdr", "header.bin", "a.nii.zarr"])
def test_template_is_read_from_any_file_with_a_header(tmp_path, kind):
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), "f4"), np.diag([2.0, 3, 4, 1]))
    image.header["descrip"] = b"here"
    path = tmp_path / kind
    if kind.endswith(".bin"):
        path.write_bytes(image.header.binaryblock)
    elif kind.endswith(".zarr"):
        neurozarr.open_group(path).write_nifti_header(image.header.binaryblock)
    elif kind.endswith(".hdr"):
        nibabel.Nifti1Pair.from_image(image).to_filename(tmp_path / "a.img")
    else:
        image.to_filename(path)
    found = headers.header_of(volume(np.zeros((6, 5, 4), "f4")), dtype=FLOAT, template=path)
    assert nifti.header_json(found)["Description"] == "here"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file or .nii.zarr"),
        (b"not a header", "the header cannot be read .not a NIfTI header"),
        (gzip.compress(bytes(400), mtime=0)[:20], "the header cannot be read"),
    ],
    ids=["missing", "other", "truncated"],
)
def test_invalid_template_is_refused_with_its_path(tmp_path, content, message):
    path = tmp_path / ("a.nii.gz" if content and content.startswith(b"\x1f") else "a.nii")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"nifti.header .*{message}"):
        headers.read_template(path)


# New headers


def make(voxels=None, orientation=None, center=True, **said):
    voxels = np.zeros((3, 6, 5, 4), "f4") if voxels is None else voxels
    said = {
        "file_axes": "tzyx",
        "voxel_size": (3.0, 2.0, 1.0),
        "space_unit": "micrometer",
        "time_step": 7.0,
        "time_unit": "millisecond",
        "slope": 2.0,
        "inter": -1.0,
    } | said
    source = volume(voxels, **said)
    return headers.make_header(source, voxels.dtype, orientation=orientation, center=center)


def test_header_is_made_from_the_metadata_of_the_volume():
    raw = make(affine=np.diag([1.0, 2.0, 3.0, 1.0]))
    found = nibabel.Nifti1Header(raw, check=True)
    assert len(raw) == 348
    assert found.get_data_shape() == (4, 5, 6, 3)
    assert found.get_zooms() == (1, 2, 3, 7)
    assert found.get_xyzt_units() == ("micron", "msec")
    assert found.get_data_dtype() == np.dtype("float32")
    assert (found["scl_slope"], found["scl_inter"]) == (2, -1)
    np.testing.assert_array_equal(found.get_best_affine(), np.diag([1, 2, 3, 1]))
    assert found["magic"].item() == b"n+1"
    assert found["vox_offset"] == 352


def test_header_is_nifti_2_for_a_long_volume():
    raw = make(np.zeros((6, 5, 32768), "u1"), file_axes="zyx")
    assert len(raw) == 540
    assert nibabel.Nifti2Header(raw).get_data_shape() == (32768, 5, 6)
    assert len(make(np.zeros((6, 5, 32767), "u1"), file_axes="zyx")) == 348


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        ("LPI", "LPI"),
        ("sra", "SRA"),
        ("axial", "LPS"),
        ("Coronal", "LIA"),
        ("sagittal", "PIR"),
    ],
)
@pytest.mark.parametrize("center", [True, False])
def test_orientation_gives_an_affine_about_the_centre(orientation, letters, center):
    affine = load(make(orientation=orientation, center=center)).get_best_affine()
    assert "".join(nibabel.aff2axcodes(affine)) == letters
    np.testing.assert_allclose(nibabel.affines.voxel_sizes(affine), (1, 2, 3))
    origin = (np.array([4, 5, 6]) - 1) / 2 if center else np.zeros(3)
    np.testing.assert_allclose(nibabel.affines.apply_affine(affine, origin), 0, atol=1e-6)


@pytest.mark.parametrize("center", [True, False])
def test_header_without_known_orientation_claims_none(center):
    raw = make(center=center)
    assert (load(raw)["sform_code"], load(raw)["qform_code"]) == (0, 0)
    assert anatomy.directions(raw) == {}
    assert anatomy.spaces(raw) == []
    origin = (np.array([4, 5, 6]) - 1) / 2 if center else np.zeros(3)
    sform = load(raw).get_sform()
    np.testing.assert_allclose(sform[:3, :3], np.diag([1, 2, 3]))
    np.testing.assert_allclose(nibabel.affines.apply_affine(sform, origin), 0, atol=1e-6)


def test_orientation_replaces_the_affine_of_the_volume():
    kept = load(make(affine=OBLIQUE)).get_best_affine()
    np.testing.assert_allclose(kept, OBLIQUE, rtol=1e-6)
    asked = load(make(affine=OBLIQUE, orientation="RAS")).get_best_affine()
    assert "".join(nibabel.aff2axcodes(asked)) == "RAS"


def test_new_header_converts_units_without_nifti_code():
    made = make(space_unit="nanometer", time_unit="minute", affine=np.diag([1.0, 2, 3, 1]))
    found = load(made)
    assert found.get_xyzt_units() == ("micron", "sec")
    np.testing.assert_allclose(found.get_zooms(), (0.001, 0.002, 0.003, 420))
    np.testing.assert_allclose(np.diag(found.get_best_affine()), (0.001, 0.002, 0.003, 1))


@pytest.mark.parametrize("orientation", ["RA", "RAA", "RLS", "oblique", ""])
def test_unknown_orientation_is_refused(orientation):
    source = volume(np.zeros((6, 5, 4), "f4"))
    with pytest.raises(ConfigError, match=r"ome\.orientation is .*; allowed: three letters"):
        headers.header_of(source, dtype=FLOAT, orientation=orientation)


def test_dtypes_that_nifti_does_not_have_are_widened():
    assert stored_dtype(np.dtype(bool)) == np.uint8
    assert stored_dtype(np.dtype("f2")) == np.float32
    assert stored_dtype(np.dtype("i2")) == np.int16


# Headers of levels


@pytest.mark.parametrize("kind", [nibabel.Nifti1Header, nibabel.Nifti2Header])
@pytest.mark.parametrize("endianness", "<>")
def test_affine_of_a_level_places_its_voxels(kind, endianness):
    made = kind(endianness=endianness)
    made.set_data_shape((40, 50, 60))
    made.set_qform(OBLIQUE, 1, strip_shears=True)
    made.set_sform(OBLIQUE, 2)
    for name in ("slice_end", "slice_code", "slice_duration"):
        made[name] = 1
    raw = level_header(
        made.binaryblock,
        axes="zyx",
        shape=(30, 12, 10),
        scale=[2, 4, 4],
        shift=[0.5, 1.5, 1.5],
    )
    found = load(raw)
    assert found.get_data_shape() == (10, 12, 30)
    step = np.array([[4, 0, 0, 1.5], [0, 4, 0, 1.5], [0, 0, 2, 0.5], [0, 0, 0, 1]])
    np.testing.assert_allclose(found.get_sform(), made.get_sform() @ step, rtol=1e-6)
    np.testing.assert_allclose(found.get_qform(), made.get_qform() @ step, rtol=1e-5, atol=1e-5)
    assert (found["slice_end"], found["slice_code"], found["slice_duration"]) == (0, 0, 0)


def test_level_0_keeps_every_field():
    made = header(slice_code=3, slice_end=5, descrip=b"x")
    found = level_header(made, axes="zyx", shape=(6, 5, 4), scale=[1, 1, 1], shift=[0, 0, 0])
    assert found == made


@pytest.mark.parametrize(
    ("values", "rest", "length"),
    [
        ({"magic": b"n+1", "vox_offset": 352}, b"", 352),
        ({"magic": b"n+1", "vox_offset": 400}, b"", 400),
        ({"magic": b"n+1", "vox_offset": 1e30}, b"", 352),
        ({"magic": b"n+1", "vox_offset": np.inf}, b"", 352),
        ({"magic": b"n+1", "vox_offset": np.nan}, b"", 352),
        ({"magic": b"ni1", "vox_offset": 0}, b"", 352),
        ({"magic": b"ni1", "vox_offset": 0}, b"\1\0\0\0" + b"x" * 16, 368),
        ({"magic": b"n+1", "vox_offset": 368}, b"\1\0\0\0" + b"x" * 16, 368),
    ],
)
def test_file_header_ends_at_vox_offset(values, rest, length):
    found = file_header(header(**values) + rest)
    fields = nifti.fields(found)
    assert len(found) == length == fields["vox_offset"]
    assert fields["magic"].item() == b"n+1"
    assert found[348:].startswith(rest)
