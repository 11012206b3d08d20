"""MINC, PAR/REC and AFNI images: nibabel is the oracle."""

import gzip
import itertools
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.externals.netcdf import netcdf_file
from nibabel.parrec import PARRECImage, parse_PAR_header

from neurozarr.errors import SourceError
from neurozarr.regions import regions as tiles
from neurozarr.regions import whole
from neurozarr.sources import open_source, stem
from neurozarr.sources.scaled_image import _Netcdf

from .conversions import convert, exported
from .families import assert_holds, regions

# nibabel warns of what it finds in its own files.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Invalid spacing declaration"),
    pytest.mark.filterwarnings("ignore:multiple TRs"),
]

#: Whether a file's slices or volumes have scales of their own, so that its voxels are real values.
REAL = {
    "small.mnc": True,
    "tiny.mnc": True,
    "minc1_1_scale.mnc": False,
    "minc1_4d.mnc": True,
    "minc1-no-att.mnc": False,
    "minc2_1_scale.mnc": False,
    "minc2_4d.mnc": True,
    "minc2-4d-d.mnc": True,
    "minc2-no-att.mnc": False,
    "minc2_baddim.mnc": True,
    "phantom_EPI_asc_CLEAR_2_1.PAR": False,
    "phantom_EPI_asc_CLEAR_2_1.REC": False,
    "phantom_varscale.PAR": True,
    "example4d+orig.HEAD": False,
    "example4d+orig.BRIK.gz": False,
    "scaled+tlrc.HEAD": False,
    "scaled+tlrc.BRIK": False,
}
AXES = {"time": "t", "vector_dimension": "c", "zspace": "z", "yspace": "y", "xspace": "x"}


def load(path):
    """What nibabel reads: the axes of the array, its real values, and the affine of x, y and z."""
    kind = PARRECImage if path.suffix.lower() in (".par", ".rec") else nibabel
    strict = {"strict_sort": True} if kind is PARRECImage else {}
    image = kind.load(path, **strict)
    axes = "xyzt"[: len(image.shape)]
    if path.name.endswith((".mnc", ".mnc.gz")):
        axes = "".join(AXES[name] for name in image.dataobj.minc_file._dim_names)
    spatial = [axis for axis in axes if axis in "xyz"]
    affine = image.affine[:, [*(spatial.index(axis) for axis in "xyz"), 3]]
    values = np.asarray(image.dataobj)
    if kind is PARRECImage:
        image.dataobj.file_like.close()
    return axes, values, affine


def real_values(path):
    """The real values that nibabel reads, along the stored axes."""
    axes, values, _ = load(path)
    return values.transpose([axes.index(axis) for axis in "tczyx" if axis in axes])


def stored_values(source, path):
    """What a source should hold, by the real values that nibabel reads."""
    stored = (real_values(path) - source.inter) / source.slope
    return stored.astype("f8") if source.dtype.kind == "f" else np.rint(stored).astype(source.dtype)


def corners(affine, shape):
    """Where the corners of a volume of shape x, y, z are."""
    indices = itertools.product(*[(0, length - 1) for length in shape])
    return nibabel.affines.apply_affine(affine, list(indices))


def assert_same(source, path):
    np.testing.assert_array_equal(source.read(whole(source.shape)), stored_values(source, path))
    np.testing.assert_allclose(source.affine, load(path)[2], atol=1e-9)


@pytest.mark.parametrize("name", REAL)
def test_voxels_equal_those_of_nibabel(mri, name):
    source = open_source(mri / name)
    assert_holds(source, stored_values(source, mri / name))
    assert (source.dtype.kind == "f") == REAL[name]
    real = source.read(whole(source.shape)) * source.slope + source.inter
    np.testing.assert_allclose(real, real_values(mri / name), rtol=1e-13)


@pytest.fixture(scope="module", params=REAL)
def opened(request, mri):
    source = open_source(mri / request.param)
    return source, stored_values(source, mri / request.param)


@given(data=st.data())
def test_a_region_equals_a_slice_of_the_whole(opened, data):
    assert_holds(*opened, data)


@pytest.mark.parametrize("name", REAL)
def test_the_affine_equals_that_of_nibabel(mri, name):
    source = open_source(mri / name)
    shape = source.shape[:-4:-1]
    expected = corners(load(mri / name)[2], shape)
    np.testing.assert_allclose(corners(source.affine, shape), expected, atol=1e-9)
    np.testing.assert_allclose(
        source.voxel_size[::-1], nibabel.affines.voxel_sizes(source.affine), rtol=1e-6
    )
    assert source.space_unit == "millimeter"


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("phantom_EPI_asc_CLEAR_2_1.PAR", (2.0, "second")),
        ("example4d+orig.HEAD", (3.0, "second")),
        ("scaled+tlrc.HEAD", (1.0, "")),
        ("minc2-4d-d.mnc", (1.0, "second")),
        ("minc1_4d.mnc", (1.0, "")),
    ],
)
def test_time_steps_are_read_from_the_header(mri, name, time):
    source = open_source(mri / name)
    assert (source.time_step, source.time_unit) == time


def test_a_voxel_size_missing_in_minc_is_unknown(mri, caplog):
    open_source(mri / "minc1-no-att.mnc")
    assert "the voxel size is unknown" in caplog.text


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("phantom_varscale.PAR", "phantom_varscale.REC"),
        ("phantom_varscale.REC", "phantom_varscale.PAR"),
        ("example4d+orig.HEAD", "example4d+orig.BRIK"),
    ],
)
def test_a_pair_with_a_pipe_is_refused(mri, tmp_path, name, other):
    shutil.copy(mri / name, tmp_path)
    os.mkfifo(tmp_path / other)
    with pytest.raises(SourceError, match=re.escape(f"{other}: a directory, a pipe or a device")):
        open_source(tmp_path / name)


def test_sources_of_virtual_minc_2_datasets_are_checked(mri, tmp_path):
    path = tmp_path / "minc2_1_scale.mnc"
    shutil.copy(mri / path.name, path)
    expected = open_source(mri / path.name)
    voxels = expected.read(whole(expected.shape))
    with h5py.File(path, "r+") as file:
        image = file["minc-2.0/image/0/image"]
        attributes, shape, dtype = dict(image.attrs), image.shape, image.dtype
        with h5py.File(tmp_path / "b.h5", "w") as other:
            other["v"] = image[...]
        del file["minc-2.0/image/0/image"]
        layout = h5py.VirtualLayout(shape, dtype)
        layout[:] = h5py.VirtualSource("b.h5", "v", shape)
        file.create_virtual_dataset("minc-2.0/image/0/image", layout).attrs.update(attributes)
    source = open_source(path)
    assert source.files == (path, tmp_path / "b.h5")
    np.testing.assert_array_equal(source.read(whole(source.shape)), voxels)
    (tmp_path / "b.h5").unlink()
    with pytest.raises(SourceError, match=r"b\.h5, a source of .*, is missing"):
        open_source(path)
    os.mkfifo(tmp_path / "b.h5")
    with pytest.raises(SourceError, match=r"b\.h5: a directory, a pipe or a device"):
        open_source(path)


def test_warnings_of_nibabel_are_logged(mri, caplog):
    open_source(mri / "minc2_baddim.mnc")
    assert "minc2_baddim.mnc: Invalid spacing declaration" in caplog.text


def test_both_files_of_a_pair_are_listed(mri):
    for name in ("phantom_varscale.PAR", "phantom_varscale.REC"):
        names = {file.name for file in open_source(mri / name).files}
        assert names == {"phantom_varscale.PAR", "phantom_varscale.REC"}
    for name in ("example4d+orig.HEAD", "example4d+orig.BRIK.gz"):
        names = {file.name for file in open_source(mri / name).files}
        assert names == {"example4d+orig.HEAD", "example4d+orig.BRIK.gz"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("brain+orig.HEAD", "brain+orig"),
        ("brain+orig.BRIK.gz", "brain+orig"),
        ("T1.PAR", "T1"),
        ("t1.rec", "t1"),
        ("a.b.mnc.gz", "a.b"),
    ],
)
def test_a_sample_is_named_after_its_file(name, expected):
    assert stem(name) == expected


def test_the_user_can_make_volumes_channels(mri):
    source = open_source(mri / "phantom_varscale.PAR", axes="czyx")
    assert (source.axes, source.time_step, source.time_unit) == ("czyx", 1.0, "")
    np.testing.assert_array_equal(
        source.read(whole(source.shape)), real_values(mri / "phantom_varscale.PAR")
    )
    with pytest.raises(SourceError, match=r"axes is 'zyx'; allowed .*: tzyx or czyx"):
        open_source(mri / "phantom_varscale.PAR", axes="zyx")
    with pytest.raises(SourceError, match=r"axes is 'xyz'; allowed .*: zyx$"):
        open_source(mri / "tiny.mnc", axes="xyz")


@pytest.mark.parametrize(
    "name", ["small.mnc", "tiny.mnc", "minc2-4d-d.mnc", "phantom_varscale.PAR", "scaled+tlrc.BRIK"]
)
def test_threads_read_the_same_voxels(mri, name):
    source = open_source(mri / name)
    expected = stored_values(source, mri / name)
    boxes = list(tiles(whole(source.shape), [max(n // 2, 1) for n in source.shape])) * 4
    with ThreadPoolExecutor(6) as pool:
        for box, found in zip(boxes, pool.map(source.read, boxes), strict=True):
            np.testing.assert_array_equal(found, expected[box])


@pytest.mark.parametrize(
    "name",
    [
        "small.mnc",
        "minc2-4d-d.mnc",
        "minc1_1_scale.mnc",
        "phantom_EPI_asc_CLEAR_2_1.PAR",
        "phantom_varscale.PAR",
        "example4d+orig.HEAD",
        "scaled+tlrc.HEAD",
    ],
)
def test_conversion_keeps_values_and_affine(mri, tmp_path, name):
    store, _ = convert(mri / name, tmp_path, {"zarr": {"chunk": 32}, "pyramid": {"levels": 0}})
    image = nibabel.Nifti1Image.from_bytes(exported(store))
    _, _, affine = load(mri / name)
    np.testing.assert_allclose(np.asarray(image.dataobj).T, real_values(mri / name), rtol=1e-6)
    shape = image.shape[:3]
    np.testing.assert_allclose(corners(image.affine, shape), corners(affine, shape), atol=1e-4)
    kind = np.dtype("f8") if REAL[name] else open_source(mri / name).dtype
    assert image.get_data_dtype() == kind


# MINC, written as its specification has it


NAMES = {axis: name for name, axis in AXES.items()}


@st.composite
def mincs(draw):
    """Axes, shape, dtype, valid range, number of axes of scales, steps, starts and directions."""
    axes = "".join(draw(st.permutations("xyz")))
    place = draw(st.integers(0, 3))
    axes = axes[:place] + draw(st.sampled_from(["", "t", "c"])) + axes[place:]
    dtype = draw(st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]))
    limits = None
    if dtype[0] != "f" and draw(st.booleans()):
        limits = sorted(draw(st.lists(st.integers(0, 120), min_size=2, max_size=2, unique=True)))
        limits[1] += draw(st.sampled_from([0, 0.5]))
    return {
        "axes": axes,
        "shape": tuple(draw(st.integers(1, 5)) for _ in axes),
        "dtype": dtype,
        "limits": limits,
        "scaled": draw(st.integers(0, 2)),
        "steps": {axis: draw(st.sampled_from([-2.0, 0.5, 3.0])) for axis in "xyztc"},
        "starts": {axis: draw(st.integers(-9, 9)) for axis in "xyztc"},
        "turn": draw(st.floats(-1, 1)),
        "chunks": draw(st.booleans()),
    }


def minc_parts(made):
    """The voxels, the least and greatest values, and the attributes of each dimension."""
    rng = np.random.default_rng(0)
    shape, scaled = made["shape"], made["shape"][: made["scaled"]]
    if made["dtype"][0] == "f":
        voxels = rng.normal(size=shape).astype(made["dtype"])
    else:
        info = np.iinfo(made["dtype"])
        voxels = rng.integers(info.min, info.max, shape, made["dtype"], endpoint=True)
    low, high = rng.uniform(-9, 0, scaled), rng.uniform(1, 9, scaled)
    c, s = np.cos(made["turn"]), np.sin(made["turn"])
    turned = {"x": [c, s, 0.0], "y": [-s, c, 0.0], "z": [0.0, 0.0, 1.0]}
    dimensions = {}
    for axis in made["axes"]:
        said = {"spacing": b"regular__", "step": made["steps"][axis]}
        said["start"] = float(made["starts"][axis])
        if axis in "xyz":
            said |= {"units": b"mm", "direction_cosines": np.array(turned[axis])}
        dimensions[NAMES[axis]] = said | ({"units": b"s"} if axis == "t" else {})
    return voxels, low, high, dimensions


def write_minc2(path, made, **options):
    voxels, low, high, dimensions = minc_parts(made)
    order = ",".join(dimensions)
    with h5py.File(path, "w") as file:
        for name, said in dimensions.items():
            group = file.create_group(f"minc-2.0/dimensions/{name}")
            for key, value in said.items():
                group.attrs[key] = np.bytes_(value) if isinstance(value, bytes) else value
        group = file.create_group("minc-2.0/image/0")
        chunks = tuple(min(2, length) for length in voxels.shape) if made["chunks"] else None
        image = group.create_dataset("image", data=voxels, chunks=chunks)
        image.attrs["dimorder"] = np.bytes_(order)
        if made["limits"]:
            image.attrs["valid_range"] = np.array(made["limits"], "f8")
        for name, values in (("image-min", low), ("image-max", high)):
            group[name] = values
            group[name].attrs["dimorder"] = np.bytes_(order)
    return path


def write_minc1(path, made):
    voxels, low, high, dimensions = minc_parts(made)
    with netcdf_file(path, "w") as file:
        for (name, said), length in zip(dimensions.items(), voxels.shape, strict=True):
            file.createDimension(name, length)
            variable = file.createVariable(name, "i", ())
            for key, value in said.items():
                setattr(variable, key, value)
        names = tuple(dimensions)
        code = {"1": "b", "2": "h", "4": "i", "f4": "f", "f8": "d"}
        code = code.get(made["dtype"]) or code[made["dtype"][1]]
        image = file.createVariable("image", code, names)
        image[...] = voxels.view(f"i{voxels.itemsize}") if code in "bhi" else voxels
        image.signtype = b"unsigned" if made["dtype"][0] == "u" else b"signed__"
        if made["limits"]:
            image.valid_range = np.array(made["limits"], "f8")
        for name, values in (("image-min", low), ("image-max", high)):
            variable = file.createVariable(name, "d", names[: made["scaled"]])
            variable.data[...] = values
    return path


def assert_minc(path, made, data):
    source = open_source(path)
    assert source.file_axes == made["axes"]
    assert source.file_shape == made["shape"]
    assert_same(source, path)
    box = data.draw(regions(source.shape))
    np.testing.assert_array_equal(source.read(box), stored_values(source, path)[box])
    assert source.voxel_size == tuple(abs(made["steps"][axis]) for axis in "zyx")
    if "t" in made["axes"]:
        assert (source.time_step, source.time_unit) == (abs(made["steps"]["t"]), "second")
    return source


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("minc")


@given(data=st.data(), made=mincs())
def test_generated_minc_2_equals_that_of_nibabel(directory, made, data):
    source = assert_minc(write_minc2(directory / "a.mnc", made), made, data)
    chunks = tuple(min(2, length) for length in made["shape"]) if made["chunks"] else None
    assert source.file_native_chunk_shape == chunks


@given(data=st.data(), made=mincs())
def test_generated_minc_1_equals_that_of_nibabel(directory, made, data):
    assert_minc(write_minc1(directory / "b.mnc", made), made, data)


MADE = {
    "axes": "tzyx",
    "shape": (2, 3, 4, 5),
    "dtype": "i2",
    "limits": None,
    "scaled": 1,
    "steps": dict.fromkeys("xyzt", 2.0),
    "starts": dict.fromkeys("xyzt", 1),
    "turn": 0.0,
    "chunks": False,
}


def test_a_compressed_minc_1_is_read_in_order(mri, tmp_path):
    for name in ("tiny.mnc", "minc1_4d.mnc"):
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress((mri / name).read_bytes()))
        source = open_source(path)
        assert source.in_order
        assert_same(source, path)
        planes = [slice(length - 1, length) for length in source.shape]
        found = [source.read((*planes[:-2], *whole(source.shape)[-2:])) for _ in range(2)]
        np.testing.assert_array_equal(*found)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(SourceError, match=r"\.mnc\.gz: its header cannot be read"):
        open_source(path)


@pytest.mark.parametrize("axes", ["xtzy", "tyzx"])
def test_compressed_minc_1_with_any_axes_is_converted(tmp_path, axes):
    made = MADE | {"axes": axes, "shape": (20, 3, 30, 40), "scaled": 2}
    path = write_minc1(tmp_path / "b.mnc", made)
    (tmp_path / "a.mnc.gz").write_bytes(gzip.compress(path.read_bytes()))
    store, _ = convert(tmp_path / "a.mnc.gz", tmp_path, {"zarr": {"chunk": 16}})
    image = nibabel.Nifti1Image.from_bytes(exported(store))
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, real_values(path))
    np.testing.assert_allclose(image.affine, load(path)[2], atol=1e-5)


def test_a_slope_that_nifti_cannot_hold_gives_real_values(tmp_path):
    path = write_minc2(tmp_path / "a.mnc", MADE | {"scaled": 0})
    with h5py.File(path, "a") as file:
        file["minc-2.0/image/0/image-max"][...] = file["minc-2.0/image/0/image-min"][()]
    source = open_source(path)
    assert source.dtype == np.dtype("f8")
    assert_same(source, path)


def refused(path, message):
    with pytest.raises(SourceError, match=rf"{re.escape(path.name)}: {message}"):
        open_source(path)


def test_damaged_minc_is_refused(mri, tmp_path):
    def changed(change):
        path = write_minc2(tmp_path / "a.mnc", MADE)
        with h5py.File(path, "a") as file:
            change(file)
        return path

    image = "minc-2.0/image/0/image"
    refused(changed(lambda file: file.pop("minc-2.0")), "its header cannot be read")
    refused(
        changed(lambda file: file[image].attrs.modify("valid_range", [0, 70_000])),
        "its header cannot be read .Valid range outside input data type range",
    )
    refused(
        changed(lambda file: file[image].attrs.pop("dimorder")),
        r"its dimensions are not named, of shape \(2, 3, 4, 5\); only xspace",
    )
    refused(
        changed(lambda file: file[f"{image}-min"].attrs.modify("dimorder", np.bytes_("zspace"))),
        "its header cannot be read .*image-max.* do not have the same dimensions",
    )
    dimension = "minc-2.0/dimensions/zspace"
    refused(
        changed(lambda file: file[dimension].attrs.modify("spacing", np.bytes_("irregular"))),
        r"its header cannot be read \(Irregular spacing not supported\)",
    )
    path = tmp_path / "b.mnc"
    content = (mri / "tiny.mnc").read_bytes()
    for cut in (content[:200], content[:2000], content[:-100]):
        path.write_bytes(cut)
        refused(path, "")
    path.write_bytes(content)
    with path.open("rb") as file:
        start = _Netcdf(file, mmap=False).image_start
    places = [np.array(place, ">i4").tobytes() for place in (start, -start)]
    path.write_bytes(content.replace(*places))
    refused(path, rf"shape \(10, 20, 20\) at byte -{start}: its header is damaged")
    path.write_bytes((mri / "small.mnc").read_bytes()[:9000])
    refused(path, "")
    path.write_bytes(b"hello")
    refused(path, r"neither MINC 1 \(netCDF\) nor MINC 2 \(HDF5\)")
    path = tmp_path / "c.mnc.gz"
    path.write_bytes(gzip.compress((mri / "small.mnc").read_bytes()))
    refused(path, "compressed MINC 2 is not supported: gunzip it first")
    refused(tmp_path / "d.mnc", "there is no such file")
    (tmp_path / "e.mnc").mkdir()
    refused(tmp_path / "e.mnc", "a directory, a pipe or a device, not a file")


def test_minc_2_needs_h5py(mri, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(mri / "small.mnc", r".* h5py is needed: pip install 'h5py>=")
    assert open_source(mri / "tiny.mnc").shape == (10, 20, 20)


def test_errors_name_a_minc_1_truncated_after_opening(mri, tmp_path):
    path = tmp_path / "a.mnc"
    shutil.copy(mri / "tiny.mnc", path)
    source = open_source(path)
    os.truncate(path, 1000)
    with pytest.raises(SourceError, match=r"a\.mnc: cut short: 1000 bytes"):
        source.read(whole(source.shape))


# PAR/REC


HEADERS = [
    "ASL_3D_Multiecho",
    "DTI",
    "DTIv40",
    "Phantom_EPI_3mm_cor_20APtrans_15RLrot_SENSE_15_1",
    "Phantom_EPI_3mm_sag_15AP_SENSE_13_1",
    "Phantom_EPI_3mm_tra_-30AP_10RL_20FH_SENSE_14_1",
    "T1_3echo_mag_real_imag_phase",
    "T2-interleaved",
    "T2_-interleaved",
    "fieldmap",
    "phantom_fake_dualTR",
    "phantom_fake_v4",
    "phantom_fake_v4_1",
    "umass_anonymized",
    "variant_v4_2_header",
]


def make_par(mri, directory, name, change=lambda text: text):
    """Write a PAR file from a real one, with a REC file of any voxels."""
    text = change((mri / f"{name}.PAR").read_text(encoding="latin-1"))
    path = directory / "a.par"
    path.write_text(text, encoding="latin-1")
    with path.open() as file:
        _, slices = parse_PAR_header(file)
    size = len(slices) * int(np.prod(slices["recon resolution"][0]))
    bits = int(slices["image pixel size"][0])
    path.with_suffix(".rec").write_bytes(np.random.default_rng(0).bytes(size * bits // 8))
    return path


@pytest.mark.parametrize("name", HEADERS)
def test_par_headers_equal_those_of_nibabel(mri, tmp_path, name):
    path = make_par(mri, tmp_path, name)
    source = open_source(path)
    assert_same(source, path)
    if name == "phantom_fake_dualTR":
        assert (source.time_step, source.time_unit) == (1.0, "")


def test_a_volume_holds_one_echo(mri, tmp_path):
    shutil.copy(mri / "T1_dual_echo.PAR", tmp_path)
    with (tmp_path / "T1_dual_echo.PAR").open() as file:
        _, slices = parse_PAR_header(file)
    with (tmp_path / "T1_dual_echo.REC").open("wb") as file:
        file.truncate(len(slices) * 256 * 256 * 2)
        for number, (echo, place) in enumerate(slices[["echo number", "slice number"]]):
            file.seek(number * 256 * 256 * 2)
            file.write(np.array([1000 * echo + place], "<u2").tobytes())
    source = open_source(tmp_path / "T1_dual_echo.PAR")
    found = source.read((slice(0, 2), slice(0, 180), slice(0, 1), slice(0, 1)))
    numbers = np.arange(1, 181)
    np.testing.assert_array_equal(found[..., 0, 0], [1000 + numbers, 2000 + numbers])
    assert (source.time_step, source.time_unit) == (1.0, "")


def image_lines(text, change):
    """Change what stands in the line of each image: its number and its words."""
    lines, number = text.split("\n"), 0
    for i, line in enumerate(lines):
        if line.strip() and line.lstrip()[0].isdigit():
            lines[i] = " ".join(change(number, line.split()))
            number += 1
    return "\n".join(lines)


def test_images_are_read_from_their_index_in_the_rec_file(mri, tmp_path):
    def reverse(number, words):
        return [*words[:6], str(26 - number), *words[7:]]

    name = "phantom_EPI_asc_CLEAR_2_1"
    path = make_par(mri, tmp_path, name, lambda text: image_lines(text, reverse))
    source = open_source(path)
    rec = np.fromfile(path.with_suffix(".rec"), "<u2").reshape(3, 9, 64, 64)
    found = source.read(whole(source.shape))
    np.testing.assert_array_equal(found, rec[::-1, ::-1])


@given(factors=st.lists(st.floats(0.5, 2), min_size=27, max_size=27), data=st.data())
def test_each_par_image_has_its_own_scale(mri, directory, factors, data):
    def scale(number, words):
        return [*words[:11], str(number), repr(factors[number]), *words[13:]]

    name = "phantom_EPI_asc_CLEAR_2_1"
    path = make_par(mri, directory, name, lambda text: image_lines(text, scale))
    assert_holds(open_source(path), real_values(path), data)


def test_inconsistent_par_and_rec_files_are_refused(mri, tmp_path):
    refused(mri / "T1.PAR", r"the file with its voxels, .*T1\.REC, is missing")
    refused(
        mri / "phantom_truncated.PAR",
        r"cut short.* \(.*Found 3 dynamic scan values, but expected 4\): export the whole scan",
    )
    name = "phantom_EPI_asc_CLEAR_2_1"
    lines = (mri / f"{name}.PAR").read_text().split("\n")
    last = max(i for i, line in enumerate(lines) if line.strip() and line.strip()[0].isdigit())
    path = make_par(mri, tmp_path, name, lambda _: "\n".join(lines[:last] + lines[last + 1 :]))
    refused(path, "cut short: slice 9 occurs 2 times, others 3 times: export the whole scan")
    path = make_par(mri, tmp_path, name)
    rec = path.with_suffix(".rec")
    os.truncate(rec, 100_000)
    with pytest.raises(SourceError, match=r"a\.rec: cut short: 100000 bytes, .* byte 221184"):
        open_source(path)
    path.unlink()
    refused(rec, r"the file with its header, .*a\.PAR, is missing")
    path.write_text("hello")
    refused(path, "its header cannot be read")


# AFNI


def make_afni(mri, directory, change, size, name="scaled+tlrc"):
    """Write a HEAD file from a real one, with a BRIK file of any voxels."""
    path = directory / "a+orig.HEAD"
    path.write_text(change((mri / f"{name}.HEAD").read_text()))
    path.with_suffix(".BRIK").write_bytes(np.random.default_rng(0).bytes(size))
    return path


def attribute(text, name, kind, *values):
    """Set an attribute of a HEAD file."""
    entries = [
        entry for entry in text.strip().split("\n\n") if f"name = {name}\n" not in entry + "\n"
    ]
    said = " ".join(map(repr, values))
    entry = f"type = {kind}-attribute\nname = {name}\ncount = {len(values)}\n {said}"
    return "\n\n".join([*entries, entry]) + "\n"


def four_bricks(text, factors=(0.0, 0.5, 3e-8, 2.0), code=1):
    text = attribute(text, "DATASET_DIMENSIONS", "integer", 5, 6, 7, 0, 0)
    text = attribute(text, "DATASET_RANK", "integer", 3, 4, 0, 0)
    text = attribute(text, "BRICK_TYPES", "integer", *[code] * 4)
    text = attribute(text, "TAXIS_NUMS", "integer", 4, 0, 77001)
    text = attribute(text, "TAXIS_FLOATS", "float", 0.0, 1500.0, 0.0, 0.0, 0.0)
    return attribute(text, "BRICK_FLOAT_FACS", "float", *factors)


@given(data=st.data())
@pytest.mark.parametrize("factors", [(0.0, 0.5, 3e-8, 2.0), (0.5,) * 4, (0.0,) * 4, (1e-40,) * 4])
def test_each_afni_brick_has_its_own_scale(mri, directory, factors, data):
    path = make_afni(mri, directory, lambda text: four_bricks(text, factors), 5 * 6 * 7 * 4 * 2)
    source = open_source(path)
    assert (source.dtype == np.dtype("i2")) == (factors[0] == 0.5 or not any(factors))
    assert_holds(source, stored_values(source, path), data)
    assert (source.time_step, source.time_unit) == (1500.0, "millisecond")


def test_complex_bricks_have_two_32_bit_floats(mri, tmp_path):
    path = make_afni(mri, tmp_path, lambda text: four_bricks(text, code=5), 0)
    voxels = np.arange(2 * 840, dtype="<f4").view("<c8").reshape(4, 7, 6, 5)
    path.with_suffix(".BRIK").write_bytes(voxels.tobytes())
    factors = np.array([1, 0.5, 3e-8, 2]).reshape(4, 1, 1, 1)
    assert_holds(open_source(path), voxels * factors)


def test_a_label_table_of_afni_says_that_voxels_are_labels(mri, tmp_path):
    """As 3drefit -labeltable writes it."""
    table = (
        "\n\ntype = string-attribute\nname = VALUE_LABEL_DTABLE\ncount = 99\n'<VALUE_LABEL_DTABLE\n"
        '  ni_type="2*String"\n  ni_dimen="2" >\n "0" "Unknown"\n "17" "Left Hippocampus"\n'
        "</VALUE_LABEL_DTABLE>~\n"
    )
    labels = open_source(make_afni(mri, tmp_path, lambda text: text + table, 10**6)).labels
    assert labels == {
        "properties": [
            {"label-value": 0, "name": "Unknown"},
            {"label-value": 17, "name": "Left Hippocampus"},
        ]
    }
    assert open_source(make_afni(mri, tmp_path, str, 10**6)).labels is None


def test_a_brik_is_read_lazily(mri, tmp_path):
    def large(text):
        text = attribute(text, "DATASET_DIMENSIONS", "integer", 1 << 12, 1 << 11, 1 << 10, 0, 0)
        return attribute(text, "BRICK_FLOAT_FACS", "float", 2.5)

    path = make_afni(mri, tmp_path, large, 0)
    os.truncate(path.with_suffix(".BRIK"), 1 << 34)
    source = open_source(path)
    assert source.shape == (1, 1 << 10, 1 << 11, 1 << 12)
    assert not source.read(tuple(slice(length - 1, length) for length in source.shape)).any()


def test_names_of_pairs_may_have_any_case_and_compression(mri, tmp_path):
    for header, brik in (("a.head", "a.brik"), ("b.HEAD", "b.BRIK.gz"), ("c.head", "c.BRIK")):
        shutil.copy(mri / "scaled+tlrc.HEAD", tmp_path / header)
        content = (mri / "scaled+tlrc.BRIK").read_bytes()
        (tmp_path / brik).write_bytes(gzip.compress(content) if brik.endswith("gz") else content)
        for name in (header, brik):
            source = open_source(tmp_path / name)
            assert source.in_order == brik.endswith("gz")
            expected = stored_values(source, mri / "scaled+tlrc.HEAD")
            np.testing.assert_array_equal(source.read(whole(source.shape)), expected)


def test_damaged_afni_is_refused(mri, tmp_path):
    refused(mri / "bad_datatype+orig.HEAD", r"the file with its voxels, .*BRIK\.gz, is missing")
    for name, message in (
        ("bad_datatype", "Can't load file with multiple data types"),
        ("bad_attribute", "Failed to read variable from HEAD file"),
    ):
        shutil.copy(mri / f"{name}+orig.HEAD", tmp_path)
        shutil.copy(mri / "example4d+orig.BRIK.gz", tmp_path / f"{name}+orig.BRIK.gz")
        refused(tmp_path / f"{name}+orig.HEAD", rf"its header cannot be read \({message}")
    path = make_afni(mri, tmp_path, lambda text: text.replace("DATASET_RANK", "RANK"), 10)
    refused(path, r"its header cannot be read \('DATASET_RANK' is missing or unknown\)")
    path = make_afni(mri, tmp_path, lambda text: text, 1000)
    with pytest.raises(SourceError, match=r"a\+orig\.BRIK: cut short: 1000 bytes, .* byte 218268"):
        open_source(path)
    path.write_text("hello")
    refused(path, "its header cannot be read")
    path.unlink()
    refused(path.with_suffix(".BRIK"), r"the file with its header, .*a\+orig\.HEAD, is missing")


def test_errors_name_a_damaged_compressed_brik(mri, tmp_path):
    shutil.copy(mri / "example4d+orig.HEAD", tmp_path)
    content = bytearray((mri / "example4d+orig.BRIK.gz").read_bytes())
    content[-8] ^= 1
    (tmp_path / "example4d+orig.BRIK.gz").write_bytes(content)
    source = open_source(tmp_path / "example4d+orig.HEAD")
    with pytest.raises(SourceError, match=r"example4d\+orig\.BRIK\.gz: the voxels cannot be read"):
        source.read(whole(source.shape))
