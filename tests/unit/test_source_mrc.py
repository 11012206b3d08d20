"""MRC: files of mrcfile, and headers as IMOD and CCP4 write them."""

import struct
from concurrent.futures import ThreadPoolExecutor

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.sources import family_of, open_source, stem
from neurozarr.sources.mrc import MrcSource
from neurozarr.sources.scaled_image import ScaledSource

from .conversions import converted_with
from .families import assert_holds

VOXELS = np.random.default_rng(0).integers(0, 100, (5, 6, 7))
#: Places of fields in a header, in bytes (MRC2014, "Main header").
PLACES = {
    "mode": 12, "nxstart": 16, "nystart": 20, "nzstart": 24, "mx": 28, "mz": 36, "mapc": 64,
    "mapr": 68, "maps": 72, "dmin": 76, "dmax": 80, "ispg": 88, "nsymbt": 92, "nversion": 108,
    "stamp": 152, "flags": 156, "xorg": 196, "yorg": 200, "zorg": 204, "map": 208,
    "machst": 212, "beta": 56, "xlen": 40, "zlen": 48, "nz": 8,
}  # fmt: skip


def write(path, voxels, *, size=(1.5, 2, 3), extended=b"", **fields):
    """Write a file by mrcfile, with fields of its header changed afterwards; its path."""
    ending = {".gz": "gzip", ".bz2": "bzip2"}.get(path.suffix)
    with mrcfile.new(path, compression=ending, overwrite=True) as file:
        file.set_data(voxels)
        file.voxel_size = size
        if extended:
            file.set_extended_header(np.frombuffer(extended, "V1"))
        for name in [name for name in fields if name in ("mapc", "mapr", "maps")]:
            file.header[name] = fields.pop(name)
    content = bytearray(path.read_bytes())
    for name, value in fields.items():
        kind = "f" if isinstance(value, float) else "i"
        raw = value if isinstance(value, bytes) else struct.pack(f"<{kind}", value)
        content[PLACES[name] : PLACES[name] + len(raw)] = raw
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.mrc", "a.map", "a.ccp4", "a.st", "a.mrc.gz", "a.map.bz2"])
@settings(max_examples=5)
@given(data=st.data())
def test_what_mrcfile_writes_is_read(tmp_path_factory, name, data):
    path = tmp_path_factory.getbasetemp() / name
    dtype = np.dtype(data.draw(st.sampled_from(["i1", "i2", "u2", "f2", "f4", "c8"])))
    order = data.draw(st.permutations([1, 2, 3]))
    extended = data.draw(st.binary(max_size=9))
    write(
        path, VOXELS.astype(dtype), extended=extended, mapc=order[0], mapr=order[1], maps=order[2]
    )
    source = open_source(path)
    # The file's axes are sections, rows and columns.
    expected = VOXELS.transpose([order[::-1].index(number) for number in (3, 2, 1)])
    assert_holds(source, expected.astype(dtype), data)
    assert_holds(source, expected.astype(dtype))
    assert source.space_unit == "angstrom"
    assert source.affine is None
    assert source.in_order == name.endswith(("gz", "bz2"))
    assert stem(path) == "a"


@pytest.mark.parametrize("machst", [b"\x11\x11\0\0", bytes(4)])
def test_big_endian_files_are_read(tmp_path, machst):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(VOXELS.astype(">f4"))
        file.voxel_size = 2
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    content[212:216] = machst
    content[152:156], content[196:200] = struct.pack(">i", 1146047817), struct.pack(">f", 7)
    content[108:112] = bytes(4)
    (tmp_path / "a.mrc").write_bytes(content)
    source = open_source(tmp_path / "a.mrc")
    assert_holds(source, VOXELS.astype("f4"))
    assert (source.voxel_size, source.position) == ((2, 2, 2), (0, 0, -7))


def test_threads_read_the_same_voxels(tmp_path):
    source = open_source(write(tmp_path / "a.mrc", VOXELS.astype("i2")))
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(
            source.read, [(slice(z, z + 1), slice(0, 6), slice(0, 7)) for z in range(5)]
        )
    np.testing.assert_array_equal(np.concatenate(list(found)), VOXELS)


IMOD = {"stamp": 1146047817, "nversion": 0}
ORIGIN = {"xorg": 7.0, "yorg": 8.0, "zorg": 9.0}


@pytest.mark.parametrize(
    ("fields", "position"),
    [
        ({}, (0, 0, 0)),
        (ORIGIN, (9, 8, 7)),
        ({"nxstart": 2, "nystart": -3, "nzstart": 4}, (12, -6, 3)),
        (ORIGIN | {"nxstart": 2}, (9, 8, 7)),
        # Columns are y, so that their start is too.
        ({"nxstart": 2, "mapc": 2, "mapr": 1}, (0, 4, 0)),
        (ORIGIN | IMOD | {"flags": 0}, (-9, -8, -7)),
        (ORIGIN | IMOD | {"flags": 4}, (9, 8, 7)),
        (ORIGIN | IMOD | {"flags": 0, "nversion": 20140}, (9, 8, 7)),
    ],
)
def test_position_is_the_origin_or_the_start(tmp_path, fields, position):
    source = open_source(write(tmp_path / "a.mrc", VOXELS.astype("i2"), **fields))
    assert (source.voxel_size, source.position) == ((3, 2, 1.5), position)


@pytest.mark.parametrize(
    ("fields", "dtype"),
    [
        ({}, "i1"),
        ({"dmin": 0.0, "dmax": 200.0}, "u1"),
        ({"dmin": -128.0, "dmax": 127.0}, "i1"),
        (IMOD | {"flags": 0}, "u1"),
        (IMOD | {"flags": 1, "dmax": 200.0}, "i1"),
    ],
)
def test_bytes_are_signed_unless_the_header_says_otherwise(tmp_path, fields, dtype):
    voxels = np.arange(-105, 105).reshape(5, 6, 7).astype("i1")
    assert_holds(open_source(write(tmp_path / "a.mrc", voxels, **fields)), voxels.view(dtype))


def test_stacks_have_times_or_channels(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(VOXELS.reshape(5, 2, 3, 7).astype("i2"))
        file.set_volume_stack() if not file.is_volume_stack() else None
        file.voxel_size = 2
    source = open_source(tmp_path / "a.mrc")
    assert (source.axes, source.voxel_size) == ("tzyx", (2, 2, 2))
    assert_holds(source, VOXELS.reshape(5, 2, 3, 7).astype("i2"))
    assert open_source(tmp_path / "a.mrc", axes="czyx").axes == "czyx"
    movie = write(tmp_path / "a.mrcs", VOXELS.astype("i2"), ispg=0)
    assert_holds(open_source(movie), VOXELS.astype("i2"))
    source = open_source(movie, axes="tyx")
    assert (source.axes, source.voxel_size) == ("tzyx", (1, 2, 1.5))
    assert_holds(source, VOXELS[:, None].astype("i2"))
    with pytest.raises(SourceError, match="axes is 'yx', but the array has shape"):
        open_source(movie, axes="yx")


def test_sizes_that_are_missing_are_unknown(tmp_path, caplog):
    assert open_source(write(tmp_path / "a.mrc", VOXELS.astype("i2"), zlen=0.0)).voxel_size == (
        1.5, 2, 1.5,
    )  # fmt: skip
    assert not caplog.text
    source = open_source(write(tmp_path / "a.mrc", VOXELS.astype("i2"), xlen=0.0))
    assert (source.voxel_size, source.position) == ((1, 1, 1), ())
    assert "the voxel size is unknown" in caplog.text
    open_source(write(tmp_path / "a.mrc", VOXELS.astype("i2"), beta=120.0))
    assert "a.mrc: its axes are at angles of [90.0, 120.0, 90.0], which are left out" in caplog.text


def test_old_files_without_a_mark_are_read(tmp_path, caplog):
    """As from before MRC 2000; their origin is elsewhere."""
    fields = {"map": bytes(4), "machst": bytes(4)} | ORIGIN
    assert_holds(
        open_source(write(tmp_path / "a.st", VOXELS.astype("i2"), **fields)), VOXELS.astype("i2")
    )
    assert "a.st: it has no MAP at byte 208" in caplog.text


def test_rec_is_mrc_or_philips(tmp_path):
    write(tmp_path / "a.rec", VOXELS.astype("i2"))
    assert family_of(str(tmp_path / "a.rec")) is MrcSource
    assert_holds(open_source(tmp_path / "a.rec"), VOXELS.astype("i2"))
    (tmp_path / "b.rec").write_bytes(bytes(2000))
    assert family_of(str(tmp_path / "b.rec")) is ScaledSource


def test_a_map_is_converted(tmp_path):
    write(tmp_path / "a.map.gz", VOXELS.astype("f4"), mapc=3, mapr=1, maps=2)
    np.testing.assert_array_equal(
        converted_with(tmp_path / "a.map.gz", tmp_path, chunk=4), VOXELS.transpose(2, 0, 1)
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": 3}, "its mode is 3; supported: 0, 1, 2, 4, 6 and 12"),
        ({"mode": 101}, "its mode is 101"),
        (IMOD | {"flags": 16}, "its mode is 1 with 4 bits"),
        ({"nz": -5}, r"damaged: it has \(7, 6, -5\) columns, rows and sections"),
        ({"nz": 2**31 - 1}, "cut short"),
        ({"nsymbt": -1}, "damaged: its extended header has -1 bytes"),
        ({"nsymbt": 2**31 - 1}, "cut short"),
        ({"ispg": 401, "mz": 3}, "damaged: volumes of 3 sections among 5 sections"),
        ({"ispg": 401, "mz": 0}, "damaged: volumes of 0 sections among 5 sections"),
        ({"map": bytes(4), "mapc": 3}, "not an MRC file"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, fields, message):
    path = write(tmp_path / "a.mrc", VOXELS.astype("i2"), **fields)
    with pytest.raises(SourceError, match=rf"a\.mrc: .*{message}"):
        open_source(path)


@pytest.mark.parametrize("name", ["a.mrc", "a.mrc.gz", "a.mrc.bz2"])
def test_files_that_are_cut_short_are_refused(tmp_path, name):
    path = write(tmp_path / name, VOXELS.astype("i2"))
    content = path.read_bytes()
    for length in (0, 10, len(content) - 12):
        path.write_bytes(content[:length])
        with pytest.raises(
            SourceError, match=rf"{name}: (cut short|its header|the voxels|the file is empty)"
        ):
            open_source(path).read((slice(0, 5), slice(0, 6), slice(0, 7)))
