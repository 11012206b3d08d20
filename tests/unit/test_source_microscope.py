"""Files of microscopes: CZI written by ZEISS's library; LIF and ND2 as other readers read them."""

import os
import re
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import liffile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pylibCZIrw import czi

from neurozarr.errors import SourceError
from neurozarr.regions import whole
from neurozarr.sources import open_source
from neurozarr.sources.base import Layout
from neurozarr.sources.microscope import MicroscopeSource

from .conversions import converted_with
from .families import assert_holds

VOXELS = np.random.default_rng(0).integers(0, 60_000, (2, 3, 4, 20, 30)).astype("u2")
SCALE = {"scale_x": 1e-7, "scale_y": 2e-7, "scale_z": 3e-7}


def write_czi(path, planes, *, compression="uncompressed:", **metadata):
    """Planes by t, c, z, place (x, y) and scene; samples are blue, green and red."""
    with czi.create_czi(str(path), exist_ok=True, compression_options=compression) as file:
        for (t, c, z, place, scene), plane in planes.items():
            data = np.ascontiguousarray(plane.reshape(*plane.shape[:2], -1))
            file.write(data, place, {"T": t, "C": c, "Z": z}, scene=scene)
        file.write_metadata("a", **SCALE | metadata)
    return path


def stack(voxels, scene=0, place=(0, 0)):
    return {(*index, place, scene): voxels[index] for index in np.ndindex(voxels.shape[:3])}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("czi") / "a.czi"
    names = {0: "DAPI", 1: "Cy3", 2: "GFP"}
    return write_czi(path, stack(VOXELS), compression="zstd1:ExplicitLevel=1", channel_names=names)


@settings(max_examples=30)
@given(data=st.data())
def test_any_region_of_an_image_is_read(image, data):
    assert_holds(open_source(image), VOXELS, data)


def test_metadata_of_an_image_are_read(image):
    source = open_source(image)
    source.check()
    assert source.axes == "tczyx"
    assert source.native_chunk_shape == (1, 1, 1, 20, 30)
    np.testing.assert_allclose(source.voxel_size, (0.3, 0.2, 0.1))
    assert source.space_unit == "micrometer"
    assert source.channel_names == ("DAPI", "Cy3", "GFP")
    assert source.position == (0, 0, 0)


def test_an_image_is_converted(image, tmp_path):
    np.testing.assert_array_equal(converted_with(image, tmp_path, chunk=16), VOXELS)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    path = tmp_path_factory.mktemp("czi") / "a.czi"
    second = VOXELS[:1, :1, :, :9]
    return write_czi(path, stack(VOXELS) | stack(second, scene=1, place=(100, 50))), second


def test_a_scene_is_named_by_its_name_or_number(scenes):
    path, second = scenes
    members = MicroscopeSource.images(str(path), Layout())
    assert len(members) == 2
    for number, expected in enumerate((VOXELS, second[0, 0])):
        for dataset in (members[number].dataset, str(number)):
            source = open_source(path, dataset=dataset)
            assert_holds(source, expected)
    np.testing.assert_allclose(source.position, (0, 50 * 0.2, 100 * 0.1))


@pytest.mark.parametrize("dataset", [None, "third", "2"])
def test_the_scenes_are_listed_where_none_is_chosen(scenes, dataset):
    wrong = r"it holds the images 0 \(.+\), 1 \(.+\); give the name or number of one as dataset"
    with pytest.raises(SourceError, match=rf"a\.czi: .*{wrong}"):
        open_source(scenes[0], dataset=dataset)


def test_tiles_are_joined_where_the_file_places_them(tmp_path):
    rng = np.random.default_rng(1)
    planes = {
        (0, c, 0, (25 * x, 18 * y), 0): rng.integers(1, 99, (20, 30)).astype("u1")
        for c, y, x in np.ndindex(2, 2, 3)
    }
    path = write_czi(tmp_path / "a.czi", planes)
    with czi.open_czi(str(path)) as file:
        expected = np.stack([file.read(plane={"C": c})[None, ..., 0] for c in range(2)])
    source = open_source(path)
    assert expected.shape == (2, 1, 38, 80)
    assert source.native_chunk_shape == (1, 1, 20, 30)
    assert_holds(source, expected)
    part = (slice(1, 2), slice(0, 1), slice(17, 22), slice(23, 61))
    np.testing.assert_array_equal(source.read(part), expected[part])


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_colours_become_red_green_and_blue(tmp_path, dtype):
    colours = np.random.default_rng(1).integers(0, 250, (2, 1, 20, 30, 3)).astype(dtype)
    planes = {(0, c, z, (0, 0), 0): colours[c, z, ..., ::-1] for c, z in np.ndindex(2, 1)}
    names = {0: "bright", 1: "dark"}
    source = open_source(write_czi(tmp_path / "a.czi", planes, channel_names=names))
    expected = np.moveaxis(colours, -1, 1).reshape(6, 1, 20, 30)
    assert_holds(source, expected)
    np.testing.assert_array_equal(source.read((slice(2, 5), *whole((1, 20, 30)))), expected[2:5])
    assert source.channel_names[1:4] == ("bright green", "bright blue", "dark red")
    assert source.channel_colors == ("FF0000", "00FF00", "0000FF") * 2


def test_an_unknown_voxel_size_is_said(tmp_path, caplog):
    path = write_czi(tmp_path / "a.czi", stack(VOXELS[:1, :1]), scale_z=0)
    np.testing.assert_allclose(open_source(path).voxel_size, (0.1, 0.2, 0.1))
    assert "a.czi: the voxel size along z is unknown; it is set to 0.1" in caplog.text
    caplog.clear()
    path = write_czi(tmp_path / "a.czi", stack(VOXELS[:1, :1]), scale_x=0, scale_y=0, scale_z=0)
    assert (open_source(path).voxel_size, open_source(path).space_unit) == ((1, 1, 1), "")
    assert "the voxel size is unknown; it is set to 1" in caplog.text


def segment(kind, data):
    return struct.pack("<16sqq", kind, len(data), len(data)) + data


def stamp(path, seconds):
    """Add the time stamps of the volumes, as ZEN saves them (ZISRAW, the attachment TimeStamps)."""
    content = path.read_bytes()
    place = len(content)
    entry = struct.pack("<2s10xqi16x8s80s", b"A1", place, 0, b"CZTIMS", b"TimeStamps")
    data = struct.pack(f"<ii{len(seconds)}d", 8 + 8 * len(seconds), len(seconds), *seconds)
    attached = segment(b"ZISRAWATTACH", struct.pack("<i12x", len(data)) + entry + bytes(112) + data)
    directory = segment(b"ZISRAWATTDIR", struct.pack("<i252x", 1) + entry)
    start = content[:104] + struct.pack("<q", place + len(attached)) + content[112:]
    path.write_bytes(start + attached + directory)


@pytest.mark.parametrize(
    ("seconds", "step", "unit"),
    [((5, 7.5, 10.01), 2.505, "second"), ((5, 7.5, 9), 1, ""), ((5, 7.5), 1, "")],
)
def test_the_time_step_is_that_between_even_time_stamps(tmp_path, seconds, step, unit):
    path = write_czi(tmp_path / "a.czi", stack(np.concatenate([VOXELS, VOXELS[:1]])))
    stamp(path, seconds)
    source = open_source(path)
    source.check()
    assert (source.time_step, source.time_unit) == (pytest.approx(step), unit)


# Damaged and unusual files


def read(path):
    source = open_source(path)
    source.check()
    return source.read(whole(source.shape))


def test_damaged_files_are_refused(image, tmp_path):
    content = image.read_bytes()
    path = tmp_path / "a.czi"
    for damaged, message in (
        (b"", "its headers cannot be read"),
        (b"hello" * 999, r"its headers cannot be read \(unrecognized file format"),
        (content[: len(content) // 2], "damaged or cut short|its headers cannot be read"),
        (content[:-99], "damaged or cut short|its headers cannot be read"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match=rf"a\.czi: {message}") as caught:
            read(path)
        assert "openreadout" not in str(caught.value)
    path.unlink()
    with pytest.raises(SourceError, match=r"a\.czi: there is no such file"):
        open_source(path)
    os.mkfifo(path)
    with pytest.raises(SourceError, match=r"a\.czi: .* not a file"):
        open_source(path)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("a.czi", "a (1).czi"),
        ("a.oif", "a.oif.files/s_C001.tif"),
        ("a.oir", "a_00001"),
        ("a.vsi", "_a_/stack1/frame_t.ets"),
    ],
)
def test_the_other_files_of_a_set_must_be_files(image, tmp_path, name, other):
    (tmp_path / name).write_bytes(image.read_bytes())
    (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(tmp_path / other)
    with pytest.raises(SourceError, match=rf"{re.escape(other)}: .* not a file"):
        open_source(tmp_path / name)
    (tmp_path / other).unlink()
    (tmp_path / other).write_bytes(b"")
    assert open_source(tmp_path / name).files == (tmp_path / name, tmp_path / other)


def test_a_vsi_file_without_its_directory_says_so(tmp_path):
    """A TIFF with the magic number of Olympus SIS, of which the images are elsewhere."""
    start = struct.pack("<H2sIQQQ24x", 24, b"IS", 402, 24, 0, 2)
    place = 8 + len(start)
    tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, place + 114), (277, 1)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in [*tags, (278, 8)])
    directory += struct.pack("<HHII", 279, 4, 1, 64)
    head = struct.pack("<2sHI", b"II", 42, place) + start + struct.pack("<H", 9)
    path = tmp_path / "a.vsi"
    path.write_bytes(head + directory + bytes(4 + 64))
    with pytest.raises(SourceError, match=r"a\.vsi: it holds no image, and _a_ beside it, .* miss"):
        open_source(path)


def test_more_planes_than_the_file_can_hold_are_refused(image, tmp_path):
    content = image.read_bytes()
    last = b"C\0\0\0" + struct.pack("<ii", 2, 1)
    assert last in content
    (tmp_path / "a.czi").write_bytes(content.replace(last, last[:4] + struct.pack("<ii", 2**30, 1)))
    with pytest.raises(SourceError, match=r"a\.czi: cut short"):
        open_source(tmp_path / "a.czi")


def test_a_file_that_is_cut_short_after_opening_is_refused(tmp_path):
    path = write_czi(tmp_path / "a.czi", stack(VOXELS))
    source = open_source(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(SourceError, match=r"a\.czi: the voxels cannot be read"):
        source.read(whole(source.shape))


def test_missing_planes_and_mixed_data_types_are_refused(tmp_path):
    planes = stack(VOXELS)
    del planes[1, 1, 2, (0, 0), 0]
    path = write_czi(tmp_path / "a.czi", planes)
    with pytest.raises(SourceError, match=r"a\.czi: damaged .*23 of 24 .*planes"):
        open_source(path).check()
    with pytest.raises(SourceError, match=r"a\.czi: the voxels cannot be read"):
        open_source(path).read(whole(VOXELS.shape))
    mixed = stack(VOXELS[:1, :2])
    mixed |= {place: plane.astype("u1") for place, plane in mixed.items() if place[1] == 1}
    with pytest.raises(SourceError, match=r"a\.czi: the voxels .*mixed pixel types"):
        read(write_czi(path, mixed))


def test_errors_name_the_extra_if_the_library_is_missing(image, monkeypatch):
    monkeypatch.setitem(sys.modules, "openreadout", None)
    wrong = r"a\.czi: .* openreadout is needed: .*(openreadout|microscopy)"
    with pytest.raises(SourceError, match=wrong):
        open_source(image)


def test_threads_share_one_open_file(image):
    source = open_source(image)
    assert "file" not in vars(source)
    found = np.empty_like(VOXELS)

    def copy(index):
        part = tuple(slice(number, number + 1) for number in index)
        found[part] = source.read((*part, slice(0, 20), slice(0, 30)))
        return id(source.file)

    with ThreadPoolExecutor(8) as pool:
        files = set(pool.map(copy, np.ndindex(VOXELS.shape[:3])))
    assert len(files) == 1
    np.testing.assert_array_equal(found, VOXELS)


# LIF

#: Numbers of the axes in DimensionDescription (DimID).
AXES = {"x": 1, "y": 2, "z": 3, "t": 4, "λ": 5, "m": 10}


def write_lif(path, series, places=()):
    """Series by name, each an array and its axes, as LAS X saves them (container version 2).

    Tiles, along m, have places y and x on the stage, in metres.
    """
    tiles = "".join(f'<Tile FieldX="0" FieldY="0" PosX="{x}" PosY="{y}"/>' for y, x in places)
    flags = 'Name="TileScanInfo" FlipX="0" FlipY="0" SwapXY="0"'
    attached = f"<Attachment {flags}>{tiles}</Attachment>" if tiles else ""
    elements, blocks = "", b""
    for number, (name, (data, axes)) in enumerate(series.items()):
        size = data.itemsize
        increments = dict(zip(axes, data.strides, strict=True))
        lengths = dict(zip(axes, data.shape, strict=True))
        channels = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{8 * size}" Unit="" '
            f'NameOfMeasuredQuantity="" Min="0" Max="255" LUTName="{color}" IsLUTInverted="0" '
            f'BytesInc="{c * increments.get("c", 0)}" BitInc="0"/>'
            for c, color in enumerate(("Green", "Red")[: lengths.get("c", 1)])
        )
        dimensions = "".join(
            f'<DimensionDescription DimID="{AXES[axis]}" NumberOfElements="{lengths[axis]}" '
            f'Origin="0" Length="{(lengths[axis] - 1) * (2.5 if axis == "t" else 3e-7)}" '
            f'Unit="{"s" if axis == "t" else "m"}" BitInc="0" BytesInc="{increments[axis]}"/>'
            for axis in reversed(axes.replace("c", ""))
        )
        elements += (
            f'<Element Name="{name}" Visibility="1" UniqueID="{number}"><Data><Image>'
            f"<ImageDescription><Channels>{channels}</Channels><Dimensions>{dimensions}"
            f"</Dimensions></ImageDescription>{attached}</Image></Data>"
            f'<Memory Size="{data.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        block = f"MemBlock_{number}".encode("utf-16-le")
        start = (0x70, len(block) + 14, 0x2A, data.nbytes, 0x2A, len(block) // 2)
        blocks += struct.pack("<IIBQBI", *start) + block + data.tobytes()
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="project" Visibility="1" UniqueID="p">'
        '<Data><Experiment IsSavedFlag="1"/></Data><Memory Size="0" MemoryBlockID="MemBlock_p"/>'
        f"<Children>{elements}</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    path.write_bytes(struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml + blocks)
    return path


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A LIF file, and its series as liffile reads them."""
    cells = VOXELS[:, :2].swapaxes(1, 2).copy()
    path = write_lif(
        tmp_path_factory.mktemp("lif") / "a.lif",
        {"cells": (cells, "tzcyx"), "spectrum": (VOXELS[0, 0].astype("u1"), "λyx")},
    )
    with liffile.LifFile(path) as file:
        assert ["".join(image.sizes) for image in file.images] == ["TZCYX", "λYX"]
        return path, [image.asarray() for image in file.images]


@settings(max_examples=30)
@given(data=st.data())
def test_any_region_of_a_lif_series_is_read(series, data):
    path, (cells, spectrum) = series
    assert_holds(open_source(path, dataset="0"), cells.swapaxes(1, 2), data)
    assert_holds(open_source(path, dataset="1"), spectrum[:, None], data)


def test_metadata_of_a_lif_series_are_read(series):
    path, _ = series
    members = MicroscopeSource.images(str(path), Layout())
    assert [member.name.rpartition("/")[2] for member in members] == ["cells", "spectrum"]
    source = open_source(path, dataset=members[0].dataset)
    source.check()
    np.testing.assert_allclose(source.voxel_size, (0.3, 0.3, 0.3))
    assert (source.time_step, source.time_unit) == (2.5, "second")
    assert source.channel_colors == ("00FF00", "FF0000")


def test_tiles_of_a_lif_series_are_joined_where_the_stage_was(tmp_path):
    tiles = np.random.default_rng(1).integers(1, 99, (6, 20, 30)).astype("u1")
    places = [(18 * y, 25 * x) for y, x in np.ndindex(2, 3)]
    stage = [(1e-3 + 3e-7 * y, 2e-3 + 3e-7 * x) for y, x in places]
    expected = np.zeros((1, 38, 80), "u1")
    for tile, (y, x) in zip(tiles, places, strict=True):
        expected[0, y : y + 20, x : x + 30] = tile
    path = write_lif(tmp_path / "a.lif", {"tiles": (tiles, "myx")}, stage)
    with liffile.LifFile(path) as file:
        np.testing.assert_allclose(file.images[0].tilescan.tiles["pos_x"], np.array(stage)[:, 1])
    assert_holds(open_source(path), expected)


# ND2


def record(name, value):
    """A named value of an ND2 file (CLxLiteVariant)."""
    text = f"{name}\0".encode("utf-16-le")
    kind = {dict: 11, int: 3, float: 6, str: 8}[type(value)]
    start = struct.pack("<BB", kind, len(name) + 1) + text
    match value:
        case int() | float():
            return start + struct.pack("<I" if kind == 3 else "<d", value)
        case str():
            return start + f"{value}\0".encode("utf-16-le")
    records = [record(*item) for item in value.items()]
    begin = len(start) + 12
    ends = begin + np.cumsum([0, *map(len, records)])
    content = struct.pack("<IQ", len(records), ends[-1]) + b"".join(records)
    return start + content + ends[:-1].astype("<u8").tobytes()


def write_nd2(path, frames, names, *, period, size):
    """A time series of frames, whose last axis is the channels, as NIS-Elements saves it."""
    count, height, width, channels = frames.shape
    attributes = {"uiWidth": width, "uiHeight": height, "uiComp": channels, "uiBpcInMemory": 16}
    attributes |= {"uiWidthBytes": frames[0, 0].nbytes, "uiBpcSignificant": 16, "eCompression": 2}
    attributes |= {"uiSequenceCount": count, "uiTileWidth": width, "uiTileHeight": height}
    planes = {f"a{c}": {"uiCompCount": 1, "sDescription": name} for c, name in enumerate(names)}
    picture = {"dTimeMSec": 0.0, "dCalibration": size, "bCalibrated": 1, "dAspect": 1.0}
    picture["sPicturePlanes"] = {"uiCount": channels, "uiCompCount": channels, "sPlaneNew": planes}
    loop = {"eType": 1, "uLoopPars": {"uiCount": count, "dPeriod": period}}
    loop["uLoopPars"] |= {"dStart": 0.0, "dDuration": 0.0}
    chunks = {
        "ImageAttributesLV!": record("SLxImageAttributes", attributes),
        "ImageMetadataLV!": record("SLxExperiment", loop),
        "ImageMetadataSeqLV|0!": record("SLxPictureMetadata", picture),
    }
    for number, frame in enumerate(frames):
        chunks[f"ImageDataSeq|{number}!"] = struct.pack("<d", 1000 * number) + frame.tobytes()

    def chunk(name, data):
        return struct.pack("<IIQ", 0x0ABECEDA, len(name), len(data)) + name + data

    content, places = chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0")), b""
    for name, data in chunks.items():
        places += name.encode() + struct.pack("<QQ", len(content), len(data))
        # So that the voxels of a frame, after its time, start 4096 bytes after its chunk.
        padded = name.encode().ljust(4072 if name.startswith("ImageData") else 0, b"\0")
        content += chunk(padded, data)
    places += b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(content))
    path.write_bytes(content + chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", places))
    return path


def test_an_nd2_file_is_read(tmp_path):
    frames = np.moveaxis(VOXELS[:, :2, 0], 1, -1).copy()
    path = write_nd2(tmp_path / "a.nd2", frames, ["DAPI", "Cy3"], period=2500.0, size=0.25)
    source = open_source(path)
    source.check()
    assert_holds(source, VOXELS[:, :2, :1])
    assert (source.voxel_size, source.space_unit) == ((0.25, 0.25, 0.25), "micrometer")
    assert (source.time_step, source.time_unit) == (2.5, "second")
    assert source.channel_names == ("DAPI", "Cy3")
    assert source.position == ()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(SourceError, match=r"a\.nd2: (damaged|its headers)"):
        read(path)


# OIF


def write_oif(path, voxels):
    """Channels and planes, each a TIFF with its place, as FluoView saves them."""
    folder = path.with_name(f"{path.name}.files")
    folder.mkdir()
    lines = ["[Version Info]", 'FileVersion="2.0.0.0"', 'SystemName="FLUOVIEW FV1000"']
    lengths = dict(zip("CZYX", voxels.shape, strict=True))
    for number, axis in enumerate("XYCZ"):
        lines += [f"[Axis {number} Parameters Common]", f'AxisCode="{axis}"']
        lines += [f"MaxSize={lengths[axis]}"]
    lines += ["[Axis Parameter Common]", "AxisCount=4", 'AxisOrder="XYCZ"']
    for c, z in np.ndindex(voxels.shape[:2]):
        tifffile.imwrite(folder / f"s_C{c + 1:03}Z{z + 1:03}.tif", voxels[c, z])
    path.write_bytes("\r\n".join(lines).encode("utf-16"))
    return path


def test_an_oif_file_is_read_with_the_planes_in_its_folder(tmp_path):
    path = write_oif(tmp_path / "a.oif", VOXELS[0])
    source = open_source(path)
    source.check()
    assert_holds(source, VOXELS[0])
    assert len(source.files) == 1 + 12
    source.files[4].unlink()
    with pytest.raises(SourceError, match=r"a\.oif: damaged .*11 plane files for 12"):
        open_source(path).check()
    with pytest.raises(SourceError, match=r"a\.oif: the voxels cannot be read \(oif: .*no plane"):
        open_source(path).read(whole(VOXELS[0].shape))
