"""Sources: what they say of themselves, and any region of them."""

import gzip
import mmap
import os
import shutil
import subprocess
import sys

import h5py
import nibabel
import nrrd
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.samples.headers import header_of
from neurozarr.sources import mapping, nibabel_image, numpy_file, open_source, stem
from neurozarr.sources.tiff import segments

from ..programs import PATIENCE


@pytest.fixture(scope="module")
def voxels():
    return np.random.default_rng(0).integers(0, 200, (5, 6, 7, 3, 2)).astype("uint8")


def save(path, voxels, kind=nibabel.Nifti1Image, **options):
    image = kind(voxels, np.diag([1.0, 2.0, 3.0, 1.0]), **options)
    image.to_filename(path)
    return path


def whole(source):
    return source.read(tuple(slice(0, length) for length in source.shape))


@pytest.mark.parametrize(
    ("ndim", "axes", "order"),
    [(3, "zyx", (2, 1, 0)), (4, "tzyx", (3, 2, 1, 0)), (5, "tczyx", (3, 4, 2, 1, 0))],
)
@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "a.nii.bz2", "a.nii.zst", "a.img", "a.hdr", "a.img.gz"]
)
def test_dimensions_become_axes_in_zarr_order(tmp_path, voxels, name, ndim, axes, order):
    voxels = voxels[(..., *(0,) * (5 - ndim))]
    kind = nibabel.Nifti1Pair if "nii" not in name else nibabel.Nifti1Image
    source = open_source(save(tmp_path / name, voxels, kind))
    assert source.axes == axes
    assert source.shape == tuple(voxels.shape[axis] for axis in order)
    assert source.voxel_size == (3, 2, 1)
    np.testing.assert_array_equal(whole(source), voxels.transpose(order))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("dtype", [">i2", "<f4", ">f8", "<u2", ">c8"])
def test_either_byte_order_is_read(tmp_path, voxels, kind, dtype):
    data = voxels[..., 0, 0].astype(dtype)
    header = kind.header_class(endianness=dtype[0])
    header.set_data_dtype(dtype)
    source = open_source(save(tmp_path / "a.nii", data, kind, header=header))
    assert nibabel.load(tmp_path / "a.nii").get_data_dtype().byteorder in (dtype[0], "=")
    assert source.dtype == np.dtype(dtype).newbyteorder("=")
    assert whole(source).dtype == source.dtype
    np.testing.assert_array_equal(whole(source), data.T)


def test_stored_integers_and_scale_factors_are_kept(mri):
    source = open_source(mri / "functional.nii")
    image = nibabel.load(mri / "functional.nii")
    assert image.dataobj.slope != 1
    np.testing.assert_array_equal(whole(source), image.dataobj.get_unscaled().T)
    assert source.nifti_header == (mri / "functional.nii").read_bytes()[:348]


def test_the_header_is_kept_with_its_extensions(mri, tmp_path):
    with gzip.open(mri / "example4d.nii.gz") as file:
        assert open_source(mri / "example4d.nii.gz").nifti_header == file.read(416)
    image = nibabel.Nifti1Pair(np.zeros((4, 5, 6), "u1"), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"hello"))
    image.to_filename(tmp_path / "a.hdr")
    raw = (tmp_path / "a.hdr").read_bytes()
    assert b"hello" in raw
    assert open_source(tmp_path / "a.img").nifti_header == raw


def test_units_and_steps_are_those_of_the_image(mri, tmp_path, voxels):
    source = open_source(mri / "functional.nii")
    assert (source.space_unit, source.time_unit, source.time_step) == ("millimeter", "second", 2.0)
    assert source.voxel_size == (8, 4, 4)
    source = open_source(mri / "standard.nii.gz")
    assert (source.space_unit, source.time_unit) == ("", "")
    image = nibabel.Nifti1Image(voxels[..., 0], np.eye(4))
    image.header.set_xyzt_units("micron", "msec")
    image.header["pixdim"][1:5] = [-2, 0, 5, 0]
    image.to_filename(tmp_path / "a.nii")
    source = open_source(tmp_path / "a.nii")
    assert (source.space_unit, source.time_unit) == ("micrometer", "millisecond")
    assert source.time_step == 1


def test_cifti_is_named_as_such(tmp_path):
    axes = nibabel.cifti2.ScalarAxis(["a"]), nibabel.cifti2.SeriesAxis(0, 1, 5)
    image = nibabel.Cifti2Image(np.ones((1, 5), "f4"), axes)
    path = tmp_path / "a.dscalar.nii"
    image.to_filename(path)
    with pytest.raises(SourceError, match=r"a\.dscalar\.nii: a CIFTI file, .* wb_command"):
        open_source(path)


# nibabel leaves the files of MGH images open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["a.mgh", "a.mgz"])
def test_mgh_is_read_with_its_affine(tmp_path, voxels, name):
    data = voxels[..., 0].astype("float32")
    affine = np.array([[-1, 0, 0, 5], [0, 0, 2, 6], [0, -3, 0, 7], [0, 0, 0, 1.0]])
    image = nibabel.MGHImage(data, affine)
    image.header.set_zooms((1, 3, 2, 1500))
    image.to_filename(tmp_path / name)
    source = open_source(tmp_path / name)
    assert source.axes == "tzyx"
    assert source.dtype == np.dtype("float32")
    assert source.time_step == 1500
    assert (source.space_unit, source.time_unit) == ("millimeter", "millisecond")
    np.testing.assert_array_equal(whole(source), data.T)
    np.testing.assert_allclose(source.affine, affine)
    assert source.nifti_header is None


@pytest.mark.parametrize(
    "kind", [nibabel.AnalyzeImage, nibabel.Spm99AnalyzeImage, nibabel.Spm2AnalyzeImage]
)
def test_analyze_is_read_with_its_affine(tmp_path, voxels, kind):
    data = voxels[..., 0, 0].astype("int16")
    image = kind(data, np.diag([-1.0, 2.0, 3.0, 1.0]))
    image.to_filename(tmp_path / "a.img")
    source = open_source(tmp_path / "a.hdr")
    assert tmp_path / "a.img" in source.files
    loaded = nibabel.load(tmp_path / "a.img")
    np.testing.assert_array_equal(whole(source), data.T)
    np.testing.assert_allclose(source.affine, loaded.affine)
    assert source.voxel_size == (3, 2, 1)
    assert source.nifti_header is None


def test_the_scale_factors_of_spm_are_not_applied(tmp_path):
    data = np.linspace(0, 1, 120).reshape(4, 5, 6)
    image = nibabel.Spm99AnalyzeImage(data, np.eye(4))
    image.set_data_dtype("int16")
    image.to_filename(tmp_path / "a.img")
    source = open_source(tmp_path / "a.img")
    assert source.dtype == np.dtype("int16")
    assert source.slope == nibabel.load(tmp_path / "a.img").dataobj.slope != 1
    np.testing.assert_allclose(whole(source) * source.slope, data.T, atol=1e-4)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("colours", ["RGB", "RGBA"])
@pytest.mark.parametrize("times", [(), (3,)])
def test_colours_become_channels(tmp_path, name, colours, times):
    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 255, (4, 5, 6, *times, len(colours))).astype("u1")
    stored = voxels.view([(colour, "u1") for colour in colours])[..., 0]
    source = open_source(save(tmp_path / name, stored))
    assert (source.axes, source.dtype) == ("tczyx" if times else "czyx", np.dtype("u1"))
    expected = voxels.transpose((3, 4, 2, 1, 0) if times else (3, 2, 1, 0))
    np.testing.assert_array_equal(whole(source), expected)
    part = tuple(slice(length // 2, length) for length in source.shape)
    np.testing.assert_array_equal(source.read(part), expected[part])


@pytest.fixture(scope="module", params=["a.nii", "a.nii.gz", "a.nii.bz2", "a.nii.zst"])
def five_dimensional(request, tmp_path_factory, voxels):
    return open_source(save(tmp_path_factory.mktemp("source") / request.param, voxels))


@given(data=st.data())
def test_a_region_equals_a_slice_of_the_whole(five_dimensional, voxels, data):
    sides = []
    for length in five_dimensional.shape:
        start = data.draw(st.integers(0, length - 1))
        sides.append(slice(start, data.draw(st.integers(start + 1, length))))
    expected = voxels.transpose(3, 4, 2, 1, 0)[tuple(sides)]
    np.testing.assert_array_equal(five_dimensional.read(tuple(sides)), expected)


def test_the_user_can_give_voxel_size_unit_and_axes(tmp_path, voxels):
    path = save(tmp_path / "a.nii", voxels[..., 0])
    source = open_source(path, axes="czyx", voxel_size=(7, 8, 9), unit="um")
    assert source.axes == "czyx"
    assert source.voxel_size == (7, 8, 9)
    assert source.space_unit == "micrometer"
    np.testing.assert_array_equal(whole(source), voxels[..., 0].T)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"axes": "zyxt"}, r"axes is 'zyxt'; allowed for a file of shape .*: tzyx or czyx"),
        ({"voxel_size": (1, 2)}, r"voxel_size is \[1, 2\]; allowed: 3 positive numbers"),
        ({"voxel_size": (1, 0, 2)}, r"voxel_size is \[1, 0, 2\]"),
        ({"unit": "second"}, "'second' is no unit of space"),
    ],
)
def test_columns_must_fit_the_file(tmp_path, voxels, told, message):
    path = save(tmp_path / "a.nii", voxels[..., 0])
    with pytest.raises(SourceError, match=rf"a\.nii: {message}"):
        open_source(path, **told)


def test_a_compressed_file_is_read_in_order(tmp_path, voxels):
    for ending in ("gz", "bz2", "zst"):
        assert open_source(save(tmp_path / f"a.nii.{ending}", voxels)).in_order
    assert not open_source(save(tmp_path / "b.nii", voxels)).in_order


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nii", b"hello", "not an image that nibabel can open"),
        ("a.nii", b"", "the file is empty"),
        ("a.nii.gz", b"not gzip", "not an image that nibabel can open"),
        ("a.txt", b"hello", "not a supported format; supported file names end in \\."),
        ("a.mgz", b"hello", "not an image that nibabel can open"),
    ],
)
def test_errors_name_a_file_that_is_not_an_image(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=f"{name}: {message}"):
        open_source(tmp_path / name)


@pytest.mark.parametrize(
    "suffix", ["nii.gz", "mnc", "tif", "png", "h5", "dcm", "raw", "npy", "xml"]
)
def test_an_empty_file_is_said_to_be_so(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.touch()
    with pytest.raises(SourceError, match=f"a.{suffix}: the file is empty"):
        open_source(path)


def test_missing_and_truncated_files_are_refused_at_once(mri, tmp_path):
    with pytest.raises(SourceError, match="there is no such file"):
        open_source(tmp_path / "a.nii")
    shutil.copy(mri / "nifti1.hdr", tmp_path)
    with pytest.raises(SourceError, match=r"the file with its voxels, .*nifti1\.img, is missing"):
        open_source(tmp_path / "nifti1.hdr")
    cut = tmp_path / "cut.nii"
    cut.write_bytes((mri / "anatomical.nii").read_bytes()[:-1])
    with pytest.raises(
        SourceError, match="cut short: 68001 bytes, but its voxels end at byte 68002"
    ):
        open_source(cut)


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst"])
def test_errors_name_a_truncated_compressed_file(mri, tmp_path, ending):
    cut = tmp_path / f"cut.nii.{ending}"
    nibabel.load(mri / "example4d.nii.gz").to_filename(cut)
    expected = nibabel.load(mri / "example4d.nii.gz").dataobj.get_unscaled()
    np.testing.assert_array_equal(whole(open_source(cut)).T, expected)
    cut.write_bytes(cut.read_bytes()[:100_000])
    with pytest.raises(SourceError, match=rf"cut\.nii\.{ending}: the voxels cannot be read"):
        whole(open_source(cut))
    cut.write_bytes(b"hello")
    with pytest.raises(SourceError, match=rf"cut\.nii\.{ending}: not an image that nibabel can"):
        open_source(cut)


def test_errors_name_a_damaged_compressed_file(mri, tmp_path):
    content = bytearray((mri / "example4d.nii.gz").read_bytes())
    content[100_000:100_100] = bytes(100)
    (tmp_path / "bad.nii.gz").write_bytes(content)
    with pytest.raises(SourceError, match=r"bad\.nii\.gz: the voxels cannot be read"):
        whole(open_source(tmp_path / "bad.nii.gz"))


def test_errors_name_a_file_truncated_after_opening(tmp_path):
    path = save(tmp_path / "a.nii", np.ones((100, 100, 100), "f4"))
    source = open_source(path)
    assert whole(source).all()
    os.truncate(path, 1_000_000)
    with pytest.raises(SourceError, match=r"a\.nii: cut short: 1000000 bytes, but .* 4000352"):
        whole(source)


def save_stack(path, voxels):
    path.mkdir()
    for number, plane in enumerate(voxels):
        tifffile.imwrite(path / f"{number}.tif", plane)
    return path / f"{len(voxels) - 1}.tif"


def save_npy(path, voxels):
    np.save(path, voxels)
    return path


def save_nrrd(path, voxels):
    nrrd.write(str(path), voxels, {"encoding": "raw"})
    return path


def save_pages(path, voxels):
    tifffile.imwrite(path, voxels, photometric="minisblack")
    return path


@pytest.mark.parametrize("populates", [True, False])
@pytest.mark.parametrize(
    ("name", "save_as"),
    [
        ("a.nii", save),
        ("a.npy", save_npy),
        ("a.nrrd", save_nrrd),
        ("a.tif", save_pages),
        ("a", save_stack),
    ],
)
def test_errors_name_the_file_of_an_unreadable_map(tmp_path, monkeypatch, name, save_as, populates):
    """As when the disk fails: of a file whose end is gone, the system has no page either."""
    last = save_as(tmp_path / name, np.ones((4, 300, 400), "f4"))
    source = open_source(tmp_path / name)
    assert whole(source).all()
    for module in (nibabel_image, numpy_file, segments):
        monkeypatch.setattr(module, "check_size", lambda *args: None)
    if not populates:  # Before Linux 5.14, and elsewhere.
        monkeypatch.setattr(mapping, "_MADVISE", None)
        assert whole(open_source(tmp_path / name)).all()
    source = open_source(tmp_path / name)  # It is mapped when it is read.
    size = last.stat().st_size - 200_000

    class CutMap(mmap.mmap):
        """A map of a file that is cut short as soon as it is mapped."""

        def __new__(cls, descriptor, *args, **kwargs):
            mapped = super().__new__(cls, descriptor, *args, **kwargs)
            if os.path.sameopenfile(descriptor, opened.fileno()):
                os.truncate(last, size)
            return mapped

    monkeypatch.setattr(mmap, "mmap", CutMap)
    wrong = rf"{last.name}: the voxels cannot be read.*file ends before"
    # All but a column: what lies in one piece is not mapped.
    part = (*(slice(0, length) for length in source.shape[:-1]), slice(1, source.shape[-1]))
    with last.open("rb") as opened, pytest.raises(SourceError, match=wrong):
        source.read(part)


def test_neighbours_along_a_row_are_populated_once(tmp_path, monkeypatch):
    voxels = np.random.default_rng(0).integers(0, 9999, (4, 200, 300)).astype("u2")
    calls, is_populated = [], mapping._is_populated
    monkeypatch.setattr(
        mapping, "_is_populated", lambda *span: calls.append(span) or is_populated(*span)
    )
    source = open_source(save_npy(tmp_path / "a.npy", voxels))
    for start in range(0, 300, 30):
        part = (slice(0, 4), slice(50, 100), slice(start, start + 30))
        np.testing.assert_array_equal(source.read(part), voxels[part])
    assert len(calls) == 4  # One for each plane.


READ = """
import sys
from neurozarr.sources import open_source

source = open_source(sys.argv[1])
source.read(tuple(slice(0, length) for length in source.shape))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace, which makes reads fail")
@pytest.mark.parametrize(
    ("name", "save_as", "first"),
    [("a.nii.gz", save, 1), ("a.nii.gz", save, 4), ("a", save_stack, 1)],
)
def test_errors_name_the_file_of_a_failed_read(tmp_path, name, save_as, first):
    voxels = np.random.default_rng(0).integers(0, 9999, (4, 90, 100)).astype("u2")
    last = save_as(tmp_path / name, voxels)
    calls = "read,pread64,readv,preadv"
    fault = f"{calls}:error=EIO:when={first}+"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", last, "-e", f"trace={calls}"]
    command += ["-e", f"inject={fault}", sys.executable, "-c", READ, tmp_path / name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert f"SourceError: {last}: " in done.stderr.strip().splitlines()[-1]


def test_disk_errors_are_reported_as_the_system_does():
    with pytest.raises(OSError, match="Input/output error"):
        mapping._read("/proc/self/mem", 0, 4096)


def test_unsupported_volumes_are_refused(tmp_path, mri):
    rgb = np.zeros((4, 5, 6, 2, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for data, message in (
        (rgb, r"the voxels are RGB, in an image of shape \(4, 5, 6, 2, 3\); colours can only be"),
        (np.zeros((4, 5, 6, 1, 1, 2), "u1"), "only images with up to 5 dimensions"),
    ):
        path = save(tmp_path / "a.nii", data)
        with pytest.raises(SourceError, match=message):
            open_source(path)
    for code, name in ((1536, "float128"), (2048, "complex256")):
        header = nibabel.Nifti1Header()
        header.set_data_shape((4, 5, 6))
        header["datatype"], header["magic"], header["vox_offset"] = code, b"n+1", 352
        path.write_bytes(header.binaryblock + bytes(10_000))
        with pytest.raises(SourceError, match=f"its voxels are {name}, which Zarr cannot hold"):
            open_source(path)
    with pytest.raises(SourceError, match=r"dconn\.nii: a CIFTI file"):
        open_source(mri / "row_major.dconn.nii")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/sub-01_T1w.nii.gz", "sub-01_T1w"),
        ("x.y.nii", "x.y"),
        ("A.MGZ", "A"),
        ("b.img", "b"),
        ("c.ome.tif", "c"),
        ("d.ome.zarr/", "d"),
        ("slices", "slices"),
        ("s/brain_z{z}.png", "brain"),
        ("s/{z}.png", "s"),
        ("tiles/y{y}_x{x}.tif", "tiles"),
        ("t{t}-vol_{c}_.tif", "-vol_"),
        ("https://example.org/a/e.zarr", "e"),
    ],
)
def test_a_sample_is_named_after_its_file(name, expected):
    assert stem(name) == expected


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["sub-1/a.nii.gz", "b.nii.gz", "c.NII", "x.txt"], "2 .nii.gz, 1 .NII and 1 of other ki"),
        (
            ["s/a.nii.gz", "b.nii.gz", "c.nii"],
            "give a glob such as source='{}/**/*.nii.gz' (with output_tree=true",
        ),
        (["a.nii.gz"], "files in it: 1 .nii.gz; to convert each .nii.gz, give a glob such as"),
        (["a.nii.gz"], "source='{}/*.nii.gz', or"),
        (["x.y/a.zarr/zarr.json", ".git/a.nii"], "1 .zarr; to convert each .zarr, give a glob"),
        (["x.txt", "y"], "files in it: 2, none of a supported format"),
        ([], "files in it: 0, none of a supported format"),
    ],
    ids=str,
)
def test_error_says_what_is_in_a_directory(tmp_path, monkeypatch, files, message):
    monkeypatch.chdir(tmp_path)
    folder = "d [1]"
    for file in files or ["sub"]:
        path = tmp_path / folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if files else path.mkdir()
    with pytest.raises(SourceError) as error:
        open_source(folder)
    assert message.format("d [[]1]") in str(error.value)


def test_unknown_directories_and_unused_columns_are_refused(tmp_path):
    with pytest.raises(SourceError, match="no TIFF, PNG or JPEG 2000 slices, DICOM series"):
        open_source(tmp_path)
    path = save(tmp_path / "a.nii", np.zeros((3, 4, 5), "u1"))
    with pytest.raises(SourceError, match=r"a\.nii: dataset is 'q', but does not apply to this"):
        open_source(path, dataset="q")


@pytest.mark.skipif(sys.platform != "linux", reason="lists the open files of the process")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.npy", "a.nrrd", "a.tif", "a.h5"])
def test_a_source_keeps_no_file_open_before_it_is_read(tmp_path, voxels, name):
    path, data = tmp_path / name, voxels[..., 0, 0]
    match path.suffix:
        case ".npy":
            np.save(path, data)
        case ".nrrd":
            nrrd.write(str(path), data)
        case ".tif":
            tifffile.imwrite(path, data)
        case ".h5":
            with h5py.File(path, "w") as file:
                file["volume"] = data
        case _:
            save(path, data)
    source = open_source(path)
    files = [os.path.realpath(entry.path) for entry in os.scandir("/proc/self/fd")]
    assert str(path.resolve()) not in files
    assert whole(source).size == data.size


# What the user or a template adds


def written(path, **fields):
    """A NIfTI file of a volume, with fields of its header changed."""
    image = nibabel.Nifti1Image(
        np.random.default_rng(0).integers(0, 99, (7, 8, 9)), None, dtype="u1"
    )
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def template(**fields):
    header = nibabel.Nifti1Header()
    header.set_data_shape((9, 9, 9, 2))
    header.set_zooms((3, 1.5, 2, 2.5))
    header.set_xyzt_units("mm", "sec")
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock


def sizes(source):
    return source.voxel_size, source.space_unit, source.time_step, source.time_unit


def test_a_template_gives_the_sizes_that_a_file_does_not(tmp_path, caplog):
    path = save_npy(tmp_path / "a.npy", np.zeros((2, 3, 4, 5), "u1"))
    assert sizes(open_source(path, axes="tzyx")) == ((1, 1, 1), "", 1, "")
    assert "the voxel size is unknown" in caplog.text
    caplog.clear()
    known = {"axes": "tzyx", "template": template()}
    assert sizes(open_source(path, **known)) == ((2, 1.5, 3), "millimeter", 2.5, "second")
    assert not caplog.text
    found = open_source(path, **known, unit="um", time_unit="ms")
    assert sizes(found) == ((2000, 1500, 3000), "micrometer", 2500, "millisecond")
    found = open_source(path, **known, voxel_size=(4, 5, 6), time_step=7)
    assert sizes(found) == ((4, 5, 6), "millimeter", 7, "second")


def test_a_template_does_not_replace_the_sizes_of_a_file(tmp_path, voxels):
    image = nibabel.Nifti1Image(voxels[..., 0], np.diag([7, 8, 9, 1]))
    image.header.set_zooms((7, 8, 9, 10))
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "a.nii")
    found = sizes(open_source(tmp_path / "a.nii", template=template()))
    assert found == ((9, 8, 7), "micrometer", 10, "second")


@pytest.mark.parametrize("name", ["a.nii", "a.npy"])
def test_the_user_can_give_time_step_and_unit(tmp_path, voxels, name):
    data = voxels[..., 0]
    path = (save if name == "a.nii" else save_npy)(tmp_path / name, data)
    given = {"time_step": 1.5, "time_unit": "min"} | ({} if name == "a.nii" else {"axes": "tzyx"})
    source = open_source(path, **given)
    assert (source.time_step, source.time_unit) == (1.5, "minute")
    raw = header_of(source, dtype=source.dtype, given=given)
    header = nibabel.Nifti1Header(raw, check=False)
    assert (header["pixdim"][4], header.get_xyzt_units()[1]) == (90, "sec")
    other = save_npy(tmp_path / "b.npy", data[..., 0])
    for wrong, message in (
        ({"time_step": 1}, "time_step is 1, but the axes are zyx, without t; leave it out"),
        ({"time_unit": "s"}, "time_unit is s, but the axes are zyx, without t"),
    ):
        with pytest.raises(SourceError, match=rf"b\.npy: {message}"):
            open_source(other, **wrong)
    with pytest.raises(SourceError, match=r"time_step is 0\.0; allowed: a positive number"):
        open_source(path, **given | {"time_step": 0.0})
    with pytest.raises(SourceError, match="'mm' is no unit of time in OME-Zarr"):
        open_source(path, **given | {"time_unit": "mm"})


def test_a_unit_that_is_unknown_is_said(mri, caplog):
    assert open_source(mri / "standard.nii.gz").space_unit == ""
    said = "standard.nii.gz: the unit of space is unknown, so that the store has none; give unit"
    assert said in caplog.text
    caplog.clear()
    open_source(mri / "standard.nii.gz", unit="mm")
    assert "unit" not in caplog.text


# What other programs read


@pytest.mark.parametrize("shape", [(5,), (5, 6), (5, 6, 7, 2, 3, 1), (5, 6, 7, 1, 1, 1, 1)])
def test_images_of_any_number_of_dimensions_are_read(tmp_path, shape):
    data = np.random.default_rng(0).integers(0, 99, shape).astype("i2")
    header = nibabel.Nifti1Header()
    header["pixdim"][3] = 4
    source = open_source(save(tmp_path / "a.nii", data, header=header))
    expected = data.reshape((*shape, *(1,) * (7 - len(shape)))[:5]).transpose(3, 4, 2, 1, 0)
    np.testing.assert_array_equal(whole(source), expected if len(shape) > 4 else expected[0, 0])
    assert source.axes == ("tczyx" if len(shape) > 4 else "zyx")


@pytest.mark.parametrize("length", [1 + 1e-6, 1.005])
def test_a_quaternion_that_is_a_little_too_long_is_normalized(tmp_path, length):
    """As nifti_clib does: nifti_tool -disp_nim prints this matrix (nifti_quatern_to_mat44)."""
    unit = np.array([2, 3, 6]) / 7
    fields = {f"quatern_{letter}": length * part for letter, part in zip("bcd", unit, strict=True)}
    path = written(tmp_path / "a.nii", qform_code=1, sform_code=0, **fields)
    source = open_source(path)
    turned = 2 * np.outer(unit, unit) - np.eye(3)  # By 180 degrees.
    np.testing.assert_allclose(source.affine[:3, :3], turned, atol=1e-6)
    fields = {name: 2 * part for name, part in fields.items()}
    with pytest.raises(SourceError, match="w2 should be positive"):
        open_source(written(path, qform_code=1, sform_code=0, **fields))


@pytest.mark.parametrize(
    ("trailing", "kind"),
    [(bytes(600), "zeros"), (b"garbage!", "garbage"), (bytes(9) + b"x", "garbage")],
)
def test_bytes_after_a_gzip_stream_are_said_and_ignored(tmp_path, caplog, trailing, kind):
    path = written(tmp_path / "a.nii.gz")
    expected = whole(open_source(path))
    assert "gzip stream" not in caplog.text
    with path.open("ab") as file:
        file.write(trailing)
    source = open_source(path)
    assert f"a.nii.gz: {len(trailing)} bytes of {kind} follow the gzip stream" in caplog.text
    np.testing.assert_array_equal(whole(source), expected)
    done = subprocess.run(["gzip", "-t", path], capture_output=True, text=True, check=False)
    assert ("trailing garbage ignored" in done.stderr) == (kind == "garbage")
    with path.open("ab") as file:  # Another member is no garbage.
        file.write(gzip.compress(b"more"))
    caplog.clear()
    open_source(path)
    assert "gzip stream" not in caplog.text
