"""DeltaVision images, as Talley Lambert's mrc reads them."""

import os
import struct

import mrc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.regions import whole
from neurozarr.sources import open_source

from .families import assert_holds

VOXELS = np.random.default_rng(0).integers(0, 60_000, (3, 2, 4, 6, 7))
#: Letters of the axes, slowest first, by the number of their order in the header.
ORDERS = {0: "ctz", 1: "tzc", 2: "tcz"}


def write_dv(path, voxels, *, order=2, mode=6, sign="<", seconds=(), waves=(457, 528)):
    """Save voxels with axes t, c, z, y and x (Priism/IVE, Image File Format)."""
    times, channels, planes, height, width = voxels.shape
    sections = voxels.transpose(*("tcz".index(axis) for axis in ORDERS[order]), 3, 4)
    extended = b""
    if len(seconds):
        places = np.broadcast_to(np.reshape(seconds, (times, 1, 1)), (times, channels, planes))
        places = places.transpose(*("tcz".index(axis) for axis in ORDERS[order]))
        extended = b"".join(
            struct.pack(f"{sign}8i2f30f", *[0] * 9, s, *[0] * 30) for s in places.flat
        )
    header = bytearray(1024)
    for offset, kind, values in (
        (0, "4i", (width, height, times * channels * planes, mode)),
        (40, "3f", (0.1, 0.2, 0.5)),
        (92, "ih", (len(extended), -16224)),
        (128, "2h", (8, 32)),
        (180, "2h", (times, order)),
        (196, f"{1 + len(waves)}h", (channels, *waves)),
    ):
        struct.pack_into(sign + kind, header, offset, *values)
    kind = {0: "u1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 7: "i4"}[mode]
    path.write_bytes(header + extended + sections.astype(f"{sign}{kind}").tobytes())
    return path


@pytest.mark.parametrize(
    ("order", "mode", "sign"), [(0, 0, "<"), (1, 1, ">"), (2, 2, "<"), (2, 6, ">")]
)
@settings(max_examples=20)
@given(data=st.data())
def test_any_region_is_read(tmp_path_factory, order, mode, sign, data):
    path = tmp_path_factory.getbasetemp() / f"{order}{mode}{ord(sign)}.dv"
    if not path.exists():
        write_dv(path, VOXELS % 250, order=order, mode=mode, sign=sign)
    with mrc.DVFile(path) as file:
        axes = "".join(file.sizes)
        expected = file.asarray(squeeze=False).transpose([axes.index(axis) for axis in "TCZYX"])
    assert_holds(open_source(path), expected, data)


def test_metadata_are_read(tmp_path):
    for order in ORDERS:
        path = write_dv(tmp_path / "a.r3d", VOXELS, order=order, seconds=(0, 2.5, 5))
        source = open_source(path)
        np.testing.assert_allclose(source.voxel_size, (0.5, 0.2, 0.1), rtol=1e-6)
        assert (source.space_unit, source.time_unit) == ("micrometer", "second")
        assert source.time_step == 2.5
        assert source.channel_names == ("457 nm", "528 nm")
    source = open_source(write_dv(path, VOXELS[:1, :1], waves=(457,)))
    assert_holds(source, VOXELS[0, 0].astype("u2"))
    assert open_source(write_dv(path, VOXELS, seconds=(0, 2.5, 9))).time_unit == ""


@pytest.mark.parametrize(
    ("offset", "change", "message"),
    [
        (96, b"\0\0", "not a DeltaVision file"),
        (12, b"\3", "its voxels have mode 3, which is unknown"),
        (8, b"\x19", "25 sections of 3 times and 2 channels"),
        (92, b"\xff\xff\xff\xff", "its header contradicts itself: .* after -1 bytes"),
        (92, b"\xff\xff\xff\x7f", "cut short"),
        (0, b"\0\0\0\0", "the array is empty"),
        (0, b"\xff\xff\xff\x7f", "cut short"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, offset, change, message):
    path = write_dv(tmp_path / "a.dv", VOXELS)
    content = bytearray(path.read_bytes())
    content[offset : offset + len(change)] = change
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"a\.dv: .*{message}"):
        open_source(path)


def test_files_that_are_cut_short_are_refused(tmp_path):
    path = write_dv(tmp_path / "a.dv", VOXELS)
    source = open_source(path)
    assert source.read(whole(source.shape)).any()
    for size in (2000, 500, 1):
        os.truncate(path, size)
        with pytest.raises(SourceError, match=r"a\.dv: cut short"):
            open_source(path)
        with pytest.raises(SourceError, match=r"a\.dv: cut short"):
            source.read(whole(source.shape))
