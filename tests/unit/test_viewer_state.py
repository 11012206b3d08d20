"""Where the viewer shows images, and how: its state, as Neuroglancer reads it."""

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr import units
from neurozarr.viewer.images import MAX_LAYERS, Channel, Image, with_units
from neurozarr.viewer.state import ORIENTATIONS, viewer_state

URL = "http://127.0.0.1:1/token/data/0/"


def image(**changes):
    given = {"name": "brain", "dtype": np.dtype("u2"), "axes": "zyx", "shape": (30, 40, 50)}
    return Image(**given | {"voxel_size": (1.0,) * 3, "channels": (Channel(),)} | changes)


def state_of(*images):
    addresses = [URL.replace("0/", f"{number}/") for number in range(len(images))]
    return viewer_state(with_units(images), addresses, title="brain")


def place(state, layer, axes, sizes, index):
    """Coordinates in SI units, by name, at which Neuroglancer shows a voxel.

    Its matrix has a row for each output dimension and a column for each input dimension. A column
    is multiplied by the voxel size; what is added is in the unit of the row.
    """
    transform = state["layers"][layer]["source"]["transform"]
    assert list(transform["outputDimensions"]) == [{"c": "c'"}.get(axis, axis) for axis in axes]
    found = {}
    for (name, (unit, _)), row in zip(
        transform["outputDimensions"].items(), transform["matrix"], strict=True
    ):
        assert len(row) == len(axes) + 1
        terms = [c * size * i for c, size, i in zip(row, sizes, index, strict=False)]
        found[name] = sum(terms) + row[-1] * unit
    return found


@st.composite
def affines(draw):
    """Affines of any order and direction of the axes, also oblique ones."""
    order = draw(st.permutations(range(3)))
    flips = draw(st.lists(st.sampled_from([1, -1]), min_size=3, max_size=3))
    sizes = draw(st.lists(st.floats(0.2, 5), min_size=3, max_size=3))
    angles = draw(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3))
    matrix = nibabel.eulerangles.euler2mat(*angles) @ np.eye(3)[order] @ np.diag(flips)
    start = draw(st.lists(st.floats(-90, 90), min_size=3, max_size=3))
    return nibabel.affines.from_matvec(matrix * sizes, start)


@given(
    affines(),
    st.permutations("zyx"),
    st.sampled_from(["millimeter", "micrometer", "inch"]),
    st.lists(st.integers(0, 30), min_size=3, max_size=3),
)
def test_voxels_are_where_their_affine_places_them(affine, order, unit, index):
    zooms = dict(zip("xyz", nibabel.affines.voxel_sizes(affine), strict=True))
    sizes = tuple(zooms[axis] for axis in order)
    shown = image(axes="".join(order), voxel_size=sizes, space_unit=unit, affine=affine)
    state = state_of(shown)
    meters = units.factor(unit, "meter")
    by_axis = dict(zip("xyz", index, strict=True))
    found = place(
        state, 0, order, [size * meters for size in sizes], [by_axis[axis] for axis in order]
    )
    expected = nibabel.affines.apply_affine(affine, index) * meters
    np.testing.assert_allclose([found[axis] for axis in "xyz"], expected, atol=1e-6 * meters)


@given(affines())
def test_middle_voxel_is_in_the_middle_and_all_in_view(affine):
    zooms = nibabel.affines.voxel_sizes(affine)[::-1]
    state = state_of(image(voxel_size=tuple(zooms), space_unit="millimeter", affine=affine))
    (step, unit) = state["dimensions"]["x"]
    assert unit == "m"
    middle = nibabel.affines.apply_affine(affine, (25, 20, 15))
    np.testing.assert_allclose(np.multiply(state["position"], step), middle / 1e3, atol=1e-9)
    corners = nibabel.affines.apply_affine(
        affine, list(np.ndindex(2, 2, 2)) * np.array([49, 39, 29])
    )
    pixels = np.ptp(corners, axis=0).max() / 1e3 / step / state["crossSectionScale"]
    assert 300 < pixels < 340


def test_panels_are_upright_with_left_on_the_left():
    turned = {
        name: nibabel.quaternions.quat2mat((w, x, y, z)).round(6).T.tolist()
        for name, (x, y, z, w) in ORIENTATIONS.items()
    }
    right, anterior, superior = np.eye(3)
    # What is right, down and away on the screen.
    expected = {
        "axial": [right, -anterior, -superior],
        "coronal": [right, -superior, anterior],
        "sagittal": [anterior, -superior, -right],
    }
    for name, directions in expected.items():
        np.testing.assert_allclose(turned[name], directions, atol=1e-6)


def test_anatomical_image_has_a_panel_for_each_plane():
    state = state_of(image(affine=np.eye(4)))
    rows = [row["children"] for row in state["layout"]["children"]]
    panels = [panel for row in rows for panel in row]
    turns = [panel.get("crossSectionOrientation", {}).get("value") for panel in panels]
    assert turns == [*map(list, ORIENTATIONS.values()), None]
    assert all(panel["layers"] == ["brain"] for panel in panels)
    planes = panels[3]["layout"]["crossSections"]
    assert [plane["orientation"]["value"] for plane in planes.values()] == turns[:3]


@pytest.mark.parametrize(
    ("axes", "shape", "layout"),
    [("zyx", (30, 40, 50), "4panel"), ("yx", (40, 50), "xy"), ("zyx", (1, 40, 50), "xy")],
)
def test_image_without_anatomy_is_a_picture_with_y_downwards(axes, shape, layout):
    sizes = (0.5,) * len(axes)
    state = state_of(image(axes=axes, shape=shape, voxel_size=sizes, space_unit="micrometer"))
    assert state["layout"] == layout
    assert "projectionOrientation" not in state
    index = [10 * (axis == "y") for axis in axes]
    found = place(state, 0, axes, [0.5e-6] * len(axes), index)
    assert found == pytest.approx({axis: 5e-6 * (axis == "y") for axis in axes})


def test_position_of_an_image_without_anatomy_is_kept():
    shown = image(voxel_size=(2.0, 1.0, 1.0), position=(8.0, 4.0, -6.0), space_unit="micrometer")
    found = place(state_of(shown), 0, "zyx", [2e-6, 1e-6, 1e-6], [0, 0, 0])
    assert found == pytest.approx({"z": 8e-6, "y": 4e-6, "x": -6e-6})


@pytest.mark.parametrize(
    ("size", "step"), [(1.0, 1.0), (0.8, 1.0), (2.2, 1.0), (0.5, 0.1), (9.0, 10.0), (0.012, 0.01)]
)
def test_coordinates_are_read_off_as_lengths(size, step):
    dimensions = state_of(image(voxel_size=(2 * size, size, size)))["dimensions"]
    assert dimensions == {axis: [pytest.approx(step), ""] for axis in "xyz"}


def test_unknown_unit_is_that_of_the_other_images():
    first, second = image(), image(space_unit="micrometer", affine=np.diag([1, 1, 1, 1]))
    state = state_of(first, second)
    assert {unit for _, unit in state["dimensions"].values()} == {"m"}
    found = [place(state, layer, "zyx", [1e-6] * 3, [3, 4, 5]) for layer in (0, 1)]
    assert found == [pytest.approx({"z": 3e-6, "y": 4e-6, "x": 5e-6})] * 2


def test_times_have_their_step_and_a_slider():
    shown = image(
        axes="tzyx", shape=(9, 30, 40, 50), voxel_size=(2.5, 1, 1, 1), time_unit="millisecond"
    )
    state = state_of(shown)
    assert state["dimensions"]["t"] == [2.5e-3, "s"]
    assert state["position"][list(state["dimensions"]).index("t")] == 0
    assert place(state, 0, "tzyx", [2.5e-3, 1, 1, 1], [4, 0, 0, 0])["t"] == pytest.approx(0.01)


def test_channels_are_layers_with_colours_and_windows():
    channels = (
        Channel(name="DAPI", color="0000FF", window=(10.4, 99.2)),
        Channel(window=(-5.0, 1e9), active=False),
    )
    one, two = state_of(
        image(axes="czyx", shape=(2, 3, 4, 5), voxel_size=(1.0,) * 4, channels=channels)
    )["layers"]
    assert (one["name"], two["name"]) == ("DAPI", "brain 1")
    assert (one["localPosition"], two["localPosition"]) == ([0], [1])
    assert one["shaderControls"] == {"normalized": {"range": [10, 100]}, "color": "#0000ff"}
    assert two["shaderControls"] == {"normalized": {"range": [0, 65535]}, "color": "#ffffff"}
    assert {one["blend"], two["blend"]} == {"additive"}
    assert ("visible" in one, two["visible"]) == (False, False)


def test_many_channels_are_one_layer_with_a_slider():
    count = MAX_LAYERS + 1
    shown = image(
        axes="czyx",
        shape=(count, 3, 4, 5),
        voxel_size=(1.0,) * 4,
        channels=tuple(Channel(window=(0.0, 9.0)) for _ in range(count)),
    )
    state = state_of(shown)
    (layer,) = state["layers"]
    assert state["dimensions"]["c"] == layer["source"]["transform"]["outputDimensions"]["c"]
    assert "localPosition" not in layer
    assert "emitGrayscale" in layer["shader"]


@pytest.mark.parametrize(
    ("dtype", "window", "expected"),
    [
        ("f4", (0.25, 0.75), [0.25, 0.75]),
        ("i2", (-40000.0, -32768.0), [-32768, -32767]),
        ("u1", (255.0, 300.0), [254, 255]),
        ("u8", (1.0, 2.0**60), ["1", str(2**60)]),
    ],
)
def test_window_is_one_of_the_data_type(dtype, window, expected):
    shown = image(dtype=np.dtype(dtype), channels=(Channel(window=window),))
    (layer,) = state_of(shown)["layers"]
    assert layer["shaderControls"]["normalized"]["range"] == expected


def test_labels_are_a_segmentation_in_their_colours():
    details = {"colors": [{"label-value": 7, "rgba": [255, 128, 0, 255]}, {"label-value": 8}]}
    _, layer = state_of(image(), image(name="aseg", channels=(), labels=details))["layers"]
    assert (layer["type"], layer["segmentColors"]) == ("segmentation", {"7": "#ff8000"})
    assert layer["source"]["url"] == f"{URL.replace('0/', '1/')}|zarr3:"


def test_labels_have_their_names():
    entries = [
        {"label-value": 7, "volume": 3, "name": "Putamen"},
        {"label-value": 8, "class": "nucleus"},
        {"label-value": 9, "area": 1.5},
    ]
    shown = image(channels=(), labels={"properties": entries})
    assert shown.names["inline"] == {
        "ids": ["7", "8"],
        "properties": [{"id": "label", "type": "label", "values": ["Putamen", "nucleus"]}],
    }
    (layer,) = state_of(shown)["layers"]
    assert layer["source"][1] == {"url": f"{URL}names/|neuroglancer-precomputed:"}
    assert image(channels=(), labels={"properties": entries[2:]}).names is None


def test_layers_have_different_names():
    names = [layer["name"] for layer in state_of(image(), image(), image())["layers"]]
    assert names == ["brain", "brain (2)", "brain (3)"]
