"""JSON form of NIfTI headers."""

import json
from pathlib import Path

import jsonschema
import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.openers import ImageOpener

from neurozarr import nifti

IMAGES = [
    "anatomical.nii",
    "example4d.nii.gz",
    "example_nifti2.nii.gz",
    "functional.nii",
    "nifti1.hdr",
    "nifti2.hdr",
    "reoriented_anat_moved.nii",
    "resampled_anat_moved.nii",
    "row_major.dconn.nii",
    "standard.nii.gz",
]

TABLE_4_1 = {
    *("NIIHeaderSize", "A75DataTypeName", "A75DBName", "A75Extends", "A75SessionError"),
    *("A75Regular", "DimInfo", "Dim", "Param1", "Param2", "Param3", "Intent", "DataType"),
    *("BitDepth", "FirstSliceID", "VoxelSize", "Orientation", "NIIByteOffset", "ScaleSlope"),
    *("ScaleOffset", "LastSliceID", "SliceType", "Unit", "MaxIntensity", "MinIntensity"),
    *("SliceTime", "TimeOffset", "A75GlobalMax", "A75GlobalMin", "Description", "AuxFile"),
    *("QForm", "SForm", "Quatern", "QuaternOffset", "Affine", "Name", "NIIFormat"),
}

SCHEMA = Path(__file__).parents[3] / "shared/schemas/nifti-zarr-schema-1.0.rc1.json"


def validate(found):
    """Check against JSON and, if it is available, the schema of NIfTI-Zarr."""
    json.dumps(found, allow_nan=False)
    if SCHEMA.exists():
        jsonschema.Draft6Validator(json.loads(SCHEMA.read_text())).validate(found)


def raw_header(path):
    with ImageOpener(path) as file:
        start = file.read()
    return start[: nifti.stored_length(start)]


@pytest.mark.parametrize("name", IMAGES)
def test_json_form_has_every_field_of_the_specification(mri, name):
    found = nifti.header_json(raw_header(mri / name))
    validate(found)
    missing = TABLE_4_1 - found.keys()
    # A CIFTI matrix has six dimensions and an intent that the schema does not know.
    assert missing == ({"Dim", "Intent", "VoxelSize"} if "dconn" in name else set())


def test_json_form_has_the_values_of_the_header(mri):
    image = nibabel.load(mri / "functional.nii")
    found = nifti.header_json(raw_header(mri / "functional.nii"))
    header = image.header
    assert found["NIIHeaderSize"] == 348
    assert found["NIIFormat"] == "n+1"
    assert found["Dim"] == list(image.shape)
    assert found["VoxelSize"] == [float(zoom) for zoom in header.get_zooms()]
    assert found["DataType"] == "int16"
    assert found["BitDepth"] == 16
    assert found["Unit"] == {"L": "mm", "T": "s"}
    assert found["ScaleSlope"] == image.dataobj.slope != 1
    assert found["ScaleOffset"] == image.dataobj.inter
    assert found["NIIByteOffset"] == image.dataobj.offset
    assert found["Description"] == "spm - 3D normalized"
    np.testing.assert_array_equal(found["Affine"], header.get_sform()[:3])
    quaternion = [float(header[f"quatern_{x}"]) for x in "bcd"]
    assert list(found["Quatern"].values()) == quaternion
    assert (
        found["SForm"]
        == {0: "", 1: "scanner_anat", 2: "aligned_anat", 4: "mni_152"}[int(header["sform_code"])]
    )
    letters = nibabel.aff2axcodes(image.affine)
    assert found["Orientation"] == dict(zip("xyz", map(str.lower, letters), strict=True))


def header(**values):
    made = nibabel.Nifti1Header()
    made.set_data_shape((4, 5, 6))
    for name, value in values.items():
        made[name] = value
    return made.binaryblock


def test_values_that_are_not_finite_are_left_out():
    made = header(
        scl_slope=np.nan,
        scl_inter=np.inf,
        cal_max=np.inf,
        cal_min=-np.inf,
        slice_duration=np.nan,
        toffset=np.nan,
        quatern_b=np.nan,
        qoffset_x=np.inf,
        srow_x=[np.nan, 0, 0, 0],
        sform_code=1,
        intent_code=3,
        intent_p1=np.nan,
    )
    found = nifti.header_json(made)
    validate(found)
    assert TABLE_4_1 - found.keys() == {
        *("ScaleSlope", "ScaleOffset", "MaxIntensity", "MinIntensity", "SliceTime"),
        *("TimeOffset", "Quatern", "QuaternOffset", "Affine", "Orientation"),
    }
    assert found["Param1"] is None


def test_codes_without_a_name_are_left_out_or_empty():
    made = header(intent_code=999, qform_code=9, slice_code=7, datatype=3, xyzt_units=7 + 48)
    found = nifti.header_json(made)
    validate(found)
    assert TABLE_4_1 - found.keys() == {"Intent", "QForm", "SliceType", "DataType"}
    assert found["Unit"] == {"L": "", "T": ""}


def test_intent_has_the_number_of_parameters_of_table_4_4():
    found = nifti.header_json(header(intent_code=4, intent_p1=2, intent_p2=3, intent_p3=4))
    assert (found["Intent"], found["Param1"], found["Param2"]) == ("ftest", 2, 3)
    assert found["Param3"] is None


def test_codes_have_the_names_of_the_schema():
    found = nifti.header_json(
        header(intent_code=2006, qform_code=4, sform_code=5, slice_code=6, dim_info=0b111001)
    )
    validate(found)
    assert found["Intent"] == "fsl_fnirt_displacement_field"
    assert (found["QForm"], found["SForm"]) == ("mni_152", "template_other")
    assert found["SliceType"] == "alt2-"
    assert found["DimInfo"] == {"Freq": 1, "Phase": 2, "Slice": 3}


def test_text_is_latin_1_up_to_the_first_null():
    found = nifti.header_json(header(descrip="Größe\0rest".encode("latin-1"), aux_file=b"a" * 24))
    assert found["Description"] == "Größe"
    assert found["AuxFile"] == "a" * 24


def test_voxel_sizes_are_absolute():
    found = nifti.header_json(header(pixdim=[-1, -2, -3, 4, 0, 0, 0, 0]))
    assert found["VoxelSize"] == [2, 3, 4]


@given(st.binary(min_size=344, max_size=344), st.sampled_from(["little", "big"]))
def test_any_nifti_1_header_gives_valid_json(rest, order):
    validate(nifti.header_json((348).to_bytes(4, order) + rest))


@given(st.binary(min_size=536, max_size=536), st.sampled_from(["little", "big"]))
def test_any_nifti_2_header_gives_valid_json(rest, order):
    validate(nifti.header_json((540).to_bytes(4, order) + rest))


@pytest.mark.parametrize("raw", [b"", b"hello", (348).to_bytes(4, "little") + bytes(100)])
def test_bytes_that_are_not_a_header_are_refused(raw):
    with pytest.raises(ValueError, match="not a NIfTI header"):
        nifti.header_json(raw)


def test_stored_length_includes_the_extensions(mri):
    assert len(raw_header(mri / "anatomical.nii")) == 348
    assert len(raw_header(mri / "example4d.nii.gz")) == 416
    assert len(raw_header(mri / "example_nifti2.nii.gz")) == 608
    pair = header(magic=b"ni1") + b"\1\0\0\0" + bytes(16)
    assert nifti.stored_length(pair) is None
