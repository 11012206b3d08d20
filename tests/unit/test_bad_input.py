"""Files that are damaged, and configurations that are absurd: a clear error, or a sound store.

No damage may end in another error, in a hang, or in memory that grows with what a header claims.
"""

import gzip
import json
import math
import os
import re
import shutil
import signal
import tracemalloc
import warnings

import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.common.configfile import load_configfile
from snakemake_interface_common.exceptions import WorkflowError

from neurozarr import nifti
from neurozarr.drivers import open_array
from neurozarr.errors import ConfigError, NeurozarrError, SourceError
from neurozarr.ome import reading
from neurozarr.samples.reading import read_run
from neurozarr.sources import open_source, stem

from ..programs import PATIENCE
from .conversions import convert

# nibabel leaves the files of MGH images open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Extension size is not a multiple:UserWarning"),
]

NIFTI = ("anatomical.nii", "functional.nii", "example4d.nii.gz", "example_nifti2.nii.gz")
NAN, INF = math.nan, math.inf
#: Values for fields of integers, and of floats, of which each holds those that it can.
INTEGERS = [0, -1, 1, 2, 3, 4, 7, 8, 16, 64, 128, 255, 348, 512, 540, 1536, 2304, 2**15 - 1]
INTEGERS += [-(2**15), 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 1.0, -1.0, 2.0, 352.0, -352.0, 1e-45, 1e19, 3e38, -3e38, NAN, INF, -INF]
DOUBLES = [*FLOATS, 5e-324, 1e308, -1e308]
MB = 2**20
SMALL = {"zarr": {"chunk": 32, "dimension_separator": "."}}


@pytest.fixture(autouse=True)
def _no_hang():
    def fail(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """One for all examples, each of which is converted in place of the last one of its name."""
    return tmp_path_factory.mktemp("bad")


@pytest.fixture
def frugal():
    """Fails a test that takes much memory."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150 * MB


@pytest.fixture(scope="module")
def contents(mri):
    """Real files, decompressed, by their names; of long ones, the first two slices and times."""
    found = {name: (mri / name).read_bytes() for name in (*NIFTI, "test.mgz")}
    for name, content in found.items():
        found[name] = content = gzip.decompress(content) if name.endswith("z") else content
        if name in ("functional.nii", "example4d.nii.gz"):
            content = with_field(content, "dim", 2, slice(3, 5))
            record = nifti.fields(content)
            end = int(record["vox_offset"]) + 2 * math.prod(map(int, record["dim"][1:5]))
            found[name] = content[:end]
    return found


def write(path, content):
    """Write a file, compressed where its name says so."""
    path.write_bytes(gzip.compress(content, 1, mtime=0) if path.suffix.endswith("z") else content)
    return path


def with_field(content, name, value, index=()):
    """A NIfTI file with a field of its header changed."""
    record = nifti.fields(content)
    record[name][index] = value
    return record.tobytes() + content[record.dtype.itemsize :]


def expected(path):
    """The voxels that nibabel reads, unscaled, as they are stored: with three to five axes."""
    with warnings.catch_warnings(action="ignore"):
        voxels = np.asarray(nibabel.load(path).dataobj.get_unscaled())
    names = voxels.dtype.names
    voxels = np.stack([voxels[name].T for name in names]) if names else voxels.T
    while voxels.ndim > 5 and len(voxels) == 1:
        voxels = voxels[0]
    voxels = voxels[(None,) * (3 - voxels.ndim)]
    return voxels.swapaxes(0, 1) if voxels.ndim == 5 else voxels


def scales(document):
    """All scales in a JSON document, wherever they are."""
    if isinstance(document, dict):
        yield from document["scale"] if document.get("type") == "scale" else ()
    if isinstance(document, (dict, list)):
        for part in document.values() if isinstance(document, dict) else document:
            yield from scales(part)


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


def check_store(store, voxels):
    """Check that a store holds these voxels, and metadata that are legal."""
    stored = open_array(store / "0", "r")[...]
    assert stored.shape == voxels.shape
    assert stored.tobytes() == voxels.astype(stored.dtype, copy=False).tobytes()
    for path in store.rglob("zarr.json"):
        document = json.loads(path.read_text(), parse_constant=no_constant)
        assert all(0 < scale < INF for scale in scales(document))
    raw = open_array(store / "nifti", "r")[...].tobytes()
    record = nifti.fields(raw)
    if voxels.ndim < 5 and "c" not in _axes(store):
        count = min(voxels.ndim, record["dim"][0])  # The others say nothing of the voxels.
        assert tuple(record["dim"][1 : 1 + count]) == voxels.shape[::-1][:count] != ()
    assert nifti.load(raw).get_data_dtype().newbyteorder("=") == stored.dtype


def _axes(store):
    image = reading.image_of(json.loads((store / "zarr.json").read_text())["attributes"])
    return list(reading.grid_of(image, 0).names)


def outcome(path, directory, **config):
    """Convert a file: the error that names it, or None where the store is sound."""
    try:
        store, _ = convert(path, directory, SMALL | config)
    except NeurozarrError as raised:
        error = str(raised)
    else:
        error = None
        check_store(store, expected(path))
    assert error is None or str(path.parent / path.name.split(".")[0]) in error
    return error


def places(dtype):
    """Each number in the fields of a header."""
    for name in dtype.names:
        for index in np.ndindex(dtype[name].shape):
            if dtype[name].base.kind in "iuf":
                yield name, index


def values(dtype, name):
    kind = dtype[name].base
    if kind.kind == "f":
        return FLOATS if kind.itemsize == 4 else DOUBLES
    return [value for value in INTEGERS if np.iinfo(kind).min <= value <= np.iinfo(kind).max]


@settings(max_examples=50)
@given(data=st.data())
def test_headers_with_any_wrong_bytes_are_safe(contents, directory, data):
    name = data.draw(st.sampled_from(list(contents)))
    content = bytearray(contents[name])
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, 600 if "nifti2" in name else 420))
        new = data.draw(st.one_of(st.binary(min_size=1, max_size=1), st.binary(max_size=8)))
        content[start : start + len(new)] = new
    outcome(write(directory / name, bytes(content)), directory)


@settings(max_examples=50)
@given(data=st.data())
def test_headers_with_any_absurd_fields_are_safe(contents, directory, data):
    name = data.draw(st.sampled_from(NIFTI))
    content = contents[name]
    dtype = nifti.fields(content).dtype
    for field, index in data.draw(
        st.lists(st.sampled_from(list(places(dtype))), min_size=1, max_size=3)
    ):
        value = data.draw(st.sampled_from(values(dtype, field)))
        if field != "sizeof_hdr":
            with np.errstate(over="ignore"):
                content = with_field(content, field, value, index)
    version = data.draw(st.sampled_from(["0.5", "0.6"]))
    outcome(write(directory / name, content), directory, ome={"ome_version": version})


@pytest.mark.parametrize("count", range(1, 8))
def test_any_number_of_dimensions_is_stored(contents, directory, count):
    content = with_field(contents["anatomical.nii"], "dim", count, (0,))
    assert outcome(write(directory / "anatomical.nii", content), directory) is None


@settings(max_examples=10)
@given(data=st.data())
def test_mgh_headers_with_any_absurd_fields_are_safe(contents, directory, data):
    content = contents["test.mgz"]
    dtype = nibabel.freesurfer.mghformat.MGHHeader._hdrdtype
    record = np.frombuffer(content, dtype, count=1).copy().reshape(())
    for field, index in data.draw(
        st.lists(st.sampled_from(list(places(dtype))), min_size=1, max_size=3)
    ):
        record[field][index] = data.draw(st.sampled_from(values(dtype, field)))
    name = data.draw(st.sampled_from(["test.mgz", "test.mgh"]))
    outcome(write(directory / name, record.tobytes() + content[dtype.itemsize :]), directory)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Files of MRC, NRRD and MetaImage, with the end of what is likely to be their header."""
    folder, voxels = tmp_path_factory.mktemp("volumes"), np.ones((4, 5, 6), "i2")
    for name in ("a.mrc", "a.map.gz"):
        with mrcfile.new(folder / name, compression="gzip" if "gz" in name else None) as file:
            file.set_data(voxels)
            file.voxel_size = 2
    fields = {"space": "RAS", "space directions": np.eye(3), "kinds": ["domain"] * 3}
    for encoding in ("raw", "gzip", "ascii"):
        header = fields | {"encoding": encoding, "units": ["mm"] * 3}
        nrrd.write(str(folder / f"{encoding}.nrrd"), voxels, header)
    (folder / "a.mha").write_bytes(
        b"NDims = 3\nDimSize = 6 5 4\nElementSpacing = 1 2 3\nOffset = 0 0 0\nHeaderSize = 0\n"
        b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n" + voxels.tobytes()
    )
    return {path.name: path.read_bytes() for path in folder.iterdir()}


#: Words that replace others in headers that are texts.
WORDS = [
    b"0",
    b"-1",
    b"1e999",
    b"9" * 20,
    b"nan",
    b"LIST",
    b"p%d 1 999999999 1",
    b"",
    b"\xff",
    b"none",
]
WORDS += [b"(1,2", b"4 5 6 7 8 9", b"65536", b"gzip", b"ascii", b"True", b"time", b"inf", b"% d"]


@settings(max_examples=60)
@given(data=st.data())
def test_headers_of_volumes_with_anything_wrong_are_safe(volumes, directory, data):
    name = data.draw(st.sampled_from(sorted(volumes)))
    content = bytearray(volumes[name])
    lines = content.split(b"\n")
    for _ in range(data.draw(st.integers(1, 3))):
        if name.endswith((".nrrd", ".mha")) and data.draw(st.booleans()):
            number = data.draw(st.integers(0, min(len(lines), 14) - 1))
            word = data.draw(st.sampled_from(WORDS))
            lines[number] = re.sub(
                rb"([=:]) ?.*", lambda m, word=word: m[1] + b" " + word, lines[number]
            )
            content = bytearray(b"\n".join(lines))
        else:
            start = data.draw(st.integers(0, min(len(content), 1100) - 1))
            content[start : start + 1] = data.draw(st.binary(min_size=1, max_size=4))
    path = directory / name
    path.write_bytes(content)
    try:
        source = open_source(path)
        voxels = source.read(tuple(slice(0, length) for length in source.shape))
    except SourceError as raised:
        error = str(raised)
    else:
        error = str(directory)
        assert voxels.shape == source.shape
    assert str(directory) in error


@settings(max_examples=10)
@given(data=st.data())
@pytest.mark.parametrize(
    "kind",
    [
        nibabel.AnalyzeImage,
        nibabel.Spm99AnalyzeImage,
        nibabel.Spm2AnalyzeImage,
        nibabel.Nifti1Pair,
        nibabel.Nifti2Pair,
    ],
)
def test_headers_of_pairs_with_absurd_fields_are_safe(contents, directory, kind, data):
    voxels = np.arange(4 * 5 * 6, dtype="i2").reshape(4, 5, 6)
    kind(voxels, np.eye(4)).to_filename(directory / "a.img")
    header = directory / "a.hdr"
    content = header.read_bytes()
    dtype = kind.header_class.template_dtype
    record = np.frombuffer(content, dtype, count=1).copy().reshape(())
    for field, index in data.draw(
        st.lists(st.sampled_from(list(places(dtype))), min_size=1, max_size=3)
    ):
        with np.errstate(over="ignore"):
            record[field][index] = data.draw(st.sampled_from(values(dtype, field)))
    header.write_bytes(record.tobytes() + content[dtype.itemsize :])
    outcome(header, directory)


@settings(max_examples=25)
@given(data=st.data())
@pytest.mark.parametrize("name", ["example_nifti2.nii.gz", "test.mgz"])
def test_changed_compressed_bytes_never_change_a_store(mri, directory, name, data):
    content = bytearray((mri / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    path = directory / name
    path.write_bytes(content)
    if outcome(path, directory) is None:
        check_store(directory / f"{stem(path)}.nii.zarr", expected(mri / name))


@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize("name", ["anatomical.nii", "example_nifti2.nii.gz", "test.mgz"])
def test_files_truncated_anywhere_are_refused(mri, directory, name, data):
    content = (mri / name).read_bytes()
    path = directory / name
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert outcome(path, directory) is not None


def refused(path, message="."):
    with pytest.raises(SourceError, match=message) as error:
        open_source(path)
    assert str(path) in str(error.value)


@pytest.fixture(params=["a.nii", "a.nii.gz"])
def path(request, tmp_path):
    return tmp_path / request.param


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, -1, "damaged: it has -1 dimensions, in the byte order of its sizeof_hdr"),
        (0, 0, "damaged: it has 0 dimensions"),
        (0, 8, "damaged: it has 8 dimensions"),
        (1, 0, r"the image has shape \(0, 41, 25\)"),
        (2, -41, r"the image has shape \(33, -41, 25\)"),
        (slice(1, 4), 2**15 - 1, "cut short: .* its voxels end at byte 70362301923678"),
        (slice(0, 8), 2**15 - 1, "damaged: it has 32767 dimensions"),
    ],
)
def test_absurd_dimensions_are_refused_at_once(contents, path, frugal, index, value, message):
    write(path, with_field(contents["anatomical.nii"], "dim", value, index))
    refused(path, message)


@pytest.mark.parametrize("length", [2**31, 2**62, 2**63 - 1, -(2**63)])
def test_huge_dimensions_of_nifti_2_are_refused(contents, path, frugal, length):
    write(path, with_field(contents["example_nifti2.nii.gz"], "dim", length, slice(1, 5)))
    refused(path, "cut short" if length > 0 else "the image has shape")


def test_dimensions_of_freesurfer_in_glmin_are_read(contents, tmp_path):
    content = with_field(contents["anatomical.nii"], "dim", [3, -1, 1, 1, 1, 1, 1, 1])
    content = with_field(with_field(content, "glmin", 33000), "datatype", 2)
    path = write(tmp_path / "a.nii", content)
    assert outcome(path, tmp_path) is None


@pytest.mark.parametrize("name", ["anatomical.nii", "example_nifti2.nii.gz"])
@pytest.mark.parametrize("size", [0, -2, NAN, INF, -INF, 1e-45, 3e38])
def test_voxel_sizes_are_always_positive(contents, tmp_path, name, size):
    content = with_field(contents[name], "pixdim", size, slice(None))
    path = write(tmp_path / name, content)
    assert outcome(path, tmp_path, ome={"ome_version": "0.6"}) is None
    assert set(open_source(path).voxel_size) == {2.0 if size == -2 else 1.0}


@pytest.mark.parametrize("slope", [0, NAN, INF, -INF])
def test_an_invalid_slope_is_ignored(contents, tmp_path, slope):
    path = write(tmp_path / "a.nii", with_field(contents["functional.nii"], "scl_slope", slope))
    assert outcome(path, tmp_path) is None
    assert (open_source(path).slope, open_source(path).inter) == (1, 0)


@pytest.mark.parametrize("inter", [NAN, INF])
def test_an_invalid_intercept_is_refused(contents, path, inter):
    write(path, with_field(contents["functional.nii"], "scl_inter", inter))
    refused(path, "invalid intercept")


@pytest.mark.parametrize("value", [0, NAN, INF, -3e38])
@pytest.mark.parametrize("field", ["srow_x", "qoffset_x", "quatern_b"])
def test_an_invalid_affine_is_ignored(contents, tmp_path, field, value):
    content = contents["anatomical.nii"]
    for form in ("sform", "qform"):
        content = with_field(content, f"{form}_code", int(form[0] == field[0]))
    path = write(tmp_path / "a.nii", with_field(content, field, value, ...))
    error = outcome(path, tmp_path, ome={"ome_version": "0.6"})
    assert error is None or field == "quatern_b"


def test_a_qfac_of_0_is_1(contents, tmp_path):
    content = with_field(contents["anatomical.nii"], "pixdim", 0, 0)
    content = with_field(with_field(content, "sform_code", 0), "qform_code", 1)
    path = write(tmp_path / "a.nii", content)
    assert outcome(path, tmp_path) is None
    np.testing.assert_allclose(nifti.affine(content, "qform"), nibabel.load(path).affine)


@pytest.mark.parametrize("offset", [0, 100, -1, -352, 1e9, 3e38, NAN, INF, -INF])
def test_an_absurd_voxel_offset_is_refused(contents, path, frugal, offset):
    for extender in (0, 1):
        content = with_field(contents["anatomical.nii"], "vox_offset", offset)
        write(path, content[:348] + bytes([extender]) + content[349:])
        refused(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
@pytest.mark.parametrize("size", [0, 7, -1, -(2**31), 2**31 - 1, 4096])
def test_an_absurd_extension_is_refused_without_allocating(tmp_path, frugal, name, size):
    kind = nibabel.Nifti1Pair if name == "a.hdr" else nibabel.Nifti1Image
    image = kind(np.zeros((4, 5, 6), "u1"), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"hello"))
    path = tmp_path / name
    image.to_filename(path)
    content = path.read_bytes() if name != "a.nii.gz" else gzip.decompress(path.read_bytes())
    content = content[:352] + np.int32(size).tobytes() + content[356:]
    if name == "a.nii.gz":
        path.write_bytes(gzip.compress(content) + zeros(2**30))
    else:
        path.write_bytes(content)
        os.truncate(path, 2**30)
    limit = (
        "its header has more than 33554432" if name == "a.hdr" else "the extension at byte 352 of"
    )
    refused(path, limit)


def test_extensions_may_have_any_size_that_fits(contents, tmp_path):
    content = contents["example4d.nii.gz"]
    assert content[348]
    path = write(tmp_path / "a.nii", content[:352] + np.int32(63).tobytes() + content[356:])
    assert outcome(path, tmp_path) is None


@pytest.mark.parametrize("code", [-1, 0, 1, 3, 5, 1536, 1537, 2048, 32767])
def test_unknown_data_types_are_refused(contents, path, code):
    write(path, with_field(contents["anatomical.nii"], "datatype", code))
    refused(path, "data code|Zarr")


def test_bitpix_is_ignored(contents, tmp_path):
    path = write(tmp_path / "a.nii", with_field(contents["anatomical.nii"], "bitpix", 7))
    assert outcome(path, tmp_path) is None


@pytest.mark.parametrize("field", ["sizeof_hdr", "dim"])
def test_a_header_with_mixed_byte_orders_is_refused(contents, path, field):
    content = contents["anatomical.nii"]
    write(path, with_field(content, field, nifti.fields(content)[field].byteswap()))
    refused(path, "byte order|not an image")


@pytest.mark.parametrize("field", ["type", "version", "dims"])
def test_an_invalid_mgh_header_is_refused(contents, tmp_path, field):
    place = {"version": 0, "dims": 4, "type": 20}[field]
    for value in (-1, 0, 2**31 - 1):
        content = bytearray(contents["test.mgz"])
        content[place : place + 4] = int(value).to_bytes(4, "big", signed=True)
        path = write(tmp_path / "a.mgz", bytes(content))
        if (field, value) != ("type", 0):  # of bytes
            refused(path)


# Compressed files


def zeros(size):
    """As many zeros, compressed (gzip members may follow each other): a thousandth of it."""
    return gzip.compress(bytes(16 * MB), mtime=0) * (size // (16 * MB))


def test_an_impossible_compression_ratio_is_refused(contents, tmp_path, frugal):
    message = "cut short: [0-9]+ bytes, compressed, but its voxels end at byte"
    content = with_field(contents["anatomical.nii"], "dim", 3000, slice(1, 4))
    refused(write(tmp_path / "a.nii.gz", content), message)
    dims = np.full(3, 30_000, ">i4").tobytes()
    content = contents["test.mgz"]
    refused(write(tmp_path / "a.mgz", content[:4] + dims + content[16:]), message)


def test_a_bomb_after_the_voxels_is_not_decompressed(contents, tmp_path, frugal, caplog):
    path = write(tmp_path / "a.nii.gz", contents["anatomical.nii"])
    with path.open("ab") as file:
        file.write(zeros(2**33))
    assert outcome(path, tmp_path) is None
    assert "a.nii.gz: more than 268435456 bytes follow the voxels" in caplog.text


@pytest.mark.parametrize("end", [-8, -1, 0])
@pytest.mark.parametrize("name", ["anatomical.nii", "test.mgz"])
def test_the_gzip_checksum_is_verified(contents, tmp_path, name, end):
    path = write(tmp_path / f"a{'.nii.gz' if 'nii' in name else '.mgz'}", contents[name])
    assert outcome(path, tmp_path) is None
    content = bytearray(path.read_bytes())
    if end:
        content[end] ^= 1
    else:
        del content[-4:]
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"voxels cannot be read|not an image"):
        convert(path, tmp_path, SMALL)


# What is no file


@pytest.mark.parametrize(
    "name",
    [
        "a.nii",
        "a.nii.gz",
        "a.mgz",
        "a.hdr",
        "a.img",
        "a.mrc",
        "a.map.gz",
        "a.rec",
        "a.nrrd",
        "a.mhd",
    ],
)
def test_pipes_devices_and_directories_are_refused(tmp_path, name):
    path = tmp_path / name
    path.mkdir()
    refused(path, "a directory, a pipe or a device, not a file")
    path.rmdir()
    os.mkfifo(path)
    refused(path, "a directory, a pipe or a device, not a file")
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(path, "a directory, a pipe or a device, not a file")
    path.unlink()
    path.symlink_to(path)
    refused(path, "there is no such file")
    path.unlink()
    path.touch()
    refused(path, "not an? |missing|cut short|the file is empty")
    refused(tmp_path / ("long" * 999 + name), "there is no such file")


@pytest.mark.parametrize("name", ["a.hdr", "a.mat"])
def test_a_pair_with_a_pipe_is_refused(tmp_path, name):
    image = nibabel.Spm99AnalyzeImage(np.zeros((4, 5, 6), "u1"), np.eye(4))
    image.to_filename(tmp_path / "a.img")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match=rf"{name}: a directory, a pipe or a device"):
        open_source(tmp_path / "a.img")


def test_an_invalid_mat_file_is_refused(tmp_path):
    image = nibabel.Spm99AnalyzeImage(np.zeros((4, 5, 6), "u1"), np.eye(4))
    image.to_filename(tmp_path / "a.img")
    (tmp_path / "a.mat").write_bytes(b"nothing of MATLAB")
    refused(tmp_path / "a.img", "not an image that nibabel can open")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
@pytest.mark.parametrize("name", ["a.hdr", "a.img"])
def test_an_unreadable_file_is_refused(tmp_path, name):
    nibabel.Nifti1Pair(np.zeros((4, 5, 6), "u1"), np.eye(4)).to_filename(tmp_path / "a.img")
    (tmp_path / name).chmod(0)
    with pytest.raises(SourceError, match=r"[Pp]ermission denied"):
        open_source(tmp_path / "a.img")


def test_a_template_is_checked_like_a_source(contents, tmp_path, frugal):
    source = write(tmp_path / "a.nii", contents["anatomical.nii"])
    pipe, bomb = tmp_path / "pipe.nii", tmp_path / "bomb.nii.gz"
    os.mkfifo(pipe)
    content = with_field(contents["anatomical.nii"], "vox_offset", 1e9)
    bomb.write_bytes(gzip.compress(content[:348] + b"\1\0\0\0") + zeros(2**30))
    for template, message in ((pipe, "not a file"), (bomb, "its vox_offset is 1e[+]09")):
        with pytest.raises(ConfigError, match=f"nifti.header {template}: .*{message}"):
            convert(source, tmp_path, SMALL | {"nifti": {"header": str(template)}})


# Configurations and sheets


@pytest.fixture
def read(contents, tmp_path, monkeypatch):
    """Reads a configuration, or a sheet, in a directory with one image."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.nii", contents["anatomical.nii"])

    def read(config=None, sheet=None):
        if sheet is not None:
            (tmp_path / "samples.tsv").write_bytes(
                sheet if isinstance(sheet, bytes) else sheet.encode()
            )
        return read_run(config or {"samples": "samples.tsv"})[1]

    return read


NAMES = ["../x", "/x", ".", "..", "x/y", "x\\y", "x\0y", '"x\ny"', ".x", "-x", ".state", "~", "$x"]
NAMES += ["x*", "x y", "{x}", "é", "x" * 201, "\ufeffx"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_sample_names_must_be_file_names(read, name):
    with pytest.raises(ConfigError, match=r"samples.tsv, line [23]: sample is .*; allowed: a name"):
        read(sheet=f"sample\tsource\n{name}\ta.nii\n")


@settings(max_examples=25)
@given(name=st.text(max_size=5))
def test_any_valid_sample_name_stays_in_the_output(contents, directory, name):
    (directory / "a.nii").write_bytes(contents["anatomical.nii"])
    sheet = directory / "samples.tsv"
    sheet.write_text(f"sample\tsource\n{name}\t{directory / 'a.nii'}\n", "utf-8", "surrogatepass")
    try:
        (taken,) = read_run({"samples": str(sheet)})[1]
    except ConfigError:
        return
    assert os.path.normpath(taken) == os.path.basename(taken) == taken.strip()
    assert taken[0] not in ".-"


@pytest.mark.parametrize(
    ("file", "name"),
    [("b\n.nii", "b"), ("-a.nii", "a"), ("..nii", "image"), (".nii", "image"), ("a b.nii", "a_b")],
)
def test_a_file_name_that_is_no_sample_name_becomes_one(read, file, name):
    shutil.copy("a.nii", file)
    assert [*read({"source": file})] == [name]


def test_a_file_name_that_is_too_long_for_a_sample_is_refused(read):
    file = "x" * 210 + ".nii"
    shutil.copy("a.nii", file)
    with pytest.raises(ConfigError, match=r"config: source x*\.nii: sample is .*; allowed: a name"):
        read({"source": file})


LAUGHS = "[&a [x,x,x,x,x,x,x,x,x]"
for letter, last in zip("bcdefghi", "abcdefgh", strict=True):
    LAUGHS += f",&{letter} [{','.join([f'*{last}'] * 9)}]"
LAUGHS += "]"
TEXTS = ['!!python/object/apply:os.system ["touch here"]', "!!python/name:os.system", LAUGHS]
TEXTS += ["&a [*a]", "[" * 900, "9" * 5000, "2024-13-45", "0b_", "!!int x", "!!timestamp x", "{"]
TEXTS += ["\x01", "!!pairs [a: [&b [x, x], *b]]"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
@pytest.mark.parametrize("option", ["zarr.chunk", "zarr.compressor_options"])
def test_option_values_cannot_run_code_or_exhaust_memory(read, text, option):
    group, name = option.split(".")
    with pytest.raises(ConfigError, match=rf"line 2: {option} is ") as error:
        read(sheet=f"sample\tsource\t{option}\na\ta.nii\t{text}\n")
    assert len(str(error.value)) < 1000
    with pytest.raises(ConfigError, match=rf"config: {option} is "):
        read({"source": "a.nii", group: {name: text}})
    assert not os.path.exists("here")


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "vast", [yaml.safe_load(LAUGHS), yaml.safe_load("&a [*a]"), nested(10**5)], ids="abc"
)
def test_yaml_bombs_are_refused(read, frugal, vast):
    configs = [{name: vast} for name in ("source", "samples", "output", "zarr", "other")]
    for config in [*configs, {"source": "a.nii", "zarr": {"chunk": vast}}]:
        with pytest.raises(ConfigError, match="config: more than 1000000 values, or"):
            read(config)


@pytest.mark.parametrize("config", [{3: 4}, {"zarr": {3: 4}}, {"zarr": {None: 4}}], ids=str)
def test_names_of_options_must_be_text(read, config):
    with pytest.raises(ConfigError, match="unknown option"):
        read({"source": "a.nii"} | config)


def test_configuration_files_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(f"source: {TEXTS[0]}\n")
    with pytest.raises(WorkflowError):
        load_configfile("config.yaml")
    assert not os.path.exists("here")


@pytest.mark.parametrize(
    "config",
    [
        {"source": "a\0.nii"},
        {"source": ["a\0/*.nii"]},
        {"source": "a" * 5000},
        {"samples": "a\0"},
        {"source": "a.nii", "output": "a\0"},
        {"source": "a.nii", "nifti": {"header": "a\0"}},
    ],
    ids=lambda config: ascii(config)[:40],
)
def test_invalid_paths_are_refused(read, config):
    with pytest.raises(ConfigError, match="config: "):
        read(config)


@pytest.mark.parametrize(
    ("output", "what"),
    [
        ("a.nii", "a.nii is no directory"),
        ("a.nii/b", "a.nii is no directory"),
        ("link/b", "link is no directory"),
        ("away", "away is a link to purged, which does not exist"),
        ("away/b/c", "away is a link to purged, which does not exist"),
        ("loop", "loop is a link to loop"),
    ],
)
def test_output_below_what_is_no_directory_is_refused(read, output, what):
    for link, to in (("link", "a.nii"), ("away", "purged"), ("loop", "loop")):
        os.symlink(to, link)
    with pytest.raises(
        ConfigError, match=f"output is '{output}', but /.*/{what}.*; choose another"
    ):
        read({"source": "a.nii", "output": output})


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        ("", "samples.tsv: column 'sample' is missing"),
        ("\n\n", "samples.tsv: column 'sample' is missing"),
        ("a\ta.nii\n", "samples.tsv: unknown column 'a'"),
        ("sam\0ple\tsource\na\ta.nii\n", "unknown column 'sam.x00ple'"),
        ("sample\tsource\na\ta.\0nii\n", "line 2: source is 'a..x00nii'"),
        ("sample\tsource\tsource\na\ta\tb\n", "there are two columns 'source'"),
        ("sample\tsource\na\ta.nii\n".encode("utf-16")[:-1], "samples.tsv is not UTF-8 text"),
        (b"sample\tsource\na\t\xff.nii\n", "not UTF-8 text .*: save it as UTF-8 or, in Excel, as"),
        (f'sample\tsource\na\t"{"x" * 200_000}"\n', "cannot be read: field larger than"),
        ('sample\tsource\n"a\ta.nii\nb\ta.nii\n', "line 3: source is missing"),
        ("sample\tsource\tvoxel_size\na\ta.nii\t1.2.3\n", "voxel_size is '1.2.3'"),
        ("sample\tsource\tvoxel_size\na\ta.nii\t.\n", "voxel_size is '.'"),
    ],
    ids=range(12),
)
def test_a_malformed_sheet_is_refused(read, sheet, message):
    with pytest.raises(ConfigError, match=message):
        read(sheet=sheet)


@pytest.mark.parametrize("size", ["0", "1e999", "1e-999", "1e300", "1,2"])
def test_an_invalid_voxel_size_is_refused(read, size):
    sample = read(sheet=f"sample\tsource\tvoxel_size\na\ta.nii\t{size}\n")["a"]
    with pytest.raises(SourceError, match=r"a\.nii: voxel_size is .*; allowed: 3 positive numbers"):
        sample.check()


def test_a_sheet_that_is_a_pipe_or_directory_is_refused(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("pipe", ".", "/dev/zero"):
        with pytest.raises(ConfigError, match=f"samples {path}: a directory, a pipe or a device"):
            read({"samples": path})
