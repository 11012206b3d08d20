"""DICOM series and files, written by pydicom, and real ones."""

import gzip
import os
import shutil
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import tensorstore
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
)

from neurozarr.errors import SourceError
from neurozarr.regions import whole
from neurozarr.sources import dicom, open_source

from .conversions import convert
from .families import assert_holds

AXIAL = (1, 0, 0, 0, 1, 0)
#: Directions of rows and columns, oblique: a rotation of the identity about two axes.
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)
NICOM = Path(nibabel.__file__).parent / "nicom/tests/data"


@pytest.fixture(scope="module")
def wrapped():
    """What nibabel makes of a DICOM file; to import it is a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom.dicomwrappers import wrapper_from_file
    return wrapper_from_file


def header(plane, syntax=ExplicitVRLittleEndian, **tags):
    """A data set with the voxels of a slice (or of frames), and of any tags."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data.SeriesInstanceUID, data.SeriesNumber, data.SeriesDescription = "1.2.3", 3, "T1"
    data.Rows, data.Columns = plane.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * plane.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(plane.dtype.kind == "i")
    if plane.ndim == 3:
        data.NumberOfFrames = len(plane)
    order = "<" if syntax.is_little_endian else ">"
    data.PixelData = plane.astype(plane.dtype.newbyteorder(order)).tobytes()
    data["PixelData"].VR = "OB" if plane.dtype.itemsize == 1 else "OW"
    for tag, value in tags.items():
        setattr(data, tag, value)
    return data


def save(data, path):
    if data.file_meta.TransferSyntaxUID == RLELossless:
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.compress(RLELossless)
    data.save_as(path, enforce_file_format=True)
    return path


def placed(number, orientation=AXIAL, origin=(-10.0, -20.0, 30.0), distance=2.5):
    """Where a slice lies, by its number along the normal; its thickness is misleading."""
    normal = np.cross(orientation[:3], orientation[3:])
    return {
        "ImagePositionPatient": [float(x) for x in origin + normal * distance * number],
        "ImageOrientationPatient": list(orientation),
        "PixelSpacing": [1.5, 0.5],
        "SliceThickness": 9.0,
    }


def series(directory, voxels, orientation=AXIAL, names=None, **tags):
    """A directory with a file for each slice, in a shuffled order."""
    directory.mkdir(exist_ok=True)
    names = names or np.random.default_rng(1).permutation(len(voxels))
    for number, (plane, name) in enumerate(zip(voxels, names, strict=True)):
        data = header(plane, **{**placed(number, orientation), **tags})
        save(data, directory / f"IM{name}")
    return directory


@pytest.mark.parametrize("name", ["IM99", "a.dcm"])
def test_what_is_no_file_is_refused(tmp_path, name):
    series(tmp_path, np.zeros((3, 4, 5), "i2"))
    (tmp_path / "results").mkdir()
    assert open_source(tmp_path).shape == (3, 4, 5)
    os.mkfifo(tmp_path / name)
    for path in (tmp_path, tmp_path / name)[: 1 + name.endswith("dcm")]:
        with pytest.raises(SourceError, match=f"{name}: a directory, a pipe or a device, not a fi"):
            open_source(path)


def edit(path, **tags):
    """Change the tags of a file."""
    data = pydicom.dcmread(path)
    for tag, value in tags.items():
        setattr(data, tag, value)
    data.save_as(path)


@pytest.fixture(scope="module")
def voxels():
    return np.random.default_rng(0).integers(-2000, 2000, (12, 5, 7)).astype("i2")


@pytest.fixture(scope="module")
def directory(tmp_path_factory, voxels):
    return series(tmp_path_factory.mktemp("dicom") / "series", voxels, OBLIQUE)


@given(data=st.data())
def test_slices_are_in_order_along_their_normal(directory, voxels, data):
    assert_holds(open_source(directory), voxels, data)


def test_the_affine_is_that_of_nibabel(directory, voxels, wrapped):
    source = open_source(directory)
    names = {int(f.name[2:]): f for f in directory.iterdir()}
    order = np.random.default_rng(1).permutation(len(voxels))
    first, second = (wrapped(names[order[i]]) for i in (0, 1))
    lps = np.diag([-1, -1, 1, 1])
    # nibabel's affines are LPS+, and take rows first.
    expected = (lps @ first.affine)[:, [1, 0, 2, 3]]
    expected[:3, 2] = (lps @ second.affine - lps @ first.affine)[:3, 3]
    np.testing.assert_allclose(source.affine, expected, atol=1e-9)
    assert np.linalg.det(source.affine) > 0
    np.testing.assert_allclose(source.voxel_size, (2.5, 1.5, 0.5))
    assert source.space_unit == "millimeter"
    assert source.file_native_chunk_shape == (1, 5, 7)
    assert not source.in_order


def test_an_axial_scan_grows_to_the_left_the_back_and_the_head(tmp_path, voxels):
    source = open_source(series(tmp_path / "a", voxels))
    assert nibabel.aff2axcodes(source.affine) == ("L", "P", "S")
    np.testing.assert_allclose(source.affine[:3, 3], (10, 20, 30))


def test_slices_at_a_tilt_have_a_sheared_affine(tmp_path, voxels):
    series(tmp_path / "a", voxels[:4], names=range(4))
    for number in range(4):
        place = [-10.0, -20 + number * 0.5, 30 + number * 2.0]
        edit(tmp_path / f"a/IM{number}", ImagePositionPatient=place)
    source = open_source(tmp_path / "a")
    np.testing.assert_allclose(source.affine[:3, 2], (0, -0.5, 2))
    np.testing.assert_allclose(source.voxel_size[0], np.hypot(0.5, 2))


SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name.split(",")[0])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_every_depth_and_syntax_is_read(tmp_path, voxels, syntax, dtype):
    if syntax == RLELossless:  # pydicom writes no more than 16 bits of them.
        dtype = dtype.replace("4", "2")
    values = voxels[:3, :4, :6].astype(dtype)
    assert_holds(open_source(series(tmp_path / "a", values, syntax=syntax)), values)


def test_bits_that_are_not_stored_do_not_count(tmp_path):
    values = np.array([[[-2048, 2047], [0, -1]]], "i2")
    series(tmp_path / "a", values & 0x0FFF, BitsStored=12, HighBit=11, PixelRepresentation=1)
    assert_holds(open_source(tmp_path / "a"), values)


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "JPGExtended.dcm",
        "rtdose.dcm",
        "rtdose_rle.dcm",
        "rtdose_expb.dcm",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_real_files_hold_what_pydicom_reads(name):
    path = get_testdata_file(name)
    data = pydicom.dcmread(path)
    expected = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    source = open_source(path)
    assert_holds(source, expected)
    assert source.inter == data.get("RescaleIntercept", 0)
    assert source.voxel_size[1:] == tuple(data.PixelSpacing)


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_rle_16bit_2frame.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "examples_ybr_color.dcm",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_colours_become_channels(name):
    path = get_testdata_file(name)
    data = pydicom.dcmread(path)
    expected = data.pixel_array.reshape(-1, data.Rows, data.Columns, 3).transpose(0, 3, 1, 2)
    source = open_source(path)
    if name == "examples_ybr_color.dcm":
        assert (source.axes, source.time_unit) == ("tczyx", "millisecond")
        assert source.time_step == data.FrameTime
        assert_holds(source, expected[:, :, None])
    else:
        assert_holds(source, expected.transpose(1, 0, 2, 3))


@pytest.mark.parametrize("axes", ["tyx", "zyx"])
def test_frames_without_positions_are_what_axes_says(tmp_path, voxels, axes):
    path = save(header(voxels, PixelSpacing=[1.5, 0.5]), tmp_path / "a.dcm")
    source = open_source(path, axes=axes)
    assert_holds(source, voxels if axes == "zyx" else voxels[:, None])
    assert source.voxel_size == (1.0, 1.5, 0.5)


def enhanced(voxels, order):
    """An enhanced multi-frame file, whose frames are in an order of their own."""
    data = header(voxels[order], NumberOfFrames=len(voxels), SOPClassUID=EnhancedMRImageStorage)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(OBLIQUE)
    measures.PixelSpacing, measures.SliceThickness = [1.5, 0.5], 9.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    frames = []
    for number in order:
        frame, place, content, scale = (Dataset() for _ in range(4))
        place.ImagePositionPatient = placed(number // 3, OBLIQUE)["ImagePositionPatient"]
        content.TemporalPositionIndex = int(number % 3) + 1
        scale.RescaleSlope, scale.RescaleIntercept = 2.0, -3.0
        frame.PlanePositionSequence, frame.FrameContentSequence = [place], [content]
        frame.PixelValueTransformationSequence = [scale]
        frames.append(frame)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], frames
    return data


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=["plain", "RLE"])
def test_frames_of_enhanced_files_are_sorted(tmp_path, voxels, syntax):
    data = enhanced(voxels, np.random.default_rng(2).permutation(12))
    data.file_meta.TransferSyntaxUID = syntax
    source = open_source(save(data, tmp_path / "a.dcm"))
    assert source.axes == "tzyx"
    assert (source.slope, source.inter) == (2, -3)
    np.testing.assert_allclose(source.voxel_size, (2.5, 1.5, 0.5))
    assert_holds(source, voxels.reshape(4, 3, 5, 7).transpose(1, 0, 2, 3))


def test_a_real_enhanced_file_is_where_nibabel_says(tmp_path, wrapped):
    path = tmp_path / "philips.dcm"
    path.write_bytes(gzip.decompress((NICOM / "philips_mprage.dcm.gz").read_bytes()))
    source = open_source(path)
    wrapper = wrapped(path)
    expected = (np.diag([-1, -1, 1, 1]) @ wrapper.affine)[:, [1, 0, 2, 3]]
    # nibabel takes the first frame that is in the file, at whichever end it is.
    if np.dot(expected[:3, 2], source.affine[:3, 2]) < 0:
        expected[:3, 3] += expected[:3, 2] * (source.shape[0] - 1)
        expected[:3, 2] *= -1
    np.testing.assert_allclose(source.affine, expected, atol=2e-3)
    part = source.read((slice(80, 82), slice(0, 256), slice(0, 256)))
    np.testing.assert_array_equal(part, pydicom.dcmread(path).pixel_array[80:82])


@pytest.mark.filterwarnings("ignore")
def test_real_series_are_read_or_refused(wrapped):
    directory = Path(get_testdata_file("DICOMDIR")).parent
    source = open_source(directory / "98892001/CT5N")
    slices = [wrapped(path) for path in (directory / "98892001/CT5N").iterdir()]
    slices.sort(key=lambda one: one.image_position[2])
    assert_holds(source, np.stack([one.get_unscaled_data() for one in slices]))
    for number in (0, 4):
        found = source.affine @ (0, 0, number, 1)
        np.testing.assert_allclose(found[:3] * (-1, -1, 1), slices[number].image_position)
    for name, message in (
        ("77654033/CT2", "slices are 1.25 mm apart, but 202.5 mm between 17106 at"),
        ("98892001/CT2N", "6924: the ImageOrientationPatient of frame 0 is not that of 6293"),
        ("98892003/MR1", "several series: 1 FAST LOCALIZER"),
    ):
        with pytest.raises(SourceError, match=message.replace(".", r"\.")):
            open_source(directory / name)


def timed(directory, voxels, tag, values, **tags):
    """A series of three volumes, told apart by a tag, in a shuffled order."""
    directory.mkdir()
    order = np.random.default_rng(3).permutation(len(voxels))
    for number, plane in enumerate(voxels):
        told = {tag: values[number % 3], **tags}
        save(header(plane, **placed(number // 3), **told), directory / f"IM{order[number]}")
    return directory


@pytest.mark.parametrize(
    ("tag", "values", "step", "unit"),
    [
        ("TemporalPositionIdentifier", [1, 2, 10], 1.0, ""),
        ("EchoNumbers", [1, 2, 3], 1.0, ""),
        ("EchoTime", [4.9, 9.8, 14.7], 1.0, ""),
        ("TriggerTime", [0, 50, 100], 50.0, "millisecond"),
        ("AcquisitionTime", ["095958", "095959.5", "100001"], 1.5, "second"),
        (
            "AcquisitionDateTime",
            ["20260101235959", "20260102000001", "20260102000003"],
            2,
            "second",
        ),
    ],
)
def test_what_lies_at_the_same_position_is_ordered_by_one_tag(
    tmp_path, voxels, tag, values, step, unit
):
    source = open_source(timed(tmp_path / "a", voxels, tag, values))
    assert source.axes == "tzyx"
    assert (source.time_step, source.time_unit) == (step, unit)
    assert_holds(source, voxels.reshape(4, 3, 5, 7).transpose(1, 0, 2, 3))


def test_times_past_midnight_are_in_order_by_their_date(tmp_path, voxels):
    timed(tmp_path / "a", voxels, "AcquisitionTime", ["235959", "000001", "000003"])
    for path in (tmp_path / "a").iterdir():
        late = pydicom.dcmread(path).AcquisitionTime == "235959"
        edit(path, AcquisitionDate="20251231" if late else "20260101")
    source = open_source(tmp_path / "a")
    assert source.time_step == 2
    assert_holds(source, voxels.reshape(4, 3, 5, 7).transpose(1, 0, 2, 3))


def test_what_no_tag_or_more_than_one_orders_is_refused(tmp_path, voxels):
    timed(tmp_path / "a", voxels, "InstanceNumber", [1, 2, 3])
    with pytest.raises(SourceError, match=r"3 slices lie at each position, and no tag .*: nothing"):
        open_source(tmp_path / "a")
    timed(tmp_path / "b", voxels, "EchoTime", [1, 1, 2])
    for number, path in enumerate((tmp_path / "b").iterdir()):
        edit(path, AcquisitionTime=f"1000{number:02}")
    with pytest.raises(SourceError, match=r"what differs: EchoTime \(2\), AcquisitionTime \(3\)"):
        open_source(tmp_path / "b")
    kinds = [["ORIGINAL", "PRIMARY", kind] for kind in "MPR"]
    timed(tmp_path / "c", voxels, "ImageType", kinds, AcquisitionTime="100000")
    with pytest.raises(SourceError, match=r"what differs: ImageType \(3\)"):
        open_source(tmp_path / "c")
    (tmp_path / "a/IM3").unlink()
    with pytest.raises(SourceError, match="at 4 positions lie 2 to 3 slices, but as many must"):
        open_source(tmp_path / "a")


def test_one_of_several_series_must_be_named(tmp_path, voxels):
    series(tmp_path / "a", voxels[:4])
    other = {"SeriesInstanceUID": "1.2.9", "SeriesNumber": 7, "SeriesDescription": "T2"}
    series(tmp_path / "a", voxels[4:], names=range(50, 58), **other)
    message = r"several series: 3 T1 1\.2\.3 \(4 files\); 7 T2 1\.2\.9 \(8 files\)\. Name one"
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / "a")
    for name in ("7", "T2", "1.2.9"):
        source = open_source(tmp_path / "a", dataset=name)
        assert_holds(source, voxels[4:])
        assert len(source.files) == 8
    with pytest.raises(SourceError, match="dataset is 'T3', but it has the series: 3 T1"):
        open_source(tmp_path / "a", dataset="T3")


def test_other_files_are_ignored(tmp_path, voxels):
    series(tmp_path / "a", voxels[:4])
    (tmp_path / "a/notes.txt").write_text("hello")
    (tmp_path / "a/.hidden.dcm").write_bytes(b"x")
    shutil.copy(get_testdata_file("DICOMDIR"), tmp_path / "a")
    shutil.copy(get_testdata_file("test-SR.dcm"), tmp_path / "a")
    source = open_source(tmp_path / "a")
    assert len(source.files) == 4
    assert_holds(source, voxels[:4])


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"Columns": 5, "Rows": 7}, "its Rows is 7, but 5 in IM0"),
        ({"PixelRepresentation": 0}, "its PixelRepresentation is 0, but 1 in IM0"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "its PhotometricInterpretation is"),
        (
            {"ImageOrientationPatient": list(OBLIQUE)},
            "the ImageOrientationPatient of frame 0 is not",
        ),
        ({"PixelSpacing": [1.5, 0.6]}, "the PixelSpacing of frame 0 is not"),
        ({"ImagePositionPatient": None}, "the ImagePositionPatient of frame 0 is not"),
    ],
)
def test_a_slice_that_is_not_like_the_others_is_named(tmp_path, voxels, tags, message):
    series(tmp_path / "a", voxels[:3], names=range(3))
    edit(tmp_path / "a/IM2", **tags)
    with pytest.raises(SourceError, match=f"IM2: {message}"):
        open_source(tmp_path / "a")


def test_gaps_are_refused_with_their_positions(tmp_path, voxels):
    series(tmp_path / "a", voxels, names=range(12))
    (tmp_path / "a/IM5").unlink()
    message = r"1 gaps: slices are 2\.5 mm apart, but 5 mm between IM4 at .* and IM6 at \(-10, -20"
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / "a")


def test_a_slice_alone_is_as_large_as_it_is_thick(tmp_path, voxels, caplog):
    path = save(header(voxels[0], **placed(0, OBLIQUE)), tmp_path / "a.dcm")
    source = open_source(path)
    np.testing.assert_allclose(source.voxel_size, (9, 1.5, 0.5))
    np.testing.assert_allclose(np.linalg.norm(source.affine[:3, :3], axis=0), (0.5, 1.5, 9))
    assert not caplog.text
    edit(path, SliceThickness=None)
    assert open_source(path).voxel_size[0] == 1
    assert "nor SliceThickness, is known: it is taken as 1 mm" in caplog.text


def test_positions_are_even_up_to_a_hundredth(tmp_path, voxels):
    series(tmp_path / "a", voxels[:4], names=range(4))
    edit(tmp_path / "a/IM1", ImagePositionPatient=[-10, -20, 32.51])
    assert_holds(open_source(tmp_path / "a"), voxels[:4])
    edit(tmp_path / "a/IM1", ImagePositionPatient=[-10, -20, 32.54])
    with pytest.raises(SourceError, match="gaps"):
        open_source(tmp_path / "a")


def test_slices_side_by_side_are_refused(tmp_path, voxels):
    series(tmp_path / "a", voxels[:2], names=range(2))
    edit(tmp_path / "a/IM1", ImagePositionPatient=[-5, -20, 30], TemporalPositionIdentifier=2)
    edit(tmp_path / "a/IM0", TemporalPositionIdentifier=1)
    with pytest.raises(SourceError, match="slices lie side by side"):
        open_source(tmp_path / "a")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR, of 1 samples; only MONO"),
        ({"PhotometricInterpretation": "RGB"}, "RGB, of 1 samples"),
        ({"BitsAllocated": 12}, "BitsAllocated is 12"),
        ({"ImageType": ["ORIGINAL", "MOSAIC"]}, "a Siemens mosaic"),
        ({"RescaleSlope": 0}, "its RescaleSlope is 0"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "is not of two directions at a right"),
        ({"NumberOfFrames": 2}, "its voxels have 70 bytes, but its header asks for 140"),
        ({"Rows": None}, "it has no Rows"),
        ({"PixelSpacing": "a"}, "damaged"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_images_that_cannot_be_converted_are_refused(tmp_path, voxels, tags, message):
    data = header(voxels[0], **placed(0))
    with pydicom.config.disable_value_validation():
        for tag, value in tags.items():
            if tag == "PixelSpacing":
                data.add_new(tag, "LO", value)
            else:
                setattr(data, tag, value)
        path = save(data, tmp_path / "a.dcm")
    with pytest.raises(SourceError, match=rf"a\.dcm: .*{message}"):
        open_source(path)


def test_scales_that_differ_are_refused(tmp_path, voxels):
    series(tmp_path / "a", voxels[:2], names=range(2), RescaleSlope=2, RescaleIntercept=1)
    source = open_source(tmp_path / "a")
    assert (source.slope, source.inter) == (2, 1)
    assert_holds(source, voxels[:2])
    edit(tmp_path / "a/IM1", RescaleSlope=3)
    with pytest.raises(SourceError, match=r"differ between slices, from \(2\.0, 1\.0\) to \(3\.0"):
        open_source(tmp_path / "a")


@pytest.mark.parametrize("name", ["0.dcm", "csa_slice_norm.dcm"])
def test_real_mosaics_are_refused(name):
    with pytest.raises(SourceError, match=rf"{name}: a Siemens mosaic.* by dcm2niix"):
        open_source(NICOM / name)


def test_what_is_no_image_is_an_error(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"hello")
    with pytest.raises(SourceError, match=r"a\.dcm: not a DICOM file: DICM is not at byte 128"):
        open_source(tmp_path / "a.dcm")
    with pytest.raises(SourceError, match=r"b\.dcm: there is no such file"):
        open_source(tmp_path / "b.dcm")
    with pytest.raises(SourceError, match="no DICOM image is in it"):
        open_source(get_testdata_file("test-SR.dcm"))
    with pytest.raises(SourceError, match="deflated, which is not supported"):
        open_source(get_testdata_file("image_dfl.dcm"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no TIFF, PNG or JPEG 2000 slices, DICOM series"):
        open_source(tmp_path / "empty")


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name.split(",")[0])
def test_a_slice_that_is_cut_short_anywhere_is_an_error_at_once(tmp_path, voxels, syntax):
    path = series(tmp_path / "a", voxels[:3], syntax=syntax) / "IM1"
    size = path.stat().st_size
    for length in (size - 1, size - 60, *range(size - 71, 131, -3)):
        os.truncate(path, length)
        with pytest.raises(SourceError, match=r"IM1: .*(cut short|damaged)"):
            open_source(tmp_path / "a")


def test_a_slice_truncated_after_opening_fails_when_read(tmp_path, voxels):
    source = open_source(series(tmp_path / "a", voxels[:3], names=range(3)))
    os.truncate(tmp_path / "a/IM1", 500)
    with pytest.raises(SourceError, match=r"IM1: 500 bytes, but .* when it was opened"):
        source.read(whole(source.shape))


def test_a_damaged_slice_is_named_when_it_is_read(tmp_path):
    path = tmp_path / "a.dcm"
    content = bytearray(Path(get_testdata_file("MR_small_jp2klossless.dcm")).read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")
    content[start : start + 60] = bytes(60)
    path.write_bytes(content)
    source = open_source(path)
    with pytest.raises(SourceError, match=r"a\.dcm: the voxels cannot be read"):
        source.read(whole(source.shape))


def test_only_the_slices_of_a_region_are_decoded(directory, voxels, monkeypatch):
    source = open_source(directory)
    read = []
    decode = dicom._File.read
    monkeypatch.setattr(
        dicom._File, "read", lambda file, index: (read.append(file.path), decode(file, index))[1]
    )
    region = (slice(3, 6), slice(0, 2), slice(1, 3))
    np.testing.assert_array_equal(source.read(region), voxels[region])
    assert len(read) == len(set(read)) == 3
    assert set(source.files_of(region)) == set(read)


def test_threads_read_the_same_voxels(directory, voxels):
    source = open_source(directory)

    def read(number):
        return source.read((slice(number, number + 2), slice(0, 5), slice(0, 7)))

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(read, [*range(11)] * 10)):
            np.testing.assert_array_equal(found, voxels[number % 11 : number % 11 + 2])


def test_without_its_library_the_extra_is_named(directory, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(SourceError, match=r"pydicom is needed: pip install 'neurozarr\[dicom\]'"):
        open_source(directory)


def test_without_a_decoder_the_extra_is_named(monkeypatch):
    decoder = pydicom.pixels.get_decoder(pydicom.uid.JPEG2000Lossless)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(SourceError, match=r"JPEG 2000.*pip install 'neurozarr\[dicom\]'"):
        open_source(get_testdata_file("MR_small_jp2klossless.dcm"))


def test_axes_that_contradict_the_files_are_an_error(directory):
    assert open_source(directory, axes="zyx").axes == "zyx"
    with pytest.raises(SourceError, match="axes is 'tyx', but its files say 'zyx'"):
        open_source(directory, axes="tyx")


def test_a_series_is_converted_with_its_scale_and_its_place(tmp_path, voxels):
    series(tmp_path / "scan", voxels, OBLIQUE, RescaleSlope=2, RescaleIntercept=-5)
    store, sample = convert(tmp_path / "scan", tmp_path / "out", {"zarr": {"chunk": 4}})
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store / "0")}}
    np.testing.assert_array_equal(tensorstore.open(spec).result().read().result(), voxels)
    stored = nibabel.Nifti1Header(sample.header[:348])
    assert stored.get_slope_inter() == (2, -5)
    np.testing.assert_allclose(stored.get_sform(), sample.source.affine, atol=1e-5)
    assert stored.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize(
    ("tag", "dtype"), [("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")]
)
def test_voxels_that_are_floats_are_read(tmp_path, tag, dtype):
    values = np.random.default_rng(0).normal(size=(5, 6)).astype(dtype)
    data = header(values, **placed(0))
    del data.PixelData, data.PixelRepresentation, data.BitsStored, data.HighBit
    setattr(data, tag, values.tobytes())
    assert_holds(open_source(save(data, tmp_path / "a.dcm")), values[None])


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 4, 6)])
def test_bits_become_bytes(tmp_path, shape):
    values = np.random.default_rng(0).integers(0, 2, shape).astype("u1")
    assert_holds(open_source(bits(values, tmp_path / "a.dcm")), values)


def test_frames_of_bits_that_share_a_byte_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"a\.dcm: voxels of 1 bit, in frames of 5 by 7"):
        open_source(bits(np.ones((3, 5, 7), "u1"), tmp_path / "a.dcm"))


def bits(values, path):
    """A file whose voxels have a bit each."""
    data = header(values, BitsAllocated=1, BitsStored=1, HighBit=0, PixelSpacing=[1.5, 0.5])
    packed = np.packbits(values.ravel(), bitorder="little").tobytes()
    data.PixelData = packed + bytes(len(packed) % 2)
    return save(data, path)
