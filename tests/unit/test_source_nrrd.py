"""NRRD and MetaImage: files of SimpleITK and pynrrd, and headers that these do not write."""

import bz2
import contextlib
import gzip
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import nibabel
import nrrd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.regions import whole
from neurozarr.sources import open_source

from .conversions import convert, exported
from .families import assert_holds

with warnings.catch_warnings(action="ignore"):
    import SimpleITK

VOXELS = np.random.default_rng(0).integers(0, 100, (5, 6, 7))
TURNED = nibabel.eulerangles.euler2mat(0.3, 0.2, 0.1)
NAMES = ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"]


def write(path, voxels, *, channels=False, compressed=False, origin=(-10, 20, 5)):
    """Write an image by SimpleITK; its affine to RAS+ coordinates."""
    image = SimpleITK.GetImageFromArray(voxels, isVector=channels)
    spacing = (1.5, 2.0, 3.0)[: image.GetDimension()]
    image.SetSpacing(spacing)
    image.SetOrigin(origin[: image.GetDimension()])
    if image.GetDimension() == 3:
        image.SetDirection(TURNED.ravel())
    SimpleITK.WriteImage(image, str(path), compressed)
    return np.diag([-1, -1, 1, 1]) @ nibabel.affines.from_matvec(TURNED * spacing, origin)


def assert_itk_reads(path):
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    np.testing.assert_array_equal(found, VOXELS)


def place(source):
    return source.voxel_size, source.space_unit, source.position


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compressed", [False, True])
@given(data=st.data())
@settings(max_examples=5)
def test_what_itk_writes_is_read(tmp_path_factory, name, compressed, data):
    path = tmp_path_factory.getbasetemp() / name
    dtype = data.draw(
        st.sampled_from([f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)] + ["f4", "f8"])
    )
    channels = data.draw(st.booleans())
    voxels = VOXELS[..., None] * np.arange(1, 4) if channels else VOXELS
    affine = write(path, (voxels % 100).astype(dtype), channels=channels, compressed=compressed)
    source = open_source(path)
    expected = (np.moveaxis(voxels, -1, 0) if channels else voxels) % 100
    assert source.axes == ("czyx" if channels else "zyx")
    assert_holds(source, expected.astype(dtype), data)
    assert_holds(source, expected.astype(dtype))
    np.testing.assert_allclose(source.affine, affine, atol=1e-9)
    np.testing.assert_allclose(source.voxel_size, (3, 2, 1.5))
    assert (source.space_unit, source.position) == ("millimeter", ())
    assert source.in_order == compressed
    assert {file.name for file in source.files} >= {name}
    assert len(source.files) == (2 if name in ("a.nhdr", "a.mhd") else 1)


def test_an_export_is_what_itk_reads(tmp_path):
    affine = write(tmp_path / "a.nrrd", VOXELS.astype("i2"), compressed=True)
    store, _ = convert(tmp_path / "a.nrrd", tmp_path, {"zarr": {"chunk": 4}})
    image = nibabel.Nifti1Image.from_bytes(exported(store))
    np.testing.assert_array_equal(image.dataobj, VOXELS.T)
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_threads_read_the_same_voxels(tmp_path, name):
    write(tmp_path / name, VOXELS.astype("i2"))
    source = open_source(tmp_path / name)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(
            source.read, [(slice(z, z + 1), slice(0, 6), slice(0, 7)) for z in range(5)]
        )
    np.testing.assert_array_equal(np.concatenate(list(found)), VOXELS)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=15)
def test_a_changed_bit_of_a_stream_never_changes_voxels(tmp_path_factory, name, place, bit):
    path = tmp_path_factory.getbasetemp() / name
    write(path, VOXELS.astype("i2"), compressed=True)
    content = bytearray(path.read_bytes())
    _, _, stream = content.partition(b"\n\n" if name == "a.nrrd" else b"LOCAL\n")
    stream[int(place * len(stream))] ^= 1 << bit
    path.write_bytes(content[: -len(stream)] + stream)
    with contextlib.suppress(SourceError):
        assert_holds(open_source(path), VOXELS.astype("i2"))


# NRRD

HEAD = "NRRD0005\ntype: short\ndimension: 3\nsizes: 7 6 5\nendian: little\n"


def nrrd_file(path, fields="encoding: raw\n", content=None, head=HEAD):
    """Write a file with more fields; its path."""
    content = VOXELS.astype("<i2").tobytes() if content is None else content
    path.write_bytes((head + fields + "\n").encode() + content)
    return path


RAW = VOXELS.astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ("encoding: gzip\n", gzip.compress(RAW)),
        ("encoding: gz\n", gzip.compress(RAW[:100]) + gzip.compress(RAW[100:])),
        ("encoding: bzip2\n", bz2.compress(RAW)),
        ("encoding: gzip\nbyte skip: 3\n", gzip.compress(b"abc" + RAW)),
        ("encoding: gzip\nbyteskip: -1\n", gzip.compress(b"abcde" + RAW)),
        ("encoding: gzip\nline skip: 2\n", b"a\nb\n" + gzip.compress(RAW)),
        ("encoding: raw\nbyte skip: -1\n", b"some header" + RAW),
        ("encoding: raw\nlineskip: 1\nbyte skip: 2\n", b"a line\n.." + RAW + b"more"),
        ("encoding: ascii\n", b"\n".join(b"%d" % number for number in VOXELS.ravel())),
        ("encoding: TXT\nbyte skip: 2\n", b"? " + " ".join(map(str, VOXELS.ravel())).encode()),
    ],
)
def test_every_encoding_is_read(tmp_path, fields, content):
    source = open_source(nrrd_file(tmp_path / "a.nrrd", fields, content))
    assert_holds(source, VOXELS.astype("i2"))
    if "bzip2" in fields:  # Which ITK lacks.
        np.testing.assert_array_equal(nrrd.read(str(tmp_path / "a.nrrd"))[0].T, VOXELS)
    else:
        assert_itk_reads(tmp_path / "a.nrrd")


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "text"])
@pytest.mark.parametrize("count", [1, 5, 30, 10])
def test_voxels_in_several_files_are_read(tmp_path, encoding, count):
    """Slices, slabs or rows, of a list or of a pattern."""
    shape = {1: (5, 6, 7), 5: (5, 6, 7), 30: (5, 6, 7), 10: (10, 3, 7)}[count]
    voxels = VOXELS.reshape(shape).astype(">i2")
    codecs = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}
    names = [f"p{number:03}.x" for number in range(3, 2 * count + 3, 2)]
    for name, part in zip(names, voxels.reshape(count, -1), strict=True):
        text = " ".join(map(str, part)).encode()
        (tmp_path / name).write_bytes(
            codecs.get(encoding, lambda _, text=text: text)(part.tobytes())
        )
    sizes = " ".join(map(str, shape[::-1]))
    for files in ("LIST 3\n" + "\n".join(names), f"p%03d.x 3 {2 * count + 1} 2"):
        path = tmp_path / "a.nhdr"
        path.write_text(
            f"NRRD0004\ntype: int16\ndimension: 3\nsizes: {sizes}\nendian: big\n"
            f"encoding: {encoding}\ndata file: {files}\n"
        )
        source = open_source(path)
        assert_holds(source, voxels)
        part = (slice(1, 4), slice(1, 2), slice(2, 6))
        np.testing.assert_array_equal(source.read(part), voxels[part])
        assert [file.name for file in source.files] == ["a.nhdr", *names]
        assert source.in_order == (encoding in ("gzip", "bzip2") and count == 1)


@pytest.mark.parametrize(
    ("fields", "axes", "expected"),
    [
        ("spacings: 1 2 3\n", "zyx", ((3, 2, 1), "", ())),
        ('spacings: 1 2 3\nunits: "um" "um" "mm"\n', "zyx", ((3000, 2, 1), "micrometer", ())),
        ("Spacings: 1 2 3\nUnits: mm mm mm\nUNITS:=cm\n", "zyx", ((3, 2, 1), "millimeter", ())),
        ("spacings: 1 2 nan\n", "cyx", ((1, 2, 1), "", ())),
        (
            "spacings: 1 2 4\naxis mins: 5 6 7\ncenters: cell node cell\n",
            "zyx",
            ((4, 2, 1), "", (9, 6, 5.5)),
        ),
        ("kinds: RGB-color domain domain\nspacings: nan 2 3\n", "yxc", ((1, 3, 2), "", ())),
        (
            'space dimension: 2\nspace directions: (1,0) (0,2) none\nspace units: "um" "um"\n'
            'kinds: space space time\nspacings: nan nan 2.5\nunits: "" "" "ms"\n'
            "space origin: (3,4)\n",
            "tyx",
            ((1, 2, 1), "micrometer", (0, 4, 3)),
        ),
        (
            "space: 3D-left-handed\nspace directions: (1,0,0) (0,2,0) (0,0,3)\n"
            "space origin: (7,8,9)\n",
            "zyx",
            ((3, 2, 1), "", (9, 8, 7)),
        ),
        (
            "space: scanner-xyz\nspace directions: (0,1,0) (2,0,0) (0,0,3)\n"
            "space origin: (7,8,9)\n",
            "zyx",
            ((3, 2, 1), "", ()),
        ),
    ],
)  # fmt: skip
def test_axes_and_sizes_are_those_of_the_header(tmp_path, fields, axes, expected):
    source = open_source(nrrd_file(tmp_path / "a.nrrd", f"encoding: raw\n{fields}"))
    assert source.file_axes == axes
    assert place(source) == expected
    assert source.affine is None
    if "time" in fields:
        assert (source.time_step, source.time_unit) == (2.5, "millisecond")


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("LAS", (-1, 1, 1)),
        ("left-posterior-superior", (-1, -1, 1)),
    ],
)
def test_anatomical_spaces_become_affines(tmp_path, space, signs):
    fields = f"space: {space}\nspace directions: (0,1,0) (2,0,0) (0,0,-3)\nspace origin: (7,8,9)\n"
    path = nrrd_file(tmp_path / "a.nrrd", f"encoding: raw\n{fields}")
    expected = np.diag([*signs, 1]) @ [[0, 2, 0, 7], [1, 0, 0, 8], [0, 0, -3, 9], [0, 0, 0, 1]]
    np.testing.assert_array_equal(open_source(path).affine, expected)
    image = SimpleITK.ReadImage(str(path))
    lps = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    np.testing.assert_allclose(np.diag([-1, -1, 1]) @ lps, expected[:3, :3])
    assert open_source(path).space_unit == "millimeter"


def test_time_is_an_axis_of_its_own(tmp_path):
    head = HEAD.replace("dimension: 3\nsizes: 7 6 5", "dimension: 4\nsizes: 7 3 2 5")
    fields = (
        "encoding: raw\nspace: left-posterior-superior-time\nspace origin: (7,8,9,0)\n"
        "space directions: (1,0,0,0) (0,2,0,0) (0,0,3,0) (0,0,0,0.5)\n"
        'space units: "mm" "mm" "mm" "s"\n'
    )
    source = open_source(nrrd_file(tmp_path / "a.nrrd", fields, head=head))
    assert (source.axes, source.time_step) == ("tzyx", 0.5)
    np.testing.assert_array_equal(source.affine @ [0, 0, 0, 1], [-7, -8, 9, 1])
    assert_holds(source, VOXELS.reshape(5, 2, 3, 7).astype("i2"))


def test_axes_that_nothing_tells_apart_are_asked_for(tmp_path):
    head = HEAD.replace("dimension: 3\nsizes: 7 6 5", "dimension: 4\nsizes: 7 3 2 5")
    path = nrrd_file(tmp_path / "a.nrrd", head=head)
    with pytest.raises(SourceError, match=r"axes of lengths \[5, 2, 3, 7\].*: give axes"):
        open_source(path)
    assert_holds(open_source(path, axes="czyx"), VOXELS.reshape(5, 2, 3, 7).astype("i2"))
    with pytest.raises(SourceError, match="axes is 'zyx', but the array has shape"):
        open_source(path, axes="zyx")


def test_a_segmentation_of_slicer_is_labels(tmp_path):
    fields = (
        "encoding: raw\nSegment0_ID:=a\nSegment0_LabelValue:=3\nSegment0_Name:=liver\n"
        "Segment0_Color:=1 0.5 0\nSegment1_ID:=b\nSegment1_LabelValue:=7\n"
    )
    assert open_source(nrrd_file(tmp_path / "a.seg.nrrd", fields)).labels == {
        "colors": [{"label-value": 3, "rgba": [255, 128, 0, 255]}],
        "properties": [{"label-value": 3, "name": "liver"}],
    }
    layers = f"{fields}kinds: list domain domain\n"
    assert open_source(nrrd_file(tmp_path / "a.seg.nrrd", layers)).labels == {}
    assert open_source(nrrd_file(tmp_path / "a.nrrd")).labels is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("encoding: hex\n", "encoding is hex, which is not supported"),
        ("encoding: raw\ndata file: b.raw\n", r"b\.raw: there is no such file"),
        ("encoding: raw\ndata file: LIST\n", "data file is LIST: there are none"),
        ("encoding: raw\ndata file: b%d.raw 1 1000000000000 1\n", "names no files of 420 voxels"),
        ("encoding: raw\nbyte skip: 1\n", "cut short: .* but its voxels end at byte"),
        ("encoding: raw\nbyte skip: -5\n", "byte skip -5; allowed: 0 or more"),
        ("encoding: raw\nline skip: 1000000000\n", "cut short: line skip is 1000000000"),
        ("encoding: raw\nspace directions: (1,0) (0,1)\n", "space directions has 2 vectors"),
        ("encoding: raw\nkinds: domain\n", "kinds has 1 values for 3 axes"),
        ("encoding: raw\nencoding: raw\n", "Duplicate header field"),
        ("", "its header has no encoding"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, fields, message):
    path = nrrd_file(tmp_path / "a.nrrd", fields)
    with pytest.raises(SourceError, match=message) as error:
        open_source(path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("NRRD0005", "PRRD0005", "it does not start with NRRD"),
        ("sizes: 7 6 5", "sizes: 7 6", r"dimension is 3, but sizes is \[7, 6\]"),
        ("sizes: 7 6 5", "sizes: 7 6 0", r"the array is empty: its shape is \(0, 6, 7\)"),
        ("type: short", "type: block", "type is block, which is not supported"),
        ("endian: little\n", "", "endian is ''; allowed: little or big"),
        ("sizes: 7 6 5", "sizes: 7 6 99999999999", "cut short"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, old, new, message):
    path = nrrd_file(tmp_path / "a.nrrd", head=HEAD.replace(old, new))
    with pytest.raises(SourceError, match=rf"a\.nrrd: .*{message}"):
        open_source(path)


@pytest.mark.parametrize("text", ["1 2 x", "1 2", "40000 " * 210])
def test_texts_without_the_right_numbers_are_refused(tmp_path, text):
    content = text.encode() + b" " * 500
    path = nrrd_file(tmp_path / "a.nrrd", "encoding: text\n", content)
    with pytest.raises(SourceError, match=r"a\.nrrd: the voxels cannot be read"):
        open_source(path).read(whole((5, 6, 7)))


# MetaImage

ZLIB = zlib.compress(RAW)
FIELDS = "NDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\n"


def meta_image(path, fields="", data="LOCAL", content=RAW):
    path.write_bytes(f"{FIELDS}{fields}ElementDataFile = {data}\n".encode() + content)
    return path


@pytest.mark.parametrize(
    ("fields", "data", "content"),
    [
        ("", "LOCAL", RAW),
        ("ElementByteOrderMSB = True\n", "LOCAL", VOXELS.astype(">i2").tobytes()),
        (f"CompressedData = True\nCompressedDataSize = {len(ZLIB)}\n", "LOCAL", ZLIB),
        ("HeaderSize = -1\n", "LOCAL", b"more" + RAW),
        ("BinaryData = False\n", "LOCAL", " ".join(map(str, VOXELS.ravel())).encode() + b"\n"),
        ("BinaryData = True\r\n", "LOCAL", RAW),
    ],
)
def test_data_in_the_header_are_what_itk_reads(tmp_path, fields, data, content):
    path = meta_image(tmp_path / "a.mha", fields, data, content)
    assert_holds(open_source(path), VOXELS.astype("i2"))
    if "-1" not in fields:
        assert_itk_reads(path)


@pytest.mark.parametrize(
    "data", ["LIST\n" + "\n".join(f"s{z}.raw" for z in range(5)), "s%d.raw 0 4 1"]
)
@pytest.mark.parametrize("compressed", [False, True])
def test_slices_in_files_are_what_itk_reads(tmp_path, data, compressed):
    for z, part in enumerate(VOXELS.astype("<i2")):
        content = part.tobytes()
        (tmp_path / f"s{z}.raw").write_bytes(zlib.compress(content) if compressed else content)
    path = meta_image(tmp_path / "a.mhd", f"CompressedData = {compressed}\n", data, b"")
    assert_holds(open_source(path), VOXELS.astype("i2"))
    if not compressed:
        assert_itk_reads(path)


@pytest.mark.parametrize(
    ("fields", "affine", "expected"),
    [
        ("", None, ((1, 1, 1), "", ())),
        ("ElementSpacing = 1 2 3\n", None, ((3, 2, 1), "millimeter", ())),
        ("ElementSize = 1 2 3\nOffset = 7 8 9\n", None, ((3, 2, 1), "millimeter", (9, 8, 7))),
        (
            "ElementSpacing = 1 2 3\nPosition = 7 8 9\nRotation = 0 1 0 1 0 0 0 0 1\n",
            [[0, -2, 0, -7], [-1, 0, 0, -8], [0, 0, 3, 9], [0, 0, 0, 1]],
            ((3, 2, 1), "millimeter", ()),
        ),
        (
            "ElementSpacing = 1 2 3\nOffset = 7 8 9\nAnatomicalOrientation = RAI\n",
            [[-1, 0, 0, -7], [0, -2, 0, -8], [0, 0, 3, 9], [0, 0, 0, 1]],
            ((3, 2, 1), "millimeter", ()),
        ),
        (
            "ElementSpacing = 1 2 3\nOffset = 7 8 9\nAnatomicalOrientation = LPS\n",
            None,
            ((3, 2, 1), "millimeter", (9, 8, 7)),
        ),
        ("ElementSpacing = 1 2 3\nDistanceUnits = um\n", None, ((3, 2, 1), "micrometer", ())),
    ],
)
def test_directions_are_those_of_itk(tmp_path, fields, affine, expected):
    path = meta_image(tmp_path / "a.mha", fields)
    source = open_source(path)
    assert place(source) == expected
    if affine is None:
        assert source.affine is None
    else:
        np.testing.assert_array_equal(source.affine, affine)
        image = SimpleITK.ReadImage(str(path))
        lps = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        np.testing.assert_array_equal(np.diag([-1, -1, 1]) @ lps, source.affine[:3, :3])


def test_the_fourth_axis_is_time(tmp_path):
    fields = "DimSize = 7 3 2 5\nNDims = 4\nElementSpacing = 1 2 3 4\nOffset = 7 8 9 0\n"
    path = meta_image(tmp_path / "a.mha", fields)
    source = open_source(path)
    assert (source.axes, source.time_step, source.voxel_size) == ("tzyx", 4, (3, 2, 1))
    assert_holds(source, VOXELS.reshape(5, 2, 3, 7).astype("i2"))
    assert open_source(path, axes="czyx").axes == "czyx"


@pytest.mark.parametrize(
    ("fields", "data", "message"),
    [
        ("NDims = 2\n", "LOCAL", r"DimSize is \(7, 6, 5\); allowed: 1 to 4 lengths"),
        ("ElementType = MET_STRING\n", "LOCAL", "ElementType is MET_STRING, which is unknown"),
        ("ElementSpacing = 1 2\n", "LOCAL", "elementspacing has 2 numbers; allowed: 3"),
        ("DimSize = 7 6 50\n", "LOCAL", "cut short"),
        ("DimSize = 7 -6 5\n", "LOCAL", "the array is empty"),
        ("HeaderSize = 99999\n", "LOCAL", "cut short"),
        ("", "b.raw", r"b\.raw: there is no such file"),
        ("", "LIST", "a LIST without files"),
        ("", "s%d.raw 0 4", r"s0\.raw: there is no such file"),
        ("", "s%d.raw 0 1000000000000", "names no files of 210 voxels"),
        ("", "s%s.raw 0 3", "names no files"),
    ],
)  # fmt: skip
def test_damaged_meta_images_are_refused(tmp_path, fields, data, message):
    path = meta_image(tmp_path / "a.mha", fields, data, b"" if data != "LOCAL" else RAW)
    with pytest.raises(SourceError, match=message) as error:
        open_source(path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_a_file_without_a_header_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"hello\n\n")
    with pytest.raises(SourceError, match=rf"{name}: not a (NRRD file|MetaImage)"):
        open_source(tmp_path / name)
