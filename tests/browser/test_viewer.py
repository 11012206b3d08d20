"""Stores in the viewer, in a real browser: what is where, in which colours, and what is fetched."""

import importlib.util
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import nibabel
import numpy as np
import pytest

import neurozarr

from ..omezarr import write
from ..programs import PATIENCE, Program
from .viewing import Viewed, serving

if importlib.util.find_spec("neuroglancer") is None:
    pytest.skip("neuroglancer missing: extra view", allow_module_level=True)

SIZE = {"viewport": {"width": 700, "height": 560}}
SHAPE = (50, 60, 44)
#: Orientation of the axes, angles by which they are oblique, and options of the store.
BRAINS = {
    "LAS": ((0, 0, 0), {"zarr": {"chunk": 16}}),
    "PIR, shards": ((0.1, -0.2, 0.15), {"zarr": {"chunk": 16, "shard": 32}}),
    "RSA, Zarr v2": ((0, 0, 0), {"zarr": {"chunk": 16, "zarr_version": 2}}),
    "ASL, OME-Zarr 0.6": ((-0.2, 0.1, 0.3), {"ome": {"ome_version": "0.6"}}),
}


def brain(path, orientation, angles, dtype):
    """Save a volume with a bright marker for each panel; return where they and the middle are."""
    axes = nibabel.orientations.axcodes2ornt(orientation)
    to_ras = nibabel.orientations.inv_ornt_aff(axes, SHAPE)
    turn = nibabel.eulerangles.euler2mat(*angles) @ np.diag([1.5, 2, 3])
    affine = nibabel.affines.from_matvec(turn, (-30, -50, -60)) @ to_ras
    middle = nibabel.affines.apply_affine(affine, np.array(SHAPE) // 2)
    voxels = np.zeros(SHAPE, dtype)
    voxels[2:-2, 2:-2, 2:-2] = 150
    markers = []
    # Left and anterior, left and superior, anterior and superior of the middle, in its planes.
    for place in [(-21, 15, 0), (-21, 0, 18), (0, 15, 18)]:
        index = nibabel.affines.apply_affine(np.linalg.inv(affine), np.add(middle, place))
        voxel = index.round().astype(int)
        voxels[tuple(slice(i - 2, i + 3) for i in voxel)] = 1000
        markers.append(nibabel.affines.apply_affine(affine, voxel))
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return markers, middle


@contextmanager
def command(*stores):
    """The address that the command prints, which is interrupted at the end."""
    words = [sys.executable, "-m", "neurozarr", "view", "--no-browser", *map(str, stores)]
    with Program(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("name", BRAINS)
def test_markers_are_where_they_are_in_the_subject(tmp_path, open_page, name):
    orientation, (angles, options) = name[:3], BRAINS[name]
    dtype = "f8" if orientation == "ASL" else "i2"
    markers, middle = brain(tmp_path / "brain.nii", orientation, angles, dtype)
    store = neurozarr.convert(tmp_path / "brain.nii", tmp_path / "out", **options)
    with serving(store) as address:
        viewed = Viewed(open_page, address, **SIZE)
        assert viewed.page.title() == "brain.nii.zarr - neuroglancer"
        state = viewed.state
        assert state["dimensions"] == {axis: [1e-3, "m"] for axis in "xyz"}
        np.testing.assert_allclose(state["position"], middle, atol=1e-3)
        panels = [panel.min(axis=-1) for panel in viewed.panels()]
        assert len(panels) == 4
        assert all((panel > 20).mean() > 0.05 for panel in panels)
        # What is to the right, and up, in each panel: x, y or z.
        for panel, marker, axes in zip(panels, markers, [(0, 1), (0, 2), (1, 2)], strict=False):
            ys, xs = np.nonzero(panel > 178)
            assert 100 < len(xs) < 3000
            height, width = panel.shape
            x = (xs.mean() - (width - 1) / 2) * state["crossSectionScale"]
            y = ((height - 1) / 2 - ys.mean()) * state["crossSectionScale"]
            np.testing.assert_allclose((x, y), (marker - middle)[[*axes]], atol=1.5)


def test_labels_are_over_their_image(tmp_path, open_page):
    _, y, x = np.mgrid[:30, :60, :60]
    voxels = np.where(x < 30, 200, 100).astype("u1")
    half = ((y < 30) * 3).astype("u1")
    details = {
        "colors": [{"label-value": 3, "rgba": [255, 0, 0, 255]}],
        "properties": [{"label-value": 3, "name": "Upper half"}],
    }
    source = write(tmp_path / "source.ome.zarr", voxels, chunk=30, labels={"half": (half, details)})
    store = neurozarr.convert(source, tmp_path / "out")
    assert (store / "labels/half").is_dir()
    other = write(tmp_path / "other.zarr", voxels[:, :, :30], chunk=30)
    with command(other, store) as address:
        viewed = Viewed(open_page, address, **SIZE)
        layers = [(layer["name"], layer["type"]) for layer in viewed.state["layers"]]
        assert layers == [("other", "image"), ("source", "image"), ("half", "segmentation")]
        viewed.change(position=[30, 30, 15])
        viewed.change(selectedLayer={"layer": "half", "visible": True})
        viewed.page.get_by_text("Seg.", exact=True).click()
        viewed.page.get_by_text("Upper half").wait_for()
        viewed.change(selectedLayer={"visible": False})
        panel = viewed.panels()[0].astype(int)  # y is downwards.
        height, width, _ = panel.shape
        colour = {
            (up, left): panel[height // 2 + (1, -1)[up] * 60, width // 2 + (1, -1)[left] * 60]
            for up in (False, True)
            for left in (False, True)
        }
        for left in (False, True):
            red, green, blue = colour[True, left]
            assert red > green + 50
            assert green == blue
            assert len(set(colour[False, left])) == 1
        assert colour[False, True][0] > colour[False, False][0] + 50


def test_thousands_of_labels_have_their_colours(tmp_path, open_page):
    values = np.arange(20_000, dtype="u4").reshape(20, 20, 50)
    colors = [{"label-value": n, "rgba": [255, 0, 0, 255]} for n in range(20_000)]
    labels = {"many": (values, {"colors": colors})}
    voxels = (values == 1).astype("u1")  # Chunks of zeros only would not be stored.
    store = write(tmp_path / "a.zarr", voxels, chunk=50, labels=labels)
    with serving(store) as address:
        viewed = Viewed(open_page, address, **SIZE)
        assert len(viewed.state["layers"][1]["segmentColors"]) == 20_000
        panel = viewed.panels()[0]
        height, width, _ = panel.shape
        red, green, blue = panel[height // 2 + 20, width // 2 + 20].tolist()
        assert red > 80
        assert green == blue < 20


def test_channels_and_times_have_their_colours(tmp_path, open_page):
    voxels = np.zeros((2, 2, 8, 40, 40), "u2")
    voxels[0, 0, ..., :20] = voxels[0, 1, ..., 20:] = 5000
    voxels[1] = voxels[0, ::-1]
    np.save(tmp_path / "cells.npy", voxels)
    store = neurozarr.convert(
        tmp_path / "cells.npy",
        tmp_path / "out",
        axes="tczyx",
        voxel_size=(2, 1, 1),
        unit="um",
        time_step=2,
        time_unit="s",
        ome={"channel_names": ["A", "B"], "channel_colors": ["FF0000", "00FF00"]},
    )
    with serving(store) as address:
        viewed = Viewed(open_page, address, **SIZE)
        assert [layer["name"] for layer in viewed.state["layers"]] == ["A", "B"]
        for time, (left, right) in enumerate([("red", "green"), ("green", "red")]):
            names = list(viewed.state["dimensions"])
            position = viewed.state["position"]
            position[names.index("t")] = time
            viewed.change(position=position)
            panel = viewed.panels()[0]
            height, width, _ = panel.shape
            at = {"red": [255, 0, 0], "green": [0, 255, 0]}
            assert panel[height // 3, width // 2 - 60].tolist() == at[left]
            assert panel[height // 3, width // 2 + 60].tolist() == at[right]


def test_level_0_is_fetched_only_where_it_is_seen(tmp_path, open_page):
    y, x = np.mgrid[:1500, :1500]
    np.save(tmp_path / "slice.npy", (x + y)[None].repeat(3, 0).astype("u2"))
    store = neurozarr.convert(
        tmp_path / "slice.npy", tmp_path / "out", voxel_size=1, unit="um", zarr={"chunk": 100}
    )

    def fetched(viewed):
        return {url for url in viewed.requests if re.search(r"/data/0/0/c/", url)}

    with serving(store) as address:
        viewed = Viewed(open_page, address, **SIZE)
        assert any("/data/0/2/c/" in url for url in viewed.requests)
        assert not fetched(viewed)
        viewed.change(crossSectionScale=0.25)
        assert 0 < len(fetched(viewed)) < 225 / 4
