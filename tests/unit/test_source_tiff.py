"""TIFF files: any of their encodings, what they say of their axes, and what is refused."""

import json
import mmap
import os
import struct
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.regions import whole
from neurozarr.sources import open_source, stem
from neurozarr.sources.tiff import segments
from neurozarr.sources.tiff.segments import Pages

from .conversions import convert
from .families import assert_holds

RNG = np.random.default_rng(0)
VOXELS = RNG.integers(0, 60_000, (5, 43, 37)).astype("u2")
GRAY = {"photometric": "minisblack"}


def write(path, voxels, **options):
    tifffile.imwrite(path, voxels, **GRAY | options)
    return path


def pages(path, voxels, byteorder="<", **options):
    """Write pages one by one, with a directory each, as programs other than tifffile do."""
    with tifffile.TiffWriter(path, byteorder=byteorder) as file:
        for page in voxels:
            file.write(page, **GRAY | {"metadata": None, "contiguous": False} | options)
    return path


def read(source):
    return source.read(whole(source.shape))


ENCODINGS = {
    "contiguous": {},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True, "rowsperstrip": 5},
    "strips-lzw": {"compression": "lzw", "rowsperstrip": 7},
    "big-endian-deflate": {"compression": "zlib", "byteorder": ">", "predictor": True},
    "tiles": {"tile": (16, 32)},
    "tiles-zstd": {"compression": "zstd", "tile": (32, 16), "predictor": True},
    "jpeg2000": {"compression": "jpeg2000"},
    "ome-tiles": {"ome": True, "metadata": {"axes": "ZYX"}, "tile": (16, 16)},
    "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
}
READ_SHAPES = {
    "strips-lzw": (1, 7, 37),
    "big-endian-deflate": (1, 43, 37),
    "tiles": (1, 16, 32),
    "tiles-zstd": (1, 32, 16),
    "jpeg2000": (1, 43, 37),
    "ome-tiles": (1, 16, 16),
}


@pytest.fixture(scope="module", params=ENCODINGS)
def encoded(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    write(path, VOXELS, **ENCODINGS[request.param])
    return request.param, open_source(path)


@given(data=st.data())
def test_a_region_equals_a_slice_of_the_whole(encoded, data):
    assert_holds(encoded[1], VOXELS, data)


def test_whole_images_of_all_encodings_are_read(encoded):
    encoding, source = encoded
    source.check()
    assert source.file_axes == "zyx"
    assert source.file_native_chunk_shape == READ_SHAPES.get(encoding)
    assert_holds(source, VOXELS)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "i2", "i4", "u4", "f2", "f4", "f8", "c8"])
def test_values_of_all_types_are_kept(tmp_path, dtype, compression):
    voxels = RNG.integers(-100, 100, (3, 20, 21)).astype(dtype)
    for order in "<>":
        path = write(tmp_path / "a.tif", voxels, compression=compression, byteorder=order)
        assert_holds(open_source(path), voxels)


def test_single_bits_are_booleans(tmp_path):
    voxels = RNG.integers(0, 2, (3, 20, 21)).astype(bool)
    for order in "<>":
        path = pages(tmp_path / "a.tif", voxels, bitspersample=1, byteorder=order)
        assert_holds(open_source(path), voxels)


@pytest.mark.parametrize("bits", [4, 12])
def test_packed_integers_are_unpacked(tmp_path, bits):
    voxels = RNG.integers(0, 2**bits, (3, 20, 21)).astype("u1" if bits < 8 else "u2")
    path = pages(tmp_path / "a.tif", voxels, bitspersample=bits, rowsperstrip=6)
    assert_holds(open_source(path), voxels)


def test_the_predictor_of_floats_is_decoded(tmp_path):
    voxels = RNG.normal(size=(3, 40, 41)).astype("f4")
    path = write(tmp_path / "a.tif", voxels, compression="zlib", predictor=3, tile=(16, 16))
    assert_holds(open_source(path), voxels)


def test_jpeg_pages_equal_those_of_tifffile(tmp_path):
    voxels = (VOXELS // 256).astype("u1")
    path = pages(tmp_path / "a.tif", voxels, compression="jpeg", tile=(16, 16))
    assert_holds(open_source(path), tifffile.imread(path))


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"tile": (16, 16)}])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_become_channels(tmp_path, samples, options, planar):
    voxels = RNG.integers(0, 255, (2, 33, 34, samples)).astype("u1")
    stored = voxels if planar == "contig" else voxels.transpose(0, 3, 1, 2)
    options = options | {"photometric": "rgb", "planarconfig": planar}
    source = open_source(pages(tmp_path / "a.tif", stored, **options))
    assert source.file_axes == ("zyxc" if planar == "contig" else "zcyx")
    assert_holds(source, voxels.transpose(3, 0, 1, 2))
    part = (slice(1, samples), slice(1, 2), slice(5, 30), slice(17, 18))
    np.testing.assert_array_equal(source.read(part), voxels.transpose(3, 0, 1, 2)[part])


def test_a_single_page_is_one_plane(tmp_path):
    source = open_source(write(tmp_path / "a.tif", VOXELS[0]))
    assert (source.file_axes, source.shape) == ("yx", (1, 43, 37))
    assert_holds(source, VOXELS[:1])


def test_volumes_in_one_page_are_read(tmp_path):
    voxels = RNG.integers(0, 99, (32, 33, 34)).astype("u1")
    source = open_source(write(tmp_path / "a.tif", voxels, tile=(16, 16, 16), volumetric=True))
    assert source.file_native_chunk_shape == (16, 16, 16)
    assert_holds(source, voxels)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 5}])
@pytest.mark.parametrize("count", [3, 12])
def test_pages_with_own_directories_become_z(tmp_path, options, count):
    voxels = RNG.integers(0, 255, (count, 43, 37)).astype("u2")
    assert_holds(open_source(pages(tmp_path / "a.tif", voxels, **options)), voxels)


def test_strips_need_not_be_contiguous(tmp_path):
    path = pages(tmp_path / "a.tif", VOXELS, rowsperstrip=10)
    with tifffile.TiffFile(path, mode="r+b") as file:
        tag = file.pages[0].tags[273]
        offsets = list(tag.value)
        offsets[1], offsets[3] = offsets[3], offsets[1]
        tag.overwrite(offsets)
    expected = VOXELS.copy()
    expected[0, 10:20], expected[0, 30:40] = VOXELS[0, 30:40], VOXELS[0, 10:20]
    source = open_source(path)
    assert source.file_native_chunk_shape == (1, 10, 37)
    assert_holds(source, expected)


def test_sparse_segments_have_the_nodata_value(tmp_path):
    path = write(tmp_path / "a.tif", VOXELS[0], tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        tag = file.pages[0].tags[325]
        tag.overwrite([0 if number == 4 else count for number, count in enumerate(tag.value)])
    expected = VOXELS[:1].copy()
    expected[0, 16:32, 16:32] = 0
    assert_holds(open_source(path), expected)


# What files say of themselves.

OME = {
    "axes": "TCZYX",
    "PhysicalSizeX": 0.5,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeY": 600.0,
    "PhysicalSizeYUnit": "nm",
    "PhysicalSizeZ": 0.002,
    "PhysicalSizeZUnit": "mm",
    "TimeIncrement": 250.0,
    "TimeIncrementUnit": "ms",
    "Channel": {"Name": ["DAPI", "GFP"], "Color": [65535, -16776961]},
}


def test_ome_metadata_are_kept(tmp_path):
    voxels = RNG.integers(0, 99, (3, 2, 4, 20, 21)).astype("u1")
    source = open_source(write(tmp_path / "a.ome.tif", voxels, metadata=OME))
    assert source.axes == "tczyx"
    np.testing.assert_allclose(source.voxel_size, (2, 0.6, 0.5))
    assert (source.space_unit, source.time_unit) == ("micrometer", "millisecond")
    assert source.time_step == 250
    assert source.channel_names == ("DAPI", "GFP")
    assert source.channel_colors == ("0000FF", "FF0000")
    assert_holds(source, voxels)


@pytest.mark.parametrize(
    ("said", "expected", "unit"),
    [
        ({}, (1, 1, 1), ""),
        ({"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel"}, (1, 1, 1), ""),
        ({"PhysicalSizeX": 2, "PhysicalSizeXUnit": "reference frame"}, (2, 2, 2), ""),
        ({"PhysicalSizeX": -2, "PhysicalSizeY": 0}, (1, 1, 1), ""),
        ({"PhysicalSizeX": 2, "PhysicalSizeXUnit": "mm"}, (2, 2, 2), "millimeter"),
        ({"PhysicalSizeZ": 2, "PhysicalSizeX": 3, "PhysicalSizeY": 4}, (2, 4, 3), "micrometer"),
    ],
)
def test_missing_ome_metadata_stay_unknown(tmp_path, caplog, said, expected, unit):
    source = open_source(write(tmp_path / "a.ome.tif", VOXELS, metadata={"axes": "ZYX"} | said))
    assert (source.voxel_size, source.space_unit) == (expected, unit)
    assert ("the voxel size" in caplog.text) == (len(said) < 3)
    assert (source.time_step, source.time_unit) == (1, "")


@pytest.mark.parametrize(
    ("units", "expected", "unit"),
    [
        (("Micron", "micrometre", "um"), (2, 0.6, 0.5), "micrometer"),
        (("Å", "A", "nm"), (0.2, 0.06, 0.5), "nanometer"),
        (("cubits", "nm", "nm"), (2, 0.6, 0.5), "nanometer"),
        (("cubits", "pixel", "reference frame"), (2, 0.6, 0.5), ""),
    ],
)
def test_a_unit_that_is_unknown_leaves_the_sizes(tmp_path, caplog, units, expected, unit):
    said = {"PhysicalSizeZ": 2, "PhysicalSizeY": 0.6, "PhysicalSizeX": 0.5}
    named = dict(zip(("ZUnit", "YUnit", "XUnit"), units, strict=True))
    said |= {f"PhysicalSize{axis}": name for axis, name in named.items()}
    source = open_source(write(tmp_path / "a.ome.tif", VOXELS, metadata={"axes": "ZYX"} | said))
    np.testing.assert_allclose(source.voxel_size, expected)
    assert source.space_unit == unit
    warned = "the unit of the voxel size along z is unknown; it is set to nanometer" in caplog.text
    assert warned == (units[0] == "cubits" and bool(unit))


@pytest.mark.parametrize(
    ("color", "expected"),
    [(-2147483648, ""), (-1, "FFFFFF"), (16711935, "00FF00"), (4278190335, "FF0000")],
)
def test_channels_may_lack_a_name_or_a_colour(tmp_path, color, expected):
    """A colour is a signed integer; the first one is the default of old schemas, for none."""
    channels = {"Name": ["DAPI", "lost", "GFP"], "Color": [color, 1, 2]}
    path = tmp_path / "a.ome.tif"
    write(path, VOXELS[:3], metadata={"axes": "CYX", "Channel": channels})
    text = path.read_bytes()
    for old in (b'Name="lost"', b'Color="1"', b'Color="2"'):
        text = text.replace(old, b" " * len(old))
    path.write_bytes(text)
    source = open_source(path)
    assert source.channel_names == ("DAPI", "", "GFP")
    assert source.channel_colors == ((expected, "", "") if expected else ())


def test_the_name_and_the_colour_of_a_single_channel_are_kept(tmp_path):
    channel = {"Name": "DAPI", "Color": 65535}
    path = write(tmp_path / "a.ome.tif", VOXELS, metadata={"axes": "ZYX", "Channel": channel})
    source = open_source(path)
    assert source.axes == "zyx"
    assert (source.channel_names, source.channel_colors) == (("DAPI",), ("0000FF",))


PLANES = {
    "PositionX": [7.0, 8.0, 9.0],
    "PositionXUnit": ["nm"] * 3,
    "PositionY": [-0.25, 0.0, 0.0],
    "PositionYUnit": ["µm"] * 3,
}


@pytest.mark.parametrize(
    ("change", "size", "expected"),
    [
        ({}, 0.5, (0, -0.25, 0.007)),
        ({"PositionZ": [1e3, 2e3, 3e3], "PositionZUnit": ["mm"] * 3}, 0.5, (1e6, -0.25, 0.007)),
        ({"PositionXUnit": ["reference frame"] * 3}, 0.5, (0, -0.25, 0)),
        ({"PositionXUnit": ["pixel"] * 3, "PositionYUnit": ["pixel"] * 3}, 0.5, ()),
        ({}, None, ()),
    ],
)
def test_the_position_is_that_of_the_first_plane(tmp_path, change, size, expected):
    said = {"axes": "ZYX", "Plane": PLANES | change} | ({"PhysicalSizeX": size} if size else {})
    source = open_source(write(tmp_path / "a.ome.tif", VOXELS[:3], metadata=said))
    assert len(source.position) == len(expected)
    np.testing.assert_allclose(source.position, expected)


def test_the_position_may_be_that_of_the_stage(tmp_path):
    path = tmp_path / "a.ome.tif"
    write(path, VOXELS, metadata={"axes": "ZYX", "PhysicalSizeX": 2, "Description": "x" * 80})
    content = path.read_bytes()
    start = content.index(b"<Description>")
    end = content.index(b"</Description>") + len(b"</Description>")
    label = b'<StageLabel Name="p1" X="3" XUnit="mm" Y="-4" YUnit="um"/>'.ljust(end - start)
    path.write_bytes(content[:start] + label + content[end:])
    assert open_source(path).position == (0, -4, 3000)


def test_the_axes_of_the_sheet_win_over_those_of_the_file(tmp_path):
    """Also if the metadata say otherwise: the size of a pixel stays with its axis of the file."""
    voxels = RNG.integers(0, 99, (3, 4, 20, 21)).astype("u1")
    path = write(tmp_path / "a.ome.tif", voxels, metadata=OME | {"axes": "TZYX", "Channel": {}})
    assert_holds(open_source(path), voxels)
    swapped = open_source(path, axes="ztyx")
    assert_holds(swapped, voxels.transpose(1, 0, 2, 3))
    np.testing.assert_allclose(swapped.voxel_size, (2, 0.6, 0.5))
    assert (swapped.time_step, swapped.time_unit) == (250, "millisecond")
    turned = open_source(path, axes="tyzx")
    assert_holds(turned, voxels.transpose(0, 2, 1, 3))
    np.testing.assert_allclose(turned.voxel_size, (0.6, 2, 0.5))
    assert_holds(open_source(path, axes="czyx"), voxels)
    planes = tmp_path / "b.tif"
    tifffile.imwrite(planes, VOXELS, imagej=True, metadata={"axes": "ZYX", "finterval": 2})
    assert (open_source(planes, axes="tyx").axes, open_source(planes).axes) == ("tzyx", "zyx")
    assert open_source(planes, axes="tyx").time_step == 2


def test_axes_of_any_order_are_read(tmp_path):
    voxels = RNG.integers(0, 99, (4, 2, 3, 20, 21)).astype("u1")
    source = open_source(write(tmp_path / "a.ome.tif", voxels, metadata={"axes": "ZCTYX"}))
    assert source.file_axes == "zctyx"
    assert_holds(source, voxels.transpose(2, 1, 0, 3, 4))


def test_axes_of_length_1_are_omitted_unless_named(tmp_path):
    voxels = VOXELS[None, None]
    path = write(tmp_path / "a.ome.tif", voxels, metadata=OME)
    assert open_source(path).axes == "zyx"
    assert_holds(open_source(path, axes="czyx"), voxels[0])
    assert_holds(open_source(path, axes="tczyx"), voxels)
    assert open_source(path, axes="tyx").axes == "tzyx"


def test_a_pyramid_is_read_at_full_resolution(tmp_path):
    voxels = RNG.integers(0, 99, (3, 64, 66)).astype("u1")
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(voxels, subifds=2, tile=(16, 16), metadata={"axes": "ZYX"}, **GRAY)
        for step in (2, 4):
            file.write(voxels[:, ::step, ::step], subfiletype=1, tile=(16, 16), **GRAY)
    assert_holds(open_source(path), voxels)


@pytest.mark.parametrize("ome", [True, False])
def test_a_pyramid_of_colours_is_read_at_full_resolution(tmp_path, ome):
    voxels = RNG.integers(0, 99, (48, 50, 3)).astype("u1")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, ome=ome) as file:
        options = {"tile": (16, 16), "photometric": "rgb"}
        file.write(voxels, subifds=1, metadata={"axes": "YXS"}, **options)
        file.write(voxels[::2, ::2], subfiletype=1, **options)
    source = open_source(path)
    assert source.file_native_chunk_shape == (16, 16, 3)
    assert_holds(source, voxels.transpose(2, 0, 1)[:, None])


def test_channels_of_colours_need_axes(tmp_path):
    voxels = RNG.integers(0, 99, (2, 4, 20, 21, 3)).astype("u1")
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, voxels, photometric="rgb", metadata={"axes": "CZYXS"})
    with pytest.raises(SourceError, match=r"tifffile names its axes CZYXS, .*: name them by axes"):
        open_source(path)
    assert_holds(open_source(path, axes="tzyxc"), voxels.transpose(0, 4, 1, 2, 3))


def test_a_pyramid_of_pages_is_read_at_full_resolution(tmp_path):
    voxels = RNG.integers(0, 99, (64, 66)).astype("u1")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for step, kind in ((1, 0), (2, 1), (4, 1)):
            options = {"subfiletype": kind, "tile": (16, 16), "metadata": None}
            file.write(voxels[::step, ::step], **options, **GRAY)
    assert_holds(open_source(path), voxels[None])


def test_one_of_several_images_is_chosen_by_name_or_number(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as file:
        for name, voxels, size in (("one", VOXELS, 1.5), ("two", VOXELS[:2, :20], 2.5)):
            metadata = {"axes": "ZYX", "Name": name, "PhysicalSizeX": size}
            file.write(voxels, metadata=metadata, **GRAY)
    for dataset in ("two", "1"):
        source = open_source(path, dataset=dataset)
        assert_holds(source, VOXELS[:2, :20])
        assert source.voxel_size == (2.5, 2.5, 2.5)
    listed = r"0 \(one\): ZYX \(5, 43, 37\) uint16; 1 \(two\): ZYX \(2, 20, 37\) uint16"
    with pytest.raises(SourceError, match=rf"a\.ome\.tif: it holds several images; .*: {listed}"):
        open_source(path)
    with pytest.raises(SourceError, match=rf"dataset is 'three', but it holds several.*{listed}"):
        open_source(path, dataset="three")


def ome_set(folder, names, broken=None):
    """Two planes in each of some files, whose metadata are in all of them."""
    planes = "".join(
        f'<TiffData IFD="{i}" FirstZ="{2 * n + i}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{n}</UUID></TiffData>'
        for n, name in enumerate(names)
        for i in range(2)
    )
    for n, name in enumerate(names):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{n}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint16" SizeX="37" SizeY="43" '
            f'SizeZ="{2 * len(names)}" SizeC="1" SizeT="1" PhysicalSizeX="0.25" '
            'PhysicalSizeXUnit="Å" PhysicalSizeY="0.25" PhysicalSizeYUnit="Å">'
            f'<Channel ID="Channel:0"/>{planes}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(folder / name, ome=False) as file:
            for i in range(2):
                plane = VOXELS[2 * n + i].astype("u4" if n == broken else "u2")
                description = xml.encode() if i == 0 else None
                options = {"metadata": None, "description": description, "contiguous": False}
                file.write(plane, **options, **GRAY)
    return folder / names[0]


def test_a_set_of_files_is_one_image(tmp_path, caplog):
    path = ome_set(tmp_path, ["a.ome.tif", "b.ome.tif"])
    source = open_source(path)
    assert source.files == (tmp_path / "a.ome.tif", tmp_path / "b.ome.tif")
    assert (source.voxel_size, source.space_unit) == ((0.25, 0.25, 0.25), "angstrom")
    assert "the voxel size along z is unknown" in caplog.text
    source.check()
    assert_holds(source, VOXELS[:4])
    rest = (slice(0, 43), slice(0, 37))
    assert source.files_of((slice(2, 4), *rest)) == source.files[1:]
    assert source.files_of((slice(1, 3), *rest)) == source.files
    other = open_source(tmp_path / "b.ome.tif")
    assert other.header_files == (tmp_path / "b.ome.tif",)
    assert other.files_of((slice(0, 2), *rest)) == source.files[:1]
    assert_holds(other, VOXELS[:4])


def test_a_set_with_missing_files_is_refused(tmp_path):
    path = ome_set(tmp_path, ["a.ome.tif", "b.ome.tif"])
    (tmp_path / "b.ome.tif").unlink()
    with pytest.raises(SourceError, match=r"2 of its 4 planes are in no file; missing: b\.ome"):
        open_source(path)


def test_a_set_with_a_pipe_is_refused(tmp_path):
    path = ome_set(tmp_path, ["a.ome.tif", "b.ome.tif"])
    (tmp_path / "b.ome.tif").unlink()
    os.mkfifo(tmp_path / "b.ome.tif")
    with pytest.raises(SourceError, match=r"b\.ome\.tif: a directory, a pipe or a device, not a f"):
        open_source(path)


def test_a_micromanager_set_with_a_pipe_is_refused(tmp_path):
    path = tmp_path / "a_NDTiffStack.tif"
    tifffile.imwrite(path, VOXELS[0], metadata=None, extratags=[(51123, "s", 0, '{"a": 1}', True)])
    with tifffile.TiffFile(path) as file:
        assert file.pages.first.offset == 8
        size = 2 + 12 * len(file.pages.first.tags) + 4
    content = bytearray(path.read_bytes())
    content += content[8 : 8 + size]  # The directory; NDTiff has a header of its own where it was.
    header = struct.pack("<6I", len(content) - size, 483729, 2, 2355492, 2, 0x7D7B)
    content[4 : 4 + len(header)] = header
    path.write_bytes(content)
    os.mkfifo(tmp_path / "NDTiff.index")
    with pytest.raises(SourceError, match=r"NDTiff\.index: a directory, a pipe or a device, not"):
        open_source(path)
    # One by one, files of a single page do not need it.
    path.rename(tmp_path / "a_0.tif")
    assert_holds(open_source(tmp_path / "a_{t}.tif"), VOXELS[None, :1])


def test_a_set_with_different_files_is_refused(tmp_path):
    path = ome_set(tmp_path, ["a.ome.tif", "b.ome.tif"], broken=1)
    with pytest.raises(SourceError, match=r"b\.ome\.tif: its pages are 43 x 37 uint32, .*uint16"):
        open_source(path)


def test_imagej_metadata_are_kept(tmp_path):
    voxels = RNG.integers(0, 99, (3, 4, 2, 20, 21)).astype("u1")
    blue, green = np.zeros((2, 3, 256), "u1")
    blue[2], green[1] = np.arange(256), np.arange(256)
    metadata = {"axes": "TZCYX", "spacing": 2.5, "unit": "\\u00B5m", "finterval": 0.5}
    metadata |= {"mode": "composite", "LUTs": [blue, green]}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels, imagej=True, resolution=(4, 2), metadata=metadata)
    source = open_source(path)
    assert source.axes == "tczyx"
    assert (source.voxel_size, source.space_unit) == ((2.5, 0.5, 0.25), "micrometer")
    assert (source.time_step, source.time_unit) == (0.5, "second")
    assert source.channel_colors == ("0000FF", "00FF00")
    assert_holds(source, voxels.transpose(0, 2, 1, 3, 4))


@pytest.mark.parametrize(
    ("unit", "expected", "name"),
    [
        ("nm", (1, 0.5, 0.5), "nanometer"),
        ("microns", (1, 0.5, 0.5), "micrometer"),
        ("pixel", (1, 0.5, 0.5), ""),
        ("", (1, 0.5, 0.5), ""),
    ],
)
def test_values_that_imagej_omits_are_1(tmp_path, unit, expected, name):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "unit": unit}
    tifffile.imwrite(path, VOXELS, imagej=True, resolution=(2, 2), metadata=metadata)
    source = open_source(path)
    assert (source.voxel_size, source.space_unit) == (expected, name)


def test_a_default_resolution_is_no_voxel_size_of_imagej(tmp_path):
    """As ImageJ writes it for an image that came with 72 pixels per inch."""
    said = "ImageJ=1.48v\nimages={}\nslices={}\n".format(*VOXELS.shape[:1] * 2)
    options = {"resolution": (72, 72), "resolutionunit": "inch", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", VOXELS, description=said, **options)
    source = open_source(tmp_path / "a.tif")
    assert (source.voxel_size, source.space_unit) == ((1, 1, 1), "")


def test_colours_that_are_called_channels_are_read(tmp_path):
    """As Bio-Formats writes them: one image for each channel, but all in one page."""
    voxels = RNG.integers(0, 99, (20, 21, 4)).astype("u1")
    said = "ImageJ=\nhyperstack=true\nimages=4\nchannels=4\nslices=1\nframes=1"
    options = {"photometric": "rgb", "extrasamples": [1], "description": said, "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", voxels, **options)
    assert_holds(open_source(tmp_path / "a.tif"), voxels.transpose(2, 0, 1)[:, None])
    tifffile.imwrite(tmp_path / "a.tif", voxels[..., :3], **options | {"extrasamples": None})
    with pytest.raises(SourceError, match="its metadata do not fit its 1 pages"):
        open_source(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("said", "size", "step"),
    [
        ({"spacing": -2.5, "unit": "micron"}, (2.5, 0.5, 0.5), (1, "")),
        ({"spacing": 0.0, "unit": "micron"}, (0.5, 0.5, 0.5), (1, "")),
        ({"unit": "um", "finterval": 3, "tunit": "min"}, (1, 0.5, 0.5), (3, "minute")),
        ({"unit": "um", "finterval": 3, "tunit": "Secs"}, (1, 0.5, 0.5), (3, "second")),
        ({"unit": "um", "finterval": 3, "tunit": "ticks"}, (1, 0.5, 0.5), (3, "")),
        ({"unit": "um", "fps": 5}, (1, 0.5, 0.5), (1, "")),
    ],
)
def test_imagej_gives_spacing_and_time(tmp_path, said, size, step):
    voxels = RNG.integers(0, 99, (2, 3, 20, 21)).astype("u1")
    path = tmp_path / "a.tif"
    metadata = {"axes": "TZYX"} | said
    tifffile.imwrite(path, voxels, imagej=True, resolution=(2, 2), metadata=metadata)
    source = open_source(path)
    assert source.voxel_size == size
    assert source.space_unit == "micrometer"
    assert (source.time_step, source.time_unit) == step


def test_the_aspect_of_pixels_is_kept_without_a_unit(tmp_path):
    options = {"resolution": (2, 1), "resolutionunit": "none"}
    source = open_source(write(tmp_path / "a.tif", VOXELS, **options))
    assert (source.voxel_size, source.space_unit) == ((0.5, 1, 0.5), "")


@pytest.mark.parametrize(
    ("resolution", "unit", "size", "name"),
    [
        (1000, "centimeter", 1e-3, "centimeter"),
        (25_400, "inch", 1 / 25_400, "inch"),
        (72, "inch", 1, ""),
        (72.009, "inch", 1, ""),  # 2835 in a meter, as PNG has it.
        (93, "inch", 1, ""),
        (26, "inch", 1, ""),
        (93.5, "inch", 1 / 93.5, "inch"),
        (28.35, "centimeter", 1, ""),
        (1, "inch", 1, ""),
        (1000, "none", 1, ""),
    ],
)
def test_default_resolutions_are_no_voxel_sizes(tmp_path, resolution, unit, size, name):
    options = {"resolution": (resolution, resolution), "resolutionunit": unit}
    source = open_source(write(tmp_path / "a.tif", VOXELS, **options))
    assert source.space_unit == name
    np.testing.assert_allclose(source.voxel_size, (size,) * 3)


def test_unknown_axes_must_be_named(tmp_path):
    voxels = RNG.integers(0, 99, (2, 3, 20, 21)).astype("u1")
    path = write(tmp_path / "a.tif", voxels)
    with pytest.raises(
        SourceError, match=r"tifffile names its axes QQYX, .* \(2, 3, 20, 21\): name them"
    ):
        open_source(path)
    assert_holds(open_source(path, axes="tzyx"), voxels)
    assert_holds(open_source(path, axes="zcyx"), voxels.transpose(1, 0, 2, 3))
    for axes in ("zyx", "tzzx", "abcd"):
        with pytest.raises(SourceError, match=rf"axes is '{axes}', but the array has shape"):
            open_source(path, axes=axes)


# Files of other programs.


@pytest.mark.parametrize("name", ["multipage.tif", "multipage_rgb.tif"])
def test_files_of_scikit_image_are_read(name):
    skimage = pytest.importorskip("skimage")
    path = Path(skimage.__file__).parent / "data" / name
    if not path.exists():
        pytest.skip("not installed with its files")
    expected = tifffile.imread(path)
    source = open_source(path)
    assert_holds(source, expected if expected.ndim == 3 else expected.transpose(1, 0, 2, 3))


def test_the_tiff_of_the_python_test_suite_is_read():
    path = Path(sysconfig.get_path("stdlib")) / "test/test_email/data/python.tiff"
    if not path.exists():
        pytest.skip("not installed with its tests")
    assert_holds(open_source(path), tifffile.imread(path).transpose(2, 0, 1)[:, None])


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_files_of_pillow_are_read(tmp_path, compression):
    image = pytest.importorskip("PIL.Image")
    frames = [image.fromarray(page) for page in (VOXELS // 256).astype("u1")]
    path = tmp_path / "a.tif"
    options = {"compression": compression, "dpi": (96, 96)}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    source = open_source(path)
    assert source.space_unit == ""
    assert_holds(source, (VOXELS // 256).astype("u1"))


def test_fax_pages_of_pillow_are_read(tmp_path):
    image = pytest.importorskip("PIL.Image")
    voxels = RNG.integers(0, 2, (3, 40, 41)).astype(bool)
    frames = [image.fromarray(page) for page in voxels]
    for compression in (None, "group3", "group4"):
        path = tmp_path / "a.tif"
        options = {"compression": compression, "append_images": frames[1:]}
        frames[0].save(path, save_all=True, **options)
        assert_holds(open_source(path), tifffile.imread(path))
        assert open_source(path).dtype == bool


# What is refused.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello, world", "not a TIFF that tifffile can read"),
        (struct.pack("<2sHI", b"II", 42, 0), "it holds no pages"),
        (struct.pack("<2sHI", b"II", 42, 1000), "(it holds no pages|not a TIFF)"),
    ],
)
def test_errors_name_a_file_that_is_not_tiff(tmp_path, content, message):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(SourceError, match=rf"a\.tif: {message}"):
        open_source(tmp_path / "a.tif")


def test_missing_files_and_directories_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"a\.tif: there is no such file"):
        open_source(tmp_path / "a.tif")
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(SourceError, match=r"a\.tif: a directory, a pipe or a device"):
        open_source(tmp_path / "a.tif")


@pytest.mark.parametrize("count", [4, 20])
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda page: page[:40], "ImageLength|not alike|40"),
        (lambda page: page[:, :30], "not alike|30"),
        (lambda page: page.view("i2"), "SampleFormat 2, but page 0 has 1|int16"),
        (lambda page: page.astype("u4"), "BitsPerSample 32, but page 0 has 16|uint32"),
    ],
)
def test_different_pages_are_refused(tmp_path, count, other, message):
    voxels = [VOXELS[0]] * count
    voxels[2] = other(VOXELS[0])
    path = pages(tmp_path / "a.tif", voxels)
    with pytest.raises(SourceError, match=message):
        open_source(path)


def test_one_of_different_pages_can_be_chosen(tmp_path):
    path = pages(tmp_path / "a.tif", [VOXELS[0], VOXELS[1], VOXELS[2, :20]])
    with pytest.raises(SourceError, match=r"its pages differ; .* 1: YX \(20, 37\) uint16"):
        open_source(path)
    assert_holds(open_source(path, dataset="0"), VOXELS[:2])
    assert_holds(open_source(path, dataset="1"), VOXELS[2:3, :20])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated_files_are_refused_at_once(tmp_path, compression):
    path = write(tmp_path / "a.tif", VOXELS, compression=compression, metadata=None)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(SourceError, match=r"a\.tif: .*cut short"):
        open_source(path).check()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=r"a\.tif: "):
        open_source(path).check()


def test_a_truncated_hyperstack_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VOXELS, imagej=True, metadata={"axes": "ZYX"})
    path.write_bytes(path.read_bytes()[:9_000])
    with pytest.raises(SourceError, match=r"a\.tif: .*cut short"):
        open_source(path).check()


def test_files_keep_the_path_of_the_user(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    ome_set(tmp_path / "data", ["a.ome.tif", "b.ome.tif"])
    pages(tmp_path / "data/c.tif", VOXELS)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "d.tif").symlink_to(tmp_path / "data/c.tif")
    monkeypatch.chdir(tmp_path)
    assert open_source("d.tif").files == (Path("d.tif"),)
    names = (Path("link/a.ome.tif"), Path("link/b.ome.tif"))
    assert open_source("link/a.ome.tif").files == names


def test_an_unknown_compression_is_refused_at_once(tmp_path):
    path = write(tmp_path / "a.tif", VOXELS, compression="lzw")
    with tifffile.TiffFile(path, mode="r+b") as file:
        for page in file.pages:
            page.tags[259].overwrite(4242)
    with pytest.raises(SourceError, match=r"a\.tif: its pages cannot be decoded \(.*4242"):
        open_source(path)


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}])
def test_errors_name_a_file_truncated_after_opening(tmp_path, options):
    path = write(tmp_path / "a.tif", VOXELS, **options)
    source = open_source(path)
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(SourceError, match=r"a\.tif: cut short: 10000 bytes, but its voxels end"):
        read(source)


def test_errors_name_a_file_truncated_during_a_read(tmp_path, monkeypatch):
    source = open_source(write(tmp_path / "a.tif", VOXELS))
    os.truncate(tmp_path / "a.tif", 10_000)
    monkeypatch.setattr(segments, "check_size", lambda *args: None)
    with pytest.raises(
        SourceError, match=r"a\.tif: the voxels cannot be read \(the file ends before"
    ):
        read(source)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_contiguous_voxels_are_read_without_a_map(tmp_path, monkeypatch, byteorder):
    source = open_source(write(tmp_path / "a.tif", VOXELS, byteorder=byteorder))
    maps, original = [], mmap.mmap
    monkeypatch.setattr(mmap, "mmap", lambda *a, **k: (maps.append(a), original(*a, **k))[1])
    swapped = int(np.dtype(f"{byteorder}u2") != np.dtype("u2"))
    for rows, columns, mapped in (
        (slice(0, 43), slice(0, 37), swapped),
        (slice(7, 20), slice(0, 37), swapped),
        (slice(7, 8), slice(3, 20), swapped),
        (slice(7, 9), slice(3, 20), 1),
    ):
        maps.clear()
        region = (slice(1, 4), rows, columns)
        np.testing.assert_array_equal(source.read(region), VOXELS[region])
        assert len(maps) == mapped


def test_errors_name_a_damaged_segment(tmp_path):
    path = write(tmp_path / "a.tif", VOXELS, compression="zlib", rowsperstrip=10)
    source = open_source(path)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        offset = file.pages[3].dataoffsets[2]
    content[offset : offset + 50] = bytes(50)
    path.write_bytes(content)
    assert source.read((slice(0, 3), slice(0, 43), slice(0, 37))).any()
    with pytest.raises(SourceError, match=r"a\.tif: strip or tile 2 of page 3 cannot be decoded"):
        read(source)


def test_lossy_casts_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", -VOXELS.astype("i2"), compression="jpeg2000", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for page in file.pages:
            page.tags[339].overwrite(1)
    with pytest.raises(SourceError, match=r"a\.tif: .*Cannot cast array data from .*int16"):
        read(open_source(path))


def test_ome_files_that_contradict_their_metadata_are_refused(tmp_path):
    path = write(tmp_path / "a.ome.tif", VOXELS, metadata={"axes": "ZYX"})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"<Pixels", b"<Pixelz"))
    with pytest.raises(SourceError, match=r"its OME-XML is damaged \(mismatched tag"):
        open_source(path)
    path.write_bytes(content.replace(b'SizeZ="5"', b'SizeZ="7"'))
    with pytest.raises(SourceError, match=r"2 of its 7 planes are in no file"):
        open_source(path)
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:1"/></OME>'
    )
    path = tmp_path / "b.ome.tif"
    tifffile.imwrite(path, VOXELS, metadata=None, description=xml, ome=False, **GRAY)
    with pytest.raises(
        SourceError, match=r"metadata .* are in set\.companion\.ome, which is missing"
    ):
        open_source(path)


@pytest.mark.parametrize("name", ["tifffile", "imagecodecs"])
def test_errors_name_the_extra_if_a_library_is_missing(tmp_path, monkeypatch, name):
    path = write(tmp_path / "a.tif", VOXELS)
    monkeypatch.setitem(sys.modules, name, None)
    message = rf"a\.tif: the package {name} is needed: .*pip install .*tiff"
    with pytest.raises(SourceError, match=message):
        open_source(path)


def test_columns_of_raw_files_do_not_apply(tmp_path):
    path = write(tmp_path / "a.tif", VOXELS)
    with pytest.raises(SourceError, match="dtype is 'u1', but does not apply to this format"):
        open_source(path, dtype="u1")


# How it is read.


def counted(monkeypatch, source):
    """Numbers of the segments that are decoded from now on, by page."""
    times, lock = [], threading.Lock()
    decode = source.pages.decode

    def count(raw, index, **options):
        with lock:
            times.append(index)
        return decode(raw, index, **options)

    object.__setattr__(source.pages, "decode", count)
    return times


def test_each_segment_of_a_region_is_decoded_once(tmp_path, monkeypatch):
    source = open_source(write(tmp_path / "a.tif", VOXELS, tile=(16, 16), compression="zlib"))
    times = counted(monkeypatch, source)
    source.read((slice(1, 3), slice(15, 17), slice(32, 37)))
    assert sorted(times) == [2, 2, 5, 5]
    times.clear()
    read(source)
    assert sorted(times) == sorted(list(range(9)) * 5)


def test_opening_a_file_reads_no_voxels(tmp_path, monkeypatch):
    def forbidden(*_):
        raise AssertionError

    path = write(tmp_path / "a.tif", VOXELS, compression="zlib")
    monkeypatch.setattr(Pages, "read", forbidden)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", forbidden)
    open_source(path).check()


@pytest.mark.parametrize("options", [{}, {"compression": "lzw", "tile": (16, 16)}])
def test_threads_read_the_same_voxels(tmp_path, options):
    voxels = RNG.integers(0, 60_000, (20, 64, 64)).astype("u2")
    source = open_source(pages(tmp_path / "a.tif", voxels, **options))
    regions = [
        (slice(z, z + 5), slice(y, y + 20), slice(x, x + 30))
        for z in range(0, 16, 3)
        for y in range(0, 44, 8)
        for x in range(0, 34, 8)
    ]
    with ThreadPoolExecutor(8) as pool:
        for region, found in zip(regions, pool.map(source.read, regions), strict=True):
            np.testing.assert_array_equal(found, voxels[region])


@pytest.mark.parametrize("options", [{}, {"compression": "lzw", "rowsperstrip": 10}])
def test_conversion_keeps_voxels_and_metadata(tmp_path, options):
    metadata = OME | {"axes": "CZYX"}
    voxels = RNG.integers(0, 60_000, (2, 5, 43, 37)).astype("u2")
    path = write(tmp_path / "brain.ome.tif", voxels, metadata=metadata, **options)
    store, sample = convert(path, tmp_path / "out", {"zarr": {"chunk": 16}})
    import zarr

    assert sample.name == "brain"
    np.testing.assert_array_equal(zarr.open(store / "0", mode="r")[...], voxels)
    document = json.loads((store / "zarr.json").read_text())
    attributes = document["attributes"]["ome"]
    assert [channel["label"] for channel in attributes["omero"]["channels"]] == ["DAPI", "GFP"]
    assert [axis.get("unit") for axis in attributes["multiscales"][0]["axes"]][1:] == [
        "micrometer"
    ] * 3


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF", "a.ome.tif", "a.btf", "a.ome.tiff"])
def test_a_sample_is_named_after_its_file(name):
    assert stem(name) == "a"
