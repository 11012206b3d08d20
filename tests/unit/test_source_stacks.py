"""Stacks of slices and mosaics of tiles."""

import itertools
import os
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tensorstore
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.regions import whole
from neurozarr.sources import images, open_source, stem
from neurozarr.sources.stacks import StackSource

from .conversions import convert
from .families import assert_holds

RNG = np.random.default_rng(0)


def values(shape, dtype="u2"):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    if dtype.kind == "b":
        return RNG.integers(0, 2, shape).astype(dtype)
    return RNG.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def tiff(path, image, **options):
    tifffile.imwrite(path, image, metadata=None, **options)


def png(path, image):
    path.write_bytes(imagecodecs.png_encode(image))


def jp2(path, image):
    path.write_bytes(imagecodecs.jpeg2k_encode(image, level=0, reversible=True))


def j2k(path, image):
    encoded = imagecodecs.jpeg2k_encode(image, level=0, reversible=True, codecformat="j2k")
    path.write_bytes(encoded)


WRITERS = {".tif": tiff, ".png": png, ".jp2": jp2, ".j2k": j2k}


def stack(directory, voxels, name="a{}.tif", start=1, **options):
    """Write slices, the first axis numbered without zeros before."""
    directory.mkdir(exist_ok=True)
    for number, image in enumerate(voxels, start):
        path = directory / name.format(number)
        WRITERS[path.suffix](path, image, **options)
    return directory


def opened(path, **layout):
    return open_source(path, voxel_size=(1, 1, 1), **layout)


TIFFS = {
    "contiguous": {},
    "strips": {"rowsperstrip": 4},
    "apart": {"rowsperstrip": 4, "compression": "zlib"},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "LZW with a predictor": {"compression": "lzw", "predictor": True, "byteorder": ">"},
    "tiles": {"tile": (16, 16)},
    "compressed tiles": {"tile": (16, 32), "compression": "zstd"},
}


@pytest.mark.parametrize("options", TIFFS.values(), ids=TIFFS)
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
@given(data=st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tiff_slices_of_all_layouts_make_a_volume(tmp_path, options, dtype, data):
    voxels = values((11, 37, 45), dtype)
    source = opened(stack(tmp_path / "s", voxels, **options))
    assert source.axes == source.file_axes == "zyx"
    assert_holds(source, voxels)
    assert_holds(source, voxels, data)


@pytest.mark.parametrize("dtype", ["bool", "i1", "u4", "i4", "u8", "f2", "f8", "c8"])
def test_tiff_slices_keep_their_values(tmp_path, dtype):
    voxels = values((2, 5, 9), "f4").astype(dtype) if dtype == "c8" else values((2, 5, 9), dtype)
    assert_holds(opened(stack(tmp_path / "s", voxels)), voxels)


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [
        *itertools.product([".png"], ["u1", "u2"]),
        *itertools.product([".jp2", ".j2k"], ["u1", "i1", "u2", "i2"]),
    ],
)
@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_png_and_jpeg2000_slices_keep_their_values(tmp_path, suffix, dtype, channels):
    voxels = values((3, 6, 7, *channels), dtype)
    source = opened(stack(tmp_path / "s", voxels, "a{}" + suffix))
    assert source.file_native_chunk_shape == (1, 6, 7, *channels)
    source.check()
    assert_holds(source, np.moveaxis(voxels, -1, 0) if channels else voxels)


@pytest.mark.parametrize("bits", [10, 12])
def test_jpeg2000_of_any_bit_depth_is_read(tmp_path, bits):
    voxels = values((5, 6)) >> (16 - bits)
    encoded = imagecodecs.jpeg2k_encode(voxels, level=0, reversible=True, bitspersample=bits)
    (tmp_path / "a.jp2").write_bytes(encoded)
    assert_holds(opened(tmp_path / "a.jp2"), voxels[None])


def png_file(path, bits, colour, rows, *chunks):
    """A PNG file, of encoded rows and of any chunks before them."""
    width = len(rows[0]) * 8 // bits
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    content = b"\x89PNG\r\n\x1a\n"
    for name, chunk in ((b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")):
        crc = zlib.crc32(name + chunk)
        content += struct.pack(">I", len(chunk)) + name + chunk + struct.pack(">I", crc)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("bits", "expected"), [(1, [0, 1] * 4), (2, [1] * 4), (4, [5] * 2)])
def test_grey_below_8_bits_keeps_its_values(tmp_path, bits, expected):
    path = png_file(tmp_path / "a.png", bits, 0, [b"\x55", b"\x55"])
    assert_holds(opened(path), np.array([[expected] * 2], "u1"))


def test_palettes_and_transparency_become_channels(tmp_path):
    palette = (b"PLTE", bytes(range(9)))
    path = png_file(tmp_path / "a.png", 8, 3, [b"\0\2\1"], palette)
    expected = np.arange(9, dtype="u1").reshape(3, 3)[[0, 2, 1]].T[:, None, None]
    assert_holds(opened(path), expected)
    png_file(tmp_path / "b.png", 8, 3, [b"\0\2\1"], palette, (b"tRNS", b"\x09"))
    source = opened(tmp_path / "b.png")
    assert_holds(source, np.concatenate([expected, np.array([[[[9, 255, 255]]]], "u1")]))
    path = png_file(tmp_path / "c.png", 1, 0, [b"\x55"], (b"tRNS", b"\0\0"))
    with pytest.raises(SourceError, match=r"c\.png: grey of 1 bits with transparency"):
        opened(path)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 4, "compression": "zlib"}])
@given(data=st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_colours_become_channels(tmp_path, planar, options, data):
    voxels = values((4, 3, 20, 18), "u1")
    images = voxels if planar == "separate" else np.moveaxis(voxels, 1, -1)
    options = options | {"photometric": "rgb", "planarconfig": planar}
    source = opened(stack(tmp_path / "s", images, **options))
    assert_holds(source, voxels.swapaxes(0, 1), data)


@pytest.mark.parametrize("what", ["s", "s/*", "s/a*.tif", "s/a?*", "s/a{z}.tif"])
def test_slices_are_in_natural_order(tmp_path, what):
    voxels = values((12, 3, 4))
    stack(tmp_path / "s", voxels)
    source = opened(tmp_path / what)
    assert [file.name for file in source.files[8:11]] == ["a9.tif", "a10.tif", "a11.tif"]
    assert_holds(source, voxels)


def test_natural_order_has_text_before_numbers(tmp_path):
    voxels = values((4, 3, 4))
    for name, image in zip(("a2", "a10", "b1", "b3"), voxels, strict=True):
        tiff(tmp_path / f"{name}.tif", image)
    assert_holds(opened(tmp_path), voxels)


def test_zero_padded_numbers_need_not_start_at_0(tmp_path):
    voxels = values((3, 4, 5))
    stack(tmp_path / "s", voxels, "a_{:04}.TIF".replace("TIF", "tif"), start=98)
    assert_holds(opened(tmp_path / "s/a_{z}.tif"), voxels)
    assert_holds(opened(tmp_path / "s"), voxels)


def test_a_pattern_may_have_channels_times_and_slices(tmp_path):
    voxels = values((2, 3, 4, 5, 6))
    for t, c, z in np.ndindex(2, 3, 4):
        directory = tmp_path / f"t{t}"
        directory.mkdir(exist_ok=True)
        tiff(directory / f"z{z:03}_c{c + 1}_t{t}.tif", voxels[t, c, z])
    source = opened(tmp_path / "t{t}/z{z}_c{c}_t{t}.tif")
    assert (source.axes, source.file_native_chunk_shape) == ("tczyx", (1, 1, 1, 1, 6))
    source.check()
    assert_holds(source, voxels)
    region = (slice(1, 2), slice(0, 3), slice(2, 4), slice(0, 1), slice(0, 1))
    expected = [f"z{z:03}_c{c}_t1.tif" for c in (1, 2, 3) for z in (2, 3)]
    assert [file.name for file in source.files_of(region)] == expected


def test_a_pattern_without_z_has_one_plane(tmp_path):
    voxels = values((3, 4, 5))
    stack(tmp_path / "s", voxels)
    source = opened(tmp_path / "s/a{t}.tif")
    assert source.axes == "tzyx"
    assert_holds(source, voxels[:, None])


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}])
@given(data=st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_of_files_become_z(tmp_path, options, data):
    voxels = values((2, 3, 4, 5, 6))
    for t, c in np.ndindex(2, 3):
        metadata = {"axes": "ZYX"} if "imagej" in options else None
        options = {"photometric": "minisblack", "metadata": metadata} | options
        tifffile.imwrite(tmp_path / f"t{t}_c{c}.tif", voxels[t, c], **options)
    assert_holds(opened(tmp_path / "t{t}_c{c}.tif"), voxels, data)


def test_a_hyperstack_is_split_along_time(tmp_path):
    voxels = values((2, 3, 4, 5, 6))
    for t in range(2):
        path = tmp_path / f"t{t}.tif"
        tifffile.imwrite(
            path, voxels[t].swapaxes(0, 1), imagej=True, metadata={"axes": "ZCYX", "spacing": 4}
        )
    assert_holds(opened(tmp_path / "t{t}.tif"), voxels)


@pytest.mark.parametrize("axes", ["zyx", "yzx", "xzy", "tyx", "cyx"])
def test_axes_name_the_axis_of_a_stack(tmp_path, axes):
    voxels = values((3, 4, 5))
    source = opened(stack(tmp_path / "s", voxels), axes=axes)
    expected = {
        "zyx": voxels,
        "yzx": voxels.transpose(1, 0, 2),
        "xzy": voxels.transpose(1, 2, 0),
        "tyx": voxels[:, None],
        "cyx": voxels[:, None],
    }
    assert_holds(source, expected[axes])
    assert source.files_of(tuple(slice(0, 1) for _ in source.shape)) == source.files[:1]


@st.composite
def mosaics(draw):
    """A volume, the shape of its tiles and their overlap, and how many lie along each axis."""
    tile = [draw(st.integers(1, 6)) for _ in range(3)]
    overlap = [draw(st.integers(0, length - 1)) for length in tile]
    counts = [draw(st.integers(1, 3)) for _ in range(3)]
    shape = [
        (count - 1) * (length - over) + draw(st.integers(over + 1 if count > 1 else 1, length))
        for count, length, over in zip(counts, tile, overlap, strict=True)
    ]
    tile = [min(pair) for pair in zip(tile, shape, strict=True)] if 1 in counts else tile
    return shape, tile, overlap, counts


@given(mosaic=mosaics(), data=st.data(), compressed=st.booleans())
@settings(max_examples=40)
def test_a_mosaic_equals_the_volume_it_was_cut_from(tmp_path_factory, mosaic, data, compressed):
    shape, tile, overlap, counts = mosaic
    overlap = [0 if n == 1 else o for o, n in zip(overlap, counts, strict=True)]
    tile = [s if n == 1 else t for t, s, n in zip(tile, shape, counts, strict=True)]
    directory = tmp_path_factory.mktemp("mosaic")
    voxels = values(shape)
    for index in np.ndindex(*counts):
        starts = [i * (t - o) for i, t, o in zip(index, tile, overlap, strict=True)]
        part = voxels[tuple(slice(s, s + t) for s, t in zip(starts, tile, strict=True))]
        path = directory / "z{}_y{}_x{}.tif".format(*index)
        tiff(path, part, compression="zlib" if compressed else None, photometric="minisblack")
    source = opened(directory / "z{z}_y{y}_x{x}.tif", overlap=tuple(overlap))
    source.check()
    assert_holds(source, voxels)
    assert_holds(source, voxels, data)


def test_an_overlap_is_taken_from_the_earlier_tile(tmp_path):
    for x in range(3):
        png(tmp_path / f"{x}.png", np.full((2, 5), x, "u1"))
    source = opened(tmp_path / "{x}.png", overlap=(0, 0, 2))
    assert source.read(whole(source.shape))[0, 0].tolist() == [0] * 5 + [1] * 3 + [2] * 3


def test_mosaics_may_have_slices(tmp_path):
    voxels = values((2, 3, 7, 8), "u1")
    for c, z, y in np.ndindex(2, 3, 2):
        png(tmp_path / f"c{c}z{z}y{y}.png", voxels[c, z, [slice(0, 4), slice(3, 7)][y]])
    source = opened(tmp_path / "c{c}z{z}y{y}.png", overlap=(0, 1, 0))
    assert_holds(source, voxels)
    assert source.file_native_chunk_shape == (1, 1, 3, 8)
    region = (slice(0, 1), slice(1, 2), slice(3, 4), slice(0, 8))
    assert [file.name for file in source.files_of(region)] == ["c0z1y0.png"]
    region = (slice(1, 2), slice(0, 2), slice(2, 5), slice(0, 8))
    expected = ["c1z0y0.png", "c1z0y1.png", "c1z1y0.png", "c1z1y1.png"]
    assert [file.name for file in source.files_of(region)] == expected


@pytest.fixture
def looked_at(monkeypatch):
    """Names of the files whose header is read, or whose voxels are."""
    seen = {"header": [], "voxels": []}

    def count(function, into):
        def counted(file, *rest):
            into.append(Path(file).name)
            return function(file, *rest)

        return counted

    monkeypatch.setattr(images, "read_header", count(images.read_header, seen["header"]))
    monkeypatch.setattr(images, "read_voxels", count(images.read_voxels, seen["voxels"]))
    return seen


def test_only_the_files_that_are_needed_are_read(tmp_path, looked_at):
    stack(tmp_path / "s", values((20, 3, 4)))
    source = opened(tmp_path / "s")
    assert looked_at == {"header": ["a1.tif"], "voxels": []}
    region = (slice(8, 11), slice(0, 2), slice(1, 2))
    source.read(region)
    assert looked_at["voxels"] == ["a9.tif", "a10.tif", "a11.tif"]
    assert [file.name for file in source.files_of(region)] == looked_at["voxels"]
    source.check()
    assert looked_at["header"][1:] == [f"a{number}.tif" for number in range(1, 21)]


def test_opening_a_mosaic_reads_its_first_and_last_header(tmp_path, looked_at):
    for z, x in np.ndindex(3, 4):
        png(tmp_path / f"z{z}x{x}.png", values((3, 4), "u1"))
    opened(tmp_path / "z{z}x{x}.png")
    assert looked_at["header"] == ["z0x0.png", "z2x3.png"]


def test_each_strip_and_tile_is_decoded_once(tmp_path, monkeypatch):
    tiff(tmp_path / "a1.tif", values((64, 48)), tile=(16, 16), compression="zlib")
    tiff(tmp_path / "a2.tif", values((64, 48)), rowsperstrip=8, compression="zlib")
    source = opened(tmp_path)
    assert source.file_native_chunk_shape == (1, 16, 16)
    read = []
    original = os.pread
    monkeypatch.setattr(
        os, "pread", lambda file, size, at: (read.append(at), original(file, size, at))[1]
    )
    for name, region, expected in (
        ("a1.tif", (slice(0, 1), slice(15, 33), slice(16, 32)), [1, 4, 7]),
        ("a2.tif", (slice(1, 2), slice(7, 17), slice(0, 3)), [0, 1, 2]),
    ):
        with tifffile.TiffFile(tmp_path / name) as file:
            offsets = file.pages[0].dataoffsets
        read.clear()
        source.read(region)
        assert [offsets.index(offset) for offset in read if offset in offsets] == expected


def test_threads_read_the_same_voxels(tmp_path):
    voxels = values((8, 50, 60))
    source = opened(stack(tmp_path / "s", voxels, compression="zlib", rowsperstrip=8))
    regions = [
        (slice(z, z + 3), slice(y, y + 20), slice(5, 40)) for z in range(6) for y in range(0, 30, 7)
    ]
    with ThreadPoolExecutor(8) as pool:
        for region, found in zip(regions, pool.map(source.read, regions), strict=True):
            np.testing.assert_array_equal(found, voxels[region])


@pytest.mark.parametrize(
    ("options", "expected", "unit"),
    [
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "um", "spacing": 3}},
         (3, 0.5, 0.25), "micrometer"),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "pixel", "spacing": 3}},
         (3, 0.5, 0.25), ""),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "mm"}}, (), ""),
        ({"resolution": (20_000, 10_000), "resolutionunit": 3}, (), ""),
        ({"resolution": (2, 2)}, (), ""),
    ],
    ids=["ImageJ", "no unit of length", "no spacing", "no distance between slices", "no unit"],
)  # fmt: skip
def test_the_voxel_size_needs_all_stacked_axes(tmp_path, options, expected, unit):
    options = {"metadata": None} | options
    for z in range(2):
        tifffile.imwrite(tmp_path / f"a{z}.tif", values((4, 5)), **options)
    source = open_source(tmp_path)
    assert source.voxel_size == (expected or (1, 1, 1))
    assert source.space_unit == unit
    if expected:
        source = open_source(tmp_path, axes="yzx")
        assert source.voxel_size == (0.5, 3, 0.25)


@pytest.mark.parametrize(
    ("unit", "resolution", "expected", "name"),
    [
        (3, (20_000, 10_000), (5e-5, 1e-4, 5e-5), "centimeter"),
        (2, (25_400, 25_400), (1 / 25_400,) * 3, "inch"),
        (2, (72, 72), (1, 1, 1), ""),
    ],
)
def test_a_plane_has_the_resolution_of_its_tags(tmp_path, unit, resolution, expected, name):
    tiff(tmp_path / "0.tif", values((4, 5)), resolution=resolution, resolutionunit=unit)
    source = open_source(tmp_path / "{x}.tif")
    assert (source.voxel_size, source.space_unit) == (expected, name)


UM_NM = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.4, "PhysicalSizeZ": 2000}
SAID = {
    "OME in µm and nm": {"metadata": UM_NM | {"PhysicalSizeZUnit": "nm"}},
    "OME without Z": {"metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.4}},
    "OME in Å": {"metadata": {f"PhysicalSize{a}": 3 for a in "XYZ"}
                 | {f"PhysicalSize{a}Unit": "Å" for a in "XYZ"}},
    "ImageJ in microns": {"resolution": (4, 2), "metadata": {"unit": "microns", "spacing": 3}},
    "ImageJ without spacing": {"resolution": (4, 2), "metadata": {"unit": "um"}},
    "tags": {"resolution": (20_000, 10_000), "resolutionunit": 3, "metadata": None},
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_a_file_has_the_same_metadata_by_name_and_by_pattern(tmp_path, said, shape):
    options = {"photometric": "minisblack", "imagej": said.startswith("ImageJ")} | SAID[said]
    if options["metadata"] is not None:
        options["metadata"] = {"axes": "ZYX"[-len(shape) :]} | options["metadata"]
    path = tmp_path / ("o_0.ome.tif" if said.startswith("OME") else "o_0.tif")
    tifffile.imwrite(path, values(shape), **options)
    alone = open_source(path)
    assert alone.space_unit
    for place in "tczyx":
        source = open_source(path.with_name(path.name.replace("0", f"{{{place}}}")))
        assert (source.voxel_size, source.space_unit) == (alone.voxel_size, alone.space_unit)


@st.composite
def images_of_any_axes(draw):
    """Axes of an image, their lengths, and how it is written."""
    kind = draw(st.sampled_from(["ome", "imagej", "plain"]))
    leading = draw(st.lists(st.sampled_from("TZC"), unique=True, max_size=3))
    if kind == "imagej":
        leading.sort(key="TZC".index)
    elif kind == "plain":
        leading = leading[:1] and ["Q"]
    colours = "C" not in leading and draw(st.booleans())
    axes = "".join(leading) + "YX" + "S" * colours
    lengths = {axis: draw(st.integers(1, 3)) for axis in leading} | {"Y": 6, "X": 7, "S": 3}
    metadata = {"axes": axes}
    if kind == "ome":
        units = st.sampled_from(["mm", "µm", "nm", "Å", "pixel"])
        for axis in draw(st.sets(st.sampled_from("XYZ"))):
            metadata[f"PhysicalSize{axis}"] = draw(st.integers(1, 9))
            metadata[f"PhysicalSize{axis}Unit"] = draw(units)
        metadata |= draw(st.sampled_from([{}, {"TimeIncrement": 2, "TimeIncrementUnit": "ms"}]))
        names = [f"dye {number}" for number in range(lengths.get("C", 1))]
        metadata |= draw(st.sampled_from([{}, {"Channel": {"Name": names}}]))
    elif kind == "imagej":
        metadata["unit"] = draw(st.sampled_from(["micron", "um", "\\u00B5m", "nm", "pixel"]))
        metadata |= draw(st.sampled_from([{}, {"spacing": 3}, {"spacing": 2, "finterval": 0.5}]))
    options = {
        "metadata": None if kind == "plain" else metadata,
        "ome": kind == "ome",
        "imagej": kind == "imagej",
        "photometric": "rgb" if colours else "minisblack",
        "compression": draw(st.sampled_from([None, "zlib"])),
        "resolution": draw(st.sampled_from([(1, 1), (4, 2), (72, 72)])),
    }
    return [lengths[axis] for axis in axes], options


@given(image=images_of_any_axes(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_is_the_same_source_by_name_and_by_pattern(tmp_path_factory, image, data):
    shape, options = image
    folder = tmp_path_factory.mktemp("a")
    tifffile.imwrite(folder / "a0.tif", values(shape, "u1"), **options)
    alone, source = open_source(folder / "a0.tif"), open_source(folder / "a{x}.tif")
    for name in ("axes", "dtype", "voxel_size", "space_unit", "time_step", "time_unit",
                 "channel_names", "channel_colors"):  # fmt: skip
        assert getattr(source, name) == getattr(alone, name), name
    source.check()
    assert_holds(source, alone.read(whole(alone.shape)), data)


def test_stacks_without_a_slice_distance_have_no_voxel_size(tmp_path):
    for name, depth in (("a", 1), ("b", 3)):
        for z in range(2):
            path = tmp_path / f"{name}{z}.ome.tif"
            axes = "ZYX" if depth > 1 else "YX"
            metadata = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
            tifffile.imwrite(
                path, values((depth, 4, 5))[slice(None) if depth > 1 else 0],
                metadata=metadata, photometric="minisblack",
            )  # fmt: skip
    assert open_source(tmp_path / "a{z}.ome.tif").space_unit == ""
    assert open_source(tmp_path / "a{c}.ome.tif").voxel_size == (0.5, 0.5, 0.5)
    assert open_source(tmp_path / "b{z}.ome.tif").voxel_size == (0.5, 0.5, 0.5)
    assert open_source(tmp_path / "b{z}.ome.tif").space_unit == "micrometer"


def wrong_size(directory):
    tiff(directory / "a3.tif", values((4, 6)))


def wrong_dtype(directory):
    tiff(directory / "a3.tif", values((4, 5), "i2"))


def colours(directory):
    tiff(directory / "a3.tif", values((4, 5, 3)), photometric="rgb")


def volume(directory):
    tiff(directory / "a3.tif", values((2, 4, 5)), photometric="minisblack")


def no_image(directory):
    (directory / "a3.tif").write_bytes(b"hello")


def nothing(directory):
    (directory / "a3.tif").write_bytes(b"")


def cut_short(directory):
    os.truncate(directory / "a3.tif", os.path.getsize(directory / "a3.tif") - 1)


ODD = {
    "size": (
        wrong_size,
        r"it has shape \(4, 6\) along yx and dtype uint16, but according to the first .* \(4, 5\)",
    ),
    "dtype": (wrong_dtype, r"it has shape \(4, 5\) along yx and dtype int16, but .* uint16"),
    "colours": (colours, r"it has shape \(4, 5, 3\)"),
    "volume": (volume, r"it has shape \(2, 4, 5\)"),
    "no image": (no_image, "not a TIFF file"),
    "empty": (nothing, "not a TIFF file"),
}


@pytest.mark.parametrize(("spoil", "message"), ODD.values(), ids=ODD)
def test_errors_name_a_slice_that_differs(tmp_path, spoil, message):
    source = opened(stack(tmp_path / "s", values((5, 4, 5))))
    spoil(tmp_path / "s")
    with pytest.raises(SourceError, match=rf"a3\.tif: .*{message}"):
        source.check()
    with pytest.raises(SourceError, match=rf"a3\.tif: .*{message}"):
        source.read(whole(source.shape))
    source.read((slice(0, 2), slice(0, 4), slice(0, 5)))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_errors_name_a_truncated_slice(tmp_path, options):
    source = opened(stack(tmp_path / "s", values((5, 4, 5)), **options))
    cut = tmp_path / "s/a3.tif"
    with tifffile.TiffFile(cut) as file:
        end = file.pages[0].dataoffsets[0] + file.pages[0].databytecounts[0]
    os.truncate(cut, end - 1)
    with pytest.raises(SourceError, match=rf"a3\.tif: cut short: {end - 1} bytes, but .* {end}"):
        source.read(whole(source.shape))


@pytest.mark.parametrize("suffix", [".png", ".jp2", ".j2k"])
def test_errors_name_a_damaged_encoded_slice(tmp_path, suffix):
    source = opened(stack(tmp_path / "s", values((3, 40, 50), "u1"), "a{}" + suffix))
    damaged = tmp_path / f"s/a2{suffix}"
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 8])
    with pytest.raises(
        SourceError, match=rf"a2\{suffix}: the voxels cannot be read .*; the file may"
    ):
        source.read(whole(source.shape))
    for cut in (0, 7, 20):
        damaged.write_bytes(content[:cut])
        with pytest.raises(SourceError, match=rf"a2\{suffix}: not a .* file, or cut short"):
            source.check()
    damaged.unlink()
    with pytest.raises(SourceError, match=rf"a2\{suffix}: there is no such file"):
        source.check()


def test_jpeg2000_above_16_bits_is_refused(tmp_path):
    encoded = imagecodecs.jpeg2k_encode(values((5, 6), "u4"), level=0, reversible=True)
    (tmp_path / "a.jp2").write_bytes(encoded)
    with pytest.raises(SourceError, match=r"a\.jp2: JPEG 2000 images can only .* at most 16"):
        opened(tmp_path / "a.jp2")


@pytest.mark.parametrize(
    ("names", "path", "message"),
    [
        (["a1", "a2", "a4"], "a{z}.tif", "no file has z = 3, but there are 2 and 4; numbers must"),
        (["a1", "a2"], "b{z}.tif", "no file matches with numbers at the place"),
        (
            ["a1", "a01", "a2"],
            "a{z}.tif",
            r"a1\.tif: it has the same position in the grid as .*/a01",
        ),
        (["a1", "a01", "a2"], ".", r"a1\.tif: it has the same position in the stack as .*/a01"),
        (["a1", "a2", "a4"], ".", r"slice 3 is missing between .*/a2\.tif and .*/a4\.tif; to conv"),
        (["a10", "a05", "a20"], ".", r"slice 15 is missing between .*/a10\.tif and .*/a20\.tif"),
        (["0c0", "0c1", "1c0"], "{z}c{c}.tif", "no file has c = 1, z = 1; 1 of 4 are missing"),
        (["a1"], "b*.tif", "no file matches"),
        (["a1"], "missing/a.png", "no file matches|there is no such file"),
    ],
)
def test_missing_and_duplicate_slices_are_refused(tmp_path, names, path, message):
    for name in names:
        tiff(tmp_path / f"{name}.tif", values((4, 5)))
    with pytest.raises(SourceError, match=message):
        opened(tmp_path / path)


@pytest.mark.parametrize("names", [["a1", "a3", "a5"], ["a1_9", "a2_7"], ["a1", "b7", "b9"], ["a"]])
def test_directories_may_have_numbers_with_any_constant_step(tmp_path, names):
    for name in names:
        tiff(tmp_path / f"{name}.tif", values((4, 5)))
    assert opened(tmp_path).shape == (len(names), 4, 5)
    tiff(tmp_path / "a9_9.tif", values((4, 5)))
    assert opened(tmp_path / "*.tif").shape == (len(names) + 1, 4, 5)


@pytest.mark.parametrize("name", ["notes.txt", "a", "a.tif.bak", "Thumbs.db"])
def test_errors_name_a_file_that_is_not_an_image(tmp_path, name):
    stack(tmp_path, values((2, 4, 5)))
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(SourceError, match=rf"{name}: not an image; give a glob .*/\*\.tif"):
        opened(tmp_path)
    with pytest.raises(SourceError, match=rf"{name}: not an image"):
        opened(tmp_path / "*")
    assert opened(tmp_path / "*.tif").shape == (2, 4, 5)


def test_mixed_formats_are_refused_and_hidden_files_ignored(tmp_path):
    stack(tmp_path, values((2, 4, 5)))
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert opened(tmp_path).shape == (2, 4, 5)
    png(tmp_path / "a3.png", values((4, 5)))
    with pytest.raises(SourceError, match=r"a3\.png: a PNG file, but .*/a1\.tif is TIFF"):
        opened(tmp_path)
    os.remove(tmp_path / "a3.png")
    os.mkfifo(tmp_path / "a0.tif")
    with pytest.raises(SourceError, match=r"a0\.tif: a directory, a pipe or a device, not a file"):
        opened(tmp_path)


def test_subdirectories_are_ignored(tmp_path):
    stack(tmp_path, values((2, 4, 5)))
    for name in ("results", "logs", "a3.tif", "series.dcm", "zarr.json"):
        (tmp_path / name).mkdir()
        stack(tmp_path / name, values((1, 4, 5)))
    for path in (tmp_path, tmp_path / "*"):
        assert opened(path).shape == (2, 4, 5)
    (tmp_path / "pipe").symlink_to(tmp_path / "a3.tif")
    assert opened(tmp_path).shape == (2, 4, 5)
    (tmp_path / "pipe").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match=r"pipe: a directory, a pipe or a device, not a file"):
        opened(tmp_path)


def test_globs_do_not_match_the_output_of_runs(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    stack(tmp_path / "in", values((2, 4, 5)))
    stack(tmp_path / "out", values((3, 4, 5)))
    stack(tmp_path / "benchmarks", values((4, 4, 5)))
    assert open_source("**/a*.tif", output="out").shape == (2, 4, 5)
    assert "source '**/a*.tif': 7 matches are ignored" in caplog.text
    assert caplog.text.count("are ignored") == 1
    assert "4 in benchmarks, 3 in out" in caplog.text
    assert open_source("**/a*.tif").shape == (9, 4, 5)
    assert open_source("out/*.tif", output="out").shape == (3, 4, 5)


def test_volumes_are_refused_as_slices(tmp_path):
    stack(tmp_path, values((2, 3, 4, 5)), photometric="minisblack")
    with pytest.raises(SourceError, match=r"a1\.tif: a slice .* shape \(3, 4, 5\) along zyx; for "):
        opened(tmp_path)
    assert opened(tmp_path / "a{z}.tif").shape == (6, 4, 5)


def test_colours_and_times_of_files_follow_each_other(tmp_path):
    voxels = values((2, 4, 5, 3), "u1")
    for name, image in zip(("488", "T2"), voxels, strict=True):
        tiff(tmp_path / f"{name}.tif", image, photometric="rgb")
    source = opened(tmp_path / "{c}.tif")
    assert source.channel_names == ("488 0", "488 1", "488 2", "T2 0", "T2 1", "T2 2")
    assert_holds(source, np.moveaxis(voxels, -1, 1).reshape(6, 1, 4, 5))
    movie = values((7, 4, 5))
    for number, part in enumerate((movie[:3], movie[3:6], movie[6:])):
        path = tmp_path / f"movie_{number}.tif"
        tifffile.imwrite(path, part, imagej=True, metadata={"axes": "TYX"})
    source = opened(tmp_path / "movie_{t}.tif")
    source.check()
    assert_holds(source, movie[:, None])


@pytest.mark.parametrize(
    ("path", "layout", "message"),
    [
        (
            ".",
            {"overlap": (0, 0, 0)},
            r"overlap is \(0, 0, 0\), but applies only to tiles.*tile_{y}_{x}.tif",
        ),
        (".", {"axes": "zy"}, r"axes is 'zy', but the array has shape \(3, 4, 5\)"),
        (".", {"axes": "zyy"}, "axes is 'zyy'"),
        ("a{y}.tif", {"axes": "zyx"}, "axes is 'zyx', but the placeholders of a pattern"),
        ("a{y}.tif", {"overlap": (0, 1)}, r"overlap is \(0, 1\); allowed: 3 numbers"),
        ("a{y}.tif", {"overlap": (0, -1, 0)}, r"overlap is \(0, -1, 0\); allowed: 3 numbers"),
        ("a{y}.tif", {"overlap": (0, 0, 1)}, r"but the pattern has no {x}; give 0 along x"),
        ("a{y}.tif", {"overlap": (0, 4, 0)}, "but a tile has 4 voxels along y: give less"),
        ("a{z}.tif", {"overlap": (1, 0, 0)}, "but a tile has 1 voxels along z: give less"),
        (".", {"dataset": "a"}, "dataset is 'a', but does not apply to this format"),
    ],
)
def test_the_layout_must_fit_the_files(tmp_path, path, layout, message):
    stack(tmp_path, values((3, 4, 5)))
    with pytest.raises(SourceError, match=message):
        opened(tmp_path / path, **layout)


@pytest.mark.parametrize(
    ("last", "overlap", "message"),
    [
        (values((5, 5)), 0, "it has 5 voxels along y, but .* has 4; only the last tile along"),
        (values((4, 4)), 0, "it has 4 voxels along x, but .* has 5; only the last tile along"),
        (values((2, 5)), 2, "its 2 voxels along y are all within the overlap of 2: leave it out"),
        (values((4, 5), "u1"), 0, r"it has shape \(4, 5\) along yx and dtype uint8, but .*uint16"),
    ],
)
def test_a_last_tile_that_does_not_fit_is_refused(tmp_path, last, overlap, message):
    stack(tmp_path, [*values((3, 4, 5)), last])
    with pytest.raises(SourceError, match=rf"a4\.tif: {message}"):
        opened(tmp_path / "a{y}.tif", overlap=(0, overlap, 0))


def test_only_the_last_tile_may_be_smaller(tmp_path):
    stack(tmp_path, values((3, 4, 5)))
    tiff(tmp_path / "a2.tif", values((3, 5)))
    source = opened(tmp_path / "a{y}.tif")
    with pytest.raises(SourceError, match=r"a2\.tif: it has shape \(3, 5\)"):
        source.check()


def test_overlap_along_an_axis_with_one_tile_is_ignored(tmp_path):
    voxels = values((4, 8), "u1")
    for x in range(2):
        tiff(tmp_path / f"y0x{x}.tif", voxels[:, 3 * x : 3 * x + 5])
    source = opened(tmp_path / "y{y}x{x}.tif", overlap=(0, 2, 2))
    assert_holds(source, voxels[None])


def test_all_tiles_of_a_row_have_one_height(tmp_path):
    for x, height in enumerate((4, 4, 3)):
        png(tmp_path / f"y0x{x}.png", values((height, 5), "u1"))
    with pytest.raises(SourceError, match=r"y0x2\.png: it has 3 voxels along y, but .* has 4"):
        opened(tmp_path / "y{y}x{x}.png")


# Slices of different size


@pytest.mark.parametrize(
    ("suffix", "colours", "options"),
    [
        (".tif", (), {}),
        (".tif", (3,), {"compression": "zlib", "tile": (16, 16), "photometric": "rgb"}),
        (".tif", (), {"compression": "lzw", "rowsperstrip": 2}),
        (".png", (3,), {}),
    ],
)
@given(data=st.data())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_slices_of_different_size_are_padded_with_zeros(
    tmp_path_factory, suffix, colours, options, data
):
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2))[:5]
    where = data.draw(st.sampled_from(["center", "corner"]))
    height, width = np.max(shapes, axis=0)
    expected = np.zeros((len(shapes), height, width, *colours), "u1")
    folder = tmp_path_factory.mktemp("s")
    for number, (h, w) in enumerate(shapes):
        image = values((h, w, *colours), "u1")
        WRITERS[suffix](folder / f"a{number}{suffix}", image, **options)
        y, x = ((height - h) // 2, (width - w) // 2) if where == "center" else (0, 0)
        expected[number, y : y + h, x : x + w] = image
    expected = np.moveaxis(expected, -1, 0) if colours else expected
    source = opened(folder, pad=where)
    source.check()
    assert_holds(source, expected)
    assert_holds(source, expected, data)
    assert_holds(opened(folder / f"a{{z}}{suffix}", pad=where), expected)


def uneven(folder, *shapes):
    """Slices of these shapes, with metadata that tell whose they are."""
    for number, shape in enumerate(shapes):
        options = {"resolution": (number + 1,) * 2, "metadata": {"unit": "um", "spacing": 1}}
        tifffile.imwrite(folder / f"a{number}.tif", values(shape, "u1"), imagej=True, **options)
    return folder


def test_padding_is_said_and_the_largest_slice_gives_the_metadata(tmp_path, caplog):
    uneven(tmp_path, (2, 5), (4, 6), (3, 3))
    source = open_source(tmp_path, pad="center")
    assert source.voxel_size == (1, 0.5, 0.5)
    said = "margins of 2 of 3 slices in (4, 6): a0.tif of (2, 5) from (1, 0), a2.tif of (3, 3) from"
    assert f"filled with zeros: {said}" in caplog.text
    assert source.filled.startswith(said)
    assert open_source(uneven(tmp_path, (4, 6), (4, 6), (4, 6)), pad="corner").filled == ""


def test_padded_slices_may_be_missing(tmp_path):
    uneven(tmp_path, (2, 5), (4, 6), (3, 3), (4, 6))
    whole_stack = opened(tmp_path, pad="corner")
    (tmp_path / "a2.tif").unlink()
    expected = whole_stack.read((slice(0, 1), *whole(whole_stack.shape)[1:]))
    source = opened(tmp_path, pad="corner", missing="fill")
    assert source.filled.startswith("1 of 4 files (z=2); margins of 1 of 3 slices in (4, 6)")
    found = source.read(whole(source.shape))
    np.testing.assert_array_equal(found[:1], expected)
    assert not found[2].any()
    assert found[3].any()


@pytest.mark.parametrize("where", ["center", "corner"])
def test_the_position_of_padded_slices_is_that_of_the_largest(tmp_path, where):
    for z, shape in enumerate([(2, 5), (4, 6)]):
        plane = {"PositionX": 7 + z, "PositionY": 3 + z, "PositionZ": 2 + z}
        plane |= {f"Position{axis}Unit": "um" for axis in "XYZ"}
        said = {"axes": "YX"} | {f"PhysicalSize{axis}": 0.5 for axis in "XYZ"}
        path = tmp_path / f"{z}.tif"
        tifffile.imwrite(path, values(shape), ome=True, metadata=said | {"Plane": plane})
    assert open_source(tmp_path, pad=where).position == (2, 4, 8)


def test_other_axes_of_padded_slices_may_be_named(tmp_path):
    shapes = (2, 5), (4, 3)
    each = [values(shape, "u1") for shape in shapes]
    expected = np.zeros((4, 2, 5), "u1")
    for number, image in enumerate(each):
        tiff(tmp_path / f"a{number}.tif", image)
        expected[: image.shape[0], number, : image.shape[1]] = image
    assert_holds(opened(tmp_path, pad="corner", axes="yzx"), expected)


def test_slices_of_different_size_are_refused_with_advice(tmp_path):
    uneven(tmp_path, (2, 5), (4, 6))
    message = (
        r"a1\.tif: it has shape \(4, 6\) .*, but according to the first file, .*a0\.tif, .* "
        r"\(2, 5\) .*; to fill smaller slices up with zeros, give pad: center or corner"
    )
    with pytest.raises(SourceError, match=message):
        opened(tmp_path).check()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a{x}.tif", "pad is 'corner', but applies only to stacks of slices, not to tiles"),
        (".", r"a2\.tif: it has shape \(2, 5\) along yx and dtype uint16, but .* uint8$"),
        ("a[0-1].tif", None),
    ],
)
def test_only_the_size_of_padded_slices_may_differ(tmp_path, path, message):
    uneven(tmp_path, (2, 5), (4, 6))
    tiff(tmp_path / "a2.tif", values((2, 5)))
    if message is None:
        source = opened(tmp_path / path, pad="corner")
        tiff(tmp_path / "a0.tif", values((4, 6), "u1"))
        with pytest.raises(SourceError, match=r"a0\.tif: it has shape \(4, 6\)"):
            source.read(whole(source.shape))
    else:
        with pytest.raises(SourceError, match=message):
            opened(tmp_path / path, pad="corner")


def test_the_finest_level_of_a_slice_with_a_pyramid_is_read(tmp_path):
    voxels = values((2, 32, 48))
    for z, image in enumerate(voxels):
        with tifffile.TiffWriter(tmp_path / f"{z}.tif") as file:
            options = {"tile": (16, 16), "compression": "zlib", "metadata": None}
            file.write(image, subifds=1, **options)
            file.write(image[::2, ::2], subfiletype=1, **options)
    assert_holds(opened(tmp_path), voxels)


def test_several_images_in_a_file_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a1.tif") as file:
        file.write(values((4, 5)), metadata=None)
        file.write(values((8, 9)), metadata=None)
    with pytest.raises(SourceError, match=r"a1\.tif: it holds 2 images"):
        opened(tmp_path)


@pytest.mark.parametrize(("missing", "suffix"), [("tifffile", ".tif"), ("imagecodecs", ".png")])
def test_errors_name_a_missing_library(tmp_path, monkeypatch, missing, suffix):
    stack(tmp_path / "s", values((2, 4, 5)), "a{}" + suffix)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        SourceError, match=rf"a1\{suffix}: .* package {missing} .*pip install .*tiff"
    ):
        opened(tmp_path / "s").read((slice(0, 1),) * 3)


@pytest.mark.parametrize("name", ["zarr.json", ".zarray", "attributes.json", "a.dcm"])
def test_directories_of_other_families_do_not_match(tmp_path, name):
    stack(tmp_path, values((2, 4, 5)))
    (tmp_path / name).write_bytes(b"")
    assert not StackSource.matches(str(tmp_path))


@pytest.mark.parametrize("path", [".", "empty", "a.nii", "*.nii", "a_{t}.nii.gz", "a.tif", "n*"])
def test_paths_without_images_do_not_match(tmp_path, path):
    (tmp_path / "notes.txt").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    assert not StackSource.matches(str(tmp_path / path))


def test_slices_of_an_ome_tiff_are_read_one_by_one(tmp_path):
    voxels = values((3, 4, 5))
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{z}" for z in range(3)]
    data = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="a{z}.ome.tif">{uuid}</UUID>'
        "</TiffData>" for z, uuid in enumerate(uuids)
    )  # fmt: skip
    for z, uuid in enumerate(uuids):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            'SizeX="5" SizeY="4" SizeZ="3" SizeC="1" SizeT="1" BigEndian="false" '
            'PhysicalSizeX="0.5" PhysicalSizeY="0.25" PhysicalSizeZ="3">'
            f'<Channel ID="Channel:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
        )
        tiff(tmp_path / f"a{z}.ome.tif", voxels[z], description=xml)
    source = open_source(tmp_path)
    assert (source.voxel_size, source.space_unit) == ((3, 0.25, 0.5), "micrometer")
    source.check()
    assert_holds(source, voxels)
    assert_holds(opened(tmp_path / "a{z}.ome.tif"), voxels)


def test_ome_sets_of_images_have_the_voxel_size_of_the_first(tmp_path):
    voxels = values((2, 3, 4, 5))
    image = (
        '<Image ID="Image:{0}" Name="position"><Pixels ID="Pixels:{0}" DimensionOrder="XYZCT" '
        'Type="uint16" SizeX="5" SizeY="4" SizeZ="3" SizeC="1" SizeT="1" PhysicalSizeX="0.5">'
        '<Channel ID="Channel:{0}"/><TiffData IFD="0" PlaneCount="3">'
        '<UUID FileName="a{0}.ome.tif">urn:uuid:{0}</UUID></TiffData></Pixels></Image>'
    )
    for x in range(2):
        xml = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{x}">{image.format(0)}{image.format(1)}</OME>'
        )
        tiff(tmp_path / f"a{x}.ome.tif", voxels[x], description=xml, photometric="minisblack")
    source = open_source(tmp_path / "a{x}.ome.tif")
    assert (source.voxel_size, source.space_unit) == ((0.5, 0.5, 0.5), "micrometer")
    source.check()
    assert_holds(source, np.concatenate(voxels, axis=2))


def test_slices_split_from_a_hyperstack_keep_its_metadata(tmp_path):
    voxels = values((3, 4, 5))
    for z, image in enumerate(voxels):
        said = "ImageJ=1.54f\nimages=3\nslices=3\nunit=microns\nspacing=2.0\n"
        tiff(tmp_path / f"{z}.tif", image, description=said, resolution=(4, 2))
    for path in (tmp_path, tmp_path / "{z}.tif"):
        source = open_source(path)
        assert (source.voxel_size, source.space_unit) == ((2, 0.5, 0.25), "micrometer")
        assert_holds(source, voxels)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_slices_of_many_strips_are_read(tmp_path, compression):
    voxels = values((2, 600, 3))
    stack(tmp_path, voxels, compression=compression, rowsperstrip=1)
    assert_holds(opened(tmp_path), voxels)


@pytest.mark.parametrize(
    ("code", "value", "message"),
    [
        (259, 4242, r"its pages cannot be decoded \(.*4242"),
        (339, 9, "in SampleFormat 9, cannot be"),
    ],
)
def test_slices_of_an_unknown_encoding_are_refused_at_once(tmp_path, code, value, message):
    stack(tmp_path, values((2, 4, 5), "i2"), compression="lzw")
    with tifffile.TiffFile(tmp_path / "a1.tif", mode="r+b") as file:
        file.pages[0].tags[code].overwrite(value)
    with pytest.raises(SourceError, match=rf"a1\.tif: .*{message}"):
        opened(tmp_path)


def test_unknown_axes_are_refused_in_slices(tmp_path):
    tifffile.imwrite(tmp_path / "a0.tif", values((2, 3, 4, 5)), photometric="minisblack")
    with pytest.raises(
        SourceError, match=r"a0\.tif: tifffile names its axes QQYX, .*: it cannot be"
    ):
        opened(tmp_path / "a{x}.tif")


def test_ome_tiff_tiles_have_the_axes_of_their_metadata(tmp_path):
    voxels = values((2, 3, 4, 10))
    for x in range(2):
        metadata = {"axes": "CZYX", "PhysicalSizeX": 500, "PhysicalSizeY": 250, "PhysicalSizeZ": 3}
        metadata |= {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm"}
        tile = voxels[..., 5 * x : 5 * x + 5]
        path = tmp_path / f"{x}.ome.tif"
        tifffile.imwrite(path, tile, metadata=metadata, photometric="minisblack")
    source = open_source(tmp_path / "{x}.ome.tif")
    assert (source.voxel_size, source.space_unit) == ((3000, 250, 500), "nanometer")
    assert_holds(source, voxels)


def test_lossy_and_bilevel_images_equal_those_of_tifffile(tmp_path):
    image = values((40, 50, 3), "u1")
    options = {"photometric": "rgb", "compression": "jpeg", "tile": (16, 16)}
    tiff(tmp_path / "j1.tif", image, **options)
    expected = tifffile.imread(tmp_path / "j1.tif")
    assert_holds(opened(tmp_path / "j{z}.tif"), np.moveaxis(expected, -1, 0)[:, None])
    mask = values((40, 50), "bool")
    tiff(tmp_path / "m1.tif", mask, compression="packbits", photometric="minisblack")
    assert_holds(opened(tmp_path / "m{z}.tif"), mask[None])


def test_real_images_equal_those_of_another_library():
    skimage = pytest.importorskip("skimage", exc_type=ImportError)
    io = pytest.importorskip("skimage.io", exc_type=ImportError)
    data = Path(skimage.__file__).parent / "data"
    source = opened(data / "[bg]r[ai]*.png")
    names = ["brick.png", "grass.png", "gravel.png"]
    assert [file.name for file in source.files] == names
    source.check()
    assert_holds(source, np.stack([io.imread(data / name) for name in names]))
    for name in ("astronaut.png", "logo.png"):
        expected = np.moveaxis(io.imread(data / name), -1, 0)[:, None]
        assert_holds(opened(data / name), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2", ".j2k"])
@pytest.mark.parametrize(("colours", "dtype"), [((), "u1"), ((), "u2"), ((3,), "u1"), ((4,), "u1")])
def test_images_of_pillow_keep_their_values(tmp_path, suffix, colours, dtype):
    pillow = pytest.importorskip("PIL.Image", exc_type=ImportError)
    voxels = values((2, 30, 20, *colours), dtype)
    for number, image in enumerate(voxels):
        pillow.fromarray(image).save(tmp_path / f"a{number}{suffix}")
    source = opened(tmp_path)
    source.check()
    assert_holds(source, np.moveaxis(voxels, -1, 0) if colours else voxels)


def test_slices_may_be_stored_in_different_ways(tmp_path):
    voxels = values((len(TIFFS), 20, 30), "i2")
    for number, options in enumerate(TIFFS.values()):
        tiff(tmp_path / f"a{number}.tif", voxels[number], **options)
    source = opened(tmp_path)
    source.check()
    assert_holds(source, voxels)


@pytest.mark.parametrize("kind", ["directory", "pattern", "mosaic"])
def test_a_stack_or_a_mosaic_becomes_a_store(tmp_path, kind):
    voxels = values((9, 40, 50), "u1")
    if kind == "mosaic":
        for y, x in np.ndindex(2, 3):
            tile = voxels[:, 20 * y : 20 * y + 25, 16 * x : 16 * x + 20]
            path = tmp_path / f"y{y}_x{x}.tif"
            tiff(path, tile, photometric="minisblack", compression="zlib", rowsperstrip=7)
        sheet = tmp_path / "samples.tsv"
        pattern = tmp_path / "y{y}_x{x}.tif"
        sheet.write_text(f"sample\tsource\toverlap\tvoxel_size\nm\t{pattern}\t0,5,4\t2\n")
        source = {"samples": str(sheet), "source": None}
    else:
        stack(tmp_path / "brain", voxels, "s_{:03}.png")
        source = {"source": str(tmp_path / "brain" / ("s_{z}.png" if kind == "pattern" else ""))}
    store, sample = convert(None, tmp_path / "out", source | {"zarr": {"chunk": 16}})
    assert sample.name == {"directory": "brain", "pattern": "s", "mosaic": "m"}[kind]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store / "0")}}
    found = tensorstore.open(spec).result()[...].read().result()
    np.testing.assert_array_equal(found, voxels)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/s_{z}.png", "s"), ("a/b.jp2", "b"), ("a/t_{y}_{x}.tif", "t"), ("a/brain", "brain")],
)
def test_a_sample_is_named_after_its_files(path, expected):
    assert stem(path) == expected


# Missing files that are filled


@pytest.mark.parametrize(
    ("names", "source", "kept", "filled"),
    [
        (["a01", "a02", "a05"], ".", (0, 1, 4), "2 of 5 files (z=2, z=3)"),
        (["a0", "a10", "a30"], "a*.tif", (0, 1, 3), "1 of 4 files (z=2)"),
        (["a1", "a2", "a4"], "a{z}.tif", (0, 1, 3), "1 of 4 files (z=2)"),
        (["a7", "b8"], ".", (0, 1), ""),
    ],
)
def test_missing_slices_are_filled_with_zeros(tmp_path, caplog, names, source, kept, filled):
    slices = values((len(names), 4, 5)) + 1
    for name, voxels in zip(names, slices, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", voxels, compression="zlib")
    found = open_source(tmp_path / source, missing="fill")
    found.check()
    expected = np.zeros((max(kept) + 1, 4, 5), slices.dtype)
    expected[list(kept)] = slices
    assert_holds(found, expected)
    assert found.filled == filled
    assert (f"missing, and filled with zeros: {filled}" in caplog.text) == bool(filled)
    every = found.files_of(tuple(slice(0, n) for n in found.shape))
    assert [file.stem for file in every] == sorted(names, key=lambda name: int(name[1:]))


def test_missing_tiles_are_filled_with_zeros(tmp_path):
    whole = values((2, 7, 9)) + 1
    for c, y, x in np.ndindex(2, 2, 3):
        tile = whole[c, 4 * y : 4 * y + 4, 3 * x : 3 * x + 3]
        tifffile.imwrite(tmp_path / f"c{c}_y{y}_x{x}.tif", tile, compression="zlib")
    (tmp_path / "c0_y1_x1.tif").unlink()
    (tmp_path / "c1_y0_x2.tif").unlink()
    expected = whole[:, None].copy()
    expected[0, 0, 4:, 3:6] = expected[1, 0, :4, 6:] = 0
    pattern = tmp_path / "c{c}_y{y}_x{x}.tif"
    source = open_source(pattern, missing="fill")
    source.check()
    assert_holds(source, expected)
    assert source.filled == "2 of 12 files (c=0 y=1 x=1, c=1 y=0 x=2)"
    with pytest.raises(SourceError, match="2 of 12 are missing; to fill"):
        open_source(pattern)
    (tmp_path / "c1_y1_x2.tif").unlink()
    with pytest.raises(SourceError, match="the first or the last tile is missing"):
        open_source(pattern, missing="fill")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a0", "a2", "a5"], "slice 4 is missing between"),
        (["a0", "a1", "a20260101"], "3 files exist, but according to their numbers there are"),
    ],
)
def test_numbers_that_do_not_place_slices_are_refused(tmp_path, names, message):
    for name in names:
        tifffile.imwrite(tmp_path / f"{name}.tif", values((4, 5)))
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path, missing="fill")


def test_the_position_of_a_mosaic_is_that_of_its_first_tile(tmp_path):
    for x in range(2):
        said = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        plane = {"PositionX": 10.0 * x + 3, "PositionXUnit": "nm", "PositionY": 4.0}
        plane |= {"PositionYUnit": "um"}
        path = tmp_path / f"x{x}.tif"
        tifffile.imwrite(path, values((4, 5)), ome=True, metadata=said | {"Plane": plane})
    np.testing.assert_allclose(open_source(tmp_path / "x{x}.tif").position, (0, 4, 0.003))
