"""TIFF files as microscopes and scanners write them: sizes, steps, channels and slides."""

import json
import struct

import numpy as np
import pytest
import tifffile

from neurozarr.errors import SourceError
from neurozarr.samples import estimates
from neurozarr.samples.reading import read_run
from neurozarr.sources import family_of, open_source
from neurozarr.sources.base import Layout

from .families import assert_holds

RNG = np.random.default_rng(0)
PLANE = RNG.integers(0, 255, (32, 48)).astype("u1")
COLOURS = RNG.integers(0, 255, (32, 48, 3)).astype("u1")
SLIDE = COLOURS.transpose(2, 0, 1)[:, None]
QPI = "<PerkinElmer-QPI-ImageDescription><Name>{}</Name></PerkinElmer-QPI-ImageDescription>"
IN_CM = {"resolution": (20_000, 10_000), "resolutionunit": "centimeter"}
PHILIPS = """<DataObject><Attribute Name="s"><Array>{}</Array></Attribute></DataObject>""".format(
    "".join(
        '<DataObject ObjectType="PixelDataRepresentation"><Attribute Name="DICOM_PIXEL_SPACING">'
        f'"{size}" "{size / 2}"</Attribute></DataObject>'
        for size in (0.0005, 0.001)
    )
)
SCN = (
    '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection>'
    '<image name="one"><pixels sizeX="48" sizeY="32"><dimension ifd="0" r="0"/>'
    '<dimension ifd="1" r="1"/></pixels><view sizeX="24000" sizeY="32000"/></image>'
    "</collection></scn>"
)


def text(code, content):
    return (code, "s", 0, content, True)


def raw(code, content, kind="B"):
    return (code, kind, len(content), content, True)


def record(fields, values):
    """A record of tifffile's fields, as bytes."""
    made = np.zeros(1, np.dtype(fields).newbyteorder("<"))
    for name, value in values.items():
        made[name] = value
    return made.tobytes()


def fluoview():
    header = np.zeros(1, np.dtype(tifffile.TIFF.MM_HEADER).newbyteorder("<"))
    header["Dimensions"]["Size"] = 1
    for i, (name, size, step, unit) in enumerate(
        [("X", 48, 0.5, b"\xb5m"), ("Y", 32, 0.25, b"um"), ("Z", 3, 2.0, b"um")]
    ):
        header["Dimensions"][0, i] = (name, size, 0, step, unit)
    return header.tobytes()


def lsm(planes, positions=0, tiles=0):
    values = {"MagicNumber": 67_127_628, "StructureSize": 500, "DimensionX": 48, "DimensionY": 32}
    values |= {"DimensionZ": planes, "DimensionChannels": 1, "DimensionTime": 1, "ScanType": 0}
    values |= {"DimensionP": positions, "DimensionM": tiles}
    values |= {"VoxelSizeX": 0.5e-6, "VoxelSizeY": 0.25e-6, "VoxelSizeZ": 2e-6}
    return record(tifffile.TIFF.CZ_LSMINFO, values)


TVIPS = record(tifffile.TIFF.TVIPS_HEADER_V1, {"Version": 2}) + record(
    tifffile.TIFF.TVIPS_HEADER_V2, {"Magic": 0xAAAAAAAA, "PixelSizeX": 0.5, "PixelSizeY": 0.25}
)
META = (
    '<MetaData><PlaneInfo><prop id="spatial-calibration-state" type="bool" value="on"/>'
    '<prop id="spatial-calibration-x" type="float" value="0.5"/>'
    '<prop id="spatial-calibration-y" type="float" value="0.25"/>'
    '<prop id="spatial-calibration-units" type="string" value="{}"/></PlaneInfo></MetaData>'
)
FEI = "[Scan]\r\nPixelWidth=5e-009\r\nPixelHeight=2.5e-009\r\n"
SEM = "0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 2.5 nm\r\n"
FLEX = '<Flex><ImageResolutionX Unit="m">5e-7</ImageResolutionX><ImageResolutionY Unit="m">2.5e-7'

#: Name of the file, options of tifffile, and the size and unit that its software displays.
FILES = {
    "a.svs": ({"description": "Aperio Image|AppMag = 20|MPP = 0.4990"}, (0.499,) * 3, "micrometer"),
    "a.bif": (
        {
            "software": "Ventana",
            "description": "level=0 mag=40",
            "extratags": [raw(700, b'<x><iScan Mode="a" ScanRes="0.25" /></x>')],
        },
        (0.25,) * 3,
        "micrometer",
    ),
    "a.qptiff": (
        IN_CM | {"software": "PerkinElmer-QPI", "description": QPI.format("")},
        (0.5, 1, 0.5),
        "micrometer",
    ),
    "a.scn": ({"description": SCN}, (0.5, 1, 0.5), "micrometer"),
    "philips.tiff": (
        {"software": "Philips DP", "description": PHILIPS},
        (0.00025, 0.0005, 0.00025),
        "millimeter",
    ),
    "a.flex": ({"extratags": [text(65200, FLEX)]}, (0.5, 0.25, 0.5), "micrometer"),
    "fei.tif": ({"extratags": [text(34682, FEI)]}, (0.005, 0.0025, 0.005), "micrometer"),
    "sem.tif": ({"extratags": [text(34118, SEM)]}, (2.5, 2.5, 2.5), "nanometer"),
    "tvips.tif": ({"extratags": [raw(37706, TVIPS)]}, (0.5, 0.25, 0.5), "nanometer"),
    "metaseries.tif": (
        {"software": "MetaSeries", "description": META.format("um")},
        (0.5, 0.25, 0.5),
        "micrometer",
    ),
    "uncalibrated.tif": (
        {"software": "MetaSeries", "description": META.format("Pixel")},
        (0.5, 0.25, 0.5),
        "",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_the_size_of_a_pixel_is_that_of_its_microscope(tmp_path, name):
    options, expected, unit = FILES[name]
    path = tmp_path / name
    with tifffile.TiffWriter(path) as file:
        options = {"photometric": "rgb", "metadata": None, "tile": (16, 16)} | options
        file.write(COLOURS, **options)
        if name in ("a.scn", "philips.tiff"):
            file.write(COLOURS[::2, ::2], **options | {"description": None, "software": False})
    source = open_source(path)
    source.check()
    assert_holds(source, SLIDE)
    np.testing.assert_allclose(source.voxel_size, expected, rtol=1e-6)
    assert source.space_unit == unit
    assert source.axes == "czyx"


def test_a_slide_is_the_first_image_of_its_file_at_full_resolution(tmp_path):
    """Written as Aperio does: the slide, a thumbnail, a coarser level, the label and the glass."""
    path = tmp_path / "a.svs"
    voxels = RNG.integers(0, 255, (96, 80, 3)).astype("u1")
    with tifffile.TiffWriter(path) as file:
        options = {"photometric": "rgb", "metadata": None, "compression": "jpeg"}
        tiles = {"tile": (32, 32), "description": "Aperio Image|AppMag = 20|MPP = 0.25"}
        file.write(voxels, **options, **tiles)
        file.write(voxels[::4, ::4], **options, description=tiles["description"])
        file.write(voxels[::2, ::2], **options, **tiles)
        file.write(COLOURS, **options, subfiletype=1)
        file.write(COLOURS[:16], **options, subfiletype=9)
    source = open_source(path)
    stored = [tifffile.imread(path, series=number) for number in range(4)]
    assert_holds(source, stored[0].transpose(2, 0, 1)[:, None])
    assert source.file_native_chunk_shape == (32, 32, 3)
    assert source.voxel_size == (0.25, 0.25, 0.25)
    found = family_of(str(path)).images(str(path), Layout())
    names = ["Baseline", "Thumbnail", "Label", "Macro"]
    assert [image.name for image in found] == names
    for image, expected in zip(found, stored, strict=True):
        other = open_source(path, dataset=image.dataset)
        assert_holds(other, expected.transpose(2, 0, 1)[:, None])
        assert (other.space_unit == "micrometer") == (image.name == "Baseline")


def test_a_slide_of_100_000_pixels_is_read_by_tiles(tmp_path):
    """All its tiles are the same bytes of the file, so that it is small."""
    path, side, tile = tmp_path / "a.svs", 100_000, RNG.integers(0, 255, (256, 256, 3)).astype("u1")
    options = {"photometric": "rgb", "compression": "jpeg", "tile": (256, 256), "metadata": None}
    tifffile.imwrite(path, tile, description="Aperio Image|MPP = 0.25", **options)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        stored, tags = page.asarray(), page.tags
        places = [np.full(391**2, n, "<u4") for n in (page.dataoffsets[0], page.databytecounts[0])]
        for code in (256, 257):
            struct.pack_into("<HII", content, tags[code].offset + 2, 4, 1, side)
        for code, numbers in zip((324, 325), places, strict=True):
            entry = (4, len(numbers), len(content))
            struct.pack_into("<HII", content, tags[code].offset + 2, *entry)
            content += numbers.tobytes()
    path.write_bytes(content)
    source = open_source(path)
    assert (source.shape, source.voxel_size[1:]) == ((3, 1, side, side), (0.25, 0.25))
    last = (slice(0, 3), slice(0, 1), slice(side - 200, side), slice(side - 100, side))
    rows, columns = np.arange(side - 200, side) % 256, np.arange(side - 100, side) % 256
    expected = stored[np.ix_(rows, columns)].transpose(2, 0, 1)[:, None]
    np.testing.assert_array_equal(source.read(last), expected)
    _, samples = read_run({"source": str(path), "output": str(tmp_path / "out")})
    level = samples["a"].levels[0]
    assert level.region(0)[0] == slice(0, 3)  # So that a tile is decoded once for all colours.
    assert source.held_bytes < 20e6
    assert estimates.block_memory_mb(samples["a"], 0, 4) < 600


def test_slides_whose_tiles_overlap_are_refused(tmp_path):
    path = tmp_path / "a.bif"
    xmp = b'<x><iScan ScanRes="0.25"/><TileJointInfo OverlapX="%d" OverlapY="0"/></x>'
    for overlap in (0, 9):
        options = {"software": "Ventana", "description": "level=0", "tile": (16, 16)}
        extra = [raw(700, xmp % overlap)]
        tifffile.imwrite(
            path, COLOURS, photometric="rgb", extratags=extra, metadata=None, **options
        )
        if not overlap:
            assert_holds(open_source(path), SLIDE)
    with pytest.raises(SourceError, match=r"a\.bif: tiles of this slide overlap"):
        open_source(path)


def test_channels_of_qptiff_are_named(tmp_path):
    path = tmp_path / "a.qptiff"
    with tifffile.TiffWriter(path) as file:
        for number, name in enumerate(["DAPI", "", "Cy3"]):
            options = {"software": "PerkinElmer-QPI", "metadata": None, "tile": (16, 16)}
            file.write(PLANE + number, description=QPI.format(name), **options)
    source = open_source(path)
    assert source.channel_names == ("DAPI", "", "Cy3")
    assert_holds(source, np.stack([PLANE, PLANE + 1, PLANE + 2])[:, None])


def write_lsm(path, planes, *dimensions):
    with tifffile.TiffWriter(path) as file:
        for number, plane in enumerate(planes):
            extra = [] if number else [raw(34412, lsm(*dimensions))]
            file.write(plane, extratags=extra, metadata=None, contiguous=False)
            file.write(plane[::4, ::4], subfiletype=1, metadata=None, contiguous=False)
    return path


@pytest.mark.parametrize("dimensions", [(3,), (3, 1, 1)])
def test_lsm_gives_voxel_size_and_no_thumbnails(tmp_path, dimensions):
    planes = np.stack([PLANE, PLANE[::-1], PLANE[:, ::-1]])
    source = open_source(write_lsm(tmp_path / "a.lsm", planes, *dimensions))
    assert_holds(source, planes)
    np.testing.assert_allclose(source.voxel_size, (2, 0.25, 0.5))
    assert source.space_unit == "micrometer"


def test_a_single_plane_of_lsm_has_no_thickness(tmp_path):
    source = open_source(write_lsm(tmp_path / "a.lsm", PLANE[None], 1, 1, 1))
    assert_holds(source, PLANE[None])
    np.testing.assert_allclose(source.voxel_size, (0.5, 0.25, 0.5))


def test_each_position_of_lsm_is_an_image(tmp_path):
    planes = np.stack([PLANE + n for n in range(6)])
    path = write_lsm(tmp_path / "a.lsm", planes, 3, 2)
    with pytest.raises(
        SourceError, match=r"it holds several images; .* 0: ZYX \(3, 32, 48\) uint8"
    ):
        open_source(path)
    found = family_of(str(path)).images(str(path), Layout())
    assert [image.dataset for image in found[:2]] == ["0", "1"]
    for number, expected in enumerate((planes[:3], planes[3:])):
        source = open_source(path, dataset=str(number))
        assert_holds(source, expected)
        np.testing.assert_allclose(source.voxel_size, (2, 0.25, 0.5))


def test_tiles_of_lsm_are_refused(tmp_path):
    path = write_lsm(tmp_path / "a.lsm", np.stack([PLANE, PLANE]), 1, 1, 2)
    with pytest.raises(SourceError, match=r"it holds 2 tiles, .* before they are stitched"):
        open_source(path)


def add_micromanager_plane(content, following, plane, metadata):
    """Add a directory of 13 entries, a plane and its metadata; where each of these is.

    ``following`` is where the offset of the directory belongs.
    """
    content += bytes(len(content) % 2)
    place = len(content)
    struct.pack_into("<I", content, following, place)
    pixels = place + 2 + 13 * 12 + 4
    resolution = pixels + plane.nbytes
    metadata, said = resolution + 16, json.dumps(metadata).encode()
    height, width = plane.shape
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, pixels), (277, 3, 1, 1), (278, 3, 1, height), (279, 4, 1, plane.nbytes),
        (282, 5, 1, resolution), (283, 5, 1, resolution + 8), (296, 3, 1, 3),
        (51123, 2, len(said), metadata),
    ]  # fmt: skip
    content += struct.pack("<H", len(entries))
    content += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    content += bytes(4) + plane.astype("<u2").tobytes()
    content += struct.pack("<4I", 10_000, 1, 10_000, 1) + said
    return place, pixels, metadata


def ndtiff(folder, planes, summary):
    """Write an NDTiff 3.2 data set (its README, "File format"): planes by their coordinates.

    A header with the summary, the planes, and an index that lists them.
    """
    folder.mkdir()
    name, said = "a_NDTiffStack.tif", json.dumps(summary).encode()
    content = bytearray(struct.pack("<2sHIIIIII", b"II", 42, 0, 483729, 3, 2, 2355492, len(said)))
    content += said
    following, index = 4, b""
    for axes, plane in planes:
        known = {"Axes": axes, "PixelSizeUm": 0.5}
        place, pixels, metadata = add_micromanager_plane(content, following, plane, known)
        following = place + 2 + 13 * 12
        key = json.dumps(axes).encode()
        index += struct.pack("<I", len(key)) + key + struct.pack("<I", len(name)) + name.encode()
        index += struct.pack("<Iiiii", pixels, *plane.shape[::-1], 1, 0)
        index += struct.pack("<Iii", metadata, len(content) - metadata, 0)
    (folder / name).write_bytes(content)
    (folder / "NDTiff.index").write_bytes(index)
    return folder / name


def mmstack(path, planes, summary):
    """Write a stack of Micro-Manager ("Micro-Manager File Formats"): planes by c, z, t, position.

    A header with the summary, the planes, and a map of them.
    """
    said = json.dumps(summary | {"MicroManagerVersion": "1.4", "Prefix": ""}).encode()
    head = struct.pack("<2sHI8I", b"II", 42, 0, 54773648, 0, 483765892, 0, 99384722, 0, 2355492, 0)
    content = bytearray(head + said)
    struct.pack_into("<I", content, 36, len(said))
    following, places = 4, []
    for key, plane in planes:
        place, *_ = add_micromanager_plane(content, following, plane, {})
        following = place + 2 + 13 * 12
        places += [*key, place]
    struct.pack_into("<I", content, 12, len(content))
    content += struct.pack(f"<{2 + len(places)}I", 3453623, len(planes), *places)
    path.write_bytes(content)
    return path


def test_each_position_of_micromanager_is_an_image(tmp_path):
    voxels = RNG.integers(0, 999, (2, 3, 16, 24)).astype("u2")
    planes = [((0, z, 0, p), voxels[p, z]) for p, z in np.ndindex(voxels.shape[:2])]
    summary = {"Channels": 1, "Slices": 3, "Frames": 1, "Positions": 2, "PixelSize_um": 0.25}
    summary |= {"z-step_um": 1.5, "TimeFirst": False, "SlicesFirst": False}
    path = mmstack(tmp_path / "a_MMStack.tif", planes, summary)
    with pytest.raises(SourceError, match=r"0: ZYX \(3, 16, 24\) uint16; 1: ZYX"):
        open_source(path)
    for number, expected in enumerate(voxels):
        source = open_source(path, dataset=str(number))
        assert_holds(source, expected)
        assert (source.voxel_size, source.space_unit) == ((1.5, 0.25, 0.25), "micrometer")


def test_ndtiff_gives_sizes_and_the_names_of_channels(tmp_path):
    voxels = RNG.integers(0, 999, (2, 2, 3, 16, 24)).astype("u2")
    names = ["DAPI", "Cy5"]
    planes = [
        ({"time": t, "channel": names[c], "z": z, "position": 0}, voxels[t, c, z])
        for t, c, z in np.ndindex(voxels.shape[:3])
    ]
    path = ndtiff(tmp_path / "a", planes, {"PixelSize_um": 0.25, "z-step_um": -2.0})
    source = open_source(path)
    source.check()
    assert_holds(source, voxels)
    assert source.axes == "tczyx"
    assert (source.voxel_size, source.space_unit) == ((2, 0.25, 0.25), "micrometer")
    assert source.channel_names == ("DAPI", "Cy5")


def test_each_position_of_ndtiff_is_an_image(tmp_path):
    voxels = RNG.integers(0, 999, (3, 2, 16, 24)).astype("u2")
    planes = [
        ({"position": f"Pos{p}", "time": t}, voxels[p, t]) for p, t in np.ndindex(voxels.shape[:2])
    ]
    path = ndtiff(tmp_path / "a", planes, {})
    with pytest.raises(SourceError, match=r"2: TYX \(2, 16, 24\) uint16"):
        open_source(path)
    for number, expected in enumerate(voxels):
        source = open_source(path, dataset=str(number))
        assert_holds(source, expected[:, None])
        assert (source.voxel_size, source.space_unit) == ((0.5,) * 3, "micrometer")
    tiles = [({"row": n, "column": 0}, voxels[0, 0]) for n in range(2)]
    with pytest.raises(SourceError, match=r"it holds 1 x 2 tiles, .* before they are stitched"):
        open_source(ndtiff(tmp_path / "b", tiles, {}))


def test_the_size_of_olympus_sis_is_that_of_the_image(tmp_path):
    """As its cameras write it: a coloured preview, and then the image, which has the metadata."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(COLOURS, photometric="rgb", metadata=None)
        file.write(PLANE.astype("u2"), extratags=[raw(33560, bytes(68))], metadata=None)
    with tifffile.TiffFile(path) as file:
        place = file.pages[1].tags[33560].valueoffset
    content = bytearray(path.read_bytes())
    struct.pack_into("<4s6x5h6x32sH", content, place, b"SIS0", 0, 1, 2, 3, 118, b"", 1)
    struct.pack_into("<hhI", content, place + 60, 1, 1, len(content))
    # Powers of ten of a meter, and sizes along x and y.
    path.write_bytes(content + struct.pack("<10xhdd84x", -11, 2.5, 1.25))
    assert open_source(path, dataset="0").space_unit == ""
    source = open_source(path, dataset="1")
    assert_holds(source, PLANE[None].astype("u2"))
    np.testing.assert_allclose(source.voxel_size[1:], (1.25e-5, 2.5e-5))
    assert source.space_unit == "micrometer"


def test_fluoview_gives_the_size_of_each_dimension(tmp_path):
    path = tmp_path / "a.tif"
    planes = np.stack([PLANE, PLANE[::-1], PLANE[:, ::-1]])
    with tifffile.TiffWriter(path) as file:
        for number, plane in enumerate(planes):
            extra = [] if number else [raw(34361, fluoview()), raw(34362, bytes(64))]
            file.write(plane, extratags=extra, metadata=None, contiguous=False)
    source = open_source(path)
    assert_holds(source, planes)
    assert (source.voxel_size, source.space_unit) == ((2, 0.25, 0.5), "micrometer")


@pytest.mark.parametrize(("unit", "name"), [("um", "micrometer"), ("", "")])
@pytest.mark.parametrize("distance", [0, 3])
def test_stk_gives_calibration_distance_and_times(tmp_path, unit, name, distance):
    """Written as MetaMorph does: one directory, and the other planes after the first one."""
    path, planes = tmp_path / "a.stk", np.stack([PLANE, PLANE[::-1], PLANE[:, ::-1]])
    each = [v for n in range(3) for v in (distance, 1, 0, 250 * n, 0, 0)]
    tags = [(3, 1), (4, 0), (5, 0), (6, 0)]  # Calibration: whether, of x, of y, and its unit.
    extra = [
        (33628, "I", 8, [n for tag in tags for n in tag], True),
        (33629, "2I", 9, each, True),
    ]
    options = {"extratags": extra, "metadata": None}
    tifffile.imwrite(path, planes[0], **options)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags
        first, second = tag[33628], tag[33629]
    values = struct.pack("<4II", 1, 2, 1, 4, len(unit) + 1) + unit.encode() + b"\0"
    for tag, count in ((first, 4), (second, 3)):
        struct.pack_into("<I", content, tag.offset + 4, count)
    for number, start in ((1, 0), (2, 8), (3, 16)):
        struct.pack_into("<I", content, first.valueoffset + 8 * number + 4, len(content) + start)
    content += values
    start = len(content)
    struct.pack_into("<I", content, start_of_strips(path), start)
    path.write_bytes(content + planes.tobytes())
    source = open_source(path)
    assert source.axes == ("zyx" if distance else "tzyx")
    assert_holds(source, planes if distance else planes[:, None])
    assert source.voxel_size == (distance or 0.5, 0.25, 0.5)
    assert source.space_unit == name
    if not distance:
        assert (source.time_step, source.time_unit) == (250, "millisecond")


def start_of_strips(path):
    """Where a file holds the offset of its only strip."""
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags[273]
        assert tag.count == 1
        return tag.valueoffset
