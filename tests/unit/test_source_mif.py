"""MRtrix images: files of mrconvert 3.0.3, and generated ones of any layout."""

import gzip
import itertools

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.regions import whole
from neurozarr.sources import open_source, stem

from .conversions import convert, exported
from .families import assert_holds

#: What was converted: an array of shape x, y, z, t, and its affine.
VOXELS = (np.arange(48) * 7 % 100).reshape(2, 3, 4, 2)
TURNED = nibabel.eulerangles.euler2mat(0.3, 0.2, 0.1)
AFFINE = nibabel.affines.from_matvec(TURNED @ np.diag([1.5, 2, 3]), (-10, 20, 5))
HEADER = """mrtrix image
dim: 2,3,4,2
vox: 1.5,2,3,2.5
layout: {layout}
datatype: {datatype}
transform: 0.93629336575387, -0.289629482906405, 0.198669340391814, -10
transform: 0.312991818521908, 0.944702485591221, -0.0978434016739746, 20
transform: -0.159345080826612, 0.15379199052336, 0.975170324577787, 5
{scaling}mrtrix_version: 3.0.3
file: {file}
"""
#: Layout, data type, scaling and voxels, as mrconvert wrote them.
CONVERTED = {
    "a.mif": (
        "+2,-0,-1,+3",
        "UInt16BE",
        "",
        "00360062002a00280054001c001a0046000e000c0038000000160042000a000800340060005e00260052005000180044"
        "003d00050031002f005b00230021004d00150013003f0007001d00490011000f003b00030001002d00590057001f004b",
    ),
    "c.mih": ("-0,+3,+1,-2", "Bit", "", "ffbfffffffff"),
    "d.mif": (
        "+0,+1,+2,+3",
        "Int16LE",
        "scaling: -3,0.5\n",
        "06008e00760036001e00a6002200aa00920052003a00c2003e00c600ae006e00560016005a001a00ca008a0072003200"
        "14009c00840044002c00b4003000b800a0006000480008004c000c00bc007c0064002400680028001000980080004000",
    ),
}


def write(path, layout, datatype, content, scaling="", header=HEADER):
    """Write an image, compressed or in two files by its name; the path."""
    known = {"layout": layout, "datatype": datatype, "scaling": scaling}
    if path.suffix == ".mih":
        path.with_suffix(".dat").write_bytes(content)
        path.write_text(header.format(**known, file=path.with_suffix(".dat").name))
        return path
    start = len(header.format(**known, file=". 1000")) + 4
    whole_ = header.format(**known, file=f". {max(start, 1000)}") + "END\n"
    single = whole_.encode().ljust(max(start, 1000), b"\0") + content
    path.write_bytes(gzip.compress(single) if path.suffix == ".gz" else single)
    return path


def assert_places(source, voxels, affine):
    """That a source has the voxels (x, y, z and t) where an affine places them."""
    found = source.read(whole(source.shape)).T * source.slope + source.inter
    indices = np.indices(found.shape[:3]).reshape(3, -1).T
    world = nibabel.affines.apply_affine(source.affine, indices)
    there = nibabel.affines.apply_affine(np.linalg.inv(affine), world)
    np.testing.assert_allclose(there, np.rint(there), atol=1e-4)
    expected = voxels[tuple(np.rint(there).astype(int).T)]
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


@pytest.mark.parametrize("name", CONVERTED)
def test_images_of_mrconvert_are_read(tmp_path, name):
    layout, datatype, scaling, content = CONVERTED[name]
    path = write(tmp_path / name, layout, datatype, bytes.fromhex(content), scaling)
    source = open_source(path)
    assert (source.axes, source.shape) == ("tzyx", (2, 4, 3, 2))
    assert (source.voxel_size, source.space_unit) == ((3, 2, 1.5), "millimeter")
    assert (source.time_step, source.time_unit) == (2.5, "second")
    assert_places(source, VOXELS != 0 if datatype == "Bit" else VOXELS, AFFINE)
    assert {file.name for file in source.files} == {name, *(["c.dat"] * (name == "c.mih"))}
    store, _ = convert(path, tmp_path, {"zarr": {"chunk": 2}})
    image = nibabel.Nifti1Image.from_bytes(exported(store))
    np.testing.assert_array_equal(image.dataobj, real(source).T)
    np.testing.assert_allclose(image.affine, source.affine, atol=1e-5)


def real(source):
    return source.read(whole(source.shape)) * source.slope + source.inter


DTYPES = {
    **{f"{u}Int{8 * n}{e}": f"{o}{u.lower() or 'i'}{n}" for u in ("", "U") for n in (2, 4, 8)
       for e, o in (("LE", "<"), ("BE", ">"), ("", "="))},
    **{f"{c}Float{8 * n}{e}": f"{o}{c.lower() or 'f'}{n * (1 + len(c))}" for c in ("", "C")
       for n in (4, 8) for e, o in (("LE", "<"), ("BE", ">"), ("", "="))},
    "Int8": "i1", "UInt8": "u1", "Bit": "?",
}  # fmt: skip


@given(data=st.data())
def test_any_layout_and_data_type_is_read(tmp_path_factory, data):
    count = data.draw(st.integers(2, 5))
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=count, max_size=count)))
    ranks = data.draw(st.permutations(range(count)))
    signs = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    datatype = data.draw(st.sampled_from(list(DTYPES)))
    dtype, rng = np.dtype(DTYPES[datatype]), np.random.default_rng(0)
    voxels = rng.integers(0, 2 if dtype.kind == "b" else 100, shape).astype(dtype)
    # In index order, axis i of a file is a[i]; the fastest axis of the file is last in memory.
    slowest_first = sorted(range(count), key=lambda axis: -ranks[axis])
    flips = tuple(slice(None, None, -1 if sign else 1) for sign in signs)
    content = voxels[flips].transpose(slowest_first).tobytes()
    if dtype.kind == "b":
        content = np.packbits(voxels[flips].transpose(slowest_first)).tobytes()
    layout = ",".join(f"{'-' if sign else '+'}{n}" for sign, n in zip(signs, ranks, strict=True))
    header = HEADER.replace("2,3,4,2", ",".join(map(str, shape)))
    name = data.draw(st.sampled_from(["a.mif", "a.mif.gz", "a.mih"]))
    path = write(tmp_path_factory.getbasetemp() / name, layout, datatype, content, header=header)
    source = open_source(path)
    # The voxels as they are stored along x, y and z, which the affine places.
    spatial = tuple(flip if axis < 3 else slice(None) for axis, flip in enumerate(flips))
    expected = voxels[spatial].T
    expected = expected if count < 5 else expected.swapaxes(0, 1)
    assert_holds(source, expected.reshape(source.shape), data)
    if count == 4:
        assert_places(source, voxels, AFFINE)
    assert source.in_order == (name == "a.mif.gz")


def test_a_region_of_bits_needs_no_whole_bytes(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 2, (2, 4, 3, 2)).astype(bool)
    path = write(tmp_path / "a.mif", "+0,+1,+2,+3", "bit", np.packbits(voxels).tobytes())
    source = open_source(path)
    for box in itertools.product(*([slice(i, j)] for n in source.shape for i, j in [(n - 1, n)])):
        np.testing.assert_array_equal(source.read(box), voxels[box])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mrtrix image", "mrtrix tracks", "not an MRtrix image"),
        ("END\n", "", "not an MRtrix image"),
        ("datatype: UInt8\n", "", "its header has no datatype"),
        ("2,3,4,2", "2,3,4,0", r"dim is \(2, 3, 4, 0\); allowed: 2 to 5 positive lengths"),
        ("2,3,4,2", "2,3", "layout is [+]0,[+]1,[+]2,[+]3; allowed: the numbers 0 to 1"),
        ("+0", "+4", "layout is [+]4"),
        ("UInt8", "UInt128", "datatype is UInt128, which is unknown"),
        ("UInt8", "CFloat16", "data type .*c4.* not understood"),
        ("UInt8", "UInt16", r"cut short: 1048 bytes, but its voxels end at byte 1096"),
        ("0.93629336575387, ", "", "its header cannot be read"),
        ("file: . 1000", "file: b.dat", "there is no such file"),
        ("file: . 1000", "file: a.dat 0\nfile: b.dat 0", "its voxels are in several files"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, old, new, message):
    path = write(tmp_path / "a.mif", "+0,+1,+2,+3", "UInt8", bytes(48))
    content = path.read_bytes()
    assert old.encode() in content
    head = content[:1000].replace(old.encode(), new.encode())
    path.write_bytes(head[:1000].ljust(1000, b"\0") + content[1000:])
    with pytest.raises(SourceError, match=message):
        open_source(path)


def test_axes_and_names(tmp_path):
    path = write(tmp_path / "a.mif.gz", "+0,+1,+2,+3", "UInt8", bytes(48))
    assert open_source(path, axes="czyx").axes == "czyx"
    with pytest.raises(SourceError, match=r"axes is 'zyx'; allowed .*: tzyx or czyx"):
        open_source(path, axes="zyx")
    assert stem(path) == "a"
